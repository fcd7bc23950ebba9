//! Shared secrets and whose they are.
use crate::Identity;
use crypto::Secret;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Kind of a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "vici's words")]
pub enum SecretKind {
    Ike,
    Eap,
    Xauth,
    Ntlm,
    Ppk,
}

/// A shared secret with its owners.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SharedSecret {
    /// Unique id through vici, may be empty.
    pub id: String,
    /// Kind.
    pub kind: SecretKind,
    /// The secret.
    pub data: Secret,
    /// Owners; empty = anybody.
    pub owners: Vec<Identity>,
}

/// Why the text of a secret cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretTextError {
    /// `0x` promises pairs of hexadecimal digits.
    #[error("after 0x, a secret must be an even number of hexadecimal digits")]
    Hex,
    /// `0s` promises Base64.
    #[error("after 0s, a secret must be Base64")]
    Base64,
}

/// Decodes the text of a secret: `0x` and hexadecimal digits, `0s` and Base64 (padding may be missing), or the bytes
/// as they are.
///
/// # Errors
/// What the prefix promises and the text does not hold. The error never carries the text.
pub fn decode_secret(text: &[u8]) -> Result<Vec<u8>, SecretTextError> {
    if let Some(digits) = text.strip_prefix(b"0x") {
        if !digits.len().is_multiple_of(2) {
            return Err(SecretTextError::Hex);
        }
        let nibble =
            |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok()).ok_or(SecretTextError::Hex);
        return digits
            .chunks_exact(2)
            .map(|pair| pair.iter().try_fold(0u8, |n, b| Ok(n << 4 | nibble(*b)?)))
            .collect();
    }
    match text.strip_prefix(b"0s") {
        Some(digits) => base64(digits).ok_or(SecretTextError::Base64),
        None => Ok(text.to_vec()),
    }
}

fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|b| *b != b'=').map_or(0, |last| last + 1);
    let (digits, padding) = text.split_at_checked(end)?;
    // One digit alone holds no byte; more than two `=` pad nothing.
    if digits.len() % 4 == 1 || padding.len() > 2 {
        return None;
    }
    let mut out = Vec::new();
    for group in digits.chunks(4) {
        let mut bits: u32 = 0;
        for i in 0..4 {
            let value = match group.get(i) {
                Some(b @ b'A'..=b'Z') => b - b'A',
                Some(b @ b'a'..=b'z') => b - b'a' + 26,
                Some(b @ b'0'..=b'9') => b - b'0' + 52,
                Some(b'+') => 62,
                Some(b'/') => 63,
                Some(_) => return None,
                None => 0,
            };
            bits = bits << 6 | u32::from(value);
        }
        let [_, a, b, c] = bits.to_be_bytes();
        out.extend([a, b, c].into_iter().take(group.len() - 1));
    }
    Some(out)
}

/// Number of ends that own the secret by name, rank of the other end's identity, rank of ours.
pub type Rank = (u32, u32, u32);

impl SharedSecret {
    /// How well this secret fits the two ends. Better ranks compare greater: owned by both, then owned by the other
    /// end, then by us, then by whoever is left (`%any`, or no owners at all). `None`: not for these.
    #[must_use]
    pub fn rank(&self, me: Option<&Identity>, other: Option<&Identity>) -> Option<Rank> {
        if self.owners.is_empty() {
            return Some((0, 0, 0));
        }
        let best =
            |id: Option<&Identity>| id.and_then(|id| self.owners.iter().filter_map(|o| o.matches(id)).max());
        let (mine, others) = (best(me), best(other));
        if mine.is_none() && others.is_none() {
            return None;
        }
        let named = |rank: Option<u32>| u32::from(rank.is_some_and(|r| r > 1));
        Some((named(mine) + named(others), others.unwrap_or(0), mine.unwrap_or(0)))
    }
}

