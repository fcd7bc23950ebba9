//! Where the example files and the daemon are.
use crate::exit::{FAILED, Failure, NOT_HERE};
use crate::out::complain;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The directories of the two ends.
pub(super) struct Examples {
    pub(super) root: PathBuf,
    pub(super) gateway: PathBuf,
    pub(super) client: PathBuf,
}

/// The example files: where told, else in the source tree above this directory or above this program, else where it
/// was built, else where a package puts them.
pub(super) fn examples(told: Option<&Path>) -> Result<Examples, Failure> {
    const PLACE: &str = "examples/road-warrior";
    let mut places: Vec<PathBuf> = Vec::new();
    if let Some(told) = told {
        places.push(told.to_path_buf());
    } else {
        let starts = [std::env::current_dir().ok(), std::env::current_exe().ok()];
        for start in starts.into_iter().flatten() {
            places.extend(start.ancestors().map(|above| above.join(PLACE)));
        }
        places.extend(built_from().map(|root| root.join(PLACE)));
        places.push(PathBuf::from("/usr/share/doc/cygnet").join(PLACE));
    }
    for root in places {
        let found = Examples { gateway: root.join("gateway"), client: root.join("client"), root };
        let complete = [&found.gateway, &found.client]
            .iter()
            .all(|end| end.join("swanctl.conf").is_file() && end.join("strongswan.conf").is_file());
        if complete {
            return Ok(found);
        }
    }
    let told = told.unwrap_or_else(|| Path::new(PLACE));
    Err(Failure::new(NOT_HERE, format_args!("{} with gateway/ and client/ is not there", told.display()))
        .hint("run this inside the source tree, or say where they are: cygnet demo --examples DIR"))
}

/// The source tree this program was built from, where it still is.
fn built_from() -> Option<PathBuf> {
    let crate_directory = option_env!("CARGO_MANIFEST_DIR")?;
    let root = Path::new(crate_directory).parent()?.parent()?;
    root.join("Cargo.toml").is_file().then(|| root.to_path_buf())
}

/// The daemon: the one told, else the one beside this program. Run through cargo it is built first, so that it is
/// never older than its sources; so it is when it is missing and there is a source tree.
pub(super) fn daemon(told: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(told) = told {
        return told
            .canonicalize()
            .map_err(|error| Failure::new(NOT_HERE, format_args!("{}: {error}", told.display())));
    }
    let ours = std::env::current_exe()
        .map_err(|error| Failure::new(FAILED, format_args!("finding myself: {error}")))?;
    let beside = ours.with_file_name("cygnetd");
    let under_cargo = std::env::var_os("CARGO").is_some();
    let tree = built_from();
    if let (Some(tree), true) = (&tree, under_cargo || !beside.is_file()) {
        build(tree, &ours)?;
    }
    if beside.is_file() {
        return Ok(beside);
    }
    Err(Failure::new(NOT_HERE, format_args!("cygnetd is not beside this program ({})", beside.display()))
        .hint("build it: cargo build --release -p daemon --bin cygnetd; or say where it is: cygnet demo --daemon FILE"))
}

fn build(tree: &Path, ours: &Path) -> Result<(), Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(tree).args(["build", "-p", "daemon", "--bin", "cygnetd"]).stdin(Stdio::null());
    let profile = ours.parent().and_then(Path::file_name);
    if profile.is_some_and(|name| name == "release") {
        command.arg("--release");
    }
    // .../target/release/cygnet: the same target directory.
    if let Some(target) = ours.parent().and_then(Path::parent) {
        command.arg("--target-dir").arg(target);
    }
    complain!("    building cygnetd (the first time this takes some minutes)");
    let ended = command.status().map_err(|error| {
        Failure::new(NOT_HERE, format_args!("cygnetd must be built, but cargo cannot be run: {error}"))
    })?;
    if ended.success() {
        return Ok(());
    }
    Err(Failure::new(FAILED, "building cygnetd failed; cargo says why above"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_are_found_and_complete() {
        let found = examples(None).unwrap();
        assert!(found.root.ends_with("examples/road-warrior"));
        assert_eq!(
            examples(Some(Path::new("/nonexistent"))).err().map(|failure| failure.code),
            Some(NOT_HERE)
        );
    }
}
