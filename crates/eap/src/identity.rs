//! EAP-Identity (RFC 3748 5.1), for whoever asks before he knows which method, or which server, goes on.
use wire::WireError;
use wire::eap::{EapPacket, EapType};

/// Longest identity taken. A network access identifier has 253 bytes at most (RFC 7542 2.2), a distinguished name may be
/// longer.
pub const MAX_IDENTITY: usize = 1024;

/// The request.
#[must_use]
pub fn request(id: u8) -> Vec<u8> {
    EapPacket::Request { id, method: EapType::IDENTITY, data: &[] }.encode()
}

/// The identity in the response to the request of that identifier.
///
/// # Errors
/// Whatever is no such response.
pub fn response(packet: &[u8], id: u8) -> Result<Vec<u8>, WireError> {
    match EapPacket::parse(packet)? {
        EapPacket::Response { id: of, method: EapType::IDENTITY, data } if of == id => check(data),
        other => Err(WireError::Illegal {
            what: "answer to an EAP-Identity request",
            value: u64::from(other.id()),
        }),
    }
}

pub(crate) fn check(data: &[u8]) -> Result<Vec<u8>, WireError> {
    match data.len() {
        0 => Err(WireError::Illegal { what: "length of an EAP identity", value: 0 }),
        1..=MAX_IDENTITY => Ok(data.to_vec()),
        _ => Err(WireError::TooMany { what: "EAP identity", limit: MAX_IDENTITY }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asked_and_answered() {
        assert_eq!(request(3), [1, 3, 0, 5, 1]);
        assert_eq!(response(&[2, 3, 0, 6, 1, b'x'], 3), Ok(b"x".to_vec()));
        assert!(response(&[2, 3, 0, 5, 1], 3).is_err());
        assert!(response(&[2, 4, 0, 6, 1, b'x'], 3).is_err());
        assert!(response(&[1, 3, 0, 6, 1, b'x'], 3).is_err());
        assert!(response(&[2, 3, 0, 6, 3, 4], 3).is_err());
    }
}
