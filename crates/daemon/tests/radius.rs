//! Our gateway hands its users to FreeRADIUS: logins by each method, records, the server's wishes, and servers that die.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

#[path = "lab/authority.rs"]
mod authority;
#[path = "lab/freeradius.rs"]
mod freeradius;
#[path = "lab/lab.rs"]
mod lab;
#[path = "lab/pair.rs"]
mod pair;

use freeradius::{FreeRadius, SECRET, value};
use lab::{Daemon, Kind, Lab, Path4};
use std::time::{Duration, Instant};

/// What a stock client loads for EAP.
const CLIENT: &str = "load = random nonce openssl gcrypt curve25519 aes sha1 sha2 md5 hmac kdf gcm gmp pem pkcs1 pkcs8 x509 \
    pubkey constraints revocation kernel-libipsec kernel-netlink socket-default vici updown resolve eap-identity eap-md5 \
    eap-mschapv2 eap-tls eap-ttls";

/// `eap-radius` in the gateway's settings.
fn settings(radius: &str) -> String {
    format!("dos_protection = no\n  plugins {{\n    eap-radius {{\n{radius}\n    }}\n  }}")
}

fn one_server(more: &str) -> String {
    settings(&format!("      server = 127.0.0.1\n      secret = {SECRET}\n{more}"))
}

fn gateway_conf(remote: &str) -> String {
    format!(
        "connections {{
  rw {{
    local_addrs = 192.0.2.1
    proposals = aes128gcm16-prfsha256-x25519
    encap = yes
    pools = v4
    local {{
      auth = psk
      id = gw.cygnet.test
    }}
    remote {{
      auth = eap-radius
      {remote}
    }}
    children {{
      net {{
        local_ts = 10.1.0.0/16
        esp_proposals = aes128gcm16
      }}
    }}
  }}
}}
pools {{
  v4 {{
    addrs = 10.3.0.0/24
  }}
}}
secrets {{
  ike-gw {{
    id-1 = gw.cygnet.test
    secret = \"a good long secret\"
  }}
}}
"
    )
}

fn connection(name: &str, local: &str) -> String {
    format!(
        "  {name} {{
    remote_addrs = 192.0.2.1
    proposals = aes128gcm16-prfsha256-x25519
    vips = 0.0.0.0
    encap = yes
    local {{
      {local}
    }}
    remote {{
      auth = psk
      id = gw.cygnet.test
    }}
    children {{
      {name} {{
        remote_ts = 10.1.0.0/16
        esp_proposals = aes128gcm16
      }}
    }}
  }}
"
    )
}

fn client_conf(local: &str, password: &str) -> String {
    format!(
        "connections {{
{}}}
secrets {{
  ike-gw {{
    id-1 = gw.cygnet.test
    secret = \"a good long secret\"
  }}
  eap-carol {{
    id = carol
    id-1 = carol@cygnet.test
    secret = {password}
  }}
}}
",
        connection("home", local)
    )
}

const CAROL: &str = "auth = eap\n      id = carol@cygnet.test\n      eap_id = carol";
const USERS: &str = "carol Cleartext-Password := \"Ar3etTnp\"\n";
const PASSWORD: &str = "Ar3etTnp";

/// A gateway, a server and a client, nothing connected.
fn set_up(method: &str, users: &str, radius: &str, remote: &str) -> (Lab, FreeRadius, Daemon, Daemon) {
    let mut lab = Lab::new(Path4::Direct);
    let server = FreeRadius::start(&lab, "gw", "127.0.0.1", method, users);
    let gw = lab.start_with("gw", Kind::Cygnet, &one_server(radius));
    gw.load(&gateway_conf(remote));
    let cl = lab.start_with("cl", Kind::Charon, CLIENT);
    cl.load(&client_conf(CAROL, PASSWORD));
    (lab, server, gw, cl)
}

/// Initiates and says why it failed if it did.
fn up(cl: &Daemon, gw: &Daemon, server: &FreeRadius) {
    let (ok, said) = cl.try_swanctl(&["--initiate", "--child", "home", "--timeout", "15"]);
    assert!(ok, "{said}\n{}\n{}\n{}", cl.said(), gw.said(), server.said());
}

