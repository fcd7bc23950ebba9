//! The words of a proposal string, as in `aes256-sha256-x25519-ke1_mlkem768`.

use wire::iana::{Encr, Esn, Integ, Ke, Prf};

use super::rows::{ENCR, INTEG, KE, PRF};

/// What one word of a proposal names. Words of refused algorithms are known too: asking whether an algorithm is
/// available is another question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyword {
    /// An encryption algorithm (AEAD or not) and its Key Length attribute, 0 for none.
    Encr(Encr, u16),
    /// An integrity algorithm; in an IKE proposal without a PRF word it implies [`super::implied_prf`].
    Integ(Integ),
    /// A pseudo-random function.
    Prf(Prf),
    /// A key exchange method.
    Ke(Ke),
    /// Additional key exchange 1 to 7 (RFC 9370); `None` makes it optional.
    AddKe(u8, Option<Ke>),
    /// Extended sequence numbers, or not.
    Esn(Esn),
    /// `none`: key exchange is optional.
    NoKe,
}

/// Reads one word, without regard to case; `None` for a word that names nothing.
#[must_use]
pub fn parse_keyword(word: &str) -> Option<Keyword> {
    let word = word.to_ascii_lowercase();
    let word = word.as_str();
    match word {
        "esn" => return Some(Keyword::Esn(Esn::Yes)),
        "noesn" => return Some(Keyword::Esn(Esn::No)),
        "none" | "modpnone" => return Some(Keyword::NoKe),
        _ => {}
    }
    if let Some((number, method)) = word.strip_prefix("ke").and_then(|rest| rest.split_once('_')) {
        let number = match number.as_bytes() {
            [digit @ b'1'..=b'7'] => digit - b'0',
            _ => return None,
        };
        return if method == "none" {
            Some(Keyword::AddKe(number, None))
        } else {
            Some(Keyword::AddKe(number, Some(ke(method)?)))
        };
    }
    encr(word)
        .or_else(|| INTEG.iter().find(|row| row.keywords.contains(&word)).map(|row| Keyword::Integ(row.id)))
        .or_else(|| PRF.iter().find(|row| row.keywords.contains(&word)).map(|row| Keyword::Prf(row.id)))
        .or_else(|| ke(word).map(Keyword::Ke))
}

fn encr(word: &str) -> Option<Keyword> {
    ENCR.iter().find_map(|row| {
        row.keywords().find(|(keyword, _)| keyword == word).map(|(_, bits)| Keyword::Encr(row.id, bits))
    })
}

fn ke(word: &str) -> Option<Ke> {
    KE.iter().find(|row| row.keywords.contains(&word)).map(|row| row.id)
}
