//! What every store of leases promises, written down once: random lives of clients, crashes and pauses, and after
//! each step the questions whether the promises were kept (feature `model`; for tests only).
//!
//! * No address is held by two identities at once.
//! * Who comes back gets an address it had, as long as nobody had to take it and its time has not ended.
//! * An address of somebody else who is away goes to another only when nothing else is left, and only where the
//!   store does that at all ([`Rules::reuse`]).
//! * No client is refused while there is an address it may have.
//! * No lease outlives its timeout; one that lives survives a crash, where the store is durable.
//! * A reserved address goes to its owner only.
//! * What the store lists is what is the case.
//!
//! A backend implements [`Subject`]; its test draws [`steps`] and calls [`Run::all`].
#![allow(clippy::missing_panics_doc, clippy::indexing_slicing, clippy::panic, reason = "for tests only")]
use crate::{Grant, Later, LeaseRow, Store, Trouble, Wanted};
use policy::{Identity, PoolRange};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A store under test, and what happens to it.
pub trait Subject {
    /// The store, as it is now.
    fn store(&self) -> &dyn Store;
    /// The process dies without a word and starts again with the same configuration.
    fn crash(&mut self) -> Later<'_, ()>;
    /// Time passes.
    fn pass(&mut self, seconds: u64) -> Later<'_, ()>;
}

/// A pool as the subject has it.
#[derive(Debug, Clone)]
pub struct ModelPool {
    /// Its name.
    pub name: String,
    /// Its addresses (or prefixes); few, so that they run out.
    pub range: PoolRange,
    /// Addresses that belong to one identity, inside of the range or outside.
    pub reserved: Vec<(Identity, IpAddr)>,
}

impl ModelPool {
    /// A pool without reserved addresses.
    #[must_use]
    pub fn new(name: &str, range: &str) -> Self {
        let range = range.parse().unwrap_or_else(|e| panic!("{e}"));
        Self { name: name.to_owned(), range, reserved: Vec::new() }
    }

    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let outside = self.reserved.iter().map(|(_, a)| *a).filter(|a| self.range.offset(*a).is_none());
        (0..self.range.size()).filter_map(|offset| self.range.nth(offset)).chain(outside)
    }
}

/// What this store promises.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Its leases are still known after a crash (as offline).
    pub durable: bool,
    /// Seconds offline after which a lease ends; `None`: never.
    pub timeout: Option<u64>,
    /// An address whose owner is away changes its owner when nothing else is left, before its time has ended.
    pub reuse: bool,
    /// A lease that has ended may still be listed, with an `expires` that has passed.
    pub lists_ended: bool,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A client asks for an address.
    Lease {
        /// Which of the twelve clients.
        who: u8,
        /// The number of an address it asks for; `None`: any.
        ask: Option<u8>,
        /// The pools in the other order.
        turned: bool,
    },
    /// One of the held addresses is given back.
    Release {
        /// Which, counted around.
        nth: u8,
    },
    /// The process dies and starts again.
    Crash,
    /// So many seconds pass.
    Pass(u16),
}

/// Random histories of at most `max` steps. `crash`: with crashes.
pub fn steps(max: usize, crash: bool) -> impl Strategy<Value = Vec<Step>> {
    let lease = (0..12u8, proptest::option::of(any::<u8>()), any::<bool>())
        .prop_map(|(who, ask, turned)| Step::Lease { who, ask, turned });
    let release = any::<u8>().prop_map(|nth| Step::Release { nth });
    let pass = prop_oneof![4 => 0..30u16, 1 => 0..2000u16].prop_map(Step::Pass);
    let crashes = u32::from(crash);
    let step = prop_oneof![12 => lease, 8 => release, 3 => pass, crashes => Just(Step::Crash)];
    proptest::collection::vec(step, 0..max)
}

/// Name of client number `who`.
#[must_use]
pub fn client(who: u8) -> Identity {
    Identity::Fqdn(format!("client{who}.example.org"))
}

/// Whose an address was last.
#[derive(Debug, Clone)]
struct Past {
    identity: Identity,
    /// Since when nobody uses it.
    since: Option<u64>,
}

