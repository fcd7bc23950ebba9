//! EAP.
use crate::harness::*;
use crate::signatures::{alerts, by, refused, refused_in};
use ike::io::{EapInput, Filter};
use ike::{Answer, Ask, Command};
use policy::connection::Unique;
use policy::{Connection, Identity, Settings, Snapshot};
use std::sync::Arc;

const MOON: &str = "moon.example.org";
const CAROL: &str = "carol@example.org";

/// A client that authenticates by EAP, and a gateway with a key.
fn with_eap(
    method: &str,
    client: impl FnOnce(&mut Connection),
    gateway: impl FnOnce(&mut Connection),
    settings: Settings,
) -> Vec<Arc<Snapshot>> {
    road_warrior_with(
        |c| {
            c.local = vec![by("eap", "local", CAROL)];
            c.remote = vec![by("pubkey", "remote", MOON)];
            client(c);
        },
        |c| {
            c.local = vec![by("pubkey", "local", MOON)];
            c.remote = vec![by(&format!("eap-{method}"), "remote", "")];
            gateway(c);
        },
        settings,
    )
}

fn eap(method: &str) -> Vec<Arc<Snapshot>> {
    with_eap(method, |_| {}, |_| {}, Settings::default())
}

fn ids(c: &mut Connection, id: &str) {
    c.remote[0].eap_id = Some(Identity::parse(id).unwrap());
}

#[test]
fn the_gateway_signs_and_the_client_has_a_password() {
    for method in ["md5", "mschapv2", "tls"] {
        let w = established(eap(method));
        for (n, texts) in [
            (
                0,
                &[
                    "generating IKE_AUTH request 1 [ IDi N(INIT_CONTACT) IDr CPRQ(ADDR ADDR6 DNS DNS6 DOMAIN) SA TSi TSr N(MOBIKE_SUP) N(MULT_AUTH) ]",
                    "parsed IKE_AUTH response 1 [ IDr AUTH EAP/REQ/255 ]",
                    "authentication of 'moon.example.org' with ED25519 successful",
                    "generating IKE_AUTH request 2 [ EAP/RES/255 ]",
                    "authentication of 'carol@example.org' (myself) with EAP",
                    "generating IKE_AUTH request 3 [ AUTH ]",
                    "parsed IKE_AUTH response 3 [ AUTH CPRP(ADDR ADDR6 DNS) SA TSi TSr",
                    "authentication of 'moon.example.org' with EAP successful",
                ][..],
            ),
            (
                1,
                &[
                    "authentication of 'moon.example.org' (myself) with ED25519",
                    "parsed IKE_AUTH request 2 [ EAP/RES/255 ]",
                    "authentication of 'carol@example.org' with EAP successful",
                    "authentication of 'moon.example.org' (myself) with EAP",
                ][..],
            ),
        ] {
            for text in texts {
                if !w.has_log(n, text) {
                    w.dump();
                    panic!("{method} {n}: {text}");
                }
            }
        }
        assert_eq!(w.nodes[1].engine.list(&all())[0].remote_eap_id, None);
    }
}

#[test]
fn the_gateway_may_have_a_secret() {
    let w = established(with_eap(
        "mschapv2",
        |c| c.remote = vec![by("psk", "remote", MOON)],
        |c| c.local = vec![by("psk", "local", MOON)],
        Settings::default(),
    ));
    assert!(w.has_log(0, "authentication of 'moon.example.org' with pre-shared key successful"));
    assert!(w.has_log(0, "authentication of 'moon.example.org' with EAP successful"));
}

