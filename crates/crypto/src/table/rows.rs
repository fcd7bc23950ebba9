//! The rows themselves, in the order of the IANA registries.

use wire::iana::{Encr, Integ, Ke, Prf};

use super::Backend::{self, AwsLc, Cygnet, Refused, RustCrypto};

/// An encryption algorithm.
pub(super) struct EncrRow {
    pub(super) id: Encr,
    pub(super) name: &'static str,
    /// What stands before and after the key size in a keyword; the first pair is the one we print.
    forms: &'static [(&'static str, &'static str)],
    /// Keywords without a size, and the size they mean.
    bare: &'static [(&'static str, u16)],
    /// Key sizes in bits, salt not counted.
    pub(super) sizes: &'static [u16],
    pub(super) salt: usize,
    pub(super) iv: usize,
    pub(super) block: usize,
    /// Tag of an AEAD in bytes; 0 for the others.
    pub(super) tag: usize,
    pub(super) backend: Backend,
    pub(super) legacy: bool,
}

impl EncrRow {
    /// Whether proposals carry no Key Length attribute.
    pub(super) fn single_size(&self) -> bool {
        self.forms.is_empty()
    }

    /// The keyword we print.
    pub(super) fn keyword(&self, key_bits: u16) -> String {
        match (self.forms, self.bare) {
            ([(before, after), ..], _) => format!("{before}{key_bits}{after}"),
            (_, [(keyword, _), ..]) => (*keyword).to_owned(),
            _ => self.name.to_owned(),
        }
    }

    /// Every keyword with the Key Length attribute it means.
    pub(super) fn keywords(&self) -> impl Iterator<Item = (String, u16)> {
        let sized = self.forms.iter().flat_map(|(before, after)| {
            self.sizes.iter().map(move |bits| (format!("{before}{bits}{after}"), *bits))
        });
        sized.chain(self.bare.iter().map(|(keyword, bits)| ((*keyword).to_owned(), *bits)))
    }
}

/// An integrity algorithm.
pub(super) struct IntegRow {
    pub(super) id: Integ,
    pub(super) name: &'static str,
    pub(super) keywords: &'static [&'static str],
    pub(super) key: usize,
    pub(super) icv: usize,
    pub(super) prf: Option<Prf>,
    pub(super) backend: Backend,
    pub(super) legacy: bool,
}

/// A pseudo-random function or a key exchange method.
pub(super) struct PlainRow<T: 'static> {
    pub(super) id: T,
    pub(super) name: &'static str,
    pub(super) keywords: &'static [&'static str],
    pub(super) backend: Backend,
    pub(super) legacy: bool,
}

impl<T> PlainRow<T> {
    /// The keyword we print.
    pub(super) fn keyword(&self) -> String {
        self.keywords.first().map_or_else(|| self.name.to_owned(), ToString::to_string)
    }
}

const AES: &[u16] = &[128, 192, 256];
const FORBIDDEN: Backend = Refused("RFC 8221 5 forbids it");
const SMALL_BLOCK: Backend =
    Refused("its blocks of 64 bits are too small; of that kind only 3DES is kept for old peers");
const AH_ONLY: Backend =
    Refused("it is an algorithm of AH only (RFC 4543 5), and the kernel's AH does not have it");

const BASE: EncrRow = EncrRow {
    id: Encr::Null,
    name: "NULL",
    forms: &[],
    bare: &[("null", 0)],
    sizes: &[0],
    salt: 0,
    iv: 0,
    block: 1,
    tag: 0,
    backend: Cygnet,
    legacy: false,
};

const CBC: EncrRow = EncrRow { bare: &[], sizes: AES, iv: 16, block: 16, ..BASE };
const CTR: EncrRow = EncrRow { bare: &[], sizes: AES, salt: 4, iv: 8, ..BASE };
const CCM: EncrRow = EncrRow { salt: 3, backend: RustCrypto, ..CTR };