/// A history as it unfolds.
#[derive(Debug)]
pub struct Run<'a> {
    pools: &'a [ModelPool],
    rules: Rules,
    now: u64,
    /// Who holds what, from which pool; one entry for each grant.
    held: Vec<(Identity, IpAddr, String)>,
    past: BTreeMap<IpAddr, Past>,
    /// All owners that an address ever had.
    ever: BTreeSet<(IpAddr, Identity)>,
    /// Pools share addresses: ownership is then asked less strictly.
    overlap: bool,
    all: Vec<IpAddr>,
}

impl<'a> Run<'a> {
    /// The beginning: empty pools.
    #[must_use]
    pub fn new(pools: &'a [ModelPool], rules: Rules) -> Self {
        let all: Vec<IpAddr> = pools.iter().flat_map(ModelPool::addresses).collect();
        let distinct: BTreeSet<IpAddr> = all.iter().copied().collect();
        Self {
            pools,
            rules,
            now: 0,
            held: Vec::new(),
            past: BTreeMap::new(),
            ever: BTreeSet::new(),
            overlap: distinct.len() < all.len(),
            all,
        }
    }

    /// A whole history.
    ///
    /// # Errors
    /// Which promise was broken at which step.
    pub async fn all(mut self, subject: &mut dyn Subject, steps: &[Step]) -> Result<(), String> {
        for (n, step) in steps.iter().enumerate() {
            let told = |why: String| format!("step {n} {step:?}: {why}");
            self.step(subject, *step).await.map_err(told)?;
            self.look(subject.store()).await.map_err(told)?;
        }
        while !self.held.is_empty() {
            self.step(subject, Step::Release { nth: 0 }).await.map_err(|why| format!("at the end: {why}"))?;
        }
        self.look(subject.store()).await.map_err(|why| format!("at the end: {why}"))
    }

    async fn step(&mut self, subject: &mut dyn Subject, step: Step) -> Result<(), String> {
        match step {
            Step::Lease { who, ask, turned } => self.lease(subject.store(), who, ask, turned).await,
            Step::Release { nth } => self.release(subject.store(), nth).await,
            Step::Crash => {
                subject.crash().await;
                for (_, address, _) in std::mem::take(&mut self.held) {
                    self.went_offline(address);
                }
                if !self.rules.durable {
                    self.past.clear();
                    self.ever.clear();
                }
                Ok(())
            }
            Step::Pass(seconds) => {
                subject.pass(seconds.into()).await;
                self.now += u64::from(seconds);
                Ok(())
            }
        }
    }

    async fn lease(
        &mut self,
        store: &dyn Store,
        who: u8,
        ask: Option<u8>,
        turned: bool,
    ) -> Result<(), String> {
        let identity = client(who);
        let mut names: Vec<String> = self.pools.iter().map(|pool| pool.name.clone()).collect();
        if turned {
            names.reverse();
        }
        let asked = match ask {
            // One in eight is nobody's.
            Some(n) if n % 8 != 0 && !self.all.is_empty() => self.all[usize::from(n) % self.all.len()],
            Some(_) => IpAddr::V4(Ipv4Addr::new(198, 51, 100, 77)),
            None if self.all.first().is_some_and(IpAddr::is_ipv6) => Ipv6Addr::UNSPECIFIED.into(),
            None => Ipv4Addr::UNSPECIFIED.into(),
        };
        let wanted = Wanted {
            pools: names,
            identity: identity.clone(),
            requested: vec![asked.into()],
            attributes: Vec::new(),
            remote: SocketAddr::from(([192, 0, 2, who], 4500)),
            connection: "model".to_owned(),
            ike_id: 1,
        };
        match store.lease(&wanted).await {
            Ok(grants) if grants.is_empty() => self.refused(&identity, asked),
            Err(Trouble::Exhausted(_)) => self.refused(&identity, asked),
            Err(trouble) => Err(format!("unexpected: {trouble}")),
            Ok(grants) => match grants.as_slice() {
                [grant] => self.granted(&identity, asked, grant),
                many => Err(format!("one address was asked for, {} were granted", many.len())),
            },
        }
    }

