//! ML-KEM (draft-ietf-ipsecme-ikev2-mlkem): the initiator sends its encapsulation key, the responder a ciphertext.
//!
//! aws-lc draws the randomness itself; this is the one computation here that does not follow from our generator.

use aws_lc_rs::kem::{Algorithm, AlgorithmId, Ciphertext, DecapsulationKey, EncapsulationKey};
use wire::iana::Ke;

use crate::{CryptoError, Secret};

pub(super) type Kem = &'static Algorithm<AlgorithmId>;

/// Bytes of encapsulation key and ciphertext (FIPS 203, table 3).
pub(super) fn public_len(method: Ke, initiator: bool) -> usize {
    match (method, initiator) {
        (Ke::MlKem512, true) => 800,
        (Ke::MlKem512, false) => 768,
        (Ke::MlKem768, true) => 1184,
        (Ke::MlKem768, false) => 1088,
        _ => 1568,
    }
}

fn refused(_: impl Sized) -> CryptoError {
    CryptoError::PublicValue("ML_KEM")
}

/// Private and public key.
pub(super) fn start(kem: Kem) -> Result<(Secret, Vec<u8>), CryptoError> {
    let key = DecapsulationKey::generate(kem).map_err(refused)?;
    let public = key.encapsulation_key().map_err(refused)?.key_bytes().map_err(refused)?.as_ref().to_vec();
    Ok((Secret::from(key.key_bytes().map_err(refused)?.as_ref()), public))
}

/// Ciphertext and shared secret. Encapsulation checks the key's modulus (FIPS 203 7.2).
pub(super) fn respond(kem: Kem, peer: &[u8]) -> Result<(Vec<u8>, Secret), CryptoError> {
    let (ciphertext, shared) =
        EncapsulationKey::new(kem, peer).map_err(refused)?.encapsulate().map_err(refused)?;
    Ok((ciphertext.as_ref().to_vec(), Secret::from(shared.as_ref())))
}

/// A wrong ciphertext of the right length gives an unrelated secret, not an error (implicit rejection).
pub(super) fn finish(kem: Kem, private: &[u8], ciphertext: &[u8]) -> Result<Secret, CryptoError> {
    let key = DecapsulationKey::new(kem, private).map_err(refused)?;
    Ok(Secret::from(key.decapsulate(Ciphertext::from(ciphertext)).map_err(refused)?.as_ref()))
}
