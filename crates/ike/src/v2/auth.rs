//! IKE_AUTH (RFC 7296 1.2, 2.15, 2.16): both ends prove who they are, in one round or several (RFC 4739), by pre-shared
//! keys, signatures, EAP or not at all (RFC 7619); then the first CHILD_SA.
//!
//! Signing, judging certificates and EAP methods are questions to the world. While one is open, the state of IKE_AUTH
//! stands still in its phase, for a bounded time.

mod announce;
mod certs;
mod eap;
mod initiator;
mod responder;
mod rounds;
mod settle;

pub(crate) use announce::supported;
pub(crate) use certs::{Wishes, hash_algorithms, requests};
pub(crate) use initiator::{Claim, answered, farewell, late, start};
pub(crate) use responder::{Vetting, respond};
pub(crate) use settle::{Given, Leasing, leased};

use super::init::Handshake;
use crate::core::{Core, Waiter};
use crate::fault::Fault;
use crate::io::{Answer, Ask, Distrust, EapStep, Event, Judged, LogLine, SignRequest, Signed};
use crate::sa::{IkeSa, Phase, Wait};
use policy::{Auth, Connection, Identity};
use std::sync::Arc;
use wire::iana::{AuthMethod, NotifyType};
use wire::ike::{Cert, Payload};

/// How long a question may stay open (ms): somebody may have to be asked for a password.
const PATIENCE_MS: u64 = 60_000;

/// Our proof for one round.
#[derive(Debug)]
struct Own {
    method: AuthMethod,
    data: Vec<u8>,
    /// The same without a post-quantum pre-shared key (RFC 8784 NO_PPK_AUTH).
    without: Option<Vec<u8>>,
    certs: Vec<Cert>,
}

impl Own {
    fn auth(&self) -> Payload {
        Payload::Auth(wire::ike::Auth { method: self.method, data: self.data.clone() })
    }

    /// The answer to [`Ask::Sign`].
    fn signed(
        core: &mut Core,
        sa: &IkeSa,
        me: &Identity,
        answer: Result<Signed, String>,
    ) -> Result<Self, Fault> {
        let signed = answer.map_err(Fault::Local)?;
        tell(core, sa, &signed.log);
        let mut auth = signed.auth.into_iter();
        let data = auth.next().ok_or_else(|| Fault::Local("nothing was signed".to_owned()))?;
        let by = match signed.method {
            AuthMethod::Signature => signed.scheme.to_string(),
            other => rounds::method_name(other).to_owned(),
        };
        say!(core, sa, Ike 1, "authentication of '{me}' (myself) with {by}");
        Ok(Self { method: signed.method, data, without: auth.next(), certs: signed.certs })
    }
}

/// Lines of the world's, in the context of the IKE_SA that asked.
fn tell(core: &mut Core, sa: &IkeSa, log: &[LogLine]) {
    for line in log {
        core.log(line.group, line.level, Some(sa.tag()), line.text.clone());
    }
}

/// Nobody is trusted; what an operator gets to know.
fn alarm(core: &mut Core, sa: &IkeSa, fault: &Fault, otherwise: &'static str) {
    let mut kinds = vec![(otherwise, Vec::new())];
    if let Fault::Distrusted(Distrust { alert, certificate, reason }) = fault {
        let detail = vec![("certificate", certificate.clone()), ("reason", reason.clone())];
        if *alert == otherwise {
            kinds.clear();
        }
        kinds.insert(0, (alert, detail));
    }
    for (kind, detail) in kinds {
        core.tell(Event::Alert { kind, sa: Some(Box::new(crate::view::bare(sa))), detail });
    }
}

/// Asks for a signature.
fn ask_to_sign(core: &mut Core, sa: &mut IkeSa, request: SignRequest) {
    let ticket = core.ask(Waiter::Ike(sa.id), Ask::Sign(Box::new(request)));
    sa.waiting.insert(ticket, Wait::Sign);
}

