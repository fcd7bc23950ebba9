//! `cygnet demo`.
use crate::args::Demo;
use crate::exit::{Failure, NOT_HERE};
use std::process::ExitCode;

pub(crate) fn run(_args: &Demo) -> Result<ExitCode, Failure> {
    crate::out::outlive_reader();
    Err(Failure::new(NOT_HERE, "the demo is not in this build"))
}
