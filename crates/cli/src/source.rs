//! Configuration files, read through the `config` crate.
use crate::exit::{BAD_CONFIG, Failure};
use crate::load::Source;
use crate::pki::dates::now;
use config::capability::Capabilities;
use config::tree::Section;
use config::{Context, Disk, LoadError, Loaded, Report, Sources};
use std::path::{Path, PathBuf};
use vici::Message;

mod files;

/// Where strongswan.conf is.
pub(crate) fn settings_file() -> PathBuf {
    std::env::var_os("STRONGSWAN_CONF").map_or_else(|| PathBuf::from("/etc/strongswan.conf"), PathBuf::from)
}

/// strongswan.conf as far as it can be read: where the daemon's socket is does not depend on the rest, and the daemon
/// itself says what is wrong with it.
pub(crate) fn settings() -> Section {
    config::load(&Disk, &settings_file()).map(|loaded| loaded.root).unwrap_or_default()
}

/// A value deep inside.
pub(crate) fn value_at(section: &Section, path: &[&str]) -> Option<String> {
    let (last, sections) = path.split_last()?;
    let section = sections.iter().try_fold(section, |section, name| section.child(name))?;
    section.text(last).map(str::to_owned)
}

/// The directory of swanctl.conf.
pub(crate) fn directory() -> PathBuf {
    std::env::var_os("SWANCTL_DIR").map_or_else(|| PathBuf::from("/etc/swanctl"), PathBuf::from)
}

/// swanctl.conf and what it includes, without errors.
pub(crate) fn swanctl(file: Option<&Path>) -> Result<Source, Failure> {
    let file = file.map_or_else(|| directory().join("swanctl.conf"), Path::to_path_buf);
    let loaded = config::load_swanctl(&file).map_err(|error| refuse(&file, &error))?.loaded;
    for warning in &loaded.warnings {
        crate::out::complain!("{}", crate::out::clean(&warning.line(&loaded.sources)));
    }
    let Loaded { root, .. } = loaded;
    Ok(Source { root, directory: directory() })
}

fn refuse(file: &Path, error: &LoadError) -> Failure {
    Failure::new(BAD_CONFIG, format_args!("{} has errors; nothing was changed", file.display()))
        .detail(error.render())
}

/// What was found in a file.
pub(crate) struct Judgement {
    /// All of it, with places and lines, for a person.
    pub(crate) reports: String,
    pub(crate) errors: usize,
    pub(crate) warnings: usize,
}

impl Judgement {
    fn of(mut reports: Vec<Report>, sources: &Sources) -> Self {
        // As a reader meets them.
        reports.sort_by_key(|report| (report.span.file, report.span.start));
        let errors = reports.iter().filter(|report| report.is_error()).count();
        Self {
            reports: reports.iter().map(|report| report.render(sources)).collect::<Vec<_>>().join("\n"),
            errors,
            warnings: reports.len() - errors,
        }
    }
}

/// Judges a swanctl.conf with all it includes: the grammar, every key, and, `with_files`, the certificates and keys it
/// names.
pub(crate) fn check_swanctl(file: &Path, with_files: bool) -> Judgement {
    match config::load_swanctl(file) {
        Ok(read) => {
            // Which data plane the daemon will have is not known here: what one of them can do passes.
            let context = Context { capabilities: Capabilities::xfrm(), ..Context::default() };
            let mut reports = read.check(&context).reports;
            if with_files {
                let directory = if file.is_dir() { file } else { file.parent().unwrap_or(Path::new(".")) };
                reports.extend(files::check(&read, directory, now()));
            }
            Judgement::of(reports, &read.loaded.sources)
        }
        Err(error) => Judgement::of(error.reports, &error.sources),
    }
}

/// Judges a strongswan.conf with all it includes.
pub(crate) fn check_settings(file: &Path) -> Judgement {
    match config::load(&Disk, file) {
        Ok(loaded) => {
            let (_, found) = config::load_daemon(&loaded.root, &config::schema::daemon::SECTIONS);
            Judgement::of([loaded.warnings, found].concat(), &loaded.sources)
        }
        Err(error) => Judgement::of(error.reports, &error.sources),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_path() {
        let mut vici = Section::default();
        vici.put("socket", "unix:///x");
        let mut plugins = Section::default();
        plugins.put_section("vici", vici);
        let mut root = Section::default();
        root.put_section("plugins", plugins);
        assert_eq!(value_at(&root, &["plugins", "vici", "socket"]).as_deref(), Some("unix:///x"));
        assert_eq!(value_at(&root, &["plugins", "vici"]), None);
        assert_eq!(value_at(&root, &["nothing", "socket"]), None);
    }

    #[test]
    fn a_broken_file_is_refused_with_its_line() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("swanctl.conf");
        std::fs::write(&file, "connections {\n  home {\n    version 2\n  }\n}\n").unwrap();
        let failure = swanctl(Some(&file)).unwrap_err();
        assert_eq!(failure.code, BAD_CONFIG);
        assert!(failure.details().contains("swanctl.conf:3:"), "{}", failure.details());
        assert!(failure.details().contains("version 2"), "{}", failure.details());
    }

    #[test]
    fn every_mistake_is_shown_where_it_stands() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("swanctl.conf");
        let text = "\
connections {
  home {
    remote_adrs = 192.0.2.1
    pools = v4, v6
    children {
      net {
        rekey_time = soon
      }
    }
  }
}
pools {
  v4 {
    addrs = 10.3.0.0/33
  }
}
conections {
}
";
        std::fs::write(&file, text).unwrap();
        let found = check_swanctl(&file, true);
        assert_eq!((found.errors, found.warnings), (3, 1), "{}", found.reports);
        for words in [
            "swanctl.conf:3:5",
            "remote_addrs",
            "swanctl.conf:7:22",
            "soon",
            "swanctl.conf:14:13",
            "swanctl.conf:17:1",
            "did you mean `connections`?",
        ] {
            assert!(found.reports.contains(words), "{words} is not in\n{}", found.reports);
        }
    }

    #[test]
    fn the_examples_are_good() {
        for end in ["gateway", "client"] {
            let directory =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/road-warrior").join(end);
            for found in [
                check_swanctl(&directory.join("swanctl.conf"), true),
                check_settings(&directory.join("strongswan.conf")),
            ] {
                assert_eq!((found.errors, found.warnings), (0, 0), "{}", found.reports);
            }
        }
    }
}
