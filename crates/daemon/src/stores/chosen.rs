//! Addresses that the client chooses (`%config`, as strongSwan's `ipsec.conf` calls it): it gets what it asks for, within
//! what its connection allows.
use super::held::{Held, Taken};
use super::memory::Memory;
use crate::credentials::Shared;
use ipnet::IpNet;
use policy::{Identity, PoolRange, SelectorTemplate, VirtualIp};
use pool::{Attributes, Grant, Later, LeaseRow, Store, Trouble, Wanted};
use std::net::IpAddr;
use std::sync::Arc;

/// The name that a connection turns it on by.
const POOL: &str = "%config";

/// Lets clients choose.
pub(crate) struct Chosen {
    /// Where the connections are.
    credentials: Arc<Shared>,
    /// What lends addresses of its own.
    memory: Arc<Memory>,
    /// What it lends itself, and what the other stores lend.
    held: Arc<Held>,
}

impl Chosen {
    pub(crate) fn new(credentials: Arc<Shared>, memory: Arc<Memory>) -> Self {
        Self { credentials, held: memory.held().clone(), memory }
    }

    fn choose(&self, wanted: &Wanted) -> Result<Vec<Grant>, Trouble> {
        let mut grants = Vec::new();
        let mut whys = Vec::new();
        for asked in &wanted.requested {
            match self.check(*asked, wanted) {
                Ok(grant) => grants.push(grant),
                Err(why) => whys.push(why),
            }
        }
        if grants.is_empty() {
            return Err(Trouble::Unavailable { pool: POOL.to_owned(), why: whys.join("; ") });
        }
        Ok(grants)
    }

    fn check(&self, asked: VirtualIp, wanted: &Wanted) -> Result<Grant, String> {
        if asked.is_unspecified() {
            return Err("the client leaves the address open, but has to name one".to_owned());
        }
        // RFC 7296 3.15.1 has the length of the network behind an address: only a prefix itself asks for all of it.
        let net = asked.net();
        // Who has the prefix already asks for it by an address of it: it reauthenticates.
        let whole =
            net.network() == asked.address() || self.held.holds(net.network(), POOL, &wanted.identity);
        let net = if whole { net } else { IpNet::from(asked.address()) };
        if !self.allows(&wanted.connection, net) {
            return Err(format!(
                "{asked} is in no remote_ts of the children of connection '{}' (`dynamic` allows none)",
                wanted.connection
            ));
        }
        let pools = self.memory.lock();
        let owner = pools
            .names()
            .find(|name| pools.get(name).is_some_and(|pool| overlaps(&pool.config().range, net)));
        if let Some(pool) = owner {
            return Err(format!("{asked} is pool '{pool}'s"));
        }
        drop(pools);
        self.held.offer(net, POOL, &wanted.identity).map_err(|Taken(by)| format!("{asked} is held by '{by}'"))
    }

    /// Whether a selector of the operator's names the address: only that says what a client may be.
    fn allows(&self, connection: &str, asked: IpNet) -> bool {
        let connections = self.credentials.connections.load();
        let own = connections.iter().filter(|c| c.name == connection);
        own.flat_map(|c| &c.children).flat_map(|child| &child.remote_ts).any(|ts| match ts {
            SelectorTemplate::Fixed(selector) => {
                selector.contains_address(asked.network()) && selector.contains_address(asked.broadcast())
            }
            SelectorTemplate::Dynamic { .. } => false,
        })
    }
}

/// The pool has an address of this network.
fn overlaps(range: &PoolRange, net: IpNet) -> bool {
    let ends = [net.network(), net.broadcast()];
    ends.iter().any(|end| range.offset(*end).is_some()) || net.contains(&range.first())
}