    /// Nobody else may have it, and nobody has it: it could be given to this client.
    fn available(&self, identity: &Identity, address: IpAddr) -> bool {
        let held = self.held.iter().any(|(_, a, _)| *a == address);
        let away = self.live(address).is_some_and(|past| past.identity != *identity);
        !held && !self.reserved_to_another(identity, address) && (!away || self.rules.reuse)
    }

    fn refused(&self, identity: &Identity, asked: IpAddr) -> Result<(), String> {
        let family = |a: &&IpAddr| a.is_ipv4() == asked.is_ipv4();
        // An address outside of the range has no use for anybody but its owner.
        let shared = |address: IpAddr| {
            self.pools.iter().any(|pool| pool.range.offset(address).is_some())
                || self.reserved_to(identity, address)
        };
        match self.all.iter().filter(family).find(|a| shared(**a) && self.available(identity, **a)) {
            Some(address) => Err(format!("{identity} was refused, {address} is there for it")),
            None => Ok(()),
        }
    }

    fn granted(&mut self, identity: &Identity, asked: IpAddr, grant: &Grant) -> Result<(), String> {
        let address = grant.address;
        let Some(pool) = self.pools.iter().find(|pool| pool.name == grant.pool) else {
            return Err(format!("{address} is said to be from a pool '{}'", grant.pool));
        };
        if !pool.addresses().any(|a| a == address) {
            return Err(format!("{address} is not in pool '{}'", pool.name));
        }
        if let Some((other, ..)) = self.held.iter().find(|(i, a, _)| *a == address && i != identity) {
            return Err(format!("{address} was given to {identity} while {other} holds it"));
        }
        if self.reserved_to_another(identity, address) {
            return Err(format!("{address} was given to {identity} and is reserved for another"));
        }
        let mine = |a: &IpAddr| self.past.get(a).is_some_and(|past| past.identity == *identity);
        let kept: Vec<IpAddr> =
            self.all.iter().filter(|a| a.is_ipv4() == asked.is_ipv4()).copied().collect::<Vec<_>>();
        let kept: Vec<IpAddr> = kept
            .into_iter()
            .filter(|a| self.live(*a).is_some_and(|p| p.identity == *identity && p.since.is_some()))
            .filter(|a| self.available(identity, *a))
            .collect();
        let own = mine(&address) || self.overlap && self.ever.contains(&(address, identity.clone()));
        let fixed = self.reserved_to(identity, address);
        if !kept.is_empty() && !own && !fixed {
            return Err(format!("{identity} had {kept:?} and got {address}"));
        }
        let held_by_me = self.held.iter().any(|(i, a, _)| i == identity && *a == address);
        let due = self.pools.iter().flat_map(|pool| &pool.reserved).find(|(owner, a)| {
            owner == identity && a.is_ipv4() == asked.is_ipv4() && !self.held.iter().any(|(_, h, _)| h == a)
        });
        if let Some((_, due)) = due
            && *due != address
            && !held_by_me
        {
            return Err(format!("{due} is reserved for {identity}, who got {address}"));
        }
        if let Some(past) = self.live(address)
            && past.identity != *identity
            && !self.overlap
        {
            if !self.rules.reuse {
                return Err(format!(
                    "{address} belongs to {}, who is away; {identity} got it",
                    past.identity
                ));
            }
            let free = self.all.iter().find(|a| {
                a.is_ipv4() == asked.is_ipv4()
                    && self.live(**a).is_none()
                    && !self.held.iter().any(|(_, h, _)| h == *a)
                    && !self.pools.iter().any(|pool| pool.reserved.iter().any(|(_, r)| r == *a))
            });
            if let Some(free) = free {
                return Err(format!("{address} was taken from {}, {free} is unused", past.identity));
            }
        }
        self.past.insert(address, Past { identity: identity.clone(), since: None });
        self.ever.insert((address, identity.clone()));
        self.held.push((identity.clone(), address, grant.pool.clone()));
        Ok(())
    }

