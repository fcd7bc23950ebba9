//! IKE_SA_INIT and IKE_AUTH.
use crate::harness::*;
use ike::io::Event;

#[test]
fn a_road_warrior_comes_up() {
    let w = established(road_warrior());
    let c = &w.nodes[0].installed.values().next().unwrap();
    assert_eq!(*c.local_vips, [ip("10.3.0.1"), ip("fec3::1")]);
    assert_eq!(c.local_ts.len(), 2);
    assert_eq!(w.nodes[0].vips, [ip("10.3.0.1"), ip("fec3::1")]);
    let v = &w.nodes[1].engine.list(&all())[0];
    assert_eq!(v.state, "ESTABLISHED");
    assert_eq!(v.remote_vips, [ip("10.3.0.1"), ip("fec3::1")]);
    assert_eq!(v.children[0].state, "INSTALLED");
    assert_eq!((v.local.port(), v.remote.port()), (4500, 4500));
    for text in [
        "initiating IKE_SA home[1] to 192.0.2.2",
        "generating IKE_SA_INIT request 0 [ SA KE No N(NATD_S_IP) N(NATD_D_IP) N(FRAG_SUP) N(HASH_ALG) ]",
        "authentication of 'carol@example.org' (myself) with pre-shared key",
        "authentication of 'moon.example.org' with pre-shared key successful",
        "IKE_SA home[1] established between 192.0.2.1[carol@example.org]...192.0.2.2[moon.example.org]",
        "installing new virtual IP 10.3.0.1",
        "CHILD_SA net{1} established with SPIs c",
    ] {
        assert!(w.has_log(0, text), "{text}");
    }
    for text in [
        "looking for peer configs matching 192.0.2.2[moon.example.org]...192.0.2.1[carol@example.org]",
        "selected peer config 'rw'",
        "peer requested virtual IP %any",
        "assigning virtual IP 10.3.0.1 to peer 'carol@example.org'",
        "IKE_SA rw[1] established between 192.0.2.2[moon.example.org]...192.0.2.1[carol@example.org]",
    ] {
        assert!(w.has_log(1, text), "{text}");
    }
    let ups = w.nodes[0].events.iter().filter(|e| matches!(e, Event::ChildUpDown { up: true, .. })).count();
    assert_eq!(ups, 1);
}

#[test]
fn another_address_than_asked_for_is_as_good() {
    let fixed = |c: &mut policy::Connection| c.vips = vec![ip("172.31.9.9").into()];
    let w = established(road_warrior_with(fixed, |_| {}, policy::Settings::default()));
    let c = &w.nodes[0].installed.values().next().unwrap();
    assert_eq!(*c.local_vips, [ip("10.3.0.1")]);
    assert_eq!(*c.local_ts, [policy::Selector::host(ip("10.3.0.1"))]);
    w.assert_agreement();
}

#[test]
fn dns_servers_are_asked_for_where_somebody_takes_them() {
    let asked = |connection: bool, host: bool| {
        let settings = policy::Settings { request_dns: host, ..policy::Settings::default() };
        let w = established(road_warrior_with(|c| c.install_dns = connection, |_| {}, settings));
        w.has_log(0, "CPRQ(ADDR ADDR6 DNS DNS6 DOMAIN)")
    };
    assert!(asked(true, true) && !asked(false, true) && !asked(true, false));
}

#[test]
fn terminate_leaves_nothing() {
    let mut w = established(road_warrior());
    let id = w.terminate(0, all());
    w.run();
    assert_eq!(w.result(0, id), Some(None));
    for n in &w.nodes {
        assert!(n.engine.is_empty());
        assert!(n.installed.is_empty());
        assert!(n.vips.is_empty() && n.leased.is_empty());
    }
}
