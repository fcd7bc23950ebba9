//! Post-quantum pre-shared keys (RFC 8784).
use crate::harness::*;
use policy::{Connection, Identity, Settings, SharedSecret, Snapshot};
use std::sync::Arc;

const CAROL: &str = "ppk-carol@example.org";
const DAVE: [(&str, &str); 1] = [("ppk-dave@example.org", "another")];

fn ppk(owners: &[&str], secret: &str) -> Arc<SharedSecret> {
    let mut s = SharedSecret::clone(&psk(owners, secret));
    s.kind = policy::secrets::SecretKind::Ppk;
    Arc::new(s)
}

/// The road warrior's and the gateway's `ppk_id`, `ppk_required` and PPKs.
type Side<'a> = (Option<&'a str>, bool, &'a [(&'a str, &'a str)]);

fn with(sides: [Side<'_>; 2]) -> Vec<Arc<Snapshot>> {
    let configure = |(id, required, _): Side<'_>| {
        let id = id.map(str::to_owned);
        move |c: &mut Connection| {
            c.ppk_id = id;
            c.ppk_required = required;
        }
    };
    let both = road_warrior_with(configure(sides[0]), configure(sides[1]), Settings::default());
    let give = |(s, (.., secrets)): (Arc<Snapshot>, Side<'_>)| {
        let mut s = Snapshot::clone(&s);
        s.secrets.extend(secrets.iter().map(|(owner, secret)| ppk(&[owner], secret)));
        Arc::new(s)
    };
    both.into_iter().zip(sides).map(give).collect()
}

fn in_use(w: &World) -> (bool, bool) {
    let ppk = |n: usize| w.nodes[n].engine.list(&all())[0].ppk;
    (ppk(0), ppk(1))
}

