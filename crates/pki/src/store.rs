//! Everything that is loaded, as a snapshot that does not change.
use crate::acert::AttributeCertificate;
use crate::cert::{Certificate, name_key, same_name};
use crate::crl::Crl;
use crypto::sign::{PrivateKey, PublicKey, SignError, SignScheme};
use policy::Identity;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Something that signs: a key in memory, or on a token.
pub trait Signer: Send + Sync {
    /// The public half.
    fn public(&self) -> &PublicKey;

    /// Schemes that it can sign with; `pss` puts RSA-PSS first.
    fn schemes(&self, pss: bool) -> Vec<SignScheme> {
        SignScheme::of_key(self.public().kind(), pss)
    }

    /// Signs. May wait for a token.
    ///
    /// # Errors
    /// Why not.
    fn sign(&self, scheme: SignScheme, data: &[u8]) -> Result<Vec<u8>, SignError>;
}

impl Signer for PrivateKey {
    fn public(&self) -> &PublicKey {
        self.public()
    }

    fn sign(&self, scheme: SignScheme, data: &[u8]) -> Result<Vec<u8>, SignError> {
        self.sign(scheme, data)
    }
}

/// What a certificate is trusted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// To be the end entity that it is (`x509`): ours, or a peer's. It helps to build chains, but ends none.
    None,
    /// An anchor of trust (`x509ca`, authorities, `cacerts`).
    Ca,
    /// Signs attribute certificates (`x509aa`).
    Aa,
    /// Signs OCSP responses (`x509ocsp`).
    Ocsp,
}

/// A CA with what is known about it (`authorities.<name>`).
#[derive(Debug, Clone)]
pub struct Authority {
    /// Name of the section.
    pub name: String,
    /// Its certificate.
    pub certificate: Certificate,
    /// Where its CRLs are.
    pub crl_uris: Vec<String>,
    /// Its OCSP responders.
    pub ocsp_uris: Vec<String>,
    /// Where certificates that it issued are, by the SHA-1 of their DER.
    pub cert_uri_base: Option<String>,
}

/// Settings of `strongswan.conf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `charon.rsa_pss`: RSA keys sign with PSS first.
    pub rsa_pss: bool,
    /// `charon.hash_and_url`: hash-and-URL payloads are taken and sent.
    pub hash_and_url: bool,
    /// `charon.plugins.revocation.enable_crl`.
    pub enable_crl: bool,
    /// `charon.plugins.revocation.enable_ocsp`.
    pub enable_ocsp: bool,
    /// `charon.signature_authentication`: RFC 7427 is used where the peer has it.
    pub signature_authentication: bool,
    /// Certificates and CRLs signed with SHA-1 are taken. Off: nobody should have to trust that hash any more.
    pub sha1_signatures: bool,
    /// Longest chain, anchor not counted.
    pub max_path_length: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rsa_pss: false,
            hash_and_url: false,
            enable_crl: true,
            enable_ocsp: true,
            signature_authentication: true,
            sha1_signatures: false,
            max_path_length: 7,
        }
    }
}

/// What is loaded. Built once by its `add_…`, then shared; a reload builds another.
#[derive(Default, Clone)]
pub struct Store {
    /// Settings.
    pub settings: Settings,
    certificates: Vec<(Certificate, Trust)>,
    /// Places in `certificates`, by what is the same in equal subjects.
    by_subject: BTreeMap<String, Vec<usize>>,
    authorities: Vec<Authority>,
    signers: Vec<Arc<dyn Signer>>,
    public_keys: Vec<PublicKey>,
    /// Whose raw public keys the operator says they are.
    owners: Vec<(Identity, PublicKey)>,
    crls: Vec<Arc<Crl>>,
    attributes: Vec<Arc<AttributeCertificate>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({} certificates, {} keys)", self.certificates.len(), self.signers.len())
    }
}

impl Store {
    /// Nothing loaded.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Adds a certificate that the operator gave us: it is trusted as an end entity, whatever `trust` adds to that. One that
    /// is there already is only trusted more.
    pub fn add_certificate(&mut self, certificate: Certificate, trust: Trust) {
        let places = self.by_subject.entry(name_key(certificate.subject())).or_default();
        for place in places.iter() {
            if let Some((known, known_trust)) = self.certificates.get_mut(*place)
                && *known == certificate
            {
                *known_trust = (*known_trust).max(trust);
                return;
            }
        }
        places.push(self.certificates.len());
        self.certificates.push((certificate, trust));
    }

