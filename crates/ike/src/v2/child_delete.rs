//! Deleting CHILD_SAs (RFC 7296 1.4.1, 2.25.1).
use super::{Exchange, close, send};
use crate::child::{self, ChildLife, ChildState, Farewell};
use crate::core::Core;
use crate::message::error;
use crate::sa::IkeSa;
use crate::when::When;
use wire::iana::{ExchangeType, ProtocolId};
use wire::ike::{Delete, Payload};

// ---------------------------------------------------------------------------------------------- initiator

/// Sends the delete.
pub(crate) fn start(core: &mut Core, sa: &mut IkeSa, child: u32) {
    let Some(c) = sa.children.get_mut(&child) else { return };
    if matches!(c.state, ChildState::Removing | ChildState::Deleting) {
        return;
    }
    let live = c.is_live();
    c.state = ChildState::Deleting;
    let (title, line, protocol, spi) = (c.title(), c.spis_usage_ts(), c.sa.protocol, c.sa.spi_in);
    if live {
        c.farewell = Farewell::Closed;
    }
    if live || c.farewell == Farewell::Rekeyed {
        say!(core, sa, Ike 0, "closing CHILD_SA {title} with {line}");
    }
    say!(core, sa, Ike 1, "sending DELETE for {} CHILD_SA with SPI {spi:08x}", name(protocol));
    let p = [Payload::Delete(Delete { protocol, spis: vec![spi] })];
    send_delete(core, sa, child, &p);
}

/// Deletes what only the peer has.
pub(crate) fn start_spi(core: &mut Core, sa: &mut IkeSa, protocol: ProtocolId, spi: u32) {
    core.spis.remove(&spi);
    say!(core, sa, Ike 1, "sending DELETE for {} CHILD_SA with SPI {spi:08x}", name(protocol));
    let p = [Payload::Delete(Delete { protocol, spis: vec![spi] })];
    send_delete(core, sa, 0, &p);
}

fn send_delete(core: &mut Core, sa: &mut IkeSa, child: u32, p: &[Payload]) {
    match send::request(core, sa, ExchangeType::Informational, p) {
        Ok(()) => {
            if let Some(e) = sa.established_mut() {
                e.active = Some(Exchange::ChildDelete(child));
            }
        }
        Err(fault) => {
            say!(core, sa, Ike 1, "unable to send DELETE: {fault}");
            close::leave(core, sa);
        }
    }
}

fn name(p: ProtocolId) -> &'static str {
    if p == ProtocolId::Ah { "AH" } else { "ESP" }
}

/// The response.
pub(crate) fn answered(core: &mut Core, sa: &mut IkeSa, child: u32, p: &[Payload]) {
    if error(p).is_none() {
        for d in deletes(p) {
            for spi in &d.spis {
                say!(core, sa, Ike 1, "received DELETE for {} CHILD_SA with SPI {spi:08x}", name(d.protocol));
            }
        }
    }
    say!(core, sa, Ike 1, "CHILD_SA closed");
    gone(core, sa, child);
    if core.snapshot.settings.inactivity_close_ike
        && sa.idle_close
        && !sa.children.values().any(ChildLife::is_live)
    {
        close::close(core, sa);
    }
}

fn deletes(p: &[Payload]) -> impl Iterator<Item = &Delete> {
    p.iter().filter_map(|x| if let Payload::Delete(d) = x { Some(d) } else { None })
}

/// Both sides have let go: the data plane removes it, a rekeyed one a little later so that packets still on
/// their way arrive.
fn gone(core: &mut Core, sa: &mut IkeSa, child: u32) {
    let delay = core.snapshot.settings.delete_rekeyed_delay.saturating_mul(1000);
    let now = core.now.mono;
    let Some(c) = sa.children.get_mut(&child) else { return };
    if c.farewell == Farewell::Rekeyed && delay > 0 && c.state != ChildState::Removing {
        c.state = ChildState::Rekeyed;
        c.remove_at = When::at(now.saturating_add(delay));
        c.expires_at = When::NEVER;
        c.rekey_at = When::NEVER;
        return;
    }
    let how = c.farewell;
    child::remove(core, sa, child, how);
}

// ---------------------------------------------------------------------------------------------- responder

/// The peer deletes CHILD_SAs; our half of the deletes for the answer.
pub(crate) fn respond(core: &mut Core, sa: &mut IkeSa, d: &Delete) -> Option<Payload> {
    let mut ours = Vec::new();
    for spi in d.spis.iter().take(256) {
        say!(core, sa, Ike 1, "received DELETE for {} CHILD_SA with SPI {spi:08x}", name(d.protocol));
        let found = sa
            .child_by_spi_out(*spi)
            .map(|c| (c.sa.id, c.state, c.sa.spi_in, c.title(), c.spis_usage_ts(), c.announced));
        let Some((id, state, spi_in, title, line, announced)) = found else {
            say!(core, sa, Ike 1, "CHILD_SA not found, ignored");
            continue;
        };
        match state {
            // "If a peer receives a request to close a CHILD_SA that it is currently trying to close, it SHOULD
            // reply without a Delete payload."
            ChildState::Deleting => {
                gone(core, sa, id);
                continue;
            }
            ChildState::Removing => continue,
            ChildState::Rekeyed if sa.children.get(&id).is_some_and(|c| c.remove_at.get().is_some()) => {
                continue;
            }
            ChildState::Created
            | ChildState::Installing
            | ChildState::Installed
            | ChildState::Rekeying
            | ChildState::Rekeyed => {}
        }
        ours.push(spi_in);
        say!(core, sa, Ike 0, "closing CHILD_SA {title} with {line}");
        super::child_rekey::predecessor_deleted(core, sa, id);
        let rekeyed = sa.children.get(&id).is_some_and(|c| c.farewell == Farewell::Rekeyed);
        // A redundant successor of a collision that we won goes without a word to observers.
        let redundant = sa.children.get(&id).and_then(|c| c.sa.replaces).is_some_and(|old| {
            sa.children.values().any(|o| o.sa.replaces == Some(old) && o.sa.id != id && o.sa.initiator)
        });
        if !rekeyed && !redundant {
            closed(core, sa, id);
        }
        if let Some(c) = sa.children.get_mut(&id) {
            if !rekeyed {
                c.farewell = if announced && !redundant { Farewell::Closed } else { Farewell::Failed };
            }
            c.state = if rekeyed { ChildState::Rekeyed } else { ChildState::Deleting };
        }
        say!(core, sa, Ike 1, "sending DELETE for {} CHILD_SA with SPI {spi_in:08x}", name(d.protocol));
        say!(core, sa, Ike 1, "CHILD_SA closed");
        gone(core, sa, id);
    }
    (!ours.is_empty()).then_some(Payload::Delete(Delete { protocol: d.protocol, spis: ours }))
}

/// `close_action` of one child.
fn closed(core: &mut Core, sa: &mut IkeSa, child: u32) {
    let Some(c) = sa.children.get(&child).filter(|c| c.is_live()) else { return };
    let (config, keeps) = (std::sync::Arc::clone(&c.sa.config), child::Keeps::of(&c.sa));
    let action = config.close_action;
    if action.trap {
        core.later.push_back(crate::core::Later::Trap(
            std::sync::Arc::clone(&sa.conn),
            std::sync::Arc::clone(&config),
        ));
    }
    if action.start {
        let start = crate::core::StartChild { config, keeps: Some(keeps), packet: None };
        super::enqueue(core, sa, super::Job::ChildCreate(start));
    }
}
