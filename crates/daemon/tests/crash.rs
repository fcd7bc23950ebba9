//! A gateway that keeps its leases in a file dies in the middle of a thousand logins.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "lab/lab.rs"]
mod lab;

use config::tree::{Node, Section};
use lab::{Daemon, Kind, Lab, Path4, wait_for};
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
pools {
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

#[test]
fn after_a_kill_each_identity_gets_the_address_it_was_told() {
    let mut lab = Lab::new(Path4::Direct);
    let settings = format!(
        "pool_store = {}
  dos_protection = no
  install_routes = no
  retransmit_tries = 1",
        lab.dir().join("leases.db").display()
    );
    let gateway = lab.start_with("gw", Kind::Cygnet, &settings);
    gateway.load(&format!("{GATEWAY}{SECRET}"));
    let peer = lab.start_with("cl", Kind::Cygnet, "install_routes = no\n  retransmit_tries = 1");
    peer.load(&clients());
    log_in(&peer, 0..CLIENTS / 2);
    assert!(wait_for(LIMIT, || told(&peer).len() >= CLIENTS / 3), "{}\n{}", peer.said(), gateway.said());
    // It dies with these under way.
    log_in(&peer, CLIENTS / 2..CLIENTS);
    lab.kill(&gateway);
    let before = told(&peer);
    assert_eq!(distinct(&before), before.len(), "two were told the same address");
    lab.kill(&peer);

    let gateway = lab.start_again("gw", &gateway);
    gateway.load(&format!("{GATEWAY}{SECRET}"));
    let peer = lab.start_again("cl", &peer);
    peer.load(&clients());
    log_in(&peer, 0..CLIENTS);
    let mut after = BTreeMap::new();
    let all = wait_for(LIMIT, || {
        after = told(&peer);
        after.len() == CLIENTS
    });
    assert!(all, "only {} logged in\n{}\n{}", after.len(), peer.said(), gateway.said());
    assert_eq!(distinct(&after), CLIENTS, "two were told the same address");
    for (who, address) in before {
        assert_eq!(after[&who], address, "{who} was told another address before");
    }
    let pools = vici(&gateway).request("get-pools", Section::default()).unwrap();
    assert_eq!(pools.child("rw").unwrap().text("online"), Some("1000"));
}
