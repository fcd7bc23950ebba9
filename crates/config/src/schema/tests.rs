use super::auth::Side;
use super::connection::load_connection;
use super::*;
use crate::resolve::{Disk, Loaded, load_text};
use policy::{AuthClass, Child, Connection, Identity};
use std::path::Path;

fn tree(text: &str) -> Loaded {
    load_text(&Disk, "x.conf", Path::new("/nonexistent"), text.as_bytes()).unwrap()
}

fn connection(body: &str) -> Result<Connection, String> {
    let text = format!("home {{\n{body}\n}}\n");
    let loaded = tree(&text);
    let section = loaded.root.section("home").unwrap();
    load_connection("home", section, &Context::default())
        .map_err(|reports| reports.iter().map(|r| r.line(&loaded.sources) + "\n").collect())
}

const PSK: &str = "local { auth = psk\n }\n remote { auth = psk\n }\n";

/// The only error of a connection with these lines.
fn error(body: &str) -> String {
    connection(&format!("{PSK}{body}")).unwrap_err().trim_end().to_owned()
}

fn child(body: &str) -> Result<Child, String> {
    connection(&format!("{PSK}children {{ net {{\n{body}\n}}\n}}")).map(|c| (*c.children[0]).clone())
}

#[test]
fn defaults_are_those_of_the_tables() {
    // Setting every key to the default of its row changes nothing, and needs nothing.
    let lines = |keys: &[Key]| -> String {
        let set = keys.iter().filter(|key| !key.default.is_empty());
        set.map(|key| format!("{} = {}\n", key.name, key.default)).collect()
    };
    let with = connection(&format!(
        "{}local {{ {} auth = psk\n }}\nremote {{ {} auth = psk\n }}\nchildren {{ net {{ {} }} }}",
        lines(connection::KEYS),
        lines(auth::LOCAL),
        lines(auth::REMOTE),
        lines(child::KEYS)
    ))
    .unwrap();
    let without = connection(&format!("{PSK}children {{ net {{ }} }}")).unwrap();
    assert_eq!(with, without);
    let plain = Connection {
        local: without.local.clone(),
        remote: without.remote.clone(),
        children: without.children.clone(),
        ..Connection::named("home")
    };
    assert_eq!(without, plain);
    assert_eq!(*without.children[0], Child::named("net"));
}

#[test]
fn a_road_warrior() {
    let c = connection(
        "version = 2\nlocal_addrs = %any\nremote_addrs = gw.example.com, 192.0.2.0/24\nvips = 0.0.0.0, ::\nproposals = aes256gcm16-prfsha384-x25519-ke1_mlkem768, default
         local { auth = psk\n id = carol@example.com\n }\nremote { auth = psk\n id = gw.example.com\n }
         children { net { remote_ts = 10.1.0.0/16, fd00::/64[tcp/443]\n start_action = trap|start\n dpd_action = restart\n rekey_time = 2h\n life_bytes = 1100\n } }
         dpd_delay = 30s\nrekey_time = 1d\nunique = replace\nfragmentation = accept\nchildless = prefer\nkeyingtries = 0\ndscp = 101110",
    )
    .unwrap();
    assert_eq!(c.proposals.len(), 3);
    assert_eq!(
        c.remote_addrs.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["gw.example.com", "192.0.2.0/24"]
    );
    assert_eq!(c.vips.len(), 2);
    assert_eq!((c.dpd_delay, c.rekey_time, c.over_time, c.rand_time), (30, 86_400, 8_640, 8_640));
    assert_eq!((c.keyingtries, c.dscp), (0, 46));
    assert_eq!(c.local[0].class, AuthClass::Psk);
    assert_eq!(c.local[0].id, Some(Identity::Rfc822("carol@example.com".into())));
    let child = &c.children[0];
    assert_eq!(child.remote_ts[1].to_string(), "fd00::/64[tcp/https]");
    assert!(child.start_action.trap && child.start_action.start && child.dpd_action.start);
    assert_eq!(child.lifetime.time.life, 7920);
    assert_eq!(
        (child.lifetime.bytes.rekey, child.lifetime.bytes.life, child.lifetime.bytes.rand),
        (1000, 1100, 100)
    );
}

