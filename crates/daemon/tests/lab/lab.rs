//! Hosts as network namespaces, joined by veth pairs; daemons (ours or stock strongSwan) started in them.
//!
//! Everything a [`Lab`] made goes when it is dropped: processes by their pid, namespaces by their name, files with
//! their directory. Tests run as root; without it, or without a peer, [`Lab::new`] panics with what is missing.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// For a daemon to answer; under emulation that takes long.
const START: Duration = Duration::from_secs(40);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Which daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The one built here.
    Cygnet,
    /// Debian's strongSwan with kernel-libipsec.
    Charon,
}

/// How client and gateway are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path4 {
    /// On one link.
    Direct,
    /// The client behind a masquerading router.
    Nat,
}

/// Namespaces `gw`, `cl`, `lan` (behind the gateway) and, with NAT, `nat`.
pub(crate) struct Lab {
    prefix: String,
    dir: tempfile::TempDir,
    namespaces: Vec<String>,
    daemons: Vec<Child>,
    /// Daemons use the kernel's IPsec, not their own.
    pub(crate) kernel: bool,
    /// Environment variables of daemons.
    pub(crate) environment: Vec<(String, String)>,
}

/// A started daemon.
#[derive(Debug, Clone)]
pub(crate) struct Daemon {
    /// Kind.
    pub(crate) kind: Kind,
    /// Its namespace's full name.
    pub(crate) ns: String,
    /// Its directory.
    pub(crate) dir: PathBuf,
    /// Its process.
    pub(crate) pid: u32,
}

/// Runs a shell line; its output. A failure panics with what was said.
pub(crate) fn sh(line: &str) -> String {
    let out = Command::new("sh").args(["-ec", line]).stdin(Stdio::null()).output().unwrap();
    let text = both(&out);
    assert!(out.status.success(), "{line}\n{text}");
    text
}