pub(super) const ENCR: &[EncrRow] = &[
    EncrRow {
        id: Encr::Des,
        name: "DES_CBC",
        bare: &[("des", 0)],
        sizes: &[64],
        iv: 8,
        block: 8,
        backend: FORBIDDEN,
        legacy: true,
        ..BASE
    },
    EncrRow {
        id: Encr::TripleDes,
        name: "3DES_CBC",
        bare: &[("3des", 0)],
        sizes: &[192],
        iv: 8,
        block: 8,
        backend: RustCrypto,
        legacy: true,
        ..BASE
    },
    EncrRow {
        id: Encr::Cast,
        name: "CAST_CBC",
        forms: &[("cast", "")],
        sizes: &[128],
        iv: 8,
        block: 8,
        backend: SMALL_BLOCK,
        legacy: true,
        ..CBC
    },
    EncrRow {
        id: Encr::Blowfish,
        name: "BLOWFISH_CBC",
        forms: &[("blowfish", "")],
        bare: &[("blowfish", 128)],
        iv: 8,
        block: 8,
        backend: FORBIDDEN,
        legacy: true,
        ..CBC
    },
    BASE,
    EncrRow {
        id: Encr::AesCbc,
        name: "AES_CBC",
        forms: &[("aes", "")],
        bare: &[("aes", 128)],
        backend: AwsLc,
        ..CBC
    },
    EncrRow { id: Encr::AesCtr, name: "AES_CTR", forms: &[("aes", "ctr")], backend: AwsLc, ..CTR },
    EncrRow {
        id: Encr::AesCcm8,
        name: "AES_CCM_8",
        forms: &[("aes", "ccm8"), ("aes", "ccm64")],
        tag: 8,
        ..CCM
    },
    EncrRow {
        id: Encr::AesCcm12,
        name: "AES_CCM_12",
        forms: &[("aes", "ccm12"), ("aes", "ccm96")],
        tag: 12,
        ..CCM
    },
    EncrRow {
        id: Encr::AesCcm16,
        name: "AES_CCM_16",
        forms: &[("aes", "ccm16"), ("aes", "ccm128"), ("aes", "ccm")],
        tag: 16,
        ..CCM
    },
    EncrRow {
        id: Encr::AesGcm8,
        name: "AES_GCM_8",
        forms: &[("aes", "gcm8"), ("aes", "gcm64")],
        tag: 8,
        backend: Cygnet,
        ..CTR
    },
    EncrRow {
        id: Encr::AesGcm12,
        name: "AES_GCM_12",
        forms: &[("aes", "gcm12"), ("aes", "gcm96")],
        tag: 12,
        backend: Cygnet,
        ..CTR
    },
    EncrRow {
        id: Encr::AesGcm16,
        name: "AES_GCM_16",
        forms: &[("aes", "gcm16"), ("aes", "gcm128"), ("aes", "gcm")],
        tag: 16,
        backend: AwsLc,
        ..CTR
    },
    EncrRow {
        id: Encr::NullAesGmac,
        name: "NULL_AES_GMAC",
        forms: &[("aes", "gmac")],
        tag: 16,
        backend: Cygnet,
        ..CTR
    },
    EncrRow {
        id: Encr::CamelliaCbc,
        name: "CAMELLIA_CBC",
        forms: &[("camellia", "")],
        bare: &[("camellia", 128)],
        backend: RustCrypto,
        ..CBC
    },
    EncrRow {
        id: Encr::CamelliaCtr,
        name: "CAMELLIA_CTR",
        forms: &[("camellia", "ctr")],
        backend: RustCrypto,
        ..CTR
    },
    EncrRow {
        id: Encr::CamelliaCcm8,
        name: "CAMELLIA_CCM_8",
        forms: &[("camellia", "ccm8"), ("camellia", "ccm64")],
        tag: 8,
        ..CCM
    },
    EncrRow {
        id: Encr::CamelliaCcm12,
        name: "CAMELLIA_CCM_12",
        forms: &[("camellia", "ccm12"), ("camellia", "ccm96")],
        tag: 12,
        ..CCM
    },
    EncrRow {
        id: Encr::CamelliaCcm16,
        name: "CAMELLIA_CCM_16",
        forms: &[("camellia", "ccm16"), ("camellia", "ccm128")],
        tag: 16,
        ..CCM
    },
    EncrRow {
        id: Encr::ChaCha20Poly1305,
        name: "CHACHA20_POLY1305",
        bare: &[("chacha20poly1305", 0)],
        sizes: &[256],
        salt: 4,
        iv: 8,
        tag: 16,
        backend: AwsLc,
        ..BASE
    },
];

