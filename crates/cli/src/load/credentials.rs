//! Certificates and keys from the swanctl directory, secrets and tokens from swanctl.conf.
use super::passphrase::{Asker, Passphrases};
use super::{Progress, Source, Tally, ask, names, read, sections};
use crate::exit::Failure;
use config::schema::secret::{SecretSection, load_secret};
use config::tree::{Node, Section};
use pki::Item;
use pki::container::ContainerError;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use vici::{Client, Message};

/// Directory, vici type and flag of certificates.
const CERTIFICATES: &[(&str, &str, &str)] = &[
    ("x509", "X509", "NONE"),
    ("x509ca", "X509", "CA"),
    ("x509ocsp", "X509", "OCSP"),
    ("x509aa", "X509", "AA"),
    ("x509ac", "X509_AC", "NONE"),
    ("x509crl", "X509_CRL", "NONE"),
    ("pubkey", "PUBKEY", "NONE"),
];

/// Directory and vici type of private keys.
pub(crate) const KEYS: &[(&str, &str)] =
    &[("private", "any"), ("rsa", "rsa"), ("ecdsa", "ecdsa"), ("pkcs8", "any")];

/// The directory of containers with certificates and keys.
pub(crate) const CONTAINERS: &str = "pkcs12";

/// Loads all credentials; keys and secrets the daemon has and the configuration does not are unloaded. Nothing here
/// is ever printed but names. Passphrases and PINs that are not configured are asked for by `asker`.
pub(crate) fn credentials(
    source: &Source,
    clear: bool,
    asker: Option<Asker>,
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
        passphrases: Passphrases::new(&wanted, asker),
        client,
        progress,
        tally: Tally::default(),
    };
    for &(place, kind, flag) in CERTIFICATES {
        for path in files(&source.directory.join(place)) {
            job.certificate_file(&path, kind, flag)?;
        }
    }
    for &(place, kind) in KEYS {
        for path in files(&source.directory.join(place)) {
            job.key_file(&path, place, kind)?;
        }
    }
    for path in files(&source.directory.join(CONTAINERS)) {
        job.container(&path)?;
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
    passphrases: Passphrases,
    /// What the daemon had and we have not seen yet.
    old_keys: BTreeSet<String>,
    old_shared: BTreeSet<String>,
}

