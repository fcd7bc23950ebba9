//! What a CHILD_SA has beside proposals and selectors: its mode (RFC 7296 1.3.1) and IPComp (2.22), both by notify.
use crate::core::Core;
use crate::message::{find, has, notify};
use crate::sa::IkeSa;
use policy::{Child, Mode};
use wire::iana::NotifyType;
use wire::ike::Payload;

/// DEFLATE among the transforms of IPComp (RFC 7296 3.10.1).
const DEFLATE: u8 = 2;

/// The notify that asks for a mode or agrees to it; tunnel mode needs none.
pub(crate) fn said(mode: Mode) -> Option<Payload> {
    match mode {
        Mode::Transport => Some(notify(NotifyType::UseTransportMode, &[])),
        Mode::Beet => Some(notify(NotifyType::UseBeetMode, &[])),
        Mode::Tunnel | Mode::TransportProxy | Mode::Iptfs | Mode::Pass | Mode::Drop => None,
    }
}

/// The mode a message asks for or agrees to.
pub(crate) fn heard(p: &[Payload]) -> Mode {
    if has(p, NotifyType::UseTransportMode) {
        Mode::Transport
    } else if has(p, NotifyType::UseBeetMode) {
        Mode::Beet
    } else {
        Mode::Tunnel
    }
}

/// The mode a request asks for. BEET mode is asked for by a private notify: it counts if both have said that they know
/// those, since strongSwan does not listen to an answer by it otherwise.
pub(crate) fn requested(core: &mut Core, sa: &IkeSa, p: &[Payload]) -> Mode {
    match heard(p) {
        Mode::Beet if !super::vendor::agreed(core, sa) => {
            say!(core, sa, Ike 1, "peer requests BEET mode, but not both have sent strongSwan's vendor ID (send_vendor_id), ignored");
            Mode::Tunnel
        }
        mode => mode,
    }
}

/// What becomes of the mode we want when the other end wants or grants `theirs`.
pub(crate) fn agreed(ours: Mode, theirs: Mode) -> Mode {
    match ours {
        Mode::Transport | Mode::Beet if ours != theirs => Mode::Tunnel,
        other => other,
    }
}

/// For the log.
pub(crate) fn name(mode: Mode) -> String {
    if mode == Mode::Beet { "BEET".to_owned() } else { mode.to_string() }
}

/// Draws our CPI, where the child wants IPComp and there can be any; 0 without.
pub(crate) fn draw_cpi(core: &mut Core, sa: &IkeSa, config: &Child, spi_in: u32) -> u16 {
    if !config.ipcomp {
        return 0;
    }
    if config.mode == Mode::Beet {
        say!(core, sa, Chd 1, "there is no IPComp in BEET mode, CHILD_SA {} goes without", config.name);
        return 0;
    }
    if !core.snapshot.settings.plane_ipcomp {
        say!(core, sa, Chd 1, "the data plane has no IPComp, CHILD_SA {} goes without", config.name);
        return 0;
    }
    let drawn = core.spis.draw_cpi(spi_in, &mut core.rng);
    if drawn.is_none() {
        say!(core, sa, Chd 1, "all CPIs are in use, CHILD_SA {} goes without IPComp", config.name);
    }
    drawn.unwrap_or(0)
}

/// `IPCOMP_SUPPORTED` with our CPI, for DEFLATE; nothing without one.
pub(crate) fn ipcomp(cpi: u16) -> Option<Payload> {
    let [high, low] = cpi.to_be_bytes();
    (cpi != 0).then(|| notify(NotifyType::IpcompSupported, &[high, low, DEFLATE]))
}

/// The peer's CPI for DEFLATE. CPIs below 256 are not negotiated ones (RFC 3173 3.3): such a notify is none.
pub(crate) fn peer_cpi(p: &[Payload]) -> Option<u16> {
    crate::message::notifies(p).filter(|n| n.kind == NotifyType::IpcompSupported).find_map(|n| {
        match n.data.as_slice() {
            [high, low, DEFLATE] => Some(u16::from_be_bytes([*high, *low])).filter(|cpi| *cpi >= 256),
            _ => None,
        }
    })
}

/// Responder: our CPI and the peer's when both want IPComp, else zeros.
pub(crate) fn answer_ipcomp(
    core: &mut Core,
    sa: &IkeSa,
    config: &Child,
    spi_in: u32,
    p: &[Payload],
) -> (u16, u16) {
    let Some(cpi_out) = peer_cpi(p) else {
        if let Some(n) = find(p, NotifyType::IpcompSupported) {
            say!(core, sa, Ike 1, "peer offers IPComp, but not DEFLATE with a CPI of its own: {:02x?}", n.data);
        }
        return (0, 0);
    };
    if !config.ipcomp {
        say!(core, sa, Ike 1, "peer offers IPComp, which is off for CHILD_SA {}", config.name);
        return (0, 0);
    }
    match draw_cpi(core, sa, config, spi_in) {
        0 => (0, 0),
        cpi_in => (cpi_in, cpi_out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_need_both() {
        assert_eq!(agreed(Mode::Transport, Mode::Transport), Mode::Transport);
        assert_eq!(agreed(Mode::Transport, Mode::Beet), Mode::Tunnel);
        assert_eq!(agreed(Mode::Beet, Mode::Tunnel), Mode::Tunnel);
        assert_eq!(agreed(Mode::Tunnel, Mode::Transport), Mode::Tunnel);
        assert_eq!(heard(&[said(Mode::Beet).unwrap()]), Mode::Beet);
    }

    #[test]
    fn only_deflate_with_a_cpi_of_its_own_is_ipcomp() {
        let of = |data: &[u8]| peer_cpi(&[notify(NotifyType::IpcompSupported, data)]);
        assert_eq!(peer_cpi(&[ipcomp(0x1234).unwrap()]), Some(0x1234));
        assert_eq!(ipcomp(0), None);
        assert_eq!(of(&[0x12, 0x34, 1]), None, "OUI");
        assert_eq!(of(&[0x12, 0x34, 3]), None, "LZS");
        assert_eq!(of(&[0, 2, 2]), None, "a well-known CPI");
        assert_eq!(of(&[0x12, 0x34]), None);
        assert_eq!(of(&[0x12, 0x34, 2, 0]), None);
        let lzs = notify(NotifyType::IpcompSupported, &[0x12, 0x34, 3]);
        assert_eq!(
            peer_cpi(&[lzs, ipcomp(0x4321).unwrap()]),
            Some(0x4321),
            "the one of several that we have"
        );
    }
}
