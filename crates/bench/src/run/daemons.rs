//! What is measured of a daemon without traffic: set-ups, memory, start, rest.
use super::Bench;
use crate::args::Args;
use crate::contender::{Contender, Kind, ike};
use crate::loadtester::LoadTester;
use crate::nursery::Process;
use crate::stage::{FAR, FAR_INNER, NEAR, Stage};
use crate::{knock, stats, usage};
use anyhow::{Context as _, Result, bail, ensure};
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
        let stage = Stage::build()?;
        stage.far.configure("lo", format!("{FAR_INNER}/32").parse()?)?;
        let more = match contender.kind {
            Kind::StrongswanFake => format!("{TUNED}\n{}", tester.as_responder()),
            Kind::Cygnet => "dos_protection = no".to_owned(),
            _ => TUNED.to_owned(),
        };
        let settings = ike::settings(contender.kind, &more);
        let responder = ike::start(contender, &stage.far, "far", &settings, self.nursery)?;
        ike::load(contender, &stage.far, &responder, &ike::gateway(), self.nursery)?;
        let mut client = Client::connect(&ike::uri(&responder), Some(Duration::from_secs(20)))?;
        std::thread::sleep(Duration::from_millis(300));
        let (memory, cpu) = (usage::memory(responder.pid)?, usage::cpu_seconds(responder.pid)?);
        let initiator = tester.start(&stage.near, count, self.nursery)?;
        let rate = watch(&mut client, &responder, &initiator, count)?;
        let cpu_each = (usage::cpu_seconds(responder.pid)? - cpu) / count as f64;
        // until what the last ones needed for a moment has been given back
        std::thread::sleep(Duration::from_millis(500));
        let memory_each = (usage::memory(responder.pid)?.resident - memory.resident) / count as f64;
        self.note(format!("ike {count} set-ups/s"), rate);
        self.note(format!("ike {count} CPU ms"), cpu_each * 1e3);
        self.note(format!("ike {count} KB"), memory_each / 1e3);
        Ok(format!(
            "{count} IKE_SAs: {rate:.0}/s, {:.3} ms CPU and {:.1} KB each",
            cpu_each * 1e3,
            memory_each / 1e3
        ))
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
        let daemon = ike::spawn_loading(contender, &stage.far, "far", &ike::gateway(), self.nursery)?;
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
fn watch(client: &mut Client, responder: &Process, initiator: &Process, count: usize) -> Result<f64> {
    let (tenth, most) = (count / 10, count - count / 10);
    let (mut from, mut to) = (None, None);
    let mut last = (0, Instant::now());
    loop {
        let have = established(client)?;
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
        std::thread::sleep(LOOK);
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
