//! The extensions of certificates, from pki's options.
use super::structures::{AddressFamily, AddressRange};
use super::{Call, Trouble, input};
use der::asn1::{Any, BitString, Ia5String, Null, ObjectIdentifier, OctetString};
use der::{Decode as _, Encode};
use policy::Identity;
use std::net::IpAddr;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::certpolicy::{DisplayText, PolicyInformation, PolicyQualifierInfo, UserNotice};
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityKeyIdentifier, BasicConstraints, NameConstraints, PolicyConstraints,
    PolicyMapping,
};

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

pub(super) const BASIC_CONSTRAINTS: ObjectIdentifier = oid("2.5.29.19");
pub(super) const KEY_USAGE: ObjectIdentifier = oid("2.5.29.15");
pub(super) const SUBJECT_KEY: ObjectIdentifier = oid("2.5.29.14");
pub(super) const AUTHORITY_KEY: ObjectIdentifier = oid("2.5.29.35");
pub(super) const ALT_NAME: ObjectIdentifier = oid("2.5.29.17");
pub(super) const EXTENDED_USAGE: ObjectIdentifier = oid("2.5.29.37");
pub(super) const CRL_POINTS: ObjectIdentifier = oid("2.5.29.31");
pub(super) const FRESHEST_CRL: ObjectIdentifier = oid("2.5.29.46");
pub(super) const CRL_NUMBER: ObjectIdentifier = oid("2.5.29.20");
pub(super) const DELTA_CRL: ObjectIdentifier = oid("2.5.29.27");
pub(super) const CRL_REASON: ObjectIdentifier = oid("2.5.29.21");
const AUTHORITY_INFO: ObjectIdentifier = oid("1.3.6.1.5.5.7.1.1");
pub(super) const ID_OCSP: ObjectIdentifier = oid("1.3.6.1.5.5.7.48.1");
const NAME_CONSTRAINTS: ObjectIdentifier = oid("2.5.29.30");
const POLICIES: ObjectIdentifier = oid("2.5.29.32");
const POLICY_MAPPINGS: ObjectIdentifier = oid("2.5.29.33");
pub(super) const POLICY_CONSTRAINTS: ObjectIdentifier = oid("2.5.29.36");
const INHIBIT_ANY: ObjectIdentifier = oid("2.5.29.54");
pub(super) const ADDRESS_BLOCKS: ObjectIdentifier = oid("1.3.6.1.5.5.7.1.7");
pub(super) const ID_CPS: ObjectIdentifier = oid("1.3.6.1.5.5.7.2.1");
const ID_NOTICE: ObjectIdentifier = oid("1.3.6.1.5.5.7.2.2");
/// Microsoft's name of a certificate's template: what `--profile` of a request becomes.
pub(super) const CERT_TYPE: ObjectIdentifier = oid("1.3.6.1.4.1.311.20.2");

/// A purpose a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    ServerAuth,
    ClientAuth,
    IkeIntermediate,
    OcspSigning,
    SmartcardLogon,
}

impl Usage {
    /// In the order in which they are written.
    pub(super) const ALL: [Self; 5] =
        [Self::ServerAuth, Self::ClientAuth, Self::IkeIntermediate, Self::OcspSigning, Self::SmartcardLogon];

    pub(super) const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::ServerAuth => oid("1.3.6.1.5.5.7.3.1"),
            Self::ClientAuth => oid("1.3.6.1.5.5.7.3.2"),
            Self::IkeIntermediate => oid("1.3.6.1.5.5.8.2.2"),
            Self::OcspSigning => oid("1.3.6.1.5.5.7.3.9"),
            Self::SmartcardLogon => oid("1.3.6.1.4.1.311.20.2.2"),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::ServerAuth => "serverAuth",
            Self::ClientAuth => "clientAuth",
            Self::IkeIntermediate => "ikeIntermediate",
            Self::OcspSigning => "ocspSigning",
            Self::SmartcardLogon => "msSmartcardLogon",
        }
    }
}

/// A certificate policy.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    oid: ObjectIdentifier,
    cps: Option<String>,
    notice: Option<String>,
}

/// What a certificate shall say besides name, key and validity.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) ca: bool,
    pub(crate) path_length: Option<u8>,
    pub(crate) crl_sign: bool,
    pub(crate) names: Vec<GeneralName>,
    pub(crate) usages: Vec<Usage>,
    pub(crate) crls: Vec<(String, Option<GeneralName>)>,
    pub(crate) ocsp: Vec<String>,
    pub(crate) permitted: Vec<GeneralName>,
    pub(crate) excluded: Vec<GeneralName>,
    pub(crate) policies: Vec<Policy>,
    pub(crate) mappings: Vec<PolicyMapping>,
    pub(crate) explicit: Option<u32>,
    pub(crate) inhibit: Option<u32>,
    pub(crate) any: Option<u32>,
    pub(crate) blocks: Vec<(IpAddr, IpAddr)>,
    pub(crate) critical: Option<ObjectIdentifier>,
}

