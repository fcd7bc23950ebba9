//! From a byte stream to frames, whatever the pieces it arrives in.
use crate::packet::MAX_BODY;

/// The peer announced a frame longer than the protocol allows; the stream cannot be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("frame of {0} bytes is longer than {MAX_BODY}")]
pub struct FrameError(pub u32);

/// Collects bytes and gives out the bodies of complete frames.
///
/// Holds at most what was pushed and not yet taken: a caller that drains [`Frames::next_body`] after each push holds
/// at most one incomplete frame.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
    /// Bytes at the front that were given out already.
    taken: usize,
}

impl Frames {
    /// Empty.
    #[must_use]
    pub const fn new() -> Self {
        Self { buffer: Vec::new(), taken: 0 }
    }

    /// Adds what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.buffer.drain(..self.taken.min(self.buffer.len()));
            self.taken = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The body of the next complete frame, without its length. `None`: more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`] when the announced length is over the limit; it stays that way.
    pub fn next_body(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let waiting = self.buffer.get(self.taken..).unwrap_or_default();
        let Some((length, rest)) = waiting.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let announced = u32::from_be_bytes(*length);
        let length = usize::try_from(announced).map_err(|_| FrameError(announced))?;
        if length > MAX_BODY {
            return Err(FrameError(announced));
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let body = body.to_vec();
        self.taken = self.taken.saturating_add(4).saturating_add(length);
        if self.taken >= self.buffer.len() {
            self.buffer.clear();
            self.taken = 0;
        }
        Ok(Some(body))
    }

    /// Bytes held that belong to no complete frame yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len().saturating_sub(self.taken)
    }
}
