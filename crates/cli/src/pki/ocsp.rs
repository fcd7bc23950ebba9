//! `pki --ocsp`: shows an OCSP request (RFC 6960), answers it, or answers over HTTP ([`listen`]).
use super::dates;
use super::extensions::extension;
use super::input::{self, Certificate};
use super::output::colons;
use super::signer::Signer;
use super::{Call, Outcome, Trouble, signcrl};
use crate::out::{self, put};
use certval::ocsp::ext::Nonce;
use certval::ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspRequest, OcspResponse,
    OcspResponseStatus, ResponderId, ResponseBytes, ResponseData, RevokedInfo, SingleResponse, Version,
};
use crypto::sign::{Hash, digest};
use der::asn1::{GeneralizedTime, Null, ObjectIdentifier, OctetString};
use der::{Decode as _, Encode as _};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use x509_cert::ext::pkix::crl::CrlReason;
use x509_cert::spki::SubjectPublicKeyInfoRef;

mod listen;

const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
const NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.2");
/// Certificates asked for at once.
const MAX_ASKED: usize = 64;

pub(super) fn run(call: &Call<'_>) -> Outcome {
    for option in ["keyid", "certid"] {
        if call.has(option) {
            return Err(Trouble::Failed(format!(
                "--{option} is not available: smartcards are used by the daemon only"
            )));
        }
    }
    if let Some(address) = call.value("listen") {
        let address = address.parse().map_err(|_| Trouble::usage("--listen takes an address and a port"))?;
        return listen::run(address, Responder::of(call)?);
    }
    let bytes = input::given(call)?;
    if call.has("respond") {
        out::bytes(&Responder::of(call)?.answer(bytes.as_slice(), dates::now())?);
        return Ok(0);
    }
    let request = OcspRequest::<x509_cert::certificate::Rfc5280>::from_der(bytes.as_slice())
        .map_err(|_| Trouble::failed("parsing OCSP request failed"))?;
    if let Some(nonce) = nonce(&request) {
        put!("  nonce:    {}", colons(&nonce));
    }
    for asked in &request.tbs_request.request_list {
        let id = &asked.req_cert;
        put!(
            "  issuer:   key {} name {}",
            colons(id.issuer_key_hash.as_bytes()),
            colons(id.issuer_name_hash.as_bytes())
        );
        put!("  serial:   {}", colons(input::trim(id.serial_number.as_bytes())));
    }
    Ok(0)
}

/// Where the status of an authority's certificates is kept.
#[derive(Debug, Clone)]
enum Source {
    /// OpenSSL's index.txt: what is not in it is unknown.
    Index(PathBuf),
    /// A CRL: what is not in it is good.
    Crl(PathBuf),
}

/// An authority about whose certificates we know.
#[derive(Debug)]
struct Issuer {
    certificate: Certificate,
    source: Option<Source>,
    /// Its own signer, in [`Responder::speakers`].
    speaker: Option<usize>,
}

/// Who signs answers.
#[derive(Debug)]
struct Speaker {
    signer: Signer,
    /// Where the authority does not sign by itself.
    certificate: Option<Certificate>,
}

/// Who answers.
#[derive(Debug)]
struct Responder {
    issuers: Vec<Issuer>,
    /// The first speaks for authorities without one of their own.
    speakers: Vec<Speaker>,
    lifetime: Option<SignedDuration>,
}

/// What is known of a certificate.
enum Status {
    Good,
    Revoked(Timestamp, CrlReason),
    Unknown,
}

