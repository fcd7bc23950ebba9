//! A gateway dies in the middle of a thousand logins: with its leases in its own file, and in a database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "lab/lab.rs"]
mod lab;

use config::tree::{Node, Section};
use lab::{Daemon, Kind, Lab, Path4, wait_for};
use sql::admin::{LeaseFilter, LeaseState, NewPool};
use sql::{Admin, Uri};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;
use vici::{Client, Message};

const CLIENTS: usize = 1000;
const LIMIT: Duration = Duration::from_secs(60);

const SECRET: &str = "secrets {
  ike-all {
    secret = \"a good long secret\"
  }
}
";

/// More clients than one address each can be found for by chance: the range is hardly larger than they are.
const GATEWAY: &str = "connections {
  rw {
    local_addrs = 192.0.2.1
    proposals = aes128gcm16-prfsha256-x25519
    pools = rw
    local {
      auth = psk
      id = gw.cygnet.test
    }
    remote {
      auth = psk
    }
  }
}
";

const POOL: &str = "pools {
  rw {
    addrs = 10.3.0.0-10.3.4.0
  }
}
";

/// All clients live in one daemon: a connection for each.
fn clients() -> String {
    let mut conf = "connections {\n".to_owned();
    for n in 0..CLIENTS {
        let _ = writeln!(
            conf,
            "  c{n} {{
    local_addrs = 192.0.2.2
    remote_addrs = 192.0.2.1
    proposals = aes128gcm16-prfsha256-x25519
    vips = 0.0.0.0
    local {{
      auth = psk
      id = c{n}@cygnet.test
    }}
    remote {{
      auth = psk
      id = gw.cygnet.test
    }}
  }}"
        );
    }
    conf + "}\n" + SECRET
}

fn vici(daemon: &Daemon) -> Client {
    Client::connect(&format!("unix://{}", daemon.file("vici").display()), Some(LIMIT)).unwrap()
}

/// These clients initiate at once.
fn log_in(daemon: &Daemon, which: Range<usize>) {
    let mut client = vici(daemon);
    for n in which {
        let mut message = Section::default();
        message.put("ike", format!("c{n}"));
        message.put("timeout", -1);
        client.request("initiate", message).unwrap();
    }
}

/// The address that each client was told.
fn told(daemon: &Daemon) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    vici(daemon)
        .request_streamed("list-sas", Section::default(), "list-sa", |message| {
            for (_, sa) in message.children() {
                if let Some(Node::List(vips)) = sa.get("local-vips")
                    && sa.text("state") == Some("ESTABLISHED")
                    && let [vip] = vips.as_slice()
                {
                    let who = sa.text("local-id").unwrap().to_owned();
                    assert_eq!(all.insert(who, vip.as_text().unwrap().to_owned()), None);
                }
            }
        })
        .unwrap();
    all
}

fn distinct(told: &BTreeMap<String, String>) -> usize {
    told.values().collect::<BTreeSet<_>>().len()
}

/// What the gateway is with.
struct Gateway {
    settings: String,
    conf: String,
}

/// Kills the gateway with logins under way, starts it again and logs all clients in; what they were told, before and
/// after. `dead` looks at what the dead one left.
fn killed(lab: &mut Lab, gateway: &Gateway, dead: impl FnOnce(&BTreeMap<String, String>)) -> Daemon {
    let settings =
        format!("{}\n  dos_protection = no\n  install_routes = no\n  retransmit_tries = 1", gateway.settings);
    let gw = lab.start_with("gw", Kind::Cygnet, &settings);
    gw.load(&gateway.conf);
    let peer = lab.start_with("cl", Kind::Cygnet, "install_routes = no\n  retransmit_tries = 1");
    peer.load(&clients());
    log_in(&peer, 0..CLIENTS / 2);
    assert!(wait_for(LIMIT, || told(&peer).len() >= CLIENTS / 3), "{}\n{}", peer.said(), gw.said());
    // It dies with these under way.
    log_in(&peer, CLIENTS / 2..CLIENTS);
    lab.kill(&gw);
    let before = told(&peer);
    assert_eq!(distinct(&before), before.len(), "two were told the same address");
    lab.kill(&peer);
    dead(&before);

    let gw = lab.start_again("gw", &gw);
    gw.load(&gateway.conf);
    let peer = lab.start_again("cl", &peer);
    peer.load(&clients());
    log_in(&peer, 0..CLIENTS);
    let mut after = BTreeMap::new();
    let all = wait_for(LIMIT, || {
        after = told(&peer);
        after.len() == CLIENTS
    });
    assert!(all, "only {} logged in\n{}\n{}", after.len(), peer.said(), gw.said());
    assert_eq!(distinct(&after), CLIENTS, "two were told the same address");
    for (who, address) in before {
        assert_eq!(after[&who], address, "{who} was told another address before");
    }
    gw
}

