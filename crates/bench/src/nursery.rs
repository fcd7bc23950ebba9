//! The processes of a run, so that none outlives it: each is asked to end, then killed; and the kernel kills all when
//! we die ourselves.
use anyhow::{Context as _, Result, bail};
use linux::netns::Namespace;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a process may take to end when asked.
const END: Duration = Duration::from_secs(10);

/// All processes started and not yet ended.
#[derive(Clone, Default)]
pub(crate) struct Nursery(Arc<Mutex<Vec<Child>>>);

/// A process in a namespace, ended when dropped.
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) name: String,
    output: PathBuf,
    errors: PathBuf,
    directory: TempDir,
    nursery: Nursery,
}

impl Nursery {
    /// Starts a program in a namespace; `private` directories are fresh and empty for it. `directory` lives as long
    /// as the process and takes what it writes.
    pub(crate) fn start(
        &self,
        place: &Namespace,
        name: &str,
        directory: TempDir,
        mut command: Command,
        private: &[&Path],
    ) -> Result<Process> {
        let (output, errors) = (directory.path().join("out"), directory.path().join("err"));
        command
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(File::create(&errors)?)
            // Ctrl-C is for us, who then end all in order
            .process_group(0);
        place.confine(&mut command, private)?;
        linux::process::end_with_us(&mut command);
        let child = command
            .spawn()
            .with_context(|| format!("starting {name} ({})", command.get_program().to_string_lossy()))?;
        let pid = child.id();
        self.children().push(child);
        Ok(Process { pid, name: name.to_owned(), output, errors, directory, nursery: self.clone() })
    }

    /// Runs a program in a namespace to its end, at most `limit`; what it printed. Another exit status than 0 is an
    /// error with what it said.
    pub(crate) fn run(
        &self,
        place: &Namespace,
        name: &str,
        command: Command,
        limit: Duration,
    ) -> Result<String> {
        let process = self.start(place, name, scratch()?, command, &[])?;
        let deadline = Instant::now() + limit;
        loop {
            match process.ended() {
                Some(true) => return process.said(),
                Some(false) => bail!("{name} failed: {}", process.last_words()),
                None if Instant::now() > deadline => {
                    bail!("{name} did not end within {} s: {}", limit.as_secs(), process.last_words())
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Ends all.
    pub(crate) fn end_all(&self) {
        let mut children = std::mem::take(&mut *self.children());
        end(&mut children);
    }

    fn children(&self) -> std::sync::MutexGuard<'_, Vec<Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// `Some` when it ended: whether with status 0.
    pub(crate) fn ended(&self) -> Option<bool> {
        let mut children = self.nursery.children();
        // one that is not there was ended by `end_all`
        let Some(child) = children.iter_mut().find(|child| child.id() == self.pid) else {
            return Some(false);
        };
        child.try_wait().ok().flatten().map(|status| status.success())
    }

    /// What it wrote to its standard output so far.
    pub(crate) fn said(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(&self.output)?).into_owned())
    }

    /// The end of what it wrote to either output, in one line.
    pub(crate) fn last_words(&self) -> String {
        let mut words = Vec::new();
        for file in [&self.output, &self.errors] {
            let text = std::fs::read(file).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            words.extend(lines.iter().rev().take(12).rev().map(|line| (*line).to_owned()));
        }
        if words.is_empty() { "it said nothing".to_owned() } else { words.join(" / ") }
    }

    /// Ends it at once, where nothing depends on how it goes.
    pub(crate) fn kill(self) {
        linux::process::kill_group(self.pid);
    }

    /// Where its files are.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Waits until `ready`; fails when the process ends before, or after `limit`.
    pub(crate) fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !ready() {
            if self.ended().is_some() {
                bail!("{} ended before {what}: {}", self.name, self.last_words());
            }
            if Instant::now() > deadline {
                bail!("{}: no {what} within {} s: {}", self.name, limit.as_secs(), self.last_words());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut mine: Vec<Child> = {
            let mut children = self.nursery.children();
            children.extract_if(.., |child| child.id() == self.pid).collect()
        };
        end(&mut mine);
    }
}

/// Asks, waits, kills.
fn end(children: &mut [Child]) {
    for child in children.iter_mut() {
        if matches!(child.try_wait(), Ok(None)) {
            linux::process::terminate(child.id());
        }
    }
    let deadline = Instant::now() + END;
    for child in children {
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        if matches!(child.try_wait(), Ok(None)) {
            // it may have started others
            linux::process::kill_group(child.id());
            drop(child.wait());
        }
    }
}

/// A directory that goes when dropped.
pub(crate) fn scratch() -> Result<TempDir> {
    tempfile::Builder::new().prefix("cygnet-bench-").tempdir().context("a directory for files of this run")
}
