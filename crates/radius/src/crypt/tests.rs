use super::*;
use data_encoding::HEXLOWER_PERMISSIVE as HEX;
use proptest::prelude::*;
use wire::iana::RadiusCode;

fn hex(text: &str) -> Vec<u8> {
    let text: String = text.split_whitespace().collect();
    HEX.decode(text.as_bytes()).unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

/// RFC 2865 7.1: User-Password "arctangent" under the secret "xyzzy5461", and the Access-Accept to it.
#[test]
fn rfc_2865_telnet_user() {
    let request = Packet::parse(&hex(
        "01 00 00 38 0f 40 3f 94 73 97 80 57 bd 83 d5 cb 98 f4 22 7a 01 06 6e 65 6d 6f 02 12 0d be 70 8d 93 d4 13 ce
         31 96 e4 3f 78 2a 0a ee 04 06 c0 a8 01 10 05 06 00 00 00 03",
    ))
    .unwrap();
    let hidden = hide_password(b"arctangent", &request.authenticator, &secret("xyzzy5461"));
    assert_eq!(request.first(RadiusType::UserPassword).unwrap().value, hidden);
    let accept = Packet::parse(&hex(
        "02 00 00 26 86 fe 22 0e 76 24 ba 2a 10 05 f6 bf 9b 55 e0 b2 06 06 00 00 00 01 0f 06 00 00 00 00 0e 06 c0 a8
         01 03",
    ))
    .unwrap();
    let verify =
        |reply: &Packet, secret: &Secret, demand| verify_reply(reply, &request.authenticator, secret, demand);
    assert_eq!(verify(&accept, &secret("xyzzy5461"), Demand::RightIfPresent), Ok(()));
    assert_eq!(verify(&accept, &secret("xyzzy5461"), Demand::Present), Err(Forged::Missing));
    assert_eq!(verify(&accept, &secret("xyzzy546"), Demand::RightIfPresent), Err(Forged::Authenticator));
}

/// RFC 2865 7.3: a challenge, the response to it, and its rejection.
#[test]
fn rfc_2865_challenge() {
    let request = hex(
        "01 02 00 39 f3 a4 7a 1f 6a 6d 76 71 0b 94 7a b9 30 41 a0 39 01 07 6d 6f 70 73 79 02 12 33 65 75 73 77 82 89
         b5 70 88 5e 15 08 48 25 c5 04 06 c0 a8 01 10 05 06 00 00 00 07",
    );
    let request = Packet::parse(&request).unwrap();
    let secret = secret("xyzzy5461");
    assert_eq!(
        request.first(RadiusType::UserPassword).unwrap().value,
        hide_password(b"challenge", &request.authenticator, &secret)
    );
    let challenge = Packet::parse(&hex(
        "0b 02 00 4e 36 f3 c8 76 4a e8 c7 11 57 40 3c 0c 71 ff 9c 45 12 30 43 68 61 6c 6c 65 6e 67 65 20 33 32 37 36
         39 34 33 30 2e 20 20 45 6e 74 65 72 20 72 65 73 70 6f 6e 73 65 20 61 74 20 70 72 6f 6d 70 74 2e 18 0a 33 32
         37 36 39 34 33 30",
    ))
    .unwrap();
    assert_eq!(verify_reply(&challenge, &request.authenticator, &secret, Demand::RightIfPresent), Ok(()));
    let again = hex(
        "01 03 00 43 b1 22 55 6d 42 8a 13 d0 d6 25 38 07 c4 57 ec f0 01 07 6d 6f 70 73 79 02 12 69 2c 1f 20 5f c0 81
         b9 19 b9 51 95 f5 61 a5 81 04 06 c0 a8 01 10 05 06 00 00 00 07 18 10 33 32 37 36 39 34 33 30",
    );
    // The RFC counts 16 for a State of ten: what lies about its length is refused.
    assert!(Packet::parse(&again).is_err());
    let mut corrected = again;
    corrected[58] = 10;
    let again = Packet::parse(&corrected).unwrap();
    assert_eq!(
        again.first(RadiusType::UserPassword).unwrap().value,
        hide_password(b"99101462", &again.authenticator, &secret)
    );
    assert_eq!(
        again.first(RadiusType::State).unwrap().value,
        challenge.first(RadiusType::State).unwrap().value
    );
}

/// A packet as FreeRADIUS sends them, over the request that it answers.
#[test]
fn message_authenticator_of_a_request() {
    // RFC 3579 3.2: HMAC-MD5 over the whole packet with sixteen zeros in the attribute's place.
    let secret = secret("gv6URkSs");
    let mut packet = Packet::new(RadiusCode::AccessRequest, 46, [9; 16]);
    packet.push(Attribute::text(RadiusType::UserName, "carol"));
    let bytes = seal_access(packet, &secret).unwrap();
    assert_eq!(bytes[20..22], [80, 18], "Message-Authenticator comes first");
    let mut blank = bytes.clone();
    blank[22..38].fill(0);
    let mac = crypto::prf::compute(Prf::HmacMd5, secret.as_slice(), &[&blank]).unwrap();
    assert_eq!(mac.as_slice(), &bytes[22..38]);
}

#[test]
fn forged_replies() {
    let secret = secret("testing123");
    let request = [5; 16];
    let mut reply = Packet::new(RadiusCode::AccessAccept, 1, [0; 16]);
    reply.push(Attribute::text(RadiusType::Class, "Research"));
    reserve(&mut reply);
    seal_reply(&mut reply, &request, &secret).unwrap();
    let verify = |reply: &Packet| verify_reply(reply, &request, &secret, Demand::Present);
    assert_eq!(verify(&reply), Ok(()));
    assert!(verify_reply(&reply, &[6; 16], &secret, Demand::Present).is_err());
    // Every bit of it counts: code, identifier, authenticators, attributes.
    let bytes = reply.encode().unwrap();
    for at in (0..bytes.len()).filter(|at| !(2..4).contains(at)) {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        if let Ok(bad) = Packet::parse(&bad) {
            assert!(verify(&bad).is_err(), "byte {at}");
        }
    }
    let resealed = |change: &dyn Fn(&mut Packet)| {
        let mut packet = reply.clone();
        change(&mut packet);
        packet.authenticator = request;
        packet.authenticator = digest(&packet, &secret).unwrap();
        packet
    };
    // The response authenticator alone, as Blast-RADIUS forges it, is not enough.
    let without = resealed(&|p| p.attributes.retain(|a| a.kind != RadiusType::MessageAuthenticator));
    assert_eq!(verify(&without), Err(Forged::Missing));
    assert_eq!(verify_reply(&without, &request, &secret, Demand::RightIfPresent), Ok(()));
    let turned = resealed(&|p| p.code = RadiusCode::AccessReject);
    assert_eq!(verify(&turned), Err(Forged::MessageAuthenticator));
    let twice = resealed(&|p| {
        p.push(Attribute::new(RadiusType::MessageAuthenticator, ZERO));
    });
    assert_eq!(verify(&twice), Err(Forged::MessageAuthenticator));
    for length in [0, 15, 17] {
        let odd = resealed(&|p| p.attributes[0].value.resize(length, 0));
        assert_eq!(verify(&odd), Err(Forged::MessageAuthenticator), "{length}");
    }
}

#[test]
fn digest_requests() {
    let secret = secret("daesec");
    let mut packet = Packet::new(RadiusCode::DisconnectRequest, 3, [1; 16]);
    packet.push(Attribute::text(RadiusType::UserName, "carol"));
    let plain = Packet::parse(&seal_digest(packet.clone(), &secret).unwrap()).unwrap();
    assert_eq!(verify_request(&plain, &secret, Demand::RightIfPresent), Ok(()));
    reserve(&mut packet);
    let both = Packet::parse(&seal_digest(packet, &secret).unwrap()).unwrap();
    assert_eq!(verify_request(&both, &secret, Demand::Present), Ok(()));
    let other = Secret::new(b"other".to_vec());
    assert_eq!(verify_request(&both, &other, Demand::RightIfPresent), Err(Forged::Authenticator));
}

/// CVE-2026-35333's class: lengths inside attributes that go beyond them.
#[test]
fn keys_that_lie_about_their_length() {
    let (secret, request) = (secret("s"), [4; 16]);
    let covered = cover_key(&[7; 32], [0x80, 1], &request, &secret);
    assert_eq!(covered.len(), 2 + 48);
    assert_eq!(uncover_key(&covered, &request, &secret).unwrap().as_slice(), [7; 32]);
    for length in [0, 1, 2, 3, 17, 33, 49] {
        assert_eq!(uncover_key(&covered[..length], &request, &secret), None, "{length}");
    }
    // A length in the plain text larger than what follows, and none.
    let mut lies = covered.clone();
    lies[2] ^= 32 ^ 48;
    assert_eq!(uncover_key(&lies, &request, &secret), None);
    lies[2] = covered[2] ^ 32;
    assert_eq!(uncover_key(&lies, &request, &secret), None);
}

proptest! {
    #[test]
    fn keys_come_back(key in proptest::collection::vec(any::<u8>(), 1..=239), salt: [u8; 2], request: [u8; 16]) {
        let secret = secret("another secret");
        let covered = cover_key(&key, salt, &request, &secret);
        let key = Secret::new(key);
        prop_assert_eq!(uncover_key(&covered, &request, &secret), Some(key));
    }

    #[test]
    fn any_bytes_as_a_key(value in proptest::collection::vec(any::<u8>(), 0..260)) {
        if let Some(key) = uncover_key(&value, &[0; 16], &secret("s")) {
            prop_assert!(key.len() < value.len());
        }
    }

    #[test]
    fn sealed_packets_verify(id: u8, request: [u8; 16], name in "[a-z]{1,40}") {
        let secret = secret("s3cret");
        let mut reply = Packet::new(RadiusCode::AccessChallenge, id, [0; 16]);
        reply.push(Attribute::text(RadiusType::UserName, &name));
        reserve(&mut reply);
        seal_reply(&mut reply, &request, &secret).unwrap();
        prop_assert_eq!(verify_reply(&reply, &request, &secret, Demand::Present), Ok(()));
    }
}
