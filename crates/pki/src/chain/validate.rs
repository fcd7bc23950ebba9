//! RFC 5280 6.1 by `certval`: our certificates in, its status out as a fault that names certificate and rule.
use super::{no_issuer, outdated};
use crate::algorithm::scheme;
use crate::cert::Certificate;
use crate::oid;
use crate::verdict::{Distrust, Rule};
use certval::{
    CertificationPath, CertificationPathResults, CertificationPathSettings, Error, PDVTrustAnchorChoice,
    PathValidationStatus, PkiEnvironment, TimeOfInterest, enforce_trust_anchor_constraints,
    validate_path_rfc5280,
};
use crypto::sign::PublicKey;
use der::Encode;
use der::asn1::BitString;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

/// Validates a chain, leaf first, anchor last; with `policy` that policy must be valid for it.
pub(super) fn validate(chain: &[Certificate], policy: Option<&str>, now: u64) -> Result<(), Distrust> {
    let [leaf, between @ .., anchor] = chain else {
        return Err(Distrust::new(Rule::NoIssuer, "", "no chain"));
    };
    let malformed = |e: der::Error| Distrust::new(Rule::Form, anchor.subject(), e);
    let trust_anchor = PDVTrustAnchorChoice::try_from(anchor.der()).map_err(malformed)?;
    let intermediates = between.iter().rev().map(|c| c.parsed().clone()).collect();
    let path = CertificationPath::new(trust_anchor, intermediates, leaf.parsed().clone());
    let mut settings = CertificationPathSettings::new();
    // 0 would switch the check off.
    settings.set_time_of_interest(TimeOfInterest::from_unix_secs(now.max(1)).map_err(malformed)?);
    settings.set_require_ta_store(false);
    settings.set_enforce_trust_anchor_constraints(true);
    if let Some(policy) = policy {
        settings.set_initial_policy_set(vec![policy.to_owned()]);
        settings.set_initial_explicit_policy_indicator(true);
    }
    let mut environment = PkiEnvironment::new();
    let links: Vec<Certificate> = chain.to_vec();
    environment.add_verify_signature_message_callback(
        move |_: &PkiEnvironment,
              message: &[u8],
              signature: &BitString,
              algorithm: &AlgorithmIdentifierOwned,
              key: &SubjectPublicKeyInfoOwned| verify(&links, message, signature, algorithm, key),
    );
    let mut results = CertificationPathResults::new();
    let outcome = enforce_trust_anchor_constraints(&settings, &path.trust_anchor)
        .map_err(|error| (error, Some(0)))
        .and_then(|settings| {
            validate_path_rfc5280(&environment, &settings, &path, &mut results)
                .map_err(|error| (error, results.get_failure_index()))
        });
    outcome.map_err(|(error, index)| {
        // Counted from the anchor.
        let index = index.and_then(|i| usize::try_from(i).ok()).unwrap_or(chain.len().saturating_sub(1));
        let place = chain.len().saturating_sub(1).saturating_sub(index);
        let certificate = chain.get(place).unwrap_or(leaf);
        fault(error, certificate, chain, place, now)
    })
}

/// Checks a signature, unless it is one of the chain's that was found good when the chain was.
fn verify(
    chain: &[Certificate],
    message: &[u8],
    signature: &BitString,
    algorithm: &AlgorithmIdentifierOwned,
    key: &SubjectPublicKeyInfoOwned,
) -> certval::Result<()> {
    let refused = Error::PathValidation(PathValidationStatus::SignatureVerificationFailure);
    let key = key.to_der().ok().and_then(|der| PublicKey::from_spki(&der).ok()).ok_or(refused)?;
    let scheme = scheme(algorithm).map_err(|_| refused)?;
    let signature = signature.as_bytes().ok_or(refused)?;
    let link = chain
        .iter()
        .zip(chain.iter().skip(1))
        .find(|(signed, issuer)| *issuer.key() == key && signed.is_signed(message, signature));
    match link {
        Some((signed, issuer)) => match signed.verify(issuer) {
            Ok(found) if found == scheme => Ok(()),
            _ => Err(refused),
        },
        None => key.verify(scheme, message, signature).map_err(|_| refused),
    }
}