const HMAC: IntegRow = IntegRow {
    id: Integ::HmacSha256_128,
    name: "HMAC_SHA2_256_128",
    keywords: &["sha256", "sha2_256"],
    key: 32,
    icv: 16,
    prf: Some(Prf::HmacSha256),
    backend: AwsLc,
    legacy: false,
};

pub(super) const INTEG: &[IntegRow] = &[
    IntegRow {
        id: Integ::HmacMd5_96,
        name: "HMAC_MD5_96",
        keywords: &["md5"],
        key: 16,
        icv: 12,
        prf: Some(Prf::HmacMd5),
        backend: RustCrypto,
        legacy: true,
    },
    IntegRow {
        id: Integ::HmacSha1_96,
        name: "HMAC_SHA1_96",
        keywords: &["sha1", "sha"],
        key: 20,
        icv: 12,
        prf: Some(Prf::HmacSha1),
        legacy: true,
        ..HMAC
    },
    IntegRow {
        id: Integ::AesXcbc96,
        name: "AES_XCBC_96",
        keywords: &["aesxcbc"],
        key: 16,
        icv: 12,
        prf: Some(Prf::Aes128Xcbc),
        backend: Cygnet,
        ..HMAC
    },
    IntegRow {
        id: Integ::HmacMd5_128,
        name: "HMAC_MD5_128",
        keywords: &["md5_128"],
        key: 16,
        icv: 16,
        prf: Some(Prf::HmacMd5),
        backend: RustCrypto,
        legacy: true,
    },
    IntegRow {
        id: Integ::HmacSha1_160,
        name: "HMAC_SHA1_160",
        keywords: &["sha1_160"],
        key: 20,
        icv: 20,
        prf: Some(Prf::HmacSha1),
        legacy: true,
        ..HMAC
    },
    IntegRow {
        id: Integ::AesCmac96,
        name: "AES_CMAC_96",
        keywords: &["aescmac"],
        key: 16,
        icv: 12,
        prf: Some(Prf::Aes128Cmac),
        backend: Cygnet,
        ..HMAC
    },
    IntegRow {
        id: Integ::Aes128Gmac,
        name: "AES_128_GMAC",
        keywords: &[],
        key: 20,
        prf: None,
        backend: AH_ONLY,
        ..HMAC
    },
    IntegRow {
        id: Integ::Aes192Gmac,
        name: "AES_192_GMAC",
        keywords: &[],
        key: 28,
        prf: None,
        backend: AH_ONLY,
        ..HMAC
    },
    IntegRow {
        id: Integ::Aes256Gmac,
        name: "AES_256_GMAC",
        keywords: &[],
        key: 36,
        prf: None,
        backend: AH_ONLY,
        ..HMAC
    },
    HMAC,
    IntegRow {
        id: Integ::HmacSha384_192,
        name: "HMAC_SHA2_384_192",
        keywords: &["sha384", "sha2_384"],
        key: 48,
        icv: 24,
        prf: Some(Prf::HmacSha384),
        ..HMAC
    },
    IntegRow {
        id: Integ::HmacSha512_256,
        name: "HMAC_SHA2_512_256",
        keywords: &["sha512", "sha2_512"],
        key: 64,
        icv: 32,
        prf: Some(Prf::HmacSha512),
        ..HMAC
    },
    IntegRow {
        id: Integ::HmacSha256_96,
        name: "HMAC_SHA2_256_96",
        keywords: &["sha256_96", "sha2_256_96"],
        icv: 12,
        ..HMAC
    },
];

const fn prf(
    id: Prf,
    name: &'static str,
    keywords: &'static [&'static str],
    backend: Backend,
    legacy: bool,
) -> PlainRow<Prf> {
    PlainRow { id, name, keywords, backend, legacy }
}

