//! What is to be done, as plain values, and the bounds of it.
use crate::Error;
use crate::traffic::{self, Traffic};
use crypto::Secret;
use policy::proposal::parse_proposals;
use policy::{Identity, ProposalSet, SelectorTemplate, VirtualIp};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use wire::iana::ProtocolId;

/// Virtual clients of one process.
pub const MOST_CLIENTS: u32 = 1_000_000;
/// Set-ups that are begun in a second.
pub const MOST_RATE: f64 = 100_000.0;
/// Set-ups under way at once.
pub const MOST_CONCURRENT: u32 = 100_000;
/// Threads with an engine each.
pub const MOST_LANES: u8 = 16;
/// Packets per second through all tunnels together.
pub const MOST_PACKETS: f64 = 1_000_000.0;
/// Memory that an established client takes, in bytes (measured, rounded up).
pub const BYTES_PER_CLIENT: u64 = 8 * 1024;

/// A text with the client's number in it: `%d` is the number, `%5d` the number with zeroes before it up to five digits,
/// `%%` a per cent sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`%` must be followed by d, by one digit and d, or by another %")]
pub struct PatternError;

/// Puts the number in; `None`: it is no pattern.
fn expand(text: &[u8], client: u32) -> Option<Vec<u8>> {
    // All at once, so that no half-grown copy of a secret is left behind.
    let mut out = Vec::with_capacity(text.len().saturating_mul(10));
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return Some(out),
            [b'%', b'%', rest @ ..] => {
                out.push(b'%');
                rest
            }
            [b'%', b'd', rest @ ..] => {
                out.extend(client.to_string().into_bytes());
                rest
            }
            [b'%', digit @ b'0'..=b'9', b'd', rest @ ..] => {
                let width = usize::from(digit - b'0');
                out.extend(format!("{client:0width$}").into_bytes());
                rest
            }
            [b'%', ..] => return None,
            [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
        };
    }
}

impl Pattern {
    /// Reads it.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        expand(text.as_bytes(), 0).map(|_| Self { text: text.to_owned() }).ok_or(PatternError)
    }

    /// The text of a client.
    #[must_use]
    pub fn of(&self, client: u32) -> String {
        expand(self.text.as_bytes(), client)
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_else(|| self.text.clone())
    }

    /// Every client has a text of its own.
    #[must_use]
    pub fn is_distinct(&self) -> bool {
        self.of(0) != self.of(1)
    }
}

/// A secret of all clients, or one for each.
#[derive(Debug, Clone)]
pub struct Shared {
    secret: Secret,
    each: bool,
}

impl Shared {
    /// All have the same.
    #[must_use]
    pub fn one(secret: Secret) -> Self {
        Self { secret, each: false }
    }

    /// The secret is a pattern.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn each(secret: Secret) -> Result<Self, PatternError> {
        expand(secret.as_slice(), 0).map(drop).ok_or(PatternError)?;
        Ok(Self { secret, each: true })
    }

    /// The secret of a client.
    #[must_use]
    pub fn of(&self, client: u32) -> Secret {
        let own = self.each.then(|| expand(self.secret.as_slice(), client)).flatten();
        own.map_or_else(|| self.secret.clone(), Secret::new)
    }

    /// Clients have different ones.
    #[must_use]
    pub fn is_distinct(&self) -> bool {
        self.each
    }
}

/// A client's certificate.
#[derive(Debug, Clone)]
pub struct Paper {
    /// The certificate; its key is in the plan's store.
    pub certificate: pki::Certificate,
    /// Who the client says it is, where that is not the plan's pattern.
    pub identity: Option<Identity>,
}

/// Where certificates of clients come from.
pub trait Papers: Send + Sync + fmt::Debug {
    /// The certificate of a client; may be made now.
    ///
    /// # Errors
    /// Why there is none.
    fn of(&self, client: u32) -> Result<Paper, String>;
}

/// How the clients authenticate.
#[derive(Debug, Clone)]
pub enum Login {
    /// Both ends by a pre-shared key.
    Psk(Shared),
    /// Both ends by certificates.
    Cert(Arc<dyn Papers>),
    /// The clients by EAP, the gateway by its certificate.
    Eap(EapLogin),
}

