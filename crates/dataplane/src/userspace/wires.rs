//! Where sealed packets leave: UDP sockets (ESP in UDP) and raw sockets (protocol 50), and what fits through.
use super::counters::Counters;
use esp::Path;
use linux::message::{Outgoing, TOGETHER};
use linux::raw::RawSocket;
use linux::udp::{PathMtu, UdpSocket};
use linux::wait;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// How often a full socket buffer is waited for, and how long (milliseconds). Then packets are lost, as on a
/// congested line.
const PATIENCE: (usize, u16) = (3, 10);
/// Milliseconds a path MTU is believed before the kernel is asked again.
const BELIEVED: u64 = 2000;
/// Paths remembered.
const PATHS: usize = 1024;
/// What is assumed of a path the kernel says nothing about.
const ETHERNET: u16 = 1500;

/// ESP packets of one path, one after the other, to be sent at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load<'a> {
    pub(super) path: Path,
    /// Outer DSCP and ECN.
    pub(super) class: u8,
    /// Bytes of each packet; the last may be shorter.
    pub(super) segment: usize,
    pub(super) data: &'a [u8],
}

impl<'a> Load<'a> {
    fn outgoing(&self) -> Outgoing<'a> {
        Outgoing {
            to: self.path.remote,
            from: Some(self.path.local.ip()),
            tos: Some(self.class),
            segment: u16::try_from(self.segment).ok(),
            data: self.data,
        }
    }
}

/// The sockets one lane sends by.
#[derive(Debug, Clone)]
pub(super) struct Wires {
    pub(super) udp: Vec<Arc<UdpSocket>>,
    pub(super) raw: Vec<Arc<RawSocket>>,
    pub(super) counters: Arc<Counters>,
}

impl Wires {
    /// There is a way for packets on this path; else the kind that is missing.
    pub(super) fn can(&self, path: &Path) -> Result<(), &'static str> {
        if path.encap {
            self.udp(path).map(drop).ok_or("ESP in UDP without a socket of that family")
        } else {
            self.raw(path).map(drop).ok_or("ESP without UDP (raw_esp is off, or the family is missing)")
        }
    }

    /// The socket bound to the path's own port, or any of its family.
    fn udp(&self, path: &Path) -> Option<&Arc<UdpSocket>> {
        let family = |s: &&Arc<UdpSocket>| s.local().is_ipv6() == path.remote.is_ipv6();
        self.udp
            .iter()
            .filter(family)
            .find(|s| s.local().port() == path.local.port())
            .or_else(|| self.udp.iter().find(family))
    }

    fn raw(&self, path: &Path) -> Option<&Arc<RawSocket>> {
        self.raw.iter().find(|s| s.is_v6() == path.remote.is_ipv6())
    }

    /// Sends all in order, what leaves by one socket by one call.
    pub(super) fn send_all(&self, loads: &[Load<'_>]) {
        let mut rest = loads;
        while let Some((first, more)) = rest.split_first() {
            let socket_of = |load: &Load<'_>| self.udp(&load.path).filter(|_| load.path.encap);
            let socket = socket_of(first);
            let with = |load: &&Load<'_>| {
                socket.zip(socket_of(load)).is_some_and(|(socket, other)| Arc::ptr_eq(socket, other))
            };
            let together = rest.iter().take(TOGETHER).take_while(with).count();
            let sent = match socket {
                Some(socket) if together > 1 => {
                    let mut all = [first.outgoing(); TOGETHER];
                    all.iter_mut().zip(rest).for_each(|(to, load)| *to = load.outgoing());
                    socket.send_all(all.get(..together).unwrap_or_default())
                }
                _ => 0,
            };
            rest = if sent > 0 {
                rest.get(sent..).unwrap_or_default()
            } else {
                self.send(first);
                more
            };
        }
    }

    fn send(&self, load: &Load<'_>) {
        let (path, out) = (&load.path, load.outgoing());
        let sent = if path.encap {
            self.udp(path).map(|s| patient(s.as_fd(), || s.send(&out)))
        } else {
            self.raw(path).map(|s| patient(s.as_fd(), || s.send(&out)))
        };
        if !matches!(sent, Some(Ok(()))) {
            self.counters.send_failed.add(1);
        }
    }
}

/// Tries again when the buffer was full.
fn patient(socket: BorrowedFd<'_>, mut send: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    for _ in 0..PATIENCE.0 {
        match send() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                wait::writable(&[socket], Some(PATIENCE.1))?;
            }
            result => return result,
        }
    }
    send()
}

/// What the kernel knows about paths, asked now and then. One per lane.
#[derive(Debug)]
pub(super) struct PathMtus {
    mark: Option<u32>,
    known: BTreeMap<IpAddr, Known>,
}

#[derive(Debug)]
struct Known {
    probe: Option<PathMtu>,
    mtu: u16,
    asked: u64,
}

impl PathMtus {
    pub(super) fn new(mark: Option<u32>) -> Self {
        Self { mark, known: BTreeMap::new() }
    }

    /// Bytes of the biggest outer packet to `remote`.
    pub(super) fn get(&mut self, remote: IpAddr, now: u64) -> usize {
        if self.known.len() >= PATHS && !self.known.contains_key(&remote) {
            self.known.clear();
        }
        let mark = self.mark;
        let known =
            self.known.entry(remote).or_insert_with(|| Known { probe: None, mtu: ETHERNET, asked: 0 });
        if known.asked == 0 || now.saturating_sub(known.asked) > BELIEVED {
            known.asked = now.max(1);
            if known.probe.is_none() {
                known.probe = PathMtu::to(remote, mark).ok();
            }
            match known.probe.as_ref().map(PathMtu::get) {
                Some(Ok(mtu)) if mtu > 0 => known.mtu = mtu,
                // the route is gone or another: open anew next time
                Some(_) => known.probe = None,
                None => {}
            }
        }
        known.mtu.into()
    }
}
