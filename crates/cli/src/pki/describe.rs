//! A certificate as `pki --print` shows it.
use super::dates::{self, judge_begin, judge_end};
use super::extensions::{ADDRESS_BLOCKS, EXTENDED_USAGE, ID_CPS, ID_OCSP, POLICY_CONSTRAINTS, Usage};
use super::input::{self, Certificate};
use super::output::colons;
use super::print::View;
use super::structures::{AddressFamily, AddressRange, ExplicitConstraints};
use super::{Trouble, print};
use crate::out::{clean, put};
use der::asn1::{Any, BitString, ObjectIdentifier};
use der::{Decode as _, Encode as _};
use jiff::Timestamp;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, CertificatePolicies,
    CrlDistributionPoints, InhibitAnyPolicy, KeyUsage, NameConstraints, PolicyConstraints, PolicyMappings,
    SubjectAltName, SubjectKeyIdentifier,
};

/// From when until when, and what that means now.
pub(super) fn validity(from: Timestamp, until: Timestamp, view: View) {
    put!("  validity:  not before {}, {}", view.show(from), judge_begin(from, view.now));
    put!("             not after  {}, {}", view.show(until), judge_end(until, view.now));
}

/// The whole certificate.
pub(crate) fn certificate(certificate: &Certificate, view: View) -> Result<(), Trouble> {
    let read = certificate.read.tbs_certificate();
    put!("  subject:  \"{}\"", clean(&input::text_of(&certificate.subject()?)));
    put!("  issuer:   \"{}\"", clean(&input::text_of(&certificate.issuer()?)));
    let span = read.validity();
    validity(dates::timestamp(&span.not_before), dates::timestamp(&span.not_after), view);
    put!("  serial:    {}", colons(certificate.serial()));
    if let Some(names) = certificate.extension::<SubjectAltName>() {
        let names: Vec<String> = names.0.iter().map(general_name).collect();
        put!("  altNames:  {}", clean(&names.join(", ")));
    }
    let key = certificate.key()?;
    if !view.short {
        details(certificate)?;
    }
    if let Some(id) = certificate.extension::<AuthorityKeyIdentifier>().and_then(|id| id.key_identifier) {
        put!("  authkeyId: {}", colons(id.as_bytes()));
    }
    let own = certificate.extension::<SubjectKeyIdentifier>().map(|id| id.0.as_bytes().to_vec());
    put!("  subjkeyId: {}", colons(&own.unwrap_or_else(|| key.key_id())));
    print::show_key(&key, view);
    Ok(())
}

/// What the short form leaves out.
fn details(certificate: &Certificate) -> Result<(), Trouble> {
    flags(certificate)?;
    if let Some(crls) = certificate.extension::<CrlDistributionPoints>() {
        points("  CRL URIs:  ", &crls.0);
    }
    responders(certificate);
    if let Some(BasicConstraints { ca: true, path_len_constraint: Some(length) }) = certificate.extension() {
        put!("  pathlen:   {length}");
    }
    if let Some(constraints) = certificate.extension::<NameConstraints>() {
        for (title, subtrees) in
            [("permitted", constraints.permitted_subtrees), ("excluded", constraints.excluded_subtrees)]
        {
            let Some(subtrees) = subtrees else { continue };
            put!("  {title} nameConstraints:");
            for subtree in subtrees {
                put!("           {}", clean(&general_name(&subtree.base)));
            }
        }
    }
    policies(certificate);
    address_blocks(certificate);
    Ok(())
}

fn flags(certificate: &Certificate) -> Result<(), Trouble> {
    let mut flags = String::new();
    if certificate.extension::<BasicConstraints>().is_some_and(|basic| basic.ca) {
        flags.push_str("CA ");
    }
    if certificate.extension::<KeyUsage>().is_some_and(|usage| usage.crl_sign()) {
        flags.push_str("CRLSign ");
    }
    let usages: Vec<ObjectIdentifier> = certificate
        .read
        .tbs_certificate()
        .extensions()
        .and_then(|all| all.iter().find(|extension| extension.extn_id == EXTENDED_USAGE))
        .and_then(|extension| Vec::from_der(extension.extn_value.as_bytes()).ok())
        .unwrap_or_default();
    let has = |usage: Usage| usages.contains(&usage.oid());
    for (usage, word) in [
        (Usage::OcspSigning, "ocspSigning "),
        (Usage::ServerAuth, "serverAuth "),
        (Usage::ClientAuth, "clientAuth "),
        (Usage::IkeIntermediate, "ikeIntermediate "),
        (Usage::SmartcardLogon, "msSmartcardLogon"),
    ] {
        if has(usage) {
            flags.push_str(word);
        }
    }
    if super::verify::is_self_signed(certificate) {
        flags.push_str("self-signed ");
    }
    put!("  flags:     {flags}");
    Ok(())
}

/// Places of CRLs, under a label.
pub(super) fn points(label: &str, points: &[DistributionPoint]) {
    let mut label = label;
    for point in points {
        let Some(DistributionPointName::FullName(names)) = &point.distribution_point else { continue };
        let issuer = point.crl_issuer.iter().flatten().map(general_name).next();
        for name in names {
            let GeneralName::UniformResourceIdentifier(uri) = name else { continue };
            match &issuer {
                Some(issuer) => put!("{label}{} (CRL issuer: {})", clean(uri.as_str()), clean(issuer)),
                None => put!("{label}{}", clean(uri.as_str())),
            }
            label = "           ";
        }
    }
}