/// Standard output and error together.
pub(crate) fn both(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// Waits until `ready` or the limit; true when it became ready.
pub(crate) fn wait_for(limit: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if ready() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Lab {
    /// Makes the namespaces. Outer addresses: gateway 192.0.2.1 and 2001:db8::1; client 192.0.2.2 and 2001:db8::2,
    /// or 10.99.0.2 behind 192.0.2.2. Inner: the gateway has 10.1.0.1 and fd01::1, the LAN host 10.1.0.10, fd01::10.
    pub(crate) fn new(path: Path4) -> Self {
        let mut lab = Self::bare(&[]);
        let (gw, cl, lan) = (lab.add("gw"), lab.add("cl"), lab.add("lan"));
        match path {
            Path4::Direct => join(
                &gw,
                "wan",
                &cl,
                "wan",
                &["192.0.2.1/24", "2001:db8::1/64"],
                &["192.0.2.2/24", "2001:db8::2/64"],
            ),
            Path4::Nat => {
                let nat = lab.add("nat");
                join(&gw, "wan", &nat, "wan", &["192.0.2.1/24"], &["192.0.2.2/24"]);
                join(&nat, "home", &cl, "wan", &["10.99.0.1/24"], &["10.99.0.2/24"]);
                sh(&format!(
                    "ip -n {cl} route add default via 10.99.0.1; ip netns exec {nat} sysctl -qw net.ipv4.ip_forward=1
                     ip netns exec {nat} nft add table ip n
                     ip netns exec {nat} nft 'add chain ip n p {{ type nat hook postrouting priority 100; }}'
                     ip netns exec {nat} nft 'add rule ip n p oifname \"wan\" masquerade'"
                ));
            }
        }
        join(&gw, "lan", &lan, "eth", &["10.1.0.1/16", "fd01::1/64"], &["10.1.0.10/16", "fd01::10/64"]);
        sh(&format!(
            "ip netns exec {gw} sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
             ip -n {lan} route add default via 10.1.0.1; ip -n {lan} -6 route add default via fd01::1"
        ));
        lab
    }

    /// One more client: behind the router with 10.99.NUMBER.2, or joined to the gateway, which it knows as
    /// 192.0.NUMBER.1, with 192.0.NUMBER.2.
    pub(crate) fn client(&mut self, name: &str, number: u8, behind_nat: bool) {
        let client = self.add(name);
        let (other, net) = if behind_nat { ("nat", "10.99") } else { ("gw", "192.0") };
        let (ours, theirs) = (format!("{net}.{number}.2/24"), format!("{net}.{number}.1/24"));
        join(&self.ns(other), &format!("wan{number}"), &client, "wan", &[&theirs], &[&ours]);
        if behind_nat {
            sh(&format!("ip -n {client} route add default via {net}.{number}.1"));
        }
    }

    /// Nothing but the directory, for networks of another form; the programs are those the test needs beside.
    pub(crate) fn bare(programs: &[&str]) -> Self {
        let uid = fs::read_to_string("/proc/self/status").unwrap();
        assert!(
            uid.lines().any(|l| l.starts_with("Uid:\t0")),
            "these tests make network namespaces: run them as root"
        );
        for program in ["ip", "ping", "swanctl", "charon-systemd", "nft"].iter().chain(programs) {
            let there = Command::new("sh")
                .args(["-c", &format!("PATH=$PATH:/usr/sbin:/sbin command -v {program}")])
                .output();
            assert!(
                there.is_ok_and(|o| o.status.success()),
                "{program} is missing: run `cargo xtask packages`"
            );
        }
        let prefix = format!("cy{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self {
            prefix,
            dir: tempfile::tempdir().unwrap(),
            namespaces: vec![],
            daemons: vec![],
            kernel: false,
            environment: vec![],
        }
    }

    /// A directory that goes with the lab.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Full name of a namespace.
    pub(crate) fn ns(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Makes another namespace, joined to nothing.
    pub(crate) fn add(&mut self, name: &str) -> String {
        let ns = self.ns(name);
        sh(&format!(
            "ip netns add {ns}; ip -n {ns} link set lo up
             ip netns exec {ns} sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0"
        ));
        self.namespaces.push(ns.clone());
        ns
    }

    /// Runs a shell line in a namespace.
    pub(crate) fn exec(&self, name: &str, line: &str) -> String {
        sh(&format!("ip netns exec {} sh -ec '{line}'", self.ns(name)))
    }

    /// As [`Self::exec`], success or not.
    pub(crate) fn attempt(&self, name: &str, line: &str) -> (bool, String) {
        let out =
            Command::new("ip").args(["netns", "exec", &self.ns(name), "sh", "-c", line]).output().unwrap();
        (out.status.success(), both(&out))
    }

    /// Starts a command in a namespace; the caller waits for it.
    pub(crate) fn spawn(&self, name: &str, args: &[&str]) -> Child {
        Command::new("ip")
            .args(["netns", "exec", &self.ns(name)])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Starts a daemon in namespace `name` with this `swanctl.conf`, loads it, returns when it is loaded.
    pub(crate) fn start(&mut self, name: &str, kind: Kind, swanctl_conf: &str) -> Daemon {
        let daemon = self.start_with(name, kind, "");
        daemon.load(swanctl_conf);
        daemon
    }

    /// Starts a daemon with `charon` settings beside ours, nothing loaded.
    pub(crate) fn start_with(&mut self, name: &str, kind: Kind, settings: &str) -> Daemon {
        let dir = self.dir.path().join(format!("{name}{}", self.daemons.len()));
        fs::create_dir_all(dir.join("swanctl")).unwrap();
        let d = dir.display().to_string();
        let load = "random nonce openssl curve25519 aes sha1 sha2 hmac kdf gcm chapoly ctr ccm cmac xcbc gmp pem pkcs1 pkcs8 mgf1 x509 \
                    pubkey constraints revocation curl gcrypt md4 md5 eap-identity eap-md5 eap-mschapv2 eap-gtc eap-tls eap-ttls kernel-libipsec kernel-netlink socket-default vici updown resolve";
        let load = match (kind, self.kernel) {
            (Kind::Charon, false) => format!("load = {load}"),
            (Kind::Charon, true) => format!("load = {}", load.replace("kernel-libipsec", "")),
            (Kind::Cygnet, false) => "data_plane = userspace".to_owned(),
            (Kind::Cygnet, true) => "data_plane = xfrm".to_owned(),
        };
        let section = format!(
            "  {load}
  {settings}
  install_virtual_ip = yes
  plugins {{
    vici {{
      socket = unix://{d}/vici
    }}
    resolve {{
      file = {d}/resolv.conf
    }}
  }}
  filelog {{
    log {{
      path = {d}/log
      flush_line = yes
      append = no
      default = 1
      ike = 2
      chd = 2
      knl = 2
      net = 1
      cfg = 2
    }}
  }}
"
        );
        fs::write(
            dir.join("strongswan.conf"),
            format!("charon-systemd {{\n{section}}}\nswanctl {{\n  socket = unix://{d}/vici\n}}\n"),
        )
        .unwrap();
        fs::write(dir.join("resolv.conf"), "").unwrap();
        self.run(name, kind, &dir)
    }

    /// Starts a daemon again that ended or was killed, in the same place.
    pub(crate) fn start_again(&mut self, name: &str, daemon: &Daemon) -> Daemon {
        self.run(name, daemon.kind, &daemon.dir)
    }

    fn run(&mut self, name: &str, kind: Kind, dir: &Path) -> Daemon {
        let ns = self.ns(name);
        let program = match kind {
            Kind::Cygnet => env!("CARGO_BIN_EXE_cygnetd").to_owned(),
            Kind::Charon => "charon-systemd".to_owned(),
        };
        let out = fs::File::create(dir.join("out")).unwrap();
        let child = Command::new("ip")
            .args(["netns", "exec", &ns, &program])
            .envs(self.environment.iter().cloned())
            .env("STRONGSWAN_CONF", dir.join("strongswan.conf"))
            .env("SWANCTL_DIR", dir.join("swanctl"))
            .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let daemon = Daemon { kind, ns, dir: dir.to_owned(), pid: child.id() };
        self.daemons.push(child);
        let up = wait_for(START, || daemon.try_swanctl(&["--version", "--daemon"]).0);
        assert!(up, "{kind:?} in {name} did not start\n{}", daemon.said());
        daemon
    }

    /// Pings `to` from `name`: panics when any of `count` packets is lost.
    pub(crate) fn ping(&self, name: &str, to: &str, count: u32) {
        let (ok, said) = self.try_ping(name, to, count);
        assert!(ok, "ping {name} -> {to}\n{said}");
    }

    /// Pings; true when the first `count` were all answered. On a busy machine answers come late, and `ping` then
    /// sends more meanwhile, which it calls a loss.
    pub(crate) fn try_ping(&self, name: &str, to: &str, count: u32) -> (bool, String) {
        let (_, said) = self.attempt(name, &format!("ping -n -i 0.05 -c {count} -W 1 -w 8 {to}"));
        ((1..=count).all(|n| said.contains(&format!("icmp_seq={n} "))), said)
    }

    /// Asks a daemon to end and waits for it.
    pub(crate) fn stop(&mut self, daemon: &Daemon) -> bool {
        let Some(child) = self.daemons.iter_mut().find(|c| c.id() == daemon.pid) else { return false };
        sh(&format!("kill -TERM {}", daemon.pid));
        wait_for(Duration::from_secs(15), || matches!(child.try_wait(), Ok(Some(_))))
    }

    /// Kills a daemon at once.
    pub(crate) fn kill(&mut self, daemon: &Daemon) {
        if let Some(child) = self.daemons.iter_mut().find(|c| c.id() == daemon.pid) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for child in &mut self.daemons {
            if matches!(child.try_wait(), Ok(None)) {
                let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
                if !wait_for(Duration::from_secs(6), || !matches!(child.try_wait(), Ok(None))) {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        }
        for ns in &self.namespaces {
            let _ = Command::new("ip").args(["netns", "del", ns]).output();
        }
    }
}

fn join(a: &str, a_dev: &str, b: &str, b_dev: &str, a_addr: &[&str], b_addr: &[&str]) {
    let mut lines = format!("ip link add {a_dev} netns {a} type veth peer name {b_dev} netns {b}\n");
    for (ns, dev, addresses) in [(a, a_dev, a_addr), (b, b_dev, b_addr)] {
        for address in addresses {
            let nodad = if address.contains(':') { "nodad" } else { "" };
            let _ = writeln!(lines, "ip -n {ns} addr add {address} dev {dev} {nodad}");
        }
        let _ = writeln!(lines, "ip -n {ns} link set {dev} up");
    }
    sh(&lines);
}

impl Daemon {
    /// Runs the stock swanctl; success and what it said.
    pub(crate) fn try_swanctl(&self, args: &[&str]) -> (bool, String) {
        let out = Command::new("swanctl")
            .args(args)
            .args(["--uri", &format!("unix://{}/vici", self.dir.display())])
            .env("STRONGSWAN_CONF", self.dir.join("strongswan.conf"))
            .env("SWANCTL_DIR", self.dir.join("swanctl"))
            .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (out.status.success(), both(&out))
    }

    /// Runs the stock swanctl; panics with the log when it fails.
    pub(crate) fn swanctl(&self, args: &[&str]) -> String {
        let (ok, said) = self.try_swanctl(args);
        assert!(ok, "swanctl {args:?} on {:?}\n{said}\n{}", self.kind, self.said());
        said
    }

    /// Runs this build's `cygnet` with these words, against this daemon and its settings.
    pub(crate) fn cygnet(&self, words: &[&str]) -> Output {
        let tool = Path::new(env!("CARGO_BIN_EXE_cygnetd")).with_file_name("cygnet");
        assert!(tool.exists(), "{} is missing: cargo build -p cli", tool.display());
        Command::new(tool)
            .args(words)
            .env("CYGNET_URI", format!("unix://{}/vici", self.dir.display()))
            .env("STRONGSWAN_CONF", self.dir.join("strongswan.conf"))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Writes `swanctl.conf` and loads it.
    pub(crate) fn load(&self, swanctl_conf: &str) {
        fs::write(self.dir.join("swanctl/swanctl.conf"), swanctl_conf).unwrap();
        self.swanctl(&["--load-all", "--noprompt"]);
    }

    /// Initiates a child; panics when that fails.
    pub(crate) fn initiate(&self, child: &str) {
        self.swanctl(&["--initiate", "--child", child, "--timeout", "10"]);
    }

    /// `--list-sas --raw`.
    pub(crate) fn sas(&self) -> String {
        self.swanctl(&["--list-sas", "--raw"])
    }

    /// The log and what the process printed.
    pub(crate) fn said(&self) -> String {
        let read = |f: &str| fs::read_to_string(self.dir.join(f)).unwrap_or_default();
        let log = read("log");
        let tail: Vec<_> = log.lines().rev().take(120).collect();
        format!(
            "--- {:?} in {}\n{}\n{}",
            self.kind,
            self.ns,
            read("out"),
            tail.into_iter().rev().collect::<Vec<_>>().join("\n")
        )
    }

    /// Waits until the log has `text`.
    pub(crate) fn logged(&self, text: &str, limit: Duration) -> bool {
        wait_for(limit, || fs::read_to_string(self.dir.join("log")).is_ok_and(|l| l.contains(text)))
    }

    /// How often the log has `text`.
    pub(crate) fn count_logged(&self, text: &str) -> usize {
        fs::read_to_string(self.dir.join("log")).map_or(0, |l| l.matches(text).count())
    }

    /// Path of a file of the daemon's directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        Path::new(&self.dir).join(name)
    }
}
