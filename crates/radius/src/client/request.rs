//! What goes into the client and what comes out.
use crate::crypt::Forged;
use wire::iana::RadiusCode;
use wire::radius::{Attribute, Packet};

/// A server, by its place in the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub usize);

/// What a request is for: servers have a port for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Authentication.
    Login,
    /// Accounting.
    Accounting,
}

/// A socket towards a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Socket {
    /// The server.
    pub server: ServerId,
    /// Which of its ports.
    pub purpose: Purpose,
    /// Number among the sockets to that port.
    pub number: u16,
}

/// Names a request until its reply or failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What to ask.
#[derive(Debug, Clone)]
pub struct Request {
    /// Port.
    pub purpose: Purpose,
    /// Attributes; NAS-Identifier and Message-Authenticator are put in here.
    pub attributes: Vec<Attribute>,
    /// The server that must get it (it holds a conversation's state), or where it may move the one that should.
    pub server: Option<ServerId>,
    /// Another server can answer as well.
    pub movable: bool,
}

/// A verified reply.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Who sent it.
    pub server: ServerId,
    /// Its name, for the log.
    pub name: String,
    /// It.
    pub packet: Packet,
    /// MS-MPPE keys in it, uncovered.
    pub keys: Keys,
}

/// Keys of an Access-Accept (RFC 2548 2.4).
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// MS-MPPE-Recv-Key.
    pub recv: Option<crypto::Secret>,
    /// MS-MPPE-Send-Key.
    pub send: Option<crypto::Secret>,
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server, and every other that could have answered, is silent.
    #[error("RADIUS server '{server}' does not respond (tried {transmissions} times)")]
    Silent {
        /// The last one tried.
        server: String,
        /// How often the request was sent in all.
        transmissions: u32,
    },
    /// Replies came, and none was from who holds the secret.
    #[error("replies of RADIUS server '{server}' are not accepted: {why} (is the secret right?)")]
    Forged {
        /// The server.
        server: String,
        /// What was wrong with the last one.
        why: Forged,
    },
    /// Nothing listens at the server's port.
    #[error("RADIUS server '{server}' refuses connections")]
    Refused {
        /// The server.
        server: String,
    },
    /// No server is configured for this purpose.
    #[error("no RADIUS server is configured")]
    NoServer,
    /// Too many requests wait already.
    #[error("too many RADIUS requests are waiting")]
    Busy,
    /// The request does not fit a packet.
    #[error("the RADIUS request is too long")]
    TooLong,
}

/// What to do, or what came of it.
#[derive(Debug, Clone)]
pub enum Output {
    /// Put on the wire.
    Send {
        /// From this socket.
        socket: Socket,
        /// This.
        datagram: Vec<u8>,
    },
    /// A request is answered.
    Replied(RequestId, Box<Reply>),
    /// A request is not answered.
    Failed(RequestId, Failure),
    /// A server no longer responds (`up: false`) or does again.
    Server {
        /// Its name.
        name: String,
        /// Which port.
        purpose: Purpose,
        /// Whether it responds.
        up: bool,
    },
    /// A line for the log: charon's level and text.
    Log(i8, String),
}

/// As strongSwan writes them in its log.
#[must_use]
pub fn code_name(code: RadiusCode) -> String {
    match code {
        RadiusCode::AccessRequest => "Access-Request".into(),
        RadiusCode::AccessAccept => "Access-Accept".into(),
        RadiusCode::AccessReject => "Access-Reject".into(),
        RadiusCode::AccountingRequest => "Accounting-Request".into(),
        RadiusCode::AccountingResponse => "Accounting-Response".into(),
        RadiusCode::AccessChallenge => "Access-Challenge".into(),
        RadiusCode::StatusServer => "Status-Server".into(),
        RadiusCode::StatusClient => "Status-Client".into(),
        RadiusCode::DisconnectRequest => "Disconnect-Request".into(),
        RadiusCode::DisconnectAck => "Disconnect-ACK".into(),
        RadiusCode::DisconnectNak => "Disconnect-NAK".into(),
        RadiusCode::CoaRequest => "CoA-Request".into(),
        RadiusCode::CoaAck => "CoA-ACK".into(),
        RadiusCode::CoaNak => "CoA-NAK".into(),
        RadiusCode::Unknown(code) => format!("({code})"),
    }
}
