//! Keywords of algorithms (strongSwan's "Algorithm Proposals"), and the names charon logs.
use wire::iana::{Encr, Esn, Integ, Ke, Prf};

/// What a keyword of a proposal stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyword {
    /// Cipher and key length in bits, 0 where the cipher has only one.
    Encr(Encr, u16),
    /// Integrity algorithm; also gives the PRF of an IKE proposal without one.
    Integ(Integ),
    /// Pseudo-random function.
    Prf(Prf),
    /// Key exchange method; `Ke::None` is `none`.
    Ke(Ke),
    /// Additional key exchange 1 to 7 (RFC 9370).
    AddKe(u8, Ke),
    /// Extended sequence numbers.
    Esn(Esn),
}

type EncrRow = (&'static str, &'static [&'static str], Encr, u16);

const ENCR: &[EncrRow] = &[
    ("null", &[], Encr::Null, 0),
    ("3des", &[], Encr::TripleDes, 0),
    ("des", &[], Encr::Des, 0),
    ("cast128", &[], Encr::Cast, 128),
    ("blowfish128", &["blowfish"], Encr::Blowfish, 128),
    ("blowfish192", &[], Encr::Blowfish, 192),
    ("blowfish256", &[], Encr::Blowfish, 256),
    ("aes128", &["aes"], Encr::AesCbc, 128),
    ("aes192", &[], Encr::AesCbc, 192),
    ("aes256", &[], Encr::AesCbc, 256),
    ("aes128ctr", &[], Encr::AesCtr, 128),
    ("aes192ctr", &[], Encr::AesCtr, 192),
    ("aes256ctr", &[], Encr::AesCtr, 256),
    ("aes128ccm8", &["aes128ccm64"], Encr::AesCcm8, 128),
    ("aes192ccm8", &["aes192ccm64"], Encr::AesCcm8, 192),
    ("aes256ccm8", &["aes256ccm64"], Encr::AesCcm8, 256),
    ("aes128ccm12", &["aes128ccm96"], Encr::AesCcm12, 128),
    ("aes192ccm12", &["aes192ccm96"], Encr::AesCcm12, 192),
    ("aes256ccm12", &["aes256ccm96"], Encr::AesCcm12, 256),
    ("aes128ccm16", &["aes128ccm128"], Encr::AesCcm16, 128),
    ("aes192ccm16", &["aes192ccm128"], Encr::AesCcm16, 192),
    ("aes256ccm16", &["aes256ccm128"], Encr::AesCcm16, 256),
    ("aes128gcm8", &["aes128gcm64"], Encr::AesGcm8, 128),
    ("aes192gcm8", &["aes192gcm64"], Encr::AesGcm8, 192),
    ("aes256gcm8", &["aes256gcm64"], Encr::AesGcm8, 256),
    ("aes128gcm12", &["aes128gcm96"], Encr::AesGcm12, 128),
    ("aes192gcm12", &["aes192gcm96"], Encr::AesGcm12, 192),
    ("aes256gcm12", &["aes256gcm96"], Encr::AesGcm12, 256),
    ("aes128gcm16", &["aes128gcm128"], Encr::AesGcm16, 128),
    ("aes192gcm16", &["aes192gcm128"], Encr::AesGcm16, 192),
    ("aes256gcm16", &["aes256gcm128"], Encr::AesGcm16, 256),
    ("aes128gmac", &[], Encr::NullAesGmac, 128),
    ("aes192gmac", &[], Encr::NullAesGmac, 192),
    ("aes256gmac", &[], Encr::NullAesGmac, 256),
    ("camellia128", &["camellia"], Encr::CamelliaCbc, 128),
    ("camellia192", &[], Encr::CamelliaCbc, 192),
    ("camellia256", &[], Encr::CamelliaCbc, 256),
    ("camellia128ctr", &[], Encr::CamelliaCtr, 128),
    ("camellia192ctr", &[], Encr::CamelliaCtr, 192),
    ("camellia256ctr", &[], Encr::CamelliaCtr, 256),
    ("camellia128ccm8", &["camellia128ccm64"], Encr::CamelliaCcm8, 128),
    ("camellia192ccm8", &["camellia192ccm64"], Encr::CamelliaCcm8, 192),
    ("camellia256ccm8", &["camellia256ccm64"], Encr::CamelliaCcm8, 256),
    ("camellia128ccm12", &["camellia128ccm96"], Encr::CamelliaCcm12, 128),
    ("camellia192ccm12", &["camellia192ccm96"], Encr::CamelliaCcm12, 192),
    ("camellia256ccm12", &["camellia256ccm96"], Encr::CamelliaCcm12, 256),
    ("camellia128ccm16", &["camellia128ccm128"], Encr::CamelliaCcm16, 128),
    ("camellia192ccm16", &["camellia192ccm128"], Encr::CamelliaCcm16, 192),
    ("camellia256ccm16", &["camellia256ccm128"], Encr::CamelliaCcm16, 256),
    ("chacha20poly1305", &[], Encr::ChaCha20Poly1305, 0),
];

const INTEG: &[(&str, &[&str], Integ, &str)] = &[
    ("md5", &[], Integ::HmacMd5_96, "HMAC_MD5_96"),
    ("md5_128", &[], Integ::HmacMd5_128, "HMAC_MD5_128"),
    ("sha1", &["sha"], Integ::HmacSha1_96, "HMAC_SHA1_96"),
    ("sha1_160", &[], Integ::HmacSha1_160, "HMAC_SHA1_160"),
    ("aesxcbc", &[], Integ::AesXcbc96, "AES_XCBC_96"),
    ("aescmac", &[], Integ::AesCmac96, "AES_CMAC_96"),
    ("aes128gmac", &[], Integ::Aes128Gmac, "AES_128_GMAC"),
    ("aes192gmac", &[], Integ::Aes192Gmac, "AES_192_GMAC"),
    ("aes256gmac", &[], Integ::Aes256Gmac, "AES_256_GMAC"),
    ("sha256", &["sha2_256"], Integ::HmacSha256_128, "HMAC_SHA2_256_128"),
    ("sha384", &["sha2_384"], Integ::HmacSha384_192, "HMAC_SHA2_384_192"),
    ("sha512", &["sha2_512"], Integ::HmacSha512_256, "HMAC_SHA2_512_256"),
    ("sha256_96", &["sha2_256_96"], Integ::HmacSha256_96, "HMAC_SHA2_256_96"),
];

const PRF: &[(&str, &[&str], Prf, &str)] = &[
    ("prfmd5", &[], Prf::HmacMd5, "PRF_HMAC_MD5"),
    ("prfsha1", &[], Prf::HmacSha1, "PRF_HMAC_SHA1"),
    ("prfaesxcbc", &[], Prf::Aes128Xcbc, "PRF_AES128_XCBC"),
    ("prfaescmac", &[], Prf::Aes128Cmac, "PRF_AES128_CMAC"),
    ("prfsha256", &[], Prf::HmacSha256, "PRF_HMAC_SHA2_256"),
    ("prfsha384", &[], Prf::HmacSha384, "PRF_HMAC_SHA2_384"),
    ("prfsha512", &[], Prf::HmacSha512, "PRF_HMAC_SHA2_512"),
];

const KE: &[(&str, &[&str], Ke, &str)] = &[
    ("none", &["modpnone"], Ke::None, "NONE"),
    ("modp768", &[], Ke::Modp768, "MODP_768"),
    ("modp1024", &[], Ke::Modp1024, "MODP_1024"),
    ("modp1536", &[], Ke::Modp1536, "MODP_1536"),
    ("modp2048", &[], Ke::Modp2048, "MODP_2048"),
    ("modp3072", &[], Ke::Modp3072, "MODP_3072"),
    ("modp4096", &[], Ke::Modp4096, "MODP_4096"),
    ("modp6144", &[], Ke::Modp6144, "MODP_6144"),
    ("modp8192", &[], Ke::Modp8192, "MODP_8192"),
    ("modp1024s160", &[], Ke::Modp1024s160, "MODP_1024_160"),
    ("modp2048s224", &[], Ke::Modp2048s224, "MODP_2048_224"),
    ("modp2048s256", &[], Ke::Modp2048s256, "MODP_2048_256"),
    ("ecp192", &[], Ke::Ecp192, "ECP_192"),
    ("ecp224", &[], Ke::Ecp224, "ECP_224"),
    ("ecp256", &[], Ke::Ecp256, "ECP_256"),
    ("ecp384", &[], Ke::Ecp384, "ECP_384"),
    ("ecp521", &[], Ke::Ecp521, "ECP_521"),
    ("ecp224bp", &[], Ke::BrainpoolP224, "ECP_224_BP"),
    ("ecp256bp", &[], Ke::BrainpoolP256, "ECP_256_BP"),
    ("ecp384bp", &[], Ke::BrainpoolP384, "ECP_384_BP"),
    ("ecp512bp", &[], Ke::BrainpoolP512, "ECP_512_BP"),
    ("x25519", &["curve25519"], Ke::X25519, "CURVE_25519"),
    ("x448", &["curve448"], Ke::X448, "CURVE_448"),
    ("mlkem512", &[], Ke::MlKem512, "ML_KEM_512"),
    ("mlkem768", &[], Ke::MlKem768, "ML_KEM_768"),
    ("mlkem1024", &[], Ke::MlKem1024, "ML_KEM_1024"),
];

/// Reads one keyword, without regard to case.
#[must_use]
pub fn parse(text: &str) -> Option<Keyword> {
    let text = text.to_ascii_lowercase();
    let text = text.as_str();
    let is = |name: &str, aliases: &[&str]| name == text || aliases.contains(&text);
    if let Some((_, _, encr, bits)) = ENCR.iter().find(|row| is(row.0, row.1)) {
        return Some(Keyword::Encr(*encr, *bits));
    }
    if let Some((_, _, integ, _)) = INTEG.iter().find(|row| is(row.0, row.1)) {
        return Some(Keyword::Integ(*integ));
    }
    if let Some((_, _, prf, _)) = PRF.iter().find(|row| is(row.0, row.1)) {
        return Some(Keyword::Prf(*prf));
    }
    if let Some((_, _, ke, _)) = KE.iter().find(|row| is(row.0, row.1)) {
        return Some(Keyword::Ke(*ke));
    }
    match text {
        "esn" => return Some(Keyword::Esn(Esn::Yes)),
        "noesn" => return Some(Keyword::Esn(Esn::No)),
        _ => {}
    }
    let (number, method) = text.strip_prefix("ke")?.split_once('_')?;
    let number: u8 = number.parse().ok()?;
    let (_, _, ke, _) = KE.iter().find(|row| row.0 == method || row.1.contains(&method))?;
    (1..=7).contains(&number).then_some(Keyword::AddKe(number, *ke))
}

/// The integrity algorithm that a GMAC keyword means in an AH proposal (in ESP it is a cipher).
#[must_use]
pub fn gmac_integ(encr: Encr, bits: u16) -> Option<Integ> {
    match (encr, bits) {
        (Encr::NullAesGmac, 128) => Some(Integ::Aes128Gmac),
        (Encr::NullAesGmac, 192) => Some(Integ::Aes192Gmac),
        (Encr::NullAesGmac, 256) => Some(Integ::Aes256Gmac),
        _ => None,
    }
}

/// Every keyword in its first spelling, for hints.
pub fn all() -> impl Iterator<Item = &'static str> {
    let encr = ENCR.iter().map(|row| row.0);
    let integ = INTEG.iter().map(|row| row.0);
    let prf = PRF.iter().map(|row| row.0);
    let ke = KE.iter().map(|row| row.0);
    encr.chain(integ).chain(prf).chain(ke).chain(["esn", "noesn", "default"])
}

/// Keyword of a cipher.
#[must_use]
pub fn encr(encr: Encr, bits: u16) -> String {
    match ENCR.iter().find(|row| row.2 == encr && row.3 == bits) {
        Some(row) => row.0.to_owned(),
        None => format!("encr{}_{bits}", u16::from(encr)),
    }
}

/// Keyword of an integrity algorithm.
#[must_use]
pub fn integ(integ: Integ) -> String {
    INTEG
        .iter()
        .find(|row| row.2 == integ)
        .map_or_else(|| format!("integ{}", u16::from(integ)), |row| row.0.into())
}

/// Keyword of a PRF.
#[must_use]
pub fn prf(prf: Prf) -> String {
    PRF.iter().find(|row| row.2 == prf).map_or_else(|| format!("prf{}", u16::from(prf)), |row| row.0.into())
}

/// Keyword of a key exchange method.
#[must_use]
pub fn ke(ke: Ke) -> String {
    KE.iter().find(|row| row.2 == ke).map_or_else(|| format!("ke{}", u16::from(ke)), |row| row.0.into())
}

/// Name of a cipher in logs and `list-sa`, without the key length: `AES_GCM_16`.
#[must_use]
pub fn encr_name(encr: Encr) -> String {
    let name = match encr {
        Encr::Des => "DES_CBC",
        Encr::TripleDes => "3DES_CBC",
        Encr::Cast => "CAST_CBC",
        Encr::Blowfish => "BLOWFISH_CBC",
        Encr::Null => "NULL",
        Encr::AesCbc => "AES_CBC",
        Encr::AesCtr => "AES_CTR",
        Encr::AesCcm8 => "AES_CCM_8",
        Encr::AesCcm12 => "AES_CCM_12",
        Encr::AesCcm16 => "AES_CCM_16",
        Encr::AesGcm8 => "AES_GCM_8",
        Encr::AesGcm12 => "AES_GCM_12",
        Encr::AesGcm16 => "AES_GCM_16",
        Encr::NullAesGmac => "NULL_AES_GMAC",
        Encr::CamelliaCbc => "CAMELLIA_CBC",
        Encr::CamelliaCtr => "CAMELLIA_CTR",
        Encr::CamelliaCcm8 => "CAMELLIA_CCM_8",
        Encr::CamelliaCcm12 => "CAMELLIA_CCM_12",
        Encr::CamelliaCcm16 => "CAMELLIA_CCM_16",
        Encr::ChaCha20Poly1305 => "CHACHA20_POLY1305",
        Encr::Unknown(n) => return format!("({n})"),
    };
    name.to_owned()
}

/// Name of an integrity algorithm in logs: `HMAC_SHA2_256_128`.
#[must_use]
pub fn integ_name(integ: Integ) -> String {
    let row = INTEG.iter().find(|row| row.2 == integ);
    row.map_or_else(|| format!("({})", u16::from(integ)), |row| row.3.into())
}

/// Name of a PRF in logs: `PRF_HMAC_SHA2_256`.
#[must_use]
pub fn prf_name(prf: Prf) -> String {
    let row = PRF.iter().find(|row| row.2 == prf);
    row.map_or_else(|| format!("({})", u16::from(prf)), |row| row.3.into())
}

/// Name of a key exchange method in logs: `CURVE_25519`.
#[must_use]
pub fn ke_name(ke: Ke) -> String {
    KE.iter().find(|row| row.2 == ke).map_or_else(|| format!("({})", u16::from(ke)), |row| row.3.into())
}

/// Encrypts and authenticates in one: needs no integrity algorithm (RFC 5282, RFC 7296 3.3).
#[must_use]
pub fn is_aead(encr: Encr) -> bool {
    match encr {
        Encr::AesCcm8
        | Encr::AesCcm12
        | Encr::AesCcm16
        | Encr::AesGcm8
        | Encr::AesGcm12
        | Encr::AesGcm16
        | Encr::NullAesGmac
        | Encr::CamelliaCcm8
        | Encr::CamelliaCcm12
        | Encr::CamelliaCcm16
        | Encr::ChaCha20Poly1305 => true,
        Encr::Des
        | Encr::TripleDes
        | Encr::Cast
        | Encr::Blowfish
        | Encr::Null
        | Encr::AesCbc
        | Encr::AesCtr
        | Encr::CamelliaCbc
        | Encr::CamelliaCtr
        | Encr::Unknown(_) => false,
    }
}
