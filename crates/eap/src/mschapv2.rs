//! EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2, RFC 2759), with the MSK of RFC 3079 as Windows and strongSwan have it.
//!
//! Both sides prove that they know the password, but whoever listens can try passwords at leisure and break the rest
//! with one DES search: on its own it must be inside IKE after the gateway's signature, or inside a TLS tunnel, and does
//! not count as mutual for EAP-only authentication (RFC 5998 4).
//!
//! One try per conversation, and no change of passwords: a wrong password is told as `R=0`.

pub(crate) mod crypto;
mod packet;

use self::crypto::{Challenge, NT_RESPONSE, authenticator_response, msk, nt_password_hash, nt_response};
use self::packet::{Request, Response};
use crate::config::{SecretKind, Secrets};
use crate::method::{Done, Next, PeerContext, PeerMethod, Progress, Reply, ServerContext, ServerMethod};
use crate::step::{Failed, Line, printable};
use ::crypto::secret::ct_eq;
use ::crypto::{Rng, Secret};
use std::fmt::Write as _;

const NT_HASH: usize = 16;

#[derive(Default)]
pub(crate) struct Server {
    id: u8,
    challenge: Challenge,
    state: Serving,
}

/// What the server waits for.
#[derive(Default)]
enum Serving {
    /// The response to its challenge.
    #[default]
    Challenged,
    /// The peer's consent to its proof.
    Proved(Done),
    /// The peer's acknowledgement of a failure.
    Refused(Failed),
}

impl ServerMethod for Server {
    fn start(&mut self, cx: &mut ServerContext<'_>) -> Next {
        cx.rng.fill(&mut self.challenge);
        self.id = cx.id;
        let name = &cx.config.name;
        Next::Send(Request::Challenge { id: self.id, challenge: self.challenge, name }.encode())
    }

    fn step(&mut self, data: &[u8], cx: &mut ServerContext<'_>) -> Next {
        let response = match Response::parse(data) {
            Ok(response) => response,
            Err(fault) => {
                return Next::Fail(Failed::peer(format!("malformed EAP_MSCHAPV2 response: {fault}")));
            }
        };
        match (std::mem::take(&mut self.state), response) {
            (Serving::Challenged, Response::Answer { id, peer, nt_response, name }) if id == self.id => {
                self.verify(peer, nt_response, name, cx)
            }
            (Serving::Proved(done), Response::Success) => Next::Done(done),
            // A client that does not like our proof.
            (Serving::Proved(_), Response::Failure) => {
                Next::Fail(Failed::peer("the peer refuses our EAP_MSCHAPV2 authenticator response"))
            }
            // Whatever it answers, it has failed; its wish to change the password, too, is not heard.
            (Serving::Refused(why), _) => Next::Fail(why),
            (_, Response::ChangePassword) => {
                Next::Fail(Failed::peer("the peer wants to change its password, which is not available"))
            }
            (Serving::Challenged | Serving::Proved(_), _) => {
                Next::Fail(Failed::peer("unexpected EAP_MSCHAPV2 response"))
            }
        }
    }
}

impl Server {
    fn verify(
        &mut self,
        peer: Challenge,
        given: [u8; NT_RESPONSE],
        name: &[u8],
        cx: &mut ServerContext<'_>,
    ) -> Next {
        let user = printable(name);
        cx.log.push(Line::ike(1, format!("EAP-MS-CHAPv2 username: '{user}'")));
        // Else one who knows a password could have the rights of the identity that he named first.
        if cx.asked && !same_user(name, cx.identity) {
            let claimed = printable(cx.identity);
            return self
                .refuse(format!("EAP_MSCHAPV2 user '{user}' is not the EAP identity '{claimed}'"), cx);
        }
        let Some(hash) = password_hash(&*cx.config.secrets, name) else {
            cx.log.push(Line::ike(
                1,
                format!("no EAP key found for hosts '{}' - '{user}'", printable(&cx.config.name)),
            ));
            return self.refuse(format!("no EAP password for '{user}'"), cx);
        };
        let account = without_domain(name);
        if !ct_eq(&nt_response(&self.challenge, &peer, account, &hash), &given) {
            cx.log.push(Line::ike(1, "EAP-MS-CHAPv2 verification failed"));
            return self.refuse(format!("wrong EAP_MSCHAPV2 password of '{user}'"), cx);
        }
        let proof = authenticator_response(&hash, &given, &peer, &self.challenge, account);
        let done = Done { msk: Some(msk(&hash, &given)), mutual: false, user: Some(name.to_vec()) };
        self.state = Serving::Proved(done);
        let message = format!("S={} M=Welcome", hex(&proof));
        Next::Send(Request::Success { id: self.id, message: message.as_bytes() }.encode())
    }

    /// RFC 2759 6: the message for a failure, the same for an unknown user and for a wrong password.
    fn refuse(&mut self, reason: String, cx: &mut ServerContext<'_>) -> Next {
        self.state = Serving::Refused(Failed::peer(reason));
        let mut challenge = Challenge::default();
        cx.rng.fill(&mut challenge);
        let message = format!("E=691 R=0 C={} V=3 M=FAILED", hex(&challenge));
        Next::Send(Request::Failure { id: self.id, message: message.as_bytes() }.encode())
    }
}

/// The peer, by what it has done.
#[derive(Default)]
pub(crate) enum Peer {
    #[default]
    Start,
    /// It has answered the challenge.
    Responded {
        hash: Secret,
        response: [u8; NT_RESPONSE],
        proof: Vec<u8>,
    },
    Over,
}

