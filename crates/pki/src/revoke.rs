//! Revocation: is a certificate of a chain that holds still good?
//!
//! OCSP is asked first, then CRLs, as charon does. Only certificates of a chain that was verified offline come here, so no
//! URI is ever fetched that somebody untrusted wrote (CVE-2022-40617).
mod cache;

pub use cache::Cache;

use crate::cert::Certificate;
use crate::chain::{self, Budget, Path, Purpose};
use crate::crl::{Crl, Reason, Revocation};
use crate::fetch::{Fetch, FetchKind, is_http};
use crate::ocsp::{self, Answer, Response, Said};
use crate::store::Store;
use crate::time::charon;
use crate::verdict::{Distrust, Log, Rule};
use crypto::sign::{Hash, digest};
use std::collections::VecDeque;
use std::sync::Arc;

/// URIs that are tried for one certificate and one way.
const MAX_URIS: usize = 8;

/// What must be known (`revocation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// `strict`: the status of every certificate must be good.
    Strict,
    /// `ifuri`: it must be, where there is any place to ask.
    IfUri,
    /// `relaxed`: only a certificate that is known to be revoked is refused.
    Relaxed,
}

impl Demand {
    /// Reads the word; anything else is `strict`, so that a slip of the pen cannot open a door.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "relaxed" | "" => Self::Relaxed,
            "ifuri" => Self::IfUri,
            _ => Self::Strict,
        }
    }
}

/// The status of one certificate, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Revoked(Revocation),
    /// There are places to ask, and none has an answer.
    Failed,
    /// There is only an old answer.
    Stale,
    /// There is no place to ask.
    Skipped,
    Good,
}

/// What a step may look at.
pub(crate) struct Context<'a> {
    pub(crate) store: &'a Store,
    pub(crate) cache: &'a mut Cache,
    pub(crate) now: u64,
    pub(crate) log: &'a mut Log,
}

enum Stage {
    Begin,
    Ocsp(VecDeque<String>),
    Crl { uris: VecDeque<String>, asked: bool, stale: Option<Arc<Crl>> },
    Delta { base: Arc<Crl>, uris: VecDeque<String> },
}

/// Checks the certificates of a chain, one after the other, the anchor not.
pub(crate) struct Check {
    path: Path,
    at: usize,
    stage: Stage,
    statuses: Vec<Status>,
    seed: [u8; 32],
    asked: u32,
    nonce: Vec<u8>,
    /// What is being fetched.
    uri: String,
    /// CRLs are left alone: only an OCSP response is wanted, to be sent to somebody.
    ocsp_only: bool,
}

impl Check {
    pub(crate) fn new(path: Path, seed: [u8; 32]) -> Self {
        Self {
            path,
            at: 0,
            stage: Stage::Begin,
            statuses: Vec::new(),
            seed,
            asked: 0,
            nonce: Vec::new(),
            uri: String::new(),
            ocsp_only: false,
        }
    }

