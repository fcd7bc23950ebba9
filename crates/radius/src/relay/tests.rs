use super::*;
use crate::client::Keys;
use proptest::prelude::*;

fn facts() -> Facts {
    Facts {
        user: "carol".into(),
        local: "192.0.2.1:4500".parse().unwrap(),
        remote: "192.0.2.2:4500".parse().unwrap(),
        connection: "rw".into(),
        ike_id: 2,
        session: "1795750080-2".into(),
    }
}

fn conversation(options: RelayOptions) -> Conversation {
    Conversation::new(RelayOptions { station_id_with_port: true, ..options }, facts())
}

fn reply(code: RadiusCode, attributes: Vec<Attribute>, keys: Keys) -> Reply {
    let mut packet = Packet::new(code, 0, [0; 16]);
    packet.attributes = attributes;
    Reply { server: ServerId(1), name: "s1".into(), packet, keys }
}

fn eap(bytes: &[u8]) -> Attribute {
    Attribute::new(RadiusType::EapMessage, bytes)
}

fn challenge() -> Reply {
    let state = Attribute::new(RadiusType::State, [7; 16]);
    reply(RadiusCode::AccessChallenge, vec![eap(&[1, 1, 0, 6, 26, 1]), state], Keys::default())
}

/// The attributes that Debian's strongSwan 5.9.8 was seen to send, in its order but for State.
#[test]
fn the_first_request() {
    let request = conversation(RelayOptions::default()).start();
    let expected = vec![
        Attribute::text(RadiusType::UserName, "carol"),
        Attribute::number(RadiusType::NasPortType, 5),
        Attribute::number(RadiusType::ServiceType, 2),
        Attribute::number(RadiusType::NasPort, 2),
        Attribute::text(RadiusType::NasPortId, "rw"),
        Attribute::new(RadiusType::NasIpAddress, [192, 0, 2, 1]),
        Attribute::text(RadiusType::CalledStationId, "192.0.2.1[4500]"),
        Attribute::text(RadiusType::CallingStationId, "192.0.2.2[4500]"),
        Attribute::text(RadiusType::AcctSessionId, "1795750080-2"),
        eap(b"\x02\x00\x00\x0a\x01carol"),
    ];
    assert_eq!(request.attributes, expected);
    assert_eq!((request.server, request.movable), (None, true));
}

#[test]
fn options() {
    let last = |request: &Request| request.attributes.last().unwrap().value.clone();
    let mut prefixed = conversation(RelayOptions { id_prefix: "0".into(), ..RelayOptions::default() });
    assert_eq!(last(&prefixed.start()), b"\x02\x00\x00\x0b\x010carol");
    let mut start = conversation(RelayOptions { eap_start: true, ..RelayOptions::default() });
    assert_eq!(last(&start.start()), b"");
    let mut asked = conversation(RelayOptions::default());
    let request = asked.identity(b"\x02\x05\x00\x0a\x01alice").unwrap();
    assert_eq!(last(&request), b"\x02\x05\x00\x0a\x01alice");
    assert_eq!(request.attributes[0].as_text(), Some("alice"));
    let v6 = Facts { local: "[2001:db8::1]:500".parse().unwrap(), ..facts() };
    let attributes = v6.attributes(false);
    assert_eq!(attributes[4].kind, RadiusType::NasIpv6Address);
    assert_eq!(attributes[5].as_text(), Some("2001:db8::1"));
    assert_eq!(attributes[6].as_text(), Some("192.0.2.2"));
}

#[test]
fn the_rest_goes_to_who_has_the_state() {
    let mut conversation = conversation(RelayOptions::default());
    conversation.start();
    let Step::Send(packet) = conversation.reply(&challenge()) else { panic!("no challenge") };
    assert_eq!(packet, [1, 1, 0, 6, 26, 1]);
    let request = conversation.packet(&[2, 1, 0, 6, 26, 2]).unwrap();
    assert_eq!((request.server, request.movable), (Some(ServerId(1)), false));
    assert!(request.attributes.contains(&Attribute::new(RadiusType::State, [7; 16])));
    for wrong in [&[1, 1, 0, 6, 26, 2][..], &[2, 1, 0, 7, 26, 2], &[2, 1, 0, 4], &[]] {
        assert_eq!(conversation.packet(wrong).unwrap_err(), Refusal::NoResponse);
    }
}

fn keys(recv: usize, send: usize) -> Keys {
    let key = |len: usize, byte: u8| (len > 0).then(|| Secret::new(vec![byte; len]));
    Keys { recv: key(recv, 1), send: key(send, 2) }
}

