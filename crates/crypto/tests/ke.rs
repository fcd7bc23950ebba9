//! Key exchange: known answers, round trips, and what must be refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use crypto::{CryptoError, Rng, Secret, ke};
use data_encoding::HEXLOWER_PERMISSIVE;
use wire::iana::Ke;

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).unwrap()
}

fn usable() -> impl Iterator<Item = Ke> {
    Ke::NAMED.iter().copied().filter(|method| ke::available(*method).is_ok())
}

fn is_mlkem(method: Ke) -> bool {
    matches!(method, Ke::MlKem512 | Ke::MlKem768 | Ke::MlKem1024)
}

/// Private keys of both sides give the shared secret, and `public` is the first side's public value.
fn known(method: Ke, a: &str, b: &str, public: &str, shared: &str) {
    let a = ke::Pending::from_private(method, Secret::new(hex(a))).unwrap();
    let b = ke::Pending::from_private(method, Secret::new(hex(b))).unwrap();
    assert_eq!(a.public(), hex(public), "{method:?}");
    assert_eq!(a.finish(b.public()).unwrap().as_slice(), hex(shared), "{method:?}");
    assert_eq!(b.finish(a.public()).unwrap().as_slice(), hex(shared), "{method:?}");
}

#[test]
fn modp_vectors() {
    let mut ran = 0;
    for line in include_str!("vectors/modp.txt").lines().filter(|line| !line.starts_with('#')) {
        let [method, a, b, public, shared] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        known(Ke::from(method.parse::<u16>().unwrap()), a, b, public, shared);
        ran += 1;
    }
    assert_eq!(ran, 11);
}

#[test]
fn rfc_5903() {
    known(
        Ke::Ecp256,
        "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
        "c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53",
        "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180\
         5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
        "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de",
    );
    known(
        Ke::Ecp384,
        "099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f160647b67414dce655e35b538041e649ee3faef896783ab194",
        "41cb0779b4bdb85d47846725fbec3c9430fab46cc8dc5060855cc9bda0aa2942e0308312916b8ed2960e4bd55a7448fc",
        "667842d7d180ac2cde6f74f37551f55755c7645c20ef73e31634fe72b4c55ee6de3ac808acb4bdb4c88732aee95f41aa\
         9482ed1fc0eeb9cafc4984625ccfc23f65032149e0e144ada024181535a0f38eeb9fcff3c2c947dae69b4c634573a81c",
        "11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4d603135569b9e9d09cf5d4a270f59746",
    );
    // Section 8.3; the public value is checked through the shared secret.
    let a = "0037ade9319a89f4dabdb3ef411aaccca5123c61acab57b5393dce47608172a0\
             95aa85a30fe1c2952c6771d937ba9777f5957b2639bab072462f68c27a57382d4a52";
    let public = ke::Pending::from_private(Ke::Ecp521, Secret::new(hex(a))).unwrap().public().to_vec();
    known(
        Ke::Ecp521,
        a,
        "0145ba99a847af43793fdd0e872e7cdfa16be30fdc780f97bccc3f078380201e\
         9c677d600b343757a3bdbf2a3163e4c2f869cca7458aa4a4effc311f5cb151685eb9",
        &HEXLOWER_PERMISSIVE.encode(&public),
        "01144c7d79ae6956bc8edb8e7c787c4521cb086fa64407f97894e5e6b2d79b04\
         d1427e73ca4baa240a34786859810c06b3c715a3a8cc3151f2bee417996d19f3ddea",
    );
}

#[test]
fn rfc_7027() {
    known(
        Ke::BrainpoolP256,
        "81db1ee100150ff2ea338d708271be38300cb54241d79950f77b063039804f1d",
        "55e40bc41e37e3e2ad25c3c6654511ffa8474a91a0032087593852d3e7d76bd3",
        "44106e913f92bc02a1705d9953a8414db95e1aaa49e81d9e85f929a8e3100be5\
         8ab4846f11caccb73ce49cbdd120f5a900a69fd32c272223f789ef10eb089bdc",
        "89afc39d41d3b327814b80940b042590f96556ec91e6ae7939bce31f3a18bf2b",
    );
    known(
        Ke::BrainpoolP384,
        "1e20f5e048a5886f1f157c74e91bde2b98c8b52d58e5003d57053fc4b0bd65d6f15eb5d1ee1610df870795143627d042",
        "032640bc6003c59260f7250c3db58ce647f98e1260acce4acda3dd869f74e01f8ba5e0324309db6a9831497abac96670",
        "68b665dd91c195800650cdd363c625f4e742e8134667b767b1b476793588f885ab698c852d4a6e77a252d6380fcaf068\
         55bc91a39c9ec01dee36017b7d673a931236d2f1f5c83942d049e3fa20607493e0d038ff2fd30c2ab67d15c85f7faa59",
        "0bd9d3a7ea0b3d519d09d8e48d0785fb744a6b355e6304bc51c229fbbce239bbadf6403715c35d4fb2a5444f575d4f42",
    );
}

