//! One peer definition (`connections.<conn>`).
use crate::{Auth, Child, Identity, Interface, MarkValue, ProposalSet, VirtualIp};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;

/// One entry of `local_addrs` or `remote_addrs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerAddr {
    /// `%any` (both families), `%any4`, `%any6`.
    Any(Option<bool>),
    /// One address.
    Ip(IpAddr),
    /// CIDR or range, inclusive.
    Range(IpAddr, IpAddr),
    /// A DNS name, resolved by the edge at every lookup.
    Name(String),
}

/// `unique` policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "swanctl.conf's words")]
pub enum Unique {
    Never,
    No,
    Keep,
    Replace,
}

/// `fragmentation` policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "swanctl.conf's words")]
pub enum Fragmentation {
    Yes,
    Accept,
    No,
    Force,
}

/// `childless` policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "swanctl.conf's words")]
pub enum Childless {
    Allow,
    Prefer,
    Never,
    Force,
}

/// A connection. Names and defaults are those of `swanctl.conf`; times in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "fields are swanctl.conf's keys, documented in config's schema")]
pub struct Connection {
    pub name: String,
    /// 0 = both, 1, 2.
    pub version: u8,
    pub local_addrs: Vec<PeerAddr>,
    pub remote_addrs: Vec<PeerAddr>,
    pub local_port: u16,
    pub remote_port: u16,
    pub proposals: ProposalSet,
    /// Addresses to ask for; unspecified addresses mean any of that family.
    pub vips: Vec<VirtualIp>,
    /// Interface for the addresses that come; `install_virtual_ip_on` and its default otherwise.
    pub install_vip_on: Option<String>,
    /// Ask for DNS servers, and install them.
    pub install_dns: bool,
    /// Domains whose names the peer's DNS servers may answer; none: whatever the peer says.
    pub dns_domains: Vec<String>,
    pub aggressive: bool,
    pub pull: bool,
    pub dscp: u8,
    pub encap: bool,
    pub mobike: bool,
    pub dpd_delay: u64,
    pub dpd_timeout: u64,
    pub fragmentation: Fragmentation,
    pub childless: Childless,
    pub send_certreq: bool,
    pub send_cert: String,
    pub ocsp: String,
    pub ppk_id: Option<String>,
    pub ppk_required: bool,
    pub keyingtries: u32,
    pub unique: Unique,
    pub reauth_time: u64,
    pub rekey_time: u64,
    pub over_time: u64,
    pub rand_time: u64,
    pub pools: Vec<String>,
    pub if_id_in: MarkValue,
    pub if_id_out: MarkValue,
    /// The interface that the daemon makes for the children.
    #[serde(default)]
    pub interface: Option<Arc<Interface>>,
    pub local: Vec<Auth>,
    pub remote: Vec<Auth>,
    pub children: Vec<Arc<Child>>,
}

/// An entry of `local_addrs` or `remote_addrs` that is neither an address nor a host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address, subnet, range, host name or %any")]
pub struct PeerAddrError(pub String);

