//! `cygnet`: the commands people type.
//!
//! One program, several names. As `cygnet` it has the commands of [`args`]; called as `swanctl` (through a link, or
//! as `cygnet swanctl …`) it takes strongSwan's options and prints what strongSwan's tool prints ([`swanctl`]).
//! Everything that talks to the daemon does so over vici ([`session`]); [`view`] is what a list of SAs means,
//! [`load`] carries a configuration directory over, [`commands`] has one file per command, [`demo`] runs two daemons
//! against each other, [`pki`], [`pool`] and [`xfrmi`] are strongSwan's tools of those
//! names, [`quickstart`] makes a gateway and its users, [`load_test`] puts load on one.
#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::string_slice,
    reason = "a tool for people; it never parses bytes from the network, vici does"
)]

mod args;
mod commands;
mod demo;
mod doctor;
mod exit;
mod getopt;
mod interrupt;
mod load;
mod load_test;
mod out;
mod pki;
mod pool;
mod quickstart;
mod session;
mod source;
mod swanctl;
mod view;
mod xfrmi;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let called = words.first().map(Path::new).and_then(Path::file_name).and_then(|name| name.to_str());
    if called == Some("swanctl") {
        return swanctl::main(words.split_off(1));
    }
    if called == Some("pki") {
        return pki::main(words.split_off(1));
    }
    if called == Some("pool") {
        return pool::main(words.split_off(1));
    }
    if called == Some("xfrmi") {
        return xfrmi::main(words.split_off(1));
    }
    match words.get(1).and_then(|word| word.to_str()) {
        Some("pki") => return pki::main(words.split_off(2)),
        Some("pool") => return pool::main(words.split_off(2)),
        Some("xfrmi") => return xfrmi::main(words.split_off(2)),
        Some("swanctl") => return swanctl::main(words.split_off(2)),
        _ => {}
    }
    match commands::run(args::parse(words)) {
        Ok(code) => code,
        Err(failure) => failure.show(),
    }
}
