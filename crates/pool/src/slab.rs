//! Entries under numbers: 4 bytes to point at one, no move when it grows.

/// Entries of one chunk. Growing costs one chunk, never a copy of all.
const CHUNK: u32 = 1024;

/// Points at nothing.
pub(crate) const NONE: u32 = u32::MAX;

/// Entries under numbers.
#[derive(Debug, Clone)]
pub(crate) struct Slab<T> {
    chunks: Vec<Vec<T>>,
    /// Numbers whose entry was removed.
    free: Vec<u32>,
    len: u32,
}

impl<T: Default> Slab<T> {
    pub(crate) fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), len: 0 }
    }

    /// Puts an entry; `None` when all numbers are given.
    pub(crate) fn insert(&mut self, entry: T) -> Option<u32> {
        if let Some(number) = self.free.pop() {
            *self.get_mut(number)? = entry;
            return Some(number);
        }
        let number = self.len;
        if number.is_multiple_of(CHUNK) {
            if number >= NONE - CHUNK {
                return None;
            }
            // The first chunk grows with what is in it: most pools are small.
            let size = if number == 0 { 0 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(usize::try_from(size).ok()?));
        }
        self.chunks.last_mut()?.push(entry);
        self.len = number.saturating_add(1);
        Some(number)
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let (chunk, at) = place(number);
        self.chunks.get(chunk)?.get(at)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let (chunk, at) = place(number);
        self.chunks.get_mut(chunk)?.get_mut(at)
    }

    /// Takes an entry out; its number is given again.
    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let entry = std::mem::take(self.get_mut(number)?);
        self.free.push(number);
        Some(entry)
    }

    /// All entries, also the empty ones in the places of those removed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..self.len).zip(self.chunks.iter().flatten())
    }
}

fn place(number: u32) -> (usize, usize) {
    let wide = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    (wide(number / CHUNK), wide(number % CHUNK))
}
