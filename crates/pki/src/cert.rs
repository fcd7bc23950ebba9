//! Certificates: read once, with everything that judging them needs.
use crate::algorithm::Signed;
use crate::oid;
use certval::PDVCertificate;
use crypto::sign::{Hash, PublicKey, SignScheme, digest};
use data_encoding::HEXLOWER;
use der::asn1::ObjectIdentifier;
use der::{Decode, Encode};
use policy::Identity;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use wire::iana::IdType;
use x509_cert::certificate::Raw;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, CertificatePolicies,
    CrlDistributionPoints, ExtendedKeyUsage, FreshestCrl, KeyUsage, NameConstraints, SubjectAltName,
    SubjectKeyIdentifier,
};

/// A certificate longer than this is refused.
pub const MAX_CERTIFICATE: usize = 1 << 16;
/// Names, URIs and policies of one certificate beyond these are refused.
const MAX_ENTRIES: usize = 256;

/// Why bytes are no certificate that can be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertError {
    /// Not DER of a certificate, or too large.
    #[error("malformed certificate: {0}")]
    Malformed(String),
    /// A key that is not offered here.
    #[error("certificate \"{subject}\": {reason}")]
    Key {
        /// Its subject.
        subject: String,
        /// Which kind of key, and why not.
        reason: String,
    },
}

/// An X.509 certificate. Copies share it.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    parsed: PDVCertificate,
    signed: Signed,
    /// The key that was found to have signed it.
    signer: OnceLock<(PublicKey, SignScheme)>,
    subject: Identity,
    issuer: Identity,
    serial: Vec<u8>,
    not_before: u64,
    not_after: u64,
    key: PublicKey,
    names: Vec<Identity>,
    ca: bool,
    path_length: Option<u8>,
    usage: Option<KeyUsage>,
    extended: Vec<ObjectIdentifier>,
    policies: Vec<String>,
    crl_points: Vec<DistributionPoint>,
    freshest: Vec<String>,
    ocsp_uris: Vec<String>,
    key_identifier: Option<Vec<u8>>,
    authority_key: Option<Vec<u8>>,
    no_check: bool,
    address_blocks: bool,
    version: u8,
}

impl Certificate {
    /// Reads DER.
    ///
    /// # Errors
    /// [`CertError`]: malformed (also an extension that is, or comes twice), or a key that is not offered.
    pub fn from_der(der: &[u8]) -> Result<Self, CertError> {
        if der.len() > MAX_CERTIFICATE {
            return Err(CertError::Malformed(format!("longer than {MAX_CERTIFICATE} bytes")));
        }
        let parsed = PDVCertificate::try_from(der).map_err(|e| CertError::Malformed(e.to_string()))?;
        let signed = Signed::read(der).ok_or_else(|| CertError::Malformed("outer structure".into()))?;
        read(parsed, signed).map(|inner| Self(Arc::new(inner)))
    }

