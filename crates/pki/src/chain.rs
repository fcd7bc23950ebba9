//! Chains: found among the certificates at hand, then judged by the rules of RFC 5280.
//!
//! Finding is ours, and bounded: whoever sends certificates decides how many name each other as issuer. Judging (validity,
//! basic constraints, key usage, name constraints, policies, critical extensions, signatures) is `certval`'s.
mod validate;

use crate::cert::{Certificate, same_name};
use crate::oid;
use crate::store::{Store, Trust};
use crate::verdict::{Distrust, Log, Rule};
use crypto::sign::{Hash, SignScheme};
use der::asn1::ObjectIdentifier;

/// Signatures that are checked to find chains, of all certificates of one judgement together: a peer decides how many of
/// its certificates have the key that signed, and how many others lead on from each.
pub(crate) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(100)
    }
}

impl Budget {
    /// Whether one more may be checked.
    fn spend(&mut self) -> bool {
        let left = self.0.checked_sub(1);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// Chains of one certificate that are judged.
const MAX_PATHS: usize = 8;

/// What a certificate is to be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// IKE.
    Ike,
    /// A TLS server (we are the EAP peer).
    TlsServer,
    /// A TLS client (we are the EAP server).
    TlsClient,
    /// Anything, as far as key usage goes.
    Any,
}

impl Purpose {
    fn allows(self, usage: &ObjectIdentifier) -> bool {
        match self {
            Self::Ike => oid::EKU_IKE.contains(usage),
            Self::TlsServer => matches!(*usage, oid::EKU_SERVER | oid::EKU_ANY),
            Self::TlsClient => matches!(*usage, oid::EKU_CLIENT | oid::EKU_ANY),
            Self::Any => true,
        }
    }
}

/// A chain that holds: the certificate in question first, the anchor of trust last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    certificates: Vec<Certificate>,
    schemes: Vec<SignScheme>,
}

impl Path {
    /// A certificate of ours and its issuer.
    pub(crate) fn of_ours(certificate: Certificate, issuer: Certificate) -> Self {
        Self { certificates: vec![certificate, issuer], schemes: Vec::new() }
    }

    /// The certificate in question.
    #[must_use]
    pub fn leaf(&self) -> Option<&Certificate> {
        self.certificates.first()
    }

    /// The anchor of trust; the leaf itself, if that is trusted by itself.
    #[must_use]
    pub fn anchor(&self) -> Option<&Certificate> {
        self.certificates.last()
    }

    /// All certificates.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Certificates that issued another of the chain.
    #[must_use]
    pub fn issuers(&self) -> &[Certificate] {
        self.certificates.get(1..).unwrap_or(&[])
    }

    /// How the certificates are signed, but for the anchor's signature, which proves nothing.
    #[must_use]
    pub fn schemes(&self) -> &[SignScheme] {
        &self.schemes
    }

    /// Whether a certificate policy is valid for the whole chain (RFC 5280 6.1 with this policy as
    /// user-initial-policy-set, and required explicitly).
    ///
    /// # Errors
    /// The certificate at fault.
    pub fn check_policy(&self, policy: &str, now: u64) -> Result<(), Distrust> {
        if self.certificates.len() == 1 {
            let leaf = self.leaf();
            return match leaf.filter(|leaf| leaf.policies().iter().any(|p| p == policy)) {
                Some(_) => Ok(()),
                None => Err(Distrust::new(
                    Rule::Policy,
                    leaf.map_or_else(String::new, |leaf| leaf.subject().to_string()),
                    format_args!("constraint requires cert policy {policy}"),
                )),
            };
        }
        validate::validate(&self.certificates, Some(policy), now).map_err(|fault| Distrust {
            reason: format!("constraint requires cert policy {policy}: {}", fault.reason),
            ..fault
        })
    }
}

