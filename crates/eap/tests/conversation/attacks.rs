//! What must not happen. Each test fails on the flaw that it names.
use crate::harness::{End, Users, World};
use eap::tls::{Tls, Version};
use eap::{Identity, Method, Peer, Server, Step};
use std::sync::Arc;

const V12: (Version, Version) = (Version::V12, Version::V12);
const V13: (Version, Version) = (Version::V13, Version::V13);

fn packet(step: Step) -> Vec<u8> {
    match step {
        Step::Send { packet, .. } => packet,
        other => panic!("{other:?}"),
    }
}

fn reason(step: Step) -> String {
    match step {
        Step::Failure { why, .. } => why.reason,
        other => panic!("{other:?}"),
    }
}

/// CVE-2021-45079: EAP-Success at every moment before the method is complete, for every method.
#[test]
fn early_success_is_refused() {
    let (_, mut peer) = World::of(Method::Tls).ends(1);
    assert!(reason(peer.step(&[3, 1, 0, 4])).contains("without any method"));
    for method in Method::ALL {
        for versions in [V12, V13] {
            let mut world = World::of(method);
            world.tls(versions, versions, "p256", 600, &[]);
            world.server.identity = Identity::Unasked;
            world.server.peer = b"carol".to_vec();
            // How many requests there are.
            let rounds = world.run().rounds;
            for after in 0..=rounds {
                let (mut server, mut peer) = world.ends(1);
                let mut request = packet(server.start());
                for _ in 0..after {
                    let answer = packet(peer.step(&request));
                    match server.step(&answer) {
                        Step::Send { packet, .. } => request = packet,
                        Step::Success { .. } => break,
                        failed => panic!("{failed:?}"),
                    }
                }
                let early = peer.step(&[3, request[1], 0, 4]);
                match early {
                    Step::Failure { why, .. } => {
                        assert!(why.reason.contains("EAP-Success"), "{}", why.reason);
                        assert!(after < rounds, "{method}: the right success is refused");
                    }
                    // MD5 and GTC have one request; the others must have had all.
                    Step::Success { .. } => {
                        assert_eq!(after, rounds, "{method} {versions:?} after {after} of {rounds}")
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

/// CVE-2023-26463: a certificate that the judge refuses ends it, on either side, with the judge's words.
#[test]
fn refused_certificates() {
    for method in [Method::Tls, Method::Ttls, Method::Peap] {
        for versions in [V12, V13] {
            for (alert, tls) in [
                ("cert-no-issuer", "unknown CA"),
                ("cert-expired", "certificate expired"),
                ("cert-revoked", "certificate revoked"),
                ("cert-policy-violation", "certificate unknown"),
            ] {
                let mut world = World::of(method);
                world.peer.tls = Some(refusing(versions, alert, "rsa"));
                world.server.tls = world_tls(&mut world, versions);
                let out = world.run();
                let (server, peer) = out.failure();
                assert_eq!((peer.alert, peer.certificate.as_str()), (alert, "CN=somebody"));
                assert!(server.reason.contains(tls), "{}", server.reason);
                out.logged(
                    &[&format!("received fatal TLS alert '{tls}'")],
                    &["no TLS public key found for server 'moon.strongswan.org'"],
                );
                // Nothing was said inside.
                assert!(!format!("{:?}", out.peer_log).contains("sending tunneled"));
            }
        }
    }
    for versions in [V12, V13] {
        let mut world = World::of(Method::Tls);
        world.tls(versions, versions, "p256", 100, &[]);
        world.server.tls = Some(refusing(versions, "cert-expired", "p256"));
        let out = world.run();
        let (server, peer) = out.failure();
        assert_eq!(server.alert, "cert-expired");
        assert!(peer.reason.contains("certificate expired"), "{}", peer.reason);
        out.logged(&["no TLS public key found for peer 'carol'"], &[]);
    }
}

/// TLS of an end that trusts nobody.
fn refusing(versions: (Version, Version), alert: &'static str, kind: &str) -> Arc<Tls> {
    let judge = Arc::new(crate::harness::Known { alert: Some(alert), ..Default::default() });
    let own = crate::harness::credentials(kind, 100);
    Arc::new(Tls::new(versions.0, versions.1, &[], judge).unwrap().with_credentials(own))
}

fn world_tls(world: &mut World, versions: (Version, Version)) -> Option<Arc<Tls>> {
    let mut other = World::of(Method::Tls);
    other.tls(versions, versions, "p256", 600, &[]);
    std::mem::swap(&mut other.server.tls, &mut world.server.tls);
    world.server.tls.clone()
}

/// A server with a trusted certificate, but without its private key.
#[test]
fn a_stolen_certificate_is_worth_nothing() {
    for versions in [V12, V13] {
        for method in [Method::Tls, Method::Ttls, Method::Peap] {
            let mut world = World::of(method);
            let (_, of_moon) = world.tls(versions, versions, "rsa", 100, &[]);
            let mut stolen = crate::harness::credentials("rsa", 100);
            assert!(of_moon.chains.contains_key(&stolen.chain[0]));
            stolen.signer = Arc::new(crypto::sign::PrivateKey::from_pkcs8(OTHER_RSA).unwrap());
            let judge = crate::harness::judge_of(&[]);
            world.server.tls = Some(Arc::new(
                Tls::new(versions.0, versions.1, &[], judge).unwrap().with_credentials(stolen),
            ));
            let out = world.run();
            assert!(out.failure().1.reason.contains("BadSignature"), "{}", out.failure().1.reason);
        }
    }
}

const OTHER_RSA: &[u8] = include_bytes!("../data/other-rsa.p8");

/// A client without a certificate does not get past EAP-TLS.
#[test]
fn no_client_certificate() {
    for versions in [V12, V13] {
        let mut world = World::of(Method::Ttls);
        let (_, of_moon) = world.tls(versions, versions, "p256", 100, &[]);
        world.peer.tls = Some(Arc::new(Tls::new(versions.0, versions.1, &[], of_moon).unwrap()));
        world.peer.methods = vec![Method::Tls];
        world.server.methods = vec![Method::Tls];
        let out = world.run();
        assert!(format!("{:?}", out.peer).contains("no certificate and private key for EAP_TLS"));
        assert!(!matches!(out.server, Some(End::Success { .. })));
    }
}

/// A server that ends the tunnel before the inner method is complete.
#[test]
fn success_before_the_inner_method() {
    for method in [Method::Ttls, Method::Peap] {
        for versions in [V12, V13] {
            let mut world = World::of(method);
            world.tls(versions, versions, "p256", 100, &[]);
            world.server.tunnels.ttls.phase2_method = Method::Mschapv2;
            world.server.tunnels.peap.phase2_method = Method::Mschapv2;
            let (mut server, mut peer) = world.ends(1);
            let mut request = packet(server.start());
            loop {
                let step = peer.step(&request);
                let Step::Send { packet: answer, log } = step else { panic!("{step:?}") };
                if log.iter().any(|l| l.text.contains("AVP [EAP/RES/MSCHAPV2]")) {
                    break;
                }
                request = packet(server.step(&answer));
            }
            assert!(reason(peer.step(&[3, request[1], 0, 4])).contains("before"));
        }
    }
}

/// The server must know the password, too: an MSCHAPv2 server without it cannot end in success.
#[test]
fn a_server_without_the_password() {
    let mut world = World::of(Method::Mschapv2);
    world.server.identity = Identity::Unasked;
    let (mut server, mut peer) = world.ends(1);
    let challenge = packet(server.start());
    let answer = packet(peer.step(&challenge));
    let message = b"S=0000000000000000000000000000000000000000 M=OK";
    let ms_length = u16::try_from(4 + message.len()).unwrap().to_be_bytes();
    let forged = |id| {
        let body = [&[26, 3, answer[6], ms_length[0], ms_length[1]][..], message].concat();
        let length = u16::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[1, id, length[0], length[1]][..], &body].concat()
    };
    assert!(reason(peer.step(&forged(challenge[1].wrapping_add(1)))).contains("does not know our"));
    // A success message before the response.
    let (_, mut peer) = world.ends(1);
    assert!(reason(peer.step(&forged(1))).contains("unexpected EAP_MSCHAPV2 request"));
}

/// After a failure was told, a success message does not help any more.
#[test]
fn success_after_failure() {
    let mut world = World::of(Method::Mschapv2);
    world.server.identity = Identity::Unasked;
    world.server.peer = b"carol".to_vec();
    world.server.secrets = Users::of(&[("carol", "other")]);
    let (mut server, mut peer) = world.ends(1);
    let mut request = packet(server.start());
    for _ in 0..2 {
        let answer = packet(peer.step(&request));
        match server.step(&answer) {
            Step::Send { packet, .. } => request = packet,
            Step::Failure { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(reason(peer.step(&[3, request[1], 0, 4])).contains("ERROR_AUTHENTICATION_FAILURE"));
}

/// One method per conversation, on both sides.
#[test]
fn methods_are_not_mixed() {
    let mut world = World::of(Method::Mschapv2);
    world.server.identity = Identity::Unasked;
    world.server.methods = vec![Method::Mschapv2, Method::Md5];
    world.peer.methods = vec![Method::Mschapv2, Method::Md5, Method::Gtc];
    let (mut server, mut peer) = world.ends(1);
    let challenge = packet(server.start());
    let _ = packet(peer.step(&challenge));
    // A server that now asks for the password itself.
    assert!(reason(peer.step(&[1, 77, 0, 5, 6])).contains("EAP_GTC request while EAP_MSCHAPV2 is running"));
    let (mut server, mut peer) = world.ends(1);
    let challenge = packet(server.start());
    let answer = packet(peer.step(&challenge));
    let success = packet(server.step(&answer));
    // A peer that has seen the server's proof and now wants MD5.
    assert!(
        reason(server.step(&[2, success[1], 0, 6, 3, 4])).contains("response while EAP_MSCHAPV2 is running")
    );
}

/// A tunnel's inner method is never a tunnel, and methods that were not allowed are never run inside.
#[test]
fn only_the_allowed_methods_run_inside() {
    for method in [Method::Ttls, Method::Peap] {
        let mut world = World::of(method);
        world.server.tunnels.ttls.phase2_method = Method::Gtc;
        world.server.tunnels.peap.phase2_method = Method::Gtc;
        world.peer.inner_methods = vec![Method::Mschapv2];
        let out = world.run();
        assert!(out.failure().0.reason.contains("refuses EAP_GTC"), "{}", out.failure().0.reason);
        world.server.tunnels.ttls.phase2_method = Method::Tls;
        world.server.tunnels.peap.phase2_method = Method::Tls;
        assert!(format!("{:?}", world.run().server).contains("EAP_TLS is not available inside a tunnel"));
    }
}

/// CVE-2026-35328: a supported_versions extension full of unknown versions, or lying about its length.
#[test]
fn odd_client_hellos_end() {
    let mut world = World::of(Method::Tls);
    world.server.identity = Identity::Unasked;
    let (_, mut peer) = world.ends(1);
    let hello = packet(peer.step(&[1, 1, 0, 6, 13, 0x20]));
    let hello = &hello[10..];
    let at = hello.windows(2).rposition(|w| w == [0, 43]).expect("supported_versions");
    let mut step = 0;
    for byte in 0..=255_u8 {
        for offset in [2, 3, 4, 5, 6, 7] {
            let mut odd = hello.to_vec();
            odd[at + offset] = byte;
            let (mut server, _) = world.ends(1);
            let start = packet(server.start());
            let length = u16::try_from(odd.len() + 6).unwrap().to_be_bytes();
            let body = [&[2, start[1], length[0], length[1], 13, 0][..], &odd].concat();
            let _ = server.step(&body);
            step += 1;
        }
    }
    assert_eq!(step, 6 * 256);
}

/// Any bytes in any place: nothing panics, nothing succeeds.
#[test]
fn broken_packets_end_the_conversation() {
    let mut dice = crypto::Rng::from_seed([9; 32]);
    for method in Method::ALL {
        for _ in 0..60 {
            let world = World::of(method);
            let (mut server, mut peer) = world.ends(1);
            let mut request = packet(server.start());
            let victim = dice.below(8);
            for round in 0.. {
                let Step::Send { packet: mut answer, .. } = peer.step(&request) else { break };
                if round == victim {
                    let at = usize::try_from(dice.below(u64::try_from(answer.len()).unwrap())).unwrap();
                    answer[at] ^= 1 << dice.below(8);
                    if dice.below(2) == 0 {
                        answer.truncate(at);
                    }
                }
                match server.step(&answer) {
                    Step::Send { packet, .. } => request = packet,
                    Step::Success { .. } | Step::Failure { .. } => break,
                }
                assert!(round < 100);
            }
        }
    }
}

/// The types can be handed to another thread, where a judge may take his time.
#[test]
fn ends_can_move() {
    fn movable<T: Send>() {}
    movable::<Server>();
    movable::<Peer>();
}
