//! Runs shell commands of the configuration and reads what they print.
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

/// Longest line taken from a script; more is cut.
const LONGEST_LINE: u64 = 4096;
/// Lines taken from one run; more are read and dropped.
const MOST_LINES: usize = 1000;

/// Why a script did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScriptError {
    /// It did not start.
    #[error("could not be started: {0}")]
    Start(#[source] std::io::Error),
    /// It ran too long and was killed.
    #[error("killed after {} seconds", .0.as_secs())]
    Late(Duration),
}

/// Runs `command` by the shell with only `environment` and PATH set; every line it prints goes to `line`.
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
        .kill_on_drop(true)
        .spawn()
        .map_err(ScriptError::Start)?;
    let work = async {
        if let Some(out) = child.stdout.take() {
            let mut out = BufReader::new(out);
            let mut lines = 0usize;
            loop {
                let mut buffer = Vec::new();
                match (&mut out).take(LONGEST_LINE).read_until(b'\n', &mut buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                }
                lines = lines.saturating_add(1);
                if lines <= MOST_LINES {
                    line(String::from_utf8_lossy(&buffer).trim_end_matches('\n'));
                }
            }
        }
        let _status = child.wait().await;
    };
    tokio::time::timeout(limit, work).await.map_err(|_| ScriptError::Late(limit))
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
}
