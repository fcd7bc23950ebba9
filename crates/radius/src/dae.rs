//! A server's wishes about sessions that are up (RFC 5176): the side of the gateway.
//!
//! A wish names sessions; all that it names must fit (RFC 5176 3). It is answered when its work is done, and once more
//! the same if it comes again.
use crate::client::code_name;
use crate::crypt::{self, Demand};
use crypto::Secret;
use ipnet::IpNet;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use wire::iana::{ErrorCause, RadiusCode, RadiusType};
use wire::radius::{Attribute, Packet};

/// Milliseconds that an answer is kept for the request's retransmissions.
const KEPT: u64 = 30_000;
/// Answers kept.
const ANSWERS: usize = 1_024;
/// Seconds by which Event-Timestamp may be off (RFC 5176 6.3: 300).
const WINDOW: u64 = 300;

/// Names a wish until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WishId(u64);

/// Which sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sessions {
    /// User-Name.
    pub user: Option<String>,
    /// Acct-Session-Id.
    pub session: Option<String>,
    /// Framed-IP-Address, Framed-IPv6-Address, Framed-IPv6-Prefix.
    pub addresses: Vec<IpNet>,
    /// Calling-Station-Id.
    pub calling: Option<String>,
    /// NAS-Port: the IKE_SA's unique id.
    pub port: Option<u32>,
}

/// A session to be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// User-Name of its records, and all other names of the peer.
    pub users: Vec<String>,
    /// Acct-Session-Id.
    pub session: String,
    /// Virtual IPs and prefixes.
    pub addresses: Vec<IpNet>,
    /// Calling-Station-Id, as the records have it.
    pub calling: String,
    /// The IKE_SA's unique id.
    pub ike_id: u32,
}

impl Sessions {
    /// Whether a session is meant.
    #[must_use]
    pub fn fits(&self, candidate: &Candidate) -> bool {
        self.user.as_ref().is_none_or(|user| candidate.users.contains(user))
            && self.session.as_ref().is_none_or(|session| *session == candidate.session)
            && self.addresses.iter().all(|net| candidate.addresses.contains(net))
            && self.calling.as_ref().is_none_or(|calling| *calling == candidate.calling)
            && self.port.is_none_or(|port| port == candidate.ike_id)
    }

    fn any(&self) -> bool {
        self.user.is_some()
            || self.session.is_some()
            || !self.addresses.is_empty()
            || self.calling.is_some()
            || self.port.is_some()
    }
}

impl std::fmt::Display for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut words: Vec<String> = Vec::new();
        words.extend(self.user.as_ref().map(|user| printable(user)));
        words.extend(self.session.as_ref().map(|session| format!("session {}", printable(session))));
        words.extend(self.addresses.iter().map(|net| match net.prefix_len() == net.max_prefix_len() {
            true => net.addr().to_string(),
            false => net.to_string(),
        }));
        words.extend(self.calling.as_ref().map(|calling| format!("station {}", printable(calling))));
        words.extend(self.port.map(|port| format!("port {port}")));
        f.write_str(&words.join(", "))
    }
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// What a server wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Close the sessions.
    Disconnect(Sessions),
    /// Let them end, or authenticate anew, after so many seconds.
    Limit(Sessions, u64),
}

/// What to do, or to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DaeOutput {
    /// Do it and call [`Dae::answer`] with how many sessions it hit.
    Wish(WishId, Wish),
    /// Put on the wire.
    Send {
        /// To whom.
        to: SocketAddr,
        /// From which address of ours.
        from: SocketAddr,
        /// What.
        datagram: Vec<u8>,
    },
    /// A line for the log.
    Log(i8, String),
}

/// Who asked, and with what; a retransmission has the same.
type Origin = (SocketAddr, u8, [u8; 16]);

struct Pending {
    origin: Origin,
    local: SocketAddr,
    request: Packet,
}

