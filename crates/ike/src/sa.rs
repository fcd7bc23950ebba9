//! What is known about an IKE_SA, as one plain value.
use crate::child::{ChildLife, ChildState};
use crate::core::StartChild;
use crate::flat::Flat;
use crate::io::{LeaseRequest, Ticket};
use crate::v2::auth::{Claim, Leasing, Vetting};
use crate::v2::init::{Answered, InitSent};
use crate::v2::intermediate::IntermediateSent;
use crate::v2::keys::Keys;
use crate::v2::seal::Reassembly;
use crate::v2::window::Window;
use crate::v2::{Exchange, Job, Passive};
use crate::when::When;
use policy::{Connection, Identity, VirtualIp};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use thin_vec::ThinVec;

/// What NAT detection found (RFC 7296 2.23).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Nat {
    /// We are behind a NAT.
    pub(crate) local: bool,
    /// The peer is.
    pub(crate) remote: bool,
    /// We pretend to be behind one (`encap = yes`).
    pub(crate) fake: bool,
    /// The peer sent detection hashes, so it does NAT traversal.
    pub(crate) supported: bool,
}

impl Nat {
    /// ESP goes in UDP.
    pub(crate) fn any(self) -> bool {
        self.local || self.remote || self.fake
    }
}

/// What the peer announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Features {
    /// IKEV2_FRAGMENTATION_SUPPORTED.
    pub(crate) fragmentation: bool,
    /// INTERMEDIATE_EXCHANGE_SUPPORTED.
    pub(crate) intermediate: bool,
    /// CHILDLESS_IKEV2_SUPPORTED.
    pub(crate) childless: bool,
    /// MOBIKE_SUPPORTED, by both.
    pub(crate) mobike: bool,
    /// It sent strongSwan's vendor ID: it knows the private notifies.
    #[serde(default)]
    pub(crate) private: bool,
}

/// Where an IKE_SA stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Initiator: the peer's addresses are being looked up.
    Resolving,
    /// Initiator: IKE_SA_INIT is out.
    InitSent(Box<InitSent>),
    /// Responder: IKE_SA_INIT is answered.
    Answered(Box<Answered>),
    /// Initiator: IKE_INTERMEDIATE is out.
    IntermediateSent(Box<IntermediateSent>),
    /// Initiator: IKE_AUTH is under way.
    Claiming(Box<Claim>),
    /// Responder: likewise.
    Vetting(Box<Vetting>),
    /// Responder: the peer is authenticated, an address is being leased for it.
    Leasing(Box<Leasing>),
    /// Both sides are authenticated.
    Established(Box<Established>),
    /// Being dismantled: the world gives back what it did for us.
    Leaving(Box<crate::v2::close::Leaving>),
    /// Nothing is left.
    Gone,
}

/// Where an established IKE_SA stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Standing {
    /// In service.
    Up,
    /// We are rekeying it.
    Rekeying,
    /// Replaced; waits to be deleted.
    Rekeyed,
    /// Our delete is on its way.
    Deleting,
}

/// An established IKE_SA.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Established {
    pub(crate) keys: Keys,
    pub(crate) proof: crate::v2::proof::Proven,
    pub(crate) standing: Standing,
    /// Monotonic ms.
    pub(crate) since: u64,
    pub(crate) rekey_at: When,
    pub(crate) reauth_at: When,
    pub(crate) expire_at: When,
    /// Our request in flight.
    pub(crate) active: Option<Exchange>,
    /// The peer's request that is parked on a question.
    pub(crate) passive: Option<Box<Passive>>,
    /// IKE_SA that is or was replacing this one.
    pub(crate) successor: Option<u32>,
    /// A redundant IKE_SA of a rekey collision: close it as soon as it is ours to close, at this time at the latest.
    pub(crate) close_at: When,
    /// The peer's CREATE_CHILD_SA waits for IKE_FOLLOWUP_KE.
    pub(crate) followup: Option<Box<crate::v2::followup::Unfinished>>,
}

