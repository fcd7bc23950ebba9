//! BEET mode, IPComp and AH: agreed on by both, in either role, and kept by a rekeying.
use crate::harness::*;
use ike::Command;
use ike::io::Filter;
use policy::{Child, ChildSa, Connection, Mode, Settings};
use wire::iana::ProtocolId;

/// Our engine's data plane has IPComp.
fn compressing() -> Settings {
    Settings { plane_ipcomp: true, ..Settings::default() }
}

/// Both send strongSwan's vendor ID.
fn private() -> Settings {
    Settings { send_vendor_id: true, ..Settings::default() }
}

/// The connection's child, changed.
fn with(change: impl Fn(&mut Child)) -> impl FnOnce(&mut Connection) {
    move |c| {
        let mut child = (*c.children[0]).clone();
        change(&mut child);
        c.children = vec![child.into()];
    }
}

fn only(w: &World, node: usize) -> &ChildSa {
    assert_eq!(w.nodes[node].installed.len(), 1);
    w.nodes[node].installed.values().next().unwrap()
}

fn cpis(w: &World) -> [(u16, u16); 2] {
    [0, 1].map(|node| only(w, node)).map(|c| (c.cpi_in, c.cpi_out))
}

fn rekey(w: &mut World, node: usize) {
    let filter = Filter { child: Some("net".to_owned()), ..Filter::default() };
    w.command(node, |id| Command::Rekey { id, filter, reauth: false });
    w.run();
    w.advance(6_000); // the old one is gone
    w.assert_agreement();
}

#[test]
fn ipcomp_is_agreed_on_and_every_rekeying_draws_cpis_anew() {
    let ipcomp = |c: &mut Child| c.ipcomp = true;
    let mut w = established(site_to_site_with(with(ipcomp), with(ipcomp), compressing()));
    let mut seen = Vec::new();
    for node in [None, Some(0), Some(1)] {
        if let Some(node) = node {
            rekey(&mut w, node);
        }
        let [a, b] = cpis(&w);
        assert_eq!(a, (b.1, b.0));
        for cpi in [a.0, a.1] {
            assert!((256..=61_439).contains(&cpi), "{cpi}");
        }
        assert!(!seen.contains(&a));
        seen.push(a);
    }
}

#[test]
fn ipcomp_needs_both_and_a_data_plane() {
    let ipcomp = |c: &mut Child| c.ipcomp = true;
    let plain = |_: &mut Child| {};
    let w = established(site_to_site_with(with(ipcomp), with(plain), compressing()));
    assert_eq!(cpis(&w), [(0, 0); 2]);
    assert!(w.has_log(0, "peer does not accept IPComp, CHILD_SA net goes without"));
    assert!(w.has_log(1, "peer offers IPComp, which is off for CHILD_SA net"));
    let w = established(site_to_site_with(with(plain), with(ipcomp), compressing()));
    assert_eq!(cpis(&w), [(0, 0); 2]);
    let w = established(site_to_site_with(with(ipcomp), with(ipcomp), Settings::default()));
    assert_eq!(cpis(&w), [(0, 0); 2]);
    assert!(w.has_log(0, "the data plane has no IPComp, CHILD_SA net goes without"));
}

#[test]
fn beet_is_agreed_on_and_else_it_is_a_tunnel() {
    let beet = |c: &mut Child| c.mode = Mode::Beet;
    let plain = |_: &mut Child| {};
    let mut w = established(site_to_site_with(with(beet), with(beet), private()));
    assert_eq!([only(&w, 0).mode, only(&w, 1).mode], [Mode::Beet; 2]);
    for node in [0, 1] {
        rekey(&mut w, node);
        assert_eq!([only(&w, 0).mode, only(&w, 1).mode], [Mode::Beet; 2]);
    }
    let w = established(site_to_site_with(with(beet), with(plain), private()));
    assert_eq!([only(&w, 0).mode, only(&w, 1).mode], [Mode::Tunnel; 2]);
    assert!(w.has_log(0, "peer does not accept BEET mode, using tunnel mode"));
    let w = established(site_to_site_with(with(plain), with(beet), private()));
    assert_eq!([only(&w, 0).mode, only(&w, 1).mode], [Mode::Tunnel; 2]);
    assert!(w.has_log(1, "configured for BEET mode, but peer requested tunnel mode"));
    // Without vendor ID, a tunnel: strongSwan would not listen to the answer.
    let w = established(site_to_site_with(with(beet), with(beet), Settings::default()));
    assert_eq!([only(&w, 0).mode, only(&w, 1).mode], [Mode::Tunnel; 2]);
    assert!(w.has_log(1, "not both have sent strongSwan's vendor ID"));
    let transport = |c: &mut Child| c.mode = Mode::Transport;
    let w = established(site_to_site_with(with(transport), with(beet), private()));
    assert_eq!([only(&w, 0).mode, only(&w, 1).mode], [Mode::Tunnel; 2]);
}

