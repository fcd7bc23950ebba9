//! How our daemon does as its IKE_SAs grow in number, with our own load test as initiator, which has the next set-up ready
//! when one is done; and how long it keeps others waiting while it works on all of the most it had.
use super::Bench;
use super::daemons::{Cost, Crowd, Load};
use crate::args::Args;
use crate::contender::{Contender, ike};
use crate::waits::{self, Waited};
use crate::{stats, warriors};
use anyhow::{Context as _, Result, ensure};
use config::tree::Section;
use linux::netns::Namespace;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use vici::{Client, Message as _};

/// Numbers of IKE_SAs, in order, each with a new daemon. The least is over within a moment, so that chance has a great part in
/// it: it has several, spread between the others, so that they share what the machine is like meanwhile.
pub(crate) const RUNS: [usize; 7] = [1_000, 1_000, 10_000, 1_000, 100_000, 1_000, 1_000];
/// The same of a quick run.
const QUICK: [usize; 2] = [1_000, 10_000];
/// How often the responder is asked how many it has: 1,000 are there within a quarter of a second or so.
pub(crate) const LOOK: Duration = Duration::from_millis(10);
/// Liveness of each is checked after so many seconds that all together give about this many checks per second.
const CHECKS: usize = 2_500;
/// And after no fewer seconds than this.
const OFTEN: usize = 10;
/// How long all may take to be rekeyed.
const REKEYED: Duration = Duration::from_secs(60);
/// Requests of ours of INFORMATIONAL: while nothing is closed or rekeyed, liveness checks.
const CHECKED: &str = "info-out-req";
/// Between two looks at counters.
const COUNTED: Duration = Duration::from_millis(100);

/// About how long it takes.
pub(super) fn seconds(args: &Args) -> f64 {
    if args.quick { 40.0 } else { 160.0 }
}

/// Seconds of silence after which liveness is checked.
pub(crate) fn checked_after(count: usize) -> usize {
    (count / CHECKS).max(OFTEN)
}

impl Bench<'_> {
    pub(super) fn growth(&mut self, contender: &Contender) -> Result<String> {
        let runs: &[usize] = if self.args.quick { &QUICK } else { &RUNS };
        let mut costs = BTreeMap::new();
        let stalls = self.grow(contender, runs, &mut costs);
        let mut said = Vec::new();
        for (count, costs) in costs {
            if let Some(cost) = typical(&costs) {
                self.note_cost("growth", count, cost);
                said.push(format!("{count} IKE_SAs of our own: {cost}"));
            }
        }
        said.push(stalls?);
        Ok(said.join("; "))
    }

    /// Runs all; what was found until one fails is in `costs`.
    fn grow(
        &mut self,
        contender: &Contender,
        runs: &[usize],
        costs: &mut BTreeMap<usize, Vec<Cost>>,
    ) -> Result<String> {
        let most = runs.iter().max();
        let mut said = String::new();
        for count in runs {
            let of = || format!("{count} IKE_SAs of our own");
            let settings = ike::settings(contender.kind, "dos_protection = no");
            let gateway = ike::gateway(&format!("dpd_delay = {}s", checked_after(*count)));
            let load = Load { settings, gateway, count: *count, look: LOOK };
            let nursery = self.nursery;
            let start = |place: &Namespace| warriors::start(&contender.tool, place, *count, nursery);
            let mut crowd = self.gather(contender, &load, start).with_context(of)?;
            costs.entry(*count).or_default().push(crowd.cost);
            if Some(count) == most {
                said = self.stalls(&mut crowd, *count).with_context(of)?;
            }
            crowd.disperse();
        }
        Ok(said)
    }

    /// Lists all, rekeys all, checks the liveness of all, one after the other, and notes how long others waited meanwhile.
    fn stalls(&mut self, crowd: &mut Crowd, count: usize) -> Result<String> {
        let (near, uri) = (&crowd.stage.near, ike::uri(&crowd.responder));
        let client = &mut crowd.client;
        let round = Duration::from_secs(checked_after(count) as u64);
        let away = engine_longest(client)?;
        // all three are done while liveness is checked
        let before = counter(client, CHECKED)?;
        let begun = until(client, CHECKED, before + count / 100, round * 2)?;
        ensure!(begun > before, "nobody's liveness is checked");

        let before = counter(client, CHECKED)?;
        let (listed, waited) = waits::during(near, &uri, || list(client))?;
        ensure!(listed >= count, "{listed} were listed");
        let checks = counter(client, CHECKED)? - before;
        let waits = self.waited(count, "list", waited, engine_longest(client)?);
        let mut said = vec![format!("engine away {away:.1} ms at most until all were up")];
        said.push(format!("while {listed} are listed ({checks} liveness checks): {waits}"));

        let started = Instant::now();
        let (rekeyed, waited) = waits::during(near, &uri, || rekey(client, count))?;
        let took = started.elapsed().as_secs_f64();
        let waits = self.waited(count, "rekey", waited, engine_longest(client)?);
        said.push(format!("while {rekeyed} are rekeyed ({took:.1} s): {waits}"));
        ensure!(rekeyed >= count, "only {rekeyed} CHILD_SAs were rekeyed within {took:.0} s");

        // the old CHILD_SAs of the last ones are still being deleted
        std::thread::sleep(Duration::from_millis(500));
        let before = counter(client, CHECKED)?;
        let checking = || until(client, CHECKED, before + count, round * 2);
        let (checked, waited) = waits::during(near, &uri, checking)?;
        let checks = checked - before;
        let waits = self.waited(count, "liveness", waited, engine_longest(client)?);
        said.push(format!("in {checks} liveness checks: {waits}"));
        ensure!(checks >= count, "the liveness of {checks} only was checked");

        Ok(said.join("; "))
    }

    /// Notes how long was waited while a work was done; the engine was away for `away` ms at most until then.
    fn waited(&mut self, count: usize, work: &str, waited: Waited, away: f64) -> String {
        let mut said = Vec::new();
        for (way, waits) in [("IKE", waited.ike), ("vici", waited.vici)] {
            let longest = waits.longest.as_secs_f64() * 1e3;
            self.note(format!("stall {count} {work} {way} ms"), longest);
            said.push(format!("{way} {longest:.1} ms ({} asked, {} lost)", waits.asked, waits.lost));
        }
        let overslept = waited.overslept.as_secs_f64() * 1e3;
        self.note(format!("stall {count} {work} sleeper ms"), overslept);
        said.push(format!("a sleeper {overslept:.1} ms"));
        format!("longest wait {}, engine away {away:.1} ms at most so far", said.join(", "))
    }
}