impl Wanted {
    /// What the options of `--self` and `--issue` say. Order matters: `--cps-uri` belongs to the policy before it.
    pub(super) fn of(call: &Call<'_>) -> Result<Self, Trouble> {
        let mut wanted = Self {
            ca: call.has("ca"),
            path_length: call.number("pathlen")?,
            explicit: call.number("policy-explicit")?,
            inhibit: call.number("policy-inhibit")?,
            any: call.number("policy-any")?,
            critical: call.value("critical").map(|text| number(text, "critical")).transpose()?,
            ..Self::default()
        };
        for (option, value) in call.options.given() {
            let Some(value) = *value else { continue };
            match *option {
                "san" => wanted.names.push(alt_name(value)?),
                "flag" => wanted.flag(value)?,
                "crl" => wanted.crls.push((value.to_owned(), None)),
                "crlissuer" => {
                    let issuer = directory_name(&input::name(value, "crlissuer")?)?;
                    match wanted.crls.last_mut() {
                        Some((_, slot)) => *slot = Some(issuer),
                        None => return Err(Trouble::usage("--crlissuer without --crl")),
                    }
                }
                "ocsp" => wanted.ocsp.push(value.to_owned()),
                "nc-permitted" => wanted.permitted.push(constraint(value)?),
                "nc-excluded" => wanted.excluded.push(constraint(value)?),
                "cert-policy" => {
                    wanted.policies.push(Policy {
                        oid: number(value, "cert-policy")?,
                        cps: None,
                        notice: None,
                    });
                }
                "cps-uri" | "user-notice" => match wanted.policies.last_mut() {
                    Some(policy) if *option == "cps-uri" => policy.cps = Some(value.to_owned()),
                    Some(policy) => policy.notice = Some(value.to_owned()),
                    None => return Err(Trouble::Usage(format!("--{option} requires a --cert-policy"))),
                },
                "policy-mapping" => {
                    let (issuer, subject) = value
                        .split_once(':')
                        .ok_or_else(|| Trouble::usage("invalid --policy-mapping value"))?;
                    wanted.mappings.push(PolicyMapping {
                        issuer_domain_policy: number(issuer, "policy-mapping")?,
                        subject_domain_policy: number(subject, "policy-mapping")?,
                    });
                }
                "addrblock" => wanted.blocks.push(block(value)?),
                _ => {}
            }
        }
        if wanted.path_length.is_some() && !wanted.ca {
            return Err(Trouble::usage("--pathlen without --ca"));
        }
        Ok(wanted)
    }

    fn flag(&mut self, word: &str) -> Result<(), Trouble> {
        if word == "crlSign" {
            self.crl_sign = true;
            return Ok(());
        }
        let usage = Usage::ALL
            .into_iter()
            .find(|usage| usage.word() == word)
            .ok_or_else(|| Trouble::Usage(format!("invalid --flag {word}")))?;
        self.usages.push(usage);
        Ok(())
    }

    /// Takes over what a request asks for: names and profile.
    pub(super) fn take_request(&mut self, extensions: &[Extension]) {
        if let Some(names) = extensions.iter().find(|extension| extension.extn_id == ALT_NAME)
            && let Ok(names) = Vec::<GeneralName>::from_der(names.extn_value.as_bytes())
        {
            self.names.extend(names);
        }
        if let Some(profile) = extensions.iter().find(|extension| extension.extn_id == CERT_TYPE)
            && let Ok(profile) = der::asn1::Utf8StringRef::from_der(profile.extn_value.as_bytes())
        {
            self.usages.extend(match profile.as_str() {
                "server" => &[Usage::ServerAuth][..],
                "client" => &[Usage::ClientAuth],
                "dual" => &[Usage::ServerAuth, Usage::ClientAuth],
                "ocsp" => &[Usage::OcspSigning],
                _ => &[],
            });
        }
    }

