//! SAs as operators see them.
use crate::child::{ChildLife, ChildState};
use crate::io::{ChildView, IkeView};
use crate::sa::{Established, IkeSa, Phase, Standing};
use crate::v2::{Exchange, Job};
use std::sync::Arc;

/// An IKE_SA with all its children.
pub(crate) fn ike(sa: &IkeSa) -> IkeView {
    let mut v = bare(sa);
    v.children = sa.children.values().map(child).collect();
    v
}

/// An IKE_SA with one child.
pub(crate) fn ike_with(sa: &IkeSa, c: &ChildLife) -> IkeView {
    let mut v = bare(sa);
    v.children = vec![child(c)];
    v
}

/// charon's name of where an IKE_SA stands.
pub(crate) fn state(sa: &IkeSa) -> &'static str {
    match &sa.phase {
        Phase::Resolving => "CREATED",
        Phase::InitSent(_)
        | Phase::Answered(_)
        | Phase::IntermediateSent(_)
        | Phase::Claiming(_)
        | Phase::Vetting(_)
        | Phase::Leasing(_) => "CONNECTING",
        Phase::Established(e) => match e.standing {
            Standing::Up => "ESTABLISHED",
            Standing::Rekeying => "REKEYING",
            Standing::Rekeyed => "REKEYED",
            Standing::Deleting => "DELETING",
        },
        Phase::Leaving(_) | Phase::Gone => "DESTROYING",
    }
}

/// An IKE_SA without children.
pub(crate) fn bare(sa: &IkeSa) -> IkeView {
    let e: Option<&Established> = match &sa.phase {
        Phase::Established(e) => Some(e),
        Phase::Leaving(l) => l.was.as_deref(),
        _ => None,
    };
    let mut active: Vec<&'static str> = match &sa.phase {
        Phase::Resolving | Phase::InitSent(_) | Phase::IntermediateSent(_) => {
            let mut t = vec!["IKE_INIT", "IKE_NATD", "IKE_AUTH"];
            t.extend(opening_tasks(sa));
            t
        }
        Phase::Claiming(_) => {
            let mut t = vec!["IKE_AUTH"];
            t.extend(opening_tasks(sa));
            t
        }
        _ => Vec::new(),
    };
    active.extend(e.and_then(|e| e.active.as_ref()).map(Exchange::task));
    let passive = match &sa.phase {
        Phase::Answered(_) => vec!["IKE_INIT", "IKE_NATD", "IKE_AUTH"],
        Phase::Vetting(_) => vec!["IKE_AUTH"],
        Phase::Leasing(_) => vec!["IKE_AUTH", "IKE_CONFIG", "CHILD_CREATE"],
        _ => e.and_then(|e| e.passive.as_ref()).map(|p| p.task()).into_iter().collect(),
    };
    let suite = e.map(|e| &e.keys).or_else(|| sa.keys()).map(|k| policy::proposal::Chosen::clone(&k.suite));
    IkeView {
        name: sa.conn.name.clone(),
        unique_id: sa.id,
        version: 2,
        state: state(sa),
        local: sa.local,
        local_id: sa.local_id.clone(),
        remote: sa.remote,
        remote_id: sa.remote_id.clone(),
        remote_xauth_id: None,
        remote_eap_id: sa.few().remote_eap_id.clone(),
        initiator: sa.initiator,
        spi_i: sa.spi_i,
        spi_r: sa.spi_r,
        nat_local: sa.nat.local,
        nat_remote: sa.nat.remote,
        nat_fake: sa.nat.fake,
        nat_any: sa.nat.any(),
        if_id_in: sa.if_ids.0,
        if_id_out: sa.if_ids.1,
        proposal: suite,
        ppk: sa.ppk,
        established: e.map(|e| e.since),
        rekey_at: e.and_then(|e| e.rekey_at.get()),
        reauth_at: e.and_then(|e| e.reauth_at.get()),
        local_vips: sa.local_vips.to_vec(),
        remote_vips: sa.remote_vips.to_vec(),
        attributes: crate::vip::unplain(&sa.attributes),
        tasks_queued: sa.queue.iter().map(Job::task).collect(),
        tasks_active: active,
        tasks_passive: passive,
        connection: Arc::clone(&sa.conn),
        children: Vec::new(),
    }
}

fn opening_tasks(sa: &IkeSa) -> Vec<&'static str> {
    let mut t = Vec::new();
    if !sa.conn.vips.is_empty() {
        t.push("IKE_CONFIG");
    }
    if !sa.wanted.is_empty() {
        t.push("CHILD_CREATE");
    }
    if sa.conn.mobike {
        t.push("IKE_MOBIKE");
    }
    t
}

/// A CHILD_SA.
pub(crate) fn child(c: &ChildLife) -> ChildView {
    ChildView {
        state: match c.state {
            ChildState::Created => "CREATED",
            ChildState::Installing => "INSTALLING",
            ChildState::Installed => "INSTALLED",
            ChildState::Rekeying => "REKEYING",
            // Both have deleted it; it still takes packets that are late.
            ChildState::Rekeyed if c.remove_at.get().is_some() => "DELETED",
            ChildState::Rekeyed => "REKEYED",
            ChildState::Deleting => "DELETING",
            ChildState::Removing => {
                if c.farewell == crate::child::Farewell::Rekeyed {
                    "DELETED"
                } else {
                    "DESTROYING"
                }
            }
        },
        sa: Arc::clone(&c.sa),
        ke: c.ke,
        add_ke: c.add_ke.to_vec(),
        installed: c.installed,
        rekey_at: c.rekey_at.get(),
        expires_at: c.expires_at.get(),
        usage_in: c.usage_in,
        usage_out: c.usage_out,
    }
}
