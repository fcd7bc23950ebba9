//! A data plane alone, for measuring: `lab DEVICE LOCAL:PORT REMOTE:PORT [LANES [CHILDREN]]`, one at each end. It makes
//! the device; addresses and routes are the caller's. Fixed keys: for nothing else. With CHILDREN, CHILD_SA n is for the
//! host 10.64.0.0 + n behind the end with the lower address.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a tool for measuring")]

use crypto::Secret;
use dataplane::{Backend as _, Userspace, UserspaceOptions};
use linux::udp::{UdpOptions, UdpSocket};
use policy::{Child, ChildSa, Mode, SaKeys, Selector};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use wire::iana::{Encr, Integ, ProtocolId};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word =
        |n: usize| words.get(n).expect("lab DEVICE LOCAL:PORT REMOTE:PORT [LANES [CHILDREN]]").as_str();
    let (local, remote): (SocketAddr, SocketAddr) = (word(1).parse().unwrap(), word(2).parse().unwrap());
    let lanes = words.get(3).map_or(2, |n| n.parse().unwrap());
    let children: u32 = words.get(4).map_or(0, |n| n.parse().unwrap());
    let udp = UdpOptions { receive_buffer: 4 << 20, ..UdpOptions::default() };
    let sockets = vec![
        Arc::new(UdpSocket::bind_v4(local.port(), &udp).unwrap()),
        Arc::new(UdpSocket::bind_v6(local.port(), &udp).unwrap()),
    ];
    let (ike, _ike) = tokio::sync::mpsc::channel(64);
    let (notices, _notices) = tokio::sync::mpsc::channel(64);
    let options = UserspaceOptions {
        device_name: word(0).to_owned(),
        lanes,
        raw_esp: false,
        ..UserspaceOptions::default()
    };
    let mut plane = Userspace::start(&options, sockets, ike, notices).unwrap();
    let mut config = Child::named("net");
    config.mode = Mode::Tunnel;
    let config = Arc::new(config);
    let low = local.ip() < remote.ip();
    for n in 0..children.max(1) {
        let keys = |first: bool| {
            let mut key = vec![7 + u8::from(first); 20];
            key.iter_mut().zip(n.to_be_bytes()).for_each(|(to, from)| *to ^= from);
            SaKeys { encr: Secret::new(key), integ: Secret::new(Vec::new()) }
        };
        let spi =
            |first: bool| 0x1000_0000 + n.wrapping_mul(0x9e37_79b1) % 0x4000_0000 * 2 + u32::from(first);
        let host = Selector::host(IpAddr::V4(Ipv4Addr::from_bits(0x0a40_0000 + n)));
        let all = Selector::everything(true);
        let (local_ts, remote_ts) = match (children, low) {
            (0, _) => (all, all),
            (_, true) => (host, all),
            (_, false) => (all, host),
        };
        let child = ChildSa {
            id: n + 1,
            ike_id: 1,
            config: config.clone(),
            connection: "lab".into(),
            reqid: n + 1,
            protocol: ProtocolId::Esp,
            mode: Mode::Tunnel,
            spi_in: spi(low),
            spi_out: spi(!low),
            encr: (Encr::AesGcm16, 128),
            integ: Integ::None,
            esn: false,
            keys_in: keys(low),
            keys_out: keys(!low),
            local,
            remote,
            encap: true,
            tfc_allowed: false,
            local_ts: [local_ts].into(),
            remote_ts: [remote_ts].into(),
            local_vips: [].into(),
            initiator: low,
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
        plane.install(&child).unwrap();
    }
    eprintln!("ready");
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1));
        if std::env::var_os("LAB_COUNTERS").is_some() {
            eprintln!("{:?}", plane.counters());
        }
    }
}
