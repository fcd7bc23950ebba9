//! An SA as the kernel is told of it, and as it tells.
use super::policy::Selector;
use super::{address, family};
use netlink_packet_core::DefaultNla;
use netlink_packet_xfrm::state::{DelGetMessage, ModifyMessage};
use netlink_packet_xfrm::{
    Address, Alg, AlgAead, AlgAuth, EncapTmpl, IPPROTO_AH, IPPROTO_COMP, IPPROTO_ESP, Id, LifetimeConfig,
    Mark, ReplayEsn, UDP_ENCAP_ESPINUDP, UserOffloadDev, UserSaId, UserSaInfo, XFRM_INF, XFRM_MODE_BEET,
    XFRM_MODE_TRANSPORT, XFRM_MODE_TUNNEL, XFRM_OFFLOAD_INBOUND, XFRM_OFFLOAD_IPV6,
    XFRM_SA_XFLAG_DONT_ENCAP_DSCP, XFRM_STATE_AF_UNSPEC, XFRM_STATE_ALIGN4, XFRM_STATE_DECAP_DSCP,
    XFRM_STATE_ESN, XFRM_STATE_ICMP, XFRM_STATE_NOECN, XFRM_STATE_NOPMTUDISC, XFRMA_REPLAY_ESN_MAX,
    XFRMA_SET_MARK, XFRMA_SET_MARK_MASK, XfrmAttrs,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use zeroize::Zeroize as _;

/// `XFRM_OFFLOAD_PACKET`, since Linux 6.2.
const OFFLOAD_PACKET: u8 = 4;
/// The largest window that fits the field every kernel knows.
const SMALL_WINDOW: u32 = 32;

/// IPsec protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// ESP.
    Esp,
    /// AH.
    Ah,
    /// IPComp.
    Comp,
}

impl Protocol {
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Esp => IPPROTO_ESP,
            Self::Ah => IPPROTO_AH,
            Self::Comp => IPPROTO_COMP,
        }
    }

    pub(super) const fn from_number(number: u8) -> Option<Self> {
        match number {
            IPPROTO_ESP => Some(Self::Esp),
            IPPROTO_AH => Some(Self::Ah),
            IPPROTO_COMP => Some(Self::Comp),
            _ => None,
        }
    }
}

/// IPsec mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "plain words")]
pub enum Mode {
    Transport,
    Tunnel,
    Beet,
}

impl Mode {
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Transport => XFRM_MODE_TRANSPORT,
            Self::Tunnel => XFRM_MODE_TUNNEL,
            Self::Beet => XFRM_MODE_BEET,
        }
    }

    pub(super) const fn from_number(number: u8) -> Option<Self> {
        match number {
            XFRM_MODE_TRANSPORT => Some(Self::Transport),
            XFRM_MODE_TUNNEL => Some(Self::Tunnel),
            XFRM_MODE_BEET => Some(Self::Beet),
            _ => None,
        }
    }
}

/// What the kernel knows an SA by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StateId {
    /// Outer destination.
    pub destination: IpAddr,
    /// SPI; of IPComp, the CPI.
    pub spi: u32,
    /// Protocol.
    pub protocol: Protocol,
    /// Mark of the SA, `(0, 0)` for none.
    pub mark: (u32, u32),
}

impl fmt::Display for StateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (spi, to) = (self.spi, self.destination);
        match self.protocol {
            Protocol::Esp => write!(f, "ESP SA {spi:08x} to {to}"),
            Protocol::Ah => write!(f, "AH SA {spi:08x} to {to}"),
            Protocol::Comp => write!(f, "IPComp SA {spi:04x} to {to}"),
        }
    }
}

impl StateId {
    pub(super) fn message(&self) -> DelGetMessage {
        let user_sa_id = UserSaId {
            daddr: Address::from_ip(&self.destination),
            spi: self.spi,
            family: family(self.destination),
            proto: self.protocol.number(),
        };
        DelGetMessage { user_sa_id, nlas: mark(self.mark).into_iter().collect() }
    }
}

