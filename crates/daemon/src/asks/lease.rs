//! Virtual addresses and attributes for clients: puts the engine's question to the stores and says what came of it.
use crate::observers::log::{Log, Voice};
use crate::shard::Handle as Shard;
use crate::stores::turns::Turns;
use crate::stores::{Outcome, Stores, attributes};
use ike::io::{Answer, Group, LeaseRequest, Ticket};
use policy::{Identity, VirtualIp};
use pool::{Grant, Origin, Wanted};
use std::net::IpAddr;
use std::sync::Arc;
use wire::ike::ConfigAttr;

/// Leases addresses.
#[derive(Clone)]
pub(crate) struct Leases {
    stores: Arc<Stores>,
    /// Attributes for every client (`charon.dns1`, `charon.plugins.attr`).
    global: Arc<arc_swap::ArcSwap<Vec<ConfigAttr>>>,
    turns: Turns,
    log: Arc<Log>,
    shard: Shard,
}

impl Leases {
    pub(crate) fn new(
        stores: Arc<Stores>,
        global: Arc<arc_swap::ArcSwap<Vec<ConfigAttr>>>,
        log: Arc<Log>,
        shard: Shard,
    ) -> Self {
        Self { stores, global, turns: Turns::default(), log, shard }
    }

    /// Answers at once where the pools are in memory, else when the stores have answered.
    pub(crate) fn start(&self, ticket: Ticket, request: LeaseRequest) -> Option<Answer> {
        let wanted = Wanted {
            pools: request.pools,
            identity: request.identity,
            requested: request.requested,
            attributes: request.attributes,
            remote: request.remote,
            connection: request.connection,
            ike_id: request.ike_id,
        };
        if !self.turns.busy(&wanted.identity)
            && let Some(outcome) = self.stores.lease_now(&wanted)
        {
            return Some(self.answer(&wanted, outcome));
        }
        let mut turn = self.turns.take(&wanted.identity);
        let leases = self.clone();
        tokio::spawn(async move {
            turn.wait().await;
            let outcome = leases.stores.lease(wanted.clone()).await;
            let answer = leases.answer(&wanted, outcome);
            drop(turn);
            leases.shard.answer(ticket, answer).await;
        });
        None
    }

    /// Says what came of it.
    fn answer(&self, wanted: &Wanted, outcome: Outcome) -> Answer {
        let Wanted { identity, pools, requested, .. } = wanted;
        let line = |text: String| {
            let ike = Some((wanted.connection.clone(), wanted.ike_id));
            self.log.line(Voice::Engine, Group::Cfg, 1, ike, text);
        };
        let heard = self.log.wanted().level(Group::Cfg) >= 1;
        let news = outcome.grants.iter().filter(|grant| heard && !outcome.told.contains(&grant.address));
        for grant in news {
            let verb = match grant.origin {
                Origin::New => "assigning new",
                Origin::Offline => "reassigning offline",
                Origin::Online => "reassigning online",
            };
            line(format!("{verb} lease to '{identity}'"));
        }
        let unknown = outcome.unknown.iter().map(|name| self.stores.no_such(name));
        let troubles: Vec<String> = unknown.chain(outcome.troubles.iter().map(ToString::to_string)).collect();
        troubles.iter().for_each(|trouble| line(trouble.clone()));
        let addresses: Vec<VirtualIp> = outcome.grants.iter().map(Grant::vip).collect();
        if addresses.len() < requested.len() && !pools.is_empty() {
            line(format!(
                "pools '{}' could serve {} of {} requested virtual IPs for '{identity}'",
                pools.join(", "),
                addresses.len(),
                requested.len(),
            ));
        }
        let mut all = outcome.attributes;
        // As charon: attributes go only to who gets an address.
        if !addresses.is_empty() {
            attributes::add(&mut all, self.global.load().iter().cloned());
        }
        let trouble = Some(troubles.join("; ")).filter(|text| !text.is_empty());
        Answer::Leased { addresses, attributes: all, trouble }
    }

    /// Gives addresses back, after all that the same identity asked for before.
    pub(crate) fn release(
        &self,
        ticket: Ticket,
        pools: Vec<String>,
        identity: Identity,
        addresses: Vec<IpAddr>,
    ) -> Option<Answer> {
        let memory = &self.stores.memory;
        let at_once = memory.is_immediate() && pools.iter().all(|name| memory.has(name));
        if at_once && !self.turns.busy(&identity) {
            for address in addresses {
                if self.stores.memory.give_back(&pools, &identity, address) {
                    self.offline(address, &identity);
                }
            }
            return Some(Answer::Done);
        }
        let mut turn = self.turns.take(&identity);
        let leases = self.clone();
        tokio::spawn(async move {
            turn.wait().await;
            for address in addresses {
                if leases.stores.release(&pools, &identity, address).await {
                    leases.offline(address, &identity);
                }
            }
            drop(turn);
            leases.shard.answer(ticket, Answer::Done).await;
        });
        None
    }

    fn offline(&self, address: IpAddr, identity: &Identity) {
        let text = format!("lease {address} by '{identity}' went offline");
        self.log.say(Voice::Engine, Group::Cfg, 1, text);
    }
}
