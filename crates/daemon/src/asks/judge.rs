//! Judgements of peers' certificates and signatures. What must be downloaded for one holds up nobody else's.
use super::work::{Place, Workers};
use crate::credentials::Shared;
use crate::observers::log::{Log, Voice};
use crate::shard::Handle as Shard;
use ike::io::{Answer, Distrust, Group, JudgeRequest, Judged, Ticket, Trusted};
use pki::{Fetch, Judgement, Step};
use std::sync::{Arc, PoisonError};

/// Judges.
pub(crate) struct Judges {
    shard: Shard,
    shared: Arc<Shared>,
    log: Arc<Log>,
    workers: Workers,
}

impl Judges {
    pub(crate) fn new(shard: Shard, shared: Arc<Shared>, log: Arc<Log>) -> Self {
        Self { shard, shared, log, workers: Workers::new() }
    }

    /// Starts a task that will answer.
    pub(crate) fn start(&self, ticket: Ticket, request: Box<JudgeRequest>) -> Option<Answer> {
        let Some(place) = self.workers.enter() else {
            return Some(Answer::Failed("too many judgements are waiting".into()));
        };
        let (shard, shared, log) = (self.shard.clone(), self.shared.clone(), self.log.clone());
        tokio::spawn(async move {
            let answer = match judge(&place, shared, *request, &log).await {
                Ok(judged) => Answer::Judged(Box::new(judged)),
                Err(why) => Answer::Failed(why),
            };
            shard.answer(ticket, answer).await;
        });
        None
    }
}

async fn judge(
    place: &Place,
    shared: Arc<Shared>,
    request: JudgeRequest,
    log: &Log,
) -> Result<Judged, String> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| format!("no randomness from the system: {e}"))?;
    let candidates = request
        .candidates
        .into_iter()
        .map(|c| pki::judge::Candidate { connection: c.connection, auth: c.auth })
        .collect();
    let wanted = pki::judge::JudgeRequest {
        candidates,
        peer: request.peer,
        certs: request.certs,
        method: request.method,
        auth: request.auth,
        octets: request.octets,
        hashes: request.hashes,
    };
    let for_start = shared.clone();
    let (mut judgement, mut step) = place
        .run(move || {
            let store = for_start.store.load_full();
            let mut cache = for_start.cache.lock().unwrap_or_else(PoisonError::into_inner);
            Judgement::new(store, &mut cache, wanted, seed, linux::clock::wall_seconds())
        })
        .await?;
    loop {
        let wanted = match step {
            Step::Done(judged) => return Ok(translated(*judged)),
            Step::Fetch(wanted) => wanted,
        };
        step = Step::Fetch(Vec::new());
        if wanted.is_empty() {
            return Err("judging ended without a verdict".into());
        }
        for fetch in wanted {
            let result = shared.download(&fetch).await;
            let for_step = shared.clone();
            let kept;
            (judgement, step, kept) = place.run(move || take(&for_step, judgement, &fetch, result)).await?;
            match kept {
                Ok(Some(text)) => log.say(Voice::Engine, Group::Cfg, 1, text),
                Ok(None) => {}
                Err(why) => log.say(Voice::Engine, Group::Cfg, 1, why),
            }
        }
    }
}

fn take(
    shared: &Shared,
    mut judgement: Judgement,
    fetch: &Fetch,
    result: Result<Vec<u8>, String>,
) -> (Judgement, Step, Result<Option<String>, String>) {
    let bytes = result.as_ref().ok().cloned();
    let step = {
        let mut cache = shared.cache.lock().unwrap_or_else(PoisonError::into_inner);
        judgement.fetched(&mut cache, fetch.id, result, linux::clock::wall_seconds())
    };
    let kept = match bytes {
        Some(bytes) => {
            let path = shared.keep_crl(fetch, &bytes);
            path.map(|path| {
                path.map(|path| format!("  written crl file '{}' ({} bytes)", path.display(), bytes.len()))
            })
        }
        None => Ok(None),
    };
    (judgement, step, kept)
}

fn translated(judged: pki::Judged) -> Judged {
    let verdict = match judged.verdict {
        Ok(trusted) => Ok(Trusted {
            verified: trusted.verified,
            candidate: trusted.candidate,
            groups: trusted.groups,
            subject: trusted.subject,
        }),
        Err(fault) => Err(distrust(fault)),
    };
    Judged { verdict, log: judged.log.into_iter().map(super::line).collect() }
}

/// As the engine knows it.
pub(super) fn distrust(fault: pki::Distrust) -> Distrust {
    Distrust { alert: fault.alert(), certificate: fault.certificate, reason: fault.reason }
}
