//! Configuration payloads: who gets which addresses, prefixes and attributes.
use crate::harness::*;
use ike::Ask;
use ike::io::{Event, Filter};
use policy::{Settings, VirtualIp};
use wire::iana::ConfigAttribute;
use wire::ike::ConfigAttr;

fn vips(list: &[&str]) -> Vec<VirtualIp> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

fn asking(list: &[&str], settings: Settings) -> World {
    World::new(road_warrior_with(|c| c.vips = vips(list), |_| {}, settings))
}

/// Reasons in alerts of this kind.
fn reasons(w: &World, n: usize, wanted: &str) -> Vec<String> {
    let events = w.nodes[n].events.iter();
    let details = events.filter_map(|e| match e {
        Event::Alert { kind, detail, .. } if *kind == wanted => Some(detail),
        _ => None,
    });
    details.map(|d| d.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",")).collect()
}

#[test]
fn a_client_may_have_a_whole_prefix() {
    for migrate in [false, true] {
        let mut w = asking(&["0.0.0.0", "::/64"], Settings::default());
        w.migrate = migrate;
        w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3:0:0:5::")].into();
        w.nodes[1].prefix = 64;
        let id = w.initiate(0, "net");
        w.run();
        // A command does not move with the SA.
        assert!(migrate || w.result(0, id) == Some(None));
        w.assert_agreement();
        // The stores learn that a prefix is wanted, and by which address it comes back.
        assert_eq!(w.nodes[1].asked[0].requested, vips(&["0.0.0.0", "::/64"]));
        assert!(w.nodes[1].asked[0].attributes.contains(&ConfigAttribute::Ip6Prefix));
        assert_eq!(w.nodes[1].engine.list(&all())[0].remote_vips, vips(&["10.3.0.1", "fec3:0:0:5::/64"]));
        assert_eq!(w.nodes[0].engine.list(&all())[0].local_vips, vips(&["10.3.0.1", "fec3:0:0:5::1/64"]));
        // One address on the interface, `dynamic` is all of it.
        assert_eq!(w.nodes[0].vips, [ip("10.3.0.1"), ip("fec3:0:0:5::1")]);
        let child = w.nodes[0].installed.values().next().unwrap();
        assert_eq!(*child.local_vips, [ip("10.3.0.1"), ip("fec3:0:0:5::1")]);
        let texts: Vec<String> = child.local_ts.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.3.0.1/32", "fec3:0:0:5::/64"]);
        assert_eq!(w.nodes[1].installed.values().next().unwrap().remote_ts, child.local_ts);
        assert!(w.has_log(1, "assigning virtual IP fec3:0:0:5::/64 to peer 'carol@example.org'"));
        assert!(w.has_log(0, "installing new virtual IP fec3:0:0:5::1/64"));
        w.terminate(0, Filter { ike: Some("home".into()), ..Filter::default() });
        w.run();
        assert!(w.nodes[0].vips.is_empty() && w.nodes[1].leased.is_empty());
        assert!(w.nodes[1].pool.contains(&ip("fec3:0:0:5::")));
    }
}

#[test]
fn who_asks_for_an_address_uses_only_that_of_a_prefix() {
    let mut w = asking(&["::"], Settings::default());
    w.nodes[1].pool = [ip("fec3:0:0:5::")].into();
    w.nodes[1].prefix = 64;
    w.initiate(0, "net");
    w.run();
    assert_eq!(w.nodes[0].vips, [ip("fec3:0:0:5::1")]);
    let child = w.nodes[0].installed.values().next().unwrap();
    // The gateway keeps the rest of the prefix for the client all the same.
    assert_eq!(child.local_ts[0].to_string(), "fec3:0:0:5::1/128");
    assert_eq!(w.nodes[1].installed.values().next().unwrap().remote_ts[0].to_string(), "fec3:0:0:5::/64");
}

#[test]
fn a_reauthentication_asks_for_the_same_prefix() {
    let mut w = World::new(road_warrior_with(
        |c| {
            c.vips = vips(&["::/64"]);
            c.reauth_time = 3600;
        },
        |_| {},
        Settings::default(),
    ));
    w.nodes[1].pool = [ip("fec3:0:0:5::"), ip("fec3:0:0:6::")].into();
    w.nodes[1].prefix = 64;
    w.nodes[1].forgetful = true;
    w.initiate(0, "net");
    w.run();
    w.advance(3_700_000);
    assert_eq!(w.nodes[1].asked.last().unwrap().requested, vips(&["fec3:0:0:5::1/64"]));
}

#[test]
fn the_operator_hears_why_there_is_no_address_and_the_peer_does_not() {
    // The pools have none.
    let mut w = asking(&["0.0.0.0"], Settings::default());
    w.initiate(0, "net");
    w.run();
    assert_eq!(reasons(&w, 1, "vip-failure"), ["reason=the pool is empty"]);
    assert!(w.has_log(0, "received INTERNAL_ADDRESS_FAILURE notify, no CHILD_SA built"));
    // They do not answer.
    let mut w = asking(&["0.0.0.0"], Settings::default());
    w.nodes[1].fail = |ask| matches!(ask, Ask::Lease(_));
    w.initiate(0, "net");
    w.run();
    assert_eq!(reasons(&w, 1, "vip-failure"), ["reason=told to"]);
    assert!(w.has_log(0, "received INTERNAL_ADDRESS_FAILURE notify, no CHILD_SA built"));
    // There are none.
    let snapshots = road_warrior_with(|_| {}, |c| c.pools.clear(), Settings::default());
    let mut w = World::new(snapshots);
    w.initiate(0, "net");
    w.run();
    assert_eq!(reasons(&w, 1, "vip-failure"), ["reason=connection 'rw' has no pools"]);
    assert!(w.has_log(0, "received INTERNAL_ADDRESS_FAILURE notify, no CHILD_SA built"));
    assert_eq!(w.nodes[1].engine.list(&all())[0].state, "ESTABLISHED");
}

#[test]
fn one_family_is_better_than_none() {
    let mut w = asking(&["0.0.0.0", "::"], Settings::default());
    w.nodes[1].pool = [ip("10.3.0.1")].into();
    let id = w.initiate(0, "net");
    w.run();
    assert_eq!(w.result(0, id), Some(None));
    assert!(w.has_log(1, "no virtual IP found for %any6 requested by 'carol@example.org'"));
    assert_eq!(w.nodes[0].vips, [ip("10.3.0.1")]);
    assert!(reasons(&w, 1, "vip-failure").is_empty());
}

#[test]
fn many_attributes_go_in_fragments_and_too_many_are_cut() {
    let text = |kind: u16| ConfigAttr { kind: ConfigAttribute::from(kind), value: vec![b'x'; 1000] };
    for (count, kept) in [(5u16, 5usize), (40, 6)] {
        let mut w = asking(&["0.0.0.0"], Settings::default());
        w.nodes[1].pool = [ip("10.3.0.1")].into();
        w.nodes[1].attributes = (0..count).map(|n| text(16_384 + n)).collect();
        let id = w.initiate(0, "net");
        w.run();
        assert_eq!(w.result(0, id), Some(None));
        assert!(w.transcript.iter().all(|d| d.bytes.len() <= 1280), "fragments");
        let got = w.nodes[0].received.len();
        assert_eq!(got, kept + 1);
        assert_eq!(w.has_log(1, "attributes for the peer are left out"), kept < usize::from(count));
    }
}
