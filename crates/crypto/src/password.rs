//! Password-based encryption of key files as older programs made it: PEM with `Proc-Type: 4,ENCRYPTED`, and the schemes
//! and MACs of PKCS#12 (RFC 7292). Legacy: what is new is encrypted with PBES2, by the parsers of key files themselves.
use crate::Secret;
use crate::secret::ct_eq;
use crate::sign::{Hash, digest};
use aes::{Aes128, Aes192, Aes256};
use cipher::array::Array;
use cipher::{BlockCipherDecrypt, BlockModeDecrypt as _, BlockModeEncrypt as _, InnerIvInit as _, KeyInit};
use des::{Des, TdesEde2, TdesEde3};
use md5::{Digest as _, Md5};
use rc2::Rc2;
use zeroize::Zeroizing;

/// More iterations than this are refused: a file could keep us busy for hours.
pub const MAX_ITERATIONS: u32 = 10_000_000;

/// Decrypts the body of a PEM file with `DEK-Info: name,iv` as OpenSSL has always written it: the key is the MD5 of
/// password and the IV's first 8 bytes, repeated. `None`: an unknown cipher, or the password is wrong.
#[must_use]
pub fn pem_decrypt(name: &str, iv: &[u8], password: &[u8], data: &[u8]) -> Option<Secret> {
    let salt = iv.get(..8)?;
    let key = |len: usize| {
        let mut key = Zeroizing::new(Vec::new());
        let mut last: Zeroizing<Vec<u8>> = Zeroizing::new(Vec::new());
        while key.len() < len {
            let mut hash = Md5::new();
            hash.update(&*last);
            hash.update(password);
            hash.update(salt);
            last = Zeroizing::new(hash.finalize().to_vec());
            key.extend_from_slice(&last);
        }
        key.truncate(len);
        key
    };
    match name {
        "DES-CBC" => unpad(cbc(Des::new_from_slice(&key(8)).ok()?, iv, data)?),
        "DES-EDE3-CBC" => unpad(cbc(TdesEde3::new_from_slice(&key(24)).ok()?, iv, data)?),
        "AES-128-CBC" => unpad(cbc(Aes128::new_from_slice(&key(16)).ok()?, iv, data)?),
        "AES-192-CBC" => unpad(cbc(Aes192::new_from_slice(&key(24)).ok()?, iv, data)?),
        "AES-256-CBC" => unpad(cbc(Aes256::new_from_slice(&key(32)).ok()?, iv, data)?),
        _ => None,
    }
}

/// The encryption schemes of PKCS#12 (RFC 7292 C), all with SHA-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pkcs12Cipher {
    /// pbeWithSHAAnd3-KeyTripleDES-CBC.
    TripleDes,
    /// pbeWithSHAAnd2-KeyTripleDES-CBC.
    DoubleDes,
    /// pbeWithSHAAnd128BitRC2-CBC.
    Rc2,
    /// pbeWithSHAAnd40BitRC2-CBC.
    Rc2Short,
}

/// Decrypts with a scheme of PKCS#12. `None`: the password is wrong, or the data are no ciphertext.
#[must_use]
pub fn pkcs12_decrypt(
    scheme: Pkcs12Cipher,
    password: &str,
    salt: &[u8],
    iterations: u32,
    data: &[u8],
) -> Option<Secret> {
    let size = match scheme {
        Pkcs12Cipher::TripleDes => 24,
        Pkcs12Cipher::DoubleDes | Pkcs12Cipher::Rc2 => 16,
        Pkcs12Cipher::Rc2Short => 5,
    };
    let key = pkcs12_key(Hash::Sha1, 1, password, salt, iterations, size)?;
    let iv = pkcs12_key(Hash::Sha1, 2, password, salt, iterations, 8)?;
    unpad(match scheme {
        Pkcs12Cipher::TripleDes => cbc(TdesEde3::new_from_slice(&key).ok()?, &iv, data)?,
        Pkcs12Cipher::DoubleDes => cbc(TdesEde2::new_from_slice(&key).ok()?, &iv, data)?,
        Pkcs12Cipher::Rc2 => cbc(Rc2::new_with_eff_key_len(&key, 128), &iv, data)?,
        Pkcs12Cipher::Rc2Short => cbc(Rc2::new_with_eff_key_len(&key, 40), &iv, data)?,
    })
}

/// Encrypts with pbeWithSHAAnd3-KeyTripleDES-CBC, for importers that know nothing newer. `None`: no salt or iterations
/// that the scheme takes.
#[must_use]
pub fn pkcs12_encrypt(password: &str, salt: &[u8], iterations: u32, data: &[u8]) -> Option<Vec<u8>> {
    let key = pkcs12_key(Hash::Sha1, 1, password, salt, iterations, 24)?;
    let iv = pkcs12_key(Hash::Sha1, 2, password, salt, iterations, 8)?;
    let cipher = TdesEde3::new_from_slice(&key).ok()?;
    let iv: &Array<u8, _> = iv.as_slice().try_into().ok()?;
    // RFC 8018 6.1.1: 1 to 8 bytes, each their number.
    let pad = u8::try_from(8 - data.len() % 8).ok()?;
    let mut out = data.to_vec();
    out.resize(data.len().checked_add(usize::from(pad))?, pad);
    let (blocks, _) = Array::slice_as_chunks_mut(&mut out);
    cbc::Encryptor::inner_iv_init(cipher, iv).encrypt_blocks(blocks);
    Some(out)
}