pub(super) const PRF: &[PlainRow<Prf>] = &[
    prf(Prf::HmacMd5, "PRF_HMAC_MD5", &["prfmd5"], RustCrypto, true),
    prf(Prf::HmacSha1, "PRF_HMAC_SHA1", &["prfsha1"], AwsLc, true),
    prf(Prf::Aes128Xcbc, "PRF_AES128_XCBC", &["prfaesxcbc"], Cygnet, false),
    prf(Prf::HmacSha256, "PRF_HMAC_SHA2_256", &["prfsha256"], AwsLc, false),
    prf(Prf::HmacSha384, "PRF_HMAC_SHA2_384", &["prfsha384"], AwsLc, false),
    prf(Prf::HmacSha512, "PRF_HMAC_SHA2_512", &["prfsha512"], AwsLc, false),
    prf(Prf::Aes128Cmac, "PRF_AES128_CMAC", &["prfaescmac"], Cygnet, false),
];

const fn ke(
    id: Ke,
    name: &'static str,
    keywords: &'static [&'static str],
    backend: Backend,
    legacy: bool,
) -> PlainRow<Ke> {
    PlainRow { id, name, keywords, backend, legacy }
}

const SMALL_CURVE: Backend =
    Refused("no stable release of a kept library has this curve, which is weak besides");
const NO_BRAINPOOL: Backend = Refused("no stable release of a kept library has this curve");

pub(super) const KE: &[PlainRow<Ke>] = &[
    ke(Ke::Modp768, "MODP_768", &["modp768"], Cygnet, true),
    ke(Ke::Modp1024, "MODP_1024", &["modp1024"], Cygnet, true),
    ke(Ke::Modp1536, "MODP_1536", &["modp1536"], Cygnet, true),
    ke(Ke::Modp2048, "MODP_2048", &["modp2048"], Cygnet, false),
    ke(Ke::Modp3072, "MODP_3072", &["modp3072"], Cygnet, false),
    ke(Ke::Modp4096, "MODP_4096", &["modp4096"], Cygnet, false),
    ke(Ke::Modp6144, "MODP_6144", &["modp6144"], Cygnet, false),
    ke(Ke::Modp8192, "MODP_8192", &["modp8192"], Cygnet, false),
    ke(Ke::Ecp256, "ECP_256", &["ecp256"], AwsLc, false),
    ke(Ke::Ecp384, "ECP_384", &["ecp384"], AwsLc, false),
    ke(Ke::Ecp521, "ECP_521", &["ecp521"], AwsLc, false),
    ke(Ke::Modp1024s160, "MODP_1024_160", &["modp1024s160"], Cygnet, true),
    ke(Ke::Modp2048s224, "MODP_2048_224", &["modp2048s224"], Cygnet, true),
    ke(Ke::Modp2048s256, "MODP_2048_256", &["modp2048s256"], Cygnet, true),
    ke(Ke::Ecp192, "ECP_192", &["ecp192"], SMALL_CURVE, true),
    ke(Ke::Ecp224, "ECP_224", &["ecp224"], SMALL_CURVE, true),
    ke(Ke::BrainpoolP224, "ECP_224_BP", &["ecp224bp"], NO_BRAINPOOL, true),
    ke(Ke::BrainpoolP256, "ECP_256_BP", &["ecp256bp"], RustCrypto, false),
    ke(Ke::BrainpoolP384, "ECP_384_BP", &["ecp384bp"], RustCrypto, false),
    ke(Ke::BrainpoolP512, "ECP_512_BP", &["ecp512bp"], NO_BRAINPOOL, false),
    ke(Ke::X25519, "CURVE_25519", &["x25519", "curve25519"], AwsLc, false),
    ke(
        Ke::X448,
        "CURVE_448",
        &["x448", "curve448"],
        Refused("no stable release of a kept library has this curve"),
        false,
    ),
    ke(Ke::MlKem512, "ML_KEM_512", &["mlkem512"], AwsLc, false),
    ke(Ke::MlKem768, "ML_KEM_768", &["mlkem768"], AwsLc, false),
    ke(Ke::MlKem1024, "ML_KEM_1024", &["mlkem1024"], AwsLc, false),
];