/// A login, a ping, and what the log says.
fn login(method: &str, name: &str) {
    let (lab, server, gw, cl) = set_up(method, USERS, "", "eap_id = %any");
    up(&cl, &gw, &server);
    lab.ping("cl", "10.1.0.10", 3);
    for line in [
        "received EAP identity 'carol'",
        "sending RADIUS Access-Request to server '127.0.0.1'",
        "received RADIUS Access-Accept from server '127.0.0.1'",
        "RADIUS authentication of 'carol' successful",
        &format!("EAP method {name} succeeded"),
        "authentication of 'carol@cygnet.test' with EAP successful",
    ] {
        assert!(gw.logged(line, Duration::from_secs(2)), "{line}\n{}", gw.said());
    }
    assert!(gw.sas().contains("remote-eap-id=carol"), "{}", gw.sas());
}

#[test]
fn md5() {
    login("md5", "EAP_MD5");
}

#[test]
fn mschapv2() {
    login("mschapv2", "EAP_MSCHAPV2");
}

/// Methods in TLS: the key comes out of MS-MPPE attributes, and AUTH proves that both have the same.
fn in_tls(method: &str, name: &str, client: Kind) {
    let mut lab = Lab::new(Path4::Direct);
    freeradius::certificates(lab.dir());
    let users = "carol@cygnet.test Cleartext-Password := \"Ar3etTnp\"\n";
    let server = FreeRadius::start(&lab, "gw", "127.0.0.1", method, users);
    let gw = lab.start_with("gw", Kind::Cygnet, &one_server(""));
    gw.load(&gateway_conf("id = *@cygnet.test"));
    let cl = lab.start_with("cl", client, if client == Kind::Charon { CLIENT } else { "" });
    let from = lab.dir().display().to_string();
    let to = cl.file("swanctl").display().to_string();
    lab::sh(&format!(
        "mkdir -p {to}/x509ca {to}/x509 {to}/private; cp {from}/ca.pem {to}/x509ca; cp {from}/carol.pem {to}/x509; cp {from}/carol.key {to}/private"
    ));
    let local = "auth = eap\n      id = carol@cygnet.test\n      certs = carol.pem\n      aaa_id = \"C=CH, O=Cygnet, CN=aaa\"";
    cl.load(&client_conf(local, PASSWORD));
    up(&cl, &gw, &server);
    lab.ping("cl", "10.1.0.10", 3);
    let line = format!("EAP method {name} succeeded, MSK established");
    assert!(gw.logged(&line, Duration::from_secs(2)), "{}", gw.said());
}

#[test]
fn tls() {
    in_tls("tls", "EAP_TLS", Kind::Charon);
}

#[test]
fn ttls() {
    in_tls("ttls", "EAP_TTLS", Kind::Charon);
}

/// Debian's client has no PEAP; ours has.
#[test]
fn peap() {
    in_tls("peap", "EAP_PEAP", Kind::Cygnet);
}

#[test]
fn tls_and_ttls_of_our_own_client() {
    in_tls("tls", "EAP_TLS", Kind::Cygnet);
    in_tls("ttls", "EAP_TTLS", Kind::Cygnet);
}

/// The peer is told nothing but that it failed; the log says the rest.
#[test]
fn wrong_password() {
    let (_lab, _server, gw, cl) = set_up("md5", USERS, "", "eap_id = %any");
    cl.load(&client_conf(CAROL, "wrong"));
    let alerts = pair::Alerts::of(&gw);
    let (ok, _) = cl.try_swanctl(&["--initiate", "--child", "home", "--timeout", "15"]);
    assert!(!ok && cl.logged("received EAP_FAILURE, EAP authentication failed", Duration::from_secs(2)));
    for line in [
        "received RADIUS Access-Reject from server '127.0.0.1'",
        "RADIUS authentication of 'carol' failed",
        "EAP method EAP_MD5 failed for peer carol",
    ] {
        assert!(gw.logged(line, Duration::from_secs(2)), "{line}\n{}", gw.said());
    }
    assert_eq!(alerts.one("peer-auth-failed").certificate, "");
}

