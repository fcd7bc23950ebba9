//! A stand-in for systemd-resolved: `org.freedesktop.resolve1` on a bus of its own. It writes down what it is told.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Variable that makes a test process the stand-in: bus address and file, with a bar between.
pub(crate) const ROLE: &str = "CYGNET_TEST_RESOLVED";

struct Manager(PathBuf);

impl Manager {
    /// The interface of that number, in the namespace of this process.
    fn name(index: i32) -> String {
        let links = fs::read_dir("/sys/class/net").unwrap().map(|entry| entry.unwrap());
        let is = |path: PathBuf| fs::read_to_string(path).is_ok_and(|text| text.trim() == index.to_string());
        let found = links.into_iter().find(|link| is(link.path().join("ifindex")));
        found.map_or_else(|| format!("no-{index}"), |link| link.file_name().to_string_lossy().into_owned())
    }

    fn note(&self, what: &str, index: i32, rest: &str) {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(&self.0).unwrap();
        writeln!(file, "{what} {}{rest}", Self::name(index)).unwrap();
    }
}

#[zbus::interface(name = "org.freedesktop.resolve1.Manager")]
impl Manager {
    #[zbus(name = "SetLinkDNS")]
    fn set_link_dns(&self, index: i32, servers: Vec<(i32, Vec<u8>)>) {
        let address = |(family, bytes): (i32, Vec<u8>)| match (family, bytes.len()) {
            (2, 4) => std::net::IpAddr::from(<[u8; 4]>::try_from(bytes).unwrap()).to_string(),
            (10, 16) => std::net::IpAddr::from(<[u8; 16]>::try_from(bytes).unwrap()).to_string(),
            other => format!("{other:?}"),
        };
        let all: String = servers.into_iter().map(|server| format!(" {}", address(server))).collect();
        self.note("dns", index, &all);
    }

    fn set_link_domains(&self, index: i32, domains: Vec<(String, bool)>) {
        let one = |(name, route): (String, bool)| format!(" {}{name}", if route { "~" } else { "" });
        self.note("domains", index, &domains.into_iter().map(one).collect::<String>());
    }

    fn set_link_default_route(&self, index: i32, on: bool) {
        self.note("default-route", index, &format!(" {on}"));
    }

    fn revert_link(&self, index: i32) {
        self.note("revert", index, "");
    }
}

/// In the process that is the stand-in: serves until it is killed.
pub(crate) fn serve(role: &str) -> ! {
    let (address, file) = role.split_once('|').unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let _connection = zbus::connection::Builder::address(address)
            .serve_at("/org/freedesktop/resolve1", Manager(file.into()))
            .name("org.freedesktop.resolve1")
            .build()
            .await
            .unwrap();
        std::future::pending().await
    })
}

/// The bus, and the stand-in in a network namespace.
pub(crate) struct Resolved {
    bus: Child,
    stand_in: Option<Child>,
    /// Namespace of the next stand-in.
    pub(crate) ns: String,
    dir: PathBuf,
}

impl Resolved {
    /// Starts the bus in `dir` and the stand-in in namespace `ns`. `test`: the name of the test that calls [`serve`].
    pub(crate) fn start(dir: &Path, ns: &str, test: &str) -> Self {
        let config = dir.join("bus.conf");
        fs::write(
            &config,
            format!(
                "<busconfig><listen>unix:path={}/bus</listen><auth>EXTERNAL</auth><policy context=\"default\">\
                 <allow user=\"*\"/><allow own=\"*\"/><allow send_type=\"method_call\"/>\
                 <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/></policy></busconfig>",
                dir.display()
            ),
        )
        .unwrap();
        let bus = Command::new("dbus-daemon")
            .args(["--nofork", &format!("--config-file={}", config.display())])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon is missing: run `cargo xtask packages`");
        let mut resolved = Self { bus, stand_in: None, ns: ns.to_owned(), dir: dir.to_owned() };
        assert!(super::lab::wait_for(Duration::from_secs(5), || dir.join("bus").exists()), "no bus");
        resolved.restart(test);
        resolved
    }

    /// Address of the bus.
    pub(crate) fn address(&self) -> String {
        format!("unix:path={}/bus", self.dir.display())
    }

    /// Kills the stand-in, if there is one, and starts another, which knows nothing.
    pub(crate) fn restart(&mut self, test: &str) {
        self.kill();
        let file = self.dir.join("told");
        let child = Command::new("ip")
            .args(["netns", "exec", &self.ns])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(ROLE, format!("{}|{}", self.address(), file.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.stand_in = Some(child);
    }

    /// Kills the stand-in.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.stand_in.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let _ = fs::remove_file(self.dir.join("told"));
    }

    /// The stand-in has its name on the bus.
    pub(crate) fn is_there(&self) -> bool {
        let line = format!(
            "dbus-send --bus={} --print-reply --dest=org.freedesktop.DBus / \
             org.freedesktop.DBus.NameHasOwner string:org.freedesktop.resolve1",
            self.address()
        );
        super::lab::sh(&line).contains("true")
    }

    /// What the stand-in was told since it started.
    pub(crate) fn told(&self) -> String {
        fs::read_to_string(self.dir.join("told")).unwrap_or_default()
    }
}

impl Drop for Resolved {
    fn drop(&mut self) {
        self.kill();
        let _ = self.bus.kill();
        let _ = self.bus.wait();
    }
}
