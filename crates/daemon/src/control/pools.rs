//! Lists of pools and leases: `get-pools` as charon answers it, and two commands of ours that stream what every
//! backend has.
use super::client::Client;
use super::list::name;
use super::{Desk, refused};
use config::tree::{Node, Section};
use pool::{LeaseFilter, LeaseRow, PoolStatus, Pools, Store, Trouble};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use vici::Message;
use vici::packet::MAX_BODY;

/// Leases taken from a store at a time. The pools in memory go through all leases to find them.
const PAGE: usize = 8192;
/// Leases in one event: far below what fits a message, whatever the identities.
const EVENT: usize = 256;
/// What a lease takes in a message besides its address and identity, at most.
const LEASE_BYTES: usize = 52;
/// What a pool takes besides its name and its leases, at most.
const POOL_BYTES: usize = 160;

/// `get-pools`: the pools in memory. Whoever loads pools unloads those listed here that are not configured.
pub(super) fn get(desk: &Desk, message: &Section) -> Section {
    let only = name(message, "name");
    let leases = match message.entries.get("leases") {
        Some(Node::Value(value)) => value.bytes != b"no",
        Some(Node::List(_) | Node::Section(_)) | None => false,
    };
    in_one_message(&desk.stores.memory.lock(), only.as_deref(), leases)
}

fn in_one_message(pools: &Pools, only: Option<&str>, leases: bool) -> Section {
    let mut room = MAX_BODY;
    let mut out = Section::default();
    for status in pools.status() {
        if only.is_some_and(|only| only != status.name) {
            continue;
        }
        let mut section = counts(&status);
        room = room.saturating_sub(status.name.len().saturating_add(POOL_BYTES));
        if leases {
            let mut all = Section::default();
            for (number, lease) in pools.leases(&status.name).enumerate() {
                let mut one = Section::default();
                let (address, identity) = (lease.address.to_string(), lease.identity.to_string());
                let texts = address.len().saturating_add(identity.len());
                room = room.saturating_sub(texts.saturating_add(LEASE_BYTES));
                if room == 0 {
                    return refused("there are more leases than fit a message; list-leases streams them");
                }
                one.put("address", address);
                one.put("identity", identity);
                one.put("status", if lease.online { "online" } else { "offline" });
                all.put_section(&number.to_string(), one);
            }
            section.put_section("leases", all);
        }
        out.put_section(&status.name, section);
    }
    out
}

fn counts(status: &PoolStatus) -> Section {
    let mut section = Section::default();
    section.put("base", status.base);
    section.put("size", status.size);
    section.put("online", status.online);
    section.put("offline", status.offline);
    section
}

/// `list-pools`: one event per pool of every backend. What a backend cannot tell is the error of the answer.
pub(super) async fn list(client: &Client, message: &Section) -> Section {
    let wanted = Wanted::of(message);
    let mut found = Found::default();
    for store in wanted.stores(&client.desk) {
        for pool in wanted.pools(&*store, &mut found).await {
            let mut section = pool.status.as_ref().map(counts).unwrap_or_default();
            section.put("backend", store.plugin());
            let mut event = Section::default();
            event.put_section(&pool.name, section);
            if !client.stream("list-pool", event).await {
                return Section::default();
            }
        }
    }
    found.answer(&wanted)
}

/// `list-leases`: events with some leases each, pool by pool in order of address.
pub(super) async fn leases(client: &Client, message: &Section) -> Section {
    let wanted = Wanted::of(message);
    let filter = match filter(message) {
        Ok(filter) => filter,
        Err(why) => return refused(why),
    };
    if !client.listens("list-lease") {
        return refused("list-leases answers through the event list-lease: register for it first");
    }
    let mut found = Found::default();
    for store in wanted.stores(&client.desk) {
        for pool in wanted.pools(&*store, &mut found).await {
            let mut pages = Pages::new(&*store, &pool.name, &filter);
            loop {
                match pages.next().await {
                    Ok(Some(event)) => {
                        if !client.stream("list-lease", event).await {
                            return Section::default();
                        }
                    }
                    Ok(None) => break,
                    Err(trouble) => {
                        found.troubles.push(trouble.to_string());
                        break;
                    }
                }
            }
        }
    }
    found.answer(&wanted)
}

