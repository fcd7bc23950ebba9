//! A FreeRADIUS of Debian's with a configuration of its own, in a namespace.
#![allow(dead_code, reason = "each test binary uses its part")]

use super::lab::{self, Lab};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The secret between it and the gateway.
pub(crate) const SECRET: &str = "gv6URkSs";

/// A running server.
pub(crate) struct FreeRadius {
    /// Its directory.
    pub(crate) dir: PathBuf,
    child: Child,
}

/// Makes a CA, a certificate for the server and one for a user; `ca.pem`, `aaa.pem`, `aaa.key`, `carol.pem`, `carol.key`.
pub(crate) fn certificates(dir: &Path) {
    let d = dir.display();
    lab::sh(&format!(
        "cd {d}
         new() {{ openssl req -quiet -newkey rsa:2048 -nodes -subj \"/C=CH/O=Cygnet/CN=$1\" -keyout $1.key -out $1.csr 2>/dev/null ||
                  openssl req -newkey rsa:2048 -nodes -subj \"/C=CH/O=Cygnet/CN=$1\" -keyout $1.key -out $1.csr 2>/dev/null; }}
         openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/C=CH/O=Cygnet/CN=CA' -keyout ca.key -out ca.pem 2>/dev/null
         for who in aaa carol; do
           new $who
           case $who in aaa) alt=DNS:aaa.cygnet.test; use=serverAuth;; *) alt=email:carol@cygnet.test; use=clientAuth;; esac
           printf 'subjectAltName=%s\\nextendedKeyUsage=%s\\n' $alt $use > $who.ext
           openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile $who.ext -out $who.pem 2>/dev/null
         done"
    ));
}

