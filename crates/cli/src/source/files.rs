//! The certificates and keys that a swanctl.conf names: there, readable, good for a while, and each with what belongs
//! to it. Looked for as `cygnet load` does.
use crate::load::{CONTAINERS, FILES, KEYS, files};
use crate::pki::dates::show_utc;
use config::schema::secret::{PrivateFile, SecretSection, load_secret};
use config::tree::{Section, Span};
use config::{Report, SwanctlConfig};
use crypto::sign::PublicKey;
use jiff::Timestamp;
use pki::Item;
use pki::container::ContainerError;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What ends within so many seconds deserves a warning.
const SOON: u64 = 30 * 86_400;

/// Judges the files that `read` names and that lie in directories beside it.
pub(super) fn check(read: &SwanctlConfig, directory: &Path, now: Timestamp) -> Vec<Report> {
    let mut job = Job {
        directory,
        now: u64::try_from(now.as_second()).unwrap_or(0),
        keys: BTreeSet::new(),
        all_keys: true,
        reports: Vec::new(),
    };
    job.secrets(read);
    for (name, connection) in read.sections("connections") {
        for (round, section) in connection.sections() {
            if round.starts_with("local") || round.starts_with("remote") {
                job.round(&format!("connections.{name}.{round}"), section, round.starts_with("local"));
            }
        }
    }
    for (name, authority) in read.sections("authorities") {
        let path = format!("authorities.{name}");
        for (key, place) in [("cacert", Some("x509ca")), ("file", None)] {
            job.named(authority, key, place, &path, false);
        }
    }
    job.reports
}

struct Job<'a> {
    directory: &'a Path,
    now: u64,
    /// The public halves of the private keys, encoded.
    keys: BTreeSet<Vec<u8>>,
    /// Every private key there is could be read: one that is missing is missing.
    all_keys: bool,
    reports: Vec<Report>,
}