/// Class attributes are groups, and choose the connection.
#[test]
fn groups() {
    let users = "carol Cleartext-Password := \"Ar3etTnp\"\n\tClass = \"Research\"\n";
    let (lab, server, gw, cl) =
        set_up("md5", users, "      class_group = yes", "eap_id = %any\n      groups = Accounting");
    let (ok, _) = cl.try_swanctl(&["--initiate", "--child", "home", "--timeout", "15"]);
    assert!(!ok, "{}", gw.said());
    assert!(gw.logged("group membership to 'Accounting' required", Duration::from_secs(2)), "{}", gw.said());
    gw.load(&gateway_conf("eap_id = %any\n      groups = Accounting, Research"));
    up(&cl, &gw, &server);
    assert!(gw.logged("received group membership 'Research' from RADIUS", Duration::from_secs(2)));
    lab.ping("cl", "10.1.0.10", 1);
}

/// Start, updates and Stop are in the server's detail file, with every byte.
#[test]
fn accounting() {
    let users = "carol Cleartext-Password := \"Ar3etTnp\"\n\tClass = \"Research\"\n";
    let radius = "      accounting = yes\n      accounting_interval = 1\n      accounting_send_class = yes";
    let (lab, server, gw, cl) = set_up("md5", users, radius, "eap_id = %any");
    up(&cl, &gw, &server);
    let start = server.record("Start");
    lab.ping("cl", "10.1.0.10", 1);
    let (ok, said) = lab.attempt("cl", "ping -n -i 0.05 -c 5 -s 1300 -w 8 10.1.0.10");
    assert!(ok, "{said}");
    // Through a rekeying nothing is forgotten, and the session stays the same.
    cl.swanctl(&["--rekey", "--child", "home"]);
    cl.swanctl(&["--rekey", "--ike", "home"]);
    std::thread::sleep(Duration::from_millis(700));
    lab.ping("cl", "10.1.0.10", 1);
    let interim = server.record("Interim-Update");
    cl.swanctl(&["--terminate", "--ike", "home"]);
    let stop = server.record("Stop");
    let octets = (5 * 1328 + 2 * 84).to_string();
    for (name, wanted) in [
        ("Acct-Input-Octets", octets.as_str()),
        ("Acct-Output-Octets", &octets),
        ("Acct-Input-Packets", "7"),
        ("Acct-Output-Packets", "7"),
        ("Acct-Terminate-Cause", "User-Request"),
    ] {
        assert_eq!(value(&stop, name).as_deref(), Some(wanted), "{name}\n{stop}\n{}", gw.said());
    }
    let session = value(&start, "Acct-Session-Id");
    for record in [&start, &interim, &stop] {
        assert_eq!(value(record, "Acct-Session-Id"), session, "{record}");
        for (name, wanted) in [
            ("User-Name", "carol"),
            ("Framed-IP-Address", "10.3.0.1"),
            ("NAS-Port-Type", "Virtual"),
            ("NAS-Port-Id", "rw"),
            ("NAS-Identifier", "strongSwan"),
            ("Calling-Station-Id", "192.0.2.2[4500]"),
            ("Class", "0x5265736561726368"),
        ] {
            assert_eq!(value(record, name).as_deref(), Some(wanted), "{name}\n{record}");
        }
    }
}

/// The daemon ends: the Stop is delivered first, and says why.
#[test]
fn accounting_at_the_end() {
    let (mut lab, server, gw, cl) = set_up("md5", USERS, "      accounting = yes", "eap_id = %any");
    up(&cl, &gw, &server);
    server.record("Start");
    assert!(lab.stop(&gw));
    assert_eq!(value(&server.record("Stop"), "Acct-Terminate-Cause").as_deref(), Some("Admin-Reboot"));
}

