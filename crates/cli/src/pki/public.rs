//! `pki --pub`.
use super::input::{self, Kind};
use super::output::pem;
use super::structures::RsaKey;
use super::{Call, Outcome, Trouble};
use crate::out;
use crypto::sign::{KeyType, PublicKey};
use data_encoding::BASE64;
use der::Decode as _;
use x509_cert::spki::SubjectPublicKeyInfoRef;

pub(super) fn run(call: &Call<'_>) -> Outcome {
    let allowed = [input::PRIVATE, &["pub", "pkcs10", "x509"]].concat();
    let kind = Kind::of(call, "priv", &allowed)?;
    let form = call.choice("outform", "der", &["der", "pem", "dnskey", "sshkey"], "output format")?;
    let key = input::public_key(kind, input::given(call)?.as_slice())?;
    match form {
        "pem" => out::bytes(pem("PUBLIC KEY", key.spki()).as_bytes()),
        "dnskey" => out::bytes(BASE64.encode(&dnskey(&key)?).as_bytes()),
        "sshkey" => out::bytes(BASE64.encode(&sshkey(&key)?).as_bytes()),
        _ => out::bytes(key.spki()),
    }
    Ok(0)
}

fn bare(key: &PublicKey) -> Result<Vec<u8>, Trouble> {
    let info = SubjectPublicKeyInfoRef::from_der(key.spki())?;
    Ok(info.subject_public_key.as_bytes().unwrap_or_default().to_vec())
}

fn rsa(key: &PublicKey) -> Result<RsaKey, Trouble> {
    Ok(RsaKey::from_der(&bare(key)?)?)
}

/// RFC 3110: exponent and modulus of an RSA key.
fn dnskey(key: &PublicKey) -> Result<Vec<u8>, Trouble> {
    if key.kind() != KeyType::Rsa {
        return Err(Trouble::failed("public key encoding failed: only RSA keys have the form of RFC 3110"));
    }
    let key = rsa(key)?;
    let exponent = key.exponent.as_bytes();
    let mut bytes = match u8::try_from(exponent.len()) {
        Ok(length) => vec![length],
        Err(_) => return Err(Trouble::failed("public key encoding failed: the exponent is too long")),
    };
    bytes.extend_from_slice(exponent);
    bytes.extend_from_slice(key.modulus.as_bytes());
    Ok(bytes)
}

/// RFC 4253 6.6, RFC 5656 3.1, RFC 8709 4.
fn sshkey(key: &PublicKey) -> Result<Vec<u8>, Trouble> {
    fn string(out: &mut Vec<u8>, bytes: &[u8]) {
        out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(bytes);
    }
    /// A positive number: a zero byte before a set highest bit (RFC 4251 5).
    fn number(out: &mut Vec<u8>, bytes: &[u8]) {
        let bytes = input::trim(bytes);
        let signed = bytes.first().is_some_and(|first| first & 0x80 != 0);
        string(out, &[&[0][..usize::from(signed)], bytes].concat());
    }
    let mut out = Vec::new();
    match key.kind() {
        KeyType::Rsa => {
            let key = rsa(key)?;
            string(&mut out, b"ssh-rsa");
            number(&mut out, key.exponent.as_bytes());
            number(&mut out, key.modulus.as_bytes());
        }
        KeyType::Ed25519 => {
            string(&mut out, b"ssh-ed25519");
            string(&mut out, &bare(key)?);
        }
        curve @ (KeyType::P256 | KeyType::P384 | KeyType::P521) => {
            let curve = match curve {
                KeyType::P384 => "nistp384",
                KeyType::P521 => "nistp521",
                _ => "nistp256",
            };
            string(&mut out, format!("ecdsa-sha2-{curve}").as_bytes());
            string(&mut out, curve.as_bytes());
            string(&mut out, &bare(key)?);
        }
    }
    Ok(out)
}
