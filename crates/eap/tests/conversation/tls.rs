//! The methods over TLS.