#[test]
fn rfc_7748() {
    known(
        Ke::X25519,
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
    );
}

#[test]
fn both_sides_agree_and_lengths_are_as_promised() {
    let mut rng = Rng::from_seed([1; 32]);
    let mut methods = 0;
    for method in usable() {
        let pending = ke::start(method, &mut rng).unwrap();
        assert_eq!(pending.method(), method);
        assert_eq!(pending.public().len(), ke::public_len(method, true), "{method:?}");
        let (public, shared) = ke::respond(method, pending.public(), &mut rng).unwrap();
        assert_eq!(public.len(), ke::public_len(method, false), "{method:?}");
        assert_eq!(pending.finish(&public).unwrap(), shared, "{method:?}");
        assert!(shared.as_slice().iter().any(|byte| *byte != 0));
        // A wrong length is refused on both sides.
        for wrong in [&public[1..], &[&public[..], &[0]].concat(), &[]] {
            assert!(matches!(pending.finish(wrong), Err(CryptoError::Length { .. })), "{method:?}");
            assert!(
                matches!(ke::respond(method, wrong, &mut rng), Err(CryptoError::Length { .. })),
                "{method:?}"
            );
        }
        methods += 1;
    }
    assert_eq!(methods, 20);
}

#[test]
fn draws_only_from_the_generator() {
    for method in usable().filter(|method| !is_mlkem(*method)) {
        let draw = |seed| ke::start(method, &mut Rng::from_seed([seed; 32])).unwrap().public().to_vec();
        assert_eq!(draw(1), draw(1), "{method:?}");
        assert_ne!(draw(1), draw(2), "{method:?}");
    }
}

#[test]
fn pending_survives_a_restart() {
    for method in usable() {
        let mut rng = Rng::from_seed([2; 32]);
        let pending = ke::start(method, &mut rng).unwrap();
        assert!(!format!("{pending:?}").contains('['), "shows bytes");
        let text = serde_json::to_string(&pending).unwrap();
        let restored: ke::Pending = serde_json::from_str(&text).unwrap();
        let (public, shared) = ke::respond(method, restored.public(), &mut rng).unwrap();
        assert_eq!(restored.finish(&public).unwrap(), shared);
    }
}

/// RFC 6989 2.1: 0, 1, p - 1, p and more are no public values; neither is anything outside the subgroup (2.2).
#[test]
fn modp_refuses_values_outside_the_group() {
    let mut rng = Rng::from_seed([3; 32]);
    let primes =
        [(Ke::Modp2048, "MODP_2048"), (Ke::Modp768, "MODP_768"), (Ke::Modp2048s256, "MODP_2048_256")];
    for (method, name) in primes {
        let len = ke::public_len(method, true);
        let pending = ke::start(method, &mut rng).unwrap();
        let mut one = vec![0; len];
        one[len - 1] = 1;
        for wrong in [vec![0; len], one, vec![0xff; len]] {
            assert_eq!(pending.finish(&wrong), Err(CryptoError::PublicValue(name)));
            assert_eq!(ke::respond(method, &wrong, &mut rng), Err(CryptoError::PublicValue(name)));
        }
    }
    // The RFC 2409 primes end with 64 one bits, so p - 1 and p are easily told from the public text.
    let mut below = hex(concat!(
        "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd",
        "ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a63a3620ffffffffffffffff"
    ));
    let pending = ke::start(Ke::Modp768, &mut rng).unwrap();
    for (last, good) in [(0xff, false), (0xfe, false), (0xfd, true)] {
        *below.last_mut().unwrap() = last;
        assert_eq!(pending.finish(&below).is_ok(), good, "p - {}", 0xff - last);
    }
    // 2 generates the whole of the RFC 3526 groups, and is outside the subgroups of RFC 5114.
    for method in [Ke::Modp1024s160, Ke::Modp2048s224, Ke::Modp2048s256] {
        let mut two = vec![0; ke::public_len(method, true)];
        *two.last_mut().unwrap() = 2;
        assert!(ke::start(method, &mut rng).unwrap().finish(&two).is_err(), "{method:?}");
    }
}

#[test]
fn curves_refuse_points_off_the_curve() {
    let mut rng = Rng::from_seed([4; 32]);
    for method in [Ke::Ecp256, Ke::Ecp384, Ke::Ecp521, Ke::BrainpoolP256, Ke::BrainpoolP384] {
        let pending = ke::start(method, &mut rng).unwrap();
        let good = ke::start(method, &mut rng).unwrap().public().to_vec();
        assert!(pending.finish(&good).is_ok());
        let mut off = good.clone();
        *off.last_mut().unwrap() ^= 1;
        for wrong in [off, vec![0; good.len()], vec![0xff; good.len()]] {
            assert!(matches!(pending.finish(&wrong), Err(CryptoError::PublicValue(_))), "{method:?}");
            assert!(
                matches!(ke::respond(method, &wrong, &mut rng), Err(CryptoError::PublicValue(_))),
                "{method:?}"
            );
        }
    }
}

