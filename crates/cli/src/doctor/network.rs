//! Interfaces and what is set for them.
use super::Finding;
use super::daemon::Told;
use linux::netlink::{Link, Netlink};
use linux::sysctl;

/// Least MTU that IPv6 works with (RFC 8200 5).
const LEAST_MTU: u32 = 1280;
/// What ESP in UDP adds to a packet at most: IPv6 header, UDP, ESP, IV, ICV of 16 bytes, padding to 4 bytes.
const ESP_OVERHEAD: u32 = 40 + 8 + 8 + 8 + 16 + 2 + 3;

pub(super) fn look(told: &Told) -> Vec<Finding> {
    let links = match Netlink::open().and_then(|mut netlink| netlink.links()) {
        Ok(links) => links,
        Err(e) => return vec![Finding::unknown("interfaces", e.to_string())],
    };
    let up: Vec<&Link> = links.iter().filter(|link| link.up && !link.loopback).collect();
    let read = |key: &str| sysctl::read(key).ok();
    let mut findings = forwarding(told.gateway, &read);
    findings.extend(strict_filters(&up, &read));
    findings.extend(switched_off(&up, told.plane.as_deref(), &read));
    findings.push(mtu(&up, &read));
    findings.extend(redirects(told.gateway, &read));
    findings
}

type Read<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A gateway passes packets on. Each `gateway`: whether a loaded connection has networks of that family behind it.
fn forwarding(gateway: Option<(bool, bool)>, read: &Read<'_>) -> Vec<Finding> {
    const CHECK: &str = "forwarding";
    let Some((v4, v6)) = gateway else {
        return vec![Finding::unknown(CHECK, "without the daemon it is not known whether this is a gateway")];
    };
    let mut findings = Vec::new();
    for (needed, family, key) in
        [(v4, "IPv4", "net/ipv4/ip_forward"), (v6, "IPv6", "net/ipv6/conf/all/forwarding")]
    {
        let on = read(key).is_some_and(|value| value != "0");
        if needed && !on {
            let fix = format!("sysctl -w {}=1", key.replace('/', "."));
            let says = format!("off for {family}, but a connection has networks behind this host");
            findings.push(Finding::wrong(CHECK, says, fix));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::good(CHECK, if v4 || v6 { "on" } else { "not needed" }));
    }
    findings
}

