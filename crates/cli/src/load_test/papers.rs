//! Certificates of virtual clients: made as they come by an authority, or read from a directory.
use crate::exit::{BAD_CONFIG, FAILED, Failure};
use crate::pki::dates::Span;
use crate::pki::extensions::{Usage, Wanted, alt_name};
use crate::pki::input;
use crate::pki::issue::{Authority, Paper, random_serial};
use crypto::sign::{KeyType, PrivateKey};
use loadtest::Pattern;
use loadtest::plan::Papers;
use pki::{Certificate, Item, Store, Trust};
use policy::Identity;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Days that certificates for a test live.
const DAYS: u32 = 7;
/// Longest file that is read, and how many of a directory.
const MOST_BYTES: u64 = 1 << 20;
const MOST_FILES: usize = 200_000;

/// An authority that makes a certificate for each client when it comes. All have the same key: what the gateway computes
/// is the same as with different ones, and no time goes into making keys.
pub(super) struct Issued {
    authority: Authority,
    key_id: Vec<u8>,
    key: PrivateKey,
    identity: Pattern,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issued({:?})", self.identity)
    }
}

impl Issued {
    /// Reads the authority; its certificate goes into the store, as does the key that is made for the clients.
    pub(super) fn new(
        certificate: &Path,
        key: &Path,
        kind: (KeyType, usize),
        identity: Pattern,
        store: &mut Store,
    ) -> Result<Self, Failure> {
        let authority = Authority::from_files(certificate, key)?;
        for certificate in read(certificate)? {
            if let Item::Certificate(certificate) = certificate {
                store.add_certificate(certificate, Trust::Ca);
            }
        }
        let failed = |error| Failure::new(FAILED, format_args!("making a key for the clients: {error}"));
        let key = PrivateKey::generate(kind.0, kind.1).map_err(failed)?;
        store.add_signer(Arc::new(key.clone()));
        Ok(Self { key_id: authority.key_id()?, authority, key, identity })
    }

    fn issue(&self, text: &str) -> Result<Certificate, Failure> {
        let mut wanted = Wanted { usages: vec![Usage::ClientAuth], ..Wanted::default() };
        let subject = if text.contains('=') {
            input::name(text, "identity")?
        } else {
            wanted.names = vec![alt_name(text)?];
            input::name(&format!("CN={text}"), "identity")?
        };
        let paper = Paper {
            subject: subject.der(),
            issuer: &self.authority.certificate.subject()?,
            serial: &random_serial()?,
            span: Span::days(DAYS)?,
            key: self.key.public(),
        };
        let der = paper.sign(&wanted, Some(&self.key_id), &self.authority.signer)?;
        Certificate::from_der(&der).map_err(|error| Failure::new(FAILED, error))
    }
}

impl Papers for Issued {
    fn of(&self, client: u32) -> Result<loadtest::plan::Paper, String> {
        let certificate = self.issue(&self.identity.of(client)).map_err(|e| e.message().to_owned())?;
        Ok(loadtest::plan::Paper { certificate, identity: None })
    }
}

/// Certificates that are there already, one for each client, in the order of the files' names.
#[derive(Debug)]
pub(super) struct Shelf {
    first: u32,
    certificates: Vec<Certificate>,
}

impl Shelf {
    /// Reads all files of a directory: each certificate whose key is among them is a client, the others help to build
    /// chains.
    pub(super) fn new(directory: &Path, first: u32, store: &mut Store) -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::new(FAILED, format_args!("{}: {error}", directory.display()));
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_file() {
                files.push(path);
            }
        }
        if files.len() > MOST_FILES {
            return Err(Failure::new(
                BAD_CONFIG,
                format_args!("{}: more than {MOST_FILES} files", directory.display()),
            ));
        }
        files.sort();
        let (mut certificates, mut keys) = (Vec::new(), Vec::new());
        for file in &files {
            for item in read(file)? {
                match item {
                    Item::Certificate(certificate) => certificates.push(certificate),
                    Item::PrivateKey(key) => keys.push(key),
                    Item::PublicKey(_) | Item::Crl(_) => {}
                }
            }
        }
        let known: std::collections::BTreeSet<Vec<u8>> =
            keys.iter().map(|key| key.public().spki().to_vec()).collect();
        let (ours, others): (Vec<_>, Vec<_>) =
            certificates.into_iter().partition(|certificate| known.contains(certificate.key().spki()));
        if ours.is_empty() {
            return Err(Failure::new(
                BAD_CONFIG,
                format_args!("{}: no certificate with its private key", directory.display()),
            ));
        }
        for other in others {
            store.add_certificate(other, Trust::None);
        }
        for key in keys {
            store.add_signer(Arc::new(key));
        }
        Ok(Self { first, certificates: ours })
    }

    /// How many clients there are certificates for.
    pub(super) fn len(&self) -> usize {
        self.certificates.len()
    }
}

impl Papers for Shelf {
    fn of(&self, client: u32) -> Result<loadtest::plan::Paper, String> {
        let at = usize::try_from(client.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let certificate = self
            .certificates
            .get(at)
            .cloned()
            .ok_or_else(|| format!("there is no certificate for client {client}"))?;
        let identity = certificate.names().first().unwrap_or(certificate.subject()).clone();
        Ok(loadtest::plan::Paper { certificate, identity: Some(identity) })
    }
}

/// Trusts the certificates of a file.
pub(super) fn trust(file: &Path, store: &mut Store) -> Result<(), Failure> {
    let mut found = false;
    for item in read(file)? {
        if let Item::Certificate(certificate) = item {
            store.add_certificate(certificate, Trust::Ca);
            found = true;
        }
    }
    if found {
        Ok(())
    } else {
        Err(Failure::new(BAD_CONFIG, format_args!("{}: no certificate", file.display())))
    }
}

/// Whether the certificate is good for this identity.
pub(super) fn fits(paper: &loadtest::plan::Paper, identity: &str) -> bool {
    paper.identity.is_some()
        || Identity::parse(identity).is_ok_and(|identity| paper.certificate.covers(&identity))
}

fn read(file: &Path) -> Result<Vec<Item>, Failure> {
    use std::io::Read as _;
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    std::fs::File::open(file)
        .and_then(|f| f.take(MOST_BYTES).read_to_end(&mut bytes))
        .map_err(|error| Failure::new(FAILED, format_args!("{}: {error}", file.display())))?;
    pki::load(&bytes, None)
        .map_err(|error| Failure::new(BAD_CONFIG, format_args!("{}: {error}", file.display())))
}
