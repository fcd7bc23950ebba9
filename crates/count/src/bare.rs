//! The cryptography of a handshake's responder alone: what the counts of whole handshakes are to be compared with.
use crate::certificates::{Kind, key};
use crate::meter::Counts;
use crypto::Rng;
use crypto::sign::{Hash, PrivateKey, SignScheme};
use std::hint::black_box;
use wire::iana::Ke;

const TIMES: u32 = 8;
/// About what an AUTH payload signs: the peer's first message, a nonce, a MAC.
const OCTETS: [u8; 320] = [7; 320];

pub(crate) fn all(counts: &mut Counts) {
    if !counts.wants("crypto/") {
        return;
    }
    for (name, methods) in [("x25519", &[Ke::X25519][..]), ("x25519+mlkem768", &[Ke::X25519, Ke::MlKem768])] {
        let mut rng = Rng::from_seed([1; 32]);
        let publics: Vec<Vec<u8>> =
            methods.iter().map(|m| crypto::ke::start(*m, &mut rng).unwrap().public().to_vec()).collect();
        counts.bench(&format!("crypto/key exchange/{name}/responder"), TIMES, |meter| {
            for _ in 0..TIMES {
                for (method, public) in methods.iter().zip(&publics) {
                    black_box(meter.count(|| crypto::ke::respond(*method, public, &mut rng).unwrap()));
                }
            }
        });
    }
    for (name, kind, scheme) in [
        ("ecdsa p256", Kind::Ecdsa, SignScheme::EcdsaDer(Hash::Sha256)),
        ("rsa 3072", Kind::Rsa, SignScheme::RsaPss(Hash::Sha256)),
    ] {
        let key = PrivateKey::from_pkcs8(&key(kind, "end").serialize_der()).unwrap();
        let signature = key.sign(scheme, &OCTETS).unwrap();
        // AUTH is signed once; the peer's and its certificate's signature are checked.
        counts.bench(&format!("crypto/signatures/{name}/one made, two checked"), TIMES, |meter| {
            for _ in 0..TIMES {
                meter.count(|| {
                    black_box(key.sign(scheme, &OCTETS).unwrap());
                    (0..2).for_each(|_| key.public().verify(scheme, &OCTETS, &signature).unwrap());
                });
            }
        });
    }
}
