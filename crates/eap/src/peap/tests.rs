use super::*;
use proptest::prelude::*;

#[test]
fn headers_are_left_out_but_of_tlvs() {
    let identity = EapPacket::Request { id: 5, method: EapType::IDENTITY, data: &[] }.encode();
    assert_eq!(strip(&identity), [1]);
    assert_eq!(rebuild(&[1], true, 5), identity);
    let tlv = result(9, true);
    assert_eq!(tlv, [1, 9, 0, 11, 33, 0x80, 3, 0, 2, 0, 1]);
    assert_eq!(strip(&tlv), tlv);
    assert_eq!(rebuild(&tlv, true, 1), tlv);
    assert_eq!(rebuild(&[4, 7, 0, 4], true, 1), [4, 7, 0, 4]);
    // A client's four bytes are never the end of the conversation.
    assert_eq!(rebuild(&[3, 7, 0, 4], false, 1), [2, 1, 0, 8, 3, 7, 0, 4]);
}

#[test]
fn results() {
    assert_eq!(read_result(&write_result(true)), Ok(Some(true)));
    assert_eq!(read_result(&write_result(false)), Ok(Some(false)));
    assert_eq!(read_result(&[]), Ok(None));
    let both = [write_result(true), write_result(false)].concat();
    assert_eq!(read_result(&both), Ok(Some(false)));
    assert!(read_result(&[0x80, 3, 0, 1, 1]).is_err());
    assert!(read_result(&[0x80, 3, 0, 9, 0, 1]).is_err());
    assert!(read_result(&[0x80, 99, 0, 0]).is_err());
    assert_eq!(read_result(&[0, 99, 0, 0]), Ok(None));
}

proptest! {
    #[test]
    fn total(plain in prop::collection::vec(any::<u8>(), 0..40), request in any::<bool>()) {
        let _ = read_result(&plain);
        let _ = EapPacket::parse(&rebuild(&plain, request, 1));
    }
}

mod malicious {
    use super::*;
    use crate::carrier::Came;
    use crate::config::{Limits, PeerConfig, SecretKind, Secrets, ServerConfig, Tunnels};
    use crate::fragment;
    use crate::step::printable;
    use crate::tls::{Credentials, Judge, Judgement, Role, Tls, Version};
    use crypto::sign::PrivateKey;
    use crypto::{Rng, Secret};
    use std::sync::Arc;

    struct Carol;

    impl Secrets for Carol {
        fn secret(&self, _: &[u8], kind: SecretKind) -> Option<Secret> {
            (kind == SecretKind::Password).then(|| Secret::from(b"secret"))
        }
    }

    fn key() -> PrivateKey {
        PrivateKey::from_pkcs8(include_bytes!("../../tests/data/p256.p8")).unwrap()
    }

    struct Trusting;

    impl Judge for Trusting {
        fn judge(&self, _: &[&[u8]], _: Role, _: &[u8]) -> Judgement {
            Judgement { verdict: Ok(key().public().clone()), log: Vec::new() }
        }
    }

