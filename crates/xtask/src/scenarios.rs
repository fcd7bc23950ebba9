//! A peer's regression scenarios with our daemon in its place.
use anyhow::{Result, bail};

/// Runs `$CYGNET_SCENARIOS/run --suite $CYGNET_SUITE --daemon-all tests/scenarios/adapter …`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let (Ok(runner), Ok(suite)) = (std::env::var("CYGNET_SCENARIOS"), std::env::var("CYGNET_SUITE")) else {
        bail!(
            "set CYGNET_SCENARIOS to the folder of the scenario runner and CYGNET_SUITE to a checkout that has \
             the suite; see tests/scenarios/README.md"
        );
    };
    crate::run::run("cargo", &["build", "--release", "-p", "daemon", "-p", "cli"])?;
    let root = crate::run::root();
    let adapter = root.join("tests/scenarios/adapter").display().to_string();
    let mut all = vec!["--suite", &suite, "--ref", "debian", "--backend", "libipsec"];
    if !args.iter().any(|a| a.starts_with("--daemon")) {
        all.extend(["--daemon-all", &adapter]);
    }
    all.extend(args.iter().map(String::as_str));
    crate::run::run(&format!("{runner}/run"), &all)
}
