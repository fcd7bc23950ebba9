//! Certificate revocation lists (RFC 5280 5 and 6.3).
use crate::algorithm::Signed;
use crate::cert::{Certificate, Profile, dn, name_key, point_uris, same_name};
use crate::oid;
use der::{Decode, Encode};
use policy::Identity;
use std::collections::BTreeMap;
use std::fmt;
use x509_cert::crl::CertificateList;
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::crl::dp::{DistributionPoint, IssuingDistributionPoint};
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName, GeneralNames};
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, BaseCrlNumber, CrlNumber, CrlReason, FreshestCrl};

/// A CRL longer than this is refused.
pub const MAX_CRL: usize = 32 << 20;

/// Why bytes are no CRL that can be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed or unsupported crl: {0}")]
pub struct CrlError(String);

/// When and why a certificate was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// Seconds since 1970.
    pub time: u64,
    /// Reason.
    pub reason: Reason,
}

/// Reasons (RFC 5280 5.3.1), printed as charon does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No reason given.
    Unspecified,
    /// The key is known to others.
    KeyCompromise,
    /// The key of the CA is.
    CaCompromise,
    /// The subject's name has changed.
    AffiliationChanged,
    /// Replaced.
    Superseded,
    /// No longer needed.
    CessationOfOperation,
    /// Suspended.
    CertificateHold,
    /// Only in delta CRLs: no longer revoked.
    RemoveFromCrl,
    /// A privilege was withdrawn.
    PrivilegeWithdrawn,
    /// The key of the attribute authority is known to others.
    AaCompromise,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key compromise",
            Self::CaCompromise => "ca compromise",
            Self::AffiliationChanged => "affiliation changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation of operation",
            Self::CertificateHold => "certificate hold",
            Self::RemoveFromCrl => "remove from crl",
            Self::PrivilegeWithdrawn => "privilege withdrawn",
            Self::AaCompromise => "aa compromise",
        })
    }
}

impl From<CrlReason> for Reason {
    fn from(reason: CrlReason) -> Self {
        match reason {
            CrlReason::Unspecified => Self::Unspecified,
            CrlReason::KeyCompromise => Self::KeyCompromise,
            CrlReason::CaCompromise => Self::CaCompromise,
            CrlReason::AffiliationChanged => Self::AffiliationChanged,
            CrlReason::Superseded => Self::Superseded,
            CrlReason::CessationOfOperation => Self::CessationOfOperation,
            CrlReason::CertificateHold => Self::CertificateHold,
            CrlReason::RemoveFromCRL => Self::RemoveFromCrl,
            CrlReason::PrivilegeWithdrawn => Self::PrivilegeWithdrawn,
            CrlReason::AaCompromise => Self::AaCompromise,
        }
    }
}

/// A CRL, read; nothing about its signature is known yet.
pub struct Crl {
    der: Vec<u8>,
    signed: Signed,
    issuer: Identity,
    authority_key: Option<Vec<u8>>,
    this_update: u64,
    next_update: Option<u64>,
    number: Vec<u8>,
    base: Option<Vec<u8>>,
    point: Option<IssuingDistributionPoint>,
    freshest: Vec<String>,
    /// By issuer (empty: the CRL's own) and serial number.
    entries: BTreeMap<(String, Vec<u8>), Revocation>,
}

impl fmt::Debug for Crl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crl(\"{}\", {} entries)", self.issuer, self.entries.len())
    }
}

impl Crl {
    /// Reads DER.
    ///
    /// # Errors
    /// What is malformed, too long, or a critical extension that is not understood.
    pub fn from_der(der: &[u8]) -> Result<Self, CrlError> {
        let bad = |what: &dyn fmt::Display| CrlError(what.to_string());
        if der.len() > MAX_CRL {
            return Err(bad(&format_args!("longer than {MAX_CRL} bytes")));
        }
        let list = CertificateList::<Profile>::from_der(der).map_err(|e| bad(&e))?;
        let signed = Signed::read(der).ok_or_else(|| bad(&"outer structure"))?;
        let tbs = &list.tbs_cert_list;
        if tbs.signature != list.signature_algorithm {
            return Err(bad(&"two signature algorithms"));
        }
        let mut crl = Self {
            der: der.to_vec(),
            signed,
            issuer: dn(&tbs.issuer).map_err(|e| bad(&e))?,
            authority_key: None,
            this_update: tbs.this_update.to_unix_duration().as_secs(),
            next_update: tbs.next_update.map(|t| t.to_unix_duration().as_secs()),
            number: Vec::new(),
            base: None,
            point: None,
            freshest: Vec::new(),
            entries: BTreeMap::new(),
        };
        crl.extensions(tbs.crl_extensions.as_ref()).map_err(|e| bad(&e))?;
        let indirect = crl.point.as_ref().is_some_and(|p| p.indirect_crl);
        // RFC 5280 5.3.3: an entry belongs to the issuer of the entry before it, the first to that of the CRL.
        let mut issuer = String::new();
        for entry in tbs.revoked_certificates.iter().flatten() {
            let mut reason = Reason::Unspecified;
            for extension in entry.crl_entry_extensions.iter().flatten() {
                let value = extension.extn_value.as_bytes();
                match extension.extn_id {
                    oid::CRL_REASON => reason = CrlReason::from_der(value).map_err(|e| bad(&e))?.into(),
                    oid::CERTIFICATE_ISSUER if indirect => {
                        issuer = directory_name(&GeneralNames::from_der(value).map_err(|e| bad(&e))?)
                            .ok_or_else(|| bad(&"certificate issuer without a name"))?;
                    }
                    other if extension.critical => {
                        return Err(bad(&format_args!("critical extension {other} in an entry")));
                    }
                    _ => {}
                }
            }
            let time = entry.revocation_date.to_unix_duration().as_secs();
            let key = (issuer.clone(), entry.serial_number.as_bytes().to_vec());
            crl.entries.insert(key, Revocation { time, reason });
        }
        Ok(crl)
    }