#[test]
fn an_eap_identity_is_who_the_client_is() {
    let snapshots = || {
        with_eap(
            "mschapv2",
            |c| c.local[0].eap_id = Some(Identity::parse("carol").unwrap()),
            |c| {
                ids(c, "%any");
                c.unique = Unique::Replace;
            },
            Settings::default(),
        )
    };
    let mut w = established(snapshots());
    let view = w.nodes[1].engine.list(&all())[0].clone();
    assert_eq!(view.remote_eap_id.as_deref(), Some(&Identity::parse("carol").unwrap()));
    assert_eq!(view.remote_id.as_deref(), Some(&Identity::parse(CAROL).unwrap()));
    assert!(w.has_log(1, "received EAP identity 'carol'"));
    assert!(w.has_log(1, "assigning virtual IP 10.3.0.1 to peer 'carol'"));
    // It stays with the IKE_SA through rekeying and a change of engines.
    w.command(0, |id| Command::Rekey { id, filter: all(), reauth: false });
    w.run();
    w.advance(20_000);
    w.handover(1);
    let view = w.nodes[1].engine.list(&all())[0].clone();
    assert_eq!(view.remote_eap_id.as_deref(), Some(&Identity::parse("carol").unwrap()));
    // Of two with that name one goes.
    w.nodes[1].pool = [ip("10.3.0.2"), ip("fec3::2")].into();
    w.command(0, |id| Command::Rekey { id, filter: all(), reauth: true });
    w.run();
    w.advance(60_000);
    assert_eq!(w.nodes[1].engine.list(&all()).len(), 1);
    assert_eq!(w.nodes[1].leased.len(), 2);
    w.assert_agreement();
    w.terminate(0, all());
    w.advance(20_000);
    assert!(w.nodes.iter().all(|n| n.engine.is_empty() && n.leased.is_empty()));
}

#[test]
fn uniqueness_goes_by_eap_identity() {
    // All clients call themselves by their address; the EAP identities differ, or not.
    for (second, left) in [("dave", 2), ("carol", 1)] {
        let client = |c: &mut Connection, name: &str| {
            c.local = vec![by("eap", "local", "client")];
            c.local[0].eap_id = Some(Identity::parse(name).unwrap());
            c.unique = Unique::Never;
        };
        let gateway = |c: &mut Connection| {
            ids(c, "%any");
            c.unique = Unique::Replace;
        };
        let all_of = with_eap("md5", |c| client(c, "carol"), gateway, Settings::default());
        let mut other = with_eap("md5", |c| client(c, second), |_| {}, Settings::default()).remove(0);
        let connection = Connection {
            local_addrs: vec![policy::PeerAddr::parse("192.0.2.3").unwrap()],
            ..Connection::clone(&other.connections[0])
        };
        Arc::make_mut(&mut other).connections = vec![Arc::new(connection)];
        let mut w = World::new(vec![Arc::clone(&all_of[0]), Arc::clone(&all_of[1]), other]);
        w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1"), ip("10.3.0.2"), ip("fec3::2")].into();
        for n in [0, 2] {
            w.initiate(n, "net");
            w.run();
        }
        w.advance(60_000);
        assert_eq!(w.nodes[1].engine.list(&all()).len(), left, "{second}");
    }
}

#[test]
fn a_wrong_password_is_told_by_eap() {
    let name = "wrong@example.org";
    let w = refused(with_eap(
        "mschapv2",
        |c| c.local = vec![by("eap", "local", name)],
        |_| {},
        Settings::default(),
    ));
    assert!(w.has_log(1, "generating IKE_AUTH response 2 [ EAP/FAIL ]"));
    assert!(w.has_log(0, "received EAP_FAILURE, EAP authentication failed"));
    assert!(w.has_log(0, "INFORMATIONAL request 3 [ N(AUTH_FAILED) ]"));
    let reason = ("reason", "wrong password".to_owned());
    assert!(alerts(&w, 1).iter().any(|(kind, d)| *kind == "peer-auth-failed" && d.contains(&reason)));
    assert!(!w.has_log(0, "wrong password"));
}