impl Job<'_> {
    fn certificate_file(&mut self, path: &Path, kind: &str, flag: &str) -> Result<(), Failure> {
        match read(path) {
            Ok(bytes) => self.certificate(path, kind, flag, bytes),
            Err(reason) => {
                self.refuse(&reason);
                Ok(())
            }
        }
    }

    fn certificate(&mut self, path: &Path, kind: &str, flag: &str, bytes: Vec<u8>) -> Result<(), Failure> {
        let mut message = Section::default();
        message.put("type", kind).put("flag", flag).put_bytes("data", bytes);
        let from = format!("certificate from '{}'", path.display());
        self.send("load-cert", message, &from, &format!("'{}'", path.display())).map(drop)
    }

    fn key_file(&mut self, path: &Path, place: &str, kind: &str) -> Result<(), Failure> {
        let bytes = match read(path) {
            Ok(bytes) => bytes,
            Err(reason) => {
                self.refuse(&reason);
                return Ok(());
            }
        };
        // As strongSwan: only what is encrypted is opened here, the rest the daemon reads itself.
        let opened = match pki::load(&bytes, None) {
            Err(ContainerError::NeedsPassword(_)) => self.open(path, place, &bytes),
            Ok(_) | Err(_) => Ok(None),
        };
        match opened {
            Ok(None) => self.key(path, place, kind, bytes),
            Ok(Some(items)) => self.keys(path, items),
            Err(reason) => {
                self.refuse(&format!("loading '{}' failed: {reason}", path.display()));
                Ok(())
            }
        }
    }

    fn key(&mut self, path: &Path, what: &str, kind: &str, bytes: Vec<u8>) -> Result<(), Failure> {
        let mut message = Section::default();
        message.put("type", kind).put_bytes("data", bytes);
        let loaded = format!("{what} key from '{}'", path.display());
        if let Some(answer) = self.send("load-key", message, &loaded, &format!("'{}'", path.display()))? {
            self.seen(&answer);
        }
        Ok(())
    }

    /// Opens an encrypted file; `None` when nobody knows the passphrase.
    fn open(&mut self, path: &Path, place: &str, bytes: &[u8]) -> Result<Option<Vec<Item>>, String> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(passphrase) = self.passphrases.configured(place, &name) {
            match pki::load(bytes, Some(&passphrase)) {
                Ok(items) => return Ok(Some(items)),
                Err(ContainerError::WrongPassword(_)) => {
                    self.progress.failed(&format!("configured decryption secret for '{name}' invalid"));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        let Some(passphrase) = self.passphrases.ask(&format!("Password for {place} file '{name}': ")) else {
            return Err("it is encrypted, and there is no passphrase for it".into());
        };
        pki::load(bytes, Some(&passphrase)).map(Some).map_err(|error| error.to_string())
    }

    /// The private keys in a file that was opened.
    fn keys(&mut self, path: &Path, items: Vec<Item>) -> Result<(), Failure> {
        for item in items {
            let Item::PrivateKey(key) = item else { continue };
            let kind = key.kind().to_string();
            match key.to_pkcs8() {
                Ok(der) => self.key(path, &kind, &kind.to_ascii_lowercase(), der.as_slice().to_vec())?,
                Err(error) => self.refuse(&format!("loading '{}' failed: {error}", path.display())),
            }
        }
        Ok(())
    }

    /// A PKCS#12 container: its certificates and keys.
    fn container(&mut self, path: &Path) -> Result<(), Failure> {
        let opened = read(path).and_then(|bytes| match pki::load(&bytes, None) {
            Ok(items) => Ok(Some(items)),
            // An empty passphrase is one, too.
            Err(ContainerError::NeedsPassword(_) | ContainerError::WrongPassword(_)) => {
                self.open(path, CONTAINERS, &bytes)
            }
            Err(error) => Err(error.to_string()),
        });
        let items = match opened {
            Ok(items) => items.unwrap_or_default(),
            Err(reason) => {
                self.refuse(&format!("loading '{}' failed: {reason}", path.display()));
                return Ok(());
            }
        };
        for item in &items {
            if let Item::Certificate(certificate) = item {
                let flag = if certificate.is_ca() { "CA" } else { "NONE" };
                self.certificate(path, "X509", flag, certificate.der().to_vec())?;
            }
        }
        self.keys(path, items)
    }

    fn refuse(&mut self, text: &str) {
        self.tally.found += 1;
        self.progress.failed(text);
    }

    fn seen(&mut self, answer: &Section) {
        if let Some(id) = answer.text("id") {
            self.old_keys.remove(id);
        }
    }

    fn send(
        &mut self,
        command: &str,
        message: Section,
        loaded: &str,
        what: &str,
    ) -> Result<Option<Section>, Failure> {
        self.tally.found += 1;
        let answer = self.client.request(command, message)?;
        self.progress.answer(command, &answer);
        if answer.is_yes("success") {
            self.tally.loaded += 1;
            self.progress.loaded(loaded);
            return Ok(Some(answer));
        }
        let reason = answer.text("errmsg").unwrap_or_default();
        self.progress.failed(&format!("loading {what} failed: {reason}"));
        Ok(None)
    }

    fn secret(&mut self, name: &str, section: &Section) -> Result<(), Failure> {
        let read = match load_secret(name, section) {
            Ok(read) => read,
            Err(reports) => {
                let reasons: Vec<String> = reports.iter().map(config::Report::text).collect();
                self.refuse(&format!("loading secret '{name}' failed: {}", reasons.join("; ")));
                return Ok(());
            }
        };
        match read {
            SecretSection::Shared(_) => self.shared(name, section),
            SecretSection::Private(file) => match file.vault {
                Some(path) => {
                    let mut message = Section::default();
                    message.put("type", "any").put("vault", path.to_string());
                    let what = format!("'{name}'");
                    let loaded = format!("private key '{name}' from the Vault");
                    if let Some(answer) = self.send("load-key", message, &loaded, &what)? {
                        self.seen(&answer);
                    }
                    Ok(())
                }
                // The passphrase of a file in one of the directories, used where that is read.
                None => Ok(()),
            },
            SecretSection::Token(_) => self.token(name, section),
        }
    }

    fn shared(&mut self, name: &str, section: &Section) -> Result<(), Failure> {
        let message = match config::shared_message(name, section) {
            Ok(message) => message,
            Err(reports) => {
                let reasons: Vec<String> = reports.iter().map(config::Report::text).collect();
                self.refuse(&format!("loading secret '{name}' failed: {}", reasons.join("; ")));
                return Ok(());
            }
        };
        let kind = message.text("type").unwrap_or_default().to_owned();
        let loaded = format!("{kind} secret '{name}'");
        if self.send("load-shared", message, &loaded, &loaded)?.is_some() {
            self.old_shared.remove(name);
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
        if section.value("pin").is_none()
            && let Some(pin) = self.passphrases.ask(&format!("PIN for {name}: "))
        {
            message.put("pin", pin.as_str());
        }
        let loaded = format!("key {name} from token");
        if let Some(answer) = self.send("load-token", message, &loaded, &format!("'{name}'"))? {
            self.seen(&answer);
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
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
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
