//! Block ciphers of RustCrypto in CBC and CTR mode and under CCM: what aws-lc does not offer.

use ccm::aead::AeadInOut;
use ccm::{Ccm, TagSize};
use cipher::array::{Array, ArraySize};
use cipher::consts::{U8, U11, U12, U16};
use cipher::typenum::Unsigned as _;
use cipher::{
    BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt as _, BlockModeEncrypt as _, BlockSizeUser,
    InnerIvInit as _, KeyInit, StreamCipher as _, StreamCipherCoreWrapper,
};
use wire::iana::Encr;

use crate::{CryptoError, table};

/// Cipher block chaining over whole blocks, in place.
pub(crate) trait Cbc: Send + Sync {
    fn encrypt(&self, iv: &[u8], data: &mut [u8]) -> Result<(), CryptoError>;
    fn decrypt(&self, iv: &[u8], data: &mut [u8]) -> Result<(), CryptoError>;
}

/// A counter keystream from a 16-byte counter block, in place.
pub(crate) trait Ctr: Send + Sync {
    fn apply(&self, counter: &[u8; 16], data: &mut [u8]) -> Result<(), CryptoError>;
}

/// CCM with the 11-byte nonce of RFC 4309.
pub(crate) trait CcmFace: Send + Sync {
    fn seal(&self, nonce: &[u8; 11], aad: &[u8], data: &mut [u8], tag: &mut [u8]) -> Result<(), CryptoError>;
    fn open(&self, nonce: &[u8; 11], aad: &[u8], data: &mut [u8], tag: &[u8]) -> Result<(), CryptoError>;
}

/// Any RustCrypto block cipher; its key schedule is wiped on drop by the `zeroize` feature of its crate.
struct Soft<C>(C);

impl<C> Cbc for Soft<C>
where
    C: BlockCipherEncrypt + BlockCipherDecrypt + Send + Sync,
{
    fn encrypt(&self, iv: &[u8], data: &mut [u8]) -> Result<(), CryptoError> {
        let blocks = blocks::<C>(data)?;
        cbc::Encryptor::inner_iv_init(&self.0, block::<C>(iv)?).encrypt_blocks(blocks);
        Ok(())
    }
    fn decrypt(&self, iv: &[u8], data: &mut [u8]) -> Result<(), CryptoError> {
        let blocks = blocks::<C>(data)?;
        cbc::Decryptor::inner_iv_init(&self.0, block::<C>(iv)?).decrypt_blocks(blocks);
        Ok(())
    }
}

fn block<C: BlockSizeUser>(iv: &[u8]) -> Result<&Array<u8, C::BlockSize>, CryptoError> {
    let wrong = CryptoError::Length { what: "IV", want: C::BlockSize::USIZE, have: iv.len() };
    <&Array<u8, C::BlockSize>>::try_from(iv).map_err(|_| wrong)
}

fn blocks<C: BlockSizeUser>(data: &mut [u8]) -> Result<&mut [Array<u8, C::BlockSize>], CryptoError> {
    let have = data.len();
    let (blocks, rest) = Array::slice_as_chunks_mut(data);
    if rest.is_empty() { Ok(blocks) } else { Err(table::partial_block(C::BlockSize::USIZE, have)) }
}

impl<C> Ctr for Soft<C>
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + Send + Sync,
{
    fn apply(&self, counter: &[u8; 16], data: &mut [u8]) -> Result<(), CryptoError> {
        let core = ctr::CtrCore::<&C, ctr::flavors::Ctr32BE>::inner_iv_init(&self.0, &Array::from(*counter));
        StreamCipherCoreWrapper::from_core(core).try_apply_keystream(data).map_err(|_| CryptoError::Integrity)
    }
}

impl<C, M> CcmFace for Ccm<C, M, U11>
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + Send + Sync,
    M: ArraySize + TagSize + Send + Sync,
{
    fn seal(&self, nonce: &[u8; 11], aad: &[u8], data: &mut [u8], tag: &mut [u8]) -> Result<(), CryptoError> {
        let made = self
            .encrypt_inout_detached(&Array::from(*nonce), aad, data.into())
            .map_err(|_| CryptoError::Integrity)?;
        for (to, from) in tag.iter_mut().zip(made) {
            *to = from;
        }
        Ok(())
    }
    fn open(&self, nonce: &[u8; 11], aad: &[u8], data: &mut [u8], tag: &[u8]) -> Result<(), CryptoError> {
        let tag = <&Array<u8, M>>::try_from(tag).map_err(|_| CryptoError::Integrity)?;
        self.decrypt_inout_detached(&Array::from(*nonce), aad, data.into(), tag)
            .map_err(|_| CryptoError::Integrity)
    }
}

