//! Messages: what is sent, and what of an answer counts. The codec of options is `dhcproto`'s.
use crate::subject::{Hardware, Subject, is_host_name};
use dhcproto::Encodable as _;
use dhcproto::v4::borrowed::DhcpOptionIterator;
use dhcproto::v4::{DhcpOption, Flags, MAGIC, Message, MessageType, Opcode, OptionCode};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Servers' port, and that of relay agents.
pub const SERVER_PORT: u16 = 67;
/// Clients' port.
pub const CLIENT_PORT: u16 = 68;
/// The longest datagram that is read; longer ones no Ethernet carries whole.
pub const LARGEST: usize = 1500;
/// RFC 1542 2.1: some agents drop what is shorter.
const SHORTEST: usize = 300;
/// Servers of one kind that are passed on to a client.
const MOST_SERVERS: usize = 8;

/// Options asked for.
const PARAMETERS: [OptionCode; 7] = [
    OptionCode::SubnetMask,
    OptionCode::DomainNameServer,
    OptionCode::DomainName,
    OptionCode::NetBiosNameServers,
    OptionCode::AddressLeaseTime,
    OptionCode::Renewal,
    OptionCode::Rebinding,
];

/// What is the same in all messages of one transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) xid: u32,
    /// Seconds since the transaction began.
    pub(crate) secs: u16,
    /// Our address as relay agent; without, the server is asked to broadcast its answer.
    pub(crate) relay: Option<Ipv4Addr>,
}

/// What a message is for (RFC 2131 table 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Discover,
    /// Takes an offer.
    Select {
        address: Ipv4Addr,
        server: Ipv4Addr,
    },
    /// Prolongs a lease.
    Prolong {
        address: Ipv4Addr,
    },
    Decline {
        address: Ipv4Addr,
        server: Ipv4Addr,
    },
    Release {
        address: Ipv4Addr,
        server: Ipv4Addr,
    },
}

/// A message as bytes. `None` only when it cannot be written, which no input of ours makes happen.
pub(crate) fn encode(frame: &Frame<'_>, purpose: Purpose) -> Option<Vec<u8>> {
    let relay = frame.relay.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message =
        Message::new_with_id(frame.xid, none, none, none, relay, frame.subject.hardware.0.as_slice());
    message.set_secs(frame.secs);
    // RFC 2131 4.1: nobody answers ARP for the offered address yet, and no card listens to this hardware address.
    if frame.relay.is_none() && !matches!(purpose, Purpose::Release { .. }) {
        message.set_flags(Flags::default().set_broadcast());
    }
    let mut options = vec![];
    let kind = match purpose {
        Purpose::Discover => {
            options.extend(frame.subject.requested.map(DhcpOption::RequestedIpAddress));
            MessageType::Discover
        }
        Purpose::Select { address, server } => {
            options.extend([DhcpOption::RequestedIpAddress(address), DhcpOption::ServerIdentifier(server)]);
            MessageType::Request
        }
        Purpose::Prolong { address } => {
            if frame.relay.is_some() {
                // RENEWING and REBINDING. The answer comes to the relay agent (RFC 2131 4.1).
                message.set_ciaddr(address);
            } else {
                // As after a reboot (INIT-REBOOT): with `ciaddr` the server would answer to the VPN client itself,
                // through the tunnel if anywhere.
                options.push(DhcpOption::RequestedIpAddress(address));
            }
            MessageType::Request
        }
        Purpose::Decline { address, server } => {
            options.extend([DhcpOption::RequestedIpAddress(address), DhcpOption::ServerIdentifier(server)]);
            MessageType::Decline
        }
        Purpose::Release { address, server } => {
            message.set_ciaddr(address);
            options.push(DhcpOption::ServerIdentifier(server));
            MessageType::Release
        }
    };
    options.extend(frame.subject.client_id.clone().map(DhcpOption::ClientIdentifier));
    if matches!(kind, MessageType::Discover | MessageType::Request) {
        options.extend(frame.subject.host_name.clone().map(DhcpOption::Hostname));
        options.push(DhcpOption::ParameterRequestList(PARAMETERS.to_vec()));
    }
    message.opts_mut().insert(DhcpOption::MessageType(kind));
    for option in options {
        message.opts_mut().insert(option);
    }
    let mut bytes = message.to_vec().ok()?;
    if bytes.len() < SHORTEST {
        bytes.resize(SHORTEST, 0);
    }
    Some(bytes)
}

/// A server's message in an IPv4 packet: who sent it, and the message. `None` for anything but whole UDP from a server's
/// port. The checksum is not looked at: offloaded ones are not there yet, and an answer must fit a transaction anyway.
#[must_use]
pub fn unwrap(packet: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let [first, _, length_high, length_low, _, _, fragment_high, fragment_low, _, 17, ..] = packet else {
        return None;
    };
    let header = usize::from(first & 0x0f).checked_mul(4).filter(|length| *length >= 20)?;
    let fragment = u16::from_be_bytes([*fragment_high, *fragment_low]) & 0x3fff;
    if first >> 4 != 4 || fragment != 0 {
        return None;
    }
    let packet = packet.get(..usize::from(u16::from_be_bytes([*length_high, *length_low])))?;
    let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    let [port_high, port_low, _, _, length_high, length_low, _, _, ..] = packet.get(header..)? else {
        return None;
    };
    if u16::from_be_bytes([*port_high, *port_low]) != SERVER_PORT {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
    let message = packet.get(header..)?.get(8..length)?;
    Some((source.into(), message))
}

/// The kinds of answers a client cares about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Offer,
    Ack,
    Nak,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) kind: Kind,
    pub(crate) xid: u32,
    pub(crate) hardware: Hardware,
    pub(crate) address: Ipv4Addr,
    pub(crate) server: Ipv4Addr,
    /// Seconds; `u32::MAX` is for ever.
    pub(crate) lease: Option<u32>,
    pub(crate) renew: Option<u32>,
    pub(crate) rebind: Option<u32>,
    pub(crate) mask: Option<Ipv4Addr>,
    pub(crate) dns: Vec<Ipv4Addr>,
    pub(crate) wins: Vec<Ipv4Addr>,
    pub(crate) domain: Option<String>,
}