#[test]
fn success_before_the_method_was_done_is_none() {
    let mut w = World::new(eap("mschapv2"));
    w.nodes[1].credentials.hasty = true;
    let w = refused_in(w);
    assert!(w.has_log(0, "EAP-Success before the method was done"));
    assert!(!w.has_log(1, "with EAP successful"));
}

#[test]
fn a_conversation_without_end_ends() {
    let mut w = World::new(with_eap("md5", |_| {}, |c| ids(c, "%any"), Settings::default()));
    w.nodes[1].credentials.endless = true;
    let w = refused_in(w);
    assert!(
        w.has_log(1, "EAP conversation exceeds 64 packets, giving up")
            || w.has_log(0, "EAP conversation exceeds 64 packets, giving up")
    );
}

#[test]
fn eap_alone_will_do_if_both_want_it_and_the_method_can() {
    let only = |method: &str, client: &str, settings: Settings| {
        with_eap(
            method,
            |c| c.remote = vec![by(client, "remote", MOON)],
            |c| c.local = vec![by(&format!("eap-{method}"), "local", MOON)],
            settings,
        )
    };
    for class in ["eap-tls", "eap", "any"] {
        let w = established(only("tls", class, Settings::default()));
        assert!(w.has_log(0, "N(MULT_AUTH) N(EAP_ONLY) ]"));
        assert!(w.has_log(0, "parsed IKE_AUTH response 1 [ IDr EAP/REQ/255 ]"));
        assert!(w.has_log(0, "allow mutual EAP-only authentication"));
        assert!(w.has_log(0, "authentication of 'moon.example.org' with EAP successful"));
    }
    // A method that shows nothing of the server does not even begin.
    for method in ["md5", "mschapv2"] {
        let w = refused(only(method, "eap", Settings::default()));
        assert!(w.has_log(0, "the server must authenticate itself"));
        assert!(!w.has_log(0, "(myself) with EAP"));
    }
    // The client wants the gateway's key.
    let w = refused(only("tls", "pubkey", Settings::default()));
    assert!(w.has_log(1, "EAP-only authentication configured, but peer does not support it"));
    let force = Settings { force_eap_only_authentication: true, ..Settings::default() };
    let w = refused(only("tls", "pubkey", force));
    assert!(w.has_log(0, "peer begins EAP without having authenticated itself"));
    assert!(!w.has_log(0, "(myself) with EAP"));
}

#[test]
fn the_gateway_wants_eap_and_gets_it_from_those_who_have_it() {
    // A client with a secret where EAP is wanted, and one with EAP where a secret is.
    let w =
        refused(with_eap("md5", |c| c.local = vec![by("psk", "local", CAROL)], |_| {}, Settings::default()));
    assert!(w.has_log(1, "constraint requires EAP, but pre-shared key was used"));
    for class in ["psk", "pubkey", "any", "null"] {
        let w = refused(with_eap(
            "md5",
            |_| {},
            |c| c.remote = vec![by(class, "remote", "")],
            Settings::default(),
        ));
        assert!(w.has_log(1, "peer requested EAP, config unacceptable"), "{class}");
    }
}

/// Connections of one gateway that differ in what they want of a client's EAP.
fn gateways(client: &str, connections: &[(&str, &str, &str, &[&str])]) -> Vec<Arc<Snapshot>> {
    let mut all = with_eap(
        "md5",
        |c| c.local[0].eap_id = Some(Identity::parse(client).unwrap()),
        |_| {},
        Settings::default(),
    );
    let gateway = Arc::make_mut(&mut all[1]);
    let rw = Connection::clone(&gateway.connections[0]);
    let of = |(name, method, id, groups): &(&str, &str, &str, &[&str])| {
        let mut c = Connection { name: (*name).into(), ..rw.clone() };
        c.remote = vec![by(&format!("eap-{method}"), "remote", "")];
        ids(&mut c, id);
        c.remote[0].groups = groups.iter().map(|g| (*g).to_owned()).collect();
        Arc::new(c)
    };
    gateway.connections = connections.iter().map(of).collect();
    all
}