    /// Adds an authority; its certificate is trusted as a CA.
    pub fn add_authority(&mut self, authority: Authority) {
        self.add_certificate(authority.certificate.clone(), Trust::Ca);
        self.authorities.push(authority);
    }

    /// Adds a private key; one whose public half is there already takes its place.
    pub fn add_signer(&mut self, signer: Arc<dyn Signer>) {
        self.signers.retain(|known| known.public() != signer.public());
        self.signers.push(signer);
    }

    /// Adds a raw public key of a peer (or ours).
    pub fn add_public_key(&mut self, key: PublicKey) {
        if !self.public_keys.contains(&key) {
            self.public_keys.push(key);
        }
    }

    /// Adds a raw public key, and who the operator says it is of.
    pub fn add_public_key_of(&mut self, owner: Identity, key: PublicKey) {
        self.add_public_key(key.clone());
        self.owners.push((owner, key));
    }

    /// Whether a raw public key is that of an identity: the identity is that of the key itself (the SHA-1 of its bits, or
    /// of its SubjectPublicKeyInfo), or the operator says so.
    #[must_use]
    pub fn is_key_of(&self, identity: &Identity, key: &PublicKey) -> bool {
        let named = matches!(identity, Identity::KeyId(id) if *id == key.key_id() || *id == key.spki_id());
        named || self.owners.iter().any(|(owner, owned)| owner == identity && owned == key)
    }

    /// Adds a CRL from a file.
    pub fn add_crl(&mut self, crl: Arc<Crl>) {
        self.crls.push(crl);
    }

    /// Adds an attribute certificate.
    pub fn add_attribute_certificate(&mut self, certificate: Arc<AttributeCertificate>) {
        self.attributes.push(certificate);
    }

    /// Attribute certificates.
    #[must_use]
    pub fn attribute_certificates(&self) -> &[Arc<AttributeCertificate>] {
        &self.attributes
    }

    /// All certificates, in the order in which they were loaded.
    #[must_use]
    pub fn certificates(&self) -> &[(Certificate, Trust)] {
        &self.certificates
    }

    /// Certificates with this subject.
    pub fn with_subject(&self, subject: &Identity) -> impl Iterator<Item = &(Certificate, Trust)> {
        let places = self.by_subject.get(&name_key(subject));
        places.into_iter().flatten().filter_map(|place| self.certificates.get(*place))
    }

    /// How far the certificate is trusted.
    #[must_use]
    pub fn trust(&self, certificate: &Certificate) -> Trust {
        self.with_subject(certificate.subject())
            .find(|(known, _)| known == certificate)
            .map_or(Trust::None, |(_, trust)| *trust)
    }

    /// Anchors of trust.
    pub fn anchors(&self) -> impl Iterator<Item = &Certificate> {
        self.certificates.iter().filter(|(_, trust)| *trust == Trust::Ca).map(|(certificate, _)| certificate)
    }

    /// Authorities.
    #[must_use]
    pub fn authorities(&self) -> &[Authority] {
        &self.authorities
    }

    /// The authorities of that CA certificate (or of another with its name and key).
    pub fn authorities_of(&self, issuer: &Certificate) -> impl Iterator<Item = &Authority> {
        self.authorities.iter().filter(move |a| {
            a.certificate.key() == issuer.key() && same_name(a.certificate.subject(), issuer.subject())
        })
    }

    /// Whether a `file://` URI of a CRL is one of the configuration's; those in certificates are never read.
    pub(crate) fn names_file(&self, uri: &str) -> bool {
        uri.starts_with("file://")
            && self.authorities.iter().any(|a| a.crl_uris.iter().any(|known| known == uri))
    }

    /// Private keys.
    #[must_use]
    pub fn signers(&self) -> &[Arc<dyn Signer>] {
        &self.signers
    }

    /// The private key to a public one.
    #[must_use]
    pub fn signer(&self, public: &PublicKey) -> Option<&Arc<dyn Signer>> {
        self.signers.iter().find(|signer| signer.public() == public)
    }

    /// Raw public keys.
    #[must_use]
    pub fn public_keys(&self) -> &[PublicKey] {
        &self.public_keys
    }

    /// CRLs from files.
    #[must_use]
    pub fn crls(&self) -> &[Arc<Crl>] {
        &self.crls
    }
}
