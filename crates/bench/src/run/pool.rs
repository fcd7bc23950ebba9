//! Leases of a pool in memory, inside this process.
use super::Bench;
use anyhow::{Context as _, Result};
use policy::{Identity, PoolConfig};
use pool::Pools;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

/// Clients.
const CLIENTS: u32 = 100_000;

impl Bench<'_> {
    /// First leases of new clients, then leases and releases of clients that return, in an order that no cache foresees.
    pub(super) fn pool(&mut self) -> Result<String> {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let names = vec!["bench".to_owned()];
        let clients: Vec<Identity> =
            (0..CLIENTS).map(|n| Identity::Fqdn(format!("client{n}.example.org"))).collect();
        let mut pools = Pools::new();
        pools.load(PoolConfig::new("bench", "10.0.0.0/8".parse().ok().context("a range")?))?;

        let started = Instant::now();
        let mut addresses = Vec::with_capacity(clients.len());
        for client in &clients {
            let lease = pools.acquire(&names, client, any, 0).context("the pool is not full")?;
            addresses.push(lease.address);
        }
        let first = f64::from(CLIENTS) / started.elapsed().as_secs_f64();
        self.note("pool first leases/s", first);

        for (client, address) in clients.iter().zip(&addresses) {
            pools.release(&names, client, *address, 0);
        }
        let started = Instant::now();
        for step in 0..clients.len() {
            let Some(client) = clients.get((step * 7919) % clients.len()) else { continue };
            let lease = pools.acquire(&names, client, any, 0).context("the client's address is free")?;
            pools.release(&names, client, lease.address, 0);
        }
        let returning = f64::from(CLIENTS) / started.elapsed().as_secs_f64();
        self.note("pool returning leases/s", returning);
        Ok(format!("pool: {first:.0} first leases/s, {returning:.0} leases and releases/s"))
    }
}
