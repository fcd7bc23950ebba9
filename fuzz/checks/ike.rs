//! What must hold whatever a peer says who knows the secret.

/// A script for that peer; see `testkit::hostile`.
pub(crate) fn peer(bytes: &[u8]) {
    testkit::hostile::play(&bytes[..bytes.len().min(1000)]);
}