    /// Only asks responders.
    pub(crate) fn of_responders(path: Path, seed: [u8; 32]) -> Self {
        Self { ocsp_only: true, ..Self::new(path, seed) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn pair(&self) -> Option<(Certificate, Certificate)> {
        let certificates = self.path.certificates();
        let issuer = certificates.get(self.at.checked_add(1)?)?;
        Some((certificates.get(self.at)?.clone(), issuer.clone()))
    }

    /// Goes on until something must be fetched; `None`: all is known that can be.
    pub(crate) fn advance(&mut self, context: &mut Context<'_>) -> Option<Fetch> {
        while let Some((certificate, issuer)) = self.pair() {
            let stage = std::mem::replace(&mut self.stage, Stage::Begin);
            match stage {
                Stage::Begin => self.begin(context, &certificate, &issuer),
                Stage::Ocsp(mut uris) => match uris.pop_front() {
                    Some(uri) => {
                        self.nonce = self.nonce(&certificate);
                        self.stage = Stage::Ocsp(uris);
                        context.log.cfg(format_args!("  requesting ocsp status from '{uri}' ..."));
                        match ocsp::request(&issuer, &certificate, &self.nonce).filter(|_| is_http(&uri)) {
                            Some(body) => return Some(self.fetch(FetchKind::Ocsp, uri, Some(body))),
                            None => context.log.cfg(format_args!("ocsp request to '{uri}' failed")),
                        }
                    }
                    None => {
                        if !self.ocsp_only {
                            context.log.cfg("ocsp check failed, fallback to crl");
                        }
                        self.begin_crl(context, &certificate, &issuer, true);
                    }
                },
                Stage::Crl { mut uris, asked, stale } => match uris.pop_front() {
                    Some(uri) => {
                        context.log.cfg(format_args!("  fetching crl from '{uri}' ..."));
                        self.stage = Stage::Crl { uris, asked: true, stale };
                        if is_http(&uri) || context.store.names_file(&uri) {
                            return Some(self.fetch(FetchKind::Crl, uri, None));
                        }
                        context.log.cfg("crl fetching failed: only http and https are supported");
                    }
                    None => match stale {
                        Some(crl) => self.conclude_stale(context, &crl, &certificate),
                        None if asked => self.conclude(context, Status::Failed),
                        None => self.conclude(context, Status::Skipped),
                    },
                },
                Stage::Delta { base, mut uris } => match uris.pop_front() {
                    Some(uri) => {
                        context.log.cfg(format_args!("  fetching crl from '{uri}' ..."));
                        self.stage = Stage::Delta { base, uris };
                        if is_http(&uri) || context.store.names_file(&uri) {
                            return Some(self.fetch(FetchKind::Crl, uri, None));
                        }
                        context.log.cfg("crl fetching failed: only http and https are supported");
                    }
                    // RFC 5280 6.3.3 (a): a delta that cannot be had leaves the complete CRL in force.
                    None => self.conclude_crl(context, &base, None, &certificate),
                },
            }
        }
        None
    }

    /// Takes what was fetched.
    pub(crate) fn fetched(&mut self, context: &mut Context<'_>, result: Result<Vec<u8>, String>) {
        let Some((certificate, issuer)) = self.pair() else { return };
        let stage = std::mem::replace(&mut self.stage, Stage::Begin);
        match stage {
            Stage::Begin => {}
            Stage::Ocsp(uris) => {
                self.stage = Stage::Ocsp(uris);
                match result {
                    Ok(bytes) => self.ocsp_arrived(context, &bytes, &certificate, &issuer),
                    Err(error) => {
                        context.log.cfg(format_args!("fetching from '{}' failed: {error}", self.uri));
                        context.log.cfg(format_args!("ocsp request to '{}' failed", self.uri));
                    }
                }
            }
            Stage::Crl { uris, asked, stale } => {
                let crl = self.crl_arrived(context, result, &certificate, &issuer);
                self.stage = Stage::Crl { uris, asked, stale };
                if let Some(crl) = crl {
                    self.use_crl(context, crl, &certificate);
                }
            }
            Stage::Delta { base, uris } => {
                let delta = self.crl_arrived(context, result, &certificate, &issuer);
                match delta {
                    Some(delta) if base.takes(&delta) && delta.fresh_at(context.now) => {
                        self.conclude_crl(context, &base, Some(&delta), &certificate);
                    }
                    Some(_) => {
                        context.log.cfg("  delta crl does not fit its base");
                        self.stage = Stage::Delta { base, uris };
                    }
                    None => self.stage = Stage::Delta { base, uris },
                }
            }
        }
    }

    fn fetch(&mut self, kind: FetchKind, url: String, body: Option<Vec<u8>>) -> Fetch {
        self.asked = self.asked.wrapping_add(1);
        self.uri.clone_from(&url);
        Fetch { id: self.asked, kind, url, body }
    }

    fn nonce(&self, certificate: &Certificate) -> Vec<u8> {
        digest(Hash::Sha256, &[&self.seed, &self.asked.to_be_bytes(), certificate.serial()])
    }

    fn begin(&mut self, context: &mut Context<'_>, certificate: &Certificate, issuer: &Certificate) {
        context.log.cfg(format_args!("checking certificate status of \"{}\"", certificate.subject()));
        if !context.store.settings.enable_ocsp {
            context.log.cfg("all OCSP validation disabled");
            self.begin_crl(context, certificate, issuer, false);
            return;
        }
        if let Some(answer) = context.cache.answer(issuer, certificate).filter(|a| a.fresh_at(context.now)) {
            context.log.cfg("  using cached ocsp response");
            context.log.cfg(format_args!("  ocsp response is valid: until {}", charon(answer.until)));
            if self.take_answer(context, answer) {
                return;
            }
        }
        let configured = context.store.authorities_of(issuer).flat_map(|a| a.ocsp_uris.iter());
        let uris = limited(configured.chain(certificate.ocsp_uris()));
        if uris.is_empty() {
            context.log.cfg("ocsp check skipped, no ocsp found");
            self.begin_crl(context, certificate, issuer, false);
        } else {
            self.stage = Stage::Ocsp(uris);
        }
    }

    fn ocsp_arrived(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
        certificate: &Certificate,
        issuer: &Certificate,
    ) {
        let response = match Response::from_der(bytes) {
            Ok(response) => response,
            Err(error) => {
                context.log.cfg(format_args!("parsing ocsp response failed: {error}"));
                return;
            }
        };
        if !response.has_nonce(&self.nonce) {
            context.log.cfg("nonce in ocsp response doesn't match");
            return;
        }
        if let Some(answer) = take_response(context, &response, bytes, certificate, issuer) {
            context.log.cfg(format_args!("  ocsp response is valid: until {}", charon(answer.until)));
            self.take_answer(context, answer);
        }
    }

    /// Whether that settles it.
    fn take_answer(&mut self, context: &mut Context<'_>, answer: Answer) -> bool {
        match answer.said {
            Said::Good => self.conclude(context, Status::Good),
            Said::Revoked(revocation) => self.conclude(context, Status::Revoked(revocation)),
            Said::Unknown => return false,
        }
        true
    }

    /// `asked`: some responder was asked in vain, so there was a place to ask.
    fn begin_crl(
        &mut self,
        context: &mut Context<'_>,
        certificate: &Certificate,
        issuer: &Certificate,
        asked: bool,
    ) {
        if self.ocsp_only {
            self.conclude(context, if asked { Status::Failed } else { Status::Skipped });
            return;
        }
        if !context.store.settings.enable_crl {
            context.log.cfg("all CRL validation disabled");
            self.stage = Stage::Crl { uris: VecDeque::new(), asked, stale: None };
            return;
        }
        let configured = context.store.authorities_of(issuer).flat_map(|a| a.crl_uris.iter());
        let own = certificate.crl_uris();
        // What the operator configured is reachable from here; what a CA wrote into its certificates need not be.
        let uris = limited(configured.chain(&own));
        self.stage = Stage::Crl { uris, asked, stale: None };
        let known: Vec<Arc<Crl>> = context.store.crls().iter().chain(context.cache.crls()).cloned().collect();
        let mut best: Option<Arc<Crl>> = None;
        for crl in known {
            if crl.base().is_none()
                && crl.scope(certificate).is_ok()
                && best.as_ref().is_none_or(|known| crl.newer_than(known))
                && signer(context, &crl, &self.path, issuer).is_ok()
            {
                best = Some(crl);
            }
        }
        if let Some(crl) = best {
            context.log.cfg("  using cached crl");
            self.use_crl(context, crl, certificate);
        }
    }

    /// A CRL that was signed by whoever may, and speaks of the certificate; `None` after it is logged why not.
    fn crl_arrived(
        &self,
        context: &mut Context<'_>,
        result: Result<Vec<u8>, String>,
        certificate: &Certificate,
        issuer: &Certificate,
    ) -> Option<Arc<Crl>> {
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(error) => {
                context.log.cfg(format_args!("fetching from '{}' failed: {error}", self.uri));
                context.log.cfg("crl fetching failed");
                return None;
            }
        };
        let der = crate::container::to_der(&bytes).unwrap_or(bytes);
        let crl = match Crl::from_der(&der) {
            Ok(crl) => Arc::new(crl),
            Err(error) => {
                context.log.cfg(format_args!("crl fetched successfully but parsing failed: {error}"));
                return None;
            }
        };
        if let Err(reason) = crl.scope(certificate) {
            context.log.cfg(format_args!("fetched crl of '{}' {reason}", crl.issuer()));
            return None;
        }
        match signer(context, &crl, &self.path, issuer) {
            Ok(signer) => {
                context.log.cfg(format_args!("  crl correctly signed by \"{}\"", signer.subject()));
            }
            Err(error) => {
                context.log.cfg(format_args!("crl response verification failed: {error}"));
                return None;
            }
        }
        context.cache.put_crl(Arc::clone(&crl), context.now);
        Some(crl)
    }

    /// Takes a complete CRL that was verified.
    fn use_crl(&mut self, context: &mut Context<'_>, crl: Arc<Crl>, certificate: &Certificate) {
        if crl.base().is_some() {
            return;
        }
        if !crl.fresh_at(context.now) {
            context.log.cfg(format_args!("  crl is stale: since {}", charon(crl.next_update().unwrap_or(0))));
            if let Stage::Crl { stale, .. } = &mut self.stage {
                *stale = Some(crl);
            }
            return;
        }
        context.log.cfg(format_args!("  crl is valid: until {}", charon(crl.next_update().unwrap_or(0))));
        let issuer = self.pair().map(|(_, issuer)| issuer);
        let delta = context
            .store
            .crls()
            .iter()
            .chain(context.cache.crls())
            .filter(|d| crl.takes(d) && d.fresh_at(context.now) && d.scope(certificate).is_ok())
            .filter(|d| issuer.as_ref().is_some_and(|issuer| signer(context, d, &self.path, issuer).is_ok()))
            .max_by_key(|d| d.this_update())
            .cloned();
        let uris = limited(crl.freshest().iter().chain(certificate.freshest_crl_uris()));
        match delta {
            Some(delta) => self.conclude_crl(context, &crl, Some(&delta), certificate),
            None if uris.is_empty() => self.conclude_crl(context, &crl, None, certificate),
            None => self.stage = Stage::Delta { base: crl, uris },
        }
    }

    fn conclude_crl(
        &mut self,
        context: &mut Context<'_>,
        base: &Crl,
        delta: Option<&Crl>,
        certificate: &Certificate,
    ) {
        let entry = delta.and_then(|delta| delta.entry(certificate)).or_else(|| base.entry(certificate));
        match entry {
            Some(revocation) if revocation.reason != Reason::RemoveFromCrl => {
                self.conclude(context, Status::Revoked(revocation));
            }
            Some(_) | None => self.conclude(context, Status::Good),
        }
    }

    /// What is revoked for good stays revoked.
    fn conclude_stale(&mut self, context: &mut Context<'_>, crl: &Crl, certificate: &Certificate) {
        match crl.entry(certificate) {
            Some(revocation)
                if !matches!(revocation.reason, Reason::CertificateHold | Reason::RemoveFromCrl) =>
            {
                self.conclude(context, Status::Revoked(revocation));
            }
            Some(_) | None => self.conclude(context, Status::Stale),
        }
    }

    fn conclude(&mut self, context: &mut Context<'_>, status: Status) {
        match status {
            Status::Good => context.log.cfg("certificate status is good"),
            Status::Revoked(r) => context.log.cfg(format_args!(
                "certificate was revoked on {}, reason: {}",
                charon(r.time),
                r.reason
            )),
            Status::Stale => context.log.cfg("certificate status is unknown, crl is stale"),
            Status::Failed | Status::Skipped => context.log.cfg("certificate status is not available"),
        }
        self.statuses.push(status);
        self.at = self.at.saturating_add(1);
        self.stage = Stage::Begin;
        // One revoked certificate settles the chain.
        if matches!(status, Status::Revoked(_)) {
            self.at = self.path.certificates().len();
        }
    }

    /// The certificate that is revoked, if one is.
    pub(crate) fn revoked(&self) -> Option<&Certificate> {
        let mut known = self.path.certificates().iter().zip(&self.statuses);
        known.find(|(_, status)| matches!(status, Status::Revoked(_))).map(|(certificate, _)| certificate)
    }

    /// Whether that is enough.
    pub(crate) fn verdict(&self, demand: Demand) -> Result<(), Distrust> {
        for (certificate, status) in self.path.certificates().iter().zip(&self.statuses) {
            let subject = certificate.subject();
            let (is, enough, least) = match status {
                Status::Revoked(revocation) => {
                    return Err(Distrust::new(
                        Rule::Revoked,
                        subject,
                        format_args!(
                            "certificate \"{subject}\" was revoked on {}, reason: {}",
                            charon(revocation.time),
                            revocation.reason
                        ),
                    ));
                }
                Status::Good => continue,
                Status::Skipped => ("SKIPPED", demand != Demand::Strict, "GOOD"),
                Status::Stale => (
                    "STALE",
                    demand == Demand::Relaxed,
                    if demand == Demand::Strict { "GOOD" } else { "SKIPPED" },
                ),
                Status::Failed => (
                    "FAILED",
                    demand == Demand::Relaxed,
                    if demand == Demand::Strict { "GOOD" } else { "SKIPPED" },
                ),
            };
            if !enough {
                return Err(Distrust::new(
                    Rule::Status,
                    subject,
                    format_args!(
                        "constraint check failed: RULE_CRL_VALIDATION is {is}, but requires at least {least}"
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// Verifies a response and keeps what it says of a certificate.
pub(crate) fn take_response(
    context: &mut Context<'_>,
    response: &Response,
    bytes: &[u8],
    certificate: &Certificate,
    issuer: &Certificate,
) -> Option<Answer> {
    match response.verify(issuer, context.store, context.now) {
        Ok(signer) => {
            context.log.cfg(format_args!("  ocsp response correctly signed by \"{}\"", signer.subject()));
            // RFC 6960 4.2.2.2.1: without id-pkix-ocsp-nocheck it is ours to see whether the signer is revoked itself;
            // the CRLs at hand are asked, so that a responder cannot send us after another.
            if signer != *issuer && !signer.no_check() && revoked_at_hand(context, &signer, issuer) {
                context.log.cfg("ocsp response verification failed, its signer is revoked");
                return None;
            }
        }
        Err(error) => {
            context.log.cfg(error);
            return None;
        }
    }
    let Some(answer) = response.answer(issuer, certificate) else {
        context.log.cfg("  ocsp response contains no status on our certificate");
        return None;
    };
    if !answer.fresh_at(context.now) {
        context.log.cfg(format_args!("  ocsp response is stale: since {}", charon(answer.until)));
        return None;
    }
    context.cache.put_answer(issuer, certificate, answer, bytes, context.now);
    Some(answer)
}

fn revoked_at_hand(context: &Context<'_>, certificate: &Certificate, issuer: &Certificate) -> bool {
    let mut known = context.store.crls().iter().chain(context.cache.crls());
    known.any(|crl| {
        crl.scope(certificate).is_ok()
            && crl.entry(certificate).is_some_and(|r| r.reason != Reason::RemoveFromCrl)
            && crl.verify(issuer).is_ok()
    })
}

/// Who signed the CRL: the issuer, or another certificate with the CRL issuer's name that leads to the anchor of the same
/// chain (RFC 5280 6.3.3 (f)), as far as we know not revoked itself.
fn signer(
    context: &Context<'_>,
    crl: &Crl,
    path: &Path,
    issuer: &Certificate,
) -> Result<Certificate, String> {
    if crl.is_sha1() && !context.store.settings.sha1_signatures {
        return Err("it is signed with SHA-1, which is not accepted".to_owned());
    }
    let first = match crl.verify(issuer) {
        Ok(()) => return Ok(issuer.clone()),
        Err(error) => error,
    };
    let known = context.store.with_subject(crl.issuer()).map(|(c, _)| c);
    for other in path.certificates().iter().chain(known) {
        if other == issuer || crl.verify(other).is_err() {
            continue;
        }
        if Some(other) == path.anchor() {
            return Ok(other.clone());
        }
        let paths = chain::build(
            context.store,
            path.certificates(),
            other,
            Purpose::Any,
            context.now,
            &mut Budget::default(),
            &mut Log::default(),
        );
        let same_anchor = |p: &Path| {
            let mut pairs = p.certificates().iter().zip(p.issuers());
            p.anchor() == path.anchor() && !pairs.any(|(c, issuer)| revoked_at_hand(context, c, issuer))
        };
        if paths.is_ok_and(|paths| paths.iter().any(same_anchor)) {
            return Ok(other.clone());
        }
    }
    Err(first)
}

fn limited<'a>(uris: impl Iterator<Item = &'a String>) -> VecDeque<String> {
    let mut list = VecDeque::new();
    for uri in uris {
        if list.len() < MAX_URIS && !list.contains(uri) {
            list.push_back(uri.clone());
        }
    }
    list
}
