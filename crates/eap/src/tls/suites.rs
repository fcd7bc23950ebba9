//! Cipher suites and groups by name, and the provider that has only those allowed.
use super::{Version, dhe};
use rustls::SupportedCipherSuite;
use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// All suites, best first; finite-field Diffie-Hellman last.
pub(super) fn all() -> Vec<SupportedCipherSuite> {
    aws_lc_rs::ALL_CIPHER_SUITES.iter().copied().chain(dhe::suites()).collect()
}

/// The name in IANA's registry.
pub(super) fn name(suite: &SupportedCipherSuite) -> String {
    let name = suite.suite().as_str().unwrap_or("unknown");
    name.strip_prefix("TLS13_").map_or_else(|| name.to_owned(), |rest| format!("TLS_{rest}"))
}

/// A provider with the suites of these names, or all; and the versions it has suites for.
pub(super) fn provider(names: &[&str]) -> (CryptoProvider, Vec<Version>) {
    let cipher_suites: Vec<_> =
        all().into_iter().filter(|s| names.is_empty() || names.iter().any(|n| *n == name(s))).collect();
    let has = cipher_suites
        .iter()
        .map(|s| match s {
            SupportedCipherSuite::Tls13(_) => Version::V13,
            SupportedCipherSuite::Tls12(_) => Version::V12,
        })
        .collect();
    let mut kx_groups = aws_lc_rs::ALL_KX_GROUPS.to_vec();
    kx_groups.extend(dhe::groups());
    (CryptoProvider { cipher_suites, kx_groups, ..aws_lc_rs::default_provider() }, has)
}