/// A question of this SA, with what is needed to ask it again elsewhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Wait {
    /// Ask::Resolve.
    Resolve,
    /// Ask::Sign.
    Sign,
    /// Ask::Judge.
    Judge,
    /// Ask::Eap.
    Eap,
    /// Ask::Lease.
    Lease(Box<LeaseRequest>),
    /// Ask::VirtualIps, up or down.
    Vips { up: bool, ike_id: u32, attributes: Vec<(u16, Vec<u8>)> },
    /// Ask::InstallChild.
    Install(u32),
    /// Ask::ActivateOutbound.
    Activate(u32),
    /// Ask::UpdateChild.
    Update(u32),
    /// Ask::RemoveChild.
    Remove { child: u32, keep: bool },
    /// Ask::Release.
    Release { pools: Vec<String>, identity: Identity, addresses: Vec<IpAddr> },
}

/// An IKE_SA.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct IkeSa {
    pub(crate) id: u32,
    /// Where the table has it.
    #[serde(skip)]
    pub(crate) filed: crate::table::Filed,
    pub(crate) conn: Arc<Connection>,
    /// We are the original initiator.
    pub(crate) initiator: bool,
    pub(crate) spi_i: u64,
    pub(crate) spi_r: u64,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) nat: Nat,
    pub(crate) features: Features,
    pub(crate) window: Window,
    pub(crate) phase: Phase,
    pub(crate) local_id: Option<Arc<Identity>>,
    pub(crate) remote_id: Option<Arc<Identity>>,
    /// Ours, installed (initiator).
    pub(crate) local_vips: ThinVec<VirtualIp>,
    /// The peer's, leased (responder).
    pub(crate) remote_vips: SmallVec<[VirtualIp; 1]>,
    /// Attributes received with our virtual IPs, to hand them back.
    pub(crate) attributes: ThinVec<(u16, Vec<u8>)>,
    pub(crate) children: Flat<u32, ChildLife>,
    pub(crate) queue: ThinVec<Job>,
    /// Jobs to queue at a monotonic ms.
    pub(crate) retries: ThinVec<(u64, Job)>,
    /// Children to bring up once established.
    pub(crate) wanted: ThinVec<StartChild>,
    pub(crate) waiting: Flat<Ticket, Wait>,
    /// Monotonic ms of creation.
    pub(crate) created: u64,
    /// A half-open responder is forgotten then.
    pub(crate) half_open_until: When,
    /// Last authenticated message from the peer, or first-use report of its traffic.
    pub(crate) last_in: u64,
    /// Last datagram sent.
    pub(crate) last_out: u64,
    /// Replaces this IKE_SA once established (reauthentication).
    pub(crate) replaces: Option<u32>,
    /// Told observers that it is up.
    pub(crate) announced: bool,
    /// Resolved interface ids of the IKE_SA's children (`if_id_in`, `if_id_out`).
    pub(crate) if_ids: (u32, u32),
    /// Vanished source of our datagrams: a new path is needed.
    pub(crate) path_lost: bool,
    /// A child went for inactivity (`inactivity_close_ike`).
    pub(crate) idle_close: bool,
    /// A post-quantum pre-shared key is mixed into the keys (RFC 8784).
    pub(crate) ppk: bool,
    /// See [`Few`].
    few: Option<Box<Few>>,
}

/// What few IKE_SAs have, or for a short time only; the others take no room for it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Few {
    /// The peer's request, in fragments.
    pub(crate) reassembly_in: Option<Box<Reassembly>>,
    /// Its response, in fragments.
    pub(crate) reassembly_out: Option<Box<Reassembly>>,
    /// The peer's identity within EAP, where it was asked for one.
    pub(crate) remote_eap_id: Option<Arc<Identity>>,
    /// Groups that the peer proved to be in.
    pub(crate) groups: ThinVec<String>,
    /// Our virtual IPs of the IKE_SA before this one (reauthentication, restart): asked for again.
    pub(crate) vips_before: ThinVec<VirtualIp>,
    /// The peer may use these addresses too (MOBIKE).
    pub(crate) remote_addresses: ThinVec<IpAddr>,
    /// The IKE_SA that our virtual IPs and attributes were installed for: a rekeyed one has another number.
    pub(crate) vips_for: Option<u32>,
    /// Attempts so far (`keyingtries`).
    pub(crate) attempts: u32,
    /// Other candidate paths for the initiation.
    pub(crate) candidates: ThinVec<(IpAddr, IpAddr)>,
    /// Where to move to (MOBIKE), once its turn comes.
    pub(crate) new_path: Option<Box<(IpAddr, IpAddr)>>,
    /// Children of the IKE_SA that follows this one (reauthentication, break before make).
    pub(crate) restart: ThinVec<StartChild>,
    /// The hash of our address as the peer sees it (NAT_DETECTION_DESTINATION_IP), of its last answer.
    pub(crate) seen_as: Option<ThinVec<u8>>,
}

