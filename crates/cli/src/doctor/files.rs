//! Configuration files: are they sound, and can only root read what is secret?
use super::Finding;
use crate::source;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Directories of swanctl with keys, and the file with passwords.
const SECRET: [&str; 6] = ["swanctl.conf", "private", "rsa", "ecdsa", "pkcs8", "pkcs12"];

pub(super) fn look() -> Vec<Finding> {
    let directory = source::directory();
    let mut findings = vec![configuration(&directory.join("swanctl.conf"), &source::settings_file())];
    findings.push(permissions(&directory));
    findings
}

fn configuration(swanctl: &Path, settings: &Path) -> Finding {
    const CHECK: &str = "configuration";
    let mut told = Vec::new();
    let (mut errors, mut warnings) = (0, 0);
    if swanctl.exists() {
        let judged = source::check_swanctl(swanctl, true);
        (errors, warnings) = (errors + judged.errors, warnings + judged.warnings);
        told.push(swanctl.display().to_string());
    }
    if settings.exists() {
        let judged = source::check_settings(settings);
        (errors, warnings) = (errors + judged.errors, warnings + judged.warnings);
        told.push(settings.display().to_string());
    }
    let files = told.join(" and ");
    match (errors, warnings) {
        _ if told.is_empty() => Finding::warning(
            CHECK,
            format!("there is no {}", swanctl.display()),
            "write one, or: cygnet quickstart",
        ),
        (0, 0) => Finding::good(CHECK, format!("{files}: good")),
        (0, warnings) => Finding::warning(CHECK, format!("{files}: {warnings} to look at"), "cygnet check"),
        (errors, _) => Finding::wrong(CHECK, format!("{files}: {errors} errors"), "cygnet check"),
    }
}

fn permissions(directory: &Path) -> Finding {
    const CHECK: &str = "secrets";
    let open: Vec<PathBuf> = SECRET
        .into_iter()
        .flat_map(|name| inside(&directory.join(name)))
        .filter(|path| fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0))
        .filter(|path| path.extension().is_none_or(|e| e != "conf") || has_secret(path))
        .collect();
    let reachable = fs::metadata(directory).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0);
    match open.first() {
        Some(first) if reachable => {
            let more = if open.len() > 1 { format!(" and {} more", open.len() - 1) } else { String::new() };
            Finding::warning(
                CHECK,
                format!("everybody can read {}{more}", first.display()),
                format!("chmod o-rwx {}", first.display()),
            )
        }
        _ => Finding::good(CHECK, format!("only their owner can read what is in {}", directory.display())),
    }
}

/// The file itself, or what is directly in the directory.
fn inside(path: &Path) -> Vec<PathBuf> {
    match fs::read_dir(path) {
        Ok(all) => {
            let mut all: Vec<PathBuf> =
                all.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
            all.sort();
            all
        }
        Err(_) => path.is_file().then(|| path.to_owned()).into_iter().collect(),
    }
}

/// A `swanctl.conf` may hold no passwords at all.
fn has_secret(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| {
        text.lines().any(|line| {
            line.trim_start().strip_prefix("secret").is_some_and(|rest| rest.trim_start().starts_with('='))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    fn written(directory: &Path, name: &str, text: &str, mode: u32) {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_everybody_can_read_is_told_if_it_is_secret() {
        let home = tempfile::tempdir().unwrap();
        let at = home.path();
        fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
        written(at, "swanctl.conf", "connections {\n}\n", 0o644);
        written(at, "private/key.pem", "x", 0o600);
        assert_eq!(permissions(at).state, State::Good);
        written(at, "swanctl.conf", "secrets {\n ike {\n  secret = 12345\n }\n}\n", 0o644);
        let found = permissions(at);
        assert!(found.state == State::Warning && found.says.contains("swanctl.conf"), "{found:?}");
        written(at, "swanctl.conf", "secrets {\n ike {\n  secret = 12345\n }\n}\n", 0o640);
        written(at, "private/key.pem", "x", 0o644);
        assert!(permissions(at).says.contains("key.pem"));
        fs::set_permissions(at, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(permissions(at).state, State::Good);
    }

    #[test]
    fn faults_are_counted() {
        let home = tempfile::tempdir().unwrap();
        let at = home.path();
        let judge = || configuration(&at.join("swanctl.conf"), &at.join("strongswan.conf"));
        assert_eq!(judge().state, State::Warning);
        written(at, "swanctl.conf", "connections {\n}\n", 0o600);
        assert_eq!(judge().state, State::Good);
        written(at, "swanctl.conf", "connections {\n a {\n  versoin = 2\n }\n}\n", 0o600);
        assert_eq!(judge().state, State::Wrong);
    }
}
