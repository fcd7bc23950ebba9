//! Databases that go away and return.
use crate::servers::fresh;
use crate::store::{Gateway, id, ip, pool};
use pool::{Origin, Store as _, Trouble};
use sql::{Admin, Connection, Kind, QUEUE, Recovery};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of connections to the server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Up,
    /// Closed, and every new one closed at once.
    Cut,
    /// Nothing comes through.
    Silent,
}

/// A server behind a line that can be cut; its port and the line.
async fn line(server: u16) -> (u16, watch::Sender<Line>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, state) = watch::channel(Line::Up);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut state = state.clone();
            tokio::spawn(async move {
                loop {
                    let now = *state.borrow_and_update();
                    match now {
                        Line::Cut => return,
                        Line::Silent => state.changed().await.unwrap_or(()),
                        Line::Up => break,
                    }
                }
                let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await.unwrap();
                loop {
                    tokio::select! {
                        changed = state.changed() => if changed.is_err() { return },
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
                    }
                    while *state.borrow_and_update() == Line::Silent {
                        if state.changed().await.is_err() {
                            return;
                        }
                    }
                    if *state.borrow() == Line::Cut {
                        return;
                    }
                }
            });
        }
    });
    (port, sender)
}

/// Asks again until the database is back.
async fn at_last(gw: &Gateway, who: &str) -> (std::net::IpAddr, Origin) {
    let again = async {
        loop {
            match gw.lease(who, &["vpn"], &["0.0.0.0"]).await {
                Ok(grants) => return (grants[0].address, grants[0].origin),
                Err(Trouble::Unavailable { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(trouble) => panic!("{trouble}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again).await.unwrap()
}

fn unavailable(outcome: Result<Vec<pool::Grant>, Trouble>) -> String {
    match outcome {
        Err(trouble @ Trouble::Unavailable { .. }) => trouble.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_away_and_returns() {
    for kind in [Kind::Mysql, Kind::Postgres] {
        let database = fresh(kind).await;
        let mut admin = Admin::init(&database.uri).await.unwrap();
        admin.add_pool(&pool("vpn", "10.3.0.1", "10.3.0.9", 0)).await.unwrap();
        let (port, line) = line(database.port).await;
        let user = if kind == Kind::Mysql { "root" } else { "cygnet" };
        let text = database.text.replace(&database.port.to_string(), &port.to_string());
        let gw = Gateway::at(&text, "moon", Recovery::Own);
        assert_eq!(gw.one("carol.cygnet.test", "vpn").await.0, ip("10.3.0.1"));
        gw.lines();

        // The server was restarted: nobody notices.
        line.send(Line::Cut).unwrap();
        line.send(Line::Up).unwrap();
        assert_eq!(gw.one("carol.cygnet.test", "vpn").await, (ip("10.3.0.1"), Origin::Online));
        assert_eq!(gw.lines(), ["acquired existing lease for address 10.3.0.1 in pool 'vpn'"]);

        line.send(Line::Cut).unwrap();
        let why = unavailable(gw.lease("dave.cygnet.test", &["vpn"], &["0.0.0.0"]).await);
        assert!(
            why.contains(&format!("{user}@127.0.0.1:{port}/")) && why.contains("cannot be reached"),
            "{why}"
        );
        unavailable(gw.lease("dave.cygnet.test", &["vpn"], &["0.0.0.0"]).await);
        assert_eq!(gw.lines().len(), 1, "said once");
        // A pool is not unknown only because the database is away.
        assert!(gw.store.serves("vpn").await);
        // What is given back meanwhile is not forgotten.
        for _ in 0..2 {
            assert!(gw.release("carol.cygnet.test", "vpn", "10.3.0.1").await);
        }
        assert!(!gw.release("carol.cygnet.test", "vpn", "10.3.0.1").await);
        line.send(Line::Up).unwrap();
        assert_eq!(at_last(&gw, "dave.cygnet.test").await, (ip("10.3.0.2"), Origin::New));
        assert!(gw.lines().iter().any(|line| line.ends_with("answers again")));
        let status = admin.status().await.unwrap();
        assert_eq!((status[0].online, status[0].used), (1, 2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing() {
    let database = fresh(Kind::Postgres).await;
    let mut admin = Admin::init(&database.uri).await.unwrap();
    admin.add_pool(&pool("vpn", "10.0.0.1", "10.0.255.254", 0)).await.unwrap();
    let (port, line) = line(database.port).await;
    let text = database.text.replace(&database.port.to_string(), &port.to_string());
    let gw = Arc::new(Gateway::at(&text, "moon", Recovery::Own));
    gw.one("carol.cygnet.test", "vpn").await;
    line.send(Line::Silent).unwrap();
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..QUEUE * 2 {
        let gw = gw.clone();
        clients.spawn(async move {
            unavailable(gw.lease(&format!("client{number}.cygnet.test"), &["vpn"], &["0.0.0.0"]).await)
        });
    }
    let whys = tokio::time::timeout(Duration::from_secs(30), clients.join_all()).await.unwrap();
    let full = format!("{QUEUE} requests are waiting already");
    assert!(whys.iter().any(|why| why.ends_with(&full)));
    assert!(whys.iter().any(|why| why.ends_with("no answer in time")), "{:?}", whys.first());
    line.send(Line::Up).unwrap();
    at_last(&gw, "dave.cygnet.test").await;
    // Nobody of those who were refused has an address.
    let online = admin.status().await.unwrap()[0].online;
    assert_eq!(online, 2);
}

#[tokio::test]
async fn a_file_that_is_not_there_yet_or_busy() {
    let database = fresh(Kind::Sqlite).await;
    let gw = Gateway::start(&database, "moon", Recovery::Own);
    let why = unavailable(gw.lease("carol.cygnet.test", &["vpn"], &["0.0.0.0"]).await);
    assert!(why.contains("pool --init"), "{why}");
    assert!(gw.store.serves("vpn").await, "nobody knows yet");
    let mut admin = Admin::init(&database.uri).await.unwrap();
    admin.add_pool(&pool("vpn", "10.3.0.1", "10.3.0.9", 0)).await.unwrap();
    assert_eq!(at_last(&gw, "carol.cygnet.test").await.0, ip("10.3.0.1"));
    // Somebody else writes for too long.
    let mut other = Connection::open(&database.uri, false).await.unwrap();
    other.begin().await.unwrap();
    let why = unavailable(gw.lease("dave.cygnet.test", &["vpn"], &["0.0.0.0"]).await);
    assert!(why.contains("locked"), "{why}");
    other.rollback().await.unwrap();
    assert_eq!(gw.one("dave.cygnet.test", "vpn").await.0, ip("10.3.0.2"));
    // The tables are gone.
    other.script("DROP TABLE pools").await.unwrap();
    let why = unavailable(gw.lease("dave.cygnet.test", &["vpn"], &["0.0.0.0"]).await);
    assert!(why.contains("no table 'pools'") && why.contains("pool --init"), "{why}");
    assert!(gw.store.release(&[], &id("dave.cygnet.test"), ip("10.3.0.2")).await);
}
