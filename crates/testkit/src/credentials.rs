//! A world of credentials without certificates: every name has the key, the password and the groups that follow from
//! the name. Nothing is stored but EAP conversations, so that all hosts agree on who is who.
//!
//! * The key of a name is an Ed25519 key made of the name; "certificates" are raw public keys (RFC 7670).
//! * Who is called `revoked…` or `expired…` is distrusted for that reason; who is called `unknown…` has no key.
//! * The groups of a name are what stands before each `-` in it: `sales-carol@x` is in `sales`.
//! * `cert_policy` of a round is fulfilled by names that begin with it.
//! * EAP has a method `md5` (no key, one side), `mschapv2` (a key, one side) and `tls` (a key, both sides). A peer called
//!   `wrong…` has the wrong password.
use crypto::Secret;
use crypto::sign::{Hash, PrivateKey, PublicKey, SignScheme, digest};
use ike::io::{
    Answer, Ask, Distrust, EapInput, EapSession, EapStep, Group, JudgeRequest, Judged, LogLine, SignRequest,
    Signed, Trusted,
};
use policy::{Auth, AuthClass, Certificate, Identity};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::iana::{AuthMethod, CertEncoding};
use wire::ike::Cert;

/// AlgorithmIdentifier of Ed25519 (RFC 8420 A.1).
const ED25519: &[u8] = &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70];
/// Type of the packets of the methods here: "Experimental" (RFC 3748 5.8).
const METHOD: u8 = 255;

/// One host's access to it.
#[derive(Debug, Default)]
pub struct Credentials {
    /// Signs with another's key.
    pub impostor: bool,
    /// The server says EAP-Success at once.
    pub hasty: bool,
    /// The EAP server never comes to an end.
    pub endless: bool,
    /// Session-Timeout of the EAP server.
    pub lifetime: Option<u64>,
    sessions: BTreeMap<EapSession, Session>,
}

#[derive(Debug)]
enum Session {
    Server { auths: Vec<Arc<Auth>>, peer: Identity, identity: Option<Identity>, nonce: Vec<u8>, id: u8 },
    Peer { auth: Arc<Auth>, me: Identity, only_mutual: bool, key: Option<(Vec<u8>, String)> },
}

fn sha(parts: &[&[u8]]) -> Vec<u8> {
    digest(Hash::Sha256, parts)
}

/// The private key of a name.
#[must_use]
pub fn key_of(name: &str) -> PrivateKey {
    // PKCS#8 of an Ed25519 seed (RFC 8410 7).
    let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let der = [head.as_slice(), &sha(&[b"key of ", name.as_bytes()])].concat();
    PrivateKey::from_pkcs8(&der).expect("any seed is a key")
}

/// A certificate authority of that name.
#[must_use]
pub fn authority(name: &str) -> Certificate {
    let key = key_of(name);
    let hash = key.public().spki_id();
    Certificate {
        der: key.public().spki().into(),
        subject: Identity::parse(&format!("CN={name}")).expect("a name"),
        key_hash: hash.try_into().expect("SHA-1 has 20 octets"),
    }
}

/// The data of an AUTH payload that signs `octets` with the key of a name.
#[must_use]
pub fn auth_data(name: &str, octets: &[u8]) -> Vec<u8> {
    let signature = key_of(name).sign(SignScheme::Ed25519, octets).expect("Ed25519 signs");
    [&[ED25519.len() as u8], ED25519, &signature].concat()
}

/// Groups that a name is in.
#[must_use]
pub fn groups_of(identity: &Identity) -> Vec<String> {
    let text = identity.to_string();
    let mut parts: Vec<String> = text.split('-').map(str::to_owned).collect();
    parts.pop();
    parts
}

fn line(text: String) -> LogLine {
    LogLine { group: Group::Ike, level: 1, text }
}

impl Credentials {
    /// Answers questions about credentials; `None` for others.
    pub fn answer(&mut self, ask: &Ask) -> Option<Answer> {
        match ask {
            Ask::Sign(request) => Some(self.sign(request)),
            Ask::Judge(request) => {
                let verdict = judge(request);
                let log = vec![line(format!("judged '{}'", request.peer))];
                Some(Answer::Judged(Box::new(Judged { verdict, log })))
            }
            Ask::Eap { session, input } => Some(self.eap(*session, input)),
            _ => None,
        }
    }

    /// EAP conversations that have no end.
    #[must_use]
    pub fn conversations(&self) -> usize {
        self.sessions.len()
    }

    fn sign(&self, request: &SignRequest) -> Answer {
        let name = request.me.to_string();
        if name.starts_with("unknown") {
            return Answer::Failed(format!("no private key found for '{name}'"));
        }
        if !request.identity {
            return Answer::Failed(format!("the peer takes no signature that '{name}' can make"));
        }
        let signer = if self.impostor { "somebody else" } else { &name };
        let mut certs = Vec::new();
        if request.send_cert {
            let spki = key_of(&name).public().spki().to_vec();
            certs.push(Cert { encoding: CertEncoding::RawPublicKey, data: spki });
        }
        if request.ocsp {
            certs.push(Cert { encoding: CertEncoding::Ocsp, data: b"good".to_vec() });
        }
        Answer::Signed(Box::new(Signed {
            method: AuthMethod::Signature,
            auth: request.octets.iter().map(|o| auth_data(signer, o)).collect(),
            scheme: SignScheme::Ed25519,
            log: vec![line(format!("sending end entity cert \"{name}\""))],
            certs,
        }))
    }