/// The median of each figure.
fn typical(costs: &[Cost]) -> Option<Cost> {
    let of = |part: fn(&Cost) -> f64| stats::median(&costs.iter().map(part).collect::<Vec<_>>());
    Some(Cost {
        rate: of(|c| c.rate)?,
        cpu: of(|c| c.cpu)?,
        initiator_cpu: of(|c| c.initiator_cpu)?,
        resident: of(|c| c.resident)?,
        own: of(|c| c.own)?,
    })
}

/// A counter of the daemon.
fn counter(client: &mut Client, name: &str) -> Result<usize> {
    let answer = client.request("get-counters", Section::default())?;
    let value = answer.child("counters").and_then(|all| all.child("")).and_then(|total| total.number(name));
    value.with_context(|| format!("no counter {name}"))
}

/// Waits until a counter has reached a number, at most `limit`; what it is then.
fn until(client: &mut Client, name: &str, number: usize, limit: Duration) -> Result<usize> {
    let deadline = Instant::now() + limit;
    loop {
        let now = counter(client, name)?;
        if now >= number || Instant::now() > deadline {
            return Ok(now);
        }
        std::thread::sleep(COUNTED);
    }
}

/// `list-sas` without a filter; how many there were.
fn list(client: &mut Client) -> Result<usize> {
    let mut listed = 0;
    client.request_streamed("list-sas", Section::default(), "list-sa", |_| listed += 1)?;
    Ok(listed)
}

/// Rekeys all CHILD_SAs by one command; how many are, in the end or when that takes too long.
fn rekey(client: &mut Client, count: usize) -> Result<usize> {
    let before = counter(client, "child-rekey")?;
    let mut all = Section::default();
    all.put("child", "net");
    let answer = client.request("rekey", all)?;
    ensure!(answer.is_yes("success"), "rekey: {}", answer.text("errmsg").unwrap_or("no"));
    Ok(until(client, "child-rekey", before + count, REKEYED)? - before)
}

/// The longest the engine was away from its queues since it started, milliseconds.
fn engine_longest(client: &mut Client) -> Result<f64> {
    let answer = client.request("stats", Section::default())?;
    let longest = answer.child("engine").and_then(|engine| engine.number::<f64>("longest-turn-us"));
    Ok(longest.context("stats without engine.longest-turn-us")? / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_several_runs_are_medians() {
        let cost = |rate: f64, own: f64| Cost { rate, cpu: 1.0, initiator_cpu: 1.5, resident: 2.0, own };
        assert_eq!(typical(&[cost(1.0, 9.0), cost(5.0, 7.0), cost(3.0, 8.0)]), Some(cost(3.0, 8.0)));
        assert_eq!(typical(&[]), None);
    }

    #[test]
    fn checks_come_at_an_even_rate_but_not_all_the_time() {
        assert_eq!([1_000, 10_000, 100_000].map(checked_after), [10, 10, 40]);
    }
}
