//! Clients get their addresses and attributes from a database: stock and our own, before and after the gateway is killed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "lab/lab.rs"]
mod lab;

use lab::{Daemon, Kind, Lab, Path4, sh};
use policy::Identity;
use sql::admin::{Attribute, Lease, LeaseFilter, LeaseState, NewPool};
use sql::{Admin, Uri};
use std::net::IpAddr;
use std::time::Duration;
use wire::iana::ConfigAttribute;

const SOON: Duration = Duration::from_secs(5);

fn conf(connection: &str, id: &str, remote: &str, child: &str) -> String {
    format!(
        "connections {{
  c {{
    {connection}
    proposals = aes128gcm16-prfsha256-x25519
    encap = yes
    local {{
      auth = psk
      id = {id}
    }}
    remote {{
      auth = psk
      {remote}
    }}
    children {{
      net {{
        {child}
        esp_proposals = aes128gcm16
      }}
    }}
  }}
}}
secrets {{
  ike-all {{
    secret = \"a good long secret\"
  }}
}}
"
    )
}

fn gateway_conf() -> String {
    conf("local_addrs = 192.0.2.1\n    pools = bigpool, six", "gw.cygnet.test", "", "local_ts = 10.1.0.0/16")
}

fn client_conf() -> String {
    conf(
        "remote_addrs = 192.0.2.1\n    vips = 0.0.0.0, ::",
        "carol@cygnet.test",
        "id = gw.cygnet.test",
        "remote_ts = 10.1.0.0/16",
    )
}

/// A database as an administrator makes it.
async fn database(file: &str) -> Admin {
    let mut admin = Admin::init(&Uri::parse(file).unwrap()).await.unwrap();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let pools = [("bigpool", "10.0.0.1", "10.255.255.254", 0), ("six", "fec3::1", "fec3::fe", 172_800)];
    for (name, start, end, timeout) in pools {
        let pool = NewPool { name: name.to_owned(), start: ip(start), end: ip(end), timeout };
        admin.add_pool(&pool).await.unwrap();
    }
    let dns = |last: u8, identity: Option<&str>| Attribute {
        kind: ConfigAttribute::Ip4Dns,
        value: vec![10, 1, 0, last],
        pool: Some("bigpool".to_owned()),
        identity: identity.map(|text| Identity::parse(text).unwrap()),
    };
    for attribute in [dns(10, None), dns(20, Some("carol@cygnet.test"))] {
        assert!(admin.add_attribute(&attribute).await.unwrap());
    }
    admin
}

async fn online(admin: &mut Admin) -> Vec<(String, String)> {
    let filter = LeaseFilter { state: Some(LeaseState::Online), ..LeaseFilter::default() };
    let row = |lease: Lease| {
        (lease.address.to_string(), format!("{} {}", lease.identity, lease.gateways.join(",")))
    };
    admin.leases(&filter, 9).await.unwrap().into_iter().map(row).collect()
}

