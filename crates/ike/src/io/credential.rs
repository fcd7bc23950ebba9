//! Questions about credentials: signing, judging, EAP. The engine holds neither private keys nor trust.
use super::Group;
use crypto::Secret;
use crypto::sign::{Hash, SignScheme, Verified};
use policy::{Auth, Identity};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use wire::iana::AuthMethod;
use wire::ike::Cert;

/// A line for the log of the IKE_SA that asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// charon's group.
    pub group: Group,
    /// charon's level.
    pub level: i8,
    /// Text, worded as charon does where it has such a line.
    pub text: String,
}

/// A connection that may be meant, with the peer's round that is due in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Name of the connection.
    pub connection: String,
    /// The peer's round.
    pub auth: Arc<Auth>,
}

/// What to sign, and with what. A private key is looked for that belongs to one of the round's certificates or public
/// keys, else to any certificate for `me`.
#[derive(Debug, Clone)]
pub struct SignRequest {
    /// IKE_SA's unique id.
    pub ike_id: u32,
    /// Connection name.
    pub connection: String,
    /// Our round; its class is `Pubkey`.
    pub auth: Arc<Auth>,
    /// Our identity.
    pub me: Identity,
    /// Whom the peer trusts (SHA-1 of SubjectPublicKeyInfo); empty: it did not say.
    pub cas: Vec<[u8; 20]>,
    /// CERT payloads are wanted (`send_cert`, and what the peer asked for).
    pub send_cert: bool,
    /// The peer looks certificates up itself (HTTP_CERT_LOOKUP_SUPPORTED).
    pub hash_and_url: bool,
    /// The peer wants OCSP responses along (RFC 4806) and we give them.
    pub ocsp: bool,
    /// The peer's hash functions (RFC 7427 SIGNATURE_HASH_ALGORITHMS); `None`: it did not say, so the older methods.
    pub hashes: Option<Vec<Hash>>,
    /// It takes signatures without a hash beside, Ed25519 and Ed448 (RFC 8420 3, "Identity").
    pub identity: bool,
    /// Signature schemes that the peer announced (RFC 9593); empty: it announced none. They are preferred, not demanded.
    pub announced: Vec<SignScheme>,
    /// What to sign; two where a post-quantum pre-shared key is optional (RFC 8784 NO_PPK_AUTH).
    pub octets: Vec<Vec<u8>>,
}

/// Signed.
#[derive(Debug, Clone)]
pub struct Signed {
    /// For the AUTH payload.
    pub method: AuthMethod,
    /// Data of the AUTH payload for each of the request's octets: with method 14 the whole of RFC 7427 3.
    pub auth: Vec<Vec<u8>>,
    /// How it was signed.
    pub scheme: SignScheme,
    /// CERT payloads, ours first.
    pub certs: Vec<Cert>,
    /// What to log.
    pub log: Vec<LogLine>,
}

/// The peer says who it is with a signature.
#[derive(Debug, Clone)]
pub struct JudgeRequest {
    /// IKE_SA's unique id.
    pub ike_id: u32,
    /// The connections that may be meant, best first. The judge takes the first whose demands are met.
    pub candidates: Vec<Candidate>,
    /// Whom the peer claims to be.
    pub peer: Identity,
    /// Its CERT payloads, all encodings, in order.
    pub certs: Vec<Cert>,
    /// Method of its AUTH payload.
    pub method: AuthMethod,
    /// Data of its AUTH payload.
    pub auth: Vec<u8>,
    /// What must be signed.
    pub octets: Vec<u8>,
    /// Hash functions that we announced; others are refused.
    pub hashes: Vec<Hash>,
    /// Where the peer is.
    pub remote: SocketAddr,
}

/// The judgement.
#[derive(Debug, Clone)]
pub struct Judged {
    /// It is who it says, or why not.
    pub verdict: Result<Trusted, Distrust>,
    /// What to log.
    pub log: Vec<LogLine>,
}

