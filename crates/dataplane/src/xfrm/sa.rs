//! A CHILD_SA as two SAs of the kernel.
use super::algorithm::names;
use super::selector;
use crate::DataplaneError;
use linux::xfrm::{Algorithm, Encap, Flags, Limits, Mode as KernelMode, Offload, Protocol, State, StateId};
use policy::{ChildSa, Mark, MarkValue, Mode};
use wire::iana::ProtocolId;

/// Refused by name.
pub(super) fn unsupported(what: impl Into<String>) -> DataplaneError {
    DataplaneError::Unsupported(what.into(), "xfrm")
}

pub(super) fn protocol(child: &ChildSa) -> Protocol {
    if child.protocol == ProtocolId::Ah { Protocol::Ah } else { Protocol::Esp }
}

pub(super) fn mode(mode: Mode) -> Result<KernelMode, DataplaneError> {
    match mode {
        Mode::Tunnel => Ok(KernelMode::Tunnel),
        Mode::Transport => Ok(KernelMode::Transport),
        Mode::Beet => Ok(KernelMode::Beet),
        Mode::TransportProxy | Mode::Iptfs | Mode::Pass | Mode::Drop => {
            Err(unsupported(format!("mode {mode}")))
        }
    }
}

/// The name of one of its SAs.
pub(super) fn id(child: &ChildSa, inbound: bool) -> StateId {
    let (end, spi, mark) = if inbound {
        let mark = if child.config.mark_in_sa { child.mark_in } else { (0, 0) };
        (child.local, child.spi_in, mark)
    } else {
        (child.remote, child.spi_out, child.mark_out)
    };
    StateId { destination: end.ip(), spi, protocol: protocol(child), mark }
}

/// Ports of UDP encapsulation in one direction.
pub(super) fn encap(child: &ChildSa, inbound: bool) -> Option<Encap> {
    let (ours, theirs) = (child.local.port(), child.remote.port());
    child.encap.then_some(match inbound {
        true => Encap { source: theirs, destination: ours },
        false => Encap { source: ours, destination: theirs },
    })
}

/// One of its SAs.
pub(super) fn state(
    child: &ChildSa,
    inbound: bool,
    offload: Option<Offload>,
) -> Result<State<'_>, DataplaneError> {
    let config = &child.config;
    let agreed = mode(child.mode)?;
    // Compression makes the tunnel, if there is one; what is around it is then between the same hosts.
    let compressed = child.cpi_in != 0;
    let mode = if compressed { KernelMode::Transport } else { agreed };
    if child.protocol == ProtocolId::Ah && child.encap {
        return Err(unsupported("AH in UDP (through a NAT, or with encap = yes)"));
    }
    if config.label.is_some() {
        return Err(unsupported("label"));
    }
    if config.per_cpu_sas != "no" {
        return Err(unsupported("per_cpu_sas"));
    }
    let names = names(child.protocol, child.encr.0, child.integ)?;
    let keys = if inbound { &child.keys_in } else { &child.keys_out };
    let (encr, integ) = (keys.encr.as_slice(), keys.integ.as_slice());
    let copies = |directions: &[&str]| directions.contains(&config.copy_dscp.as_str());
    let (set_mark, mark, if_id) = if inbound {
        (config.set_mark_in, child.mark_in, child.if_id_in)
    } else {
        (config.set_mark_out, child.mark_out, child.if_id_out)
    };
    // RFC 4303 2.7: not in transport mode, and only for a peer that takes it.
    let pads =
        !inbound && child.tfc_allowed && mode == KernelMode::Tunnel && child.protocol == ProtocolId::Esp;
    Ok(State {
        id: id(child, inbound),
        source: if inbound { child.remote.ip() } else { child.local.ip() },
        mode,
        reqid: child.reqid,
        selector: inner(child, agreed, inbound)?,
        aead: names.aead.map(|(name, icv_bits)| Algorithm { name, key: encr, icv_bits }),
        encryption: names.encryption.map(|name| Algorithm { name, key: encr, icv_bits: 0 }),
        integrity: names.integrity.map(|(name, icv_bits)| Algorithm { name, key: integ, icv_bits }),
        compression: None,
        encap: encap(child, inbound),
        replay_window: config.replay_window,
        inbound,
        flags: Flags {
            esn: child.esn,
            no_ecn: !config.copy_ecn,
            no_pmtu_discovery: !config.copy_df,
            decap_dscp: inbound && copies(&["in", "yes"]),
            no_encap_dscp: !inbound && copies(&["in", "no"]),
            any_family: mode == KernelMode::Tunnel,
            icmp: inbound && config.icmp,
            align4: child.protocol == ProtocolId::Ah && child.local.is_ipv4(),
        },
        set_mark: given_mark(set_mark, mark)?,
        if_id,
        limits: Limits { bytes: (child.soft.0, child.hard.0), packets: (child.soft.1, child.hard.1) },
        padding: if pads { config.tfc_padding } else { 0 },
        offload,
    })
}

