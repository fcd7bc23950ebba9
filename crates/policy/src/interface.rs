//! The XFRM interface that a connection's traffic goes through, where the daemon makes it (`connections.<c>.interface`).
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Stands in a name for the number of the IKE_SA.
pub const UNIQUE: &str = "%unique";

/// The interface. Its interface id is the `if_id_in` and `if_id_out` of the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Name; with [`UNIQUE`] in it, each IKE_SA has one of its own.
    pub name: String,
    /// Addresses with their networks, beside virtual IPs.
    pub addresses: Vec<IpNet>,
    /// MTU in bytes, `None` for the kernel's.
    pub mtu: Option<u32>,
    /// VRF that it belongs to; routes are in the VRF's table then.
    pub vrf: Option<String>,
    /// Named network namespace that it is moved into; routes are in the main table there.
    pub netns: Option<String>,
}

impl Interface {
    /// One of that name with everything else left open.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), addresses: Vec::new(), mtu: None, vrf: None, netns: None }
    }

    /// Every IKE_SA has one of its own.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        self.name.contains(UNIQUE)
    }

    /// Its name where the interface id is `if_id`.
    #[must_use]
    pub fn name_for(&self, if_id: u32) -> Cow<'_, str> {
        if self.is_unique() {
            Cow::Owned(self.name.replace(UNIQUE, &if_id.to_string()))
        } else {
            Cow::Borrowed(&self.name)
        }
    }

    /// An interface id for the interface of that name: always the same, so that it means the same after a restart, and
    /// apart from the small numbers that people and `%unique` take (FNV-1a with the highest bit set).
    #[must_use]
    pub fn id_of(name: &str) -> u32 {
        let hash = name
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        hash | 0x8000_0000
    }
}

#[cfg(test)]
mod tests {
    use super::Interface;

    #[test]
    fn an_id_is_the_names_own() {
        assert_eq!(Interface::id_of(""), 0x811c_9dc5);
        assert_eq!(Interface::id_of("a"), 0xe40c_292c); // the published FNV-1a of "a"
        assert_ne!(Interface::id_of("ipsec0"), Interface::id_of("ipsec1"));
    }

    #[test]
    fn a_name_for_each() {
        assert_eq!(Interface::named("ipsec0").name_for(7), "ipsec0");
        assert_eq!(Interface::named("rw-%unique").name_for(7), "rw-7");
        assert!(Interface::named("rw-%unique").is_unique());
    }
}
