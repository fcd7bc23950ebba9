//! `pki --pkcs12`: what is in a container, and one thing out of it.
use super::output::Form;
use super::{Call, Outcome, Trouble, generate, input};
use crate::out::{clean, put};
use ::pki::Item;

pub(super) fn run(call: &Call<'_>) -> Outcome {
    let form = Form::of(call)?;
    let wanted = call.number::<usize>("export")?;
    if wanted.is_none() && !call.has("list") {
        return Err(Trouble::usage("unknown PKCS#12 operation"));
    }
    let bytes = input::given(call)?;
    let items = ::pki::load(bytes.as_slice(), Some(&input::passphrase()?))
        .map_err(|error| Trouble::Failed(format!("reading PKCS#12 file failed: {error}")))?;
    let (mut certificates, mut keys) = (Vec::new(), Vec::new());
    for item in items {
        match item {
            // The authority before what it issued.
            Item::Certificate(certificate) => certificates.insert(0, certificate),
            Item::PrivateKey(key) => keys.push(key),
            Item::PublicKey(_) | Item::Crl(_) => {}
        }
    }
    let Some(wanted) = wanted else {
        put!("Certificates:");
        for (number, certificate) in certificates.iter().enumerate() {
            let authority = if certificate.is_ca() { " (CA)" } else { "" };
            put!("[{:2}] \"{}\"{authority}", number + 1, clean(&certificate.subject().to_string()));
        }
        put!("Private keys:");
        for (number, key) in keys.iter().enumerate() {
            put!("[{:2}] {} {} bits", certificates.len() + number + 1, key.kind(), key.public().bits());
        }
        return Ok(0);
    };
    let at = wanted.checked_sub(1).ok_or_else(|| Trouble::usage("invalid --export index"))?;
    if let Some(certificate) = certificates.get(at) {
        form.emit("CERTIFICATE", certificate.der());
    } else if let Some(key) = keys.get(at - certificates.len()) {
        form.emit(generate::label(key.kind()), key.to_traditional()?.as_slice());
    } else {
        return Err(Trouble::Failed(format!("there is no credential with index {wanted}")));
    }
    Ok(0)
}
