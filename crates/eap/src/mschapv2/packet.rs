//! The packets of EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2 2). Every length is checked against every other.
use super::crypto::{Challenge, NT_RESPONSE};
use wire::WireError;
use wire::codec::{Reader, Writer};

const CHALLENGE: u8 = 1;
const RESPONSE: u8 = 2;
const SUCCESS: u8 = 3;
const FAILURE: u8 = 4;
const CHANGE_PASSWORD: u8 = 7;

/// Bytes of a response's value: peer's challenge, 8 reserved, NT response, flags.
const RESPONSE_VALUE: u8 = 49;
/// Longest name taken.
const NAME: usize = 256;
/// Longest message taken.
const MESSAGE: usize = 1024;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    Challenge {
        id: u8,
        challenge: Challenge,
        name: &'a [u8],
    },
    /// `S=…`: the server knows the password.
    Success {
        id: u8,
        message: &'a [u8],
    },
    /// `E=691 R=0 …`.
    Failure {
        id: u8,
        message: &'a [u8],
    },
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Response<'a> {
    Answer { id: u8, peer: Challenge, nt_response: [u8; NT_RESPONSE], name: &'a [u8] },
    Success,
    Failure,
    ChangePassword,
}

impl<'a> Request<'a> {
    pub(crate) fn parse(data: &'a [u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(data);
        let op = r.u8("MSCHAPv2 OpCode")?;
        let (id, mut r) = header(r, data)?;
        match op {
            CHALLENGE => {
                expect("MSCHAPv2 Value-Size", r.u8("MSCHAPv2 Value-Size")?, 16)?;
                let challenge = r.array("MSCHAPv2 challenge")?;
                Ok(Self::Challenge { id, challenge, name: bounded(r.rest(), "MSCHAPv2 name", NAME)? })
            }
            SUCCESS => Ok(Self::Success { id, message: bounded(r.rest(), "MSCHAPv2 message", MESSAGE)? }),
            FAILURE => Ok(Self::Failure { id, message: bounded(r.rest(), "MSCHAPv2 message", MESSAGE)? }),
            other => Err(illegal("MSCHAPv2 OpCode of a request", other)),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Writer::new();
        let (op, id) = match self {
            Self::Challenge { id, challenge, name } => {
                body.u8(16).bytes(challenge).bytes(name.get(..NAME).unwrap_or(name));
                (CHALLENGE, *id)
            }
            Self::Success { id, message } => {
                body.bytes(message);
                (SUCCESS, *id)
            }
            Self::Failure { id, message } => {
                body.bytes(message);
                (FAILURE, *id)
            }
        };
        whole(op, id, &body.into_vec())
    }
}

impl<'a> Response<'a> {
    pub(crate) fn parse(data: &'a [u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(data);
        match r.u8("MSCHAPv2 OpCode")? {
            RESPONSE => {
                let (id, mut r) = header(r, data)?;
                expect("MSCHAPv2 Value-Size", r.u8("MSCHAPv2 Value-Size")?, RESPONSE_VALUE)?;
                let peer = r.array("MSCHAPv2 peer challenge")?;
                r.skip(8, "MSCHAPv2 reserved bytes")?;
                let nt_response = r.array("MSCHAPv2 response")?;
                r.skip(1, "MSCHAPv2 flags")?;
                Ok(Self::Answer { id, peer, nt_response, name: bounded(r.rest(), "MSCHAPv2 name", NAME)? })
            }
            // Both consist of the OpCode; some peers send the whole header.
            SUCCESS => Ok(Self::Success),
            FAILURE => Ok(Self::Failure),
            CHANGE_PASSWORD => Ok(Self::ChangePassword),
            other => Err(illegal("MSCHAPv2 OpCode of a response", other)),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Answer { id, peer, nt_response, name } => {
                let mut body = Writer::new();
                body.u8(RESPONSE_VALUE).bytes(peer).zeros(8).bytes(nt_response).u8(0);
                body.bytes(name.get(..NAME).unwrap_or(name));
                whole(RESPONSE, *id, &body.into_vec())
            }
            Self::Success => vec![SUCCESS],
            Self::Failure => vec![FAILURE],
            Self::ChangePassword => vec![CHANGE_PASSWORD],
        }
    }
}

/// MS-CHAPv2-ID and MS-Length, behind the OpCode. MS-Length counts the whole packet, and nothing may follow it.
fn header<'a>(mut r: Reader<'a>, data: &[u8]) -> Result<(u8, Reader<'a>), WireError> {
    let id = r.u8("MSCHAPv2 identifier")?;
    let length = r.u16("MSCHAPv2 MS-Length")?;
    if usize::from(length) != data.len() {
        return Err(WireError::Illegal { what: "MSCHAPv2 MS-Length", value: u64::from(length) });
    }
    Ok((id, r))
}