#[test]
fn accepted() {
    let attributes = || {
        vec![
            Attribute::text(RadiusType::Class, "Research"),
            Attribute::new(RadiusType::Class, [0xff, 0, 1]),
            Attribute::text(RadiusType::FilterId, "filter"),
            Attribute::new(RadiusType::TunnelType, [0, 0, 0, 9]),
            Attribute::number(RadiusType::SessionTimeout, 3600),
            Attribute::number(RadiusType::AcctInterimInterval, 61),
            Attribute::new(RadiusType::FramedIpAddress, [10, 3, 0, 7]),
            Attribute::new(RadiusType::FramedIpAddress, [255, 255, 255, 254]),
            Attribute::new(RadiusType::DelegatedIpv6Prefix, [0, 56, 0xfd, 2, 0, 0, 0, 0, 1]),
            Attribute::new(RadiusType::FramedIpv6Prefix, [0, 64, 0xfd, 1]),
            Attribute::new(RadiusType::FramedIpv6Prefix, [0, 200, 0xfd, 1]),
            Attribute::text(RadiusType::FramedPool, "staff"),
            Attribute::text(RadiusType::FramedIpv6Pool, "staff6"),
            Attribute::text(RadiusType::FramedPool, "staff"),
            eap(&[3, 1, 0, 4]),
        ]
    };
    let run = |options: RelayOptions, attributes: Vec<Attribute>, keys: Keys| {
        let mut conversation = conversation(options);
        conversation.start();
        conversation.reply(&challenge());
        match conversation.reply(&reply(RadiusCode::AccessAccept, attributes, keys)) {
            Step::Success(accepted) => Ok(*accepted),
            Step::Failure { why, .. } => Err(why),
            Step::Send(_) => panic!("goes on"),
        }
    };
    let all = RelayOptions { class_group: true, filter_id: true, ..RelayOptions::default() };
    let accepted = run(all.clone(), attributes(), keys(32, 32)).unwrap();
    assert_eq!(accepted.groups, ["Research", "filter"]);
    assert_eq!((accepted.session_timeout, accepted.interim), (Some(3600), Some(61)));
    assert_eq!(accepted.class.len(), 2);
    assert_eq!(accepted.framed.addresses, ["10.3.0.7".parse::<std::net::IpAddr>().unwrap()]);
    let prefixes: Vec<String> = accepted.framed.prefixes.iter().map(ToString::to_string).collect();
    assert_eq!(prefixes, ["fd01::/64", "fd02:0:0:100::/56"]);
    assert_eq!(accepted.framed.pools, ["staff", "staff6"]);
    assert!(!accepted.framed.client_chooses);
    let choose = vec![Attribute::new(RadiusType::FramedIpAddress, [255; 4]), eap(&[3, 1, 0, 4])];
    let framed = run(RelayOptions::default(), choose, keys(0, 0)).unwrap().framed;
    assert!(framed.client_chooses && framed.addresses.is_empty());
    assert_eq!(accepted.msk.unwrap().as_slice(), [[1; 32], [2; 32]].concat());
    assert!(accepted.mutual);
    // MSCHAPv2's keys are half as long.
    let accepted = run(RelayOptions::default(), attributes(), keys(16, 16)).unwrap();
    assert_eq!(accepted.msk.unwrap().as_slice(), [&[1; 16][..], &[2; 16], &[0; 32]].concat());
    assert!(accepted.groups.is_empty());
    // Filter-Id counts only where the tunnel is said to be ESP.
    let mut other = attributes();
    other.retain(|attribute| attribute.kind != RadiusType::TunnelType);
    assert_eq!(run(all, other, keys(0, 0)).unwrap().groups, ["Research"]);
    // No EAP-Message: the packet type decides. A failure in it: it does not.
    let none = run(RelayOptions::default(), vec![], keys(0, 0)).unwrap();
    assert_eq!((none.packet, none.msk, none.mutual), (vec![3, 1, 0, 4], None, false));
    for wrong in [&[4, 1, 0, 4][..], &[3, 1, 0, 5, 0], &[1, 1, 0, 5, 4], &[]] {
        assert!(run(RelayOptions::default(), vec![eap(wrong)], keys(0, 0)).is_err());
    }
    assert!(run(RelayOptions::default(), attributes(), keys(32, 0)).is_err());
}

/// CVE-2021-45079's class, seen from the gateway: no success before a method.
#[test]
fn accepted_too_early() {
    let mut early = conversation(RelayOptions::default());
    early.start();
    let accept = reply(RadiusCode::AccessAccept, vec![eap(&[3, 0, 0, 4])], keys(32, 32));
    assert!(matches!(early.reply(&accept), Step::Failure { why: Refusal::Nonsense(_), .. }));
    // An identity request is no method.
    let mut early = conversation(RelayOptions { eap_start: true, ..RelayOptions::default() });
    early.start();
    let identity = reply(RadiusCode::AccessChallenge, vec![eap(&[1, 1, 0, 5, 1])], Keys::default());
    assert!(matches!(early.reply(&identity), Step::Send(_)));
    assert!(matches!(early.reply(&accept), Step::Failure { .. }));
}

