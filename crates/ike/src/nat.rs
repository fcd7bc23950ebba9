//! NAT detection (RFC 7296 2.23) and when to float and keep alive.
use crate::core::Core;
use crate::message::{find, notifies, notify};
use crate::sa::IkeSa;
use std::net::{IpAddr, SocketAddr};
use wire::iana::NotifyType;
use wire::ike::Payload;

/// SHA-1(SPIi | SPIr | IP | port).
fn hash(spi_i: u64, spi_r: u64, a: SocketAddr) -> [u8; 20] {
    let ip = match a.ip() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    crypto::prf::sha1(&[&spi_i.to_be_bytes(), &spi_r.to_be_bytes(), &ip, &a.port().to_be_bytes()])
}

/// Both detection payloads for a message on this path. `fake`: a source hash that cannot match.
pub(crate) fn payloads(
    core: &mut Core,
    spi_i: u64,
    spi_r: u64,
    local: SocketAddr,
    remote: SocketAddr,
    fake: bool,
) -> [Payload; 2] {
    let source = if fake { core.rng.bytes(20) } else { hash(spi_i, spi_r, local).to_vec() };
    [
        notify(NotifyType::NatDetectionSourceIp, &source),
        notify(NotifyType::NatDetectionDestinationIp, &hash(spi_i, spi_r, remote)),
    ]
}

/// What the peer's detection payloads in a received message say; `encap`: ESP goes in UDP whatever they say. Returns
/// whether it sent any.
pub(crate) fn detect(
    encap: bool,
    sa: &mut IkeSa,
    spis: (u64, u64),
    local: SocketAddr,
    remote: SocketAddr,
    payloads: &[Payload],
) -> bool {
    let Some(destination) = find(payloads, NotifyType::NatDetectionDestinationIp) else { return false };
    let expected = hash(spis.0, spis.1, remote);
    // "There MAY be multiple NAT_DETECTION_SOURCE_IP payloads": one match is enough.
    let mut sources = notifies(payloads).filter(|n| n.kind == NotifyType::NatDetectionSourceIp).peekable();
    if sources.peek().is_none() {
        return false;
    }
    sa.nat.remote = !sources.any(|n| n.data == expected);
    sa.nat.local = destination.data != hash(spis.0, spis.1, local);
    sa.nat.fake = encap && !sa.nat.local && !sa.nat.remote;
    sa.nat.supported = true;
    true
}

/// Says what was found.
pub(crate) fn report(core: &mut Core, sa: &IkeSa) {
    if sa.nat.local {
        say!(core, sa, Ike 1, "local host is behind NAT, sending keep alives");
    }
    if sa.nat.remote {
        say!(core, sa, Ike 1, "remote host is behind NAT");
    }
    if sa.nat.fake && !sa.nat.local && !sa.nat.remote {
        say!(core, sa, Ike 1, "faking NAT situation to enforce UDP encapsulation");
    }
}

/// The initiator moves to the NAT-T port (RFC 7296 2.23), with MOBIKE in any case (RFC 4555 3.3), unless the
/// operator chose ports.
pub(crate) fn float(core: &Core, sa: &mut IkeSa) {
    let s = &core.snapshot.settings;
    if !sa.nat.supported || !(sa.nat.any() || sa.conn.mobike) {
        return;
    }
    if sa.local.port() == s.port && sa.remote.port() == 500 {
        sa.local.set_port(s.port_nat_t);
        sa.remote.set_port(4500);
    }
}

/// When the next keepalive is due, if we send any.
pub(crate) fn keepalive_at(core: &Core, sa: &IkeSa) -> Option<u64> {
    let every = core.snapshot.settings.keep_alive;
    if !sa.nat.local || every == 0 || !sa.is_up() {
        return None;
    }
    Some(sa.last_out.saturating_add(every.saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_covers_spis_address_and_port() {
        let a: SocketAddr = "192.0.2.1:500".parse().unwrap();
        let b: SocketAddr = "192.0.2.1:4500".parse().unwrap();
        assert_eq!(hash(1, 2, a), hash(1, 2, a));
        assert_ne!(hash(1, 2, a), hash(1, 2, b));
        assert_ne!(hash(1, 2, a), hash(1, 3, a));
    }
}