/// An update that no server takes closes the IKE_SA; its Stop is kept and delivered when the server is back.
#[test]
fn accounting_closes_on_timeout() {
    let radius = "      accounting = yes\n      accounting_interval = 1\n      retransmit_tries = 1\n      retransmit_timeout = 0.3";
    let (_lab, server, gw, cl) = set_up("md5", USERS, radius, "eap_id = %any");
    up(&cl, &gw, &server);
    server.record("Start");
    server.silence(true);
    let gone = lab::wait_for(Duration::from_secs(10), || !gw.sas().contains("ESTABLISHED"));
    assert!(gone, "{}", gw.said());
    assert!(gw.logged("RADIUS Interim-Update not answered, closing IKE_SA", Duration::from_secs(1)));
    server.silence(false);
}

/// A server's Disconnect-Request ends the tunnel; its CoA-Request limits it; for others there is a NAK that says why.
#[test]
fn dynamic_authorization() {
    let radius = "      accounting = yes\n      dae {\n        enable = yes\n        listen = 0.0.0.0\n        secret = daesec\n      }";
    let (lab, server, gw, cl) = set_up("md5", USERS, radius, "eap_id = %any");
    up(&cl, &gw, &server);
    let ask = |what: &str, attributes: &str, secret: &str| {
        let line = format!(
            "printf \"%s\\n\" \"{}\" | timeout 8 radclient -r 1 -t 3 -x 192.0.2.1:3799 {what} {secret}",
            attributes.replace('"', "\\\"")
        );
        lab.attempt("gw", &line).1
    };
    let said = ask("disconnect", "User-Name = \"nobody\"", "daesec");
    assert!(said.contains("Received Disconnect-NAK") && said.contains("Session-Context-Not-Found"), "{said}");
    let said = ask("disconnect", "User-Name = \"carol\"", "guessed");
    assert!(!said.contains("Received Disconnect"), "{said}");
    let said = ask("coa", "User-Name = \"carol\"", "daesec");
    assert!(said.contains("Received CoA-NAK") && said.contains("Missing-Attribute"), "{said}");
    let said = ask("coa", "User-Name = \"carol\", Session-Timeout = 5000", "daesec");
    assert!(said.contains("Received CoA-ACK"), "{said}\n{}", gw.said());
    assert!(gw.sas().contains("ESTABLISHED"), "{}", gw.sas());
    let start = server.record("Start");
    let session = value(&start, "Acct-Session-Id").unwrap();
    let attributes =
        format!("User-Name = \"carol\", Acct-Session-Id = \"{session}\", Framed-IP-Address = 10.3.0.1");
    let said = ask("disconnect", &attributes, "daesec");
    assert!(said.contains("Received Disconnect-ACK"), "{said}\n{}", gw.said());
    let gone = lab::wait_for(Duration::from_secs(5), || {
        !gw.sas().contains("ESTABLISHED") && !cl.sas().contains("ESTABLISHED")
    });
    assert!(gone, "{}\n{}", gw.said(), cl.said());
    assert_eq!(value(&server.record("Stop"), "Acct-Terminate-Cause").as_deref(), Some("Admin-Reset"));
}

/// Session-Timeout: the peer is told to authenticate anew, or the IKE_SA ends.
#[test]
fn session_timeout() {
    let users = "carol Cleartext-Password := \"Ar3etTnp\"\n\tSession-Timeout = 3600\n";
    let (_lab, server, gw, cl) = set_up("md5", users, "", "eap_id = %any");
    up(&cl, &gw, &server);
    let line = "received AUTH_LIFETIME of";
    assert!(cl.logged(line, Duration::from_secs(3)), "{}\n{}", cl.said(), gw.said());
}

