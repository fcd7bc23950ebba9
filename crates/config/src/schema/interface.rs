//! `connections.<conn>.interface` and what belongs to it: the XFRM interface that the daemon makes.
use super::Fields;
use super::daemon::network::interface;
use super::values::{number, text};
use crate::report::Report;
use crate::tree::{Section, Span};
use ipnet::IpNet;
use policy::{Connection, Interface, MarkValue, Mode, interface::UNIQUE};
use std::sync::Arc;

/// Below it IPv4 does not work (RFC 791 3.2); above it the kernel has none.
const MTUS: std::ops::RangeInclusive<u32> = 68..=65_535;
/// Digits of the largest number of an IKE_SA.
const DIGITS: usize = 10;

/// Reads the keys; the interface ids and children of the connection have been read.
pub(super) fn load(f: &mut Fields<'_>, c: &mut Connection, path: &str, section: &Section) {
    let mut name = String::new();
    f.set("interface", &mut name, named);
    let mut own = Interface::named(&name);
    f.list("interface_addresses", &mut own.addresses, |t| address(t).map(|a| vec![a]));
    f.set("interface_mtu", &mut own.mtu, mtu);
    f.set("interface_vrf", &mut own.vrf, interface);
    f.set("interface_netns", &mut own.netns, netns);
    if name.is_empty() {
        for key in ["interface_addresses", "interface_mtu", "interface_vrf", "interface_netns"] {
            if f.has(key) {
                f.wrong(key, "this is about the interface that `interface` names, and there is none");
            }
        }
        return;
    }
    ids(f, c, &own);
    if own.is_unique() {
        if !own.addresses.is_empty() {
            f.wrong("interface_addresses", "interfaces of several IKE_SAs cannot have the same addresses");
        }
        if !c.vips.is_empty() {
            f.wrong("interface", "with vips there is one IKE_SA: give its interface a name without %unique");
        }
    }
    for child in &c.children {
        let say = |f: &mut Fields<'_>, what: &str| {
            let place = section.section("children").and_then(|all| all.section(&child.name));
            let report = Report::error(what).at(place.map_or(Span::NOWHERE, |section| section.span));
            f.inner::<()>(Err(vec![report.key(format!("{path}.children.{}", child.name))]));
        };
        match child.mode {
            Mode::Tunnel => {}
            Mode::Pass | Mode::Drop => continue,
            Mode::Transport | Mode::TransportProxy | Mode::Beet | Mode::Iptfs => say(
                f,
                "the connection has an interface, over which routes lead: that needs mode = tunnel, as in any \
                 other mode the way to the peer itself would lead into it",
            ),
        }
        if (child.if_id_in, child.if_id_out) != (MarkValue::None, MarkValue::None) {
            say(f, "the connection has an interface, whose id is its if_id_in and if_id_out: set none here");
        }
        if child.start_action.trap && own.is_unique() {
            say(
                f,
                "a trap is there before any IKE_SA: its connection's interface needs a name without %unique",
            );
        }
    }
    c.interface = Some(Arc::new(own));
}

/// An XFRM interface has one id for both directions.
fn ids(f: &mut Fields<'_>, c: &mut Connection, own: &Interface) {
    let (wanted, hint) = if own.is_unique() {
        (MarkValue::Unique, "an interface with %unique in its name has if_id_in and if_id_out = %unique")
    } else {
        let id = match c.if_id_in {
            MarkValue::Fixed(id) => id,
            _ => Interface::id_of(&own.name),
        };
        (
            MarkValue::Fixed(id),
            "an interface has one id: set if_id_in and if_id_out to the same number, or neither",
        )
    };
    let either = [c.if_id_in, c.if_id_out];
    if either != [MarkValue::None; 2] && either != [wanted; 2] {
        f.wrong(if c.if_id_in == wanted { "if_id_out" } else { "if_id_in" }, hint);
    }
    (c.if_id_in, c.if_id_out) = (wanted, wanted);
}

fn named(text: &str) -> Result<String, String> {
    // The kernel has room for 15 bytes.
    let (longest, rest) = match text.split_once(UNIQUE) {
        Some((before, after)) => (15 - DIGITS, format!("{before}{after}")),
        None => (15, text.to_owned()),
    };
    let plain = rest.is_empty() || interface(&rest).is_ok_and(|name| name.is_some());
    if !plain || rest.contains('%') || (rest.is_empty() && !text.is_empty()) {
        return Err(format!("`{text}` is no name of an interface (15 characters at most)"));
    }
    if rest.len() > longest {
        return Err(format!("`{text}` is too long: {longest} characters beside %unique at most"));
    }
    Ok(text.to_owned())
}

