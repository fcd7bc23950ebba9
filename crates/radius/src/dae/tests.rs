use super::*;
use crate::crypt::{reserve, seal_digest};
use proptest::prelude::*;

fn secret() -> Secret {
    Secret::new(b"daesec".to_vec())
}

fn local() -> SocketAddr {
    "192.0.2.1:3799".parse().unwrap()
}

fn remote() -> SocketAddr {
    "192.0.2.9:40000".parse().unwrap()
}

const WALL: u64 = 1_795_750_080;

fn request(code: RadiusCode, attributes: Vec<Attribute>, protect: bool) -> Vec<u8> {
    let mut packet = Packet::new(code, 9, [0; 16]);
    packet.attributes = attributes;
    if protect {
        reserve(&mut packet);
    }
    seal_digest(packet, &secret()).unwrap()
}

fn user(name: &str) -> Attribute {
    Attribute::text(RadiusType::UserName, name)
}

fn wish(dae: &mut Dae) -> Option<(WishId, Wish)> {
    std::iter::from_fn(|| dae.poll()).find_map(|output| match output {
        DaeOutput::Wish(id, wish) => Some((id, wish)),
        _ => None,
    })
}

/// The replies, verified against the request.
fn replies(dae: &mut Dae, request: &[u8]) -> Vec<(RadiusCode, Option<u32>)> {
    let request = Packet::parse(request).unwrap();
    let mut out = Vec::new();
    while let Some(output) = dae.poll() {
        if let DaeOutput::Send { to, from, datagram } = output {
            assert_eq!((to, from), (remote(), local()));
            let reply = Packet::parse(&datagram).unwrap();
            let demand = match request.first(RadiusType::MessageAuthenticator) {
                Some(_) => Demand::Present,
                None => Demand::RightIfPresent,
            };
            assert_eq!(crypt::verify_reply(&reply, &request.authenticator, &secret(), demand), Ok(()));
            out.push((reply.code, reply.number(RadiusType::ErrorCause)));
        }
    }
    out
}

#[test]
fn disconnect() {
    for protect in [false, true] {
        let mut dae = Dae::new(secret());
        let asked = request(RadiusCode::DisconnectRequest, vec![user("carol")], protect);
        dae.receive(0, WALL, local(), remote(), &asked);
        let (id, wanted) = wish(&mut dae).unwrap();
        assert_eq!(wanted, Wish::Disconnect(Sessions { user: Some("carol".into()), ..Sessions::default() }));
        // Again while it is being done: nothing. Again afterwards: the same answer, and nothing done.
        dae.receive(1, WALL, local(), remote(), &asked);
        assert_eq!(dae.poll(), None);
        dae.answer(2, id, Ok(1));
        assert_eq!(replies(&mut dae, &asked), [(RadiusCode::DisconnectAck, None)]);
        dae.receive(3, WALL, local(), remote(), &asked);
        assert_eq!(replies(&mut dae, &asked), [(RadiusCode::DisconnectAck, None)]);
        dae.receive(KEPT + 3, WALL, local(), remote(), &asked);
        assert!(wish(&mut dae).is_some(), "it is not remembered for ever");
    }
}

#[test]
fn nobody_fits() {
    let mut dae = Dae::new(secret());
    let asked = request(RadiusCode::DisconnectRequest, vec![user("nobody")], false);
    dae.receive(0, WALL, local(), remote(), &asked);
    let (id, _) = wish(&mut dae).unwrap();
    dae.answer(0, id, Ok(0));
    assert_eq!(replies(&mut dae, &asked), [(RadiusCode::DisconnectNak, Some(503))]);
}

