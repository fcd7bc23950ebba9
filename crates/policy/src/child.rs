//! One CHILD definition (`connections.<conn>.children.<child>`).
use crate::{Lifetime, ProposalSet, SelectorTemplate};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// IPsec mode of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Tunnel mode.
    Tunnel,
    /// Transport mode.
    Transport,
    /// Transport through a proxy (MIPv6).
    TransportProxy,
    /// BEET mode.
    Beet,
    /// IP-TFS (RFC 9347).
    Iptfs,
    /// Bypass policy: no SA.
    Pass,
    /// Discard policy: no SA.
    Drop,
}

/// What to do at load, at close or when the peer is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Action {
    /// Install a trap policy.
    pub trap: bool,
    /// Initiate (or restart).
    pub start: bool,
}

/// A mark: value and mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mark {
    /// Value.
    pub value: MarkValue,
    /// Mask; `u32::MAX` when none is given.
    pub mask: u32,
}

/// The value of a mark or an interface id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum MarkValue {
    /// Not set.
    #[default]
    None,
    /// As given.
    Fixed(u32),
    /// `%unique`: one per SA.
    Unique,
    /// `%unique-dir`: one per SA and direction.
    UniqueDir,
    /// `%same` (set_mark only): as the mark.
    Same,
}

/// The VTI device that the packets of a child go through, where the daemon makes it. Its keys are the child's marks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vti {
    /// Name.
    pub interface: String,
    /// Address with its network.
    pub address: Option<IpNet>,
    /// The peer's networks are routed into it.
    pub routing: bool,
    /// It serves several peers.
    pub shared: bool,
}

/// A CHILD definition. Names and defaults are those of `swanctl.conf`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "fields are swanctl.conf's keys, documented in config's schema")]
pub struct Child {
    pub name: String,
    /// ESP or AH proposals (never both).
    pub proposals: ProposalSet,
    pub local_ts: Vec<SelectorTemplate>,
    pub remote_ts: Vec<SelectorTemplate>,
    pub mode: Mode,
    pub lifetime: Lifetime,
    pub updown: Option<String>,
    pub hostaccess: bool,
    pub policies: bool,
    pub policies_fwd_out: bool,
    pub dpd_action: Action,
    pub close_action: Action,
    pub start_action: Action,
    pub ipcomp: bool,
    /// Seconds, 0 = never.
    pub inactivity: u64,
    pub reqid: u32,
    pub priority: u32,
    pub interface: Option<String>,
    /// `vti_interface` and what belongs to it.
    pub vti: Option<Vti>,
    pub mark_in: Mark,
    pub mark_in_sa: bool,
    pub mark_out: Mark,
    pub set_mark_in: Mark,
    pub set_mark_out: Mark,
    pub if_id_in: MarkValue,
    pub if_id_out: MarkValue,
    pub label: Option<String>,
    pub label_mode: String,
    /// Minimum ESP payload size; `u32::MAX` means `mtu`.
    pub tfc_padding: u32,
    pub replay_window: u32,
    /// `no`, `yes` or `encap`.
    pub per_cpu_sas: String,
    /// `no`, `crypto`, `packet`, `auto`.
    pub hw_offload: String,
    pub copy_df: bool,
    pub copy_ecn: bool,
    /// `no`, `in`, `out`, `yes`.
    pub copy_dscp: String,
    pub icmp: bool,
    pub sha256_96: bool,
}

impl Mark {
    /// Not set: mark and mask 0.
    pub const NONE: Self = Self { value: MarkValue::None, mask: 0 };
}

impl Action {
    /// Does nothing (`none`, `clear`).
    #[must_use]
    pub fn is_none(self) -> bool {
        !self.trap && !self.start
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match (self.trap, self.start) {
            (false, false) => "none",
            (true, false) => "trap",
            (false, true) => "start",
            (true, true) => "trap|start",
        })
    }
}

impl std::fmt::Display for Mode {
    /// The words of `swanctl.conf` and of `list-sas`, in capitals there.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tunnel => "tunnel",
            Self::Transport => "transport",
            Self::TransportProxy => "transport_proxy",
            Self::Beet => "beet",
            Self::Iptfs => "iptfs",
            Self::Pass => "pass",
            Self::Drop => "drop",
        })
    }
}

impl Child {
    /// Everything as `swanctl.conf` has it by default.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            proposals: crate::proposal::default_proposals(wire::iana::ProtocolId::Esp),
            local_ts: vec![SelectorTemplate::DYNAMIC],
            remote_ts: vec![SelectorTemplate::DYNAMIC],
            mode: Mode::Tunnel,
            lifetime: Lifetime::standard(),
            updown: None,
            hostaccess: false,
            policies: true,
            policies_fwd_out: false,
            dpd_action: Action::default(),
            close_action: Action::default(),
            start_action: Action::default(),
            ipcomp: false,
            inactivity: 0,
            reqid: 0,
            priority: 0,
            interface: None,
            vti: None,
            mark_in: Mark::NONE,
            mark_in_sa: false,
            mark_out: Mark::NONE,
            set_mark_in: Mark::NONE,
            set_mark_out: Mark::NONE,
            if_id_in: MarkValue::None,
            if_id_out: MarkValue::None,
            label: None,
            label_mode: "system".into(),
            tfc_padding: 0,
            replay_window: 32,
            per_cpu_sas: "no".into(),
            hw_offload: "no".into(),
            copy_df: true,
            copy_ecn: true,
            copy_dscp: "out".into(),
            icmp: false,
            sha256_96: false,
        }
    }
}

impl Default for Child {
    fn default() -> Self {
        Self::named("")
    }
}