impl Job<'_> {
    /// The files in `secrets`, then those that are loaded because they lie in the right directory.
    fn secrets(&mut self, read: &SwanctlConfig) {
        let mut known = Vec::new();
        for (name, section) in read.sections("secrets") {
            match load_secret(name, section) {
                Ok(SecretSection::Private(private)) => {
                    // What is in a Vault is not for this machine's eyes.
                    self.all_keys &= private.vault.is_none();
                    self.secret(&format!("secrets.{name}.file"), section, &private);
                    known.push(private);
                }
                Ok(SecretSection::Token(_)) => self.all_keys = false,
                // Shared ones have no files; what is wrong with a section is told already.
                Ok(SecretSection::Shared(_)) | Err(_) => {}
            }
        }
        for place in KEYS.iter().map(|(place, _)| *place).chain([CONTAINERS]) {
            let directory = self.directory.join(place);
            match std::fs::read_dir(&directory) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => {
                    self.unread(&directory, &error.to_string());
                    continue;
                }
            }
            for file in files(&directory) {
                let mine = |p: &&PrivateFile| {
                    p.kind == place && p.file.as_deref().is_some_and(|name| directory.join(name) == file)
                };
                let named = known.iter().find(mine);
                match open(&file, named.and_then(passphrase)) {
                    Ok(items) => self.keep(&items),
                    Err(Bad::Encrypted) => self.all_keys = false,
                    // Told where it is named.
                    Err(_) if named.is_some() => self.all_keys = false,
                    Err(bad) => self.unread(&file, &bad.text()),
                }
            }
        }
    }

    fn secret(&mut self, path: &str, section: &Section, private: &PrivateFile) {
        let Some(name) = &private.file else { return };
        let span = section.value("file").map_or(section.span, |value| value.span);
        let file = self.directory.join(private.kind).join(name);
        let report = match open(&file, passphrase(private)) {
            Ok(items) if items.iter().any(|item| matches!(item, Item::PrivateKey(_))) => return,
            Ok(items) if private.kind == CONTAINERS && !items.is_empty() => return,
            // Asked for when it is loaded.
            Err(Bad::Encrypted) if private.secret.is_none() => return,
            Ok(_) => Report::error(format!("{} holds no private key", file.display())),
            Err(bad) => bad.report(&file),
        };
        // The passphrase may stand in the same line.
        self.reports.push(report.at(span).key(path).hide_line());
    }

    fn unread(&mut self, file: &Path, reason: &str) {
        self.all_keys = false;
        let text = format!("{}: {reason}", file.display());
        self.reports.push(Report::warning(text).hint("what it holds was not looked at"));
    }

    fn keep(&mut self, items: &[Item]) {
        for item in items {
            if let Item::PrivateKey(key) = item {
                self.keys.insert(key.public().spki().to_vec());
            }
        }
    }

    fn round(&mut self, path: &str, section: &Section, local: bool) {
        for &(key, place) in FILES {
            self.named(section, key, Some(place), path, local);
        }
        for (name, inner) in section.sections() {
            if name.starts_with("cert") || name.starts_with("cacert") {
                self.named(inner, "file", None, &format!("{path}.{name}"), local);
            }
        }
    }

    /// The files that a key names: in a directory of ours, or by a path that the daemon reads.
    fn named(&mut self, section: &Section, key: &str, place: Option<&str>, path: &str, own: bool) {
        let path = format!("{path}.{key}");
        for value in section.list(key).unwrap_or_default() {
            let Some(name) = value.as_text() else { continue };
            let file = match place {
                Some(place) => self.directory.join(place).join(name),
                None => PathBuf::from(name),
            };
            // What a relative path means to the daemon is not known here.
            if file.is_absolute() || place.is_some() {
                self.judge(&file, place == Some("pubkey"), own, value.span, &path);
            }
        }
    }

    fn judge(&mut self, file: &Path, raw: bool, own: bool, span: Span, path: &str) {
        let mut found = Vec::new();
        match open(file, None) {
            Err(bad) => found.push(bad.report(file)),
            Ok(items) => {
                let certificate = items.iter().find_map(|item| match item {
                    Item::Certificate(certificate) => Some(certificate),
                    _ => None,
                });
                let key = items.iter().find_map(|item| match item {
                    Item::PublicKey(key) => Some(key),
                    _ => None,
                });
                match (certificate, key) {
                    (Some(certificate), _) => {
                        found.extend(self.dates(file, certificate));
                        found.extend(self.has_key(file, certificate.key()).filter(|_| own));
                    }
                    (None, Some(key)) if raw => found.extend(self.has_key(file, key).filter(|_| own)),
                    _ => {
                        let what = if raw { "public key" } else { "certificate" };
                        found.push(Report::error(format!("{} holds no {what}", file.display())));
                    }
                }
            }
        }
        self.reports.extend(found.into_iter().map(|report| report.at(span).key(path)));
    }

    fn dates(&self, file: &Path, certificate: &pki::Certificate) -> Option<Report> {
        let file = file.display();
        let (from, until) = (certificate.not_before(), certificate.not_after());
        if until < self.now {
            return Some(Report::error(format!("the certificate in {file} expired on {}", date(until))));
        }
        if from > self.now {
            return Some(Report::warning(format!(
                "the certificate in {file} is not valid before {}",
                date(from)
            )));
        }
        let soon = until < self.now.saturating_add(SOON);
        soon.then(|| Report::warning(format!("the certificate in {file} expires on {}", date(until))))
    }

    /// A warning, since keys come in other ways, too.
    fn has_key(&self, file: &Path, key: &PublicKey) -> Option<Report> {
        let missing = self.all_keys && !self.keys.contains(key.spki());
        missing.then(|| {
            let text = format!("there is no private key for {}", file.display());
            Report::warning(text).hint(format!(
                "it belongs into {}, or is loaded in another way",
                self.directory.join("private").display()
            ))
        })
    }
}

fn date(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    show_utc(at.unwrap_or(Timestamp::MAX))
}

fn passphrase(private: &PrivateFile) -> Option<&str> {
    private.secret.as_ref().and_then(|secret| std::str::from_utf8(secret.as_slice()).ok())
}

/// Why a file gives nothing.
enum Bad {
    /// There, but not for who asks.
    Denied,
    Unread(String),
    Encrypted,
    Broken(String),
}

impl Bad {
    fn text(&self) -> String {
        match self {
            Self::Denied => "you may not read it".to_owned(),
            Self::Unread(reason) | Self::Broken(reason) => reason.clone(),
            Self::Encrypted => "it is encrypted".to_owned(),
        }
    }

    fn report(&self, file: &Path) -> Report {
        let text = format!("{}: {}", file.display(), self.text());
        match self {
            Self::Denied => Report::warning(text).hint("check as the user who loads it"),
            _ => Report::error(text),
        }
    }
}

fn open(file: &Path, passphrase: Option<&str>) -> Result<Vec<Item>, Bad> {
    let bytes = std::fs::read(file).map(zeroize::Zeroizing::new).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => Bad::Denied,
        _ => Bad::Unread(error.to_string()),
    })?;
    pki::load(&bytes, passphrase).map_err(|error| match error {
        ContainerError::NeedsPassword(_) => Bad::Encrypted,
        // An empty passphrase is tried where there is none.
        ContainerError::WrongPassword(_) if passphrase.is_none() => Bad::Encrypted,
        error => Bad::Broken(error.to_string()),
    })
}
