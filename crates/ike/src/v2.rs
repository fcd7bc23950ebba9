//! IKEv2: the receive path of one IKE_SA, its queue of jobs, its deadlines.
//!
//! One exchange per file, both roles in it, initiator first.

pub(crate) mod auth;
pub(crate) mod child_create;
pub(crate) mod child_delete;
pub(crate) mod child_mode;
pub(crate) mod child_plan;
pub(crate) mod child_rekey;
pub(crate) mod close;
pub(crate) mod collision;
pub(crate) mod establish;
pub(crate) mod followup;
pub(crate) mod ike_delete;
pub(crate) mod ike_rekey;
pub(crate) mod informational;
pub(crate) mod init;
pub(crate) mod intermediate;
pub(crate) mod keys;
pub(crate) mod liveness;
pub(crate) mod mobike;
pub(crate) mod ppk;
pub(crate) mod proof;
pub(crate) mod receive;
pub(crate) mod seal;
pub(crate) mod send;
pub(crate) mod timers;
pub(crate) mod vendor;
pub(crate) mod window;

use crate::core::{Core, StartChild};
use crate::io::{Answer, Group};
use crate::message::{Kept, notify};
use crate::sa::{IkeSa, Phase, Standing, Wait};
use child_plan::Reserved;
use serde::{Deserialize, Serialize};
use thin_vec::ThinVec;
use wire::iana::{ExchangeType, NotifyType, ProtocolId};
use wire::ike::Payload;

/// Work of an established IKE_SA; one at a time is on the wire.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Job {
    /// One more CHILD_SA.
    ChildCreate(StartChild),
    /// Rekey a CHILD_SA.
    ChildRekey(u32),
    /// Delete a CHILD_SA.
    ChildDelete(u32),
    /// Delete the SA that the peer has under this SPI of ours, of which nothing came here.
    SpiDelete(ProtocolId, u32),
    /// Rekey the IKE_SA.
    IkeRekey,
    /// Delete the IKE_SA.
    IkeDelete,
    /// See whether the peer is alive.
    Liveness,
    /// Tell the peer our new address (RFC 4555).
    Mobike,
}

impl Job {
    /// charon's name of the task.
    pub(crate) fn task(&self) -> &'static str {
        match self {
            Self::ChildCreate(_) => "CHILD_CREATE",
            Self::ChildRekey(_) => "CHILD_REKEY",
            Self::ChildDelete(_) | Self::SpiDelete(..) => "CHILD_DELETE",
            Self::IkeRekey => "IKE_REKEY",
            Self::IkeDelete => "IKE_DELETE",
            Self::Liveness => "IKE_DPD",
            Self::Mobike => "IKE_MOBIKE",
        }
    }
}

/// Our request that is on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Exchange {
    /// CREATE_CHILD_SA for one more CHILD_SA.
    ChildCreate(Box<child_create::CreateSent>),
    /// CREATE_CHILD_SA with REKEY_SA.
    ChildRekey(Box<child_rekey::RekeySent>),
    /// INFORMATIONAL with DELETE of a CHILD_SA.
    ChildDelete(u32),
    /// CREATE_CHILD_SA for the IKE_SA.
    IkeRekey(Box<ike_rekey::RekeySent>),
    /// IKE_FOLLOWUP_KE (RFC 9370 2.2.4).
    Followup(Box<followup::FollowupSent>),
    /// INFORMATIONAL with DELETE of the IKE_SA.
    IkeDelete,
    /// Empty INFORMATIONAL.
    Liveness,
    /// INFORMATIONAL with UPDATE_SA_ADDRESSES.
    Mobike(Box<mobike::UpdateSent>),
}

impl Exchange {
    pub(crate) fn task(&self) -> &'static str {
        match self {
            Self::ChildCreate(_) => "CHILD_CREATE",
            Self::ChildRekey(_) => "CHILD_REKEY",
            Self::ChildDelete(_) => "CHILD_DELETE",
            Self::IkeRekey(_) => "IKE_REKEY",
            Self::Followup(f) => f.task(),
            Self::IkeDelete => "IKE_DELETE",
            Self::Liveness => "IKE_DPD",
            Self::Mobike(_) => "IKE_MOBIKE",
        }
    }
}

