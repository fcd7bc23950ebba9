//! A packet inside memory of the caller's, with room before and behind for headers and trailers.
use std::ops::Range;

/// Bytes to leave before a packet that will be sealed or opened: SPI, sequence number and IV outbound, a rebuilt
/// IPv6 header inbound in transport mode.
pub const HEADROOM: usize = 64;
/// Bytes to leave behind a packet that will be sealed, beyond TFC padding: padding, trailer and ICV.
pub const TAILROOM: usize = 64;

/// A packet: `range` of `memory`.
#[derive(Debug)]
pub struct Packet<'a> {
    memory: &'a mut [u8],
    range: Range<usize>,
}

impl<'a> Packet<'a> {
    /// The packet at `range`. `None` when the range is not inside the memory.
    #[inline]
    pub fn new(memory: &'a mut [u8], range: Range<usize>) -> Option<Self> {
        (range.start <= range.end && range.end <= memory.len()).then_some(Self { memory, range })
    }

    /// Where the packet lies in the memory.
    #[must_use]
    #[inline]
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Its bytes.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.memory.get(self.range.clone()).unwrap_or_default()
    }

    /// Its bytes, to change.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.range.clone()).unwrap_or_default()
    }

    /// Length in bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// No bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Free bytes behind it.
    #[must_use]
    #[inline]
    pub fn tailroom(&self) -> usize {
        self.memory.len().saturating_sub(self.range.end)
    }

    /// Takes `n` bytes before the packet into it; what they hold is undefined. `None` when there is no room.
    #[inline]
    pub fn grow_front(&mut self, n: usize) -> Option<()> {
        self.range.start = self.range.start.checked_sub(n)?;
        Some(())
    }

    /// Takes `n` bytes behind the packet into it; what they hold is undefined. `None` when there is no room.
    #[inline]
    pub fn grow_back(&mut self, n: usize) -> Option<()> {
        let end = self.range.end.checked_add(n).filter(|end| *end <= self.memory.len())?;
        self.range.end = end;
        Some(())
    }

    /// Makes the packet the part `inner` of itself. `None` when that is not inside.
    #[inline]
    pub fn narrow(&mut self, inner: Range<usize>) -> Option<()> {
        let (start, end) =
            (self.range.start.checked_add(inner.start)?, self.range.start.checked_add(inner.end)?);
        if start > end || end > self.range.end {
            return None;
        }
        self.range = start..end;
        Some(())
    }

    /// Writes `source` at `offset`. `None` when it does not fit.
    #[inline]
    pub(crate) fn write(&mut self, offset: usize, source: &[u8]) -> Option<()> {
        let end = offset.checked_add(source.len())?;
        self.bytes_mut().get_mut(offset..end)?.copy_from_slice(source);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_only_where_there_is_room() {
        let mut memory = [0u8; 10];
        assert!(Packet::new(&mut memory, 3..11).is_none());
        let mut p = Packet::new(&mut memory, 3..8).unwrap();
        assert!(p.grow_front(4).is_none());
        assert!(p.grow_back(3).is_none());
        p.grow_front(3).unwrap();
        p.grow_back(2).unwrap();
        assert_eq!(p.range(), 0..10);
        assert!(p.narrow(5..11).is_none());
        p.narrow(5..9).unwrap();
        assert_eq!(p.range(), 5..9);
        assert!(p.write(3, &[1, 2]).is_none());
    }
}
