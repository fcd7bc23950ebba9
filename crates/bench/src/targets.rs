//! What we set out to reach, and whether a record shows it.
use crate::contender::Kind;
use crate::record::Record;
use crate::tables::{WORKS, number};
use Kind::{Boringtun, Cygnet, Forwarder, Strongswan, StrongswanFake, WireguardGo};

/// A bound on a figure.
enum Bound {
    Least(f64),
    Most(f64),
}
use Bound::{Least, Most};

/// One target.
struct Target {
    what: String,
    bound: Bound,
    measured: Option<f64>,
    unit: &'static str,
}

/// Median of ours divided by another's, round by round.
fn times(record: &Record, other: Kind, metric: &str) -> Option<f64> {
    Some(record.ratio(Cygnet, other, metric)?.median)
}

fn ours(record: &Record, metric: &str) -> Option<f64> {
    Some(record.summary(Cygnet, metric)?.median)
}

/// The longest of all rounds: of a wait that must not be long, the middle one says nothing.
fn longest(record: &Record, metric: &str) -> Option<f64> {
    Some(record.summary(Cygnet, metric)?.greatest)
}

/// The greatest of these, if all are there: none may be over a bound.
fn greatest<const N: usize>(values: [Option<f64>; N]) -> Option<f64> {
    values.into_iter().try_fold(f64::NEG_INFINITY, |a, b| Some(a.max(b?)))
}

fn targets(r: &Record) -> Vec<Target> {
    let mut all = Vec::new();
    let mut add = |what: String, bound: Bound, measured: Option<f64>, unit: &'static str| {
        all.push(Target { what, bound, measured, unit });
    };
    for streams in [1, 4] {
        let metric = format!("tcp {streams} Mbit/s");
        for (other, factor) in [(Strongswan, 10.0), (WireguardGo, 3.0)] {
            let what = format!("TCP, {streams} stream(s), against {}", other.name());
            add(what, Least(factor), times(r, other, &metric), "times");
        }
        let metric = format!("tcp {streams} CPU s/GB");
        add(
            format!("processor time per GB and end, TCP, {streams} stream(s)"),
            Most(1.6),
            ours(r, &metric),
            "s",
        );
    }
    for (other, factor) in [(Strongswan, 5.0), (Boringtun, 2.5)] {
        let what = format!("UDP, 64 bytes without loss, against {}", other.name());
        add(what, Least(factor), times(r, other, "udp 64 lossless packets/s"), "times");
    }
    let forwarder = times(r, Forwarder, "udp 1372 lossless packets/s");
    add("UDP, 1,372 bytes without loss, against a bare forwarder".to_owned(), Least(0.8), forwarder, "times");
    let ping = times(r, Boringtun, "ping average us");
    add("ping on an idle path, against boringtun".to_owned(), Most(1.0), ping, "times");
    let tail = [Strongswan, WireguardGo, Boringtun].map(|other| times(r, other, "load full p99.9 us"));
    add("p99.9 under full load, against the best peer".to_owned(), Most(1.0), greatest(tail), "times");
    add("processor time of an IKE_SA set-up".to_owned(), Most(0.15), ours(r, "ike 1000 CPU ms"), "ms");
    let charon = times(r, StrongswanFake, "ike 1000 CPU ms");
    add("the same, against charon without a data plane".to_owned(), Most(0.2), charon, "times");
    for count in [1_000, 10_000, 100_000] {
        let kilobytes = ours(r, &format!("ike {count} own KB"));
        let n = number(f64::from(count), 0);
        let what = format!("memory of its own that an IKE_SA with a CHILD_SA takes, of {n}");
        add(what, Most(4.0), kilobytes, "KB");
    }
    let slower = r.divided((Cygnet, "growth 1000 set-ups/s"), (Cygnet, "growth 100000 set-ups/s"));
    let what = "set-ups per second of 1,000 against those of 100,000, our own load test as initiator";
    add(what.to_owned(), Most(1.3), slower.map(|s| s.median), "times");
    for (work, words) in WORKS {
        let waits = ["IKE", "vici"].map(|way| longest(r, &format!("stall 100000 {work} {way} ms")));
        let what = format!("longest wait for an answer with 100,000 IKE_SAs, while {words}");
        add(what, Most(50.0), greatest(waits), "ms");
    }
    let lease = |metric: &str| ours(r, metric).map(|rate| 1e6 / rate.max(1e-9));
    add("first lease of a client".to_owned(), Most(1.0), lease("pool first leases/s"), "µs");
    add("lease of a client that returns".to_owned(), Most(1.0), lease("pool leases again/s"), "µs");
    add("start to the first answered IKE_SA_INIT".to_owned(), Most(50.0), ours(r, "start ms"), "ms");
    add("memory at rest, resident".to_owned(), Most(15.0), ours(r, "idle resident MB"), "MB");
    add("processor time at rest, in 30 s".to_owned(), Most(0.0), ours(r, "idle CPU ms per 30 s"), "ms");
    all
}

