//! Who holds the IKE ports, and which other keying daemons run.
use super::Finding;
use std::collections::BTreeMap;
use std::fs;

/// Where IKE speaks (RFC 7296 2, RFC 3947).
const PORTS: [u16; 2] = [500, 4500];
/// Daemons that would fight over ports, SAs and policies, by the name the kernel shows (15 characters at most).
const OTHERS: [&str; 8] =
    ["charon", "charon-systemd", "charon-nm", "pluto", "racoon", "iked", "isakmpd", "openikev2"];

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    pid: u32,
    name: String,
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

pub(super) fn look() -> Vec<Finding> {
    let near = neighbours();
    let mut sockets = BTreeMap::new();
    for table in ["udp", "udp6"] {
        let text = fs::read_to_string(format!("/proc/self/net/{table}")).unwrap_or_default();
        bound(&text, &mut sockets);
    }
    let owner = |inode: u64| near.iter().find(|process| holds(process.pid, inode)).cloned();
    let owners: Vec<(u16, Option<Process>)> = PORTS
        .into_iter()
        .flat_map(|port| sockets.get(&port).into_iter().flatten().map(move |inode| (port, *inode)))
        .map(|(port, inode)| (port, owner(inode)))
        .collect();
    let mut findings = judge_ports(&owners);
    findings.push(judge_daemons(&near));
    findings
}

fn judge_ports(owners: &[(u16, Option<Process>)]) -> Vec<Finding> {
    const CHECK: &str = "ports";
    let foreign: Vec<_> = owners
        .iter()
        .filter(|(_, owner)| owner.as_ref().is_none_or(|process| process.name != "cygnetd"))
        .collect();
    if foreign.is_empty() {
        return vec![Finding::good(
            CHECK,
            if owners.is_empty() { "UDP 500 and 4500 are free" } else { "UDP 500 and 4500 are the daemon's" },
        )];
    }
    let mut findings: Vec<Finding> = Vec::new();
    for (port, owner) in foreign {
        let finding = match owner {
            Some(process) => Finding::wrong(
                CHECK,
                format!("UDP {port} is taken by {process}"),
                "stop it, or give one of the two other ports: charon.port, charon.port_nat_t",
            ),
            None => Finding::unknown(CHECK, format!("UDP {port} is taken; only root can find out by whom")),
        };
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    findings
}

fn judge_daemons(near: &[Process]) -> Finding {
    const CHECK: &str = "other daemons";
    let others: Vec<String> = near
        .iter()
        .filter(|process| OTHERS.contains(&process.name.as_str()))
        .map(ToString::to_string)
        .collect();
    if others.is_empty() {
        Finding::good(CHECK, "none")
    } else {
        Finding::wrong(
            CHECK,
            format!("{}: two keying daemons undo each other's work", others.join(", ")),
            "run one of them: systemctl disable --now strongswan-starter ipsec, or whatever started it",
        )
    }
}

/// Inodes of sockets by local port, out of `/proc/net/udp`.
fn bound(text: &str, sockets: &mut BTreeMap<u16, Vec<u64>>) {
    for line in text.lines().skip(1) {
        let mut words = line.split_whitespace();
        let port = words.nth(1).and_then(|local| u16::from_str_radix(local.rsplit(':').next()?, 16).ok());
        let inode = words.nth(7).and_then(|inode| inode.parse().ok());
        if let (Some(port), Some(inode)) = (port, inode) {
            sockets.entry(port).or_default().push(inode);
        }
    }
}

/// Processes in our network namespace, as far as we may know.
fn neighbours() -> Vec<Process> {
    let ours = fs::read_link("/proc/self/ns/net").ok();
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let mut near: Vec<Process> = all
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let theirs = fs::read_link(format!("/proc/{pid}/ns/net")).ok();
            theirs.is_none() || theirs == ours
        })
        .filter_map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            Some(Process { pid, name: name.trim().to_owned() })
        })
        .collect();
    near.sort_by_key(|process| process.pid);
    near
}

fn holds(pid: u32, inode: u64) -> bool {
    let wanted = format!("socket:[{inode}]");
    fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|all| {
        all.flatten()
            .any(|entry| fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == wanted.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  308: 00000000:01F4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 21893 2 0000000000000000 0
  309: 00000000000000000000000000000000:1194 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 21894 2 0000000000000000 0
  rubbish
";

    fn process(name: &str) -> Process {
        Process { pid: 7, name: name.to_owned() }
    }

    #[test]
    fn the_kernels_table_is_read() {
        let mut found = BTreeMap::new();
        bound(TABLE, &mut found);
        assert_eq!(found, BTreeMap::from([(500, vec![21893]), (4500, vec![21894])]));
    }

    #[test]
    fn a_port_of_another_is_wrong_and_its_owner_named() {
        let ours = [(500, Some(process("cygnetd"))), (4500, Some(process("cygnetd")))];
        assert_eq!(judge_ports(&ours)[0].state, State::Good);
        assert_eq!(judge_ports(&[])[0].state, State::Good);
        let theirs = [(500, Some(process("pluto"))), (500, Some(process("pluto"))), (4500, None)];
        let found = judge_ports(&theirs);
        assert_eq!(found.len(), 2);
        assert!(found[0].says.contains("pluto (process 7)"));
        assert_eq!((found[0].state, found[1].state), (State::Wrong, State::Unknown));
    }

    #[test]
    fn a_second_keying_daemon_is_wrong() {
        assert_eq!(judge_daemons(&[process("cygnetd"), process("bash")]).state, State::Good);
        let found = judge_daemons(&[process("charon-systemd")]);
        assert!(found.state == State::Wrong && found.says.contains("charon-systemd"));
    }

    #[test]
    fn this_process_is_among_its_neighbours() {
        assert!(neighbours().iter().any(|process| process.pid == std::process::id()));
    }
}
