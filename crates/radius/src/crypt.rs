//! What proves a packet and what hides a value, all of it MD5 with the shared secret (RFC 2865 3, 5.2; RFC 2548 2.4;
//! RFC 3579 3.2).
use crypto::Secret;
use crypto::digest::md5;
use crypto::secret::ct_eq;
use wire::WireError;
use wire::iana::{Prf, RadiusType};
use wire::radius::{Attribute, Packet};

/// An authenticator.
pub type Authenticator = [u8; 16];

const ZERO: Authenticator = [0; 16];

/// Why a packet is not from who holds the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forged {
    /// The authenticator in the header is wrong.
    #[error("its authenticator is wrong")]
    Authenticator,
    /// No Message-Authenticator.
    #[error("it has no Message-Authenticator")]
    Missing,
    /// More than one, or of the wrong length, or wrong.
    #[error("its Message-Authenticator is wrong")]
    MessageAuthenticator,
}

/// What to demand of Message-Authenticator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// It must be there (Access-Accept, -Reject, -Challenge: CVE-2024-3596, "Blast-RADIUS").
    Present,
    /// Where it is, it must be right.
    RightIfPresent,
}

/// Puts an empty Message-Authenticator first, to be filled by [`seal_access`] or [`seal_reply`]: what an attacker has to
/// collide with MD5 begins behind it.
pub fn reserve(packet: &mut Packet) {
    packet.attributes.retain(|attribute| attribute.kind != RadiusType::MessageAuthenticator);
    packet.attributes.insert(0, Attribute::new(RadiusType::MessageAuthenticator, ZERO));
}

/// The bytes of an Access-Request or Status-Server, whose authenticator is random: a Message-Authenticator is put in.
///
/// # Errors
/// The packet is too long.
pub fn seal_access(mut packet: Packet, secret: &Secret) -> Result<Vec<u8>, WireError> {
    reserve(&mut packet);
    let mac = mac(&packet, secret)?;
    fill(&mut packet, mac);
    packet.encode()
}

/// The bytes of an Accounting-, Disconnect- or CoA-Request, whose authenticator is a digest (RFC 2866 3). A
/// Message-Authenticator is filled where there is one.
///
/// # Errors
/// The packet is too long.
pub fn seal_digest(mut packet: Packet, secret: &Secret) -> Result<Vec<u8>, WireError> {
    seal_reply(&mut packet, &ZERO, secret)?;
    packet.encode()
}

/// Gives a reply its authenticators; a Message-Authenticator is filled where there is one.
///
/// # Errors
/// The packet is too long.
pub fn seal_reply(packet: &mut Packet, request: &Authenticator, secret: &Secret) -> Result<(), WireError> {
    packet.authenticator = *request;
    if packet.first(RadiusType::MessageAuthenticator).is_some() {
        fill(packet, ZERO);
        let mac = mac(packet, secret)?;
        fill(packet, mac);
    }
    packet.authenticator = digest(packet, secret)?;
    Ok(())
}

/// Whether a reply is one to the request with that authenticator, made by who holds the secret.
///
/// # Errors
/// Why not.
pub fn verify_reply(
    reply: &Packet,
    request: &Authenticator,
    secret: &Secret,
    demand: Demand,
) -> Result<(), Forged> {
    let mut signed = reply.clone();
    signed.authenticator = *request;
    let right = digest(&signed, secret).map_err(|_| Forged::Authenticator)?;
    if !ct_eq(&right, &reply.authenticator) {
        return Err(Forged::Authenticator);
    }
    verify_mac(&signed, secret, demand)
}

/// Whether a request with a digest as authenticator (Accounting, Disconnect, CoA) was made by who holds the secret.
///
/// # Errors
/// Why not.
pub fn verify_request(request: &Packet, secret: &Secret, demand: Demand) -> Result<(), Forged> {
    verify_reply(request, &ZERO, secret, demand)
}

