//! The kernel's IPsec (XFRM) over netlink: SAs, policies and what the kernel says by itself.
//!
//! The messages are those of `netlink-packet-xfrm`; here are small types that cannot be filled in wrongly, and keys
//! are wiped from every message once the kernel has it. What the crate has no name for goes as an attribute by number.
//!
//! The walk: [`State`] (an SA) → [`Policy`] → [`XfrmEvents`] (acquire, expire, mapping).

mod event;
mod glance;
mod policy;
mod state;

pub use event::{XfrmEvent, XfrmEvents};
pub use policy::{Action, Compression, Direction, Policy, PolicyId, Selector, Template};
pub use state::{Algorithm, Encap, Flags, Limits, Mode, Offload, Protocol, State, StateId, StateUse};

use crate::netlink::{Talk, tolerate};
use crate::{Attempt, Error, Result};
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST};
use netlink_packet_xfrm::policy::DelGetMessage as PolicyKey;
use netlink_packet_xfrm::state::GetDumpMessage as StateKey;
use netlink_packet_xfrm::{Address, XfrmMessage};
use netlink_sys::protocols::NETLINK_XFRM;
use std::io;
use std::net::IpAddr;

/// A socket to the kernel's SAs and policies, in the network namespace of the thread that opened it.
pub struct Xfrm(Talk);

impl std::fmt::Debug for Xfrm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Xfrm").field("sequence", &self.0.sequence()).finish_non_exhaustive()
    }
}

impl Xfrm {
    /// Opens a socket in the thread's network namespace.
    ///
    /// # Errors
    /// The system's: the kernel has no XFRM, or no privilege.
    pub fn open() -> Result<Self> {
        Talk::open(NETLINK_XFRM).map(Self).attempt(|| "opening a netlink socket to XFRM".to_owned())
    }

    /// Installs an SA.
    ///
    /// # Errors
    /// The system's, in its own words where it has some: `EEXIST` when the SPI is taken, `ENOSYS`, `ENOENT` and the
    /// like when an algorithm or the protocol's module is missing.
    pub fn add_state(&mut self, state: &State<'_>) -> Result<()> {
        let message = XfrmMessage::AddSa(state.message());
        self.secret(message, NLM_F_CREATE | NLM_F_EXCL).attempt(|| format!("installing {}", state.id))
    }

    /// Moves an SA to other outer addresses or ports; its keys, counters and window stay. When an address changes,
    /// the kernel knows it by another name, and it is away for an instant.
    ///
    /// # Errors
    /// The system's; `ESRCH` when there is no such SA. An SA that could be taken away but not put back is gone.
    pub fn move_state(
        &mut self,
        id: &StateId,
        source: IpAddr,
        destination: IpAddr,
        encap: Option<Encap>,
    ) -> Result<StateId> {
        let what = || format!("moving {id} to {source} -> {destination}");
        let old = self.fetch(id).attempt(what)?;
        let (mut new, in_place) = state::moved(&old.0, source, destination, encap);
        if in_place {
            self.secret(XfrmMessage::UpdateSa(new), 0).attempt(what)?;
        } else {
            if let Err(e) = self.remove(id) {
                state::wipe(&mut new.nlas);
                return Err(e).attempt(what);
            }
            self.secret(XfrmMessage::AddSa(new), NLM_F_CREATE | NLM_F_EXCL).attempt(what)?;
        }
        Ok(StateId { destination, ..*id })
    }

    /// Removes an SA; false when there was none.
    ///
    /// # Errors
    /// The system's.
    pub fn delete_state(&mut self, id: &StateId) -> Result<bool> {
        tolerate(self.remove(id).attempt(|| format!("removing {id}")), &[libc::ESRCH])
    }

    /// Counters of an SA and whom it belongs to.
    ///
    /// # Errors
    /// The system's; `ESRCH` when there is none.
    pub fn state_use(&mut self, id: &StateId) -> Result<StateUse> {
        let what = || format!("asking for {id}");
        self.fetch(id).map(|found| state::usage(&found.0)).attempt(what)
    }

    /// Counters of all SAs in one question: ours and others'.
    ///
    /// # Errors
    /// The system's; what was heard until then is good.
    pub fn all_use(&mut self, mut each: impl FnMut(StateId, StateUse)) -> Result<()> {
        let message = XfrmMessage::GetDumpSa(StateKey::default());
        let heard = |body: &[u8]| {
            if let Some((id, found)) = glance::glance(body) {
                each(id, found);
            }
        };
        self.0.each(message, NLM_F_REQUEST | NLM_F_DUMP, heard).attempt(|| "asking for all SAs".to_owned())
    }

    /// Puts a policy, in place of the one with its name if there is one.
    ///
    /// # Errors
    /// The system's.
    pub fn put_policy(&mut self, policy: &Policy) -> Result<()> {
        let message = XfrmMessage::UpdatePolicy(policy.message());
        self.call(message, NLM_F_CREATE).attempt(|| format!("installing policy {}", policy.id)).map(drop)
    }

