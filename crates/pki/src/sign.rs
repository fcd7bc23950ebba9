//! Which key signs our AUTH, how, and which certificates go along.
mod own_status;

pub use own_status::OwnStatus;

use crate::algorithm::assemble_auth;
use crate::cert::Certificate;
use crate::container::load;
use crate::revoke::Cache;
use crate::store::{Signer, Store};
use crate::verdict::{Log, LogLine};
use crypto::sign::{Hash, KeyType, PublicKey, SignScheme};
use data_encoding::HEXLOWER;
use policy::{Auth, CertRef, Identity};
use std::sync::Arc;
use wire::iana::{AuthMethod, CertEncoding};
use wire::ike::Cert;

/// Issuers that go along.
const MAX_ISSUERS: usize = 7;

/// What to sign.
#[derive(Debug, Clone)]
pub struct SignRequest {
    /// Our round.
    pub auth: Arc<Auth>,
    /// Our identity.
    pub me: Identity,
    /// Whom the peer trusts (SHA-1 of SubjectPublicKeyInfo); empty: it did not say.
    pub cas: Vec<[u8; 20]>,
    /// CERT payloads are wanted.
    pub send_cert: bool,
    /// The peer fetches certificates itself.
    pub hash_and_url: bool,
    /// OCSP responses go along, where there are any.
    pub ocsp: bool,
    /// The peer's hash functions; `None`: it does not know RFC 7427.
    pub hashes: Option<Vec<Hash>>,
    /// Signature schemes that the peer announced (RFC 9593); empty: none. Preferred where one of them can be used.
    pub announced: Vec<SignScheme>,
}

/// Why there is no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Nothing to sign with.
    #[error("no private key found for '{0}'")]
    NoKey(String),
    /// The peer's hash functions, our constraints and what the key can do have nothing in common.
    #[error("no common hash algorithm found to create signature with {0} key")]
    NoScheme(KeyType),
    /// The constraints cannot be read.
    #[error("`{0}` is no constraint")]
    Constraint(String),
    /// The key refused.
    #[error("creating {scheme} signature failed: {error}")]
    Failed {
        /// Scheme.
        scheme: SignScheme,
        /// Why.
        error: crypto::sign::SignError,
    },
}

/// What will be done. Signing itself may wait for a token.
pub struct Plan {
    signer: Arc<dyn Signer>,
    /// How it is signed.
    pub scheme: SignScheme,
    /// Our certificate with its issuer, where both are at hand.
    pair: Option<(Certificate, Certificate)>,
    /// For the AUTH payload.
    pub method: AuthMethod,
    /// CERT payloads, ours first.
    pub certs: Vec<Cert>,
    /// What to log.
    pub log: Vec<LogLine>,
}

impl Plan {
    /// Signs: data of the AUTH payload for each of `octets`.
    ///
    /// # Errors
    /// [`SignError::Failed`].
    pub fn sign(&self, octets: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, SignError> {
        let failed = |error| SignError::Failed { scheme: self.scheme, error };
        octets
            .iter()
            .map(|data| {
                let signature = self.signer.sign(self.scheme, data).map_err(failed)?;
                match self.method {
                    AuthMethod::Signature => assemble_auth(self.scheme, &signature)
                        .ok_or_else(|| failed(crypto::sign::SignError::Backend)),
                    _ => Ok(signature),
                }
            })
            .collect()
    }
}

/// A key with its certificate, if it has one.
struct Candidate<'a> {
    certificate: Option<Certificate>,
    issuers: Vec<Certificate>,
    signer: &'a Arc<dyn Signer>,
}