fn up(client: &Daemon, gateway: &Daemon) {
    let (ok, said) = client.try_swanctl(&["--initiate", "--child", "net", "--timeout", "15"]);
    assert!(ok, "{said}\n{}\n{}", client.said(), gateway.said());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_road_warrior_is_served_from_a_database_and_served_again_after_the_gateway_was_killed() {
    for kind in [Kind::Charon, Kind::Cygnet] {
        let mut lab = Lab::new(Path4::Direct);
        let file = format!("sqlite://{}/ipsec.db", lab.dir().display());
        let mut admin = database(&file).await;
        let settings = format!(
            "plugins {{\n    attr-sql {{\n      database = {file}\n      gateway = moon\n    }}\n  }}"
        );
        let gw = lab.start_with("gw", Kind::Cygnet, &settings);
        gw.load(&gateway_conf());
        let cl = lab.start_with("cl", kind, "");
        cl.load(&client_conf());
        up(&cl, &gw);
        lab.ping("cl", "10.1.0.1", 2);
        let sas = cl.sas();
        assert!(sas.contains("local-vips=[10.0.0.1 fec3::1]"), "{sas}");
        for line in [
            "acquired new lease for address 10.0.0.1 in pool 'bigpool'",
            "acquired new lease for address fec3::1 in pool 'six'",
        ] {
            assert!(gw.logged(line, SOON), "no `{line}`\n{}", gw.said());
        }
        let resolv = std::fs::read_to_string(cl.file("resolv.conf")).unwrap();
        assert!(resolv.contains("10.1.0.20") && !resolv.contains("10.1.0.10"), "{resolv}");
        let carol = "carol@cygnet.test moon".to_owned();
        let both = [("10.0.0.1".to_owned(), carol.clone()), ("fec3::1".to_owned(), carol)];
        assert_eq!(online(&mut admin).await, both);

        // Promises are kept by who is killed: the lease is there, and is released when the gateway comes back.
        lab.kill(&gw);
        assert_eq!(online(&mut admin).await, both);
        cl.swanctl(&["--terminate", "--ike", "c", "--force"]);
        let gw = lab.start_again("gw", &gw);
        gw.load(&gateway_conf());
        let released = "released 2 leases that were online when the last run ended";
        assert!(gw.logged(released, SOON), "{}", gw.said());
        up(&cl, &gw);
        let sas = cl.sas();
        assert!(sas.contains("local-vips=[10.0.0.1 fec3::1]"), "{sas}");
        assert!(
            gw.logged("acquired existing lease for address 10.0.0.1 in pool 'bigpool'", SOON),
            "{}",
            gw.said()
        );
        assert_eq!(online(&mut admin).await, both);

        cl.swanctl(&["--terminate", "--ike", "c"]);
        assert!(gw.logged("lease 10.0.0.1 by 'carol@cygnet.test' went offline", SOON), "{}", gw.said());
        assert!(gw.logged("lease fec3::1 by 'carol@cygnet.test' went offline", SOON), "{}", gw.said());
        assert_eq!(online(&mut admin).await, []);
    }
}

/// As those who know the tables make them by hand.
const STOCK: &str = "
create table identities (id integer primary key, type integer not null, data blob not null, unique (type, data));
create table pools (id integer primary key, name text not null unique, start blob not null, end blob not null,
  timeout integer not null);
create table addresses (id integer primary key, pool integer not null, address blob not null,
  identity integer not null default 0, acquired integer not null default 0, released integer not null default 1);
create table leases (id integer primary key, address integer not null, identity integer not null,
  acquired integer not null, released integer not null);
create table attribute_pools (id integer primary key, name text not null);
create table attributes (id integer primary key, identity integer not null default 0, pool integer not null default 0,
  type integer not null, value blob not null);
insert into identities (type, data) values (2, x'6d6f6f6e'), (3, cast('carol@cygnet.test' as blob));
insert into pools (name, start, end, timeout) values ('bigpool', x'0a030001', x'0a030006', 3600);
insert into addresses (pool, address) values (1, x'0a030002');
insert into addresses (pool, address, identity, acquired, released) values
  (1, x'0a030001', 2, 1211299013, 1211299205);
";

/// The tables and rows as a stock setup makes them by hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_there_is_said_and_found_when_it_comes() {
    let mut lab = Lab::new(Path4::Direct);
    let path = lab.dir().join("late.db").display().to_string();
    let settings = format!(
        "plugins {{\n    attr-sql {{\n      database = sqlite://{path}\n      crash_recovery = no\n    }}\n  }}"
    );
    let gw = lab.start_with("gw", Kind::Cygnet, &settings);
    gw.load(&gateway_conf());
    let cl = lab.start_with("cl", Kind::Cygnet, "");
    cl.load(&client_conf());
    let (ok, _) = cl.try_swanctl(&["--initiate", "--child", "net", "--timeout", "15"]);
    let why = format!(
        "database sqlite://{path} cannot be reached: there is no such file; `pool --init` creates it"
    );
    assert!(!ok && gw.logged(&why, SOON), "{}", gw.said());
    cl.swanctl(&["--terminate", "--ike", "c", "--force"]);
    let sql = lab.dir().join("late.sql");
    std::fs::write(&sql, STOCK).unwrap();
    sh(&format!("sqlite3 {path} < {}", sql.display()));
    assert!(
        lab::wait_for(Duration::from_secs(20), || {
            cl.try_swanctl(&["--terminate", "--ike", "c", "--force"]);
            cl.try_swanctl(&["--initiate", "--child", "net", "--timeout", "5"]).0
        }),
        "{}\n{}",
        cl.said(),
        gw.said()
    );
    // Its own of long ago, as a new lease: its time had run out.
    assert!(cl.sas().contains("local-vips=[10.3.0.1]"), "{}", cl.sas());
    assert!(gw.logged("acquired new lease for address 10.3.0.1 in pool 'bigpool'", SOON), "{}", gw.said());
}
