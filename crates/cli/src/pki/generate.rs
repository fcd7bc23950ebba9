//! `pki --gen`.
use super::output::Form;
use super::{Call, Outcome, Trouble};
use crypto::sign::{KeyType, PrivateKey};

pub(super) fn run(call: &Call<'_>) -> Outcome {
    for option in ["safe-primes", "shares", "threshold"] {
        if call.has(option) {
            return Err(Trouble::Failed(format!(
                "--{option} is not available: the backend makes ordinary keys only"
            )));
        }
    }
    let form = Form::of(call).map_err(|_| Trouble::usage("invalid key output format"))?;
    let size = call.number::<usize>("size")?;
    let (kind, bits) = match (call.value("type").unwrap_or("rsa"), size) {
        ("rsa", size) => (KeyType::Rsa, size.unwrap_or(2048)),
        ("ecdsa", Some(256)) => (KeyType::P256, 256),
        ("ecdsa", None | Some(384)) => (KeyType::P384, 384),
        ("ecdsa", Some(521)) => (KeyType::P521, 521),
        ("ecdsa", Some(other)) => {
            return Err(Trouble::Failed(format!("EC private key size {other} not supported")));
        }
        ("ed25519", _) => (KeyType::Ed25519, 256),
        (known @ ("ed448" | "bliss"), _) => {
            return Err(Trouble::Failed(format!(
                "--type {known} is not available: no kept library has such keys"
            )));
        }
        _ => return Err(Trouble::usage("invalid key type")),
    };
    let key = PrivateKey::generate(kind, bits)?;
    form.emit(label(kind), key.to_traditional()?.as_slice());
    Ok(0)
}

/// What PEM calls the form that is a kind's own.
pub(super) const fn label(kind: KeyType) -> &'static str {
    match kind {
        KeyType::Rsa => "RSA PRIVATE KEY",
        KeyType::P256 | KeyType::P384 | KeyType::P521 => "EC PRIVATE KEY",
        KeyType::Ed25519 => "PRIVATE KEY",
    }
}
