//! Runs shell commands of the configuration and reads what they print.
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{ChildStdout, Command};
use tokio::time::Instant;

/// Longest line taken from a script; more is cut.
const LONGEST_LINE: u64 = 4096;
/// Lines taken from one run; more are read and dropped.
const MOST_LINES: usize = 1000;
/// How long what a script left in the background may go on writing to the log.
const LINGER: Duration = Duration::from_secs(2);

/// Why a script did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScriptError {
    /// It did not start.
    #[error("could not be started: {0}")]
    Start(#[source] std::io::Error),
    /// It ran too long and was killed, with all it had started.
    #[error("killed after {} seconds, with what it had started", .0.as_secs())]
    Late(Duration),
    /// It says so, or something ended it.
    #[error("failed ({0})")]
    Failed(ExitStatus),
    /// What it started holds its output open.
    #[error(
        "ended, but what it left in the background still wrote to its output, and was killed; redirect that, \
         as in 'command >/dev/null 2>&1 &'"
    )]
    Forked,
}

/// Ends a script's process group, unless it ended by itself.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0.take() {
            linux::process::kill_group(leader);
        }
    }
}

/// Runs `command` by the shell with only `environment` and PATH set; every line it prints goes to `line`.
///
/// It gets a process group of its own, which is killed when it runs for longer than `limit`, when something in it
/// holds the output open after the shell's end, or when this future is dropped. What the script put into the
/// background with its output elsewhere stays.
pub(crate) async fn run(
    command: &str,
    environment: &[(String, String)],
    limit: Duration,
    mut line: impl FnMut(&str),
) -> Result<(), ScriptError> {
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        // Both streams are one, in the order they were written.
        .arg(format!("exec 2>&1\n{command}"))
        .env_clear()
        .env("PATH", path)
        .envs(environment.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(ScriptError::Start)?;
    let mut group = Group(child.id());
    let out = child.stdout.take();
    let mut reading = pin!(read(out, &mut line));
    let mut read_all = false;
    let end = Instant::now() + limit;
    let status = loop {
        tokio::select! {
            () = &mut reading, if !read_all => read_all = true,
            status = child.wait() => break status.map_err(ScriptError::Start)?,
            () = tokio::time::sleep_until(end) => {
                drop(group);
                // Killed, it ends at once, but is there until somebody has asked how it ended.
                let _ended = tokio::time::timeout(LINGER, child.wait()).await;
                return Err(ScriptError::Late(limit));
            }
        }
    };
    if !read_all && tokio::time::timeout(LINGER, reading).await.is_err() {
        return Err(ScriptError::Forked);
    }
    group.0 = None;
    if status.success() { Ok(()) } else { Err(ScriptError::Failed(status)) }
}

async fn read(out: Option<ChildStdout>, line: &mut impl FnMut(&str)) {
    let Some(out) = out else { return };
    let mut out = BufReader::new(out);
    let mut lines = 0usize;
    loop {
        let mut buffer = Vec::new();
        match (&mut out).take(LONGEST_LINE).read_until(b'\n', &mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        lines = lines.saturating_add(1);
        if lines <= MOST_LINES {
            line(String::from_utf8_lossy(&buffer).trim_end_matches('\n'));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn output_and_environment() {
        let mut lines = Vec::new();
        let environment = [("PLUTO_VERB".to_owned(), "up-client".to_owned())];
        block(run("echo $PLUTO_VERB; echo err >&2", &environment, Duration::from_secs(10), |line| {
            lines.push(line.to_owned());
        }))
        .unwrap();
        assert_eq!(lines, ["up-client", "err"]);
    }

    #[test]
    fn one_that_does_not_end_is_killed() {
        let late = block(run("exec sleep 1000", &[], Duration::from_millis(50), |_| {}));
        assert!(matches!(late, Err(ScriptError::Late(_))));
    }

    /// Whether a process group has anybody in it who still runs: whoever has ended stays listed until its parent,
    /// which may be any process by then, takes note of it.
    fn alive(group: &str) -> bool {
        std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // PID (NAME) STATE PARENT GROUP …; the name may be anything.
            let mut words = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
            words.next().is_some_and(|state| state != "Z" && state != "X") && words.nth(1) == Some(group)
        })
    }

    fn gone(group: &str) -> bool {
        let end = std::time::Instant::now() + Duration::from_secs(10);
        while alive(group) && std::time::Instant::now() < end {
            std::thread::yield_now();
        }
        !alive(group)
    }

    #[test]
    fn what_it_started_ends_with_it() {
        let mut group = String::new();
        let late = block(run("echo $$; sleep 1000 & sleep 1000", &[], Duration::from_millis(300), |line| {
            group = line.to_owned();
        }));
        assert!(matches!(late, Err(ScriptError::Late(_))), "{late:?}");
        assert!(!group.is_empty() && gone(&group));
    }

    #[test]
    fn output_held_open_is_an_error_and_the_background_without_is_not() {
        let mut group = String::new();
        let forked = block(run("echo $$; sleep 1000 &", &[], Duration::from_secs(60), |line| {
            group = line.to_owned();
        }));
        assert!(matches!(forked, Err(ScriptError::Forked)), "{forked:?}");
        assert!(gone(&group));
        let quiet = "echo $$; sleep 1000 >/dev/null 2>&1 &";
        block(run(quiet, &[], Duration::from_secs(60), |line| group = line.to_owned())).unwrap();
        assert!(alive(&group));
        linux::process::kill_group(group.parse().unwrap());
    }

    #[test]
    fn failures_are_told() {
        let failed = block(run("exit 3", &[], Duration::from_secs(10), |_| {})).unwrap_err();
        assert_eq!(failed.to_string(), "failed (exit status: 3)");
        let missing = block(run("/nonexistent/updown", &[], Duration::from_secs(10), |_| {})).unwrap_err();
        assert_eq!(missing.to_string(), "failed (exit status: 127)");
    }
}
