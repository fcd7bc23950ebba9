//! MD5-Challenge (RFC 3748 5.4): CHAP. Weak: no key, the server is not authenticated, and who listens can guess
//! passwords at leisure.
use crate::config::SecretKind;
use crate::method::{Done, Next, PeerContext, PeerMethod, Progress, Reply, ServerContext, ServerMethod};
use crate::step::{Failed, Line, printable};
use crypto::digest::md5;
use crypto::secret::ct_eq;

/// Bytes of a challenge that we make, and of every response.
const SIZE: usize = 16;
/// The only method that computes a response.
const DONE: Done = Done { msk: None, mutual: false, user: None };

#[derive(Default)]
pub(crate) struct Server {
    challenge: Vec<u8>,
    id: u8,
}

impl ServerMethod for Server {
    fn start(&mut self, cx: &mut ServerContext<'_>) -> Next {
        self.challenge = cx.rng.bytes(SIZE);
        self.id = cx.id;
        Next::Send(value(&self.challenge))
    }

    fn step(&mut self, data: &[u8], cx: &mut ServerContext<'_>) -> Next {
        let Some(response) = read_value(data).filter(|v| v.len() == SIZE) else {
            return Next::Fail(Failed::peer("malformed EAP_MD5 response"));
        };
        let Some(password) = cx.config.secrets.secret(cx.identity, SecretKind::Password) else {
            let user = printable(cx.identity);
            cx.log.push(Line::ike(
                1,
                format!("no EAP key found for hosts '{}' - '{user}'", printable(&cx.config.name)),
            ));
            return Next::Fail(Failed::peer(format!("no EAP password for '{user}'")));
        };
        if ct_eq(response, &answer(self.id, password.as_slice(), &self.challenge)) {
            return Next::Done(Done { user: Some(cx.identity.to_vec()), ..DONE });
        }
        cx.log.push(Line::ike(1, "EAP-MD5 verification failed"));
        Next::Fail(Failed::peer(format!("wrong EAP_MD5 password of '{}'", printable(cx.identity))))
    }
}

pub(crate) struct Peer;

impl PeerMethod for Peer {
    fn step(&mut self, data: &[u8], cx: &mut PeerContext<'_>) -> Result<Reply, Failed> {
        let challenge = read_value(data)
            .filter(|v| !v.is_empty())
            .ok_or_else(|| Failed::peer("malformed EAP_MD5 challenge"))?;
        let me = &cx.config.identity;
        let Some(password) = cx.config.secrets.secret(me, SecretKind::Password) else {
            let (me, server) = (printable(me), printable(&cx.config.server));
            cx.log.push(Line::ike(1, format!("no EAP key found for hosts '{server}' - '{me}'")));
            return Err(Failed::local(format!("no EAP password for '{me}'")));
        };
        let data = value(&answer(cx.id, password.as_slice(), challenge));
        Ok(Reply { data, state: Progress::Done(DONE) })
    }
}

/// RFC 1994 4.1: the hash over identifier, secret and challenge.
pub(crate) fn answer(id: u8, password: &[u8], challenge: &[u8]) -> [u8; SIZE] {
    md5(&[&[id], password, challenge])
}

/// Value-Size and Value.
fn value(bytes: &[u8]) -> Vec<u8> {
    let size = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    [&[size], bytes].concat()
}

/// The value; a name may follow it and says nothing.
fn read_value(data: &[u8]) -> Option<&[u8]> {
    let (size, rest) = data.split_first()?;
    rest.get(..usize::from(*size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        assert_eq!(read_value(&[2, 1, 2, b'n']), Some(&[1, 2][..]));
        assert_eq!(read_value(&[0]), Some(&[][..]));
        assert_eq!(read_value(&[3, 1, 2]), None);
        assert_eq!(read_value(&[]), None);
        assert_eq!(value(&[9]), [1, 9]);
    }

    #[test]
    fn the_hash_is_over_identifier_password_and_challenge() {
        // md5("\x01" "password" "challenge"), computed with another program.
        assert_eq!(
            data_encoding::HEXLOWER.encode(&answer(1, b"password", b"challenge")),
            "c9d74fd27e9316adca50d246178a1f84"
        );
    }
}
