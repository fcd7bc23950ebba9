//! `cygnet quickstart`.