/// Framed-IP-Address: the pool `radius` is what the server says, and other pools serve whom it says nothing about.
#[test]
fn a_stock_client_gets_attributes_of_the_server() {
    let users =
        "carol Cleartext-Password := \"Ar3etTnp\"\n\tClass = \"staff\",\n\tReply-Message = \"Hello carol\"\n";
    let mut lab = Lab::new(Path4::Direct);
    let server = FreeRadius::start(&lab, "gw", "127.0.0.1", "md5", users);
    let forward = one_server("      forward {\n        radius_to_ike = Reply-Message\n      }");
    let gw = lab.start_with("gw", Kind::Cygnet, &forward);
    gw.load(&gateway_conf("eap_id = %any"));
    let path = lab.dir().join("all.log").display().to_string();
    let log = format!("{CLIENT}\n  filelog {{\n    all {{\n      path = {path}\n      enc = 3\n    }}\n  }}");
    let cl = lab.start_with("cl", Kind::Charon, &log);
    cl.load(&client_conf(CAROL, PASSWORD));
    up(&cl, &gw, &server);
    // One of the two attributes is named. charon knows the notify by its type.
    assert_eq!(cl.count_logged("EAP/SUCC N(RADIUS) ]"), 1, "{}\n{}", cl.said(), gw.said());
    let all = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = all.lines().collect();
    let data = lines.windows(2).find(|two| two[0].contains("=> 13 bytes") && two[1].contains(" 0: 12 0D "));
    assert!(data.is_some_and(|two| two[1].contains("48 65 6C 6C 6F 20 63 61 72 6F 6C")), "{data:?}");
}

#[test]
fn framed_address() {
    let users = "carol Cleartext-Password := \"Ar3etTnp\"\n\tFramed-IP-Address = 10.3.9.7\n";
    let (lab, server, gw, cl) = set_up("md5", users, "", "eap_id = %any");
    gw.load(&gateway_conf("eap_id = %any").replace("pools = v4", "pools = radius, v4"));
    up(&cl, &gw, &server);
    assert!(gw.logged("assigning virtual IP 10.3.9.7 to peer", Duration::from_secs(2)), "{}", gw.said());
    lab.ping("cl", "10.1.0.10", 1);
    drop((lab, server, gw, cl));
    let (_lab, server, gw, cl) = set_up("md5", USERS, "", "eap_id = %any");
    gw.load(&gateway_conf("eap_id = %any").replace("pools = v4", "pools = radius, v4"));
    up(&cl, &gw, &server);
    assert!(gw.logged("assigning virtual IP 10.3.0.1 to peer", Duration::from_secs(2)), "{}", gw.said());
}

/// Framed-IPv6-Prefix is the client's, and in the records; Framed-Pool names a pool that the connection does not list.
#[test]
fn framed_prefix_and_pool() {
    let users = "carol Cleartext-Password := \"Ar3etTnp\"\n\tFramed-IPv6-Prefix = fd03:0:0:7::/64,\n\tFramed-Pool = \"staff\",\n\t\
                 DNS-Server-IPv6-Address = fd01::53\n";
    let (_lab, server, gw, cl) = set_up("md5", users, "      accounting = yes", "eap_id = %any");
    let conf = gateway_conf("eap_id = %any").replace("pools = v4", "pools = radius, v4");
    gw.load(&conf.replacen("pools {", "pools {\n  staff {\n    addrs = 10.4.0.0/24\n  }", 1));
    cl.load(&client_conf(CAROL, PASSWORD).replace("vips = 0.0.0.0", "vips = 0.0.0.0, ::"));
    up(&cl, &gw, &server);
    let soon = Duration::from_secs(3);
    assert!(gw.logged("assigning virtual IP fd03:0:0:7::/64 to peer", soon), "{}", gw.said());
    assert!(gw.logged("assigning virtual IP 10.4.0.1 to peer", soon), "{}", gw.said());
    assert!(gw.sas().contains("remote-vips=[fd03:0:0:7::/64 10.4.0.1]"), "{}", gw.sas());
    let start = server.record("Start");
    for (name, wanted) in [("Framed-IPv6-Prefix", "fd03:0:0:7::/64"), ("Framed-IP-Address", "10.4.0.1")] {
        assert_eq!(value(&start, name).as_deref(), Some(wanted), "{start}");
    }
    cl.swanctl(&["--terminate", "--ike", "home"]);
    assert!(gw.logged("lease 10.4.0.1 by 'carol", soon), "{}", gw.said());
    assert!(gw.logged("lease fd03:0:0:7:: by 'carol", soon), "{}", gw.said());
}

