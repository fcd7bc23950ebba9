//! Names of protocols and ports, as in /etc/protocols and /etc/services.
//!
//! charon asks the host's databases; this floor reads no files, so it carries the rows that selectors use in
//! practice. Numbers without a row are printed as numbers.

const PROTOCOLS: &[(&str, u8)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("ipencap", 4),
    ("tcp", 6),
    ("egp", 8),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("ipv6-route", 43),
    ("ipv6-frag", 44),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("eigrp", 88),
    ("ospf", 89),
    ("ipip", 94),
    ("etherip", 97),
    ("encap", 98),
    ("pim", 103),
    ("ipcomp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
    ("isis", 124),
    ("sctp", 132),
    ("mobility-header", 135),
    ("udplite", 136),
    ("mpls-in-ip", 137),
    ("hip", 139),
    ("shim6", 140),
    ("wesp", 141),
];

/// Second names that are accepted.
const PROTOCOL_ALIASES: &[(&str, u8)] =
    &[("ip-encap", 4), ("icmpv6", 58), ("ipv6icmp", 58), ("icmp6", 58), ("ospfigp", 89), ("udp-lite", 136)];

const SERVICES: &[(&str, &[u8], u16)] = &[
    ("echo", &[6, 17], 7),
    ("discard", &[6, 17], 9),
    ("ftp-data", &[6], 20),
    ("ftp", &[6], 21),
    ("ssh", &[6], 22),
    ("telnet", &[6], 23),
    ("smtp", &[6], 25),
    ("time", &[6, 17], 37),
    ("whois", &[6], 43),
    ("tacacs", &[6, 17], 49),
    ("domain", &[6, 17], 53),
    ("bootps", &[17], 67),
    ("bootpc", &[17], 68),
    ("tftp", &[17], 69),
    ("finger", &[6], 79),
    ("http", &[6], 80),
    ("kerberos", &[6, 17], 88),
    ("pop3", &[6], 110),
    ("sunrpc", &[6, 17], 111),
    ("nntp", &[6], 119),
    ("ntp", &[17], 123),
    ("netbios-ns", &[17], 137),
    ("netbios-dgm", &[17], 138),
    ("netbios-ssn", &[6], 139),
    ("imap2", &[6], 143),
    ("snmp", &[6, 17], 161),
    ("snmp-trap", &[6, 17], 162),
    ("bgp", &[6], 179),
    ("ldap", &[6, 17], 389),
    ("https", &[6, 17], 443),
    ("microsoft-ds", &[6, 17], 445),
    ("isakmp", &[17], 500),
    ("syslog", &[17], 514),
    ("router", &[17], 520),
    ("ldaps", &[6, 17], 636),
    ("imaps", &[6], 993),
    ("pop3s", &[6], 995),
    ("l2f", &[17], 1701),
    ("radius", &[6, 17], 1812),
    ("radius-acct", &[6, 17], 1813),
    ("nfs", &[6, 17], 2049),
    ("mysql", &[6], 3306),
    ("ipsec-nat-t", &[17], 4500),
    ("sip", &[6, 17], 5060),
    ("sip-tls", &[6, 17], 5061),
    ("postgresql", &[6], 5432),
    ("http-alt", &[6, 17], 8080),
];

const SERVICE_ALIASES: &[(&str, u16)] = &[
    ("imap", 143),
    ("www", 80),
    ("l2tp", 1701),
    ("submission", 587),
    ("rdp", 3389),
    ("ms-wbt-server", 3389),
];

pub(super) fn protocol_name(number: u8) -> Option<&'static str> {
    PROTOCOLS.iter().find(|(_, n)| *n == number).map(|(name, _)| *name)
}

pub(super) fn protocol_number(name: &str) -> Option<u8> {
    let mut rows = PROTOCOLS.iter().chain(PROTOCOL_ALIASES);
    rows.find(|(row, _)| row.eq_ignore_ascii_case(name)).map(|(_, n)| *n)
}

pub(super) fn service_name(protocol: u8, port: u16) -> Option<&'static str> {
    SERVICES.iter().find(|(_, on, n)| *n == port && on.contains(&protocol)).map(|(name, ..)| *name)
}

pub(super) fn service_number(name: &str) -> Option<u16> {
    let named = SERVICES.iter().find(|(row, ..)| *row == name).map(|(.., n)| *n);
    named.or_else(|| SERVICE_ALIASES.iter().find(|(row, _)| *row == name).map(|(_, n)| *n))
}
