//! Signature algorithms as certificates and AUTH payloads name them (RFC 5280 4.1.1.2, RFC 4055, RFC 7427).
use crate::oid;
use crypto::sign::{Hash, SignScheme};
use der::{Decode, Sequence, SliceReader};
use spki::AlgorithmIdentifierOwned;

/// RSASSA-PSS-params (RFC 4055 3.1).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct PssParams {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    hash: Option<AlgorithmIdentifierOwned>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    mask: Option<AlgorithmIdentifierOwned>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    salt: Option<u32>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    trailer: Option<u32>,
}

/// The scheme of an AlgorithmIdentifier.
///
/// # Errors
/// What is not offered, by name.
pub(crate) fn scheme(algorithm: &AlgorithmIdentifierOwned) -> Result<SignScheme, String> {
    use Hash::{Sha1, Sha256, Sha384, Sha512};
    let rsa = |hash| {
        let null = algorithm.parameters.as_ref().is_none_or(der::asn1::Any::is_null);
        null.then_some(SignScheme::RsaPkcs1(hash)).ok_or_else(|| "RSA signature with parameters".to_owned())
    };
    let bare = |scheme| match algorithm.parameters {
        None => Ok(scheme),
        Some(_) => Err(format!("{scheme} signature with parameters")),
    };
    match algorithm.oid {
        oid::RSA_SHA1 => rsa(Sha1),
        oid::RSA_SHA256 => rsa(Sha256),
        oid::RSA_SHA384 => rsa(Sha384),
        oid::RSA_SHA512 => rsa(Sha512),
        oid::RSA_PSS => pss(algorithm),
        oid::ECDSA_SHA1 => bare(SignScheme::EcdsaDer(Sha1)),
        oid::ECDSA_SHA256 => bare(SignScheme::EcdsaDer(Sha256)),
        oid::ECDSA_SHA384 => bare(SignScheme::EcdsaDer(Sha384)),
        oid::ECDSA_SHA512 => bare(SignScheme::EcdsaDer(Sha512)),
        oid::ED25519 => bare(SignScheme::Ed25519),
        oid::ED448 => bare(SignScheme::Ed448),
        other => Err(format!("signature algorithm {other} is not supported")),
    }
}

/// The backend has the salt as long as the digest and one hash function for both purposes. Lengths are compared, never
/// computed with (the class of CVE-2021-41990).
fn pss(algorithm: &AlgorithmIdentifierOwned) -> Result<SignScheme, String> {
    let params = match &algorithm.parameters {
        Some(any) => {
            any.decode_as::<PssParams>().map_err(|_| "malformed RSASSA-PSS parameters".to_owned())?
        }
        None => return Err("RSASSA-PSS without parameters".to_owned()),
    };
    let hash = params.hash.as_ref().map_or(Some(Hash::Sha1), hash_of);
    let mask = match &params.mask {
        None => Some(Hash::Sha1),
        Some(mask) if mask.oid == oid::MGF1 => mask
            .parameters
            .as_ref()
            .and_then(|any| any.decode_as::<AlgorithmIdentifierOwned>().ok())
            .as_ref()
            .and_then(hash_of),
        Some(_) => None,
    };
    let salt = params.salt.unwrap_or(20);
    match (hash, mask) {
        (Some(hash), Some(mask)) if hash == mask && params.trailer.unwrap_or(1) == 1 => {
            if usize::try_from(salt) == Ok(hash.size()) {
                Ok(SignScheme::RsaPss(hash))
            } else {
                Err(format!("RSASSA-PSS with {hash} and a salt of {salt} bytes is not supported"))
            }
        }
        _ => Err("RSASSA-PSS with these parameters is not supported".to_owned()),
    }
}

/// The hash function of an AlgorithmIdentifier.
pub(crate) fn hash_of(algorithm: &AlgorithmIdentifierOwned) -> Option<Hash> {
    match algorithm.oid {
        oid::SHA1 => Some(Hash::Sha1),
        oid::SHA256 => Some(Hash::Sha256),
        oid::SHA384 => Some(Hash::Sha384),
        oid::SHA512 => Some(Hash::Sha512),
        _ => None,
    }
}

/// Reads the data of an AUTH payload of method 14 (RFC 7427 3): a length, an AlgorithmIdentifier, the signature.
///
/// # Errors
/// What is malformed, or the algorithm that is not offered.
pub fn parse_auth(data: &[u8]) -> Result<(SignScheme, &[u8]), String> {
    let bad = || "malformed digital signature data".to_owned();
    let (&length, rest) = data.split_first().ok_or_else(bad)?;
    let (algorithm, signature) = rest.split_at_checked(usize::from(length)).ok_or_else(bad)?;
    let algorithm = AlgorithmIdentifierOwned::from_der(algorithm).map_err(|_| bad())?;
    if signature.is_empty() {
        return Err(bad());
    }
    Ok((scheme(&algorithm)?, signature))
}

/// The data of an AUTH payload of method 14 (RFC 7427 3).
#[must_use]
pub fn assemble_auth(scheme: SignScheme, signature: &[u8]) -> Option<Vec<u8>> {
    let algorithm = scheme.identifier()?;
    let mut data = vec![u8::try_from(algorithm.len()).ok()?];
    data.extend(algorithm);
    data.extend(signature);
    Some(data)
}

