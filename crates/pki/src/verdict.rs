//! What judging says: log lines, and why something is not trusted.
use std::fmt;

/// charon's log groups that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Certificates, chains, revocation.
    Cfg,
    /// What goes over the wire.
    Ike,
}

/// A line for the log of the IKE_SA that asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// charon's group.
    pub group: Group,
    /// charon's level.
    pub level: i8,
    /// Text.
    pub text: String,
}

/// Log lines in the making.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Vec<LogLine>);

impl Log {
    pub(crate) fn cfg(&mut self, text: impl fmt::Display) {
        self.0.push(LogLine { group: Group::Cfg, level: 1, text: text.to_string() });
    }

    pub(crate) fn ike(&mut self, text: impl fmt::Display) {
        self.0.push(LogLine { group: Group::Ike, level: 1, text: text.to_string() });
    }

    pub(crate) fn take(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.0)
    }
}

/// The rule that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Nothing that the peer sent or that is loaded speaks for it.
    NoKey,
    /// The signature in AUTH.
    Auth,
    /// Malformed, or of a kind that is not offered.
    Form,
    /// No certificate of the issuer.
    NoIssuer,
    /// The chain ends with a certificate that nobody declared trusted.
    Untrusted,
    /// Not valid any more.
    Expired,
    /// Not valid yet.
    NotYetValid,
    /// Signature of the issuer.
    Signature,
    /// Too long, by our limit or by a pathLenConstraint.
    PathLength,
    /// The issuer is no CA, or may not sign certificates.
    NotCa,
    /// Name constraints.
    NameConstraints,
    /// Certificate policies.
    Policy,
    /// keyUsage.
    KeyUsage,
    /// extendedKeyUsage.
    ExtendedKeyUsage,
    /// A critical extension that is not understood.
    CriticalExtension,
    /// The certificate does not confirm the identity.
    Identity,
    /// Demands of the connection: CA, certificate, kinds of keys and signatures, groups.
    Constraint,
    /// Revoked.
    Revoked,
    /// The status must be known, and is not.
    Status,
}

/// Not trusted, or not shown to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Distrust {
    /// Which rule is broken.
    pub rule: Rule,
    /// Subject of the certificate at fault, empty when none is.
    pub certificate: String,
    /// What is wrong, for the operator.
    pub reason: String,
}

impl Distrust {
    pub(crate) fn new(rule: Rule, certificate: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self { rule, certificate: certificate.to_string(), reason: reason.to_string() }
    }

    /// Type of the vici alert.
    #[must_use]
    pub fn alert(&self) -> &'static str {
        match self.rule {
            Rule::NoKey | Rule::Auth | Rule::Identity | Rule::Constraint => "peer-auth-failed",
            Rule::NoIssuer => "cert-no-issuer",
            Rule::Untrusted => "cert-untrusted-root",
            Rule::Expired | Rule::NotYetValid => "cert-expired",
            Rule::PathLength => "cert-exceeded-path-len",
            Rule::Policy => "cert-policy-violation",
            Rule::Revoked => "cert-revoked",
            Rule::Form
            | Rule::Signature
            | Rule::NotCa
            | Rule::NameConstraints
            | Rule::KeyUsage
            | Rule::ExtendedKeyUsage
            | Rule::CriticalExtension
            | Rule::Status => "cert-validation-failed",
        }
    }
}
