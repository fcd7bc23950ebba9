//! Whom we let begin: half-open limits and cookies (RFC 7296 2.6).
use crate::core::Core;
use crate::io::{Datagram, Group};
use crate::message::{find, notify, pick};
use std::net::IpAddr;
use wire::iana::{NotifyType, Prf};
use wire::ike::Message;

/// Secrets of the cookies we give out.
#[derive(Debug)]
pub(crate) struct Admission {
    current: Vec<u8>,
    previous: Vec<u8>,
    /// Monotonic ms when `current` was drawn.
    drawn: u64,
}

/// A secret serves this long, and once more as the previous one.
const SECRET_MS: u64 = 10_000;

/// What to do with an IKE_SA_INIT request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Admit,
    Refuse,
}

/// How busy the engine is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// IKE_SAs of all kinds.
    pub(crate) all: usize,
    /// Half-open ones.
    pub(crate) half_open: usize,
    /// Half-open ones with this peer.
    pub(crate) from_peer: usize,
}

impl Admission {
    pub(crate) fn new(core: &mut Core) -> Self {
        Self { current: core.rng.bytes(32), previous: core.rng.bytes(32), drawn: core.now.mono }
    }

    fn turn(&mut self, core: &mut Core) {
        if core.now.mono.saturating_sub(self.drawn) >= SECRET_MS {
            self.previous = std::mem::replace(&mut self.current, core.rng.bytes(32));
            self.drawn = core.now.mono;
        }
    }

    /// Judges a request; sends a COOKIE where one is wanted.
    pub(crate) fn judge(&mut self, core: &mut Core, d: &Datagram, m: &Message, load: Load) -> Verdict {
        let s = core.settings();
        let over = |limit: u32, n: usize| limit > 0 && n >= usize::try_from(limit).unwrap_or(usize::MAX);
        if core.closing || s.initiator_only {
            return Verdict::Refuse;
        }
        let remote = d.remote.ip();
        if over(s.ikesa_limit, load.all) {
            core.log_stranger(Group::Net, 1, || {
                format!("ignoring IKE_SA setup from {remote}, hitting IKE_SA limit ({})", s.ikesa_limit)
            });
            return Verdict::Refuse;
        }
        if over(s.init_limit_half_open, load.half_open) {
            core.log_stranger(Group::Net, 1, || {
                format!(
                    "ignoring IKE_SA setup from {remote}, half open IKE_SA count of {} exceeds limit of {}",
                    load.half_open, s.init_limit_half_open
                )
            });
            return Verdict::Refuse;
        }
        if !s.dos_protection {
            return Verdict::Admit;
        }
        self.turn(core);
        let valid = self.cookie_is_ours(d, m);
        if !valid && (over(s.cookie_threshold, load.half_open) || over(s.cookie_threshold_ip, load.from_peer))
        {
            if let Some(ni) = pick!(m.payloads, Nonce) {
                let cookie = mac(&self.current, ni, remote, m.header.spi_i);
                core.log_stranger(Group::Net, 1, || {
                    format!("received IKE_SA_INIT from {remote} without valid COOKIE, sending COOKIE")
                });
                crate::v2::init::demand_cookie(core, d, m, notify(NotifyType::Cookie, &cookie));
            }
            return Verdict::Refuse;
        }
        if over(s.block_threshold, load.from_peer) {
            core.log_stranger(Group::Net, 1, || {
                format!("ignoring IKE_SA setup from {remote}, peer too aggressive")
            });
            return Verdict::Refuse;
        }
        Verdict::Admit
    }

    fn cookie_is_ours(&self, d: &Datagram, m: &Message) -> bool {
        let cookie = find(&m.payloads, NotifyType::Cookie).filter(|c| !c.data.is_empty());
        let (Some(c), Some(ni)) = (cookie, pick!(m.payloads, Nonce)) else { return false };
        [&self.current, &self.previous]
            .into_iter()
            .any(|s| crypto::secret::ct_eq(&mac(s, ni, d.remote.ip(), m.header.spi_i), &c.data))
    }
}

/// Hash(Ni | IPi | SPIi | secret), keyed (RFC 7296 2.6 leaves the form to us).
fn mac(secret: &[u8], ni: &[u8], ip: IpAddr, spi_i: u64) -> Vec<u8> {
    let ip = match ip {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    };
    crypto::prf::compute(Prf::HmacSha256, secret, &[ni, &ip, &spi_i.to_be_bytes()])
        .map(|s| s.as_slice().to_vec())
        .unwrap_or_default()
}