/// An algorithm by the kernel's name, and its key.
#[derive(Clone, Copy)]
pub struct Algorithm<'a> {
    /// `rfc4106(gcm(aes))`.
    pub name: &'a str,
    /// Salt at the end where it has one.
    pub key: &'a [u8],
    /// Bits of the ICV; 0 for a cipher without.
    pub icv_bits: u32,
}

impl fmt::Debug for Algorithm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bits) {}", self.name, self.key.len().saturating_mul(8), self.icv_bits)
    }
}

/// Ports of ESP in UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encap {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
}

/// What an SA does to outer headers and the like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// Extended sequence numbers.
    pub esn: bool,
    /// ECN is not copied between the headers.
    pub no_ecn: bool,
    /// The outer header never has DF.
    pub no_pmtu_discovery: bool,
    /// DSCP is copied inwards.
    pub decap_dscp: bool,
    /// DSCP is not copied outwards.
    pub no_encap_dscp: bool,
    /// Packets of the other family may be inside.
    pub any_family: bool,
    /// ICMP errors from within are let through.
    pub icmp: bool,
    /// AH aligns to 4 bytes (IPv4).
    pub align4: bool,
}

/// Limits `(soft, hard)`, 0 = none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes.
    pub bytes: (u64, u64),
    /// Packets.
    pub packets: (u64, u64),
}

/// Work for the network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offload {
    /// Index of its interface.
    pub interface: u32,
    /// The whole packet, not only its cryptography.
    pub packet: bool,
}

/// An SA.
#[derive(Debug, Clone)]
pub struct State<'a> {
    /// Its name.
    pub id: StateId,
    /// Outer source.
    pub source: IpAddr,
    /// Mode.
    pub mode: Mode,
    /// Number that ties policies to it.
    pub reqid: u32,
    /// What may be inside, for transport and BEET mode.
    pub selector: Option<Selector>,
    /// Cipher that protects integrity too.
    pub aead: Option<Algorithm<'a>>,
    /// Cipher.
    pub encryption: Option<Algorithm<'a>>,
    /// Integrity.
    pub integrity: Option<Algorithm<'a>>,
    /// Compression, by the kernel's name.
    pub compression: Option<&'a str>,
    /// ESP in UDP.
    pub encap: Option<Encap>,
    /// Packets the replay window holds, up to 4096; 0 lets replays through.
    pub replay_window: u32,
    /// Packets to us.
    pub inbound: bool,
    /// Switches.
    pub flags: Flags,
    /// Mark given to packets once they are through, `(value, mask)`; `(0, 0)` for none.
    pub set_mark: (u32, u32),
    /// XFRM interface, 0 for none.
    pub if_id: u32,
    /// Limits.
    pub limits: Limits,
    /// Bytes that every packet is padded to, `u32::MAX` for the path MTU; 0 none.
    pub padding: u32,
    /// Hardware.
    pub offload: Option<Offload>,
}

/// What the kernel says of an SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateUse {
    /// Bytes of inner packets.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Seconds since the epoch of the last packet, where the kernel notes it.
    pub last: Option<u64>,
    /// Outer source.
    pub source: IpAddr,
    /// Its reqid.
    pub reqid: u32,
}

/// A message with keys that are wiped when it goes.
pub(super) struct Message(pub(super) ModifyMessage);

impl Drop for Message {
    fn drop(&mut self) {
        wipe(&mut self.0.nlas);
    }
}

/// Wipes the keys in attributes.
pub(super) fn wipe(attributes: &mut [XfrmAttrs]) {
    for attribute in attributes {
        match attribute {
            XfrmAttrs::AuthenticationAlg(a) | XfrmAttrs::EncryptionAlg(a) | XfrmAttrs::CompressionAlg(a) => {
                a.alg_key.zeroize();
            }
            XfrmAttrs::AuthenticationAlgTrunc(a) => a.alg_key.zeroize(),
            XfrmAttrs::EncryptionAlgAead(a) => a.alg_key.zeroize(),
            _ => {}
        }
    }
}