    /// A server with a good certificate that says inside what it likes, and a peer that hears it. Gives the peer's state
    /// after each of the messages.
    fn after(method: Method, version: Version, says: &[&[u8]]) -> Vec<String> {
        let credentials = Credentials { chain: vec![vec![1; 100]], signer: Arc::new(key()) };
        let tls = Tls::new(version, version, &[], Arc::new(Trusting)).unwrap().with_credentials(credentials);
        let tls = Some(Arc::new(tls));
        let config = PeerConfig {
            methods: vec![method],
            inner_methods: vec![Method::Mschapv2, Method::Md5],
            ttls_pap: false,
            identity: b"carol".to_vec(),
            anonymous: None,
            server: b"moon".to_vec(),
            secrets: Arc::new(Carol),
            tls: tls.clone(),
            tunnels: Tunnels::default(),
            limits: Limits::default(),
        };
        let served = ServerConfig {
            methods: vec![method],
            prefer_user: false,
            identity: Identity::Unasked,
            peer: b"carol".to_vec(),
            name: b"moon".to_vec(),
            secrets: Arc::new(Carol),
            tls,
            tunnels: Tunnels::default(),
            limits: Limits::default(),
        };
        let (mut rng, mut log) = (Rng::from_seed([1; 32]), Vec::new());
        let mut peer = crate::method::join(method, &config).unwrap();
        let mut server = Carrier::server(method, &served, b"carol", false).unwrap();
        let mut answer = |data: &[u8]| {
            let mut log = Vec::new();
            peer.step(data, &mut PeerContext { config: &config, rng: &mut rng, log: &mut log, id: 9 })
        };
        let mut request = fragment::start();
        let mut states = Vec::new();
        let mut says = says.iter();
        for _ in 0..20 {
            let reply = match answer(&request) {
                Ok(reply) => reply,
                Err(why) => {
                    states.push(format!("failed: {}", why.reason));
                    return states;
                }
            };
            if server.session.is_up() {
                states.push(match reply.state {
                    Progress::Running => "running".to_owned(),
                    Progress::Done(_) => "done".to_owned(),
                    Progress::Doomed(why) => format!("doomed: {}", printable(why.reason.as_bytes())),
                });
            }
            match server.receive(&reply.data, &mut log).unwrap() {
                Came::Send(data) => request = data,
                Came::Broken(why, _) => panic!("{why:?}"),
                Came::Message { .. } => {
                    if server.session.is_up() {
                        let Some(plain) = says.next() else { return states };
                        server.session.write(plain).unwrap();
                    }
                    request = server.flush().unwrap_or_else(|| server.nothing());
                }
            }
        }
        panic!("it does not end");
    }

    const MD5: &[u8] = &[4, 4, 1, 2, 3, 4];

    #[test]
    fn a_result_counts_only_after_the_inner_method() {
        for version in [Version::V12, Version::V13] {
            let success = result(9, true);
            // The right way: a method, then the result.
            assert_eq!(after(Method::Peap, version, &[MD5, &success]), ["running", "done"]);
            for early in [vec![&success[..]], vec![&[1][..], &success]] {
                let states = after(Method::Peap, version, &early);
                assert_eq!(states.last().unwrap(), "doomed: EAP_PEAP ended with a failure", "{states:?}");
            }
            // An EAP-Success inside says as little.
            let states = after(Method::Peap, version, &[&[3, 9, 0, 4]]);
            assert_eq!(states, ["failed: EAP-Success without any method"]);
            // A bad result after a good method is a bad result.
            let states = after(Method::Peap, version, &[MD5, &result(9, false)]);
            assert_eq!(states, ["running", "doomed: EAP_PEAP ended with a failure"]);
        }
    }

    #[test]
    fn inside_ttls_nothing_but_the_method_counts() {
        let avp = |packet: &[u8]| {
            let padded = packet.len().next_multiple_of(4);
            let length = u8::try_from(packet.len() + 8).unwrap();
            let mut avp = [&[0, 0, 0, 79, 0x40, 0, 0, length][..], packet].concat();
            avp.resize(8 + padded, 0);
            avp
        };
        for version in [Version::V12, Version::V13] {
            let success = avp(&[3, 1, 0, 4]);
            let states = after(Method::Ttls, version, &[&success]);
            assert!(
                states.last().unwrap().starts_with("failed: EAP-Success without any method"),
                "{states:?}"
            );
            let identity = avp(&[1, 1, 0, 5, 1]);
            let states = after(Method::Ttls, version, &[&identity, &identity]);
            assert!(states.iter().all(|s| s == "running"), "{states:?}");
            // CVE-2026-25075 inside the tunnel.
            let states = after(Method::Ttls, version, &[&[0, 0, 0, 79, 0x40, 0, 0, 7, 1, 2, 3, 4]]);
            assert!(states.last().unwrap().contains("AVP length has an illegal value 7"), "{states:?}");
        }
    }
}
