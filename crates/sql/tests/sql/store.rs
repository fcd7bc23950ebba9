//! The backend as the daemon uses it.
use crate::servers::{Fresh, KINDS, fresh};
use policy::Identity;
use pool::{Grant, Origin, Store as _, Trouble, Wanted};
use sql::admin::{Attribute, LeaseFilter, LeaseState, NewPool};
use sql::{Admin, Pools, Recovery, Settings};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use wire::iana::ConfigAttribute;

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn id(text: &str) -> Identity {
    Identity::parse(text).unwrap()
}

pub(crate) fn pool(name: &str, start: &str, end: &str, timeout: u64) -> NewPool {
    NewPool { name: name.to_owned(), start: ip(start), end: ip(end), timeout }
}

pub(crate) fn wanted(who: &str, pools: &[&str], requested: &[&str]) -> Wanted {
    Wanted {
        pools: pools.iter().map(|pool| (*pool).to_owned()).collect(),
        identity: id(who),
        requested: requested.iter().map(|address| ip(address).into()).collect(),
        attributes: Vec::new(),
        remote: "192.0.2.1:4500".parse().unwrap(),
        connection: "rw".to_owned(),
        ike_id: 1,
    }
}

/// A gateway with a clock of its own and a log that can be read.
pub(crate) struct Gateway {
    pub(crate) store: Pools,
    pub(crate) clock: Arc<AtomicU64>,
    log: Arc<Mutex<Vec<String>>>,
}

pub(crate) const BEGIN: u64 = 1_800_000_000;

impl Gateway {
    pub(crate) fn start(database: &Fresh, name: &str, recovery: Recovery) -> Self {
        Self::at(&database.text, name, recovery)
    }

    pub(crate) fn at(text: &str, name: &str, recovery: Recovery) -> Self {
        let clock = Arc::new(AtomicU64::new(BEGIN));
        let log = Arc::new(Mutex::new(Vec::new()));
        let (time, lines) = (clock.clone(), log.clone());
        let settings = Settings {
            recovery,
            clock: Arc::new(move || time.load(Ordering::Relaxed)),
            say: Arc::new(move |_, line| lines.lock().unwrap().push(line)),
            ..Settings::new(sql::Uri::parse(text).unwrap(), name)
        };
        Self { store: Pools::start(settings), clock, log }
    }

    pub(crate) async fn lease(
        &self,
        who: &str,
        pools: &[&str],
        requested: &[&str],
    ) -> Result<Vec<Grant>, Trouble> {
        self.store.lease(&wanted(who, pools, requested)).await
    }

    /// One IPv4 address, and where it comes from.
    pub(crate) async fn one(&self, who: &str, pool: &str) -> (IpAddr, Origin) {
        let grants = self.lease(who, &[pool], &["0.0.0.0"]).await.unwrap();
        assert_eq!((grants.len(), grants[0].pool.as_str(), grants[0].prefix), (1, pool, 32));
        (grants[0].address, grants[0].origin)
    }

