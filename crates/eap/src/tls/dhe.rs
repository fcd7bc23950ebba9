//! Finite-field Diffie-Hellman for TLS 1.2, which peers with old suites still ask for.
use rustls::SupportedCipherSuite;
use rustls::crypto::SupportedKxGroup;

pub(super) fn suites() -> Vec<SupportedCipherSuite> {
    Vec::new()
}

pub(super) fn groups() -> Vec<&'static dyn SupportedKxGroup> {
    Vec::new()
}
