//! `cygnet load`.
use crate::args::Load;
use crate::exit::{FAILED, Failure};
use crate::load::{self, Progress, Tally};
use crate::out::{clean, complain, say};
use crate::{session, source};
use std::process::ExitCode;

pub(super) fn run(uri: Option<&str>, args: &Load) -> Result<ExitCode, Failure> {
    // Read and judge everything before the daemon hears a word: what runs keeps running when there is a mistake.
    let source = source::swanctl(args.file.as_deref())?;
    let mut client = session::connect(uri)?;
    let mut told = Told { failed: 0 };
    let asker = (!args.noprompt).then_some(load::passphrase::terminal as load::passphrase::Asker);
    let creds = load::credentials(&source, args.clear, asker, &mut client, &mut told)?;
    let authorities = load::authorities(&source, &mut client, &mut told)?;
    let pools = load::pools(&source, &mut client, &mut told)?;
    let conns = load::connections(&source, &mut client, &mut told)?;
    say!(
        "{}, {}, {}, {}",
        counted(&conns, "connection"),
        counted(&pools, "pool"),
        counted(&creds, "credential"),
        counted(&authorities, "authority"),
    );
    if told.failed > 0 {
        return Err(Failure::new(FAILED, format_args!("{} of the above could not be loaded", told.failed))
            .hint("what was loaded before stays; 'cygnet check' judges the files without the daemon"));
    }
    Ok(ExitCode::SUCCESS)
}

struct Told {
    failed: usize,
}

impl Progress for Told {
    fn loaded(&mut self, what: &str) {
        say!("  loaded {}", clean(what));
    }

    fn failed(&mut self, text: &str) {
        self.failed += 1;
        complain!("  {}", clean(text));
    }
}

fn counted(tally: &Tally, noun: &str) -> String {
    let many = match (tally.loaded, noun.strip_suffix('y')) {
        (1, _) => noun.to_owned(),
        (_, Some(stem)) => format!("{stem}ies"),
        (_, None) => format!("{noun}s"),
    };
    let unloaded = if tally.unloaded > 0 { format!(" (unloaded {})", tally.unloaded) } else { String::new() };
    format!("{} {many}{unloaded}", tally.loaded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_agree_with_their_nouns() {
        let tally = |loaded, unloaded| Tally { found: loaded, loaded, unloaded };
        assert_eq!(counted(&tally(1, 0), "connection"), "1 connection");
        assert_eq!(counted(&tally(2, 1), "pool"), "2 pools (unloaded 1)");
        assert_eq!(counted(&tally(0, 0), "authority"), "0 authorities");
    }
}
