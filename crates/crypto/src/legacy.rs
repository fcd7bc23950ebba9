//! Legacy functions that MSCHAPv2 is made of: MD4, single DES. Weak by today's measure, and needed
//! because the method names them; nothing else may use them.
use crate::Secret;
use des::cipher::{Array, BlockCipherEncrypt as _, KeyInit as _};
use md4::Digest as _;

/// MD4 of a secret (RFC 1320).
#[must_use]
pub fn md4(data: &[u8]) -> Secret {
    let digest: [u8; 16] = md4::Md4::digest(data).into();
    Secret::from(&digest)
}

/// One block, encrypted with DES under 56 key bits without parity (RFC 2759 8.6).
#[must_use]
pub fn des_block(key: [u8; 7], block: [u8; 8]) -> [u8; 8] {
    let mut bits = [0; 8];
    let [a, b, c, d, e, f, g] = key;
    bits[1..].copy_from_slice(&[a, b, c, d, e, f, g]);
    let bits = u64::from_be_bytes(bits);
    let mut spread = 0_u64;
    for i in 0..8 {
        // Seven bits of key in the upper bits of each byte; the lowest is parity, which DES ignores.
        spread |= ((bits >> (49 - 7 * i)) & 0x7f) << (57 - 8 * i);
    }
    let mut block = Array::from(block);
    des::Des::new(&Array::from(spread.to_be_bytes())).encrypt_block(&mut block);
    block.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    #[test]
    fn rfc_1320() {
        assert_eq!(HEXLOWER.encode(md4(b"message digest").as_slice()), "d9130a8164549fe818874806e1c7014b");
    }

    #[test]
    fn des_with_parity_left_out() {
        // FIPS 81 style: key 0123456789abcdef, "Now is t" → 3fa40e8a984d4815. Without parity bits the key has these 56.
        let key: u64 = 0x0123_4567_89ab_cdef;
        let mut packed = 0_u64;
        for byte in key.to_be_bytes() {
            packed = packed << 7 | u64::from(byte >> 1);
        }
        let [_, key @ ..] = packed.to_be_bytes();
        assert_eq!(HEXLOWER.encode(&des_block(key, *b"Now is t")), "3fa40e8a984d4815");
    }
}
