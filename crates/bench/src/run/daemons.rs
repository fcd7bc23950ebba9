//! What is measured of a daemon without traffic: set-ups, memory, start, rest. [`Bench::gather`] serves [`super::growth`],
//! too.
use super::Bench;
use crate::args::Args;
use crate::contender::{Contender, Kind, ike};
use crate::loadtester::LoadTester;
use crate::nursery::Process;
use crate::stage::{FAR, FAR_INNER, NEAR, Stage};
use crate::{knock, stats, usage};
use anyhow::{Context as _, Result, bail, ensure};
use linux::netns::Namespace;
use std::time::{Duration, Instant};
use vici::{Client, Message as _};

/// A run of set-ups that makes no progress for so long has failed.
const STALLED: Duration = Duration::from_secs(30);
/// How often the responder is asked how many it has.
const LOOK: Duration = Duration::from_millis(50);
/// Settings of a responder under load that either daemon understands or charon needs.
const TUNED: &str = "dos_protection = no
  threads = 16
  ikesa_table_size = 65536
  ikesa_table_segments = 64";

/// How long a daemon without work is watched.
pub(super) fn idle_time(args: &Args) -> Duration {
    Duration::from_secs(if args.quick { 2 } else { 30 })
}

/// What a responder is given to do, and how closely it is watched.
pub(super) struct Load {
    pub(super) settings: String,
    pub(super) gateway: String,
    /// IKE_SAs.
    pub(super) count: usize,
    /// How often it is asked how many it has.
    pub(super) look: Duration,
}

/// A responder with all its IKE_SAs.
pub(super) struct Crowd {
    pub(super) cost: Cost,
    pub(super) client: Client,
    initiator: Process,
    pub(super) responder: Process,
    pub(super) stage: Stage,
}

/// What IKE_SAs cost a responder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cost {
    /// Set-ups per second.
    pub(super) rate: f64,
    /// Processor time of each, seconds.
    pub(super) cpu: f64,
    /// The same of the initiator, with its start.
    pub(super) initiator_cpu: f64,
    /// What its resident size grew by for each, bytes.
    pub(super) resident: f64,
    /// What its own memory grew by for each, bytes.
    pub(super) own: f64,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rate, cpu, initiator_cpu, resident, own } = self;
        let [cpu, initiator] = [cpu, initiator_cpu].map(|seconds| seconds * 1e3);
        let [resident, own] = [resident, own].map(|bytes| bytes / 1e3);
        write!(f, "{rate:.0}/s, each {cpu:.3} ms CPU (initiator {initiator:.3}), ")?;
        write!(f, "{resident:.1} KB resident, {own:.1} KB of its own")
    }
}

impl Crowd {
    /// All go without leave: a goodbye of each would take longer than their coming.
    pub(super) fn disperse(self) {
        self.initiator.kill();
        self.responder.kill();
    }
}

