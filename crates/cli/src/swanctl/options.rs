//! swanctl's commands and their options, as a table.
use super::{Call, Outcome, act, list, list_certs, list_conns, list_sas, loading, stats, stream};
use crate::getopt::{Opt, flag, value};
use crate::out::{complain, put};

/// A command: itself an option of swanctl.
pub(super) struct Command {
    pub(super) short: char,
    pub(super) long: &'static str,
    pub(super) about: &'static str,
    /// The lines after the command's name.
    pub(super) usage: &'static [&'static str],
    pub(super) options: &'static [Opt],
    pub(super) run: fn(&Call<'_>) -> Outcome,
}

/// Options that every command has.
pub(super) const SHARED: &[Opt] = &[
    flag("help", 'h', "show usage information"),
    flag("raw", 'r', "print messages as they are, one line each"),
    flag("pretty", 'P', "print messages as they are, one line per value"),
    value("debug", 'v', "debug level, default: 1"),
    value("options", '+', "read command line options from file"),
    value("uri", 'u', "address of the daemon's socket"),
];

const CHILD: Opt = value("child", 'c', "name of the CHILD_SA");
const IKE: Opt = value("ike", 'i', "name of the IKE_SA");
const CHILD_ID: Opt = value("child-id", 'C', "number of the CHILD_SA");
const IKE_ID: Opt = value("ike-id", 'I', "number of the IKE_SA");
const TIMEOUT: Opt = value("timeout", 't', "seconds to wait before detaching");
const LOGLEVEL: Opt = value("loglevel", 'l', "verbosity of the log that is shown");
const FILE: Opt = value("file", 'f', "read this file instead of swanctl.conf");
const CLEAR: Opt = flag("clear", 'c', "clear all loaded credentials first");
const NOPROMPT: Opt = flag("noprompt", 'n', "do not ask for passphrases");