    /// The extensions, in pki's order. `subject` and `authority` are key identifiers (RFC 5280 4.2.1.2).
    pub(crate) fn build(&self, subject: &[u8], authority: Option<&[u8]>) -> Result<Vec<Extension>, Trouble> {
        let mut all = Vec::new();
        let mut add = |id, critical, value: &dyn EncodeValueOf| -> Result<(), Trouble> {
            all.push(extension(id, critical, &value.der()?)?);
            Ok(())
        };
        if self.ca {
            add(
                BASIC_CONSTRAINTS,
                true,
                &BasicConstraints { ca: true, path_len_constraint: self.path_length },
            )?;
        }
        if self.ca {
            add(KEY_USAGE, true, &BitString::new(1, [0b0000_0110])?)?;
            add(SUBJECT_KEY, false, &OctetString::new(subject)?)?;
        } else if self.crl_sign {
            add(KEY_USAGE, true, &BitString::new(1, [0b0000_0010])?)?;
        }
        if let Some(authority) = authority {
            add(AUTHORITY_KEY, false, &authority_key(authority)?)?;
        }
        if !self.names.is_empty() {
            add(ALT_NAME, false, &self.names)?;
        }
        let usages: Vec<ObjectIdentifier> =
            Usage::ALL.into_iter().filter(|usage| self.usages.contains(usage)).map(Usage::oid).collect();
        if !usages.is_empty() {
            add(EXTENDED_USAGE, false, &usages)?;
        }
        if !self.crls.is_empty() {
            let points = self.crls.iter().map(|(uri, issuer)| point(uri, issuer.clone()));
            add(CRL_POINTS, false, &points.collect::<Result<Vec<_>, _>>()?)?;
        }
        if !self.ocsp.is_empty() {
            let access = |uri: &String| {
                Ok(AccessDescription {
                    access_method: ID_OCSP,
                    access_location: GeneralName::UniformResourceIdentifier(Ia5String::new(uri)?),
                })
            };
            add(AUTHORITY_INFO, false, &self.ocsp.iter().map(access).collect::<Result<Vec<_>, Trouble>>()?)?;
        }
        if !self.permitted.is_empty() || !self.excluded.is_empty() {
            add(
                NAME_CONSTRAINTS,
                true,
                &NameConstraints {
                    permitted_subtrees: subtrees(&self.permitted),
                    excluded_subtrees: subtrees(&self.excluded),
                },
            )?;
        }
        if !self.policies.is_empty() {
            add(POLICIES, false, &self.policies.iter().map(policy).collect::<Result<Vec<_>, _>>()?)?;
        }
        if !self.mappings.is_empty() {
            add(POLICY_MAPPINGS, true, &self.mappings)?;
        }
        if self.explicit.is_some() || self.inhibit.is_some() {
            add(
                POLICY_CONSTRAINTS,
                true,
                &PolicyConstraints {
                    require_explicit_policy: self.explicit,
                    inhibit_policy_mapping: self.inhibit,
                },
            )?;
        }
        if let Some(any) = self.any {
            add(INHIBIT_ANY, true, &any)?;
        }
        if !self.blocks.is_empty() {
            add(ADDRESS_BLOCKS, true, &families(&self.blocks)?)?;
        }
        if let Some(critical) = self.critical {
            add(critical, true, &Null)?;
        }
        Ok(all)
    }
}

/// Something that has a DER form.
trait EncodeValueOf {
    fn der(&self) -> der::Result<Vec<u8>>;
}

impl<T: Encode> EncodeValueOf for T {
    fn der(&self) -> der::Result<Vec<u8>> {
        self.to_der()
    }
}

/// One extension.
pub(super) fn extension(id: ObjectIdentifier, critical: bool, value: &[u8]) -> Result<Extension, Trouble> {
    Ok(Extension { extn_id: id, critical, extn_value: OctetString::new(value)? })
}

/// The issuer's key (RFC 5280 4.2.1.1).
pub(super) fn authority_key(id: &[u8]) -> Result<AuthorityKeyIdentifier, Trouble> {
    Ok(AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(id)?),
        authority_cert_issuer: None,
        authority_cert_serial_number: None,
    })
}

/// Where a CRL is to be had.
pub(super) fn point(uri: &str, issuer: Option<GeneralName>) -> Result<DistributionPoint, Trouble> {
    let name = GeneralName::UniformResourceIdentifier(Ia5String::new(uri)?);
    Ok(DistributionPoint {
        distribution_point: Some(DistributionPointName::FullName(vec![name])),
        reasons: None,
        crl_issuer: issuer.map(|issuer| vec![issuer]),
    })
}

/// A name of a subject: what an identity of swanctl.conf looks like.
pub(crate) fn alt_name(text: &str) -> Result<GeneralName, Trouble> {
    let refused = || Trouble::Failed(format!("'{text}' cannot be a subjectAltName"));
    match Identity::parse(text).map_err(Trouble::failed)? {
        Identity::Ip(IpAddr::V4(address)) => Ok(GeneralName::IpAddress(OctetString::new(address.octets())?)),
        Identity::Ip(IpAddr::V6(address)) => Ok(GeneralName::IpAddress(OctetString::new(address.octets())?)),
        Identity::Fqdn(name) => Ok(GeneralName::DnsName(Ia5String::new(&name)?)),
        Identity::Rfc822(name) => Ok(GeneralName::Rfc822Name(Ia5String::new(&name)?)),
        Identity::Dn { der, .. } => Ok(GeneralName::DirectoryName(x509_cert::name::Name::from_der(&der)?)),
        _ => Err(refused()),
    }
}