/// That of IKE_SAs that have nothing of it.
static NOTHING: LazyLock<Few> = LazyLock::new(Few::default);

/// What a successor takes over from a rekeyed IKE_SA.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// The old IKE_SA.
    pub(crate) from: u32,
    /// As observers knew it.
    pub(crate) view: Box<crate::io::IkeView>,
    pub(crate) children: Flat<u32, ChildLife>,
    pub(crate) waiting: Flat<Ticket, Wait>,
    pub(crate) queue: ThinVec<Job>,
    pub(crate) retries: ThinVec<(u64, Job)>,
    pub(crate) local_vips: ThinVec<VirtualIp>,
    pub(crate) remote_vips: SmallVec<[VirtualIp; 1]>,
    pub(crate) attributes: ThinVec<(u16, Vec<u8>)>,
    pub(crate) vips_for: Option<u32>,
    pub(crate) announced: bool,
    pub(crate) last_in: u64,
}

impl Parcel {
    /// Takes it out of the old IKE_SA.
    pub(crate) fn take(sa: &mut IkeSa) -> Self {
        let old = std::mem::take(&mut sa.queue);
        let (mut queue, stays): (ThinVec<Job>, ThinVec<Job>) =
            old.into_iter().partition(|j| !matches!(j, Job::IkeRekey | Job::Liveness | Job::Mobike));
        drop(stays);
        // A delete under way may go unanswered with the old IKE_SA: the successor deletes again. A peer that has
        // done it answers without a Delete payload (RFC 7296 1.4.1).
        let under_way = match sa.established().and_then(|e| e.active.as_ref()) {
            Some(Exchange::ChildDelete(child)) => Some(*child),
            _ => None,
        };
        if let Some(child) = under_way
            && let Some(c) = sa.children.get_mut(&child)
            && c.state == ChildState::Deleting
        {
            c.state = ChildState::Rekeyed;
            queue.insert(0, Job::ChildDelete(child));
        }
        Self {
            from: sa.id,
            view: Box::new(crate::view::bare(sa)),
            children: std::mem::take(&mut sa.children),
            waiting: std::mem::take(&mut sa.waiting),
            queue,
            retries: std::mem::take(&mut sa.retries),
            local_vips: std::mem::take(&mut sa.local_vips),
            remote_vips: std::mem::take(&mut sa.remote_vips),
            attributes: std::mem::take(&mut sa.attributes),
            vips_for: sa.few_if_any().and_then(|few| few.vips_for.take()),
            announced: std::mem::take(&mut sa.announced),
            last_in: sa.last_in,
        }
    }

    /// Gives it to the new one.
    pub(crate) fn give(self, sa: &mut IkeSa) {
        for (id, mut c) in self.children {
            Arc::make_mut(&mut c.sa).ike_id = sa.id;
            sa.children.insert(id, c);
        }
        for (ticket, wait) in self.waiting {
            sa.waiting.insert(ticket, wait);
        }
        sa.queue.extend(self.queue);
        sa.retries.extend(self.retries);
        sa.local_vips = self.local_vips;
        sa.remote_vips = self.remote_vips;
        sa.attributes = self.attributes;
        if self.vips_for.is_some() {
            sa.few_mut().vips_for = self.vips_for;
        }
        sa.announced |= self.announced;
        sa.last_in = sa.last_in.max(self.last_in);
        if let Some(e) = sa.established_mut() {
            e.close_at = When::NEVER;
        }
    }
}

impl IkeSa {
    pub(crate) fn new(
        id: u32,
        conn: Arc<Connection>,
        initiator: bool,
        local: SocketAddr,
        remote: SocketAddr,
        now: u64,
    ) -> Self {
        let if_ids = crate::child::ike_if_ids(&conn, id);
        Self {
            id,
            filed: crate::table::Filed::default(),
            conn,
            initiator,
            spi_i: 0,
            spi_r: 0,
            local,
            remote,
            nat: Nat::default(),
            features: Features::default(),
            window: Window::default(),
            phase: Phase::Resolving,
            local_id: None,
            remote_id: None,
            local_vips: ThinVec::new(),
            remote_vips: SmallVec::new(),
            attributes: ThinVec::new(),
            children: Flat::default(),
            queue: ThinVec::new(),
            retries: ThinVec::new(),
            wanted: ThinVec::new(),
            waiting: Flat::default(),
            created: now,
            half_open_until: When::NEVER,
            last_in: now,
            last_out: now,
            replaces: None,
            announced: false,
            if_ids,
            path_lost: false,
            idle_close: false,
            ppk: false,
            few: None,
        }
    }

