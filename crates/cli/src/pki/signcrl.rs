//! `pki --signcrl`: certificate revocation lists.
use super::dates::{self, Span};
use super::extensions::{
    AUTHORITY_KEY, CRL_NUMBER, CRL_REASON, DELTA_CRL, FRESHEST_CRL, authority_key, extension, point,
};
use super::input::{self, Certificate};
use super::issue::Authority;
use super::output::Form;
use super::structures::{Revoked, TbsCertList};
use super::{Call, Outcome, Trouble};
use der::asn1::{Any, Null, ObjectIdentifier, Uint};
use der::{Decode as _, Encode as _};
use jiff::Timestamp;
use std::path::Path;
use x509_cert::crl::CertificateList;
use x509_cert::ext::pkix::CrlNumber;
use x509_cert::ext::pkix::crl::CrlReason;

const DAY: u64 = 86_400;

/// A revoked certificate.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) serial: Vec<u8>,
    pub(crate) at: Timestamp,
    pub(crate) reason: CrlReason,
}

pub(super) fn run(call: &Call<'_>) -> Outcome {
    let form = Form::of(call)?;
    let authority = Authority::of(call)?;
    if !authority.signs_crls() {
        return Err(Trouble::failed("CA certificate misses CA basicConstraint / CRLSign keyUsage"));
    }
    let span = Span::of(call, "this-update", "next-update", DAY, 15)?;
    let mut entries = given(call)?;
    let last = call.value("lastcrl").map(|path| read(Path::new(path))).transpose()?;
    let base = call.value("basecrl").map(|path| read(Path::new(path))).transpose()?;
    if let Some(last) = &last {
        if last.tbs_cert_list.issuer.to_der()? != authority.certificate.subject()? {
            return Err(Trouble::failed("the last CRL is of another issuer"));
        }
        entries.extend(entries_of(last));
    }
    let number = match &last {
        Some(last) => next(&number_of(last)),
        None => vec![1],
    };
    let mut list = List {
        number,
        entries,
        span,
        base: base.as_ref().map(number_of),
        freshest: call.options.values("crluri").map(str::to_owned).collect(),
        critical: None,
    };
    if let Some(text) = call.value("critical") {
        let oid = ObjectIdentifier::new(text).map_err(|_| Trouble::usage("invalid --critical value"))?;
        list.critical = Some(oid);
    }
    form.emit("X509 CRL", &list.sign(&authority)?);
    Ok(0)
}

/// What a CRL says.
pub(crate) struct List {
    pub(crate) number: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) span: Span,
    base: Option<Vec<u8>>,
    freshest: Vec<String>,
    critical: Option<ObjectIdentifier>,
}

impl List {
    /// A complete list.
    pub(crate) const fn complete(number: Vec<u8>, entries: Vec<Entry>, span: Span) -> Self {
        Self { number, entries, span, base: None, freshest: Vec::new(), critical: None }
    }

    pub(crate) fn sign(&self, authority: &Authority) -> Result<Vec<u8>, Trouble> {
        let mut extensions = vec![
            extension(AUTHORITY_KEY, false, &authority_key(&authority.key_id()?)?.to_der()?)?,
            extension(CRL_NUMBER, false, &Uint::new(&self.number)?.to_der()?)?,
        ];
        if let Some(base) = &self.base {
            extensions.push(extension(DELTA_CRL, true, &Uint::new(base)?.to_der()?)?);
        }
        if !self.freshest.is_empty() {
            let points: Vec<_> =
                self.freshest.iter().map(|uri| point(uri, None)).collect::<Result<_, _>>()?;
            extensions.push(extension(FRESHEST_CRL, false, &points.to_der()?)?);
        }
        if let Some(oid) = self.critical {
            extensions.push(extension(oid, true, &Null.to_der()?)?);
        }
        let revoked: Vec<Revoked> = self.entries.iter().map(revoked).collect::<Result<_, _>>()?;
        let signer = &authority.signer;
        signer.sign(&TbsCertList {
            version: 1,
            signature: signer.algorithm()?,
            issuer: Any::from_der(&authority.certificate.subject()?)?,
            this_update: dates::time(self.span.from)?,
            next_update: Some(dates::time(self.span.until)?),
            // An empty list must not be there at all (RFC 5280 5.1.2.6).
            revoked: (!revoked.is_empty()).then_some(revoked),
            extensions: Some(extensions),
        })
    }
}