impl Exchange {
    /// Number and SPI drawn for a CHILD_SA that is not there yet.
    pub(crate) fn offered(&self) -> Option<Reserved> {
        match self {
            Self::ChildCreate(s) => Some(s.offer.reserved()),
            Self::ChildRekey(s) => Some(s.offer.reserved()),
            Self::Followup(s) => s.offered(),
            Self::ChildDelete(_) | Self::IkeRekey(_) | Self::IkeDelete | Self::Liveness | Self::Mobike(_) => {
                None
            }
        }
    }
}

/// The peer's request that waits for the data plane before it is answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Passive {
    /// Its exchange.
    pub(crate) exchange: ExchangeType,
    /// The CHILD_SA being installed.
    pub(crate) child: u32,
    /// The answer if it is.
    pub(crate) ok: Kept,
    /// Which of its payloads are about the CHILD_SA.
    pub(crate) about_child: std::ops::Range<usize>,
}

impl Passive {
    /// The answer if it cannot be installed.
    pub(crate) fn failed(&self) -> Vec<Payload> {
        let rest = self.ok.iter().enumerate().filter(|(at, _)| !self.about_child.contains(at));
        let refusal = notify(NotifyType::NoProposalChosen, &[]);
        rest.map(|(_, payload)| payload.clone()).chain([refusal]).collect()
    }

    pub(crate) fn task(&self) -> &'static str {
        if self.exchange == ExchangeType::IkeAuth { "IKE_AUTH" } else { "CHILD_CREATE" }
    }
}

/// Starts the next job, if the window is free and nothing is parked.
pub(crate) fn pump(core: &mut Core, sa: &mut IkeSa) {
    // A job may come to nothing at once; the queue is bounded, so is this loop.
    for _ in 0..MAX_QUEUE.saturating_mul(2) {
        let Some(e) = sa.established() else { return };
        let held = e.active.is_some() || e.passive.is_some() || e.standing == Standing::Deleting;
        if held || sa.window.flight.is_some() || sa.path_lost {
            return;
        }
        if e.standing == Standing::Rekeyed && !matches!(sa.queue.first(), Some(Job::IkeDelete)) {
            sa.queue.retain(|j| matches!(j, Job::IkeDelete));
        }
        if sa.queue.is_empty() {
            return;
        }
        let job = sa.queue.remove(0);
        if sa.queue.is_empty() {
            // Most IKE_SAs have nothing to do for hours.
            sa.queue = ThinVec::new();
        }
        match job {
            Job::ChildCreate(start) => child_create::start(core, sa, start),
            Job::ChildRekey(child) => child_rekey::start(core, sa, child),
            Job::ChildDelete(child) => child_delete::start(core, sa, child),
            Job::SpiDelete(protocol, spi) => child_delete::start_spi(core, sa, protocol, spi),
            Job::IkeRekey => ike_rekey::start(core, sa),
            Job::IkeDelete => ike_delete::start(core, sa),
            Job::Liveness => liveness::start(core, sa),
            Job::Mobike => mobike::start(core, sa),
        }
    }
}

/// Most jobs an IKE_SA keeps waiting.
pub(crate) const MAX_QUEUE: usize = 256;

