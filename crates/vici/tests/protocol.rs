//! Vectors, round trips and hostile input for messages, packets and frames; the client against a scripted server.
#![allow(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]
use config::tree::{Node, Section, Value};
use proptest::prelude::*;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use vici::message::{self, MAX_DEPTH};
use vici::{Client, ClientError, Frames, Message, MessageError, Packet, PacketError};

/// Spans do not travel; compare without them.
fn bare(section: &Section) -> Section {
    let mut out = Section::default();
    for (name, node) in &section.entries {
        let bare_value = |v: &Value| Value { bytes: v.bytes.clone(), ..Value::default() };
        let node = match node {
            Node::Value(v) => Node::Value(bare_value(v)),
            Node::List(items) => Node::List(items.iter().map(bare_value).collect()),
            Node::Section(s) => Node::Section(bare(s)),
        };
        out.entries.insert(name.clone(), node);
    }
    out
}

fn sample() -> Section {
    // The example of the protocol's own documentation, which every client library uses as a test.
    let mut sub = Section::default();
    sub.put("key2", "value2");
    let mut section1 = Section::default();
    section1.put_section("sub-section", sub).put_list("list1", ["item1", "item2"]);
    let mut message = Section::default();
    message.put("key1", "value1").put_section("section1", section1);
    message
}

const SAMPLE: &[u8] =
    b"\x03\x04key1\x00\x06value1\x01\x08section1\x01\x0bsub-section\x03\x04key2\x00\x06value2\x02\
\x04\x05list1\x05\x00\x05item1\x05\x00\x05item2\x06\x02";

#[test]
fn known_bytes_both_ways() {
    assert_eq!(message::encode(&sample()).unwrap(), SAMPLE);
    assert_eq!(bare(&message::decode(SAMPLE).unwrap()), bare(&sample()));
}

#[test]
fn every_truncation_is_an_error_or_a_shorter_message() {
    for end in 0..SAMPLE.len() {
        if let Ok(short) = message::decode(&SAMPLE[..end]) {
            assert!(short.entries.len() < 2, "cut at {end} still gives everything");
        }
    }
}

#[test]
fn misplaced_and_unknown_elements_are_refused() {
    let cases: [(&[u8], MessageError); 9] = [
        (b"\x02", MessageError::Misplaced("section end")),
        (b"\x05\x00\x00", MessageError::Misplaced("list item")),
        (b"\x06", MessageError::Misplaced("list end")),
        (b"\x01\x01a", MessageError::Unclosed),
        (b"\x04\x01a\x05\x00\x01x", MessageError::Unclosed),
        (b"\x04\x01a\x03\x01b\x00\x00\x06", MessageError::Misplaced("an element that is no list item")),
        (b"\x00", MessageError::UnknownElement(0)),
        (b"\x03\x01\xff\x00\x00", MessageError::NameNotText),
        (b"\x03\x01a\x00\x02x", MessageError::Truncated),
    ];
    for (bytes, error) in cases {
        assert_eq!(message::decode(bytes), Err(error), "{bytes:02x?}");
    }
}

#[test]
fn names_are_unique_within_a_section() {
    let twice: [&[u8]; 3] = [
        b"\x03\x01a\x00\x00\x03\x01a\x00\x00",
        b"\x03\x01a\x00\x00\x01\x01a\x02",
        b"\x04\x01a\x06\x03\x01a\x00\x00",
    ];
    for bytes in twice {
        assert_eq!(message::decode(bytes), Err(MessageError::Duplicate("a".into())));
    }
}

#[test]
fn nesting_is_bounded_both_ways() {
    let nested = |depth: usize| {
        let mut section = Section::default();
        for _ in 0..depth {
            let mut outer = Section::default();
            outer.put_section("s", section);
            section = outer;
        }
        section
    };
    let deepest = message::encode(&nested(MAX_DEPTH)).unwrap();
    assert!(message::decode(&deepest).is_ok());
    assert_eq!(message::encode(&nested(MAX_DEPTH + 1)), Err(MessageError::TooDeep));
    let mut deeper = Vec::new();
    for _ in 0..100_000 {
        deeper.extend_from_slice(b"\x01\x00");
    }
    // Same name in different sections is fine; only the depth is refused.
    assert_eq!(message::decode(&deeper), Err(MessageError::TooDeep));
}

