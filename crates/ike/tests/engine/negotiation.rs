//! Proposals, key exchange methods, selectors, modes, further children.
use crate::harness::*;
use ike::Command;
use ike::io::{Event, Filter};
use policy::{Connection, Mode, Settings};
use std::sync::Arc;
use wire::iana::{Ke, ProtocolId};

fn ike_proposals(c: &mut Connection, s: &str) {
    c.proposals = policy::proposal::parse_proposals(ProtocolId::Ike, s).unwrap();
}

fn esp_proposals(c: &mut Connection, s: &str) {
    let mut child = (*c.children[0]).clone();
    child.proposals = policy::proposal::parse_proposals(ProtocolId::Esp, s).unwrap();
    c.children = vec![child.into()];
}

#[test]
fn every_suite_agrees_on_keys() {
    for (ike, esp) in [
        ("aes128gcm16-prfsha256-x25519", "aes128gcm16"),
        ("aes256gcm16-prfsha384-ecp384", "aes256gcm16-ecp384"),
        ("aes128-sha256-modp2048", "aes128-sha256"),
        ("aes256-sha512-modp3072", "aes256-sha512-modp3072"),
        ("aes192ctr-sha1-modp1536", "aes192ctr-sha1"),
        ("chacha20poly1305-prfsha256-curve25519", "chacha20poly1305"),
        ("aes128-aesxcbc-prfaesxcbc-modp2048", "aes128-aesxcbc"),
        ("aes128-aescmac-prfaescmac-ecp256", "aes128-aescmac"),
        ("3des-sha1-modp1024", "3des-sha1"),
        ("default", "default"),
        ("aes128gcm16-aes256gcm16-prfsha256-prfsha384-ecp256-x25519", "aes128-aes256-sha1-sha256"),
    ] {
        let set = |c: &mut Connection| {
            ike_proposals(c, ike);
            esp_proposals(c, esp);
        };
        let mut w = established(road_warrior_with(set, set, Settings::default()));
        let filter = Filter { child: Some("net".to_owned()), ..Filter::default() };
        w.command(0, |id| Command::Rekey { id, filter, reauth: false });
        w.run();
        w.command(1, |id| Command::Rekey { id, filter: all(), reauth: false });
        w.run();
        w.advance(10_000);
        w.assert_agreement();
        assert_eq!(w.nodes[0].installed.len(), 1, "{ike}");
    }
}

#[test]
fn invalid_ke_payload_is_corrected() {
    let w = established(road_warrior_with(
        |c| ike_proposals(c, "aes128gcm16-prfsha256-x25519-ecp256"),
        |c| ike_proposals(c, "aes128gcm16-prfsha256-ecp256"),
        Settings::default(),
    ));
    assert_eq!(w.nodes[1].engine.list(&all())[0].proposal.as_ref().unwrap().ke, Ke::Ecp256);
}

#[test]
fn no_proposal_in_common_says_what_each_side_offers() {
    let mut w = World::new(road_warrior_with(
        |c| ike_proposals(c, "aes128-sha256-modp2048"),
        |c| ike_proposals(c, "aes256-sha512-modp3072"),
        Settings::default(),
    ));
    let id = w.initiate(0, "net");
    w.run();
    assert!(w.result(0, id).unwrap().is_some());
    assert!(w.has_log(0, "received NO_PROPOSAL_CHOSEN notify error"));
    assert!(
        w.has_log(1, "received proposals: IKE:AES_CBC_128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048")
    );
    assert!(
        w.has_log(1, "configured proposals: IKE:AES_CBC_256/HMAC_SHA2_512_256/PRF_HMAC_SHA2_512/MODP_3072")
    );
    assert!(w.nodes.iter().all(|n| n.engine.is_empty()));
}

#[test]
fn child_proposals_may_fail_alone() {
    let mut w = World::new(road_warrior_with(
        |c| esp_proposals(c, "aes128-sha256"),
        |c| esp_proposals(c, "aes256gcm16"),
        Settings::default(),
    ));
    w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
    let id = w.initiate(0, "net");
    w.run();
    assert!(w.result(0, id).unwrap().is_some());
    // The IKE_SA stays (RFC 7296 1.2).
    assert_eq!(w.nodes[0].engine.list(&all())[0].state, "ESTABLISHED");
    assert!(w.nodes.iter().all(|n| n.installed.is_empty()));
    assert!(w.has_log(0, "received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built"));
}

