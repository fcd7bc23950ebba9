//! strongSwan's load-tester plugin: a charon that plays thousands of clients. Its settings are described in
//! strongswan.conf(5), "LOAD TESTS".
use crate::args::Args;
use crate::contender::ike::{Charon, ESP, IKE, SECRET};
use crate::nursery::{Nursery, Process, scratch};
use crate::stage::FAR;
use anyhow::Result;
use linux::netns::Namespace;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Threads that initiate.
const INITIATORS: usize = 10;

/// A charon with the plugin.
pub(crate) struct LoadTester {
    charon: Charon,
}

impl LoadTester {
    /// Below the prefix told, else in the usual places.
    pub(crate) fn find(args: &Args) -> Result<Self, String> {
        let prefix = args.load_tester.as_deref().or(args.strongswan.as_deref());
        let charon = Charon::find(prefix)?;
        charon.needs("load-tester")?;
        Ok(Self { charon })
    }

    /// Section `plugins` of a responder that shall have no data plane: the plugin, initiating nothing.
    pub(crate) fn as_responder(&self) -> String {
        plugin("initiators = 0\n      pool = bench")
    }

    /// Starts to set up so many IKE_SAs, each with a CHILD_SA and a virtual address.
    pub(crate) fn start(&self, place: &Namespace, count: usize, nursery: &Nursery) -> Result<Process> {
        let directory = scratch()?;
        let threads = INITIATORS.min(count).max(1);
        let more = format!(
            "initiators = {threads}
      iterations = {}
      delay = 0
      responder = {FAR}
      request_virtual_ip = yes",
            count.div_ceil(threads)
        );
        let text = format!(
            "\
charon {{
  load = random nonce aesni openssl curve25519 aes sha1 sha2 hmac kdf gcm pem pkcs1 x509 pubkey load-tester \
             kernel-netlink socket-default
  reuse_ikesa = no
  install_virtual_ip = no
  install_routes = no
  threads = 32
  ikesa_table_size = 65536
  ikesa_table_segments = 64
  {}
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
}}
",
            plugin(&more)
        );
        fs::write(directory.path().join("strongswan.conf"), text)?;
        let mut command = Command::new(&self.charon.program);
        command.env("STRONGSWAN_CONF", directory.path().join("strongswan.conf"));
        nursery.start(place, "load tester", directory, command, &[Path::new("/run")])
    }
}

/// The plugin's settings that both ends share, and `more`.
fn plugin(more: &str) -> String {
    format!(
        "plugins {{
    load-tester {{
      enable = yes
      fake_kernel = yes
      version = 2
      proposal = {IKE}
      esp = {ESP}
      initiator_auth = psk
      responder_auth = psk
      preshared_key = {SECRET}
      child_rekey = 0
      initiator_tsr = 10.1.0.0/24
      {more}
    }}
  }}"
    )
}