    fn extensions(&mut self, extensions: Option<&Extensions>) -> Result<(), String> {
        for extension in extensions.into_iter().flatten() {
            let value = extension.extn_value.as_bytes();
            let text = |e: der::Error| format!("extension {}: {e}", extension.extn_id);
            match extension.extn_id {
                oid::CRL_NUMBER => {
                    self.number = CrlNumber::from_der(value).map_err(text)?.0.as_bytes().to_vec();
                }
                oid::DELTA_CRL => {
                    self.base = Some(BaseCrlNumber::from_der(value).map_err(text)?.0.as_bytes().to_vec());
                }
                oid::AUTHORITY_KEY_ID => {
                    self.authority_key = AuthorityKeyIdentifier::from_der(value)
                        .map_err(text)?
                        .key_identifier
                        .map(|id| id.as_bytes().to_vec());
                }
                oid::ISSUING_POINT => {
                    self.point = Some(IssuingDistributionPoint::from_der(value).map_err(text)?);
                }
                oid::FRESHEST_CRL => {
                    self.freshest = point_uris(&FreshestCrl::from_der(value).map_err(text)?.0);
                }
                other if extension.critical => return Err(format!("critical extension {other}")),
                _ => {}
            }
        }
        Ok(())
    }

    /// DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Issuer.
    #[must_use]
    pub fn issuer(&self) -> &Identity {
        &self.issuer
    }

    /// keyIdentifier of its authorityKeyIdentifier.
    #[must_use]
    pub fn authority_key_identifier(&self) -> Option<&[u8]> {
        self.authority_key.as_deref()
    }

    /// When it was issued, in seconds since 1970.
    #[must_use]
    pub fn this_update(&self) -> u64 {
        self.this_update
    }

    /// When the next one is due.
    #[must_use]
    pub fn next_update(&self) -> Option<u64> {
        self.next_update
    }

    /// CRL number, big-endian.
    #[must_use]
    pub fn number(&self) -> &[u8] {
        &self.number
    }

    /// Number of the base CRL, of a delta CRL.
    #[must_use]
    pub fn base(&self) -> Option<&[u8]> {
        self.base.as_deref()
    }

