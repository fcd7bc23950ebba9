//! What only the daemon knows: its data plane, what it is a gateway for, its certificates.
use super::Finding;
use crate::commands::certs::{self, Standing};
use crate::session::{collect, connect};
use config::tree::Section;
use std::net::IpAddr;
use vici::{Client, Message};

/// What it told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// `xfrm` or `userspace`; none where there is no daemon, or it has no data plane.
    pub(super) plane: Option<String>,
    /// Whether loaded connections have networks behind this host, of IPv4 and of IPv6; none without a daemon.
    pub(super) gateway: Option<(bool, bool)>,
    pub(super) findings: Vec<Finding>,
}

/// Asks the daemon; that there is none is a finding, too.
pub(super) fn ask(uri: Option<&str>) -> Told {
    const CHECK: &str = "daemon";
    let mut told = Told::default();
    let mut client = match connect(uri) {
        Ok(client) => client,
        Err(failure) => {
            told.findings.push(Finding::warning(CHECK, failure.message(), "systemctl start strongswan"));
            told.findings.push(Finding::unknown("certificates", "the daemon would tell; or: cygnet check"));
            return told;
        }
    };
    match client.request("version", Section::default()) {
        Ok(version) => {
            let part = |key| version.text(key).unwrap_or("?").to_owned();
            told.findings
                .push(Finding::good(CHECK, format!("{} {} answers", part("daemon"), part("version"))));
        }
        Err(e) => {
            told.findings.push(Finding::wrong(CHECK, format!("it does not answer: {e}"), "cygnet log"));
            return told;
        }
    }
    if let Ok(stats) = client.request("stats", Section::default()) {
        let plugins = stats.items("plugins");
        told.plane =
            ["xfrm", "userspace"].iter().find(|name| plugins.contains(name)).map(|name| (*name).to_owned());
    }
    if told.plane.is_none() {
        told.findings.push(Finding::wrong(
            "data plane",
            "the daemon has none, so there are no CHILD_SAs",
            "cygnet log says why at its start",
        ));
    }
    if let Ok(connections) = collect(&mut client, "list-conns", Section::default(), "list-conn") {
        told.gateway = Some(networks(&connections));
    }
    told.findings.push(certificates(&mut client));
    told
}

/// Whether a child has more on our side than this host, of either family.
fn networks(connections: &[Section]) -> (bool, bool) {
    let (mut v4, mut v6) = (false, false);
    let children = connections
        .iter()
        .flat_map(|event| event.children())
        .filter_map(|(_, connection)| connection.child("children"))
        .flat_map(|children| children.children());
    for (_, child) in children {
        for selector in child.items("local-ts") {
            let network = selector.split('[').next().unwrap_or_default();
            let Some((address, prefix)) = network.split_once('/') else { continue };
            let host = |bits: u8| prefix.parse().is_ok_and(|prefix: u8| prefix == bits);
            match address.parse() {
                Ok(IpAddr::V4(_)) => v4 |= !host(32),
                Ok(IpAddr::V6(_)) => v6 |= !host(128),
                Err(_) => {}
            }
        }
    }
    (v4, v6)
}

fn certificates(client: &mut Client) -> Finding {
    const CHECK: &str = "certificates";
    let all = match certs::standing(client) {
        Ok(all) => all,
        Err(failure) => return Finding::unknown(CHECK, failure.message()),
    };
    let named = |wanted: Standing| {
        let names: Vec<&str> =
            all.iter().filter(|(_, standing)| *standing == wanted).map(|(name, _)| name.as_str()).collect();
        (!names.is_empty()).then(|| names.join("; "))
    };
    if let Some(names) = named(Standing::Invalid) {
        return Finding::wrong(
            CHECK,
            format!("not valid now: {names}"),
            "cygnet certs; renew them and cygnet load",
        );
    }
    if let Some(names) = named(Standing::Ending) {
        return Finding::warning(
            CHECK,
            format!("expire soon: {names}"),
            "cygnet certs; renew them and cygnet load",
        );
    }
    Finding::good(CHECK, format!("{} loaded, all valid", all.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(local: &[&str]) -> Section {
        let mut child = Section::default();
        child.put_list("local-ts", local.iter().copied());
        let mut children = Section::default();
        children.put_section("net", child);
        let mut connection = Section::default();
        connection.put_section("children", children);
        let mut event = Section::default();
        event.put_section("c", connection);
        event
    }

    #[test]
    fn a_gateway_has_more_behind_it_than_itself() {
        assert_eq!(networks(&[connection(&["dynamic"])]), (false, false));
        assert_eq!(networks(&[connection(&["192.0.2.1/32", "2001:db8::1/128[tcp/80]"])]), (false, false));
        assert_eq!(networks(&[connection(&["10.1.0.0/16"])]), (true, false));
        assert_eq!(networks(&[connection(&["dynamic"]), connection(&["fd01::/64[udp]"])]), (false, true));
        assert_eq!(networks(&[connection(&["0.0.0.0/0", "::/0"])]), (true, true));
    }
}
