//! Authentication by signatures: what is asked of the world, and what comes of its answers.
use crate::harness::*;
use crypto::sign::{Hash, SignScheme};
use ike::io::Event;
use ike::{Answer, Ask};
use policy::{Auth, AuthClass, CertRef, Connection, Identity, Settings, Snapshot};
use std::sync::Arc;
use testkit::credentials::{auth_data, authority};
use wire::iana::{CertEncoding, ExchangeType};

pub fn by(class: &str, name: &str, id: &str) -> Auth {
    let mut a = auth(name, id);
    a.class = AuthClass::parse(class).unwrap();
    a
}

fn pubkey(c: &mut Connection, local: &str, remote: &str) {
    c.local = vec![by("pubkey", "local", local)];
    c.remote = vec![by("pubkey", "remote", remote)];
}

/// Client and gateway with keys; authorities known to both.
fn with_keys(
    client: impl FnOnce(&mut Connection),
    gateway: impl FnOnce(&mut Connection),
    settings: Settings,
) -> Vec<Arc<Snapshot>> {
    let mut all = road_warrior_with(
        |c| {
            pubkey(c, "carol@example.org", "moon.example.org");
            client(c);
        },
        |c| {
            pubkey(c, "moon.example.org", "*@example.org");
            gateway(c);
        },
        settings,
    );
    for s in &mut all {
        Arc::make_mut(s).authorities = vec![Arc::new(authority("ca")), Arc::new(authority("other ca"))];
    }
    all
}

fn keys() -> Vec<Arc<Snapshot>> {
    with_keys(|_| {}, |_| {}, Settings::default())
}

pub fn alerts(w: &World, n: usize) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let alert = |e: &Event| match e {
        Event::Alert { kind, detail, .. } => Some((*kind, detail.clone())),
        _ => None,
    };
    w.nodes[n].events.iter().filter_map(alert).collect()
}

/// Both tried; nothing is left.
pub fn refused(snapshots: Vec<Arc<Snapshot>>) -> World {
    refused_in(World::new(snapshots))
}

pub fn refused_in(mut w: World) -> World {
    let id = w.initiate(0, "net");
    w.run();
    w.advance(1_000_000);
    assert!(w.result(0, id).unwrap().is_some());
    for n in &w.nodes {
        assert!(n.engine.is_empty() && n.installed.is_empty() && n.leased.is_empty());
        assert_eq!(n.credentials.conversations(), 0);
        assert!(n.engine.next_wake().is_none());
    }
    w
}

#[test]
fn both_sign() {
    let w = established(keys());
    for (n, texts) in [
        (
            0,
            &[
                "N(NATD_S_IP) N(NATD_D_IP) CERTREQ N(FRAG_SUP) N(HASH_ALG) N(CHDLESS_SUP) N(MULT_AUTH) ]",
                "received cert request for \"CN=ca\"",
                "sending cert request for \"CN=other ca\"",
                "sending end entity cert \"carol@example.org\"",
                "authentication of 'carol@example.org' (myself) with ED25519",
                "generating IKE_AUTH request 1 [ IDi CERT N(INIT_CONTACT) CERTREQ IDr AUTH CPRQ(ADDR ADDR6 DNS DNS6 DOMAIN)",
                "parsed IKE_AUTH response 1 [ IDr CERT AUTH CPRP(ADDR ADDR6 DNS)",
                "authentication of 'moon.example.org' with ED25519 successful",
            ][..],
        ),
        (
            1,
            &[
                "sending cert request for \"CN=ca\"",
                "received cert request for \"CN=other ca\"",
                "judged 'carol@example.org'",
                "authentication of 'carol@example.org' with ED25519 successful",
                "authentication of 'moon.example.org' (myself) with ED25519",
            ][..],
        ),
    ] {
        for text in texts {
            if !w.has_log(n, text) {
                w.dump();
                panic!("{n}: {text}");
            }
        }
    }
}