/// A silent server fails a login after its time, and holds up nobody else meanwhile.
#[test]
fn a_silent_server_blocks_nobody() {
    let radius = "      retransmit_tries = 2\n      retransmit_timeout = 1.0";
    let (lab, server, gw, cl) = set_up("md5", USERS, radius, "eap_id = %any");
    let psk = connection("psk", "auth = psk\n      id = dave@cygnet.test");
    let both = client_conf(CAROL, PASSWORD).replacen("connections {\n", &format!("connections {{\n{psk}"), 1);
    cl.load(&both);
    let second = gateway_conf("eap_id = %any");
    let (head, tail) = second.split_once("pools {").unwrap();
    let rounds = head.trim_start_matches("connections {").replacen("rw {", "plain {", 1).replacen(
        "auth = eap-radius\n      eap_id = %any",
        "auth = psk\n      id = dave@cygnet.test",
        1,
    );
    // The closing brace of the section is the second's.
    let first = head.trim_end().strip_suffix('}').unwrap();
    gw.load(&format!("{first}{}pools {{{tail}", rounds.trim_end()));
    server.silence(true);
    let waiting = lab.spawn(
        "cl",
        &[
            "swanctl",
            "--initiate",
            "--child",
            "home",
            "--timeout",
            "15",
            "--uri",
            &format!("unix://{}", cl.file("vici").display()),
        ],
    );
    assert!(gw.logged("sending RADIUS Access-Request", Duration::from_secs(5)), "{}", gw.said());
    let begun = Instant::now();
    cl.swanctl(&["--initiate", "--child", "psk", "--timeout", "5"]);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let said = waiting.wait_with_output().unwrap();
    assert!(!said.status.success());
    assert!(
        gw.logged("RADIUS server '127.0.0.1' does not respond (tried 3 times)", Duration::from_secs(2)),
        "{}",
        gw.said()
    );
    server.silence(false);
    up(&cl, &gw, &server);
}

/// A server that speaks with another secret is not believed.
#[test]
fn another_secret() {
    let mut lab = Lab::new(Path4::Direct);
    let _server = FreeRadius::start(&lab, "gw", "127.0.0.1", "md5", USERS);
    let radius = "      server = 127.0.0.1\n      secret = other\n      retransmit_tries = 1\n      retransmit_timeout = 0.5";
    let gw = lab.start_with("gw", Kind::Cygnet, &settings(radius));
    gw.load(&gateway_conf("eap_id = %any"));
    let cl = lab.start_with("cl", Kind::Charon, CLIENT);
    cl.load(&client_conf(CAROL, PASSWORD));
    let alerts = pair::Alerts::of(&gw);
    let (ok, _) = cl.try_swanctl(&["--initiate", "--child", "home", "--timeout", "15"]);
    assert!(!ok);
    let alert = alerts.one("radius-not-responding");
    assert!(alert.reason.contains("respond"), "{alert:?}");
    assert!(gw.logged("does not respond", Duration::from_secs(2)), "{}", gw.said());
}

fn two_servers(more: &str) -> String {
    settings(&format!(
        "      secret = {SECRET}\n{more}\n      servers {{\n        one {{\n          address = 127.0.0.1\n        }}\n        two {{\n          address = 127.0.0.2\n        }}\n      }}"
    ))
}

