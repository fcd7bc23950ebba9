//! wireguard-go and boringtun: both are told keys and peers over the same socket of text lines.
use super::{Contender, Kind, Tunnel, first_line, locate};
use crate::nursery::{Nursery, Process, scratch};
use crate::stage::{FAR, FAR_INNER, NEAR, NEAR_INNER, Stage};
use anyhow::{Context as _, Result, bail};
use linux::netns::Namespace;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const DEVICE: &str = "wg0";
const PORT: u16 = 51820;

/// Keys made for this bench and for nothing else: private, public.
const NEAR_KEYS: [&str; 2] = [
    "b0a4bfcfc02cafc28fbd55120f1100624e266b9d2d4b2473b4e1588adeb1324c",
    "0bf325ba490252c22ea2a0d156d5fb4e2426e1b2acab28d685aad2f188980c3d",
];
const FAR_KEYS: [&str; 2] = [
    "3073e850af757ef841afee7f4cbf32f4259f341cdcc24c5ab2fc57f90ed41254",
    "d2f2a60ecdbfdb355a61c84a91e0253114222048191a15032c194e9b8349cb5d",
];

pub(super) fn find(told: Option<&Path>, name: &str) -> Result<(PathBuf, String), String> {
    let option = if name == "wireguard-go" { "--wireguard-go FILE" } else { "--boringtun FILE" };
    let program = locate(told, name, option)?;
    let version = first_line(&program, &["--version"]);
    Ok((program, version))
}

pub(super) fn raise(contender: &Contender, stage: Stage, nursery: &Nursery) -> Result<Tunnel> {
    let near = start(contender, &stage.near, "near", nursery)?;
    let far = start(contender, &stage.far, "far", nursery)?;
    configure(&near, NEAR_KEYS, FAR_KEYS, FAR, FAR_INNER)?;
    configure(&far, FAR_KEYS, NEAR_KEYS, NEAR, NEAR_INNER)?;
    stage.near.configure(DEVICE, format!("{NEAR_INNER}/24").parse()?)?;
    stage.far.configure(DEVICE, format!("{FAR_INNER}/24").parse()?)?;
    Ok(Tunnel { stage, to: FAR_INNER, ends: vec![near, far] })
}

fn start(contender: &Contender, place: &Namespace, end: &str, nursery: &Nursery) -> Result<Process> {
    let mut command = Command::new(&contender.program);
    match contender.kind {
        Kind::Boringtun => command.args(["--foreground", "--disable-drop-privileges", DEVICE]),
        _ => command.args(["-f", DEVICE]).env("LOG_LEVEL", "error"),
    };
    let name = format!("{} ({end})", contender.kind.name());
    // both ends have a device and a socket of the same name
    let run = std::fs::canonicalize("/var/run").unwrap_or_else(|_| PathBuf::from("/run"));
    let process = nursery.start(place, &name, scratch()?, command, &[&run])?;
    process.wait_until("a control socket", Duration::from_secs(10), || connect(process.pid).is_ok())?;
    Ok(process)
}

fn connect(pid: u32) -> std::io::Result<UnixStream> {
    let run = std::fs::canonicalize("/var/run")?;
    let run = run.strip_prefix("/").unwrap_or(&run).to_owned();
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    UnixStream::connect(root.join(run).join(format!("wireguard/{DEVICE}.sock")))
}

/// Sets keys, port and the peer.
fn configure(
    process: &Process,
    ours: [&str; 2],
    theirs: [&str; 2],
    endpoint: IpAddr,
    inner: IpAddr,
) -> Result<()> {
    let ([private, _], [_, public]) = (ours, theirs);
    let mut text = String::new();
    write!(
        text,
        "set=1\nprivate_key={private}\nlisten_port={PORT}\nreplace_peers=true\npublic_key={public}\n\
         endpoint={endpoint}:{PORT}\nreplace_allowed_ips=true\nallowed_ip={inner}/32\n\n"
    )?;
    let mut stream = connect(process.pid)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(text.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).with_context(|| format!("{} answers", process.name))?;
    if answer.trim() != "errno=0" {
        bail!("{} refused its configuration: {}", process.name, answer.trim());
    }
    Ok(())
}
