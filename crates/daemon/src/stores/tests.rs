//! Several stores side by side.
use super::*;
use policy::{Identity, PoolConfig};
use pool::{Attributes, Later, LeaseRow, Origin};
use std::net::IpAddr;
use std::sync::Mutex;
use wire::iana::ConfigAttribute;
use wire::ike::ConfigAttr;

/// A store that always lends the same address, as a database or a DHCP server may; notes what comes back.
#[derive(Default)]
struct Single {
    plugin: &'static str,
    address: Option<IpAddr>,
    back: Mutex<Vec<String>>,
    everyone: Vec<ConfigAttr>,
}

impl Store for Single {
    fn plugin(&self) -> &'static str {
        self.plugin
    }

    fn serves<'a>(&'a self, pool: &'a str) -> Later<'a, bool> {
        Box::pin(std::future::ready(pool == self.plugin))
    }

    fn lease<'a>(&'a self, wanted: &'a Wanted) -> Later<'a, Result<Vec<Grant>, Trouble>> {
        let grant = |address| Grant { pool: self.plugin.into(), address, prefix: 32, origin: Origin::New };
        let grant = self.address.map(grant).ok_or_else(|| Trouble::Exhausted(wanted.pools.clone()));
        Box::pin(std::future::ready(grant.map(|grant| vec![grant])))
    }

    fn attributes<'a>(&'a self, _: &'a Wanted, _: &'a [Grant]) -> Later<'a, Attributes> {
        Box::pin(std::future::ready(Ok(self.everyone.clone())))
    }

    fn for_everyone(&self) -> bool {
        !self.everyone.is_empty()
    }

    fn release<'a>(&'a self, _: &'a [String], identity: &'a Identity, _: IpAddr) -> Later<'a, bool> {
        self.back.lock().unwrap().push(identity.to_string());
        Box::pin(std::future::ready(true))
    }

    fn leases<'a>(&'a self, _: &'a str, _: usize) -> Later<'a, Result<Vec<LeaseRow>, Trouble>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

fn stores(others: Vec<Arc<Single>>) -> Stores {
    let memory = Arc::<Memory>::default();
    memory.load(PoolConfig::new("mem", "10.3.0.1-10.3.0.3".parse().unwrap())).unwrap();
    let others = others.into_iter().map(|store| store as Arc<dyn Store>).collect();
    Stores { memory, others, order: Order::default(), detours: Detours::default() }
}

fn single(plugin: &'static str, address: &str) -> Arc<Single> {
    Arc::new(Single { plugin, address: address.parse().ok(), ..Single::default() })
}

fn wanted(who: &str, pools: &[&str]) -> Wanted {
    Wanted {
        pools: pools.iter().map(|pool| (*pool).to_owned()).collect(),
        identity: Identity::Fqdn(who.into()),
        requested: vec![IpAddr::from([0, 0, 0, 0]).into()],
        attributes: Vec::new(),
        remote: ([192, 0, 2, 1], 500).into(),
        connection: "rw".to_owned(),
        ike_id: 1,
    }
}

impl Stores {
    async fn one(&self, who: &str, pool: &str) -> Result<String, String> {
        let outcome = self.lease(wanted(who, &[pool])).await;
        match outcome.grants.as_slice() {
            [grant] => Ok(grant.vip().to_string()),
            _ => Err(outcome.troubles.iter().map(ToString::to_string).collect()),
        }
    }

    async fn back(&self, who: &str, pool: &str, address: &str) -> bool {
        self.release(&[pool.to_owned()], &Identity::Fqdn(who.into()), address.parse().unwrap()).await
    }
}

#[tokio::test]
async fn stores_that_do_not_know_of_each_other_never_lend_one_address_to_two() {
    let (database, lan) = (single("db", "10.3.0.9"), single("lan", "10.3.0.9"));
    let stores = stores(vec![database.clone(), lan.clone()]);
    assert_eq!(stores.one("carol", "db").await.unwrap(), "10.3.0.9");
    let why = stores.one("dave", "lan").await.unwrap_err();
    assert_eq!(why, "pool 'lan': 10.3.0.9 is in use by 'carol', who has it from another pool");
    assert_eq!(*lan.back.lock().unwrap(), ["dave"]);
    // Carol herself may have it twice, and it is hers until both are back.
    assert_eq!(stores.one("carol", "lan").await.unwrap(), "10.3.0.9");
    assert!(stores.back("carol", "db", "10.3.0.9").await);
    assert!(stores.one("dave", "db").await.is_err());
    assert!(stores.back("carol", "lan", "10.3.0.9").await);
    assert_eq!(stores.one("dave", "db").await.unwrap(), "10.3.0.9");
}