/// What is asked, for one of our rounds.
fn sign_request(
    sa: &IkeSa,
    hs: &Handshake,
    round: &Auth,
    me: &Identity,
    octets: Vec<Vec<u8>>,
) -> SignRequest {
    let w = &hs.wishes;
    SignRequest {
        ike_id: sa.id,
        connection: sa.conn.name.clone(),
        auth: Arc::new(round.clone()),
        me: me.clone(),
        cas: w.cas.clone(),
        send_cert: w.send_cert(&sa.conn),
        hash_and_url: w.lookup && hs.hash_and_url,
        ocsp: w.send_ocsp(&sa.conn),
        hashes: w.hashes.clone(),
        identity: w.identity,
        announced: announce::named(&w.announced),
        octets,
    }
}

/// An answer to one of IKE_AUTH's questions.
#[derive(Debug)]
enum Said {
    Signed(Result<Signed, String>),
    Judged(Result<Judged, String>),
    Stepped(Result<EapStep, String>),
}

/// A question of IKE_AUTH was answered; perhaps too late.
pub(crate) fn told(core: &mut Core, sa: &mut IkeSa, wait: &Wait, answer: Answer) {
    let odd = || "the answer is to another question".to_owned();
    let said = match (wait, answer) {
        (Wait::Sign, Answer::Signed(s)) => Said::Signed(Ok(*s)),
        (Wait::Sign, Answer::Failed(why)) => Said::Signed(Err(why)),
        (Wait::Sign, _) => Said::Signed(Err(odd())),
        (Wait::Judge, Answer::Judged(j)) => Said::Judged(Ok(*j)),
        (Wait::Judge, Answer::Failed(why)) => Said::Judged(Err(why)),
        (Wait::Judge, _) => Said::Judged(Err(odd())),
        (_, Answer::Eap(step)) => Said::Stepped(Ok(*step)),
        (_, Answer::Failed(why)) => Said::Stepped(Err(why)),
        (_, _) => Said::Stepped(Err(odd())),
    };
    match &sa.phase {
        Phase::Claiming(_) => initiator::told(core, sa, said),
        Phase::Vetting(_) => responder::told(core, sa, said),
        Phase::Resolving
        | Phase::InitSent(_)
        | Phase::Answered(_)
        | Phase::IntermediateSent(_)
        | Phase::Leasing(_)
        | Phase::Established(_)
        | Phase::Leaving(_)
        | Phase::Gone => {}
    }
}

/// The question once more, to another world.
pub(crate) fn ask_again(core: &mut Core, sa: &IkeSa, wait: &Wait) -> Option<Ask> {
    match &sa.phase {
        Phase::Claiming(claim) => initiator::ask_again(sa, claim, wait),
        Phase::Vetting(vetting) => responder::ask_again(core, sa, vetting, wait),
        Phase::Resolving
        | Phase::InitSent(_)
        | Phase::Answered(_)
        | Phase::IntermediateSent(_)
        | Phase::Leasing(_)
        | Phase::Established(_)
        | Phase::Leaving(_)
        | Phase::Gone => None,
    }
}

fn refused() -> Fault {
    Fault::Refused(NotifyType::AuthenticationFailed)
}

/// CERT payloads of a message.
fn certs_of(p: &[Payload]) -> Vec<Cert> {
    p.iter().filter_map(|p| if let Payload::Cert(c) = p { Some(c.clone()) } else { None }).collect()
}

/// Hash functions that the peer may sign with.
fn judged_hashes(hs: &Handshake) -> Vec<crypto::sign::Hash> {
    if hs.signatures { certs::HASHES.to_vec() } else { Vec::new() }
}

/// Whether the peer authenticates by EAP.
pub(crate) fn by_eap(conn: &Connection) -> bool {
    rounds::theirs(conn).iter().any(|r| matches!(r.class, policy::AuthClass::Eap(_)))
}

/// Whether nobody but the peer's own word says who it is.
fn anonymous(conn: &Connection) -> bool {
    rounds::theirs(conn).iter().all(|r| r.class == policy::AuthClass::Null)
}