/// Comes to nothing, on both sides.
fn refused(sides: [Side<'_>; 2]) -> World {
    let mut w = World::new(with(sides));
    w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
    let id = w.initiate(0, "net");
    w.run();
    w.advance(1_000_000);
    assert!(w.result(0, id).unwrap().is_some());
    for n in &w.nodes {
        assert!(n.engine.is_empty() && n.installed.is_empty() && n.leased.is_empty());
    }
    w
}

#[test]
fn both_have_it() {
    let key = [(CAROL, "of the future")];
    let w = established(with([(Some(CAROL), true, &key), (Some("*@example.org"), true, &key)]));
    assert_eq!(in_use(&w), (true, true));
    for n in [0, 1] {
        assert!(w.has_log(n, "using PPK for PPK_ID 'ppk-carol@example.org'"));
        assert!(w.has_log(n, "N(FRAG_SUP) N(HASH_ALG) N(USE_PPK) ]"));
        assert!(w.has_log(n, "N(FRAG_SUP) N(HASH_ALG) N(USE_PPK) N(CHDLESS_SUP) N(MULT_AUTH) ]"));
    }
    assert!(w.has_log(0, "TSr N(MOBIKE_SUP) N(MULT_AUTH) N(PPK_ID) ]"));
    assert!(w.has_log(0, "parsed IKE_AUTH response 1 ["));
    // Where it may do without, the proof without it goes along and is not used.
    let w = established(with([(Some(CAROL), false, &key), (Some(CAROL), false, &key)]));
    assert_eq!(in_use(&w), (true, true));
    assert!(w.has_log(0, "TSr N(MOBIKE_SUP) N(MULT_AUTH) N(NO_PPK) N(PPK_ID) ]"));
}

#[test]
fn it_changes_the_keys_of_children() {
    let keys = |sides: [Side<'_>; 2]| {
        let w = established(with(sides));
        let c = w.nodes[0].installed.values().next().unwrap().clone();
        (c.spi_in, c.keys_in.encr.as_slice().to_vec())
    };
    let with_it = |secret| {
        let key = [(CAROL, secret)];
        keys([(Some(CAROL), false, &key), (Some(CAROL), false, &key)])
    };
    // The world's randomness is the same each time, so nothing else can make a difference.
    let (a, again, b) = (with_it("a"), with_it("a"), with_it("b"));
    let none = keys([(Some(CAROL), false, &[("x@example.org", "a")]), (Some(CAROL), false, &[])]);
    assert_eq!(a, again);
    assert!(a.0 == b.0 && b.0 == none.0, "the same world");
    assert!(a.1 != b.1 && b.1 != none.1 && a.1 != none.1);
}

#[test]
fn rekeying_keeps_it() {
    let key = [(CAROL, "of the future")];
    let mut w = established(with([(Some(CAROL), true, &key), (Some(CAROL), true, &key)]));
    let before = w.nodes[0].engine.list(&all())[0].unique_id;
    w.command(0, |id| ike::Command::Rekey {
        id,
        filter: ike::io::Filter { ike_id: Some(before), ..all() },
        reauth: false,
    });
    w.run();
    w.advance(20_000);
    assert_ne!(w.nodes[0].engine.list(&all())[0].unique_id, before);
    assert_eq!(in_use(&w), (true, true));
    w.assert_agreement();
}

#[test]
fn migration_keeps_what_was_offered() {
    let key = [(CAROL, "of the future")];
    let mut w = World::new(with([(Some(CAROL), true, &key), (Some(CAROL), true, &key)]));
    w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
    w.migrate = true;
    w.initiate(0, "net");
    w.run();
    assert_eq!(in_use(&w), (true, true));
    w.assert_agreement();
}

#[test]
fn a_responder_that_does_not_have_it_takes_the_proof_without() {
    let key = [(CAROL, "of the future")];
    let w = established(with([(Some(CAROL), false, &key), (Some("*@example.org"), false, &DAVE)]));
    assert_eq!(in_use(&w), (false, false));
    assert!(w.has_log(1, "no PPK for 'ppk-carol@example.org' found, ignored because PPK is not required"));
    assert!(w.has_log(1, "no PPK available, using NO_PPK_AUTH notify"));
    assert!(w.has_log(0, "peer didn't use PPK for PPK_ID 'ppk-carol@example.org'"));
    // Nor does one whose ppk_id is another's.
    let w = established(with([(Some(CAROL), false, &key), (Some("*@example.com"), false, &key)]));
    assert_eq!(in_use(&w), (false, false));
}

#[test]
fn a_peer_without_ppk_is_enough_where_none_is_required() {
    let key = [(CAROL, "of the future")];
    let w = established(with([(Some(CAROL), false, &key), (None, false, &[])]));
    assert_eq!(in_use(&w), (false, false));
    assert!(w.has_log(0, "peer does not support PPK, ignored because PPK is not required"));
    let w = established(with([(None, false, &key), (Some(CAROL), false, &key)]));
    assert_eq!(in_use(&w), (false, false));
    // An initiator that announces one and has none.
    let w = established(with([(Some(CAROL), false, &[]), (Some(CAROL), false, &key)]));
    assert_eq!(in_use(&w), (false, false));
    assert!(w.has_log(0, "no PPK for 'ppk-carol@example.org' found, ignored because PPK is not required"));
}

#[test]
fn a_pattern_at_the_initiator_stands_for_the_ppk_it_fits() {
    let keys = [("ppk-dave@example.com", "another"), (CAROL, "of the future")];
    let w = established(with([(Some("*@example.org"), true, &keys), (Some("*@example.org"), true, &keys)]));
    assert_eq!(in_use(&w), (true, true));
}

#[test]
fn a_wrong_ppk_is_refused() {
    let (one, other) = ([(CAROL, "of the future")], [(CAROL, "of the past")]);
    for required in [true, false] {
        // Even where the proof without PPK would have been good: both have one, so they must agree.
        let w = refused([(Some(CAROL), required, &one), (Some(CAROL), required, &other)]);
        assert!(w.has_log(1, "but MAC mismatched"));
        assert!(w.has_log(0, "received AUTHENTICATION_FAILED notify error"));
    }
}

#[test]
fn without_a_required_ppk_nothing_goes() {
    let key: &[(&str, &str)] = &[(CAROL, "of the future")];
    let (must, may, none): (Side<'_>, Side<'_>, Side<'_>) =
        ((Some(CAROL), true, key), (Some(CAROL), false, key), (None, false, &[]));
    for (sides, n, text) in [
        ([must, none], 0, "PPK required but peer does not support PPK"),
        ([none, must], 1, "PPK required but peer does not support PPK"),
        ([(Some(CAROL), false, &[] as &[_]), must], 1, "PPK required but peer sent no PPK_IDENTITY notify"),
        ([(Some(CAROL), true, &[]), may], 0, "PPK required but no PPK found for 'ppk-carol@example.org'"),
        ([may, (Some(CAROL), true, &[])], 1, "PPK required but no PPK found for 'ppk-carol@example.org'"),
        // The initiator sends no proof without PPK, so the responder has none to take.
        ([must, (Some(CAROL), false, &DAVE)], 1, "no PPK available and no NO_PPK_AUTH notify received"),
        ([(None, true, key), may], 0, "PPK required but no ppk_id configured"),
    ] {
        let w = refused(sides);
        if !w.has_log(n, text) {
            w.dump();
            panic!("{text}");
        }
    }
}

#[test]
fn identities_of_ppks_need_no_type() {
    for id in ["@#00ff", "192.0.2.77", "C=CH, CN=ppk"] {
        assert!(Identity::parse(id).is_ok());
        let key = [(id, "of the future")];
        let w = established(with([(Some(id), true, &key), (Some(id), true, &key)]));
        assert_eq!(in_use(&w), (true, true), "{id}");
    }
}

#[test]
fn a_gateway_without_ppk_id_takes_any_that_it_has() {
    let key = [(CAROL, "of the future")];
    for required in [false, true] {
        let w = established(with([(Some(CAROL), true, &key), (None, required, &key)]));
        assert_eq!(in_use(&w), (true, true));
    }
}
