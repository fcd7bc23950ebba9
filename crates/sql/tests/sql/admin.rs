//! What the `pool` tool does to a database.
use crate::servers::{KINDS, fresh};
use policy::Identity;
use sql::admin::{Attribute, LeaseFilter, LeaseState, NewPool};
use sql::{Admin, Error};
use std::net::IpAddr;
use wire::iana::ConfigAttribute;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn id(text: &str) -> Identity {
    Identity::parse(text).unwrap()
}

fn pool(name: &str, start: &str, end: &str, timeout: u64) -> NewPool {
    NewPool { name: name.to_owned(), start: ip(start), end: ip(end), timeout }
}

#[tokio::test]
async fn pools_are_made_at_any_size_grown_and_deleted() {
    for kind in KINDS {
        let database = fresh(kind).await;
        let mut admin = Admin::init(&database.uri).await.unwrap();
        admin.add_pool(&pool("big", "10.0.0.0", "10.255.255.255", 0)).await.unwrap();
        admin.add_pool(&pool("six", "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff", 3600)).await.unwrap();
        let again = admin.add_pool(&pool("big", "10.0.0.0", "10.0.0.9", 0)).await;
        assert_eq!(again, Err(Error::Wrong("there is a pool 'big' already".to_owned())));
        let status = admin.status().await.unwrap();
        let [big, six] = status.as_slice() else { panic!("{status:?}") };
        assert_eq!((big.size, big.unmade, big.online, big.used, big.timeout), (1 << 24, 1 << 24, 0, 0, 0));
        assert_eq!((six.size, six.start, six.timeout), (1 << 64, ip("2001:db8::"), 3600));
        assert!(matches!(admin.fill("big").await, Err(Error::Wrong(_))));

        admin.add_pool(&pool("small", "192.0.2.1", "192.0.2.4", 0)).await.unwrap();
        assert_eq!(admin.fill("small").await, Ok(4));
        assert_eq!(admin.fill("small").await, Ok(0));
        admin.resize_pool("small", ip("192.0.2.6")).await.unwrap();
        assert!(admin.resize_pool("small", ip("2001:db8::")).await.is_err());
        let small = admin.status().await.unwrap().into_iter().find(|p| p.name == "small").unwrap();
        assert_eq!((small.size, small.unmade, small.end), (6, 2, ip("192.0.2.6")));
        assert_eq!(admin.fill("small").await, Ok(2));

        // Shorter, to where rows are and to where none are yet; and back.
        let small = async |admin: &mut Admin, end: &str| {
            admin.resize_pool("small", ip(end)).await.unwrap();
            let small = admin.status().await.unwrap().into_iter().find(|p| p.name == "small").unwrap();
            (small.size, small.unmade)
        };
        assert_eq!(small(&mut admin, "192.0.2.3").await, (3, 0));
        assert_eq!(small(&mut admin, "192.0.2.9").await, (9, 6));
        assert_eq!(small(&mut admin, "192.0.2.7").await, (7, 4));
        assert_eq!(small(&mut admin, "192.0.2.2").await, (2, 0));
        assert_eq!(small(&mut admin, "192.0.2.2").await, (2, 0));
        assert_eq!(small(&mut admin, "192.0.2.4").await, (4, 2));
        assert!(admin.resize_pool("small", ip("192.0.2.0")).await.is_err());

        admin.delete_pool("big").await.unwrap();
        assert_eq!(admin.delete_pool("big").await, Err(Error::Wrong("there is no pool 'big'".to_owned())));
        let names: Vec<String> = admin.status().await.unwrap().into_iter().map(|p| p.name).collect();
        assert_eq!(names, ["six", "small"]);
        admin.close().await;
    }
}