#[tokio::test]
async fn pools_in_memory_pass_over_what_others_lent_and_the_other_way_round() {
    let database = single("db", "10.3.0.1");
    let stores = stores(vec![database.clone()]);
    assert_eq!(stores.one("carol", "db").await.unwrap(), "10.3.0.1");
    assert_eq!(stores.one("dave", "mem").await.unwrap(), "10.3.0.2");
    assert_eq!(stores.one("erin", "mem").await.unwrap(), "10.3.0.3");
    assert!(stores.one("frank", "mem").await.is_err());
    assert!(stores.back("carol", "db", "10.3.0.1").await);
    assert_eq!(stores.one("frank", "mem").await.unwrap(), "10.3.0.1");
    let why = stores.one("carol", "db").await.unwrap_err();
    assert_eq!(why, "pool 'db': 10.3.0.1 is in use by 'frank', who has it from another pool");
    assert_eq!(*database.back.lock().unwrap(), ["carol", "carol"]);
}

#[tokio::test]
async fn attributes_for_everyone_reach_clients_of_pools_in_memory() {
    let dns = ConfigAttr { kind: ConfigAttribute::Ip4Dns, value: vec![10, 1, 0, 53] };
    let database = Arc::new(Single { plugin: "db", everyone: vec![dns.clone()], ..Single::default() });
    let stores = stores(vec![database, single("lan", "10.3.0.9")]);
    let wanted = wanted("carol", &["mem"]);
    assert!(stores.lease_now(&wanted).is_none(), "the other store has to be asked");
    let outcome = stores.lease(wanted).await;
    assert_eq!(outcome.grants.len(), 1);
    assert_eq!(outcome.attributes, [dns]);
}

/// A store that claims every pool, as a database that does not answer, or only the one of its own name.
struct Claims {
    plugin: &'static str,
    fixed: bool,
}

impl Store for Claims {
    fn plugin(&self) -> &'static str {
        self.plugin
    }

    fn serves<'a>(&'a self, pool: &'a str) -> Later<'a, bool> {
        Box::pin(std::future::ready(!self.fixed || pool == self.plugin))
    }

    fn has_fixed_names(&self) -> bool {
        self.fixed
    }

    fn lease<'a>(&'a self, _: &'a Wanted) -> Later<'a, Result<Vec<Grant>, Trouble>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn attributes<'a>(&'a self, _: &'a Wanted, _: &'a [Grant]) -> Later<'a, Attributes> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn release<'a>(&'a self, _: &'a [String], _: &'a Identity, _: IpAddr) -> Later<'a, bool> {
        Box::pin(std::future::ready(false))
    }

    fn leases<'a>(&'a self, _: &'a str, _: usize) -> Later<'a, Result<Vec<LeaseRow>, Trouble>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

#[tokio::test]
async fn fixed_names_are_known_before_a_database_is_asked_whatever_the_order() {
    let memory = Arc::<Memory>::default();
    memory.load(PoolConfig::new("home", "10.9.0.0/24".parse().unwrap())).unwrap();
    let store = |plugin, fixed| -> Arc<dyn Store> { Arc::new(Claims { plugin, fixed }) };
    let others = vec![store("attr-sql", false), store("dhcp", true), store("radius", true)];
    let stores = Stores { memory, others, order: Order::Connection, detours: Detours::default() };
    let names = ["dhcp", "office", "home", "radius"].map(str::to_owned);
    let groups = stores.groups(&names, &mut Vec::new()).await;
    let servers: Vec<&str> = groups.iter().map(|group| group.store.plugin()).collect();
    assert_eq!(servers, ["dhcp", "attr-sql", "vici", "radius"]);
}
