//! What came of it.
use crate::out::{self, put, say};
use loadtest::tally::{Reasons, Times};
use loadtest::{Ended, Plan};
use serde_json::{Value, json};

/// The percentiles shown.
const PERCENTS: [(&str, f64); 4] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)];

pub(super) struct Report<'a> {
    plan: &'a Plan,
    ended: &'a Ended,
}

impl<'a> Report<'a> {
    pub(super) fn new(plan: &'a Plan, ended: &'a Ended) -> Self {
        Self { plan, ended }
    }

    /// Something did not work.
    pub(super) fn is_bad(&self) -> bool {
        let t = &self.ended.tally;
        t.failed > 0 || t.lost > 0 || t.up > 0
    }

    fn rate(&self) -> f64 {
        let time = self.ended.setting_up.as_secs_f64();
        if time > 0.0 { self.ended.tally.established as f64 / time } else { 0.0 }
    }

    fn packets_lost(&self) -> u64 {
        let packets = &self.ended.tally.packets;
        packets.sent.saturating_sub(packets.received)
    }

    fn times(&self) -> Vec<(&'static str, &'static str, &Times)> {
        let t = &self.ended.tally;
        vec![
            ("setup", "set-up", &t.setup),
            ("ike_sa_init", "  IKE_SA_INIT of it", &t.init),
            ("rekey_ike", "IKE_SA rekeyed", &t.rekey_ike),
            ("rekey_child", "CHILD_SA rekeyed", &t.rekey_child),
            ("dpd", "liveness check", &t.dpd),
            ("goodbye", "goodbye", &t.goodbye),
            ("packet", "packet and answer", &t.packets.round_trip),
        ]
    }

    pub(super) fn text(&self) {
        let (t, plan) = (&self.ended.tally, self.plan);
        say!(
            "{} of {} set-ups in {}, {:.0} per second; {} failed, {} lost, {} given up; the whole run took {}",
            out::count(t.established),
            out::count(t.begun),
            tenths(self.ended.setting_up),
            self.rate(),
            out::count(t.failed),
            out::count(t.lost),
            out::count(t.abandoned),
            tenths(self.ended.elapsed),
        );
        let repeated = if t.requests > 0 { t.retransmits as f64 * 100.0 / t.requests as f64 } else { 0.0 };
        say!(
            "{} IKE requests, {} repetitions ({repeated:.2} %); {} cookies demanded, {} times another key exchange; {} datagrams not taken by the system",
            out::count(t.requests),
            out::count(t.retransmits),
            out::count(t.cookies),
            out::count(t.other_ke),
            out::count(t.unsent),
        );
        let packets = &t.packets;
        if packets.sent > 0 {
            say!(
                "{} packets sent, {} answered, {} lost ({:.3} %); {} not taken by the system, {} refused on arrival, {} of others",
                out::count(packets.sent),
                out::count(packets.received),
                out::count(self.packets_lost()),
                self.packets_lost() as f64 * 100.0 / packets.sent as f64,
                out::count(packets.unsent),
                out::count(packets.refused.saturating_add(packets.strange)),
                out::count(packets.other),
            );
        }
        if t.up > 0 {
            say!("{} clients could not say goodbye: the gateway was silent", out::count(t.up));
        }
        let shown: Vec<_> = self.times().into_iter().filter(|(_, _, times)| times.count() > 0).collect();
        if !shown.is_empty() {
            say!("");
            let heads: String = PERCENTS.iter().map(|(name, _)| format!("{name:>10}")).collect();
            say!("{:<20}{:>10}{heads}{:>10}", "", "count", "max");
            for (_, name, times) in shown {
                let values: String =
                    PERCENTS.iter().map(|(_, p)| format!("{:>10}", micros(times.at(*p)))).collect();
                say!("{name:<20}{:>10}{values}{:>10}", out::count(times.count()), micros(times.max()));
            }
        }
        for (title, reasons) in [("Failed", &t.failures), ("Lost", &t.losses)] {
            if reasons.is_empty() {
                continue;
            }
            say!("");
            say!("{title}:");
            for (reason, n) in sorted(reasons) {
                say!("  {:>9}  {}", out::count(n), out::clean(&reason.to_string()));
                say!("             {}", reason.advice());
            }
        }
        if t.established > 0 && t.failed == 0 && t.begun < u64::from(plan.clients) {
            say!("");
            say!("It was ended before all clients were there.");
        }
    }

    pub(super) fn json(&self) {
        let (t, plan) = (&self.ended.tally, self.plan);
        let times: serde_json::Map<String, Value> =
            self.times().into_iter().map(|(key, _, times)| (key.to_owned(), latency(times))).collect();
        put!(
            "{:#}",
            json!({
                "schema": "cygnet.load-test/1",
                "gateway": plan.gateway.to_string(),
                "clients": plan.clients,
                "rate_wanted": plan.rate,
                "seconds": self.ended.elapsed.as_secs_f64(),
                "seconds_setting_up": self.ended.setting_up.as_secs_f64(),
                "stopped": self.ended.stopped,
                "setups": {
                    "begun": t.begun,
                    "established": t.established,
                    "failed": t.failed,
                    "abandoned": t.abandoned,
                    "per_second": self.rate(),
                },
                "lost": t.lost,
                "left": t.left,
                "without_goodbye": t.up,
                "requests": t.requests,
                "retransmits": t.retransmits,
                "unsent": t.unsent,
                "cookies": t.cookies,
                "other_key_exchange": t.other_ke,
                "rekeys": { "ike": t.ike_rekeys, "child": t.child_rekeys },
                "packets": {
                    "sent": t.packets.sent,
                    "received": t.packets.received,
                    "lost": self.packets_lost(),
                    "unsent": t.packets.unsent,
                    "refused": t.packets.refused.saturating_add(t.packets.strange),
                    "other": t.packets.other,
                },
                "latency_us": times,
                "failures": reasons(&t.failures),
                "losses": reasons(&t.losses),
            })
        );
    }
}

fn latency(times: &Times) -> Value {
    json!({
        "count": times.count(),
        "mean": times.mean(),
        "p50": times.at(50.0),
        "p90": times.at(90.0),
        "p99": times.at(99.0),
        "p99_9": times.at(99.9),
        "max": times.max(),
    })
}

fn reasons(reasons: &Reasons) -> Value {
    let one = |(reason, n): (&loadtest::Reason, u64)| {
        json!({
            "reason": reason.key(),
            "text": reason.to_string(),
            "count": n,
            "advice": reason.advice(),
        })
    };
    Value::Array(sorted(reasons).into_iter().map(one).collect())
}

/// The most frequent first.
fn sorted(reasons: &Reasons) -> Vec<(&loadtest::Reason, u64)> {
    let mut list: Vec<_> = reasons.iter().map(|(reason, n)| (reason, *n)).collect();
    list.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    list
}

/// A short time with a unit.
pub(super) fn micros(us: u64) -> String {
    match us {
        0 => "-".to_owned(),
        1..1_000 => format!("{us} us"),
        1_000..100_000 => format!("{:.1} ms", us as f64 / 1e3),
        100_000..1_000_000 => format!("{:.0} ms", us as f64 / 1e3),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

fn tenths(time: std::time::Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
