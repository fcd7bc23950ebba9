//! `pki --self` and `pki --issue`: certificates.
use super::dates::Span;
use super::extensions::Wanted;
use super::input::{self, Certificate, Kind};
use super::output::Form;
use super::signer::Signer;
use super::structures::TbsCertificate;
use super::{Call, Outcome, Trouble, request};
use crypto::sign::PublicKey;
use der::Decode as _;
use der::asn1::{Any, Uint};
use std::path::Path;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectKeyIdentifier};

const DAY: u64 = 86_400;
const LIFETIME: u64 = 1_095;

pub(super) fn self_signed(call: &Call<'_>) -> Outcome {
    let Kind::Private(family) = Kind::of(call, "priv", input::PRIVATE)? else {
        return Err(Trouble::usage("invalid input type"));
    };
    let form = Form::of(call)?;
    let subject = input::name(call.need("dn")?, "dn")?;
    let wanted = Wanted::of(call)?;
    let span = Span::of(call, "not-before", "not-after", DAY, LIFETIME)?;
    let serial = serial_of(call)?;
    let key = input::private_key(input::given(call)?.as_slice(), family)?;
    let signer = Signer::of(call, key)?;
    let public = signer.key().public().clone();
    let paper = Paper { subject: subject.der(), issuer: subject.der(), serial: &serial, span, key: &public };
    form.emit("CERTIFICATE", &paper.sign(&wanted, None, &signer)?);
    Ok(0)
}

pub(super) fn issue(call: &Call<'_>) -> Outcome {
    let kind = Kind::of(call, "pub", &[input::PRIVATE, &["pub", "pkcs10"]].concat())?;
    let form = Form::of(call)?;
    let authority = Authority::of(call)?;
    let mut wanted = Wanted::of(call)?;
    let span = Span::of(call, "not-before", "not-after", DAY, LIFETIME)?;
    let serial = serial_of(call)?;
    let mut subject =
        call.value("dn").map(|text| input::name(text, "dn")).transpose()?.map(|n| n.der().to_vec());
    let bytes = input::given(call)?;
    let key = if kind == Kind::Request {
        let request = input::request(bytes.as_slice())?;
        let asked = request::asked(&request)?;
        wanted.take_request(&asked.extensions);
        subject.get_or_insert(asked.subject);
        asked.key
    } else {
        input::public_key(kind, bytes.as_slice())?
    };
    // A certificate without a subject is known by its subjectAltNames (RFC 5280 4.1.2.6).
    let subject = subject.unwrap_or_else(|| vec![0x30, 0]);
    if subject == [0x30, 0] && wanted.names.is_empty() {
        return Err(Trouble::usage("--dn or --san is required"));
    }
    let paper = Paper {
        subject: &subject,
        issuer: &authority.certificate.subject()?,
        serial: &serial,
        span,
        key: &key,
    };
    let certificate = paper.sign(&wanted, Some(&authority.key_id()?), &authority.signer)?;
    form.emit("CERTIFICATE", &certificate);
    Ok(0)
}

/// What a certificate says without its extensions.
pub(crate) struct Paper<'a> {
    pub(crate) subject: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) serial: &'a [u8],
    pub(crate) span: Span,
    pub(crate) key: &'a PublicKey,
}

impl Paper<'_> {
    /// The certificate; `authority` is the identifier of the issuer's key, where that is another one.
    pub(crate) fn sign(
        &self,
        wanted: &Wanted,
        authority: Option<&[u8]>,
        signer: &Signer,
    ) -> Result<Vec<u8>, Trouble> {
        let extensions = wanted.build(&self.key.key_id(), authority)?;
        signer.sign(&TbsCertificate {
            version: 2,
            serial: Uint::new(self.serial)?,
            signature: signer.algorithm()?,
            issuer: Any::from_der(self.issuer)?,
            validity: self.span.validity()?,
            subject: Any::from_der(self.subject)?,
            key: Any::from_der(self.key.spki())?,
            extensions: (!extensions.is_empty()).then_some(extensions),
        })
    }
}

/// A certificate that may sign others, with its key.
pub(crate) struct Authority {
    pub(crate) certificate: Certificate,
    pub(crate) signer: Signer,
}

impl Authority {
    /// What `--cacert`, `--cakey`, `--digest` and `--rsa-padding` name.
    pub(super) fn of(call: &Call<'_>) -> Result<Self, Trouble> {
        let certificate = call.need("cacert")?;
        if call.has("cakeyid") {
            return Err(Trouble::failed(
                "--cakeyid is not available: smartcards are used by the daemon only",
            ));
        }
        let key = call.need("cakey")?;
        let certificate = Certificate::from_file(Path::new(certificate))?;
        let key = input::private_key(input::file(Path::new(key))?.as_slice(), None)
            .map_err(|trouble| Trouble::Failed(format!("{trouble}\nloading CA private key failed")))?;
        let authority = Self { certificate, signer: Signer::of(call, key)? };
        authority.check()?;
        Ok(authority)
    }

    /// From its files, as quickstart keeps them.
    pub(crate) fn from_files(certificate: &Path, key: &Path) -> Result<Self, Trouble> {
        let certificate = Certificate::from_file(certificate)?;
        let key = input::private_key(input::file(key)?.as_slice(), None)?;
        let authority = Self { certificate, signer: Signer::new(key) };
        authority.check()?;
        if !authority.is_ca() {
            return Err(Trouble::failed("CA certificate misses CA basicConstraint"));
        }
        Ok(authority)
    }

    fn check(&self) -> Result<(), Trouble> {
        if self.certificate.spki()? != self.signer.key().public().spki() {
            return Err(Trouble::failed("CA private key does not match CA certificate"));
        }
        Ok(())
    }

    fn is_ca(&self) -> bool {
        self.certificate.extension::<BasicConstraints>().is_some_and(|basic| basic.ca)
    }

    /// Whether it may sign revocation lists.
    pub(super) fn signs_crls(&self) -> bool {
        let usage = self.certificate.extension::<KeyUsage>();
        self.is_ca() || usage.is_some_and(|usage| usage.crl_sign())
    }

    /// Until when it is valid.
    pub(crate) fn until(&self) -> jiff::Timestamp {
        super::dates::timestamp(&self.certificate.read.tbs_certificate().validity().not_after)
    }

    /// The identifier of its key: what its certificate says, else the usual digest.
    pub(crate) fn key_id(&self) -> Result<Vec<u8>, Trouble> {
        match self.certificate.extension::<SubjectKeyIdentifier>() {
            Some(id) => Ok(id.0.as_bytes().to_vec()),
            None => Ok(self.certificate.key()?.key_id()),
        }
    }
}

/// `--serial`, or a random number.
pub(super) fn serial_of(call: &Call<'_>) -> Result<Vec<u8>, Trouble> {
    call.value("serial").map_or_else(random_serial, |text| input::hex(text, "serial"))
}

/// A positive number of nine bytes, with 64 unpredictable bits (what the CA/Browser Forum asks for).
pub(crate) fn random_serial() -> Result<Vec<u8>, Trouble> {
    let mut serial = vec![0_u8; 9];
    getrandom::fill(&mut serial).map_err(|error| Trouble::Failed(format!("no randomness: {error}")))?;
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x3f | 0x40;
    }
    Ok(serial)
}
