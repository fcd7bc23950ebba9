//! The forms in which tokens give keys and signatures, as the rest of the house has them.
use crate::TokenError;
use spki::der::asn1::{Any, BitString, Null, OctetString, UintRef};
use spki::der::{Decode, Encode};
use spki::{AlgorithmIdentifier, ObjectIdentifier, SubjectPublicKeyInfo};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// `SEQUENCE { INTEGER, INTEGER }`: an RSA public key (RFC 8017 A.1.1), an ECDSA signature (RFC 3279 2.2.3).
fn pair(a: &[u8], b: &[u8]) -> Result<Vec<u8>, TokenError> {
    vec![UintRef::new(a).map_err(bad)?, UintRef::new(b).map_err(bad)?].to_der().map_err(bad)
}

fn bad(_: spki::der::Error) -> TokenError {
    TokenError::Failed("the token gives a malformed key or signature".into())
}

fn info(oid: ObjectIdentifier, parameters: Option<Any>, key: &[u8]) -> Result<Vec<u8>, TokenError> {
    let algorithm = AlgorithmIdentifier { oid, parameters };
    let subject_public_key = BitString::from_bytes(key).map_err(bad)?;
    SubjectPublicKeyInfo { algorithm, subject_public_key }.to_der().map_err(bad)
}

/// SubjectPublicKeyInfo of CKA_MODULUS and CKA_PUBLIC_EXPONENT.
pub(crate) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Vec<u8>, TokenError> {
    info(RSA, Some(Any::from(Null)), &pair(modulus, exponent)?)
}

/// SubjectPublicKeyInfo of CKA_EC_PARAMS and CKA_EC_POINT. The point is wrapped in an OCTET STRING (PKCS#11 2.40
/// 2.3.3), which some tokens forget.
pub(crate) fn ec(parameters: &[u8], point: &[u8]) -> Result<Vec<u8>, TokenError> {
    let point =
        OctetString::from_der(point).map_or_else(|_| point.to_vec(), |inner| inner.as_bytes().to_vec());
    match Any::from_der(parameters) {
        Ok(curve) if curve.decode_as::<ObjectIdentifier>().is_ok_and(|oid| oid != ED25519) => {
            info(EC, Some(curve), &point)
        }
        // Ed25519 is told by its OID or by the name "edwards25519" (PKCS#11 3.0 2.3.10).
        Ok(_) if point.len() == 32 => info(ED25519, None, &point),
        _ => Err(TokenError::Unsupported("the token's key is on a curve that is not offered".into())),
    }
}

/// `SEQUENCE { r, s }` of a token's `r | s`.
pub(crate) fn ecdsa_der(raw: &[u8]) -> Result<Vec<u8>, TokenError> {
    let (r, s) = raw
        .split_at_checked(raw.len() / 2)
        .ok_or_else(|| TokenError::Failed("the token gives a malformed signature".into()))?;
    pair(r, s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_in_der() {
        let mut raw = vec![0x80];
        raw.extend([0; 31]);
        raw.extend([0; 31]);
        raw.push(5);
        let der = ecdsa_der(&raw).unwrap();
        assert_eq!(&der[..5], [0x30, 0x26, 0x02, 0x21, 0x00]);
        assert_eq!(&der[der.len() - 3..], [0x02, 0x01, 0x05]);
    }

    #[test]
    fn a_point_with_and_without_wrapping() {
        let oid = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
        let mut point = vec![4];
        point.extend([1; 64]);
        let mut wrapped = vec![4, 65];
        wrapped.extend(&point);
        assert_eq!(ec(&oid, &point).unwrap(), ec(&oid, &wrapped).unwrap());
        assert!(ec(&[], &point).is_err());
    }
}