#[test]
fn everything_else_goes_on_as_with_secrets() {
    let mut w = established(keys());
    let id = w.nodes[0].engine.list(&all())[0].unique_id;
    for reauth in [false, true] {
        w.command(0, |id| ike::Command::Rekey { id, filter: all(), reauth });
        w.run();
        w.advance(20_000);
        let now = w.nodes[0].engine.list(&all());
        assert_eq!(now.len(), 1);
        assert_ne!(now[0].unique_id, id);
        w.assert_agreement();
    }
    w.terminate(0, all());
    w.advance(20_000);
    assert!(w.nodes.iter().all(|n| n.engine.is_empty()));
}

#[test]
fn keys_on_one_side_and_a_secret_on_the_other() {
    let snapshots = with_keys(
        |c| c.local = vec![by("psk", "local", "carol@example.org")],
        |c| c.remote = vec![by("psk", "remote", "*@example.org")],
        Settings::default(),
    );
    let w = established(snapshots);
    assert!(w.has_log(1, "authentication of 'carol@example.org' with pre-shared key successful"));
    assert!(w.has_log(0, "authentication of 'moon.example.org' with ED25519 successful"));
}

#[test]
fn certificates_are_sent_as_configured() {
    for (mode, asks, sent) in
        [("always", false, true), ("ifasked", false, false), ("ifasked", true, true), ("never", true, false)]
    {
        let w = established(with_keys(
            |c| c.send_cert = mode.into(),
            |c| c.send_certreq = asks,
            Settings::default(),
        ));
        assert_eq!(w.has_log(0, "generating IKE_AUTH request 1 [ IDi CERT "), sent, "{mode} {asks}");
        assert_eq!(w.has_log(1, "sending cert request"), asks);
    }
}

#[test]
fn requests_name_the_authorities_of_the_connection() {
    let w = established(with_keys(
        |c| c.remote[0].cacerts = vec![CertRef::Loaded(authority("private ca"))],
        |c| c.remote[0].ca_id = Some(Identity::parse("CN=other ca").unwrap()),
        Settings::default(),
    ));
    assert!(
        w.has_log(0, "sending cert request for \"CN=private ca\"")
            && !w.has_log(0, "sending cert request for \"CN=ca\"")
    );
    assert!(w.has_log(1, "received 1 cert requests for an unknown ca"));
    assert!(
        w.has_log(1, "sending cert request for \"CN=other ca\"")
            && !w.has_log(1, "sending cert request for \"CN=ca\"")
    );
}

/// What the first question of a kind looks like.
fn held(snapshots: Vec<Arc<Snapshot>>, n: usize, hold: fn(&Ask) -> bool) -> (World, Ask) {
    let mut w = World::new(snapshots);
    w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
    w.nodes[n].hold = hold;
    w.initiate(0, "net");
    w.run();
    let ask = w.nodes[n].held.first().expect("asked").1.clone();
    (w, ask)
}