    /// DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        self.0.parsed.as_bytes()
    }

    /// Subject.
    #[must_use]
    pub fn subject(&self) -> &Identity {
        &self.0.subject
    }

    /// Issuer.
    #[must_use]
    pub fn issuer(&self) -> &Identity {
        &self.0.issuer
    }

    /// Serial number, as encoded.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.0.serial
    }

    /// Seconds since 1970 from which it is valid.
    #[must_use]
    pub fn not_before(&self) -> u64 {
        self.0.not_before
    }

    /// Seconds since 1970 until which it is valid.
    #[must_use]
    pub fn not_after(&self) -> u64 {
        self.0.not_after
    }

    /// Valid at that time.
    #[must_use]
    pub fn valid_at(&self, now: u64) -> bool {
        self.0.not_before <= now && now <= self.0.not_after
    }

    /// Public key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.0.key
    }

    /// SHA-1 of the subjectPublicKey.
    #[must_use]
    pub fn key_id(&self) -> Vec<u8> {
        self.0.key.key_id()
    }

    /// SHA-1 of the SubjectPublicKeyInfo: what a CERTREQ payload carries.
    #[must_use]
    pub fn spki_id(&self) -> Vec<u8> {
        self.0.key.spki_id()
    }

    /// SHA-1 of the certificate, as in hash-and-URL payloads (RFC 7296 3.6).
    #[must_use]
    pub fn fingerprint(&self) -> Vec<u8> {
        digest(Hash::Sha1, &[self.der()])
    }

    /// Subject alternative names that identities can be compared with.
    #[must_use]
    pub fn names(&self) -> &[Identity] {
        &self.0.names
    }

    /// basicConstraints say it is a CA.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.0.ca
    }

    /// pathLenConstraint.
    #[must_use]
    pub fn path_length(&self) -> Option<u8> {
        self.0.path_length
    }

    /// Issuer and subject are the same name.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        same_name(&self.0.subject, &self.0.issuer)
    }

    /// Signed with its own key.
    #[must_use]
    pub fn is_self_signed(&self) -> bool {
        self.is_self_issued() && self.verify(self).is_ok()
    }

    /// OIDs of extendedKeyUsage; empty: the extension is not there.
    #[must_use]
    pub fn extended_key_usage(&self) -> Vec<String> {
        self.0.extended.iter().map(ToString::to_string).collect()
    }

    /// OIDs of certificatePolicies.
    #[must_use]
    pub fn policies(&self) -> &[String] {
        &self.0.policies
    }

    /// HTTP and other URIs of CRLs.
    #[must_use]
    pub fn crl_uris(&self) -> Vec<String> {
        point_uris(&self.0.crl_points)
    }

    /// URIs of delta CRLs.
    #[must_use]
    pub fn freshest_crl_uris(&self) -> &[String] {
        &self.0.freshest
    }

    /// URIs of OCSP responders.
    #[must_use]
    pub fn ocsp_uris(&self) -> &[String] {
        &self.0.ocsp_uris
    }

    /// subjectKeyIdentifier.
    #[must_use]
    pub fn subject_key_identifier(&self) -> Option<&[u8]> {
        self.0.key_identifier.as_deref()
    }

    /// keyIdentifier of authorityKeyIdentifier.
    #[must_use]
    pub fn authority_key_identifier(&self) -> Option<&[u8]> {
        self.0.authority_key.as_deref()
    }

    /// How it is signed.
    ///
    /// # Errors
    /// The algorithm, if it is not offered.
    pub fn signature_scheme(&self) -> Result<SignScheme, String> {
        self.0.signed.scheme.clone()
    }

    /// keyUsage allows signatures over data (RFC 4945 5.1.3.2: digitalSignature or nonRepudiation), or is not there.
    #[must_use]
    pub fn may_sign_data(&self) -> bool {
        self.0.usage.as_ref().is_none_or(|usage| usage.digital_signature() || usage.non_repudiation())
    }

    /// keyUsage allows signing CRLs, or is not there.
    #[must_use]
    pub fn may_sign_crls(&self) -> bool {
        self.0.usage.as_ref().is_none_or(KeyUsage::crl_sign)
    }

    /// keyUsage allows signing certificates, or is not there.
    #[must_use]
    pub fn may_sign_certs(&self) -> bool {
        self.0.usage.as_ref().is_none_or(KeyUsage::key_cert_sign)
    }

    /// Whether the name or key of `issuer` is that of this certificate's issuer; says nothing about the signature.
    #[must_use]
    pub fn names_as_issuer(&self, issuer: &Self) -> bool {
        if !same_name(&self.0.issuer, &issuer.0.subject) {
            return false;
        }
        match (&self.0.authority_key, &issuer.0.key_identifier) {
            (Some(wanted), Some(found)) => wanted == found,
            (Some(wanted), None) => *wanted == issuer.key_id() || wanted.len() != 20,
            (None, _) => true,
        }
    }

    /// Signed by the key of `issuer`. Once that was found to be so, it is remembered: neither can change.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, issuer: &Self) -> Result<SignScheme, String> {
        match self.0.signer.get() {
            Some((key, scheme)) if *key == issuer.0.key => Ok(*scheme),
            _ => {
                let scheme = self.0.signed.verify(&issuer.0.key)?;
                self.0.signer.get_or_init(|| (issuer.0.key.clone(), scheme));
                Ok(scheme)
            }
        }
    }

    /// These bytes and this signature are its own.
    pub(crate) fn is_signed(&self, body: &[u8], signature: &[u8]) -> bool {
        self.0.signed.body == body && self.0.signed.signature == signature
    }

    /// The certificate confirms this identity: its subject, an alternative name, or as a KEY_ID an identifier of its
    /// key. Wildcards in `identity` are not honoured: it is what a peer says of itself.
    #[must_use]
    pub fn covers(&self, identity: &Identity) -> bool {
        let same = |name: &Identity| {
            if identity.is_pattern() || name.is_pattern() { identity == name } else { identity.same(name) }
        };
        match identity {
            Identity::Any | Identity::Range(..) | Identity::Pattern(..) => false,
            Identity::Dn { .. } => same(&self.0.subject) || self.0.names.iter().any(same),
            Identity::KeyId(id) => {
                self.0.key_identifier.as_ref() == Some(id)
                    || self.key_id() == *id
                    || self.spki_id() == *id
                    || self.fingerprint() == *id
            }
            Identity::Ip(_) | Identity::Fqdn(_) | Identity::Rfc822(_) | Identity::Other(..) => {
                self.0.names.iter().any(same)
            }
        }
    }

    /// As the configuration and the engine carry certificates.
    #[must_use]
    pub fn to_policy(&self) -> policy::Certificate {
        let mut key_hash = [0; 20];
        key_hash.iter_mut().zip(self.spki_id()).for_each(|(to, from)| *to = from);
        policy::Certificate { der: self.der().into(), subject: self.0.subject.clone(), key_hash }
    }

    pub(crate) fn parsed(&self) -> &PDVCertificate {
        &self.0.parsed
    }

    pub(crate) fn extended(&self) -> &[ObjectIdentifier] {
        &self.0.extended
    }

    pub(crate) fn crl_points(&self) -> &[DistributionPoint] {
        &self.0.crl_points
    }

    pub(crate) fn no_check(&self) -> bool {
        self.0.no_check
    }

    pub(crate) fn address_blocks(&self) -> bool {
        self.0.address_blocks
    }

    /// 1 to 3.
    #[must_use]
    pub fn version(&self) -> u8 {
        self.0.version
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.der() == other.der()
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate(\"{}\")", self.0.subject)
    }
}

