//! `trace`, a command of ours: what becomes of a packet to an address, on this host.
use super::{Desk, refused};
use crate::asks::plane::trace::{Question, Trace};
use config::schema::values::number;
use config::tree::Section;
use ike::io::Filter;
use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;
use vici::Message;

/// The message: `destination`, and optionally `source`, `input` (an interface), `protocol` (a number or `tcp`, `udp`,
/// `icmp`, `icmpv6`, `gre`), `sport`, `dport`, `mark`. The answer: `success`, `verdict`, `reason`, `hint`, the names
/// of connection and child, and `steps`, numbered sections with `what` and `text`.
pub(super) async fn trace(desk: &Desk, message: &Section) -> Section {
    let traced = match question(message) {
        Ok(question) => desk.plane.trace(question).await,
        Err(why) => Err(why),
    };
    match traced {
        Ok(trace) => {
            let names = names(desk, &trace).await;
            answer(&trace, names)
        }
        Err(why) => refused(why),
    }
}

fn question(message: &Section) -> Result<Question, String> {
    let text = |key: &str| message.text(key).map(str::trim).filter(|text| !text.is_empty());
    let destination =
        parsed::<IpAddr>("destination", text("destination"))?.ok_or("a destination address is needed")?;
    let source = parsed::<IpAddr>("source", text("source"))?;
    if source.is_some_and(|source| source.is_ipv4() != destination.is_ipv4()) {
        return Err("source and destination are of different families".to_owned());
    }
    let ports = match (parsed("sport", text("sport"))?, parsed("dport", text("dport"))?) {
        (None, None) => None,
        (source, destination) => Some((source.unwrap_or(0), destination.unwrap_or(0))),
    };
    let protocol = text("protocol").map(protocol).transpose()?.unwrap_or(0);
    if ports.is_some() && protocol == 0 {
        return Err("ports are those of a protocol: say which".to_owned());
    }
    let mark = text("mark").map(number).transpose().map_err(|e| format!("mark {e}"))?.unwrap_or(0);
    let input = text("input").map(str::to_owned);
    if input.is_some() && source.is_none() {
        return Err("a packet that comes in has a source: say which".to_owned());
    }
    Ok(Question { destination, source, input, protocol, ports, mark })
}

fn parsed<T: FromStr>(key: &str, text: Option<&str>) -> Result<Option<T>, String>
where
    T::Err: Display,
{
    text.map(|text| text.parse().map_err(|e| format!("{key} '{text}': {e}"))).transpose()
}

fn protocol(text: &str) -> Result<u8, String> {
    Ok(match text {
        "icmp" => 1,
        "tcp" => 6,
        "udp" => 17,
        "gre" => 47,
        "icmpv6" | "ipv6-icmp" => 58,
        number => number.parse().map_err(|_| format!("protocol '{number}' is neither known nor a number"))?,
    })
}

/// Connection and child that seal it or would come up, the child as the log calls it.
async fn names(desk: &Desk, trace: &Trace) -> Option<(String, String)> {
    if let Some(id) = trace.child {
        let filter = Filter { child_id: Some(id), ..Filter::default() };
        return desk.shard.list(filter).await.iter().find_map(|sa| {
            let child = sa.children.iter().find(|child| child.sa.id == id)?;
            Some((sa.name.clone(), format!("{}{{{id}}}", child.sa.config.name)))
        });
    }
    let trap = trace.trap?;
    let all = desk.shard.policies().await;
    let found = all.iter().find(|policy| policy.id == trap)?;
    Some((found.connection.clone(), found.config.name.clone()))
}

fn answer(trace: &Trace, names: Option<(String, String)>) -> Section {
    let mut out = Section::default();
    out.put_bool("success", true);
    out.put("verdict", trace.verdict.word());
    out.put("reason", trace.why.as_str());
    if let Some(hint) = &trace.hint {
        out.put("hint", hint.as_str());
    }
    if let Some((connection, child)) = names {
        out.put("connection", connection);
        out.put("child", child);
    }
    let mut steps = Section::default();
    for (number, (what, text)) in trace.steps.iter().enumerate() {
        let mut step = Section::default();
        step.put("what", *what);
        step.put("text", text.as_str());
        steps.put_section(&number.to_string(), step);
    }
    out.put_section("steps", steps);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Result<Question, String> {
        let mut message = Section::default();
        for (key, value) in pairs {
            message.put(key, *value);
        }
        question(&message)
    }

    #[test]
    fn a_question_is_understood_or_its_fault_named() {
        let whole = asked(&[
            ("destination", "10.2.0.1"),
            ("source", "10.1.0.1"),
            ("input", "lan"),
            ("protocol", "tcp"),
            ("dport", "80"),
            ("mark", "0x2a"),
        ])
        .unwrap();
        assert_eq!((whole.protocol, whole.ports, whole.mark), (6, Some((0, 80)), 42));
        assert_eq!(whole.input.as_deref(), Some("lan"));
        for (pairs, word) in [
            (&[][..], "destination"),
            (&[("destination", "home")], "home"),
            (&[("destination", "10.2.0.1"), ("source", "fd00::1")], "families"),
            (&[("destination", "10.2.0.1"), ("dport", "80")], "protocol"),
            (&[("destination", "10.2.0.1"), ("protocol", "tcq")], "tcq"),
            (&[("destination", "10.2.0.1"), ("protocol", "tcp"), ("dport", "65536")], "dport"),
            (&[("destination", "10.2.0.1"), ("mark", "red")], "red"),
            (&[("destination", "10.2.0.1"), ("input", "lan")], "source"),
        ] {
            let why = asked(pairs).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }
}
