//! ESP packets sealed and opened, and the anti-replay window.
use crate::meter::Counts;
use crate::sample;
use esp::replay::Window;
use esp::{HEADROOM, InSa, OutSa, Packet};
use policy::Mode;
use std::hint::black_box;
use std::sync::Arc;
use wire::ip::IpView;

const TIMES: u32 = 64;

pub(crate) fn all(counts: &mut Counts) {
    for (name, at, len) in [
        ("aes128gcm16", 0, 64usize),
        ("aes128gcm16", 0, 1400),
        ("chacha20poly1305", 6, 64),
        ("chacha20poly1305", 6, 1400),
        ("aes256-sha256", 8, 1400),
    ] {
        both_ways(counts, name, at, len);
    }
    replay(counts);
}

fn both_ways(counts: &mut Counts, name: &str, at: usize, len: usize) {
    let (a, b) = sample::pair(sample::SUITES[at], Mode::Tunnel, |_| {});
    let (out, sa) = (Arc::new(OutSa::new(&a).unwrap()), InSa::new(&b).unwrap());
    let mut turn = out.try_turn().unwrap();
    let inner = sample::udp("10.0.0.1", "10.0.0.2", len - 28);
    let view = IpView::parse(&inner).unwrap();
    let mut memory = vec![0u8; 2048];
    let mut sealed = Vec::new();
    let mut seal = |now: u64, meter: Option<&mut crate::meter::Meter>| {
        memory[HEADROOM..HEADROOM + len].copy_from_slice(&inner);
        let mut packet = Packet::new(&mut memory, HEADROOM..HEADROOM + len).unwrap();
        let mut work = || turn.seal(&mut packet, &view, now, 1400).unwrap();
        match meter {
            Some(meter) => meter.count(work),
            None => work(),
        };
        sealed.push(packet.bytes().to_vec());
    };
    // The first packet of an SA does things once.
    seal(1, None);
    counts.bench(&format!("esp/seal/{name}/{len}"), TIMES, |meter| {
        (0..TIMES).for_each(|_| seal(1, Some(&mut *meter)));
    });
    (0..TIMES).for_each(|_| seal(1, None));
    let mut sealed = sealed.into_iter();
    let mut open = |meter: Option<&mut crate::meter::Meter>| {
        let mut memory = [vec![0u8; HEADROOM], sealed.next().unwrap()].concat();
        let end = memory.len();
        let mut packet = Packet::new(&mut memory, HEADROOM..end).unwrap();
        let mut work = || sa.open(&mut packet, b.remote, 0, 1).unwrap();
        match meter {
            Some(meter) => meter.count(work),
            None => work(),
        };
        assert_eq!(packet.bytes(), inner);
    };
    open(None);
    counts.bench(&format!("esp/open/{name}/{len}"), TIMES, |meter| {
        (0..TIMES).for_each(|_| open(Some(&mut *meter)));
    });
}

/// As a packet meets it: the whole number is inferred, looked up, and noted.
fn replay(counts: &mut Counts) {
    let mut window = Window::new(1024, true);
    let mut pass = |low: u32| {
        let seq = window.infer(low);
        assert!(window.fresh(seq) && window.accept(seq));
    };
    counts.bench("esp/replay/in order", 4096, |meter| {
        meter.count(|| (1..=4096).for_each(|low| pass(black_box(low))));
    });
    counts.bench("esp/replay/pairs swapped", 4096, |meter| {
        meter.count(|| (0..4096u32).for_each(|n| pass(black_box(4097 + (n ^ 1)))));
    });
}
