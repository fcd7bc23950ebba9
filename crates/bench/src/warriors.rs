//! `cygnet load-test`: our own clients by the thousand, which come as fast as they are answered.
use crate::contender::ike::{ESP, IKE, SECRET};
use crate::nursery::{Nursery, Process, scratch};
use crate::stage::FAR;
use anyhow::Result;
use linux::netns::Namespace;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Set-ups under way at once: enough that the responder never waits for the next, few enough that none waits long.
pub(crate) const AT_ONCE: usize = 100;
/// Set-ups begun per second at most: more than any responder answers.
const RATE: u32 = 100_000;

/// Starts to set up so many IKE_SAs, each with a CHILD_SA and a virtual address, and keeps them.
pub(crate) fn start(tool: &Path, place: &Namespace, count: usize, nursery: &Nursery) -> Result<Process> {
    let directory = scratch()?;
    let secret = directory.path().join("secret");
    fs::write(&secret, format!("{SECRET}\n"))?;
    let mut command = Command::new(tool);
    command.arg("load-test").arg(FAR.to_string());
    command.args(["--json", "--hold", "forever", "--threads", "1", "--remote-ts", "10.1.0.0/24"]);
    command.args(["--proposal", IKE, "--esp-proposal", ESP]);
    for (option, value) in [("--clients", count), ("--concurrent", AT_ONCE)] {
        command.arg(option).arg(value.to_string());
    }
    command.arg("--rate").arg(RATE.to_string());
    command.arg("--secret-file").arg(&secret);
    nursery.start(place, "cygnet load-test", directory, command, &[])
}
