//! Names of protocols and ports, as in /etc/protocols and /etc/services of Debian.
//!
//! charon asks the host's databases; this floor reads no files, so it carries the rows. Numbers without a row are
//! printed as numbers.

#[rustfmt::skip]
const PROTOCOLS: &[(&str, u8)] = &[
    ("icmp", 1), ("igmp", 2), ("ggp", 3), ("ipencap", 4), ("st", 5), ("tcp", 6), ("egp", 8), ("igp", 9), ("pup",
    12), ("udp", 17), ("hmp", 20), ("xns-idp", 22), ("rdp", 27), ("iso-tp4", 29), ("dccp", 33), ("xtp", 36), ("ddp",
    37), ("idpr-cmtp", 38), ("ipv6", 41), ("ipv6-route", 43), ("ipv6-frag", 44), ("idrp", 45), ("rsvp", 46), ("gre",
    47), ("esp", 50), ("ah", 51), ("skip", 57), ("ipv6-icmp", 58), ("ipv6-nonxt", 59), ("ipv6-opts", 60), ("rspf",
    73), ("vmtp", 81), ("eigrp", 88), ("ospf", 89), ("ax.25", 93), ("ipip", 94), ("etherip", 97), ("encap", 98),
    ("pim", 103), ("ipcomp", 108), ("vrrp", 112), ("l2tp", 115), ("isis", 124), ("sctp", 132), ("fc", 133),
    ("mobility-header", 135), ("udplite", 136), ("mpls-in-ip", 137), ("manet", 138), ("hip", 139), ("shim6", 140),
    ("wesp", 141), ("rohc", 142), ("ethernet", 143),
];

