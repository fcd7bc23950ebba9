use super::*;
use crate::resolve::load_text;
use crate::schema::secret::{SecretData, load_shared};

fn config(text: &str) -> SwanctlConfig {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("swanctl.conf"), text).unwrap();
    load_swanctl(directory.path()).unwrap()
}

fn lines(text: &str) -> Vec<String> {
    let config = config(text);
    let checked = config.check(&Context::default());
    checked
        .reports
        .iter()
        .map(|r| r.line(&config.loaded.sources).rsplit("swanctl.conf:").next().unwrap().to_owned())
        .collect()
}

const GATEWAY: &str = "
# a gateway
rw-defaults {
    version = 2
    proposals = aes256gcm16-prfsha384-x25519, default
    remote { auth = psk
    }
    children {
        net {
            local_ts = 10.1.0.0/16, fd00:1::/64
        }
    }
}
connections {
    rw : rw-defaults {
        pools = rw4, rw6
        local {
            auth = psk
            id = gw.example.com
        }
    }
}
secrets {
    ike-rw {
        id = gw.example.com
        id2 = *@example.com
        secret = 0sFpZAZqEN6Ti9sqt4ZP5EWcqx
    }
}
pools {
    rw4 {
        addrs = 10.3.0.0/24
        dns = 10.1.0.1
    }
    rw6 {
        addrs = fd00:3::/64
    }
}
";

#[test]
fn a_gateway() {
    let config = config(GATEWAY);
    let checked = config.check(&Context::default());
    assert!(checked.reports.is_empty(), "{:?}", checked.reports);
    assert!(checked.is_sound());
    assert_eq!((checked.connections.len(), checked.secrets.len(), checked.pools.len()), (1, 1, 2));
    let c = &checked.connections[0];
    assert_eq!((c.version, c.proposals.len(), c.children[0].local_ts.len()), (2, 3, 2));
}

#[test]
fn messages_have_lists_where_swanctl_sends_lists() {
    let config = config(GATEWAY);
    let (name, section) = config.sections("connections").next().unwrap();
    let message = connection_message(name, section);
    let inner = message.section("rw").unwrap();
    let items = |node: Option<&Node>| match node {
        Some(Node::List(items)) => items.iter().map(|v| v.as_text().unwrap().to_owned()).collect::<Vec<_>>(),
        other => panic!("no list: {other:?}"),
    };
    assert_eq!(items(inner.get("pools")), ["rw4", "rw6"]);
    assert_eq!(items(inner.get("proposals")), ["aes256gcm16-prfsha384-x25519", "default"]);
    assert_eq!(
        items(inner.lookup_section("children.net").unwrap().get("local_ts")),
        ["10.1.0.0/16", "fd00:1::/64"]
    );
    assert_eq!(inner.lookup("local.id").unwrap().as_text(), Some("gw.example.com"));
    // What is sent means the same as what was written.
    let context = Context::default();
    assert_eq!(load_connection("rw", inner, &context), load_connection("rw", section, &context));
    let (name, section) = config.sections("pools").next().unwrap();
    let message = pool_message(name, section);
    assert_eq!(items(message.section("rw4").unwrap().get("dns")), ["10.1.0.1"]);
    assert_eq!(load_pool("rw4", message.section("rw4").unwrap()), load_pool("rw4", section));
    let (name, section) = config.sections("secrets").next().unwrap();
    let message = secret_message(name, section).unwrap();
    assert_eq!(items(message.get("owners")), ["gw.example.com", "*@example.com"]);
    let (sent, written) = (load_shared(&message).unwrap(), load_secret(name, section).unwrap());
    let SecretSection::Shared(written) = written else { panic!("{name} is no shared secret") };
    let bytes = |secret: SharedConfig| match secret.data {
        SecretData::Given(data) => (secret.id, secret.kind, data.as_slice().to_vec(), secret.owners),
        SecretData::Vault(path) => panic!("in a vault: {path}"),
    };
    assert_eq!(bytes(sent), bytes(written));
}

#[test]
fn what_only_the_whole_file_can_tell() {
    assert_eq!(
        lines(
            "conections { }\nx = 1\nconnections { a = b\n c { local { auth = psk\n }\n remote { auth = psk\n }\n pools = p\n } }\n"
        ),
        [
            "2:1: x: values outside of sections have no effect",
            "1:1: conections: this section is not loaded (did you mean `connections`?)",
            "3:19: connections.a: this is a section, not a value",
            "8:2: connections.c.pools: there is no pool `p` in this file",
            "4:2: connections.c: there is no secret for this connection in this file (add `secrets { ike-… { id = …, secret = … } }`, or load one in another way)",
        ]
    );
    assert_eq!(
        lines("secrets = x\n"),
        ["1:1: secrets: this is a section, not a value"].map(|s| s.replace("1:1", "1:11"))
    );
}

#[test]
fn errors_show_the_line_in_the_file_it_came_from() {
    let text = "connections {\n  home {\n    remote_adrs = 192.0.2.1\n    local { auth = psk\n }\n    remote { auth = psk\n }\n  }\n}\nsecrets { ike { secret = 0x1\n } }\n";
    let loaded = load_text(&Disk, "swanctl.conf", Path::new("/nonexistent"), text.as_bytes()).unwrap();
    let config = SwanctlConfig { loaded };
    let checked = config.check(&Context::default());
    let rendered: String = checked.reports.iter().map(|r| r.render(&config.loaded.sources)).collect();
    assert_eq!(
        rendered,
        "error: connections.home.remote_adrs: unknown key\n --> swanctl.conf:3:5\n  |\n3 |     remote_adrs = 192.0.2.1\n  |     ^^^^^^^^^^^\n  |\n  \
         = help: did you mean `remote_addrs`?\n\
         error: swanctl.conf:10:17: secrets.ike.secret: after 0x, a secret must be an even number of hexadecimal digits\n"
    );
}
