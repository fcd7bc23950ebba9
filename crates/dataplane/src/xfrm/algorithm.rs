//! Algorithms by the kernel's names.
use crate::DataplaneError;
use wire::iana::{Encr, Integ, ProtocolId};

/// What one SA is made of; lengths of ICVs in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) aead: Option<(&'static str, u32)>,
    pub(super) encryption: Option<&'static str>,
    pub(super) integrity: Option<(&'static str, u32)>,
}

/// The kernel's names for what was negotiated.
pub(super) fn names(protocol: ProtocolId, encr: Encr, integ: Integ) -> Result<Names, DataplaneError> {
    let none = Names { aead: None, encryption: None, integrity: None };
    if protocol == ProtocolId::Ah {
        return Ok(Names { integrity: integrity(integ)?, ..none });
    }
    if let Some(aead) = aead(encr) {
        return Ok(Names { aead: Some(aead), ..none });
    }
    let encryption = Some(encryption(encr)?);
    Ok(Names { encryption, integrity: integrity(integ)?, ..none })
}

fn aead(encr: Encr) -> Option<(&'static str, u32)> {
    Some(match encr {
        Encr::AesGcm8 => ("rfc4106(gcm(aes))", 64),
        Encr::AesGcm12 => ("rfc4106(gcm(aes))", 96),
        Encr::AesGcm16 => ("rfc4106(gcm(aes))", 128),
        Encr::AesCcm8 => ("rfc4309(ccm(aes))", 64),
        Encr::AesCcm12 => ("rfc4309(ccm(aes))", 96),
        Encr::AesCcm16 => ("rfc4309(ccm(aes))", 128),
        Encr::NullAesGmac => ("rfc4543(gcm(aes))", 128),
        Encr::ChaCha20Poly1305 => ("rfc7539esp(chacha20,poly1305)", 128),
        _ => return None,
    })
}

fn encryption(encr: Encr) -> Result<&'static str, DataplaneError> {
    Ok(match encr {
        Encr::Null => "ecb(cipher_null)",
        Encr::Des => "cbc(des)",
        Encr::TripleDes => "cbc(des3_ede)",
        Encr::Cast => "cbc(cast5)",
        Encr::Blowfish => "cbc(blowfish)",
        Encr::AesCbc => "cbc(aes)",
        Encr::AesCtr => "rfc3686(ctr(aes))",
        Encr::CamelliaCbc => "cbc(camellia)",
        other => return Err(DataplaneError::Unsupported(format!("{other:?}"), "xfrm")),
    })
}

fn integrity(integ: Integ) -> Result<Option<(&'static str, u32)>, DataplaneError> {
    Ok(Some(match integ {
        Integ::None => return Ok(None),
        Integ::HmacMd5_96 => ("hmac(md5)", 96),
        Integ::HmacMd5_128 => ("hmac(md5)", 128),
        Integ::HmacSha1_96 => ("hmac(sha1)", 96),
        Integ::HmacSha1_160 => ("hmac(sha1)", 160),
        Integ::HmacSha256_96 => ("hmac(sha256)", 96),
        Integ::HmacSha256_128 => ("hmac(sha256)", 128),
        Integ::HmacSha384_192 => ("hmac(sha384)", 192),
        Integ::HmacSha512_256 => ("hmac(sha512)", 256),
        Integ::AesXcbc96 => ("xcbc(aes)", 96),
        Integ::AesCmac96 => ("cmac(aes)", 96),
        other => return Err(DataplaneError::Unsupported(format!("{other:?}"), "xfrm")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cipher_of_its_own_needs_no_integrity_and_the_unknown_is_named() {
        let gcm = names(ProtocolId::Esp, Encr::AesGcm12, Integ::None).unwrap();
        assert_eq!((gcm.aead, gcm.integrity), (Some(("rfc4106(gcm(aes))", 96)), None));
        let cbc = names(ProtocolId::Esp, Encr::AesCbc, Integ::HmacSha384_192).unwrap();
        assert_eq!((cbc.encryption, cbc.integrity), (Some("cbc(aes)"), Some(("hmac(sha384)", 192))));
        let ah = names(ProtocolId::Ah, Encr::AesCbc, Integ::HmacSha256_128).unwrap();
        assert_eq!((ah.encryption, ah.integrity), (None, Some(("hmac(sha256)", 128))));
        let unknown = names(ProtocolId::Esp, Encr::CamelliaCcm16, Integ::None).unwrap_err();
        assert_eq!(unknown.to_string(), "CamelliaCcm16 is not supported by the xfrm data plane");
    }
}