fn ah(c: &mut Child) {
    c.proposals = policy::proposal::parse_proposals(ProtocolId::Ah, "sha512,sha256-x25519").unwrap();
}

#[test]
fn ah_is_agreed_on_and_rekeyed() {
    for wanted in ["sha256", "sha384-sha512"] {
        let peer = move |c: &mut Child| {
            c.proposals = policy::proposal::parse_proposals(ProtocolId::Ah, wanted).unwrap();
        };
        let mut w = established(site_to_site_with(with(ah), with(peer), Settings::default()));
        for node in [None, Some(0), Some(1)] {
            if let Some(node) = node {
                rekey(&mut w, node);
            }
            let c = only(&w, 0);
            assert_eq!(c.protocol, ProtocolId::Ah);
            assert!(c.keys_in.encr.as_slice().is_empty() && c.keys_in.integ.as_slice().len() >= 32);
            assert_eq!(c.integ, only(&w, 1).integ);
        }
    }
}

#[test]
fn ah_and_esp_do_not_meet() {
    let mut w = World::new(site_to_site_with(with(ah), |_| {}, Settings::default()));
    let id = w.initiate(0, "net");
    w.run();
    assert!(matches!(w.result(0, id), Some(Some(_))));
    assert!(w.nodes.iter().all(|n| n.installed.is_empty()));
}

#[test]
fn ah_does_not_pass_a_nat() {
    let faked = |c: &mut Connection| {
        with(ah)(c);
        c.encap = true;
    };
    let mut w = World::new(site_to_site_with(with(ah), faked, Settings::default()));
    let id = w.initiate(0, "net");
    w.run();
    assert!(matches!(w.result(0, id), Some(Some(_))));
    assert!(
        w.has_log(1, "AH does not pass a NAT, nor is there AH in UDP (encap = yes): CHILD_SA net is refused")
    );
    assert!(w.nodes.iter().all(|n| n.installed.is_empty()));
}

#[test]
fn a_trap_draws_marks_and_interface_ids_and_its_child_keeps_them() {
    use policy::{Mark, MarkValue, Selector};
    let unique = |c: &mut Connection| {
        c.if_id_out = MarkValue::Fixed(9);
        with(|c| {
            c.mark_in = Mark { value: MarkValue::UniqueDir, mask: 0xff };
            c.mark_out = Mark { value: MarkValue::UniqueDir, mask: 0xff };
            c.if_id_in = MarkValue::Unique;
        })(c);
    };
    for acquire in [true, false] {
        let mut w = World::new(site_to_site_with(unique, |_| {}, Settings::default()));
        w.command(0, |id| Command::Install { id, ike: Some("gw".to_owned()), child: "net".to_owned() });
        w.run();
        let trap = w.nodes[0].policies.values().next().unwrap().clone();
        assert!(trap.mark_in.0 != 0 && trap.mark_in.0 != trap.mark_out.0 && trap.mark_in.1 == 0xff);
        assert!(trap.if_id_in != 0);
        assert_eq!(trap.if_id_out, 9, "that of the connection");
        let same = |c: &ChildSa| {
            let of = (c.reqid, c.mark_in, c.mark_out, c.if_id_in, c.if_id_out);
            assert_eq!(of, (trap.reqid, trap.mark_in, trap.mark_out, trap.if_id_in, trap.if_id_out));
        };
        if acquire {
            let packet = ["10.2.0.1", "10.1.0.1"].map(|host| Selector::host(ip(host)));
            w.command(0, |_| Command::Acquire { trap: trap.id, packet: Some(packet.into()) });
            w.run();
        } else {
            w.initiate(0, "net");
            w.run();
        }
        same(only(&w, 0));
        rekey(&mut w, 1);
        same(only(&w, 0));
    }
}
