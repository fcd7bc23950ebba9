//! Configuration attributes by name: one vocabulary for pool sections, `strongswan.conf`, the `pool` tool and RADIUS.
//!
//! A name is a [`Keyword`]'s, one of its aliases (strongSwan's names in all places where it has any), or the number of
//! a type. `-` and `_` are the same, so is the case of letters.
use crate::PoolAttribute;
use wire::iana::ConfigAttribute as A;
use wire::ike::ConfigAttr;

mod form;
pub use form::Form;

/// The longest value, octets. Whoever needs more does not fit into the responses that clients take.
pub const MAX_VALUE: usize = 4096;

/// An attribute that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keyword {
    /// Its name in pool sections.
    pub name: &'static str,
    /// Other names, without `internal_ip4_` and `internal_ip6_` (which are understood for those with `v6`).
    pub aliases: &'static [&'static str],
    /// Its type; of those with two, the one for IPv4.
    pub v4: A,
    /// Its type for IPv6.
    pub v6: Option<A>,
    /// How its value is written and encoded.
    pub form: Form,
    /// What it is, for the operator.
    pub help: &'static str,
}

const fn both(
    name: &'static str,
    aliases: &'static [&'static str],
    v4: A,
    v6: A,
    help: &'static str,
) -> Keyword {
    Keyword { name, aliases, v4, v6: Some(v6), form: Form::Address, help }
}

const fn one(
    name: &'static str,
    aliases: &'static [&'static str],
    kind: A,
    form: Form,
    help: &'static str,
) -> Keyword {
    Keyword { name, aliases, v4: kind, v6: None, form, help }
}

/// All of them. Types above 28671 are Cisco's Unity extensions, those of `server` private use.
pub const KEYWORDS: [Keyword; 21] = [
    Keyword {
        form: Form::Host,
        ..both("address", &[], A::Ip4Address, A::Ip6Address, "further addresses, the same for every client")
    },
    both("dns", &[], A::Ip4Dns, A::Ip6Dns, "DNS servers"),
    both("nbns", &["wins"], A::Ip4Nbns, A::Ip6Nbns, "WINS servers"),
    both("dhcp", &[], A::Ip4Dhcp, A::Ip6Dhcp, "DHCP servers"),
    one("netmask", &["internal_ip4_netmask"], A::Ip4Netmask, Form::Mask, "netmask of the virtual IP"),
    both("server", &[], A::Ip4Server, A::Ip6Server, "server attributes (private use)"),
    Keyword {
        form: Form::Subnet,
        ..both("subnet", &[], A::Ip4Subnet, A::Ip6Subnet, "subnets that the gateway protects")
    },
    both("p_cscf", &[], A::PCscfIp4, A::PCscfIp6, "P-CSCF servers (RFC 7651)"),
    one(
        "dns_domain",
        &["internal_dns_domain"],
        A::DnsDomain,
        Form::Domain,
        "domains that the DNS servers are for (RFC 8598)",
    ),
    one(
        "application_version",
        &["version"],
        A::ApplicationVersion,
        Form::Text,
        "what the gateway calls its software",
    ),
    one("banner", &["unity_banner"], A::UnityBanner, Form::Text, "greeting (Cisco Unity)"),
    one(
        "save_password",
        &["unity_save_passwd", "unity_savepasswd"],
        A::UnitySavePasswd,
        Form::Number,
        "1: the client may keep the password (Cisco Unity)",
    ),
    one(
        "def_domain",
        &["unity_def_domain", "default_domain"],
        A::UnityDefDomain,
        Form::Text,
        "default domain (Cisco Unity)",
    ),
    one(
        "split_dns",
        &["unity_splitdns_name", "unity_split_dns"],
        A::UnitySplitDnsName,
        Form::Names,
        "domains that the DNS servers are for (Cisco Unity)",
    ),
    one(
        "split_include",
        &["unity_split_include"],
        A::UnitySplitInclude,
        Form::UnitySubnet,
        "subnets for the tunnel (Cisco Unity)",
    ),
    one(
        "natt_port",
        &["unity_natt_port"],
        A::UnityNattPort,
        Form::Number,
        "UDP port for NAT-T (Cisco Unity)",
    ),
    one(
        "split_exclude",
        &["unity_split_exclude", "unity_local_lan", "local_lan"],
        A::UnityLocalLan,
        Form::UnitySubnet,
        "subnets past the tunnel (Cisco Unity)",
    ),
    one(
        "pfs",
        &["unity_pfs"],
        A::UnityPfs,
        Form::Number,
        "1: CHILD_SAs are to be rekeyed with PFS (Cisco Unity)",
    ),
    one(
        "firewall_type",
        &["unity_fw_type"],
        A::UnityFwType,
        Form::Octets,
        "the firewall that a client must have (Cisco Unity)",
    ),
    one(
        "backup_servers",
        &["unity_backup_servers"],
        A::UnityBackupServers,
        Form::Addresses,
        "other gateways (Cisco Unity)",
    ),
    one(
        "ddns_hostname",
        &["unity_ddns_hostname"],
        A::UnityDdnsHostname,
        Form::Text,
        "host name of the client for dynamic DNS (Cisco Unity)",
    ),
];

