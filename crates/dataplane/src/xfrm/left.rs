//! What we have installed, in a file, for the time after a crash: SAs and policies outlive the process that made them.
//!
//! The file is a journal: a line for everything that comes, written before it is installed, and one for everything
//! that goes, written after. It is begun anew when most of it is history. At the next start what it still names is
//! removed, if it is still ours: an SA with the same ends and reqid, a policy with the same priority and action.
use linux::xfrm::{Action, Compression, Policy, PolicyId, StateId, Template, Xfrm};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Lines of history that are kept in any case.
const HISTORY: usize = 1000;

/// Something the kernel has of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Thing {
    State { id: StateId, source: IpAddr, reqid: u32 },
    Policy(Policy),
}

/// What it is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Name {
    State(StateId),
    Policy(PolicyId),
}

impl Thing {
    fn name(&self) -> Name {
        match self {
            Self::State { id, .. } => Name::State(*id),
            Self::Policy(policy) => Name::Policy(policy.id),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
enum Line {
    Comes(Thing),
    Goes(Name),
}

/// The journal. Without a file it does nothing.
#[derive(Debug)]
pub(super) struct Left {
    path: Option<PathBuf>,
    file: Option<File>,
    there: BTreeMap<Name, Thing>,
    lines: usize,
}

impl Left {
    /// Opens the journal and removes what a predecessor left. How many things that were.
    pub(super) fn open(path: Option<&Path>, xfrm: &mut Xfrm) -> (Self, usize) {
        let left = Self { path: path.map(Path::to_owned), file: None, there: BTreeMap::new(), lines: 0 };
        let mut removed = 0usize;
        for thing in path.map(read).unwrap_or_default().into_values() {
            match remove(&thing, xfrm) {
                Ok(true) => removed = removed.saturating_add(1),
                Ok(false) => {}
                Err(e) => tracing::warn!("cleaning up: {e}"),
            }
        }
        if let Some(path) = path
            && let Err(e) = gone(path)
        {
            tracing::warn!("{}: {e}", path.display());
        }
        (left.begin(), removed)
    }

    fn begin(mut self) -> Self {
        if let Err(e) = self.rewrite() {
            tracing::warn!("what is installed cannot be written down: {e}; nothing is undone after a crash");
            self.path = None;
        }
        self
    }

    /// It will be installed.
    pub(super) fn comes(&mut self, thing: Thing) {
        self.there.insert(thing.name(), thing);
        self.write(&Line::Comes(thing));
    }

    /// It is gone.
    pub(super) fn goes(&mut self, name: Name) {
        if self.there.remove(&name).is_some() {
            self.write(&Line::Goes(name));
        }
    }

    fn write(&mut self, line: &Line) {
        let written = match &mut self.file {
            None => return,
            Some(_) if self.lines > HISTORY.saturating_add(self.there.len().saturating_mul(2)) => {
                self.rewrite()
            }
            Some(file) => {
                self.lines = self.lines.saturating_add(1);
                put(file, line)
            }
        };
        if let Err(e) = written {
            tracing::warn!("writing down what is installed: {e}");
        }
    }

    /// Only what is there now, beside the old file and then in its place.
    fn rewrite(&mut self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let beside = path.with_extension("new");
        let mut file = File::create(&beside)?;
        let mut all = Vec::new();
        for thing in self.there.values() {
            serde_json::to_writer(&mut all, &Line::Comes(*thing))?;
            all.push(b'\n');
        }
        file.write_all(&all)?;
        fs::rename(&beside, path)?;
        self.lines = self.there.len();
        self.file = Some(file);
        Ok(())
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        if let (Some(path), true) = (&self.path, self.there.is_empty()) {
            let _nothing_left = gone(path);
        }
    }
}

fn put(file: &mut File, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    file.write_all(&text)
}

fn gone(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// What was there when the journal ended. A last line that was cut off is not taken.
fn read(path: &Path) -> BTreeMap<Name, Thing> {
    let mut there = BTreeMap::new();
    for line in fs::read_to_string(path).unwrap_or_default().lines() {
        match serde_json::from_str(line) {
            Ok(Line::Comes(thing)) => {
                there.insert(thing.name(), thing);
            }
            Ok(Line::Goes(name)) => {
                there.remove(&name);
            }
            Err(e) => tracing::warn!("{}: a line that cannot be read: {e}", path.display()),
        }
    }
    there
}

/// Removes it if it is there and ours.
fn remove(thing: &Thing, xfrm: &mut Xfrm) -> linux::Result<bool> {
    match thing {
        Thing::State { id, source, reqid } => match xfrm.state_use(id) {
            Ok(found) if (found.source, found.reqid) == (*source, *reqid) => xfrm.delete_state(id),
            Ok(_) => Ok(false),
            Err(e) if e.errno() == Some(ESRCH) => Ok(false),
            Err(e) => Err(e),
        },
        Thing::Policy(policy) => {
            let Some(found) = xfrm.policy(&policy.id)? else { return Ok(false) };
            let ours = found.priority == policy.priority && plain(found.action) == plain(policy.action);
            if ours { xfrm.delete_policy(&policy.id) } else { Ok(false) }
        }
    }
}

/// `ESRCH` on Linux.
pub(super) const ESRCH: i32 = 3;

/// Without SPI and CPI: a rekeying changes them.
fn plain(action: Action) -> Action {
    match action {
        Action::Allow(Some(template)) => {
            let compression = template.compression.map(|compression| Compression { cpi: 0, ..compression });
            Action::Allow(Some(Template { spi: 0, compression, ..template }))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linux::xfrm::Protocol;

    fn state(spi: u32) -> Thing {
        let id =
            StateId { destination: "192.0.2.1".parse().unwrap(), spi, protocol: Protocol::Esp, mark: (0, 0) };
        Thing::State { id, source: "192.0.2.2".parse().unwrap(), reqid: 1 }
    }

    #[test]
    fn the_journal_tells_what_is_still_there_however_it_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("xfrm.state");
        let mut left =
            Left { path: Some(path.clone()), file: None, there: BTreeMap::new(), lines: 0 }.begin();
        for spi in 0..3000 {
            left.comes(state(spi));
            if spi % 100 != 0 {
                left.goes(state(spi).name());
            }
        }
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines < 2000, "{lines} lines");
        std::mem::forget(left); // as a crash does
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"Comes\":{\"Sta").unwrap();
        let there: Vec<Name> = read(&path).into_keys().collect();
        let wanted: Vec<Name> = (0..3000).step_by(100).map(|spi| state(spi).name()).collect();
        assert_eq!(there, wanted);
    }

    #[test]
    fn an_orderly_end_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("xfrm.state");
        let mut left =
            Left { path: Some(path.clone()), file: None, there: BTreeMap::new(), lines: 0 }.begin();
        left.comes(state(1));
        left.goes(state(1).name());
        drop(left);
        assert!(!path.exists());
    }
}
