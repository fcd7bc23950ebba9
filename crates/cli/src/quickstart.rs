//! `cygnet quickstart`: a gateway for road warriors in one command, and what its users import into their devices.
//!
//! [`gateway`] makes the authority, the gateway's certificate and the connections ([`config`]); [`users`] makes and
//! revokes users; [`profiles`] writes what each kind of device takes: [`apple`], [`android`], [`windows`], a folder for
//! swanctl, [`qr`]. [`state`] remembers all that in a file, [`shelf`] is how files get written.
use crate::args::{Quickstart, QuickstartCommand};
use crate::exit::{FAILED, Failure};
use crate::pki::Trouble;
use std::process::ExitCode;

mod android;
mod apple;
mod config;
mod gateway;
mod profiles;
mod qr;
mod shelf;
mod state;
mod users;
mod windows;

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::new(FAILED, trouble)
    }
}

/// Runs the command.
pub(crate) fn run(args: &Quickstart) -> Result<ExitCode, Failure> {
    let directory = args.dir.clone().unwrap_or_else(crate::source::directory);
    match &args.command {
        Some(QuickstartCommand::User(user)) => users::run(&directory, user, args.json)?,
        None if args.renew => gateway::renew(&directory, args.json)?,
        None => gateway::create(&directory, args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Random bytes of the operating system.
fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(FAILED, format_args!("no randomness: {error}")))?;
    Ok(bytes)
}

/// A password that people can type: no characters that look alike, 5.8 bits each.
fn password(length: usize) -> Result<String, Failure> {
    const LETTERS: &[u8] = b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut rng = crypto::Rng::from_seed(random()?);
    let letter = |_| {
        let at = usize::try_from(rng.below(LETTERS.len() as u64)).unwrap_or(0);
        char::from(LETTERS.get(at).copied().unwrap_or(b'x'))
    };
    Ok((0..length).map(letter).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_and_differ() {
        let (a, b) = (password(20).unwrap(), password(20).unwrap());
        assert_eq!((a.len(), a != b), (20, true));
        assert!(a.chars().all(|c| c.is_ascii_alphanumeric() && !"0O1lI".contains(c)), "{a}");
    }
}
