//! EAP-TTLS version 0 (RFC 5281; with TLS 1.3 RFC 9427). Inside, as server: EAP, or PAP, CHAP and MSCHAPv2 as Windows,
//! Android and Apple do it; as peer: EAP, or PAP.

mod avp;
mod legacy;

use self::avp::{Avp, Code};
use crate::carrier::{Came, Carrier};
use crate::config::{Identity, Method, PeerConfig, SecretKind, ServerConfig};
use crate::fragment;
use crate::identity;
use crate::method::{Done, Next, PeerContext, PeerMethod, Progress, Reply, ServerContext, ServerMethod};
use crate::step::{Failed, Line, Step, printable};
use crate::tunnelled;
use wire::eap::{EapPacket, EapType};

/// charon's name of the packets inside.
const TUNNEL: &str = "EAP-TTLS";

pub(crate) struct Server {
    carrier: Option<Carrier>,
    phase: Phase,
}

enum Phase {
    Handshake,
    /// TLS is up, and it is the client's turn.
    Waiting,
    Eap(Box<crate::Server>),
    /// MSCHAPv2 without EAP: our proof is out.
    Proved(Done),
    /// An alert is out.
    Failing(Failed),
    Over,
}

impl Server {
    pub(crate) fn new(config: &ServerConfig) -> Result<Self, Failed> {
        // Refuses early what cannot work.
        Carrier::server(Method::Ttls, config, &[], config.tunnels.ttls.request_peer_auth)?;
        Ok(Self { carrier: None, phase: Phase::Handshake })
    }

    fn message(
        carrier: &mut Carrier,
        phase: Phase,
        plain: &[u8],
        empty: bool,
        cx: &mut ServerContext<'_>,
    ) -> Result<(Phase, Next), Failed> {
        if !carrier.session.is_up() {
            let next = carrier.flush().ok_or_else(|| Failed::peer("the TLS handshake does not go on"))?;
            return Ok((phase, Next::Send(next)));
        }
        if !plain.is_empty() {
            let avps =
                avp::parse(plain).map_err(|e| Failed::peer(format!("malformed EAP_TTLS message: {e}")))?;
            return Self::avps(carrier, phase, &avps, cx);
        }
        match phase {
            Phase::Handshake if !cx.config.tunnels.ttls.phase2_piggyback => {
                Ok((Phase::Waiting, Next::Send(carrier.flush().unwrap_or_else(|| carrier.nothing()))))
            }
            // RFC 5281 has the client begin; one that only acknowledges our Finished is asked.
            Phase::Handshake | Phase::Waiting if empty || matches!(phase, Phase::Handshake) => {
                let mut inner = tunnelled::server(Method::Ttls, cx.config, Identity::Ask, cx.rng);
                let step = inner.start();
                Self::inner(carrier, Box::new(inner), step, cx)
            }
            Phase::Proved(done) if empty => Ok((Phase::Over, Next::Done(done))),
            Phase::Failing(why) => Err(why),
            Phase::Handshake | Phase::Waiting | Phase::Eap(_) | Phase::Proved(_) | Phase::Over => {
                Err(Failed::peer("an empty EAP_TTLS message instead of an answer"))
            }
        }
    }

