use super::*;
use dhcproto::Decodable as _;
use proptest::prelude::*;

fn frame(subject: &Subject, relay: Option<Ipv4Addr>) -> Frame<'_> {
    Frame { subject, xid: 0x1234_5678, secs: 3, relay }
}

fn sent(frame: &Frame<'_>, purpose: Purpose) -> Message {
    let bytes = encode(frame, purpose).unwrap();
    assert!(bytes.len() >= SHORTEST);
    Message::from_bytes(&bytes).unwrap()
}

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 50);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 20);
const RELAY: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);

/// RFC 2131 table 5, row by row.
#[test]
fn requests_have_what_the_table_says() {
    let subject = Subject::of_identity(b"carol").named("carol.cygnet.test").asking(Some(ADDRESS));
    for relay in [None, Some(RELAY)] {
        let frame = frame(&subject, relay);
        for purpose in [
            Purpose::Discover,
            Purpose::Select { address: ADDRESS, server: SERVER },
            Purpose::Prolong { address: ADDRESS },
            Purpose::Decline { address: ADDRESS, server: SERVER },
            Purpose::Release { address: ADDRESS, server: SERVER },
        ] {
            let message = sent(&frame, purpose);
            let has = |code| message.opts().contains(code);
            assert_eq!(message.opcode(), Opcode::BootRequest);
            assert_eq!((message.xid(), message.secs()), (0x1234_5678, 3));
            assert_eq!(message.chaddr(), subject.hardware.0);
            assert_eq!(message.giaddr(), relay.unwrap_or(Ipv4Addr::UNSPECIFIED));
            let release = matches!(purpose, Purpose::Release { .. });
            assert_eq!(message.flags().broadcast(), relay.is_none() && !release);
            let renewing = matches!(purpose, Purpose::Prolong { .. }) && relay.is_some();
            assert_eq!(message.ciaddr() == ADDRESS, release || renewing);
            assert_eq!(has(OptionCode::RequestedIpAddress), !(release || renewing), "{purpose:?}");
            let to_one = !matches!(purpose, Purpose::Discover | Purpose::Prolong { .. });
            assert_eq!(has(OptionCode::ServerIdentifier), to_one);
            let last = release || matches!(purpose, Purpose::Decline { .. });
            assert_eq!(has(OptionCode::ParameterRequestList), !last);
            assert!(has(OptionCode::ClientIdentifier));
        }
    }
}

/// An answer as bytes: fixed part, then these options.
fn answer(options: &[u8]) -> Vec<u8> {
    let subject = Subject::of_identity(b"carol");
    let mut bytes = encode(&frame(&subject, None), Purpose::Discover).unwrap();
    bytes.truncate(240);
    bytes[0] = 2;
    bytes[16..20].copy_from_slice(&ADDRESS.octets());
    bytes.extend_from_slice(options);
    bytes
}

const OFFER: [u8; 9] = [53, 1, 2, 54, 4, 10, 1, 0, 20];

#[test]
fn an_answer_is_read() {
    let rest = [
        &OFFER[..],
        &[51, 4, 0, 0, 0, 120, 58, 4, 0, 0, 0, 60, 59, 4, 0, 0, 0, 105, 1, 4, 255, 255, 0, 0],
        &[6, 8, 10, 1, 0, 20, 10, 1, 0, 21, 44, 4, 10, 1, 0, 30, 15, 12],
        b"cygnet.test\0\xff",
    ];
    let answer = decode(&answer(&rest.concat())).unwrap();
    assert_eq!((answer.kind, answer.address, answer.server), (Kind::Offer, ADDRESS, SERVER));
    assert_eq!((answer.lease, answer.renew, answer.rebind), (Some(120), Some(60), Some(105)));
    assert_eq!(answer.mask, Some(Ipv4Addr::new(255, 255, 0, 0)));
    assert_eq!(answer.dns, [SERVER, Ipv4Addr::new(10, 1, 0, 21)]);
    assert_eq!(answer.wins, [Ipv4Addr::new(10, 1, 0, 30)]);
    assert_eq!(answer.domain.as_deref(), Some("cygnet.test"));
}

