use super::*;
use crate::config::Method;
use proptest::prelude::*;

fn fragments(size: usize, include_length: bool, limit: usize) -> Fragments {
    let options = TunnelOptions { fragment_size: size, include_length, ..TunnelOptions::of(Method::Tls) };
    Fragments::new(&options, limit)
}

/// Sends a message from one to the other.
fn carry(message: &[u8], from: &mut Fragments, to: &mut Fragments) -> Vec<u8> {
    from.push(message.to_vec());
    loop {
        match to.receive(&from.next()).unwrap() {
            Heard::Message(message) => return message,
            Heard::Fragment => assert_eq!(from.receive(&to.next()).unwrap(), Heard::Acknowledged),
            Heard::Acknowledged => panic!("nothing was sent to be acknowledged"),
        }
    }
}

#[test]
fn the_whole_packet_has_the_size_asked_for() {
    let mut f = fragments(1024, true, 65536);
    f.push(vec![1; 3000]);
    let sizes: Vec<usize> = std::iter::from_fn(|| f.pending().then(|| f.next().len() + 5)).collect();
    assert_eq!(sizes, [1024, 1024, 974]);
    let mut f = fragments(1024, false, 65536);
    f.push(vec![1; 1018]);
    assert_eq!(f.next(), [&[0][..], &[1; 1018]].concat());
    assert!(!f.pending());
    assert_eq!(f.next(), [0]);
}

#[test]
fn lies_about_lengths_are_refused_by_name() {
    for (packets, why) in [
        (vec![vec![]], "without flags"),
        (vec![vec![0x80, 0, 0, 1]], "ends in its length"),
        (vec![vec![0xc0, 0, 1, 0, 1, 9]], "65537 bytes, more than the limit of 65536"),
        (vec![vec![0xc0, 0xff, 0xff, 0xff, 0xff, 9]], "more than the limit"),
        (vec![vec![0x40, 9]], "without the message's length"),
        (vec![vec![0xc0, 0, 0, 0, 9]], "empty TLS fragment"),
        (vec![vec![0x80, 0, 0, 0, 1, 9, 9]], "exceed the length of 1 bytes"),
        (vec![vec![0x80, 0, 0, 0, 3, 9, 9]], "end after 2 bytes of 3"),
        (vec![vec![0xc0, 0, 0, 0, 3, 9], vec![0x40]], "empty TLS fragment"),
        (vec![vec![0xc0, 0, 0, 0, 3, 9], vec![0xc0, 0, 0, 0, 4, 9]], "tells length 4, an earlier one 3"),
        (vec![vec![0xc0, 0, 0, 0, 3, 9], vec![0x40, 9, 9]], "more TLS fragments than"),
        (vec![vec![0xc0, 0, 0, 0, 3, 9], vec![0, 9, 9, 9]], "exceed the length of 3 bytes"),
        (vec![vec![0xc0, 0, 0, 0, 3, 9], vec![0, 9]], "end after 2 bytes of 3"),
    ] {
        let mut f = fragments(1024, true, 65536);
        let (last, before) = packets.split_last().unwrap();
        for packet in before {
            assert_eq!(f.receive(packet).unwrap(), Heard::Fragment);
        }
        let failed = f.receive(last).unwrap_err();
        assert!(failed.reason.contains(why), "{packets:?}: {}", failed.reason);
    }
}

#[test]
fn data_instead_of_an_acknowledgement_are_refused() {
    for answer in [&[0, 1][..], &[0x40], &[0x80, 0, 0, 0, 1]] {
        let mut f = fragments(100, true, 65536);
        f.push(vec![1; 300]);
        f.next();
        assert!(f.receive(answer).is_err());
    }
}

#[test]
fn what_is_told_is_not_what_is_allocated() {
    let mut f = fragments(1024, true, 65536);
    assert_eq!(f.receive(&[0xc0, 0, 1, 0, 0, 9]).unwrap(), Heard::Fragment);
    assert!(f.building.as_ref().unwrap().1.capacity() < 1000);
}

proptest! {
    #[test]
    fn whatever_the_size_the_message_arrives(
        message in prop::collection::vec(any::<u8>(), 0..5000),
        back in prop::collection::vec(any::<u8>(), 0..5000),
        sizes in (0_usize..2000, 0_usize..2000),
        include in any::<(bool, bool)>(),
    ) {
        let (mut a, mut b) = (fragments(sizes.0, include.0, 5000), fragments(sizes.1, include.1, 5000));
        prop_assert_eq!(carry(&message, &mut a, &mut b), message);
        prop_assert_eq!(carry(&back, &mut b, &mut a), back);
    }

    #[test]
    fn total(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..20)) {
        let mut f = fragments(100, true, 1000);
        for packet in packets {
            let _ = f.receive(&packet);
            prop_assert!(f.building.as_ref().is_none_or(|(_, have)| have.len() <= 1000));
        }
    }
}
