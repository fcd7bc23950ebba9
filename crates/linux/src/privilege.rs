//! Giving up what is not needed once the sockets are open.
//!
//! Capabilities belong to threads: call before the first thread is started, or threads already running keep
//! theirs.

use crate::sockopt::{capget, capset, drop_bounding};
use crate::{Attempt, Error, Result};
use nix::sys::prctl;
use nix::unistd::{Gid, Group, Uid, User, initgroups, setgroups, setresgid, setresuid};
use std::ffi::CString;
use std::io;

/// What we may need again after start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Ports below 1024.
    NetBindService,
    /// Interfaces, addresses, routes, marks, TUN.
    NetAdmin,
    /// Raw sockets.
    NetRaw,
    /// Files that belong to others (`resolv.conf`).
    DacOverride,
}

impl Capability {
    /// The number in `linux/capability.h`.
    const fn number(self) -> u32 {
        match self {
            Self::DacOverride => 1,
            Self::NetBindService => 10,
            Self::NetAdmin => 12,
            Self::NetRaw => 13,
        }
    }

    const fn mask(self) -> u64 {
        1 << self.number()
    }
}

/// The calling thread holds this capability.
///
/// # Errors
/// The system's.
pub fn has(capability: Capability) -> Result<bool> {
    let (effective, _, _) = capget().attempt(|| "reading capabilities".to_owned())?;
    Ok(effective & capability.mask() != 0)
}

/// The effective user is root (of this user namespace).
#[must_use]
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Becomes `user` and `group` where given, and keeps of all capabilities only `keep` (those held now).
///
/// # Errors
/// No such user or group, or the system refuses. The process shall then end: it may be half way.
pub fn drop_to(user: Option<&str>, group: Option<&str>, keep: &[Capability]) -> Result<()> {
    let missing = |what: String| Error::new(what, io::Error::from(io::ErrorKind::NotFound));
    let user = match user {
        None => None,
        Some(name) => {
            let what = || format!("looking for user {name}");
            Some(User::from_name(name).attempt(what)?.ok_or_else(|| missing(what()))?)
        }
    };
    let group: Option<Gid> = match group {
        None => user.as_ref().map(|u| u.gid),
        Some(name) => {
            let what = || format!("looking for group {name}");
            Some(Group::from_name(name).attempt(what)?.ok_or_else(|| missing(what()))?.gid)
        }
    };
    let (_, permitted, _) = capget().attempt(|| "reading capabilities".to_owned())?;
    let kept = keep.iter().fold(0, |all, c| all | c.mask()) & permitted;

    prctl::set_keepcaps(true).attempt(|| "keeping capabilities over a change of user".to_owned())?;
    if let Some(gid) = group {
        match &user {
            Some(user) => {
                let name = CString::new(user.name.as_bytes()).map_err(io::Error::other);
                let name = name.attempt(|| "the user's name".to_owned())?;
                initgroups(&name, gid).attempt(|| format!("taking the groups of {}", user.name))?;
            }
            None => setgroups(&[gid]).attempt(|| "leaving other groups".to_owned())?,
        }
        setresgid(gid, gid, gid).attempt(|| format!("becoming group {gid}"))?;
    }
    // the bounding set first: that needs CAP_SETPCAP; without it an exec could only regain what the file grants
    for number in 0..64u32 {
        if kept & (1u64 << number) == 0 && drop_bounding(number).is_err() {
            break;
        }
    }
    if let Some(user) = &user {
        setresuid(user.uid, user.uid, user.uid).attempt(|| format!("becoming user {}", user.name))?;
    }
    capset(kept, kept, 0).attempt(|| "dropping capabilities".to_owned())?;
    prctl::set_keepcaps(false).attempt(|| "ending the keeping of capabilities".to_owned())?;
    Ok(())
}
