//! `pki --acert`: attribute certificates (RFC 5755) that say to which groups a holder belongs.
use super::dates::Span;
use super::extensions::{AUTHORITY_KEY, authority_key, extension};
use super::input::{self, Certificate};
use super::issue::serial_of;
use super::output::Form;
use super::signer::Signer;
use super::structures::{
    Attribute, AttributeCertificateInfo, AttributeValidity, GroupList, Holder, IssuerForm, IssuerSerial,
};
use super::{Call, Outcome, Trouble};
use der::asn1::{Any, GeneralizedTime, Null, ObjectIdentifier, SetOfVec, Uint};
use der::{Decode as _, Encode as _};
use std::path::Path;
use std::time::SystemTime;
use x509_cert::ext::pkix::SubjectKeyIdentifier;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

/// id-aca-group (RFC 5755 4.4.4).
pub(super) const GROUP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.10.4");
/// noRevAvail (RFC 5755 4.3.6).
const NO_REVOCATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.56");

pub(super) fn run(call: &Call<'_>) -> Outcome {
    let form = Form::of(call)?;
    let issuer_file = call.need("issuercert")?;
    if call.has("issuerkeyid") {
        return Err(Trouble::failed(
            "--issuerkeyid is not available: smartcards are used by the daemon only",
        ));
    }
    let key_file = call.need("issuerkey")?;
    let span = Span::of(call, "not-before", "not-after", 3_600, 24)?;
    let serial = serial_of(call)?;
    let issuer = Certificate::from_file(Path::new(issuer_file))?;
    let key = input::private_key(input::file(Path::new(key_file))?.as_slice(), None)?;
    if issuer.spki()? != key.public().spki() {
        return Err(Trouble::failed("issuer private key does not match issuer certificate"));
    }
    let signer = Signer::of(call, key)?;
    let holder = Certificate::from_bytes(input::given(call)?.as_slice())?;
    let groups: Vec<Any> = call
        .options
        .values("group")
        .map(|group| Ok(Any::from_der(&group.to_owned().to_der()?)?))
        .collect::<Result<_, Trouble>>()?;
    let attributes = if groups.is_empty() {
        Vec::new()
    } else {
        let list = GroupList { authority: None, values: groups };
        vec![Attribute { kind: GROUP, values: SetOfVec::try_from(vec![Any::from_der(&list.to_der()?)?])? }]
    };
    let authority = match issuer.extension::<SubjectKeyIdentifier>() {
        Some(id) => id.0.as_bytes().to_vec(),
        None => issuer.key()?.key_id(),
    };
    let info = AttributeCertificateInfo {
        version: 1,
        holder: Holder {
            certificate: Some(IssuerSerial {
                issuer: vec![directory(&holder.issuer()?)?],
                serial: Uint::new(holder.serial())?,
            }),
            names: Some(vec![directory(&holder.subject()?)?]),
        },
        issuer: IssuerForm { names: Some(vec![directory(&issuer.subject()?)?]) },
        signature: signer.algorithm()?,
        serial: Uint::new(&serial)?,
        validity: AttributeValidity {
            not_before: GeneralizedTime::from_system_time(SystemTime::from(span.from))?,
            not_after: GeneralizedTime::from_system_time(SystemTime::from(span.until))?,
        },
        attributes,
        extensions: Some(vec![
            extension(AUTHORITY_KEY, false, &authority_key(&authority)?.to_der()?)?,
            extension(NO_REVOCATION, false, &Null.to_der()?)?,
        ]),
    };
    form.emit("ATTRIBUTE CERTIFICATE", &signer.sign(&info)?);
    Ok(0)
}

fn directory(name: &[u8]) -> Result<GeneralName, Trouble> {
    Ok(GeneralName::DirectoryName(Name::from_der(name)?))
}