/// Why a datagram is no answer to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Shorter than a message, longer than any, or without the magic cookie.
    #[error("no DHCP message")]
    NoMessage,
    /// A request, or something that is for others.
    #[error("no answer of a server to an Ethernet client")]
    NotForUs,
    /// Without what RFC 2131 table 3 demands.
    #[error("an answer without its {0}")]
    Lacks(&'static str),
}

/// Reads a server's answer.
pub(crate) fn decode(bytes: &[u8]) -> Result<Answer, Refused> {
    if bytes.len() > LARGEST {
        return Err(Refused::NoMessage);
    }
    let fixed = |at: usize| bytes.get(at..at.saturating_add(4)).and_then(|b| <[u8; 4]>::try_from(b).ok());
    let address = |at: usize| fixed(at).map(Ipv4Addr::from).ok_or(Refused::NoMessage);
    if fixed(236) != Some(MAGIC) {
        return Err(Refused::NoMessage);
    }
    let [opcode, hardware_type, hardware_length, ..] = bytes else { return Err(Refused::NoMessage) };
    if Opcode::from(*opcode) != Opcode::BootReply || (*hardware_type, *hardware_length) != (1, 6) {
        return Err(Refused::NotForUs);
    }
    let hardware: [u8; 6] = bytes.get(28..34).and_then(|b| b.try_into().ok()).ok_or(Refused::NoMessage)?;
    let options = Options::read(bytes);
    let kind = match options.bytes(OptionCode::MessageType) {
        Some([2]) => Kind::Offer,
        Some([5]) => Kind::Ack,
        Some([6]) => Kind::Nak,
        Some(_) => return Err(Refused::NotForUs),
        None => return Err(Refused::Lacks("message type")),
    };
    let server = options.address(OptionCode::ServerIdentifier).filter(|a| is_host(*a));
    Ok(Answer {
        kind,
        xid: fixed(4).map(u32::from_be_bytes).ok_or(Refused::NoMessage)?,
        hardware: Hardware(hardware),
        address: address(16)?,
        server: server.ok_or(Refused::Lacks("server identifier"))?,
        lease: options.number(OptionCode::AddressLeaseTime),
        renew: options.number(OptionCode::Renewal),
        rebind: options.number(OptionCode::Rebinding),
        mask: options.address(OptionCode::SubnetMask).filter(|mask| is_mask(*mask)),
        dns: options.hosts(OptionCode::DomainNameServer),
        wins: options.hosts(OptionCode::NetBiosNameServers),
        domain: options.domain(),
    })
}

/// Options by number; those that appear more than once are one (RFC 3396).
struct Options(BTreeMap<u8, Vec<u8>>);

impl Options {
    fn read(bytes: &[u8]) -> Self {
        let mut all = Self(BTreeMap::new());
        all.add(bytes.get(240..));
        // RFC 2131 4.1: `file` first, then `sname`.
        let overload = all.bytes(OptionCode::OptionOverload).and_then(|b| b.first().copied()).unwrap_or(0);
        if overload & 1 != 0 {
            all.add(bytes.get(108..236));
        }
        if overload & 2 != 0 {
            all.add(bytes.get(44..108));
        }
        all
    }

    fn add(&mut self, bytes: Option<&[u8]>) {
        for option in DhcpOptionIterator::new(bytes.unwrap_or_default()) {
            self.0.entry(option.code().into()).or_default().extend_from_slice(option.data());
        }
    }

    fn bytes(&self, code: OptionCode) -> Option<&[u8]> {
        self.0.get(&u8::from(code)).map(Vec::as_slice)
    }

    fn number(&self, code: OptionCode) -> Option<u32> {
        self.bytes(code)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn address(&self, code: OptionCode) -> Option<Ipv4Addr> {
        self.number(code).map(Ipv4Addr::from)
    }

    /// A list of hosts; a wrong length or address spoils itself and nothing else.
    fn hosts(&self, code: OptionCode) -> Vec<Ipv4Addr> {
        let (groups, _rest) = self.bytes(code).unwrap_or_default().as_chunks::<4>();
        let addresses = groups.iter().map(|group| Ipv4Addr::from(*group));
        addresses.filter(|address| is_host(*address)).take(MOST_SERVERS).collect()
    }

    fn domain(&self) -> Option<String> {
        let text = std::str::from_utf8(self.bytes(OptionCode::DomainName)?).ok()?;
        // Some servers count a final NUL.
        let text = text.trim_end_matches('\0').trim_end_matches('.');
        is_host_name(text).then(|| text.to_owned())
    }
}

/// An address that a host can have.
pub(crate) fn is_host(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    (1..224).contains(&first) && !address.is_loopback()
}

fn is_mask(mask: Ipv4Addr) -> bool {
    let bits = u32::from(mask);
    bits.leading_ones().saturating_add(bits.trailing_zeros()) == 32 && bits != 0
}

#[cfg(test)]
mod tests;