fn verify_mac(signed: &Packet, secret: &Secret, demand: Demand) -> Result<(), Forged> {
    let mut found = signed.all(RadiusType::MessageAuthenticator);
    let Some(first) = found.next() else {
        return match demand {
            Demand::Present => Err(Forged::Missing),
            Demand::RightIfPresent => Ok(()),
        };
    };
    // RFC 3579 3.2 knows one only, of 16 bytes.
    if found.next().is_some() || first.value.len() != ZERO.len() {
        return Err(Forged::MessageAuthenticator);
    }
    let mut blank = signed.clone();
    fill(&mut blank, ZERO);
    let right = mac(&blank, secret).map_err(|_| Forged::MessageAuthenticator)?;
    if ct_eq(&right, &first.value) { Ok(()) } else { Err(Forged::MessageAuthenticator) }
}

fn fill(packet: &mut Packet, mac: Authenticator) {
    for attribute in &mut packet.attributes {
        if attribute.kind == RadiusType::MessageAuthenticator {
            attribute.value = mac.to_vec();
        }
    }
}

fn digest(packet: &Packet, secret: &Secret) -> Result<Authenticator, WireError> {
    Ok(md5(&[&packet.encode()?, secret.as_slice()]))
}

fn mac(packet: &Packet, secret: &Secret) -> Result<Authenticator, WireError> {
    let bytes = packet.encode()?;
    let mac = crypto::prf::compute(Prf::HmacMd5, secret.as_slice(), &[&bytes]);
    let mac = mac.ok().and_then(|mac| Authenticator::try_from(mac.as_slice()).ok());
    // HMAC-MD5 takes every key and gives 16 bytes: this never happens, and would not pass for a right one.
    mac.ok_or(WireError::Illegal { what: "Message-Authenticator", value: 0 })
}

/// Hides a password (RFC 2865 5.2). Longer than 128 bytes is cut, since no server reads more.
#[must_use]
pub fn hide_password(password: &[u8], request: &Authenticator, secret: &Secret) -> Vec<u8> {
    let mut out = Vec::new();
    let mut previous = *request;
    let password = password.get(..128).unwrap_or(password);
    let blocks = password.chunks(16).chain(password.is_empty().then_some(password));
    for piece in blocks {
        let mut block = md5(&[secret.as_slice(), &previous]);
        for (to, from) in block.iter_mut().zip(piece) {
            *to ^= from;
        }
        out.extend_from_slice(&block);
        previous = block;
    }
    out
}

/// Uncovers an MS-MPPE-Send-Key or -Recv-Key (RFC 2548 2.4.2): salt, then a length and the key under MD5. `None` if it
/// cannot be one.
#[must_use]
pub fn uncover_key(value: &[u8], request: &Authenticator, secret: &Secret) -> Option<Secret> {
    let (salt, hidden) = value.split_at_checked(2)?;
    if hidden.is_empty() || hidden.len() % 16 != 0 {
        return None;
    }
    let mut plain = Secret::zeroed(hidden.len());
    let mut previous: Vec<u8> = [request.as_slice(), salt].concat();
    for (to, from) in plain.as_mut_slice().chunks_mut(16).zip(hidden.chunks(16)) {
        let mut pad = md5(&[secret.as_slice(), &previous]);
        for ((to, from), pad) in to.iter_mut().zip(from).zip(&mut pad) {
            *to = from ^ *pad;
            *pad = 0;
        }
        previous = from.to_vec();
    }
    let (length, rest) = plain.as_slice().split_first()?;
    let key = rest.get(..usize::from(*length)).filter(|key| !key.is_empty())?;
    Some(Secret::from(key))
}

/// Covers a key as a server does.
#[must_use]
pub fn cover_key(key: &[u8], salt: [u8; 2], request: &Authenticator, secret: &Secret) -> Vec<u8> {
    let mut plain = vec![u8::try_from(key.len()).unwrap_or(u8::MAX)];
    plain.extend_from_slice(key.get(..usize::from(u8::MAX)).unwrap_or(key));
    plain.resize(plain.len().next_multiple_of(16), 0);
    let mut out = salt.to_vec();
    let mut previous: Vec<u8> = [request.as_slice(), &salt].concat();
    for piece in plain.chunks(16) {
        let mut block = md5(&[secret.as_slice(), &previous]);
        for (to, from) in block.iter_mut().zip(piece) {
            *to ^= from;
        }
        out.extend_from_slice(&block);
        previous = block.to_vec();
    }
    out
}

#[cfg(test)]
mod tests;
