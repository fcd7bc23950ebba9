//! What happened, line by line: a digest of everything, and the last lines to read.
use std::collections::VecDeque;
use std::fmt;

/// A transcript. Two worlds of one seed have equal digests.
#[derive(Debug, Clone)]
pub struct Transcript {
    digest: u64,
    lines: u64,
    tail: VecDeque<String>,
    keep: usize,
}

impl Transcript {
    /// Keeps the last `keep` lines.
    #[must_use]
    pub fn new(keep: usize) -> Self {
        Self { digest: 0xcbf2_9ce4_8422_2325, lines: 0, tail: VecDeque::new(), keep }
    }

    /// One more line.
    pub fn line(&mut self, at: u64, host: &str, text: fmt::Arguments<'_>) {
        let line = format!("{:>9}.{:03} {host:<6} {text}", at / 1000, at % 1000);
        self.digest = hash(self.digest, line.as_bytes());
        self.lines += 1;
        if self.keep > 0 {
            if self.tail.len() == self.keep {
                self.tail.pop_front();
            }
            self.tail.push_back(line);
        }
    }

    /// Digest of all lines, and their number.
    #[must_use]
    pub fn digest(&self) -> (u64, u64) {
        (self.digest, self.lines)
    }

    /// The last lines.
    pub fn tail(&self) -> impl Iterator<Item = &str> {
        self.tail.iter().map(String::as_str)
    }
}

/// FNV-1a, continued from `state`.
#[must_use]
pub fn hash(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3))
}
