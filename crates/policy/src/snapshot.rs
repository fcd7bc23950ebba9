//! Everything configured, frozen; lookups by address and identity.
use crate::secrets::SecretKind;
use crate::{Certificate, Child, Connection, Identity, PeerAddr, Settings, SharedSecret};
use std::net::IpAddr;
use std::sync::Arc;

/// A frozen configuration, in the order of loading.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Connections in order of loading.
    pub connections: Vec<Arc<Connection>>,
    /// Shared secrets.
    pub secrets: Vec<Arc<SharedSecret>>,
    /// CA certificates that the daemon trusts: whom CERTREQ payloads ask for where a connection names none.
    pub authorities: Vec<Arc<Certificate>>,
    /// Self-signed OCSP signers that the daemon trusts: OCSP requests in CERTREQ payloads name them (RFC 4806).
    pub ocsp_signers: Vec<Arc<Certificate>>,
    /// Daemon-wide settings.
    pub settings: Arc<Settings>,
}

impl Snapshot {
    /// The connection of that name.
    #[must_use]
    pub fn connection(&self, name: &str) -> Option<&Arc<Connection>> {
        self.connections.iter().find(|c| c.name == name)
    }

    /// The first child of that name, with its connection; only of the connection `ike`, where given.
    #[must_use]
    pub fn child(&self, ike: Option<&str>, name: &str) -> Option<(&Arc<Connection>, &Arc<Child>)> {
        self.connections
            .iter()
            .filter(|c| ike.is_none_or(|ike| c.name == ike))
            .find_map(|c| c.child(name).map(|child| (c, child)))
    }

    /// The connections that an IKE_SA_INIT between these addresses may belong to: the closest addresses first (the
    /// peer's before ours), equals in the order of loading. `resolved(name, address)` says whether a DNS name in
    /// `local_addrs` or `remote_addrs` has that address.
    #[must_use]
    pub fn candidates(
        &self,
        version: u8,
        local: IpAddr,
        remote: IpAddr,
        resolved: impl Fn(&str, IpAddr) -> bool,
    ) -> Vec<&Arc<Connection>> {
        let rank = |addresses: &[PeerAddr], address: IpAddr| {
            addresses.iter().filter_map(|a| a.rank(address, &resolved)).max()
        };
        let mut found: Vec<((u32, u32), &Arc<Connection>)> = self
            .connections
            .iter()
            .filter(|c| c.version == 0 || c.version == version)
            .filter_map(|c| Some(((rank(&c.remote_addrs, remote)?, rank(&c.local_addrs, local)?), c)))
            .collect();
        // Stable: equals keep the order of loading.
        found.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
        found.into_iter().map(|(_, c)| c).collect()
    }

    /// The shared secret that fits best; see [`best_shared_secret`](crate::secrets::best_shared_secret).
    #[must_use]
    pub fn secret(
        &self,
        kind: SecretKind,
        me: Option<&Identity>,
        other: Option<&Identity>,
    ) -> Option<&Arc<SharedSecret>> {
        crate::secrets::best_shared_secret(&self.secrets, kind, me, other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(name: &str, local: &str, remote: &str) -> Arc<Connection> {
        let list = |text: &str| text.split(',').map(|a| PeerAddr::parse(a).unwrap()).collect();
        Arc::new(Connection {
            local_addrs: list(local),
            remote_addrs: list(remote),
            ..Connection::named(name)
        })
    }

    #[test]
    fn the_closest_addresses_come_first() {
        let snapshot = Snapshot {
            connections: vec![
                connection("any", "%any", "%any"),
                connection("net", "%any", "192.0.2.0/24"),
                connection("host", "%any", "192.0.2.7"),
                connection("name", "%any", "peer.example"),
                connection("here", "198.51.100.1", "192.0.2.7"),
                connection("other", "198.51.100.2", "192.0.2.7"),
                connection("six", "%any6", "%any6"),
                connection("any again", "%any", "%any4"),
            ],
            ..Snapshot::default()
        };
        let names = |remote: &str| -> Vec<String> {
            let local = "198.51.100.1".parse().unwrap();
            let found = snapshot.candidates(2, local, remote.parse().unwrap(), |name, a| {
                name == "peer.example" && a == "192.0.2.9".parse::<IpAddr>().unwrap()
            });
            found.iter().map(|c| c.name.clone()).collect()
        };
        assert_eq!(names("192.0.2.7"), ["here", "host", "net", "any", "any again"]);
        assert_eq!(names("192.0.2.9"), ["name", "net", "any", "any again"]);
        assert_eq!(names("203.0.113.1"), ["any", "any again"]);
        assert_eq!(snapshot.connection("net").unwrap().name, "net");
        assert!(snapshot.child(None, "net").is_none());
    }
}