    /// URIs of delta CRLs.
    #[must_use]
    pub fn freshest(&self) -> &[String] {
        &self.freshest
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Nothing is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Serial numbers and what is said of them, in the order of the serial numbers.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], Revocation)> {
        self.entries.iter().map(|((_, serial), revocation)| (serial.as_slice(), *revocation))
    }

    /// It is in force: issued before `now`, its successor not due. Without nextUpdate it says nothing lasting
    /// (RFC 5280 5.1.2.5 demands one) and is taken as stale.
    #[must_use]
    pub fn fresh_at(&self, now: u64) -> bool {
        self.this_update <= now && self.next_update.is_some_and(|next| now <= next)
    }

    /// Of the same issuer, key, kind and distribution point: the newer takes the place of the older.
    #[must_use]
    pub fn same_series(&self, other: &Self) -> bool {
        same_name(&self.issuer, &other.issuer)
            && self.authority_key == other.authority_key
            && self.base.is_some() == other.base.is_some()
            && self.point == other.point
    }

    /// Newer than the other, by number, then by time.
    #[must_use]
    pub fn newer_than(&self, other: &Self) -> bool {
        match number_order(&self.number, &other.number) {
            std::cmp::Ordering::Equal => self.this_update > other.this_update,
            order => order.is_gt(),
        }
    }

    pub(crate) fn is_sha1(&self) -> bool {
        self.signed.is_sha1()
    }

    /// Signed by that CA, which may do so.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, signer: &Certificate) -> Result<(), String> {
        if !same_name(&self.issuer, signer.subject()) {
            return Err(format!(
                "issuer of fetched CRL '{}' does not match CRL issuer '{}'",
                self.issuer,
                signer.subject()
            ));
        }
        // RFC 5280 6.3.3 (f): the signer's keyUsage, if present, has cRLSign.
        if !signer.may_sign_crls() {
            return Err(format!("\"{}\" may not sign CRLs", signer.subject()));
        }
        self.signed.verify(signer.key()).map(drop)
    }

    /// Why the CRL does not speak about the certificate, although its signer may sign for it (RFC 5280 6.3.3 (b)).
    ///
    /// # Errors
    /// The reason.
    pub fn scope(&self, certificate: &Certificate) -> Result<(), &'static str> {
        let own = same_name(&self.issuer, certificate.issuer());
        let points = certificate.crl_points();
        let Some(point) = &self.point else {
            return if own { Ok(()) } else { Err("is not of the certificate's issuer and not indirect") };
        };
        if point.only_contains_attribute_certs {
            return Err("is about attribute certificates only");
        }
        if point.only_contains_user_certs && certificate.is_ca() {
            return Err("is not about CA certificates");
        }
        if point.only_contains_ca_certs && !certificate.is_ca() {
            return Err("is about CA certificates only");
        }
        if point.only_some_reasons.is_some() {
            return Err("is about some reasons only");
        }
        if !own && !point.indirect_crl {
            return Err("is not of the certificate's issuer and not indirect");
        }
        if !own && !points.iter().any(|p| self.is_issuer_of(p)) {
            return Err("has an issuer that the certificate does not name");
        }
        match &point.distribution_point {
            Some(name)
                if !points.is_empty()
                    && !points.iter().any(|p| self.issuer_fits(p, own) && self.same_point(name, p)) =>
            {
                Err("is of another distribution point")
            }
            Some(_) if points.is_empty() => {
                Err("is of a distribution point that the certificate does not name")
            }
            Some(_) | None => Ok(()),
        }
    }

    /// RFC 5280 6.3.3 (b)(1): the issuer is the one that the distribution point names, or if it names none the certificate's.
    fn issuer_fits(&self, point: &DistributionPoint, own: bool) -> bool {
        let indirect = self.point.as_ref().is_some_and(|p| p.indirect_crl);
        match &point.crl_issuer {
            Some(_) => indirect && self.is_issuer_of(point),
            None => own,
        }
    }

    /// The CRL issuer is one that the distribution point names.
    fn is_issuer_of(&self, point: &DistributionPoint) -> bool {
        point.crl_issuer.iter().flatten().any(|name| match name {
            GeneralName::DirectoryName(name) => dn(name).is_ok_and(|name| same_name(&name, &self.issuer)),
            _ => false,
        })
    }

    /// One of the names of our distribution point is one of the certificate's.
    fn same_point(&self, ours: &DistributionPointName, theirs: &DistributionPoint) -> bool {
        let our = full_names(ours, &self.issuer);
        let their = match &theirs.distribution_point {
            Some(name) => full_names(name, &self.issuer),
            // RFC 5280 6.3.3 (b)(2)(i): without a name of its own the point has that of its cRLIssuer.
            None => theirs.crl_issuer.iter().flatten().filter_map(|n| n.to_der().ok()).collect(),
        };
        our.iter().any(|name| their.contains(name))
    }

    /// What is said of the certificate; `None`: it is not revoked.
    #[must_use]
    pub fn entry(&self, certificate: &Certificate) -> Option<Revocation> {
        let own = same_name(&self.issuer, certificate.issuer());
        let serial = certificate.serial().to_vec();
        let find = |issuer: String| self.entries.get(&(issuer, serial.clone())).copied();
        find(name_key(certificate.issuer())).or_else(|| if own { find(String::new()) } else { None })
    }

    /// The delta CRL `delta` may be applied on top (RFC 5280 5.2.4).
    #[must_use]
    pub fn takes(&self, delta: &Self) -> bool {
        delta.base.as_ref().is_some_and(|base| number_order(base, &self.number).is_le())
            && number_order(&self.number, &delta.number).is_lt()
            && same_name(&self.issuer, &delta.issuer)
            && self.authority_key == delta.authority_key
    }
}

fn number_order(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    let trim = |n: &[u8]| n.iter().skip_while(|b| **b == 0).copied().collect::<Vec<u8>>();
    let (a, b) = (trim(a), trim(b));
    a.len().cmp(&b.len()).then_with(|| a.cmp(&b))
}

fn directory_name(names: &GeneralNames) -> Option<String> {
    names.iter().find_map(|name| match name {
        GeneralName::DirectoryName(name) => Some(name_key(&dn(name).ok()?)),
        _ => None,
    })
}

/// The DER of each name; one relative to the issuer is made whole.
fn full_names(name: &DistributionPointName, issuer: &Identity) -> Vec<Vec<u8>> {
    match name {
        DistributionPointName::FullName(names) => names.iter().filter_map(|n| n.to_der().ok()).collect(),
        DistributionPointName::NameRelativeToCRLIssuer(rdn) => {
            let (_, issuer) = issuer.to_wire();
            let Ok(mut name) = x509_cert::name::RdnSequence::from_der(&issuer) else {
                return Vec::new();
            };
            name.push(rdn.clone());
            let name = name.to_der().and_then(|der| x509_cert::name::Name::from_der(&der));
            name.and_then(|name| GeneralName::DirectoryName(name).to_der()).into_iter().collect()
        }
    }
}
