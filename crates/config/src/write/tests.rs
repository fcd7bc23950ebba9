use super::*;
use crate::capability::{Capabilities, Capability};
use crate::resolve::{Disk, load_text};
use crate::schema::Context;
use crate::schema::connection::load_connection;
use policy::Interface;
use proptest::prelude::*;
use std::path::Path;

fn read(text: &[u8]) -> Section {
    match load_text(&Disk, "x.conf", Path::new("/nonexistent"), text) {
        Ok(loaded) => loaded.root,
        Err(error) => panic!("{}\n{}", String::from_utf8_lossy(text), error.render()),
    }
}

fn everything() -> Context {
    use Capability as C;
    let all = [
        C::Ikev1,
        C::Xauth,
        C::Ppk,
        C::Mediation,
        C::LocalPorts,
        C::Ah,
        C::Transport,
        C::TransportProxy,
        C::Beet,
        C::Iptfs,
        C::Labels,
        C::PerCpu,
        C::Offload,
        C::Marks,
        C::InterfaceIds,
        C::KernelPolicies,
        C::Vti,
        C::Priority,
        C::Sha256_96,
        C::TfcPadding,
        C::HeaderCopy,
    ];
    Context {
        capabilities: all.into_iter().fold(Capabilities::none(), Capabilities::with),
        ..Context::default()
    }
}

fn round_trip(text: &str) -> (Connection, String) {
    let context = everything();
    let first = load_connection("c", read(text.as_bytes()).section("c").unwrap(), &context).unwrap();
    let mut root = Section::new();
    root.insert("c", Node::Section(connection(&first)));
    let written = to_text(&root);
    let second = load_connection("c", read(&written).section("c").unwrap(), &context).unwrap();
    assert_eq!(first, second);
    // Also as a vici message, where lists are lists.
    assert_eq!(load_connection("c", &connection(&first), &context).unwrap(), first);
    (first, String::from_utf8(written).unwrap())
}

#[test]
fn only_what_differs_is_written() {
    let (_, text) =
        round_trip("c { local { auth = psk\n }\n remote { auth = psk\n }\n children { net { } } }");
    assert_eq!(
        text,
        "c {\n    local {\n        auth = psk\n    }\n    remote {\n        auth = psk\n    }\n    children {\n        net {\n        }\n    }\n}\n"
    );
}

