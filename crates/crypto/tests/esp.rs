//! ESP: the example of RFC 7634, round trips of every combination, and everything tampered with refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use crypto::{CryptoError, EspCipher, table};
use data_encoding::HEXLOWER;
use proptest::prelude::*;
use wire::iana::{Encr, Integ};

/// Every encryption that can be used with each of its key sizes and each integrity it goes with.
pub fn combinations() -> Vec<(Encr, u16, Integ)> {
    let mut all = Vec::new();
    for encr in Encr::NAMED.iter().copied() {
        for bits in [0, 128, 192, 256].into_iter().filter(|bits| table::encr_available(encr, *bits).is_ok()) {
            if table::encr_is_aead(encr) {
                all.push((encr, bits, Integ::None));
                continue;
            }
            let usable = |integ: &Integ| *integ != Integ::None && table::integ_available(*integ).is_ok();
            all.extend(Integ::NAMED.iter().copied().filter(usable).map(|integ| (encr, bits, integ)));
        }
    }
    all
}

fn cipher(encr: Encr, bits: u16, integ: Integ, byte: u8) -> EspCipher {
    let encr_key: Vec<u8> =
        (0..=u8::MAX).map(|i| byte.wrapping_add(i)).take(table::key_len(encr, bits).unwrap()).collect();
    let integ_key = vec![byte ^ 0x55; table::integ_key_len(integ).unwrap()];
    EspCipher::new(encr, bits, integ, &encr_key, &integ_key).unwrap()
}

/// SPI 0x01020304, sequence number 5, room for the IV, `plain`, room for the ICV.
fn packet(cipher: &EspCipher, plain: &[u8]) -> Vec<u8> {
    let mut packet = vec![1, 2, 3, 4, 0, 0, 0, 5];
    packet.resize(8 + cipher.iv_len(), 0);
    packet.extend_from_slice(plain);
    packet.resize(packet.len() + cipher.icv_len(), 0);
    packet
}

#[test]
fn there_are_many_combinations() {
    let all = combinations();
    assert!(all.len() > 130, "{}", all.len());
    assert!(all.contains(&(Encr::AesGcm8, 192, Integ::None)));
    assert!(all.contains(&(Encr::Null, 0, Integ::AesCmac96)));
    assert!(all.contains(&(Encr::TripleDes, 0, Integ::HmacMd5_96)));
}

#[test]
fn rfc_7634_appendix_a() {
    let key: Vec<u8> = (0x80..=0x9f).chain(0xa0..=0xa3).collect();
    let cipher = EspCipher::new(Encr::ChaCha20Poly1305, 0, Integ::None, &key, &[]).unwrap();
    let plain = HEXLOWER
        .decode(
            concat!(
                "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f1011121314151617",
                "18191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363701020204"
            )
            .as_bytes(),
        )
        .unwrap();
    let mut sealed = packet(&cipher, &plain);
    cipher.seal(None, &mut sealed, 0x1011_1213_1415_1617).unwrap();
    assert_eq!(
        HEXLOWER.encode(&sealed),
        concat!(
            "01020304000000051011121314151617",
            "24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099d52844eb61aa95dfab4c02f72aa71e7c",
            "4c4f64c9befe2facc638e8f3cbec163fac469b502773f6fb94e664da9165b82829f641e0",
            "76aaa8266b7fb0f7b11b369907e1ad43"
        )
    );
    let range = cipher.open(None, &mut sealed).unwrap();
    assert_eq!(sealed[range], plain);
}

#[test]
fn every_flipped_bit_is_refused() {
    for (encr, bits, integ) in combinations() {
        let cipher = cipher(encr, bits, integ, 1);
        let plain: Vec<u8> = (0..32).collect();
        for esn in [None, Some(7)] {
            let mut sealed = packet(&cipher, &plain);
            cipher.seal(esn, &mut sealed, 5).unwrap();
            for byte in 0..sealed.len() {
                let mut wrong = sealed.clone();
                wrong[byte] ^= 1 << (byte % 8);
                assert_eq!(
                    cipher.open(esn, &mut wrong),
                    Err(CryptoError::Integrity),
                    "{encr:?} {bits} {integ:?} byte {byte}"
                );
            }
            // The extended half of the sequence number is authenticated, though not sent.
            for other in [None, Some(7), Some(8), Some(0)] {
                assert_eq!(
                    cipher.open(other, &mut sealed.clone()).is_ok(),
                    other == esn,
                    "{encr:?} {integ:?}"
                );
            }
            // Another key opens nothing.
            assert!(self::cipher(encr, bits, integ, 2).open(esn, &mut sealed.clone()).is_err());
            assert_eq!(cipher.open(esn, &mut sealed), Ok(8 + cipher.iv_len()..8 + cipher.iv_len() + 32));
        }
    }
}