    /// Removes a policy; false when there was none.
    ///
    /// # Errors
    /// The system's.
    pub fn delete_policy(&mut self, id: &PolicyId) -> Result<bool> {
        let message = XfrmMessage::DeletePolicy(id.message());
        let outcome = self.call(message, 0).attempt(|| format!("removing policy {id}")).map(drop);
        tolerate(outcome, &[libc::ENOENT])
    }

    /// The policy with this name, as far as [`Policy`] tells.
    ///
    /// # Errors
    /// The system's.
    pub fn policy(&mut self, id: &PolicyId) -> Result<Option<Policy>> {
        let what = || format!("asking for policy {id}");
        match self.call(XfrmMessage::GetPolicy(id.message()), 0) {
            Ok(found) => Ok(found.into_iter().find_map(|message| match message {
                XfrmMessage::AddPolicy(message) => Policy::parse(&message),
                _ => None,
            })),
            Err(e) if crate::netlink::errno(&e) == Some(libc::ENOENT) => Ok(None),
            Err(e) => Err(e).attempt(what),
        }
    }

    /// All policies but those of sockets.
    ///
    /// # Errors
    /// The system's.
    pub fn policies(&mut self) -> Result<Vec<Policy>> {
        let message = XfrmMessage::GetPolicy(PolicyKey::default());
        let found =
            self.0.call(message, NLM_F_REQUEST | NLM_F_DUMP).attempt(|| "listing policies".to_owned())?;
        Ok(found
            .into_iter()
            .filter_map(|message| match message {
                XfrmMessage::AddPolicy(message) => Policy::parse(&message),
                _ => None,
            })
            .collect())
    }

    fn call(&mut self, message: XfrmMessage, flags: u16) -> io::Result<Vec<XfrmMessage>> {
        self.0.call(message, NLM_F_REQUEST | NLM_F_ACK | flags)
    }

    /// As [`Self::call`] for a message with keys, which is wiped afterwards.
    fn secret(&mut self, message: XfrmMessage, flags: u16) -> io::Result<()> {
        let wipe = |message: &mut XfrmMessage| {
            if let XfrmMessage::AddSa(m) | XfrmMessage::UpdateSa(m) = message {
                state::wipe(&mut m.nlas);
            }
        };
        self.0.call_secret(message, NLM_F_REQUEST | NLM_F_ACK | flags, wipe).map(drop)
    }

    fn remove(&mut self, id: &StateId) -> io::Result<()> {
        self.call(XfrmMessage::DeleteSa(id.message()), 0).map(drop)
    }

    fn fetch(&mut self, id: &StateId) -> io::Result<state::Message> {
        let found = self.call(XfrmMessage::GetSa(id.message()), 0)?;
        let mut found = found.into_iter().filter_map(|message| match message {
            XfrmMessage::AddSa(message) => Some(state::Message(message)),
            _ => None,
        });
        found.next().ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
    }
}

/// Whether this kernel has ESP and we may use it, found out by installing an SA that nobody can reach.
///
/// # Errors
/// What is missing.
pub fn probe() -> Result<()> {
    try_out(&harmless(Protocol::Esp))
}

/// Whether it has IPComp with DEFLATE, found out in the same way.
///
/// # Errors
/// What is missing.
pub fn probe_compression() -> Result<()> {
    let state = harmless(Protocol::Comp);
    try_out(&State { mode: Mode::Transport, aead: None, compression: Some("deflate"), ..state })
}

/// An SA that no packet can use.
fn harmless(protocol: Protocol) -> State<'static> {
    let local = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    State {
        id: StateId { destination: local, spi: 0x100, protocol, mark: (0, 0) },
        source: local,
        mode: Mode::Tunnel,
        reqid: 0,
        selector: None,
        aead: Some(Algorithm { name: "rfc4106(gcm(aes))", key: &[0; 20], icv_bits: 128 }),
        encryption: None,
        integrity: None,
        compression: None,
        encap: None,
        replay_window: 0,
        inbound: true,
        flags: Flags::default(),
        set_mark: (0, 0),
        if_id: 0,
        limits: Limits::default(),
        padding: 0,
        offload: None,
    }
}

fn try_out(state: &State<'_>) -> Result<()> {
    let mut xfrm = Xfrm::open()?;
    xfrm.add_state(state)?;
    xfrm.delete_state(&state.id).map(drop)
}

/// Family number of an address.
fn family(address: IpAddr) -> u16 {
    if address.is_ipv4() { netlink_packet_xfrm::AF_INET } else { netlink_packet_xfrm::AF_INET6 }
}

/// An address out of a message of this family.
fn address(address: &Address, family: u16) -> IpAddr {
    if family == netlink_packet_xfrm::AF_INET6 { address.to_ipv6().into() } else { address.to_ipv4().into() }
}

/// `ENOENT` and its like, said for who runs the machine.
#[must_use]
pub fn hint(error: &Error) -> Option<&'static str> {
    match error.errno()? {
        libc::ENOENT | libc::ENOSYS | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT => {
            Some("the kernel lacks the algorithm, the mode or the protocol: is its module there?")
        }
        libc::EPERM => Some("CAP_NET_ADMIN is missing"),
        libc::EEXIST => Some("somebody else has installed the same"),
        _ => None,
    }
}