impl PeerAddr {
    /// Reads `%any`, `%any4`, `%any6`, an address, a subnet, a range `a-b` or a DNS name. The unspecified addresses
    /// mean any of their family.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Self, PeerAddrError> {
        match text {
            "%any" => return Ok(Self::Any(None)),
            "%any4" | "0.0.0.0" | "0.0.0.0/0" => return Ok(Self::Any(Some(true))),
            "%any6" | "::" | "::/0" => return Ok(Self::Any(Some(false))),
            _ => {}
        }
        if let Some((first, last)) = crate::selector::parse_range(text) {
            return Ok(if first == last { Self::Ip(first) } else { Self::Range(first, last) });
        }
        let label = |l: &str| {
            !l.is_empty()
                && l.len() <= 63
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b) || b >= 128)
        };
        let host = text.strip_suffix('.').unwrap_or(text);
        // A name whose last label is a number is a mistyped address (RFC 1123 2.1).
        let numeric = host.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
        if host.len() <= 253 && host.split('.').all(label) && !numeric {
            return Ok(Self::Name(text.to_owned()));
        }
        Err(PeerAddrError(text.to_owned()))
    }

    /// How closely this names an address: 1000 for the address itself or a name that resolves to it, the length of
    /// the common prefix of a range (and 100), 1 for `%any`; `None` if not at all.
    #[must_use]
    pub fn rank(&self, address: IpAddr, resolved: impl Fn(&str, IpAddr) -> bool) -> Option<u32> {
        match self {
            Self::Any(None) => Some(1),
            Self::Any(Some(ipv4)) => (*ipv4 == address.is_ipv4()).then_some(1),
            Self::Ip(own) => (*own == address).then_some(1000),
            Self::Range(first, last) => {
                let inside = first.is_ipv4() == address.is_ipv4() && *first <= address && address <= *last;
                let common = match (first, last) {
                    (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
                    (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
                    _ => 0,
                };
                inside.then_some(100 + common)
            }
            Self::Name(name) => resolved(name, address).then_some(1000),
        }
    }

    /// Stands for one host, so that one can initiate to it or from it.
    #[must_use]
    pub fn is_host(&self) -> bool {
        matches!(self, Self::Ip(_) | Self::Name(_))
    }
}

impl std::fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any(None) => f.write_str("%any"),
            Self::Any(Some(true)) => f.write_str("%any4"),
            Self::Any(Some(false)) => f.write_str("%any6"),
            Self::Ip(address) => address.fmt(f),
            Self::Range(first, last) => match crate::selector::single_prefix(*first, *last) {
                Some(len) => write!(f, "{first}/{len}"),
                None => write!(f, "{first}-{last}"),
            },
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Connection {
    /// Everything as `swanctl.conf` has it by default; no authentication rounds and no children.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let rekey_time = crate::lifetime::IKE_REKEY_TIME;
        Self {
            name: name.to_owned(),
            version: 0,
            local_addrs: vec![PeerAddr::Any(None)],
            remote_addrs: vec![PeerAddr::Any(None)],
            local_port: 500,
            remote_port: 500,
            proposals: crate::proposal::default_proposals(wire::iana::ProtocolId::Ike),
            vips: Vec::new(),
            install_vip_on: None,
            install_dns: true,
            dns_domains: Vec::new(),
            aggressive: false,
            pull: true,
            dscp: 0,
            encap: false,
            mobike: true,
            dpd_delay: 0,
            dpd_timeout: 0,
            fragmentation: Fragmentation::Yes,
            childless: Childless::Allow,
            send_certreq: true,
            send_cert: "ifasked".into(),
            ocsp: "reply".into(),
            ppk_id: None,
            ppk_required: false,
            keyingtries: 1,
            unique: Unique::No,
            reauth_time: 0,
            rekey_time,
            over_time: rekey_time / 10,
            rand_time: rekey_time / 10,
            pools: Vec::new(),
            if_id_in: MarkValue::None,
            if_id_out: MarkValue::None,
            interface: None,
            local: Vec::new(),
            remote: Vec::new(),
            children: Vec::new(),
        }
    }

    /// The child of that name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Arc<Child>> {
        self.children.iter().find(|c| c.name == name)
    }

    /// How well this connection is for a peer that calls itself `peer` and asks for `us` (its IDr, if any): ranks of
    /// the first rounds' identities added, the peer's counting first. `None` if one of them does not fit.
    #[must_use]
    pub fn identity_rank(&self, us: Option<&Identity>, peer: &Identity) -> Option<(u32, u32)> {
        let rank = |rounds: &[Auth], id: &Identity| match rounds.first().and_then(|round| round.id.as_ref()) {
            Some(pattern) => pattern.matches(id),
            None => Some(1),
        };
        let peer = rank(&self.remote, peer)?;
        let us = match us {
            Some(Identity::Any) | None => 1,
            // RFC 7296 1.2: IDr of the initiator names which of our identities it wants to talk to.
            Some(id) => rank(&self.local, id)?,
        };
        Some((peer, us))
    }
}

impl Default for Connection {
    fn default() -> Self {
        Self::named("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_peers() {
        for (text, printed) in [
            ("%any", "%any"),
            ("0.0.0.0/0", "%any4"),
            ("::", "%any6"),
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("10.0.0.1-10.0.0.9", "10.0.0.1-10.0.0.9"),
            ("gw.example.com", "gw.example.com"),
            ("gw-1", "gw-1"),
            ("moon_1.example.", "moon_1.example."),
        ] {
            assert_eq!(PeerAddr::parse(text).unwrap().to_string(), printed);
        }
        for text in ["", "1.2.3", "1.2.3.256", "10.0.0.0/33", "a..b", "a b", "%foo", "10.0.0.9-10.0.0.1"] {
            assert_eq!(PeerAddr::parse(text), Err(PeerAddrError(text.into())), "{text}");
        }
    }

    #[test]
    fn identities_decide_between_connections() {
        let id = |text: &str| Identity::parse(text).unwrap();
        let mut c = Connection::named("c");
        assert_eq!(c.identity_rank(None, &id("carol@x")), Some((1, 1)));
        c.remote = vec![Auth { id: Some(id("*@x")), ..Auth::named("remote", crate::AuthClass::Psk) }];
        c.local = vec![Auth { id: Some(id("moon")), ..Auth::named("local", crate::AuthClass::Psk) }];
        assert_eq!(c.identity_rank(None, &id("carol@x")), Some((19, 1)));
        assert_eq!(c.identity_rank(Some(&id("moon")), &id("carol@x")), Some((19, 20)));
        assert_eq!(c.identity_rank(Some(&id("sun")), &id("carol@x")), None);
        assert_eq!(c.identity_rank(None, &id("carol@y")), None);
    }
}
