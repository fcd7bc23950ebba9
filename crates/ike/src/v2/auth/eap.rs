//! EAP in IKE_AUTH (RFC 7296 2.16, RFC 5998): what both roles keep of a conversation. The methods are the edge's.
use crate::core::{Core, Waiter};
use crate::fault::Fault;
use crate::io::{Ask, EapInput, EapSession, EapStep, LogLine};
use crate::message::notifies;
use crate::sa::{IkeSa, Wait};
use crypto::Secret;
use serde::{Deserialize, Serialize};
use wire::iana::NotifyType;
use wire::ike::Payload;

/// Packets from the peer in one conversation. A chain of certificates in fragments of 1 kB takes a few dozen.
const MAX_PACKETS: u32 = 64;

/// A conversation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    session: EapSession,
    packets: u32,
    /// The edge knows of it.
    pub(crate) begun: bool,
    /// It succeeded; AUTH is due.
    pub(crate) done: Option<Done>,
}

/// A conversation that succeeded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Done {
    /// What the method agreed on, if it does such.
    pub(crate) msk: Option<Secret>,
}

/// Attributes of RADIUS in one message that are looked at.
const ATTRIBUTES: usize = 16;

/// Attributes of RADIUS that the other end sent along (strongSwan's notify 40969): type, length and value.
pub(crate) fn radius(p: &[Payload]) -> Vec<Vec<u8>> {
    let all = notifies(p).filter(|n| n.kind == NotifyType::RadiusAttribute);
    all.map(|n| n.data.clone()).filter(|data| data.len() <= 255).take(ATTRIBUTES).collect()
}

impl Run {
    pub(crate) fn new(core: &mut Core) -> Self {
        // No two engines of a daemon may use one number, nor may a successor that knows nothing of them.
        Self { session: EapSession(core.rng.u64()), packets: 0, begun: false, done: None }
    }

    /// The next step: begins, or hands on the peer's packet.
    pub(crate) fn ask(&mut self, core: &mut Core, sa: &mut IkeSa, input: EapInput) -> Result<(), Fault> {
        self.packets = self.packets.saturating_add(1);
        if self.packets > MAX_PACKETS {
            say!(core, sa, Ike 1, "EAP conversation exceeds {MAX_PACKETS} packets, giving up");
            return Err(Fault::Refused(NotifyType::AuthenticationFailed));
        }
        self.begun = true;
        let ticket = core.ask(Waiter::Ike(sa.id), Ask::Eap { session: self.session, input });
        sa.waiting.insert(ticket, Wait::Eap);
        Ok(())
    }

    /// The edge may forget a conversation that has no end yet.
    pub(crate) fn abandon(&self, core: &mut Core) {
        if self.begun && self.done.is_none() {
            core.ask(Waiter::Nobody, Ask::Eap { session: self.session, input: EapInput::Abandon });
        }
    }

    /// The first packet is being worked on.
    pub(crate) fn is_first(&self) -> bool {
        self.packets <= 1
    }

    /// Its number.
    pub(crate) fn session(&self) -> EapSession {
        self.session
    }
}

/// What a step has to say to the log.
pub(crate) fn lines(step: &EapStep) -> &[LogLine] {
    match step {
        EapStep::Send { log, .. } | EapStep::Success { log, .. } | EapStep::Failure { log, .. } => log,
    }
}
