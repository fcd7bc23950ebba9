//! PEAP version 0 (draft-kamath-pppext-peapv0, \[MS-PEAP\]; with TLS 1.3 RFC 9427): EAP without its header inside TLS, and
//! a Result TLV at the end.
//!
//! Crypto-binding is not made; a server's Crypto-Binding TLV is passed over, as \[MS-PEAP\] lets a peer do.

use crate::carrier::Carrier;
use crate::config::{Identity, Method};
use crate::method::{Next, PeerContext, Progress, ServerContext};
use crate::step::{Failed, Line, Step};
use crate::tunnelled::{self, PeerEnd, PeerInside, ServerEnd, ServerInside};
use wire::WireError;
use wire::codec::{Reader, Writer};
use wire::eap::{EapPacket, EapType, HEADER};

/// charon's name of the packets inside.
const TUNNEL: &str = "EAP-PEAP";

const MANDATORY: u16 = 0x8000;
const TLV_RESULT: u16 = 3;
const TLV_CRYPTO_BINDING: u16 = 12;
const RESULT_SUCCESS: u16 = 1;
const RESULT_FAILURE: u16 = 2;
/// TLVs in one packet.
const MAX_TLVS: usize = 32;

/// The result in a packet of TLVs.
fn read_result(data: &[u8]) -> Result<Option<bool>, WireError> {
    let mut r = Reader::new(data);
    let mut result = None;
    let mut count = 0;
    while !r.is_empty() {
        count += 1;
        if count > MAX_TLVS {
            return Err(WireError::TooMany { what: "PEAP TLVs", limit: MAX_TLVS });
        }
        let (kind, length) = (r.u16("PEAP TLV type")?, r.u16("PEAP TLV length")?);
        let mut value = Reader::new(r.take(usize::from(length), "PEAP TLV")?);
        match kind & 0x3fff {
            TLV_RESULT => {
                let status = value.u16("PEAP result")?;
                value.finish("PEAP result")?;
                // Of two results the worse one counts.
                result = Some(result.unwrap_or(true) && status == RESULT_SUCCESS);
            }
            TLV_CRYPTO_BINDING => {}
            _ if kind & MANDATORY == 0 => {}
            other => return Err(WireError::Illegal { what: "mandatory PEAP TLV", value: u64::from(other) }),
        }
    }
    Ok(result)
}

fn write_result(success: bool) -> Vec<u8> {
    let mut w = Writer::new();
    w.u16(MANDATORY | TLV_RESULT).u16(2).u16(if success { RESULT_SUCCESS } else { RESULT_FAILURE });
    w.into_vec()
}

/// What travels inside for a packet: all but the header, unless it is TLVs.
fn strip(packet: &[u8]) -> Vec<u8> {
    let whole = matches!(
        EapPacket::parse(packet),
        Ok(EapPacket::Request { method: EapType::TLV, .. }
            | EapPacket::Response { method: EapType::TLV, .. })
    );
    if whole { packet.to_vec() } else { packet.get(HEADER..).unwrap_or_default().to_vec() }
}

/// The packet for what came: with the header that was left out. `request`: the server sent it.
fn rebuild(plain: &[u8], request: bool, id: u8) -> Vec<u8> {
    let code = if request { 1 } else { 2 };
    let length = u16::try_from(plain.len()).unwrap_or(u16::MAX).to_be_bytes();
    // Whole packets are TLVs, and with some servers the end of the inner conversation. As a type 1 to 4 is neither TLVs
    // nor a method with this content, the two cannot be confused.
    let whole = match plain {
        [c, _, a, b, kind, ..] if *c == code && [*a, *b] == length => {
            Some(EapType::ietf(*kind)) == Some(EapType::TLV)
        }
        [3 | 4, _, 0, 4] => request,
        _ => false,
    };
    if whole {
        return plain.to_vec();
    }
    let mut w = Writer::new();
    w.u8(code).u8(id).u16(u16::try_from(plain.len().saturating_add(HEADER)).unwrap_or(u16::MAX)).bytes(plain);
    w.into_vec()
}

pub(crate) type Server = ServerEnd<Phase>;
pub(crate) type Peer = PeerEnd<Voice>;

/// Where the server stands.
pub(crate) enum Phase {
    Handshake,
    /// Our Finished is out, and the client acknowledges it.
    Finished,
    Eap(Box<crate::Server>),
    /// The result is out: whom it is about, or why it is a bad one.
    Result(Result<Option<Vec<u8>>, Failed>),
}

