//! The command line of `cygnet`. Help, completions and man pages are made from this.
use crate::exit;
use crate::load_test::options::LoadTest;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use std::ffi::OsString;
use std::path::PathBuf;

/// Watch and steer the IKE/IPsec daemon cygnetd (or charon: both speak vici).
///
/// Called as "swanctl" (make a link of that name), or as "cygnet swanctl …", it takes the options of strongSwan's
/// swanctl and prints what that prints.
#[derive(Debug, Parser)]
#[command(name = "cygnet", version, after_long_help = exit::TABLE, arg_required_else_help = true, infer_subcommands = true)]
pub(crate) struct Cygnet {
    /// Where the daemon listens: unix:///path or tcp://host:port. Default: what strongswan.conf says
    /// (swanctl.socket, charon.plugins.vici.socket), else unix:///var/run/charon.vici
    #[arg(long, short, global = true, env = "CYGNET_URI", value_name = "URI")]
    pub(crate) uri: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring up a connection or one of its children
    Up(Up),
    /// Take down a connection or one of its children
    Down(Down),
    /// Show what is up: SAs, addresses, traffic
    Status(Status),
    /// Show who holds which virtual address
    Leases(Leases),
    /// Show the pools of virtual addresses and how full they are
    Pools(Pools),
    /// Show the loaded connections
    Conns(List),
    /// Show the loaded certificates and how long they are good for
    Certs(Certs),
    /// Read swanctl.conf and its directory and make the daemon obey it; what is no longer there is unloaded
    Load(Load),
    /// Check configuration files without a daemon: every error with file, line, column and the line itself; also the
    /// certificates and keys that they name
    Check(Check),
    /// Follow the daemon's log
    Log(Log),
    /// Say what becomes of a packet to an address: which rule, route, policy, SA and interface it takes on this host,
    /// and where it would be dropped
    Trace(Trace),
    /// Look for what keeps tunnels from working on this host: kernel, forwarding, filters, MTU, clock, ports, other
    /// daemons, files, certificates; and say what to change
    Doctor(Doctor),
    /// Negotiate new keys for a connection or child
    Rekey(Rekey),
    /// Take down SAs picked by name or number
    Terminate(Terminate),
    /// Show what the daemon is busy with
    Stats(List),
    /// Show the versions of this tool and the daemon
    Version(List),
    /// Bring up two daemons in namespaces of their own and send traffic through their tunnel
    Demo(Demo),
    /// Make this machine a gateway for road warriors: an authority, a certificate, connections and pools; and users
    Quickstart(Quickstart),
    /// Play thousands of road warriors against a gateway, with or without traffic, and say what it bore
    LoadTest(Box<LoadTest>),
    /// Print a completion script for a shell
    Completions {
        /// For which shell
        shell: Shell,
    },
    /// Write the man pages
    Man {
        /// Write one file per command here; without it, cygnet(1) goes to standard output
        directory: Option<PathBuf>,
    },
    /// Take the options of strongSwan's swanctl
    #[command(disable_help_flag = true)]
    Swanctl {
        /// As swanctl takes them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Pools of virtual addresses and attributes in a database: take the options of strongSwan's pool
    #[command(disable_help_flag = true)]
    Pool {
        /// As pool takes them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// XFRM interfaces: take the options of strongSwan's xfrmi
    #[command(disable_help_flag = true)]
    Xfrmi {
        /// As xfrmi takes them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Keys, certificates and revocation lists: take the options of strongSwan's pki, or its commands as words
    #[command(disable_help_flag = true)]
    Pki {
        /// As pki takes them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// Where the packet goes
    pub(crate) address: String,
    /// Its source. Default: this host sends it, from the address the kernel chooses
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) from: Option<String>,
    /// The interface it comes in by, for a packet that this host passes on
    #[arg(long, value_name = "INTERFACE", requires = "from")]
    pub(crate) input: Option<String>,
    /// tcp, udp, icmp, icmpv6, gre or a number
    #[arg(long, short, value_name = "PROTOCOL")]
    pub(crate) protocol: Option<String>,
    /// Source port (ICMP: type)
    #[arg(long, value_name = "PORT", requires = "protocol")]
    pub(crate) sport: Option<String>,
    /// Destination port (ICMP: code)
    #[arg(long, value_name = "PORT", requires = "protocol")]
    pub(crate) dport: Option<String>,
    /// Its mark, decimal or 0x…
    #[arg(long, value_name = "MARK")]
    pub(crate) mark: Option<String>,
    /// One JSON document, schema cygnet.trace/1
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Name of a connection (all its children come up) or of a child
    pub(crate) name: String,
    /// Connection the child belongs to, where several have a child of that name
    #[arg(long, value_name = "NAME")]
    pub(crate) ike: Option<String>,
    /// Give up waiting after this many seconds; the daemon goes on trying. 0 waits as long as it takes
    #[arg(long, short, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) timeout: u64,
    /// Say only how it ended
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Down {
    /// Name of a connection or child that is up
    #[arg(required_unless_present = "all")]
    pub(crate) name: Option<String>,
    /// Everything that is up
    #[arg(long, conflicts_with = "name")]
    pub(crate) all: bool,
    /// Do not wait for the peer's consent
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Give up waiting after this many seconds. 0 waits as long as it takes
    #[arg(long, short, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) timeout: u64,
    /// Say only how it ended
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Only this connection
    pub(crate) name: Option<String>,
    /// One JSON document, schema cygnet.status/1 (with --watch: one per line)
    #[arg(long)]
    pub(crate) json: bool,
    /// Show it again every so many seconds, until Ctrl-C
    #[arg(long, short, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1")]
    pub(crate) watch: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Pools {
    /// Only this pool
    pub(crate) name: Option<String>,
    /// Only of this backend: vici (pools in memory), attr-sql, dhcp, …
    #[arg(long, value_name = "NAME")]
    pub(crate) backend: Option<String>,
    /// One JSON document, schema cygnet.pools/1; with the leases of each pool
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Leases {
    /// Only of this pool
    pub(crate) pool: Option<String>,
    /// Only of this identity; a * at its beginning stands for any text
    #[arg(long, short, value_name = "IDENTITY")]
    pub(crate) identity: Option<String>,
    /// Only of this address
    #[arg(long, short, value_name = "ADDRESS")]
    pub(crate) address: Option<std::net::IpAddr>,
    /// Only addresses in use
    #[arg(long, conflicts_with = "offline")]
    pub(crate) online: bool,
    /// Only addresses that are kept for who had them
    #[arg(long)]
    pub(crate) offline: bool,
    /// Only of this backend: vici (pools in memory), attr-sql, dhcp, …
    #[arg(long, value_name = "NAME")]
    pub(crate) backend: Option<String>,
    /// How they are shown; ipsec: as strongSwan's "ipsec leases" does
    #[arg(long, value_name = "FORMAT", default_value = "table", conflicts_with = "json")]
    pub(crate) format: LeaseFormat,
    /// One JSON document, schema cygnet.pools/1: the pools with those of their leases that are asked for
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LeaseFormat {
    /// A table
    Table,
    /// A line for each pool, then its leases
    Ipsec,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// One JSON document, the daemon's answer as it is
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// One JSON document, schema cygnet.doctor/1
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Certs {
    /// One JSON document, schema cygnet.certs/1
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Load {
    /// Read this file instead of swanctl.conf in SWANCTL_DIR or /etc/swanctl
    #[arg(long, short, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// First clear all credentials the daemon holds
    #[arg(long, short)]
    pub(crate) clear: bool,
    /// Do not ask for passphrases and PINs
    #[arg(long, short)]
    pub(crate) noprompt: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Files to check; those named strongswan.conf as daemon settings, others as swanctl.conf. Default: the installed
    /// configuration
    pub(crate) files: Vec<PathBuf>,
    /// Check these as daemon settings, whatever their name
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: Vec<PathBuf>,
    /// Do not look at the certificates and keys in the directories beside swanctl.conf
    #[arg(long)]
    pub(crate) no_files: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Log {
    /// Only these groups, such as IKE or CFG
    #[arg(long, short, value_name = "GROUP", value_delimiter = ',')]
    pub(crate) group: Vec<String>,
    /// Only lines up to this level (the daemon sends levels 0 and 1)
    #[arg(long, short, value_name = "LEVEL")]
    pub(crate) level: Option<i8>,
}

#[derive(Debug, Args)]
pub(crate) struct Rekey {
    /// Name of a connection or child that is up
    pub(crate) name: String,
    /// Authenticate anew instead
    #[arg(long, short = 'a')]
    pub(crate) reauth: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true, id = "selector")]
pub(crate) struct Selector {
    /// Name of the connection
    #[arg(long, value_name = "NAME")]
    pub(crate) ike: Option<String>,
    /// Number of the IKE_SA
    #[arg(long, value_name = "NUMBER")]
    pub(crate) ike_id: Option<u32>,
    /// Name of the child
    #[arg(long, value_name = "NAME")]
    pub(crate) child: Option<String>,
    /// Number of the CHILD_SA
    #[arg(long, value_name = "NUMBER")]
    pub(crate) child_id: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Terminate {
    #[command(flatten)]
    pub(crate) selector: Selector,
    /// Do not wait for the peer's consent
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Give up waiting after this many seconds. 0 waits as long as it takes
    #[arg(long, short, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) timeout: u64,
    /// Say only how it ended
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Demo {
    /// Leave it running and print commands to play with, until Ctrl-C
    #[arg(long)]
    pub(crate) keep: bool,
    /// Print one JSON document (schema cygnet.demo/1) at the end; the steps go to standard error
    #[arg(long)]
    pub(crate) json: bool,
    /// Directory with gateway/ and client/ instead of examples/road-warrior
    #[arg(long, value_name = "DIR")]
    pub(crate) examples: Option<PathBuf>,
    /// Use this daemon instead of the cygnetd beside this program
    #[arg(long, value_name = "FILE")]
    pub(crate) daemon: Option<PathBuf>,
    /// How long the bulk transfer lasts
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) seconds: u64,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Quickstart {
    #[command(subcommand)]
    pub(crate) command: Option<QuickstartCommand>,
    /// Directory of swanctl.conf. Default: SWANCTL_DIR or /etc/swanctl
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Name (or address) under which clients find the gateway; also its identity
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Addresses of the gateway; they become local_addrs and names in the certificate. Default: any
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) address: Vec<String>,
    /// Name servers that clients get
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) dns: Vec<String>,
    /// Subnets out of which clients get addresses. Default: a private one of each family, chosen at random
    #[arg(long, value_name = "SUBNET", value_delimiter = ',')]
    pub(crate) pool: Vec<String>,
    /// Subnets that clients reach through the tunnel. Default: everything
    #[arg(long, value_name = "SUBNET", value_delimiter = ',')]
    pub(crate) route: Vec<String>,
    /// Only say what would be written
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Make a new certificate for the gateway that is there already
    #[arg(long, conflicts_with_all = ["name", "dry_run"])]
    pub(crate) renew: bool,
    /// One JSON document
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum QuickstartCommand {
    /// Make, list or revoke users; what their devices import goes into a folder
    User(QuickstartUser),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct QuickstartUser {
    /// Name of the user: letters, digits, - and _
    #[arg(conflicts_with_all = ["list", "revoke"])]
    pub(crate) name: Option<String>,
    /// With a certificate only
    #[arg(long, conflicts_with_all = ["eap", "both"])]
    pub(crate) cert: bool,
    /// With a password only
    #[arg(long, conflicts_with = "both")]
    pub(crate) eap: bool,
    /// With a certificate and a password; this is the default
    #[arg(long)]
    pub(crate) both: bool,
    /// Write the user's files here. Default: quickstart/users/NAME beside swanctl.conf
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Apple: connect whenever there is a network
    #[arg(long)]
    pub(crate) on_demand: bool,
    /// Show all users
    #[arg(long)]
    pub(crate) list: bool,
    /// Let this user in no more
    #[arg(long, value_name = "NAME", conflicts_with = "list")]
    pub(crate) revoke: Option<String>,
}

/// Reads the command line; on `--help` or a mistake prints and ends.
pub(crate) fn parse(words: Vec<OsString>) -> Cygnet {
    let matches = command().get_matches_from(words);
    Cygnet::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// The definition, for help, completions and man pages.
pub(crate) fn command() -> clap::Command {
    Cygnet::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Cygnet, clap::Error> {
        Cygnet::try_parse_from([&["cygnet"], words].concat())
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn usual_command_lines() {
        let Command::Up(up) = parsed(&["up", "home", "--timeout", "5"]).unwrap().command else { panic!() };
        assert_eq!((up.name.as_str(), up.timeout, up.quiet), ("home", 5, false));
        let Command::Status(status) = parsed(&["status", "--watch"]).unwrap().command else { panic!() };
        assert_eq!((status.watch, status.json), (Some(1), false));
        let Command::Status(status) = parsed(&["stat", "--watch=3", "--json"])
            .unwrap_or_else(|_| parsed(&["status", "--watch=3", "--json"]).unwrap())
            .command
        else {
            panic!()
        };
        assert_eq!((status.watch, status.json), (Some(3), true));
        let cygnet = parsed(&["leases", "--uri", "unix:///x"]).unwrap();
        assert_eq!(cygnet.uri.as_deref(), Some("unix:///x"));
        let Command::Terminate(t) = parsed(&["terminate", "--ike-id", "4", "-f"]).unwrap().command else {
            panic!()
        };
        assert_eq!((t.selector.ike_id, t.force), (Some(4), true));
        let Command::Swanctl { words } = parsed(&["swanctl", "--list-sas", "-r"]).unwrap().command else {
            panic!()
        };
        assert_eq!(words, ["--list-sas", "-r"]);
    }

    #[test]
    fn mistakes_are_refused() {
        for words in [
            &["up"][..],
            &["down"],
            &["down", "x", "--all"],
            &["terminate"],
            &["frobnicate"],
            &["demo", "--seconds", "0"],
            &["completions", "cmd.exe"],
            &["leases", "--online", "--offline"],
            &["leases", "--address", "10.3.0"],
            &["leases", "--format", "xml"],
        ] {
            assert!(parsed(words).is_err(), "{words:?}");
        }
    }
}