    /// What few have, as far as this one has it.
    pub(crate) fn few(&self) -> &Few {
        self.few.as_deref().unwrap_or(&NOTHING)
    }

    /// The same, to take something of it out; `None` where there is nothing at all.
    pub(crate) fn few_if_any(&mut self) -> Option<&mut Few> {
        self.few.as_deref_mut()
    }

    /// The same, to put something in.
    pub(crate) fn few_mut(&mut self) -> &mut Few {
        self.few.get_or_insert_default()
    }

    /// Another connection is the one for this peer.
    pub(crate) fn switch_to(&mut self, conn: &Arc<Connection>) {
        self.conn = Arc::clone(conn);
        self.if_ids = crate::child::ike_if_ids(conn, self.id);
    }

    /// Name and number, as logs show them: `home[1]`.
    pub(crate) fn tag(&self) -> (String, u32) {
        (self.conn.name.clone(), self.id)
    }

    /// `home[1]`.
    pub(crate) fn title(&self) -> String {
        format!("{}[{}]", self.conn.name, self.id)
    }

    /// `192.0.2.2[carol]...192.0.2.1[moon]`.
    pub(crate) fn ends(&self) -> String {
        let name =
            |id: &Option<Arc<Identity>>| id.as_ref().map_or_else(|| "%any".to_owned(), ToString::to_string);
        format!(
            "{}[{}]...{}[{}]",
            self.local.ip(),
            name(&self.local_id),
            self.remote.ip(),
            name(&self.remote_id)
        )
    }

    /// Whom observers, pools and `unique` know the peer as: its EAP identity where there is one.
    pub(crate) fn peer(&self) -> Option<&Identity> {
        self.few().remote_eap_id.as_deref().or(self.remote_id.as_deref())
    }

    /// The same; `%any` where nothing is known.
    pub(crate) fn peer_identity(&self) -> Identity {
        self.peer().cloned().unwrap_or(Identity::Any)
    }

    /// Our identity.
    pub(crate) fn me(&self) -> Identity {
        self.local_id.as_deref().cloned().unwrap_or(Identity::Any)
    }

    /// The peer's.
    pub(crate) fn other(&self) -> Identity {
        self.remote_id.as_deref().cloned().unwrap_or(Identity::Any)
    }

    /// Our SPI: datagrams to us carry it.
    pub(crate) fn spi_local(&self) -> u64 {
        if self.initiator { self.spi_i } else { self.spi_r }
    }

    /// The peer's SPI.
    pub(crate) fn spi_remote(&self) -> u64 {
        if self.initiator { self.spi_r } else { self.spi_i }
    }

    /// The keys that protect messages now.
    pub(crate) fn keys(&self) -> Option<&Keys> {
        match &self.phase {
            Phase::Answered(a) => Some(&a.hs.keys),
            Phase::IntermediateSent(s) => Some(&s.hs.keys),
            Phase::Claiming(c) => Some(&c.hs.keys),
            Phase::Vetting(v) => Some(&v.hs.keys),
            Phase::Leasing(l) => Some(&l.hs.keys),
            Phase::Established(e) => Some(&e.keys),
            Phase::Resolving | Phase::InitSent(_) | Phase::Leaving(_) | Phase::Gone => None,
        }
    }

    pub(crate) fn keys_mut(&mut self) -> Option<&mut Keys> {
        match &mut self.phase {
            Phase::Answered(a) => Some(&mut a.hs.keys),
            Phase::IntermediateSent(s) => Some(&mut s.hs.keys),
            Phase::Claiming(c) => Some(&mut c.hs.keys),
            Phase::Vetting(v) => Some(&mut v.hs.keys),
            Phase::Leasing(l) => Some(&mut l.hs.keys),
            Phase::Established(e) => Some(&mut e.keys),
            Phase::Resolving | Phase::InitSent(_) | Phase::Leaving(_) | Phase::Gone => None,
        }
    }

    pub(crate) fn established(&self) -> Option<&Established> {
        if let Phase::Established(e) = &self.phase { Some(e) } else { None }
    }

