//! Answers to the engine's questions, each kind in its file. Nothing here makes the engine wait.

pub(crate) mod dns;
pub(crate) mod eap;
pub(crate) mod judge;
pub(crate) mod lease;
pub(crate) mod plane;
pub(crate) mod radius;
pub(crate) mod resolve;
pub(crate) mod sign;
mod work;

use ike::io::{Answer, Ask, Group, LogLine, Ticket};

/// Everybody who answers.
pub(crate) struct Asks {
    pub(crate) eap: eap::Eaps,
    pub(crate) leases: lease::Leases,
    pub(crate) plane: plane::Parcel,
    pub(crate) resolver: resolve::Resolver,
    pub(crate) signers: sign::Signers,
    pub(crate) judges: judge::Judges,
}

/// A line of a judge or signer, as the engine carries it.
fn line(line: pki::LogLine) -> LogLine {
    let group = match line.group {
        pki::verdict::Group::Cfg => Group::Cfg,
        pki::verdict::Group::Ike => Group::Ike,
    };
    LogLine { group, level: line.level, text: line.text }
}

impl Asks {
    /// Answers at once, or sees to it that an answer comes.
    pub(crate) fn take(&mut self, ticket: Ticket, ask: Ask) -> Option<Answer> {
        match ask {
            Ask::Resolve { names, local } => self.resolver.start(ticket, names, local),
            Ask::Eap { session, input } => self.eap.take(ticket, session, input),
            Ask::Sign(request) => self.signers.start(ticket, request),
            Ask::Judge(request) => self.judges.start(ticket, request),
            Ask::Lease(request) => self.leases.start(ticket, request),
            Ask::Release { pools, identity, addresses } => {
                self.leases.release(ticket, pools, identity, addresses)
            }
            ask @ (Ask::VirtualIps { .. }
            | Ask::InstallChild(_)
            | Ask::ActivateOutbound { .. }
            | Ask::UpdateChild { .. }
            | Ask::RemoveChild { .. }
            | Ask::InstallPolicy(_)
            | Ask::RemovePolicy { .. }) => {
                self.plane.put(ticket, ask);
                None
            }
        }
    }
}
