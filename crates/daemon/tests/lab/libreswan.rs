//! libreswan's pluto in a lab's namespace, from `target/peers/libreswan`, where `cargo xtask packages` unpacked it.

use super::lab::{Lab, both, wait_for};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// For the daemon to answer; under emulation that takes long.
const START: Duration = Duration::from_secs(40);

/// A running pluto; it ends when dropped.
pub(crate) struct Pluto {
    child: Child,
    ns: String,
    dir: PathBuf,
    peers: PathBuf,
}

impl Pluto {
    /// Starts it with this `ipsec.conf`, one secret for everybody, a fresh certificate store; its connections are loaded.
    pub(crate) fn start(lab: &Lab, name: &str, conf: &str, secret: &str) -> Self {
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/libreswan");
        let peers = peers.canonicalize().expect("libreswan is missing: run `cargo xtask packages`");
        let dir = lab.dir().join(format!("pluto-{name}"));
        for part in ["nss", "run", "ipsec.d"] {
            fs::create_dir_all(dir.join(part)).unwrap();
        }
        fs::write(dir.join("ipsec.conf"), conf).unwrap();
        fs::write(dir.join("ipsec.secrets"), format!(": PSK \"{secret}\"\n")).unwrap();
        let ns = lab.ns(name);
        let d = dir.display().to_string();
        let command = |program: &str, args: &[&str]| command(&ns, &peers, program, args);
        let made =
            command("bin/certutil", &["-N", "-d", &format!("sql:{d}/nss"), "--empty-password"]).output();
        let made = made.unwrap();
        assert!(made.status.success(), "certutil: {}", both(&made));
        let out = fs::File::create(dir.join("out")).unwrap();
        let child = command("libexec/ipsec/pluto", &["--nofork", "--no-dnssec"])
            .args(["--config", &format!("{d}/ipsec.conf"), "--nssdir", &format!("{d}/nss")])
            .args(["--rundir", &format!("{d}/run"), "--ipsecdir", &format!("{d}/ipsec.d")])
            .args(["--secretsfile", &format!("{d}/ipsec.secrets"), "--logfile", &format!("{d}/log")])
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let pluto = Self { child, ns: ns.clone(), dir, peers: peers.clone() };
        // It loads its connections by itself, and reads the secrets last.
        let ready = wait_for(START, || pluto.logged("loading secrets from"));
        assert!(ready, "pluto did not start\n{}", pluto.said());
        pluto
    }

    /// Runs `whack`; success and what it said.
    pub(crate) fn whack(&self, args: &[&str]) -> (bool, String) {
        let socket = self.dir.join("run/pluto.ctl").display().to_string();
        let args = [&["--ctlsocket", &socket], args].concat();
        let out = command(&self.ns, &self.peers, "libexec/ipsec/whack", &args).output().unwrap();
        (out.status.success(), both(&out))
    }

    /// Whether its log has `text`.
    pub(crate) fn logged(&self, text: &str) -> bool {
        fs::read_to_string(self.dir.join("log")).is_ok_and(|log| log.contains(text))
    }

    /// What it printed, and the end of its log.
    pub(crate) fn said(&self) -> String {
        let read = |file: &str| fs::read_to_string(self.dir.join(file)).unwrap_or_default();
        let log = read("log");
        let lines: Vec<&str> = log.lines().collect();
        format!(
            "--- pluto in {}\n{}\n{}",
            self.ns,
            read("out"),
            lines[lines.len().saturating_sub(120)..].join("\n")
        )
    }

    /// Asks it to end; true when it did.
    pub(crate) fn stop(&mut self) -> bool {
        self.whack(&["--shutdown"]);
        wait_for(Duration::from_secs(15), || matches!(self.child.try_wait(), Ok(Some(_))))
    }
}

impl Drop for Pluto {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// One of its programs in a namespace, with its own libraries. It insists on `/usr/libexec/ipsec`, which it so gets in
/// the mount namespace that `ip netns exec` makes for it; `ipsec`, of which strongSwan has one too, is found by PATH.
fn command(ns: &str, peers: &Path, program: &str, args: &[&str]) -> Command {
    let usr = peers.join("usr");
    let multiarch = fs::read_dir(usr.join("lib")).unwrap().flatten().map(|e| e.path());
    let lib: Vec<String> = multiarch
        .filter(|p| p.to_string_lossy().contains("-linux-"))
        .map(|p| p.display().to_string())
        .collect();
    let mut c = Command::new("ip");
    c.args([
        "netns",
        "exec",
        ns,
        "sh",
        "-c",
        "mount --bind \"$1\" /usr/libexec && shift && exec \"$@\"",
        "sh",
    ])
    .arg(usr.join("libexec"))
    .arg(usr.join(program))
    .args(args)
    .env("LD_LIBRARY_PATH", lib.join(":"))
    .env(
        "PATH",
        format!(
            "{}:{}:/usr/sbin:/sbin",
            usr.join("sbin").display(),
            std::env::var("PATH").unwrap_or_default()
        ),
    )
    .stdin(Stdio::null());
    c
}
