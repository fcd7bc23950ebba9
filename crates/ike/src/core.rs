//! What every state machine of an engine may touch: the two clocks, randomness, configuration, the output
//! queue, open questions, and what must be unique in the whole engine.
use crate::commands::Commands;
use crate::engine::Shard;
use crate::io::{Ask, Event, Group, Levels, Now, Output, Ticket};
use crate::sa::IkeSa;
use crate::share::Last;
use crate::tickets::Tickets;
use crate::trap::Traps;
use crypto::Rng;
use policy::{Connection, Settings, Snapshot};
use std::collections::VecDeque;
use std::sync::Arc;

/// Writes a log line that belongs to an IKE_SA. What nobody wants to read is not put into words.
macro_rules! say {
    ($core:expr, $sa:expr, $group:ident $level:literal, $($arg:tt)*) => {
        if $core.wants(crate::io::Group::$group, $level, Some($sa.id)) {
            $core.log(crate::io::Group::$group, $level, Some($sa.tag()), format!($($arg)*))
        }
    };
}

/// Writes a log line that belongs to no IKE_SA.
macro_rules! note {
    ($core:expr, $group:ident $level:literal, $($arg:tt)*) => {
        if $core.wants(crate::io::Group::$group, $level, None) {
            $core.log(crate::io::Group::$group, $level, None, format!($($arg)*))
        }
    };
}

/// Who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiter {
    /// An IKE_SA, by unique id; the SA knows what it asked.
    Ike(u32),
    /// A trap or shunt.
    Policy(u32),
    /// Nobody any more.
    Nobody,
}

/// What must wait until the current SA is back in the table.
#[derive(Debug)]
pub(crate) enum Later {
    /// A new IKE_SA (rekeying).
    Insert(Box<IkeSa>),
    /// An IKE_SA was reauthenticated: what the old one was still about goes to the new one.
    Succeed {
        /// The old IKE_SA.
        old: u32,
        /// The new one.
        new: u32,
    },
    /// Close an IKE_SA properly.
    Close(u32),
    /// Forget an IKE_SA without telling the peer.
    Destroy(u32),
    /// Bring up a child of a connection; a new IKE_SA where none is up.
    Initiate(Start),
    /// Install a trap for a child of a connection.
    Trap(Arc<Connection>, Arc<policy::Child>),
    /// The new IKE_SA takes over what the old one has (RFC 7296 2.8).
    Inherit {
        /// The new IKE_SA.
        new: u32,
        /// What the old one had.
        parcel: Box<crate::sa::Parcel>,
    },
    /// Close a duplicate (`unique = replace`), at leisure if the peer is at the same place: it reauthenticates.
    Replace(u32, std::net::SocketAddr),
    /// Ask the pools for an IKE_SA.
    Lease(u32, Box<crate::io::LeaseRequest>),
    /// Replace an IKE_SA by a new one with the same children.
    Reauthenticate(u32),
}

/// An initiation.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// The connection.
    pub(crate) conn: Arc<Connection>,
    /// Its children to bring up with what they inherit.
    pub(crate) children: Vec<StartChild>,
    /// Open a new IKE_SA even if one is up.
    pub(crate) fresh: bool,
    /// Replaces this IKE_SA (reauthentication) once established.
    pub(crate) replaces: Option<u32>,
    /// Where the predecessor's peer was.
    pub(crate) path: Option<(std::net::IpAddr, std::net::SocketAddr)>,
    /// Command that wants it.
    pub(crate) command: Option<crate::io::CommandId>,
    /// The predecessor's virtual IPs, to be asked for again.
    pub(crate) vips: Vec<policy::VirtualIp>,
}

/// A child to bring up.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct StartChild {
    /// Definition.
    pub(crate) config: Arc<policy::Child>,
    /// What it keeps of a predecessor or trap.
    pub(crate) keeps: Option<crate::child::Keeps>,
    /// The packet that asked for it.
    pub(crate) packet: Option<(policy::Selector, policy::Selector)>,
}

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) now: Now,
    pub(crate) rng: Rng,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) shard: Shard,
    pub(crate) commands: Commands,
    pub(crate) traps: Traps,
    pub(crate) later: VecDeque<Later>,
    /// Inbound SPIs of our CHILD_SAs.
    pub(crate) spis: crate::spi::Spis,
    pub(crate) reqids: crate::reqid::Reqids,
    pub(crate) marks: crate::unique::Uniques,
    /// All IKE_SAs but the one that is being worked on.
    pub(crate) table: crate::table::Table,
    /// Algorithms that IKE_SAs use.
    pub(crate) suites: Last<policy::proposal::Chosen>,
    /// Secrets of the snapshot.
    pub(crate) secrets: crate::credential::Book,
    /// Identities of ours.
    pub(crate) selves: Last<policy::Identity>,
    /// No new SAs any more.
    pub(crate) closing: bool,
    /// What is logged.
    pub(crate) levels: Levels,
    out: VecDeque<Output>,
    tickets: Tickets,
    next_ticket: u64,
    next_ike: u32,
    next_child: u32,
    noise: Noise,
}

impl Core {
    pub(crate) fn new(now: Now, rng: Rng, snapshot: Arc<Snapshot>, shard: Shard) -> Self {
        Self {
            now,
            rng,
            commands: Commands::default(),
            traps: Traps::default(),
            later: VecDeque::new(),
            spis: crate::spi::Spis::default(),
            reqids: crate::reqid::Reqids::new(snapshot.settings.reqid_base),
            marks: crate::unique::Uniques::default(),
            table: crate::table::Table::default(),
            suites: Last::default(),
            secrets: crate::credential::Book::default(),
            selves: Last::default(),
            closing: false,
            levels: Levels::ALL,
            out: VecDeque::new(),
            tickets: Tickets::default(),
            next_ticket: 0,
            next_ike: 0,
            next_child: 0,
            noise: Noise::default(),
            snapshot,
            shard,
        }
    }