#[test]
fn the_eap_identity_chooses_the_connection() {
    let connections: &[(&str, &str, &str, &[&str])] =
        &[("staff", "tls", "C=CH, O=Cygnet, CN=*", &[]), ("rw", "md5", "%any", &[])];
    let w = established(gateways("carol", connections));
    assert_eq!(w.nodes[1].engine.list(&all())[0].name, "rw");
    assert!(w.has_log(1, "constraint check failed: EAP identity 'C=CH, O=Cygnet, CN=*' (ID_DER_ASN1_DN) required, not matched by 'carol' (ID_FQDN)"));
    assert!(w.has_log(1, "switching to peer config 'rw'"));
    let w = established(gateways("C=CH, O=Cygnet, CN=carol", connections));
    assert_eq!(w.nodes[1].engine.list(&all())[0].name, "staff");
}

#[test]
fn groups_choose_the_connection_but_never_a_weaker_method() {
    let connections: &[(&str, &str, &str, &[&str])] = &[
        ("research", "mschapv2", "%any", &["research"]),
        ("weak", "md5", "%any", &[]),
        ("sales", "mschapv2", "%any", &["sales", "staff"]),
    ];
    for (client, name) in [("research-carol", "research"), ("staff-carol", "sales"), ("a-sales-b", "sales")] {
        let w = established(gateways(client, connections));
        assert_eq!(w.nodes[1].engine.list(&all())[0].name, name);
    }
    let w = refused(gateways("carol", connections));
    assert!(w.has_log(1, "constraint check failed: group membership to 'research' required"));
    assert!(w.has_log(1, "constraint check failed: group membership to 'staff' required, or to 'sales'"));
    assert!(w.has_log(1, "no alternative config found"));
    assert!(!w.has_log(1, "with EAP successful"));
}

#[test]
fn the_servers_time_limit_is_passed_on_and_kept() {
    let mut w = World::new(eap("mschapv2"));
    w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
    w.nodes[1].credentials.lifetime = Some(600);
    w.initiate(0, "net");
    w.run();
    assert!(w.has_log(1, "N(AUTH_LFT)"));
    assert!(w.has_log(0, "received AUTH_LIFETIME of 600s, scheduling reauthentication in 540s"));
    let before = w.nodes[0].engine.list(&all())[0].unique_id;
    w.advance(560_000);
    let now = w.nodes[0].engine.list(&all());
    assert_eq!(now.len(), 1);
    assert_ne!(now[0].unique_id, before);
    // A client that does not come back has had its time.
    w.nodes[0].hold = |_| true;
    w.lose = Box::new(|_, d| d.local.ip() == ip("192.0.2.1"));
    w.advance(900_000);
    assert!(w.nodes[1].engine.is_empty() && w.nodes[1].leased.is_empty());
}

#[test]
fn while_a_method_thinks() {
    let hold: fn(&Ask) -> bool = |a| matches!(a, Ask::Eap { .. });
    for n in [0, 1] {
        for change in [false, true] {
            let mut w = World::new(eap("tls"));
            w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
            w.nodes[n].hold = hold;
            w.initiate(0, "net");
            w.run();
            for _ in 0..3 {
                if w.nodes[n].held.is_empty() {
                    break;
                }
                // The client repeats its request meanwhile; that is absorbed.
                w.advance(5_000);
                assert_eq!(w.nodes[n].held.len(), 1);
                if change {
                    w.handover(n);
                    assert_eq!(w.nodes[n].held.len(), 1, "asked again");
                }
                w.release(n);
                w.nodes[n].hold = hold;
            }
            assert_eq!(w.nodes[0].installed.len(), 1, "{n}");
            w.assert_agreement();
        }
        // It dies meanwhile: the method is told, and what it says then concerns nobody.
        let mut w = World::new(eap("tls"));
        w.nodes[n].hold = hold;
        w.initiate(0, "net");
        w.run();
        w.terminate(n, Filter::default());
        assert!(w.nodes[n].engine.is_empty());
        assert!(w.nodes[n].held.iter().any(|(_, a)| matches!(a, Ask::Eap { input: EapInput::Abandon, .. })));
        w.release(n);
        w.advance(400_000);
        assert!(w.nodes.iter().all(|n| n.engine.is_empty() && n.credentials.conversations() == 0));
        // It never says anything.
        let mut w = World::new(eap("tls"));
        w.nodes[n].hold = hold;
        w.initiate(0, "net");
        w.run();
        w.advance(400_000);
        assert!(w.nodes.iter().all(|n| n.engine.is_empty()));
        // It cannot.
        let mut w = World::new(eap("tls"));
        w.nodes[n].fail = hold;
        let w = refused_in(w);
        assert!(w.has_log(n, "told to"));
    }
}

