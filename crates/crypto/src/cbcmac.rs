//! AES-XCBC-MAC (RFC 3566) and AES-CMAC (RFC 4493): one chain, two ways to make the subkeys.

use aes::{Aes128, Block};
use cipher::{BlockCipherEncrypt as _, KeyInit as _};
use zeroize::Zeroize as _;

/// A keyed MAC with 16 bytes of output. The key schedule is wiped by the `aes` crate, the subkeys here.
pub(crate) struct CbcMac {
    chain: Aes128,
    whole: [u8; 16],
    padded: [u8; 16],
}

impl Drop for CbcMac {
    fn drop(&mut self) {
        self.whole.zeroize();
        self.padded.zeroize();
    }
}

impl CbcMac {
    /// RFC 3566: K1 drives the chain, K2 and K3 close it.
    pub(crate) fn xcbc(key: &[u8; 16]) -> Self {
        let base = Aes128::new(&Block::from(*key));
        let mut chain_key = encrypt(&base, [1; 16]);
        let chain = Aes128::new(&Block::from(chain_key));
        chain_key.zeroize();
        Self { chain, whole: encrypt(&base, [2; 16]), padded: encrypt(&base, [3; 16]) }
    }

    /// RFC 4493 2.3: the subkeys are the encrypted zero block, doubled once and twice.
    pub(crate) fn cmac(key: &[u8; 16]) -> Self {
        let chain = Aes128::new(&Block::from(*key));
        let whole = double(encrypt(&chain, [0; 16]));
        Self { padded: double(whole), whole, chain }
    }

    /// The MAC over the concatenated parts.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut state = [0_u8; 16];
        // The last block is treated differently, so a full block waits here until more data comes.
        let mut held = [0_u8; 16];
        let mut have = 0_usize;
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                if have == 16 {
                    state = encrypt(&self.chain, xor(state, held));
                    have = 0;
                }
                let take = rest.len().min(16 - have);
                let Some((now, later)) = rest.split_at_checked(take) else { break };
                for (to, from) in held.iter_mut().skip(have).zip(now) {
                    *to = *from;
                }
                have += take;
                rest = later;
            }
        }
        let subkey = if have == 16 {
            self.whole
        } else {
            for (i, byte) in held.iter_mut().enumerate().skip(have) {
                *byte = if i == have { 0x80 } else { 0 };
            }
            self.padded
        };
        encrypt(&self.chain, xor(xor(state, held), subkey))
    }
}

fn encrypt(cipher: &Aes128, block: [u8; 16]) -> [u8; 16] {
    let mut block = Block::from(block);
    cipher.encrypt_block(&mut block);
    block.into()
}

fn xor(a: [u8; 16], b: [u8; 16]) -> [u8; 16] {
    (u128::from_ne_bytes(a) ^ u128::from_ne_bytes(b)).to_ne_bytes()
}

/// Multiplication by x in GF(2^128), without a branch on the secret bit.
fn double(block: [u8; 16]) -> [u8; 16] {
    let n = u128::from_be_bytes(block);
    ((n << 1) ^ (0x87 & 0_u128.wrapping_sub(n >> 127))).to_be_bytes()
}
