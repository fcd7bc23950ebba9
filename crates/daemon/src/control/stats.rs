//! What the daemon is and how it does.
use super::{Desk, refused};
use config::tree::Section;
use jiff::Zoned;
use vici::Message;

/// When the daemon started.
#[derive(Debug, Clone)]
pub(crate) struct Started {
    /// Monotonic milliseconds.
    pub(crate) mono: u64,
    pub(crate) wall: Zoned,
}

/// Name and version that `version` reports.
const NAME: &str = "cygnetd";

/// `version`
pub(crate) fn version() -> Section {
    let mut out = Section::default();
    out.put("daemon", NAME);
    out.put("version", env!("CARGO_PKG_VERSION"));
    for (key, file) in [("sysname", "ostype"), ("release", "osrelease")] {
        let text = std::fs::read_to_string(format!("/proc/sys/kernel/{file}")).unwrap_or_default();
        out.put(key, text.trim());
    }
    out.put("machine", std::env::consts::ARCH);
    out
}

/// `stats`. We have no thread pool as charon has: workers are the runtime's threads, queued jobs what waits for
/// the engine.
pub(crate) async fn stats(desk: &Desk) -> Section {
    let mut uptime = Section::default();
    let running = linux::clock::monotonic_ms().saturating_sub(desk.started.mono) / 1000;
    uptime.put("running", span(running));
    let since = jiff::fmt::strtime::format("%b %d %H:%M:%S %Y", &desk.started.wall).unwrap_or_default();
    uptime.put("since", since);

    let metrics = tokio::runtime::Handle::current().metrics();
    let total = metrics.num_workers();
    let mut active = Section::default();
    active.put("critical", 0);
    active.put("high", 0);
    // The one that answers this is at work.
    active.put("medium", 1);
    active.put("low", 0);
    let mut workers = Section::default();
    workers.put("total", total);
    workers.put("idle", total.saturating_sub(1));
    workers.put_section("active", active);

    let mut queues = Section::default();
    for (key, length) in [("critical", 0), ("high", 0), ("medium", desk.shard.backlog()), ("low", 0)] {
        queues.put(key, length);
    }
    let counts = desk.shard.counts().await;
    let mut ikesas = Section::default();
    ikesas.put("total", counts.total);
    ikesas.put("half-open", counts.half_open);

    let mut out = Section::default();
    out.put_section("uptime", uptime);
    out.put_section("workers", workers);
    out.put_section("queues", queues);
    out.put("scheduled", counts.total);
    out.put_section("ikesas", ikesas);
    // What charon has as plugins is built in; these are the parts an operator may ask about.
    let mut parts = vec!["cygnetd", "aws-lc", "rustcrypto", "vici", "updown", "attr", "resolve", "counters"];
    parts.extend(desk.plane_name.as_deref());
    out.put_list("plugins", parts);
    let mut lost = Section::default();
    lost.put("datagrams", desk.sockets.dropped());
    lost.put("refused", desk.sockets.refused());
    lost.put("events", desk.observers.clients.dropped());
    out.put_section("dropped", lost);
    let gauges = desk.shard.gauges();
    let mut engine = Section::default();
    engine.put("longest-turn-us", gauges.longest());
    engine.put("largest-page", gauges.largest_page());
    out.put_section("engine", engine);
    out
}

/// `get-algorithms`
pub(crate) fn algorithms() -> Section {
    let mut out = Section::default();
    for (kind, algorithms) in crypto::table::listing() {
        let mut section = Section::default();
        for (name, provider) in algorithms {
            section.put(name, provider);
        }
        out.put_section(kind, section);
    }
    out
}

/// `get-counters`
pub(crate) fn counters(desk: &Desk, message: &Section) -> Section {
    let name = message.text("name").filter(|name| !name.is_empty());
    match desk.observers.counters.list(name, message.is_yes("all")) {
        Ok(counters) => {
            let mut out = Section::default();
            out.put_section("counters", counters);
            out.put_bool("success", true);
            out
        }
        Err(_) => {
            let mut out = Section::default();
            out.put_section("counters", Section::default());
            out.entries.extend(refused("no counters found for this connection").entries);
            out
        }
    }
}

/// `reset-counters`
pub(crate) fn reset_counters(desk: &Desk, message: &Section) -> Section {
    let name = message.text("name").filter(|name| !name.is_empty());
    desk.observers.counters.reset(name, message.is_yes("all"));
    super::done(Ok(()))
}

/// A time span in charon's words: the largest unit that counts at least two.
fn span(seconds: u64) -> String {
    let (value, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    if value == 1 { format!("{value} {unit}") } else { format!("{value} {unit}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_as_charon_prints_them() {
        assert_eq!(span(1), "1 second");
        assert_eq!(span(22), "22 seconds");
        assert_eq!(span(3600), "60 minutes");
        assert_eq!(span(200_000), "2 days");
    }
}
