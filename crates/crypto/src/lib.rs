//! Computes: every algorithm an IANA transform number can name, and secrets that wipe themselves.
