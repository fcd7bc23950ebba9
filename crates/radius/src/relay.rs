//! An EAP conversation as a chain of requests (RFC 3579), and what its end says about the session.
use crate::client::{Purpose, Reply, Request, ServerId};
use crypto::Secret;
use std::net::SocketAddr;
use wire::iana::{RadiusCode, RadiusType};
use wire::radius::{Attribute, AttributeName, Packet};

mod accepted;
mod forward;
pub use accepted::{Accepted, Framed};

/// EAP codes (RFC 3748 4).
const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;
const SUCCESS: u8 = 3;
const FAILURE: u8 = 4;
/// The type of the peer's name.
const IDENTITY: u8 = 1;
/// Types of methods in which the server proves itself, too, and that make a key (RFC 5998 3).
const MUTUAL: [u8; 8] = [13, 18, 21, 23, 25, 26, 43, 50];
/// Requests in one conversation; a server that wants more is mad, or no server.
const ROUNDS: u32 = 256;

/// Settings of the relay; `strongswan.conf`'s keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RelayOptions {
    /// Begin with an empty EAP-Message: the server asks for the identity.
    pub eap_start: bool,
    /// Put before the identity.
    pub id_prefix: String,
    /// Class attributes are groups.
    pub class_group: bool,
    /// Filter-Id attributes are groups, if the tunnel is said to be ESP.
    pub filter_id: bool,
    /// Ports in Called- and Calling-Station-Id.
    pub station_id_with_port: bool,
    /// Attributes of the peer that the server gets.
    pub from_peer: Vec<AttributeName>,
    /// Attributes of the server's Access-Accept that the peer gets.
    pub to_peer: Vec<AttributeName>,
}

/// What is known about the peer and its IKE_SA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whom the peer claims to be: User-Name.
    pub user: String,
    /// Our address: NAS-IP-Address or NAS-IPv6-Address, Called-Station-Id.
    pub local: SocketAddr,
    /// The peer's: Calling-Station-Id.
    pub remote: SocketAddr,
    /// Name of the connection: NAS-Port-Id.
    pub connection: String,
    /// IKE_SA's unique id: NAS-Port.
    pub ike_id: u32,
    /// Acct-Session-Id: the same in the records.
    pub session: String,
}

impl Facts {
    /// The attributes that all packets about this IKE_SA have in common, but User-Name.
    #[must_use]
    pub fn attributes(&self, with_port: bool) -> Vec<Attribute> {
        /// NAS-Port-Type "Virtual", Service-Type "Framed".
        const VIRTUAL: u32 = 5;
        const FRAMED: u32 = 2;
        let station = |address: SocketAddr| match with_port {
            true => format!("{}[{}]", address.ip(), address.port()),
            false => address.ip().to_string(),
        };
        let nas = match self.local {
            SocketAddr::V4(_) => RadiusType::NasIpAddress,
            SocketAddr::V6(_) => RadiusType::NasIpv6Address,
        };
        vec![
            Attribute::number(RadiusType::NasPortType, VIRTUAL),
            Attribute::number(RadiusType::ServiceType, FRAMED),
            Attribute::number(RadiusType::NasPort, self.ike_id),
            Attribute::text(RadiusType::NasPortId, &self.connection),
            Attribute::address(nas, self.local.ip()),
            Attribute::text(RadiusType::CalledStationId, &station(self.local)),
            Attribute::text(RadiusType::CallingStationId, &station(self.remote)),
        ]
    }
}

/// How the conversation goes on.
#[derive(Debug, Clone)]
pub enum Step {
    /// Send this EAP packet to the peer.
    Send(Vec<u8>),
    /// The server accepts the peer.
    Success(Box<Accepted>),
    /// It does not, or makes no sense.
    Failure {
        /// EAP-Failure for the peer.
        packet: Vec<u8>,
        /// Why, for the operator.
        why: Refusal,
    },
}

/// Why a login failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Access-Reject.
    #[error("the RADIUS server rejected the peer{}", message(.0))]
    Rejected(
        /// Reply-Message, empty without one.
        String,
    ),
    /// The peer's packet is no EAP response.
    #[error("the peer sent no EAP response")]
    NoResponse,
    /// The server broke the rules.
    #[error("RADIUS server's reply makes no sense: {0}")]
    Nonsense(
        /// Which.
        &'static str,
    ),
}

