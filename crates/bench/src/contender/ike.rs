//! Daemons that speak IKE and vici: ours and charon. Both are given the same files, as a user would, by the same tool.
use super::{Contender, Kind, Tunnel, first_line};
use crate::nursery::{Nursery, Process, scratch};
use crate::stage::{FAR_INNER, Stage};
use anyhow::{Context as _, Result};
use linux::netns::Namespace;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Where charon is, below a prefix.
const BELOW: [&str; 4] =
    ["libexec/ipsec/charon", "lib/ipsec/charon", "libexec/strongswan/charon", "sbin/charon-systemd"];
/// Where its plugins are.
const PLUGINS: [&str; 2] = ["lib/ipsec/plugins", "lib/strongswan/plugins"];
/// A daemon must have opened its socket after so long, and a tunnel must be up.
const SOON: Duration = Duration::from_secs(20);
/// Where both daemons listen for vici, each in a `/run` of its own.
const SOCKET: &str = "run/charon.vici";

/// What both ends know. Made for this, and known to the world by being here.
pub(crate) const SECRET: &str = "made for measuring only";
/// IKE and ESP proposals.
pub(crate) const IKE: &str = "aes128gcm16-prfsha256-x25519";
pub(crate) const ESP: &str = "aes128gcm16";

/// The far end: takes anybody who knows the secret and gives out addresses; with `more` in its connection.
pub(crate) fn gateway(more: &str) -> String {
    format!(
        "\
connections {{
  bench {{
    version = 2
    local_addrs = 192.0.2.1
    proposals = {IKE}
    pools = bench
    {more}
    local {{
      auth = psk
      id = srv.strongswan.org
    }}
    remote {{
      auth = psk
    }}
    children {{
      net {{
        local_ts = 10.1.0.0/24
        esp_proposals = {ESP}
      }}
    }}
  }}
}}
pools {{
  bench {{
    addrs = 10.64.0.0/10
  }}
}}
secrets {{
  ike-bench {{
    secret = \"{SECRET}\"
  }}
}}
"
    )
}

/// The near end.
fn client() -> String {
    format!(
        "\
connections {{
  bench {{
    version = 2
    remote_addrs = 192.0.2.1
    vips = 0.0.0.0
    proposals = {IKE}
    local {{
      auth = psk
      id = client.bench.test
    }}
    remote {{
      auth = psk
      id = srv.strongswan.org
    }}
    children {{
      net {{
        remote_ts = 10.1.0.0/24
        esp_proposals = {ESP}
      }}
    }}
  }}
}}
secrets {{
  ike-bench {{
    secret = \"{SECRET}\"
  }}
}}
"
    )
}

/// A charon that can be started.
#[derive(Debug, Clone)]
pub(crate) struct Charon {
    pub(crate) program: PathBuf,
    pub(crate) version: String,
    prefix: PathBuf,
}

impl Charon {
    /// Below the prefix told, else in the usual places.
    pub(crate) fn find(prefix: Option<&Path>) -> Result<Self, String> {
        let prefixes = match prefix {
            Some(prefix) => vec![prefix.to_owned()],
            None => vec![PathBuf::from("/usr/local"), PathBuf::from("/usr")],
        };
        for prefix in prefixes {
            let Some(program) = BELOW.iter().map(|place| prefix.join(place)).find(|file| file.is_file())
            else {
                continue;
            };
            let version = first_line(&program, &["--version"]);
            return Ok(Self { program, version, prefix });
        }
        Err("charon is not installed; say where it is with --strongswan PREFIX".to_owned())
    }

    /// Whether it has a plugin.
    pub(crate) fn needs(&self, plugin: &str) -> Result<(), String> {
        let file = format!("libstrongswan-{plugin}.so");
        if PLUGINS.iter().any(|place| self.prefix.join(place).join(&file).is_file()) {
            return Ok(());
        }
        Err(format!("charon is there, its plugin {plugin} is not"))
    }
}

pub(super) fn raise(contender: &Contender, stage: Stage, nursery: &Nursery) -> Result<Tunnel> {
    stage.far.configure("lo", format!("{FAR_INNER}/32").parse()?)?;
    let [far, near] = [(&stage.far, "far", gateway("")), (&stage.near, "near", client())].map(
        |(place, end, text)| -> Result<Process> {
            let daemon = start(contender, place, end, &settings(contender.kind, ""), nursery)?;
            load(contender, place, &daemon, &text, nursery)?;
            Ok(daemon)
        },
    );
    let (far, near) = (far?, near?);
    let mut up = tool(contender, &near);
    up.args(["up", "bench", "--timeout", "15"]);
    nursery
        .run(&stage.near, "cygnet up", up, SOON)
        .with_context(|| format!("the gateway said: {}", far.last_words()))?;
    Ok(Tunnel { stage, to: FAR_INNER, ends: vec![near, far] })
}