#[test]
fn the_signer_learns_what_the_peer_wants() {
    let sign = |a: &Ask| matches!(a, Ask::Sign(_));
    let settings = Settings { hash_and_url: true, ..Settings::default() };
    let snapshots = with_keys(|c| c.ocsp = "both".into(), |c| c.ocsp = "both".into(), settings);
    let (_, ask) = held(snapshots.clone(), 1, sign);
    let Ask::Sign(request) = ask else { panic!() };
    assert!(request.hash_and_url && request.ocsp && request.send_cert && request.identity);
    assert_eq!(
        request.cas,
        [authority("ca").key_hash, authority("other ca").key_hash]
            .into_iter()
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
    assert_eq!(request.hashes.unwrap().len(), 3);
    assert_eq!(request.octets.len(), 1);
    let w = established(snapshots);
    assert!(
        w.has_log(0, "received empty OCSP cert request") && w.has_log(1, "received empty OCSP cert request")
    );
    assert!(w.has_log(0, "parsed IKE_AUTH response 1 [ IDr CERT CERT AUTH"));

    // Self-signed OCSP signers are named (RFC 4806).
    let mut all = with_keys(|c| c.ocsp = "request".into(), |_| {}, Settings::default());
    Arc::make_mut(&mut all[0]).ocsp_signers = vec![Arc::new(authority("ocsp"))];
    let w = established(all);
    assert!(w.has_log(0, "sending OCSP cert request with self-signed OCSP-signer \"CN=ocsp\""));
    assert!(w.has_log(1, "received OCSP cert request claiming trust for "));

    // A peer that announces nothing gets the older methods.
    let settings = Settings { signature_authentication: false, ..Settings::default() };
    let (_, ask) = held(with_keys(|_| {}, |_| {}, settings), 0, sign);
    let Ask::Sign(request) = ask else { panic!() };
    assert!(request.hashes.is_none() && !request.identity && !request.hash_and_url && !request.ocsp);
}

/// RFC 9593: each end tells what it accepts, if its settings say so; the other's signer learns it.
#[test]
fn announced_methods_reach_the_signer() {
    let sign = |a: &Ask| matches!(a, Ask::Sign(_));
    let pss = SignScheme::RsaPss(Hash::Sha384);
    for announce in [false, true] {
        let settings = Settings { announce_auth_methods: announce, ..Settings::default() };
        let only = |c: &mut Connection, id: &str| c.remote = vec![by("ike:rsa/pss-sha384", "remote", id)];
        for n in [0, 1] {
            let snapshots =
                with_keys(|c| only(c, "moon.example.org"), |c| only(c, "*@example.org"), settings.clone());
            let (_, ask) = held(snapshots, n, sign);
            let Ask::Sign(request) = ask else { panic!() };
            assert_eq!(request.announced, if announce { vec![pss] } else { Vec::new() }, "{n}");
        }
    }
    let settings = Settings { announce_auth_methods: true, ..Settings::default() };
    established(with_keys(|_| {}, |_| {}, settings));
}

#[test]
fn while_the_world_thinks_nothing_is_lost_or_done_twice() {
    type Hold = fn(&Ask) -> bool;
    let sign: Hold = |a| matches!(a, Ask::Sign(_));
    let judge: Hold = |a| matches!(a, Ask::Judge(_));
    for (n, hold) in [(0, sign), (0, judge), (1, sign), (1, judge)] {
        let (mut w, _) = held(keys(), n, hold);
        // The initiator repeats itself; that is absorbed.
        w.advance(6_000);
        assert_eq!(w.nodes[n].held.len(), 1);
        w.release(n);
        w.advance(6_000);
        assert_eq!(w.nodes[0].installed.len(), 1, "{n}");
        w.assert_agreement();

        // Taken over by another engine in between: it asks again.
        let (mut w, _) = held(keys(), n, hold);
        w.handover(n);
        assert_eq!(w.nodes[n].held.len(), 1);
        w.release(n);
        w.advance(6_000);
        w.assert_agreement();
        assert_eq!(w.nodes[0].installed.len(), 1, "{n}");

        // Answered when all is over: no harm.
        let (mut w, _) = held(keys(), n, hold);
        w.terminate(n, all());
        assert!(w.nodes[n].engine.is_empty());
        w.release(n);
        assert!(w.nodes[n].engine.is_empty());
        w.advance(300_000);
        assert!(w.nodes.iter().all(|n| n.engine.is_empty() && n.installed.is_empty()));

        // Never answered: it does not last.
        let (mut w, _) = held(keys(), n, hold);
        w.advance(400_000);
        assert!(w.nodes.iter().all(|n| n.engine.is_empty()), "{n}");
        w.release(n);
        assert!(w.nodes.iter().all(|n| n.engine.is_empty()));

        // Not to be had.
        let (mut w, ask) = held(keys(), n, hold);
        drop(ask);
        let (ticket, _) = w.nodes[n].held.remove(0);
        let now = w.now;
        w.nodes[n].engine.answer(now, ticket, Answer::Failed("no such key".into()));
        w.run();
        w.advance(300_000);
        assert!(w.nodes.iter().all(|n| n.engine.is_empty()));
        assert!(w.has_log(n, "no such key"));
    }
}

#[test]
fn engines_may_change_at_every_step() {
    let mut w = World::new(keys());
    w.nodes[1].pool = [ip("10.3.0.1"), ip("fec3::1")].into();
    w.migrate = true;
    w.initiate(0, "net");
    w.run();
    assert_eq!(w.nodes[0].installed.len(), 1);
    w.assert_agreement();
}

#[test]
fn what_is_wrong_is_told_to_the_operator_only() {
    for (name, kind, reason) in [
        ("revoked@example.org", "cert-revoked", "certificate was revoked"),
        ("expired@example.org", "cert-expired", "certificate has expired"),
    ] {
        let w =
            refused(with_keys(|c| c.local = vec![by("pubkey", "local", name)], |_| {}, Settings::default()));
        let told = alerts(&w, 1);
        let detail = vec![("certificate", name.to_owned()), ("reason", reason.to_owned())];
        assert!(told.contains(&(kind, detail)), "{told:?}");
        assert!(told.iter().any(|(kind, _)| *kind == "peer-auth-failed"));
        assert!(w.has_log(1, "generating IKE_AUTH response 1 [ N(AUTH_FAILED) ]"));
        assert!(w.has_log(0, "received AUTHENTICATION_FAILED notify error"));
        assert!(!w.has_log(0, reason));
    }
    // The other way round the initiator says goodbye.
    let w = refused(with_keys(
        |c| c.remote = vec![by("pubkey", "remote", "%any")],
        |c| c.local = vec![by("pubkey", "local", "revoked.example.org")],
        Settings::default(),
    ));
    assert!(alerts(&w, 0).iter().any(|(kind, _)| *kind == "cert-revoked"));
    assert!(w.has_log(0, "INFORMATIONAL request 2 [ N(AUTH_FAILED) ]"));
}

#[test]
fn who_has_no_key_does_not_get_far() {
    let name = "unknown@example.org";
    let w = refused(with_keys(|c| c.local = vec![by("pubkey", "local", name)], |_| {}, Settings::default()));
    assert!(w.has_log(0, "no private key found for 'unknown@example.org'"));
    assert!(!w.transcript.iter().any(|d| d.bytes.get(18) == Some(&ExchangeType::IkeAuth.into())));
    assert!(alerts(&w, 0).iter().any(|(kind, _)| *kind == "local-auth-failed"));

    let w = refused(with_keys(
        |c| c.remote = vec![by("pubkey", "remote", "%any")],
        |c| c.local = vec![by("pubkey", "local", "unknown.example.org")],
        Settings::default(),
    ));
    assert!(w.has_log(1, "no private key found for 'unknown.example.org'"));
    assert!(w.has_log(0, "received AUTHENTICATION_FAILED notify error"));
    assert!(alerts(&w, 1).iter().any(|(kind, _)| *kind == "local-auth-failed"));
}

#[test]
fn a_signature_by_another_key_is_none() {
    for impostor in [0, 1] {
        let mut w = World::new(keys());
        w.nodes[impostor].credentials.impostor = true;
        let w = refused_in(w);
        assert!(alerts(&w, 1 - impostor).iter().any(|(kind, _)| *kind == "peer-auth-failed"));
    }
}

/// A judge that trusts whoever signed anything: the engine sees that it was not what had to be signed.
#[test]
fn a_proof_of_something_else_is_none() {
    for n in [0, 1] {
        let (mut w, _) = held(keys(), n, |a| matches!(a, Ask::Judge(_)));
        let (ticket, ask) = w.nodes[n].held.remove(0);
        let Ask::Judge(mut request) = ask else { panic!() };
        request.octets = b"something else".to_vec();
        request.auth = auth_data(&request.peer.to_string(), b"something else");
        let answer = w.nodes[n].reply(Ask::Judge(request));
        let Answer::Judged(judged) = &answer else { panic!() };
        assert!(judged.verdict.is_ok());
        let now = w.now;
        w.nodes[n].engine.answer(now, ticket, answer);
        w.run();
        w.advance(300_000);
        assert!(w.nodes.iter().all(|n| n.engine.is_empty() && n.installed.is_empty()));
        assert!(alerts(&w, n).iter().any(|(kind, _)| *kind == "peer-auth-failed"));
    }
}

/// Several connections fit: the judge chooses, the engine says why.
#[test]
fn the_connection_whose_demands_are_met_is_taken() {
    let snapshots = |name: &str| {
        let mut all = with_keys(|c| c.local = vec![by("pubkey", "local", name)], |_| {}, Settings::default());
        let gateway = Arc::make_mut(&mut all[1]);
        let rw = Connection::clone(&gateway.connections[0]);
        let of = |name: &str, policy: &str, groups: &[&str]| {
            let mut c = Connection { name: name.into(), ..rw.clone() };
            c.remote[0].cert_policy = vec![policy.into()];
            c.remote[0].groups = groups.iter().map(|g| (*g).to_owned()).collect();
            Arc::new(c)
        };
        gateway.connections = vec![
            of("research", "res", &[]),
            of("sales", "sales", &["sales"]),
            of("all", "", &["sales", "staff"]),
        ];
        all
    };
    let name_of = |w: &World| w.nodes[1].engine.list(&all())[0].name.clone();
    let w = established(snapshots("sales-carol@example.org"));
    assert_eq!(name_of(&w), "sales");
    assert!(w.has_log(1, "selected peer config 'research'"));
    assert!(w.has_log(1, "selected peer config 'research' unacceptable: constraint checking failed"));
    assert!(w.has_log(1, "switching to peer config 'sales'"));

    // Judged anew for the next: its demands on certificates are others.
    let w = established(snapshots("staff-carol@example.org"));
    assert_eq!(name_of(&w), "all");
    let w = refused(snapshots("sales@example.org"));
    assert!(w.has_log(1, "constraint check failed: group membership to 'sales' required"));
    assert!(w.has_log(1, "switching to peer config 'all'"));
    assert!(w.has_log(1, "constraint check failed: group membership to 'staff' required, or to 'sales'"));
    assert!(alerts(&w, 1).iter().any(|(_, d)| d.iter().any(|(_, v)| v.contains("group membership"))));
}

#[test]
fn a_method_that_was_not_agreed_on_is_refused() {
    // The gateway wants a key, the client has a secret.
    let w = refused(with_keys(
        |c| c.local = vec![by("psk", "local", "carol@example.org")],
        |_| {},
        Settings::default(),
    ));
    assert!(w.has_log(1, "constraint requires public key, but pre-shared key was used"));
    // The client wants a key, the gateway has a secret.
    let w = refused(with_keys(
        |_| {},
        |c| c.local = vec![by("psk", "local", "moon.example.org")],
        Settings::default(),
    ));
    assert!(w.has_log(0, "constraint requires public key, but pre-shared key was used"));
}

#[test]
fn nobody_need_be_known_if_that_is_allowed() {
    let snapshots = || {
        with_keys(
            |c| c.local = vec![by("null", "local", "")],
            |c| c.remote = vec![by("null", "remote", "")],
            Settings::default(),
        )
    };
    let w = established(snapshots());
    assert!(w.has_log(0, "(myself) with NULL"));
    assert!(w.has_log(0, "authentication of 'moon.example.org' with ED25519 successful"));
    // `any` does not mean nobody.
    let mut all = snapshots();
    let gateway = Arc::make_mut(&mut all[1]);
    let mut rw = Connection::clone(&gateway.connections[0]);
    rw.remote = vec![by("any", "remote", "")];
    gateway.connections = vec![Arc::new(rw)];
    let w = refused(all);
    assert!(w.has_log(1, "constraint requires any, but NULL was used"));
    // Nor may a gateway be nobody where it must not.
    let w = refused(with_keys(
        |_| {},
        |c| c.local = vec![by("null", "local", "moon.example.org")],
        Settings::default(),
    ));
    assert!(w.has_log(0, "constraint requires public key, but NULL was used"));
}

#[test]
fn ocsp_responses_come_along() {
    let (_, ask) = held(with_keys(|c| c.ocsp = "request".into(), |_| {}, Settings::default()), 0, |a| {
        matches!(a, Ask::Judge(_))
    });
    let Ask::Judge(request) = ask else { panic!() };
    let encodings: Vec<_> = request.certs.iter().map(|c| c.encoding).collect();
    assert_eq!(encodings, [CertEncoding::RawPublicKey, CertEncoding::Ocsp]);
    assert_eq!(request.candidates.len(), 1);
    assert_eq!(request.hashes.len(), 3);
}

#[test]
fn it_goes_with_intermediate_exchanges_and_preshared_keys_of_the_future() {
    let ke = |c: &mut Connection| {
        c.proposals = policy::proposal::parse_proposals(
            wire::iana::ProtocolId::Ike,
            "aes128gcm16-prfsha256-x25519-ke1_ecp256",
        )
        .unwrap();
    };
    established(with_keys(ke, ke, Settings::default()));
    let ppk = |id: &str, key: &str| {
        let kind = policy::secrets::SecretKind::Ppk;
        Arc::new(policy::SharedSecret { kind, ..policy::SharedSecret::clone(&psk(&[id], key)) })
    };
    // Both have it, or the gateway has not, and takes the signature without.
    for (id, key, used) in [("ppk", "future", true), ("other", "x", false)] {
        let mut all = with_keys(|c| c.ppk_id = Some("ppk".into()), |_| {}, Settings::default());
        Arc::make_mut(&mut all[0]).secrets.push(ppk("ppk", "future"));
        Arc::make_mut(&mut all[1]).secrets.push(ppk(id, key));
        let w = established(all);
        let ppk = |n: usize| w.nodes[n].engine.list(&crate::harness::all())[0].ppk;
        assert_eq!((ppk(0), ppk(1)), (used, used));
        assert!(w.has_log(0, "N(NO_PPK) N(PPK_ID) ]"));
    }
}

#[test]
fn ocsp_responders_that_are_trusted_are_named() {
    let mut snapshots =
        with_keys(|c| c.ocsp = "request".into(), |c| c.ocsp = "both".into(), Settings::default());
    let signer = Arc::new(authority("ocsp signer"));
    Arc::make_mut(&mut snapshots[0]).ocsp_signers.push(Arc::clone(&signer));
    let w = established(snapshots.clone());
    assert!(w.has_log(0, "sending OCSP cert request with self-signed OCSP-signer \"CN=ocsp signer\""));
    // The gateway does not know it, and sees a hash; it trusts none itself.
    let hash: Vec<String> = signer.key_hash.iter().map(|b| format!("{b:02x}")).collect();
    assert!(w.has_log(1, &format!("received OCSP cert request claiming trust for \"{}\"", hash.join(":"))));
    assert!(
        w.has_log(1, "sending empty OCSP cert request") && w.has_log(0, "received empty OCSP cert request")
    );
    let all: Vec<_> = (0..40).map(|n| Arc::new(authority(&format!("signer {n}")))).collect();
    Arc::make_mut(&mut snapshots[0]).ocsp_signers = all.clone();
    Arc::make_mut(&mut snapshots[1]).ocsp_signers = all;
    let w = established(snapshots);
    assert_eq!(w.nodes[1].log.iter().filter(|l| l.contains("claiming trust for \"CN=signer")).count(), 16);
}