    fn avps(
        carrier: &mut Carrier,
        phase: Phase,
        avps: &[Avp<'_>],
        cx: &mut ServerContext<'_>,
    ) -> Result<(Phase, Next), Failed> {
        let packets: Vec<&[u8]> =
            avps.iter().filter(|a| a.code == Code::EAP_MESSAGE).map(|a| a.data).collect();
        match (packets.as_slice(), phase) {
            ([packet], Phase::Handshake | Phase::Waiting) => {
                tunnelled::tell(cx.log, "received", TUNNEL, packet);
                let (identity, id) = match EapPacket::parse(packet) {
                    Ok(EapPacket::Response { id, method: EapType::IDENTITY, data }) => {
                        (identity::check(data).map_err(|e| Failed::peer(e.to_string()))?, id)
                    }
                    _ => return Err(Failed::peer("EAP inside EAP_TTLS does not begin with an identity")),
                };
                cx.log.push(Line::ike(1, format!("received EAP identity '{}'", printable(&identity))));
                let mut inner =
                    tunnelled::server(Method::Ttls, cx.config, Identity::Asked { identity, id }, cx.rng);
                let step = inner.start();
                Self::inner(carrier, Box::new(inner), step, cx)
            }
            ([packet], Phase::Eap(mut inner)) => {
                tunnelled::tell(cx.log, "received", TUNNEL, packet);
                let step = inner.step(packet);
                Self::inner(carrier, inner, step, cx)
            }
            ([], Phase::Handshake | Phase::Waiting) if cx.config.tunnels.ttls.phase2_legacy => {
                legacy::serve(carrier, avps, cx)
            }
            ([], _) => Err(Failed::peer("no EAP message in an EAP_TTLS message")),
            (_, _) => Err(Failed::peer("unexpected EAP message in EAP_TTLS")),
        }
    }

    fn inner(
        carrier: &mut Carrier,
        inner: Box<crate::Server>,
        step: Step,
        cx: &mut ServerContext<'_>,
    ) -> Result<(Phase, Next), Failed> {
        match step {
            Step::Send { packet, log } => {
                cx.log.extend(log);
                tunnelled::tell(cx.log, "sending", TUNNEL, &packet);
                carrier.session.write(&avp::write(Code::EAP_MESSAGE, &packet))?;
                let data = carrier.flush().unwrap_or_else(|| carrier.nothing());
                Ok((Phase::Eap(inner), Next::Send(data)))
            }
            Step::Success { identity, log, .. } => {
                cx.log.extend(log);
                Ok((Phase::Over, Next::Done(carrier.done(identity)?)))
            }
            Step::Failure { why, log, .. } => {
                cx.log.extend(log);
                Err(why)
            }
        }
    }
}

impl ServerMethod for Server {
    fn start(&mut self, cx: &mut ServerContext<'_>) -> Next {
        match Carrier::server(Method::Ttls, cx.config, cx.identity, cx.config.tunnels.ttls.request_peer_auth)
        {
            Ok(carrier) => {
                self.carrier = Some(carrier);
                Next::Send(fragment::start())
            }
            Err(why) => Next::Fail(why),
        }
    }

    fn step(&mut self, data: &[u8], cx: &mut ServerContext<'_>) -> Next {
        let Some(carrier) = &mut self.carrier else {
            return Next::Fail(Failed::local("EAP_TTLS has not begun"));
        };
        let phase = std::mem::replace(&mut self.phase, Phase::Over);
        if let Phase::Failing(why) = phase {
            return Next::Fail(why);
        }
        if fragment::version(data) != 0 {
            return Next::Fail(Failed::peer(format!("version {} of EAP_TTLS", fragment::version(data))));
        }
        match carrier.receive(data, cx.log) {
            Err(why) => Next::Fail(why),
            Ok(Came::Send(data)) => {
                self.phase = phase;
                Next::Send(data)
            }
            Ok(Came::Broken(why, None)) => Next::Fail(why),
            Ok(Came::Broken(why, Some(data))) => {
                self.phase = Phase::Failing(why);
                Next::Send(data)
            }
            Ok(Came::Message { plain, empty }) => {
                match Self::message(carrier, phase, plain.as_slice(), empty, cx) {
                    Ok((phase, next)) => {
                        self.phase = phase;
                        next
                    }
                    Err(why) => Next::Fail(why),
                }
            }
        }
    }
}

pub(crate) struct Peer {
    carrier: Carrier,
    started: bool,
    /// What we say inside, once we have begun.
    inner: Option<Inner>,
}

enum Inner {
    Eap(Box<crate::Peer>),
    /// The password is out.
    Pap,
}

impl Peer {
    pub(crate) fn new(config: &PeerConfig) -> Result<Self, Failed> {
        Ok(Self { carrier: Carrier::client(Method::Ttls, config)?, started: false, inner: None })
    }

