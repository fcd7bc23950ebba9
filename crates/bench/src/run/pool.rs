//! Leases of a pool in memory, inside this process.
use super::Bench;
use anyhow::{Context as _, Result, ensure};
use policy::{Identity, PoolConfig};
use pool::Pools;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

/// Clients.
const CLIENTS: u32 = 100_000;
/// From one client to the next of those that return; a prime that does not divide their number, so that all have a turn.
const STRIDE: usize = 7919;

impl Bench<'_> {
    /// First leases of new clients; then, when all have gone, leases of the same, which return in an order that no cache
    /// foresees; then their releases in that order.
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
        let place = |step: usize| (step * STRIDE) % clients.len();
        let scattered =
            || (0..clients.len()).map(place).filter_map(|at| clients.get(at).zip(addresses.get(at)));
        let started = Instant::now();
        for (client, _) in scattered() {
            pools.acquire(&names, client, any, 0).context("the client's address is free")?;
        }
        let again = f64::from(CLIENTS) / started.elapsed().as_secs_f64();
        self.note("pool leases again/s", again);

        let started = Instant::now();
        let mut released = 0_usize;
        for (client, address) in scattered() {
            released += usize::from(pools.release(&names, client, *address, 0));
        }
        let releases = f64::from(CLIENTS) / started.elapsed().as_secs_f64();
        ensure!(released == clients.len(), "{released} of all clients had their old address");
        self.note("pool releases/s", releases);
        Ok(format!(
            "pool: {first:.0} first leases/s, {again:.0} leases of returning clients/s, {releases:.0} releases/s"
        ))
    }
}