#[test]
fn engines_may_change_at_every_step() {
    for method in ["md5", "tls"] {
        let mut w = World::new(with_eap(method, |_| {}, |c| ids(c, "%any"), Settings::default()));
        w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
        w.migrate = true;
        w.initiate(0, "net");
        w.run();
        assert_eq!(w.nodes[0].installed.len(), 1);
        w.assert_agreement();
    }
}

#[test]
fn reauthentication_is_the_clients_business() {
    for make_before_break in [true, false] {
        let settings = Settings { make_before_break, ..Settings::default() };
        let mut w = established(with_eap("mschapv2", |_| {}, |_| {}, settings));
        let before = w.nodes[0].engine.list(&all())[0].unique_id;
        w.command(0, |id| Command::Rekey { id, filter: all(), reauth: true });
        w.run();
        w.advance(30_000);
        let now = w.nodes[0].engine.list(&all());
        assert_eq!(now.len(), 1);
        assert_ne!(now[0].unique_id, before);
        w.assert_agreement();
        // A gateway cannot; it closes.
        w.command(1, |id| Command::Rekey { id, filter: all(), reauth: true });
        w.run();
        w.advance(30_000);
        assert!(w.nodes[1].engine.is_empty());
    }
}

#[test]
fn a_post_quantum_key_goes_with_eap() {
    let ppk = |id: &str, key: &str| {
        let kind = policy::secrets::SecretKind::Ppk;
        Arc::new(policy::SharedSecret { kind, ..policy::SharedSecret::clone(&psk(&[id], key)) })
    };
    for method in ["md5", "mschapv2"] {
        for (id, key, required, used) in
            [("ppk", "future", false, true), ("ppk", "future", true, true), ("other", "x", false, false)]
        {
            let mut snapshots = with_eap(
                method,
                |c| {
                    c.ppk_id = Some("ppk".into());
                    c.ppk_required = required;
                },
                |_| {},
                Settings::default(),
            );
            Arc::make_mut(&mut snapshots[0]).secrets.push(ppk("ppk", "future"));
            Arc::make_mut(&mut snapshots[1]).secrets.push(ppk(id, key));
            let w = established(snapshots);
            let ppk = |n: usize| w.nodes[n].engine.list(&all())[0].ppk;
            assert_eq!((ppk(0), ppk(1)), (used, used));
            assert!(w.has_log(0, "request 3 [ AUTH N("));
        }
    }
}

#[test]
fn an_answer_to_another_question_is_a_failure() {
    let mut w = World::new(eap("md5"));
    w.nodes[1].hold = |a| matches!(a, Ask::Eap { .. });
    let id = w.initiate(0, "net");
    w.run();
    let (ticket, _) = w.nodes[1].held.remove(0);
    let now = w.now;
    w.nodes[1].engine.answer(now, ticket, Answer::Done);
    w.run();
    assert!(w.nodes[1].engine.is_empty());
    w.advance(10_000);
    assert!(w.result(0, id).unwrap().is_some());
}