#[test]
fn options_may_be_split_overloaded_and_wrong() {
    // A list in two options (RFC 3396), more of it in `file` and `sname` (RFC 2132 9.3).
    let mut bytes = answer(&[&OFFER[..], &[52, 1, 3, 6, 2, 10, 1, 6, 2, 0, 20, 255]].concat());
    bytes[108..115].copy_from_slice(&[6, 4, 10, 1, 0, 21, 255]);
    bytes[44..51].copy_from_slice(&[44, 4, 10, 1, 0, 30, 255]);
    let read = decode(&bytes).unwrap();
    assert_eq!(read.dns, [SERVER, Ipv4Addr::new(10, 1, 0, 21)]);
    assert_eq!(read.wins, [Ipv4Addr::new(10, 1, 0, 30)]);
    // Bad lengths, addresses of no host, masks with holes and odd names spoil nothing but themselves.
    let odd = [
        &OFFER[..],
        &[
            6, 9, 10, 1, 0, 20, 224, 0, 0, 1, 7, 51, 3, 0, 0, 9, 1, 4, 255, 0, 255, 0, 15, 3, b'a', b'\n',
            b'b',
        ],
    ];
    let read = decode(&answer(&odd.concat())).unwrap();
    assert_eq!((read.dns, read.lease, read.mask, read.domain), (vec![SERVER], None, None, None));
}

#[test]
fn what_is_no_answer_is_refused() {
    assert_eq!(decode(&[]), Err(Refused::NoMessage));
    assert_eq!(decode(&answer(&[])), Err(Refused::Lacks("message type")));
    assert_eq!(decode(&answer(&[53, 1, 2])), Err(Refused::Lacks("server identifier")));
    assert_eq!(
        decode(&answer(&[53, 1, 2, 54, 4, 255, 255, 255, 255])),
        Err(Refused::Lacks("server identifier"))
    );
    assert_eq!(decode(&answer(&[53, 1, 1, 54, 4, 10, 1, 0, 20])), Err(Refused::NotForUs));
    let mut request = answer(&OFFER);
    request[0] = 1;
    assert_eq!(decode(&request), Err(Refused::NotForUs));
    let mut long = answer(&OFFER);
    long[2] = 255;
    assert_eq!(decode(&long), Err(Refused::NotForUs));
    let mut cookie = answer(&OFFER);
    cookie[236] = 0;
    assert_eq!(decode(&cookie), Err(Refused::NoMessage));
    assert_eq!(decode(&[answer(&OFFER), vec![0; 2000]].concat()), Err(Refused::NoMessage));
}

#[test]
fn a_message_is_found_in_its_packet() {
    let mut packet = vec![0x45, 0, 0, 32, 0, 1, 0x40, 0, 64, 17, 0, 0, 10, 1, 0, 20, 10, 1, 0, 1];
    packet.extend([0, 67, 0, 68, 0, 12, 0, 0, 1, 2, 3, 4]);
    // Padding of short frames.
    packet.extend([9; 14]);
    assert_eq!(unwrap(&packet), Some((SERVER, &[1, 2, 3, 4][..])));
    for (at, value) in
        [(0, 0x44), (0, 0x65), (3, 31), (3, 255), (6, 0x20), (7, 1), (9, 6), (21, 66), (25, 7), (25, 200)]
    {
        let mut other = packet.clone();
        other[at] = value;
        assert_eq!(unwrap(&other), None, "byte {at}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..1600)) {
        let _read = decode(&bytes);
        let _found = unwrap(&bytes);
    }

    #[test]
    fn any_options_are_read_or_refused(options in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(read) = decode(&answer(&[&OFFER[..], &options].concat())) {
            prop_assert!(read.dns.len() <= MOST_SERVERS && read.dns.iter().all(|a| is_host(*a)));
        }
    }
}