fn address(text: &str) -> Result<IpNet, String> {
    let with_prefix = text.parse::<IpNet>().ok();
    let alone = || text.parse::<std::net::IpAddr>().ok().map(IpNet::from);
    with_prefix
        .or_else(alone)
        .ok_or_else(|| format!("`{text}` is no address with the length of its network, like 10.0.0.1/30"))
}

fn mtu(text: &str) -> Result<Option<u32>, String> {
    let mtu = number::<u32>(text)?;
    if MTUS.contains(&mtu) {
        return Ok(Some(mtu));
    }
    Err(format!("an MTU of {mtu} is not possible: {} to {}", MTUS.start(), MTUS.end()))
}

fn netns(name: &str) -> Result<Option<String>, String> {
    let name = text(name)?;
    match &name {
        Some(name) if name.contains('/') || name.starts_with('.') => {
            Err(format!("`{name}` is no name of a network namespace (ip netns list shows all)"))
        }
        _ => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use crate::capability::Capabilities;
    use crate::resolve::{Disk, load_text};
    use crate::schema::Context;
    use crate::schema::connection::load_connection;
    use std::path::Path;

    /// What is wrong with a connection that has these lines.
    fn errors(body: &str) -> String {
        let text = format!("home {{\n local {{ auth = psk\n }}\n remote {{ auth = psk\n }}\n{body}\n}}\n");
        let loaded = load_text(&Disk, "x.conf", Path::new("/nonexistent"), text.as_bytes()).unwrap();
        let context = Context { capabilities: Capabilities::xfrm(), ..Context::default() };
        match load_connection("home", loaded.root.section("home").unwrap(), &context) {
            Ok(_) => String::new(),
            Err(reports) => reports.iter().map(|r| r.line(&loaded.sources) + "\n").collect(),
        }
    }

    #[test]
    fn what_cannot_be_is_said_where_it_stands() {
        let net = "children { net { } }";
        for (body, place, message) in [
            ("interface = a-name-of-16-cha", "interface", "no name of an interface"),
            ("interface = a/b", "interface", "no name of an interface"),
            ("interface = ipsec%d", "interface", "no name of an interface"),
            ("interface = %unique", "interface", "no name of an interface"),
            ("interface = sixsix%unique", "interface", "too long: 5 characters beside %unique"),
            ("interface_mtu = 1400", "interface_mtu", "there is none"),
            ("interface = i\n interface_mtu = 20", "interface_mtu", "MTU of 20"),
            ("interface = i\n interface_addresses = 10.0.0.1/33", "interface_addresses", "like 10.0.0.1/30"),
            ("interface = i\n interface_netns = a/b", "interface_netns", "ip netns list"),
            ("interface = i\n interface_vrf = a/b", "interface_vrf", "no name of an interface"),
            ("interface = i\n if_id_in = 7", "if_id_out", "same number, or neither"),
            ("interface = i\n if_id_in = 7\n if_id_out = 8", "if_id_out", "same number, or neither"),
            ("interface = i\n if_id_out = %unique", "if_id_in", "same number, or neither"),
            ("interface = i%unique\n if_id_in = 7", "if_id_in", "if_id_in and if_id_out = %unique"),
            (
                "interface = i%unique\n interface_addresses = 10.0.0.1",
                "interface_addresses",
                "several IKE_SAs",
            ),
            ("interface = i%unique\n vips = ::", "interface", "without %unique"),
        ] {
            let said = errors(&format!("{body}\n{net}"));
            assert!(said.contains(&format!("home.{place}: ")) && said.contains(message), "{body}: {said}");
            assert_eq!(said.lines().count(), 1, "{body}: {said}");
        }
        for (interface, child, message) in [
            ("i", "mode = transport", "needs mode = tunnel"),
            ("i", "if_id_in = 3", "set none here"),
            ("i%unique", "start_action = trap", "without %unique"),
        ] {
            let said = errors(&format!("interface = {interface}\nchildren {{ net {{ {child}\n }} }}"));
            assert!(said.contains("home.children.net: ") && said.contains(message), "{said}");
            assert!(said.starts_with("x.conf:7:"), "{said}");
        }
        assert_eq!(errors("interface = i\nchildren { net { mode = pass\n } }"), "");
    }
}
