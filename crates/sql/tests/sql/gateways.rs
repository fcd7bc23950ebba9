//! Gateways that share a database.
use crate::servers::{KINDS, fresh};
use crate::store::{Gateway, pool, wanted};
use pool::{Store as _, Trouble};
use sql::{Admin, Recovery};
use std::collections::BTreeSet;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_address_is_given_twice() {
    for kind in KINDS {
        for rows in [false, true] {
            let database = fresh(kind).await;
            let mut admin = Admin::init(&database.uri).await.unwrap();
            admin.add_pool(&pool("vpn", "10.3.0.1", "10.3.0.150", 0)).await.unwrap();
            if rows {
                assert_eq!(admin.fill("vpn").await, Ok(150));
            }
            let gateways =
                ["sun", "moon", "venus"].map(|name| Arc::new(Gateway::start(&database, name, Recovery::Own)));
            let mut clients = tokio::task::JoinSet::new();
            for number in 0..180 {
                let gateway = gateways[number % 3].clone();
                clients.spawn(async move {
                    let wanted = wanted(&format!("client{number}.cygnet.test"), &["vpn"], &["0.0.0.0"]);
                    // Not all at once: each gateway has several transactions.
                    for _ in 0..number / 10 {
                        tokio::task::yield_now().await;
                    }
                    gateway.store.lease(&wanted).await
                });
            }
            let mut given = BTreeSet::new();
            let mut refused = 0;
            while let Some(outcome) = clients.join_next().await {
                match outcome.unwrap() {
                    Ok(grants) => {
                        assert!(given.insert(grants[0].address), "{kind:?}: {grants:?} given twice")
                    }
                    Err(Trouble::Exhausted(_)) => refused += 1,
                    Err(trouble) => panic!("{kind:?}: {trouble}"),
                }
            }
            assert_eq!((given.len(), refused), (150, 30), "{kind:?}, rows {rows}");
            let status = admin.status().await.unwrap();
            assert_eq!((status[0].online, status[0].used, status[0].unmade), (150, 150, 0));
        }
    }
}