#[test]
fn additional_key_exchanges() {
    for methods in
        ["ke1_mlkem768", "ke1_mlkem512-ke3_ecp384", "ke1_mlkem768-ke2_ecp384-ke5_none-ke6_modp2048"]
    {
        let set = |c: &mut Connection| {
            ike_proposals(c, &format!("aes128gcm16-prfsha256-x25519-{methods}"));
            esp_proposals(c, &format!("aes128gcm16-x25519-{methods}"));
        };
        let mut w = established(road_warrior_with(set, set, Settings::default()));
        let n = w.nodes[0].engine.list(&all())[0].proposal.as_ref().unwrap().add_ke.len();
        assert!(n >= 1, "{methods}");
        for side in 0..2 {
            let filter = Filter { child: Some("net".to_owned()), ..Filter::default() };
            w.command(side, |id| Command::Rekey { id, filter, reauth: false });
            w.run();
            w.advance(6_000);
            w.assert_agreement();
            assert!(!w.nodes[0].engine.list(&all())[0].children[0].add_ke.is_empty());
            w.command(side, |id| Command::Rekey { id, filter: all(), reauth: false });
            w.run();
            w.advance(10_000);
            w.assert_agreement();
            assert_eq!(w.nodes[1].engine.len(), 1);
        }
        assert_eq!(w.nodes[0].engine.list(&all())[0].unique_id, 3);
        // New keys work.
        let id = w.terminate(0, all());
        w.run();
        assert_eq!(w.result(0, id), Some(None));
    }
}

#[test]
fn optional_additional_key_exchange_is_left_out() {
    let w = established(road_warrior_with(
        |c| ike_proposals(c, "aes128gcm16-prfsha256-x25519-ke1_mlkem768-ke1_none"),
        |c| ike_proposals(c, "aes128gcm16-prfsha256-x25519"),
        Settings::default(),
    ));
    assert!(w.nodes[0].engine.list(&all())[0].proposal.as_ref().unwrap().add_ke.is_empty());
}

#[test]
fn selectors_are_narrowed() {
    let w = established(site_to_site_with(
        |c| c.children = vec![Arc::new(child("net", "10.2.0.0/16,10.4.0.0/16", "10.0.0.0/8[tcp/80-443]"))],
        |c| c.children = vec![Arc::new(child("net", "10.1.0.0/16", "10.2.3.0/24[tcp/443],10.4.0.0/16[udp]"))],
        Settings::default(),
    ));
    let c = w.nodes[0].installed.values().next().unwrap();
    let show = |l: &[policy::Selector]| l.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(show(&c.remote_ts), "10.1.0.0/16[tcp/80-443]");
    assert_eq!(show(&c.local_ts), "10.2.3.0/24[tcp/https] 10.4.0.0/16[udp]");
}

#[test]
fn selectors_without_common_ground_are_refused() {
    let mut w = World::new(site_to_site_with(
        |c| c.children = vec![Arc::new(child("net", "10.2.0.0/16", "10.1.0.0/16"))],
        |c| c.children = vec![Arc::new(child("net", "10.7.0.0/16", "10.2.0.0/16"))],
        Settings::default(),
    ));
    let id = w.initiate(0, "net");
    w.run();
    assert!(w.result(0, id).unwrap().is_some());
    assert!(w.has_log(0, "received TS_UNACCEPTABLE notify, no CHILD_SA built"));
    assert_eq!(w.nodes[0].engine.list(&all())[0].state, "ESTABLISHED");
    assert!(w.nodes[1].events.iter().any(|e| matches!(e, Event::Alert { kind: "ts-mismatch", .. })));
}

#[test]
fn several_children_share_an_ike_sa() {
    let two = |c: &mut Connection| {
        let mut second = (*c.children[0]).clone();
        second.name = "second".to_owned();
        let swap = c.local_addrs[0] == policy::PeerAddr::parse("192.0.2.2").unwrap();
        let (l, r) = ("10.9.0.0/16", "10.8.0.0/16");
        let (l, r) = if swap { (r, l) } else { (l, r) };
        second.local_ts = vec![l.parse().unwrap()];
        second.remote_ts = vec![r.parse().unwrap()];
        c.children.push(second.into());
    };
    let mut w = established(site_to_site_with(two, two, Settings::default()));
    let id = w.initiate(0, "second");
    w.run();
    assert_eq!(w.result(0, id), Some(None));
    assert_eq!(w.nodes[0].engine.len(), 1);
    assert_eq!(w.nodes[0].installed.len(), 2);
    let reqids: std::collections::BTreeSet<u32> = w.nodes[0].installed.values().map(|c| c.reqid).collect();
    assert_eq!(reqids.len(), 2);
    w.assert_agreement();
    // One goes, the other stays.
    let id = w.terminate(1, Filter { child: Some("net".to_owned()), ..Filter::default() });
    w.run();
    assert_eq!(w.result(1, id), Some(None));
    assert_eq!(w.nodes[0].installed.len(), 1);
    w.assert_agreement();
}

