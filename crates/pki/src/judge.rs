//! Is the peer who it says it is? A machine without IO: it names the downloads it wants and goes on when they are there.
//!
//! The order is a matter of security: payloads are read; AUTH is verified by a key that the peer or the configuration
//! names; the chain of that key's certificate to an anchor of trust is verified offline; the certificate must confirm the
//! identity; the demands of the connection are checked; only then anything is fetched for revocation. (A certificate sent as
//! hash and URL must be fetched to be seen at all; that is off unless configured, and the hash must match.)
mod demands;
mod received;
mod tls;

pub use tls::TlsJudgement;

use crate::algorithm::parse_auth;
use crate::cert::Certificate;
use crate::chain::{self, Budget, Path, Purpose};
use crate::fetch::{Fetch, FetchKind};
use crate::ocsp::Response;
use crate::revoke::{Cache, Check, Context, Demand, take_response};
use crate::store::{Store, Trust};
use crate::verdict::{Distrust, Log, LogLine, Rule};
use crypto::sign::{Hash, PublicKey, SignScheme, Verified};
use policy::{Auth, Identity};
use received::Received;
use std::sync::Arc;
use wire::iana::AuthMethod;
use wire::ike::Cert;

/// Keys that AUTH is verified with.
const MAX_KEYS: usize = 24;

/// A connection that may be meant.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Name of the connection.
    pub connection: String,
    /// The peer's round in it.
    pub auth: Arc<Auth>,
}

/// What is to be judged.
#[derive(Debug, Clone)]
pub struct JudgeRequest {
    /// The connections that may be meant, best first; the first whose demands are met is taken.
    pub candidates: Vec<Candidate>,
    /// Whom the peer claims to be.
    pub peer: Identity,
    /// Its CERT payloads.
    pub certs: Vec<Cert>,
    /// Method of its AUTH payload.
    pub method: AuthMethod,
    /// Data of its AUTH payload.
    pub auth: Vec<u8>,
    /// What must be signed.
    pub octets: Vec<u8>,
    /// Hash functions that we announced.
    pub hashes: Vec<Hash>,
}

/// The peer is who it says it is.
#[derive(Debug, Clone)]
pub struct Trusted {
    /// Proof that the octets were signed.
    pub verified: Verified,
    /// Index of the candidate whose demands are met.
    pub candidate: usize,
    /// Groups of the peer, from attribute certificates.
    pub groups: Vec<String>,
    /// Subject of its certificate.
    pub subject: Option<Identity>,
    /// The chain of its certificate; of a raw public key there is none.
    pub path: Option<Path>,
}

/// The judgement.
#[derive(Debug, Clone)]
pub struct Judged {
    /// It is, or why not.
    pub verdict: Result<Trusted, Distrust>,
    /// What to log.
    pub log: Vec<LogLine>,
}

/// How judging goes on.
#[derive(Debug)]
pub enum Step {
    /// Fetch these, and tell by [`Judgement::fetched`].
    Fetch(Vec<Fetch>),
    /// That is it.
    Done(Box<Judged>),
}

/// A candidate whose demands are met, if nothing turns out to be revoked.
#[derive(Clone)]
struct Choice {
    candidate: usize,
    verified: Verified,
    groups: Vec<String>,
    path: Option<Path>,
}

enum Stage {
    /// Certificates are fetched that were sent as hash and URL.
    Urls,
    /// The status of the first of these is found out.
    Status {
        options: Vec<Choice>,
        at: usize,
        check: Option<Box<Check>>,
        /// What was found revoked; no chain with it is any better.
        revoked: Vec<(Certificate, Distrust)>,
    },
    Over,
}

/// A judgement under way.
pub struct Judgement {
    store: Arc<Store>,
    request: JudgeRequest,
    received: Received,
    stage: Stage,
    seed: [u8; 32],
    log: Log,
}