#[test]
fn what_is_wrong_with_a_connection() {
    for (body, message) in [
        ("verison = 2", "x.conf:6:1: connections.home.verison: unknown key (did you mean `version`?)"),
        ("left = 1.2.3.4", "x.conf:6:1: connections.home.left: unknown key"),
        ("version = 3", "x.conf:6:11: connections.home.version: `3` is none of 0, 1, 2"),
        ("mobike = maybe", "x.conf:6:10: connections.home.mobike: `maybe` is neither yes nor no"),
        ("local_port = 70000", "x.conf:6:14: connections.home.local_port: 70000 is too large"),
        (
            "remote_addrs = 1.2.3.4, 1.2.3",
            "x.conf:6:16: connections.home.remote_addrs: `1.2.3` is no address, subnet, range, host name or %any",
        ),
        (
            "vips = dynamic",
            "x.conf:6:8: connections.home.vips: `dynamic` is no IP address, and no prefix of IPv6 addresses (1 to 128 bits)",
        ),
        (
            "proposals = aes128-sha257-x25519",
            "x.conf:6:13: connections.home.proposals: `sha257` is no algorithm; did you mean `sha256`?",
        ),
        (
            "dpd_delay = 5x",
            "x.conf:6:13: connections.home.dpd_delay: `5x` is no time: a number of seconds, or with s, m, h or d behind it",
        ),
        ("dscp = 12", "x.conf:6:8: connections.home.dscp: `12` is no DSCP: six binary digits, like 101110"),
        ("unique = yes", "x.conf:6:10: connections.home.unique: `yes` is none of no, never, keep, replace"),
        (
            "children = net",
            "x.conf:6:1: connections.home.children: this is a section, not a value (write `children { … }`)",
        ),
        (
            "children { net = tunnel\n }",
            "x.conf:6:12: connections.home.children.net: a child is a section, not a value",
        ),
        (
            "version { }",
            "x.conf:6:1: connections.home.version: this is a value, not a section (write `version = …`)",
        ),
        ("childern { }", "x.conf:6:1: connections.home.childern: unknown section (did you mean `children`?)"),
        (
            "children { net { mode = tunel\n } }",
            "x.conf:6:25: connections.home.children.net.mode: `tunel` is none of tunnel, transport, transport_proxy, beet, iptfs, pass, drop",
        ),
        (
            "children { net { local_ts = 10.0.0.0/8, 10.0.0.0/33\n } }",
            "x.conf:6:29: connections.home.children.net.local_ts: `10.0.0.0/33` is no subnet, address, range of addresses or `dynamic`",
        ),
        (
            "children { net { start_action = now\n } }",
            "x.conf:6:33: connections.home.children.net.start_action: `now` is none of none, trap, start (clear, route, restart)",
        ),
        (
            "children { net { esp_proposals = aes128\n } }",
            "x.conf:6:34: connections.home.children.net.esp_proposals: ESP proposals need an integrity algorithm, like sha256, unless the cipher is an AEAD like aes256gcm16",
        ),
    ] {
        assert_eq!(error(body), message, "{body}");
    }
}

