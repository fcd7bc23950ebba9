//! What both ends tell each other about certificates and signatures: CERTREQ (RFC 7296 3.7), certificates to be looked
//! up (3.6), OCSP (RFC 4806), hash functions (RFC 7427).
use super::announce::{self, Announcement};
use super::rounds;
use crate::core::Core;
use crate::message::{find, has, notify};
use crate::sa::IkeSa;
use crypto::sign::Hash;
use policy::{AuthClass, Certificate, Connection, Snapshot};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use wire::iana::{CertEncoding, NotifyType};
use wire::ike::{CertReq, Payload};

/// What the peer said that our own authentication has to heed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Wishes {
    /// It asked for certificates.
    pub(crate) asked: bool,
    /// Authorities that it trusts.
    pub(crate) cas: Vec<[u8; 20]>,
    /// It wants OCSP responses.
    pub(crate) ocsp: bool,
    /// It looks certificates up itself.
    pub(crate) lookup: bool,
    /// Its hash functions; `None`: it did not say.
    pub(crate) hashes: Option<Vec<Hash>>,
    /// It takes signatures without a hash beside (RFC 8420).
    pub(crate) identity: bool,
    /// It goes through several rounds (RFC 4739).
    pub(crate) multiple: bool,
    /// EAP alone will do for it (RFC 5998).
    pub(crate) eap_only: bool,
    /// Methods that it announced (RFC 9593).
    pub(crate) announced: Vec<Announcement>,
}

/// Hash functions that we verify signatures with.
pub(crate) const HASHES: [Hash; 3] = [Hash::Sha256, Hash::Sha384, Hash::Sha512];
/// "Identity" (RFC 8420 4).
const IDENTITY: u16 = 5;
/// Key hashes in one payload, and those of a peer that we keep.
const MAX_CAS: usize = 3000;

/// OCSP responders in one payload, and those of a peer that we look at.
const MAX_SIGNERS: usize = 16;

/// SIGNATURE_HASH_ALGORITHMS for an IKE_SA_INIT message.
pub(crate) fn hash_algorithms(core: &Core) -> Option<Payload> {
    let numbers = HASHES.iter().map(|h| h.ikev2_number()).chain([IDENTITY]);
    let data: Vec<u8> = numbers.flat_map(u16::to_be_bytes).collect();
    core.snapshot
        .settings
        .signature_authentication
        .then(|| notify(NotifyType::SignatureHashAlgorithms, &data))
}

impl Wishes {
    /// Notes what a message says, of IKE_SA_INIT or IKE_AUTH.
    pub(crate) fn note(&mut self, core: &mut Core, sa: &IkeSa, p: &[Payload]) {
        if let Some(n) = find(p, NotifyType::SignatureHashAlgorithms)
            && core.snapshot.settings.signature_authentication
        {
            let numbers = n.data.chunks_exact(2).filter_map(|c| <[u8; 2]>::try_from(c).ok());
            let numbers: BTreeSet<u16> = numbers.map(u16::from_be_bytes).collect();
            self.identity = numbers.contains(&IDENTITY);
            self.hashes = Some(numbers.into_iter().filter_map(Hash::from_ikev2_number).collect());
        }
        for n in p.iter().filter_map(|p| if let Payload::Notify(n) = p { Some(n) } else { None }) {
            if n.kind == NotifyType::SupportedAuthMethods {
                let room = announce::MOST.saturating_sub(self.announced.len());
                self.announced.extend(announce::read(&n.data).into_iter().take(room));
            }
        }
        self.lookup |= has(p, NotifyType::HttpCertLookupSupported);
        self.multiple |=
            has(p, NotifyType::MultipleAuthSupported) && core.snapshot.settings.multiple_authentication;
        self.eap_only |= has(p, NotifyType::EapOnlyAuthentication);
        for request in p.iter().filter_map(|p| if let Payload::CertReq(r) = p { Some(r) } else { None }) {
            match request.encoding {
                CertEncoding::X509 => self.note_authorities(core, sa, request),
                CertEncoding::RawPublicKey => self.asked = true,
                CertEncoding::Ocsp => {
                    self.ocsp = true;
                    if request.authorities.is_empty() {
                        say!(core, sa, Ike 1, "received empty OCSP cert request");
                    }
                    let snapshot = Arc::clone(&core.snapshot);
                    for id in hashes_of(request).take(MAX_SIGNERS) {
                        let known = snapshot.ocsp_signers.iter().chain(&snapshot.authorities);
                        let name = known.filter(|c| c.key_hash == id).map(|c| c.subject.to_string()).next();
                        let name = name.unwrap_or_else(|| hex(&id));
                        say!(core, sa, Ike 1, "received OCSP cert request claiming trust for \"{name}\"");
                    }
                }
                other => say!(core, sa, Ike 1, "cert request encoding {} is not supported", u8::from(other)),
            }
        }
    }

