//! Requests of ours that wait for their answers: how long each took, how often it had to be repeated, and what the
//! gateway demanded before it worked (cookies, another key exchange).
//!
//! IKE's window is one request per IKE_SA (RFC 7296 2.3), so there is at most one entry for each.
use std::collections::HashMap;
use std::time::{Duration, Instant};
use wire::iana::{ExchangeType, NotifyType, PayloadType};
use wire::ike::{Flags, Header, Message, Payload};

/// Entries of IKE_SAs that went without a word are forgotten after so long.
const STALE: Duration = Duration::from_secs(600);
/// A response that only demands something is shorter than this.
const DEMAND: usize = 256;

struct Sent {
    at: Instant,
    id: u32,
    exchange: ExchangeType,
    /// Type of the first payload inside of an encrypted message, which its header tells (RFC 7296 3.14).
    inner: Option<PayloadType>,
}

/// What a datagram of ours was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Out {
    /// A request for the first time: its exchange, and the initiator's SPI.
    Request(ExchangeType, u64),
    /// The same request again.
    Again,
    /// A response, or what is no IKE message.
    Other,
}

/// What a datagram of the gateway's was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct In {
    /// The initiator's SPI.
    pub(crate) spi: u64,
    /// The exchange that it answers.
    pub(crate) exchange: ExchangeType,
    /// Since the request first left.
    pub(crate) took: Duration,
    /// The request had a Delete payload.
    pub(crate) delete: bool,
    /// What it demands instead of going on: COOKIE, INVALID_KE_PAYLOAD, REDIRECT.
    pub(crate) demand: Option<NotifyType>,
}

/// All that are open.
#[derive(Default)]
pub(crate) struct Exchanges {
    open: HashMap<u64, Sent>,
}

impl Exchanges {
    /// A datagram leaves.
    pub(crate) fn sent(&mut self, bytes: &[u8], now: Instant) -> Out {
        let Ok(header) = Header::parse(bytes) else { return Out::Other };
        if header.flags.contains(Flags::RESPONSE) || later_fragment(&header, bytes) {
            return Out::Other;
        }
        if let Some(open) = self.open.get(&header.spi_i)
            && open.id == header.message_id
            && open.exchange == header.exchange
        {
            return Out::Again;
        }
        let inner =
            (header.next == PayloadType::Sk).then(|| bytes.get(28).copied().map(PayloadType::from)).flatten();
        let sent = Sent { at: now, id: header.message_id, exchange: header.exchange, inner };
        self.open.insert(header.spi_i, sent);
        Out::Request(header.exchange, header.spi_i)
    }

    /// A datagram came; `None`: it answers nothing that is open.
    pub(crate) fn received(&mut self, bytes: &[u8], now: Instant) -> Option<In> {
        let header = Header::parse(bytes).ok()?;
        if !header.flags.contains(Flags::RESPONSE) {
            return None;
        }
        let open = self.open.get(&header.spi_i)?;
        if open.id != header.message_id || open.exchange != header.exchange {
            return None;
        }
        let took = now.saturating_duration_since(open.at);
        let delete = open.inner == Some(PayloadType::Delete);
        self.open.remove(&header.spi_i);
        let demand = (header.exchange == ExchangeType::IkeSaInit && bytes.len() < DEMAND)
            .then(|| demand(bytes))
            .flatten();
        Some(In { spi: header.spi_i, exchange: header.exchange, took, delete, demand })
    }

    /// The request that an IKE_SA waits for an answer to.
    pub(crate) fn waiting(&self, spi: u64) -> Option<ExchangeType> {
        self.open.get(&spi).map(|open| open.exchange)
    }

    /// The IKE_SA is gone.
    pub(crate) fn forget(&mut self, spi: u64) {
        self.open.remove(&spi);
    }

    /// Forgets what nobody will answer any more.
    pub(crate) fn sweep(&mut self, now: Instant) {
        self.open.retain(|_, open| now.saturating_duration_since(open.at) < STALE);
    }
}

/// Of a message in fragments (RFC 7383 2.5) only the first counts.
fn later_fragment(header: &Header, bytes: &[u8]) -> bool {
    header.next == PayloadType::Skf && bytes.get(32..34) != Some(&[0, 1])
}