/// The table.
pub(crate) fn table(record: &Record) -> String {
    let mut text = "| what | wanted | measured | |\n|---|---|---|---|\n".to_owned();
    for Target { what, bound, measured, unit } in targets(record) {
        let (word, limit, met) = match bound {
            Least(limit) => ("at least", limit, measured.map(|m| m >= limit)),
            Most(limit) => ("at most", limit, measured.map(|m| m <= limit)),
        };
        let shown = measured.map_or_else(|| "–".to_owned(), |m| format!("{} {unit}", short(m)));
        let verdict = match met {
            Some(true) => "met",
            Some(false) => "**not met**",
            None => "not measured",
        };
        text += &format!("| {what} | {word} {} {unit} | {shown} | {verdict} |\n", short(limit));
    }
    text.push('\n');
    text
}

/// Three digits or so.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 || (v - v.round()).abs() < 1e-9 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    number(value, digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_not_met_or_not_measured() {
        let mut record = crate::record::tests::example();
        let find = |record: &Record, what: &str| -> String {
            table(record).lines().find(|line| line.contains(what)).unwrap().to_owned()
        };
        let line = find(&record, "TCP, 1 stream(s), against strongSwan");
        assert!(line.ends_with("| at least 10 times | 10 times | met |"), "{line}");
        let line = find(&record, "against wireguard-go");
        assert!(line.ends_with("| – | not measured |"), "{line}");
        for sample in &mut record.samples {
            if sample.kind == Cygnet {
                sample.value *= 0.99;
            }
        }
        let line = find(&record, "TCP, 1 stream(s), against strongSwan");
        assert!(line.ends_with("| 9.90 times | **not met** |"), "{line}");
    }

    #[test]
    fn growth_is_within_rounds_and_the_longest_wait_counts() {
        let mut record = crate::record::tests::example();
        let mut add = |metric: &str, values: &[f64]| {
            for (round, value) in (1..).zip(values) {
                let (kind, metric) = (Cygnet, metric.to_owned());
                record.samples.push(crate::record::Sample { kind, metric, round, value: *value });
            }
        };
        add("growth 1000 set-ups/s", &[4000.0, 2000.0, 3000.0]);
        add("growth 100000 set-ups/s", &[4000.0, 1000.0, 2000.0]);
        add("stall 100000 list IKE ms", &[3.0, 49.0, 5.0]);
        add("stall 100000 list vici ms", &[1.0, 1.0, 1.0]);
        add("stall 100000 rekey IKE ms", &[1.0, 1.0, 1.0]);
        add("stall 100000 rekey vici ms", &[3.0, 51.0, 5.0]);
        add("stall 100000 liveness IKE ms", &[1.0]);
        let text = table(&record);
        let line = |what: &str| text.lines().find(|line| line.contains(what)).unwrap().to_owned();
        assert!(
            line("against those of 100,000").ends_with("| at most 1.30 times | 1.50 times | **not met** |")
        );
        assert!(line("while all are listed").ends_with("| at most 50 ms | 49 ms | met |"));
        assert!(line("while all CHILD_SAs are rekeyed").ends_with("| 51 ms | **not met** |"));
        assert!(line("while the liveness").ends_with("| – | not measured |"), "vici was not asked");
    }

    /// A record from before memory was told apart.
    #[test]
    fn what_a_process_shares_is_not_taken_for_its_own() {
        let mut record = crate::record::tests::example();
        let mut add = |metric: &str, value: f64| {
            let (kind, metric) = (Cygnet, metric.to_owned());
            record.samples.push(crate::record::Sample { kind, metric, round: 1, value });
        };
        add("ike 1000 KB", 12.0);
        add("ike 10000 KB", 4.8);
        add("ike 10000 own KB", 3.9);
        add("pool returning leases/s", 800_000.0);
        let text = table(&record);
        let line = |what: &str| text.lines().find(|line| line.contains(what)).unwrap().to_owned();
        assert!(line("CHILD_SA takes, of 1,000 |").ends_with("| – | not measured |"));
        assert!(line("CHILD_SA takes, of 10,000 |").ends_with("| at most 4 KB | 3.90 KB | met |"));
        assert!(line("of a client that returns").ends_with("| – | not measured |"), "it was another figure");
    }

    #[test]
    fn the_best_peer_counts_and_all_must_be_there() {
        assert_eq!(greatest([Some(0.5), Some(0.9)]), Some(0.9));
        assert_eq!(greatest([Some(0.5), None]), None);
    }
}