/// The peer's signature is good and its key belongs to the identity.
#[derive(Debug, Clone)]
pub struct Trusted {
    /// Proof that the octets were signed.
    pub verified: Verified,
    /// Index of the candidate whose demands are met.
    pub candidate: usize,
    /// Groups of the peer, from attribute certificates.
    pub groups: Vec<String>,
    /// Subject of the certificate, for observers.
    pub subject: Option<Identity>,
}

/// It is not, or cannot be shown to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distrust {
    /// Type of the vici alert: `cert-expired`, `cert-revoked`, `cert-no-issuer`, …, `peer-auth-failed`.
    pub alert: &'static str,
    /// Subject of the certificate at fault, empty when none is.
    pub certificate: String,
    /// Which rule it breaks.
    pub reason: String,
}

/// Names an EAP conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EapSession(pub u64);

/// What happens in an EAP conversation.
#[derive(Debug, Clone)]
pub enum EapInput {
    /// We are the server: begin. Answered with the first packet to send.
    Serve(Box<EapServe>),
    /// We are the peer, and this is the server's first packet.
    Join(Box<EapJoin>),
    /// The other end's next packet.
    Packet {
        /// The packet.
        eap: Vec<u8>,
        /// Attributes of RADIUS that came with it, as in [`EapServe::radius`].
        radius: Vec<Vec<u8>>,
    },
    /// The IKE_SA is gone: forget the conversation. Answered with `Done`.
    Abandon,
}

/// A conversation as EAP server (authenticator).
#[derive(Debug, Clone)]
pub struct EapServe {
    /// IKE_SA's unique id.
    pub ike_id: u32,
    /// The connections that may be meant, best first; the class of their rounds is `Eap`. Where one has an `eap_id`
    /// the peer is asked for its identity, and the first whose `eap_id` it matches says which method is run.
    pub candidates: Vec<Candidate>,
    /// The peer's IKE identity.
    pub peer: Identity,
    /// Our IKE identity.
    pub me: Identity,
    /// Our address.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// Attributes that the peer wants a RADIUS server to have (strongSwan's notify 40969): type, length and value, not
    /// looked at yet; few.
    pub radius: Vec<Vec<u8>>,
}

/// A conversation as EAP peer (supplicant).
#[derive(Debug, Clone)]
pub struct EapJoin {
    /// IKE_SA's unique id.
    pub ike_id: u32,
    /// Connection name.
    pub connection: String,
    /// Our round; its class is `Eap`.
    pub auth: Arc<Auth>,
    /// Our IKE identity.
    pub me: Identity,
    /// The server's IKE identity.
    pub server: Identity,
    /// It has authenticated itself. Where it has not (RFC 5998), only a method may be run that authenticates both.
    pub server_proven: bool,
    /// Its first packet.
    pub packet: Vec<u8>,
}

/// How the conversation goes on.
#[derive(Debug, Clone)]
pub enum EapStep {
    /// Send this packet.
    Send {
        /// The packet.
        packet: Vec<u8>,
        /// What to log.
        log: Vec<LogLine>,
    },
    /// It succeeded.
    Success {
        /// The server's EAP-Success; empty on the peer's side.
        packet: Vec<u8>,
        /// Shared key, of methods that make one.
        msk: Option<Secret>,
        /// The peer's EAP identity, where it was asked for.
        identity: Option<Identity>,
        /// Groups of the peer (RADIUS Class, Filter-Id).
        groups: Vec<String>,
        /// The server, too, is authenticated by the method (RFC 5998).
        mutual: bool,
        /// Seconds until the peer must authenticate anew (RADIUS Session-Timeout).
        lifetime: Option<u64>,
        /// Attributes of RADIUS for the peer, with type and length; empty on the peer's side.
        radius: Vec<Vec<u8>>,
        /// What to log.
        log: Vec<LogLine>,
    },
    /// It failed.
    Failure {
        /// The server's EAP-Failure; empty on the peer's side.
        packet: Vec<u8>,
        /// Why, for the operator.
        why: Distrust,
        /// What to log.
        log: Vec<LogLine>,
    },
}