    /// Shall a NAT be faked, so that ESP goes in UDP?
    pub(crate) fn wants_encap(&self, sa: &IkeSa) -> bool {
        sa.conn.encap || self.snapshot.settings.esp_in_udp_only
    }

    /// Daemon-wide settings of now.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.snapshot.settings)
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.out.push_back(output);
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.out.push_back(Output::Tell(event));
    }

    /// Counts (vici `get-counters`).
    pub(crate) fn count(&mut self, name: &'static str, connection: Option<&str>) {
        self.tell(Event::Count { name, connection: connection.map(str::to_owned) });
    }

    /// Whether anybody wants lines of this group and level, about this IKE_SA.
    pub(crate) fn wants(&self, group: Group, level: i8, ike: Option<u32>) -> bool {
        level <= self.levels.of(group) || ike.is_some_and(|ike| self.commands.watches(ike))
    }

    /// A log line; also to the commands that watch the IKE_SA.
    pub(crate) fn log(&mut self, group: Group, level: i8, ike: Option<(String, u32)>, text: String) {
        if let Some(tag) = &ike {
            for id in self.commands.watchers(tag.1) {
                self.out.push_back(Output::Tell(Event::CommandLog {
                    id,
                    group,
                    level,
                    ike: Some(tag.clone()),
                    text: text.clone(),
                }));
            }
        }
        if level <= self.levels.of(group) {
            self.out.push_back(Output::Tell(Event::Log { group, level, ike, text }));
        }
    }

    /// A line about what strangers send: at most [`Noise::BURST`] a second.
    pub(crate) fn log_stranger(&mut self, group: Group, level: i8, text: impl FnOnce() -> String) {
        if self.wants(group, level, None) && self.noise.allows(self.now.mono) {
            self.log(group, level, None, text());
        }
    }

    /// Whether a stranger may have an unprotected answer now: at most [`Noise::BURST`] a second.
    pub(crate) fn may_answer_stranger(&mut self) -> bool {
        self.noise.allows_answer(self.now.mono)
    }

    /// Asks; the answer goes to `waiter`.
    pub(crate) fn ask(&mut self, waiter: Waiter, ask: Ask) -> Ticket {
        self.next_ticket = self.next_ticket.wrapping_add(1);
        let ticket = Ticket(self.next_ticket);
        self.tickets.open(ticket, waiter);
        self.out.push_back(Output::Ask(ticket, ask));
        ticket
    }

    /// Who asked; `None` for a ticket never given or already answered.
    pub(crate) fn redeem(&mut self, ticket: Ticket) -> Option<Waiter> {
        self.tickets.close(ticket)
    }

    /// The question now belongs to another SA.
    pub(crate) fn hand_over(&mut self, ticket: Ticket, waiter: Waiter) {
        if let Some(w) = self.tickets.get_mut(ticket) {
            *w = waiter;
        }
    }

    /// A unique id for an IKE_SA; distinct in all shards.
    pub(crate) fn ike_id(&mut self) -> u32 {
        self.next_ike = self.next_ike.wrapping_add(1);
        self.shard.unique(self.next_ike)
    }

    /// A unique id for a CHILD_SA; distinct in all shards.
    pub(crate) fn child_id(&mut self) -> u32 {
        self.next_child = self.next_child.wrapping_add(1);
        self.shard.unique(self.next_child)
    }

    /// Ids up to these are taken by adopted SAs.
    pub(crate) fn ids_taken(&mut self, ike: u32, children: impl Iterator<Item = u32>) {
        self.next_ike = self.next_ike.max(ike >> self.shard.bits);
        for c in children {
            self.next_child = self.next_child.max(c >> self.shard.bits);
        }
    }

    /// An unused inbound SPI for a CHILD_SA.
    pub(crate) fn child_spi(&mut self) -> u32 {
        let (min, max) = (self.snapshot.settings.spi_min, self.snapshot.settings.spi_max);
        let span = u64::from(max.saturating_sub(min)).saturating_add(1);
        // SPIs 1 to 255 are reserved and 0 is none (RFC 4303 2.1).
        for _ in 0..1000 {
            let offset = u32::try_from(self.rng.below(span)).unwrap_or(0);
            let spi = min.saturating_add(offset);
            if spi > 255 && self.spis.insert(spi) {
                return spi;
            }
        }
        let mut spi = min.max(256);
        while !self.spis.insert(spi) {
            spi = spi.wrapping_add(1).max(256);
        }
        spi
    }
}

/// Keeps what strangers provoke within bounds.
#[derive(Debug, Default)]
struct Noise {
    second: u64,
    lines: u32,
    answers: u32,
}

impl Noise {
    const BURST: u32 = 20;
    const ANSWERS: u32 = 200;

    fn turn(&mut self, mono: u64) {
        if self.second != mono / 1000 {
            *self = Self { second: mono / 1000, lines: 0, answers: 0 };
        }
    }

    fn allows(&mut self, mono: u64) -> bool {
        self.turn(mono);
        self.lines = self.lines.saturating_add(1);
        self.lines <= Self::BURST
    }

    fn allows_answer(&mut self, mono: u64) -> bool {
        self.turn(mono);
        self.answers = self.answers.saturating_add(1);
        self.answers <= Self::ANSWERS
    }
}
