//! `pki --verify`.
use super::input::Certificate;
use super::{Call, Outcome, Trouble};
use crypto::sign::{Hash, KeyType, SignScheme};
use der::Encode as _;
use x509_cert::spki::AlgorithmIdentifierOwned;

pub(super) fn run(_call: &Call<'_>) -> Outcome {
    super::missing("verify", "chains are not judged yet")
}

/// How a signature with that AlgorithmIdentifier was made.
pub(super) fn scheme(algorithm: &AlgorithmIdentifierOwned, key: KeyType) -> Result<SignScheme, Trouble> {
    let hash = |which: &[u8]| match which {
        [1] => Hash::Sha256,
        [2] => Hash::Sha384,
        _ => Hash::Sha512,
    };
    Ok(match algorithm.oid.to_string().as_str() {
        "1.2.840.113549.1.1.5" => SignScheme::RsaPkcs1(Hash::Sha1),
        "1.2.840.113549.1.1.11" => SignScheme::RsaPkcs1(Hash::Sha256),
        "1.2.840.113549.1.1.12" => SignScheme::RsaPkcs1(Hash::Sha384),
        "1.2.840.113549.1.1.13" => SignScheme::RsaPkcs1(Hash::Sha512),
        "1.2.840.10045.4.1" => SignScheme::EcdsaDer(Hash::Sha1),
        "1.2.840.10045.4.3.2" => SignScheme::EcdsaDer(Hash::Sha256),
        "1.2.840.10045.4.3.3" => SignScheme::EcdsaDer(Hash::Sha384),
        "1.2.840.10045.4.3.4" => SignScheme::EcdsaDer(Hash::Sha512),
        "1.3.101.112" => SignScheme::Ed25519,
        "1.2.840.113549.1.1.10" => {
            let parameters =
                algorithm.parameters.as_ref().map(|any| any.to_der()).transpose()?.unwrap_or_default();
            let sha2 = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2];
            let at = parameters.windows(sha2.len()).position(|window| window == sha2);
            let which = at.and_then(|at| parameters.get(at + sha2.len()..at + sha2.len() + 1));
            SignScheme::RsaPss(
                which.map(hash).ok_or_else(|| Trouble::failed("RSASSA-PSS with an unknown hash"))?,
            )
        }
        other => {
            return Err(Trouble::Failed(format!("signatures of type {other} are not available ({key} key)")));
        }
    })
}

/// Its own key signed it. As in strongSwan, the names do not matter.
pub(super) fn is_self_signed(certificate: &Certificate) -> bool {
    let check = || -> Result<bool, Trouble> {
        let key = certificate.key()?;
        let scheme = scheme(certificate.read.signature_algorithm(), key.kind())?;
        let tbs = certificate.read.tbs_certificate().to_der()?;
        let signature = certificate.read.signature().as_bytes().unwrap_or_default();
        Ok(key.verify(scheme, &tbs, signature).is_ok())
    };
    check().unwrap_or(false)
}