impl ServerInside for Phase {
    const METHOD: Method = Method::Peap;

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
        match self {
            // RFC 9427 3.3: with TLS 1.3 the client's Finished is the last of the handshake, and we begin.
            Self::Handshake if plain.is_empty() => {
                if !carrier.session.is_13() && !cx.config.tunnels.peap.phase2_piggyback {
                    let next = carrier.flush().unwrap_or_else(|| carrier.nothing());
                    return Ok((Some(Self::Finished), Next::Send(next)));
                }
                begin(carrier, cx)
            }
            Self::Finished if empty => begin(carrier, cx),
            Self::Eap(mut inner) if !plain.is_empty() => {
                let packet = rebuild(plain, false, inner.outstanding());
                tunnelled::tell(cx.log, "received", TUNNEL, &packet);
                inner.align(cx.id);
                let step = inner.step(&packet);
                answer(carrier, inner, step, cx)
            }
            Self::Result(wanted) if !plain.is_empty() => {
                let packet = rebuild(plain, false, cx.id.wrapping_sub(1));
                tunnelled::tell(cx.log, "received", TUNNEL, &packet);
                let agreed = match EapPacket::parse(&packet) {
                    Ok(EapPacket::Response { method: EapType::TLV, data, .. }) => read_result(data)
                        .map_err(|e| Failed::peer(format!("malformed EAP_PEAP result: {e}")))?,
                    _ => None,
                };
                match wanted {
                    Err(why) => Err(why),
                    Ok(user) if agreed == Some(true) => Ok((None, Next::Done(carrier.done(user)?))),
                    Ok(_) => Err(Failed::peer("the peer does not agree to the result of EAP_PEAP")),
                }
            }
            Self::Result(Err(why)) => Err(why),
            Self::Handshake | Self::Finished | Self::Eap(_) | Self::Result(Ok(_)) => {
                Err(Failed::peer("unexpected EAP_PEAP message"))
            }
        }
    }
}

fn begin(carrier: &mut Carrier, cx: &mut ServerContext<'_>) -> Result<(Option<Phase>, Next), Failed> {
    let mut inner = tunnelled::server(Method::Peap, cx.config, Identity::Ask, cx.rng);
    inner.align(cx.id);
    let step = inner.start();
    answer(carrier, Box::new(inner), step, cx)
}

fn answer(
    carrier: &mut Carrier,
    inner: Box<crate::Server>,
    step: Step,
    cx: &mut ServerContext<'_>,
) -> Result<(Option<Phase>, Next), Failed> {
    let (phase, packet) = match step {
        Step::Send { packet, log } => {
            cx.log.extend(log);
            (Phase::Eap(inner), packet)
        }
        Step::Success { identity, log, .. } => {
            cx.log.extend(log);
            (Phase::Result(Ok(identity)), result(cx.id, true))
        }
        Step::Failure { why, log, .. } => {
            cx.log.extend(log);
            (Phase::Result(Err(why)), result(cx.id, false))
        }
    };
    tunnelled::tell(cx.log, "sending", TUNNEL, &packet);
    carrier.session.write(&strip(&packet))?;
    Ok((Some(phase), Next::Send(carrier.flush().unwrap_or_else(|| carrier.nothing()))))
}

/// The request that tells the result.
fn result(id: u8, success: bool) -> Vec<u8> {
    EapPacket::Request { id, method: EapType::TLV, data: &write_result(success) }.encode()
}

/// What the peer says inside.
#[derive(Default)]
pub(crate) struct Voice {
    inner: Option<Box<crate::Peer>>,
    /// The result that was agreed upon.
    result: Option<bool>,
}

impl Voice {
    /// The server speaks inside: our answer.
    fn answer(&mut self, plain: &[u8], cx: &mut PeerContext<'_>) -> Result<Vec<u8>, Failed> {
        let packet = rebuild(plain, true, cx.id);
        tunnelled::tell(cx.log, "received", TUNNEL, &packet);
        let parsed = EapPacket::parse(&packet)
            .map_err(|e| Failed::peer(format!("malformed EAP_PEAP message: {e}")))?;
        let inner =
            self.inner.get_or_insert_with(|| Box::new(tunnelled::peer(Method::Peap, cx.config, cx.rng)));
        match parsed {
            EapPacket::Request { id, method: EapType::TLV, data } => {
                let told =
                    read_result(data).map_err(|e| Failed::peer(format!("malformed EAP_PEAP result: {e}")))?;
                // A success that the inner method does not know of is none.
                let agreed = told == Some(true) && inner.is_done();
                if told == Some(true) && !agreed {
                    cx.log.push(Line::ike(1, "received EAP-PEAP success before the inner method completed"));
                }
                self.result = Some(agreed);
                Ok(EapPacket::Response { id, method: EapType::TLV, data: &write_result(agreed) }.encode())
            }
            EapPacket::Success { .. } if inner.is_done() => {
                self.result = Some(true);
                Ok(Vec::new())
            }
            _ => match inner.step(&packet) {
                Step::Send { packet, log } => {
                    cx.log.extend(log);
                    Ok(packet)
                }
                Step::Success { .. } => Err(Failed::peer("unexpected EAP-Success inside EAP_PEAP")),
                Step::Failure { why, log, .. } => {
                    cx.log.extend(log);
                    Err(why)
                }
            },
        }
    }
}

impl PeerInside for Voice {
    const METHOD: Method = Method::Peap;

    fn hear(&mut self, carrier: &mut Carrier, plain: &[u8], cx: &mut PeerContext<'_>) -> Result<(), Failed> {
        if plain.is_empty() {
            return Ok(());
        }
        let answer = self.answer(plain, cx)?;
        if answer.is_empty() {
            return Ok(());
        }
        tunnelled::tell(cx.log, "sending", TUNNEL, &answer);
        carrier.session.write(&strip(&answer))
    }

    fn progress(&self, carrier: &Carrier) -> Result<Progress, Failed> {
        let doom = self.inner.as_ref().and_then(|inner| inner.doom());
        Ok(match (self.result, doom) {
            (_, Some(why)) => Progress::Doomed(why.clone()),
            (Some(true), None) => Progress::Done(carrier.done(None)?),
            (Some(false), None) => Progress::Doomed(Failed::local("EAP_PEAP ended with a failure")),
            (None, None) => Progress::Running,
        })
    }
}

#[cfg(test)]
mod tests;
