//! The Encrypted payload: the example of RFC 7634, round trips of every combination, everything tampered with refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use aws_lc_rs::aead;
use crypto::{CryptoError, IkeCipher, table};
use data_encoding::HEXLOWER;
use proptest::prelude::*;
use wire::iana::{Encr, Integ};

fn combinations() -> Vec<(Encr, u16, Integ)> {
    let mut all = Vec::new();
    for encr in Encr::NAMED.iter().copied().filter(|encr| !matches!(encr, Encr::Null | Encr::NullAesGmac)) {
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

fn cipher(encr: Encr, bits: u16, integ: Integ, byte: u8) -> IkeCipher {
    let sk_e: Vec<u8> =
        (0..=u8::MAX).map(|i| byte.wrapping_add(i)).take(table::key_len(encr, bits).unwrap()).collect();
    let sk_a = vec![byte ^ 0x55; table::integ_key_len(integ).unwrap()];
    IkeCipher::new(encr, bits, integ, &sk_e, &sk_a).unwrap()
}

fn sealed(cipher: &IkeCipher, header: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut datagram = header.to_vec();
    datagram.resize(header.len() + cipher.body_len(plain.len()), 0xee);
    cipher.seal(&mut datagram, header.len(), plain, &vec![3; cipher.iv_len()]).unwrap();
    datagram
}

#[test]
fn rfc_7634_appendix_b() {
    let key: Vec<u8> = (0x80..=0x9f).chain(0xa0..=0xa3).collect();
    let cipher = IkeCipher::new(Encr::ChaCha20Poly1305, 0, Integ::None, &key, &[]).unwrap();
    let header =
        HEXLOWER.decode(b"c0c1c2c3c4c5c6c7d0d1d2d3d4d5d6d72e202500000000090000004529000029").unwrap();
    let plain = HEXLOWER.decode(b"0000000c000040010000000a").unwrap();
    let mut datagram = header.clone();
    datagram.resize(header.len() + cipher.body_len(plain.len()), 0);
    assert_eq!(datagram.len(), 0x45);
    cipher.seal(&mut datagram, header.len(), &plain, &0x1011_1213_1415_1617_u64.to_be_bytes()).unwrap();
    assert_eq!(
        HEXLOWER.encode(&datagram[header.len()..]),
        "1011121314151617610394701f8d017f7c129248896b71bfe25236efd7cdc67066906315b2"
    );
    let range = cipher.open(&mut datagram, header.len()).unwrap();
    assert_eq!(datagram[range], plain);
}

#[test]
fn every_flipped_bit_is_refused() {
    for (encr, bits, integ) in combinations() {
        let cipher = cipher(encr, bits, integ, 1);
        let good = sealed(&cipher, &[5; 32], b"inner payloads");
        for byte in 0..good.len() {
            let mut wrong = good.clone();
            wrong[byte] ^= 1 << (byte % 8);
            assert_eq!(
                cipher.open(&mut wrong, 32),
                Err(CryptoError::Integrity),
                "{encr:?} {bits} {integ:?} {byte}"
            );
        }
        let mut opened = good.clone();
        let range = cipher.open(&mut opened, 32).unwrap();
        assert_eq!(&opened[range], b"inner payloads");
        assert!(self::cipher(encr, bits, integ, 2).open(&mut good.clone(), 32).is_err());
        // Where the header ends is authenticated too.
        assert!(cipher.open(&mut good.clone(), 28).is_err());
        assert!(cipher.open(&mut good.clone(), 1000).is_err());
    }
}

#[test]
fn lengths_are_as_promised() {
    for (encr, bits, integ) in combinations() {
        let cipher = cipher(encr, bits, integ, 1);
        assert_eq!(cipher.iv_is_counter(), cipher.block_len() == 1, "{encr:?}");
        assert_eq!(cipher.iv_is_counter(), cipher.iv_len() == 8 && encr != Encr::TripleDes, "{encr:?}");
        for len in 0..40 {
            let body = cipher.body_len(len);
            let padded = body - cipher.iv_len() - cipher.icv_len();
            assert!(
                padded > len
                    && padded <= len + cipher.block_len()
                    && padded.is_multiple_of(cipher.block_len())
            );
            let mut datagram = sealed(&cipher, &[1; 28], &vec![9; len]);
            assert_eq!(cipher.open(&mut datagram, 28).unwrap().len(), len);
        }
        let mut datagram = vec![0; 28 + cipher.body_len(10) + 1];
        assert!(cipher.seal(&mut datagram, 28, &[0; 10], &vec![0; cipher.iv_len()]).is_err());
        datagram.pop();
        assert!(cipher.seal(&mut datagram, 28, &[0; 10], &vec![0; cipher.iv_len() + 1]).is_err());
        assert!(cipher.seal(&mut datagram, 28, &[0; 10], &vec![0; cipher.iv_len()]).is_ok());
    }
}

/// The padding is the sender's: any length up to 255 and any bytes (RFC 7296 3.14). Too much is refused.
#[test]
fn padding_of_others() {
    let header = [1; 28];
    for (pad, claim, want) in
        [(0, 0, Some(4)), (3, 3, Some(4)), (255, 255, Some(4)), (3, 7, Some(0)), (3, 8, None)]
    {
        let mut datagram = [&header[..], &[2; 8], b"text", &vec![0xaa; pad], &[claim]].concat();
        let key = aead::UnboundKey::new(&aead::AES_128_GCM, &[7; 16]).unwrap();
        let nonce = aead::Nonce::assume_unique_for_key([7, 7, 7, 7, 2, 2, 2, 2, 2, 2, 2, 2]);
        let tag = aead::LessSafeKey::new(key)
            .seal_in_place_separate_tag(nonce, aead::Aad::from(header), &mut datagram[36..])
            .unwrap();
        datagram.extend_from_slice(tag.as_ref());
        let cipher = IkeCipher::new(Encr::AesGcm16, 128, Integ::None, &[7; 20], &[]).unwrap();
        let opened = cipher.open(&mut datagram, 28);
        assert_eq!(opened.ok().map(|range| range.len()), want, "{pad} {claim}");
    }
    // CBC, built by hand: one block whose last byte claims more than there is.
    let (sk_e, sk_a) = ([8; 16], [9; 32]);
    let cipher = IkeCipher::new(Encr::AesCbc, 128, Integ::HmacSha256_128, &sk_e, &sk_a).unwrap();
    for (claim, want) in [(15_u8, Some(0)), (16, None), (255, None), (0, Some(15)), (5, Some(10))] {
        let mut block = [0x42; 16];
        block[15] = claim;
        let datagram = by_hand(&sk_e, &sk_a, &header, block);
        let opened = cipher.open(&mut datagram.clone(), 28);
        assert_eq!(opened.ok().map(|range| range.len()), want, "{claim}");
    }
}

fn by_hand(sk_e: &[u8; 16], sk_a: &[u8; 32], header: &[u8], mut block: [u8; 16]) -> Vec<u8> {
    use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
    let key = EncryptingKey::cbc(UnboundCipherKey::new(&AES_128, sk_e).unwrap()).unwrap();
    let iv = aws_lc_rs::iv::FixedLength::from([4; 16]);
    key.less_safe_encrypt(&mut block, EncryptionContext::Iv128(iv)).unwrap();
    let mut datagram = [header, &[4; 16], &block].concat();
    let mac =
        aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, sk_a), &datagram);
    datagram.extend_from_slice(&mac.as_ref()[..16]);
    datagram
}

