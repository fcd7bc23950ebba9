//! Certificates, keys and what is known about authorities, as clients loaded them; the store that judges and signers
//! get of it.
//!
//! Whoever changes something publishes a new [`pki::Store`]: judgements under way keep the one they began with.

mod download;
pub(crate) mod resolve;
pub(crate) mod tokens;

use crate::fetch::Fetcher;
use crate::vault::{Vault, VaultError};
use arc_swap::{ArcSwap, ArcSwapOption};
use config::{CredentialSettings, VaultPath};
use crypto::Secret;
use crypto::sign::PublicKey;
use indexmap::IndexMap;
use pki::revoke::Cache;
use pki::{AttributeCertificate, Authority, Certificate, Crl, Signer, Store, Trust};
use policy::{CertRef, Connection, Settings, SharedSecret};
use std::sync::{Arc, Mutex};
use tokens::Tokens;

/// SHA-1 of a subjectPublicKey in hexadecimal digits, as vici names private keys.
pub(crate) type KeyId = String;

/// What judges, signers and EAP share with the commands that load.
pub(crate) struct Shared {
    /// Certificates and keys.
    pub(crate) store: ArcSwap<Store>,
    /// Shared secrets.
    pub(crate) secrets: ArcSwap<Vec<Arc<SharedSecret>>>,
    /// Connections, for the certificates that their rounds name.
    pub(crate) connections: ArcSwap<Vec<Arc<Connection>>>,
    /// CRLs and OCSP responses that were fetched.
    pub(crate) cache: Mutex<Cache>,
    pub(crate) settings: ArcSwap<CredentialSettings>,
    pub(crate) tokens: Tokens,
    fetcher: Fetcher,
    downloads: download::Downloads,
    vault: ArcSwapOption<Vault>,
    /// `VAULT_TOKEN` as it was at the start.
    vault_token: Option<Secret>,
}

impl Shared {
    /// Nothing loaded.
    pub(crate) fn new() -> Self {
        Self {
            store: ArcSwap::default(),
            secrets: ArcSwap::default(),
            connections: ArcSwap::default(),
            cache: Mutex::default(),
            settings: ArcSwap::default(),
            tokens: Tokens::default(),
            fetcher: Fetcher::new(),
            downloads: download::Downloads::default(),
            vault: ArcSwapOption::empty(),
            vault_token: std::env::var("VAULT_TOKEN").ok().map(|token| Secret::new(token.into_bytes())),
        }
    }

    /// Takes settings; an error says why there is no Vault.
    pub(crate) fn configure(&self, settings: &CredentialSettings) -> Result<(), String> {
        self.tokens.configure(&settings.pkcs11);
        self.settings.store(Arc::new(settings.clone()));
        let vault = match &settings.vault {
            Some(vault) => Vault::new(vault, self.vault_token.clone()).map(Some).map_err(|e| e.to_string()),
            None => Ok(None),
        };
        let (vault, outcome) = match vault {
            Ok(vault) => (vault, Ok(())),
            Err(why) => (None, Err(why)),
        };
        self.vault.store(vault.map(Arc::new));
        outcome
    }

    /// Reads a secret in the Vault.
    pub(crate) async fn read_vault(&self, place: &VaultPath) -> Result<Secret, String> {
        let vault = self.vault.load_full().ok_or_else(|| VaultError::None.to_string())?;
        vault.read(place).await.map_err(|e| e.to_string())
    }
}

/// A raw public key, or a certificate with what it is trusted for.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    Certificate(Certificate, Trust),
    PublicKey(PublicKey),
    Crl(Arc<Crl>),
    Attributes(Arc<AttributeCertificate>),
}

impl Held {
    pub(crate) fn certificate(&self) -> Option<(&Certificate, Trust)> {
        if let Self::Certificate(certificate, trust) = self { Some((certificate, *trust)) } else { None }
    }

    pub(crate) fn public_key(&self) -> Option<&PublicKey> {
        if let Self::PublicKey(key) = self { Some(key) } else { None }
    }

    pub(crate) fn attributes(&self) -> Option<&Arc<AttributeCertificate>> {
        if let Self::Attributes(certificate) = self { Some(certificate) } else { None }
    }

    pub(crate) fn crl(&self) -> Option<&Arc<Crl>> {
        if let Self::Crl(crl) = self { Some(crl) } else { None }
    }
}

/// What was loaded.
#[derive(Default)]
pub(crate) struct Credentials {
    /// Certificates, public keys and CRLs in the order of loading.
    held: Vec<Held>,
    /// What tokens show by themselves; `clear-creds` leaves it.
    pub(crate) on_tokens: Vec<(Certificate, Trust)>,
    keys: IndexMap<KeyId, Arc<dyn Signer>>,
    /// Where private keys come from that are read anew from the Vault.
    pub(crate) from_vault: IndexMap<KeyId, VaultPath>,
    pub(crate) authorities: IndexMap<String, Authority>,
    pub(crate) settings: CredentialSettings,
}

impl Credentials {
    /// Adds a certificate; one that is there already is only trusted more.
    pub(crate) fn put_certificate(&mut self, certificate: Certificate, trust: Trust) {
        for held in &mut self.held {
            if let Held::Certificate(known, known_trust) = held
                && *known == certificate
            {
                *known_trust = (*known_trust).max(trust);
                return;
            }
        }
        self.held.push(Held::Certificate(certificate, trust));
    }

    /// Adds a raw public key.
    pub(crate) fn put_public_key(&mut self, key: PublicKey) {
        if !self.held.iter().filter_map(Held::public_key).any(|known| *known == key) {
            self.held.push(Held::PublicKey(key));
        }
    }

