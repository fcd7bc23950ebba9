//! A DHCPv4 client that leases addresses on behalf of others (RFC 2131): one transaction per VPN client, no socket, no
//! clock.
