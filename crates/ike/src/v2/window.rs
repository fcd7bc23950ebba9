//! Message IDs, the window of one request in each direction, and retransmission (RFC 7296 2.1 to 2.3).
use policy::Settings;
use serde::{Deserialize, Serialize};
use wire::iana::ExchangeType;

/// Both directions of an IKE_SA.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Window {
    /// Message ID of the peer's next request.
    pub(crate) next_in: u32,
    /// The peer's request with ID `next_in` is being worked on (parked on a question).
    pub(crate) busy: bool,
    /// Our response to the request before `next_in`.
    pub(crate) cached: Datagrams,
    /// SHA-1 of the request (of its first fragment) that is being worked on.
    pub(crate) arriving: Option<[u8; 20]>,
    /// SHA-1 of the request that `cached` answers.
    pub(crate) answered: Option<[u8; 20]>,
    /// Message ID of our next request.
    pub(crate) next_out: u32,
    /// Our request that has no response yet.
    pub(crate) flight: Option<Box<Flight>>,
}

/// A request on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Flight {
    /// Message ID.
    pub(crate) id: u32,
    /// Exchange.
    pub(crate) exchange: ExchangeType,
    /// As sent; more than one when fragmented.
    pub(crate) datagrams: Datagrams,
    /// Retransmissions so far.
    pub(crate) tries: u32,
    /// Monotonic ms when to send again or give up.
    pub(crate) at: u64,
}

/// A message as sent: one datagram, or several when it is fragmented; in one piece of memory, each behind its length.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Datagrams(Box<[u8]>);

impl Datagrams {
    /// Datagrams of up to 65535 octets; no message of ours is longer.
    pub(crate) fn of(datagrams: &[Vec<u8>]) -> Self {
        let room = datagrams.iter().map(|d| d.len().saturating_add(2)).sum();
        let mut bytes = Vec::with_capacity(room);
        for d in datagrams {
            let len = u16::try_from(d.len()).unwrap_or(u16::MAX);
            bytes.extend_from_slice(&len.to_be_bytes());
            bytes.extend_from_slice(d.get(..usize::from(len)).unwrap_or_default());
        }
        Self(bytes.into_boxed_slice())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (len, behind) = rest.split_first_chunk::<2>()?;
            let (one, others) = behind.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
            rest = others;
            Some(one)
        })
    }
}

/// What a request's message ID says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The next one.
    Fresh,
    /// The last one again: send the cached response.
    Again,
    /// Being worked on, or long gone, or too early.
    Ignore,
}

impl Window {
    /// RFC 7296 2.2: the responder keeps the last response and answers a retransmission with it.
    pub(crate) fn judge(&self, id: u32) -> Arrival {
        if id == self.next_in {
            if self.busy { Arrival::Ignore } else { Arrival::Fresh }
        } else if id.wrapping_add(1) == self.next_in && !self.cached.is_empty() {
            Arrival::Again
        } else {
            Arrival::Ignore
        }
    }

    /// The request with ID `next_in` has this response.
    pub(crate) fn respond(&mut self, datagrams: Datagrams) {
        self.cached = datagrams;
        self.answered = self.arriving.take();
        self.busy = false;
        self.next_in = self.next_in.wrapping_add(1);
    }

    /// A new request leaves.
    pub(crate) fn request(&mut self, exchange: ExchangeType, datagrams: Datagrams, at: u64) {
        self.flight = Some(Box::new(Flight { id: self.next_out, exchange, datagrams, tries: 0, at }));
        self.next_out = self.next_out.wrapping_add(1);
    }
}

/// Milliseconds to wait after transmission number `tries` (0 = the first), as charon computes it:
/// timeout · base^tries, not above the limit, less up to `jitter` percent.
pub(crate) fn wait_ms(s: &Settings, tries: u32, random: u64) -> u64 {
    let exponent = f64::from(tries.min(1000));
    let mut ms = s.retransmit_timeout * 1000.0 * s.retransmit_base.powf(exponent);
    if s.retransmit_limit > 0 {
        ms = ms.min(f64::from(s.retransmit_limit) * 1000.0);
    }
    let ms = whole(ms.clamp(1.0, 86_400_000.0));
    let spread = ms.saturating_mul(u64::from(s.retransmit_jitter.min(20))) / 100;
    let less = if spread == 0 { 0 } else { random % spread.saturating_add(1) };
    ms.saturating_sub(less).max(1)
}

/// A float between 1 and 10^9 as an integer.
fn whole(x: f64) -> u64 {
    // No lossless conversion exists: format-free bisection over the few bits a day of milliseconds has.
    let mut n = 0u32;
    for bit in (0..31).rev() {
        let candidate = n | (1 << bit);
        if f64::from(candidate) <= x {
            n = candidate;
        }
    }
    u64::from(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charon_backs_off_like_this() {
        let s = Settings::default();
        let waits: Vec<u64> = (0..6).map(|n| wait_ms(&s, n, 0)).collect();
        assert_eq!(waits, [4000, 7200, 12960, 23328, 41990, 75582]);
        assert_eq!(waits.iter().sum::<u64>() / 1000, 165);
    }

    #[test]
    fn limit_and_jitter_shorten() {
        let s = Settings { retransmit_limit: 10, retransmit_jitter: 20, ..Settings::default() };
        assert_eq!(wait_ms(&s, 5, 0), 10_000);
        for r in 0..5000 {
            assert!((8_000..=10_000).contains(&wait_ms(&s, 5, r)));
        }
    }

    #[test]
    fn ids_are_judged() {
        let mut w = Window::default();
        assert_eq!(w.judge(0), Arrival::Fresh);
        assert_eq!(w.judge(1), Arrival::Ignore);
        w.busy = true;
        assert_eq!(w.judge(0), Arrival::Ignore);
        w.respond(Datagrams::of(&[vec![1]]));
        assert_eq!(w.judge(0), Arrival::Again);
        assert_eq!(w.judge(1), Arrival::Fresh);
        assert_eq!(w.judge(u32::MAX), Arrival::Ignore);
    }

    #[test]
    fn datagrams_come_out_as_they_went_in() {
        for all in [vec![], vec![vec![]], vec![vec![1, 2, 3]], vec![vec![7; 1200], vec![], vec![9; 60_000]]] {
            let packed = Datagrams::of(&all);
            assert!(packed.iter().eq(all.iter().map(Vec::as_slice)));
            assert_eq!(packed.is_empty(), all.is_empty());
        }
    }
}
