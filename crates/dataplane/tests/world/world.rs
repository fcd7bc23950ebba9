//! Two ends with a data plane each, in network namespaces of their own: for tests and benches.
use crypto::Secret;
use dataplane::userspace::IkeDatagram;
use dataplane::{Backend, Notice, Userspace, UserspaceOptions};
use linux::netlink::{RouteKind, Rule};
use linux::netns::{Namespace, cable};
use linux::network::{Desired, Network, RouteWay, WantedRoute};
use linux::udp::{UdpOptions, UdpSocket};
use policy::{Child, ChildSa, Mode, SaKeys, Selector};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, channel};
use wire::iana::{Encr, Integ, ProtocolId};

pub(crate) const MARK: u32 = 0xca;
pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What one test varies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) mode: Mode,
    pub(crate) inner6: bool,
    pub(crate) outer6: bool,
    pub(crate) encap: bool,
    pub(crate) lanes: usize,
    pub(crate) offload: bool,
    pub(crate) encr: (Encr, u16, Integ),
    pub(crate) esn: bool,
    /// MTU of the cable.
    pub(crate) mtu: u32,
}

pub(crate) const GCM: (Encr, u16, Integ) = (Encr::AesGcm16, 128, Integ::None);

impl Default for Case {
    fn default() -> Self {
        Self {
            mode: Mode::Tunnel,
            inner6: false,
            outer6: false,
            encap: true,
            lanes: 1,
            offload: true,
            encr: GCM,
            esn: false,
            mtu: 1500,
        }
    }
}

/// One end.
pub(crate) struct End {
    pub(crate) ns: Namespace,
    pub(crate) plane: Userspace,
    pub(crate) notices: Receiver<Notice>,
    pub(crate) ike: Receiver<IkeDatagram>,
    pub(crate) udp: Vec<Arc<UdpSocket>>,
    pub(crate) _network: Network,
    pub(crate) outer: IpAddr,
    pub(crate) inner: IpAddr,
}

pub(crate) fn namespace() -> Option<Namespace> {
    match Namespace::create() {
        Ok(namespace) => Some(namespace),
        Err(e) if std::env::var_os("CI").is_some() => panic!("CI must be able to make namespaces: {e}"),
        Err(e) => {
            eprintln!("NOT RUN, needs root: {e}");
            None
        }
    }
}

pub(crate) fn whole(address: IpAddr) -> ipnet::IpNet {
    ipnet::IpNet::new(address, if address.is_ipv4() { 32 } else { 128 }).unwrap()
}

/// Both ends with their planes, routes and rules, no SA yet.
pub(crate) fn ends(case: Case) -> Option<(End, End)> {
    let (a, b) = (namespace()?, namespace()?);
    cable(&a, "wire", &b, "wire").unwrap();
    let outer = |n: u8| if case.outer6 { ip(&format!("2001:db8::{n}")) } else { ip(&format!("192.0.2.{n}")) };
    let inner = |n: u8| match (case.mode, case.inner6) {
        (Mode::Transport, _) => outer(n),
        (_, true) => ip(&format!("fd0{n}::1")),
        (_, false) => ip(&format!("10.{n}.0.1")),
    };
    let end = |ns: Namespace, n: u8| -> End {
        ns.configure("wire", format!("192.0.2.{n}/24").parse().unwrap()).unwrap();
        ns.configure("wire", format!("2001:db8::{n}/64").parse().unwrap()).unwrap();
        let (own, peer) = (inner(n), inner(3 - n));
        if case.mode == Mode::Tunnel {
            ns.configure("lo", whole(own)).unwrap();
        }
        let (plane, notices, ike, udp, network) = ns
            .run(|| {
                let mut netlink = linux::netlink::Netlink::open().unwrap();
                let wire = netlink.link_index("wire").unwrap();
                netlink.set_mtu(wire, case.mtu).unwrap();
                let options =
                    UdpOptions { mark: Some(MARK), receive_buffer: 4 << 20, ..UdpOptions::default() };
                let udp = vec![
                    Arc::new(UdpSocket::bind_v4(4500, &options).unwrap()),
                    Arc::new(UdpSocket::bind_v6(4500, &options).unwrap()),
                ];
                let (notice_tx, notices) = channel(64);
                let (ike_tx, ike) = channel(64);
                let options = UserspaceOptions {
                    lanes: case.lanes,
                    offload: case.offload,
                    mark: Some(MARK),
                    ..UserspaceOptions::default()
                };
                let plane = Userspace::start(&options, udp.clone(), ike_tx, notice_tx).unwrap();
                let mut network = Network::open(None).unwrap();
                let route = WantedRoute {
                    destination: whole(peer),
                    way: Arc::new(RouteWay {
                        table: 220,
                        interface: plane.device().map(Into::into),
                        namespace: None,
                        gateway: None,
                        source: Some(own),
                        mtu: None,
                        kind: RouteKind::Unicast,
                    }),
                };
                let rule =
                    |v6| Rule { v6, priority: 220, table: 220, mark: Some((MARK, u32::MAX)), invert: true };
                let desired = Desired {
                    routes: [route.into()].into(),
                    rules: [rule(false), rule(true)].into(),
                    ..Desired::default()
                };
                let failures = network.apply(&desired);
                assert!(failures.is_empty(), "{failures:?}");
                (plane, notices, ike, udp, network)
            })
            .unwrap();
        End { ns, plane, notices, ike, udp, _network: network, outer: outer(n), inner: own }
    };
    Some((end(a, 1), end(b, 2)))
}

pub(crate) fn keys(case: Case, salt: u8) -> SaKeys {
    let (encr, bits, integ) = case.encr;
    let encr_len = crypto::table::key_len(encr, bits).unwrap();
    let integ_len = if integ == Integ::None { 0 } else { crypto::table::integ_key_len(integ).unwrap() };
    SaKeys { encr: Secret::new(vec![salt; encr_len]), integ: Secret::new(vec![salt + 1; integ_len]) }
}

/// The CHILD_SA of generation `g` as `us` sees it. Side 0 is the initiator.
pub(crate) fn child(
    case: Case,
    us: &End,
    them: &End,
    side: u8,
    g: u32,
    change: impl FnOnce(&mut Child),
) -> ChildSa {
    let mut config = Child::named("net");
    config.mode = case.mode;
    change(&mut config);
    let spi = |side: u8| 0xc000_0000 + g * 16 + u32::from(side);
    let (mine, theirs) = (keys(case, 10 + side), keys(case, 11 - side));
    ChildSa {
        id: g,
        ike_id: 1,
        config: Arc::new(config),
        connection: "test".into(),
        reqid: 7,
        protocol: ProtocolId::Esp,
        mode: case.mode,
        spi_in: spi(side),
        spi_out: spi(1 - side),
        encr: (case.encr.0, case.encr.1),
        integ: case.encr.2,
        esn: case.esn,
        keys_in: mine,
        keys_out: theirs,
        local: SocketAddr::new(us.outer, 4500),
        remote: SocketAddr::new(them.outer, 4500),
        encap: case.encap,
        tfc_allowed: true,
        local_ts: [Selector::host(us.inner)].into(),
        remote_ts: [Selector::host(them.inner)].into(),
        local_vips: [].into(),
        initiator: side == 0,
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
    }
}

pub(crate) fn connect(case: Case, a: &mut End, b: &mut End) {
    let (sa, sb) = (child(case, a, b, 0, 1, |_| {}), child(case, b, a, 1, 1, |_| {}));
    // as the responder does: before the initiator can send
    b.plane.install(&sb).unwrap();
    a.plane.install(&sa).unwrap();
}