#[test]
fn what_is_missing_is_refused_by_name() {
    for (body, message) in [
        ("version = 1", "IKEv1 is not available yet: set version = 2"),
        ("aggressive = yes", "IKEv1 is not available yet: set version = 2"),
        ("pull = no", "IKEv1 is not available yet: set version = 2"),
        ("mediation = yes", "the mediation extension is not available yet"),
        ("if_id_in = 5", "XFRM interface ids are not available with userspace ESP"),
        ("interface = ipsec0", "XFRM interface ids are not available with userspace ESP"),
        ("local_port = 600", "local IKE ports other than 500 and 4500 are not available yet"),
        (
            "local-2 { auth = xauth\n }",
            "XAuth, a part of IKEv1, is not available yet: set auth = eap, pubkey or psk",
        ),
        (
            "children { net { ah_proposals = sha256\n } }",
            "AH is not available with userspace ESP: use esp_proposals",
        ),
        (
            "children { net { mode = beet\n } }",
            "BEET mode is not available with userspace ESP: set mode = tunnel",
        ),
        ("children { net { mark_in = 5/0xff\n } }", "marks are not available with userspace ESP"),
        ("children { net { label = x\n } }", "security labels are not available yet"),
        ("children { net { per_cpu_sas = encap\n } }", "per-CPU SAs are not available yet"),
        ("children { net { hw_offload = auto\n } }", "hardware offload is not available with userspace ESP"),
        (
            "children { net { priority = 1\n } }",
            "fixed priorities of policies are not available with userspace ESP",
        ),
    ] {
        let line = error(body);
        assert!(line.ends_with(&format!(": {message}")), "{body}: {line}");
    }
    assert!(
        error("children { net { esp_proposals = blowfish256-sha256\n } }")
            .contains("blowfish256 is not available: ")
    );
    // The default is no refusal, however it is written.
    connection(&format!("{PSK}send_certreq = no\nsend_cert = never\nocsp = never\naggressive = false\npull = 1\nif_id_in = 0x0\nchildren {{ net {{ mark_in = 0/0\n hw_offload = no\n }} }}")).unwrap();
}

#[test]
fn authentication() {
    // strongSwan's default.
    let c = connection("").unwrap();
    assert_eq!(c.local[0].class, AuthClass::Pubkey("pubkey".into()));
    assert_eq!((c.local.len(), c.remote.len(), c.remote[0].name.as_str()), (1, 1, "remote"));
    let c = connection(
        "local { certs = a.pem, b.pem\n cert1 { file = /c.pem\n }\n cert2 { handle = 0a:0B\n slot = 3\n module = hsm\n } }
         local-2 { auth = eap-ttls\n eap_id = carol\n aaa_id = aaa.example\n }
         remote { auth = ike:rsa/pss-sha256\n cacerts = ca.pem\n cacert-x { file = /ca.pem\n }\n cert_policy = 1.2.3, 2.999.1\n groups = a, b\n revocation = strict\n }",
    )
    .unwrap();
    assert_eq!(
        c.local[0].certs,
        [
            CertRef::Raw(b"a.pem".to_vec()),
            CertRef::Raw(b"b.pem".to_vec()),
            CertRef::File("/c.pem".into()),
            CertRef::Token { handle: vec![10, 11], slot: Some(3), module: Some("hsm".into()) },
        ]
    );
    assert_eq!(c.local[1].class, AuthClass::Eap("ttls".into()));
    assert_eq!((c.remote[0].cacerts.len(), c.remote[0].cert_policy.len()), (2, 2));
    // Pass and drop policies have no peer.
    let c = connection("children { lan { mode = pass\n remote_ts = 10.0.0.0/8\n start_action = trap\n } }")
        .unwrap();
    assert!(c.local.is_empty() && c.remote.is_empty());
    assert_eq!(Side::Local.prefix(), "local");
}