/// An EAP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EapMethod(pub(crate) eap::Method);

impl EapMethod {
    /// It is EAP-TLS: clients have certificates and no passwords.
    #[must_use]
    pub fn is_tls(self) -> bool {
        self.0 == eap::Method::Tls
    }
}

/// What EAP needs to know.
#[derive(Debug, Clone)]
pub struct EapLogin {
    /// The only method that the clients run.
    pub method: EapMethod,
    /// User names.
    pub user: Pattern,
    /// Passwords; EAP-TLS has none.
    pub password: Option<Shared>,
    /// Certificates, of EAP-TLS.
    pub papers: Option<Arc<dyn Papers>>,
    /// Whom the other end of TLS must prove to be; none: the gateway's identity.
    pub server: Option<Identity>,
}

/// What is to be done. Fields are the options of `cygnet load-test`, documented there.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The gateway's address.
    pub gateway: IpAddr,
    /// Its port: 500 (then 4500 after IKE_SA_INIT), or another one that takes IKE behind the non-ESP marker.
    pub port: u16,
    /// Addresses of ours, taken in turn. None: what the kernel chooses.
    pub sources: Vec<IpAddr>,
    /// How many clients.
    pub clients: u32,
    /// Number of the first.
    pub first: u32,
    /// Set-ups begun per second.
    pub rate: f64,
    /// Set-ups under way at once; the next one waits.
    pub concurrent: u32,
    /// Threads.
    pub lanes: u8,
    /// How long all stay once the last one is up (or has failed). None: until stopped.
    pub hold: Option<Duration>,
    /// The whole run, goodbyes excluded; what is not begun by then is not begun.
    pub duration: Option<Duration>,
    /// Each client leaves after so long, and comes again.
    pub churn: Option<Duration>,
    /// Identity of the clients.
    pub identity: Pattern,
    /// Whom the gateway must prove to be, and is asked for; `Any`: whoever has the credentials.
    pub server: Identity,
    /// How they authenticate.
    pub login: Login,
    /// Keys of the clients, and the authorities that the gateway's certificate must come from.
    pub store: Arc<pki::Store>,
    /// Virtual IPs that each asks for.
    pub vips: Vec<VirtualIp>,
    /// What lies behind the gateway.
    pub remote_ts: Vec<SelectorTemplate>,
    /// Proposals for IKE.
    pub ike: ProposalSet,
    /// Proposals for ESP.
    pub esp: ProposalSet,
    /// Seconds after which a client rekeys its IKE_SA, less up to a tenth at random; 0: never.
    pub rekey_ike: u64,
    /// As above, the CHILD_SA.
    pub rekey_child: u64,
    /// Seconds without a word after which a client asks whether the gateway lives; 0: never.
    pub dpd: u64,
    /// First wait for an answer, seconds; each further one is 1.8 times as long.
    pub retransmit_timeout: f64,
    /// Repetitions before a client gives up.
    pub retransmit_tries: u32,
    /// ESP goes in UDP as from behind a NAT.
    pub encap: bool,
    /// What is sent through the tunnels.
    pub traffic: Option<Traffic>,
}

