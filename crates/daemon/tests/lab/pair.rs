//! A gateway and a client, and what the tests of authentication do with them.
#![allow(dead_code, reason = "each test binary uses its part")]

use super::authority::Authority;
use super::lab::{Daemon, Kind, Lab, Path4, wait_for};
use config::tree::Section;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use vici::Message as _;

/// Until a log has a line.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// Ours and theirs, each once at the gateway.
pub(crate) const ROLES: [[Kind; 2]; 2] = [[Kind::Cygnet, Kind::Charon], [Kind::Charon, Kind::Cygnet]];

/// The gateway by its certificate.
pub(crate) const MOON: &str = "auth = pubkey\n certs = moon.pem\n id = moon.cygnet.test";
/// The client by its certificate.
pub(crate) const CAROL: &str = "auth = pubkey\n certs = carol.pem\n id = carol@cygnet.test";
/// What the client demands of the gateway.
pub(crate) const TO_MOON: &str = "auth = pubkey\n id = moon.cygnet.test";
/// What the gateway demands of the client.
pub(crate) const TO_CAROL: &str = "auth = pubkey\n id = carol@cygnet.test";

/// A side's `local` and `remote`.
fn conf(connection: &str, local: &str, remote: &str, child: &str) -> String {
    format!(
        "connections {{
  c {{
    {connection}
    version = 2
    proposals = aes128-sha256-x25519
    local {{
      {local}
    }}
    remote {{
      {remote}
    }}
    children {{
      net {{
        {child}
        esp_proposals = aes128gcm16-x25519
      }}
    }}
  }}
}}
pools {{
  v4 {{
    addrs = 10.3.0.0/24
  }}
}}
"
    )
}

/// The gateway's `swanctl.conf`.
pub(crate) fn gateway(local: &str, remote: &str) -> String {
    conf("local_addrs = 192.0.2.1\n    pools = v4", local, remote, "local_ts = 10.1.0.0/16")
}

/// The client's.
pub(crate) fn client(local: &str, remote: &str) -> String {
    conf("remote_addrs = 192.0.2.1\n    vips = 0.0.0.0", local, remote, "remote_ts = 10.1.0.0/16")
}

/// Secrets behind either.
pub(crate) fn secrets(body: &str) -> String {
    format!("secrets {{\n{body}\n}}\n")
}

/// A lab with a gateway `gw` and a client `cl`.
pub(crate) struct Pair {
    pub(crate) lab: Lab,
    pub(crate) gw: Daemon,
    pub(crate) cl: Daemon,
}

/// Alerts that a daemon of ours has told.
pub(crate) struct Alerts(Arc<Mutex<Vec<Section>>>, Daemon);

/// What an alert says about somebody's credentials.
#[derive(Debug)]
pub(crate) struct Alert {
    /// Subject of the certificate; empty where it is not about one.
    pub(crate) certificate: String,
    /// Which rule.
    pub(crate) reason: String,
}

impl Alerts {
    /// Those of this daemon from now on.
    pub(crate) fn of(daemon: &Daemon) -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let uri = format!("unix://{}", daemon.file("vici").display());
        let mut client = vici::Client::connect(&uri, None).unwrap();
        client.register("alert").unwrap();
        let heard = told.clone();
        std::thread::spawn(move || {
            while let Ok(Some((_, event))) = client.next_event(None) {
                heard.lock().unwrap().push(event);
            }
        });
        Self(told, daemon.clone())
    }

    fn text(&self) -> String {
        let all = self.0.lock().unwrap();
        all.iter()
            .map(|one| String::from_utf8_lossy(&config::write::to_text(one)).into_owned() + "\n")
            .collect()
    }

    /// Waits for one whose text has the words; gives all.
    pub(crate) fn wait_for(&self, words: &str) -> String {
        assert!(
            wait_for(SOON, || self.text().contains(words)),
            "{words} not in\n{}\n{}",
            self.text(),
            self.1.said()
        );
        self.text()
    }

    /// Waits for the first one of this type; both keys must be there, and a reason in it.
    pub(crate) fn one(&self, kind: &str) -> Alert {
        let find = || self.0.lock().unwrap().iter().find(|one| one.text("type") == Some(kind)).cloned();
        assert!(wait_for(SOON, || find().is_some()), "no {kind} in\n{}\n{}", self.text(), self.1.said());
        let found = find().unwrap();
        let key =
            |key: &str| found.text(key).unwrap_or_else(|| panic!("no {key} in\n{}", self.text())).to_owned();
        let alert = Alert { certificate: key("certificate"), reason: key("reason") };
        assert!(!alert.reason.is_empty(), "{}", self.text());
        alert
    }
}

impl Pair {
    /// Gateway and client of these kinds with the same settings, nothing loaded.
    pub(crate) fn new(kinds: [Kind; 2], settings: &str) -> Self {
        Self::with_environment(kinds, [settings; 2], &[])
    }

    /// The same with settings of their own, and environment variables.
    pub(crate) fn with_environment(
        kinds: [Kind; 2],
        settings: [&str; 2],
        environment: &[(&str, &std::path::Path)],
    ) -> Self {
        let mut lab = Lab::new(Path4::Direct);
        lab.environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.display().to_string()))
            .collect();
        let gw = lab.start_with("gw", kinds[0], settings[0]);
        let cl = lab.start_with("cl", kinds[1], settings[1]);
        Self { lab, gw, cl }
    }

    /// The certification authority of this lab.
    pub(crate) fn authority(&self) -> Authority {
        Authority::open(&self.lab.dir().join("ca"))
    }

    pub(crate) fn load(&self, gateway: &str, client: &str) {
        self.gw.load(gateway);
        self.cl.load(client);
    }

    /// Initiates, pings through the tunnel, closes it.
    pub(crate) fn works(&self) {
        let (ok, said) = self.cl.try_swanctl(&["--initiate", "--child", "net", "--timeout", "10"]);
        assert!(ok, "{said}\n{}\n{}", self.gw.said(), self.cl.said());
        self.lab.ping("cl", "10.1.0.10", 3);
        self.cl.swanctl(&["--terminate", "--ike", "c"]);
    }

    /// Initiating fails.
    pub(crate) fn fails(&self) {
        let (ok, said) = self.cl.try_swanctl(&["--initiate", "--child", "net", "--timeout", "15"]);
        assert!(!ok, "{said}\n{}\n{}", self.gw.said(), self.cl.said());
    }

    /// The one that is built here.
    pub(crate) fn ours(&self) -> &Daemon {
        if self.gw.kind == Kind::Cygnet { &self.gw } else { &self.cl }
    }

    /// Listens to the `alert` events of our daemon from now on.
    pub(crate) fn alerts(&self) -> Alerts {
        Alerts::of(self.ours())
    }
}