#[test]
fn what_is_wrong_with_marks_and_vti_devices() {
    let errors = |child: &str| {
        let text = format!(
            "x {{\n local {{ auth = psk\n }}\n remote {{ auth = psk\n }}\n children {{ net {{ {child}\n }} }}\n}}\n"
        );
        let loaded = load_text(&Disk, "x.conf", Path::new("/nonexistent"), text.as_bytes()).unwrap();
        let context = Context { capabilities: Capabilities::xfrm(), ..Context::default() };
        match load_connection("x", loaded.root.section("x").unwrap(), &context) {
            Ok(_) => String::new(),
            Err(reports) => reports.iter().map(|r| r.line(&loaded.sources) + "\n").collect(),
        }
    };
    let marks = "mark_in = 1\n mark_out = 1";
    for (child, message) in [
        ("mark_in = 0x100/0xff".to_owned(), "no packet has the mark 0x100/0xff"),
        ("vti_interface = a-name-of-16-cha".to_owned(), "no name of an interface"),
        ("vti_interface = v\n mark_in = 1".to_owned(), "set mark_in and mark_out"),
        ("vti_routing = no".to_owned(), "there is none"),
        ("vti_address = 10.0.0.1/30".to_owned(), "there is none"),
        (format!("vti_interface = v\n vti_address = 10.0.0.1\n {marks}"), "like 10.9.0.1/30"),
        (format!("vti_interface = v\n mode = transport\n {marks}"), "needs mode = tunnel"),
        (format!("vti_interface = v\n if_id_in = 4\n {marks}"), "not both"),
        (
            "vti_interface = v\n vti_shared = yes\n mark_in = %unique\n mark_out = 1".to_owned(),
            "%unique cannot be",
        ),
    ] {
        let said = errors(&child);
        assert!(said.contains(message) && said.lines().count() == 1, "{child}: {said}");
    }
    let said = child("vti_interface = v").unwrap_err();
    assert!(said.contains("VTI devices are not available with userspace ESP"), "{said}");
    assert_eq!(errors(&format!("vti_interface = v\n set_mark_out = 0x100/0xff\n {marks}")), "");
}

#[test]
fn what_is_wrong_with_an_authentication() {
    let none = "there is no EAP method";
    let some = "here; there are md5, gtc, mschapv2, tls, ttls, peap, dynamic, radius";
    for (body, message) in [
        ("local { auth = eap-aka\n }", format!("2:16: connections.home.local.auth: {none} `aka` {some}")),
        (
            "local { auth = eap-radius\n }",
            "2:16: connections.home.local.auth: `eap-radius` is for the peer's rounds: it hands them to a RADIUS server"
                .into(),
        ),
        (
            "remote { auth = eap-md5:rsa\n }",
            "2:17: connections.home.remote.auth: constraints on keys make no sense with `eap-md5`".into(),
        ),
        ("local { id = *@x\n }", "2:14: connections.home.local.id: our own identity cannot be a pattern".into()),
        (
            "local { cert { handle = 0g\n } }",
            "2:25: connections.home.local.cert.handle: `0g` is no handle: an even number of hexadecimal digits"
                .into(),
        ),
        (
            "local { cert { handle = 00\n file = a\n } }",
            "2:9: connections.home.local.cert: handle and file path given".into(),
        ),
        (
            "local { cert { file = a\n slot = 1\n } }",
            "2:9: connections.home.local.cert: `slot` and `module` belong to `handle`, not to `file`".into(),
        ),
        ("local { cert { fiel = a\n } }", "2:16: connections.home.local.cert.fiel: unknown key (did you mean `file`?)".into()),
        (
            "remote { cert_policy = 1.2, 1.40\n }",
            "2:24: connections.home.remote.cert_policy: `1.40` is no object identifier, like 1.3.6.1.4.1.36906.1.1"
                .into(),
        ),
        (
            "remote { revocation = yes\n }",
            "2:23: connections.home.remote.revocation: `yes` is none of relaxed, ifuri, strict".into(),
        ),
    ] {
        let lines = connection(body).unwrap_err();
        assert_eq!(lines.lines().next().unwrap(), format!("x.conf:{message}"), "{body}");
    }
}