/// The listener's state.
pub struct Dae {
    secret: Secret,
    pending: BTreeMap<WishId, Pending>,
    /// Oldest first.
    answered: VecDeque<(u64, Origin, Vec<u8>)>,
    next: u64,
    out: VecDeque<DaeOutput>,
}

impl std::fmt::Debug for Dae {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dae({} pending)", self.pending.len())
    }
}

impl Dae {
    /// Nobody has asked. An empty secret would let everybody ask: the caller refuses it.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        Self { secret, pending: BTreeMap::new(), answered: VecDeque::new(), next: 1, out: VecDeque::new() }
    }

    /// A datagram came. `wall`: seconds since 1970.
    pub fn receive(&mut self, now: u64, wall: u64, local: SocketAddr, remote: SocketAddr, datagram: &[u8]) {
        let ip = remote.ip();
        let request = match Packet::parse(datagram) {
            Ok(request) => request,
            Err(why) => return self.log(1, format!("received invalid RADIUS DAE message from {ip}: {why}")),
        };
        let name = code_name(request.code);
        if !matches!(request.code, RadiusCode::DisconnectRequest | RadiusCode::CoaRequest) {
            return self.log(1, format!("ignoring RADIUS DAE {name} message from {ip}"));
        }
        // RFC 5176 3.5: a wrong authenticator is dropped without a word.
        if let Err(why) = crypt::verify_request(&request, &self.secret, Demand::RightIfPresent) {
            return self.log(1, format!("RADIUS DAE {name} from {ip} is not accepted: {why}"));
        }
        let origin = (remote, request.id, request.authenticator);
        if let Some((_, _, answer)) =
            self.answered.iter().find(|(until, other, _)| *other == origin && *until > now)
        {
            let datagram = answer.clone();
            self.out.push_back(DaeOutput::Send { to: remote, from: local, datagram });
            return self.log(1, format!("received RADIUS DAE {name} from {ip} again, same answer"));
        }
        if self.pending.values().any(|pending| pending.origin == origin) {
            return;
        }
        let id = WishId(self.next);
        self.next = self.next.saturating_add(1);
        let judged = judge(&request, wall);
        self.pending.insert(id, Pending { origin, local, request });
        match judged {
            Ok(wish) => {
                let (Wish::Disconnect(sessions) | Wish::Limit(sessions, _)) = &wish;
                self.log(1, format!("received RADIUS DAE {name} for {sessions} from {ip}"));
                self.out.push_back(DaeOutput::Wish(id, wish));
            }
            Err((cause, why)) => {
                self.log(1, format!("{why} in {name} from {ip}, sending {}", code_name(refusal(&name))));
                self.reply(now, id, Err(cause));
            }
        }
    }

    /// A wish is done: it hit so many sessions, or cannot be done.
    pub fn answer(&mut self, now: u64, id: WishId, done: Result<usize, ErrorCause>) {
        let Some(pending) = self.pending.get(&id) else { return };
        let name = code_name(pending.request.code);
        let ack = if name == "CoA-Request" { "CoA-ACK" } else { "Disconnect-ACK" };
        let nak = code_name(refusal(&name));
        match done {
            Ok(0) | Err(ErrorCause::SessionContextNotFound) => {
                self.log(1, format!("no IKE_SA matches {name}, sending {nak}"));
                self.reply(now, id, Err(ErrorCause::SessionContextNotFound));
            }
            Ok(count) => {
                let verb = if name == "CoA-Request" { "applying lifetime to" } else { "closing" };
                let are = if count == 1 { "IKE_SA" } else { "IKE_SAs" };
                self.log(1, format!("{verb} {count} {are} matching {name}, sending {ack}"));
                self.reply(now, id, Ok(()));
            }
            Err(cause) => {
                self.log(1, format!("{name} cannot be carried out, sending {nak}"));
                self.reply(now, id, Err(cause));
            }
        }
    }

    /// What to do next.
    pub fn poll(&mut self) -> Option<DaeOutput> {
        self.out.pop_front()
    }

    fn reply(&mut self, now: u64, id: WishId, result: Result<(), ErrorCause>) {
        let Some(Pending { origin, local, request }) = self.pending.remove(&id) else { return };
        let code = match (request.code, result) {
            (RadiusCode::CoaRequest, Ok(())) => RadiusCode::CoaAck,
            (RadiusCode::CoaRequest, Err(_)) => RadiusCode::CoaNak,
            (_, Ok(())) => RadiusCode::DisconnectAck,
            (_, Err(_)) => RadiusCode::DisconnectNak,
        };
        let mut reply = Packet::new(code, request.id, [0; 16]);
        if request.first(RadiusType::MessageAuthenticator).is_some() {
            crypt::reserve(&mut reply);
        }
        // RFC 2865 5.33: proxies want their state back.
        reply.attributes.extend(request.all(RadiusType::ProxyState).cloned());
        if let Err(cause) = result {
            reply.push(Attribute::number(RadiusType::ErrorCause, u32::from(u16::from(cause))));
        }
        let sealed = crypt::seal_reply(&mut reply, &request.authenticator, &self.secret);
        let Ok(datagram) = sealed.and_then(|()| reply.encode()) else { return };
        self.answered.retain(|(until, _, _)| *until > now);
        if self.answered.len() >= ANSWERS {
            self.answered.pop_front();
        }
        self.answered.push_back((now.saturating_add(KEPT), origin, datagram.clone()));
        self.out.push_back(DaeOutput::Send { to: origin.0, from: local, datagram });
    }

    fn log(&mut self, level: i8, text: String) {
        self.out.push_back(DaeOutput::Log(level, text));
    }
}

