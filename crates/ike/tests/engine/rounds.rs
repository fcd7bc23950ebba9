//! Several rounds of authentication (RFC 4739).
