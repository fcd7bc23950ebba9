//! Who gets which address: the decisions inside one transaction.
//!
//! As strongSwan's `attr-sql` decides: the address an identity has or had and that is kept for it, in any of the
//! pools; else, pool by pool, the one it had and lost, then the first one that nobody had or whose time is over.
//! Addresses whose rows are not there yet come last of all.
//!
//! A transaction serves many clients: what they may get is read for all of them together ([`read`]), decided here one
//! after the other without a statement, and written together ([`write`]). Rows that are read to be given away are
//! locked, so that a stock charon on the same database cannot be given the same address in between.

mod pools;
mod read;
mod write;

use crate::connection::{Connection, Error};
use crate::identities::{self, Owner};
use crate::value::after;
use pool::{Grant, Origin, Wanted};
use pools::PoolDef;
use read::Own;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
pub(crate) use write::Rows;
use write::Writes;

/// Addresses of one pool that are passed over because another pool has them, per request.
const PASSED_OVER: usize = 256;

/// Where an address is or will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Slot {
    /// The number of its row.
    Row(i64),
    /// A row that this transaction makes: which, in the order of making.
    Made(usize),
}

/// A granted address and its rows.
#[derive(Debug, Clone)]
pub(crate) struct Leased {
    pub(crate) grant: Grant,
    pub(crate) slot: Slot,
    /// Number of the identity.
    pub(crate) owner: i64,
}

/// What one client got, and pools that had nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Served {
    pub(crate) leased: Vec<Leased>,
    pub(crate) full: Vec<String>,
    /// Why this client cannot be served at all.
    pub(crate) refused: Option<String>,
}

/// One transaction's knowledge.
pub(crate) struct Batch<'a> {
    connection: &'a mut Connection,
    gateway: &'a str,
    now: i64,
    pools: HashMap<String, PoolDef>,
    /// Addresses that identities have or had, by pool and identity: of all clients of this batch.
    own: HashMap<(i64, i64), Vec<Own>>,
    writes: Writes,
    /// How many clients of this batch probably need an address that is not theirs: so much is read ahead.
    ahead: usize,
}

/// Whom an address is looked for.
struct Client<'a> {
    wanted: &'a Wanted,
    owner: Owner,
    requested: IpAddr,
    /// What it has got already: no address is given twice in one answer.
    granted: HashSet<IpAddr>,
}

impl<'a> Batch<'a> {
    /// Reads the pools. The transaction has begun.
    pub(crate) async fn new(
        connection: &'a mut Connection,
        gateway: &'a str,
        now: u64,
    ) -> Result<Self, Error> {
        let pools = pools::read(connection).await?;
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let (own, writes) = (HashMap::new(), Writes::default());
        Ok(Self { connection, gateway, now, pools, own, writes, ahead: 1 })
    }

    /// Releases addresses (row and identity) that this gateway uses no longer. Call it before [`Batch::lease`].
    pub(crate) async fn release(&mut self, ended: &[(i64, i64)], history: bool) -> Result<(), Error> {
        write::release(self.connection, self.gateway, self.now, ended, history).await
    }

    /// Leases what clients want, one after the other; once.
    pub(crate) async fn lease(&mut self, all: &[&Wanted]) -> Result<Vec<Served>, Error> {
        let identities: Vec<_> = all.iter().map(|wanted| &wanted.identity).collect();
        let owners = identities::numbers(self.connection, &identities).await?;
        self.read_own(all, &owners).await?;
        let mut served = Vec::with_capacity(all.len());
        for (wanted, owner) in all.iter().zip(owners) {
            served.push(match owner {
                Some(owner) => self.serve(wanted, owner).await?,
                None => {
                    let why = identities::unfit(&wanted.identity);
                    Served { refused: Some(why), ..Served::default() }
                }
            });
        }
        Ok(served)
    }

    /// Writes down what was decided. The transaction is not committed here.
    pub(crate) async fn finish(self) -> Result<Rows, Error> {
        let moved = self.pools.values().filter(|pool| pool.moved).map(|pool| (pool.id, pool.next));
        self.writes.write(self.connection, self.gateway, self.now, moved).await
    }

    /// What the clients have or had.
    async fn read_own(&mut self, all: &[&Wanted], owners: &[Option<Owner>]) -> Result<(), Error> {
        let mut asked: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for (wanted, owner) in all.iter().zip(owners) {
            if let Some(Owner { number, new: false }) = owner {
                for pool in &wanted.pools {
                    asked.entry(pool).or_default().push(*number);
                }
            }
        }
        for (name, owners) in asked {
            let Some(pool) = self.pools.get(name) else { continue };
            read::own(self.connection, pool, owners, &mut self.own).await?;
        }
        let has = |owner: &Owner, wanted: &Wanted| {
            let mut pools = wanted.pools.iter().filter_map(|name| self.pools.get(name));
            pools.any(|pool| self.own.contains_key(&(pool.id, owner.number)))
        };
        let without = all
            .iter()
            .zip(owners)
            .filter(|(wanted, owner)| owner.as_ref().is_some_and(|owner| owner.new || !has(owner, wanted)));
        self.ahead = without.count().max(1);
        Ok(())
    }

    async fn serve(&mut self, wanted: &Wanted, owner: Owner) -> Result<Served, Error> {
        let mut served = Served::default();
        for requested in &wanted.requested {
            let granted = served.leased.iter().map(|leased| leased.grant.address).collect();
            let client = Client { wanted, owner, requested: requested.address(), granted };
            let mut found = self.kept(&client);
            for name in &wanted.pools {
                if found.is_some() {
                    break;
                }
                if self.pools.get(name).is_none_or(|pool| pool.start.is_ipv4() != requested.is_ipv4()) {
                    continue;
                }
                found = self.fresh(name, &client).await?;
                if found.is_none() {
                    served.full.push(name.clone());
                }
            }
            served.leased.extend(found);
        }
        Ok(served)
    }

