//! OCSP (RFC 6960): requests written, responses read and verified.
use crate::algorithm::{Signed, hash_of};
use crate::cert::{Certificate, Profile, dn, same_name};
use crate::crl::{Reason, Revocation};
use crate::oid;
use crate::store::{Store, Trust};
use certval::ocsp::ext::Nonce;
use certval::ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspRequest, OcspResponse, OcspResponseStatus, Request,
    ResponderId, SingleResponse, TbsRequest,
};
use crypto::sign::{Hash, digest};
use der::asn1::{AnyRef, OctetString};
use der::{Decode, Encode};
use policy::Identity;
use spki::AlgorithmIdentifierOwned;
use x509_cert::ext::Extension;
use x509_cert::serial_number::SerialNumber;

/// A response longer than this is refused.
pub const MAX_RESPONSE: usize = 1 << 17;
/// Certificates of a response that are looked at.
const MAX_CERTIFICATES: usize = 8;
/// Clocks may differ that much.
const SKEW: u64 = 300;
/// How long a response without nextUpdate is taken.
const WITHOUT_NEXT: u64 = 3600;

/// What a responder says of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Good,
    Revoked(Revocation),
    Unknown,
}

/// What a responder says of a certificate, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) said: Said,
    pub(crate) since: u64,
    pub(crate) until: u64,
}

impl Answer {
    pub(crate) fn fresh_at(&self, now: u64) -> bool {
        self.since <= now.saturating_add(SKEW) && now <= self.until
    }
}

/// The SHA-1 names of a certificate (RFC 6960 4.1.1): what every responder knows.
fn cert_id(issuer: &Certificate, certificate: &Certificate) -> Option<CertId<Profile>> {
    let (_, name) = issuer.subject().to_wire();
    Some(CertId {
        hash_algorithm: AlgorithmIdentifierOwned { oid: oid::SHA1, parameters: Some(AnyRef::NULL.into()) },
        issuer_name_hash: OctetString::new(digest(Hash::Sha1, &[&name])).ok()?,
        issuer_key_hash: OctetString::new(issuer.key_id()).ok()?,
        serial_number: SerialNumber::new(certificate.serial()).ok()?,
    })
}

/// A request for one certificate, with a nonce.
pub(crate) fn request(issuer: &Certificate, certificate: &Certificate, nonce: &[u8]) -> Option<Vec<u8>> {
    let nonce = Nonce(OctetString::new(nonce).ok()?).to_der().ok()?;
    let nonce =
        Extension { extn_id: oid::OCSP_NONCE, critical: false, extn_value: OctetString::new(nonce).ok()? };
    OcspRequest::<Profile> {
        tbs_request: TbsRequest {
            version: certval::ocsp::Version::V1,
            requestor_name: None,
            request_list: vec![Request {
                req_cert: cert_id(issuer, certificate)?,
                single_request_extensions: None,
            }],
            request_extensions: Some(vec![nonce]),
        },
        optional_signature: None,
    }
    .to_der()
    .ok()
}

/// A response, read; nothing about its signature is known yet.
pub struct Response {
    basic: BasicOcspResponse,
    signed: Signed,
    certificates: Vec<Certificate>,
}

impl Response {
    /// Reads DER.
    ///
    /// # Errors
    /// What is malformed, or why the responder does not answer.
    pub fn from_der(der: &[u8]) -> Result<Self, String> {
        if der.len() > MAX_RESPONSE {
            return Err("ocsp response too long".to_owned());
        }
        let response = OcspResponse::from_der(der).map_err(|e| format!("malformed ocsp response: {e}"))?;
        if response.response_status != OcspResponseStatus::Successful {
            return Err(format!("ocsp response status: {:?}", response.response_status));
        }
        let bytes = response.response_bytes.ok_or("empty ocsp response")?;
        if bytes.response_type != oid::OCSP_BASIC {
            return Err(format!("ocsp response of type {}", bytes.response_type));
        }
        let bytes = bytes.response.as_bytes();
        let basic =
            BasicOcspResponse::from_der(bytes).map_err(|e| format!("malformed ocsp response: {e}"))?;
        let extensions = basic.tbs_response_data.response_extensions.iter().flatten();
        let singles = basic.tbs_response_data.responses.iter();
        let single = singles.flat_map(|s| s.single_extensions.iter().flatten());
        if let Some(unknown) = extensions.chain(single).find(|e| e.critical && e.extn_id != oid::OCSP_NONCE) {
            return Err(format!("ocsp response with critical extension {}", unknown.extn_id));
        }
        let signed = Signed::read(bytes).ok_or("malformed ocsp response")?;
        let certificates = basic
            .certs
            .iter()
            .flatten()
            .take(MAX_CERTIFICATES)
            .filter_map(|c| Certificate::from_der(&c.to_der().ok()?).ok())
            .collect();
        Ok(Self { basic, signed, certificates })
    }