fn refusal(name: &str) -> RadiusCode {
    if name == "CoA-Request" { RadiusCode::CoaNak } else { RadiusCode::DisconnectNak }
}

fn judge(request: &Packet, wall: u64) -> Result<Wish, (ErrorCause, &'static str)> {
    let mut sessions = Sessions::default();
    for attribute in &request.attributes {
        let text = || attribute.as_text().map(str::to_owned);
        let wrong = (ErrorCause::InvalidAttributeValue, "invalid attribute");
        match attribute.kind {
            RadiusType::UserName => sessions.user = Some(text().ok_or(wrong)?),
            RadiusType::AcctSessionId => sessions.session = Some(text().ok_or(wrong)?),
            RadiusType::CallingStationId => sessions.calling = Some(text().ok_or(wrong)?),
            RadiusType::NasPort => sessions.port = Some(attribute.as_number().ok_or(wrong)?),
            RadiusType::FramedIpAddress | RadiusType::FramedIpv6Address => {
                sessions.addresses.push(attribute.as_address().ok_or(wrong)?.into());
            }
            RadiusType::FramedIpv6Prefix => {
                sessions.addresses.push(crate::prefix::read(attribute).ok_or(wrong)?.into());
            }
            // RFC 5176 6.3: what is too old may be a replay.
            RadiusType::EventTimestamp => {
                let stamp = attribute.as_number().map(u64::from).ok_or(wrong)?;
                if stamp.abs_diff(wall) > WINDOW {
                    return Err((ErrorCause::InvalidRequest, "Event-Timestamp out of the window"));
                }
            }
            // RFC 5176 3.4: "Service-Type Authorize Only" needs State and an Access-Request of ours.
            RadiusType::ServiceType => {
                return Err((ErrorCause::UnsupportedService, "unsupported Service-Type"));
            }
            _ => {}
        }
    }
    if !sessions.any() {
        return Err((ErrorCause::MissingAttribute, "no attribute that names a session"));
    }
    if request.code == RadiusCode::DisconnectRequest {
        return Ok(Wish::Disconnect(sessions));
    }
    match request.number(RadiusType::SessionTimeout) {
        Some(seconds) => Ok(Wish::Limit(sessions, u64::from(seconds))),
        None => Err((ErrorCause::MissingAttribute, "no Session-Timeout attribute found")),
    }
}

#[cfg(test)]
mod tests;
