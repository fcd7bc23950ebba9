//! `cygnet completions`, `cygnet man`: made from the definition of the command line.
use crate::args;
use crate::exit::{FAILED, Failure};
use crate::out;
use clap_complete::Shell;
use std::path::Path;
use std::process::ExitCode;

pub(super) fn completions(shell: Shell) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "cygnet", &mut script);
    out::bytes(&script);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man(directory: Option<&Path>) -> Result<ExitCode, Failure> {
    let failed = |error: std::io::Error| Failure::new(FAILED, format_args!("writing man pages: {error}"));
    let command = args::command().disable_help_subcommand(true);
    if let Some(directory) = directory {
        std::fs::create_dir_all(directory).map_err(failed)?;
        clap_mangen::generate_to(command, directory).map_err(failed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).map_err(failed)?;
    out::bytes(&page);
    Ok(ExitCode::SUCCESS)
}