#[test]
fn transport_mode_between_hosts() {
    let transport = |c: &mut Connection| {
        let mut t = child("net", "dynamic", "dynamic");
        t.mode = Mode::Transport;
        c.children = vec![t.into()];
    };
    let w = established(site_to_site_with(transport, transport, Settings::default()));
    let c = w.nodes[0].installed.values().next().unwrap();
    assert_eq!(c.mode, Mode::Transport);
    assert_eq!(c.local_ts[0].to_string(), "192.0.2.1/32");
}

#[test]
fn transport_mode_falls_back_to_tunnel() {
    let transport = |c: &mut Connection| {
        let mut t = child("net", "dynamic", "dynamic");
        t.mode = Mode::Transport;
        c.children = vec![t.into()];
    };
    let tunnel = |c: &mut Connection| c.children = vec![child("net", "dynamic", "dynamic").into()];
    let w = established(site_to_site_with(transport, tunnel, Settings::default()));
    assert_eq!(w.nodes[0].installed.values().next().unwrap().mode, Mode::Tunnel);
}

#[test]
fn childless_ike_sa() {
    let mut w = World::new(site_to_site());
    let id = w.command(0, |id| Command::Initiate { id, ike: Some("gw".to_owned()), child: None });
    w.run();
    assert_eq!(w.result(0, id), Some(None));
    assert!(w.nodes[1].installed.is_empty());
    let id = w.initiate(1, "net");
    w.run();
    assert_eq!(w.result(1, id), Some(None));
    assert_eq!(w.nodes[1].engine.len(), 1);
    w.assert_agreement();
}

#[test]
fn wrong_secret_is_told_to_both() {
    let mut snapshots = road_warrior();
    let mut other = (*snapshots[1]).clone();
    other.secrets = vec![psk(&["carol@example.org", "moon.example.org"], "something else")];
    snapshots[1] = Arc::new(other);
    let mut w = World::new(snapshots);
    let id = w.initiate(0, "net");
    w.run();
    assert!(w.result(0, id).unwrap().is_some());
    assert!(w.has_log(0, "received AUTHENTICATION_FAILED notify error"));
    assert!(
        w.has_log(1, "tried 1 shared key for 'moon.example.org' - 'carol@example.org', but MAC mismatched")
    );
    assert!(w.nodes.iter().all(|n| n.engine.is_empty()));
}

#[test]
fn no_secret_at_all() {
    for n in 0..2 {
        let mut snapshots = road_warrior();
        let mut other = (*snapshots[n]).clone();
        other.secrets = vec![psk(&["dave"], "x")];
        snapshots[n] = Arc::new(other);
        let mut w = World::new(snapshots);
        let id = w.initiate(0, "net");
        w.run();
        assert!(w.result(0, id).unwrap().is_some());
        assert!(w.has_log(n, "no shared key found for '"));
        w.advance(31_000);
        assert!(w.nodes.iter().all(|n| n.engine.is_empty()));
    }
}

#[test]
fn the_connection_follows_the_identities() {
    let mut snapshots = road_warrior();
    let mut gateway = (*snapshots[1]).clone();
    let mut first = (*gateway.connections[0]).clone();
    first.name = "dave".to_owned();
    first.remote = vec![auth("remote", "dave@example.org")];
    let mut wild = (*gateway.connections[0]).clone();
    wild.name = "wild".to_owned();
    wild.remote = vec![auth("remote", "*@example.org")];
    gateway.connections = vec![first.into(), wild.into(), Arc::clone(&gateway.connections[0])];
    snapshots[1] = Arc::new(gateway);
    let w = established(snapshots);
    assert_eq!(w.nodes[1].engine.list(&all())[0].name, "rw");
    assert!(w.has_log(1, "selected peer config 'rw'"));
}