/// The MAC over a PKCS#12 file (RFC 7292 4).
#[must_use]
pub fn pkcs12_mac(hash: Hash, password: &str, salt: &[u8], iterations: u32, data: &[u8]) -> Option<Vec<u8>> {
    use aws_lc_rs::hmac;
    let algorithm = match hash {
        Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => hmac::HMAC_SHA256,
        Hash::Sha384 => hmac::HMAC_SHA384,
        Hash::Sha512 => hmac::HMAC_SHA512,
    };
    let key = pkcs12_key(hash, 3, password, salt, iterations, hash.size())?;
    Some(hmac::sign(&hmac::Key::new(algorithm, &key), data).as_ref().to_vec())
}

/// Compares two MACs in constant time.
#[must_use]
pub fn same_mac(a: &[u8], b: &[u8]) -> bool {
    ct_eq(a, b)
}

/// Key derivation of PKCS#12 (RFC 7292 B.2); `id` is 1 for keys, 2 for IVs, 3 for MAC keys.
fn pkcs12_key(
    hash: Hash,
    id: u8,
    password: &str,
    salt: &[u8],
    iterations: u32,
    size: usize,
) -> Option<Zeroizing<Vec<u8>>> {
    if iterations == 0 || iterations > MAX_ITERATIONS || salt.len() > 1024 {
        return None;
    }
    let block = if hash.size() > 32 { 128 } else { 64 };
    // "BMPString with a trailing NULL character": two bytes each, big-endian.
    let text: Zeroizing<Vec<u8>> =
        Zeroizing::new(password.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect());
    let fill = |from: &[u8]| {
        let len = from.len().div_ceil(block).checked_mul(block);
        from.iter().copied().cycle().take(len.unwrap_or(0)).collect::<Vec<u8>>()
    };
    let mut input = Zeroizing::new(fill(salt));
    input.extend(fill(&text));
    let diversifier = vec![id; block];
    let mut out = Zeroizing::new(Vec::new());
    while out.len() < size {
        let mut a = Zeroizing::new(digest(hash, &[&diversifier, &input]));
        for _ in 1..iterations {
            a = Zeroizing::new(digest(hash, &[&a]));
        }
        out.extend_from_slice(&a);
        // I_j = (I_j + B + 1) mod 2^v, B being A repeated to the length of a block.
        let b: Vec<u8> = a.iter().copied().cycle().take(block).collect();
        for chunk in input.chunks_mut(block) {
            let mut carry = 1_u16;
            for (to, from) in chunk.iter_mut().rev().zip(b.iter().rev()) {
                let [high, low] = (u16::from(*to) + u16::from(*from) + carry).to_be_bytes();
                (*to, carry) = (low, u16::from(high));
            }
        }
    }
    out.truncate(size);
    Some(out)
}

fn cbc<C: BlockCipherDecrypt>(cipher: C, iv: &[u8], data: &[u8]) -> Option<Secret> {
    let iv: &Array<u8, C::BlockSize> = iv.try_into().ok()?;
    let mut out = Secret::new(data.to_vec());
    let (blocks, rest) = Array::slice_as_chunks_mut(out.as_mut_slice());
    if !rest.is_empty() || blocks.is_empty() {
        return None;
    }
    cbc::Decryptor::inner_iv_init(cipher, iv).decrypt_blocks(blocks);
    Some(out)
}

/// Takes the padding of RFC 8018 6.1.1 off. The blocks are those of the ciphers here: 8 or 16 bytes.
fn unpad(data: Secret) -> Option<Secret> {
    let bytes = data.as_slice();
    let pad = *bytes.last()?;
    let len = bytes.len().checked_sub(usize::from(pad))?;
    let (text, padding) = bytes.split_at_checked(len)?;
    let good = (1..=16).contains(&pad) && padding.iter().all(|b| *b == pad);
    good.then(|| Secret::new(text.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_as_openssl_derives_them() {
        // openssl pkcs12 -export -legacy prints none; these are the vectors of RFC 7292's reference test in
        // BouncyCastle and OpenSSL: password "smeg", salt 0a58cf64530d823f, 1 iteration.
        let salt = [0x0a, 0x58, 0xcf, 0x64, 0x53, 0x0d, 0x82, 0x3f];
        let key = pkcs12_key(Hash::Sha1, 1, "smeg", &salt, 1, 24).unwrap();
        let want = "8aaae6297b6cb04642ab5b077851284eb7128f1a2a7fbca3";
        assert_eq!(data_encoding::HEXLOWER.encode(&key), want);
        let iv = pkcs12_key(Hash::Sha1, 2, "smeg", &salt, 1, 8).unwrap();
        assert_eq!(data_encoding::HEXLOWER.encode(&iv), "79993dfe048d3b76");
    }

    #[test]
    fn bounds_hold() {
        assert!(pkcs12_key(Hash::Sha1, 1, "x", b"salt", 0, 24).is_none());
        assert!(pkcs12_key(Hash::Sha1, 1, "x", b"salt", u32::MAX, 24).is_none());
        assert!(pem_decrypt("AES-128-CBC", &[0; 4], b"x", &[0; 16]).is_none());
        assert!(pem_decrypt("RC4", &[0; 16], b"x", &[0; 16]).is_none());
        assert!(pem_decrypt("AES-128-CBC", &[0; 16], b"x", &[0; 15]).is_none());
        assert!(pem_decrypt("AES-128-CBC", &[0; 16], b"x", &[]).is_none());
        assert!(pkcs12_decrypt(Pkcs12Cipher::Rc2Short, "", b"", 1, &[0; 7]).is_none());
    }
}
