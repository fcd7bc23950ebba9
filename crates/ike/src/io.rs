//! What goes into an engine and what comes out.
use policy::sa::{PolicyOnly, Usage};
use policy::{ChildSa, Connection, Identity, Selector, Snapshot, VirtualIp};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use wire::ike::ConfigAttr;

/// The two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Now {
    /// Monotonic milliseconds since some start.
    pub mono: u64,
    /// Seconds since 1970.
    pub wall: u64,
}

/// A UDP datagram, without the non-ESP marker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datagram {
    /// Our address and port. On port 4500 (or any port but 500) the edge adds and strips the marker.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// IKE message; the single byte 0xff is a NAT keepalive (sent without marker).
    pub bytes: Vec<u8>,
    /// DSCP to send with (six bits).
    pub dscp: u8,
}

/// Names a question until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ticket(pub u64);

/// Names a command until [`Event::CommandDone`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CommandId(pub u64);

/// What an operator or another part of the daemon wants.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the variant's text speaks for its fields")]
pub enum Command {
    /// Initiate a child (and its IKE_SA where none is up), or with `child: None` a childless IKE_SA.
    Initiate { id: CommandId, ike: Option<String>, child: Option<String> },
    /// Close what the filter names. `force`: do not wait for the peer.
    Terminate { id: CommandId, filter: Filter, force: bool },
    /// Rekey (or reauthenticate) what the filter names.
    Rekey { id: CommandId, filter: Filter, reauth: bool },
    /// Install a trap, pass or drop child as a policy.
    Install { id: CommandId, ike: Option<String>, child: String },
    /// Remove it.
    Uninstall { id: CommandId, ike: Option<String>, child: String },
    /// A new configuration. Start actions of new and changed connections run; of removed ones are undone
    /// (`undo_removed`); SAs keep what they were born with.
    Reload { snapshot: Arc<Snapshot>, start_actions: StartActions },
    /// Close everything and refuse new SAs; `CommandDone` when all is gone.
    Shutdown { id: CommandId },
    /// A trapped packet matched policy `trap`.
    Acquire { trap: u32, packet: Option<(Selector, Selector)> },
    /// The data plane saw a limit reached.
    Expire { child: u32, hard: bool },
    /// The data plane saw authenticated packets from another outer address (NAT mapping changed).
    Mapping { child: u32, remote: SocketAddr },
    /// Authenticated traffic arrived on an inbound SA that waited for first use (`inbound_only`), or any
    /// traffic since the last report: feeds liveness and inactivity.
    Traffic { child: u32, usage_in: Usage, usage_out: Usage },
    /// The IKE_SA must reauthenticate, or close, within so many seconds (RADIUS CoA: Session-Timeout).
    Limit { id: CommandId, filter: Filter, seconds: u64 },
    /// Our addresses or routes changed: paths of IKE_SAs using vanished addresses must be re-examined.
    AddressesChanged,
    /// Take over an exported IKE_SA (restart, HA, simulator).
    Adopt { state: Box<crate::snapshot::IkeSaState> },
}

/// Which connections' `start_action`s run at a reload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StartActions {
    /// Names of connections that are new or changed: run theirs.
    pub run: Vec<String>,
    /// Names of connections that were removed or replaced: undo theirs (trap removed, started SAs closed).
    pub undo: Vec<String>,
}

/// Picks SAs. All given fields must match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Name of the connection.
    pub ike: Option<String>,
    /// Unique id of the IKE_SA.
    pub ike_id: Option<u32>,
    /// Name of the child.
    pub child: Option<String>,
    /// Unique id of the CHILD_SA.
    pub child_id: Option<u32>,
}

