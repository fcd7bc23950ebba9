//! PAP, CHAP and MSCHAPv2 inside TTLS, without EAP (RFC 5281 11.2).
use super::Phase;
use super::avp::{self, Avp, Code};
use crate::carrier::Carrier;
use crate::config::{Method, SecretKind};
use crate::identity::MAX_IDENTITY;
use crate::md5;
use crate::method::{Next, ServerContext};
use crate::mschapv2::crypto::{authenticator_response, nt_response};
use crate::mschapv2::{hex, password_hash, without_domain};
use crate::step::{Failed, Line, printable};
use crypto::Secret;
use crypto::secret::ct_eq;
use wire::codec::Reader;

/// Bytes of the implicit challenge; one more is the identifier (RFC 5281 11.1).
const CHALLENGE: usize = 16;
/// RFC 5281 11.2.5: passwords are padded to a multiple of this.
const BLOCK: usize = 16;

/// A client that authenticates without EAP.
pub(super) fn serve(
    carrier: &mut Carrier,
    avps: &[Avp<'_>],
    cx: &mut ServerContext<'_>,
) -> Result<(Option<Phase>, Next), Failed> {
    refuse_unknown(avps)?;
    if avps.iter().any(|a| a.code == Code::MS_CHAP_RESPONSE) {
        return Err(Failed::peer("MSCHAP version 1 inside EAP_TTLS is not available"));
    }
    let one = |code| one(avps, code);
    let user = one(Code::USER_NAME)?
        .filter(|u| !u.is_empty() && u.len() <= MAX_IDENTITY)
        .ok_or_else(|| Failed::peer("no user name in an EAP_TTLS message"))?;
    let plain = one(Code::USER_PASSWORD)?;
    let chap = one(Code::CHAP_PASSWORD)?.zip(one(Code::CHAP_CHALLENGE)?);
    let mschapv2 = one(Code::MS_CHAP2_RESPONSE)?.zip(one(Code::MS_CHAP_CHALLENGE)?);
    match (plain, chap, mschapv2) {
        (Some(given), None, None) => pap_verify(carrier, user, given, cx),
        (None, Some((password, challenge)), None) => chap_verify(carrier, user, password, challenge, cx),
        (None, None, Some((response, challenge))) => mschapv2_verify(carrier, user, response, challenge, cx),
        _ => Err(Failed::peer("not one of PAP, CHAP and MSCHAPv2 in an EAP_TTLS message")),
    }
}

fn pap_verify(
    carrier: &Carrier,
    user: &[u8],
    given: &[u8],
    cx: &mut ServerContext<'_>,
) -> Result<(Option<Phase>, Next), Failed> {
    let end = given.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    let given = given.get(..end).unwrap_or_default();
    let password = password(user, cx)?;
    if given.is_empty() || Secret::from(given) != password {
        return Err(wrong("PAP", user, cx));
    }
    succeed("PAP", user, cx);
    Ok((None, Next::Done(carrier.done(Some(user.to_vec()))?)))
}

fn chap_verify(
    carrier: &Carrier,
    user: &[u8],
    response: &[u8],
    challenge: &[u8],
    cx: &mut ServerContext<'_>,
) -> Result<(Option<Phase>, Next), Failed> {
    let id = implicit_challenge(carrier, challenge, response)?;
    let given = response.get(1..).unwrap_or_default();
    let password = password(user, cx)?;
    if !ct_eq(given, &md5::answer(id, password.as_slice(), challenge)) {
        return Err(wrong("CHAP", user, cx));
    }
    succeed("CHAP", user, cx);
    Ok((None, Next::Done(carrier.done(Some(user.to_vec()))?)))
}

fn mschapv2_verify(
    carrier: &mut Carrier,
    user: &[u8],
    response: &[u8],
    challenge: &[u8],
    cx: &mut ServerContext<'_>,
) -> Result<(Option<Phase>, Next), Failed> {
    let id = implicit_challenge(carrier, challenge, response)?;
    let malformed = || Failed::peer("malformed MSCHAPv2 response in an EAP_TTLS message");
    let server = challenge.first_chunk::<CHALLENGE>().ok_or_else(malformed)?;
    // RFC 2548 2.3.2: identifier, flags, the peer's challenge, 8 reserved bytes, the response.
    let mut r = Reader::new(response);
    let read = |r: &mut Reader<'_>| {
        r.skip(2, "")?;
        let peer = r.array("")?;
        r.skip(8, "")?;
        let given = r.array("")?;
        r.finish("")?;
        Ok::<_, wire::WireError>((peer, given))
    };
    let (peer, given) = read(&mut r).map_err(|_| malformed())?;
    let Some(hash) = password_hash(&*cx.config.secrets, user) else { return Err(unknown(user, cx)) };
    let account = without_domain(user);
    if !ct_eq(&nt_response(server, &peer, account, &hash), &given) {
        return Err(wrong("MSCHAPV2", user, cx));
    }
    succeed("MSCHAPV2", user, cx);
    let proof = authenticator_response(&hash, &given, &peer, server, account);
    let success = [&[id][..], format!("S={}", hex(&proof)).as_bytes()].concat();
    carrier.session.write(&avp::write(Code::MS_CHAP2_SUCCESS, &success))?;
    let done = carrier.done(Some(user.to_vec()))?;
    Ok((Some(Phase::Proved(done)), Next::Send(carrier.flush().unwrap_or_else(|| carrier.nothing()))))
}