/// All commands.
pub(super) const COMMANDS: &[Command] = &[
    Command {
        short: 'C',
        long: "counters",
        about: "list or reset IKE event counters",
        usage: &["[--name <name>|--all] [--reset] [--raw|--pretty]"],
        options: &[
            value("name", 'n', "of this connection, not the global ones"),
            flag("all", 'a', "of every connection"),
            flag("reset", 'R', "set them to zero"),
        ],
        run: stats::counters,
    },
    Command {
        short: 'i',
        long: "initiate",
        about: "initiate a connection",
        usage: &["[--child <name>] [--ike <name>] [--timeout <s>] [--raw|--pretty]"],
        options: &[CHILD, IKE, TIMEOUT, LOGLEVEL],
        run: act::initiate,
    },
    Command {
        short: 't',
        long: "terminate",
        about: "terminate a connection",
        usage: &[
            "--child <name> | --ike <name> | --child-id <id> | --ike-id <id>",
            "[--force] [--timeout <s>] [--raw|--pretty]",
        ],
        options: &[
            CHILD,
            IKE,
            CHILD_ID,
            IKE_ID,
            flag("force", 'f', "do not wait for the peer"),
            TIMEOUT,
            LOGLEVEL,
        ],
        run: act::terminate,
    },
    Command {
        short: 'R',
        long: "rekey",
        about: "rekey an SA",
        usage: &[
            "--child <name> | --ike <name> | --child-id <id> | --ike-id <id>",
            "[--reauth] [--raw|--pretty]",
        ],
        options: &[CHILD, IKE, CHILD_ID, IKE_ID, flag("reauth", 'a', "reauthenticate an IKEv2 SA instead")],
        run: act::rekey,
    },
    Command {
        short: 'd',
        long: "redirect",
        about: "redirect an IKE_SA",
        usage: &[
            "--ike <name> | --ike-id <id> | --peer-ip <ip|subnet|range>",
            "| --peer-id <id|wildcards> --gateway <ip|fqdn> [--raw|--pretty]",
        ],
        options: &[
            IKE,
            IKE_ID,
            value("peer-ip", 'p', "clients at these addresses"),
            value("peer-id", 'd', "clients with this identity"),
            value("gateway", 'g', "where to send them"),
        ],
        run: act::redirect,
    },
    Command {
        short: 'U',
        long: "uninstall",
        about: "uninstall a trap or shunt policy",
        usage: &["--child <name> [--ike <name>] [--raw|--pretty]"],
        options: &[CHILD, IKE],
        run: act::uninstall,
    },
    Command {
        short: 'p',
        long: "install",
        about: "install a trap or shunt policy",
        usage: &["--child <name> [--ike <name>] [--raw|--pretty]"],
        options: &[CHILD, IKE],
        run: act::install,
    },
    Command {
        short: 'l',
        long: "list-sas",
        about: "list currently active IKE_SAs",
        usage: &["[--ike <name>|--ike-id <id>] [--child <name>|--child-id <id>]", "[--raw|--pretty]"],
        options: &[IKE, IKE_ID, CHILD, CHILD_ID, flag("noblock", 'n', "skip IKE_SAs that are busy")],
        run: list_sas::list,
    },
    Command {
        short: 'm',
        long: "monitor-sa",
        about: "monitor for IKE_SA and CHILD_SA changes",
        usage: &["[--raw|--pretty]"],
        options: &[],
        run: stream::monitor,
    },
    Command {
        short: 'P',
        long: "list-pols",
        about: "list currently installed policies",
        usage: &["[--child <name>] [--trap] [--drop] [--pass] [--raw|--pretty]"],
        options: &[
            CHILD,
            flag("trap", 't', "trap policies"),
            flag("drop", 'd', "drop policies"),
            flag("pass", 'p', "bypass policies"),
        ],
        run: list::policies,
    },
    Command {
        short: 'B',
        long: "list-authorities",
        about: "list loaded authority configurations",
        usage: &["[--name <name>] [--raw|--pretty]"],
        options: &[value("name", 'n', "only this one")],
        run: list::authorities,
    },
    Command {
        short: 'L',
        long: "list-conns",
        about: "list loaded configurations",
        usage: &["[--raw|--pretty]"],
        options: &[],
        run: list_conns::list,
    },
    Command {
        short: 'x',
        long: "list-certs",
        about: "list stored certificates",
        usage: &[
            "[--subject <dn/san>] [--pem]",
            "[--type x509|x509_ac|x509_crl|ocsp_response|pubkey]",
            "[--flag none|ca|aa|ocsp|any] [--raw|--pretty|--short|--utc]",
        ],
        options: &[
            value("subject", 's', "with this subject"),
            value("type", 't', "of this type"),
            value("flag", 'f', "with this flag"),
            flag("pem", 'p', "print them in PEM"),
            flag("short", 'S', "omit some details"),
            flag("utc", 'U', "times in UTC"),
        ],
        run: list_certs::list,
    },
    Command {
        short: 'A',
        long: "list-pools",
        about: "list loaded pool configurations",
        usage: &["[--leases] [--name <name>] [--raw|--pretty]"],
        options: &[flag("leases", 'l', "list the leases of each pool"), value("name", 'n', "only this pool")],
        run: list::pools,
    },
    Command {
        short: 'g',
        long: "list-algs",
        about: "show loaded algorithms",
        usage: &["[--raw|--pretty]"],
        options: &[],
        run: list::algorithms,
    },
    Command {
        short: 'f',
        long: "flush-certs",
        about: "flush cached certificates",
        usage: &["[--type x509|x509_ac|x509_crl|ocsp_response|pubkey]", "[--raw|--pretty]"],
        options: &[value("type", 't', "only of this type")],
        run: act::flush_certs,
    },
    Command {
        short: 'q',
        long: "load-all",
        about: "load credentials, authorities, pools and connections",
        usage: &["[--raw|--pretty] [--clear] [--noprompt] [--file <path>]"],
        options: &[CLEAR, NOPROMPT, FILE],
        run: loading::all,
    },
    Command {
        short: 'b',
        long: "load-authorities",
        about: "(re-)load authority configuration",
        usage: &["[--raw|--pretty] [--file <path>]"],
        options: &[FILE],
        run: loading::authorities,
    },
    Command {
        short: 'c',
        long: "load-conns",
        about: "(re-)load connection configuration",
        usage: &["[--raw|--pretty] [--file <path>]"],
        options: &[FILE],
        run: loading::connections,
    },
    Command {
        short: 's',
        long: "load-creds",
        about: "(re-)load credentials",
        usage: &["[--raw|--pretty] [--clear] [--noprompt] [--file <path>]"],
        options: &[CLEAR, NOPROMPT, FILE],
        run: loading::credentials,
    },
    Command {
        short: 'a',
        long: "load-pools",
        about: "(re-)load pool configuration",
        usage: &["[--raw|--pretty] [--file <path>]"],
        options: &[FILE],
        run: loading::pools,
    },
    Command {
        short: 'T',
        long: "log",
        about: "trace logging output",
        usage: &["[--raw|--pretty]"],
        options: &[],
        run: stream::log,
    },
    Command {
        short: 'V',
        long: "version",
        about: "show version information",
        usage: &["[--daemon] [--raw|--pretty]"],
        options: &[flag("daemon", 'd', "ask the daemon for its version")],
        run: stats::version,
    },
    Command {
        short: 'S',
        long: "stats",
        about: "show daemon stats information",
        usage: &["[--raw|--pretty]"],
        options: &[],
        run: stats::stats,
    },
    Command {
        short: 'r',
        long: "reload-settings",
        about: "reload daemon strongswan.conf",
        usage: &["[--raw|--pretty]"],
        options: &[],
        run: act::reload_settings,
    },
];

fn banner(mistake: Option<&str>) -> fn(&str) {
    match mistake {
        Some(mistake) => {
            complain!("Error: {mistake}");
            |line| complain!("{line}")
        }
        None => |line| put!("{line}"),
    }
}

/// What swanctl is called with; after a mistake to standard error.
pub(super) fn print_usage(mistake: Option<&str>) {
    let line = banner(mistake);
    line(concat!("cygnet ", env!("CARGO_PKG_VERSION"), " swanctl"));
    line("usage:");
    for command in COMMANDS {
        let name = format!("--{}", command.long);
        line(&format!("  swanctl {name:<18} (-{})  {}", command.short, command.about));
    }
    line("  swanctl --help             (-h)  show usage information");
}

impl Command {
    /// What this command is called with; after a mistake to standard error.
    pub(super) fn print_usage(&self, mistake: Option<&str>) {
        let line = banner(mistake);
        line(concat!("cygnet ", env!("CARGO_PKG_VERSION"), " swanctl"));
        line("usage:");
        for (number, text) in self.usage.iter().enumerate() {
            match number {
                0 => line(&format!("  swanctl --{} {text}", self.long)),
                _ => line(&format!("                 {text}")),
            }
        }
        for option in self.options.iter().chain(SHARED) {
            let name = format!("--{}", option.long);
            line(&format!("           {name:<17} (-{})  {}", option.short, option.about));
        }
    }
}