fn message(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// One login.
#[derive(Debug)]
pub struct Conversation {
    options: RelayOptions,
    facts: Facts,
    /// Who has the conversation's state.
    server: Option<ServerId>,
    /// RFC 2865 5.24, to be given back unchanged.
    state: Vec<Attribute>,
    /// Identifier of the EAP packet last exchanged.
    identifier: u8,
    /// Type of the last method that the server asked for.
    method: Option<u8>,
    /// What the peer said for the server, for the next request.
    told: Vec<Attribute>,
    rounds: u32,
}

impl Conversation {
    /// Nothing was said yet.
    #[must_use]
    pub fn new(options: RelayOptions, facts: Facts) -> Self {
        Self {
            options,
            facts,
            server: None,
            state: Vec::new(),
            identifier: 0,
            method: None,
            told: Vec::new(),
            rounds: 0,
        }
    }

    /// Attributes of the peer for the server, with type and length. The next request has those that the operator wants.
    pub fn told(&mut self, attributes: &[Vec<u8>]) {
        self.told.extend(forward::from_peer(attributes, &self.options.from_peer));
    }

    /// The peer's name, as the server is told.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.facts.user
    }

    /// Type of the EAP method that the server chose.
    #[must_use]
    pub fn method(&self) -> Option<u8> {
        self.method
    }

    /// Begins without a packet of the peer's, whose name is known: as if it had answered an identity request.
    pub fn start(&mut self) -> Request {
        let response = identity_response(self.identifier, &self.named());
        self.begin(&response)
    }

    /// Begins with the peer's answer to an identity request.
    ///
    /// # Errors
    /// It is none.
    pub fn identity(&mut self, response: &[u8]) -> Result<Request, Refusal> {
        match response {
            [RESPONSE, identifier, _, _, IDENTITY, name @ ..] => {
                self.identifier = *identifier;
                self.facts.user = String::from_utf8_lossy(name).into_owned();
                let response = identity_response(*identifier, &self.named());
                Ok(self.begin(&response))
            }
            _ => Err(Refusal::NoResponse),
        }
    }

    fn named(&self) -> String {
        format!("{}{}", self.options.id_prefix, self.facts.user)
    }

    fn begin(&mut self, response: &[u8]) -> Request {
        // RFC 3579 3.1: an empty EAP-Message means EAP-Start.
        let eap: &[u8] = if self.options.eap_start { &[] } else { response };
        self.request(eap)
    }

    /// The peer's next packet.
    ///
    /// # Errors
    /// It is no response.
    pub fn packet(&mut self, eap: &[u8]) -> Result<Request, Refusal> {
        match eap {
            [RESPONSE, identifier, high, low, _type, ..]
                if usize::from(u16::from_be_bytes([*high, *low])) == eap.len() =>
            {
                self.identifier = *identifier;
                Ok(self.request(eap))
            }
            _ => Err(Refusal::NoResponse),
        }
    }

    fn request(&mut self, eap: &[u8]) -> Request {
        let mut attributes = vec![Attribute::text(RadiusType::UserName, &self.facts.user)];
        attributes.extend(self.facts.attributes(self.options.station_id_with_port));
        attributes.push(Attribute::text(RadiusType::AcctSessionId, &self.facts.session));
        // RFC 2865 5.24: State goes back to who sent it.
        attributes.extend(self.state.iter().cloned());
        let mut eap_message = Packet::new(RadiusCode::AccessRequest, 0, [0; 16]);
        eap_message.push_split(RadiusType::EapMessage, eap);
        attributes.append(&mut eap_message.attributes);
        attributes.append(&mut self.told);
        // Only the first request can be answered by a server that has not seen those before.
        let movable = self.server.is_none();
        Request { purpose: Purpose::Login, attributes, server: self.server, movable }
    }

    /// The server's reply.
    pub fn reply(&mut self, reply: &Reply) -> Step {
        self.rounds = self.rounds.saturating_add(1);
        if self.rounds > ROUNDS {
            return self.nonsense("it goes on for ever");
        }
        let eap = reply.packet.joined(RadiusType::EapMessage);
        match reply.packet.code {
            RadiusCode::AccessChallenge => self.challenge(reply, eap),
            RadiusCode::AccessAccept => self.accept(reply, eap),
            _ => {
                let text: Vec<&str> =
                    reply.packet.all(RadiusType::ReplyMessage).filter_map(Attribute::as_text).collect();
                self.failure(Refusal::Rejected(printable(&text.join(" "))), eap)
            }
        }
    }

    fn challenge(&mut self, reply: &Reply, eap: Option<Vec<u8>>) -> Step {
        let Some(eap) = eap else { return self.nonsense("a challenge without EAP-Message") };
        match eap.as_slice() {
            [REQUEST, identifier, high, low, kind, ..]
                if usize::from(u16::from_be_bytes([*high, *low])) == eap.len() =>
            {
                self.identifier = *identifier;
                // Identity, notification and the peer's refusal of a method are not methods.
                if *kind > 3 {
                    self.method = Some(*kind);
                }
                self.server = Some(reply.server);
                self.state = reply.packet.all(RadiusType::State).cloned().collect();
                Step::Send(eap)
            }
            _ => self.nonsense("a challenge that is no EAP request"),
        }
    }

    fn accept(&mut self, reply: &Reply, eap: Option<Vec<u8>>) -> Step {
        // Without a method nobody has proved anything, whatever the server was told to do with unknown users.
        let Some(method) = self.method else {
            return self.nonsense("an Access-Accept before any EAP method");
        };
        let packet = match eap {
            // RFC 3579 2.6.3: an Access-Accept may come without EAP-Message, and may not hold another than a success.
            None => vec![SUCCESS, self.identifier, 0, 4],
            Some(eap) if matches!(eap.as_slice(), [SUCCESS, _, 0, 4]) => eap,
            Some(_) => return self.nonsense("an Access-Accept without EAP-Success"),
        };
        let msk = match (&reply.keys.recv, &reply.keys.send) {
            (Some(recv), Some(send)) => Some(msk(recv, send)),
            (None, None) => None,
            _ => return self.nonsense("one MPPE key without the other"),
        };
        let mutual = msk.is_some() && MUTUAL.contains(&method);
        Step::Success(Box::new(Accepted::read(reply, &self.options, packet, msk, mutual)))
    }

    /// EAP-Failure for the peer where there was no reply, or the peer itself made none possible.
    #[must_use]
    pub fn failure_packet(&self) -> Vec<u8> {
        vec![FAILURE, self.identifier, 0, 4]
    }

    fn nonsense(&self, what: &'static str) -> Step {
        self.failure(Refusal::Nonsense(what), None)
    }

    fn failure(&self, why: Refusal, eap: Option<Vec<u8>>) -> Step {
        let given = eap.filter(|eap| matches!(eap.as_slice(), [FAILURE, _, 0, 4]));
        Step::Failure { packet: given.unwrap_or_else(|| self.failure_packet()), why }
    }
}

/// RFC 2548 2.4 and RFC 5216 2.3: what the NAS receives with is the first half of the MSK. Shorter keys (MSCHAPv2) are
/// filled up with zeros, as EAP's MSK has 64 bytes at least (RFC 3748 7.10).
fn msk(recv: &Secret, send: &Secret) -> Secret {
    const MSK: usize = 64;
    let mut out = Secret::zeroed(recv.len().saturating_add(send.len()).max(MSK));
    let bytes = recv.as_slice().iter().chain(send.as_slice());
    for (to, from) in out.as_mut_slice().iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}

fn identity_response(identifier: u8, name: &str) -> Vec<u8> {
    let name = name.as_bytes();
    let name = name.get(..Attribute::MAX).unwrap_or(name);
    let length = u16::try_from(name.len().saturating_add(5)).unwrap_or(u16::MAX);
    let [high, low] = length.to_be_bytes();
    let mut out = vec![RESPONSE, identifier, high, low, IDENTITY];
    out.extend_from_slice(name);
    out
}

/// Text of a server, for a log: no control characters, not endless.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}

#[cfg(test)]
mod tests;