    /// Our first words inside.
    fn begin(&mut self, cx: &mut PeerContext<'_>) -> Result<(), Failed> {
        let me = &cx.config.identity;
        if cx.config.ttls_pap {
            let Some(password) = cx.config.secrets.secret(me, SecretKind::Password) else {
                return Err(Failed::local(format!("no EAP password for '{}'", printable(me))));
            };
            self.carrier.session.write(&legacy::pap(me, &password))?;
            self.inner = Some(Inner::Pap);
            return Ok(());
        }
        let packet = EapPacket::Response { id: 0, method: EapType::IDENTITY, data: me }.encode();
        tunnelled::tell(cx.log, "sending", TUNNEL, &packet);
        self.carrier.session.write(&avp::write(Code::EAP_MESSAGE, &packet))?;
        self.inner = Some(Inner::Eap(Box::new(tunnelled::peer(Method::Ttls, cx.config, cx.rng))));
        Ok(())
    }

    /// The server speaks inside.
    fn hear(&mut self, plain: &[u8], cx: &mut PeerContext<'_>) -> Result<(), Failed> {
        let avps = avp::parse(plain).map_err(|e| Failed::peer(format!("malformed EAP_TTLS message: {e}")))?;
        let mut packets = avps.iter().filter(|a| a.code == Code::EAP_MESSAGE).map(|a| a.data);
        let (Some(packet), None) = (packets.next(), packets.next()) else {
            return Err(Failed::peer("not one EAP message in an EAP_TTLS message"));
        };
        legacy::refuse_unknown(&avps)?;
        if cx.config.ttls_pap {
            return Err(Failed::peer("the server wants EAP inside EAP_TTLS, we are configured for PAP"));
        }
        tunnelled::tell(cx.log, "received", TUNNEL, packet);
        let mut inner = match self.inner.take() {
            Some(Inner::Eap(inner)) => inner,
            Some(Inner::Pap) | None => Box::new(tunnelled::peer(Method::Ttls, cx.config, cx.rng)),
        };
        // Some servers end the inner conversation, too; what counts is the outer end.
        let ends = matches!(EapPacket::parse(packet), Ok(EapPacket::Success { .. })) && inner.is_done();
        if !ends {
            match inner.step(packet) {
                Step::Send { packet, log } => {
                    cx.log.extend(log);
                    tunnelled::tell(cx.log, "sending", TUNNEL, &packet);
                    self.carrier.session.write(&avp::write(Code::EAP_MESSAGE, &packet))?;
                }
                Step::Success { .. } => return Err(Failed::peer("unexpected EAP-Success inside EAP_TTLS")),
                Step::Failure { why, log, .. } => {
                    cx.log.extend(log);
                    return Err(why);
                }
            }
        }
        self.inner = Some(Inner::Eap(inner));
        Ok(())
    }

    /// Where we stand: only what is done inside can be done outside.
    fn progress(&self) -> Result<Progress, Failed> {
        Ok(match &self.inner {
            None => Progress::Running,
            Some(Inner::Pap) => Progress::Done(self.carrier.done(None)?),
            Some(Inner::Eap(inner)) => match inner.doom() {
                Some(why) => Progress::Doomed(why.clone()),
                None if inner.is_done() => Progress::Done(self.carrier.done(None)?),
                None => Progress::Running,
            },
        })
    }
}

impl PeerMethod for Peer {
    fn step(&mut self, data: &[u8], cx: &mut PeerContext<'_>) -> Result<Reply, Failed> {
        if !self.started {
            fragment::start_version(data)
                .ok_or_else(|| Failed::peer("EAP_TTLS does not begin with a start"))?;
            self.started = true;
            cx.log.push(Line::tls(1, "EAP_TTLS version is v0"));
            return Ok(Reply::running(self.carrier.flush().unwrap_or_else(|| self.carrier.nothing())));
        }
        let plain = match self.carrier.receive(data, cx.log)? {
            Came::Send(data) => return Ok(Reply { data, state: self.progress()? }),
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
        if !plain.is_empty() {
            self.hear(plain.as_slice(), cx)?;
        } else if self.inner.is_none() {
            self.begin(cx)?;
        }
        let data = self.carrier.flush().unwrap_or_else(|| self.carrier.nothing());
        Ok(Reply { data, state: self.progress()? })
    }
}
