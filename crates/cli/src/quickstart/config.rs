//! The swanctl.conf of the gateway and of a client, as text.
use super::state::State;
use std::fmt::Write as _;

/// IKE: what built-in clients offer that is still good. The AEAD line serves strongSwan, Apple's profile, Windows'
/// script and Android; the second one Windows with `NegotiateDH2048_AES256` and older phones. MODP-1024, which Windows
/// offers untouched, is not there.
const IKE: [&str; 2] = [
    "aes256gcm16-aes128gcm16-prfsha384-prfsha256-ecp384-x25519-ecp256-modp2048",
    "aes256-aes128-sha384-sha256-ecp384-x25519-ecp256-modp2048",
];
/// ESP: with a group for clients that ask for one when they rekey (Apple, our Windows script), without for the others.
/// SHA-1 as a MAC is last, for Windows without the script.
const ESP: [&str; 5] = [
    "aes256gcm16-aes128gcm16-ecp384-x25519-ecp256-modp2048",
    "aes256gcm16-aes128gcm16",
    "aes256-aes128-sha384-sha256-ecp384-x25519-ecp256-modp2048",
    "aes256-aes128-sha384-sha256",
    "aes256-aes128-sha1",
];

/// Names of the files that quickstart puts beside swanctl.conf.
pub(super) const CONNECTIONS: &str = "conf.d/quickstart.conf";
pub(super) const AUTHORITY: &str = "x509ca/quickstart-ca.pem";
pub(super) const AUTHORITY_KEY: &str = "quickstart/ca-key.pem";
pub(super) const CERTIFICATE: &str = "x509/quickstart-gateway.pem";
pub(super) const KEY: &str = "private/quickstart-gateway.pem";
pub(super) const REVOKED: &str = "x509crl/quickstart.crl";
pub(super) const FIREWALL: &str = "quickstart/firewall.nft";

/// The gateway's connections and pools.
pub(super) fn gateway(state: &State) -> String {
    let mut text = format!(
        "# Made by 'cygnet quickstart' for {name}. Users are in files of their own beside this one:\n\
         # 'cygnet quickstart user NAME' makes them. docs/clients.md explains the choices.\n\n\
         connections {{\n",
        name = state.name
    );
    let certificate = "      auth = pubkey\n      cacerts = quickstart-ca.pem\n";
    let login = "      auth = eap-mschapv2\n      # Whoever has a secret; the client is asked for its name.\n      eap_id = %any\n";
    for (name, about, remote) in [
        ("quickstart-cert", "Users with a certificate.", certificate),
        ("quickstart-eap", "Users with a name and a password.", login),
    ] {
        let _ = write!(text, "  # {about}\n  {name} {{\n    version = 2\n");
        if !state.addresses.is_empty() {
            let _ = writeln!(text, "    local_addrs = {}", state.addresses.join(", "));
        }
        let _ = write!(
            text,
            "    proposals = {ike}\n    pools = {pools}\n    \
             # Windows and Apple want the certificate whether they ask for it or not.\n    send_cert = always\n    \
             # One user, several devices.\n    unique = never\n    \
             # Phones sleep: ask seldom.\n    dpd_delay = 2m\n    \
             # The clients rekey; Windows and some phones do not like to be asked.\n    rekey_time = 0s\n    \
             fragmentation = yes\n    mobike = yes\n\n    \
             local {{\n      auth = pubkey\n      certs = quickstart-gateway.pem\n      id = {id}\n    }}\n    \
             remote {{\n{remote}    }}\n    \
             children {{\n      net {{\n        local_ts = {routes}\n        esp_proposals = {esp}\n        \
             rekey_time = 0s\n        dpd_action = clear\n      }}\n    }}\n  }}\n",
            ike = IKE.join(", "),
            pools = pool_names(state).join(", "),
            id = state.name,
            routes = state.routes.join(", "),
            esp = ESP.join(", "),
        );
    }
    text.push_str("}\n\npools {\n");
    for (name, addresses) in pool_names(state).iter().zip(&state.pools) {
        let _ = write!(text, "  {name} {{\n    addrs = {addresses}\n");
        let v6 = addresses.contains(':');
        let dns: Vec<&str> =
            state.dns.iter().map(String::as_str).filter(|server| server.contains(':') == v6).collect();
        if !dns.is_empty() {
            let _ = writeln!(text, "    dns = {}", dns.join(", "));
        }
        text.push_str("  }\n");
    }
    text.push_str("}\n");
    text
}

fn pool_names(state: &State) -> Vec<String> {
    let mut names = Vec::new();
    for pool in &state.pools {
        let family = if pool.contains(':') { "v6" } else { "v4" };
        let same = names.iter().filter(|name: &&String| name.contains(family)).count();
        let number = if same == 0 { String::new() } else { format!("-{}", same + 1) };
        names.push(format!("quickstart-{family}{number}"));
    }
    names
}