#[test]
fn the_same_number_gives_the_same_packet_and_another_another() {
    for (encr, bits, integ) in combinations() {
        let cipher = cipher(encr, bits, integ, 1);
        let seal = |seed| {
            let mut sealed = packet(&cipher, &[9; 48]);
            cipher.seal(None, &mut sealed, seed).unwrap();
            sealed
        };
        assert_eq!(seal(1), seal(1));
        assert_eq!(seal(1) == seal(2), encr == Encr::Null, "{encr:?}");
        // NULL and GMAC leave the text readable; nothing else may.
        let readable = matches!(encr, Encr::Null | Encr::NullAesGmac);
        assert_eq!(seal(1).windows(16).any(|part| part == [9; 16]), readable, "{encr:?}");
    }
}

#[test]
fn partial_blocks_are_refused() {
    for (encr, bits, integ) in combinations() {
        let cipher = cipher(encr, bits, integ, 1);
        assert!(cipher.align() >= 4 && cipher.align() <= 16);
        let mut odd = packet(&cipher, &[0; 17]);
        let block = !matches!(cipher.align(), 4);
        assert_eq!(cipher.seal(None, &mut odd, 1).is_err(), block, "{encr:?}");
    }
}

#[test]
fn keys_of_wrong_length_and_missing_integrity_are_refused() {
    assert!(EspCipher::new(Encr::AesCbc, 128, Integ::None, &[0; 16], &[]).is_err());
    assert!(EspCipher::new(Encr::Null, 0, Integ::None, &[], &[]).is_err());
    assert!(EspCipher::new(Encr::AesGcm16, 128, Integ::HmacSha256_128, &[0; 20], &[0; 32]).is_err());
    assert!(EspCipher::new(Encr::AesGcm16, 128, Integ::None, &[0; 20], &[0; 1]).is_err());
    assert!(EspCipher::new(Encr::AesGcm16, 128, Integ::None, &[0; 16], &[]).is_err());
    assert!(EspCipher::new(Encr::AesCbc, 128, Integ::HmacSha256_128, &[0; 16], &[0; 16]).is_err());
    let refused = EspCipher::new(Encr::Blowfish, 128, Integ::HmacSha256_128, &[0; 16], &[0; 32]);
    assert!(matches!(refused, Err(CryptoError::Unsupported { .. })));
}

#[test]
fn debug_shows_no_key() {
    let cipher = cipher(Encr::AesCbc, 128, Integ::HmacSha256_128, 0xab);
    assert_eq!(format!("{cipher:?}"), "EspCipher(AesCbc, HmacSha256_128)");
}

fn send_and_sync<T: Send + Sync>() {}

#[test]
fn may_be_shared_between_lanes() {
    send_and_sync::<EspCipher>();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn opens_what_it_sealed(pick in any::<prop::sample::Index>(), blocks in 0_usize..100, esn: Option<u32>, seed: u64, key: u8) {
        let all = combinations();
        let (encr, bits, integ) = all[pick.index(all.len())];
        let cipher = cipher(encr, bits, integ, key);
        let plain: Vec<u8> = (0..=u8::MAX).cycle().take(blocks * cipher.align()).collect();
        let mut sealed = packet(&cipher, &plain);
        cipher.seal(esn, &mut sealed, seed).unwrap();
        prop_assert_eq!(&sealed[..8], &[1, 2, 3, 4, 0, 0, 0, 5]);
        let range = cipher.open(esn, &mut sealed).unwrap();
        prop_assert_eq!(&sealed[range], &plain[..]);
    }

    #[test]
    fn arbitrary_bytes_never_open_and_never_panic(
        pick in any::<prop::sample::Index>(),
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        esn: Option<u32>,
    ) {
        let all = combinations();
        let (encr, bits, integ) = all[pick.index(all.len())];
        prop_assert!(cipher(encr, bits, integ, 3).open(esn, &mut bytes).is_err());
    }

    #[test]
    fn cut_packets_never_open(pick in any::<prop::sample::Index>(), cut in 1_usize..120) {
        let all = combinations();
        let (encr, bits, integ) = all[pick.index(all.len())];
        let cipher = cipher(encr, bits, integ, 4);
        let mut sealed = packet(&cipher, &[1; 64]);
        cipher.seal(None, &mut sealed, 1).unwrap();
        sealed.truncate(sealed.len().saturating_sub(cut));
        prop_assert!(cipher.open(None, &mut sealed).is_err());
    }
}
