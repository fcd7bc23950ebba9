//! Which leases somebody wants to see.
use crate::LeaseRow;
use policy::Identity;
use policy::identity::IdentityError;
use std::net::IpAddr;

/// What a lease must be like to be shown; nothing set shows all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaseFilter {
    identity: Option<(Identity, String)>,
    /// It is this address, or a prefix with this address in it.
    pub address: Option<IpAddr>,
    /// It is in use, or it is not.
    pub online: Option<bool>,
}

impl LeaseFilter {
    /// Whose: an identity or a pattern of identities, as in a connection's `remote.id` (`*@example.org`).
    ///
    /// # Errors
    /// The text is no identity.
    pub fn set_identity(&mut self, text: &str) -> Result<(), IdentityError> {
        self.identity = Some((Identity::parse(text)?, text.to_owned()));
        Ok(())
    }

    /// Whether this lease is wanted.
    #[must_use]
    pub fn fits(&self, lease: &LeaseRow) -> bool {
        // Names that clients sent as key ids are found as they are shown.
        let named = |(wanted, text): &(Identity, String)| {
            wanted.matches(&lease.identity).is_some() || lease.identity.to_string() == *text
        };
        self.identity.as_ref().is_none_or(named)
            && self.address.is_none_or(|address| within(address, lease.address, lease.prefix))
            && self.online.is_none_or(|online| online == lease.online)
    }
}

/// The address is in the network with this prefix length.
fn within(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    let prefix = u32::from(prefix);
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => (a.to_bits() ^ n.to_bits()).leading_zeros() >= prefix.min(32),
        (IpAddr::V6(a), IpAddr::V6(n)) => (a.to_bits() ^ n.to_bits()).leading_zeros() >= prefix.min(128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(address: &str, prefix: u8, identity: &str, online: bool) -> LeaseRow {
        LeaseRow {
            address: address.parse().unwrap(),
            prefix,
            identity: Identity::parse(identity).unwrap(),
            online,
            since: None,
            expires: None,
        }
    }

    fn by_identity(text: &str) -> LeaseFilter {
        let mut filter = LeaseFilter::default();
        filter.set_identity(text).unwrap();
        filter
    }

    #[test]
    fn each_condition_narrows() {
        let carol = lease("10.3.0.1", 32, "carol@example.org", true);
        let dave = lease("fd03::10", 124, "keyid:dave", false);
        let shown = |filter: &LeaseFilter| (filter.fits(&carol), filter.fits(&dave));
        assert_eq!(shown(&LeaseFilter::default()), (true, true));
        assert_eq!(shown(&by_identity("*@EXAMPLE.org")), (true, false));
        assert_eq!(shown(&by_identity("carol@example.com")), (false, false));
        assert_eq!(shown(&by_identity("dave")), (false, true));
        assert_eq!(shown(&LeaseFilter { online: Some(false), ..LeaseFilter::default() }), (false, true));
        let at = |text: &str| LeaseFilter { address: text.parse().ok(), ..LeaseFilter::default() };
        assert_eq!(shown(&at("10.3.0.1")), (true, false));
        assert_eq!(shown(&at("fd03::1f")), (false, true));
        assert_eq!(shown(&at("fd03::20")), (false, false));
        let both = LeaseFilter { online: Some(false), ..by_identity("carol@example.org") };
        assert_eq!(shown(&both), (false, false));
    }
}