#[test]
fn what_does_not_fit_is_not_sent() {
    let mut long_name = Section::default();
    long_name.put(&"n".repeat(256), "x");
    assert_eq!(message::encode(&long_name), Err(MessageError::NameTooLong(256)));
    let mut long_value = Section::default();
    long_value.put("k", "v".repeat(65_536));
    assert_eq!(message::encode(&long_value), Err(MessageError::ValueTooLong("k".into())));
    let mut big = Section::default();
    for i in 0..9 {
        big.put(&i.to_string(), "v".repeat(65_000));
    }
    assert!(matches!(message::encode(&big), Err(MessageError::TooLong(_))));
    let packet = Packet::EventRegister("e".repeat(256));
    assert_eq!(packet.encode(), Err(PacketError::NameTooLong));
}

#[test]
fn packet_types_have_the_protocols_numbers() {
    let message = sample();
    let packets = [
        Packet::CmdRequest { name: "version".into(), message: message.clone() },
        Packet::CmdResponse(message.clone()),
        Packet::CmdUnknown,
        Packet::EventRegister("log".into()),
        Packet::EventUnregister("log".into()),
        Packet::EventConfirm,
        Packet::EventUnknown,
        Packet::Event { name: "log".into(), message },
    ];
    for (number, packet) in packets.into_iter().enumerate() {
        let frame = packet.encode().unwrap();
        assert_eq!(usize::from(frame[4]), number);
        assert_eq!(u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize, frame.len() - 4);
        assert_eq!(Packet::decode(&frame[4..]).unwrap().encode().unwrap(), frame);
    }
    assert_eq!(Packet::decode(&[]), Err(PacketError::Truncated));
    assert_eq!(Packet::decode(&[8]), Err(PacketError::UnknownType(8)));
    assert_eq!(Packet::decode(&[3, 3, b'l']), Err(PacketError::Truncated));
    assert_eq!(Packet::decode(&[5, 0]), Err(PacketError::Trailing(5, 1)));
}

#[test]
fn frames_come_out_whole_whatever_the_pieces() {
    let frames: Vec<Vec<u8>> = (0..4)
        .map(|n| {
            let mut message = Section::default();
            message.put("n", "x".repeat(n * 100));
            Packet::CmdResponse(message).encode().unwrap()
        })
        .collect();
    let stream = frames.concat();
    for piece in [1, 2, 3, 7, 64, stream.len()] {
        let mut splitter = Frames::new();
        let mut out = Vec::new();
        for chunk in stream.chunks(piece) {
            splitter.push(chunk);
            while let Some(body) = splitter.next_body().unwrap() {
                out.push(body);
            }
        }
        assert_eq!(out.len(), frames.len());
        assert!(out.iter().zip(&frames).all(|(body, frame)| body[..] == frame[4..]));
        assert_eq!(splitter.pending(), 0);
    }
}

#[test]
fn an_announced_giant_is_refused_before_it_arrives() {
    let mut splitter = Frames::new();
    splitter.push(&(512 * 1024 + 1_u32).to_be_bytes());
    assert!(splitter.next_body().is_err());
    splitter.push(b"more");
    assert!(splitter.next_body().is_err());
}

fn value() -> impl Strategy<Value = Value> {
    proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value { bytes, ..Value::default() })
}

fn tree() -> impl Strategy<Value = Section> {
    let leaf = prop_oneof![
        value().prop_map(Node::Value),
        proptest::collection::vec(value(), 0..4).prop_map(Node::List),
    ];
    let node = leaf.prop_recursive(5, 60, 6, |inner| {
        proptest::collection::vec(("[a-z0-9*/ .-]{0,12}|[\u{e4}-\u{ff}]{1,5}", inner), 0..6).prop_map(
            |entries| Node::Section(Section { entries: entries.into_iter().collect(), ..Section::default() }),
        )
    });
    proptest::collection::vec(("[a-z_-]{0,20}", node), 0..8)
        .prop_map(|entries| Section { entries: entries.into_iter().collect(), ..Section::default() })
}

proptest! {
    #[test]
    fn trees_survive_the_wire(section in tree()) {
        let bytes = message::encode(&section).unwrap();
        let back = message::decode(&bytes).unwrap();
        prop_assert_eq!(bare(&back), section);
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(section) = message::decode(&bytes) {
            // What was accepted is exactly what we would have sent.
            prop_assert_eq!(message::encode(&section).unwrap(), bytes);
        }
    }

    #[test]
    fn any_elements_are_a_message_or_an_error(
        parts in proptest::collection::vec((0_u8..8, "[ab]{0,1}", proptest::collection::vec(any::<u8>(), 0..3)), 0..40)
    ) {
        let mut bytes = vec![1];
        for (kind, name, value) in parts {
            bytes.push(kind);
            if matches!(kind, 1 | 3 | 4) {
                bytes.push(name.len() as u8);
                bytes.extend_from_slice(name.as_bytes());
            }
            if matches!(kind, 3 | 5) {
                bytes.extend_from_slice(&(value.len() as u16).to_be_bytes());
                bytes.extend_from_slice(&value);
            }
        }
        if let Ok(packet) = Packet::decode(&bytes) {
            prop_assert_eq!(&packet.encode().unwrap()[4..], &bytes[..]);
        }
    }

    #[test]
    fn any_stream_is_frames_or_an_error(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20)) {
        let mut splitter = Frames::new();
        for piece in pieces {
            splitter.push(&piece);
            while let Ok(Some(body)) = splitter.next_body() {
                let _ = Packet::decode(&body);
            }
        }
    }
}

