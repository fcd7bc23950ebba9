//! Packets through the tunnel: pings, and a bulk transfer over TCP. No other program is needed for either.
use super::stage::{self, Stage};
use crate::exit::{FAILED, Failure};
use crate::view::IkeSa;
use linux::netns::Namespace;
use linux::ping::Pinger;
use serde::Serialize;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// How ten pings went.
#[derive(Debug, Serialize)]
pub(super) struct Ping {
    host: IpAddr,
    sent: u32,
    received: u32,
    min_us: u128,
    average_us: u128,
    max_us: u128,
}

impl std::fmt::Display for Ping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sent, received, .. } = self;
        let [min, average, max] = [self.min_us, self.average_us, self.max_us].map(|us| us as f64 / 1000.0);
        write!(f, "{received} of {sent} answered, {min:.2}/{average:.2}/{max:.2} ms")
    }
}

/// How the transfer went.
#[derive(Debug, Serialize)]
pub(super) struct Transfer {
    bytes: u64,
    seconds: f64,
    mbit_per_second: f64,
}

impl std::fmt::Display for Transfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = crate::out::size(self.bytes);
        write!(f, "{size} in {:.2} s: {:.0} Mbit/s", self.seconds, self.mbit_per_second)
    }
}

fn failed(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::new(FAILED, format_args!("{what}: {error}"))
}

/// Whether a host answers a ping within this time.
pub(super) fn reachable(from: &Namespace, host: IpAddr, within: Duration) -> Result<bool, Failure> {
    from.run(|| {
        let mut pinger = Pinger::open(host).map_err(|error| failed("ping", error))?;
        let deadline = Instant::now() + within;
        let mut sequence = 0_u16;
        while Instant::now() < deadline {
            sequence = sequence.wrapping_add(1);
            // No route is as good as no answer, only sooner.
            match pinger.ping(sequence, Duration::from_millis(100)) {
                Ok(Some(_)) => return Ok(true),
                Ok(None) => {}
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        Ok(false)
    })
    .map_err(|error| failed("ping", error))?
}

/// Pings a host, one after the other.
pub(super) fn ping(from: &Namespace, host: IpAddr, times: u16) -> Result<Ping, Failure> {
    let took = from
        .run(|| -> Result<Vec<Duration>, Failure> {
            let mut pinger = Pinger::open(host).map_err(|error| failed("ping", error))?;
            let mut took = Vec::new();
            for sequence in 1..=times {
                let answer = pinger
                    .ping(sequence, Duration::from_secs(1))
                    .map_err(|error| failed(&format!("pinging {host}"), error))?;
                took.extend(answer);
            }
            Ok(took)
        })
        .map_err(|error| failed("ping", error))??;
    let us: Vec<u128> = took.iter().map(Duration::as_micros).collect();
    let (Some(min), Some(max)) = (us.iter().min(), us.iter().max()) else {
        return Err(Failure::new(
            FAILED,
            format_args!("{host} did not answer any of {times} pings through the tunnel"),
        ));
    };
    Ok(Ping {
        host,
        sent: u32::from(times),
        received: us.len() as u32,
        min_us: *min,
        average_us: us.iter().sum::<u128>() / us.len() as u128,
        max_us: *max,
    })
}

/// Sends from the office to the client for some time; counts what arrives.
pub(super) fn transfer(stage: &Stage, sa: &IkeSa, time: Duration) -> Result<Transfer, Failure> {
    let port = 5201;
    let listener = stage
        .office
        .run(|| TcpListener::bind(SocketAddr::new(stage::OFFICE_V4, port)))
        .map_err(|error| failed("listening in the office", error))?
        .map_err(|error| failed("listening in the office", error))?;
    let to = SocketAddr::new(stage::OFFICE_V4, port);
    // The sender serves until its peer goes away; it ends by itself also when nobody comes.
    let sender = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        let block = vec![0x55; 256 * 1024];
        while stream.write_all(&block).is_ok() {}
        Ok(())
    });
    let mut stream = stage
        .client
        .run(|| TcpStream::connect_timeout(&to, Duration::from_secs(10)))
        .map_err(|error| failed("connecting to the office", error))?
        .map_err(|error| failed("connecting to the office through the tunnel", error))?;
    let local = stream.local_addr().map_err(|error| failed("transfer", error))?;
    if !sa.local.virtual_ips.iter().any(|vip| vip.parse() == Ok(local.ip())) {
        let text = format!("the connection left from {}, not from a virtual address", local.ip());
        return Err(Failure::new(FAILED, text));
    }
    stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(|error| failed("transfer", error))?;
    let mut buffer = vec![0; 256 * 1024];
    let (started, mut bytes) = (Instant::now(), 0_u64);
    while started.elapsed() < time {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(Failure::new(FAILED, "the transfer ended early")),
            Ok(count) => bytes += count as u64,
            Err(error) => return Err(failed("the transfer stalled", error)),
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    drop(stream);
    drop(sender.join());
    Ok(Transfer { bytes, seconds, mbit_per_second: bytes as f64 * 8.0 / seconds / 1e6 })
}