/// Queues a job.
pub(crate) fn enqueue(core: &mut Core, sa: &mut IkeSa, job: Job) {
    if sa.queue.len() >= MAX_QUEUE {
        say!(core, sa, Ike 1, "too many jobs queued, dropping {}", job.task());
        return;
    }
    match job {
        // Closing goes before everything else.
        Job::IkeDelete => {
            sa.queue.retain(|j| !matches!(j, Job::IkeDelete));
            sa.queue.insert(0, Job::IkeDelete);
        }
        Job::Mobike => {
            sa.queue.retain(|j| !matches!(j, Job::Mobike));
            sa.queue.insert(0, Job::Mobike);
        }
        Job::Liveness => {
            if sa.queue.is_empty() {
                sa.queue.push(job);
            }
        }
        Job::IkeRekey => {
            if !sa.queue.iter().any(|j| matches!(j, Job::IkeRekey)) {
                sa.queue.push(job);
            }
        }
        Job::ChildRekey(c) => {
            if !sa.queue.iter().any(|j| matches!(j, Job::ChildRekey(x) | Job::ChildDelete(x) if *x == c)) {
                sa.queue.push(job);
            }
        }
        Job::ChildDelete(c) => {
            sa.queue.retain(|j| !matches!(j, Job::ChildRekey(x) | Job::ChildDelete(x) if *x == c));
            sa.queue.push(job);
        }
        Job::ChildCreate(_) | Job::SpiDelete(..) => sa.queue.push(job),
    }
}

/// The world answered one of the SA's questions.
pub(crate) fn answered(core: &mut Core, sa: &mut IkeSa, wait: Wait, answer: Answer) {
    let failure = if let Answer::Failed(why) = &answer { Some(why.clone()) } else { None };
    match wait {
        Wait::Resolve => {
            let pairs = if let Answer::Resolved(p) = answer { p } else { Vec::new() };
            init::resolved(core, sa, pairs, failure.as_deref());
        }
        Wait::Lease(request) => {
            let leased = match answer {
                Answer::Leased { addresses, attributes, trouble } => {
                    auth::Given { addresses, attributes, trouble }
                }
                Answer::Done
                | Answer::Failed(_)
                | Answer::Resolved(_)
                | Answer::Signed(_)
                | Answer::Judged(_)
                | Answer::Eap(_)
                | Answer::Removed { .. } => auth::Given { trouble: failure, ..auth::Given::default() },
            };
            auth::leased(core, sa, &request, leased);
        }
        Wait::Sign | Wait::Judge | Wait::Eap => auth::told(core, sa, &wait, answer),
        Wait::Vips { up, .. } => {
            if up {
                if let Some(why) = failure {
                    core.log(Group::Ike, 0, Some(sa.tag()), format!("installing virtual IP failed: {why}"));
                    core.tell(crate::io::Event::Alert {
                        kind: "vip-failure",
                        sa: Some(Box::new(crate::view::bare(sa))),
                        detail: Vec::new(),
                    });
                }
                child_create::vips_ready(core, sa);
            }
        }
        Wait::Install(child) => child_create::installed(core, sa, child, failure),
        Wait::Activate(child) => {
            if let (Some(why), Some(c)) = (failure, sa.children.get(&child)) {
                let title = c.title();
                say!(core, sa, Chd 1, "unable to install outbound IPsec SA of CHILD_SA {title}: {why}");
            }
        }
        Wait::Update(child) => {
            if let (Some(why), Some(c)) = (failure, sa.children.get(&child)) {
                let title = c.title();
                say!(core, sa, Chd 1, "unable to update addresses of CHILD_SA {title}: {why}");
            }
        }
        Wait::Remove { child, .. } => {
            let (i, o) = match answer {
                Answer::Removed { usage_in, usage_out } => (usage_in, usage_out),
                Answer::Done
                | Answer::Failed(_)
                | Answer::Resolved(_)
                | Answer::Signed(_)
                | Answer::Judged(_)
                | Answer::Eap(_)
                | Answer::Leased { .. } => Default::default(),
            };
            crate::child::finished(core, sa, child, i, o);
        }
        Wait::Release { .. } => {}
    }
    close::settle(core, sa);
}

/// Takes the phase out; what stays behind is `Gone` until it is set again.
pub(crate) fn take_phase(sa: &mut IkeSa) -> Phase {
    std::mem::replace(&mut sa.phase, Phase::Gone)
}
