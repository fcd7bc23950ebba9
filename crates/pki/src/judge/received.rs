//! CERT payloads of a peer (RFC 7296 3.6), and those that must be fetched.
use crate::acert::AttributeCertificate;
use crate::cert::Certificate;
use crate::fetch::is_http;
use crate::ocsp::Response;
use crate::store::Store;
use crate::verdict::Log;
use crypto::secret::ct_eq;
use crypto::sign::{Hash, PublicKey, digest};
use der::asn1::AnyRef;
use der::{Decode, Encode, Reader, SliceReader, Tag, TagNumber, Tagged};
use std::collections::VecDeque;
use wire::iana::CertEncoding;
use wire::ike::Cert;

/// CERT payloads that are looked at.
const MAX_CERTS: usize = 32;
/// Downloads for one peer.
const MAX_URLS: usize = 8;

/// What came.
#[derive(Default)]
pub(super) struct Received {
    pub(super) certificates: Vec<Certificate>,
    pub(super) attributes: Vec<AttributeCertificate>,
    /// With their DER.
    pub(super) ocsp: Vec<(Response, Vec<u8>)>,
    urls: VecDeque<Url>,
    current: Option<Url>,
    count: u32,
}

struct Url {
    hash: [u8; 20],
    url: String,
    bundle: bool,
}

impl Received {
    pub(super) fn read(certs: &[Cert], store: &Store, log: &mut Log) -> Self {
        let mut new = Self::default();
        for cert in certs.iter().take(MAX_CERTS) {
            match cert.encoding {
                CertEncoding::X509 => new.certificate(&cert.data, log),
                CertEncoding::HashUrl => new.url(&cert.data, false, store, log),
                CertEncoding::HashUrlBundle => new.url(&cert.data, true, store, log),
                CertEncoding::Ocsp => match Response::from_der(&cert.data) {
                    Ok(response) => {
                        let who = response.responder_name().map_or_else(String::new, |who| who.to_string());
                        log.ike(format_args!("received OCSP response issued by \"{who}\""));
                        new.ocsp.push((response, cert.data.clone()));
                    }
                    Err(error) => log.ike(format_args!("received OCSP response ignored: {error}")),
                },
                CertEncoding::X509Attribute => match AttributeCertificate::from_der(&cert.data) {
                    Ok(attribute) => {
                        log.ike(format_args!(
                            "received attribute certificate issued by \"{}\"",
                            attribute.issuer()
                        ));
                        new.attributes.push(attribute);
                    }
                    Err(error) => log.ike(format_args!("received attribute certificate ignored: {error}")),
                },
                // A key that was not loaded is not believed, and one that was need not be sent.
                CertEncoding::RawPublicKey => {
                    let known = PublicKey::from_spki(&cert.data).is_ok();
                    log.ike(if known {
                        "received raw public key"
                    } else {
                        "received malformed raw public key, ignored"
                    });
                }
                CertEncoding::Pkcs7
                | CertEncoding::Pgp
                | CertEncoding::DnsSigned
                | CertEncoding::Kerberos
                | CertEncoding::Crl
                | CertEncoding::Arl
                | CertEncoding::Spki
                | CertEncoding::Unknown(_) => {
                    log.ike(format_args!("cert payload {:?} not supported - ignored", cert.encoding));
                }
            }
        }
        new
    }

    fn certificate(&mut self, der: &[u8], log: &mut Log) {
        if self.certificates.len() >= MAX_CERTS {
            return;
        }
        match Certificate::from_der(der) {
            Ok(certificate) => {
                let kind = if certificate.is_ca() { "issuer" } else { "end entity" };
                log.ike(format_args!("received {kind} cert \"{}\"", certificate.subject()));
                if !self.certificates.contains(&certificate) {
                    self.certificates.push(certificate);
                }
            }
            Err(error) => log.ike(format_args!("received certificate ignored: {error}")),
        }
    }

    fn url(&mut self, data: &[u8], bundle: bool, store: &Store, log: &mut Log) {
        if !store.settings.hash_and_url {
            log.ike("received hash-and-url encoded cert, but we don't accept them, ignore");
            return;
        }
        let split = data.split_first_chunk::<20>();
        let url = split.and_then(|(hash, url)| Some((*hash, std::str::from_utf8(url).ok()?)));
        match url {
            // Certificates must be had before anything is known of the peer: only over the protocol of RFC 7296 3.6.
            Some((hash, url)) if is_http(url) && self.urls.len() < MAX_URLS => {
                log.ike(format_args!("received hash-and-url for cert \"{url}\""));
                self.urls.push_back(Url { hash, url: url.to_owned(), bundle });
            }
            Some(_) | None => log.ike("received invalid hash-and-url encoded cert, ignore"),
        }
    }

    pub(super) fn next_url(&mut self) -> Option<(u32, String)> {
        self.current = self.urls.pop_front();
        self.count = self.count.wrapping_add(1);
        self.current.as_ref().map(|url| (self.count, url.url.clone()))
    }

    pub(super) fn fetched(&mut self, id: u32, result: Result<Vec<u8>, String>, log: &mut Log) {
        let Some(url) = self.current.take().filter(|_| id == self.count) else { return };
        let bytes = match result {
            Ok(bytes) if bytes.len() <= crate::cert::MAX_CERTIFICATE => bytes,
            Ok(_) => return log.cfg("  fetching certificate failed: too long"),
            Err(error) => return log.cfg(format_args!("  fetching certificate failed: {error}")),
        };
        if !ct_eq(&digest(Hash::Sha1, &[&bytes]), &url.hash) {
            return log.cfg("  fetched certificate does not have the hash that was sent, ignored");
        }
        let ders = if url.bundle { bundle(&bytes) } else { Some(vec![bytes]) };
        let Some(ders) = ders else {
            return log.cfg("  parsing fetched certificate failed");
        };
        for der in ders {
            match Certificate::from_der(&der) {
                Ok(certificate) => {
                    log.cfg(format_args!("  fetched certificate \"{}\"", certificate.subject()));
                    if self.certificates.len() < MAX_CERTS && !self.certificates.contains(&certificate) {
                        self.certificates.push(certificate);
                    }
                }
                Err(error) => log.cfg(format_args!("  parsing fetched certificate failed: {error}")),
            }
        }
    }
}

/// CertificateBundle (RFC 7296 3.6): `SEQUENCE OF CHOICE { cert [0] Certificate, crl [1] CertificateList }`.
fn bundle(der: &[u8]) -> Option<Vec<Vec<u8>>> {
    let outer = AnyRef::from_der(der).ok().filter(|outer| outer.tag() == Tag::Sequence)?;
    let mut reader = SliceReader::new(outer.value()).ok()?;
    let mut certificates = Vec::new();
    while !reader.is_finished() {
        let element = AnyRef::decode(&mut reader).ok()?;
        if certificates.len() >= MAX_CERTS {
            return None;
        }
        match element.tag() {
            Tag::ContextSpecific { constructed: true, number: TagNumber(0) } => {
                // EXPLICIT as the module's default has it.
                certificates.push(AnyRef::from_der(element.value()).ok()?.to_der().ok()?);
            }
            Tag::ContextSpecific { constructed: true, number: TagNumber(1) } => {}
            _ => return None,
        }
    }
    Some(certificates)
}
