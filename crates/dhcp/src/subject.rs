//! As whom a VPN client appears on the LAN: hardware address, client identifier, host name.
use std::fmt;
use std::hash::Hasher;
use std::net::Ipv4Addr;

/// The first two bytes of every hardware address, those of charon: locally administered, so that no real card has it.
const PREFIX: [u8; 2] = [0x7a, 0xa7];
/// The longest value of one option.
const LONGEST: usize = 255;
/// Bytes of the hash that a longer client identifier ends with.
const HASH: usize = 8;

/// An Ethernet address that no interface has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hardware(pub [u8; 6]);

impl Hardware {
    /// A new one for each login.
    #[must_use]
    pub fn random(random: u64) -> Self {
        Self::with(random)
    }

    /// The same one for the same identity (as sent in IKE), and the one that charon derives: reservations made for it hold.
    #[must_use]
    pub fn of_identity(identity: &[u8]) -> Self {
        Self::with(hash(identity))
    }

    fn with(bits: u64) -> Self {
        let [.., a, b, c, d] = bits.to_be_bytes();
        let [x, y] = PREFIX;
        Self([x, y, a, b, c, d])
    }
}

/// SipHash-2-4 with the key 00 01 … 0f: what the hardware addresses in strongSwan's tests are made with.
#[allow(deprecated, reason = "the standard library's newer hashers do not promise an algorithm")]
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = std::hash::SipHasher::new_with_keys(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
    hasher.write(bytes);
    hasher.finish()
}

impl fmt::Display for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One VPN client, as the server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// `chaddr`.
    pub hardware: Hardware,
    /// Client identifier (option 61), at most 255 bytes.
    pub client_id: Option<Vec<u8>>,
    /// Host name (option 12).
    pub host_name: Option<String>,
    /// The address it would like to have (option 50).
    pub requested: Option<Ipv4Addr>,
}

impl Subject {
    /// A client with a hardware address of its own for this one login.
    #[must_use]
    pub fn random(random: u64) -> Self {
        Self { hardware: Hardware::random(random), client_id: None, host_name: None, requested: None }
    }

    /// A client that is known by its identity (as sent in IKE): the server will give it the same address again.
    #[must_use]
    pub fn of_identity(identity: &[u8]) -> Self {
        let mut client_id = identity.to_vec();
        if client_id.len() > LONGEST {
            // Servers look at one option only: what would be cut off has its part in the hash.
            client_id.truncate(LONGEST - HASH);
            client_id.extend(hash(identity).to_be_bytes());
        }
        Self {
            hardware: Hardware::of_identity(identity),
            client_id: Some(client_id),
            host_name: None,
            requested: None,
        }
    }

    /// With a host name, where this is one: letters, digits and hyphens in labels of at most 63 (RFC 1123 2.1).
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.host_name = is_host_name(name).then(|| name.to_owned());
        self
    }

    /// With a wish for an address.
    #[must_use]
    pub fn asking(mut self, address: Option<Ipv4Addr>) -> Self {
        self.requested = address.filter(|address| !address.is_unspecified());
        self
    }
}

/// A host or domain name that can be passed on.
pub(crate) fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The addresses that strongSwan's scenario `ikev2/dhcp-static-mac` reserves for its clients.
    #[test]
    fn hardware_addresses_are_those_that_operators_have_reserved() {
        let of = |identity: &str| Hardware::of_identity(identity.as_bytes()).to_string();
        assert_eq!(of("carol@strongswan.org"), "7a:a7:51:cc:22:4a");
        assert_eq!(of("dave@strongswan.org"), "7a:a7:93:70:2b:21");
    }

    #[test]
    fn hardware_addresses_are_locally_administered_and_no_group() {
        for random in [0, u64::MAX, 0x1234_5678_9abc_def0] {
            let Hardware([first, ..]) = Hardware::random(random);
            assert_eq!(first & 0b11, 0b10);
        }
    }

    #[test]
    fn long_identities_differ_though_cut() {
        let (mut one, mut other) = (vec![7; 300], vec![7; 300]);
        one[299] = 1;
        other[299] = 2;
        let ids = [&one, &other].map(|identity| Subject::of_identity(identity).client_id.unwrap());
        assert!(ids.iter().all(|id| id.len() == 255));
        assert_ne!(ids[0], ids[1]);
        assert_eq!(Subject::of_identity(b"carol").client_id.unwrap(), b"carol");
    }

    #[test]
    fn only_host_names_are_sent_as_such() {
        let named = |name: &str| Subject::random(1).named(name).host_name.is_some();
        assert!(named("carol.cygnet.test") && named("pc-1"));
        assert!(!named("carol lives") && !named("-x") && !named("a..b") && !named(""));
        assert!(!named(&"a".repeat(64)) && !named(&["abc"; 80].join(".")));
    }
}
