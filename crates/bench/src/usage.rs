//! What processes have used: processor time, memory, switches; read from `/proc`.
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;

/// Clock ticks per second in `/proc`: the same on every architecture that Linux runs on.
const TICKS: f64 = 100.0;

/// User and system time of a process and of all its threads, seconds; to 10 ms.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let text = read(&format!("/proc/{pid}/stat"))?;
    parse_stat(&text).with_context(|| format!("/proc/{pid}/stat: {text}"))
}

/// The name stands in brackets and may hold anything; `utime` and `stime` are the 12th and 13th field after it.
fn parse_stat(text: &str) -> Option<f64> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS)
}

/// Memory of a process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Memory {
    /// Resident, bytes: with pages shared with others.
    pub(crate) resident: f64,
    /// Anonymous, bytes: what it alone has written. (Pages of a program file that was written a moment ago count as private
    /// and dirty, too, until they are on the disc.)
    pub(crate) own: f64,
}

/// Memory of a process now.
pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let text = read(&format!("/proc/{pid}/smaps_rollup"))?;
    parse_rollup(&text).with_context(|| format!("/proc/{pid}/smaps_rollup: {text}"))
}

fn parse_rollup(text: &str) -> Option<Memory> {
    let field = |name: &str| -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: f64 = line.split_ascii_whitespace().next()?.parse().ok()?;
        Some(kilobytes * 1024.0)
    };
    Some(Memory { resident: field("Rss:")?, own: field("Anonymous:")? })
}

/// Context switches of each thread that lives.
pub(crate) type Switches = BTreeMap<u32, u64>;

/// Context switches until now.
pub(crate) fn switches(pid: u32) -> Result<Switches> {
    let mut all = Switches::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?;
        let thread = task.file_name().to_string_lossy().parse()?;
        // A thread may end while it is looked at.
        let Ok(text) = std::fs::read_to_string(task.path().join("status")) else { continue };
        for line in text.lines().filter(|line| line.contains("ctxt_switches:")) {
            let count = line.split_ascii_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok());
            *all.entry(thread).or_default() += count.with_context(|| format!("/proc/{pid}: {line}"))?;
        }
    }
    Ok(all)
}

/// Switches between two looks. What a thread did that has ended since is not known.
pub(crate) fn switched(before: &Switches, after: &Switches) -> u64 {
    let of = |(thread, count): (&u32, &u64)| count.saturating_sub(before.get(thread).copied().unwrap_or(0));
    after.iter().map(of).sum()
}

/// Share of the processors' time that is used by anybody, measured over a moment: 0 to 1.
pub(crate) fn busy(over: std::time::Duration) -> Result<f64> {
    let (idle, all) = processors()?;
    std::thread::sleep(over);
    let (idle_then, all_then) = processors()?;
    Ok((1.0 - (idle_then - idle) / (all_then - all).max(1.0)).clamp(0.0, 1.0))
}

fn processors() -> Result<(f64, f64)> {
    let text = read("/proc/stat")?;
    parse_processors(&text).context("/proc/stat has no line of all processors")
}

/// Idle and all ticks. Guests' time is counted in user's already; waiting for discs is idle.
fn parse_processors(text: &str) -> Option<(f64, f64)> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<f64> = line.split_ascii_whitespace().take(8).filter_map(|n| n.parse().ok()).collect();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some((idle, ticks.iter().sum()))
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_confuse() {
        let text = "77 (a) S b) S 1 77 77 0 -1 4194560 111 0 0 0 250 50 0 0 20 0 9 0 3000 9 9";
        assert_eq!(parse_stat(text), Some(3.0));
        assert_eq!(parse_stat("77 (a) S 1"), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        let text = "00400000-7fff [rollup]\nRss:   1000 kB\nPss:  900 kB\nPrivate_Clean: 5 kB\nPrivate_Dirty: 600 kB\nAnonymous:  300 kB\n";
        let memory = parse_rollup(text);
        assert_eq!(memory, Some(Memory { resident: 1_024_000.0, own: 307_200.0 }));
        assert_eq!(parse_rollup("Rss: 5 kB"), None);
    }

    #[test]
    fn processors_are_idle_while_they_wait() {
        assert_eq!(parse_processors("cpu  10 0 10 70 10 0 0 0 5 0\ncpu0 1"), Some((80.0, 100.0)));
    }

    #[test]
    fn our_own_usage_can_be_read() {
        let us = std::process::id();
        assert!(memory(us).unwrap().resident > 100_000.0);
        assert!(cpu_seconds(us).unwrap() >= 0.0);
        assert!(switches(us).unwrap().values().sum::<u64>() > 0);
    }

    #[test]
    fn a_thread_that_ends_takes_nothing_away() {
        let before = Switches::from([(1, 10), (2, 1_000)]);
        assert_eq!(switched(&before, &Switches::from([(1, 13), (3, 4)])), 7);
    }
}