#[test]
fn unknown_peers_find_no_connection() {
    let mut w = World::new(site_to_site_with(
        |_| {},
        |c| c.remote_addrs = vec![policy::PeerAddr::Ip(ip("192.0.2.77"))],
        Settings::default(),
    ));
    w.initiate(0, "net");
    w.run();
    assert!(w.has_log(1, "no IKE config found for 192.0.2.2...192.0.2.1, sending NO_PROPOSAL_CHOSEN"));
    assert!(w.nodes.iter().all(|n| n.engine.is_empty()));
}

#[test]
fn pools_that_are_empty_leave_the_ike_sa() {
    let mut w = World::new(road_warrior());
    let id = w.initiate(0, "net");
    w.run();
    assert!(w.result(0, id).unwrap().is_some());
    assert!(w.has_log(1, "no virtual IP found for %any requested by 'carol@example.org'"));
    assert!(w.has_log(0, "received INTERNAL_ADDRESS_FAILURE notify, no CHILD_SA built"));
    assert_eq!(w.nodes[0].engine.list(&all())[0].state, "ESTABLISHED");
}

#[test]
fn a_gateway_with_pools_wants_to_be_asked() {
    let mut w = World::new(road_warrior_with(|c| c.vips.clear(), |_| {}, Settings::default()));
    w.initiate(0, "net");
    w.run();
    assert!(w.has_log(1, "expected a virtual IP request, sending FAILED_CP_REQUIRED"));
    assert!(w.has_log(0, "received FAILED_CP_REQUIRED notify, no CHILD_SA built"));
}

#[test]
fn a_data_plane_that_refuses_is_told_to_the_peer() {
    for n in 0..2 {
        let mut w = World::new(road_warrior());
        w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
        w.nodes[n].fail = |a| matches!(a, ike::Ask::InstallChild(_));
        let id = w.initiate(0, "net");
        w.run();
        assert!(w.result(0, id).unwrap().is_some());
        assert!(w.nodes.iter().all(|n| n.installed.is_empty()), "side {n}");
        assert!(w.nodes.iter().all(|n| n.engine.list(&all())[0].children.is_empty()), "side {n}");
    }
}

#[test]
fn views_are_filtered() {
    let w = established(road_warrior());
    let f = |f: Filter| w.nodes[0].engine.list(&f).len();
    assert_eq!(f(Filter { ike: Some("home".into()), ..Filter::default() }), 1);
    assert_eq!(f(Filter { ike: Some("other".into()), ..Filter::default() }), 0);
    assert_eq!(f(Filter { child_id: Some(1), ..Filter::default() }), 1);
    assert_eq!(f(Filter { child: Some("other".into()), ..Filter::default() }), 0);
}

fn ppk(id: &str, secret: &str) -> Arc<policy::SharedSecret> {
    let mut s = (*psk(&[id], secret)).clone();
    s.kind = policy::secrets::SecretKind::Ppk;
    Arc::new(s)
}

#[test]
fn post_quantum_preshared_keys() {
    // (the client's, the gateway's, the client insists, comes up, with it)
    for (client, gateway, required, up, used) in [
        (Some("quantum"), Some("quantum"), true, true, true),
        (Some("quantum"), Some("quantum"), false, true, true),
        (Some("quantum"), None, false, true, false),
        (Some("quantum"), None, true, false, false),
        (None, Some("quantum"), false, true, false),
        (Some("quantum"), Some("other"), false, false, false),
    ] {
        let mut snapshots = road_warrior_with(
            |c| {
                c.ppk_id = Some("carol".to_owned());
                c.ppk_required = required;
            },
            |_| {},
            Settings::default(),
        );
        for (n, key) in [(0, client), (1, gateway)] {
            let mut s = (*snapshots[n]).clone();
            s.secrets.extend(key.map(|k| ppk("carol", k)));
            snapshots[n] = Arc::new(s);
        }
        let mut w = World::new(snapshots);
        w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
        let id = w.initiate(0, "net");
        w.run();
        assert_eq!(w.result(0, id) == Some(None), up, "{client:?} {gateway:?} {required}");
        if up {
            assert!(w.nodes.iter().all(|n| n.engine.list(&all())[0].ppk == used));
            let filter = Filter { child: Some("net".to_owned()), ..Filter::default() };
            w.command(0, |id| Command::Rekey { id, filter, reauth: false });
            w.run();
            w.command(1, |id| Command::Rekey { id, filter: all(), reauth: false });
            w.run();
            w.advance(10_000);
            w.assert_agreement();
            assert!(w.nodes.iter().all(|n| n.engine.list(&all())[0].ppk == used));
        }
    }
}