    /// Adds an attribute certificate.
    pub(crate) fn put_attributes(&mut self, certificate: AttributeCertificate) {
        if !self.held.iter().filter_map(Held::attributes).any(|known| known.der() == certificate.der()) {
            self.held.push(Held::Attributes(Arc::new(certificate)));
        }
    }

    /// Adds a CRL; an older one of the same series goes.
    pub(crate) fn put_crl(&mut self, crl: Crl) {
        self.held.retain(|held| {
            !matches!(held, Held::Crl(known) if known.der() == crl.der() || (known.same_series(&crl) && crl.newer_than(known)))
        });
        self.held.push(Held::Crl(Arc::new(crl)));
    }

    /// Adds a private key; gives its id.
    pub(crate) fn put_key(&mut self, key: Arc<dyn Signer>) -> KeyId {
        let id = key_id(key.public());
        // As charon lists them, the newest last here and first there.
        self.keys.shift_remove(&id);
        self.keys.insert(id.clone(), key);
        id
    }

    /// Removes a private key.
    pub(crate) fn remove_key(&mut self, id: &str) -> bool {
        let id = id.to_ascii_lowercase();
        self.from_vault.shift_remove(&id);
        self.keys.shift_remove(&id).is_some()
    }

    /// Ids of the private keys, the newest first.
    pub(crate) fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().rev().map(String::as_str)
    }

    /// Whether there is the private key to a public one.
    pub(crate) fn has_key(&self, public: &PublicKey) -> bool {
        self.keys.contains_key(&key_id(public))
    }

    /// Forgets what clients loaded, but for authorities.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.keys.clear();
        self.from_vault.clear();
    }

    /// Everything there is: what clients loaded, the newest first, what tokens show, what connections name, and the
    /// authorities' certificates.
    pub(crate) fn list<'a>(&self, connections: impl DoubleEndedIterator<Item = &'a Vec<Held>>) -> Vec<Held> {
        let mut out: Vec<Held> = Vec::new();
        let mut add = |item: Held| match &item {
            Held::Certificate(certificate, trust) => {
                let known = out.iter_mut().find_map(|held| match held {
                    Held::Certificate(known, trust) if known == certificate => Some(trust),
                    _ => None,
                });
                match known {
                    Some(known) => *known = (*known).max(*trust),
                    None => out.push(item),
                }
            }
            Held::PublicKey(key) => {
                if !out.iter().filter_map(Held::public_key).any(|known| known == key) {
                    out.push(item);
                }
            }
            Held::Crl(_) | Held::Attributes(_) => out.push(item),
        };
        self.held.iter().rev().cloned().for_each(&mut add);
        self.on_tokens
            .iter()
            .cloned()
            .map(|(certificate, trust)| Held::Certificate(certificate, trust))
            .for_each(&mut add);
        for named in connections.rev() {
            named.iter().cloned().for_each(&mut add);
        }
        let authorities =
            self.authorities.values().map(|a| Held::Certificate(a.certificate.clone(), Trust::Ca));
        authorities.for_each(&mut add);
        out
    }

    /// The store for judges and signers.
    pub(crate) fn store<'a>(
        &self,
        connections: impl Iterator<Item = &'a Vec<Held>>,
        engine: &Settings,
    ) -> Store {
        let c = &self.settings;
        let settings = pki::Settings {
            rsa_pss: c.rsa_pss,
            hash_and_url: engine.hash_and_url,
            enable_crl: c.enable_crl,
            enable_ocsp: c.enable_ocsp,
            signature_authentication: engine.signature_authentication,
            ..pki::Settings::default()
        };
        let mut store = Store::new(settings);
        let mut add = |held: Held| match held {
            Held::Certificate(certificate, trust) => store.add_certificate(certificate, trust),
            Held::PublicKey(key) => store.add_public_key(key),
            Held::Crl(crl) => store.add_crl(crl),
            Held::Attributes(certificate) => store.add_attribute_certificate(certificate),
        };
        self.held.iter().cloned().for_each(&mut add);
        self.on_tokens
            .iter()
            .cloned()
            .map(|(certificate, trust)| Held::Certificate(certificate, trust))
            .for_each(&mut add);
        for named in connections {
            named.iter().cloned().for_each(&mut add);
        }
        for authority in self.authorities.values() {
            store.add_authority(authority.clone());
        }
        for key in self.keys.values() {
            store.add_signer(key.clone());
        }
        store
    }
}

/// Certificates and keys that a connection names; its `cacerts` are trusted, as in strongSwan for everybody.
pub(crate) fn named(connection: &Connection) -> Vec<Held> {
    let held = |reference: &CertRef, trust: Trust| match reference {
        CertRef::Loaded(loaded) => {
            Certificate::from_der(&loaded.der).ok().map(|certificate| Held::Certificate(certificate, trust))
        }
        CertRef::Key(spki) => PublicKey::from_spki(spki).ok().map(Held::PublicKey),
        CertRef::Raw(_) | CertRef::File(_) | CertRef::Token { .. } => None,
    };
    let rounds = connection.local.iter().chain(&connection.remote);
    let all = rounds.flat_map(move |round| {
        let plain = round.certs.iter().chain(&round.pubkeys).map(|reference| (reference, Trust::None));
        let cas = round.cacerts.iter().map(|reference| (reference, Trust::Ca));
        plain.chain(cas).filter_map(move |(reference, trust)| held(reference, trust))
    });
    all.collect()
}

/// How vici names a key.
pub(crate) fn key_id(public: &PublicKey) -> KeyId {
    data_encoding::HEXLOWER.encode(&public.key_id())
}