impl State<'_> {
    pub(super) fn message(&self) -> ModifyMessage {
        let mut info = UserSaInfo {
            id: Id {
                daddr: Address::from_ip(&self.id.destination),
                spi: self.id.spi,
                proto: self.id.protocol.number(),
            },
            saddr: Address::from_ip(&self.source),
            family: family(self.id.destination),
            mode: self.mode.number(),
            reqid: self.reqid,
            lifetime_cfg: limits(&self.limits),
            flags: self.flags.bits(),
            selector: self.selector.map(|selector| selector.message()).unwrap_or_default(),
            ..UserSaInfo::default()
        };
        let mut attributes = Vec::new();
        if let Some(a) = &self.aead {
            attributes.push(XfrmAttrs::EncryptionAlgAead(AlgAead {
                alg_name: name(a.name),
                alg_key_len: bits(a.key),
                alg_icv_len: a.icv_bits,
                alg_key: a.key.to_vec(),
            }));
        }
        if let Some(a) = &self.encryption {
            attributes.push(XfrmAttrs::EncryptionAlg(Alg {
                alg_name: name(a.name),
                alg_key_len: bits(a.key),
                alg_key: a.key.to_vec(),
            }));
        }
        if let Some(a) = &self.integrity {
            attributes.push(XfrmAttrs::AuthenticationAlgTrunc(AlgAuth {
                alg_name: name(a.name),
                alg_key_len: bits(a.key),
                alg_trunc_len: a.icv_bits,
                alg_key: a.key.to_vec(),
            }));
        }
        if let Some(compression) = self.compression {
            attributes.push(XfrmAttrs::CompressionAlg(Alg {
                alg_name: name(compression),
                alg_key_len: 0,
                alg_key: Vec::new(),
            }));
        }
        if let Some(encap) = self.encap {
            attributes.push(XfrmAttrs::EncapsulationTemplate(template(encap)));
        }
        self.replay(&mut info, &mut attributes);
        attributes.extend(mark(self.id.mark));
        if self.set_mark != (0, 0) {
            let (value, mask) = self.set_mark;
            for (kind, number) in [(XFRMA_SET_MARK, value), (XFRMA_SET_MARK_MASK, mask)] {
                attributes.push(XfrmAttrs::Other(DefaultNla::new(kind, number.to_ne_bytes().to_vec())));
            }
        }
        if self.padding != 0 {
            attributes.push(XfrmAttrs::TfcPadding(self.padding));
        }
        if self.if_id != 0 {
            attributes.push(XfrmAttrs::IfId(self.if_id));
        }
        if self.flags.no_encap_dscp {
            attributes.push(XfrmAttrs::ExtraFlags(XFRM_SA_XFLAG_DONT_ENCAP_DSCP));
        }
        if let Some(offload) = self.offload {
            let v6 = if self.id.destination.is_ipv6() { XFRM_OFFLOAD_IPV6 } else { 0 };
            let inbound = if self.inbound { XFRM_OFFLOAD_INBOUND } else { 0 };
            let packet = if offload.packet { OFFLOAD_PACKET } else { 0 };
            attributes.push(XfrmAttrs::OffloadDevice(UserOffloadDev {
                ifindex: i32::try_from(offload.interface).unwrap_or(0),
                flags: v6 | inbound | packet,
            }));
        }
        ModifyMessage { user_sa_info: info, nlas: attributes }
    }

    /// Windows beyond 32, and ESN, have an attribute of their own; outbound the window is the least that is legal.
    fn replay(&self, info: &mut UserSaInfo, attributes: &mut Vec<XfrmAttrs>) {
        let most = u32::try_from(XFRMA_REPLAY_ESN_MAX).unwrap_or(SMALL_WINDOW);
        let window = self.replay_window.min(most);
        let window = match (self.inbound, self.flags.esn) {
            (true, false) => window,
            (true, true) => window.max(1),
            (false, true) => 1,
            (false, false) => 0,
        };
        if !self.flags.esn && window <= SMALL_WINDOW {
            info.replay_window = u8::try_from(window).unwrap_or(0);
            return;
        }
        let words = window.div_ceil(32);
        attributes.push(XfrmAttrs::ReplayStateEsn(ReplayEsn {
            bmp_len: words,
            oseq: 0,
            seq: 0,
            oseq_hi: 0,
            seq_hi: 0,
            replay_window: window,
            bmp: vec![0; usize::try_from(words).unwrap_or(0)],
        }));
    }
}