    pub(crate) async fn release(&self, who: &str, pool: &str, address: &str) -> bool {
        self.store.release(&[pool.to_owned()], &id(who), ip(address)).await
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

#[tokio::test]
async fn addresses_are_leased_given_back_and_kept_for_their_owner() {
    for kind in KINDS {
        let database = fresh(kind).await;
        let mut admin = Admin::init(&database.uri).await.unwrap();
        admin.add_pool(&pool("vpn", "10.3.0.1", "10.3.0.3", 0)).await.unwrap();
        let gw = Gateway::start(&database, "moon", Recovery::Own);
        assert_eq!(gw.one("carol@cygnet.test", "vpn").await, (ip("10.3.0.1"), Origin::New));
        assert_eq!(gw.one("dave@cygnet.test", "vpn").await, (ip("10.3.0.2"), Origin::New));
        assert_eq!(
            gw.lines(),
            [
                "acquired new lease for address 10.3.0.1 in pool 'vpn'",
                "acquired new lease for address 10.3.0.2 in pool 'vpn'"
            ]
        );
        // Reauthentication: the same address, and it stays until both IKE_SAs are gone.
        assert_eq!(gw.one("carol@cygnet.test", "vpn").await, (ip("10.3.0.1"), Origin::Online));
        assert_eq!(gw.lines(), ["acquired existing lease for address 10.3.0.1 in pool 'vpn'"]);
        assert!(gw.release("carol@cygnet.test", "vpn", "10.3.0.1").await);
        let status = gw.store.status().await.unwrap();
        assert_eq!((status[0].online, status[0].offline, status[0].size), (2, 0, 3));
        assert!(!gw.release("eve@cygnet.test", "vpn", "10.3.0.1").await);
        assert!(gw.release("carol@cygnet.test", "vpn", "10.3.0.1").await);
        assert!(!gw.release("carol@cygnet.test", "vpn", "10.3.0.1").await);
        let status = gw.store.status().await.unwrap();
        assert_eq!((status[0].online, status[0].offline), (1, 1));
        // A pool without timeout keeps addresses for good.
        assert_eq!(gw.one("eve@cygnet.test", "vpn").await, (ip("10.3.0.3"), Origin::New));
        gw.lines();
        let full = gw.lease("mallory@cygnet.test", &["vpn"], &["0.0.0.0"]).await;
        assert_eq!(full, Err(Trouble::Exhausted(vec!["vpn".to_owned()])));
        assert_eq!(gw.lines(), ["no available address found in pool 'vpn'"]);
        assert_eq!(gw.one("carol@cygnet.test", "vpn").await, (ip("10.3.0.1"), Origin::Offline));
        let leases = gw.store.leases("vpn", 2).await.unwrap();
        assert_eq!(leases.len(), 2);
        assert_eq!((leases[0].identity.clone(), leases[0].online), (id("carol@cygnet.test"), true));
        assert_eq!((leases[0].since, leases[0].expires), (Some(BEGIN), None));
        let page = async |after: &str, limit: usize| -> Vec<IpAddr> {
            let page = gw.store.leases_after("vpn", ip(after), limit).await.unwrap();
            page.into_iter().map(|lease| lease.address).collect()
        };
        assert_eq!(page("10.3.0.1", 9).await, [ip("10.3.0.2"), ip("10.3.0.3")]);
        assert_eq!(page("10.3.0.1", 1).await, [ip("10.3.0.2")]);
        assert_eq!(page("0.0.0.0", 9).await.len(), 3);
        assert_eq!(page("10.3.0.3", 9).await.len(), 0);
        // The history has the lease that ended.
        let filter = LeaseFilter { state: Some(LeaseState::Expired), ..LeaseFilter::default() };
        let past = admin.leases(&filter, 9).await.unwrap();
        assert_eq!((past.len(), &past[0].identity), (1, &id("carol@cygnet.test")));
    }
}

#[tokio::test]
async fn a_client_gets_addresses_of_several_pools_and_never_one_twice() {
    for kind in KINDS {
        let database = fresh(kind).await;
        let mut admin = Admin::init(&database.uri).await.unwrap();
        admin.add_pool(&pool("four", "10.3.0.1", "10.3.1.254", 172_800)).await.unwrap();
        admin.add_pool(&pool("six", "fec3::1", "fec3::fe", 172_800)).await.unwrap();
        admin.add_pool(&pool("same", "10.3.0.2", "10.3.0.3", 0)).await.unwrap();
        let gw = Gateway::start(&database, "moon", Recovery::Own);
        let pools = ["four", "six"];
        let grants = gw.lease("carol@cygnet.test", &pools, &["0.0.0.0", "::", "0.0.0.0"]).await.unwrap();
        let got: Vec<(IpAddr, u8)> = grants.iter().map(|grant| (grant.address, grant.prefix)).collect();
        assert_eq!(got, [(ip("10.3.0.1"), 32), (ip("fec3::1"), 128), (ip("10.3.0.2"), 32)]);
        // Reauthentication asks for what it has.
        let again =
            gw.lease("carol@cygnet.test", &pools, &["10.3.0.2", "fec3::1", "10.3.0.1"]).await.unwrap();
        let got: Vec<IpAddr> = again.iter().map(|grant| grant.address).collect();
        assert_eq!(got, [ip("10.3.0.2"), ip("fec3::1"), ip("10.3.0.1")]);
        // Pools may have addresses in common.
        assert_eq!(gw.one("dave@cygnet.test", "same").await.0, ip("10.3.0.3"));
        assert_eq!(gw.one("eve@cygnet.test", "four").await.0, ip("10.3.0.4"));
        let none = gw.lease("eve@cygnet.test", &["six"], &["0.0.0.0"]).await;
        assert_eq!(none, Err(Trouble::Exhausted(vec!["six".to_owned()])));
    }
}

#[tokio::test]
async fn time_runs_out_for_leases_of_pools_with_a_timeout() {
    for kind in KINDS {
        let database = fresh(kind).await;
        let mut admin = Admin::init(&database.uri).await.unwrap();
        admin.add_pool(&pool("vpn", "10.3.0.1", "10.3.0.2", 3600)).await.unwrap();
        let gw = Gateway::start(&database, "moon", Recovery::Own);
        for (who, address) in [("carol@cygnet.test", "10.3.0.1"), ("dave@cygnet.test", "10.3.0.2")] {
            assert_eq!(gw.one(who, "vpn").await.0, ip(address));
            assert!(gw.release(who, "vpn", address).await);
        }
        // Kept for an hour.
        gw.clock.store(BEGIN + 3599, Ordering::Relaxed);
        assert!(gw.lease("eve@cygnet.test", &["vpn"], &["0.0.0.0"]).await.is_err());
        gw.clock.store(BEGIN + 3600, Ordering::Relaxed);
        gw.lines();
        // Who comes late gets its own again if nobody took it, as a new lease.
        assert_eq!(gw.one("dave@cygnet.test", "vpn").await, (ip("10.3.0.2"), Origin::New));
        assert_eq!(gw.one("eve@cygnet.test", "vpn").await, (ip("10.3.0.1"), Origin::New));
        assert!(gw.lease("carol@cygnet.test", &["vpn"], &["0.0.0.0"]).await.is_err());
        let leases = gw.store.leases("vpn", 9).await.unwrap();
        assert!(leases.iter().all(|lease| lease.online && lease.since == Some(BEGIN + 3600)));
        let filter = LeaseFilter { state: Some(LeaseState::Expired), ..LeaseFilter::default() };
        let past = admin.leases(&filter, 9).await.unwrap();
        assert_eq!(past.len(), 2, "{past:?}");
        assert_eq!((&past[0].identity, past[0].released), (&id("carol@cygnet.test"), Some(BEGIN)));
        let filter = LeaseFilter { at: Some(BEGIN), address: Some(ip("10.3.0.1")), ..LeaseFilter::default() };
        assert_eq!(admin.leases(&filter, 9).await.unwrap().len(), 1);
        assert_eq!(admin.purge("vpn").await, Ok(2));
    }
}

#[tokio::test]
async fn the_lowest_address_whose_time_is_over_comes_before_those_that_nobody_had() {
    for kind in KINDS {
        for rows in [false, true] {
            let database = fresh(kind).await;
            let mut admin = Admin::init(&database.uri).await.unwrap();
            admin.add_pool(&pool("vpn", "10.3.0.1", "10.3.0.9", 3600)).await.unwrap();
            if rows {
                admin.fill("vpn").await.unwrap();
            }
            let gw = Gateway::start(&database, "moon", Recovery::Own);
            for n in 1..=5 {
                gw.one(&format!("client{n}@cygnet.test"), "vpn").await;
            }
            // The higher one is over first.
            for (n, later) in [(4, 0), (2, 60), (3, 7000)] {
                gw.clock.store(BEGIN + later, Ordering::Relaxed);
                assert!(gw.release(&format!("client{n}@cygnet.test"), "vpn", &format!("10.3.0.{n}")).await);
            }
            let mut given = Vec::new();
            for who in ["eve@cygnet.test", "mallory@cygnet.test", "trent@cygnet.test"] {
                given.push(gw.one(who, "vpn").await);
            }
            let expected = ["10.3.0.2", "10.3.0.4", "10.3.0.6"].map(|address| (ip(address), Origin::New));
            assert_eq!(given, expected, "{kind:?}, rows {rows}");
            assert_eq!(gw.one("client3@cygnet.test", "vpn").await, (ip("10.3.0.3"), Origin::Offline));
        }
    }
}

/// What many clients need is read together, and each gets what it would get alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_in_one_transaction() {
    for kind in KINDS {
        let database = fresh(kind).await;
        let mut admin = Admin::init(&database.uri).await.unwrap();
        // Not all owners' addresses are read at a time: one has more than all others together.
        let mut file: Vec<_> =
            (1..=90).map(|n| (ip(&format!("10.4.0.{n}")), Some(id("carol@cygnet.test")))).collect();
        file.push((ip("10.4.1.1"), Some(id("dave@cygnet.test"))));
        file.push((ip("10.4.1.2"), None));
        admin.add_addresses("static", 0, &file).await.unwrap();
        admin.add_pool(&pool("vpn", "10.3.0.1", "10.3.9.255", 60)).await.unwrap();
        let gw = Arc::new(Gateway::start(&database, "moon", Recovery::Own));
        let grant = async |round: u32| {
            let mut clients = tokio::task::JoinSet::new();
            for number in 0..700_u32 {
                let gw = gw.clone();
                // Twelve have two IKE_SAs; two have reserved addresses.
                let who = match number {
                    10 => "carol@cygnet.test".to_owned(),
                    20 => "dave@cygnet.test".to_owned(),
                    _ => format!("client{}@cygnet.test", number.min(687) + round),
                };
                clients.spawn(async move {
                    let grants = gw.lease(&who, &["static", "vpn"], &["0.0.0.0"]).await.unwrap();
                    (who, grants[0].address)
                });
            }
            clients.join_all().await.into_iter().collect::<std::collections::BTreeSet<_>>()
        };
        let first = grant(0).await;
        let distinct: std::collections::BTreeSet<_> = first.iter().map(|(_, address)| *address).collect();
        assert_eq!((first.len(), distinct.len()), (688, 688), "{kind:?}");
        let of = |who: &str| first.iter().find(|(other, _)| other == who).unwrap().1;
        assert_eq!((of("carol@cygnet.test"), of("dave@cygnet.test")), (ip("10.4.0.1"), ip("10.4.1.1")));
        let used: Vec<u64> = admin.status().await.unwrap().iter().map(|pool| pool.online).collect();
        assert_eq!(used, [3, 685], "{kind:?}: one of them got the address that was for anybody");
        // All give one back and come again. What was reserved is no new lease either.
        let mut gone = tokio::task::JoinSet::new();
        for (who, address) in first.clone() {
            let gw = gw.clone();
            gone.spawn(async move { gw.store.release(&[], &id(&who), address).await });
        }
        assert!(gone.join_all().await.into_iter().all(|held| held));
        assert_eq!(grant(0).await, first, "{kind:?}");
        assert_eq!(gw.lines().iter().filter(|line| line.contains("existing")).count(), 12 + 2 + 700);
    }
}

#[tokio::test]
async fn an_identity_that_is_too_long_is_refused_alone() {
    for kind in KINDS {
        let database = fresh(kind).await;
        let mut admin = Admin::init(&database.uri).await.unwrap();
        admin.add_pool(&pool("vpn", "10.3.0.1", "10.3.0.9", 0)).await.unwrap();
        let gw = Gateway::start(&database, "moon", Recovery::Own);
        let long = format!("{}@cygnet.test", "x".repeat(3000));
        let asked =
            [wanted(&long, &["vpn"], &["0.0.0.0"]), wanted("carol@cygnet.test", &["vpn"], &["0.0.0.0"])];
        let (long, other) = tokio::join!(gw.store.lease(&asked[0]), gw.store.lease(&asked[1]));
        let why = long.unwrap_err().to_string();
        assert!(why.contains("cannot keep the identity"), "{kind:?}: {why}");
        assert_eq!(other.unwrap()[0].address, ip("10.3.0.1"), "{kind:?}");
    }
}

/// Rows as strongSwan's tool makes them, and as its own test scenarios fill them in.
#[tokio::test]
async fn pools_whose_rows_are_all_there_work_the_same() {
    for kind in KINDS {
        let database = fresh(kind).await;
        let mut admin = Admin::init(&database.uri).await.unwrap();
        let file: Vec<_> = (1..=6).map(|n| (ip(&format!("10.3.0.{n}")), None)).collect();
        admin.add_addresses("bigpool", 0, &file).await.unwrap();
        let reserved = [(ip("10.4.0.7"), Some(id("carol@cygnet.test"))), (ip("10.4.0.9"), None)];
        admin.add_addresses("static", 0, &reserved).await.unwrap();
        let gw = Gateway::start(&database, "moon", Recovery::Own);
        for n in 1..=6 {
            let who = format!("client{n}@cygnet.test");
            assert_eq!(gw.one(&who, "bigpool").await, (ip(&format!("10.3.0.{n}")), Origin::New));
        }
        assert!(gw.lease("client7@cygnet.test", &["bigpool"], &["0.0.0.0"]).await.is_err());
        // What is kept for an identity in any pool comes before what is free in an earlier one.
        let grants = gw.lease("carol@cygnet.test", &["bigpool", "static"], &["0.0.0.0"]).await.unwrap();
        assert_eq!((grants[0].address, grants[0].origin), (ip("10.4.0.7"), Origin::Offline));
        assert_eq!(gw.one("dave@cygnet.test", "static").await.0, ip("10.4.0.9"));
        assert!(gw.lease("eve@cygnet.test", &["static"], &["0.0.0.0"]).await.is_err());
        // A filled pool goes on where it was.
        admin.add_pool(&pool("lazy", "10.5.0.1", "10.5.0.4", 0)).await.unwrap();
        assert_eq!(gw.one("carol@cygnet.test", "lazy").await.0, ip("10.5.0.1"));
        assert_eq!(admin.fill("lazy").await, Ok(3));
        for n in 2..=4 {
            assert_eq!(gw.one(&format!("client{n}@cygnet.test"), "lazy").await.0, ip(&format!("10.5.0.{n}")));
        }
        assert!(gw.lease("eve@cygnet.test", &["lazy"], &["0.0.0.0"]).await.is_err());
    }
}

#[tokio::test]
async fn a_gateway_releases_its_own_when_it_starts_again() {
    for kind in KINDS {
        let database = fresh(kind).await;
        let mut admin = Admin::init(&database.uri).await.unwrap();
        admin.add_pool(&pool("vpn", "10.3.0.1", "10.3.0.9", 60)).await.unwrap();
        let sun = Gateway::start(&database, "sun", Recovery::Own);
        sun.one("sunny@cygnet.test", "vpn").await;
        // Both use the address of one client that roams.
        sun.one("roamer@cygnet.test", "vpn").await;
        let moon = Gateway::start(&database, "moon", Recovery::Own);
        moon.one("carol@cygnet.test", "vpn").await;
        assert_eq!(moon.one("roamer@cygnet.test", "vpn").await, (ip("10.3.0.2"), Origin::Online));
        drop(moon);
        let moon = Gateway::start(&database, "moon", Recovery::OwnAndUnknown);
        moon.one("dave@cygnet.test", "vpn").await;
        assert_eq!(moon.lines()[0], "released 1 leases that were online when the last run ended");
        let online = |leases: Vec<sql::admin::Lease>| -> Vec<(IpAddr, Vec<String>)> {
            let online = leases.into_iter().filter(|lease| lease.state == LeaseState::Online);
            online.map(|lease| (lease.address, lease.gateways)).collect()
        };
        let leases = admin.leases(&LeaseFilter::default(), 99).await.unwrap();
        let by = |name: &str| vec![name.to_owned()];
        let expected =
            [(ip("10.3.0.1"), by("sun")), (ip("10.3.0.2"), by("sun")), (ip("10.3.0.4"), by("moon"))];
        assert_eq!(online(leases), expected);
        // As stock strongSwan documents crash_recovery: all.
        drop(moon);
        let moon = Gateway::start(&database, "moon", Recovery::All);
        moon.one("dave@cygnet.test", "vpn").await;
        let leases = admin.leases(&LeaseFilter::default(), 99).await.unwrap();
        assert_eq!(online(leases), [(ip("10.3.0.4"), by("moon"))]);
        // A gateway that is gone for good.
        assert_eq!(admin.release_gateway("moon").await, Ok(1));
        assert_eq!(online(admin.leases(&LeaseFilter::default(), 99).await.unwrap()), []);
    }
}

#[tokio::test]
async fn whoever_does_not_wait_keeps_nothing() {
    for kind in KINDS {
        let database = fresh(kind).await;
        let mut admin = Admin::init(&database.uri).await.unwrap();
        admin.add_pool(&pool("vpn", "10.3.0.1", "10.3.0.2", 0)).await.unwrap();
        let gw = Gateway::start(&database, "moon", Recovery::Own);
        gw.one("carol@cygnet.test", "vpn").await;
        for _ in 0..20 {
            let wanted = wanted("dave@cygnet.test", &["vpn"], &["0.0.0.0"]);
            let mut lease = gw.store.lease(&wanted);
            // The request is on its way, and nobody will read the answer.
            let polled =
                std::future::poll_fn(|cx| std::task::Poll::Ready(lease.as_mut().poll(cx).is_ready())).await;
            drop(lease);
            if polled {
                gw.release("dave@cygnet.test", "vpn", "10.3.0.2").await;
            }
            tokio::task::yield_now().await;
        }
        // All that was asked for is answered before this.
        assert_eq!(gw.one("carol@cygnet.test", "vpn").await.1, Origin::Online);
        gw.release("carol@cygnet.test", "vpn", "10.3.0.1").await;
        let status = gw.store.status().await.unwrap();
        assert_eq!(status[0].online, 1, "{kind:?}");
    }
}

#[tokio::test]
async fn the_most_specific_attributes_win() {
    for kind in KINDS {
        let database = fresh(kind).await;
        let mut admin = Admin::init(&database.uri).await.unwrap();
        admin.add_pool(&pool("int", "10.4.0.1", "10.4.1.244", 0)).await.unwrap();
        admin.add_pool(&pool("ext", "10.3.0.1", "10.3.1.244", 0)).await.unwrap();
        let dns = |last: u8, pool: Option<&str>, identity: Option<&str>| Attribute {
            kind: ConfigAttribute::Ip4Dns,
            value: vec![10, 1, 0, last],
            pool: pool.map(str::to_owned),
            identity: identity.map(id),
        };
        for attribute in
            [dns(1, None, None), dns(2, Some("int"), None), dns(3, Some("int"), Some("venus.cygnet.test"))]
        {
            admin.add_attribute(&attribute).await.unwrap();
        }
        let gw = Gateway::start(&database, "moon", Recovery::Own);
        for (who, pool, last) in [
            ("venus.cygnet.test", "int", 3),
            ("alice.cygnet.test", "int", 2),
            ("venus.cygnet.test", "ext", 1),
        ] {
            let wanted = wanted(who, &[pool], &["0.0.0.0"]);
            let grants = gw.store.lease(&wanted).await.unwrap();
            let attributes = gw.store.attributes(&wanted, &grants).await.unwrap();
            assert_eq!(attributes.iter().map(|a| a.value[3]).collect::<Vec<_>>(), [last]);
        }
        let nobody = wanted("venus.cygnet.test", &["int"], &[]);
        assert_eq!(gw.store.attributes(&nobody, &[]).await, Ok(Vec::new()));
    }
}