/// `SEQUENCE { to be signed, AlgorithmIdentifier, BIT STRING }`: the shape of certificates, CRLs and OCSP responses,
/// with the bytes that were signed as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) body: Vec<u8>,
    pub(crate) scheme: Result<SignScheme, String>,
    pub(crate) signature: Vec<u8>,
}

impl Signed {
    /// Takes the outer sequence apart; what follows the signature (an OCSP response's certificates) is passed over.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        use der::Reader as _;
        let mut outer = SliceReader::new(der).ok()?;
        let header = der::Header::decode(&mut outer).ok()?;
        if header.tag() != der::Tag::Sequence || outer.remaining_len() != header.length() {
            return None;
        }
        let body = outer.tlv_bytes().ok()?.to_vec();
        let algorithm = AlgorithmIdentifierOwned::decode(&mut outer).ok()?;
        let signature = der::asn1::BitStringRef::decode(&mut outer).ok()?;
        let signature = signature.as_bytes()?.to_vec();
        Some(Self { body, scheme: scheme(&algorithm), signature })
    }

    /// Signed with a hash function that nobody should have to trust any more.
    pub(crate) fn is_sha1(&self) -> bool {
        self.scheme.as_ref().is_ok_and(|scheme| scheme.hash() == Some(Hash::Sha1))
    }

    /// Checks the signature.
    pub(crate) fn verify(&self, key: &crypto::sign::PublicKey) -> Result<SignScheme, String> {
        let scheme = self.scheme.clone()?;
        key.verify(scheme, &self.body, &self.signature).map_err(|error| error.to_string())?;
        Ok(scheme)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    /// RFC 7427 appendix A.
    const PUBLISHED: &[(SignScheme, &str)] = &[
        (SignScheme::RsaPkcs1(Hash::Sha1), "300d06092a864886f70d0101050500"),
        (SignScheme::RsaPkcs1(Hash::Sha256), "300d06092a864886f70d01010b0500"),
        (SignScheme::RsaPkcs1(Hash::Sha384), "300d06092a864886f70d01010c0500"),
        (SignScheme::RsaPkcs1(Hash::Sha512), "300d06092a864886f70d01010d0500"),
        (SignScheme::EcdsaDer(Hash::Sha1), "300906072a8648ce3d0401"),
        (SignScheme::EcdsaDer(Hash::Sha256), "300a06082a8648ce3d040302"),
        (SignScheme::EcdsaDer(Hash::Sha384), "300a06082a8648ce3d040303"),
        (SignScheme::EcdsaDer(Hash::Sha512), "300a06082a8648ce3d040304"),
        (
            SignScheme::RsaPss(Hash::Sha256),
            "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d060960864801\
             65030402010500a203020120",
        ),
        (SignScheme::Ed25519, "300506032b6570"),
    ];

    #[test]
    fn identifiers_as_rfc_7427_has_them() {
        for (scheme, hex) in PUBLISHED {
            let der = scheme.identifier().unwrap();
            assert_eq!(HEXLOWER.encode(&der), hex.replace(' ', ""), "{scheme}");
            let auth = assemble_auth(*scheme, b"signature").unwrap();
            assert_eq!(parse_auth(&auth), Ok((*scheme, &b"signature"[..])));
        }
        assert_eq!(SignScheme::EcdsaRaw(Hash::Sha256).identifier(), None);
    }

    #[test]
    fn salts_are_compared_not_computed_with() {
        // The salt length of CVE-2021-41990: it must neither wrap nor be taken.
        let der = HEXLOWER
            .decode(
                b"304706092a864886f70d01010a303aa00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d060960\
                  86480165030402010500a2090207ffffffffffffff"
                    .iter()
                    .copied()
                    .filter(|b| *b != b' ')
                    .collect::<Vec<u8>>()
                    .as_slice(),
            )
            .unwrap();
        let mut auth = vec![u8::try_from(der.len()).unwrap()];
        auth.extend(&der);
        auth.extend([1; 256]);
        assert!(parse_auth(&auth).is_err());
        for (salt, taken) in [("20", true), ("21", false), ("00", false), ("7f", false)] {
            let text = format!(
                "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086\
                 480165030402010500a2030201{salt}"
            );
            let der = HEXLOWER.decode(text.replace(' ', "").as_bytes()).unwrap();
            let mut auth = vec![u8::try_from(der.len()).unwrap()];
            auth.extend(&der);
            auth.extend([1; 256]);
            assert_eq!(parse_auth(&auth).is_ok(), taken, "{salt}");
        }
    }

    #[test]
    fn malformed_data_is_refused() {
        for data in [&[][..], &[5], &[255, 0x30], &[0], &[2, 0x30, 0], &[7, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70]]
        {
            assert!(parse_auth(data).is_err(), "{data:?}");
        }
        // SHA-224, DSA: by name.
        let sha224 = HEXLOWER.decode(b"0f300d06092a864886f70d01010e050000").unwrap();
        assert_eq!(
            parse_auth(&sha224).unwrap_err(),
            "signature algorithm 1.2.840.113549.1.1.14 is not supported"
        );
    }
}