    fn eap(&mut self, id: EapSession, input: &EapInput) -> Answer {
        let step = match input {
            EapInput::Abandon => {
                self.sessions.remove(&id);
                return Answer::Done;
            }
            EapInput::Serve(serve) => {
                let auths: Vec<_> = serve.candidates.iter().map(|c| Arc::clone(&c.auth)).collect();
                let nonce = sha(&[b"nonce", &id.0.to_be_bytes()]);
                let ask_identity = auths.iter().any(|a| a.eap_id.is_some());
                let first = if ask_identity {
                    packet(1, 1, 1, b"")
                } else {
                    method_request(1, auths.first().map(AsRef::as_ref), &nonce)
                };
                let peer = serve.peer.clone();
                self.sessions.insert(id, Session::Server { auths, peer, identity: None, nonce, id: 1 });
                if self.hasty { finish_packet(3, 1) } else { first }
            }
            EapInput::Join(join) => {
                let session = Session::Peer {
                    auth: Arc::clone(&join.auth),
                    me: join.me.clone(),
                    only_mutual: !join.server_proven,
                    key: None,
                };
                self.sessions.insert(id, session);
                return self.packet(id, &join.packet);
            }
            EapInput::Packet { eap, .. } => return self.packet(id, eap),
        };
        step_of(step)
    }

    fn packet(&mut self, id: EapSession, bytes: &[u8]) -> Answer {
        let (lifetime, endless) = (self.lifetime, self.endless);
        let Some(session) = self.sessions.get_mut(&id) else {
            return Answer::Failed("no such EAP conversation".to_owned());
        };
        let step = match session {
            Session::Server { .. } if endless => {
                EapStep::Send { packet: packet(1, 1, 1, b""), log: Vec::new() }
            }
            Session::Server { auths, peer, identity, nonce, id } => {
                serve(auths, peer, identity, nonce, id, bytes, lifetime)
            }
            Session::Peer { auth, me, only_mutual, key } => join(auth, me, *only_mutual, key, bytes),
        };
        if !matches!(step, EapStep::Send { .. }) {
            self.sessions.remove(&id);
        }
        Answer::Eap(Box::new(step))
    }
}

fn judge(request: &JudgeRequest) -> Result<Trusted, Distrust> {
    let name = request.peer.to_string();
    let why = |alert, reason: &str| Distrust { alert, certificate: name.clone(), reason: reason.to_owned() };
    if name.starts_with("revoked") {
        return Err(why("cert-revoked", "certificate was revoked"));
    }
    if name.starts_with("expired") {
        return Err(why("cert-expired", "certificate has expired"));
    }
    let own = key_of(&name);
    let sent = request.certs.iter().find(|c| c.encoding == CertEncoding::RawPublicKey);
    let spki = sent.map_or_else(|| own.public().spki().to_vec(), |c| c.data.clone());
    if spki != own.public().spki() {
        return Err(why("cert-no-issuer", "nobody vouches for this key"));
    }
    let signature = request.auth.get(1 + ED25519.len()..).unwrap_or_default();
    let head = request.auth.get(1..=ED25519.len()).unwrap_or_default();
    if request.method != AuthMethod::Signature || head != ED25519 {
        return Err(why("peer-auth-failed", "another kind of signature"));
    }
    let key = PublicKey::from_spki(&spki).map_err(|_| why("peer-auth-failed", "no key"))?;
    let verified = key
        .prove(SignScheme::Ed25519, &request.octets, signature)
        .map_err(|_| why("peer-auth-failed", "signature verification failed"))?;
    let fits = |a: &Auth| a.cert_policy.iter().all(|p| name.starts_with(p.as_str()));
    let candidate = request
        .candidates
        .iter()
        .position(|c| fits(&c.auth))
        .ok_or_else(|| why("peer-auth-failed", "no connection takes it"))?;
    Ok(Trusted { verified, candidate, groups: groups_of(&request.peer), subject: None })
}

/// `code id length type data`.
fn packet(code: u8, id: u8, kind: u8, data: &[u8]) -> Vec<u8> {
    let len = (5 + data.len()) as u16;
    [&[code, id], len.to_be_bytes().as_slice(), &[kind], data].concat()
}

fn finish_packet(code: u8, id: u8) -> Vec<u8> {
    vec![code, id, 0, 4]
}

fn step_of(packet: Vec<u8>) -> Answer {
    Answer::Eap(Box::new(EapStep::Send { packet, log: Vec::new() }))
}

