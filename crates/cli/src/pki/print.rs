//! `pki --print`, and what `swanctl --list-certs` prints alike.
use super::acert::GROUP;
use super::dates::{self, judge_begin, judge_end, show};
use super::describe;
use super::input::{self, Kind};
use super::output::colons;
use super::structures::{AttributeCertificateInfo, GroupList, Signed};
use super::{Call, Outcome, Trouble, signcrl};
use crate::out::{clean, put};
use crypto::sign::PublicKey;
use der::{Decode as _, Encode as _};
use jiff::Timestamp;
use x509_cert::crl::CertificateList;
use x509_cert::ext::pkix::crl::CrlReason;
use x509_cert::ext::pkix::crl::{BaseCrlNumber, FreshestCrl};
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, CrlNumber};

/// How things are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub(crate) now: Timestamp,
    /// Times in UTC.
    pub(crate) utc: bool,
    /// Without some details.
    pub(crate) short: bool,
    /// The private key is at hand.
    pub(crate) has_key: bool,
}

impl View {
    pub(crate) fn plain() -> Self {
        Self { now: dates::now(), utc: false, short: false, has_key: false }
    }

    pub(super) fn show(self, at: Timestamp) -> String {
        if self.utc { dates::show_utc(at) } else { show(at) }
    }
}

pub(super) fn run(call: &Call<'_>) -> Outcome {
    let word = call.value("type").unwrap_or("x509");
    let view = View::plain();
    match word {
        "crl" => {
            let crl = signcrl::from_bytes(input::given(call)?.as_slice())?;
            show_crl(&crl, view)?;
        }
        "ac" => {
            let (_, der) = input::der_of(input::given(call)?.as_slice())?;
            show_attributes(der.as_slice(), view)?;
        }
        _ => {
            let allowed =
                [input::PRIVATE, &["x509", "pub", "rsa-priv", "ecdsa-priv", "ed25519-priv"]].concat();
            let kind = Kind::of(call, "x509", &allowed)?;
            let bytes = input::given(call)?;
            match kind {
                Kind::Certificate => {
                    let certificate = input::Certificate::from_bytes(bytes.as_slice())?;
                    describe::certificate(&certificate, view)?;
                }
                Kind::Private(_) => {
                    let key = input::public_key(kind, bytes.as_slice())?;
                    put!("  privkey:   {} {} bits", key.kind(), key.bits());
                    identifiers(&key);
                }
                _ => show_key(&input::public_key(kind, bytes.as_slice())?, view),
            }
        }
    }
    Ok(0)
}

/// A public key.
pub(crate) fn show_key(key: &PublicKey, view: View) {
    let private = if view.has_key { ", has private key" } else { "" };
    put!("  pubkey:    {} {} bits{private}", key.kind(), key.bits());
    identifiers(key);
}

fn identifiers(key: &PublicKey) {
    put!("  keyid:     {}", colons(&key.spki_id()));
    put!("  subjkey:   {}", colons(&key.key_id()));
}

/// A CRL.
pub(crate) fn show_crl(crl: &CertificateList, view: View) -> Result<(), Trouble> {
    let list = &crl.tbs_cert_list;
    let extensions = list.crl_extensions.as_ref();
    put!("  issuer:   \"{}\"", clean(&input::text_of(&list.issuer.to_der()?)));
    let this = dates::timestamp(&list.this_update);
    put!("  update:    this on {}, {}", view.show(this), judge_begin(this, view.now));
    if let Some(next) = &list.next_update {
        let next = dates::timestamp(next);
        put!("             next on {}, {}", view.show(next), judge_end(next, view.now));
    }
    if let Some(number) = input::extension::<CrlNumber>(extensions) {
        put!("  serial:    {}", colons(number.0.as_bytes()));
    }
    if let Some(base) = input::extension::<BaseCrlNumber>(extensions) {
        put!("  delta CRL: for serial {}", colons(base.0.as_bytes()));
    }
    if let Some(id) = input::extension::<AuthorityKeyIdentifier>(extensions).and_then(|id| id.key_identifier)
    {
        put!("  authKeyId: {}", colons(id.as_bytes()));
    }
    if let Some(freshest) = input::extension::<FreshestCrl>(extensions) {
        describe::points("  freshest:  ", &freshest.0);
    }
    let entries = signcrl::entries_of(crl);
    let plural = if entries.len() == 1 { "" } else { "s" };
    let listed = !entries.is_empty() && !view.short;
    put!("  {} revoked certificate{plural}{}", entries.len(), if listed { ":" } else { "" });
    for entry in entries.iter().filter(|_| listed) {
        put!("    {}: {}, {}", colons(&entry.serial), view.show(entry.at), reason(entry.reason));
    }
    Ok(())
}

/// Why a certificate was revoked, in words.
pub(super) const fn reason(reason: CrlReason) -> &'static str {
    match reason {
        CrlReason::Unspecified => "unspecified",
        CrlReason::KeyCompromise => "key compromise",
        CrlReason::CaCompromise => "CA compromise",
        CrlReason::AffiliationChanged => "affiliation changed",
        CrlReason::Superseded => "superseded",
        CrlReason::CessationOfOperation => "cessation of operation",
        CrlReason::CertificateHold => "certificate hold",
        CrlReason::RemoveFromCRL => "remove from crl",
        CrlReason::PrivilegeWithdrawn => "privilege withdrawn",
        CrlReason::AaCompromise => "AA compromise",
    }
}

/// An attribute certificate.
pub(crate) fn show_attributes(der: &[u8], view: View) -> Result<(), Trouble> {
    let bad = |_| Trouble::failed("parsing attribute certificate failed");
    let signed = Signed::from_der(der).map_err(bad)?;
    let info = AttributeCertificateInfo::from_der(&signed.tbs.to_der()?).map_err(bad)?;
    let text = |names: &Option<Vec<_>>| {
        let all: Vec<String> = names.iter().flatten().map(describe::general_name).collect();
        all.join(", ")
    };
    if info.holder.names.is_some() {
        put!("  subject:  \"{}\"", clean(&text(&info.holder.names)));
    }
    put!("  issuer:   \"{}\"", clean(&text(&info.issuer.names)));
    let at = |time: der::asn1::GeneralizedTime| {
        let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
        Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
    };
    let (from, until) = (at(info.validity.not_before), at(info.validity.not_after));
    describe::validity(from, until, view);
    put!("  serial:    {}", colons(info.serial.as_bytes()));
    if let Some(holder) = &info.holder.certificate {
        put!("  hissuer:  \"{}\"", clean(&text(&Some(holder.issuer.clone()))));
        put!("  hserial:   {}", colons(holder.serial.as_bytes()));
    }
    let mut label = "  groups:    ";
    for attribute in info.attributes.iter().filter(|attribute| attribute.kind == GROUP) {
        for value in attribute.values.iter() {
            for group in GroupList::from_der(&value.to_der()?).map_err(bad)?.values {
                put!("{label}{}", clean(&String::from_utf8_lossy(group.value())));
                label = "             ";
            }
        }
    }
    if let Some(id) =
        input::extension::<AuthorityKeyIdentifier>(info.extensions.as_ref()).and_then(|id| id.key_identifier)
    {
        put!("  authkey:  {}", colons(id.as_bytes()));
    }
    Ok(())
}