#[test]
fn rounds_are_sorted_by_number() {
    let context = Context { capabilities: Capabilities::none(), ..Context::default() };
    let loaded = tree(
        "home { remote { auth = psk\n }\n local-b { round = 2\n auth = psk\n }\n local-a { round = 1\n auth = psk\n } }",
    );
    let c = load_connection("home", loaded.root.section("home").unwrap(), &context).unwrap();
    assert_eq!(c.local.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["local-a", "local-b"]);
}

#[test]
fn vici_messages_have_lists_and_no_places() {
    let mut section = Section::new();
    let list = |items: &[&str]| Node::List(items.iter().map(|i| Value::new(*i)).collect());
    let mut round = Section::new();
    round.set("auth", Value::new("psk"));
    section.insert("local", Node::Section(round.clone()));
    section.insert("remote", Node::Section(round));
    section.insert("remote_addrs", list(&["192.0.2.1", "192.0.2.2"]));
    section.insert("vips", list(&[]));
    section.insert("proposals", list(&["aes128-sha256-x25519", "default"]));
    let c = load_connection("c", &section, &Context::default()).unwrap();
    assert_eq!((c.remote_addrs.len(), c.proposals.len()), (2, 3));
    section.insert("version", list(&["1", "2"]));
    section.insert("mobike", Node::Value(Value::new(vec![0xff])));
    let texts: Vec<String> =
        load_connection("c", &section, &Context::default()).unwrap_err().iter().map(Report::text).collect();
    assert_eq!(
        texts,
        [
            "connections.c.version: this takes one value, not a list",
            "connections.c.mobike: this is no UTF-8 text"
        ]
    );
}

#[test]
fn the_replay_window_of_the_daemon_is_the_default_of_children() {
    let loaded = tree("c { children { a { mode = pass\n }\n b { mode = drop\n replay_window = 32\n } } }");
    let context = Context { replay_window: 128, ..Context::default() };
    let c = load_connection("c", loaded.root.section("c").unwrap(), &context).unwrap();
    assert_eq!((c.children[0].replay_window, c.children[1].replay_window), (128, 32));
    assert_eq!(child("replay_window = 0").unwrap().replay_window, 0);
}