/// The SA that compresses, where IPComp was agreed on.
pub(super) fn compression(child: &ChildSa, inbound: bool) -> Result<Option<State<'_>>, DataplaneError> {
    if child.cpi_in == 0 || child.cpi_out == 0 {
        return Ok(None);
    }
    let mode = mode(child.mode)?;
    if mode == KernelMode::Beet {
        return Err(unsupported("IPComp in BEET mode"));
    }
    let around = state(child, inbound, None)?;
    let cpi = if inbound { child.cpi_in } else { child.cpi_out };
    Ok(Some(State {
        id: StateId { spi: cpi.into(), protocol: Protocol::Comp, ..around.id },
        mode,
        aead: None,
        encryption: None,
        integrity: None,
        compression: Some("deflate"),
        encap: None,
        replay_window: 0,
        flags: Flags {
            esn: false,
            any_family: mode == KernelMode::Tunnel,
            icmp: false,
            align4: false,
            ..around.flags
        },
        // The mark and the limits are those of the SA around it.
        set_mark: (0, 0),
        limits: Limits::default(),
        padding: 0,
        ..around
    }))
}

/// What may be inside: in BEET mode the addresses that are not sent, in transport mode those of the outer header.
fn inner(
    child: &ChildSa,
    mode: KernelMode,
    inbound: bool,
) -> Result<Option<linux::xfrm::Selector>, DataplaneError> {
    let all = match mode {
        KernelMode::Tunnel => return Ok(None),
        KernelMode::Transport | KernelMode::Beet => selector::outbound(&child.local_ts, &child.remote_ts),
    };
    let bare = |s: &linux::xfrm::Selector| linux::xfrm::Selector::between(s.source, s.destination);
    let first = all.first().map(bare);
    let alone = first.filter(|first| all.iter().all(|s| bare(s) == *first));
    match (alone, mode) {
        (Some(s), _) => Ok(Some(if inbound { selector::reversed(&s) } else { s })),
        (None, KernelMode::Beet) => Err(unsupported("BEET mode for more than one pair of addresses")),
        (None, KernelMode::Transport | KernelMode::Tunnel) => Ok(None),
    }
}

/// The mark that packets are given. What it shares with the SA's own mark was drawn by the engine.
fn given_mark(wanted: Mark, own: (u32, u32)) -> Result<(u32, u32), DataplaneError> {
    match wanted.value {
        MarkValue::None => Ok((0, 0)),
        MarkValue::Fixed(value) => Ok((value, wanted.mask)),
        MarkValue::Same => Ok((own.0, wanted.mask)),
        MarkValue::Unique | MarkValue::UniqueDir if own.1 != 0 => Ok((own.0, wanted.mask)),
        MarkValue::Unique | MarkValue::UniqueDir => {
            Err(unsupported("a unique set_mark beside no mark of its own"))
        }
    }
}