impl Store for Chosen {
    fn plugin(&self) -> &'static str {
        "%config"
    }

    fn serves<'a>(&'a self, pool: &'a str) -> Later<'a, bool> {
        Box::pin(std::future::ready(pool == POOL))
    }

    fn has_fixed_names(&self) -> bool {
        true
    }

    fn lease<'a>(&'a self, wanted: &'a Wanted) -> Later<'a, Result<Vec<Grant>, Trouble>> {
        Box::pin(async { self.choose(wanted) })
    }

    fn attributes<'a>(&'a self, _: &'a Wanted, _: &'a [Grant]) -> Later<'a, Attributes> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn release<'a>(&'a self, _: &'a [String], identity: &'a Identity, address: IpAddr) -> Later<'a, bool> {
        Box::pin(std::future::ready(self.held.holds(address, POOL, identity)))
    }

    fn leases<'a>(&'a self, _: &'a str, limit: usize) -> Later<'a, Result<Vec<LeaseRow>, Trouble>> {
        Box::pin(std::future::ready(Ok(self.held.rows(POOL, limit))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::{Child, Connection, PoolConfig};

    fn chosen() -> Chosen {
        let ts = |texts: &[&str]| texts.iter().map(|t| SelectorTemplate::parse(t).unwrap()).collect();
        let child = |name: &str, remote: &[&str]| {
            let mut child = Child::named(name);
            child.remote_ts = ts(remote);
            Arc::new(child)
        };
        let mut rw = Connection::named("rw");
        rw.children = vec![child("a", &["dynamic"]), child("b", &["10.9.0.0/24", "fd09::/64"])];
        let mut other = Connection::named("other");
        other.children = vec![child("a", &["dynamic"])];
        let credentials = Arc::new(Shared::new());
        credentials.connections.store(Arc::new(vec![Arc::new(rw), Arc::new(other)]));
        let memory = Arc::<Memory>::default();
        memory.lock().load(PoolConfig::new("p4", "10.9.0.128/25".parse().unwrap())).unwrap();
        Chosen::new(credentials, memory)
    }

    fn wanted(who: &str, connection: &str, asked: &str) -> Wanted {
        Wanted {
            pools: vec![POOL.to_owned()],
            identity: Identity::Fqdn(who.into()),
            requested: vec![asked.parse().unwrap()],
            attributes: Vec::new(),
            remote: "192.0.2.2:500".parse().unwrap(),
            connection: connection.to_owned(),
            ike_id: 1,
        }
    }

    #[tokio::test]
    async fn a_client_gets_what_it_asks_for_where_the_connection_names_it() {
        let chosen = chosen();
        let choose = |who: &str, connection: &str, asked: &str| {
            let wanted = wanted(who, connection, asked);
            let grants = chosen.choose(&wanted)?;
            grants.iter().for_each(|grant| assert_eq!(chosen.held.take(grant, &wanted.identity), Ok(())));
            Ok::<_, Trouble>(grants)
        };
        let why = |who: &str, connection: &str, asked: &str| {
            choose(who, connection, asked).unwrap_err().to_string()
        };
        let grants = choose("carol", "rw", "10.9.0.7").unwrap();
        assert_eq!((grants[0].address, grants[0].prefix), ("10.9.0.7".parse().unwrap(), 32));
        assert!(choose("carol", "rw", "10.9.0.7").is_ok(), "a reauthentication");
        assert!(choose("carol", "rw", "fd09::7").is_ok());
        assert!(why("dave", "rw", "10.9.0.7").contains("10.9.0.7 is held by 'carol'"));
        assert!(why("dave", "rw", "0.0.0.0").contains("leaves the address open"));
        assert!(why("dave", "rw", "10.8.0.7").contains("10.8.0.7 is in no remote_ts"));
        assert!(why("dave", "other", "10.9.0.8").contains("of connection 'other'"));
        assert!(why("dave", "gone", "10.9.0.8").contains("of connection 'gone'"));
        assert!(why("dave", "rw", "10.9.0.200").contains("is pool 'p4's"));
        let carol = Identity::Fqdn("carol".into());
        let address = "10.9.0.7".parse().unwrap();
        for given_back in [true, true, false] {
            assert_eq!(chosen.release(&[], &carol, address).await, given_back);
            chosen.held.give_back(address, &[POOL.to_owned()], &carol);
        }
        assert!(choose("dave", "rw", "10.9.0.7").is_ok());
    }

    #[test]
    fn a_prefix_has_to_be_the_connections_whole() {
        let chosen = chosen();
        let choose = |asked: &str| chosen.choose(&wanted("carol", "rw", asked)).map(|grants| grants[0].vip());
        assert_eq!(choose("fd09::/80").unwrap().to_string(), "fd09::/80");
        assert!(choose("fd09::/63").unwrap_err().to_string().contains("is in no remote_ts"));
        // The length of the network behind an address asks for no more than the address.
        assert_eq!(choose("fd09::7/64").unwrap().to_string(), "fd09::7");
        // Unless it has the prefix: a reauthentication.
        let carol = wanted("carol", "rw", "fd09::/64");
        let grants = chosen.choose(&carol).unwrap();
        assert_eq!(chosen.held.take(&grants[0], &carol.identity), Ok(()));
        assert_eq!(choose("fd09::1/64").unwrap().to_string(), "fd09::/64");
    }
}