impl Plan {
    /// Says what is out of bounds.
    ///
    /// # Errors
    /// The bound, in words.
    pub fn check(&self) -> Result<(), Error> {
        let bound = |holds: bool, text: String| if holds { Ok(()) } else { Err(Error::Plan(text)) };
        bound(
            (1..=MOST_CLIENTS).contains(&self.clients),
            format!("{} clients: 1 to {MOST_CLIENTS} are possible in one process", self.clients),
        )?;
        bound(
            self.first.checked_add(self.clients).is_some(),
            "the numbers of the clients do not fit 32 bits".to_owned(),
        )?;
        bound(
            self.rate > 0.0 && self.rate <= MOST_RATE,
            format!("{} set-ups per second: more than 0 and at most {MOST_RATE} are possible", self.rate),
        )?;
        bound(
            (1..=MOST_CONCURRENT).contains(&self.concurrent),
            format!("{} set-ups at once: 1 to {MOST_CONCURRENT} are possible", self.concurrent),
        )?;
        bound(
            (1..=MOST_LANES).contains(&self.lanes),
            format!("{} threads: 1 to {MOST_LANES} are possible", self.lanes),
        )?;
        bound(
            self.clients == 1 || self.identity.is_distinct(),
            "all clients would have the same identity, and the gateway would take each for the one before: put %d into it"
                .to_owned(),
        )?;
        bound(
            self.sources.iter().all(|source| source.is_ipv4() == self.gateway.is_ipv4()),
            "source addresses and the gateway's must be of one family".to_owned(),
        )?;
        bound(
            self.retransmit_timeout > 0.0 && self.retransmit_timeout <= 60.0 && self.retransmit_tries <= 20,
            "retransmission: the first wait is more than 0 and at most 60 seconds, with at most 20 repetitions".to_owned(),
        )?;
        if let Some(traffic) = &self.traffic {
            let all = traffic.per_second * f64::from(self.clients);
            bound(
                traffic.per_second > 0.0 && all <= MOST_PACKETS,
                format!(
                    "{all} packets per second in all: more than 0 and at most {MOST_PACKETS} are possible"
                ),
            )?;
            bound(
                (traffic::LEAST..=traffic::MOST).contains(&traffic.size),
                format!(
                    "packets of {} bytes: {} to {} are possible",
                    traffic.size,
                    traffic::LEAST,
                    traffic::MOST
                ),
            )?;
        }
        bound(
            self.churn.is_none() || self.duration.is_some() || self.hold.is_none(),
            "clients that come and go need an end: a duration, or to be held until stopped".to_owned(),
        )
    }

    /// Memory that the clients will take when all are up, in bytes.
    #[must_use]
    pub fn memory(&self) -> u64 {
        u64::from(self.clients).saturating_mul(BYTES_PER_CLIENT)
    }
}

/// IKE proposals as in `swanctl.conf`, all of which can be used here.
///
/// # Errors
/// What is wrong with the text, or not available.
pub fn ike_proposals(text: &str) -> Result<ProposalSet, String> {
    proposals(ProtocolId::Ike, text)
}

/// As [`ike_proposals`], for ESP.
///
/// # Errors
/// As there.
pub fn esp_proposals(text: &str) -> Result<ProposalSet, String> {
    proposals(ProtocolId::Esp, text)
}

/// An EAP method by its name, as it follows `eap-` in `swanctl.conf`.
///
/// # Errors
/// Why there is none.
pub fn eap_method(name: &str) -> Result<EapMethod, String> {
    eap::Method::parse(name).map(EapMethod)
}

fn proposals(protocol: ProtocolId, text: &str) -> Result<ProposalSet, String> {
    let set = parse_proposals(protocol, text).map_err(|e| e.to_string())?;
    set.iter().try_for_each(policy::Proposal::available).map_err(|e| e.to_string())?;
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_put_in() {
        for (pattern, text) in [
            ("client-%d@example.org", "client-42@example.org"),
            ("%5d", "00042"),
            ("CN=c%d, OU=%d%%", "CN=c42, OU=42%"),
            ("%1d", "42"),
            ("all", "all"),
            ("ü%d", "ü42"),
            ("", ""),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().of(42), text);
        }
        assert!(Pattern::parse("%d").unwrap().is_distinct());
        assert!(!Pattern::parse("a%%d").unwrap().is_distinct());
        for bad in ["%", "%s", "%12d", "%5", "%5%"] {
            assert_eq!(Pattern::parse(bad), Err(PatternError), "{bad}");
        }
    }

    #[test]
    fn secrets_may_differ_and_are_not_shown() {
        let secret = || Secret::from(&b"s3cret-%d"[..]);
        let (one, each) = (Shared::one(secret()), Shared::each(secret()).unwrap());
        assert_eq!((one.of(7).as_slice(), each.of(7).as_slice()), (&b"s3cret-%d"[..], &b"s3cret-7"[..]));
        assert!(!format!("{one:?}{each:?}").contains("s3cret"));
        assert!(Shared::each(Secret::from(&b"100%"[..])).is_err());
    }
}
