//! Certificates made when a test runs, by the stock `pki` and `openssl`.
#![allow(dead_code, reason = "each test binary uses its part")]

use super::lab::{Daemon, sh};
use std::fs;
use std::path::{Path, PathBuf};

/// A directory of keys and certificates.
pub(crate) struct Authority {
    dir: PathBuf,
}

impl Authority {
    /// That of a directory; a new one gets a root, `ca.key` and `ca.pem`: "C=CH, O=Cygnet, CN=Root".
    pub(crate) fn open(dir: &Path) -> Self {
        let new = Self { dir: dir.to_owned() };
        if dir.exists() {
            return new;
        }
        fs::create_dir_all(dir).unwrap();
        new.key("ca", "rsa --size 2048");
        new.run(&format!("pki --self --ca --in ca.key --dn \"{}\" --outform pem >ca.pem", dn("Root")));
        new
    }

    /// Runs a shell line in the directory.
    pub(crate) fn run(&self, line: &str) -> String {
        sh(&format!("cd {}; PATH=/usr/bin:/usr/sbin:/bin:/sbin:$PATH; {line}", self.dir.display()))
    }

    /// A file in the directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A private key, `<name>.key`. `kind`: `rsa --size 2048`, `ecdsa --size 256`, `ed25519`.
    pub(crate) fn key(&self, name: &str, kind: &str) {
        self.run(&format!("pki --gen --type {kind} --outform pem >{name}.key"));
    }

    /// A certificate `<name>.pem` for `<name>.key` by `<ca>.pem`: "C=CH, O=Cygnet, CN=<name>", with more options of
    /// `pki --issue`.
    pub(crate) fn issue(&self, name: &str, ca: &str, options: &str) {
        self.run(&format!(
            "pki --issue --in {name}.key --type priv --cacert {ca}.pem --cakey {ca}.key --dn \"{}\" {options} --outform pem \
             >{name}.pem",
            dn(name)
        ));
    }

    /// Key and certificate at once.
    pub(crate) fn end(&self, name: &str, kind: &str, ca: &str, options: &str) {
        self.key(name, kind);
        self.issue(name, ca, options);
    }

    /// An intermediate CA.
    pub(crate) fn intermediate(&self, name: &str, ca: &str, options: &str) {
        self.key(name, "rsa --size 2048");
        self.issue(name, ca, &format!("--ca {options}"));
    }

    /// Puts files into a daemon's swanctl directory: `("x509", "moon.pem")`.
    pub(crate) fn give(&self, daemon: &Daemon, files: &[(&str, &str)]) {
        for (place, name) in files {
            let place = daemon.dir.join("swanctl").join(place);
            fs::create_dir_all(&place).unwrap();
            fs::copy(self.file(name), place.join(name)).unwrap();
        }
    }
}

/// The name of everybody here.
pub(crate) fn dn(name: &str) -> String {
    format!("C=CH, O=Cygnet, CN={name}")
}