    async fn release(&mut self, store: &dyn Store, nth: u8) -> Result<(), String> {
        if self.held.is_empty() {
            return Ok(());
        }
        let (identity, address, _) = self.held.swap_remove(usize::from(nth) % self.held.len());
        let names: Vec<String> = self.pools.iter().map(|pool| pool.name.clone()).collect();
        if !store.release(&names, &identity, address).await {
            return Err(format!("{identity} could not give {address} back"));
        }
        if !self.held.iter().any(|(_, a, _)| *a == address) {
            self.went_offline(address);
            if store.release(&names, &identity, address).await {
                return Err(format!("{identity} could give {address} back twice"));
            }
        }
        Ok(())
    }

    fn went_offline(&mut self, address: IpAddr) {
        if let Some(past) = self.past.get_mut(&address) {
            past.since.get_or_insert(self.now);
        }
    }

    /// Whose it is, unless its time has ended.
    fn live(&self, address: IpAddr) -> Option<&Past> {
        let past = self.past.get(&address)?;
        let ended = past.since.zip(self.rules.timeout).is_some_and(|(since, t)| since + t <= self.now);
        (!ended).then_some(past)
    }

    fn reserved_to(&self, identity: &Identity, address: IpAddr) -> bool {
        self.pools.iter().any(|p| p.reserved.iter().any(|(owner, a)| owner == identity && *a == address))
    }

    fn reserved_to_another(&self, identity: &Identity, address: IpAddr) -> bool {
        !self.reserved_to(identity, address)
            && self.pools.iter().any(|pool| pool.reserved.iter().any(|(_, a)| *a == address))
    }

    /// Compares the lists of the store with what must be the case.
    async fn look(&self, store: &dyn Store) -> Result<(), String> {
        let status = store.status().await.map_err(|trouble| trouble.to_string())?;
        for pool in self.pools {
            let Some(status) = status.iter().find(|status| status.name == pool.name) else {
                return Err(format!("pool '{}' is not listed", pool.name));
            };
            let rows = store.leases(&pool.name, 1000).await.map_err(|trouble| trouble.to_string())?;
            if !rows.is_sorted_by_key(|row| row.address) {
                return Err(format!("leases of '{}' are not in order: {rows:?}", pool.name));
            }
            let online: BTreeSet<(IpAddr, &Identity)> =
                rows.iter().filter(|row| row.online).map(|row| (row.address, &row.identity)).collect();
            if status.online != online.len() {
                return Err(format!("'{}' counts {} online, lists {online:?}", pool.name, status.online));
            }
            if !self.overlap {
                let held: BTreeSet<(IpAddr, &Identity)> =
                    self.held.iter().filter(|(_, _, p)| *p == pool.name).map(|(i, a, _)| (*a, i)).collect();
                if online != held {
                    return Err(format!("'{}' lists {online:?} online, held are {held:?}", pool.name));
                }
                self.kept(pool, &rows)?;
            }
            for row in &rows {
                self.row(row)?;
            }
        }
        let online: usize = status.iter().map(|status| status.online).sum();
        let held: BTreeSet<IpAddr> = self.held.iter().map(|(_, a, _)| *a).collect();
        if online < held.len() {
            return Err(format!("{online} online in all, held are {held:?}"));
        }
        Ok(())
    }

    /// Every lease that lives is listed.
    fn kept(&self, pool: &ModelPool, rows: &[LeaseRow]) -> Result<(), String> {
        for address in pool.addresses() {
            let Some(past) = self.live(address) else { continue };
            if !rows.iter().any(|row| row.address == address && row.identity == past.identity) {
                return Err(format!("the lease of {address} by {} is not listed", past.identity));
            }
        }
        Ok(())
    }

    fn row(&self, row: &LeaseRow) -> Result<(), String> {
        if row.online {
            return Ok(());
        }
        let ended = row.expires.is_some_and(|end| end <= self.time());
        let due = self.live(row.address).is_none_or(|past| past.identity != row.identity);
        if due && !self.overlap && !(ended && self.rules.lists_ended) {
            return Err(format!("a lease is listed that has ended: {row:?}, it is {}", self.time()));
        }
        Ok(())
    }

    /// Unix time of the model.
    fn time(&self) -> u64 {
        EPOCH + self.now
    }
}

/// Unix time at which every history begins; the subject's clock begins here, too.
pub const EPOCH: u64 = 1_700_000_000;
