//! The methods over TLS: versions, fragments, what is inside.
use crate::harness::{CAROL, End, Fate, SecretKindKey, Users, World};
use eap::tls::{Role, Tls, Version};
use eap::{Identity, Method};
use std::sync::Arc;

const V12: (Version, Version) = (Version::V12, Version::V12);
const V13: (Version, Version) = (Version::V13, Version::V13);
const BOTH: (Version, Version) = (Version::V12, Version::V13);

fn tunnels() -> [Method; 3] {
    [Method::Tls, Method::Ttls, Method::Peap]
}

#[test]
fn every_method_version_inner_method_and_piggyback() {
    for method in tunnels() {
        for (versions, name) in [(V12, "TLS 1.2"), (V13, "TLS 1.3")] {
            for inner in [Method::Md5, Method::Gtc, Method::Mschapv2] {
                for piggyback in [false, true] {
                    let mut world = World::of(method);
                    world.tls(versions, versions, "p256", 600, &[]);
                    for options in [&mut world.server.tunnels.ttls, &mut world.server.tunnels.peap] {
                        options.phase2_method = inner;
                        options.phase2_piggyback = piggyback;
                    }
                    let out = world.run();
                    let (msk, identity) = out.success();
                    assert_eq!(msk.unwrap().len(), 64);
                    assert_eq!(identity.as_deref(), Some(CAROL));
                    assert!(matches!(out.peer, Some(End::Success { mutual: true, .. })));
                    let line = format!("EAP method {method} succeeded, MSK established");
                    let negotiated = format!("negotiated {name} using suite TLS_");
                    out.logged(&[&line, &negotiated], &[&line, &negotiated]);
                    if method.is_tunnel() {
                        let phase2 =
                            format!("{method} phase2 authentication of 'carol' with {inner} successful");
                        let avp = format!(
                            "tunneled EAP-{} AVP [EAP/REQ/{}]",
                            method.number().label(),
                            inner.number().label()
                        );
                        out.logged(
                            &[&phase2, &format!("sending {avp}")],
                            &[
                                &format!("received {avp}"),
                                &format!("server requested {inner} authentication"),
                            ],
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn the_greatest_common_version_and_charons_names_of_suites() {
    for (server, peer, expected) in [
        (BOTH, BOTH, "negotiated TLS 1.3 using suite TLS_AES_256_GCM_SHA384"),
        (BOTH, V12, "negotiated TLS 1.2 using suite TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
        (V12, BOTH, "negotiated TLS 1.2 using suite TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    ] {
        let mut world = World::of(Method::Tls);
        world.tls(server, peer, "rsa", 100, &[]);
        let out = world.run();
        out.success();
        out.logged(&[expected], &[expected]);
    }
    let mut world = World::of(Method::Tls);
    world.tls(V12, V13, "rsa", 100, &[]);
    let (server, peer) = (world.run().failure().0.clone(), world.run().failure().1.clone());
    assert!(server.reason.contains("TLS failed"), "{}", server.reason);
    assert!(peer.reason.contains("protocol version"), "{}", peer.reason);
}

#[test]
fn suites_by_name() {
    let judge = crate::harness::judge_of(&[]);
    let new = |min, max, names: &[&str]| Tls::new(min, max, names, judge.clone()).map(|_| ());
    assert_eq!(new(Version::V12, Version::V13, &[]), Ok(()));
    assert!(new(Version::V13, Version::V12, &[]).is_err());
    assert!(
        new(Version::V12, Version::V12, &["TLS_AES_256_GCM_SHA384"])
            .unwrap_err()
            .contains("TLS_AES_256_GCM_SHA384")
    );
    assert!(new(Version::V12, Version::V13, &["TLS_NULL_WITH_NULL_NULL"]).is_err());
    assert!(Tls::suites().contains(&"TLS_AES_128_GCM_SHA256".to_owned()));
    for suite in [
        "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_AES_128_GCM_SHA256",
    ] {
        let mut world = World::of(Method::Tls);
        world.tls(BOTH, BOTH, "rsa", 100, &[suite, "TLS_UNKNOWN"]);
        world.run().logged(&[suite], &[suite]);
    }
}

#[test]
fn every_kind_of_key() {
    for kind in ["p256", "rsa", "ed25519"] {
        for versions in [V12, V13] {
            let mut world = World::of(Method::Tls);
            world.tls(versions, versions, kind, 100, &[]);
            world.run().success();
        }
    }
}

#[test]
fn fragments_of_any_size_and_a_bad_line() {
    for method in tunnels() {
        for versions in [V12, V13] {
            for (server, peer) in [(100, 1400), (1400, 100), (300, 300), (1024, 1024), (65535, 65535)] {
                let mut world = World::of(method);
                world.tls(versions, versions, "p256", 5000, &[]);
                world.fragment_size(server, peer);
                let out = world.run();
                out.success();
                assert!(out.largest <= server.max(peer));
                for seed in 0..2 {
                    let mut dice = crypto::Rng::from_seed([seed; 32]);
                    let out = world.run_with(seed, |_, _| match dice.below(6) {
                        0 => Fate::Drop,
                        1 => Fate::Duplicate,
                        _ => Fate::Deliver,
                    });
                    out.success();
                }
            }
        }
    }
}

#[test]
fn the_judge_hears_whom_he_judges() {
    for versions in [V12, V13] {
        let mut world = World::of(Method::Tls);
        let (of_carol, of_moon) = world.tls(versions, versions, "p256", 100, &[]);
        world.run().success();
        assert_eq!(*of_carol.asked.lock().unwrap(), [(Role::Client, CAROL.to_vec(), 2)]);
        assert_eq!(*of_moon.asked.lock().unwrap(), [(Role::Server, b"moon.strongswan.org".to_vec(), 2)]);
        // Without EAP-Identity it is the identity in IKE.
        world.server.identity = Identity::Unasked;
        world.run().success();
        assert_eq!(of_carol.asked.lock().unwrap()[1].1, b"192.168.0.100");
    }
}

#[test]
fn a_wrong_password_inside() {
    for method in [Method::Ttls, Method::Peap] {
        for versions in [V12, V13] {
            for inner in [Method::Md5, Method::Gtc, Method::Mschapv2] {
                let mut world = World::of(method);
                world.tls(versions, versions, "p256", 100, &[]);
                world.server.tunnels.ttls.phase2_method = inner;
                world.server.tunnels.peap.phase2_method = inner;
                world.peer.secrets = Users::of(&[("carol", "wrong")]);
                let out = world.run();
                assert!(out.failure().0.reason.contains("wrong"), "{}", out.failure().0.reason);
                out.logged(
                    &[&format!("EAP method {method} failed for peer 192.168.0.100")],
                    &["received EAP_FAILURE, EAP authentication failed"],
                );
            }
        }
    }
}

#[test]
fn the_inner_identity_is_the_one_reported() {
    for method in [Method::Ttls, Method::Peap] {
        for versions in [V12, V13] {
            let mut world = World::of(method);
            world.tls(versions, versions, "p256", 100, &[]);
            world.peer.anonymous = Some(b"anonymous@strongswan.org".to_vec());
            let out = world.run();
            assert_eq!(out.success().1.as_deref(), Some(CAROL));
            out.logged(
                &["received EAP identity 'anonymous@strongswan.org'"],
                &["sending 'anonymous@strongswan.org'"],
            );
        }
    }
}

#[test]
fn pap_inside_ttls() {
    for versions in [V12, V13] {
        let mut world = World::of(Method::Ttls);
        world.tls(versions, versions, "p256", 100, &[]);
        world.peer.ttls_pap = true;
        let out = world.run();
        assert_eq!(out.success().1.as_deref(), Some(CAROL));
        out.logged(&["EAP_TTLS phase2 authentication of 'carol' with PAP successful"], &[]);
        world.peer.secrets = Users::of(&[("carol", "Ar3etTnp01qlpOg")]);
        assert!(world.run().failure().0.reason.contains("wrong PAP password"));
        world.server.tunnels.ttls.phase2_legacy = false;
        assert!(world.run().failure().0.reason.contains("no EAP message"));
        // A server that only has the NT hash cannot do PAP, and says so.
        let mut users = Users::default();
        users.0.insert(CAROL.to_vec(), (SecretKindKey::NtHash, vec![0; 16]));
        world.server.secrets = Arc::new(users);
        world.server.tunnels.ttls.phase2_legacy = true;
        assert!(world.run().failure().0.reason.contains("no EAP password"));
    }
}

#[test]
fn a_client_certificate_for_the_tunnel_too() {
    for method in [Method::Ttls, Method::Peap] {
        for versions in [V12, V13] {
            let mut world = World::of(method);
            let (of_carol, _) = world.tls(versions, versions, "p256", 100, &[]);
            world.server.tunnels.ttls.request_peer_auth = true;
            world.server.tunnels.peap.request_peer_auth = true;
            world.run().success();
            assert_eq!(of_carol.asked.lock().unwrap().len(), 1);
            let (_, of_moon) = world.tls(versions, versions, "p256", 100, &[]);
            world.peer.tls = Some(Arc::new(Tls::new(versions.0, versions.1, &[], of_moon).unwrap()));
            let out = world.run();
            assert!(out.failure().0.reason.contains("certificate"), "{}", out.failure().0.reason);
        }
    }
}
