//! Reads and writes strongswan.conf and swanctl.conf: text, tree, policy, with errors that point at the line.

pub mod tree;