impl Flags {
    fn bits(self) -> u8 {
        [
            (self.esn, XFRM_STATE_ESN),
            (self.no_ecn, XFRM_STATE_NOECN),
            (self.no_pmtu_discovery, XFRM_STATE_NOPMTUDISC),
            (self.decap_dscp, XFRM_STATE_DECAP_DSCP),
            (self.any_family, XFRM_STATE_AF_UNSPEC),
            (self.icmp, XFRM_STATE_ICMP),
            (self.align4, XFRM_STATE_ALIGN4),
        ]
        .into_iter()
        .filter(|(on, _)| *on)
        .fold(0, |bits, (_, bit)| bits | bit)
    }
}

/// The SA of that message elsewhere. True when the kernel still knows it by the same name.
pub(super) fn moved(
    old: &ModifyMessage,
    source: IpAddr,
    destination: IpAddr,
    encap: Option<Encap>,
) -> (ModifyMessage, bool) {
    let mut new = old.clone();
    let info = &mut new.user_sa_info;
    info.saddr = Address::from_ip(&source);
    info.id.daddr = Address::from_ip(&destination);
    info.family = family(destination);
    // The selector of a transport mode SA is about the same hosts.
    if info.mode == XFRM_MODE_TRANSPORT && info.selector.family != 0 {
        let before = &old.user_sa_info;
        if info.selector.saddr == before.saddr && info.selector.daddr == before.id.daddr {
            (info.selector.saddr, info.selector.daddr) = (info.saddr, info.id.daddr);
            info.selector.family = info.family;
        }
    }
    let was_encap = old.nlas.iter().any(|a| matches!(a, XfrmAttrs::EncapsulationTemplate(_)));
    let truncated = old.nlas.iter().any(|a| matches!(a, XfrmAttrs::AuthenticationAlgTrunc(_)));
    new.nlas.retain_mut(|attribute| {
        let stays = match attribute {
            XfrmAttrs::EncapsulationTemplate(_) | XfrmAttrs::LastUsed(_) | XfrmAttrs::Pad() => false,
            // The kernel tells the algorithm twice, for old programs.
            XfrmAttrs::AuthenticationAlg(_) => !truncated,
            _ => true,
        };
        if !stays {
            wipe(std::slice::from_mut(attribute));
        }
        stays
    });
    if let Some(encap) = encap {
        new.nlas.push(XfrmAttrs::EncapsulationTemplate(template(encap)));
    }
    let same = info_name(old) == info_name(&new)
        && old.user_sa_info.saddr == new.user_sa_info.saddr
        && was_encap == encap.is_some();
    if !same {
        // A new SA to the kernel: it shall count on.
        new.nlas.push(XfrmAttrs::LifetimeBytes(old.user_sa_info.lifetime_cur));
    }
    (new, same)
}

fn info_name(message: &ModifyMessage) -> (Id, u16) {
    (message.user_sa_info.id, message.user_sa_info.family)
}

pub(super) fn usage(message: &ModifyMessage) -> StateUse {
    let info = &message.user_sa_info;
    let last =
        message.nlas.iter().find_map(|a| if let XfrmAttrs::LastUsed(at) = a { Some(*at) } else { None });
    StateUse {
        bytes: info.lifetime_cur.bytes,
        packets: info.lifetime_cur.packets,
        last: last.filter(|at| *at != 0),
        source: address(&info.saddr, info.family),
        reqid: info.reqid,
    }
}