fn key<C: KeyInit>(key: &[u8]) -> Result<C, CryptoError> {
    let wrong = CryptoError::Length { what: "encryption key", want: C::key_size(), have: key.len() };
    C::new_from_slice(key).map_err(|_| wrong)
}

fn soft<C: KeyInit>(bytes: &[u8]) -> Result<Box<Soft<C>>, CryptoError> {
    Ok(Box::new(Soft(key(bytes)?)))
}

/// 3DES with three keys (RFC 2451).
pub(crate) fn triple_des_cbc(key: &[u8]) -> Result<Box<dyn Cbc>, CryptoError> {
    Ok(soft::<des::TdesEde3>(key)?)
}

/// Camellia-CBC (RFC 4312), by key length.
pub(crate) fn camellia_cbc(key: &[u8]) -> Result<Box<dyn Cbc>, CryptoError> {
    Ok(match key.len() {
        16 => soft::<camellia::Camellia128>(key)?,
        24 => soft::<camellia::Camellia192>(key)?,
        _ => soft::<camellia::Camellia256>(key)?,
    })
}

/// Camellia-CTR (RFC 5529), by key length.
pub(crate) fn camellia_ctr(key: &[u8]) -> Result<Box<dyn Ctr>, CryptoError> {
    Ok(match key.len() {
        16 => soft::<camellia::Camellia128>(key)?,
        24 => soft::<camellia::Camellia192>(key)?,
        _ => soft::<camellia::Camellia256>(key)?,
    })
}

/// CCM of AES (RFC 4309) or Camellia (RFC 5529), by transform and key length (salt not included).
pub(crate) fn ccm(encr: Encr, bytes: &[u8]) -> Result<Box<dyn CcmFace>, CryptoError> {
    use aes::{Aes128, Aes192, Aes256};
    use camellia::{Camellia128, Camellia192, Camellia256};
    fn boxed<C, M>(bytes: &[u8]) -> Result<Box<dyn CcmFace>, CryptoError>
    where
        C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + KeyInit + Send + Sync + 'static,
        M: ArraySize + TagSize + Send + Sync + 'static,
    {
        Ok(Box::new(Ccm::<C, M, U11>::from(key::<C>(bytes)?)))
    }
    match (encr, bytes.len()) {
        (Encr::AesCcm8, 16) => boxed::<Aes128, U8>(bytes),
        (Encr::AesCcm8, 24) => boxed::<Aes192, U8>(bytes),
        (Encr::AesCcm8, _) => boxed::<Aes256, U8>(bytes),
        (Encr::AesCcm12, 16) => boxed::<Aes128, U12>(bytes),
        (Encr::AesCcm12, 24) => boxed::<Aes192, U12>(bytes),
        (Encr::AesCcm12, _) => boxed::<Aes256, U12>(bytes),
        (Encr::AesCcm16, 16) => boxed::<Aes128, U16>(bytes),
        (Encr::AesCcm16, 24) => boxed::<Aes192, U16>(bytes),
        (Encr::AesCcm16, _) => boxed::<Aes256, U16>(bytes),
        (Encr::CamelliaCcm8, 16) => boxed::<Camellia128, U8>(bytes),
        (Encr::CamelliaCcm8, 24) => boxed::<Camellia192, U8>(bytes),
        (Encr::CamelliaCcm8, _) => boxed::<Camellia256, U8>(bytes),
        (Encr::CamelliaCcm12, 16) => boxed::<Camellia128, U12>(bytes),
        (Encr::CamelliaCcm12, 24) => boxed::<Camellia192, U12>(bytes),
        (Encr::CamelliaCcm12, _) => boxed::<Camellia256, U12>(bytes),
        (Encr::CamelliaCcm16, 16) => boxed::<Camellia128, U16>(bytes),
        (Encr::CamelliaCcm16, 24) => boxed::<Camellia192, U16>(bytes),
        (Encr::CamelliaCcm16, _) => boxed::<Camellia256, U16>(bytes),
        (other, _) => Err(table::encr_unsupported(other, 0)),
    }
}