/// Why there is no such attribute, or no such value of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// Nobody knows the name.
    #[error("unknown attribute")]
    Unknown,
    /// A number that is no type. RFC 7296 3.15.1: 15 bits, and 0 is reserved.
    #[error("{0} is no attribute type (1 to 32767)")]
    Type(u64),
    /// The value does not fit.
    #[error("`{text}` is no {what}")]
    Value {
        /// What was written.
        text: String,
        /// What it should have been.
        what: &'static str,
    },
    /// The attribute exists for one family only.
    #[error("`{name}` has no form for {family}")]
    Family {
        /// The name.
        name: String,
        /// IPv4 or IPv6.
        family: &'static str,
    },
    /// More than [`MAX_VALUE`].
    #[error("the value has {0} octets, {MAX_VALUE} is the most")]
    Long(usize),
}

/// What a name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name as it was given.
    name: String,
    v4: Option<A>,
    v6: Option<A>,
    form: Form,
    /// Given by number: a value that is not of the form is taken as what it looks like.
    number: bool,
}

/// Finds an attribute by any of its names, or by number.
///
/// # Errors
/// There is none of that name or number.
pub fn find(name: &str) -> Result<Named, AttributeError> {
    let named = |v4, v6, form, number| Ok(Named { name: name.to_owned(), v4, v6, form, number });
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) {
        let number = name.parse().unwrap_or(u64::MAX);
        let kind = u16::try_from(number).ok().filter(|kind| (1..=0x7fff).contains(kind));
        let kind = A::from(kind.ok_or(AttributeError::Type(number))?);
        return match keyword(kind) {
            Some(k) if k.v6 == Some(kind) => named(None, k.v6, k.form, true),
            Some(k) => named(Some(kind), k.other(), k.form, true),
            None => named(Some(kind), Some(kind), Form::Guess, true),
        };
    }
    let plain = name.to_ascii_lowercase().replace('-', "_");
    let is = |k: &Keyword, name: &str| k.name == name || k.aliases.contains(&name);
    if let Some(k) = KEYWORDS.iter().find(|k| is(k, &plain)) {
        return named(Some(k.v4), k.v6.or(k.other()), k.form, false);
    }
    for (prefix, v6) in [("internal_ip4_", false), ("internal_ip6_", true)] {
        let Some(rest) = plain.strip_prefix(prefix) else { continue };
        if let Some(k) = KEYWORDS.iter().find(|k| k.v6.is_some() && is(k, rest)) {
            let (v4, v6) = if v6 { (None, k.v6) } else { (Some(k.v4), None) };
            return named(v4, v6, k.form, false);
        }
    }
    Err(AttributeError::Unknown)
}

/// The keyword of a type.
pub fn keyword(kind: A) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|k| k.v4 == kind || k.v6 == Some(kind))
}

/// The value of an attribute as an operator would write it; hexadecimal where it is not of the type's form.
pub fn show(kind: A, value: &[u8]) -> String {
    let by_form = keyword(kind).and_then(|k| k.form.show(value));
    by_form.or_else(|| Form::Octets.show(value)).unwrap_or_default()
}

impl Keyword {
    /// The type for values that look like IPv6 where there is but one type.
    fn other(&self) -> Option<A> {
        (self.v6.is_none() && !self.form.is_ip4()).then_some(self.v4)
    }
}

impl Named {
    /// The attribute's types: for IPv4 (or for all), and for IPv6.
    pub fn kinds(&self) -> (Option<A>, Option<A>) {
        (self.v4, self.v6)
    }

    /// How its value is written.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The attributes for these values: one for each, or one for all of them where the type is a list by itself. The
    /// second part are the values that are none, by their place.
    pub fn attributes(&self, values: &[&[u8]]) -> (Vec<PoolAttribute>, Vec<(usize, AttributeError)>) {
        let (mut all, mut faults) = (Vec::new(), Vec::new());
        let joined = self.form.joined_by().filter(|_| !values.is_empty()).map(|glue| values.join(glue));
        let values = joined.as_ref().map_or_else(|| values.to_vec(), |one| vec![one.as_slice()]);
        for (at, value) in values.into_iter().enumerate() {
            match self.attribute(value) {
                Ok(attribute) => all.push(attribute),
                Err(error) => faults.push((at, error)),
            }
        }
        (all, faults)
    }

    /// The attribute with this value.
    ///
    /// # Errors
    /// The value is none for it.
    pub fn attribute(&self, text: &[u8]) -> Result<PoolAttribute, AttributeError> {
        let coded = match self.form.encode(text) {
            Err(_) if self.number => Form::Guess.encode(text)?,
            coded => coded?,
        };
        let (kind, family) = if coded.v6 { (self.v6, "IPv6") } else { (self.v4, "IPv4") };
        match kind {
            Some(kind) if coded.value.len() <= MAX_VALUE => Ok(PoolAttribute { kind, value: coded.value }),
            Some(_) => Err(AttributeError::Long(coded.value.len())),
            None => Err(AttributeError::Family { name: self.name.clone(), family }),
        }
    }
}

impl From<PoolAttribute> for ConfigAttr {
    fn from(a: PoolAttribute) -> Self {
        Self { kind: a.kind, value: a.value }
    }
}

#[cfg(test)]
mod tests;