/// RFC 8031 2 and RFC 7748 6.1: points of small order give zero, which is refused.
#[test]
fn x25519_refuses_small_order() {
    let mut rng = Rng::from_seed([5; 32]);
    let pending = ke::start(Ke::X25519, &mut rng).unwrap();
    for point in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        assert_eq!(pending.finish(&hex(point)), Err(CryptoError::PublicValue("CURVE_25519")), "{point}");
    }
}

#[test]
fn mlkem_refuses_what_is_no_key() {
    let mut rng = Rng::from_seed([6; 32]);
    for method in [Ke::MlKem512, Ke::MlKem768, Ke::MlKem1024] {
        // FIPS 203 7.2: coefficients above the modulus.
        let wrong = vec![0xff; ke::public_len(method, true)];
        assert!(ke::respond(method, &wrong, &mut rng).is_err(), "{method:?}");
        // A wrong ciphertext gives another secret (implicit rejection).
        let pending = ke::start(method, &mut rng).unwrap();
        let (mut ciphertext, shared) = ke::respond(method, pending.public(), &mut rng).unwrap();
        ciphertext[0] ^= 1;
        assert_ne!(pending.finish(&ciphertext).unwrap(), shared);
        assert!(ke::Pending::from_private(method, Secret::zeroed(64)).is_err());
    }
}

#[test]
fn refused_methods_say_so() {
    let mut rng = Rng::from_seed([7; 32]);
    for method in
        [Ke::None, Ke::Ecp192, Ke::Ecp224, Ke::BrainpoolP224, Ke::BrainpoolP512, Ke::X448, Ke::Unknown(999)]
    {
        assert!(matches!(ke::start(method, &mut rng), Err(CryptoError::Unsupported { .. })), "{method:?}");
        assert!(
            matches!(ke::respond(method, &[], &mut rng), Err(CryptoError::Unsupported { .. })),
            "{method:?}"
        );
        assert_eq!(ke::public_len(method, true), 0);
    }
}

/// A stored exchange may be damaged; it must fail, not panic.
#[test]
fn damaged_private_keys_are_refused() {
    for method in usable() {
        let peer = ke::start(method, &mut Rng::from_seed([8; 32])).unwrap();
        let peer = if is_mlkem(method) {
            ke::respond(method, peer.public(), &mut Rng::from_seed([9; 32])).unwrap().0
        } else {
            peer.public().to_vec()
        };
        for len in [0, 1, 19, 31, 33, 129, 4000] {
            let text =
                serde_json::json!({"method": u16::from(method), "private": vec![7_u8; len], "public": []});
            let pending: ke::Pending = serde_json::from_value(text).unwrap();
            // Exponents of MODP groups may have any sensible length.
            let modp = ke::public_len(method, true) >= 96 && !is_mlkem(method) && method != Ke::Ecp384;
            let sensible =
                modp && method != Ke::BrainpoolP384 && method != Ke::Ecp521 && (20..=128).contains(&len);
            assert_eq!(pending.finish(&peer).is_ok(), sensible, "{method:?} {len}");
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    /// Whatever a peer sends in a Key Exchange payload ends in a secret or an error.
    #[test]
    fn arbitrary_public_values_never_panic(
        pick: proptest::sample::Index,
        seed in proptest::collection::vec(proptest::prelude::any::<u8>(), 1..80),
        right_length: bool,
    ) {
        // The large groups compute the same code, slowly.
        let slow = [Ke::Modp3072, Ke::Modp4096, Ke::Modp6144, Ke::Modp8192];
        let methods: Vec<Ke> = usable().filter(|method| !slow.contains(method)).collect();
        let method = methods[pick.index(methods.len())];
        let mut rng = Rng::from_seed([10; 32]);
        let len = if right_length { ke::public_len(method, true) } else { seed.len() };
        let bytes: Vec<u8> = seed.iter().copied().cycle().take(len).collect();
        if let Ok((public, shared)) = ke::respond(method, &bytes, &mut rng) {
            proptest::prop_assert_eq!(public.len(), ke::public_len(method, false));
            proptest::prop_assert!(!shared.is_empty());
        }
        let len = if right_length { ke::public_len(method, false) } else { seed.len() };
        let bytes: Vec<u8> = seed.iter().copied().cycle().take(len).collect();
        if let Ok(shared) = ke::start(method, &mut rng).unwrap().finish(&bytes) {
            proptest::prop_assert!(!shared.is_empty());
        }
    }
}
