//! What must hold for every byte string that reaches the RADIUS client, the relay and the listener for wishes.

use crypto::{Rng, Secret};
use radius::client::{Client, ClientSettings, Output, ServerSettings};
use radius::crypt::{reserve, seal_digest, seal_reply, uncover_key};
use radius::dae::{Dae, DaeOutput};
use radius::relay::{Conversation, Facts, RelayOptions, Step};
use wire::iana::{RadiusCode, RadiusType};
use wire::radius::Packet;

/// A packet, and everything that is read out of one.
pub(crate) fn packet(bytes: &[u8]) {
    // Past the check that would stop nearly every mutation: the length.
    let mut fitted = bytes.to_vec();
    if let (Some(field), Ok(length)) = (fitted.get_mut(2..4), u16::try_from(bytes.len())) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    for bytes in [bytes, &fitted] {
        let Ok(packet) = Packet::parse(bytes) else { continue };
        let again = packet.encode().expect("what was parsed can be encoded");
        assert_eq!(bytes.get(..again.len()), Some(again.as_slice()), "nothing is lost");
        for attribute in &packet.attributes {
            let _values = (
                attribute.as_number(),
                attribute.as_text(),
                attribute.as_address(),
                attribute.as_tagged_number(),
                attribute.as_tagged_text(),
            );
            if let Some(key) = uncover_key(&attribute.value, &packet.authenticator, &secret()) {
                assert!(key.len() < attribute.value.len());
            }
        }
        for vendor in [9, 311, 3076] {
            assert!(packet.vendor(vendor).all(|attribute| attribute.value.len() <= 249));
        }
        if let Some(eap) = packet.joined(RadiusType::EapMessage) {
            assert!(eap.len() <= Packet::MAX);
        }
    }
}

fn secret() -> Secret {
    Secret::from(b"gv6URkSs")
}

/// A login and a server that answers it with the script's bytes: as they are, which never counts; and as attributes of
/// replies under the secret, which may.
pub(crate) fn login(script: &[u8]) {
    let server = ServerSettings::new("s", [192, 0, 2, 1].into(), secret());
    let mut client = Client::new(ClientSettings { servers: vec![server] }, Rng::from_seed([1; 32]));
    let facts = Facts {
        user: "carol".into(),
        local: ([192, 0, 2, 2], 4500).into(),
        remote: ([192, 0, 2, 3], 4500).into(),
        connection: "rw".into(),
        ike_id: 1,
        session: "1-1".into(),
    };
    let options = RelayOptions {
        class_group: true,
        filter_id: true,
        station_id_with_port: true,
        ..RelayOptions::default()
    };
    let mut conversation = Conversation::new(options, facts);
    let mut request = conversation.start();
    let mut challenged = false;
    for (round, piece) in script.chunks(64).take(16).enumerate() {
        let now = u64::try_from(round).unwrap_or(0);
        client.send(now, request.clone());
        let sent = std::iter::from_fn(|| client.poll()).find_map(|output| match output {
            Output::Send { socket, datagram } => {
                Some((socket, Packet::parse(&datagram).expect("our own packet")))
            }
            _ => None,
        });
        let (socket, asked) = sent.expect("a request is sent at once");
        let mut raw = piece.to_vec();
        if let Some(byte) = raw.get_mut(1) {
            *byte = asked.id;
        }
        if let (Some(field), Ok(length)) = (raw.get_mut(2..4), u16::try_from(piece.len())) {
            field.copy_from_slice(&length.to_be_bytes());
        }
        client.receive(now, socket, &raw);
        assert!(
            std::iter::from_fn(|| client.poll()).all(|output| !matches!(output, Output::Replied(..))),
            "a reply without the secret"
        );
        // The same bytes as attributes of a reply that the server made.
        let Some((code, attributes)) = piece.split_first() else { return };
        let code = [RadiusCode::AccessAccept, RadiusCode::AccessReject, RadiusCode::AccessChallenge]
            [usize::from(*code) % 3];
        let length = u16::try_from(attributes.len() + Packet::HEADER).expect("a short piece").to_be_bytes();
        let whole = [&[u8::from(code), asked.id], &length[..], &[0; 16], attributes].concat();
        let Ok(mut reply) = Packet::parse(&whole) else { return };
        reserve(&mut reply);
        if seal_reply(&mut reply, &asked.authenticator, &secret()).is_err() {
            return;
        }
        client.receive(now, socket, &reply.encode().expect("a short reply"));
        let reply = std::iter::from_fn(|| client.poll()).find_map(|output| match output {
            Output::Replied(_, reply) => Some(reply),
            _ => None,
        });
        match conversation.reply(&reply.expect("the server's own reply counts")) {
            Step::Send(eap) => {
                assert_eq!((code, eap.first()), (RadiusCode::AccessChallenge, Some(&1)));
                challenged |= eap.get(4).is_some_and(|kind| *kind > 3);
                let response = [2, eap.get(1).copied().unwrap_or(0), 0, 6, 4, 0];
                request = conversation.packet(&response).expect("a response");
            }
            Step::Success(accepted) => {
                assert!(code == RadiusCode::AccessAccept && challenged, "accepted too early");
                assert!(accepted.groups.iter().all(|group| !group.chars().any(char::is_control)));
                return;
            }
            Step::Failure { packet, .. } => {
                assert!(matches!(packet.as_slice(), [4, _, 0, 4]));
                return;
            }
        }
    }
}

/// The listener: bytes as they are do nothing; under the secret they are answered once.
pub(crate) fn dae(bytes: &[u8]) {
    let (local, remote) = (([192, 0, 2, 2], 3799).into(), ([192, 0, 2, 1], 999).into());
    let mut dae = Dae::new(secret());
    dae.receive(0, 0, local, remote, bytes);
    assert!(std::iter::from_fn(|| dae.poll()).all(|output| matches!(output, DaeOutput::Log(..))));
    let Some((code, attributes)) = bytes.split_first() else { return };
    let attributes = attributes.get(..attributes.len().min(1024)).unwrap_or_default();
    let length = u16::try_from(attributes.len() + Packet::HEADER).unwrap_or(u16::MAX).to_be_bytes();
    let whole = [&[40 + 3 * (code % 2), 1], &length[..], &[0; 16], attributes].concat();
    let Some(sealed) = Packet::parse(&whole).ok().and_then(|packet| seal_digest(packet, &secret()).ok())
    else {
        return;
    };
    dae.receive(0, 0, local, remote, &sealed);
    let outputs: Vec<DaeOutput> = std::iter::from_fn(|| dae.poll()).collect();
    // A Message-Authenticator among the script's attributes may be twice there, which is refused without a word.
    let answered = outputs.iter().filter(|output| !matches!(output, DaeOutput::Log(..))).count();
    assert!(answered <= 1);
    let wish = outputs.into_iter().find_map(|output| match output {
        DaeOutput::Wish(id, _) => Some(id),
        _ => None,
    });
    if let Some(id) = wish {
        dae.answer(0, id, Ok(1));
        assert_eq!(
            std::iter::from_fn(|| dae.poll()).filter(|o| matches!(o, DaeOutput::Send { .. })).count(),
            1
        );
    }
}
