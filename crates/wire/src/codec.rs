//! Reader and Writer: the only bounds checks in the house.

/// Why bytes are not what they claim to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The input ends before the field does.
    #[error("{what} is cut off: {need} bytes needed, {have} there")]
    Truncated {
        /// The field or structure.
        what: &'static str,
        /// Bytes it needs.
        need: usize,
        /// Bytes left.
        have: usize,
    },
    /// A length, count or number that the format does not allow here.
    #[error("{what} has an illegal value {value}")]
    Illegal {
        /// The field.
        what: &'static str,
        /// What stood there.
        value: u64,
    },
    /// More elements or bytes than this codec takes.
    #[error("{what} exceeds the limit of {limit}")]
    TooMany {
        /// The element.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// An unknown payload with the critical bit set (RFC 7296 2.5).
    #[error("unsupported critical payload of type {0}")]
    UnsupportedCritical(u8),
    /// A major version other than the one asked for.
    #[error("IKE version {0}.{1} is not supported")]
    Version(u8, u8),
}
