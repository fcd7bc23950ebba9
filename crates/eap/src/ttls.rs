//! EAP-TTLS version 0 (RFC 5281; with TLS 1.3 RFC 9427). Inside, as server: EAP, or PAP, CHAP and MSCHAPv2 as Windows,
//! Android and Apple do it; as peer: EAP, or PAP.

mod avp;
mod legacy;

use self::avp::{Avp, Code};
use crate::carrier::Carrier;
use crate::config::{Identity, Method, SecretKind};
use crate::identity;
use crate::method::{Done, Next, PeerContext, Progress, ServerContext};
use crate::step::{Failed, Line, Step, printable};
use crate::tunnelled::{self, PeerEnd, PeerInside, ServerEnd, ServerInside};
use wire::eap::{EapPacket, EapType};

/// charon's name of the packets inside.
const TUNNEL: &str = "EAP-TTLS";

pub(crate) type Server = ServerEnd<Phase>;
pub(crate) type Peer = PeerEnd<Voice>;

/// Where the server stands.
pub(crate) enum Phase {
    Handshake,
    /// TLS is up, and it is the client's turn.
    Waiting,
    Eap(Box<crate::Server>),
    /// MSCHAPv2 without EAP: our proof is out.
    Proved(Done),
}

impl ServerInside for Phase {
    const METHOD: Method = Method::Ttls;

    fn handshake() -> Self {
        Self::Handshake
    }

    fn message(
        self,
        carrier: &mut Carrier,
        plain: &[u8],
        empty: bool,
        cx: &mut ServerContext<'_>,
    ) -> Result<(Option<Self>, Next), Failed> {
        if !plain.is_empty() {
            let avps =
                avp::parse(plain).map_err(|e| Failed::peer(format!("malformed EAP_TTLS message: {e}")))?;
            return self.avps(carrier, &avps, cx);
        }
        match self {
            Self::Handshake if !cx.config.tunnels.ttls.phase2_piggyback => {
                Ok((Some(Self::Waiting), Next::Send(carrier.flush().unwrap_or_else(|| carrier.nothing()))))
            }
            // RFC 5281 has the client begin; one that only acknowledges our Finished is asked.
            Self::Handshake => ask(carrier, cx),
            Self::Waiting if empty => ask(carrier, cx),
            Self::Proved(done) if empty => Ok((None, Next::Done(done))),
            Self::Waiting | Self::Eap(_) | Self::Proved(_) => {
                Err(Failed::peer("an empty EAP_TTLS message instead of an answer"))
            }
        }
    }
}

impl Phase {
    fn avps(
        self,
        carrier: &mut Carrier,
        avps: &[Avp<'_>],
        cx: &mut ServerContext<'_>,
    ) -> Result<(Option<Self>, Next), Failed> {
        let packets: Vec<&[u8]> =
            avps.iter().filter(|a| a.code == Code::EAP_MESSAGE).map(|a| a.data).collect();
        match (packets.as_slice(), self) {
            ([packet], Self::Handshake | Self::Waiting) => {
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
                answer(carrier, Box::new(inner), step, cx)
            }
            ([packet], Self::Eap(mut inner)) => {
                tunnelled::tell(cx.log, "received", TUNNEL, packet);
                let step = inner.step(packet);
                answer(carrier, inner, step, cx)
            }
            ([], Self::Handshake | Self::Waiting) if cx.config.tunnels.ttls.phase2_legacy => {
                legacy::serve(carrier, avps, cx)
            }
            ([], _) => Err(Failed::peer("no EAP message in an EAP_TTLS message")),
            (_, _) => Err(Failed::peer("unexpected EAP message in EAP_TTLS")),
        }
    }
}

/// Asks who it is.
fn ask(carrier: &mut Carrier, cx: &mut ServerContext<'_>) -> Result<(Option<Phase>, Next), Failed> {
    let mut inner = tunnelled::server(Method::Ttls, cx.config, Identity::Ask, cx.rng);
    let step = inner.start();
    answer(carrier, Box::new(inner), step, cx)
}

fn answer(
    carrier: &mut Carrier,
    inner: Box<crate::Server>,
    step: Step,
    cx: &mut ServerContext<'_>,
) -> Result<(Option<Phase>, Next), Failed> {
    match step {
        Step::Send { packet, log } => {
            cx.log.extend(log);
            tunnelled::tell(cx.log, "sending", TUNNEL, &packet);
            carrier.session.write(&avp::write(Code::EAP_MESSAGE, &packet))?;
            let data = carrier.flush().unwrap_or_else(|| carrier.nothing());
            Ok((Some(Phase::Eap(inner)), Next::Send(data)))
        }
        Step::Success { identity, log, .. } => {
            cx.log.extend(log);
            Ok((None, Next::Done(carrier.done(identity)?)))
        }
        Step::Failure { why, log, .. } => {
            cx.log.extend(log);
            Err(why)
        }
    }
}

/// What the peer says inside, once it has begun.
#[derive(Default)]
pub(crate) struct Voice(Option<Inner>);

enum Inner {
    Eap(Box<crate::Peer>),
    /// The password is out.
    Pap,
}

impl Voice {
    /// Our first words inside.
    fn begin(&mut self, carrier: &mut Carrier, cx: &mut PeerContext<'_>) -> Result<(), Failed> {
        let me = &cx.config.identity;
        if cx.config.ttls_pap {
            let Some(password) = cx.config.secrets.secret(me, SecretKind::Password) else {
                return Err(Failed::local(format!("no EAP password for '{}'", printable(me))));
            };
            carrier.session.write(&legacy::pap(me, &password))?;
            self.0 = Some(Inner::Pap);
            return Ok(());
        }
        let packet = EapPacket::Response { id: 0, method: EapType::IDENTITY, data: me }.encode();
        tunnelled::tell(cx.log, "sending", TUNNEL, &packet);
        carrier.session.write(&avp::write(Code::EAP_MESSAGE, &packet))?;
        self.0 = Some(Inner::Eap(Box::new(tunnelled::peer(Method::Ttls, cx.config, cx.rng))));
        Ok(())
    }

    /// The server speaks inside.
    fn answer(
        &mut self,
        carrier: &mut Carrier,
        plain: &[u8],
        cx: &mut PeerContext<'_>,
    ) -> Result<(), Failed> {
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
        let mut inner = match self.0.take() {
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
                    carrier.session.write(&avp::write(Code::EAP_MESSAGE, &packet))?;
                }
                Step::Success { .. } => return Err(Failed::peer("unexpected EAP-Success inside EAP_TTLS")),
                Step::Failure { why, log, .. } => {
                    cx.log.extend(log);
                    return Err(why);
                }
            }
        }
        self.0 = Some(Inner::Eap(inner));
        Ok(())
    }
}

impl PeerInside for Voice {
    const METHOD: Method = Method::Ttls;

    fn hear(&mut self, carrier: &mut Carrier, plain: &[u8], cx: &mut PeerContext<'_>) -> Result<(), Failed> {
        match &self.0 {
            _ if !plain.is_empty() => self.answer(carrier, plain, cx),
            None => self.begin(carrier, cx),
            Some(_) => Ok(()),
        }
    }

    fn progress(&self, carrier: &Carrier) -> Result<Progress, Failed> {
        Ok(match &self.0 {
            None => Progress::Running,
            Some(Inner::Pap) => Progress::Done(carrier.done(None)?),
            Some(Inner::Eap(inner)) => match inner.doom() {
                Some(why) => Progress::Doomed(why.clone()),
                None if inner.is_done() => Progress::Done(carrier.done(None)?),
                None => Progress::Running,
            },
        })
    }
}