#[test]
fn pools() {
    let loaded = tree(
        "p { addrs = 10.3.0.0/24\n dns = 10.1.0.1, fd00::1\n subnet = 10.0.0.0/8, fd00::/64\n split_include = 10.1.0.0/16\n 28672 = hello\n 25 = x.org\n }\nq { dns = x\n nbsn = 1.2.3.4\n netmask = ::1\n 99999 = 1\n sub { } }\nr { addrs = 10.0.0.9-10.0.0.1\n 32768 = x\n }",
    );
    let pool = pool::load_pool("p", loaded.root.section("p").unwrap()).unwrap();
    let got: Vec<(u16, Vec<u8>)> = pool.attributes.iter().map(|a| (a.kind.into(), a.value.clone())).collect();
    assert_eq!(got[0], (3, vec![10, 1, 0, 1]));
    assert_eq!(got[1].0, 10);
    assert_eq!(got[2], (13, vec![10, 0, 0, 0, 255, 0, 0, 0]));
    assert_eq!((got[3].0, got[3].1.len(), got[3].1[16]), (15, 17, 64));
    assert_eq!(got[4], (28676, vec![10, 1, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(got[5], (28672, b"hello".to_vec()));
    assert_eq!(got[6], (25, b"x.org".to_vec()));
    let lines = |name: &str| -> Vec<String> {
        let reports = pool::load_pool(name, loaded.root.section(name).unwrap()).unwrap_err();
        reports.iter().map(|r| r.line(&loaded.sources)).collect()
    };
    assert_eq!(
        lines("q"),
        [
            "x.conf:8:1: pools.q: `addrs` is missing",
            "x.conf:8:11: pools.q.dns: `x` is no address",
            "x.conf:9:9: pools.q.nbsn: unknown key (did you mean `nbns`?)",
            "x.conf:10:12: pools.q.netmask: `netmask` has no form for IPv6",
            "x.conf:11:10: pools.q.99999: 99999 is no attribute type (1 to 32767)",
            "x.conf:12:2: pools.q.sub: unknown section",
        ]
    );
    assert_eq!(
        lines("r"),
        [
            "x.conf:13:13: pools.r.addrs: the range `10.0.0.9-10.0.0.1` ends before it begins; write the lower address first",
            "x.conf:14:10: pools.r.32768: 32768 is no attribute type (1 to 32767)"
        ]
    );
}

#[test]
fn secrets() {
    use super::secret::{SecretData, load_secret, load_shared, shared_message};
    let loaded = tree(
        "ike-1 { id-a = moon\n id = sun\n secret = 0s AA==\n }\nike-2 { secret = 0xabc\n idx = \"@#1\"\n sceret = hush\n }\nppk { id = x\n }\nprivate-x { fiel = hush\n }\nike-4 { secret = 0x0102\n}\neao { secret = x\n }",
    );
    let get = |name: &str| loaded.root.section(name).unwrap();
    let lines = |name: &str| -> Vec<String> {
        let reports = load_secret(name, get(name)).unwrap_err();
        for report in &reports {
            assert!(!report.render(&loaded.sources).contains("hush"));
        }
        reports.iter().map(|r| r.line(&loaded.sources)).collect()
    };
    assert_eq!(lines("ike-1"), ["x.conf:3:2: secrets.ike-1.secret: after 0s, a secret must be Base64"]);
    assert_eq!(
        lines("ike-2"),
        [
            "x.conf:7:2: secrets.ike-2.sceret: unknown key (secret, vault, id…) (did you mean `secret`?)",
            "x.conf:5:9: secrets.ike-2.secret: after 0x, a secret must be an even number of hexadecimal digits",
            "x.conf:6:2: secrets.ike-2.idx: `1` is not an even number of hexadecimal digits",
        ]
    );
    assert_eq!(lines("ppk"), ["x.conf:9:1: secrets.ppk: `secret` is missing"]);
    assert_eq!(
        lines("private-x"),
        ["x.conf:11:13: secrets.private-x.fiel: unknown key (file, secret, vault) (did you mean `file`?)"]
    );
    assert_eq!(
        lines("eao"),
        [
            "x.conf:15:1: secrets.eao: unknown kind of secret (ike, eap, xauth, ntlm, ppk, private, rsa, ecdsa, pkcs8, pkcs12, token) (did you mean `eap`?)"
        ]
    );
    let message = shared_message("ike-4", get("ike-4")).unwrap();
    let secret = load_shared(&message).unwrap();
    assert_eq!(
        (
            secret.id.as_str(),
            secret.owners.len(),
            matches!(&secret.data, SecretData::Given(data) if data.as_slice() == [1, 2])
        ),
        ("ike-4", 0, true)
    );
    let mut bad = Section::new();
    bad.set("type", Value::new("foo"));
    bad.set("owner", Value::new("x"));
    let texts: Vec<String> = load_shared(&bad).unwrap_err().iter().map(Report::text).collect();
    assert_eq!(
        texts,
        [
            "type: `FOO` is none of IKE, EAP, XAUTH, NTLM, PPK",
            "data: `data` is missing",
            "owner: unknown key"
        ]
    );
}

#[test]
fn authorities() {
    use super::authority::load_authority;
    let loaded =
        tree("a { cacert = ca.pem\n crl_uris = http://a, http://b\n }\nb { cacert = x\n file = y\n }");
    let a = load_authority("a", loaded.root.section("a").unwrap()).unwrap();
    assert_eq!((a.cacert.as_slice(), a.crl_uris.len()), (&b"ca.pem"[..], 2));
    let reports = load_authority("b", loaded.root.section("b").unwrap()).unwrap_err();
    assert_eq!(reports[0].text(), "authorities.b: only one of `cacert`, `file` and `handle` may be given");
}

#[test]
fn values_of_many_keys() {
    use super::values::*;
    assert_eq!(time("90"), Ok(90));
    assert_eq!(time("4h"), Ok(14_400));
    assert_eq!(time("0x10"), Ok(16));
    assert_eq!(time("0x1d"), Ok(29));
    assert_eq!(time("1 d"), Ok(86_400));
    assert!(
        time("").is_err()
            && time("h").is_err()
            && time("-1s").is_err()
            && time("99999999999999999999d").is_err()
    );
    assert_eq!(number::<u16>("0xFFFF"), Ok(65_535));
    assert!(number::<u8>("+1").is_err() && number::<u8>("0x").is_err() && number::<u8>("256").is_err());
    assert_eq!(mark("%same/0xf", true).unwrap().mask, 15);
    assert!(mark("%same", false).is_err() && mark("1/2/3", false).is_err());
    assert!(
        identity("@").unwrap_err().contains("quotes")
            && identity("keyid:").is_err()
            && identity("fe80::").is_ok()
    );
    assert!(action("trap | start").unwrap().trap && action("").is_err());
}

#[test]
fn keys_in_files_on_tokens_and_in_a_vault() {
    use super::secret::{SecretData, SecretSection, VaultPath, load_secret, load_shared, shared_message};
    let loaded = tree(
        "pkcs12-a { file = a.p12\n secret = x\n }\nrsa { vault = secret/vpn:key\n }\ntoken1 { handle = 01\n slot = 0x2\n module = m\n pin = 1234\n }\neap-a { id = alice\n vault = \"secret/data/vpn/alice#password\"\n }\nbad1 { }\ntoken2 { pin = 1\n }\nike-b { secret = a\n vault = a/b:c\n }\nike-c { vault = /a/../b:c\n }",
    );
    let get = |name: &str| load_secret(name, loaded.root.section(name).unwrap());
    let SecretSection::Private(file) = get("pkcs12-a").unwrap() else { panic!("no file") };
    assert_eq!((file.kind, file.file.as_deref()), ("pkcs12", Some("a.p12")));
    let SecretSection::Private(file) = get("rsa").unwrap() else { panic!("no file") };
    assert_eq!(file.vault.unwrap().to_string(), "secret/vpn:key");
    let SecretSection::Token(token) = get("token1").unwrap() else { panic!("no token") };
    assert_eq!(
        (token.handle.as_slice(), token.slot, token.module.as_deref()),
        (&[1][..], Some(2), Some("m"))
    );
    let message = shared_message("eap-a", loaded.root.section("eap-a").unwrap()).unwrap();
    let secret = load_shared(&message).unwrap();
    let SecretData::Vault(path) = secret.data else { panic!("no path") };
    assert_eq!(path, VaultPath { path: "secret/data/vpn/alice".into(), field: "password".into() });
    let lines =
        |name: &str| get(name).unwrap_err().iter().map(|r| r.line(&loaded.sources)).collect::<Vec<_>>();
    assert_eq!(lines("token2"), ["x.conf:15:1: secrets.token2: `handle` is missing"]);
    assert_eq!(
        lines("ike-b"),
        ["x.conf:18:2: secrets.ike-b.vault: only one of `secret` and `vault` may be given"]
    );
    assert_eq!(
        lines("ike-c"),
        [
            "x.conf:20:9: secrets.ike-c.vault: `/a/../b:c` names nothing in a Vault, as `secret/data/vpn/alice:password` does"
        ]
    );
    for text in ["", "a", "a#b", "a/b", "a/b#", "a//b#c", "a/b?c#d", "a/%2e%2e/b#c", "a/b c#d"] {
        assert!(VaultPath::parse(text).is_err(), "{text}");
    }
}

#[test]
fn pools_with_owners_prefixes_and_a_timeout() {
    let loaded = tree(
        r#"p { addrs = 10.3.0.0/24
 hosts = carol@example.org=10.3.0.7, /C=CH/O=Cygnet/CN=moon = 192.0.2.9, "@#0a0b=10.3.0.8"
 timeout = 24h
 }
q { addrs = 2001:db8::/48
 prefix = 64
 hosts = carol@example.org=2001:db8:0:7::/64
 }
l { addrs = 2001:db8::/56/64 }
bad { addrs = 2001:db8::/48
 prefix = 64
 hosts = alice, bob=10.0.0.1, C=CH, CN=x=2001:db8::, carol=2001:db8::1, dave=2001:db8:0:1::/56, erin=2001:db8:0:2::, frank=2001:db8:0:2::, erin=2001:db8:0:3::, *@x.org=2001:db8:0:4::, =2001:db8:0:5::
 timeout = soon
 }
tall { addrs = 10.0.0.0/8
 prefix = 24 }
wide { addrs = 2001:db8::/48
 prefix = 999 }
turned { addrs = 10.0.0.9-10.0.0.1 }
mixed { addrs = 10.0.0.9-2001:db8:: }
"#,
    );
    let load = |name: &str| pool::load_pool(name, loaded.root.section(name).unwrap());
    let p = load("p").unwrap();
    assert_eq!(p.timeout, Some(86_400));
    let hosts: Vec<String> = p.hosts.iter().map(|h| format!("{} {}", h.identity, h.address)).collect();
    assert_eq!(hosts, ["carol@example.org 10.3.0.7", "C=CH, O=Cygnet, CN=moon 192.0.2.9", "0a:0b 10.3.0.8"]);
    assert!(p.attributes.is_empty());
    let q = load("q").unwrap();
    assert_eq!((q.range.prefix(), q.range.size(), q.hosts.len()), (64, 65_536, 1));
    assert_eq!((load("l").unwrap().range.prefix(), load("l").unwrap().range.size()), (64, 256));
    let lines = |name: &str| -> Vec<String> {
        let reports = load(name).unwrap_err();
        reports.iter().map(|r| r.line(&loaded.sources).split_once(": ").unwrap().1.to_owned()).collect()
    };
    let slashes = "(a distinguished name is written with slashes here: /C=CH/O=Cygnet/CN=moon=10.1.0.9)";
    assert_eq!(
        lines("bad"),
        [
            "pools.bad.timeout: `soon` is no time: a number of seconds, or with s, m, h or d behind it".to_owned(),
            format!("pools.bad.hosts: `alice` is not identity=address {slashes}"),
            "pools.bad.hosts: 10.0.0.1 is of another family than this pool, which is IPv6 (reserve it in the connection's other pool)".to_owned(),
            format!("pools.bad.hosts: `C=CH` is not identity=address {slashes}"),
            "pools.bad.hosts: 2001:db8::1 is not the first address of a prefix of 64 bits".to_owned(),
            "pools.bad.hosts: `2001:db8:0:1::/56`: this pool gives each client /64".to_owned(),
            "pools.bad.hosts: 2001:db8:0:2:: belongs to `erin` already".to_owned(),
            "pools.bad.hosts: `erin` has 2001:db8:0:2:: already; a pool reserves one address for an identity".to_owned(),
            "pools.bad.hosts: `*@x.org` stands for many; an address belongs to one identity".to_owned(),
            "pools.bad.hosts: `` stands for many; an address belongs to one identity".to_owned(),
        ]
    );
    for (name, words) in [
        ("tall", "pools.tall.addrs: `10.0.0.0/8` is IPv4"),
        ("wide", "pools.wide.prefix: `999` is no prefix length"),
        ("turned", "pools.turned.addrs: the range `10.0.0.9-10.0.0.1` ends before it begins"),
        ("mixed", "pools.mixed.addrs: the range `10.0.0.9-2001:db8::` begins in one address family"),
    ] {
        assert!(lines(name)[0].starts_with(words), "{:?}", lines(name));
    }
}
