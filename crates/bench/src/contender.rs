//! Who is measured: our daemon and the peers that are installed, each as a tunnel between two hosts.
//!
//! A contender that is not installed is never left out in silence: [`find`] gives its name and what was looked for.
use crate::args::Args;
use crate::nursery::{Nursery, Process};
use crate::stage::{FAR, Stage};
use anyhow::{Result, bail};
use ike::Charon;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

mod forwarder;
pub(crate) mod ike;
mod wireguard;

/// Kinds of contenders, in the order of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The cable itself: the limit of the path.
    Plain,
    /// Our daemon with its userspace data plane.
    Cygnet,
    /// strongSwan's charon with kernel-libipsec.
    Strongswan,
    /// charon without a data plane: its load tester fakes a kernel.
    StrongswanFake,
    /// wireguard-go.
    WireguardGo,
    /// boringtun.
    Boringtun,
    /// A forwarder without IKE, given by the caller.
    Forwarder,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Plain,
        Self::Cygnet,
        Self::Strongswan,
        Self::StrongswanFake,
        Self::WireguardGo,
        Self::Boringtun,
        Self::Forwarder,
    ];

    /// Its name in options, records and tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain veth",
            Self::Cygnet => "cygnet",
            Self::Strongswan => "strongSwan kernel-libipsec",
            Self::StrongswanFake => "strongSwan fake kernel",
            Self::WireguardGo => "wireguard-go",
            Self::Boringtun => "boringtun",
            Self::Forwarder => "forwarder",
        }
    }
}

/// One that can be measured.
#[derive(Debug, Clone)]
pub(crate) struct Contender {
    pub(crate) kind: Kind,
    /// As it says itself.
    pub(crate) version: String,
    /// Its program.
    pub(crate) program: PathBuf,
    /// Words of its command line, for a forwarder.
    words: Vec<String>,
    /// Our tool, which loads and brings up daemons over vici.
    pub(crate) tool: PathBuf,
}

/// One that cannot, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Missing {
    pub(crate) kind: Kind,
    pub(crate) reason: String,
}

/// A tunnel that is up, or the cable.
pub(crate) struct Tunnel {
    pub(crate) stage: Stage,
    /// The address to reach through it.
    pub(crate) to: IpAddr,
    /// The processes that carry packets: the near end's, the far end's. None for the cable.
    pub(crate) ends: Vec<Process>,
}

/// Looks for all.
pub(crate) fn find(args: &Args) -> (Vec<Contender>, Vec<Missing>) {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    let tool = beside("cygnet", args);
    for kind in Kind::ALL {
        let looked = match kind {
            Kind::Plain => Ok((PathBuf::new(), String::new(), vec![])),
            Kind::Cygnet => need(&tool, "cygnet").and_then(|()| {
                let program = beside("cygnetd", args);
                need(&program, "cygnetd")?;
                let version = first_line(&program, &["--version"]);
                Ok((program, version, vec![]))
            }),
            Kind::Strongswan | Kind::StrongswanFake => {
                Charon::find(args.strongswan.as_deref()).and_then(|charon| {
                    let fake = kind == Kind::StrongswanFake;
                    charon.needs(if fake { "load-tester" } else { "kernel-libipsec" })?;
                    Ok((charon.program, charon.version, vec![]))
                })
            }
            Kind::WireguardGo => {
                wireguard::find(args.wireguard_go.as_deref(), "wireguard-go").map(|(p, v)| (p, v, vec![]))
            }
            Kind::Boringtun => {
                wireguard::find(args.boringtun.as_deref(), "boringtun-cli").map(|(p, v)| (p, v, vec![]))
            }
            Kind::Forwarder => forwarder::find(args.forwarder.as_deref()),
        };
        match looked {
            Ok((program, version, words)) => {
                found.push(Contender { kind, version, program, words, tool: tool.clone() });
            }
            Err(reason) => missing.push(Missing { kind, reason }),
        }
    }
    (found, missing)
}

impl Contender {
    #[cfg(test)]
    pub(crate) fn example(kind: Kind) -> Self {
        let (program, tool) = (PathBuf::new(), PathBuf::new());
        Self { kind, version: String::new(), program, words: vec![], tool }
    }

    /// Makes the two hosts and brings its tunnel up between them.
    pub(crate) fn raise(&self, nursery: &Nursery) -> Result<Tunnel> {
        let stage = Stage::build()?;
        match self.kind {
            Kind::Plain => Ok(Tunnel { stage, to: FAR, ends: vec![] }),
            Kind::Cygnet | Kind::Strongswan => ike::raise(self, stage, nursery),
            Kind::StrongswanFake => bail!("there is no tunnel without a data plane"),
            Kind::WireguardGo | Kind::Boringtun => wireguard::raise(self, stage, nursery),
            Kind::Forwarder => forwarder::raise(self, stage, nursery),
        }
    }
}

/// A program of ours: where told, else beside this one.
pub(crate) fn beside(name: &str, args: &Args) -> PathBuf {
    match (&args.programs, std::env::current_exe()) {
        (Some(directory), _) => directory.join(name),
        (None, Ok(ours)) => ours.with_file_name(name),
        (None, Err(_)) => PathBuf::from(name),
    }
}

fn need(program: &Path, name: &str) -> Result<(), String> {
    if program.is_file() {
        return Ok(());
    }
    Err(format!("{name} was not built: cargo xtask bench does that; or say --programs DIR"))
}

/// A program where told, else on the PATH or where system programs are.
pub(crate) fn locate(told: Option<&Path>, name: &str, option: &str) -> Result<PathBuf, String> {
    if let Some(told) = told {
        return told.is_file().then(|| told.to_owned()).ok_or(format!("{option}: no such file"));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin", "/usr/local/bin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
        .ok_or(format!("{name} is not on the PATH; say where it is with {option}"))
}

/// The first line that a program prints; empty where it prints none.
pub(crate) fn first_line(program: &Path, words: &[&str]) -> String {
    let Ok(out) = Command::new(program).args(words).output() else { return String::new() };
    let said = if out.stdout.is_empty() { out.stderr } else { out.stdout };
    String::from_utf8_lossy(&said).lines().next().unwrap_or_default().trim().to_owned()
}
