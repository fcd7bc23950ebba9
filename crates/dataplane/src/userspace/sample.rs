//! SAs for the tests here.
use crypto::Secret;
use esp::OutSa;
use policy::{Child, ChildSa, Mode, SaKeys};
use std::net::SocketAddr;
use std::sync::Arc;
use wire::iana::{Encr, Integ, ProtocolId};

/// The outbound half of a CHILD_SA in UDP, with SPI `2000 + id`.
pub(super) fn sa(id: u32, local: SocketAddr, remote: SocketAddr) -> Arc<OutSa> {
    let keys = || SaKeys { encr: Secret::new(vec![1; 20]), integ: Secret::new(Vec::new()) };
    let child = ChildSa {
        id,
        ike_id: 1,
        config: Arc::new(Child::named("net")),
        connection: "test".into(),
        reqid: 1,
        protocol: ProtocolId::Esp,
        mode: Mode::Tunnel,
        spi_in: 1000 + id,
        spi_out: 2000 + id,
        encr: (Encr::AesGcm16, 128),
        integ: Integ::None,
        esn: false,
        keys_in: keys(),
        keys_out: keys(),
        local,
        remote,
        encap: true,
        tfc_allowed: false,
        local_ts: [].into(),
        remote_ts: [].into(),
        local_vips: [].into(),
        initiator: true,
        replaces: None,
        inbound_only: false,
        mark_in: (0, 0),
        mark_out: (0, 0),
        if_id_in: 0,
        if_id_out: 0,
        interface: None,
        soft: (0, 0),
        cpi_in: 0,
        cpi_out: 0,
        hard: (0, 0),
    };
    Arc::new(OutSa::new(&child).unwrap())
}