pub(super) fn directory_name(name: &policy::identity::Dn) -> Result<GeneralName, Trouble> {
    Ok(GeneralName::DirectoryName(x509_cert::name::Name::from_der(name.der())?))
}

/// A constraint of names: as a name, and a subnet of addresses (RFC 5280 4.2.1.10: address and mask).
fn constraint(text: &str) -> Result<GeneralName, Trouble> {
    if let Ok(Identity::Range(first, last)) = Identity::parse(text) {
        let bytes = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let (first, last) = (bytes(first), bytes(last));
        let mask: Vec<u8> = first.iter().zip(&last).map(|(a, b)| !(a ^ b)).collect();
        return Ok(GeneralName::IpAddress(OctetString::new([first, mask].concat())?));
    }
    alt_name(text)
}

fn subtrees(names: &[GeneralName]) -> Option<Vec<GeneralSubtree>> {
    let subtree = |base: &GeneralName| GeneralSubtree { base: base.clone(), minimum: 0, maximum: None };
    (!names.is_empty()).then(|| names.iter().map(subtree).collect())
}

fn policy(policy: &Policy) -> Result<PolicyInformation, Trouble> {
    let mut qualifiers = Vec::new();
    if let Some(uri) = &policy.cps {
        qualifiers.push(PolicyQualifierInfo {
            policy_qualifier_id: ID_CPS,
            qualifier: Some(Any::from_der(&Ia5String::new(uri)?.to_der()?)?),
        });
    }
    if let Some(text) = &policy.notice {
        let notice =
            UserNotice { notice_ref: None, explicit_text: Some(DisplayText::Utf8String(text.clone())) };
        qualifiers.push(PolicyQualifierInfo {
            policy_qualifier_id: ID_NOTICE,
            qualifier: Some(Any::from_der(&notice.to_der()?)?),
        });
    }
    Ok(PolicyInformation {
        policy_identifier: policy.oid,
        policy_qualifiers: (!qualifiers.is_empty()).then_some(qualifiers),
    })
}

fn number(text: &str, option: &str) -> Result<ObjectIdentifier, Trouble> {
    ObjectIdentifier::new(text).map_err(|_| Trouble::Usage(format!("invalid --{option} value")))
}

fn block(text: &str) -> Result<(IpAddr, IpAddr), Trouble> {
    match Identity::parse(text) {
        Ok(Identity::Range(first, last)) => Ok((first, last)),
        Ok(Identity::Ip(address)) => Ok((address, address)),
        _ => Err(Trouble::usage("invalid --addrblock value")),
    }
}

/// IPAddrBlocks (RFC 3779 2.2.3.1): IPv4 first, each block as given.
fn families(blocks: &[(IpAddr, IpAddr)]) -> Result<Vec<AddressFamily>, Trouble> {
    let mut families = Vec::new();
    for (number, v4) in [(1_u8, true), (2, false)] {
        let mine = blocks.iter().filter(|(first, _)| first.is_ipv4() == v4);
        let blocks: Vec<Any> =
            mine.map(|(first, last)| address_block(*first, *last)).collect::<Result<_, _>>()?;
        if !blocks.is_empty() {
            families.push(AddressFamily { family: OctetString::new([0, number])?, blocks });
        }
    }
    Ok(families)
}

/// A prefix where the block is one, else a range: the first without its trailing zeros, the last without its trailing
/// ones (RFC 3779 2.2.3.7 to 2.2.3.9).
fn address_block(first: IpAddr, last: IpAddr) -> Result<Any, Trouble> {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32_u32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let ((low, size), (high, _)) = (bits(first), bits(last));
    let string = |value: u128, length: u32| -> Result<BitString, Trouble> {
        let bytes = length.div_ceil(8);
        let kept = &value.to_be_bytes()[..bytes as usize];
        let mut kept = kept.to_vec();
        let unused = bytes * 8 - length;
        if let Some(last) = kept.last_mut() {
            *last &= 0xff_u8.checked_shl(unused).unwrap_or(0);
        }
        Ok(BitString::new(unused as u8, kept)?)
    };
    // Bits below the address are zero in `low`; in `high` they count as ones.
    let filler = if size == 32 { u128::MAX >> 32 } else { 0 };
    let high = high | filler;
    let common = (low ^ high).leading_zeros().min(size);
    let rest = u128::MAX.checked_shr(common).unwrap_or(0);
    if low & rest == 0 && high & rest == rest {
        return Ok(Any::from_der(&string(low, common)?.to_der()?)?);
    }
    let min = size - low.trailing_zeros().saturating_sub(128 - size).min(size);
    let max = size - high.trailing_ones().saturating_sub(128 - size).min(size);
    let range = AddressRange { min: string(low, min)?, max: string(high, max)? };
    Ok(Any::from_der(&range.to_der()?)?)
}
