//! Throughput of one TCP stream and of small datagrams through two data planes on this machine, both ends, the cable
//! and the sender sharing its processors: `cargo bench -p dataplane`. Needs root. Seconds per line: `BENCH_SECONDS=n`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a bench"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::cast_precision_loss, reason = "a bench")]

#[allow(dead_code, reason = "a bench reads no notices")]
#[path = "../tests/world/world.rs"]
mod world;

use dataplane::Backend;
use policy::Mode;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};
use wire::iana::{Encr, Integ};
use world::{Case, End, connect, ends};

fn tcp(a: &End, b: &End, time: Duration) -> f64 {
    let listener = b.ns.run(|| TcpListener::bind(SocketAddr::new(b.inner, 5201)).unwrap()).unwrap();
    let reading = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut buffer = vec![0u8; 1 << 18];
        let (mut total, mut start) = (0usize, Instant::now());
        while let Ok(n) = stream.read(&mut buffer) {
            if n == 0 {
                break;
            }
            if total == 0 {
                start = Instant::now();
            }
            total += n;
        }
        total as f64 * 8.0 / start.elapsed().as_secs_f64() / 1e9
    });
    let mut stream = a.ns.run(|| TcpStream::connect(SocketAddr::new(b.inner, 5201)).unwrap()).unwrap();
    let (start, data) = (Instant::now(), vec![7u8; 1 << 18]);
    while start.elapsed() < time {
        stream.write_all(&data).unwrap();
    }
    drop(stream);
    reading.join().unwrap()
}

/// Datagrams of `len` bytes per second that arrive, in millions.
fn datagrams(a: &End, b: &End, len: usize, time: Duration) -> f64 {
    let bind = |end: &End| end.ns.run(|| UdpSocket::bind(SocketAddr::new(end.inner, 5202)).unwrap()).unwrap();
    let (from, to) = (bind(a), bind(b));
    from.connect(SocketAddr::new(b.inner, 5202)).unwrap();
    to.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let reading = std::thread::spawn(move || {
        let mut buffer = [0u8; 2048];
        let (mut count, mut first, mut last) = (0u64, Instant::now(), Instant::now());
        while to.recv(&mut buffer).is_ok() {
            if count == 0 {
                first = Instant::now();
            }
            count += 1;
            last = Instant::now();
        }
        count as f64 / (last - first).as_secs_f64() / 1e6
    });
    let (start, data) = (Instant::now(), vec![7u8; len]);
    while start.elapsed() < time {
        for _ in 0..32 {
            let _full = from.send(&data);
        }
    }
    reading.join().unwrap()
}

fn main() {
    if std::env::args().any(|a| a == "--test" || a == "--list") {
        return;
    }
    let seconds = std::env::var("BENCH_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(3);
    let time = Duration::from_secs(seconds);
    let cbc = (Encr::AesCbc, 256, Integ::HmacSha256_128);
    let chacha = (Encr::ChaCha20Poly1305, 0, Integ::None);
    for (name, case) in [
        ("aes128gcm16 in UDP, 1 lane", Case::default()),
        ("aes128gcm16 in UDP, 2 lanes", Case { lanes: 2, ..Case::default() }),
        ("aes128gcm16 in UDP, v6 in v6", Case { inner6: true, outer6: true, ..Case::default() }),
        ("aes128gcm16 without UDP", Case { encap: false, ..Case::default() }),
        ("aes128gcm16 transport mode", Case { mode: Mode::Transport, ..Case::default() }),
        ("aes128gcm16, no offload", Case { offload: false, ..Case::default() }),
        ("aes256-sha256 in UDP", Case { encr: cbc, ..Case::default() }),
        ("chacha20poly1305 in UDP", Case { encr: chacha, ..Case::default() }),
    ] {
        let Some((mut a, mut b)) = ends(case) else { return };
        connect(case, &mut a, &mut b);
        let stream = tcp(&a, &b, time);
        let small = datagrams(&a, &b, 64, time);
        let dropped = b.plane.numbers();
        println!("{name:32} {stream:6.2} Gbit/s TCP   {small:6.3} M datagrams/s of 64 bytes   {dropped:?}");
        a.plane.remove(1, false).unwrap();
    }
}