/// Second names that are accepted.
#[rustfmt::skip]
const PROTOCOL_ALIASES: &[(&str, u8)] = &[
    ("ip-encap", 4), ("ipsec-esp", 50), ("ipsec-ah", 51), ("cphb", 73), ("ospfigp", 89), ("icmpv6", 58),
    ("ipv6icmp", 58), ("icmp6", 58),
];

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Name, whether it is one of TCP and of UDP, port.
#[rustfmt::skip]
const SERVICES: &[(&str, bool, bool, u16)] = &[
    ("tcpmux", true, false, 1), ("echo", true, true, 7), ("discard", true, true, 9), ("systat", true, false, 11),
    ("daytime", true, true, 13), ("netstat", true, false, 15), ("qotd", true, false, 17), ("chargen", true, true,
    19), ("ftp-data", true, false, 20), ("fsp", false, true, 21), ("ftp", true, false, 21), ("ssh", true, false,
    22), ("telnet", true, false, 23), ("smtp", true, false, 25), ("time", true, true, 37), ("whois", true, false,
    43), ("tacacs", true, true, 49), ("domain", true, true, 53), ("bootps", false, true, 67), ("bootpc", false,
    true, 68), ("tftp", false, true, 69), ("gopher", true, false, 70), ("finger", true, false, 79), ("http", true,
    false, 80), ("kerberos", true, true, 88), ("iso-tsap", true, false, 102), ("acr-nema", true, false, 104),
    ("poppassd", true, false, 106), ("pop3", true, false, 110), ("sunrpc", true, true, 111), ("auth", true, false,
    113), ("nntp", true, false, 119), ("ntp", false, true, 123), ("epmap", true, false, 135), ("netbios-ns", false,
    true, 137), ("netbios-dgm", false, true, 138), ("netbios-ssn", true, false, 139), ("imap2", true, false, 143),
    ("snmp", true, true, 161), ("snmp-trap", true, true, 162), ("cmip-man", true, true, 163), ("cmip-agent", true,
    true, 164), ("mailq", true, false, 174), ("xdmcp", false, true, 177), ("bgp", true, false, 179), ("smux", true,
    false, 199), ("qmtp", true, false, 209), ("z3950", true, false, 210), ("ipx", false, true, 213), ("ptp-event",
    false, true, 319), ("ptp-general", false, true, 320), ("pawserv", true, false, 345), ("zserv", true, false,
    346), ("rpc2portmap", true, true, 369), ("codaauth2", true, true, 370), ("clearcase", false, true, 371),
    ("ldap", true, true, 389), ("svrloc", true, true, 427), ("https", true, true, 443), ("snpp", true, false, 444),
    ("microsoft-ds", true, false, 445), ("kpasswd", true, true, 464), ("submissions", true, false, 465), ("saft",
    true, false, 487), ("isakmp", false, true, 500), ("biff", false, true, 512), ("exec", true, false, 512),
    ("login", true, false, 513), ("who", false, true, 513), ("shell", true, false, 514), ("syslog", false, true,
    514), ("printer", true, false, 515), ("talk", false, true, 517), ("ntalk", false, true, 518), ("route", false,
    true, 520), ("gdomap", true, true, 538), ("uucp", true, false, 540), ("klogin", true, false, 543), ("kshell",
    true, false, 544), ("dhcpv6-client", false, true, 546), ("dhcpv6-server", false, true, 547), ("afpovertcp",
    true, false, 548), ("rtsp", true, true, 554), ("nntps", true, false, 563), ("submission", true, false, 587),
    ("nqs", true, false, 607), ("asf-rmcp", false, true, 623), ("qmqp", true, false, 628), ("ipp", true, false,
    631), ("ldaps", true, true, 636), ("ldp", true, true, 646), ("tinc", true, true, 655), ("silc", true, false,
    706), ("kerberos-adm", true, false, 749), ("kerberos4", true, true, 750), ("kerberos-master", true, true, 751),
    ("passwd-server", false, true, 752), ("krb-prop", true, false, 754), ("moira-db", true, false, 775),
    ("moira-update", true, false, 777), ("moira-ureg", false, true, 779), ("spamd", true, false, 783), ("domain-s",
    true, true, 853), ("supfilesrv", true, false, 871), ("rsync", true, false, 873), ("ftps-data", true, false,
    989), ("ftps", true, false, 990), ("telnets", true, false, 992), ("imaps", true, false, 993), ("pop3s", true,
    false, 995), ("socks", true, false, 1080), ("proofd", true, false, 1093), ("rootd", true, false, 1094),
    ("rmiregistry", true, false, 1099), ("supfiledbg", true, false, 1127), ("skkserv", true, false, 1178),
    ("openvpn", true, true, 1194), ("predict", false, true, 1210), ("rmtcfg", true, false, 1236), ("xtel", true,
    false, 1313), ("xtelw", true, false, 1314), ("lotusnote", true, false, 1352), ("ms-sql-s", true, false, 1433),
    ("ms-sql-m", false, true, 1434), ("ingreslock", true, false, 1524), ("datametrics", true, true, 1645),
    ("sa-msg-port", true, true, 1646), ("kermit", true, false, 1649), ("groupwise", true, false, 1677), ("l2f",
    false, true, 1701), ("radius", true, true, 1812), ("radius-acct", true, true, 1813), ("cisco-sccp", true, false,
    2000), ("nfs", true, true, 2049), ("gnunet", true, true, 2086), ("rtcm-sc104", true, true, 2101), ("zephyr-srv",
    false, true, 2102), ("zephyr-clt", false, true, 2103), ("zephyr-hm", false, true, 2104), ("gsigatekeeper", true,
    false, 2119), ("iprop", true, false, 2121), ("gris", true, false, 2135), ("cvspserver", true, false, 2401),
    ("venus", true, true, 2430), ("venus-se", true, true, 2431), ("codasrv", true, true, 2432), ("codasrv-se", true,
    true, 2433), ("mon", true, true, 2583), ("zebrasrv", true, false, 2600), ("zebra", true, false, 2601), ("ripd",
    true, false, 2602), ("ripngd", true, false, 2603), ("ospfd", true, false, 2604), ("bgpd", true, false, 2605),
    ("ospf6d", true, false, 2606), ("ospfapi", true, false, 2607), ("isisd", true, false, 2608), ("dict", true,
    false, 2628), ("f5-globalsite", true, false, 2792), ("gsiftp", true, false, 2811), ("gpsd", true, false, 2947),
    ("gds-db", true, false, 3050), ("icpv2", false, true, 3130), ("isns", true, true, 3205), ("iscsi-target", true,
    false, 3260), ("mysql", true, false, 3306), ("ms-wbt-server", true, false, 3389), ("nut", true, true, 3493),
    ("distcc", true, false, 3632), ("daap", true, false, 3689), ("svn", true, false, 3690), ("suucp", true, false,
    4031), ("sysrqd", true, false, 4094), ("sieve", true, false, 4190), ("f5-iquery", true, false, 4353), ("epmd",
    true, false, 4369), ("remctl", true, false, 4373), ("ntske", true, false, 4460), ("ipsec-nat-t", false, true,
    4500), ("fax", true, false, 4557), ("hylafax", true, false, 4559), ("iax", false, true, 4569), ("mtn", true,
    false, 4691), ("radmin-port", true, false, 4899), ("munin", true, false, 4949), ("sip", true, true, 5060),
    ("sip-tls", true, true, 5061), ("xmpp-client", true, false, 5222), ("xmpp-server", true, false, 5269),
    ("cfengine", true, false, 5308), ("mdns", false, true, 5353), ("postgresql", true, false, 5432), ("rplay",
    false, true, 5555), ("freeciv", true, false, 5556), ("nrpe", true, false, 5666), ("nsca", true, false, 5667),
    ("amqps", true, false, 5671), ("amqp", true, false, 5672), ("canna", true, false, 5680), ("x11", true, false,
    6000), ("x11-1", true, false, 6001), ("x11-2", true, false, 6002), ("x11-3", true, false, 6003), ("x11-4", true,
    false, 6004), ("x11-5", true, false, 6005), ("x11-6", true, false, 6006), ("x11-7", true, false, 6007),
    ("gnutella-svc", true, true, 6346), ("gnutella-rtr", true, true, 6347), ("redis", true, false, 6379),
    ("sge-qmaster", true, false, 6444), ("sge-execd", true, false, 6445), ("mysql-proxy", true, false, 6446),
    ("syslog-tls", true, false, 6514), ("sane-port", true, false, 6566), ("ircd", true, false, 6667), ("babel",
    false, true, 6696), ("ircs-u", true, false, 6697), ("afs3-fileserver", false, true, 7000), ("bbs", true, false,
    7000), ("afs3-callback", false, true, 7001), ("afs3-prserver", false, true, 7002), ("afs3-vlserver", false,
    true, 7003), ("afs3-kaserver", false, true, 7004), ("afs3-volser", false, true, 7005), ("afs3-bos", false, true,
    7007), ("afs3-update", false, true, 7008), ("afs3-rmtsys", false, true, 7009), ("font-service", true, false,
    7100), ("zope-ftp", true, false, 8021), ("http-alt", true, false, 8080), ("tproxy", true, false, 8081),
    ("omniorb", true, false, 8088), ("puppet", true, false, 8140), ("clc-build-daemon", true, false, 8990),
    ("xinetd", true, false, 9098), ("bacula-dir", true, false, 9101), ("bacula-fd", true, false, 9102),
    ("bacula-sd", true, false, 9103), ("git", true, false, 9418), ("xmms2", true, false, 9667), ("zope", true,
    false, 9673), ("webmin", true, false, 10000), ("zabbix-agent", true, false, 10050), ("zabbix-trapper", true,
    false, 10051), ("amanda", true, false, 10080), ("kamanda", true, false, 10081), ("amandaidx", true, false,
    10082), ("amidxtape", true, false, 10083), ("nbd", true, false, 10809), ("dicom", true, false, 11112), ("hkp",
    true, false, 11371), ("sgi-cmsd", false, true, 17001), ("sgi-crsd", false, true, 17002), ("sgi-gcd", false,
    true, 17003), ("sgi-cad", true, false, 17004), ("db-lsp", true, false, 17500), ("dcap", true, false, 22125),
    ("gsidcap", true, false, 22128), ("wnn6", true, false, 22273), ("binkp", true, false, 24554), ("asp", true,
    true, 27374), ("csync2", true, false, 30865), ("dircproxy", true, false, 57000), ("tfido", true, false, 60177),
    ("fido", true, false, 60179),
];

