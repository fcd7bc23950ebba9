//! Servers as they are configured.
use crypto::Secret;
use std::net::IpAddr;

/// One server.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerSettings {
    /// Name, for the log.
    pub name: String,
    /// Where it is.
    pub address: IpAddr,
    /// Port for authentication.
    pub auth_port: u16,
    /// Port for accounting.
    pub acct_port: u16,
    /// Shared secret.
    pub secret: Secret,
    /// NAS-Identifier; empty for none.
    pub nas_identifier: String,
    /// Sockets per port; each carries 256 requests at a time.
    pub sockets: u16,
    /// Added to the server's rank.
    pub preference: i64,
    /// Milliseconds to the first retransmission.
    pub retransmit_timeout: u64,
    /// Factor between one timeout and the next, in thousandths.
    pub retransmit_base: u64,
    /// Retransmissions before a request is given up.
    pub retransmit_tries: u32,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub struct ClientSettings {
    /// In the order of the configuration.
    pub servers: Vec<ServerSettings>,
}

impl ServerSettings {
    /// A server with everything else as `strongswan.conf` has it by default.
    #[must_use]
    pub fn new(name: &str, address: IpAddr, secret: Secret) -> Self {
        Self {
            name: name.to_owned(),
            address,
            auth_port: 1812,
            acct_port: 1813,
            secret,
            nas_identifier: "strongSwan".to_owned(),
            sockets: 1,
            preference: 0,
            retransmit_timeout: 2_000,
            retransmit_base: 1_400,
            retransmit_tries: 4,
        }
    }

    /// Milliseconds from transmission `number` (0 is the first) to the next.
    #[must_use]
    pub fn timeout(&self, number: u32) -> u64 {
        /// A minute between two transmissions is as good as none.
        const LONGEST: u64 = 60_000;
        let mut timeout = self.retransmit_timeout.clamp(10, LONGEST);
        for _ in 0..number.min(64) {
            timeout = (timeout.saturating_mul(self.retransmit_base) / 1_000).clamp(10, LONGEST);
        }
        timeout
    }

    /// Milliseconds until a request is given up.
    #[must_use]
    pub fn patience(&self) -> u64 {
        (0..=self.retransmit_tries.min(32)).map(|number| self.timeout(number)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_grow_as_strongswans() {
        let server = ServerSettings::new("a", [127, 0, 0, 1].into(), Secret::default());
        let timeouts: Vec<u64> = (0..5).map(|number| server.timeout(number)).collect();
        assert_eq!(timeouts, [2_000, 2_800, 3_920, 5_488, 7_683]);
        assert_eq!(server.patience(), 21_891);
        let mad = ServerSettings { retransmit_base: u64::MAX, retransmit_tries: u32::MAX, ..server };
        assert_eq!(mad.patience(), 2_000 + 32 * 60_000);
    }
}
