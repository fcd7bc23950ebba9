//! The methods, with right and wrong passwords, and how one is agreed upon.
use crate::harness::{CAROL, Outcome, SecretKindKey, Users, World};
use eap::{Identity, Method};
use std::sync::Arc;

fn passwords() -> [Method; 3] {
    [Method::Md5, Method::Gtc, Method::Mschapv2]
}

fn wrong_password(world: &mut World) {
    world.peer.secrets = Users::of(&[("carol", "wrong")]);
}

#[test]
fn a_right_password() {
    for method in passwords() {
        let out = World::of(method).run();
        let (msk, identity) = out.success();
        assert_eq!(identity.as_deref(), Some(CAROL));
        assert_eq!(msk.is_some(), method == Method::Mschapv2);
        let msk_line = if msk.is_some() { "MSK established" } else { "no MSK established" };
        out.logged(
            &[
                "initiating EAP_IDENTITY method (id 0x",
                "received EAP identity 'carol'",
                &format!("initiating {method} method (id 0x"),
                &format!("EAP method {method} succeeded, {msk_line}"),
            ],
            &[
                "server requested EAP_IDENTITY (id 0x",
                "sending 'carol'",
                &format!("server requested {method} authentication (id 0x"),
                &format!("EAP method {method} succeeded, {msk_line}"),
            ],
        );
    }
}

#[test]
fn a_wrong_password_and_an_unknown_user() {
    for method in passwords() {
        let mut world = World::of(method);
        wrong_password(&mut world);
        let out = world.run();
        let (server, peer) = out.failure();
        assert_eq!(server.alert, "peer-auth-failed");
        assert!(server.reason.contains("wrong") && server.reason.contains("'carol'"), "{}", server.reason);
        assert_eq!(peer.alert, "local-auth-failed");
        out.logged(
            &[&format!("EAP method {method} failed for peer 192.168.0.100")],
            &["received EAP_FAILURE, EAP authentication failed"],
        );

        let mut world = World::of(method);
        world.server.secrets = Arc::new(Users::default());
        let unknown = world.run();
        assert!(unknown.failure().0.reason.contains("no EAP password for 'carol'"));
        unknown.logged(&["no EAP key found for hosts 'moon.strongswan.org' - 'carol'"], &[]);
        // Who asks learns nothing about which users there are.
        assert_eq!(unknown.rounds, out.rounds);
        assert_eq!(unknown.failure().1, peer);

        let mut world = World::of(method);
        world.peer.secrets = Arc::new(Users::default());
        let (mut server, mut peer) = world.ends(1);
        let mut out = Outcome::default();
        let _ = (&mut server, &mut peer, &mut out);
        let out = world.run();
        assert!(out.server.is_none());
        assert!(format!("{:?}", out.peer).contains("no EAP password for 'carol'"));
    }
}

#[test]
fn without_asking_the_identity_is_the_one_of_ike() {
    for method in passwords() {
        let mut world = World::of(method);
        world.server.identity = Identity::Unasked;
        world.server.peer = CAROL.to_vec();
        assert_eq!(world.run().success().1.as_deref(), Some(CAROL));
        world.server.identity = Identity::Asked { identity: CAROL.to_vec(), id: 7 };
        world.server.peer = b"10.0.0.1".to_vec();
        assert_eq!(world.run().success().1.as_deref(), Some(CAROL));
    }
}

#[test]
fn mschapv2_with_nt_hashes_and_windows_domains() {
    let mut world = World::of(Method::Mschapv2);
    // MD4 of "Ar3etTnp01qlpOgb" as UTF-16, for one side only.
    let hash = data_encoding::HEXLOWER.decode(b"f7a28e343924d9a06c8183971a7c8373").unwrap();
    let mut users = Users::default();
    users.0.insert(CAROL.to_vec(), (SecretKindKey::NtHash, hash));
    world.server.secrets = Arc::new(users);
    let (msk, _) = world.run().success();
    assert!(msk.is_some());

    let mut world = World::of(Method::Mschapv2);
    world.peer.identity = b"CORP\\carol".to_vec();
    assert_eq!(world.run().success().1.as_deref(), Some(&b"CORP\\carol"[..]));
}

#[test]
fn a_user_cannot_take_another_identity_for_his_own() {
    // dave knows his own password, and says in EAP-Identity that he is carol.
    let mut world = World::of(Method::Mschapv2);
    world.server.identity = Identity::Asked { identity: CAROL.to_vec(), id: 1 };
    world.peer.identity = b"dave".to_vec();
    let out = world.run();
    assert!(out.failure().0.reason.contains("'dave' is not the EAP identity 'carol'"));
}

#[test]
fn the_peer_asks_for_another_method() {
    let mut world = World::of(Method::Md5);
    world.server.methods = vec![Method::Md5, Method::Tls, Method::Gtc, Method::Mschapv2];
    world.peer.methods = vec![Method::Mschapv2, Method::Gtc];
    let out = world.run();
    out.success();
    // Our order.
    out.logged(
        &["received EAP_NAK for EAP_MD5", "EAP method EAP_GTC succeeded"],
        &["requesting EAP_MSCHAPV2, EAP_GTC authentication, sending EAP_NAK"],
    );
    world.server.prefer_user = true;
    world.run().logged(&["EAP method EAP_MSCHAPV2 succeeded"], &[]);

    world.peer.methods = vec![Method::Tls];
    let out = world.run();
    out.success();
    out.logged(
        &["EAP method EAP_TLS succeeded, MSK"],
        &["requesting EAP_TLS authentication, sending EAP_NAK"],
    );

    world.server.methods = vec![Method::Md5, Method::Gtc];
    let out = world.run();
    assert!(out.failure().0.reason.contains("refuses EAP_MD5, and we have none of [EAP_TLS]"));
}

#[test]
fn names() {
    for (name, method) in
        [("md5", Method::Md5), ("mschapv2", Method::Mschapv2), ("13", Method::Tls), ("peap", Method::Peap)]
    {
        assert_eq!(Method::parse(name), Ok(method));
    }
    for name in ["sim", "aka", "fast", "foo", "", "256", "1"] {
        let refused = Method::parse(name).unwrap_err();
        assert!(refused.contains(&format!("eap-{name} is not")), "{refused}");
    }
}