#[test]
fn after_a_kill_each_identity_gets_the_address_it_was_told() {
    let mut lab = Lab::new(Path4::Direct);
    let settings = format!("pool_store = {}", lab.dir().join("leases.db").display());
    let gateway = Gateway { settings, conf: format!("{GATEWAY}{POOL}{SECRET}") };
    let gw = killed(&mut lab, &gateway, |_| {});
    let pools = vici(&gw).request("get-pools", Section::default()).unwrap();
    assert_eq!(pools.child("rw").unwrap().text("online"), Some("1000"));
}

#[test]
fn after_a_kill_a_database_has_the_same_promises_and_keeps_nothing_for_good() {
    const TIMEOUT: u64 = 3600;
    let mut lab = Lab::new(Path4::Direct);
    let file = format!("sqlite://{}", lab.dir().join("ipsec.db").display());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let uri = Uri::parse(&file).unwrap();
    let mut admin = runtime.block_on(async {
        let mut admin = Admin::init(&uri).await.unwrap();
        let [start, end] = ["10.3.0.0", "10.3.4.0"].map(|text| text.parse().unwrap());
        admin.add_pool(&NewPool { name: "rw".to_owned(), start, end, timeout: TIMEOUT }).await.unwrap();
        admin
    });
    let settings = format!("plugins {{\n    attr-sql {{\n      database = {file}\n    }}\n  }}");
    let gateway = Gateway { settings, conf: format!("{GATEWAY}{SECRET}") };
    let begun = sql::value::now();
    let gw = killed(&mut lab, &gateway, |told| {
        // Who was told an address has it in the database, which may know of more whose answer was lost.
        let mut leases = runtime.block_on(admin.leases(&LeaseFilter::default(), 2 * CLIENTS)).unwrap();
        leases.retain(|lease| lease.state != LeaseState::Expired);
        let known: BTreeMap<String, String> =
            leases.iter().map(|lease| (lease.identity.to_string(), lease.address.to_string())).collect();
        assert_eq!(known.len(), leases.len(), "an identity has two addresses");
        for (who, address) in told {
            assert_eq!(known.get(who), Some(address), "{who} was told before the disk knew");
        }
    });
    let leases = runtime.block_on(admin.leases(&LeaseFilter::default(), 3 * CLIENTS)).unwrap();
    let online: Vec<_> = leases.iter().filter(|lease| lease.state == LeaseState::Online).collect();
    assert_eq!(online.len(), CLIENTS, "nothing is online but what a client has");
    // The dead one is not believed to use anything: when the living one goes, all that is left has an end.
    lab.kill(&gw);
    let gw = lab.start_again("gw", &gw);
    assert!(gw.logged("leases that were online when the last run ended", LIMIT), "{}", gw.said());
    let leases = runtime.block_on(admin.leases(&LeaseFilter::default(), 4 * CLIENTS)).unwrap();
    let current: Vec<_> = leases.iter().filter(|lease| lease.state != LeaseState::Expired).collect();
    assert_eq!(current.len(), CLIENTS);
    for lease in current {
        let end = lease.expires.unwrap_or(u64::MAX);
        assert!(lease.state == LeaseState::Valid && end >= begun + TIMEOUT, "{lease:?}");
        assert!(end <= sql::value::now() + TIMEOUT, "{lease:?} leaks");
    }
}
