//! TLS inside EAP packets: fragments below, a session above. What the three methods over TLS have in common.
use crate::config::{Method, PeerConfig, ServerConfig};
use crate::fragment::{Fragments, Heard};
use crate::method::Done;
use crate::step::{Failed, Line};
use crate::tls::session::{Broken, Session};
use crypto::Secret;

/// A session and the fragments it travels in.
pub(crate) struct Carrier {
    pub(crate) session: Session,
    fragments: Fragments,
    method: Method,
}

/// What a packet came to.
pub(crate) enum Came {
    /// This is to be sent now: a fragment, or an acknowledgement of one.
    Send(Vec<u8>),
    /// A message was taken; these application data were in it. `empty`: the message had no bytes.
    Message { plain: Secret, empty: bool },
    /// TLS has failed. The packet tells the other end, if it does not know.
    Broken(Failed, Option<Vec<u8>>),
}

impl Carrier {
    pub(crate) fn server(
        method: Method,
        config: &ServerConfig,
        client: &[u8],
        demands: bool,
    ) -> Result<Self, Failed> {
        let tls =
            config.tls.as_ref().ok_or_else(|| Failed::local(format!("no TLS is configured for {method}")))?;
        let session = Session::server(tls, client, demands)?;
        let fragments = Fragments::new(config.tunnels.of(method), config.limits.message_bytes);
        Ok(Self { session, fragments, method })
    }

    pub(crate) fn client(method: Method, config: &PeerConfig) -> Result<Self, Failed> {
        let tls =
            config.tls.as_ref().ok_or_else(|| Failed::local(format!("no TLS is configured for {method}")))?;
        let session = Session::client(tls, &config.server)?;
        let fragments = Fragments::new(config.tunnels.of(method), config.limits.message_bytes);
        Ok(Self { session, fragments, method })
    }

    /// A packet of the other end.
    pub(crate) fn receive(&mut self, data: &[u8], log: &mut Vec<Line>) -> Result<Came, Failed> {
        let message = match self.fragments.receive(data)? {
            Heard::Fragment | Heard::Acknowledged => return Ok(Came::Send(self.fragments.next())),
            Heard::Message(message) => message,
        };
        match self.session.feed(&message, log) {
            Ok(plain) => Ok(Came::Message { plain, empty: message.is_empty() }),
            Err(Broken { why, alert }) => {
                if alert.is_empty() {
                    return Ok(Came::Broken(why, None));
                }
                self.fragments.push(alert);
                Ok(Came::Broken(why, Some(self.fragments.next())))
            }
        }
    }

    /// What TLS has to send, as the next packet; `None`: nothing.
    pub(crate) fn flush(&mut self) -> Option<Vec<u8>> {
        let out = self.session.take();
        if out.is_empty() {
            return None;
        }
        self.fragments.push(out);
        Some(self.fragments.next())
    }

    /// A packet without data.
    pub(crate) fn nothing(&mut self) -> Vec<u8> {
        self.fragments.next()
    }

    /// The method is complete: the server has shown its certificate.
    pub(crate) fn done(&self, user: Option<Vec<u8>>) -> Result<Done, Failed> {
        Ok(Done { msk: Some(self.session.msk(self.method)?), mutual: true, user })
    }
}
