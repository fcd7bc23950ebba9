//! The TUN device: IP packets with a virtio header, so that the kernel hands over and takes whole TCP and UDP
//! streams uncut (TSO, USO).
//!
//! Cutting and joining is arithmetic on bytes and belongs to the data plane; here is only the device.

use crate::netlink::Netlink;
use crate::{Attempt, Result};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// Bytes of `virtio_net_hdr` before every packet of a device with offloads.
pub const VIRTIO_HEADER: usize = 10;

/// Packets that wait for us in each queue: as many as come in the time that a scheduler of 250 Hz lets others compute
/// before us, 4 ms, at half a million per second.
const QUEUE: u32 = 2000;

/// How a device is made.
#[derive(Debug, Clone)]
pub struct TunOptions {
    /// Name, at most 15 bytes; `%d` in it is replaced by a number.
    pub name: String,
    /// MTU.
    pub mtu: u32,
    /// Queues, at least 1; more than one makes the device multi-queue.
    pub queues: usize,
    /// Exchange uncut streams.
    pub offload: bool,
}

impl Default for TunOptions {
    fn default() -> Self {
        Self { name: "ipsec0".to_owned(), mtu: 1400, queues: 1, offload: true }
    }
}

/// A device with its queues; it goes when the last queue is dropped.
#[derive(Debug)]
pub struct Tun {
    /// Name the kernel gave.
    pub name: String,
    /// Interface index.
    pub index: u32,
    /// UDP streams come uncut as well.
    pub udp_offload: bool,
    /// One per lane.
    pub queues: Vec<TunQueue>,
}

impl Tun {
    /// Makes the device, sets its MTU and brings it up.
    ///
    /// # Errors
    /// No `/dev/net/tun`, no CAP_NET_ADMIN, or the name is taken.
    pub fn create(options: &TunOptions) -> Result<Self> {
        let what = || format!("creating TUN device {}", options.name);
        let queues = options.queues.max(1);
        let device = DeviceBuilder::new()
            .name(&options.name)
            .layer(Layer::L3)
            .offload(options.offload)
            .multi_queue(queues > 1)
            .inherit_enable_state()
            .build_sync()
            .attempt(what)?;
        let name = device.name().attempt(what)?;
        let mut all = Vec::with_capacity(queues);
        for _ in 1..queues {
            all.push(TunQueue::new(device.try_clone().attempt(what)?, options.offload)?);
        }
        let udp_offload = device.udp_gso();
        all.push(TunQueue::new(device, options.offload)?);
        all.reverse();
        let mut netlink = Netlink::open()?;
        let index = netlink.link_index(&name)?;
        netlink.set_mtu(index, options.mtu)?;
        // a wish: the system's own is 500
        if let Err(e) = netlink.set_queue_length(index, QUEUE) {
            tracing::debug!("{e}");
        }
        netlink.set_up(index, true)?;
        Ok(Self { name, index, udp_offload, queues: all })
    }
}

/// One queue of a device. Non-blocking.
pub struct TunQueue {
    device: SyncDevice,
    offload: bool,
}

impl std::fmt::Debug for TunQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TunQueue({})", self.device.as_raw_fd())
    }
}

impl TunQueue {
    fn new(device: SyncDevice, offload: bool) -> Result<Self> {
        device.set_nonblocking(true).attempt(|| "making a TUN queue non-blocking".to_owned())?;
        Ok(Self { device, offload })
    }

    /// Packets carry a virtio header of [`VIRTIO_HEADER`] bytes, both ways.
    #[must_use]
    pub const fn offload(&self) -> bool {
        self.offload
    }

    /// Reads one packet (with offload: its virtio header and up to 64 KiB).
    ///
    /// # Errors
    /// The system's, `WouldBlock` when there is nothing.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.device.recv(buffer)
    }

    /// Writes one packet, given in parts.
    ///
    /// # Errors
    /// The system's: `EINVAL` for what is no IP packet, `EIO` while the device is down.
    pub fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.device.send_vectored(parts)
    }
}

impl AsFd for TunQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}