/// Plays a server: for each expected packet, answers with the given ones.
fn scripted(mut stream: UnixStream, script: Vec<(Packet, Vec<Packet>)>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut frames = Frames::new();
        let mut buffer = [0; 4096];
        for (expected, answers) in script {
            let body = loop {
                if let Some(body) = frames.next_body().unwrap() {
                    break body;
                }
                let count = stream.read(&mut buffer).unwrap();
                assert!(count > 0, "client went away before {expected:?}");
                frames.push(&buffer[..count]);
            };
            assert_eq!(body, expected.encode().unwrap()[4..]);
            for answer in answers {
                stream.write_all(&answer.encode().unwrap()).unwrap();
            }
        }
    })
}

fn event(name: &str, n: u32) -> Packet {
    let mut message = Section::default();
    message.put("n", n);
    Packet::Event { name: name.into(), message }
}

fn command(name: &str) -> Packet {
    Packet::CmdRequest { name: name.into(), message: Section::default() }
}

#[test]
fn client_keeps_events_that_arrive_during_a_command() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = scripted(
        theirs,
        vec![
            (Packet::EventRegister("log".into()), vec![Packet::EventConfirm]),
            (command("version"), vec![event("log", 1), Packet::CmdResponse(sample()), event("log", 2)]),
        ],
    );
    let mut client = Client::over_unix(ours, Some(Duration::from_secs(20)));
    client.register("log").unwrap();
    let answer = client.request("version", Section::default()).unwrap();
    assert_eq!(answer.text("key1"), Some("value1"));
    for n in [1_u32, 2] {
        let (name, message) = client.next_event(Some(Duration::from_secs(20))).unwrap().unwrap();
        assert_eq!((name.as_str(), message.number::<u32>("n")), ("log", Some(n)));
    }
    server.join().unwrap();
    assert!(matches!(client.next_event(None), Err(ClientError::Closed)));
}

#[test]
fn client_streams_and_unregisters() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = scripted(
        theirs,
        vec![
            (Packet::EventRegister("list-sa".into()), vec![Packet::EventConfirm]),
            (
                command("list-sas"),
                vec![
                    event("list-sa", 1),
                    event("log", 9),
                    event("list-sa", 2),
                    Packet::CmdResponse(Section::default()),
                ],
            ),
            (Packet::EventUnregister("list-sa".into()), vec![Packet::EventConfirm]),
            (command("nonsense"), vec![Packet::CmdUnknown]),
            (Packet::EventRegister("nonsense".into()), vec![Packet::EventUnknown]),
            (command("version"), vec![Packet::EventConfirm]),
        ],
    );
    let mut client = Client::over_unix(ours, Some(Duration::from_secs(20)));
    let mut seen = Vec::new();
    client
        .request_streamed("list-sas", Section::default(), "list-sa", |m| {
            seen.push(m.number::<u32>("n").unwrap())
        })
        .unwrap();
    assert_eq!(seen, [1, 2]);
    assert!(matches!(client.request("nonsense", Section::default()), Err(ClientError::UnknownCommand(_))));
    assert!(matches!(client.register("nonsense"), Err(ClientError::UnknownEvent(_))));
    assert!(matches!(client.request("version", Section::default()), Err(ClientError::OutOfTurn)));
    server.join().unwrap();
}

#[test]
fn client_does_not_wait_for_ever() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let mut client = Client::over_unix(ours, Some(Duration::from_millis(1)));
    assert!(matches!(client.request("version", Section::default()), Err(ClientError::Timeout)));
    assert!(client.next_event(Some(Duration::from_millis(1))).unwrap().is_none());
}

#[test]
fn addresses_are_unix_or_tcp() {
    assert!(matches!(Client::connect("/run/x", None), Err(ClientError::Uri(_))));
    assert!(matches!(Client::connect("unix:///nonexistent/socket", None), Err(ClientError::Connect { .. })));
}
