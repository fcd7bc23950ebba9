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
