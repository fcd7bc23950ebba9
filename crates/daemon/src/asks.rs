//! Answers to the engine's questions, each kind in its file. Nothing here makes the engine wait.

pub(crate) mod eap;
pub(crate) mod lease;
pub(crate) mod plane;
pub(crate) mod radius;
pub(crate) mod resolve;

use ike::io::{Answer, Ask, Ticket};

/// Everybody who answers.
pub(crate) struct Asks {
    pub(crate) eap: eap::Eaps,
    pub(crate) leases: lease::Leases,
    pub(crate) plane: plane::Handle,
    pub(crate) resolver: resolve::Resolver,
}

impl Asks {
    /// Answers at once, or sees to it that an answer comes.
    pub(crate) fn take(&mut self, ticket: Ticket, ask: Ask) -> Option<Answer> {
        match ask {
            Ask::Resolve { names, local } => self.resolver.start(ticket, names, local),
            Ask::Sign(_) | Ask::Judge(_) => Some(Answer::Failed("credentials are not available".into())),
            Ask::Eap { session, input } => self.eap.take(ticket, session, input),
            Ask::Lease(request) => Some(self.leases.lease(&request)),
            Ask::Release { pools, identity, addresses } => {
                self.leases.release(&pools, &identity, &addresses);
                Some(Answer::Done)
            }
            ask @ (Ask::VirtualIps { .. }
            | Ask::InstallChild(_)
            | Ask::ActivateOutbound { .. }
            | Ask::UpdateChild { .. }
            | Ask::RemoveChild { .. }
            | Ask::InstallPolicy(_)
            | Ask::RemovePolicy { .. }) => self.plane.start(ticket, ask),
        }
    }
}