/// The chains of `leaf` that hold at `now`, from those at hand and `extra`.
///
/// # Errors
/// What is wrong with the one that came furthest.
pub(crate) fn build(
    store: &Store,
    extra: &[Certificate],
    leaf: &Certificate,
    purpose: Purpose,
    now: u64,
    budget: &mut Budget,
    log: &mut Log,
) -> Result<Vec<Path>, Distrust> {
    // What was loaded is trusted by itself, with or without a chain.
    let pinned = store.with_subject(leaf.subject()).any(|(known, _)| known == leaf);
    if pinned {
        log.cfg(format_args!("  using trusted certificate \"{}\"", leaf.subject()));
    } else {
        log.cfg(format_args!("  using certificate \"{}\"", leaf.subject()));
    }
    usable(leaf, purpose, now)?;
    let mut search = Search {
        store,
        extra,
        now,
        budget,
        stack: vec![leaf.clone()],
        schemes: Vec::new(),
        found: Vec::new(),
        fault: None,
    };
    search.climb();
    if search.found.is_empty() && pinned {
        log.cfg(format_args!(
            "  reached end of incomplete trust chain for trusted certificate \"{}\"",
            leaf.subject()
        ));
        return Ok(vec![Path { certificates: vec![leaf.clone()], schemes: Vec::new() }]);
    }
    let fault = search.fault.take().map_or_else(|| no_issuer(leaf), |(_, fault)| fault);
    let Some(first) = search.found.first() else {
        log.cfg(&fault.reason);
        return Err(fault);
    };
    for (index, issuer) in first.issuers().iter().enumerate() {
        let trusted = store.trust(issuer) == Trust::Ca;
        let kind = match (trusted, issuer.is_self_issued()) {
            (true, true) => "trusted ca certificate",
            (true, false) => "trusted intermediate ca certificate",
            (false, _) => "untrusted intermediate certificate",
        };
        log.cfg(format_args!("  using {kind} \"{}\"", issuer.subject()));
        if index.saturating_add(1) == first.issuers().len() && issuer.is_self_issued() {
            log.cfg(format_args!("  reached self-signed root ca with a path length of {index}"));
        }
    }
    Ok(search.found)
}

/// What is demanded of the certificate in question itself.
fn usable(leaf: &Certificate, purpose: Purpose, now: u64) -> Result<(), Distrust> {
    let subject = leaf.subject();
    if let Some(fault) = outdated(leaf, now) {
        return Err(fault);
    }
    if purpose != Purpose::Any && !leaf.may_sign_data() {
        return Err(Distrust::new(
            Rule::KeyUsage,
            subject,
            format_args!(
                "certificate \"{subject}\" rejected: neither digitalSignature nor nonRepudiation in its keyUsage"
            ),
        ));
    }
    let extended = leaf.extended();
    if !extended.is_empty() && !extended.iter().any(|usage| purpose.allows(usage)) {
        let list: Vec<String> = extended.iter().map(ToString::to_string).collect();
        return Err(Distrust::new(
            Rule::ExtendedKeyUsage,
            subject,
            format_args!(
                "certificate \"{subject}\" rejected: its extendedKeyUsage ({}) does not allow this use",
                list.join(", ")
            ),
        ));
    }
    Ok(())
}

/// Why a certificate is not valid at this time.
fn outdated(certificate: &Certificate, now: u64) -> Option<Distrust> {
    let subject = certificate.subject();
    let rule = if now < certificate.not_before() {
        Rule::NotYetValid
    } else if now > certificate.not_after() {
        Rule::Expired
    } else {
        return None;
    };
    let range = format!(
        "(valid from {} to {})",
        crate::time::charon(certificate.not_before()),
        crate::time::charon(certificate.not_after())
    );
    Some(Distrust::new(rule, subject, format_args!("subject certificate \"{subject}\" invalid {range}")))
}

fn no_issuer(certificate: &Certificate) -> Distrust {
    let subject = certificate.subject();
    Distrust::new(Rule::NoIssuer, subject, format_args!("no issuer certificate found for \"{subject}\""))
}

struct Search<'a> {
    store: &'a Store,
    extra: &'a [Certificate],
    now: u64,
    budget: &'a mut Budget,
    stack: Vec<Certificate>,
    schemes: Vec<SignScheme>,
    found: Vec<Path>,
    /// The fault of the chain that came furthest, with how far.
    fault: Option<(usize, Distrust)>,
}

