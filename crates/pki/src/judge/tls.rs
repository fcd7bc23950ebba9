//! The certificate of the other end of a TLS connection in EAP: judged offline inside the handshake, its revocation after
//! it.
use super::demands;
use crate::cert::Certificate;
use crate::chain::{self, Budget, Path, Purpose};
use crate::fetch::Fetch;
use crate::revoke::{Cache, Check, Context, Demand};
use crate::store::Store;
use crate::verdict::{Distrust, Log, LogLine, Rule};
use policy::{Auth, Identity};
use std::sync::Arc;

/// Certificates of a TLS handshake that are looked at.
const MAX_CHAIN: usize = 16;

impl Store {
    /// Judges a chain, the other end's certificate first, with everything but revocation. `identity`, where there is one,
    /// must be confirmed by the certificate; of `auth` the demands on certificates and chains count.
    ///
    /// # Errors
    /// Which certificate breaks which rule.
    pub fn judge_tls(
        &self,
        chain: &[&[u8]],
        purpose: Purpose,
        identity: Option<&Identity>,
        auth: &Auth,
        now: u64,
    ) -> Result<(Path, Vec<LogLine>), (Distrust, Vec<LogLine>)> {
        let mut log = Log::default();
        match self.judge_chain(chain, purpose, identity, auth, now, &mut log) {
            Ok(path) => Ok((path, log.take())),
            Err(fault) => Err((fault, log.take())),
        }
    }

    fn judge_chain(
        &self,
        chain: &[&[u8]],
        purpose: Purpose,
        identity: Option<&Identity>,
        auth: &Auth,
        now: u64,
        log: &mut Log,
    ) -> Result<Path, Distrust> {
        if chain.len() > MAX_CHAIN {
            return Err(Distrust::new(
                Rule::PathLength,
                "",
                format_args!("more than {MAX_CHAIN} certificates"),
            ));
        }
        let mut certificates = Vec::new();
        for (index, der) in chain.iter().enumerate() {
            match Certificate::from_der(der) {
                Ok(certificate) => certificates.push(certificate),
                Err(error) if index == 0 => return Err(Distrust::new(Rule::Form, "", error)),
                Err(error) => log.cfg(format_args!("received certificate ignored: {error}")),
            }
        }
        let leaf = certificates.first().ok_or_else(|| Distrust::new(Rule::NoKey, "", "no certificate"))?;
        let paths = chain::build(self, &certificates, leaf, purpose, now, &mut Budget::default(), log)?;
        if let Some(identity) = identity.filter(|identity| !leaf.covers(identity)) {
            let subject = leaf.subject();
            let reason = format!("certificate \"{subject}\" does not confirm identity '{identity}'");
            return Err(Distrust::new(Rule::Identity, subject, reason));
        }
        let constraints = auth
            .class
            .constraints()
            .map_err(|word| Distrust::new(Rule::Constraint, "", format_args!("`{word}` is no constraint")))?;
        let mut fault = None;
        for path in paths {
            match demands::chain(auth, &constraints, &path, now) {
                Ok(()) => return Ok(path),
                Err(error) => {
                    log.cfg(&error.reason);
                    fault.get_or_insert(error);
                }
            }
        }
        Err(fault.unwrap_or_else(|| Distrust::new(Rule::NoKey, "", "no certificate")))
    }
}

/// Finds out whether anything of a chain is revoked.
pub struct TlsJudgement {
    store: Arc<Store>,
    check: Check,
    demand: Demand,
    log: Log,
}

impl TlsJudgement {
    /// Begins with a chain from [`Store::judge_tls`]. `seed` is 32 random bytes.
    #[must_use]
    pub fn new(store: Arc<Store>, path: Path, revocation: &str, seed: [u8; 32]) -> Self {
        Self { store, check: Check::new(path, seed), demand: Demand::parse(revocation), log: Log::default() }
    }

    /// Goes on; the first call takes no result. Gives what is to be fetched next, or the verdict.
    ///
    /// # Errors
    /// What is to be fetched.
    pub fn step(
        &mut self,
        cache: &mut Cache,
        fetched: Option<Result<Vec<u8>, String>>,
        now: u64,
    ) -> Result<Result<(), Distrust>, Fetch> {
        let mut context = Context { store: &self.store, cache, now, log: &mut self.log };
        if let Some(result) = fetched {
            self.check.fetched(&mut context, result);
        }
        match self.check.advance(&mut context) {
            Some(fetch) => Err(fetch),
            None => Ok(self.check.verdict(self.demand)),
        }
    }

    /// What to log.
    #[must_use]
    pub fn take_log(&mut self) -> Vec<LogLine> {
        self.log.take()
    }
}
