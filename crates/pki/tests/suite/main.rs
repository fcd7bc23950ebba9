//! Certificates made by rcgen and openssl, and NIST's test suite, judged from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod certified_anchors;
mod chains;
mod harness;
mod judging;
mod pkits;
mod revocation;
mod signing;