#[test]
fn every_key_comes_back() {
    let (_, text) = round_trip(
        "c { version = 1\n local_addrs = 192.0.2.1, %any6\n remote_addrs = gw.example, 10.0.0.0/8, 10.0.0.1-10.0.0.9\n local_port = 501\n remote_port = 0
         proposals = aes128gcm16-prfsha256-x25519-ke1_mlkem768-ke1_none, default, aes128-sha1-modp1024\n vips = 0.0.0.0, ::\n aggressive = yes\n pull = no\n dscp = 000001
         encap = yes\n mobike = no\n dpd_delay = 30\n dpd_timeout = 60\n fragmentation = force\n childless = never\n send_certreq = no\n send_cert = always\n ocsp = both
         ppk_id = x y\n ppk_required = yes\n keyingtries = 0\n unique = replace\n reauth_time = 1d\n rekey_time = 2h\n over_time = 7\n rand_time = 8\n pools = a, b\n if_id_in = 7\n if_id_out = %unique-dir
         local-b { round = 2\n auth = eap-tls:ecdsa-384\n id = a@b\n eap_id = \"x # y\"\n aaa_id = \"C=CH, O=x\"\n xauth_id = u\n certs = a.pem, b.pem\n pubkeys = k\n }
         local-a { round = 1\n auth = ike:rsa/pss-sha256\n }
         remote { auth = xauth-pam\n id = *@b\n groups = g, h\n cert_policy = 1.2.3\n cacerts = ca.pem\n ca_id = \"C=CH, O=ca\"\n revocation = strict\n }
         children {
           n { ah_proposals = sha256-modp2048-none-esn-noesn, default\n sha256_96 = yes\n local_ts = dynamic[tcp/1000-2000], 10.0.0.0/8[icmp/3-5]\n remote_ts = 10.0.0.1-10.0.0.9[udp/opaque]\n rekey_time = 10m\n life_time = 12m\n rand_time = 1
              rekey_bytes = 100\n life_packets = 1100\n updown = /bin/x \"a b\" c\n hostaccess = yes\n mode = transport\n policies = no\n policies_fwd_out = yes\n dpd_action = trap|start\n ipcomp = yes\n inactivity = 5m
              reqid = 9\n priority = 8\n interface = eth0\n mark_in = 0x10/0xf0\n mark_in_sa = yes\n mark_out = %unique\n set_mark_in = %same/0xff\n set_mark_out = 3\n if_id_in = 4\n if_id_out = %unique\n label = l:m\n label_mode = simple
              tfc_padding = mtu\n replay_window = 0\n per_cpu_sas = encap\n hw_offload = yes\n copy_df = no\n copy_ecn = no\n copy_dscp = yes\n icmp = yes\n start_action = trap\n close_action = start\n }
           o { esp_proposals = chacha20poly1305-x25519, default, aes128-sha256\n rekey_time = 0\n }
           p { mode = pass\n tfc_padding = 5\n }
           v { vti_interface = vti0\n vti_address = 10.9.0.1/30\n vti_routing = no\n vti_shared = yes\n mark_in = 5\n mark_out = 6\n }
         } }",
    );
    assert!(text.contains("    proposals = aes128gcm16-prfsha256-x25519-ke1_mlkem768-ke1_none, default, aes128-sha1-prfsha1-modp1024\n"), "{text}");
    assert!(text.contains("        eap_id = \"x # y\"\n"), "{text}");
}

#[test]
fn an_interface_comes_back() {
    let rest = "local { auth = psk\n }\n remote { auth = psk\n }\n children { net { } }";
    let (c, text) = round_trip(&format!(
        "c {{ interface = ipsec0\n interface_addresses = 10.9.0.1/30, fd00::1\n interface_mtu = 1400\n interface_vrf = red\n interface_netns = blue\n {rest} }}"
    ));
    let own = c.interface.as_ref().unwrap();
    assert_eq!((own.mtu, own.vrf.as_deref(), own.netns.as_deref()), (Some(1400), Some("red"), Some("blue")));
    assert_eq!(c.if_id_in, MarkValue::Fixed(Interface::id_of("ipsec0")));
    assert!(text.contains("interface_addresses = 10.9.0.1/30, fd00::1/128\n"), "{text}");
    let (c, _) = round_trip(&format!("c {{ interface = rw-%unique\n {rest} }}"));
    assert_eq!((c.if_id_in, c.if_id_out), (MarkValue::Unique, MarkValue::Unique));
    let (c, _) = round_trip(&format!("c {{ interface = ipsec0\n if_id_in = 42\n if_id_out = 42\n {rest} }}"));
    assert_eq!(c.if_id_in, MarkValue::Fixed(42));
}

fn any_section() -> impl Strategy<Value = Section> {
    let name = "[a-zäß0-9*/|_-]{1,8}";
    let value = prop_oneof!["\\PC{0,12}", "[ \t\n\r\"\\\\#{}=,a]{0,8}", "[a-z0-9./]{1,10}( [a-z]{1,3})?"];
    let leaf = proptest::collection::vec((name, value.clone()), 0..4).prop_map(|entries| {
        let mut out = Section::new();
        for (key, value) in entries {
            out.insert(key, Node::Value(Value::new(value)));
        }
        out
    });
    leaf.prop_recursive(3, 24, 4, move |inner| {
        proptest::collection::vec((name, prop_oneof![value.clone().prop_map(Ok), inner.prop_map(Err)]), 0..4)
            .prop_map(|entries| {
                let mut out = Section::new();
                for (key, node) in entries {
                    let node = match node {
                        Ok(value) => Node::Value(Value::new(value)),
                        Err(section) => Node::Section(section),
                    };
                    out.insert(key, node);
                }
                out
            })
    })
}

/// Without places, values before sections (the reader's order).
fn bare(section: &Section) -> Vec<(String, Result<Vec<u8>, Section>)> {
    let mut out: Vec<(String, Result<Vec<u8>, Section>)> =
        section.values().map(|(k, v)| (k.to_owned(), Ok(v.bytes.clone()))).collect();
    out.extend(section.sections().map(|(k, s)| {
        let mut inner = Section::new();
        for (key, node) in bare(s) {
            inner.insert(key, node.map_or_else(Node::Section, |bytes| Node::Value(Value::new(bytes))));
        }
        (k.to_owned(), Err(inner))
    }));
    out
}

proptest! {
    #[test]
    fn what_is_written_is_read(section in any_section()) {
        let text = to_text(&section);
        prop_assert_eq!(bare(&read(&text)), bare(&section));
    }

    #[test]
    fn any_tree_is_a_connection_or_reports(section in any_section()) {
        if let Err(reports) = load_connection("c", &section, &Context::default()) {
            prop_assert!(!reports.is_empty());
        }
    }
}