/// The leases of one pool, page by page: the daemon never holds more than one.
struct Pages<'a> {
    store: &'a dyn Store,
    pool: &'a str,
    filter: &'a LeaseFilter,
    /// Those of the page that fit and are not sent yet.
    waiting: VecDeque<LeaseRow>,
    /// The last lease of the page.
    after: Option<IpAddr>,
    ended: bool,
}

impl<'a> Pages<'a> {
    fn new(store: &'a dyn Store, pool: &'a str, filter: &'a LeaseFilter) -> Self {
        Self { store, pool, filter, waiting: VecDeque::new(), after: None, ended: false }
    }

    /// The next leases that fit, as an event.
    async fn next(&mut self) -> Result<Option<Section>, Trouble> {
        while self.waiting.is_empty() && !self.ended {
            let page = match self.after {
                None => self.store.leases(self.pool, PAGE).await?,
                Some(after) => self.store.leases_after(self.pool, after, PAGE).await?,
            };
            self.ended = page.len() < PAGE;
            self.after = page.last().map(|lease| lease.address);
            self.waiting.extend(page.into_iter().filter(|lease| self.filter.fits(lease)));
        }
        let mut all = Section::default();
        for number in 0..EVENT {
            let Some(lease) = self.waiting.pop_front() else { break };
            all.put_section(&number.to_string(), row(&lease));
        }
        if all.entries.is_empty() {
            return Ok(None);
        }
        let mut section = Section::default();
        section.put("backend", self.store.plugin());
        section.put_section("leases", all);
        let mut event = Section::default();
        event.put_section(self.pool, section);
        Ok(Some(event))
    }
}

fn row(lease: &LeaseRow) -> Section {
    let mut one = Section::default();
    one.put("address", lease.address);
    if lease.prefix != if lease.address.is_ipv4() { 32 } else { 128 } {
        one.put("prefix", lease.prefix);
    }
    one.put("identity", &lease.identity);
    one.put("status", if lease.online { "online" } else { "offline" });
    for (key, time) in [("since", lease.since), ("expires", lease.expires)] {
        if let Some(time) = time {
            one.put(key, time);
        }
    }
    one
}

/// The leases a request is about.
fn filter(message: &Section) -> Result<LeaseFilter, String> {
    let mut filter = LeaseFilter::default();
    if let Some(text) = name(message, "identity") {
        filter.set_identity(&text).map_err(|error| format!("identity '{text}': {error}"))?;
    }
    if let Some(text) = name(message, "address") {
        let address: IpAddr = text.parse().map_err(|_| format!("address '{text}' is no IP address"))?;
        filter.address = Some(address);
    }
    filter.online = match name(message, "status").as_deref() {
        None => None,
        Some("online") => Some(true),
        Some("offline") => Some(false),
        Some(other) => return Err(format!("status '{other}' is neither online nor offline")),
    };
    Ok(filter)
}

/// Which pools a request is about.
struct Wanted {
    pool: Option<String>,
    backend: Option<String>,
}

struct Pool {
    name: String,
    /// `None`: the backend serves the pool without knowing its extent.
    status: Option<PoolStatus>,
}

/// What was found on the way.
#[derive(Default)]
struct Found {
    any: bool,
    troubles: Vec<String>,
}

impl Wanted {
    fn of(message: &Section) -> Self {
        Self { pool: name(message, "name"), backend: name(message, "backend") }
    }

    fn stores(&self, desk: &Desk) -> Vec<Arc<dyn Store>> {
        let fits =
            |store: &Arc<dyn Store>| self.backend.as_ref().is_none_or(|backend| backend == store.plugin());
        desk.stores.all().filter(fits).collect()
    }

    /// The pools of one store.
    async fn pools(&self, store: &dyn Store, found: &mut Found) -> Vec<Pool> {
        let mut pools: Vec<Pool> = match store.status().await {
            Ok(all) => {
                all.into_iter().map(|one| Pool { name: one.name.clone(), status: Some(one) }).collect()
            }
            Err(trouble) => {
                found.troubles.push(format!("{}: {trouble}", store.plugin()));
                return Vec::new();
            }
        };
        if let Some(only) = &self.pool {
            pools.retain(|pool| pool.name == *only);
            if pools.is_empty() && store.serves(only).await {
                pools.push(Pool { name: only.clone(), status: None });
            }
        }
        found.any |= !pools.is_empty();
        pools
    }
}

