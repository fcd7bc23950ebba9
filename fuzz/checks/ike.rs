//! What must hold whatever a peer says, one who knows the secret and one who knows nothing.

/// A script for a peer who knows the secret; see `testkit::hostile`.
pub(crate) fn peer(bytes: &[u8]) {
    testkit::hostile::play(&bytes[..bytes.len().min(1000)]);
}

/// A script for a peer who is not known: CERT, IDi, AUTH, EAP and whatever else in IKE_AUTH.
pub(crate) fn knock(bytes: &[u8]) {
    testkit::hostile::knock(&bytes[..bytes.len().min(1000)]);
}