/// strongswan.conf for either daemon: errors only in the log, and `more` in the section `charon`.
pub(crate) fn settings(kind: Kind, more: &str) -> String {
    // aesni and openssl first: they compute fastest
    let plane = match kind {
        Kind::Strongswan => {
            "load = random nonce aesni openssl curve25519 aes sha1 sha2 hmac kdf gcm pem pkcs1 pkcs8 x509 pubkey \
             constraints kernel-libipsec kernel-netlink socket-default vici"
        }
        // the load tester stands in for a kernel
        Kind::StrongswanFake => {
            "load = random nonce aesni openssl curve25519 aes sha1 sha2 hmac kdf gcm pem pkcs1 pkcs8 x509 pubkey \
             constraints load-tester kernel-netlink socket-default vici"
        }
        _ => "data_plane = userspace",
    };
    format!(
        "\
charon {{
  {plane}
  {more}
  filelog {{
    stderr {{
      default = 0
    }}
  }}
  syslog {{
    daemon {{
      default = -1
    }}
    auth {{
      default = -1
    }}
  }}
  plugins {{
    vici {{
      socket = unix:///{SOCKET}
    }}
  }}
}}
charon-systemd {{
  journal {{
    default = -1
  }}
}}
"
    )
}

/// Starts a daemon in a namespace, with a `/run` of its own; returns when its socket answers.
pub(crate) fn start(
    contender: &Contender,
    place: &Namespace,
    end: &str,
    settings: &str,
    nursery: &Nursery,
) -> Result<Process> {
    let directory = scratch()?;
    fs::write(directory.path().join("strongswan.conf"), settings)?;
    let process = spawn(contender, place, end, directory, nursery)?;
    let socket = format!("/proc/{}/root/{SOCKET}", process.pid);
    process.wait_until("a vici socket", SOON, || UnixStream::connect(&socket).is_ok())?;
    Ok(process)
}

/// Starts a daemon in a namespace, with a `/run` of its own, that loads this swanctl.conf itself; returns at once.
pub(crate) fn spawn_loading(
    contender: &Contender,
    place: &Namespace,
    end: &str,
    swanctl: &str,
    nursery: &Nursery,
) -> Result<Process> {
    let directory = scratch()?;
    let (path, tool) = (directory.path().display(), contender.tool.display());
    // scripts are given no environment
    let more = format!(
        "start-scripts {{
    load = CYGNET_URI=unix:///{SOCKET} SWANCTL_DIR={path} STRONGSWAN_CONF={path}/strongswan.conf {tool} load --noprompt
  }}"
    );
    fs::write(directory.path().join("strongswan.conf"), settings(contender.kind, &more))?;
    fs::write(directory.path().join("swanctl.conf"), swanctl)?;
    spawn(contender, place, end, directory, nursery)
}

fn spawn(
    contender: &Contender,
    place: &Namespace,
    end: &str,
    directory: TempDir,
    nursery: &Nursery,
) -> Result<Process> {
    let mut command = Command::new(&contender.program);
    command
        .env("STRONGSWAN_CONF", directory.path().join("strongswan.conf"))
        .env("SWANCTL_DIR", directory.path());
    let name = format!("{} ({end})", contender.kind.name());
    nursery.start(place, &name, directory, command, &[Path::new("/run")])
}

/// Loads a swanctl.conf.
pub(crate) fn load(
    contender: &Contender,
    place: &Namespace,
    daemon: &Process,
    text: &str,
    nursery: &Nursery,
) -> Result<()> {
    fs::write(daemon.directory().join("swanctl.conf"), text)?;
    let mut command = tool(contender, daemon);
    command.args(["load", "--noprompt"]);
    nursery.run(place, "cygnet load", command, SOON).map(drop)
}

/// Where a daemon listens for vici, from outside.
pub(crate) fn uri(daemon: &Process) -> String {
    format!("unix:///proc/{}/root/{SOCKET}", daemon.pid)
}

/// Our tool, speaking to a daemon.
fn tool(contender: &Contender, daemon: &Process) -> Command {
    let mut command = Command::new(&contender.tool);
    command
        .env("CYGNET_URI", uri(daemon))
        .env("SWANCTL_DIR", daemon.directory())
        .env("STRONGSWAN_CONF", daemon.directory().join("strongswan.conf"));
    command
}