fn fault(error: Error, certificate: &Certificate, chain: &[Certificate], place: usize, now: u64) -> Distrust {
    let subject = certificate.subject();
    let say = |rule: Rule, what: &str| {
        Distrust::new(rule, subject, format_args!("certificate \"{subject}\" {what}"))
    };
    let Error::PathValidation(status) = error else {
        return match error {
            Error::Unrecognized => {
                say(Rule::CriticalExtension, "has a critical extension that is not supported")
            }
            other => say(Rule::Form, &format!("is malformed: {other}")),
        };
    };
    match status {
        PathValidationStatus::InvalidNotBeforeDate | PathValidationStatus::InvalidNotAfterDate => {
            outdated(certificate, now).unwrap_or_else(|| say(Rule::Expired, "is not valid at this time"))
        }
        PathValidationStatus::NameChainingFailure | PathValidationStatus::MissingCertificate => {
            no_issuer(certificate)
        }
        PathValidationStatus::SignatureVerificationFailure => {
            say(Rule::Signature, "has a signature that does not verify")
        }
        PathValidationStatus::MissingBasicConstraints | PathValidationStatus::InvalidBasicConstraints => {
            say(Rule::NotCa, "is not that of a CA, but issued another")
        }
        PathValidationStatus::InvalidPathLength => path_length(chain, place),
        PathValidationStatus::InvalidKeyUsage if place == 0 => {
            say(Rule::KeyUsage, "has a keyUsage that does not allow this use")
        }
        PathValidationStatus::InvalidKeyUsage => {
            say(Rule::NotCa, "has a keyUsage that does not allow issuing others")
        }
        PathValidationStatus::NullPolicySet | PathValidationStatus::InvalidPolicyMapping => {
            say(Rule::Policy, "has no policy that is valid for the whole trust chain")
        }
        PathValidationStatus::NameConstraintsViolation => {
            say(Rule::NameConstraints, "violates the name constraints of an issuer")
        }
        PathValidationStatus::UnprocessedCriticalExtension if certificate.address_blocks() => {
            say(Rule::CriticalExtension, "has critical address blocks (RFC 3779), which are not supported")
        }
        PathValidationStatus::UnprocessedCriticalExtension => {
            let unknown = certificate
                .parsed()
                .decoded()
                .tbs_certificate()
                .extensions()
                .into_iter()
                .flatten()
                .find(|e| e.critical && !oid::UNDERSTOOD.contains(&e.extn_id))
                .map_or_else(String::new, |e| format!(" {}", e.extn_id));
            say(Rule::CriticalExtension, &format!("has a critical extension{unknown} that is not supported"))
        }
        PathValidationStatus::MissingTrustAnchor | PathValidationStatus::MissingTrustAnchorName => {
            say(Rule::Untrusted, "is not trusted")
        }
        PathValidationStatus::EncodingError => say(Rule::Form, "is malformed"),
        PathValidationStatus::InsufficientKeySize => say(Rule::Signature, "has too short a key"),
        PathValidationStatus::ProcessingLimitExceeded => say(Rule::Policy, "has too many policies"),
        other => say(Rule::Form, &format!("is refused: {other}")),
    }
}

/// In charon's words, if the constraint is found that is violated.
fn path_length(chain: &[Certificate], place: usize) -> Distrust {
    for (index, ca) in chain.iter().enumerate().skip(1) {
        // Certificates that are self-issued do not count (RFC 5280 4.2.1.9).
        let below = chain.get(1..index).into_iter().flatten().filter(|c| !c.is_self_issued()).count();
        if let Some(limit) = ca.path_length()
            && below > usize::from(limit)
        {
            return Distrust::new(
                Rule::PathLength,
                ca.subject(),
                format_args!("path length of {below} violates constraint of {limit}"),
            );
        }
    }
    let subject = chain.get(place).map_or_else(String::new, |c| c.subject().to_string());
    Distrust::new(
        Rule::PathLength,
        &subject,
        format_args!("certificate \"{subject}\" makes the path too long"),
    )
}