impl Judgement {
    /// Begins. `seed` is 32 random bytes, for the nonces of OCSP.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        cache: &mut Cache,
        request: JudgeRequest,
        seed: [u8; 32],
        now: u64,
    ) -> (Self, Step) {
        let mut log = Log::default();
        let received = Received::read(&request.certs, &store, &mut log);
        let mut new = Self { store, request, received, stage: Stage::Urls, seed, log };
        let step = new.go_on(cache, now);
        (new, step)
    }

    /// Tells what came of a download.
    #[must_use]
    pub fn fetched(&mut self, cache: &mut Cache, id: u32, result: Result<Vec<u8>, String>, now: u64) -> Step {
        match &mut self.stage {
            Stage::Urls => self.received.fetched(id, result, &mut self.log),
            Stage::Status { check: Some(check), .. } => {
                let store = Arc::clone(&self.store);
                let mut context = Context { store: &store, cache, now, log: &mut self.log };
                check.fetched(&mut context, result);
            }
            Stage::Status { .. } | Stage::Over => {}
        }
        self.go_on(cache, now)
    }

    fn go_on(&mut self, cache: &mut Cache, now: u64) -> Step {
        if matches!(self.stage, Stage::Urls) {
            if let Some((id, url)) = self.received.next_url() {
                self.log.cfg(format_args!("  fetching certificate from '{url}' ..."));
                return Step::Fetch(vec![Fetch { id, kind: FetchKind::Certificate, url, body: None }]);
            }
            match self.offline(now) {
                Ok(options) => {
                    self.stage = Stage::Status { options, at: 0, check: None, revoked: Vec::new() }
                }
                Err(fault) => return self.done(Err(fault)),
            }
        }
        self.status(cache, now)
    }

    /// Finds the options whose status is good enough, in order.
    fn status(&mut self, cache: &mut Cache, now: u64) -> Step {
        let mut first_fault: Option<Distrust> = None;
        let store = Arc::clone(&self.store);
        loop {
            let Stage::Status { options, at, check, revoked } = &mut self.stage else {
                return self.done(Err(Distrust::new(Rule::NoKey, "", "nothing to judge")));
            };
            let Some(option) = options.get(*at).cloned() else {
                let fault = first_fault.unwrap_or_else(|| Distrust::new(Rule::NoKey, "", "nothing to judge"));
                if let (Rule::Revoked, Ok(claim)) = (fault.rule, Claim::read(&self.request)) {
                    let (kind, peer) = (claim.kind(), &self.request.peer);
                    self.log.ike(format_args!("no trusted {kind} public key found for '{peer}'"));
                }
                return self.done(Err(fault));
            };
            let Some(path) = option.path.clone() else {
                return self.done(Ok(option));
            };
            let mut context = Context { store: &store, cache, now, log: &mut self.log };
            // Options of one path differ in what they demand only.
            let mut current = match check.take() {
                Some(check) if *check.path() == path => *check,
                Some(_) | None => {
                    in_band(&mut context, &path, &self.received.ocsp);
                    Check::new(path, self.seed)
                }
            };
            let known = revoked.iter().find(|(bad, _)| current.path().certificates().contains(bad));
            let known = known.map(|(_, fault)| fault.clone());
            let wanted = if known.is_some() { None } else { current.advance(&mut context) };
            let demand = self.request.candidates.get(option.candidate);
            let demand = demand.map_or(Demand::Strict, |c| Demand::parse(&c.auth.revocation));
            let verdict = known.map_or_else(|| current.verdict(demand), Err);
            if let (Err(fault), Some(bad)) = (&verdict, current.revoked()) {
                revoked.push((bad.clone(), fault.clone()));
            }
            *check = Some(Box::new(current));
            if let Some(fetch) = wanted {
                return Step::Fetch(vec![fetch]);
            }
            match verdict {
                Ok(()) => return self.done(Ok(option)),
                Err(fault) => {
                    *at = at.saturating_add(1);
                    let next = options.get(*at).map(|o| o.candidate);
                    self.log.cfg(&fault.reason);
                    self.switch(option.candidate, next);
                    first_fault.get_or_insert(fault);
                }
            }
        }
    }

    /// Says that another connection is tried, in charon's words.
    fn switch(&mut self, from: usize, to: Option<usize>) {
        let name = |index: usize| self.request.candidates.get(index).map(|c| c.connection.clone());
        let (Some(from_name), true) = (name(from), to != Some(from)) else { return };
        self.log
            .cfg(format_args!("selected peer config '{from_name}' unacceptable: constraint checking failed"));
        match to.and_then(name) {
            Some(to) => self.log.cfg(format_args!("switching to peer config '{to}'")),
            None => self.log.cfg("no alternative config found"),
        }
    }

    fn done(&mut self, verdict: Result<Choice, Distrust>) -> Step {
        self.stage = Stage::Over;
        let verdict = verdict.map(|option| Trusted {
            verified: option.verified,
            candidate: option.candidate,
            groups: option.groups,
            subject: option.path.as_ref().and_then(Path::leaf).map(|leaf| leaf.subject().clone()),
            path: option.path,
        });
        Step::Done(Box::new(Judged { verdict, log: self.log.take() }))
    }

    /// Everything that needs no download.
    fn offline(&mut self, now: u64) -> Result<Vec<Choice>, Distrust> {
        let claim = Claim::read(&self.request)?;
        let keys = self.keys();
        if keys.is_empty() {
            let reason = format!("no trusted {} public key found for '{}'", claim.kind(), self.request.peer);
            self.log.ike(&reason);
            return Err(Distrust::new(Rule::NoKey, "", reason));
        }
        let mut fault: Option<Distrust> = None;
        let mut options = Vec::new();
        let mut verified_any = false;
        let mut budget = Budget::default();
        for (key, certificate) in keys {
            let verified = match claim.prove(&key, &self.request) {
                Ok(verified) => verified,
                Err(error) => {
                    let subject = certificate.as_ref().map_or_else(String::new, |c| c.subject().to_string());
                    fault.get_or_insert(Distrust::new(Rule::Auth, subject, error));
                    continue;
                }
            };
            if !verified_any {
                // What is wrong with the key that signed is told, not what is wrong with others.
                (verified_any, fault) = (true, None);
            }
            let outcome = match certificate {
                Some(certificate) => self.with_certificate(&certificate, &verified, &mut budget, now),
                None => self.with_key(&key, &verified),
            };
            match outcome {
                Ok(more) => {
                    options.extend(more);
                    break;
                }
                Err(error) => {
                    fault.get_or_insert(error);
                }
            }
        }
        if !options.is_empty() {
            options.sort_by_key(|option: &Choice| option.candidate);
            return Ok(options);
        }
        let fault = fault.unwrap_or_else(|| Distrust::new(Rule::NoKey, "", "no key"));
        if fault.rule == Rule::Auth {
            self.log.ike("signature validation failed, looking for another key");
            self.log.ike(format_args!(
                "no trusted {} public key found for '{}'",
                claim.kind(),
                self.request.peer
            ));
        } else if !matches!(fault.rule, Rule::NoIssuer | Rule::Untrusted) {
            self.log.cfg(&fault.reason);
        }
        Err(fault)
    }

    /// Keys that may have signed, with their certificates: those sent (RFC 7296 3.6: the first is the one), then those at
    /// hand that confirm the identity, then raw keys that a connection names, then those loaded that the identity names.
    fn keys(&self) -> Vec<(PublicKey, Option<Certificate>)> {
        let mut keys: Vec<(PublicKey, Option<Certificate>)> = Vec::new();
        let mut add = |key: &PublicKey, certificate: Option<&Certificate>| {
            let known = keys.iter().any(|(k, c)| k == key && c.as_ref() == certificate);
            if keys.len() < MAX_KEYS && !known {
                keys.push((key.clone(), certificate.cloned()));
            }
        };
        let (authorities, ends): (Vec<_>, Vec<_>) =
            self.received.certificates.iter().partition(|c| c.is_ca());
        for certificate in ends.iter().chain(authorities.iter().filter(|_| ends.is_empty())) {
            add(certificate.key(), Some(certificate));
        }
        for (certificate, trust) in self.store.certificates() {
            if matches!(trust, Trust::None | Trust::Ca) && certificate.covers(&self.request.peer) {
                add(certificate.key(), Some(certificate));
            }
        }
        for candidate in &self.request.candidates {
            for key in demands::raw_keys(&candidate.auth) {
                add(&key, None);
            }
        }
        for key in self.store.public_keys().iter().filter(|key| self.store.is_key_of(&self.request.peer, key))
        {
            add(key, None);
        }
        keys
    }

    fn with_certificate(
        &mut self,
        certificate: &Certificate,
        verified: &Verified,
        budget: &mut Budget,
        now: u64,
    ) -> Result<Vec<Choice>, Distrust> {
        let store = Arc::clone(&self.store);
        let paths = chain::build(
            &store,
            &self.received.certificates,
            certificate,
            Purpose::Ike,
            now,
            budget,
            &mut self.log,
        )?;
        if !certificate.covers(&self.request.peer) {
            let subject = certificate.subject();
            return Err(Distrust::new(
                Rule::Identity,
                subject,
                format_args!("certificate \"{subject}\" does not confirm identity '{}'", self.request.peer),
            ));
        }
        let groups = self.groups(certificate, now);
        let mut options = Vec::new();
        let mut fault = None;
        for (index, candidate) in self.request.candidates.clone().iter().enumerate() {
            let mut why = None;
            let before = options.len();
            for path in &paths {
                match demands::certificate(
                    &candidate.auth,
                    &self.request.peer,
                    &groups,
                    path,
                    verified.scheme(),
                    now,
                ) {
                    Ok(()) => options.push(Choice {
                        candidate: index,
                        verified: verified.clone(),
                        groups: groups.clone(),
                        path: Some(path.clone()),
                    }),
                    Err(error) => {
                        why.get_or_insert(error);
                    }
                }
            }
            if let (Some(why), true) = (why, options.len() == before) {
                self.log.cfg(&why.reason);
                if options.is_empty() {
                    let next = index.saturating_add(1);
                    self.switch(index, (next < self.request.candidates.len()).then_some(next));
                }
                fault.get_or_insert(why);
            }
        }
        match fault {
            Some(fault) if options.is_empty() => Err(fault),
            Some(_) | None => Ok(options),
        }
    }

    /// Groups that attribute authorities give the holder of the certificate.
    fn groups(&mut self, certificate: &Certificate, now: u64) -> Vec<String> {
        let known = self.store.attribute_certificates().iter().map(|a| &**a);
        let mut groups: Vec<String> = Vec::new();
        for attribute in self.received.attributes.iter().chain(known).filter(|a| a.is_for(certificate)) {
            match attribute.verify(&self.store, now) {
                Ok(()) => groups.extend(attribute.groups().iter().cloned()),
                Err(error) => self.log.cfg(error),
            }
        }
        groups
    }

    fn with_key(&mut self, key: &PublicKey, verified: &Verified) -> Result<Vec<Choice>, Distrust> {
        let mut options = Vec::new();
        let mut fault = None;
        for (index, candidate) in self.request.candidates.iter().enumerate() {
            match demands::raw_key(&candidate.auth, &self.request.peer, key, &self.store, verified.scheme()) {
                Ok(()) => options.push(Choice {
                    candidate: index,
                    verified: verified.clone(),
                    groups: Vec::new(),
                    path: None,
                }),
                Err(error) => {
                    fault.get_or_insert(error);
                }
            }
        }
        match fault {
            Some(fault) if options.is_empty() => Err(fault),
            Some(_) | None => {
                let name = Identity::KeyId(key.key_id());
                self.log.cfg(format_args!("  using trusted certificate \"{name}\""));
                Ok(options)
            }
        }
    }
}