/// The mark as an attribute, if there is one.
pub(super) fn mark((value, mask): (u32, u32)) -> Option<XfrmAttrs> {
    (mask != 0).then_some(XfrmAttrs::Mark(Mark { value, mask }))
}

fn template(encap: Encap) -> EncapTmpl {
    EncapTmpl {
        encap_type: UDP_ENCAP_ESPINUDP,
        encap_sport: encap.source,
        encap_dport: encap.destination,
        encap_oa: Address::default(),
    }
}

fn limits(limits: &Limits) -> LifetimeConfig {
    let limit = |n: u64| if n == 0 { XFRM_INF } else { n };
    LifetimeConfig {
        soft_byte_limit: limit(limits.bytes.0),
        hard_byte_limit: limit(limits.bytes.1),
        soft_packet_limit: limit(limits.packets.0),
        hard_packet_limit: limit(limits.packets.1),
        ..LifetimeConfig::default()
    }
}

fn bits(key: &[u8]) -> u32 {
    u32::try_from(key.len().saturating_mul(8)).unwrap_or(u32::MAX)
}

/// A name in a field of 64 bytes that ends with a zero.
fn name(text: &str) -> [u8; 64] {
    let mut field = [0; 64];
    for (slot, byte) in field.iter_mut().take(63).zip(text.bytes()) {
        *slot = byte;
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(window: u32, inbound: bool, esn: bool) -> ModifyMessage {
        let id = StateId {
            destination: "192.0.2.1".parse().unwrap(),
            spi: 0xc0de_0001,
            protocol: Protocol::Esp,
            mark: (0, 0),
        };
        let key = [7; 20];
        State {
            id,
            source: "192.0.2.2".parse().unwrap(),
            mode: Mode::Tunnel,
            reqid: 3,
            selector: None,
            aead: Some(Algorithm { name: "rfc4106(gcm(aes))", key: &key, icv_bits: 128 }),
            encryption: None,
            integrity: None,
            compression: None,
            encap: Some(Encap { source: 4500, destination: 4500 }),
            replay_window: window,
            inbound,
            flags: Flags { esn, ..Flags::default() },
            set_mark: (0, 0),
            if_id: 0,
            limits: Limits::default(),
            padding: 0,
            offload: None,
        }
        .message()
    }

    fn window(message: &ModifyMessage) -> (u8, Option<u32>) {
        let esn = message.nlas.iter().find_map(|a| match a {
            XfrmAttrs::ReplayStateEsn(r) => Some(r.replay_window),
            _ => None,
        });
        (message.user_sa_info.replay_window, esn)
    }

    #[test]
    fn windows_go_where_every_kernel_looks() {
        assert_eq!(window(&state(32, true, false)), (32, None));
        assert_eq!(window(&state(0, true, false)), (0, None));
        assert_eq!(window(&state(33, true, false)), (0, Some(33)));
        assert_eq!(window(&state(100_000, true, false)), (0, Some(4096)));
        assert_eq!(window(&state(32, true, true)), (0, Some(32)));
        assert_eq!(window(&state(32, false, true)), (0, Some(1)));
        assert_eq!(window(&state(4096, false, false)), (0, None));
    }

    #[test]
    fn a_port_alone_changes_in_place_and_an_address_does_not() {
        let old = state(32, true, false);
        let (us, them): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let encap = Encap { source: 4501, destination: 4500 };
        let ports = Some(encap);
        let (new, same) = moved(&old, them, us, ports);
        assert!(same);
        assert!(new.nlas.contains(&XfrmAttrs::EncapsulationTemplate(template(encap))));
        assert!(!moved(&old, "192.0.2.3".parse().unwrap(), us, ports).1);
        assert!(!moved(&old, them, us, None).1);
    }

    #[test]
    fn keys_are_wiped() {
        let mut message = state(32, true, false);
        wipe(&mut message.nlas);
        let XfrmAttrs::EncryptionAlgAead(aead) = &message.nlas[0] else { panic!("{:?}", message.nlas) };
        assert!(aead.alg_key.is_empty());
    }
}
