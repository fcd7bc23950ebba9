//! The packet path does not allocate: counted, not believed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "sample/sample.rs"]
mod sample;

use esp::{Flow, HEADROOM, InSa, OutSa, Packet, Sad, Spd, Target};
use policy::Mode;
use std::sync::Arc;
use wire::ip::IpView;

#[test]
fn no_packet_allocates() {
    for suite in sample::SUITES {
        for mode in [Mode::Tunnel, Mode::Transport] {
            let (a, b) = sample::pair(*suite, mode, |_| {});
            let (spd, sad) = (Spd::default(), Sad::default());
            spd.insert(1, 0, &a.local_ts, &a.remote_ts, &Target::Protect(Arc::new(OutSa::new(&a).unwrap())));
            assert!(sad.insert(Arc::new(InSa::new(&b).unwrap())));
            let inner = sample::udp("192.0.2.1", "192.0.2.2", 1000);
            let mut memory = vec![0u8; 4096];
            let mut once = || {
                memory[HEADROOM..HEADROOM + inner.len()].copy_from_slice(&inner);
                let view = IpView::parse(&inner).unwrap();
                let mut packet = Packet::new(&mut memory, HEADROOM..HEADROOM + inner.len()).unwrap();
                spd.lookup(&Flow::outbound(&view), |target| match target {
                    Target::Protect(sa) => sa.try_turn().unwrap().seal(&mut packet, &view, 1, 1400).unwrap(),
                    other => panic!("{other:?}"),
                })
                .unwrap();
                let sa = sad.get(b.spi_in).unwrap();
                sa.open(&mut packet, b.remote, 0, 2).unwrap();
            };
            once();
            let counted = allocation_counter::measure(|| (0..100).for_each(|_| once()));
            assert_eq!(counted.count_total, 0, "{suite:?} {mode:?}");
        }
    }
}