fn revoked(entry: &Entry) -> Result<Revoked, Trouble> {
    // "Unspecified" should be absent instead (RFC 5280 5.3.1).
    let reason = (entry.reason != CrlReason::Unspecified)
        .then(|| extension(CRL_REASON, false, &entry.reason.to_der()?))
        .transpose()?;
    Ok(Revoked {
        serial: Uint::new(&entry.serial)?,
        date: dates::time(entry.at)?,
        extensions: reason.map(|reason| vec![reason]),
    })
}

/// The revocations on the command line, the last one first; reason and date stand before what they are for.
fn given(call: &Call<'_>) -> Result<Vec<Entry>, Trouble> {
    let (mut reason, mut at) = (CrlReason::Unspecified, dates::now());
    let mut entries = Vec::new();
    for (option, value) in call.options.given() {
        let Some(value) = *value else { continue };
        let serial = match *option {
            "reason" => {
                reason = self::reason(value)?;
                continue;
            }
            "date" => {
                let seconds = value.parse().map_err(|_| Trouble::usage("invalid date"))?;
                at = Timestamp::from_second(seconds).map_err(|_| Trouble::usage("invalid date"))?;
                continue;
            }
            "serial" => input::trim(&input::hex(value, "serial")?).to_vec(),
            "cert" => Certificate::from_file(Path::new(value))?.serial().to_vec(),
            _ => continue,
        };
        entries.push(Entry { serial, at, reason });
        (reason, at) = (CrlReason::Unspecified, dates::now());
    }
    Ok(entries)
}

fn reason(word: &str) -> Result<CrlReason, Trouble> {
    Ok(match word {
        "key-compromise" => CrlReason::KeyCompromise,
        "ca-compromise" => CrlReason::CaCompromise,
        "affiliation-changed" => CrlReason::AffiliationChanged,
        "superseded" => CrlReason::Superseded,
        "cessation-of-operation" => CrlReason::CessationOfOperation,
        "certificate-hold" => CrlReason::CertificateHold,
        _ => return Err(Trouble::usage("invalid revocation reason")),
    })
}

/// Reads a CRL.
pub(crate) fn read(path: &Path) -> Result<CertificateList, Trouble> {
    from_bytes(input::file(path)?.as_slice())
}

pub(crate) fn from_bytes(bytes: &[u8]) -> Result<CertificateList, Trouble> {
    let (_, der) = input::der_of(bytes)?;
    CertificateList::from_der(der.as_slice()).map_err(|_| Trouble::failed("parsing CRL failed"))
}

/// What a CRL revokes.
pub(crate) fn entries_of(crl: &CertificateList) -> Vec<Entry> {
    let revoked = crl.tbs_cert_list.revoked_certificates.iter().flatten();
    revoked
        .map(|entry| Entry {
            serial: input::trim(entry.serial_number.as_bytes()).to_vec(),
            at: dates::timestamp(&entry.revocation_date),
            reason: input::extension::<CrlReason>(entry.crl_entry_extensions.as_ref())
                .unwrap_or(CrlReason::Unspecified),
        })
        .collect()
}

/// The number of a CRL, zero where it has none.
pub(crate) fn number_of(crl: &CertificateList) -> Vec<u8> {
    input::extension::<CrlNumber>(crl.tbs_cert_list.crl_extensions.as_ref())
        .map_or_else(|| vec![0], |number| number.0.as_bytes().to_vec())
}

/// One more.
pub(crate) fn next(number: &[u8]) -> Vec<u8> {
    let mut out = [&[0], number].concat();
    for byte in out.iter_mut().rev() {
        let (sum, carry) = byte.overflowing_add(1);
        *byte = sum;
        if !carry {
            break;
        }
    }
    input::trim(&out).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_up() {
        assert_eq!(next(&[1]), [2]);
        assert_eq!(next(&[0xff]), [1, 0]);
        assert_eq!(next(&[1, 0xff]), [2, 0]);
    }
}