impl Responder {
    fn of(call: &Call<'_>) -> Result<Self, Trouble> {
        let mut issuers: Vec<Issuer> = Vec::new();
        // By the number of authorities before them: their files of certificate and key.
        let mut signers: BTreeMap<usize, (Option<&str>, Option<&str>)> = BTreeMap::new();
        for (option, value) in call.options.given() {
            let Some(value) = *value else { continue };
            match *option {
                "cacert" => issuers.push(Issuer {
                    certificate: Certificate::from_file(Path::new(value))?,
                    source: None,
                    speaker: None,
                }),
                "cert" => signers.entry(issuers.len()).or_default().0 = Some(value),
                "key" => signers.entry(issuers.len()).or_default().1 = Some(value),
                "index" | "crl" => {
                    let source = if *option == "crl" {
                        Source::Crl(value.into())
                    } else {
                        Source::Index(value.into())
                    };
                    match issuers.last_mut() {
                        Some(issuer) => issuer.source = Some(source),
                        None => {
                            return Err(Trouble::Usage(format!("--{option} follows the --cacert it is for")));
                        }
                    }
                }
                _ => {}
            }
        }
        if issuers.is_empty() {
            return Err(Trouble::usage("--cacert is required"));
        }
        let mut speakers = Vec::new();
        for (place, (cert, key)) in signers {
            let key = key.map_or_else(|| call.need("key"), Ok)?;
            let key = input::private_key(input::file(Path::new(key))?.as_slice(), None)?;
            let certificate = cert.map(|path| Certificate::from_file(Path::new(path))).transpose()?;
            let speaks_for =
                |certificate: &Certificate| certificate.spki().is_ok_and(|spki| spki == key.public().spki());
            let fits = match &certificate {
                Some(certificate) => speaks_for(certificate),
                None => issuers.iter().any(|issuer| speaks_for(&issuer.certificate)),
            };
            if !fits {
                return Err(Trouble::failed(
                    "the key is neither an authority's nor that of the signer's certificate",
                ));
            }
            if let Some(issuer) = place.checked_sub(1).and_then(|place| issuers.get_mut(place)) {
                issuer.speaker = Some(speakers.len());
            }
            speakers.push(Speaker { signer: Signer::of(call, key)?, certificate });
        }
        if speakers.is_empty() {
            call.need("key")?;
        }
        let minutes = call.number::<u32>("lifetime")?;
        Ok(Self {
            issuers,
            speakers,
            lifetime: minutes.map(|minutes| SignedDuration::from_mins(i64::from(minutes))),
        })
    }

    /// The DER of the response, whatever the request is.
    fn answer(&self, request: &[u8], now: Timestamp) -> Result<Vec<u8>, Trouble> {
        let refused = |status| Ok(OcspResponse { response_status: status, response_bytes: None }.to_der()?);
        let Ok(request) = OcspRequest::<x509_cert::certificate::Rfc5280>::from_der(request) else {
            return refused(OcspResponseStatus::MalformedRequest);
        };
        let asked = &request.tbs_request.request_list;
        if asked.is_empty() || asked.len() > MAX_ASKED {
            return refused(OcspResponseStatus::MalformedRequest);
        }
        let mut responses = Vec::new();
        let mut first: Option<usize> = None;
        for asked in asked {
            let issuer = self.issuers.iter().find(|issuer| issuer.is_meant(&asked.req_cert).unwrap_or(false));
            let speaker = issuer.map(|issuer| issuer.speaker.unwrap_or(0));
            first = first.or(speaker);
            let status = match issuer {
                // One response has one signature, and another authority's signer has no say.
                Some(issuer) if speaker == first => {
                    issuer.status(input::trim(asked.req_cert.serial_number.as_bytes()))?
                }
                Some(_) | None => Status::Unknown,
            };
            responses.push(self.single(asked.req_cert.clone(), &status, now)?);
        }
        // RFC 6960 2.3: "unauthorized" when the server knows nothing about any of them.
        let Some(speaker) = first.and_then(|first| self.speakers.get(first)) else {
            return refused(OcspResponseStatus::Unauthorized);
        };
        let nonce = nonce(&request)
            .map(|nonce| extension(NONCE, false, &Nonce(OctetString::new(nonce)?).to_der()?))
            .transpose()?;
        // By name, as strongSwan's: whoever lists responses sees who gave them.
        let key = speaker.signer.key().public();
        let own = |issuer: &&Issuer| issuer.certificate.spki().is_ok_and(|spki| spki == key.spki());
        let named = speaker.certificate.as_ref();
        let named = named.or_else(|| self.issuers.iter().find(own).map(|issuer| &issuer.certificate));
        let responder_id = match named {
            Some(certificate) => ResponderId::ByName(certificate.read.tbs_certificate().subject().clone()),
            None => ResponderId::ByKey(OctetString::new(key.key_id())?),
        };
        let data = ResponseData {
            version: Version::V1,
            responder_id,
            produced_at: time(now)?,
            responses,
            response_extensions: nonce.map(|nonce| vec![nonce]),
        };
        let certs = speaker.certificate.as_ref().map(|certificate| vec![certificate.read.clone()]);
        let basic = BasicOcspResponse {
            signature: speaker.signer.signature(&data.to_der()?)?,
            signature_algorithm: speaker.signer.algorithm()?,
            tbs_response_data: data,
            certs,
        };
        Ok(OcspResponse {
            response_status: OcspResponseStatus::Successful,
            response_bytes: Some(ResponseBytes {
                response_type: BASIC,
                response: OctetString::new(basic.to_der()?)?,
            }),
        }
        .to_der()?)
    }