impl Found {
    fn answer(self, wanted: &Wanted) -> Section {
        if !self.troubles.is_empty() {
            return refused(self.troubles.join("; "));
        }
        match &wanted.pool {
            Some(pool) if !self.any => refused(format!("pool '{pool}' not found")),
            Some(_) | None => Section::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::memory::Memory;
    use policy::{Identity, PoolConfig};

    /// A pool `v4` with so many leases; every tenth has been given back.
    fn memory(leases: usize) -> Memory {
        let memory = Memory::default();
        let mut pools = memory.lock();
        let range = "10.0.0.0/8".parse().unwrap();
        pools.load(PoolConfig::new("v4", range)).unwrap();
        let names = ["v4".to_owned()];
        for number in 0..leases {
            let who = Identity::Fqdn(format!("client{number}"));
            let address = pools.acquire(&names, &who, "0.0.0.0".parse().unwrap(), 0).unwrap().address;
            if number % 10 == 0 {
                pools.release(&names, &who, address, 0);
            }
        }
        drop(pools);
        memory
    }

    #[test]
    fn what_does_not_fit_a_message_is_refused_by_name() {
        let small = memory(3);
        let answer = in_one_message(&small.lock(), None, true);
        assert_eq!(answer.child("v4").unwrap().child("leases").unwrap().entries.len(), 3);
        let large = memory(20_000);
        let answer = in_one_message(&large.lock(), Some("v4"), true);
        assert!(answer.text("errmsg").unwrap().contains("list-leases"), "{answer:?}");
        assert_eq!(in_one_message(&large.lock(), Some("v4"), false).children().count(), 1);
        assert_eq!(in_one_message(&large.lock(), Some("v6"), true).entries.len(), 0);
        // The most that is answered does fit.
        let most = memory(7_000);
        let answer = in_one_message(&most.lock(), None, true);
        assert_eq!(answer.text("errmsg"), None);
        assert!(vici::Packet::CmdResponse(answer).encode().is_ok());
    }

    fn streamed(memory: &Memory, filter: &LeaseFilter) -> Vec<Section> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut pages = Pages::new(memory, "v4", filter);
            let mut events = Vec::new();
            while let Some(event) = pages.next().await.unwrap() {
                events.push(event);
            }
            events
        })
    }

    fn addresses(events: &[Section]) -> Vec<String> {
        let leases = events.iter().filter_map(|event| event.child("v4")?.child("leases"));
        leases.flat_map(Section::children).map(|(_, one)| one.text("address").unwrap().to_owned()).collect()
    }

    #[test]
    fn every_lease_is_streamed_once_page_by_page() {
        let memory = memory(PAGE + EVENT + 5);
        let events = streamed(&memory, &LeaseFilter::default());
        assert_eq!(events.len(), PAGE / EVENT + 2);
        assert!(events.iter().all(|event| event.child("v4").unwrap().text("backend") == Some("vici")));
        let all = addresses(&events);
        let mut once = all.clone();
        once.sort();
        once.dedup();
        assert_eq!((all.len(), once.len()), (PAGE + EVENT + 5, PAGE + EVENT + 5));
        assert!(streamed(&self::memory(0), &LeaseFilter::default()).is_empty());
        assert_eq!(streamed(&self::memory(EVENT), &LeaseFilter::default()).len(), 1);
    }

    #[test]
    fn a_filter_spans_the_pages() {
        let memory = memory(PAGE + 20);
        let mut request = Section::default();
        request.put("status", "offline");
        let all = streamed(&memory, &filter(&request).unwrap());
        assert_eq!(addresses(&all).len(), (PAGE + 20).div_ceil(10));
        request.put("identity", "CLIENT8200");
        assert_eq!(addresses(&streamed(&memory, &filter(&request).unwrap())), ["10.0.32.9"]);
        for (key, value) in [("address", "ten"), ("status", "gone"), ("identity", "fqdn:^[$")] {
            let mut request = Section::default();
            request.put(key, value);
            assert!(filter(&request).unwrap_err().contains(value), "{key}");
        }
    }
}