    fn note_authorities(&mut self, core: &mut Core, sa: &IkeSa, request: &CertReq) {
        self.asked = true;
        let snapshot = Arc::clone(&core.snapshot);
        let mut unknown = 0u32;
        let named: BTreeSet<[u8; 20]> = hashes_of(request).take(MAX_CAS).collect();
        for id in named {
            match snapshot.authorities.iter().find(|a| a.key_hash == id) {
                Some(ca) => say!(core, sa, Ike 1, "received cert request for \"{}\"", ca.subject),
                None => unknown = unknown.saturating_add(1),
            }
            if self.cas.len() < MAX_CAS && !self.cas.contains(&id) {
                self.cas.push(id);
            }
        }
        if unknown > 0 {
            say!(core, sa, Ike 1, "received {unknown} cert requests for an unknown ca");
        }
    }

    /// Whether CERT payloads go along with our AUTH.
    pub(crate) fn send_cert(&self, conn: &Connection) -> bool {
        match conn.send_cert.as_str() {
            "always" | "yes" => true,
            "never" | "no" => false,
            _ => self.asked,
        }
    }

    /// Whether OCSP responses do.
    pub(crate) fn send_ocsp(&self, conn: &Connection) -> bool {
        self.ocsp && matches!(conn.ocsp.as_str(), "reply" | "both")
    }
}

fn hashes_of(request: &CertReq) -> impl Iterator<Item = [u8; 20]> {
    request.authorities.chunks_exact(20).filter_map(|c| <[u8; 20]>::try_from(c).ok())
}

fn hex(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    pairs.join(":")
}

/// That OCSP responses be sent, by the responders that are trusted for themselves; an empty one leaves it to the peer
/// (RFC 4806 3.1).
fn ocsp_request(core: &mut Core, sa: &IkeSa, snapshot: &Snapshot) -> Payload {
    let mut authorities = Vec::new();
    for signer in snapshot.ocsp_signers.iter().take(MAX_SIGNERS) {
        say!(core, sa, Ike 1, "sending OCSP cert request with self-signed OCSP-signer \"{}\"", signer.subject);
        authorities.extend(signer.key_hash);
    }
    if authorities.is_empty() {
        say!(core, sa, Ike 1, "sending empty OCSP cert request");
    }
    Payload::CertReq(CertReq { encoding: CertEncoding::Ocsp, authorities })
}

/// What we ask of a peer that may turn out to be meant by these connections: CERTREQ and what belongs to it.
pub(crate) fn requests(core: &mut Core, sa: &IkeSa, conns: &[Arc<Connection>]) -> Vec<Payload> {
    let snapshot = Arc::clone(&core.snapshot);
    let mut cas: Vec<&Certificate> = Vec::new();
    let (mut certificates, mut ocsp, mut all) = (false, false, false);
    let asked = |class: &AuthClass| matches!(class, AuthClass::Pubkey(_) | AuthClass::Any);
    let may_ask = |c: &Connection| c.remote.is_empty() || c.remote.iter().any(|round| asked(&round.class));
    // There may be very many connections: nothing is copied.
    let asking = conns.iter().filter(|c| c.send_certreq && may_ask(c));
    for (conn, round) in asking.flat_map(|c| rounds::theirs(c).into_iter().map(move |r| (c, r))) {
        if !asked(&round.class) {
            continue;
        }
        certificates = true;
        ocsp |= matches!(conn.ocsp.as_str(), "request" | "both");
        let before = cas.len();
        cas.extend(round.cacerts.iter().filter_map(policy::CertRef::certificate));
        if let Some(id) = &round.ca_id {
            cas.extend(snapshot.authorities.iter().map(AsRef::as_ref).filter(|a| a.subject == *id));
        }
        if cas.len() == before && !std::mem::replace(&mut all, true) {
            cas.extend(snapshot.authorities.iter().map(AsRef::as_ref));
        }
    }
    let mut seen = BTreeSet::new();
    cas.retain(|ca| seen.insert(ca.key_hash));
    cas.truncate(MAX_CAS);
    let mut out = Vec::new();
    if !certificates || cas.is_empty() {
        return out;
    }
    for ca in &cas {
        say!(core, sa, Ike 1, "sending cert request for \"{}\"", ca.subject);
    }
    let authorities = cas.iter().flat_map(|ca| ca.key_hash).collect();
    out.push(Payload::CertReq(CertReq { encoding: CertEncoding::X509, authorities }));
    if ocsp {
        out.push(ocsp_request(core, sa, &snapshot));
    }
    if snapshot.settings.hash_and_url {
        out.push(notify(NotifyType::HttpCertLookupSupported, &[]));
    }
    out
}
