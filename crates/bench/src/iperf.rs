//! `iperf3`: a TCP stream or several, and what the receiver saw.
use crate::nursery::{Nursery, Process, scratch};
use anyhow::{Context as _, Result, bail};
use linux::netns::Namespace;
use serde::Deserialize;
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

const PORT: u16 = 5201;

/// What the receiver saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Transfer {
    pub(crate) bytes: f64,
    pub(crate) bits_per_second: f64,
}

/// Starts a server that serves until dropped.
pub(crate) fn serve(nursery: &Nursery, place: &Namespace) -> Result<Process> {
    let mut command = Command::new("iperf3");
    command.args(["-s", "-p", &PORT.to_string()]);
    let server = nursery.start(place, "iperf3 -s", scratch()?, command, &[])?;
    let pid = server.pid;
    server.wait_until("an open port", Duration::from_secs(10), || listens(pid))?;
    Ok(server)
}

/// Whether anything in the namespace of a process listens on our port.
fn listens(pid: u32) -> bool {
    ["tcp", "tcp6"].iter().any(|table| {
        std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).is_ok_and(|text| listens_in(&text, PORT))
    })
}

/// In the kernel's table a line's second field is the local address, its fourth the state, 0A when listening.
fn listens_in(table: &str, port: u16) -> bool {
    let port = format!(":{port:04X}");
    table.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, state) = (fields.next(), fields.nth(1));
        local.is_some_and(|local| local.ends_with(&port)) && state == Some("0A")
    })
}

/// Sends to a server for so many seconds by so many streams, at most at `limit` bits per second in all where given.
pub(crate) fn send(
    nursery: &Nursery,
    place: &Namespace,
    to: IpAddr,
    streams: u32,
    seconds: u32,
    limit: Option<u64>,
) -> Result<Transfer> {
    let mut command = Command::new("iperf3");
    command.args(["-c", &to.to_string(), "-p", &PORT.to_string(), "-J"]);
    command.args(["-t", &seconds.to_string(), "-P", &streams.to_string()]);
    if let Some(limit) = limit {
        command.args(["-b", &(limit / u64::from(streams.max(1))).to_string()]);
    }
    let patience = Duration::from_secs(u64::from(seconds) + 20);
    let said = nursery.run(place, "iperf3", command, patience)?;
    parse(&said)
}

#[derive(Deserialize)]
struct Report {
    error: Option<String>,
    end: Option<End>,
}

#[derive(Deserialize)]
struct End {
    sum_received: Option<Sum>,
}

#[derive(Deserialize)]
struct Sum {
    bytes: f64,
    bits_per_second: f64,
}

fn parse(text: &str) -> Result<Transfer> {
    let report: Report = serde_json::from_str(text).context("iperf3's report")?;
    if let Some(error) = report.error {
        bail!("iperf3: {error}");
    }
    let sum =
        report.end.and_then(|end| end.sum_received).context("iperf3's report has no end.sum_received")?;
    if sum.bytes <= 0.0 {
        bail!("iperf3: nothing was received");
    }
    Ok(Transfer { bytes: sum.bytes, bits_per_second: sum.bits_per_second })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_receiver_saw_is_taken() {
        let text = r#"{"start":{"version":"iperf 3.12"},"intervals":[],"end":{"streams":[],
            "sum_sent":{"start":0,"end":2.0,"seconds":2.0,"bytes":1100,"bits_per_second":4400.5,"retransmits":3},
            "sum_received":{"start":0,"end":2.01,"seconds":2.01,"bytes":1000,"bits_per_second":3980.1,"sender":true},
            "cpu_utilization_percent":{"host_total":50.1}}}"#;
        assert_eq!(parse(text).unwrap(), Transfer { bytes: 1000.0, bits_per_second: 3980.1 });
    }

    #[test]
    fn its_errors_are_ours() {
        let said = |text: &str| format!("{:#}", parse(text).unwrap_err());
        assert!(
            said(r#"{"start":{},"end":{},"error":"unable to connect to server"}"#)
                .contains("unable to connect")
        );
        assert!(said(r#"{"end":{}}"#).contains("sum_received"));
        assert!(
            said(r#"{"end":{"sum_received":{"bytes":0,"bits_per_second":0}}}"#)
                .contains("nothing was received")
        );
        assert!(said("iperf3: command not found").contains("report"));
    }

    #[test]
    fn the_table_of_sockets_shows_who_listens() {
        let table = "  sl  local_address rem_address   st tx_queue\n   0: 0100007F:1451 00000000:0000 0A 00000000:00000000\n   1: 0100007F:0016 0100007F:1451 01 0:0\n";
        assert!(listens_in(table, 5201));
        assert!(!listens_in(table, 22));
        assert!(!listens_in(table, 5202));
    }
}