/// A question. Whoever drives the engine must answer each exactly once, in any order.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the variant's text speaks for its fields")]
pub enum Ask {
    /// Names to addresses, for an initiation (first answer usable wins), plus the source address the kernel
    /// would use towards it when `local` is not fixed.
    Resolve { names: Vec<policy::PeerAddr>, local: Vec<policy::PeerAddr> },
    /// Sign for a round of ours.
    Sign(Box<SignRequest>),
    /// Judge the peer's certificates and its signature.
    Judge(Box<JudgeRequest>),
    /// One step of an EAP conversation, which the edge holds under its number.
    Eap { session: EapSession, input: EapInput },
    /// Virtual addresses and attributes for a client.
    Lease(LeaseRequest),
    /// Give leases back, prefixes by the address that was granted. Answered with [`Answer::Done`].
    Release { pools: Vec<String>, identity: Identity, addresses: Vec<IpAddr> },
    /// Our virtual IPs and attributes as initiator: install (`up`) or remove them. Answered with `Done` when the
    /// addresses are usable (before the CHILD_SA is installed). Counted per IKE_SA: during a reauthentication two hold
    /// the same address, and each gives it back. So it is with leases.
    VirtualIps {
        ike_id: u32,
        connection: Arc<Connection>,
        local: IpAddr,
        remote: IpAddr,
        addresses: Vec<IpAddr>,
        attributes: Vec<ConfigAttr>,
        up: bool,
    },
    /// Put a CHILD_SA to work: both SAs, policies, routes.
    InstallChild(Arc<ChildSa>),
    /// Start using the outbound half of a CHILD_SA installed `inbound_only`.
    ActivateOutbound { child: u32 },
    /// New outer addresses (NAT mapping, MOBIKE).
    UpdateChild { child: u32, local: SocketAddr, remote: SocketAddr, encap: bool },
    /// Remove it. The answer carries the last counters.
    RemoveChild { child: u32, keep_policies: bool },
    /// Install a trap, pass or drop policy.
    InstallPolicy(Box<PolicyOnly>),
    /// Remove one.
    RemovePolicy { id: u32 },
}

/// What a client asks of the pools.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// Pools in order.
    pub pools: Vec<String>,
    /// Authenticated identity (EAP identity where there is one).
    pub identity: Identity,
    /// Requested addresses and prefixes; unspecified = any of that family.
    pub requested: Vec<VirtualIp>,
    /// Attribute types asked for; INTERNAL_IP6_PREFIX also where the client asked for a prefix by its length.
    pub attributes: Vec<wire::iana::ConfigAttribute>,
    /// The client's outer address.
    pub remote: SocketAddr,
    /// Connection name.
    pub connection: String,
    /// IKE_SA's unique id: owner of the lease.
    pub ike_id: u32,
}

/// An answer.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the variant's text speaks for its fields")]
pub enum Answer {
    /// It is done.
    Done,
    /// It failed; for the log.
    Failed(String),
    /// To [`Ask::Resolve`]: candidate (local, remote) address pairs in order; ports are the engine's business.
    Resolved(Vec<(IpAddr, IpAddr)>),
    /// To [`Ask::Sign`].
    Signed(Box<Signed>),
    /// To [`Ask::Judge`].
    Judged(Box<Judged>),
    /// To [`Ask::Eap`]. [`EapInput::Abandon`] is answered with [`Answer::Done`].
    Eap(Box<EapStep>),
    /// To [`Ask::Lease`]: addresses and prefixes granted (maybe fewer than asked; a prefix by its first address),
    /// attributes to send, and for the operator why something was not granted.
    Leased { addresses: Vec<VirtualIp>, attributes: Vec<ConfigAttr>, trouble: Option<String> },
    /// To [`Ask::RemoveChild`]: last counters, in and out.
    Removed { usage_in: Usage, usage_out: Usage },
}

/// It happened. Observers (log, vici, updown, metrics) read these; nothing here can change a decision.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the variant's text speaks for its fields")]
pub enum Event {
    /// A log line in charon's groups and levels, with the IKE_SA it belongs to.
    Log { group: Group, level: i8, ike: Option<(String, u32)>, text: String },
    /// An IKE_SA is up or down.
    IkeUpDown { up: bool, sa: Box<IkeView> },
    /// An IKE_SA was rekeyed.
    IkeRekey { old: Box<IkeView>, new: Box<IkeView> },
    /// The addresses of an IKE_SA changed; `sa` still has the old ones.
    IkeUpdate { sa: Box<IkeView>, local: SocketAddr, remote: SocketAddr },
    /// A CHILD_SA is up or down (not told for rekeyings). `sa.children` holds just this child.
    ChildUpDown { up: bool, sa: Box<IkeView>, child: Box<ChildView> },
    /// A CHILD_SA was rekeyed.
    ChildRekey { sa: Box<IkeView>, old: Box<ChildView>, new: Box<ChildView> },
    /// A CHILD_SA that was rekeyed is gone from the data plane; it has its last counters.
    ChildRetired { ike_id: u32, child: Box<ChildView> },
    /// Something an operator may want to react to; `kind` is the vici alert type, `detail` more keys of the vici event
    /// (`certificate`, `reason`, …).
    Alert { kind: &'static str, sa: Option<Box<IkeView>>, detail: Vec<(&'static str, String)> },
    /// A counter ticked (names as in vici `get-counters`), for a connection where known.
    Count { name: &'static str, connection: Option<String> },
    /// A command ended. `matches`: SAs it matched; `done`: those it handled; `error`: why not.
    CommandDone { id: CommandId, matches: u32, done: u32, error: Option<String> },
    /// Progress of a command, for vici `control-log`.
    CommandLog { id: CommandId, group: Group, level: i8, ike: Option<(String, u32)>, text: String },
}