impl Search<'_> {
    /// Goes on from the last certificate of the stack.
    ///
    /// An anchor that somebody else certified ends a chain only if no certificate of its issuer is trusted, too: whoever
    /// trusts both wants to hear of the root what became of the other (revoked, expired, constrained).
    fn climb(&mut self) {
        let Some(top) = self.stack.last().cloned() else { return };
        let anchor = self.store.trust(&top) == Trust::Ca && self.stack.len() > 1;
        if anchor && top.is_self_signed() {
            self.judge();
            return;
        }
        if self.stack.len() > self.store.settings.max_path_length.saturating_add(1) {
            self.blame(self.too_long());
            return;
        }
        if top.is_self_signed() {
            let subject = top.subject();
            self.blame(Distrust::new(
                Rule::Untrusted,
                subject,
                format_args!("self-signed certificate \"{subject}\" is not trusted"),
            ));
            return;
        }
        let (mut named, mut looped, mut certified) = (false, false, false);
        for issuer in self.issuers(&top) {
            if self.found.len() >= MAX_PATHS {
                break;
            }
            if !self.budget.spend() {
                // Whether an issuer is trusted was not found out; those come first.
                certified = true;
                break;
            }
            let outcome = self.signed_by(&top, &issuer);
            let trusted = self.store.trust(&issuer) == Trust::Ca && issuer.key() != top.key();
            certified |= trusted && (outcome.is_ok() || top.verify(&issuer).is_ok());
            // A loop: the same CA again leads nowhere that we have not been.
            if self.stack.iter().any(|c| same_name(c.subject(), issuer.subject()) && c.key() == issuer.key())
            {
                looped = true;
                continue;
            }
            named = true;
            match outcome {
                Ok(scheme) => {
                    self.stack.push(issuer);
                    self.schemes.push(scheme);
                    self.climb();
                    self.stack.pop();
                    self.schemes.pop();
                }
                Err(fault) => self.blame(fault),
            }
        }
        if !named {
            // To go round and round would be a chain without end.
            self.blame(if looped { self.too_long() } else { no_issuer(&top) });
        }
        if anchor && !certified && self.found.len() < MAX_PATHS {
            self.judge();
        }
    }

    fn too_long(&self) -> Distrust {
        let max = self.store.settings.max_path_length;
        let leaf = self.stack.first().map_or_else(String::new, |leaf| leaf.subject().to_string());
        Distrust::new(Rule::PathLength, leaf, format_args!("maximum path length of {max} exceeded"))
    }

    /// Those that may have issued it: anchors first.
    fn issuers(&self, top: &Certificate) -> Vec<Certificate> {
        let mut known: Vec<(Certificate, Trust)> = self.store.with_subject(top.issuer()).cloned().collect();
        known.sort_by_key(|(_, trust)| *trust != Trust::Ca);
        let mut list: Vec<Certificate> = known.into_iter().map(|(certificate, _)| certificate).collect();
        for certificate in self.extra {
            if !list.contains(certificate) {
                list.push(certificate.clone());
            }
        }
        list.retain(|issuer| top.names_as_issuer(issuer));
        list
    }

    fn signed_by(&self, top: &Certificate, issuer: &Certificate) -> Result<SignScheme, Distrust> {
        let subject = top.subject();
        let scheme = top.verify(issuer).map_err(|error| {
            Distrust::new(
                Rule::Signature,
                subject,
                format_args!("signature of certificate \"{subject}\" by \"{}\": {error}", issuer.subject()),
            )
        })?;
        if scheme.hash() == Some(Hash::Sha1) && !self.store.settings.sha1_signatures {
            return Err(Distrust::new(
                Rule::Signature,
                subject,
                format_args!("certificate \"{subject}\" is signed with SHA-1, which is not accepted"),
            ));
        }
        Ok(scheme)
    }

    /// Judges the stack as a chain to an anchor.
    fn judge(&mut self) {
        match validate::validate(&self.stack, None, self.now) {
            Ok(()) => {
                self.found.push(Path { certificates: self.stack.clone(), schemes: self.schemes.clone() })
            }
            // A chain to an anchor that does not hold tells more than any that leads nowhere.
            Err(fault) => {
                if self.fault.as_ref().is_none_or(|(far, _)| *far < usize::MAX) {
                    self.fault = Some((usize::MAX, fault));
                }
            }
        }
    }

    fn blame(&mut self, fault: Distrust) {
        let far = self.stack.len();
        if self.fault.as_ref().is_none_or(|(known, _)| *known < far) {
            self.fault = Some((far, fault));
        }
    }
}
