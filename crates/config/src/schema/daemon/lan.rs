//! Keys about the LANs that clients become part of: DHCP, and who answers for their addresses.
use super::{Key, Kind};

pub(super) const KEYS: &[Key] = &[
    Key::new("plugins.dhcp.load", Kind::Flag, "yes", "know the pool `dhcp`"),
    Key::new(
        "plugins.dhcp.server",
        Kind::Text("address"),
        "255.255.255.255",
        "DHCP server or broadcast address; any but the default is spoken to as by a relay agent",
    ),
    Key::new(
        "plugins.dhcp.identity_lease",
        Kind::Flag,
        "no",
        "be the same host for the same identity: hardware address and client identifier come from it",
    ),
    Key::new(
        "plugins.dhcp.force_server_address",
        Kind::Flag,
        "no",
        "never speak to the address that the server gives for itself",
    ),
    Key::new(
        "plugins.dhcp.use_server_port",
        Kind::Flag,
        "no",
        "as relay agent, send from port 67 and so own it: no ICMP errors for the answers",
    ),
    Key::new(
        "plugins.dhcp.interface",
        Kind::Text("name"),
        "",
        "interface to the DHCP servers; any, by the routes",
    ),
    Key::new(
        "plugins.dhcp.interface_receive",
        Kind::Text("name"),
        "",
        "interface their answers arrive on; that of `interface`",
    ),
    Key::new(
        "plugins.farp.load",
        Kind::Flag,
        "no",
        "answer ARP and neighbour solicitations of LANs for clients' addresses; also on when `load` names farp",
    ),
];
