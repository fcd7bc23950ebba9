//! `pki --req`: certificate requests (PKCS#10, RFC 2986).
use super::extensions::{ALT_NAME, CERT_TYPE, alt_name, extension};
use super::input::{self, Kind};
use super::output::Form;
use super::signer::Signer;
use super::structures::{Attribute, RequestInfo};
use super::{Call, Outcome, Trouble};
use crypto::sign::PublicKey;
use der::asn1::{Any, ObjectIdentifier, SetOfVec};
use der::{Decode as _, Encode as _};
use std::path::Path;
use x509_cert::ext::Extension;
use x509_cert::request::CertReq;

const EXTENSION_REQUEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");
const CHALLENGE_PASSWORD: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.7");

pub(super) fn run(call: &Call<'_>) -> Outcome {
    let Kind::Private(family) = Kind::of(call, "priv", input::PRIVATE)? else {
        return Err(Trouble::usage("invalid input type"));
    };
    let form = Form::of(call)?;
    let old = match call.value("oldreq") {
        Some(path) => Some(asked(&input::request(input::file(Path::new(path))?.as_slice())?)?),
        None => None,
    };
    let subject = match (&old, call.value("dn")) {
        (_, Some(text)) => input::name(text, "dn")?.der().to_vec(),
        (Some(old), None) => old.subject.clone(),
        (None, None) => return Err(Trouble::usage("--dn is required")),
    };
    let mut extensions = old.map(|old| old.extensions).unwrap_or_default();
    let names: Vec<_> = call.options.values("san").map(alt_name).collect::<Result<_, _>>()?;
    if !names.is_empty() {
        extensions.retain(|extension| extension.extn_id != ALT_NAME);
        extensions.push(extension(ALT_NAME, false, &names.to_der()?)?);
    }
    if let Some(profile) = call.value("profile") {
        if !["server", "client", "dual", "ocsp"].contains(&profile) {
            return Err(Trouble::usage("invalid --profile"));
        }
        extensions.retain(|extension| extension.extn_id != CERT_TYPE);
        extensions.push(extension(CERT_TYPE, false, &profile.to_owned().to_der()?)?);
    }
    let mut attributes = Vec::new();
    if !extensions.is_empty() {
        attributes.push(attribute(EXTENSION_REQUEST, &extensions.to_der()?)?);
    }
    if let Some(password) = call.value("password") {
        attributes.push(attribute(CHALLENGE_PASSWORD, &password.to_owned().to_der()?)?);
    }
    let key = input::private_key(input::given(call)?.as_slice(), family)?;
    let signer = Signer::of(call, key)?;
    let info = RequestInfo {
        version: 0,
        subject: Any::from_der(&subject)?,
        key: Any::from_der(signer.key().public().spki())?,
        attributes: SetOfVec::try_from(attributes)?,
    };
    form.emit("CERTIFICATE REQUEST", &signer.sign(&info)?);
    Ok(0)
}

fn attribute(kind: ObjectIdentifier, value: &[u8]) -> Result<Attribute, Trouble> {
    Ok(Attribute { kind, values: SetOfVec::try_from(vec![Any::from_der(value)?])? })
}

/// What a request asks for.
pub(super) struct Asked {
    pub(super) subject: Vec<u8>,
    pub(super) key: PublicKey,
    pub(super) extensions: Vec<Extension>,
}

pub(super) fn asked(request: &CertReq) -> Result<Asked, Trouble> {
    let mut extensions = Vec::new();
    for attribute in request.info.attributes.iter() {
        if attribute.oid == EXTENSION_REQUEST {
            for value in attribute.values.iter() {
                extensions.extend(Vec::<Extension>::from_der(&value.to_der()?)?);
            }
        }
    }
    Ok(Asked {
        subject: request.info.subject.to_der()?,
        key: PublicKey::from_spki(&request.info.public_key.to_der()?)?,
        extensions,
    })
}