/// The secret of a user with a password.
pub(super) fn secret(user: &str, password: &str) -> String {
    format!(
        "# Made by 'cygnet quickstart user {user}'.\n\nsecrets {{\n  eap-quickstart-{user} {{\n    id = {user}\n    secret = \"{password}\"\n  }}\n}}\n",
        user = user
    )
}

/// How a client authenticates.
pub(super) enum Client<'a> {
    /// Identity in the certificate `client.pem`.
    Certificate(&'a str),
    /// Name and password.
    Login(&'a str, &'a str),
}

/// swanctl.conf of a client, for cygnet and for strongSwan.
pub(super) fn client(state: &State, client: &Client<'_>) -> String {
    let (local, secrets, about) = match client {
        Client::Certificate(identity) => (
            format!("      auth = pubkey\n      certs = client.pem\n      id = {identity}\n"),
            String::new(),
            "a certificate",
        ),
        Client::Login(name, password) => (
            format!("      auth = eap-mschapv2\n      id = {name}\n      eap_id = {name}\n"),
            format!(
                "\nsecrets {{\n  eap-quickstart {{\n    id = {name}\n    secret = \"{password}\"\n  }}\n}}\n"
            ),
            "a name and a password",
        ),
    };
    let families = |v6: bool| state.pools.iter().any(|pool| pool.contains(':') == v6);
    let mut vips = Vec::new();
    if families(false) {
        vips.push("0.0.0.0");
    }
    if families(true) {
        vips.push("::");
    }
    format!(
        "# Client of {name}, with {about}: copy this folder to /etc/swanctl,\n\
         # then 'cygnet load' and 'cygnet up home' (or 'swanctl --load-all' and 'swanctl --initiate --child home').\n\n\
         connections {{\n  home {{\n    version = 2\n    remote_addrs = {name}\n    vips = {vips}\n    \
         proposals = aes256gcm16-prfsha384-ecp384, aes256gcm16-prfsha256-x25519\n    dpd_delay = 30s\n\n    \
         local {{\n{local}    }}\n    \
         remote {{\n      auth = pubkey\n      id = {name}\n      cacerts = ca.pem\n    }}\n    \
         children {{\n      home {{\n        remote_ts = {routes}\n        \
         esp_proposals = aes256gcm16-ecp384, aes256gcm16-x25519\n        dpd_action = restart\n      }}\n    }}\n  }}\n}}\n{secrets}",
        name = state.name,
        vips = vips.join(", "),
        routes = state.routes.join(", "),
    )
}

/// Rules for nftables: let IKE and ESP in, forward what comes out of the tunnel, hide IPv4 (and IPv6) behind the gateway.
pub(super) fn firewall(state: &State) -> String {
    let mut text = String::from(
        "# A proposal: read it, adapt it, then 'nft -f' it. Forwarding must be on:\n\
         #   sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1\n\n\
         table inet cygnet_quickstart {\n\
         \x20 chain input {\n    type filter hook input priority -1; policy accept;\n    udp dport { 500, 4500 } accept\n    meta l4proto esp accept\n  }\n\
         \x20 chain forward {\n    type filter hook forward priority -1; policy accept;\n    \
         # TCP through a tunnel: segments must fit.\n    tcp flags syn / syn,rst tcp option maxseg size set rt mtu\n  }\n\
         \x20 chain postrouting {\n    type nat hook postrouting priority srcnat; policy accept;\n",
    );
    for pool in &state.pools {
        let family = if pool.contains(':') { "ip6" } else { "ip" };
        let _ = writeln!(text, "    {family} saddr {pool} {family} daddr != {pool} masquerade");
    }
    text.push_str("  }\n}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn state() -> State {
        let mut state = State::new("gw.example.org", "gw.example.org VPN CA".to_owned());
        state.pools = vec!["10.9.0.0/24".into(), "fd00:9::/112".into(), "10.10.0.0/24".into()];
        state.dns = vec!["10.1.0.53".into(), "fd00::53".into()];
        state.routes = vec!["0.0.0.0/0".into(), "::/0".into()];
        state
    }

    #[test]
    fn what_is_written_can_be_read() {
        let state = state();
        for text in [
            gateway(&state),
            secret("alice", "pass\u{77}ord"),
            client(&state, &Client::Certificate("alice@gw.example.org")),
            client(&state, &Client::Login("alice", "secret")),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("swanctl.conf");
            std::fs::write(&file, &text).unwrap();
            let found = crate::source::check_swanctl(&file, false);
            assert_eq!((found.errors, found.warnings), (0, 0), "{}\n{text}", found.reports);
        }
    }

    #[test]
    fn pools_and_servers_go_by_family() {
        let text = gateway(&state());
        assert!(text.contains("pools = quickstart-v4, quickstart-v6, quickstart-v4-2\n"), "{text}");
        assert_eq!(text.matches("dns = 10.1.0.53\n").count(), 2);
        assert_eq!(text.matches("dns = fd00::53\n").count(), 1);
        assert!(!text.contains("modp1024"));
    }
}