/// Chooses key, scheme and certificates.
///
/// # Errors
/// [`SignError`] but `Failed`.
pub fn choose(store: &Store, cache: &Cache, request: &SignRequest, now: u64) -> Result<Plan, SignError> {
    let constraints = request.auth.class.constraints().map_err(SignError::Constraint)?;
    let mut candidates = candidates(store, request);
    // Whom the peer asked for, what is valid now; else in the order of the configuration.
    candidates.sort_by_key(|candidate| {
        let wanted = request.cas.is_empty()
            || candidate.issuers.iter().any(|issuer| {
                let id = issuer.spki_id();
                request.cas.iter().any(|ca| id == ca)
            });
        let valid = candidate.certificate.as_ref().is_none_or(|c| c.valid_at(now));
        (!valid, !wanted)
    });
    let mut fault = SignError::NoKey(request.me.to_string());
    for candidate in &candidates {
        let kind = candidate.signer.public().kind();
        let usable = constraints.key_fits(kind, candidate.signer.public().bits());
        let scheme = if usable { scheme(store, &constraints, request, candidate.signer) } else { None };
        let Some((scheme, method)) = scheme else {
            fault = SignError::NoScheme(kind);
            continue;
        };
        let mut log = Log::default();
        let certs = if request.send_cert {
            certs(store, cache, request, candidate, now, &mut log)
        } else {
            Vec::new()
        };
        let pair = candidate.certificate.clone().zip(candidate.issuers.first().cloned());
        let signer = Arc::clone(candidate.signer);
        return Ok(Plan { signer, scheme, pair, method, certs, log: log.take() });
    }
    Err(fault)
}

/// Keys that speak for us: of the round's certificates and public keys, else of any certificate that confirms our
/// identity, else those that are the identity's own.
fn candidates<'a>(store: &'a Store, request: &SignRequest) -> Vec<Candidate<'a>> {
    let with = |certificate: Certificate| {
        let signer = store.signer(certificate.key())?;
        let issuers = issuers(store, &certificate);
        Some(Candidate { certificate: Some(certificate), issuers, signer })
    };
    let bare = |key: &PublicKey| {
        Some(Candidate { certificate: None, issuers: Vec::new(), signer: store.signer(key)? })
    };
    let auth = &request.auth;
    if !auth.certs.is_empty() || !auth.pubkeys.is_empty() {
        let certs = auth.certs.iter().filter_map(read_certificate).filter_map(with);
        let keys = auth.pubkeys.iter().filter_map(read_key).filter_map(|key| bare(&key));
        return certs.chain(keys).collect();
    }
    let confirmed = store.certificates().iter().map(|(c, _)| c).filter(|c| c.covers(&request.me));
    let list: Vec<Candidate<'a>> = confirmed.cloned().filter_map(with).collect();
    if !list.is_empty() {
        return list;
    }
    let ours = store.signers().iter().map(|s| s.public()).filter(|key| store.is_key_of(&request.me, key));
    ours.filter_map(bare).collect()
}

fn read_certificate(reference: &CertRef) -> Option<Certificate> {
    match reference {
        CertRef::Loaded(certificate) => Certificate::from_der(&certificate.der).ok(),
        CertRef::Raw(bytes) => crate::container::certificates(bytes).ok()?.into_iter().next(),
        CertRef::Key(_) | CertRef::File(_) | CertRef::Token { .. } => None,
    }
}

fn read_key(reference: &CertRef) -> Option<PublicKey> {
    match reference {
        CertRef::Key(spki) => PublicKey::from_spki(spki).ok(),
        CertRef::Raw(bytes) => load(bytes, None).ok()?.into_iter().find_map(|item| match item {
            crate::container::Item::PublicKey(key) => Some(key),
            _ => None,
        }),
        CertRef::Loaded(_) | CertRef::File(_) | CertRef::Token { .. } => None,
    }
}

/// The issuers at hand, upwards, the root last.
fn issuers(store: &Store, certificate: &Certificate) -> Vec<Certificate> {
    let mut list: Vec<Certificate> = Vec::new();
    let mut current = certificate.clone();
    while list.len() < MAX_ISSUERS && !current.is_self_issued() {
        let found = store
            .with_subject(current.issuer())
            .map(|(c, _)| c)
            .filter(|issuer| {
                current.names_as_issuer(issuer) && !list.contains(issuer) && *issuer != certificate
            })
            .find(|issuer| current.verify(issuer).is_ok());
        let Some(issuer) = found.cloned() else { break };
        list.push(issuer.clone());
        current = issuer;
    }
    list
}

