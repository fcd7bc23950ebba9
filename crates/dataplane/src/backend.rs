//! The face of a data plane. Calls are quick or do their waiting elsewhere; the daemon calls from one task.
use crate::trace::{Fate, Flow};
use policy::sa::{PolicyOnly, Usage};
use policy::{ChildSa, Selector};
use std::net::{IpAddr, SocketAddr};
use std::ops::Bound;

/// Why the data plane could not obey.
#[derive(Debug, thiserror::Error)]
pub enum DataplaneError {
    /// The system refused; says what and why.
    #[error("{0}: {1}")]
    Os(String, #[source] std::io::Error),
    /// The algorithm, mode or option is not available on this data plane.
    #[error("{0} is not supported by the {1} data plane")]
    Unsupported(String, &'static str),
    /// No such CHILD_SA or policy.
    #[error("no CHILD_SA or policy {0}")]
    Unknown(u32),
}

/// What a data plane can beside the ordinary; what negotiations must know beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities {
    /// IPComp.
    pub ipcomp: bool,
}

/// What a data plane reports by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// A packet met a trap.
    Acquire {
        /// Handle of the trap policy.
        trap: u32,
        /// The packet's own selectors: ours, the peer's.
        packet: Option<(Selector, Selector)>,
    },
    /// A byte or packet limit was reached.
    Expire {
        /// Handle of the CHILD_SA.
        child: u32,
        /// The hard limit: the SA carries nothing more. Else: rekey now.
        hard: bool,
    },
    /// Authenticated packets, newer than all before, came from another outer address.
    Mapping {
        /// Handle of the CHILD_SA.
        child: u32,
        /// Where they came from.
        remote: SocketAddr,
    },
    /// First authenticated packet on an SA whose outbound half waits.
    FirstUse {
        /// Handle of the CHILD_SA.
        child: u32,
    },
}

/// The handles after one.
pub(crate) const fn beyond(after: Option<u32>) -> (Bound<u32>, Bound<u32>) {
    match after {
        Some(after) => (Bound::Excluded(after), Bound::Unbounded),
        None => (Bound::Unbounded, Bound::Unbounded),
    }
}

/// A data plane.
pub trait Backend: Send {
    /// `xfrm` or `userspace`.
    fn name(&self) -> &'static str;
    /// Installs both SAs and the policies of a CHILD_SA; `replaces` moves the policies over from the old one.
    fn install(&mut self, child: &ChildSa) -> Result<(), DataplaneError>;
    /// Starts sending on a CHILD_SA installed `inbound_only`.
    fn activate_outbound(&mut self, child: u32) -> Result<(), DataplaneError>;
    /// Changes outer addresses.
    fn update(
        &mut self,
        child: u32,
        local: SocketAddr,
        remote: SocketAddr,
        encap: bool,
    ) -> Result<(), DataplaneError>;
    /// Removes SAs and (unless another generation or a trap holds them) policies. Returns last counters (in, out).
    fn remove(&mut self, child: u32, keep_policies: bool) -> Result<(Usage, Usage), DataplaneError>;
    /// Counters (in, out).
    fn query(&mut self, child: u32) -> Result<(Usage, Usage), DataplaneError>;
    /// Counters (in, out) of CHILD_SAs in the order of their handles: those after `after`, at most `most`. Where it is
    /// cheaper to ask for all of them in one go, that happens in the first slice (`None`), and the others show what was
    /// said then.
    fn usages(&mut self, after: Option<u32>, most: usize) -> Vec<(u32, (Usage, Usage))>;
    /// Installs a trap, pass or drop policy.
    fn install_policy(&mut self, policy: &PolicyOnly) -> Result<(), DataplaneError>;
    /// Removes one.
    fn remove_policy(&mut self, id: u32) -> Result<(), DataplaneError>;
    /// The device that routes of tunnel-mode children point to and virtual IPs may live on (`ipsec0`), if any.
    fn device(&self) -> Option<String>;
    /// What was dropped or lost since the start, by reason, in a fixed order; what never happened is left out.
    fn counters(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
    /// What would become of a packet that leaves.
    fn trace(&mut self, flow: &Flow) -> Result<Fate, DataplaneError>;
    /// The virtual IPs in use changed: packets from these sources belong to us.
    fn local_addresses(&mut self, addresses: &[IpAddr]);
}