/// The first server hangs: the login goes to the other after one timeout.
#[test]
fn a_login_moves_on() {
    let mut lab = Lab::new(Path4::Direct);
    let one = FreeRadius::start(&lab, "gw", "127.0.0.1", "md5", USERS);
    let two = FreeRadius::start(&lab, "gw", "127.0.0.2", "md5", USERS);
    let gw = lab.start_with("gw", Kind::Cygnet, &two_servers("      retransmit_timeout = 1.0"));
    gw.load(&gateway_conf("eap_id = %any"));
    let cl = lab.start_with("cl", Kind::Charon, CLIENT);
    cl.load(&client_conf(CAROL, PASSWORD));
    one.silence(true);
    up(&cl, &gw, &two);
    assert!(
        gw.logged("sending RADIUS Access-Request to server 'two' instead", Duration::from_secs(1)),
        "{}",
        gw.said()
    );
    // The next one does not try the first any more.
    cl.swanctl(&["--terminate", "--ike", "home"]);
    let asked = "sending RADIUS Access-Request to server 'one'";
    let before = gw.count_logged(asked);
    up(&cl, &gw, &two);
    assert_eq!(gw.count_logged(asked), before, "{}", gw.said());
    one.silence(false);
    assert!(gw.logged("RADIUS server 'one' responds again", Duration::from_secs(20)), "{}", gw.said());
}

/// One of two servers is killed in a storm of logins: only those fail that it had the state of, which are as many as it
/// had challenged and not yet accepted; and they succeed when they come again.
#[test]
fn a_server_dies_in_a_storm() {
    const LOGINS: usize = 80;
    let mut lab = Lab::new(Path4::Direct);
    let users: String =
        (0..LOGINS).map(|n| format!("user{n} Cleartext-Password := \"Ar3etTnp\"\n")).collect();
    let mut one = FreeRadius::start(&lab, "gw", "127.0.0.1", "md5", &users);
    let _two = FreeRadius::start(&lab, "gw", "127.0.0.2", "md5", &users);
    let gw = lab.start_with("gw", Kind::Cygnet, &two_servers("      retransmit_timeout = 3.0"));
    gw.load(&gateway_conf("eap_id = %any"));
    // Each initiation holds one of its threads.
    let cl = lab.start_with("cl", Kind::Charon, &format!("threads = 128\n  {CLIENT}"));
    let connections: String = (0..LOGINS)
        .map(|n| {
            let local = format!("auth = eap\n      id = user{n}@cygnet.test\n      eap_id = user{n}");
            connection(&format!("c{n}"), &local)
        })
        .collect();
    let secrets: String = (0..LOGINS)
        .map(|n| format!("  eap-{n} {{\n    id = user{n}\n    secret = Ar3etTnp\n  }}\n"))
        .collect();
    cl.load(&format!(
        "connections {{\n{connections}}}\nsecrets {{\n  ike-gw {{\n    id-1 = gw.cygnet.test\n    secret = \"a good long secret\"\n  }}\n{secrets}}}\n"
    ));
    let uri = format!("unix://{}", cl.file("vici").display());
    let storm: Vec<_> = (0..LOGINS)
        .map(|n| {
            let name = format!("c{n}");
            lab.spawn("cl", &["swanctl", "--initiate", "--ike", &name, "--timeout", "120", "--uri", &uri])
        })
        .collect();
    let accepted = "received RADIUS Access-Accept from server 'one'";
    let busy = lab::wait_for(Duration::from_secs(60), || gw.count_logged(accepted) >= 5);
    assert!(busy, "{}", gw.said());
    one.kill();
    let failed: Vec<usize> = storm
        .into_iter()
        .enumerate()
        .filter_map(|(n, child)| (!child.wait_with_output().unwrap().status.success()).then_some(n))
        .collect();
    let challenged = gw.count_logged("received RADIUS Access-Challenge from server 'one'");
    let done = gw.count_logged(accepted);
    eprintln!(
        "{LOGINS} logins: server one challenged {challenged} and accepted {done}; {} failed",
        failed.len()
    );
    assert_eq!(failed.len(), challenged - done, "{failed:?}\n{}", gw.said());
    assert!(done < LOGINS, "the server died too late to matter");
    for n in failed {
        cl.swanctl(&["--initiate", "--ike", &format!("c{n}"), "--timeout", "10"]);
    }
    assert_eq!(gw.sas().matches("state=ESTABLISHED").count(), LOGINS, "{}", gw.said());
}
