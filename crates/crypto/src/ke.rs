//! Key exchange methods (transform type 4): Diffie-Hellman groups, curves and ML-KEM behind one face.
//!
//! The initiator calls [`start`], sends [`Pending::public`] and later calls [`Pending::finish`] with what came back; the
//! responder calls [`respond`]. That fits Diffie-Hellman and key encapsulation alike (RFC 9370).

mod brainpool;
mod curve;
pub mod ffdhe;
mod group;
mod mlkem;
mod modp;

use wire::iana::Ke;

use crate::{CryptoError, Rng, Secret, table};

/// A key exchange that waits for the peer's public value: a plain value that survives a restart.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct Pending {
    method: Ke,
    private: Secret,
    public: Vec<u8>,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pending({:?})", self.method)
    }
}

impl Pending {
    /// Rebuilds the exchange of a private key chosen elsewhere: an exponent or scalar, big-endian (X25519: as RFC 7748
    /// writes it). For vectors and tests; [`start`] draws a proper one.
    ///
    /// # Errors
    /// A method that is not available or has no such private key (ML-KEM), or a key out of range.
    pub fn from_private(method: Ke, private: Secret) -> Result<Self, CryptoError> {
        let public = match backend(method)? {
            Backend::Modp(group) => group.public(private.as_slice())?,
            Backend::Curve(curve) => curve.public(&curve.key(private.as_slice())?)?,
            Backend::Brainpool(curve) => curve.public(private.as_slice())?,
            Backend::MlKem(_) => {
                return Err(CryptoError::Unsupported {
                    name: table::ke_keyword(method),
                    reason: "its private key cannot be chosen",
                });
            }
        };
        Ok(Self { method, private, public })
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> Ke {
        self.method
    }

    /// The value to send in the Key Exchange payload.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// Computes the shared secret from the peer's public value (or ciphertext).
    ///
    /// # Errors
    /// A public value of the wrong length or one that RFC 6989 or RFC 8031 tells to refuse.
    pub fn finish(&self, peer: &[u8]) -> Result<Secret, CryptoError> {
        check_len(self.method, peer, false)?;
        match backend(self.method)? {
            Backend::Modp(group) => group.shared(self.private.as_slice(), peer),
            Backend::Curve(curve) => curve.shared(&curve.key(self.private.as_slice())?, peer),
            Backend::Brainpool(curve) => curve.shared(self.private.as_slice(), peer),
            Backend::MlKem(kem) => mlkem::finish(kem, self.private.as_slice(), peer),
        }
    }
}

/// Starts an exchange as its initiator.
///
/// # Errors
/// A method that is not available.
pub fn start(method: Ke, rng: &mut Rng) -> Result<Pending, CryptoError> {
    match backend(method)? {
        Backend::Modp(group) => Pending::from_private(method, group.private(rng)),
        Backend::Curve(curve) => {
            let from = |private| Pending::from_private(method, private);
            drawn(method, curve.private_len(), rng, |bytes| curve.trim(bytes), from)
        }
        Backend::Brainpool(curve) => {
            drawn(method, curve.len(), rng, |_| (), |private| Pending::from_private(method, private))
        }
        Backend::MlKem(kem) => {
            let (private, public) = mlkem::start(kem)?;
            Ok(Pending { method, private, public })
        }
    }
}

/// Answers an exchange: our public value (or ciphertext) and the shared secret.
///
/// # Errors
/// A method that is not available, or a public value as in [`Pending::finish`].
pub fn respond(method: Ke, peer_public: &[u8], rng: &mut Rng) -> Result<(Vec<u8>, Secret), CryptoError> {
    check_len(method, peer_public, true)?;
    match backend(method)? {
        Backend::MlKem(kem) => mlkem::respond(kem, peer_public),
        Backend::Curve(curve) => {
            // The key is made once for both.
            let from = |private: Secret| curve.key(private.as_slice());
            let key = drawn(method, curve.private_len(), rng, |bytes| curve.trim(bytes), from)?;
            Ok((curve.public(&key)?, curve.shared(&key, peer_public)?))
        }
        Backend::Modp(_) | Backend::Brainpool(_) => {
            let pending = start(method, rng)?;
            let shared = pending.finish(peer_public)?;
            Ok((pending.public, shared))
        }
    }
}

/// Whether the method can be used.
///
/// # Errors
/// Says why not.
pub fn available(method: Ke) -> Result<(), CryptoError> {
    backend(method).map(drop)
}

/// Bytes of the public value that the initiator, or the responder, sends; 0 for a method that is not available.
#[must_use]
pub fn public_len(method: Ke, initiator: bool) -> usize {
    match backend(method) {
        Ok(Backend::Modp(group)) => group.len(),
        Ok(Backend::Curve(curve)) => curve.public_len(),
        Ok(Backend::Brainpool(curve)) => 2 * curve.len(),
        Ok(Backend::MlKem(_)) => mlkem::public_len(method, initiator),
        Err(_) => 0,
    }
}

enum Backend {
    Modp(&'static dyn modp::Group),
    Curve(curve::Curve),
    Brainpool(brainpool::Curve),
    MlKem(mlkem::Kem),
}

/// The one place that says which code computes a method.
fn backend(method: Ke) -> Result<Backend, CryptoError> {
    Ok(match method {
        Ke::Modp768 => Backend::Modp(&group::MODP768),
        Ke::Modp1024 => Backend::Modp(&group::MODP1024),
        Ke::Modp1536 => Backend::Modp(&group::MODP1536),
        Ke::Modp2048 => Backend::Modp(&group::MODP2048),
        Ke::Modp3072 => Backend::Modp(&group::MODP3072),
        Ke::Modp4096 => Backend::Modp(&group::MODP4096),
        Ke::Modp6144 => Backend::Modp(&group::MODP6144),
        Ke::Modp8192 => Backend::Modp(&group::MODP8192),
        Ke::Modp1024s160 => Backend::Modp(&group::MODP1024S160),
        Ke::Modp2048s224 => Backend::Modp(&group::MODP2048S224),
        Ke::Modp2048s256 => Backend::Modp(&group::MODP2048S256),
        Ke::Ecp256 => Backend::Curve(curve::Curve::P256),
        Ke::Ecp384 => Backend::Curve(curve::Curve::P384),
        Ke::Ecp521 => Backend::Curve(curve::Curve::P521),
        Ke::X25519 => Backend::Curve(curve::Curve::X25519),
        Ke::BrainpoolP256 => Backend::Brainpool(brainpool::Curve::P256),
        Ke::BrainpoolP384 => Backend::Brainpool(brainpool::Curve::P384),
        Ke::MlKem512 => Backend::MlKem(&aws_lc_rs::kem::ML_KEM_512),
        Ke::MlKem768 => Backend::MlKem(&aws_lc_rs::kem::ML_KEM_768),
        Ke::MlKem1024 => Backend::MlKem(&aws_lc_rs::kem::ML_KEM_1024),
        other => return Err(table::ke_unsupported(other)),
    })
}

fn check_len(method: Ke, peer: &[u8], from_initiator: bool) -> Result<(), CryptoError> {
    available(method)?;
    let want = public_len(method, from_initiator);
    if peer.len() == want {
        Ok(())
    } else {
        Err(CryptoError::Length { what: "public value", want, have: peer.len() })
    }
}

/// Draws scalars until one lies below the order of the curve; each try fails with a probability under one half.
fn drawn<T>(
    method: Ke,
    len: usize,
    rng: &mut Rng,
    trim: impl Fn(&mut [u8]),
    from: impl Fn(Secret) -> Result<T, CryptoError>,
) -> Result<T, CryptoError> {
    let mut last = CryptoError::PublicValue(table::ke_name_static(method));
    for _ in 0..256 {
        let mut private = Secret::zeroed(len);
        rng.fill(private.as_mut_slice());
        trim(private.as_mut_slice());
        match from(private) {
            Ok(key) => return Ok(key),
            Err(error) => last = error,
        }
    }
    Err(last)
}