/// A name as an identity.
///
/// # Errors
/// A name that is no distinguished name.
pub(crate) fn dn(name: &x509_cert::name::Name) -> Result<Identity, String> {
    let der = name.to_der().map_err(|e| e.to_string())?;
    Identity::from_wire(IdType::Dn, &der).map_err(|e| e.to_string())
}

/// What names have in common that are the same (RFC 5280 7.1): attributes in order, without regard to case, to the kind of
/// string and to the number of spaces.
pub(crate) fn name_key(name: &Identity) -> String {
    let (_, der) = name.to_wire();
    let Some(dn) = policy::identity::Dn::from_der(&der) else {
        return name.to_string().to_lowercase();
    };
    let mut key = String::new();
    for attribute in &dn.attributes {
        key.push(if attribute.joined { '+' } else { '\n' });
        key.push_str(&HEXLOWER.encode(&attribute.oid));
        match attribute.text() {
            Some(text) => {
                key.push('=');
                let words: Vec<&str> = text.split_whitespace().collect();
                key.push_str(&words.join(" ").to_lowercase());
            }
            None => {
                key.push('#');
                key.push_str(&HEXLOWER.encode(&[&[attribute.tag][..], &attribute.value].concat()));
            }
        }
    }
    key
}

/// The same distinguished name.
pub(crate) fn same_name(a: &Identity, b: &Identity) -> bool {
    a == b || name_key(a) == name_key(b)
}

/// The URIs of distribution points.
pub(crate) fn point_uris(points: &[DistributionPoint]) -> Vec<String> {
    let mut uris = Vec::new();
    for point in points {
        if let Some(DistributionPointName::FullName(names)) = &point.distribution_point {
            uris.extend(names.iter().filter_map(uri));
        }
    }
    uris
}

fn uri(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::UniformResourceIdentifier(uri) => {
            let text = uri.as_str();
            text.bytes().all(|b| b.is_ascii_graphic()).then(|| text.to_owned())
        }
        _ => None,
    }
}

fn name(general: &GeneralName) -> Option<Identity> {
    match general {
        GeneralName::Rfc822Name(text) => Identity::from_wire(IdType::Rfc822, text.as_bytes()).ok(),
        GeneralName::DnsName(text) => Identity::from_wire(IdType::Fqdn, text.as_bytes()).ok(),
        GeneralName::DirectoryName(name) => dn(name).ok(),
        GeneralName::IpAddress(octets) => {
            let octets = octets.as_bytes();
            let v4: Option<[u8; 4]> = octets.try_into().ok();
            let v6: Option<[u8; 16]> = octets.try_into().ok();
            v4.map(|a| Identity::Ip(IpAddr::from(a))).or_else(|| v6.map(|a| Identity::Ip(IpAddr::from(a))))
        }
        GeneralName::OtherName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::UniformResourceIdentifier(_)
        | GeneralName::RegisteredId(_) => None,
    }
}