mod credential;
pub use credential::{
    Candidate, Distrust, EapInput, EapJoin, EapServe, EapSession, EapStep, JudgeRequest, Judged, LogLine,
    SignRequest, Signed, Trusted,
};

/// charon's log groups that the engine uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "charon's words")]
pub enum Group {
    App,
    Asn,
    Cfg,
    Chd,
    Dmn,
    Enc,
    Esp,
    Ike,
    Job,
    Knl,
    Lib,
    Mgr,
    Net,
    Tls,
}

/// How much of the log is wanted: of each group the lines up to a level, -1 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels([i8; 14]);

impl Levels {
    /// Everything.
    pub const ALL: Self = Self([i8::MAX; 14]);
    /// Nothing.
    pub const NONE: Self = Self([-1; 14]);

    /// The highest level that is wanted of a group.
    #[must_use]
    pub fn of(&self, group: Group) -> i8 {
        self.0.get(group.index()).copied().unwrap_or(i8::MAX)
    }

    /// Lines of a group up to this level are wanted, too.
    pub fn want(&mut self, group: Group, level: i8) {
        if let Some(known) = self.0.get_mut(group.index()) {
            *known = level.max(*known);
        }
    }
}

impl Group {
    const fn index(self) -> usize {
        match self {
            Self::App => 0,
            Self::Asn => 1,
            Self::Cfg => 2,
            Self::Chd => 3,
            Self::Dmn => 4,
            Self::Enc => 5,
            Self::Esp => 6,
            Self::Ike => 7,
            Self::Job => 8,
            Self::Knl => 9,
            Self::Lib => 10,
            Self::Mgr => 11,
            Self::Net => 12,
            Self::Tls => 13,
        }
    }
}

/// What leaves the engine.
#[derive(Debug, Clone)]
pub enum Output {
    /// Put on the wire.
    Send(Datagram),
    /// Somebody must do this and answer.
    Ask(Ticket, Ask),
    /// It happened.
    Tell(Event),
}

/// An IKE_SA as an operator sees it (vici `list-sa`).
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "fields are vici's list-sa keys")]
pub struct IkeView {
    pub name: String,
    pub unique_id: u32,
    pub version: u8,
    /// CREATED, CONNECTING, ESTABLISHED, PASSIVE, REKEYING, REKEYED, DELETING, DESTROYING.
    pub state: &'static str,
    pub local: SocketAddr,
    pub local_id: Option<Arc<Identity>>,
    pub remote: SocketAddr,
    pub remote_id: Option<Arc<Identity>>,
    pub remote_xauth_id: Option<Arc<Identity>>,
    pub remote_eap_id: Option<Arc<Identity>>,
    pub initiator: bool,
    pub spi_i: u64,
    pub spi_r: u64,
    pub nat_local: bool,
    pub nat_remote: bool,
    pub nat_fake: bool,
    pub nat_any: bool,
    pub if_id_in: u32,
    pub if_id_out: u32,
    pub proposal: Option<policy::proposal::Chosen>,
    pub ppk: bool,
    /// Monotonic ms of establishment; deadlines likewise.
    pub established: Option<u64>,
    pub rekey_at: Option<u64>,
    pub reauth_at: Option<u64>,
    pub local_vips: Vec<VirtualIp>,
    pub remote_vips: Vec<VirtualIp>,
    /// What the peer told us beside our virtual IPs, as its client.
    pub attributes: Vec<ConfigAttr>,
    /// charon's task names, e.g. IKE_INIT, IKE_AUTH, CHILD_CREATE, CHILD_REKEY, IKE_DPD.
    pub tasks_queued: Vec<&'static str>,
    pub tasks_active: Vec<&'static str>,
    pub tasks_passive: Vec<&'static str>,
    pub connection: Arc<Connection>,
    pub children: Vec<ChildView>,
}

/// A CHILD_SA as an operator sees it.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "fields are vici's list-sa keys")]
pub struct ChildView {
    /// CREATED, ROUTED, INSTALLING, INSTALLED, UPDATING, REKEYING, REKEYED, RETRYING, DELETING, DELETED, DESTROYING.
    pub state: &'static str,
    pub sa: Arc<ChildSa>,
    /// KE of the CHILD_SA (`Ke::None` without PFS) and additional ones.
    pub ke: wire::iana::Ke,
    pub add_ke: Vec<wire::iana::Ke>,
    pub installed: u64,
    pub rekey_at: Option<u64>,
    pub expires_at: Option<u64>,
    pub usage_in: Usage,
    pub usage_out: Usage,
}