/// The secret of a kind that fits two ends best, as documented for `secrets.ike<suffix>`: one that both own before
/// one that only one owns (the other end's before ours) before one that anybody may use; among equals the first
/// loaded.
#[must_use]
pub fn best_shared_secret<'a>(
    secrets: &'a [Arc<SharedSecret>],
    kind: SecretKind,
    me: Option<&Identity>,
    other: Option<&Identity>,
) -> Option<&'a Arc<SharedSecret>> {
    let mut best: Option<(Rank, &Arc<SharedSecret>)> = None;
    for secret in secrets.iter().filter(|s| s.kind == kind) {
        if let Some(rank) = secret.rank(me, other)
            && best.is_none_or(|(top, _)| rank > top)
        {
            best = Some((rank, secret));
        }
    }
    best.map(|(_, secret)| secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(id: &str, owners: &[&str]) -> Arc<SharedSecret> {
        let owners = owners.iter().map(|o| Identity::parse(o).unwrap()).collect();
        Arc::new(SharedSecret { id: id.into(), kind: SecretKind::Ike, data: Secret::default(), owners })
    }

    fn best(secrets: &[Arc<SharedSecret>], me: &str, other: &str) -> Option<String> {
        let (me, other) = (Identity::parse(me).unwrap(), Identity::parse(other).unwrap());
        best_shared_secret(secrets, SecretKind::Ike, Some(&me), Some(&other)).map(|s| s.id.clone())
    }

    #[test]
    fn the_documented_example() {
        let secrets = [
            secret("ike", &[]),
            secret("ike-moon", &["moon.strongswan.org"]),
            secret("ike-sun-moon", &["sun.strongswan.org", "moon.strongswan.org"]),
            secret("ike-carol", &["carol@strongswan.org"]),
        ];
        let pick = |me, other| best(&secrets, me, other).unwrap();
        assert_eq!(pick("moon.strongswan.org", "sun.strongswan.org"), "ike-sun-moon");
        assert_eq!(pick("moon.strongswan.org", "dave@strongswan.org"), "ike-moon");
        assert_eq!(pick("moon.strongswan.org", "carol@strongswan.org"), "ike-carol");
        assert_eq!(pick("venus.strongswan.org", "mars.strongswan.org"), "ike");
    }

    #[test]
    fn patterns_and_order() {
        let secrets = [
            secret("any", &["%any"]),
            secret("none", &[]),
            secret("net", &["10.0.0.0/8"]),
            secret("second", &["%any"]),
        ];
        assert_eq!(best(&secrets, "a", "10.1.1.1").as_deref(), Some("net"));
        assert_eq!(best(&secrets, "a", "b").as_deref(), Some("any"));
        assert_eq!(best(&secrets[2..3], "a", "b"), None);
        assert!(best_shared_secret(&secrets, SecretKind::Eap, None, None).is_none());
        assert_eq!(best_shared_secret(&secrets, SecretKind::Ike, None, None).unwrap().id, "none");
    }

    #[test]
    fn secrets_as_text() {
        assert_eq!(decode_secret(b"0x00fF"), Ok(vec![0, 255]));
        assert_eq!(decode_secret(b"0x0"), Err(SecretTextError::Hex));
        assert_eq!(decode_secret(b"0xgg"), Err(SecretTextError::Hex));
        assert_eq!(decode_secret(b"0sZm9vYmE="), Ok(b"fooba".to_vec()));
        assert_eq!(decode_secret(b"0sZm9vYmE"), Ok(b"fooba".to_vec()));
        assert_eq!(decode_secret(b"0sZm9vYg=="), Ok(b"foob".to_vec()));
        assert_eq!(decode_secret(b"0sZm9vYmFy"), Ok(b"foobar".to_vec()));
        assert_eq!(decode_secret(b"0sZ"), Err(SecretTextError::Base64));
        assert_eq!(decode_secret(b"0sZm9v!m"), Err(SecretTextError::Base64));
        assert_eq!(decode_secret(b"plain 0x"), Ok(b"plain 0x".to_vec()));
        assert_eq!(decode_secret(b"0s"), Ok(Vec::new()));
    }
}
