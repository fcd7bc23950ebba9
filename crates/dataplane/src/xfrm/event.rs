//! What the kernel says, on a thread of its own, as [`Notice`]s.
use crate::Notice;
use linux::wait::{Waker, readable};
use linux::xfrm::{Selector as Kernel, XfrmEvent, XfrmEvents};
use policy::Selector;
use policy::selector::ANY_PORT;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::Sender;

/// Whom an event is about.
#[derive(Debug, Default)]
pub(super) struct Whose {
    /// CHILD_SA by outer destination and SPI of either of its SAs.
    pub(super) children: BTreeMap<(IpAddr, u32), u32>,
    /// Trap by reqid.
    pub(super) traps: BTreeMap<u32, u32>,
}

/// What the thread and its owner share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    whose: Mutex<Whose>,
    stop: AtomicBool,
}

impl Shared {
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Whose) -> T) -> T {
        work(&mut self.whose.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn stop(&self, waker: &Waker) {
        self.stop.store(true, Ordering::Relaxed);
        waker.wake();
    }

    fn notice(&self, event: &XfrmEvent) -> Option<Notice> {
        match event {
            XfrmEvent::Acquire { reqid, packet } => {
                let trap = self.with(|whose| whose.traps.get(reqid).copied())?;
                Some(Notice::Acquire { trap, packet: Some(selectors(packet)) })
            }
            XfrmEvent::Expire { destination, spi, hard } => {
                let child = self.with(|whose| whose.children.get(&(*destination, *spi)).copied())?;
                Some(Notice::Expire { child, hard: *hard })
            }
            XfrmEvent::Mapping { destination, spi, remote } => {
                let child = self.with(|whose| whose.children.get(&(*destination, *spi)).copied())?;
                Some(Notice::Mapping { child, remote: *remote })
            }
            XfrmEvent::Lost => None,
        }
    }
}

/// Listens until told to stop.
pub(super) fn listen(mut events: XfrmEvents, shared: &Arc<Shared>, waker: &Waker, notices: &Sender<Notice>) {
    while !shared.stop.load(Ordering::Relaxed) {
        match events.poll() {
            Ok(Some(event)) => {
                if event == XfrmEvent::Lost {
                    tracing::warn!("the kernel said more than was read; some of it is lost");
                }
                // A daemon that is that far behind has other troubles; the kernel says most things again.
                if let Some(notice) = shared.notice(&event)
                    && notices.try_send(notice).is_err()
                {
                    tracing::warn!("too busy for what the kernel says: {event:?}");
                }
            }
            Ok(None) => {
                if let Err(e) = readable(&[events.as_fd(), waker.as_fd()], None) {
                    tracing::error!("waiting for the kernel: {e}");
                    return;
                }
            }
            Err(e) => {
                tracing::error!("{e}; traps, limits and moved peers are not noticed any more");
                return;
            }
        }
    }
}

/// A packet as ours and the peer's selector.
fn selectors(packet: &Kernel) -> (Selector, Selector) {
    let icmp = packet.protocol == 1 || packet.protocol == 58;
    let port = |(value, mask): (u16, u16)| if mask == 0 { ANY_PORT } else { (value, value) };
    // Of ICMP the type, which is where a source port would be, with any code.
    let kind = match packet.source_port {
        (kind, mask) if icmp && mask != 0 && kind <= 0xff => (kind << 8, kind << 8 | 0xff),
        _ => ANY_PORT,
    };
    let one = |address: IpAddr, port| Selector::host(address).restricted(packet.protocol, port);
    (
        one(packet.source.addr(), if icmp { kind } else { port(packet.source_port) }),
        one(packet.destination.addr(), if icmp { kind } else { port(packet.destination_port) }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_find_their_child_and_strangers_none() {
        let shared = Shared::default();
        let end: IpAddr = "192.0.2.1".parse().unwrap();
        shared.with(|whose| whose.children.insert((end, 7), 3));
        shared.with(|whose| whose.traps.insert(4, 9));
        let expire = |spi| XfrmEvent::Expire { destination: end, spi, hard: true };
        assert_eq!(shared.notice(&expire(7)), Some(Notice::Expire { child: 3, hard: true }));
        assert_eq!(shared.notice(&expire(8)), None);
        let packet = Kernel {
            protocol: 17,
            source_port: (5000, 0xffff),
            destination_port: (53, 0xffff),
            ..Kernel::between("10.1.0.1/32".parse().unwrap(), "10.2.0.1/32".parse().unwrap())
        };
        let Some(Notice::Acquire { trap: 9, packet: Some((ours, theirs)) }) =
            shared.notice(&XfrmEvent::Acquire { reqid: 4, packet })
        else {
            panic!("no acquire")
        };
        assert_eq!(ours, Selector::host("10.1.0.1".parse().unwrap()).restricted(17, (5000, 5000)));
        assert_eq!(theirs, Selector::host("10.2.0.1".parse().unwrap()).restricted(17, (53, 53)));
        let echo = Kernel { protocol: 1, source_port: (8, 0xffff), destination_port: (0, 0xffff), ..packet };
        let shown = selectors(&echo);
        assert_eq!(
            (shown.0.to_string(), shown.1.to_string()),
            ("10.1.0.1/32[icmp/8]".into(), "10.2.0.1/32[icmp/8]".into())
        );
    }
}