/// Responses that came in CERT payloads (RFC 4806) answer before anybody is asked.
fn in_band(context: &mut Context<'_>, path: &Path, responses: &[(Response, Vec<u8>)]) {
    for (response, bytes) in responses {
        if !context.store.settings.enable_ocsp {
            continue;
        }
        let pairs = path.certificates().iter().zip(path.issuers());
        for (certificate, issuer) in pairs {
            if response.answer(issuer, certificate).is_some() {
                take_response(context, response, bytes, certificate, issuer);
                break;
            }
        }
    }
}

/// How the peer says it signed.
struct Claim {
    /// With method 14 one scheme, with the older methods those that they can mean.
    schemes: Vec<SignScheme>,
    signature: Vec<u8>,
}

impl Claim {
    fn read(request: &JudgeRequest) -> Result<Self, Distrust> {
        let fault = |reason: String| Distrust::new(Rule::Auth, "", reason);
        let schemes = match request.method {
            // RFC 7296 2.15 leaves the hash to DigestInfo; SHA-1 is the rule, others are hints from certificates.
            AuthMethod::Rsa => vec![Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512]
                .into_iter()
                .map(SignScheme::RsaPkcs1)
                .collect(),
            AuthMethod::Ecdsa256 => vec![SignScheme::EcdsaRaw(Hash::Sha256)],
            AuthMethod::Ecdsa384 => vec![SignScheme::EcdsaRaw(Hash::Sha384)],
            AuthMethod::Ecdsa521 => vec![SignScheme::EcdsaRaw(Hash::Sha512)],
            AuthMethod::Signature => {
                let (scheme, signature) = parse_auth(&request.auth).map_err(fault)?;
                // RFC 7427 4: only hash functions that the other side announced may be used.
                if let Some(hash) = scheme.hash()
                    && !request.hashes.contains(&hash)
                {
                    return Err(fault(format!("{scheme} signature with a hash that was not announced")));
                }
                return Ok(Self { schemes: vec![scheme], signature: signature.to_vec() });
            }
            AuthMethod::Dss | AuthMethod::Psk | AuthMethod::Null | AuthMethod::Unknown(_) => {
                return Err(fault(format!("authentication method {:?} is no signature", request.method)));
            }
        };
        Ok(Self { schemes, signature: request.auth.clone() })
    }

    /// Kind of key, as charon names it.
    fn kind(&self) -> &'static str {
        match self.schemes.first() {
            Some(SignScheme::EcdsaDer(_) | SignScheme::EcdsaRaw(_)) => "ECDSA",
            Some(SignScheme::Ed25519) => "ED25519",
            Some(SignScheme::Ed448) => "ED448",
            Some(SignScheme::RsaPkcs1(_) | SignScheme::RsaPss(_)) | None => "RSA",
        }
    }

    fn prove(&self, key: &PublicKey, request: &JudgeRequest) -> Result<Verified, String> {
        let mut error = "no scheme".to_owned();
        for scheme in &self.schemes {
            match key.prove(*scheme, &request.octets, &self.signature) {
                Ok(verified) => return Ok(verified),
                Err(e) => error = e.to_string(),
            }
        }
        Err(error)
    }
}
