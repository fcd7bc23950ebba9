//! Signatures of ours: which key, which scheme, which certificates; made beside the runtime, for a key may be on a token.
use super::work::Workers;
use crate::credentials::Shared;
use crate::shard::Handle as Shard;
use ike::io::{Answer, SignRequest, Signed, Ticket};
use std::sync::{Arc, PoisonError};

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
            let answer = place.run(move || sign(&shared, &request)).await;
            shard.answer(ticket, answer.unwrap_or_else(Answer::Failed)).await;
        });
        None
    }
}

fn sign(shared: &Shared, request: &SignRequest) -> Answer {
    let store = shared.store.load_full();
    let wanted = pki::sign::SignRequest {
        auth: request.auth.clone(),
        me: request.me.clone(),
        cas: request.cas.clone(),
        send_cert: request.send_cert,
        hash_and_url: request.hash_and_url,
        ocsp: request.ocsp,
        hashes: request.hashes.clone(),
    };
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
            log: plan.log.into_iter().map(super::line).collect(),
            certs: plan.certs,
        })),
        Err(why) => Answer::Failed(why.to_string()),
    }
}