    /// Who says it signed the response.
    #[must_use]
    pub fn responder(&self) -> Option<Identity> {
        match &self.basic.tbs_response_data.responder_id {
            ResponderId::ByName(name) => dn(name).ok(),
            ResponderId::ByKey(key) => Some(Identity::KeyId(key.as_bytes().to_vec())),
        }
    }

    /// Its name, where the response carries the certificate of a responder that names its key only.
    #[must_use]
    pub fn responder_name(&self) -> Option<Identity> {
        let certificate = self.certificates.iter().find(|certificate| self.is_responder(certificate));
        certificate.map(|certificate| certificate.subject().clone()).or_else(|| self.responder())
    }

    fn is_responder(&self, certificate: &Certificate) -> bool {
        match self.responder() {
            Some(Identity::KeyId(key)) => certificate.key_id() == key,
            Some(name) => same_name(certificate.subject(), &name),
            None => false,
        }
    }

    /// Signed by whoever may answer for `issuer`: itself, a certificate that it issued for that purpose, or one that is
    /// loaded as an OCSP signer (RFC 6960 4.2.2.2).
    ///
    /// # Errors
    /// Why not, in charon's words.
    pub fn verify(&self, issuer: &Certificate, store: &Store, now: u64) -> Result<Certificate, String> {
        if self.signed.is_sha1() && !store.settings.sha1_signatures {
            return Err(
                "ocsp response verification failed, signed with SHA-1, which is not accepted".to_owned()
            );
        }
        let local = store.certificates().iter().filter(|(_, t)| *t == Trust::Ocsp).map(|(c, _)| c);
        let known = store.certificates().iter().filter(|(_, t)| *t != Trust::Ocsp).map(|(c, _)| c);
        let delegated = known.chain(&self.certificates).filter(|signer| {
            signer.extended().contains(&oid::EKU_OCSP)
                && signer.names_as_issuer(issuer)
                && signer.verify(issuer).is_ok()
        });
        let mut found = false;
        for signer in local
            .chain([issuer])
            .filter(|c| self.is_responder(c))
            .chain(delegated.filter(|c| self.is_responder(c)))
        {
            if !signer.valid_at(now) {
                continue;
            }
            found = true;
            if self.signed.verify(signer.key()).is_ok() {
                return Ok(signer.clone());
            }
        }
        Err(if found {
            "ocsp response verification failed, invalid signature".to_owned()
        } else {
            let who = self.responder().map_or_else(String::new, |who| who.to_string());
            format!("ocsp response verification failed, no signer certificate '{who}' found")
        })
    }

    /// Answers a request with this nonce. A responder may leave the nonce out (RFC 6960 4.4.1), but not change it.
    #[must_use]
    pub fn has_nonce(&self, nonce: &[u8]) -> bool {
        let extensions = self.basic.tbs_response_data.response_extensions.iter().flatten();
        let mut given = extensions.filter(|e| e.extn_id == oid::OCSP_NONCE);
        given.all(|e| {
            let value = e.extn_value.as_bytes();
            Nonce::from_der(value).is_ok_and(|n| n.0.as_bytes() == nonce) || value == nonce
        })
    }

    /// What it says of a certificate.
    pub(crate) fn answer(&self, issuer: &Certificate, certificate: &Certificate) -> Option<Answer> {
        let single =
            self.basic.tbs_response_data.responses.iter().find(|s| matches(s, issuer, certificate))?;
        let since = single.this_update.0.to_unix_duration().as_secs();
        let until = single
            .next_update
            .map_or_else(|| since.saturating_add(WITHOUT_NEXT), |next| next.0.to_unix_duration().as_secs());
        let said = match single.cert_status {
            CertStatus::Good(_) => Said::Good,
            CertStatus::Revoked(info) => Said::Revoked(Revocation {
                time: info.revocation_time.0.to_unix_duration().as_secs(),
                reason: info.revocation_reason.map_or(Reason::Unspecified, Into::into),
            }),
            CertStatus::Unknown(_) => Said::Unknown,
        };
        Some(Answer { said, since, until })
    }
}

fn matches(single: &SingleResponse, issuer: &Certificate, certificate: &Certificate) -> bool {
    let id = &single.cert_id;
    let Some(hash) = hash_of(&id.hash_algorithm) else {
        return false;
    };
    let (_, name) = issuer.subject().to_wire();
    let key = issuer.key().subject_public_key();
    id.serial_number.as_bytes() == certificate.serial()
        && id.issuer_name_hash.as_bytes() == digest(hash, &[&name])
        && id.issuer_key_hash.as_bytes() == digest(hash, &[key])
}