fn whole(op: u8, id: u8, body: &[u8]) -> Vec<u8> {
    let mut w = Writer::new();
    w.u8(op).u8(id).u16(u16::try_from(body.len().saturating_add(4)).unwrap_or(u16::MAX)).bytes(body);
    w.into_vec()
}

fn expect(what: &'static str, have: u8, want: u8) -> Result<(), WireError> {
    if have == want { Ok(()) } else { Err(illegal(what, have)) }
}

fn illegal(what: &'static str, value: u8) -> WireError {
    WireError::Illegal { what, value: u64::from(value) }
}

fn bounded<'a>(bytes: &'a [u8], what: &'static str, limit: usize) -> Result<&'a [u8], WireError> {
    if bytes.len() > limit { Err(WireError::TooMany { what, limit }) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// CVE-2025-62291: a length smaller than what it must hold, or larger than what is there.
    #[test]
    fn no_length_lies() {
        let challenge = Request::Challenge { id: 1, challenge: [7; 16], name: b"moon" }.encode();
        let response =
            Response::Answer { id: 1, peer: [7; 16], nt_response: [8; 24], name: b"carol" }.encode();
        let failure = Request::Failure { id: 1, message: b"E=691 R=0" }.encode();
        for good in [&challenge, &failure] {
            assert_eq!(Request::parse(good).unwrap().encode(), **good);
        }
        assert_eq!(Response::parse(&response).unwrap().encode(), response);
        for packet in [challenge, failure, response] {
            let whole = u16::try_from(packet.len()).unwrap();
            for lie in (0..whole + 200).chain([0x7fff, 0x8000, 0xffff]).filter(|lie| *lie != whole) {
                let mut packet = packet.clone();
                packet[2..4].copy_from_slice(&lie.to_be_bytes());
                assert!(Request::parse(&packet).is_err(), "{lie}");
                assert!(packet[0] != RESPONSE || Response::parse(&packet).is_err(), "{lie}");
            }
            // Cut, with a length that agrees.
            for cut in 5..packet.len() {
                let mut packet = packet[..cut].to_vec();
                packet[2..4].copy_from_slice(&u16::try_from(cut).unwrap().to_be_bytes());
                if packet[0] == CHALLENGE {
                    assert_eq!(Request::parse(&packet).is_ok(), cut >= 21, "{cut}");
                }
                if packet[0] == RESPONSE {
                    assert_eq!(Response::parse(&packet).is_ok(), cut >= 54, "{cut}");
                }
            }
        }
    }

    #[test]
    fn wrong_value_sizes_and_long_names_are_refused() {
        for size in (0..=255).filter(|size| *size != 16) {
            let mut packet = Request::Challenge { id: 1, challenge: [7; 16], name: b"moon" }.encode();
            packet[4] = size;
            assert!(Request::parse(&packet).is_err());
        }
        let long = whole(CHALLENGE, 1, &[&[16][..], &[0; 16 + NAME + 1]].concat());
        assert!(Request::parse(&long).is_err());
        assert_eq!(Response::parse(&[SUCCESS]), Ok(Response::Success));
        assert!(Request::parse(&[SUCCESS]).is_err());
    }

    proptest! {
        #[test]
        fn total(data in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = (Request::parse(&data), Response::parse(&data));
        }
    }
}