fn scheme(
    store: &Store,
    constraints: &policy::KeyConstraints,
    request: &SignRequest,
    signer: &Arc<dyn Signer>,
) -> Option<(SignScheme, AuthMethod)> {
    let key = signer.public().kind();
    let settings = &store.settings;
    if let Some(hashes) = request.hashes.as_ref().filter(|_| settings.signature_authentication) {
        // RFC 7427 4: only with a hash function that the peer announced. EdDSA has its own (RFC 8420).
        let mut usable = signer.schemes(settings.rsa_pss);
        usable.retain(|scheme| scheme.hash().is_none_or(|hash| hashes.contains(&hash)));
        if usable.iter().any(|s| request.announced.contains(s) && constraints.ike_fits(*s)) {
            usable.retain(|scheme| request.announced.contains(scheme));
        }
        let first = if constraints.ike.is_empty() {
            usable.first()
        } else {
            // In the order of the configuration.
            constraints.ike.iter().find_map(|pattern| usable.iter().find(|scheme| pattern.fits(**scheme)))
        };
        if let Some(scheme) = first {
            return Some((*scheme, AuthMethod::Signature));
        }
    }
    // The older methods. Their hash functions are given, so constraints on AUTH can only forbid them.
    let (scheme, method) = match key {
        KeyType::Rsa => (SignScheme::RsaPkcs1(Hash::Sha1), AuthMethod::Rsa),
        KeyType::P256 => (SignScheme::EcdsaRaw(Hash::Sha256), AuthMethod::Ecdsa256),
        KeyType::P384 => (SignScheme::EcdsaRaw(Hash::Sha384), AuthMethod::Ecdsa384),
        KeyType::P521 => (SignScheme::EcdsaRaw(Hash::Sha512), AuthMethod::Ecdsa521),
        // RFC 8420 2: only with method 14.
        KeyType::Ed25519 => return None,
    };
    // Who knows RFC 7427 is not given SHA-1 instead.
    let downgrade =
        request.hashes.is_some() && settings.signature_authentication && scheme.hash() == Some(Hash::Sha1);
    (!downgrade && constraints.ike_fits(scheme)).then_some((scheme, method))
}

fn certs(
    store: &Store,
    cache: &Cache,
    request: &SignRequest,
    candidate: &Candidate<'_>,
    now: u64,
    log: &mut Log,
) -> Vec<Cert> {
    let Some(own) = &candidate.certificate else {
        return Vec::new();
    };
    let mut certs = Vec::new();
    let chain: Vec<&Certificate> = std::iter::once(own).chain(&candidate.issuers).collect();
    for (index, certificate) in chain.iter().enumerate() {
        // The peer has the root, or does not believe us.
        if index > 0 && certificate.is_self_issued() {
            break;
        }
        let issuer = chain.get(index.saturating_add(1));
        let base = issuer
            .filter(|_| request.hash_and_url && store.settings.hash_and_url)
            .and_then(|issuer| store.authorities_of(issuer).find_map(|a| a.cert_uri_base.clone()));
        if let Some(base) = base {
            let hash = certificate.fingerprint();
            let url = format!("{base}{}", HEXLOWER.encode(&hash));
            log.ike(format_args!("sending hash-and-url \"{url}\""));
            certs.push(Cert { encoding: CertEncoding::HashUrl, data: [hash, url.into_bytes()].concat() });
        } else {
            let kind = if index == 0 { "end entity" } else { "issuer" };
            log.ike(format_args!("sending {kind} cert \"{}\"", certificate.subject()));
            certs.push(Cert { encoding: CertEncoding::X509, data: certificate.der().to_vec() });
        }
    }
    for attribute in store.attribute_certificates().iter().filter(|a| a.is_for(own)) {
        log.ike(format_args!("sending attribute certificate issued by \"{}\"", attribute.issuer()));
        certs.push(Cert { encoding: CertEncoding::X509Attribute, data: attribute.der().to_vec() });
    }
    if request.ocsp {
        for (certificate, issuer) in chain.iter().zip(chain.iter().skip(1)) {
            if let Some(response) = cache.response(issuer, certificate, now) {
                log.ike(format_args!("sending OCSP status for certificate \"{}\"", certificate.subject()));
                certs.push(Cert { encoding: CertEncoding::Ocsp, data: response.to_vec() });
            }
        }
    }
    certs
}