/// RFC 5281 11.1: the challenge follows from the TLS session, else a response could be taken from elsewhere. Gives the
/// identifier.
fn implicit_challenge(carrier: &Carrier, challenge: &[u8], response: &[u8]) -> Result<u8, Failed> {
    let expected = carrier.session.challenge(CHALLENGE + 1)?;
    let (expected, id) = expected.split_at(CHALLENGE);
    let id = id.as_slice().first().copied().unwrap_or_default();
    if ct_eq(challenge, expected.as_slice()) && response.first() == Some(&id) {
        Ok(id)
    } else {
        Err(Failed::peer("a challenge in EAP_TTLS that is not of this TLS session"))
    }
}

/// RFC 5281 10.1: a mandatory AVP that is not known fails the negotiation.
pub(super) fn refuse_unknown(avps: &[Avp<'_>]) -> Result<(), Failed> {
    const KNOWN: [Code; 9] = [
        Code::USER_NAME,
        Code::USER_PASSWORD,
        Code::CHAP_PASSWORD,
        Code::CHAP_CHALLENGE,
        Code::EAP_MESSAGE,
        Code::MS_CHAP_CHALLENGE,
        Code::MS_CHAP_RESPONSE,
        Code::MS_CHAP2_RESPONSE,
        Code::MS_CHAP2_SUCCESS,
    ];
    match avps.iter().find(|a| a.mandatory && !KNOWN.contains(&a.code)) {
        Some(Avp { code, .. }) => Err(Failed::peer(format!(
            "unknown mandatory AVP {} of vendor {} in EAP_TTLS",
            code.number, code.vendor
        ))),
        None => Ok(()),
    }
}

/// The AVP of a code, of which there may be one.
fn one<'a>(avps: &[Avp<'a>], code: Code) -> Result<Option<&'a [u8]>, Failed> {
    let mut found = avps.iter().filter(|a| a.code == code).map(|a| a.data);
    match (found.next(), found.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => Err(Failed::peer(format!("AVP {} twice in an EAP_TTLS message", code.number))),
    }
}

/// What a PAP client sends.
pub(super) fn pap(user: &[u8], password: &Secret) -> Vec<u8> {
    let mut padded = Secret::zeroed(password.len().next_multiple_of(BLOCK));
    for (to, from) in padded.as_mut_slice().iter_mut().zip(password.as_slice()) {
        *to = *from;
    }
    [avp::write(Code::USER_NAME, user), avp::write(Code::USER_PASSWORD, padded.as_slice())].concat()
}

fn password(user: &[u8], cx: &mut ServerContext<'_>) -> Result<Secret, Failed> {
    cx.config.secrets.secret(user, SecretKind::Password).ok_or_else(|| unknown(user, cx))
}

fn unknown(user: &[u8], cx: &mut ServerContext<'_>) -> Failed {
    let user = printable(user);
    cx.log.push(Line::ike(
        1,
        format!("no EAP key found for hosts '{}' - '{user}'", printable(&cx.config.name)),
    ));
    Failed::peer(format!("no EAP password for '{user}'"))
}

fn wrong(how: &str, user: &[u8], cx: &mut ServerContext<'_>) -> Failed {
    cx.log.push(Line::ike(1, format!("{how} verification in EAP_TTLS failed")));
    Failed::peer(format!("wrong {how} password of '{}' in EAP_TTLS", printable(user)))
}

fn succeed(how: &str, user: &[u8], cx: &mut ServerContext<'_>) {
    let (tunnel, user) = (Method::Ttls, printable(user));
    cx.log.push(Line::ike(1, format!("{tunnel} phase2 authentication of '{user}' with {how} successful")));
}
