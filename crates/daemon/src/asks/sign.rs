//! Signatures of ours: which key, which scheme, which certificates; made beside the runtime, for a key may be on a token.
use super::work::{Place, Workers};
use crate::credentials::Shared;
use crate::shard::Handle as Shard;
use ike::io::{Answer, SignRequest, Signed, Ticket};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How long the OCSP response about our own certificate is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Signs.
pub(crate) struct Signers {
    shard: Shard,
    shared: Arc<Shared>,
    workers: Workers,
}

impl Signers {
    pub(crate) fn new(shard: Shard, shared: Arc<Shared>) -> Self {
        Self { shard, shared, workers: Workers::new() }
    }

    /// Starts a task that will answer.
    pub(crate) fn start(&self, ticket: Ticket, request: Box<SignRequest>) -> Option<Answer> {
        let Some(place) = self.workers.enter() else {
            return Some(Answer::Failed("too many signatures are waiting".into()));
        };
        let (shard, shared) = (self.shard.clone(), self.shared.clone());
        tokio::spawn(async move {
            let told = if request.ocsp { own_status(&place, &shared, &request).await } else { Vec::new() };
            let answer = place.run(move || sign(&shared, &request, told)).await;
            shard.answer(ticket, answer.unwrap_or_else(Answer::Failed)).await;
        });
        None
    }
}

/// Asks for the status of our own certificate, so that it can go along; in vain it does not. Gives what to log.
async fn own_status(place: &Place, shared: &Arc<Shared>, request: &SignRequest) -> Vec<pki::LogLine> {
    let mut seed = [0; 32];
    if getrandom::fill(&mut seed).is_err() {
        return Vec::new();
    }
    let (wanted, for_start) = (translated(request), shared.clone());
    let begun = place.run(move || {
        let (store, now) = (for_start.store.load_full(), linux::clock::wall_seconds());
        let mut cache = for_start.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = pki::choose(&store, &cache, &wanted, now).ok()?;
        let mut status = pki::OwnStatus::new(store, &cache, &plan, seed, now)?;
        let fetch = status.step(&mut cache, None, now);
        Some((status, fetch))
    });
    let Ok(Some((mut status, mut next))) = begun.await else { return Vec::new() };
    // The peer waits for our AUTH, and does without the response.
    let end = tokio::time::Instant::now() + PATIENCE;
    while let Some(fetch) = next {
        let result = tokio::time::timeout_at(end, shared.download(&fetch)).await;
        let result = result.unwrap_or_else(|_| Err(format!("took longer than {PATIENCE:?}")));
        let for_step = shared.clone();
        let step = place.run(move || {
            let mut cache = for_step.cache.lock().unwrap_or_else(PoisonError::into_inner);
            let next = status.step(&mut cache, Some(result), linux::clock::wall_seconds());
            (status, next)
        });
        match step.await {
            Ok(step) => (status, next) = step,
            Err(_) => return Vec::new(),
        }
    }
    status.take_log()
}

fn translated(request: &SignRequest) -> pki::sign::SignRequest {
    pki::sign::SignRequest {
        auth: request.auth.clone(),
        me: request.me.clone(),
        cas: request.cas.clone(),
        send_cert: request.send_cert,
        hash_and_url: request.hash_and_url,
        ocsp: request.ocsp,
        hashes: request.hashes.clone(),
        announced: request.announced.clone(),
    }
}

fn sign(shared: &Shared, request: &SignRequest, told: Vec<pki::LogLine>) -> Answer {
    let store = shared.store.load_full();
    let wanted = translated(request);
    let now = linux::clock::wall_seconds();
    let plan = {
        let cache = shared.cache.lock().unwrap_or_else(PoisonError::into_inner);
        pki::choose(&store, &cache, &wanted, now)
    };
    let signed = plan.and_then(|plan| plan.sign(&request.octets).map(|auth| (plan, auth)));
    match signed {
        Ok((plan, auth)) => Answer::Signed(Box::new(Signed {
            method: plan.method,
            auth,
            scheme: plan.scheme,
            log: told.into_iter().chain(plan.log).map(super::line).collect(),
            certs: plan.certs,
        })),
        Err(why) => Answer::Failed(why.to_string()),
    }
}