#[tokio::test]
async fn address_files_reserve_addresses_for_identities() {
    for kind in KINDS {
        let database = fresh(kind).await;
        let mut admin = Admin::init(&database.uri).await.unwrap();
        let carol = id("carol@cygnet.test");
        let addresses = [
            (ip("10.3.0.9"), Some(carol.clone())),
            (ip("10.3.0.2"), None),
            (ip("10.3.0.4"), Some(id("C=CH, CN=dave"))),
        ];
        admin.add_addresses("file", 0, &addresses).await.unwrap();
        let status = admin.status().await.unwrap();
        assert_eq!((status[0].size, status[0].used, status[0].online), (3, 2, 0));
        assert_eq!((status[0].start, status[0].end), (ip("10.3.0.2"), ip("10.3.0.9")));
        let filter = LeaseFilter { identity: Some(carol.clone()), ..LeaseFilter::default() };
        let leases = admin.leases(&filter, 10).await.unwrap();
        assert_eq!(leases.len(), 1);
        assert_eq!((leases[0].address, &leases[0].identity), (ip("10.3.0.9"), &carol));
        assert_eq!((leases[0].state, leases[0].acquired), (LeaseState::Valid, None));
        let all = admin.leases(&LeaseFilter::default(), 10).await.unwrap();
        assert_eq!(all.iter().map(|l| l.address).collect::<Vec<_>>(), [ip("10.3.0.4"), ip("10.3.0.9")]);
        let twice = [(ip("10.3.0.9"), None), (ip("10.3.0.9"), None)];
        assert!(admin.add_addresses("twice", 0, &twice).await.is_err());
        assert!(admin.add_addresses("none", 0, &[]).await.is_err());
        admin.close().await;
    }
}

#[tokio::test]
async fn attributes_are_kept_for_everybody_pools_and_identities() {
    for kind in KINDS {
        let database = fresh(kind).await;
        let mut admin = Admin::init(&database.uri).await.unwrap();
        let dns = |value: [u8; 4], pool: Option<&str>, identity: Option<Identity>| Attribute {
            kind: ConfigAttribute::Ip4Dns,
            value: value.to_vec(),
            pool: pool.map(str::to_owned),
            identity,
        };
        let all = [
            dns([10, 1, 0, 1], None, None),
            dns([10, 1, 0, 2], Some("vpn"), None),
            dns([10, 1, 0, 3], Some("vpn"), Some(id("carol@cygnet.test"))),
            Attribute {
                kind: ConfigAttribute::DnsDomain,
                value: b"a\xffb".to_vec(),
                pool: None,
                identity: None,
            },
        ];
        for attribute in &all {
            assert_eq!(admin.add_attribute(attribute).await, Ok(true));
            assert_eq!(admin.add_attribute(attribute).await, Ok(false));
        }
        assert_eq!(admin.attributes().await.unwrap(), all);
        let kind = ConfigAttribute::Ip4Dns;
        assert_eq!(admin.delete_attributes(kind, Some(&[1, 2, 3, 4]), None, None).await, Ok(0));
        assert_eq!(admin.delete_attributes(kind, None, Some("other"), None).await, Ok(0));
        assert_eq!(admin.delete_attributes(kind, None, Some("vpn"), None).await, Ok(1));
        assert_eq!(admin.delete_attributes(kind, Some(&[10, 1, 0, 1]), None, None).await, Ok(1));
        assert_eq!(admin.attributes().await.unwrap(), all[2..]);
        admin.close().await;
    }
}

#[tokio::test]
async fn a_batch_is_all_or_nothing() {
    for kind in KINDS {
        let database = fresh(kind).await;
        let mut admin = Admin::init(&database.uri).await.unwrap();
        admin.begin().await.unwrap();
        admin.add_pool(&pool("one", "10.0.0.1", "10.0.0.9", 0)).await.unwrap();
        assert!(admin.delete_pool("two").await.is_err());
        admin.rollback().await.unwrap();
        assert_eq!(admin.status().await.unwrap(), []);
        admin.begin().await.unwrap();
        admin.add_pool(&pool("one", "10.0.0.1", "10.0.0.9", 0)).await.unwrap();
        admin.delete_pool("one").await.unwrap();
        admin.add_pool(&pool("one", "10.0.0.1", "10.0.0.7", 0)).await.unwrap();
        admin.commit().await.unwrap();
        assert_eq!(admin.status().await.unwrap()[0].size, 7);
        admin.close().await;
    }
}

#[tokio::test]
async fn a_database_without_tables_says_what_to_do() {
    for kind in KINDS {
        let database = fresh(kind).await;
        let error = Admin::open(&database.uri).await.err().unwrap();
        assert!(error.to_string().contains("pool --init"), "{error}");
        Admin::init(&database.uri).await.unwrap().close().await;
        Admin::open(&database.uri).await.unwrap().close().await;
        Admin::init(&database.uri).await.unwrap().close().await;
    }
}