fn responders(certificate: &Certificate) {
    let mut label = "  OCSP URIs: ";
    let access = certificate.extension::<AuthorityInfoAccessSyntax>();
    for entry in access.iter().flat_map(|access| &access.0).filter(|entry| entry.access_method == ID_OCSP) {
        if let GeneralName::UniformResourceIdentifier(uri) = &entry.access_location {
            put!("{label}{}", clean(uri.as_str()));
            label = "           ";
        }
    }
}

fn policies(certificate: &Certificate) {
    if let Some(policies) = certificate.extension::<CertificatePolicies>() {
        put!("  certificatePolicies:");
        for policy in &policies.0 {
            put!("             {}", policy.policy_identifier);
            for qualifier in policy.policy_qualifiers.iter().flatten() {
                if qualifier.policy_qualifier_id == ID_CPS
                    && let Some(value) = &qualifier.qualifier
                {
                    put!("             CPS: {}", clean(&String::from_utf8_lossy(value.value())));
                }
            }
        }
    }
    if let Some(mappings) = certificate.extension::<PolicyMappings>() {
        put!("  policyMappings:");
        for mapping in &mappings.0 {
            put!("           {} => {}", mapping.issuer_domain_policy, mapping.subject_domain_policy);
        }
    }
    let (explicit, inhibit) = constraints(certificate);
    let any = certificate.extension::<InhibitAnyPolicy>();
    if explicit.is_some() || inhibit.is_some() || any.is_some() {
        put!("  policyConstraints:");
        if let Some(length) = explicit {
            put!("           requireExplicitPolicy: {length}");
        }
        if let Some(length) = inhibit {
            put!("           inhibitPolicyMapping: {length}");
        }
        if let Some(any) = any {
            put!("           inhibitAnyPolicy: {}", any.0);
        }
    }
}

fn constraints(certificate: &Certificate) -> (Option<u32>, Option<u32>) {
    let extensions = certificate.read.tbs_certificate().extensions();
    let Some(found) = extensions.and_then(|all| all.iter().find(|e| e.extn_id == POLICY_CONSTRAINTS)) else {
        return (None, None);
    };
    let der = found.extn_value.as_bytes();
    match (PolicyConstraints::from_der(der), ExplicitConstraints::from_der(der)) {
        (Ok(read), _) => (read.require_explicit_policy, read.inhibit_policy_mapping),
        (_, Ok(read)) => (read.explicit, read.inhibit),
        _ => (None, None),
    }
}

/// Addresses (RFC 3779): subnets as such, ranges as `first..last`.
fn address_blocks(certificate: &Certificate) {
    let extensions = certificate.read.tbs_certificate().extensions();
    let Some(blocks) = extensions.and_then(|all| all.iter().find(|e| e.extn_id == ADDRESS_BLOCKS)) else {
        return;
    };
    let Ok(families) = Vec::<AddressFamily>::from_der(blocks.extn_value.as_bytes()) else { return };
    let mut all = Vec::new();
    for family in families {
        let v4 = family.family.as_bytes().get(..2) == Some(&[0, 1]);
        all.extend(family.blocks.iter().map(|block| block_text(block, v4)));
    }
    put!("  addresses: {}", all.join(", "));
}

fn block_text(block: &Any, v4: bool) -> String {
    let Ok(der) = block.to_der() else { return "?".to_owned() };
    if let Ok(prefix) = BitString::from_der(&der) {
        return format!("{}/{}", filled(&prefix, 0, v4), prefix.bit_len());
    }
    match AddressRange::from_der(&der) {
        Ok(range) => format!("{}..{}", filled(&range.min, 0, v4), filled(&range.max, 0xff, v4)),
        Err(_) => "?".to_owned(),
    }
}

/// An address whose missing bits are all zero or all one.
fn filled(bits: &BitString, fill: u8, v4: bool) -> IpAddr {
    let mut bytes = [fill; 16];
    for (to, from) in bytes.iter_mut().zip(bits.raw_bytes()) {
        *to = *from;
    }
    let used = bits.bit_len() / 8;
    if let Some(partial) = bytes.get_mut(used).filter(|_| bits.unused_bits() > 0) {
        let mask = 0xff_u8 >> (8 - bits.unused_bits());
        *partial = *partial & !mask | fill & mask;
    }
    if v4 {
        let [a, b, c, d, ..] = bytes;
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    } else {
        IpAddr::V6(Ipv6Addr::from(bytes))
    }
}

/// A name as identities are shown.
pub(super) fn general_name(name: &GeneralName) -> String {
    match name {
        GeneralName::DnsName(name)
        | GeneralName::Rfc822Name(name)
        | GeneralName::UniformResourceIdentifier(name) => name.as_str().to_owned(),
        GeneralName::IpAddress(bytes) => address(bytes.as_bytes()),
        GeneralName::DirectoryName(name) => {
            name.to_der().map_or_else(|_| "?".to_owned(), |der| input::text_of(&der))
        }
        GeneralName::OtherName(other) => String::from_utf8_lossy(other.value.value()).into_owned(),
        GeneralName::RegisteredId(oid) => oid.to_string(),
        GeneralName::EdiPartyName(_) => "(EDI party name)".to_owned(),
    }
}

/// An address, or address and mask as a subnet.
fn address(bytes: &[u8]) -> String {
    let one = |bytes: &[u8]| match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    };
    if let Some(address) = one(bytes) {
        return address.to_string();
    }
    let (first, mask) = bytes.split_at(bytes.len() / 2);
    match one(first) {
        Some(address) => format!("{address}/{}", mask.iter().map(|byte| byte.count_ones()).sum::<u32>()),
        None => colons(bytes),
    }
}
