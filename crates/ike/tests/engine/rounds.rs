//! Several rounds of authentication (RFC 4739).
use crate::harness::*;
use crate::signatures::{by, refused};
use policy::{Auth, Connection, Identity, Settings, Snapshot};
use std::sync::Arc;

type Rounds<'a> = &'a [(&'a str, &'a str)];

fn list(side: &str, rounds: Rounds<'_>) -> Vec<Auth> {
    rounds.iter().enumerate().map(|(i, (class, id))| by(class, &format!("{side}-{i}"), id)).collect()
}

fn with_rounds(
    client: (Rounds<'_>, Rounds<'_>),
    gateway: (Rounds<'_>, Rounds<'_>),
    settings: Settings,
) -> Vec<Arc<Snapshot>> {
    let set = |c: &mut Connection, (local, remote): (Rounds<'_>, Rounds<'_>)| {
        c.local = list("local", local);
        c.remote = list("remote", remote);
    };
    let mut all = road_warrior_with(|c| set(c, client), |c| set(c, gateway), settings);
    for s in &mut all {
        Arc::make_mut(s).secrets.push(psk(&[], "anybody's"));
    }
    all
}

fn both(client: Rounds<'_>, gateway: Rounds<'_>) -> Vec<Arc<Snapshot>> {
    with_rounds((client, gateway), (gateway, client), Settings::default())
}

const K1: (&str, &str) = ("pubkey", "carol@example.org");
const K2: (&str, &str) = ("pubkey", "machine.example.org");
const P1: (&str, &str) = ("psk", "carol@example.org");
const E1: (&str, &str) = ("eap", "carol@example.org");
const E2: (&str, &str) = ("eap-tls", "carol@example.net");
const MK: (&str, &str) = ("pubkey", "moon.example.org");
const MP: (&str, &str) = ("psk", "moon.example.com");

