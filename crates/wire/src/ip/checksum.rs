//! The Internet checksum, whole (RFC 1071) and by difference (RFC 1624).
use std::net::IpAddr;

/// Sums up pieces; each piece but the last must have an even number of bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Checksum(u64);

impl Checksum {
    /// Nothing summed yet.
    #[must_use]
    #[inline]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes; an odd last one counts as if a zero followed.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        // The sum does not depend on the order of bytes but for its own (RFC 1071 2 B), nor on the width of words:
        // the processor's own are summed in four chains, with their carries.
        let (lines, rest) = bytes.as_chunks::<64>();
        let mut chains = [0u128; 4];
        for line in lines {
            let (words, _) = line.as_chunks::<8>();
            let (first, second) = words.split_at(4);
            for ((chain, a), b) in chains.iter_mut().zip(first).zip(second) {
                *chain = chain.wrapping_add(u64::from_ne_bytes(*a).into());
                *chain = chain.wrapping_add(u64::from_ne_bytes(*b).into());
            }
        }
        let (words, last) = rest.as_chunks::<4>();
        let last = match *last {
            [a] => [a, 0, 0, 0],
            [a, b] => [a, b, 0, 0],
            [a, b, c] => [a, b, c, 0],
            _ => [0; 4],
        };
        let mut sum = chains.into_iter().map(fold64).fold(0, u64::wrapping_add);
        for word in words.iter().chain([&last]) {
            sum = sum.wrapping_add(u32::from_ne_bytes(*word).into());
        }
        Self(self.0.wrapping_add(u16::from_be(fold16(sum)).into()))
    }

    /// Adds the pseudo header of an upper layer with `len` bytes (RFC 9293 3.1, RFC 8200 8.1). Both addresses
    /// are of one family.
    #[must_use]
    #[inline]
    pub fn pseudo(self, source: IpAddr, destination: IpAddr, protocol: u8, len: usize) -> Self {
        let words = |address: IpAddr| match address {
            IpAddr::V4(a) => u64::from(a.to_bits()),
            IpAddr::V6(a) => fold64(a.to_bits()),
        };
        let len = u64::from(u32::try_from(len).unwrap_or(u32::MAX));
        let sum =
            words(source).wrapping_add(words(destination)).wrapping_add(len).wrapping_add(protocol.into());
        Self(self.0.wrapping_add(sum))
    }

    /// The checksum to put in the header. 0 where the bytes with their checksum in place are right.
    #[must_use]
    #[inline]
    pub fn finish(self) -> u16 {
        !fold16(self.0)
    }
}

/// `checksum` after the 16-bit word `old` became `new`: `HC' = ~(~HC + ~m + m')` (RFC 1624 3).
#[must_use]
pub fn update16(checksum: u16, old: u16, new: u16) -> u16 {
    !fold16(u64::from(!checksum) + u64::from(!old) + u64::from(new))
}

/// Likewise for 32 bits that begin on an even offset.
#[must_use]
pub fn update32(checksum: u16, old: u32, new: u32) -> u16 {
    !fold16(u64::from(!checksum) + u64::from(!old) + u64::from(new))
}

/// To far less than 64 bits, so that several may be added.
#[inline]
fn fold64(sum: u128) -> u64 {
    let [a, b, c, d] = [sum, sum >> 32, sum >> 64, sum >> 96].map(|word| word & 0xffff_ffff);
    u64::try_from(a + b + c + d).unwrap_or(0)
}

#[inline]
fn fold32(sum: u64) -> u64 {
    (sum & 0xffff_ffff) + (sum >> 32)
}

#[inline]
fn fold16(sum: u64) -> u16 {
    let sum = fold32(fold32(sum));
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    u16::try_from(sum & 0xffff).unwrap_or(u16::MAX)
}
