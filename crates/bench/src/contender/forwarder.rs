//! Any program that carries packets between a TUN device and a peer, without IKE: `COMMAND … DEV … LOCAL … REMOTE …`,
//! the three words put in place of themselves.
use super::{Contender, Tunnel, locate};
use crate::nursery::{Nursery, Process, scratch};
use crate::stage::{FAR, FAR_INNER, NEAR, NEAR_INNER, Stage};
use anyhow::Result;
use linux::netlink::Netlink;
use linux::netns::Namespace;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const DEVICE: &str = "fwd0";
const PORT: u16 = 4600;
/// As other tunnels have, so that its outer packets fit the cable.
const MTU: u32 = 1420;

/// Program, version, the other words.
pub(super) fn find(told: Option<&str>) -> Result<(PathBuf, String, Vec<String>), String> {
    let Some(told) = told else {
        return Err("none was given; --forwarder 'COMMAND DEV LOCAL REMOTE' measures one".to_owned());
    };
    let mut words = told.split_ascii_whitespace().map(str::to_owned);
    let program = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    for place in ["DEV", "LOCAL", "REMOTE"] {
        if !words.iter().any(|word| word == place) {
            return Err(format!("--forwarder '{told}': the word {place} is missing"));
        }
    }
    let program = match program.contains('/') {
        true => locate(Some(Path::new(&program)), &program, "--forwarder")?,
        false => locate(None, &program, "--forwarder")?,
    };
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let version = format!("{name} {}", words.join(" "));
    Ok((program, version, words))
}

pub(super) fn raise(contender: &Contender, stage: Stage, nursery: &Nursery) -> Result<Tunnel> {
    let near = start(contender, &stage.near, NEAR, FAR, "near", nursery)?;
    let far = start(contender, &stage.far, FAR, NEAR, "far", nursery)?;
    for place in [&stage.near, &stage.far] {
        place.run(|| {
            let mut netlink = Netlink::open()?;
            let index = netlink.link_index(DEVICE)?;
            netlink.set_mtu(index, MTU)
        })??;
    }
    stage.near.configure(DEVICE, format!("{NEAR_INNER}/24").parse()?)?;
    stage.far.configure(DEVICE, format!("{FAR_INNER}/24").parse()?)?;
    Ok(Tunnel { stage, to: FAR_INNER, ends: vec![near, far] })
}

fn start(
    contender: &Contender,
    place: &Namespace,
    local: IpAddr,
    remote: IpAddr,
    end: &str,
    nursery: &Nursery,
) -> Result<Process> {
    let mut command = Command::new(&contender.program);
    for word in &contender.words {
        match word.as_str() {
            "DEV" => command.arg(DEVICE),
            "LOCAL" => command.arg(SocketAddr::new(local, PORT).to_string()),
            "REMOTE" => command.arg(SocketAddr::new(remote, PORT).to_string()),
            other => command.arg(other),
        };
    }
    let process = nursery.start(place, &format!("forwarder ({end})"), scratch()?, command, &[])?;
    process.wait_until("a TUN device", Duration::from_secs(10), || {
        place.run(|| Netlink::open().and_then(|mut n| n.link_index(DEVICE))).is_ok_and(|found| found.is_ok())
    })?;
    Ok(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_must_say_where_its_words_go() {
        assert!(find(None).unwrap_err().contains("--forwarder"));
        assert!(find(Some("sh DEV LOCAL")).unwrap_err().contains("REMOTE is missing"));
        assert!(find(Some("/nonexistent/program DEV LOCAL REMOTE")).unwrap_err().contains("no such file"));
        let (program, version, words) = find(Some("sh tun DEV LOCAL REMOTE gso")).unwrap();
        assert!(program.ends_with("sh"));
        assert_eq!(version, "sh tun DEV LOCAL REMOTE gso");
        assert_eq!(words, ["tun", "DEV", "LOCAL", "REMOTE", "gso"]);
    }
}
