//! EAP-TLS: with TLS 1.2 (RFC 5216) and with TLS 1.3 (RFC 9190).
use crate::carrier::{Came, Carrier};
use crate::config::{Method, PeerConfig, ServerConfig};
use crate::fragment;
use crate::method::{Next, PeerContext, PeerMethod, Progress, Reply, ServerContext, ServerMethod};
use crate::step::Failed;

/// RFC 9190 2.1.1: the server's promise that no more TLS messages come.
const COMMITMENT: u8 = 0;

pub(crate) struct Server {
    carrier: Option<Carrier>,
    state: Serving,
}

enum Serving {
    Handshake,
    /// Our last message is out: Finished (1.2) or the commitment (1.3).
    Finished,
    /// An alert is out.
    Failing(Failed),
}

impl Server {
    pub(crate) fn new(config: &ServerConfig) -> Result<Self, Failed> {
        // Refuses early what cannot work.
        Carrier::server(Method::Tls, config, &[], true)?;
        Ok(Self { carrier: None, state: Serving::Handshake })
    }
}

impl ServerMethod for Server {
    fn start(&mut self, cx: &mut ServerContext<'_>) -> Next {
        match Carrier::server(Method::Tls, cx.config, cx.identity, true) {
            Ok(carrier) => {
                self.carrier = Some(carrier);
                Next::Send(fragment::start())
            }
            Err(why) => Next::Fail(why),
        }
    }

    fn step(&mut self, data: &[u8], cx: &mut ServerContext<'_>) -> Next {
        let Some(carrier) = &mut self.carrier else {
            return Next::Fail(Failed::local("EAP_TLS has not begun"));
        };
        if let Serving::Failing(why) = &self.state {
            return Next::Fail(why.clone());
        }
        match carrier.receive(data, cx.log) {
            Err(why) => Next::Fail(why),
            Ok(Came::Send(data)) => Next::Send(data),
            Ok(Came::Broken(why, None)) => Next::Fail(why),
            Ok(Came::Broken(why, Some(data))) => {
                self.state = Serving::Failing(why);
                Next::Send(data)
            }
            Ok(Came::Message { plain, empty }) => {
                if !plain.is_empty() {
                    return Next::Fail(Failed::peer("application data in EAP_TLS"));
                }
                match (&self.state, carrier.session.is_up()) {
                    (Serving::Handshake, true) => {
                        if carrier.session.is_13()
                            && let Err(why) = carrier.session.write(&[COMMITMENT])
                        {
                            return Next::Fail(why);
                        }
                        self.state = Serving::Finished;
                        Next::Send(carrier.flush().unwrap_or_else(|| carrier.nothing()))
                    }
                    (Serving::Finished, true) if empty => match carrier.done(None) {
                        Ok(done) => Next::Done(done),
                        Err(why) => Next::Fail(why),
                    },
                    (Serving::Finished | Serving::Failing(_), _) => {
                        Next::Fail(Failed::peer("TLS data after the EAP_TLS handshake"))
                    }
                    (Serving::Handshake, false) => carrier.flush().map_or_else(
                        || Next::Fail(Failed::peer("the TLS handshake does not go on")),
                        Next::Send,
                    ),
                }
            }
        }
    }
}

pub(crate) struct Peer {
    carrier: Carrier,
    started: bool,
}

impl Peer {
    pub(crate) fn new(config: &PeerConfig) -> Result<Self, Failed> {
        if config.tls.as_ref().is_none_or(|tls| tls.credentials.is_none()) {
            return Err(Failed::local("no certificate and private key for EAP_TLS"));
        }
        Ok(Self { carrier: Carrier::client(Method::Tls, config)?, started: false })
    }
}

impl PeerMethod for Peer {
    fn step(&mut self, data: &[u8], cx: &mut PeerContext<'_>) -> Result<Reply, Failed> {
        if !self.started {
            fragment::start_version(data)
                .ok_or_else(|| Failed::peer("EAP_TLS does not begin with a start"))?;
            self.started = true;
            return Ok(Reply::running(self.carrier.flush().unwrap_or_else(|| self.carrier.nothing())));
        }
        let plain = match self.carrier.receive(data, cx.log)? {
            Came::Send(data) => return Ok(Reply::running(data)),
            Came::Broken(why, data) => {
                let data = data.unwrap_or_else(|| self.carrier.nothing());
                return Ok(Reply { data, state: Progress::Doomed(why) });
            }
            Came::Message { plain, .. } => plain,
        };
        if !self.carrier.session.is_up() {
            let data =
                self.carrier.flush().ok_or_else(|| Failed::peer("the TLS handshake does not go on"))?;
            return Ok(Reply::running(data));
        }
        // With TLS 1.3 our handshake is complete before the server has seen our certificate: only its commitment ends
        // the method. With TLS 1.2 the server's Finished does.
        let complete = if self.carrier.session.is_13() {
            match plain.as_slice() {
                [] => false,
                [COMMITMENT] => true,
                _ => return Err(Failed::peer("application data in EAP_TLS")),
            }
        } else if plain.is_empty() {
            true
        } else {
            return Err(Failed::peer("application data in EAP_TLS"));
        };
        let data = self.carrier.flush().unwrap_or_else(|| self.carrier.nothing());
        let state = if complete { Progress::Done(self.carrier.done(None)?) } else { Progress::Running };
        Ok(Reply { data, state })
    }
}
