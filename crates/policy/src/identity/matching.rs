//! Identities against patterns, with a rank: the better match wins.
use super::{Dn, Identity};
use regex::{Regex, RegexBuilder};
use std::net::IpAddr;

/// Rank of equality.
pub(super) const PERFECT: u32 = 20;
/// Rank of `%any`.
pub(super) const ANY: u32 = 1;
/// A regular expression may compile to this many bytes.
const REGEX_LIMIT: usize = 1 << 20;

impl Identity {
    /// How well `other` fits this pattern: 20 for equality, fewer the wider the pattern, 1 for `%any`; `None` if it
    /// does not. Names, mail addresses and the values of distinguished names compare without regard to case.
    ///
    /// * `*` at the start of a name or mail address stands for any text: rank 19;
    /// * each `*` as the value of an RDN takes one from 20 (not below 2);
    /// * a regular expression: rank 18;
    /// * an address range: 19, less one for every 8 free bits (not below 2).
    #[must_use]
    pub fn matches(&self, other: &Self) -> Option<u32> {
        match (self, other) {
            (Self::Any, _) => Some(ANY),
            (_, Self::Any) => None,
            (Self::Fqdn(a), Self::Fqdn(b)) | (Self::Rfc822(a), Self::Rfc822(b)) => match_name(a, b),
            (Self::Dn { der: a, .. }, Self::Dn { der: b, .. }) => {
                if a == b {
                    return Some(PERFECT);
                }
                let wildcards = Dn::from_der(a)?.matches(&Dn::from_der(b)?)?;
                Some(PERFECT.saturating_sub(wildcards).max(ANY + 1))
            }
            (Self::Range(first, last), Self::Ip(address)) => {
                let inside = first.is_ipv4() == address.is_ipv4() && first <= address && address <= last;
                inside.then(|| (PERFECT - 1).saturating_sub(free_bits(*first, *last) / 8).max(ANY + 1))
            }
            (Self::Pattern(kind, pattern), _) => {
                let fits = *kind == other.kind()
                    && !other.is_pattern()
                    && compile(pattern).is_ok_and(|regex| regex.is_match(&other.to_string()));
                fits.then_some(PERFECT - 2)
            }
            (a, b) => (a == b).then_some(PERFECT),
        }
    }

    /// The same identity, as [`Identity::matches`] compares.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self == other || (!self.is_pattern() && self.matches(other) == Some(PERFECT))
    }
}

pub(super) fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).case_insensitive(true).size_limit(REGEX_LIMIT).build()
}

fn match_name(pattern: &str, name: &str) -> Option<u32> {
    if pattern.eq_ignore_ascii_case(name) {
        return Some(PERFECT);
    }
    let suffix = pattern.strip_prefix('*')?.as_bytes();
    let tail = name.as_bytes().get(name.len().checked_sub(suffix.len())?..)?;
    tail.eq_ignore_ascii_case(suffix).then_some(PERFECT - 1)
}

fn free_bits(first: IpAddr, last: IpAddr) -> u32 {
    match (first, last) {
        (IpAddr::V4(a), IpAddr::V4(b)) => 32 - (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => 128 - (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => 128,
    }
}