#[test]
fn rejected() {
    let mut conversation = conversation(RelayOptions::default());
    conversation.start();
    conversation.reply(&challenge());
    let text = Attribute::text(RadiusType::ReplyMessage, "No\r\n<13>forged line");
    let reject = reply(RadiusCode::AccessReject, vec![text, eap(&[4, 9, 0, 4])], Keys::default());
    let Step::Failure { packet, why } = conversation.reply(&reject) else { panic!("not rejected") };
    assert_eq!(packet, [4, 9, 0, 4]);
    assert_eq!(why.to_string(), "the RADIUS server rejected the peer: No<13>forged line");
    let bare = reply(RadiusCode::AccessReject, vec![], Keys::default());
    let Step::Failure { packet, .. } = conversation.reply(&bare) else { panic!("not rejected") };
    assert_eq!(packet, [4, 1, 0, 4]);
}

#[test]
fn challenges_end() {
    let mut conversation = conversation(RelayOptions::default());
    conversation.start();
    let mut rounds = 0;
    while matches!(conversation.reply(&challenge()), Step::Send(_)) {
        rounds += 1;
    }
    assert_eq!(rounds, ROUNDS);
    for wrong in [&[][..], &[2, 1, 0, 5, 4], &[1, 1, 0, 9, 4], &[1, 1, 0, 4]] {
        let mut conversation = self::conversation(RelayOptions::default());
        let reply = reply(RadiusCode::AccessChallenge, vec![eap(wrong)], Keys::default());
        assert!(matches!(conversation.reply(&reply), Step::Failure { .. }));
    }
}

#[test]
fn cisco_and_microsoft_attributes() {
    use wire::radius::{Vendor, vendors};
    let vendor = |id, kind, value: &[u8]| Vendor::attribute(id, kind, value).unwrap();
    let attributes = vec![
        vendor(vendors::MICROSOFT, 28, &[10, 0, 0, 1]),
        vendor(vendors::MICROSOFT, 30, &[10, 0, 0, 2]),
        vendor(vendors::ALTIGA, 5, &[10, 0, 0, 3]),
        vendor(vendors::ALTIGA, 5, &[10, 0, 0]),
        vendor(vendors::ALTIGA, 15, b"Hello "),
        vendor(vendors::ALTIGA, 36, b"there"),
        vendor(vendors::ALTIGA, 28, b"example.com"),
        vendor(vendors::ALTIGA, 55, &[0, 0, 0, 1]),
        vendor(vendors::CISCO, 1, b"ip:something"),
    ];
    let reply = reply(RadiusCode::AccessAccept, attributes, Keys::default());
    let accepted = Accepted::read(&reply, &RelayOptions::default(), vec![], None, false);
    let ip = |text: &str| text.parse::<std::net::IpAddr>().unwrap();
    assert_eq!(accepted.framed.dns, [ip("10.0.0.1"), ip("10.0.0.3")]);
    assert_eq!(accepted.framed.nbns, [ip("10.0.0.2")]);
    assert_eq!(accepted.framed.banner.as_deref(), Some("Hello there"));
    assert_eq!(accepted.framed.domain.as_deref(), Some("example.com"));
    assert_eq!(accepted.framed.split_policy, Some(1));
}

proptest! {
    #[test]
    fn any_reply_is_survived(
        codes in proptest::collection::vec(any::<u8>(), 1..6),
        eaps in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 6),
    ) {
        let mut conversation = conversation(RelayOptions { class_group: true, filter_id: true, ..RelayOptions::default() });
        conversation.start();
        for (code, bytes) in codes.iter().zip(&eaps) {
            let attributes = vec![eap(bytes), Attribute::new(RadiusType::Class, bytes.clone())];
            let step = conversation.reply(&reply(RadiusCode::from(code % 16), attributes, Keys::default()));
            if let Step::Failure { packet, .. } = step {
                prop_assert_eq!((packet[0], packet.len()), (4, 4));
            }
        }
    }
}

#[test]
fn what_the_peer_says_for_the_server_goes_into_one_request() {
    let from_peer = vec![wire::radius::parse_name("Reply-Message").unwrap()];
    let mut conversation = conversation(RelayOptions { from_peer, ..RelayOptions::default() });
    let (hello, user) = (vec![18, 4, b'h', b'i'], vec![1, 5, b'e', b'v', b'e']);
    conversation.told(&[hello, user]);
    let request = conversation.start();
    assert_eq!(request.attributes.last(), Some(&Attribute::text(RadiusType::ReplyMessage, "hi")));
    let names = request.attributes.iter().filter(|a| a.kind == RadiusType::UserName);
    assert_eq!(names.count(), 1, "nobody speaks for the gateway");
    assert!(matches!(conversation.reply(&challenge()), Step::Send(_)));
    let next = conversation.packet(&[2, 1, 0, 6, 26, 1]).unwrap();
    assert!(next.attributes.iter().all(|a| a.kind != RadiusType::ReplyMessage), "once");
}