    fn single(&self, cert_id: CertId, status: &Status, now: Timestamp) -> Result<SingleResponse, Trouble> {
        let until = match self.lifetime {
            Some(lifetime) => Some(time(now.checked_add(lifetime).map_err(Trouble::failed)?)?),
            None => None,
        };
        let cert_status = match status {
            Status::Good => CertStatus::Good(Null),
            Status::Unknown => CertStatus::Unknown(Null),
            Status::Revoked(at, reason) => CertStatus::Revoked(RevokedInfo {
                revocation_time: time(*at)?,
                revocation_reason: (*reason != CrlReason::Unspecified).then_some(*reason),
            }),
        };
        Ok(SingleResponse {
            cert_id,
            cert_status,
            this_update: time(now)?,
            next_update: until,
            single_extensions: None,
        })
    }
}

impl Issuer {
    /// Whether a request names this authority, by the hashes of its name and key (RFC 6960 4.1.1).
    fn is_meant(&self, id: &CertId) -> Result<bool, Trouble> {
        let hash = match id.hash_algorithm.oid.to_string().as_str() {
            "1.3.14.3.2.26" => Hash::Sha1,
            "2.16.840.1.101.3.4.2.1" => Hash::Sha256,
            "2.16.840.1.101.3.4.2.2" => Hash::Sha384,
            "2.16.840.1.101.3.4.2.3" => Hash::Sha512,
            _ => return Ok(false),
        };
        let spki = self.certificate.spki()?;
        let key = SubjectPublicKeyInfoRef::from_der(&spki)?;
        let key = key.subject_public_key.as_bytes().unwrap_or_default();
        Ok(id.issuer_name_hash.as_bytes() == digest(hash, &[&self.certificate.subject()?])
            && id.issuer_key_hash.as_bytes() == digest(hash, &[key]))
    }

    /// Files are read at every answer: what was revoked meanwhile counts.
    fn status(&self, serial: &[u8]) -> Result<Status, Trouble> {
        match &self.source {
            None => Ok(Status::Unknown),
            Some(Source::Crl(path)) => {
                let entries = signcrl::entries_of(&signcrl::read(path)?);
                let found = entries.into_iter().find(|entry| entry.serial == serial);
                Ok(found.map_or(Status::Good, |entry| Status::Revoked(entry.at, entry.reason)))
            }
            Some(Source::Index(path)) => {
                let text = input::file(path)?;
                let mut index = index(&String::from_utf8_lossy(text.as_slice()))?;
                Ok(index.remove(serial).unwrap_or(Status::Unknown))
            }
        }
    }
}

/// OpenSSL's index.txt: status, expiry, revocation with its reason, serial number, file, subject; tabs between them.
fn index(text: &str) -> Result<BTreeMap<Vec<u8>, Status>, Trouble> {
    let mut all = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = || Trouble::Failed(format!("line {} of the index is malformed", number + 1));
        let fields: Vec<&str> = line.split('\t').collect();
        let [status, _, revoked, serial, ..] = fields[..] else { return Err(wrong()) };
        let serial = input::trim(&input::hex(serial, "index").map_err(|_| wrong())?).to_vec();
        let status = match status {
            "V" | "E" => Status::Good,
            "R" => {
                let (at, reason) = revoked.split_once(',').unwrap_or((revoked, ""));
                // UTCTime or GeneralizedTime.
                let format = if at.len() == 13 { "%y%m%d%H%M%S" } else { "%Y%m%d%H%M%S" };
                let at =
                    jiff::civil::DateTime::strptime(format, at.trim_end_matches('Z')).map_err(|_| wrong())?;
                let at = at.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| wrong())?.timestamp();
                Status::Revoked(at, reason_of(reason))
            }
            _ => return Err(wrong()),
        };
        all.insert(serial, status);
    }
    Ok(all)
}

fn reason_of(word: &str) -> CrlReason {
    match word.split(',').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "keycompromise" | "keytime" => CrlReason::KeyCompromise,
        "cacompromise" | "catime" => CrlReason::CaCompromise,
        "affiliationchanged" => CrlReason::AffiliationChanged,
        "superseded" => CrlReason::Superseded,
        "cessationofoperation" => CrlReason::CessationOfOperation,
        "certificatehold" | "holdinstruction" => CrlReason::CertificateHold,
        _ => CrlReason::Unspecified,
    }
}

fn nonce(request: &OcspRequest) -> Option<Vec<u8>> {
    let found = request.tbs_request.request_extensions.iter().flatten().find(|e| e.extn_id == NONCE)?;
    let nonce = Nonce::from_der(found.extn_value.as_bytes()).ok()?;
    // RFC 9654 2.1: at most 128 bytes.
    (nonce.0.as_bytes().len() <= 128).then(|| nonce.0.as_bytes().to_vec())
}

fn time(at: Timestamp) -> Result<OcspGeneralizedTime, Trouble> {
    Ok(OcspGeneralizedTime(GeneralizedTime::from_system_time(SystemTime::from(at))?))
}