impl PeerMethod for Peer {
    fn step(&mut self, data: &[u8], cx: &mut PeerContext<'_>) -> Result<Reply, Failed> {
        let request = Request::parse(data)
            .map_err(|fault| Failed::peer(format!("malformed EAP_MSCHAPV2 request: {fault}")))?;
        match (std::mem::replace(self, Self::Over), request) {
            (Self::Start, Request::Challenge { id, challenge, .. }) => {
                let me = &cx.config.identity;
                let Some(hash) = password_hash(&*cx.config.secrets, me) else {
                    let (me, server) = (printable(me), printable(&cx.config.server));
                    cx.log.push(Line::ike(1, format!("no EAP key found for hosts '{server}' - '{me}'")));
                    return Err(Failed::local(format!("no EAP password for '{me}'")));
                };
                let peer = draw(cx.rng);
                let account = without_domain(me);
                let response = nt_response(&challenge, &peer, account, &hash);
                let proof = authenticator_response(&hash, &response, &peer, &challenge, account);
                *self = Self::Responded { hash, response, proof };
                Ok(Reply::running(Response::Answer { id, peer, nt_response: response, name: me }.encode()))
            }
            (Self::Responded { hash, response, proof }, Request::Success { message, .. }) => {
                let Some(rest) = message.strip_prefix(b"S=").filter(|rest| proves(rest, &proof)) else {
                    cx.log.push(Line::ike(1, "EAP-MS-CHAPv2 verification failed"));
                    return Err(Failed::peer("the server does not know our EAP_MSCHAPV2 password"));
                };
                let words = rest.get(2 * proof.len()..).unwrap_or_default();
                let words = words.strip_prefix(b" ").unwrap_or(words);
                let words = printable(words.strip_prefix(b"M=").unwrap_or(words));
                cx.log.push(Line::ike(1, format!("EAP-MS-CHAPv2 succeeded: '{words}'")));
                let done = Done { msk: Some(msk(&hash, &response)), mutual: false, user: None };
                Ok(Reply { data: Response::Success.encode(), state: Progress::Done(done) })
            }
            (Self::Responded { .. }, Request::Failure { message, .. }) => {
                let (error, words) = failure(message);
                cx.log.push(Line::ike(1, format!("EAP-MS-CHAPv2 failed with error {error}: '{words}'")));
                let why = Failed::local(format!("EAP_MSCHAPV2 was refused: {error}"));
                Ok(Reply { data: Response::Failure.encode(), state: Progress::Doomed(why) })
            }
            (_, Request::Challenge { .. } | Request::Success { .. } | Request::Failure { .. }) => {
                Err(Failed::peer("unexpected EAP_MSCHAPV2 request"))
            }
        }
    }
}

fn draw(rng: &mut Rng) -> Challenge {
    let mut challenge = Challenge::default();
    rng.fill(&mut challenge);
    challenge
}

/// The hash of a user's password: of the name as it is, then of the name without a Windows domain.
pub(crate) fn password_hash(secrets: &dyn Secrets, name: &[u8]) -> Option<Secret> {
    [name, without_domain(name)].into_iter().find_map(|user| {
        if let Some(hash) = secrets.secret(user, SecretKind::NtHash).filter(|h| h.len() == NT_HASH) {
            return Some(hash);
        }
        secrets.secret(user, SecretKind::Password).map(|p| nt_password_hash(p.as_slice()))
    })
}

/// RFC 2759 8.2: the user name "without any associated Windows NT domain name".
pub(crate) fn without_domain(name: &[u8]) -> &[u8] {
    name.iter().rposition(|b| *b == b'\\').and_then(|at| name.get(at + 1..)).unwrap_or(name)
}

/// Two spellings of one user: Windows names do not know case, and the domain may be left out on either side.
pub(crate) fn same_user(a: &[u8], b: &[u8]) -> bool {
    a.eq_ignore_ascii_case(b)
        || (without_domain(a).eq_ignore_ascii_case(without_domain(b))
            && (a.len() == without_domain(a).len()) != (b.len() == without_domain(b).len()))
}

/// Whether the message begins with the proof as hexadecimal digits.
fn proves(message: &[u8], proof: &[u8]) -> bool {
    let Some(digits) = message.get(..2 * proof.len()) else { return false };
    ct_eq(&digits.to_ascii_uppercase(), hex(proof).as_bytes())
}

/// The error of a failure message and its words (RFC 2759 6).
fn failure(message: &[u8]) -> (String, String) {
    let text = printable(message);
    let code = text.strip_prefix("E=").and_then(|t| t.split(' ').next()).unwrap_or_default();
    let error = match code {
        "646" => "ERROR_RESTRICTED_LOGON_HOURS",
        "647" => "ERROR_ACCT_DISABLED",
        "648" => "ERROR_PASSWD_EXPIRED",
        "649" => "ERROR_NO_DIALIN_PERMISSION",
        "691" => "ERROR_AUTHENTICATION_FAILURE",
        "709" => "ERROR_CHANGING_PASSWORD",
        _ => "unknown",
    };
    let words = text.split_once("M=").map_or("", |(_, words)| words);
    (error.to_owned(), words.to_owned())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = String::new();
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02X}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(without_domain(b"CORP\\carol"), b"carol");
        assert_eq!(without_domain(b"carol"), b"carol");
        assert!(same_user(b"CORP\\Carol", b"carol"));
        assert!(same_user(b"carol", b"corp\\carol"));
        assert!(!same_user(b"carol", b"dave"));
        // The same name in two domains is two users.
        assert!(!same_user(b"A\\carol", b"B\\carol"));
    }

    #[test]
    fn failures() {
        let (error, words) = failure(b"E=691 R=1 C=00 V=3 M=Access denied");
        assert_eq!((error.as_str(), words.as_str()), ("ERROR_AUTHENTICATION_FAILURE", "Access denied"));
        assert_eq!(failure(b"\xff").0, "unknown");
    }
}
