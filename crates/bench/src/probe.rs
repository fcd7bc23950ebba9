//! How long a packet takes there and back: echo requests on an idle path, and small datagrams that a host at the other
//! end returns while the path is loaded.
use anyhow::{Context as _, Result};
use linux::netns::Namespace;
use linux::ping::Pinger;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const PORT: u16 = 5303;
/// Between two probes.
const INTERVAL: Duration = Duration::from_millis(1);
/// A probe that is not back after this is lost.
const LATE: Duration = Duration::from_secs(1);

/// Whether a host answers a ping within this time.
pub(crate) fn reachable(from: &Namespace, host: IpAddr, within: Duration) -> Result<bool> {
    from.run(|| {
        let mut pinger = Pinger::open(host)?;
        let deadline = Instant::now() + within;
        let mut sequence = 0_u16;
        while Instant::now() < deadline {
            sequence = sequence.wrapping_add(1);
            // no route yet is as good as no answer
            match pinger.ping(sequence, Duration::from_millis(100)) {
                Ok(Some(_)) => return Ok(true),
                Ok(None) => {}
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        Ok(false)
    })?
}

/// Pings a host ten times per second; the times there and back, seconds.
pub(crate) fn pings(from: &Namespace, host: IpAddr, times: u16) -> Result<Vec<f64>> {
    from.run(|| -> Result<Vec<f64>> {
        let mut pinger = Pinger::open(host)?;
        let mut took = Vec::new();
        for sequence in 1..=times {
            let begun = Instant::now();
            if let Some(time) = pinger.ping(sequence, LATE)? {
                took.push(time.as_secs_f64());
            }
            std::thread::sleep(Duration::from_millis(100).saturating_sub(begun.elapsed()));
        }
        anyhow::ensure!(!took.is_empty(), "{host} answered none of {times} pings");
        Ok(took)
    })?
}

/// How the probes of a loaded path went.
pub(crate) struct Probes {
    /// Times there and back of those that returned, seconds.
    pub(crate) took: Vec<f64>,
    /// Sent.
    pub(crate) sent: usize,
}

/// Sends a probe each millisecond while `load` runs; the load's result, too.
pub(crate) fn while_loaded<T: Send>(
    near: &Namespace,
    far: &Namespace,
    to: IpAddr,
    load: impl FnOnce() -> Result<T> + Send,
) -> Result<(T, Probes)> {
    let to = SocketAddr::new(to, PORT);
    let over = AtomicBool::new(false);
    let (bound, ready) = mpsc::channel();
    std::thread::scope(|scope| {
        let echo = scope.spawn(|| far.run(|| echo(to, &bound, &over)));
        let over = &over;
        let probing = scope.spawn(move || -> Result<Probes> {
            ready.recv_timeout(Duration::from_secs(10)).ok().context("the echo did not open its socket")?;
            near.run(|| probe(to, over))?
        });
        let loaded = load();
        over.store(true, Ordering::Release);
        let panicked = |_| anyhow::anyhow!("a prober panicked");
        let probes = probing.join().map_err(panicked)?;
        echo.join().map_err(panicked)???;
        Ok((loaded?, probes?))
    })
}

fn echo(at: SocketAddr, bound: &mpsc::Sender<()>, over: &AtomicBool) -> Result<()> {
    let socket = UdpSocket::bind(at).with_context(|| format!("binding UDP {at}"))?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let _ = bound.send(());
    let mut buffer = [0; 64];
    let mut last = Instant::now();
    // those on their way when all is over are answered, too
    while !over.load(Ordering::Acquire) || last.elapsed() < LATE {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            drop(socket.send_to(buffer.get(..length).unwrap_or_default(), from));
            last = Instant::now();
        }
    }
    Ok(())
}

fn probe(to: SocketAddr, over: &AtomicBool) -> Result<Probes> {
    let socket = UdpSocket::bind("0.0.0.0:0").context("a socket for probes")?;
    socket.connect(to)?;
    let base = Instant::now();
    let listening = socket.try_clone()?;
    std::thread::scope(|scope| {
        let listener = scope.spawn(move || listen(&listening, base, over));
        let mut sent = 0_usize;
        let mut next = base;
        while !over.load(Ordering::Acquire) {
            let stamp = u64::try_from(base.elapsed().as_nanos()).unwrap_or(u64::MAX).to_be_bytes();
            // a full queue loses the probe, as it would lose any packet
            if socket.send(&stamp).is_ok() {
                sent += 1;
            }
            next += INTERVAL;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let took = listener.join().map_err(|_| anyhow::anyhow!("the listener panicked"))??;
        Ok(Probes { took, sent })
    })
}

fn listen(socket: &UdpSocket, base: Instant, over: &AtomicBool) -> Result<Vec<f64>> {
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let mut took = Vec::new();
    let mut buffer = [0; 64];
    let mut last = Instant::now();
    while !over.load(Ordering::Acquire) || last.elapsed() < LATE {
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        let now = base.elapsed();
        last = Instant::now();
        let Some(stamp) = buffer.get(..length).and_then(|b| <[u8; 8]>::try_from(b).ok()) else { continue };
        let time = now.saturating_sub(Duration::from_nanos(u64::from_be_bytes(stamp)));
        if time <= LATE {
            took.push(time.as_secs_f64());
        }
    }
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_return_over_the_loopback() {
        let here = Namespace::current().unwrap();
        let host = "127.0.0.1".parse().unwrap();
        let ((), probes) = while_loaded(&here, &here, host, || {
            std::thread::sleep(Duration::from_millis(50));
            Ok(())
        })
        .unwrap();
        assert!(probes.sent > 0);
        assert!(!probes.took.is_empty() && probes.took.len() <= probes.sent);
        assert!(probes.took.iter().all(|time| (0.0..=1.0).contains(time)));
    }
}
