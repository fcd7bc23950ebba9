//! Who wins when both sides rekey at once (RFC 7296 2.8.1, 2.8.2), as pure functions.

/// What becomes of our half of a collision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Ours stays: we delete the old SA; the peer deletes what it made.
    Won,
    /// Ours is redundant: we delete what we made; the peer deletes the old SA.
    Lost,
}

/// "The SA created with the lowest of the four nonces … SHOULD be closed by the endpoint that created it":
/// `ours` and `theirs` are the lower nonce of the exchange we and the peer started. Compared octet by octet;
/// "if … one nonce … is a prefix of the other, the shorter is lower".
pub(crate) fn decide(ours: &[u8], theirs: &[u8]) -> Outcome {
    if ours < theirs { Outcome::Lost } else { Outcome::Won }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_nonce_loses() {
        assert_eq!(decide(&[1, 2], &[1, 3]), Outcome::Lost);
        assert_eq!(decide(&[1, 3], &[1, 2]), Outcome::Won);
        assert_eq!(decide(&[1], &[1, 0]), Outcome::Lost);
    }

    #[test]
    fn both_sides_agree() {
        for a in 0..32u8 {
            for b in 0..32u8 {
                if a != b {
                    assert_ne!(decide(&[a], &[b]), decide(&[b], &[a]));
                }
            }
        }
    }
}
