//! Bytes that wipe themselves and never print.

use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

/// A secret of any length: wiped on drop, compared in constant time, `Debug` prints only the length.
/// `Clone` is deliberate and explicit; serialisation exists for HA and restart and must stay inside encrypted links.
#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(Zeroizing<Box<[u8]>>);

impl Secret {
    /// Takes the bytes over; they are wiped when the secret is dropped.
    #[must_use]
    pub fn new(mut bytes: Vec<u8>) -> Self {
        if bytes.len() == bytes.capacity() {
            return Self(Zeroizing::new(bytes.into_boxed_slice()));
        }
        // To give room back, the allocator may copy the bytes and leave the old ones behind.
        let exact = Box::from(bytes.as_slice());
        bytes.zeroize();
        Self(Zeroizing::new(exact))
    }

    /// `len` zero bytes, to be filled through [`Self::as_mut_slice`].
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        Self::new(vec![0; len])
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to be filled in place.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first `n` bytes and the rest; a longer `n` takes everything.
    #[must_use]
    pub fn split_at(&self, n: usize) -> (Self, Self) {
        let (head, tail) = self.0.split_at_checked(n).unwrap_or((&self.0, &[]));
        (Self::from(head), Self::from(tail))
    }
}

impl From<&[u8]> for Secret {
    fn from(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(Box::from(bytes)))
    }
}

impl<const N: usize> From<&[u8; N]> for Secret {
    fn from(bytes: &[u8; N]) -> Self {
        Self::from(bytes.as_slice())
    }
}

impl AsRef<[u8]> for Secret {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        ct_eq(&self.0, &other.0)
    }
}

impl Eq for Secret {}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// Compares in time that depends on the lengths only; different lengths are unequal.
#[must_use]
pub fn ct_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_prints_bytes() {
        let secret = Secret::from(&[0xab, 0xcd]);
        assert_eq!(format!("{secret:?}"), "Secret(2 bytes)");
    }

    #[test]
    fn compares_and_splits() {
        let secret = Secret::from(&[1, 2, 3]);
        assert_eq!(secret, Secret::new(vec![1, 2, 3]));
        assert_ne!(secret, Secret::new(vec![1, 2]));
        assert_ne!(secret, Secret::new(vec![1, 2, 4]));
        let (head, tail) = secret.split_at(1);
        assert_eq!((head.as_slice(), tail.as_slice()), (&[1_u8][..], &[2_u8, 3][..]));
        assert!(secret.split_at(9).1.is_empty());
    }

    #[test]
    fn serialises_as_plain_bytes() {
        let secret = Secret::from(&[1, 2, 3]);
        let text = serde_json::to_string(&secret).unwrap();
        assert_eq!(text, "[1,2,3]");
        assert_eq!(serde_json::from_str::<Secret>(&text).unwrap(), secret);
    }
}