/// With strict reverse path filters, packets out of a tunnel are dropped when their source has another way back.
fn strict_filters(up: &[&Link], read: &Read<'_>) -> Vec<Finding> {
    const CHECK: &str = "rp_filter";
    let number =
        |name: &str| read(&format!("net/ipv4/conf/{name}/rp_filter")).and_then(|v| v.parse::<u8>().ok());
    let all = number("all").unwrap_or(0);
    // The kernel takes the larger of both.
    let strict: Vec<&Link> =
        up.iter().copied().filter(|link| number(&link.name).unwrap_or(0).max(all) == 1).collect();
    let (tunnels, plain): (Vec<&Link>, Vec<&Link>) = strict.into_iter().partition(|link| link.kind.is_some());
    let mut findings = Vec::new();
    for link in tunnels {
        findings.push(Finding::wrong(
            CHECK,
            format!(
                "strict on {}: packets out of the tunnel are dropped where routes are not symmetric",
                link.name
            ),
            format!(
                "sysctl -w net.ipv4.conf.{0}.rp_filter=2 (and net.ipv4.conf.all.rp_filter=0 or 2)",
                link.name
            ),
        ));
    }
    if plain.len() > 1 {
        let names: Vec<&str> = plain.iter().map(|link| link.name.as_str()).collect();
        findings.push(Finding::warning(
            CHECK,
            format!(
                "strict on {}: with several ways out, packets out of a tunnel may be dropped",
                names.join(", ")
            ),
            "sysctl -w net.ipv4.conf.all.rp_filter=2",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::good(CHECK, "in nobody's way"));
    }
    findings
}

/// Interfaces that are told to ignore IPsec.
fn switched_off(up: &[&Link], plane: Option<&str>, read: &Read<'_>) -> Vec<Finding> {
    const CHECK: &str = "IPsec per interface";
    if plane != Some("xfrm") {
        return Vec::new();
    }
    let names =
        std::iter::once("all").chain(up.iter().filter(|link| link.kind.is_none()).map(|l| l.name.as_str()));
    let mut findings: Vec<Finding> = names
        .flat_map(|name| ["disable_xfrm", "disable_policy"].map(|key| format!("net/ipv4/conf/{name}/{key}")))
        .filter(|key| read(key).is_some_and(|value| value != "0"))
        .map(|key| {
            let key = key.replace('/', ".");
            Finding::warning(
                CHECK,
                format!("{key} is on: policies do not hold there"),
                format!("sysctl -w {key}=0"),
            )
        })
        .collect();
    if findings.is_empty() {
        findings.push(Finding::good(CHECK, "on everywhere"));
    }
    findings
}

fn mtu(up: &[&Link], read: &Read<'_>) -> Finding {
    const CHECK: &str = "MTU";
    if let Some(link) = up.iter().find(|link| link.mtu < LEAST_MTU) {
        return Finding::warning(
            CHECK,
            format!("{} on {}: IPv6 needs {LEAST_MTU}, and fragments are often lost", link.mtu, link.name),
            format!("ip link set {} mtu {LEAST_MTU}, or more", link.name),
        );
    }
    if read("net/ipv4/ip_no_pmtu_disc").is_some_and(|value| value != "0") {
        return Finding::warning(
            CHECK,
            "path MTU discovery is off: large packets in tunnels are cut into fragments",
            "sysctl -w net.ipv4.ip_no_pmtu_disc=0",
        );
    }
    match up.iter().filter(|link| link.kind.is_none()).map(|link| link.mtu).min() {
        Some(least) => {
            let inner = least.saturating_sub(ESP_OVERHEAD);
            Finding::good(CHECK, format!("inner packets up to {inner} bytes fit any interface in one piece"))
        }
        None => Finding::warning(CHECK, "no interface is up", "ip link"),
    }
}

/// A gateway with one interface tells its neighbours to go around it, which is around the tunnel.
fn redirects(gateway: Option<(bool, bool)>, read: &Read<'_>) -> Option<Finding> {
    let on =
        |name: &str| read(&format!("net/ipv4/conf/{name}/send_redirects")).is_some_and(|value| value != "0");
    (gateway.is_some_and(|(v4, _)| v4) && on("all")).then(|| {
        Finding::warning(
            "redirects",
            "this gateway sends ICMP redirects: hosts on its side may be told to go around the tunnel",
            "sysctl -w net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;
    use linux::netlink::LinkKind;
    use std::collections::BTreeMap;

    fn link(name: &str, mtu: u32, kind: Option<LinkKind>) -> Link {
        Link {
            index: 1,
            name: name.to_owned(),
            up: true,
            running: true,
            loopback: false,
            mtu,
            hardware: None,
            kind,
            ..Link::default()
        }
    }

    fn sysctls(pairs: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        let all: BTreeMap<String, String> =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        move |key| all.get(key).cloned()
    }

    #[test]
    fn only_a_gateway_must_forward() {
        let off = sysctls(&[("net/ipv4/ip_forward", "0"), ("net/ipv6/conf/all/forwarding", "0")]);
        assert_eq!(forwarding(Some((false, false)), &off)[0].state, State::Good);
        let both = forwarding(Some((true, true)), &off);
        assert_eq!(both.len(), 2);
        assert_eq!(both[0].fix.as_deref(), Some("sysctl -w net.ipv4.ip_forward=1"));
        assert_eq!(both[1].fix.as_deref(), Some("sysctl -w net.ipv6.conf.all.forwarding=1"));
        assert_eq!(forwarding(None, &off)[0].state, State::Unknown);
        let on = sysctls(&[("net/ipv4/ip_forward", "1")]);
        assert_eq!(forwarding(Some((true, false)), &on)[0].state, State::Good);
    }

    #[test]
    fn strict_filters_hurt_tunnels_first() {
        let (wan, lan) = (link("wan", 1500, None), link("lan", 1500, None));
        let tunnel = link("ipsec0", 1400, Some(LinkKind::Xfrm { if_id: 1 }));
        let strict = sysctls(&[("net/ipv4/conf/all/rp_filter", "1")]);
        assert_eq!(strict_filters(&[&wan], &strict)[0].state, State::Good);
        assert_eq!(strict_filters(&[&wan, &lan], &strict)[0].state, State::Warning);
        let found = strict_filters(&[&wan, &tunnel], &strict);
        assert_eq!((found.len(), found[0].state), (1, State::Wrong));
        let loose = sysctls(&[("net/ipv4/conf/all/rp_filter", "1"), ("net/ipv4/conf/ipsec0/rp_filter", "2")]);
        assert_eq!(strict_filters(&[&wan, &tunnel], &loose)[0].state, State::Good);
    }

    #[test]
    fn a_small_mtu_is_told_and_a_usual_one_explained() {
        let none = sysctls(&[]);
        assert!(mtu(&[&link("wan", 1500, None)], &none).says.contains("1415"));
        assert_eq!(mtu(&[&link("wan", 1000, None)], &none).state, State::Warning);
        let off = sysctls(&[("net/ipv4/ip_no_pmtu_disc", "1")]);
        assert!(mtu(&[&link("wan", 1500, None)], &off).says.contains("discovery"));
        assert_eq!(mtu(&[], &none).state, State::Warning);
    }

    #[test]
    fn switches_matter_to_the_kernels_ipsec_only() {
        let off = sysctls(&[("net/ipv4/conf/wan/disable_policy", "1")]);
        let wan = link("wan", 1500, None);
        assert!(switched_off(&[&wan], Some("userspace"), &off).is_empty());
        assert_eq!(switched_off(&[&wan], Some("xfrm"), &off)[0].state, State::Warning);
        assert_eq!(switched_off(&[&wan], Some("xfrm"), &sysctls(&[]))[0].state, State::Good);
    }
}