fn method_of(auth: Option<&Auth>) -> String {
    match auth.map(|a| &a.class) {
        Some(AuthClass::Eap(method)) if !method.is_empty() => method.clone(),
        _ => "md5".to_owned(),
    }
}

fn method_request(id: u8, auth: Option<&Auth>, nonce: &[u8]) -> Vec<u8> {
    let method = method_of(auth);
    packet(1, id, METHOD, &[&[method.len() as u8], method.as_bytes(), nonce].concat())
}

fn password(identity: &str) -> Vec<u8> {
    sha(&[b"password of ", identity.as_bytes()])
}

fn failure(packet: Vec<u8>, reason: &str) -> EapStep {
    let why = Distrust { alert: "peer-auth-failed", certificate: String::new(), reason: reason.to_owned() };
    EapStep::Failure { packet, why, log: vec![line(reason.to_owned())] }
}

fn success(
    packet: Vec<u8>,
    method: &str,
    key: Vec<u8>,
    identity: Option<Identity>,
    lifetime: Option<u64>,
) -> EapStep {
    let msk = (method != "md5").then(|| Secret::from(key.as_slice()));
    let groups = identity.as_ref().map(groups_of).unwrap_or_default();
    let log = vec![line(format!("EAP method {method} succeeded"))];
    EapStep::Success {
        packet,
        msk,
        identity,
        groups,
        mutual: method == "tls",
        lifetime,
        radius: Vec::new(),
        log,
    }
}

#[allow(clippy::too_many_arguments, reason = "the fields of a session")]
fn serve(
    auths: &[Arc<Auth>],
    peer: &Identity,
    identity: &mut Option<Identity>,
    nonce: &[u8],
    id: &mut u8,
    bytes: &[u8],
    lifetime: Option<u64>,
) -> EapStep {
    let fits = |identity: &Option<Identity>| {
        let known = identity.clone();
        auths
            .iter()
            .find(|a| match (&a.eap_id, &known) {
                (Some(pattern), Some(known)) => pattern.matches(known).is_some(),
                (Some(_), None) => false,
                (None, _) => true,
            })
            .cloned()
    };
    if bytes.first() != Some(&2) || bytes.get(1) != Some(id) || bytes.len() > 1000 {
        return failure(finish_packet(4, *id), "no response to our request");
    }
    let data = bytes.get(5..).unwrap_or_default();
    match bytes.get(4) {
        Some(1) if identity.is_none() => {
            let Ok(text) = std::str::from_utf8(data) else {
                return failure(finish_packet(4, *id), "no identity");
            };
            *identity = Identity::parse(text).ok();
            let Some(auth) = fits(identity) else {
                return failure(finish_packet(4, *id), "no connection for this identity");
            };
            *id += 1;
            EapStep::Send {
                packet: method_request(*id, Some(&auth), nonce),
                log: vec![line(format!("received EAP identity '{text}'"))],
            }
        }
        Some(255) => {
            let Some(auth) = fits(identity) else {
                return failure(finish_packet(4, *id), "no connection for this identity");
            };
            let name = identity.as_ref().unwrap_or(peer).to_string();
            let expected = sha(&[&password(&name), nonce]);
            if expected != data {
                return failure(finish_packet(4, *id), "wrong password");
            }
            let key = sha(&[b"msk", &password(&name), nonce]);
            success(finish_packet(3, *id), &method_of(Some(&auth)), key, identity.clone(), lifetime)
        }
        _ => failure(finish_packet(4, *id), "another method"),
    }
}

fn join(
    auth: &Auth,
    me: &Identity,
    only_mutual: bool,
    key: &mut Option<(Vec<u8>, String)>,
    bytes: &[u8],
) -> EapStep {
    let name = auth.eap_id.as_ref().unwrap_or(me).to_string();
    let id = bytes.get(1).copied().unwrap_or(0);
    let data = bytes.get(5..).unwrap_or_default();
    match (bytes.first(), bytes.get(4), key.take()) {
        (Some(1), Some(1), None) => {
            EapStep::Send { packet: packet(2, id, 1, name.as_bytes()), log: Vec::new() }
        }
        (Some(1), Some(255), None) => {
            let len = data.first().map_or(0, |n| usize::from(*n));
            let method = String::from_utf8_lossy(data.get(1..=len).unwrap_or_default()).into_owned();
            let nonce = data.get(1 + len..).unwrap_or_default();
            if only_mutual && method != "tls" {
                return failure(Vec::new(), "the server must authenticate itself");
            }
            let word = if name.starts_with("wrong") { b"guess".to_vec() } else { password(&name) };
            *key = Some((sha(&[b"msk", &word, nonce]), method));
            let log = vec![line("server requested authentication".to_owned())];
            EapStep::Send { packet: packet(2, id, METHOD, &sha(&[&word, nonce])), log }
        }
        (Some(3), _, Some((msk, method))) => success(Vec::new(), &method, msk, None, None),
        (Some(3), _, None) => failure(Vec::new(), "EAP-Success before the method was done"),
        _ => failure(Vec::new(), "received EAP_FAILURE, EAP authentication failed"),
    }
}