#[test]
fn change_of_authorization() {
    let mut dae = Dae::new(secret());
    let timeout = Attribute::number(RadiusType::SessionTimeout, 100);
    let asked = request(RadiusCode::CoaRequest, vec![user("carol"), timeout], true);
    dae.receive(0, WALL, local(), remote(), &asked);
    let (id, wanted) = wish(&mut dae).unwrap();
    assert!(matches!(wanted, Wish::Limit(_, 100)));
    dae.answer(0, id, Ok(2));
    assert_eq!(replies(&mut dae, &asked), [(RadiusCode::CoaAck, None)]);
    let asked = request(RadiusCode::CoaRequest, vec![user("carol")], true);
    dae.receive(0, WALL, local(), remote(), &asked);
    assert_eq!(replies(&mut dae, &asked), [(RadiusCode::CoaNak, Some(402))]);
}

#[test]
fn what_cannot_be_done_is_refused() {
    for (attributes, cause) in [
        (vec![], 402),
        (vec![Attribute::text(RadiusType::NasIdentifier, "x")], 402),
        (vec![user("carol"), Attribute::number(RadiusType::ServiceType, 17)], 405),
        (vec![user("carol"), Attribute::number(RadiusType::EventTimestamp, 1)], 404),
        (vec![Attribute::new(RadiusType::FramedIpAddress, [1, 2, 3])], 407),
        (vec![Attribute::new(RadiusType::UserName, [0xff])], 407),
    ] {
        let mut dae = Dae::new(secret());
        let asked = request(RadiusCode::DisconnectRequest, attributes, false);
        dae.receive(0, WALL, local(), remote(), &asked);
        assert_eq!(replies(&mut dae, &asked), [(RadiusCode::DisconnectNak, Some(cause))]);
    }
}

#[test]
fn forged_requests_get_no_answer() {
    let good = request(RadiusCode::DisconnectRequest, vec![user("carol")], true);
    let silent = |datagram: &[u8]| {
        let mut dae = Dae::new(secret());
        dae.receive(0, WALL, local(), remote(), datagram);
        std::iter::from_fn(|| dae.poll()).all(|output| matches!(output, DaeOutput::Log(..)))
    };
    for at in (0..good.len()).filter(|at| !(2..4).contains(at)) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(silent(&bad), "byte {at}");
    }
    for code in [RadiusCode::AccessRequest, RadiusCode::DisconnectAck, RadiusCode::StatusServer] {
        assert!(silent(&request(code, vec![user("carol")], true)));
    }
    let mut dae = Dae::new(Secret::new(b"other".to_vec()));
    dae.receive(0, WALL, local(), remote(), &good);
    assert!(wish(&mut dae).is_none());
}

#[test]
fn sessions_fit_when_all_does() {
    let candidate = Candidate {
        users: vec!["carol".into(), "carol@cygnet.test".into()],
        session: "17-2".into(),
        addresses: vec!["10.3.0.1/32".parse().unwrap()],
        calling: "192.0.2.2[4500]".into(),
        ike_id: 2,
    };
    let all = Sessions {
        user: Some("carol".into()),
        session: Some("17-2".into()),
        addresses: vec!["10.3.0.1/32".parse().unwrap()],
        calling: Some("192.0.2.2[4500]".into()),
        port: Some(2),
    };
    assert!(all.fits(&candidate));
    assert!(!Sessions { user: Some("dave".into()), ..all.clone() }.fits(&candidate));
    assert!(!Sessions { session: Some("17-3".into()), ..all.clone() }.fits(&candidate));
    assert!(!Sessions { addresses: vec!["10.3.0.2/32".parse().unwrap()], ..all.clone() }.fits(&candidate));
    assert!(!Sessions { calling: Some("192.0.2.3[4500]".into()), ..all.clone() }.fits(&candidate));
    assert!(!Sessions { port: Some(3), ..all }.fits(&candidate));
}

proptest! {
    #[test]
    fn any_bytes(datagram in proptest::collection::vec(any::<u8>(), 0..100)) {
        let mut dae = Dae::new(secret());
        dae.receive(0, WALL, local(), remote(), &datagram);
        prop_assert!(wish(&mut dae).is_none());
    }
}
