//! Identities (RFC 7296 3.5) in strongSwan's grammar; matching with wildcards.
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use wire::iana::IdType;

/// An identity or a pattern for identities.
///
/// Text grammar (as in strongSwan's `id` keys): `%any`; an IP address; `user@host` (RFC822); `@name` or a name
/// with a dot (FQDN); `@#hex` and `@@user@host`; `C=…, O=…` (DN); prefixes `ipv4:`, `ipv6:`, `rfc822:`, `email:`,
/// `userfqdn:`, `fqdn:`, `dns:`, `asn1dn:`, `asn1gn:`, `keyid:`, `{number}:`, each with `#hex` after the colon;
/// `type:^regex$` patterns. Anything else is a KEY_ID... see the tests for the exact decisions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Identity {
    /// `%any`: matches everything, sent as nothing.
    Any,
    /// IPv4 or IPv6 address.
    Ip(IpAddr),
    /// Host name; a pattern may start with `*.`.
    Fqdn(String),
    /// Mail address; a pattern may be `*@domain`.
    Rfc822(String),
    /// DER of a distinguished name, and its text (RDNs as strongSwan prints them). A pattern's RDN may be `*`.
    Dn {
        /// DER as sent; empty for patterns with `*`.
        der: Vec<u8>,
        /// Text form, `C=CH, O=Cygnet, CN=moon`.
        text: String,
    },
    /// Opaque bytes.
    KeyId(Vec<u8>),
    /// Any other type, raw.
    Other(IdType, Vec<u8>),
    /// An anchored POSIX-like pattern `^…$` for identities of one type.
    Pattern(IdType, String),
}
