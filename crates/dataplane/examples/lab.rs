//! A data plane alone, for measuring: `lab DEVICE LOCAL:PORT REMOTE:PORT [LANES [CHILDREN]]`, one at each end. It makes
//! the device; addresses and routes are the caller's. Fixed keys: for nothing else. With CHILDREN, CHILD_SA n is for the
//! host 10.64.0.0 + n behind the end with the lower address.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a tool for measuring"
)]

#[path = "../../esp/tests/sample/sample.rs"]
mod sample;

use crypto::Secret;
use dataplane::{Backend as _, Userspace, UserspaceOptions};
use linux::udp::{UdpOptions, UdpSocket};
use policy::{Child, Mode, SaKeys, Selector};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

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
        let (child, _) = sample::pair(sample::SUITES[0], Mode::Tunnel, |sa| {
            (sa.id, sa.reqid) = (n + 1, n + 1);
            sa.config = Arc::clone(&config);
            (sa.spi_in, sa.spi_out) = (spi(low), spi(!low));
            (sa.keys_in, sa.keys_out) = (keys(low), keys(!low));
            (sa.local, sa.remote) = (local, remote);
            sa.tfc_allowed = false;
            (sa.local_ts, sa.remote_ts) = ([local_ts].into(), [remote_ts].into());
            sa.initiator = low;
        });
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