impl Bench<'_> {
    /// Lets the load tester set up so many IKE_SAs with a responder, for each number with a new one.
    pub(super) fn handshakes(&mut self, contender: &Contender, counts: &[usize]) -> Result<String> {
        let tester = LoadTester::find(self.args).map_err(anyhow::Error::msg)?;
        let mut said = Vec::new();
        for count in counts {
            let count = if self.args.quick { count / 10 } else { *count };
            said.push(self.set_ups(contender, &tester, count).with_context(|| format!("{count} IKE_SAs"))?);
        }
        Ok(said.join("; "))
    }

    fn set_ups(&mut self, contender: &Contender, tester: &LoadTester, count: usize) -> Result<String> {
        let more = match contender.kind {
            Kind::StrongswanFake => format!("{TUNED}\n{}", tester.as_responder()),
            Kind::Cygnet => "dos_protection = no".to_owned(),
            _ => TUNED.to_owned(),
        };
        let settings = ike::settings(contender.kind, &more);
        let load = Load { settings, gateway: ike::gateway(""), count, look: LOOK };
        let nursery = self.nursery;
        let crowd = self.gather(contender, &load, |place| tester.start(place, count, nursery))?;
        let cost = crowd.cost;
        crowd.disperse();
        self.note_cost("ike", count, cost);
        Ok(format!("{count} IKE_SAs: {cost}"))
    }

    /// Starts a responder and lets an initiator that `start` starts at the near end set up IKE_SAs with it.
    pub(super) fn gather(
        &self,
        contender: &Contender,
        load: &Load,
        start: impl FnOnce(&Namespace) -> Result<Process>,
    ) -> Result<Crowd> {
        let stage = Stage::build()?;
        stage.far.configure("lo", format!("{FAR_INNER}/32").parse()?)?;
        let responder = ike::start(contender, &stage.far, "far", &load.settings, self.nursery)?;
        ike::load(contender, &stage.far, &responder, &load.gateway, self.nursery)?;
        let mut client = Client::connect(&ike::uri(&responder), Some(Duration::from_secs(20)))?;
        std::thread::sleep(Duration::from_millis(300));
        let (memory, cpu) = (usage::memory(responder.pid)?, usage::cpu_seconds(responder.pid)?);
        let initiator = start(&stage.near)?;
        let rate = watch(&mut client, &responder, &initiator, load)?;
        let each = 1.0 / load.count as f64;
        let cpu = (usage::cpu_seconds(responder.pid)? - cpu) * each;
        let initiator_cpu = usage::cpu_seconds(initiator.pid)? * each;
        // until what the last ones needed for a moment has been given back
        std::thread::sleep(Duration::from_millis(500));
        let after = usage::memory(responder.pid)?;
        let (resident, own) = ((after.resident - memory.resident) * each, (after.own - memory.own) * each);
        Ok(Crowd {
            cost: Cost { rate, cpu, initiator_cpu, resident, own },
            client,
            initiator,
            responder,
            stage,
        })
    }

    /// Notes what each of so many IKE_SAs cost.
    pub(super) fn note_cost(&mut self, topic: &str, count: usize, cost: Cost) {
        self.note(format!("{topic} {count} set-ups/s"), cost.rate);
        self.note(format!("{topic} {count} CPU ms"), cost.cpu * 1e3);
        self.note(format!("{topic} {count} initiator CPU ms"), cost.initiator_cpu * 1e3);
        self.note(format!("{topic} {count} KB"), cost.resident / 1e3);
        self.note(format!("{topic} {count} own KB"), cost.own / 1e3);
    }

    /// Start to first answer; then memory and work of the daemon at rest.
    pub(super) fn start(&mut self, contender: &Contender) -> Result<String> {
        let mut took = Vec::new();
        for _ in 0..3 {
            took.push(self.first_answer(contender)?.0);
        }
        let (last, _stage, daemon) = self.first_answer(contender)?;
        took.push(last);
        let start = stats::median(&took).unwrap_or_default() * 1e3;
        self.note("start ms", start);
        std::thread::sleep(Duration::from_secs(3));
        let memory = usage::memory(daemon.pid)?;
        let (cpu, switches) = (usage::cpu_seconds(daemon.pid)?, usage::switches(daemon.pid)?);
        let watched = idle_time(self.args);
        std::thread::sleep(watched);
        let ended = daemon.ended().is_some();
        ensure!(!ended, "it ended: {}", daemon.last_words());
        let cpu = (usage::cpu_seconds(daemon.pid)? - cpu) / watched.as_secs_f64() * 30.0;
        let switched = usage::switched(&switches, &usage::switches(daemon.pid)?);
        let switches = switched as f64 / watched.as_secs_f64() * 30.0;
        self.note("idle resident MB", memory.resident / 1e6);
        self.note("idle own MB", memory.own / 1e6);
        self.note("idle CPU ms per 30 s", cpu * 1e3);
        self.note("idle switches per 30 s", switches);
        let (resident, own) = (memory.resident / 1e6, memory.own / 1e6);
        Ok(format!(
            "first answer after {start:.0} ms; at rest {resident:.1} MB resident, {own:.1} MB of its own; \
             in 30 s {:.0} ms CPU, {switches:.0} switches",
            cpu * 1e3
        ))
    }

    /// Starts a daemon that loads its configuration itself; seconds until it answers an IKE_SA_INIT.
    fn first_answer(&self, contender: &Contender) -> Result<(f64, Stage, Process)> {
        let stage = Stage::build()?;
        let started = Instant::now();
        let daemon = ike::spawn_loading(contender, &stage.far, "far", &ike::gateway(""), self.nursery)?;
        let answered = stage.near.run(|| knock::until_answered(NEAR, FAR, Duration::from_secs(20)))?;
        let took = started.elapsed().as_secs_f64();
        match answered {
            Ok(true) => Ok((took, stage, daemon)),
            Ok(false) => bail!("no answer to IKE_SA_INIT: {}", daemon.last_words()),
            Err(error) => Err(error),
        }
    }
}

/// Waits until a responder has so many IKE_SAs; the rate at which they came, measured between a tenth and nine tenths.
fn watch(client: &mut Client, responder: &Process, initiator: &Process, load: &Load) -> Result<f64> {
    let count = load.count;
    let (tenth, most) = (count / 10, count - count / 10);
    let (mut from, mut to) = (None, None);
    let mut last = (0, Instant::now());
    loop {
        let words = || format!("{} said: {}", responder.name, responder.last_words());
        let have = established(client).with_context(words)?;
        let now = Instant::now();
        if have > last.0 {
            last = (have, now);
        }
        if have >= tenth && from.is_none() {
            from = Some((have, now));
        }
        if have >= most && to.is_none() {
            to = Some((have, now));
        }
        if have >= count {
            break;
        }
        for process in [responder, initiator] {
            ensure!(process.ended().is_none(), "{} ended at {have}: {}", process.name, process.last_words());
        }
        if last.1.elapsed() > STALLED {
            bail!("it stalled at {have}: {} / {}", responder.last_words(), initiator.last_words());
        }
        std::thread::sleep(load.look);
    }
    let ((a, begun), (b, ended)) = (from.context("a beginning")?, to.context("an end")?);
    ensure!(b > a, "they came faster than could be watched");
    Ok((b - a) as f64 / (ended - begun).as_secs_f64())
}

/// IKE_SAs that are up.
fn established(client: &mut Client) -> Result<usize> {
    let answer = client.request("stats", config::tree::Section::default())?;
    let number = |key: &str| -> Result<usize> {
        let text = answer.child("ikesas").and_then(|s| s.text(key));
        text.with_context(|| format!("stats without ikesas.{key}"))?.parse().context("a number of IKE_SAs")
    };
    Ok(number("total")?.saturating_sub(number("half-open")?))
}
