//! `pki --dn` and `pki --keyid`.
use super::input::{self, Certificate, Kind};
use super::output::{colons, raw};
use super::{Call, Outcome};
use crate::out::put;
use data_encoding::HEXLOWER;

pub(super) fn dn(call: &Call<'_>) -> Outcome {
    let format = call.choice("format", "config", &["config", "hex", "base64", "bin"], "output format")?;
    let subject = Certificate::from_bytes(input::given(call)?.as_slice())?.subject()?;
    match format {
        "config" => put!("\"asn1dn:#{}\"", HEXLOWER.encode(&subject)),
        other => raw(other, &subject),
    }
    Ok(0)
}

pub(super) fn keyid(call: &Call<'_>) -> Outcome {
    let allowed = [input::PRIVATE, &["pub", "pkcs10", "x509"]].concat();
    let kind = Kind::of(call, "priv", &allowed)?;
    let id = call.choice("id", "all", &["all", "spk", "spki"], "--id type")?;
    let format = call.choice("format", "pretty", &["pretty", "hex", "base64", "bin"], "output format")?;
    let key = input::public_key(kind, input::given(call)?.as_slice())?;
    for (name, title, bytes) in [
        ("spk", "subjkey (SHA-1 of subjectPublicKey)", key.key_id()),
        ("spki", "keyid (SHA-1 of subjectPublicKeyInfo)", key.spki_id()),
    ] {
        if id != "all" && id != name {
            continue;
        }
        match format {
            "pretty" => put!("{title}:\n             {}", colons(&bytes)),
            other => raw(other, &bytes),
        }
    }
    Ok(0)
}
