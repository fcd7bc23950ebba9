//! The command line.
use crate::contender::Kind;
use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Measure cygnetd and the peers that are installed, side by side on this machine, and write docs/performance.md.
///
/// All tunnels run between two network namespaces joined by a veth pair; everything is gone afterwards. The contenders
/// take turns (A B A B …), so that what disturbs the machine disturbs all. Needs root, or user namespaces.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
pub(crate) struct Args {
    /// How often each contender has its turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// How long each transfer takes, seconds
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub(crate) seconds: u32,
    /// One round of short measurements: does everything work? The figures say little
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only this topic; may be given several times
    #[arg(long, value_name = "TOPIC")]
    pub(crate) only: Vec<Topic>,
    /// Only contenders whose name holds this word; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) contender: Vec<String>,
    /// Write the raw results here; a file that exists is added to
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Measure nothing: write the page from these raw results, joined
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["json", "only", "quick"])]
    pub(crate) render: Vec<PathBuf>,
    /// Write the page here, its plots into a directory of the same name beside it. Default: docs/performance.md after a
    /// run of all topics, nowhere after another
    #[arg(long, value_name = "FILE")]
    pub(crate) page: Option<PathBuf>,
    /// Prefix of strongSwan, below which libexec/ipsec/charon or sbin/charon-systemd is. Default: /usr/local, /usr
    #[arg(long, value_name = "PREFIX")]
    pub(crate) strongswan: Option<PathBuf>,
    /// Prefix of a strongSwan with the plugin load-tester, which sets up IKE_SAs by the thousand. Default: as --strongswan
    #[arg(long, value_name = "PREFIX")]
    pub(crate) load_tester: Option<PathBuf>,
    /// wireguard-go's program. Default: the PATH
    #[arg(long, value_name = "FILE")]
    pub(crate) wireguard_go: Option<PathBuf>,
    /// boringtun-cli's program. Default: the PATH
    #[arg(long, value_name = "FILE")]
    pub(crate) boringtun: Option<PathBuf>,
    /// A forwarder to measure as well: its command, with the words DEV, LOCAL and REMOTE where its TUN device and the
    /// addresses of the ends (1.2.3.4:5) go
    #[arg(long, value_name = "COMMAND")]
    pub(crate) forwarder: Option<String>,
    /// Where cygnetd and cygnet are. Default: beside this program
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) programs: Option<PathBuf>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Topic {
    /// TCP with 1 and 4 streams, and the processor time it costs
    Tcp,
    /// UDP datagrams of 64 to 1,372 bytes per second, at full blast and without loss
    Udp,
    /// Time there and back: pings on an idle path, probes on a loaded one
    Latency,
    /// 1,000 IKE_SAs from strongSwan's load tester: set-ups per second, processor time and memory of each
    Handshakes,
    /// The same with 10,000 and 100,000, in the first round only
    Scale,
    /// 1,000 to 100,000 IKE_SAs from `cygnet load-test`, and how long others wait while the daemon works on all of them; in
    /// the first three rounds only
    Growth,
    /// From the start of a daemon to its first answer; memory and work of one that has nothing to do
    Start,
    /// Leases of a pool in memory
    Pool,
}

impl Topic {
    pub(crate) const ALL: [Self; 8] = [
        Self::Tcp,
        Self::Udp,
        Self::Latency,
        Self::Handshakes,
        Self::Scale,
        Self::Growth,
        Self::Start,
        Self::Pool,
    ];

    /// Whether it is measured of these.
    pub(crate) const fn concerns(self, kind: Kind) -> bool {
        match self {
            Self::Tcp | Self::Udp | Self::Latency => !matches!(kind, Kind::StrongswanFake),
            Self::Handshakes => matches!(kind, Kind::Cygnet | Kind::Strongswan | Kind::StrongswanFake),
            // kernel-libipsec slows down with the square of their number
            Self::Scale => matches!(kind, Kind::Cygnet | Kind::StrongswanFake),
            Self::Start => matches!(kind, Kind::Cygnet | Kind::Strongswan),
            // growth is ours against our own; charon with the same initiator would say little of either
            Self::Growth | Self::Pool => matches!(kind, Kind::Cygnet),
        }
    }
}

impl Args {
    /// The topics asked for.
    pub(crate) fn topics(&self) -> Vec<Topic> {
        Topic::ALL.into_iter().filter(|topic| self.only.is_empty() || self.only.contains(topic)).collect()
    }

    /// Rounds to run.
    pub(crate) fn turns(&self) -> u32 {
        if self.quick { 1 } else { self.rounds }
    }

    /// Seconds of a transfer.
    pub(crate) fn transfer(&self) -> u32 {
        if self.quick { 1 } else { self.seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
        let args = Args::parse_from(["bench", "--only", "udp", "--rounds", "3"]);
        assert_eq!((args.topics(), args.turns()), (vec![Topic::Udp], 3));
        let args = Args::parse_from(["bench", "--quick"]);
        assert_eq!((args.topics().len(), args.turns(), args.transfer()), (Topic::ALL.len(), 1, 1));
        assert!(Args::try_parse_from(["bench", "--render", "a", "--quick"]).is_err());
    }
}