#[test]
fn any_mixture_goes() {
    let clients: &[Rounds<'_>] = &[
        &[K1, E1],
        &[K1, K2],
        &[P1, K2],
        &[E1, K2],
        &[E1, E2],
        &[K1, E1, P1],
        &[K1],
        &[E1],
        &[P1],
        &[E2, P1, E1, K2],
    ];
    let gateways: &[Rounds<'_>] = &[&[MK], &[MP], &[MK, MP], &[MP, MK], &[MK, MP, MK]];
    for client in clients {
        for gateway in gateways {
            let w = established(both(client, gateway));
            let view = w.nodes[1].engine.list(&all())[0].clone();
            let last = |rounds: Rounds<'_>| Some(Identity::parse(rounds.last().unwrap().1).unwrap());
            assert_eq!(view.remote_id.as_deref(), last(client).as_ref(), "{client:?} {gateway:?}");
            assert_eq!(w.nodes[0].engine.list(&all())[0].local_id.as_deref(), last(client).as_ref());
            assert_eq!(
                w.nodes[0].engine.list(&all())[0].remote_id.as_deref(),
                last(gateway).as_ref(),
                "{client:?} {gateway:?}"
            );
            if client.len() > 1 {
                assert!(w.has_log(1, "N(AUTH_FOLLOWS)"));
            }
        }
    }
}

#[test]
fn it_looks_as_in_the_rfc() {
    let w = established(both(&[K1, E1], &[MK]));
    for text in [
        "SA TSi TSr N(MOBIKE_SUP) N(MULT_AUTH) N(AUTH_FOLLOWS) ]",
        "parsed IKE_AUTH response 1 [ IDr AUTH ]",
        "generating IKE_AUTH request 2 [ IDi ]",
        "parsed IKE_AUTH response 2 [ EAP/REQ/255 ]",
        "generating IKE_AUTH request 3 [ EAP/RES/255 ]",
        "parsed IKE_AUTH response 3 [ EAP/SUCC ]",
        "generating IKE_AUTH request 4 [ AUTH ]",
        "parsed IKE_AUTH response 4 [ AUTH CPRP(ADDR ADDR6 DNS) SA TSi TSr",
    ] {
        if !w.has_log(0, text) {
            w.dump();
            panic!("{text}");
        }
    }
    // The last response has no AUTH; what was offered without key exchange is still without.
    let mut snapshots = both(&[K1, K2], &[MK]);
    for s in &mut snapshots {
        let s = Arc::make_mut(s);
        let mut c = Connection::clone(&s.connections[0]);
        let mut child = policy::Child::clone(&c.children[0]);
        let proposals = policy::proposal::parse_proposals(wire::iana::ProtocolId::Esp, "aes128gcm16-x25519");
        child.proposals = proposals.unwrap();
        c.children = vec![Arc::new(child)];
        s.connections = vec![Arc::new(c)];
    }
    let w = established(snapshots);
    assert!(w.has_log(0, "parsed IKE_AUTH response 2 [ CPRP(ADDR ADDR6 DNS) SA TSi TSr"));
    // The gateway has more to say than the client.
    let w = established(both(&[K1], &[MK, MP]));
    assert!(w.has_log(0, "parsed IKE_AUTH response 1 [ IDr AUTH N(AUTH_FOLLOWS) ]"));
    assert!(w.has_log(0, "generating IKE_AUTH request 2 [ ]"));
}

#[test]
fn rounds_have_an_order() {
    let mut snapshots = both(&[E1, K1], &[MK]);
    for (s, client) in snapshots.iter_mut().zip([true, false]) {
        let s = Arc::make_mut(s);
        let mut c = Connection::clone(&s.connections[0]);
        let rounds = if client { &mut c.local } else { &mut c.remote };
        (rounds[0].round, rounds[1].round) = (2, 1);
        s.connections = vec![Arc::new(c)];
    }
    let w = established(snapshots);
    assert!(w.has_log(
        0,
        "IDr AUTH CPRQ(ADDR ADDR6 DNS DNS6 DOMAIN) SA TSi TSr N(MOBIKE_SUP) N(MULT_AUTH) N(AUTH_FOLLOWS) ]"
    ));
}

#[test]
fn too_few_and_too_many_are_refused() {
    let side = |client: Rounds<'_>, wanted: Rounds<'_>| {
        with_rounds((client, &[MK]), (&[MK], wanted), Settings::default())
    };
    for (client, wanted, text) in [
        (&[K1][..], &[K1, E1][..], "insufficient authentication rounds"),
        (&[K1, E1], &[K1], "peer announces more authentication rounds than configured"),
        (&[E1], &[E1, K2], "insufficient authentication rounds"),
        (&[E1, K2], &[E1], "peer announces more authentication rounds than configured"),
        (&[K1, K1, K1], &[K1, K1], "peer announces more authentication rounds than configured"),
        (&[K1, P1], &[K1, E1], "constraint requires EAP, but pre-shared key was used"),
        (&[K1, ("eap", "wrong@example.org")], &[K1, ("eap", "%any")], "wrong password"),
        (&[K1, ("pubkey", "revoked.example.org")], &[K1, ("pubkey", "%any")], "certificate was revoked"),
        (&[K1, K2], &[K1, ("pubkey", "another.example.org")], "identity 'another.example.org' required"),
    ] {
        let w = refused(side(client, wanted));
        if !w.has_log(1, text) {
            w.dump();
            panic!("{text}");
        }
    }
    let side = |gateway: Rounds<'_>, wanted: Rounds<'_>| {
        with_rounds((&[K1], wanted), (gateway, &[K1]), Settings::default())
    };
    for (gateway, wanted, text) in [
        (&[MK][..], &[MK, MP][..], "insufficient authentication rounds: 1 of 2"),
        (&[MK, MP], &[MK], "peer authenticates in more rounds than configured"),
        (&[MK, MP], &[MK, MK], "does not match to"),
    ] {
        let w = refused(side(gateway, wanted));
        if !w.has_log(0, text) {
            w.dump();
            panic!("{text}");
        }
    }
}

#[test]
fn the_number_of_rounds_chooses_the_connection() {
    let snapshots = |client: Rounds<'_>| {
        let mut all = with_rounds((client, &[MK]), (&[MK], &[K1]), Settings::default());
        let gateway = Arc::make_mut(&mut all[1]);
        let one = Connection::clone(&gateway.connections[0]);
        let of = |name: &str, rounds: Rounds<'_>| {
            Arc::new(Connection { name: name.into(), remote: list("remote", rounds), ..one.clone() })
        };
        gateway.connections =
            vec![of("one", &[K1]), of("two", &[K1, K2]), of("eap", &[E1]), of("eap2", &[E1, K2])];
        all
    };
    for (client, name) in [(&[K1][..], "one"), (&[K1, K2], "two"), (&[E1], "eap"), (&[E1, K2], "eap2")] {
        let w = established(snapshots(client));
        assert_eq!(w.nodes[1].engine.list(&all())[0].name, name);
    }
    let w = refused(snapshots(&[K1, P1]));
    assert!(w.has_log(1, "no alternative config found"));
}

#[test]
fn nobody_is_asked_for_what_it_does_not_know() {
    let settings = Settings { multiple_authentication: false, ..Settings::default() };
    let w = refused(with_rounds((&[K1, K2], &[MK]), (&[MK], &[K1, K2]), settings));
    assert!(w.has_log(0, "peer does not support multiple authentication rounds"));
}

#[test]
fn engines_may_change_at_every_step() {
    let mut w = World::new(both(&[K1, E1, P1], &[MK, MP]));
    w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
    w.migrate = true;
    w.initiate(0, "net");
    w.run();
    assert_eq!(w.nodes[0].installed.len(), 1);
    w.assert_agreement();
}
