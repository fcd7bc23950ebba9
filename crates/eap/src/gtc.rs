//! Generic Token Card (RFC 3748 5.6): the password as it is. Only good inside a tunnel.
use crate::config::SecretKind;
use crate::method::{Done, Next, PeerContext, PeerMethod, Progress, Reply, ServerContext, ServerMethod};
use crate::step::{Failed, Line, printable};
use crypto::Secret;

pub(crate) struct Server;

impl ServerMethod for Server {
    fn start(&mut self, _: &mut ServerContext<'_>) -> Next {
        Next::Send(b"Password: ".to_vec())
    }

    fn step(&mut self, data: &[u8], cx: &mut ServerContext<'_>) -> Next {
        let user = printable(cx.identity);
        let Some(password) = cx.config.secrets.secret(cx.identity, SecretKind::Password) else {
            cx.log.push(Line::ike(
                1,
                format!("no EAP key found for hosts '{}' - '{user}'", printable(&cx.config.name)),
            ));
            return Next::Fail(Failed::peer(format!("no EAP password for '{user}'")));
        };
        // RFC 3748 5.6: "The EAP GTC Response MUST NOT be null"; some peers end it with one.
        let given = data.strip_suffix(&[0]).unwrap_or(data);
        if !given.is_empty() && Secret::from(given) == password {
            return Next::Done(Done { msk: None, mutual: false, user: Some(cx.identity.to_vec()) });
        }
        cx.log.push(Line::ike(1, "EAP-GTC verification failed"));
        Next::Fail(Failed::peer(format!("wrong EAP_GTC password of '{user}'")))
    }
}

pub(crate) struct Peer;

impl PeerMethod for Peer {
    fn step(&mut self, _: &[u8], cx: &mut PeerContext<'_>) -> Result<Reply, Failed> {
        let me = &cx.config.identity;
        let Some(password) = cx.config.secrets.secret(me, SecretKind::Password) else {
            let (me, server) = (printable(me), printable(&cx.config.server));
            cx.log.push(Line::ike(1, format!("no EAP key found for hosts '{server}' - '{me}'")));
            return Err(Failed::local(format!("no EAP password for '{me}'")));
        };
        let done = Done { msk: None, mutual: false, user: None };
        Ok(Reply { data: password.as_slice().to_vec(), state: Progress::Done(done) })
    }
}