/// Second names that are accepted.
#[rustfmt::skip]
const SERVICE_ALIASES: &[(&str, u16)] = &[
    ("Clearcase", 371), ("authentication", 113), ("cmd", 514), ("comsat", 512), ("fspd", 21), ("gds_db", 3050),
    ("hprop", 754), ("icp", 3130), ("ident", 113), ("imap", 143), ("jabber-client", 5222), ("jabber-server", 5269),
    ("kdc", 750), ("kerberos-iv", 750), ("kerberos-sec", 88), ("kerberos5", 88), ("kerberos_master", 751), ("krb5",
    88), ("krb5_prop", 754), ("krb_prop", 754), ("krcmd", 544), ("l2tp", 1701), ("loc-srv", 135), ("lotusnotes",
    1352), ("lrrd", 4949), ("mail", 25), ("moira_db", 775), ("moira_update", 777), ("moira_ureg", 779), ("nicname",
    43), ("null", 9), ("old-radacct", 1646), ("old-radius", 1645), ("passwd_server", 752), ("pop-3", 110),
    ("portmapper", 111), ("postgres", 5432), ("quote", 17), ("radacct", 1813), ("readnews", 119), ("routed", 520),
    ("router", 520), ("rptp", 5556), ("sane", 6566), ("saned", 6566), ("sge_execd", 6445), ("sge_qmaster", 6444),
    ("sink", 9), ("smtps", 465), ("snmptrap", 162), ("snntp", 563), ("source", 19), ("spooler", 515), ("ssmtp",
    465), ("subversion", 3690), ("tap", 113), ("timserver", 37), ("tsap", 102), ("ttytst", 19), ("untp", 119),
    ("urd", 465), ("users", 11), ("uucpd", 540), ("wais", 210), ("webcache", 8080), ("whod", 513), ("www", 80),
    ("x11-0", 6000), ("xfs", 7100),
];

pub(super) fn protocol_name(number: u8) -> Option<&'static str> {
    PROTOCOLS.iter().find(|(_, n)| *n == number).map(|(name, _)| *name)
}

pub(super) fn protocol_number(name: &str) -> Option<u8> {
    let mut rows = PROTOCOLS.iter().chain(PROTOCOL_ALIASES);
    rows.find(|(row, _)| row.eq_ignore_ascii_case(name)).map(|(_, n)| *n)
}

/// Without a protocol (0), the name that any of them has.
pub(super) fn service_name(protocol: u8, port: u16) -> Option<&'static str> {
    let fits = |tcp: bool, udp: bool| match protocol {
        0 => true,
        TCP => tcp,
        UDP => udp,
        _ => false,
    };
    SERVICES.iter().find(|(_, tcp, udp, n)| *n == port && fits(*tcp, *udp)).map(|(name, ..)| *name)
}

pub(super) fn service_number(name: &str) -> Option<u16> {
    let named = SERVICES.iter().find(|(row, ..)| *row == name).map(|(.., n)| *n);
    named.or_else(|| SERVICE_ALIASES.iter().find(|(row, _)| *row == name).map(|(_, n)| *n))
}