    pub(crate) fn established_mut(&mut self) -> Option<&mut Established> {
        if let Phase::Established(e) = &mut self.phase { Some(e) } else { None }
    }

    /// Established and in service.
    pub(crate) fn is_up(&self) -> bool {
        self.established().is_some_and(|e| matches!(e.standing, Standing::Up | Standing::Rekeying))
    }

    /// Something of ours is on its way, waits for its turn, or for an answer of the world.
    pub(crate) fn is_at_work(&self) -> bool {
        let active = self.established().is_some_and(|e| e.active.is_some());
        active || self.window.flight.is_some() || !self.queue.is_empty() || !self.waiting.is_empty()
    }

    /// A responder's SA that is not authenticated yet.
    pub(crate) fn is_half_open(&self) -> bool {
        !self.initiator && matches!(self.phase, Phase::Answered(_) | Phase::Vetting(_))
    }

    /// It is being dismantled: nobody sends to it any more.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Leaving(_) | Phase::Gone)
    }

    /// The peer is authenticated, and the SA in service or about to be.
    pub(crate) fn counts_for_unique(&self) -> bool {
        let authenticated = self.is_up() || matches!(self.phase, Phase::Leasing(_));
        authenticated && self.local_id.is_some() && self.remote_id.is_some()
    }

    /// Connecting, in either role.
    pub(crate) fn is_connecting(&self) -> bool {
        matches!(
            self.phase,
            Phase::Resolving
                | Phase::InitSent(_)
                | Phase::Answered(_)
                | Phase::IntermediateSent(_)
                | Phase::Claiming(_)
                | Phase::Vetting(_)
                | Phase::Leasing(_)
        )
    }

    /// The child of that inbound or outbound SPI.
    pub(crate) fn child_by_spi_out(&self, spi: u32) -> Option<&ChildLife> {
        self.children.values().find(|c| c.sa.spi_out == spi)
    }

    /// A child of that name is up, on its way, or waiting for its turn.
    pub(crate) fn brings_up(&self, child: &str) -> bool {
        let offered = match &self.phase {
            Phase::Claiming(c) => c.offer.as_ref().is_some_and(|o| o.config.name == child),
            Phase::Established(e) => match &e.active {
                Some(Exchange::ChildCreate(s)) => s.offer.config.name == child,
                _ => false,
            },
            _ => false,
        };
        offered
            || self.wanted.iter().any(|w| w.config.name == child)
            || self.queue.iter().any(|j| matches!(j, Job::ChildCreate(w) if w.config.name == child))
            || self.children.values().any(|c| {
                c.sa.config.name == child
                    && !matches!(c.state, ChildState::Removing | ChildState::Deleting | ChildState::Rekeyed)
            })
    }

    /// Every child that is there, on its way or still to be started.
    pub(crate) fn children_to_start(&self) -> Vec<StartChild> {
        let there = self
            .children
            .values()
            .filter(|c| c.is_live() || matches!(c.state, ChildState::Created | ChildState::Installing))
            // Of two generations one counts.
            .filter(|c| {
                c.sa.replaces.is_none_or(|old| !self.children.get(&old).is_some_and(ChildLife::is_live))
            })
            .map(|c| StartChild {
                config: Arc::clone(&c.sa.config),
                keeps: Some(crate::child::Keeps::of(&c.sa)),
                packet: None,
            });
        let active = self.established().and_then(|e| match &e.active {
            Some(Exchange::ChildCreate(sent)) => Some(sent.start.clone()),
            _ => None,
        });
        let jobs =
            self.queue.iter().chain(self.retries.iter().map(|(_, job)| job)).filter_map(|job| match job {
                Job::ChildCreate(start) => Some(start.clone()),
                _ => None,
            });
        there.chain(active).chain(jobs).chain(self.wanted.iter().cloned()).collect()
    }

    /// Whether one of the open questions satisfies `f`.
    pub(crate) fn waits(&self, f: impl Fn(&Wait) -> bool) -> bool {
        self.waiting.values().any(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gateway has very many of them, most of them idle.
    #[test]
    fn what_each_takes_stays_small() {
        let sizes = [
            size_of::<IkeSa>(),
            size_of::<Established>(),
            size_of::<(u32, ChildLife)>(),
            size_of::<policy::ChildSa>(),
        ];
        for (size, bound) in sizes.into_iter().zip([456, 128, 160, 320]) {
            assert!(size <= bound, "{sizes:?}");
        }
    }
}
