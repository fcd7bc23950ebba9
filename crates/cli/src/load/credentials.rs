//! Certificates and keys from the swanctl directory, secrets from swanctl.conf.
use super::{Progress, Source, Tally, ask, names, read, sections};
use crate::exit::Failure;
use config::tree::{Node, Section};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use vici::{Client, Message};

/// Directory, vici type and flag of certificates.
const CERTIFICATES: &[(&str, &str, &str)] = &[
    ("x509", "X509", "NONE"),
    ("x509ca", "X509", "CA"),
    ("x509aa", "X509", "AA"),
    ("x509ocsp", "X509", "OCSP"),
    ("x509crl", "X509_CRL", "NONE"),
    ("x509ac", "X509_AC", "NONE"),
];

/// Directory and vici type of private keys.
const KEYS: &[(&str, &str)] =
    &[("private", "any"), ("rsa", "rsa"), ("ecdsa", "ecdsa"), ("pkcs8", "any"), ("pkcs12", "pkcs12")];

/// Kinds of shared secrets in `secrets`.
const SHARED: &[&str] = &["ike", "eap", "xauth", "ntlm", "ppk"];

/// Loads all credentials; keys and secrets the daemon has and the configuration does not are unloaded. Nothing here
/// is ever printed but names.
pub(crate) fn credentials(
    source: &Source,
    clear: bool,
    client: &mut Client,
    progress: &mut dyn Progress,
) -> Result<Tally, Failure> {
    let wanted = sections(source, "secrets")?;
    if clear {
        ask(client, "clear-creds", progress)?;
    }
    let mut job = Job {
        old_keys: names(&ask(client, "get-keys", progress)?, "keys").into_iter().collect(),
        old_shared: names(&ask(client, "get-shared", progress)?, "keys").into_iter().collect(),
        client,
        progress,
        tally: Tally::default(),
    };
    for &(place, kind, flag) in CERTIFICATES {
        for path in files(&source.directory.join(place)) {
            job.certificate(&path, kind, flag)?;
        }
    }
    for &(place, kind) in KEYS {
        for path in files(&source.directory.join(place)) {
            job.key(&path, kind)?;
        }
    }
    for (name, section) in wanted {
        job.secret(name, section)?;
    }
    job.unload_rest()?;
    Ok(job.tally)
}

struct Job<'a> {
    client: &'a mut Client,
    progress: &'a mut dyn Progress,
    tally: Tally,
    /// What the daemon had and we have not seen yet.
    old_keys: BTreeSet<String>,
    old_shared: BTreeSet<String>,
}

