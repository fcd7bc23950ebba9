//! `cygnet check`.
use crate::args::Check;
use crate::exit::{BAD_CONFIG, Failure};
use crate::out::{clean, complain, say};
use crate::source::{self, Judgement};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(super) fn run(args: &Check) -> Result<ExitCode, Failure> {
    let mut errors = 0;
    let mut warnings = 0;
    for (file, settings) in wanted(args) {
        let Judgement { reports, errors: bad, warnings: odd } = if settings {
            source::check_settings(&file)
        } else {
            source::check_swanctl(&file, !args.no_files)
        };
        if !reports.is_empty() {
            complain!("{}", clean(reports.trim_end()));
        }
        if bad == 0 {
            say!("{}: good{}", file.display(), if odd > 0 { ", with warnings" } else { "" });
        }
        errors += bad;
        warnings += odd;
    }
    if errors == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let mut text = plural(errors, "error");
    if warnings > 0 {
        text.push_str(&format!(", {}", plural(warnings, "warning")));
    }
    Err(Failure::new(BAD_CONFIG, text))
}

/// The files to look at, and whether each holds daemon settings.
fn wanted(args: &Check) -> Vec<(PathBuf, bool)> {
    let mut all: Vec<(PathBuf, bool)> =
        args.files.iter().map(|file| (file.clone(), is_settings(file))).collect();
    all.extend(args.settings.iter().map(|file| (file.clone(), true)));
    if all.is_empty() {
        all.push((source::directory().join("swanctl.conf"), false));
        // There may be none: the daemon then has its defaults.
        all.extend(Some((source::settings_file(), true)).filter(|(file, _)| file.exists()));
    }
    all
}

fn is_settings(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == "strongswan.conf")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_judged_by_their_name_unless_told() {
        let args = Check {
            files: vec!["/a/strongswan.conf".into(), "/a/other.conf".into()],
            settings: vec!["/a/other.conf".into()],
            no_files: false,
        };
        let kinds: Vec<bool> = wanted(&args).into_iter().map(|(_, settings)| settings).collect();
        assert_eq!(kinds, [true, false, true]);
    }
}