fn read(parsed: PDVCertificate, signed: Signed) -> Result<Inner, CertError> {
    let malformed = |what: &str| CertError::Malformed(what.to_owned());
    let tbs = parsed.decoded().tbs_certificate();
    let subject = dn(tbs.subject()).map_err(|e| CertError::Malformed(format!("subject: {e}")))?;
    let issuer = dn(tbs.issuer()).map_err(|e| CertError::Malformed(format!("issuer: {e}")))?;
    let in_subject = |e: &dyn fmt::Display| CertError::Malformed(format!("\"{subject}\": {e}"));
    // RFC 5280 4.1.1.2: the algorithm outside is the one inside.
    if parsed.decoded().signature_algorithm() != tbs.signature() {
        return Err(in_subject(&"two signature algorithms"));
    }
    let spki = tbs.subject_public_key_info().to_der().map_err(|e| in_subject(&e))?;
    let key = PublicKey::from_spki(&spki)
        .map_err(|e| CertError::Key { subject: subject.to_string(), reason: e.to_string() })?;
    let mut inner = Inner {
        serial: tbs.serial_number().as_bytes().to_vec(),
        not_before: tbs.validity().not_before.to_unix_duration().as_secs(),
        not_after: tbs.validity().not_after.to_unix_duration().as_secs(),
        version: match tbs.version() {
            x509_cert::Version::V1 => 1,
            x509_cert::Version::V2 => 2,
            x509_cert::Version::V3 => 3,
        },
        key,
        names: Vec::new(),
        ca: false,
        path_length: None,
        usage: None,
        extended: Vec::new(),
        policies: Vec::new(),
        crl_points: Vec::new(),
        freshest: Vec::new(),
        ocsp_uris: Vec::new(),
        key_identifier: None,
        authority_key: None,
        no_check: false,
        address_blocks: false,
        subject: subject.clone(),
        issuer,
        signed,
        signer: OnceLock::new(),
        parsed: parsed.clone(),
    };
    let mut seen = BTreeSet::new();
    for extension in tbs.extensions().into_iter().flatten() {
        // RFC 5280 4.2: "A certificate MUST NOT include more than one instance of a particular extension."
        if !seen.insert(extension.extn_id) || seen.len() > MAX_ENTRIES {
            return Err(in_subject(&format_args!("extension {} twice", extension.extn_id)));
        }
        inner
            .extension(extension.extn_id, extension.extn_value.as_bytes())
            .map_err(|e| in_subject(&format_args!("extension {}: {e}", extension.extn_id)))?;
    }
    let counts = [inner.names.len(), inner.policies.len(), inner.crl_points.len(), inner.ocsp_uris.len()];
    if counts.into_iter().any(|n| n > MAX_ENTRIES) {
        return Err(malformed("too many entries"));
    }
    Ok(inner)
}

impl Inner {
    fn extension(&mut self, id: ObjectIdentifier, value: &[u8]) -> Result<(), der::Error> {
        match id {
            oid::SUBJECT_ALT_NAME => {
                self.names = SubjectAltName::from_der(value)?.0.iter().filter_map(name).collect();
            }
            oid::BASIC_CONSTRAINTS => {
                let basic = BasicConstraints::from_der(value)?;
                (self.ca, self.path_length) = (basic.ca, basic.path_len_constraint);
            }
            oid::KEY_USAGE => self.usage = Some(KeyUsage::from_der(value)?),
            oid::EXTENDED_KEY_USAGE => self.extended = ExtendedKeyUsage::from_der(value)?.0,
            oid::POLICIES => {
                self.policies = CertificatePolicies::from_der(value)?
                    .0
                    .iter()
                    .map(|policy| policy.policy_identifier.to_string())
                    .collect();
            }
            oid::CRL_POINTS => self.crl_points = CrlDistributionPoints::from_der(value)?.0,
            oid::FRESHEST_CRL => self.freshest = point_uris(&FreshestCrl::from_der(value)?.0),
            oid::AUTHORITY_INFO => {
                self.ocsp_uris = AuthorityInfoAccessSyntax::from_der(value)?
                    .0
                    .iter()
                    .filter(|access| access.access_method == oid::AD_OCSP)
                    .filter_map(|access| uri(&access.access_location))
                    .collect();
            }
            oid::SUBJECT_KEY_ID => {
                self.key_identifier = Some(SubjectKeyIdentifier::from_der(value)?.0.as_bytes().to_vec());
            }
            oid::AUTHORITY_KEY_ID => {
                self.authority_key =
                    AuthorityKeyIdentifier::from_der(value)?.key_identifier.map(|id| id.as_bytes().to_vec());
            }
            // Read here so that a malformed one is never taken for none.
            oid::NAME_CONSTRAINTS => drop(NameConstraints::from_der(value)?),
            oid::OCSP_NO_CHECK => self.no_check = true,
            oid::ADDRESS_BLOCKS => self.address_blocks = true,
            _ => {}
        }
        Ok(())
    }
}

/// Only to name the profile in one place: serial numbers and dates as they are met in the field.
pub(crate) type Profile = Raw;