impl Job<'_> {
    fn certificate(&mut self, path: &Path, kind: &str, flag: &str) -> Result<(), Failure> {
        let mut message = Section::default();
        message.put("type", kind).put("flag", flag);
        self.file(path, "load-cert", message, "certificate").map(drop)
    }

    fn key(&mut self, path: &Path, kind: &str) -> Result<(), Failure> {
        if kind == "pkcs12" {
            self.refuse(
                path,
                "PKCS#12 containers are not supported; put the certificate and key into x509/ and private/",
            );
            return Ok(());
        }
        let bytes = std::fs::read(path).unwrap_or_default();
        if contains(&bytes, b"ENCRYPTED") {
            self.refuse(path, "encrypted private keys are not supported; store the key without a passphrase");
            return Ok(());
        }
        let mut message = Section::default();
        message.put("type", kind);
        let what = format!("{} key", key_kind(&bytes, kind));
        if let Some(answer) = self.file(path, "load-key", message, &what)?
            && let Some(id) = answer.text("id")
        {
            self.old_keys.remove(id);
        }
        Ok(())
    }

    fn refuse(&mut self, path: &Path, reason: &str) {
        self.tally.found += 1;
        self.progress.failed(&format!("loading '{}' failed: {reason}", path.display()));
    }

    fn file(
        &mut self,
        path: &Path,
        command: &str,
        mut message: Section,
        what: &str,
    ) -> Result<Option<Section>, Failure> {
        self.tally.found += 1;
        match read(path) {
            Ok(bytes) => message.put_bytes("data", bytes),
            Err(reason) => {
                self.progress.failed(&reason);
                return Ok(None);
            }
        };
        let answer = self.client.request(command, message)?;
        self.progress.answer(command, &answer);
        if answer.is_yes("success") {
            self.tally.loaded += 1;
            self.progress.loaded(&format!("{what} from '{}'", path.display()));
            return Ok(Some(answer));
        }
        let reason = answer.text("errmsg").unwrap_or_default();
        self.progress.failed(&format!("loading '{}' failed: {reason}", path.display()));
        Ok(None)
    }

    fn secret(&mut self, name: &str, section: &Section) -> Result<(), Failure> {
        self.tally.found += 1;
        let shared = SHARED.iter().find(|kind| name.starts_with(**kind));
        let Some(kind) = shared else {
            if KEYS.iter().any(|(kind, _)| name.starts_with(kind)) {
                // The passphrase of a file in one of the key directories; encrypted files are refused there.
                self.tally.loaded += 1;
                return Ok(());
            }
            if name.starts_with("token") {
                return self.token(name, section);
            }
            self.progress.failed(&format!(
                "secrets.{name}: unknown kind of secret; names begin with ike, eap, xauth, ntlm, ppk, private, rsa, \
                 ecdsa, pkcs8, pkcs12 or token"
            ));
            return Ok(());
        };
        let message = match config::shared_message(name, section) {
            Ok(message) => message,
            Err(reports) => {
                let reasons: Vec<String> = reports.iter().map(config::Report::text).collect();
                self.progress
                    .failed(&format!("loading {kind} secret '{name}' failed: {}", reasons.join("; ")));
                return Ok(());
            }
        };
        let answer = self.client.request("load-shared", message)?;
        self.progress.answer("load-shared", &answer);
        if answer.is_yes("success") {
            self.tally.loaded += 1;
            self.old_shared.remove(name);
            self.progress.loaded(&format!("{kind} secret '{name}'"));
        } else {
            let reason = answer.text("errmsg").unwrap_or_default();
            self.progress.failed(&format!("loading {kind} secret '{name}' failed: {reason}"));
        }
        Ok(())
    }

    fn token(&mut self, name: &str, section: &Section) -> Result<(), Failure> {
        let mut message = Section::default();
        for (key, node) in &section.entries {
            if let Node::Value(value) = node {
                message.put_bytes(key, value.bytes.clone());
            }
        }
        let answer = self.client.request("load-token", message)?;
        self.progress.answer("load-token", &answer);
        if answer.is_yes("success") {
            self.tally.loaded += 1;
            if let Some(id) = answer.text("id") {
                self.old_keys.remove(id);
            }
            self.progress.loaded(&format!("key {name} from token"));
        } else {
            let reason = answer.text("errmsg").unwrap_or_default();
            self.progress.failed(&format!("loading key {name} from token failed: {reason}"));
        }
        Ok(())
    }

    fn unload_rest(&mut self) -> Result<(), Failure> {
        let keys = std::mem::take(&mut self.old_keys).into_iter().map(|id| ("unload-key", id, "key"));
        let shared =
            std::mem::take(&mut self.old_shared).into_iter().map(|id| ("unload-shared", id, "shared key"));
        for (command, id, kind) in keys.chain(shared) {
            let mut message = Section::default();
            message.put("id", &id);
            let answer = self.client.request(command, message)?;
            self.progress.answer(command, &answer);
            if answer.is_yes("success") {
                self.tally.unloaded += 1;
            } else {
                let reason = answer.text("errmsg").unwrap_or_default();
                self.progress.failed(&format!("unloading {kind} '{id}' failed: {reason}"));
            }
        }
        Ok(())
    }
}

/// The plain files of a directory by name; none where there is no directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.is_file() && !path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'))
        })
        .collect();
    found.sort();
    found
}

/// What kind of key a file holds, for the message only; the daemon looks for itself.
fn key_kind(bytes: &[u8], declared: &str) -> &'static str {
    match declared {
        "rsa" => "RSA",
        "ecdsa" => "ECDSA",
        _ if contains(bytes, b"BEGIN EC PRIVATE KEY") => "ECDSA",
        _ if contains(bytes, b"BEGIN RSA PRIVATE KEY") => "RSA",
        _ => "private",
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
