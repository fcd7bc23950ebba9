//! Just enough IPv4, IPv6, UDP, TCP and ICMP to route a packet, match a selector and keep checksums right.
//! Nothing here allocates.

mod checksum;
mod header;
mod view;

pub use checksum::{Checksum, update16, update32};
pub use header::{IPV4_LEN, IPV6_LEN, UDP_LEN, ipv4_header, ipv6_header, set_ecn, udp_header};
pub use view::{IpView, MAX_EXTENSIONS, Upper};

/// IP protocol numbers this suite looks at.
pub mod protocol {
    #![allow(missing_docs, reason = "IANA's names")]
    pub const HOP_BY_HOP: u8 = 0;
    pub const ICMP: u8 = 1;
    pub const IPV4: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const DCCP: u8 = 33;
    pub const IPV6: u8 = 41;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const ESP: u8 = 50;
    pub const AH: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const NONE: u8 = 59;
    pub const DESTINATION_OPTIONS: u8 = 60;
    pub const SCTP: u8 = 132;
    pub const UDP_LITE: u8 = 136;
}