#[test]
fn refuses_what_ike_must_not_use() {
    assert!(IkeCipher::new(Encr::Null, 0, Integ::HmacSha256_128, &[], &[0; 32]).is_err());
    assert!(IkeCipher::new(Encr::NullAesGmac, 128, Integ::None, &[0; 20], &[]).is_err());
    assert!(IkeCipher::new(Encr::AesCbc, 128, Integ::None, &[0; 16], &[]).is_err());
    assert!(IkeCipher::new(Encr::AesGcm16, 128, Integ::HmacSha256_128, &[0; 20], &[0; 32]).is_err());
    assert!(IkeCipher::new(Encr::AesCbc, 128, Integ::HmacSha256_128, &[0; 15], &[0; 32]).is_err());
    assert!(IkeCipher::new(Encr::AesCbc, 0, Integ::HmacSha256_128, &[0; 16], &[0; 32]).is_err());
}

#[test]
fn debug_shows_no_key() {
    let cipher = cipher(Encr::AesGcm16, 256, Integ::None, 0xab);
    assert_eq!(format!("{cipher:?}"), "IkeCipher(AesGcm16, None)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn opens_what_it_sealed(
        pick in any::<prop::sample::Index>(),
        header in prop::collection::vec(any::<u8>(), 0..60),
        plain in prop::collection::vec(any::<u8>(), 0..400),
        key: u8,
    ) {
        let all = combinations();
        let (encr, bits, integ) = all[pick.index(all.len())];
        let cipher = cipher(encr, bits, integ, key);
        let mut datagram = sealed(&cipher, &header, &plain);
        prop_assert_eq!(&datagram[..header.len()], &header[..]);
        let range = cipher.open(&mut datagram, header.len()).unwrap();
        prop_assert_eq!(&datagram[range], &plain[..]);
    }

    #[test]
    fn arbitrary_bytes_never_open_and_never_panic(
        pick in any::<prop::sample::Index>(),
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        aad_end in 0_usize..220,
    ) {
        let all = combinations();
        let (encr, bits, integ) = all[pick.index(all.len())];
        prop_assert!(cipher(encr, bits, integ, 3).open(&mut bytes, aad_end).is_err());
    }
}