impl FreeRadius {
    /// Starts one on `address` in namespace `name`; `method` is the EAP method it begins with, `users` its file of users.
    /// The EAP methods with TLS need [`certificates`] in the lab's directory.
    pub(crate) fn start(lab: &Lab, name: &str, address: &str, method: &str, users: &str) -> Self {
        let dir = lab.dir().join(format!("radius-{address}"));
        fs::create_dir_all(dir.join("acct")).unwrap();
        let certs = lab.dir().display().to_string();
        let d = dir.display().to_string();
        let tls = if lab.dir().join("aaa.pem").exists() {
            format!(
                "tls-config common {{
      private_key_file = {certs}/aaa.key
      certificate_file = {certs}/aaa.pem
      ca_file = {certs}/ca.pem
      cipher_list = \"DEFAULT\"
      tls_min_version = \"1.2\"
      tls_max_version = \"1.2\"
    }}
    tls {{
      tls = common
    }}
    ttls {{
      tls = common
      default_eap_type = md5
      use_tunneled_reply = yes
      virtual_server = inner
    }}
    peap {{
      tls = common
      default_eap_type = mschapv2
      use_tunneled_reply = yes
      virtual_server = inner
    }}"
            )
        } else {
            String::new()
        };
        let conf = format!(
            "prefix = /usr
libdir = /usr/lib/freeradius
raddbdir = {d}
logdir = {d}
run_dir = {d}
pidfile = {d}/pid
name = radiusd
max_request_time = 10
cleanup_delay = 5
max_requests = 16384
hostname_lookups = no
log {{
  destination = files
  file = {d}/log
  auth = yes
}}
security {{
  allow_core_dumps = no
  max_attributes = 200
  reject_delay = 0
  status_server = yes
}}
proxy_requests = no
thread pool {{
  start_servers = 2
  max_servers = 4
  min_spare_servers = 1
  max_spare_servers = 4
  max_requests_per_server = 0
}}
client gateway {{
  ipaddr = 127.0.0.0/8
  secret = {SECRET}
  require_message_authenticator = yes
}}
modules {{
  eap {{
    default_eap_type = {method}
    timer_expire = 60
    ignore_unknown_eap_types = no
    max_sessions = 4096
    md5 {{
    }}
    mschapv2 {{
    }}
    {tls}
  }}
  mschap {{
    use_mppe = yes
    require_encryption = yes
    require_strong = yes
  }}
  files {{
    filename = {d}/users
  }}
  detail {{
    filename = {d}/acct/detail
    permissions = 0600
    header = \"%t\"
  }}
  always ok {{
    rcode = ok
  }}
}}
server default {{
  listen {{
    type = auth
    ipaddr = {address}
    port = 1812
  }}
  listen {{
    type = acct
    ipaddr = {address}
    port = 1813
  }}
  authorize {{
    eap {{
      ok = return
    }}
    files
  }}
  authenticate {{
    Auth-Type MS-CHAP {{
      mschap
    }}
    eap
  }}
  accounting {{
    detail
    ok
  }}
  post-auth {{
    Post-Auth-Type REJECT {{
      eap
    }}
  }}
}}
server inner {{
  authorize {{
    eap {{
      ok = return
    }}
    files
  }}
  authenticate {{
    Auth-Type MS-CHAP {{
      mschap
    }}
    eap
  }}
}}
"
        );
        fs::write(dir.join("radiusd.conf"), conf).unwrap();
        fs::write(dir.join("dictionary"), "$INCLUDE /usr/share/freeradius/dictionary\n").unwrap();
        fs::write(dir.join("users"), users).unwrap();
        let child = Self::spawn(lab, name, &dir);
        let mut server = Self { dir, child };
        server.wait(lab, name, address);
        server
    }

    fn spawn(lab: &Lab, name: &str, dir: &Path) -> Child {
        let out = fs::File::create(dir.join("out")).unwrap();
        Command::new("ip")
            .args(["netns", "exec", &lab.ns(name), "freeradius", "-f", "-x", "-l", "stdout", "-d"])
            .arg(dir)
            .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap()
    }

    fn wait(&mut self, lab: &Lab, name: &str, address: &str) {
        let listens = || lab.attempt(name, "ss -lnu").1.contains(&format!("{address}:1812"));
        let up = lab::wait_for(Duration::from_secs(15), || {
            listens() || !matches!(self.child.try_wait(), Ok(None))
        });
        assert!(up && listens(), "FreeRADIUS on {address} did not start\n{}", self.said());
    }

    /// Starts it again after [`Self::kill`].
    pub(crate) fn start_again(&mut self, lab: &Lab, name: &str, address: &str) {
        self.child = Self::spawn(lab, name, &self.dir);
        self.wait(lab, name, address);
    }

    /// Kills it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// It goes on living and says nothing more, or speaks again.
    pub(crate) fn silence(&self, silent: bool) {
        let signal = if silent { "STOP" } else { "CONT" };
        lab::sh(&format!("kill -{signal} {}", self.child.id()));
    }

    /// What it wrote down about sessions.
    pub(crate) fn detail(&self) -> String {
        fs::read_to_string(self.dir.join("acct/detail")).unwrap_or_default()
    }

    /// The records of that kind (`Start`, `Interim-Update`, `Stop`).
    pub(crate) fn records(&self, kind: &str) -> Vec<String> {
        let wanted = format!("Acct-Status-Type = {kind}\n");
        self.detail().split("\n\n").filter(|record| record.contains(&wanted)).map(str::to_owned).collect()
    }

    /// Waits for the first record of that kind.
    pub(crate) fn record(&self, kind: &str) -> String {
        let there = lab::wait_for(Duration::from_secs(10), || !self.records(kind).is_empty());
        assert!(there, "no {kind} record\n{}\n{}", self.detail(), self.said());
        self.records(kind).remove(0)
    }

    /// The end of what it printed.
    pub(crate) fn said(&self) -> String {
        let out = fs::read_to_string(self.dir.join("out")).unwrap_or_default();
        let lines: Vec<&str> = out.lines().collect();
        let from = lines.len().saturating_sub(100);
        format!(
            "--- FreeRADIUS in {}\n{}",
            self.dir.display(),
            lines.get(from..).unwrap_or_default().join("\n")
        )
    }
}

impl Drop for FreeRadius {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A value in a record.
pub(crate) fn value(record: &str, name: &str) -> Option<String> {
    let prefix = format!("{name} = ");
    record.lines().find_map(|line| Some(line.trim().strip_prefix(&prefix)?.trim_matches('"').to_owned()))
}
