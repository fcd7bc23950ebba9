//! Reader and Writer: the only bounds checks in the house.

/// Why bytes are not what they claim to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The input ends before the field does.
    #[error("{what} is cut off: {need} bytes needed, {have} there")]
    Truncated {
        /// The field or structure.
        what: &'static str,
        /// Bytes it needs.
        need: usize,
        /// Bytes left.
        have: usize,
    },
    /// A length, count or number that the format does not allow here.
    #[error("{what} has an illegal value {value}")]
    Illegal {
        /// The field.
        what: &'static str,
        /// What stood there.
        value: u64,
    },
    /// More elements or bytes than this codec takes.
    #[error("{what} exceeds the limit of {limit}")]
    TooMany {
        /// The element.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// An unknown payload with the critical bit set (RFC 7296 2.5).
    #[error("unsupported critical payload of type {0}")]
    UnsupportedCritical(u8),
    /// A major version other than the one asked for.
    #[error("IKE version {0}.{1} is not supported")]
    Version(u8, u8),
}

impl WireError {
    /// An illegal value, from any unsigned number.
    pub(crate) fn illegal(what: &'static str, value: usize) -> Self {
        Self::Illegal { what, value: u64::try_from(value).unwrap_or(u64::MAX) }
    }
}

/// Takes fields off the front of a byte string, big-endian. Never looks beyond its end.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes taken so far.
    #[must_use]
    #[inline]
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes left.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// Nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next `n` bytes. Error: [`WireError::Truncated`], and nothing is taken.
    #[inline]
    pub fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], WireError> {
        let end = self.at.checked_add(n);
        match end.and_then(|end| self.bytes.get(self.at..end)) {
            Some(taken) => {
                self.at = self.at.saturating_add(n);
                Ok(taken)
            }
            None => Err(WireError::Truncated { what, need: n, have: self.len() }),
        }
    }

    /// The next `N` bytes as an array.
    #[inline]
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], WireError> {
        let have = self.len();
        let (head, _) = self
            .bytes
            .get(self.at..)
            .and_then(<[u8]>::split_first_chunk::<N>)
            .ok_or(WireError::Truncated { what, need: N, have })?;
        self.at = self.at.saturating_add(N);
        Ok(*head)
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self, what: &'static str) -> Result<u8, WireError> {
        self.array::<1>(what).map(u8::from_be_bytes)
    }

    /// Two bytes.
    #[inline]
    pub fn u16(&mut self, what: &'static str) -> Result<u16, WireError> {
        self.array(what).map(u16::from_be_bytes)
    }

    /// Four bytes.
    #[inline]
    pub fn u32(&mut self, what: &'static str) -> Result<u32, WireError> {
        self.array(what).map(u32::from_be_bytes)
    }

    /// Eight bytes.
    #[inline]
    pub fn u64(&mut self, what: &'static str) -> Result<u64, WireError> {
        self.array(what).map(u64::from_be_bytes)
    }

    /// Passes over `n` bytes.
    #[inline]
    pub fn skip(&mut self, n: usize, what: &'static str) -> Result<(), WireError> {
        self.take(n, what).map(|_| ())
    }

    /// Everything left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at = self.bytes.len();
        rest
    }

    /// Refuses bytes behind the end of the structure `what`.
    pub fn finish(&self, what: &'static str) -> Result<(), WireError> {
        if self.is_empty() { Ok(()) } else { Err(WireError::illegal(what, self.len())) }
    }
}

/// Appends fields, big-endian.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Empty, with room for so many bytes before it grows.
    #[must_use]
    pub fn with_room(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// Bytes written so far.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self, v: u8) -> &mut Self {
        self.bytes(&[v])
    }

    /// Two bytes.
    #[inline]
    pub fn u16(&mut self, v: u16) -> &mut Self {
        self.bytes(&v.to_be_bytes())
    }

    /// Four bytes.
    #[inline]
    pub fn u32(&mut self, v: u32) -> &mut Self {
        self.bytes(&v.to_be_bytes())
    }

    /// Eight bytes.
    #[inline]
    pub fn u64(&mut self, v: u64) -> &mut Self {
        self.bytes(&v.to_be_bytes())
    }

    /// `v` as it is.
    pub fn bytes(&mut self, v: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(v);
        self
    }

    /// `n` zero bytes.
    pub fn zeros(&mut self, n: usize) -> &mut Self {
        self.bytes.resize(self.bytes.len().saturating_add(n), 0);
        self
    }

    /// Behind the length of it in 16 bits, and `more` added to that: what `write` appends, at most `limit` bytes.
    pub fn counted16(&mut self, more: usize, limit: usize, write: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.len();
        self.u16(0);
        let start = self.len();
        write(self);
        self.bytes.truncate(start.saturating_add(limit));
        let count = self.len().saturating_sub(start).saturating_add(more);
        self.overwrite(at, &count16(count).to_be_bytes())
    }

    /// Puts `v` over what stands at `at` already; what is not there yet is left.
    pub(crate) fn overwrite(&mut self, at: usize, v: &[u8]) -> &mut Self {
        let there = self.bytes.get_mut(at..).into_iter().flatten();
        there.zip(v).for_each(|(to, from)| *to = *from);
        self
    }

    /// What was written.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }
}

/// A length or count as 16 bits. The callers cut what does not fit before they come here.
pub(crate) fn count16(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

/// A length or count as 8 bits, likewise.
pub(crate) fn count8(n: usize) -> u8 {
    u8::try_from(n).unwrap_or(u8::MAX)
}

/// The first `limit` elements.
pub(crate) fn at_most<T>(all: &[T], limit: usize) -> &[T] {
    all.get(..limit).unwrap_or(all)
}