/// What an IKE_SA_INIT response that makes no IKE_SA demands.
fn demand(bytes: &[u8]) -> Option<NotifyType> {
    let message = Message::parse(bytes).ok()?;
    message.payloads.iter().find_map(|payload| match payload {
        Payload::Notify(notify)
            if matches!(
                notify.kind,
                NotifyType::Cookie | NotifyType::InvalidKePayload | NotifyType::Redirect
            ) =>
        {
            Some(notify.kind)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::ike::Notify;

    fn header(id: u32, exchange: ExchangeType, response: bool) -> Header {
        let flags = if response { Flags::RESPONSE } else { Flags::INITIATOR };
        Header {
            spi_i: 7,
            spi_r: 0,
            next: PayloadType::None,
            major: 2,
            minor: 0,
            exchange,
            flags,
            message_id: id,
            length: 0,
        }
    }

    fn message(id: u32, exchange: ExchangeType, response: bool, notify: Option<NotifyType>) -> Vec<u8> {
        let payloads: Vec<Payload> = notify
            .into_iter()
            .map(|kind| {
                Payload::Notify(Notify {
                    protocol: wire::iana::ProtocolId::None,
                    spi: Vec::new(),
                    kind,
                    data: vec![1, 2],
                })
            })
            .collect();
        Message::encode(header(id, exchange, response), &payloads)
    }

    #[test]
    fn answers_are_matched_and_repetitions_counted() {
        let (mut e, now) = (Exchanges::default(), Instant::now());
        let (later, init) = (now + Duration::from_millis(30), ExchangeType::IkeSaInit);
        let first = Out::Request(init, 7);
        assert_eq!(e.sent(&message(0, init, false, None), now), first);
        assert_eq!(e.sent(&message(0, init, false, None), now), Out::Again);
        assert_eq!(e.waiting(7), Some(init));
        let cookie = e.received(&message(0, init, true, Some(NotifyType::Cookie)), later).unwrap();
        assert_eq!(cookie.demand, Some(NotifyType::Cookie));
        assert_eq!(cookie.took, Duration::from_millis(30));
        // The same message ID once more, with the cookie, is no repetition.
        assert_eq!(e.sent(&message(0, init, false, Some(NotifyType::Cookie)), later), first);
        assert_eq!(e.received(&message(0, init, true, None), later).unwrap().demand, None);
        // Late copies, requests and answers to something else match nothing.
        assert_eq!(e.received(&message(0, init, true, None), later), None);
        let auth = Out::Request(ExchangeType::IkeAuth, 7);
        assert_eq!(e.sent(&message(1, ExchangeType::IkeAuth, false, None), now), auth);
        assert_eq!(e.received(&message(1, ExchangeType::IkeAuth, false, None), later), None);
        assert_eq!(e.received(&message(2, ExchangeType::IkeAuth, true, None), later), None);
        e.sweep(now + STALE);
        assert_eq!(e.waiting(7), None);
    }

    #[test]
    fn goodbyes_are_no_liveness_checks() {
        let (mut e, now) = (Exchanges::default(), Instant::now());
        let informational = ExchangeType::Informational;
        for (inner, delete) in [(PayloadType::Delete, true), (PayloadType::None, false)] {
            let mut bytes = message(3, informational, false, None);
            bytes[16] = PayloadType::Sk.into();
            bytes.extend([u8::from(inner), 0, 0, 4]);
            e.sent(&bytes, now);
            let answered = e.received(&message(3, informational, true, None), now).unwrap();
            assert_eq!(answered.delete, delete);
        }
    }

    #[test]
    fn only_the_first_fragment_counts() {
        let (mut e, now) = (Exchanges::default(), Instant::now());
        let fragment = |number: u8| {
            let mut bytes = message(1, ExchangeType::IkeAuth, false, None);
            bytes[16] = PayloadType::Skf.into();
            bytes.extend([0, 0, 0, 8, 0, number, 0, 2]);
            bytes
        };
        let first = Out::Request(ExchangeType::IkeAuth, 7);
        for (number, out) in [(1, first), (2, Out::Other), (1, Out::Again), (2, Out::Other)] {
            assert_eq!(e.sent(&fragment(number), now), out);
        }
    }
}