    /// The address that an identity has, or that is kept for it; the one it asks for before others.
    fn kept(&mut self, client: &Client<'_>) -> Option<Leased> {
        for name in &client.wanted.pools {
            let Some(pool) = self.pools.get(name) else { continue };
            if pool.start.is_ipv4() != client.requested.is_ipv4() {
                continue;
            }
            let Some(own) = self.own.get(&(pool.id, client.owner.number)) else { continue };
            let kept = own.iter().filter(|own| {
                let kept = pool.timeout == 0 || own.released.saturating_add(pool.timeout) > self.now;
                (own.online() || kept) && self.may_have(pool, own, client)
            });
            let best = kept.min_by_key(|own| (own.address != client.requested, !own.online()));
            if let Some(own) = best.cloned() {
                let origin = if own.online() { Origin::Online } else { Origin::Offline };
                return Some(self.take(name, &own, client.owner.number, origin));
            }
        }
        None
    }

    /// An address for an identity for which this pool keeps none.
    async fn fresh(&mut self, name: &str, client: &Client<'_>) -> Result<Option<Leased>, Error> {
        let owner = client.owner.number;
        let Some(pool) = self.pools.get(name) else { return Ok(None) };
        let mut own = self.own.get(&(pool.id, owner)).into_iter().flatten();
        let lost = own.find(|own| !own.online() && self.may_have(pool, own, client));
        if let Some(lost) = lost.cloned() {
            return Ok(Some(self.take(name, &lost, owner, Origin::New)));
        }
        for _ in 0..PASSED_OVER {
            let Some(row) = self.free(name).await? else { break };
            let elsewhere =
                |pool: &PoolDef| pool.overlapped && self.writes.elsewhere(row.address, pool.id, owner);
            if !self.pools.get(name).is_some_and(elsewhere) {
                return Ok(Some(self.take(name, &row, owner, Origin::New)));
            }
        }
        self.unmade(name, owner).await
    }

    /// Nobody else has this address of the client, nor has the client got it already.
    fn may_have(&self, pool: &PoolDef, own: &Own, client: &Client<'_>) -> bool {
        let elsewhere = own.elsewhere
            || pool.overlapped && self.writes.elsewhere(own.address, pool.id, client.owner.number);
        !elsewhere && !client.granted.contains(&own.address)
    }

    /// The first row that nobody had or, in a pool with a timeout, whose time is over.
    async fn free(&mut self, name: &str) -> Result<Option<Own>, Error> {
        let Some(pool) = self.pools.get_mut(name) else { return Ok(None) };
        let at_once = self.ahead;
        let connection = &mut *self.connection;
        loop {
            read::unused(connection, pool, at_once, &self.writes).await?;
            read::expired(connection, pool, at_once, self.now, &self.writes).await?;
            let first = match (pool.unused.first(), pool.expired.first()) {
                (Some(unused), Some(expired)) if expired.slot < unused.slot => pool.expired.pop(),
                (Some(_), _) => pool.unused.pop(),
                (None, _) => pool.expired.pop(),
            };
            match first {
                // Its owner has come back in this very transaction.
                Some(row) if self.writes.has(row.slot) => {}
                other => return Ok(other),
            }
        }
    }

    /// The next address that has no row yet.
    async fn unmade(&mut self, name: &str, owner: i64) -> Result<Option<Leased>, Error> {
        for _ in 0..PASSED_OVER {
            let Some(pool) = self.pools.get_mut(name) else { return Ok(None) };
            let Some(address) = pool.next.filter(|next| *next <= pool.end) else { return Ok(None) };
            read::unmade(self.connection, pool, address, self.ahead).await?;
            pool.next = after(address);
            pool.moved = true;
            if pool.ahead.made.contains(&address) {
                continue;
            }
            let users = pool.ahead.users.get(&address);
            let elsewhere = users.is_some_and(|users| users.iter().any(|user| *user != owner))
                || pool.overlapped && self.writes.elsewhere(address, pool.id, owner);
            if elsewhere {
                // Its row waits until the other pool's client is gone.
                self.writes.make(pool.id, address, 0);
                continue;
            }
            let slot = self.writes.make(pool.id, address, owner);
            let row = Own { slot, address, identity: owner, released: 0, held: true, elsewhere: false };
            return Ok(Some(self.take(name, &row, owner, Origin::New)));
        }
        Ok(None)
    }

    /// Gives a row to a client.
    fn take(&mut self, name: &str, row: &Own, owner: i64, origin: Origin) -> Leased {
        let prefix = if row.address.is_ipv4() { 32 } else { 128 };
        let grant = Grant { pool: name.to_owned(), address: row.address, prefix, origin };
        if let Some(pool) = self.pools.get(name) {
            self.writes.take(pool.id, row, owner, origin);
            if row.identity != owner
                && let Some(before) = self.own.get_mut(&(pool.id, row.identity))
            {
                before.retain(|own| own.slot != row.slot);
            }
            let own = self.own.entry((pool.id, owner)).or_default();
            own.retain(|own| own.slot != row.slot);
            own.push(Own { identity: owner, released: 0, held: true, ..row.clone() });
        }
        Leased { grant, slot: row.slot, owner }
    }
}
