//! Packets through the tunnels: sealed and opened here, an echo each, so that loss and time can be seen.
//!
//! A packet is an ICMP echo request or a UDP datagram to an echo service behind the gateway. It carries when it left; the
//! answer brings that back. Clients take turns, so the load is spread evenly over the tunnels.
use crate::tally::Packets;
use esp::{HEADROOM, InSa, Limit, OutSa, Packet, TAILROOM};
use ike::Command;
use policy::ChildSa;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::ip::{
    Checksum, IPV4_LEN, IPV6_LEN, IpView, UDP_LEN, Upper, ipv4_header, ipv6_header, protocol, udp_header,
};

/// Begins the payload of ours: whatever else comes through a tunnel is not counted.
const MAGIC: [u8; 4] = *b"CyLT";
/// Magic, a number of this run, nanoseconds since its beginning.
const STAMP: usize = 4 + 4 + 8;
/// Bytes of an ICMP echo header.
const ICMP_LEN: usize = 8;
/// Source port of UDP, identifier of ICMP: each client has an address of its own, so all may have the same.
const SOURCE_PORT: u16 = 40_007;
/// Packets sent in one go; then the lane looks after its other duties.
const BURST: u32 = 128;
/// What a lane that was held up may make up for, in seconds.
const CATCH_UP: f64 = 0.02;

/// Bytes of the smallest inner packet of either family.
pub const LEAST: u16 = 64;
/// Bytes of the biggest: sealed it still fits an Ethernet frame.
pub const MOST: u16 = 1400;

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Traffic {
    /// Packets per second of each client.
    pub per_second: f64,
    /// Bytes of an inner IP packet.
    pub size: u16,
    /// To whom: with a port UDP to an echo service, without one ICMP echo requests.
    pub target: IpAddr,
    /// The port.
    pub port: Option<u16>,
}

/// The half that sends.
struct Tunnel {
    child: u32,
    sa: Arc<OutSa>,
    source: IpAddr,
    /// Packets so far: the sequence number of ICMP.
    count: u16,
    /// The CHILD_SA that it takes the place of.
    replaces: Option<u32>,
}

/// All tunnels of a lane.
pub(crate) struct Flows {
    plan: Traffic,
    began: Instant,
    run: [u8; 4],
    tunnels: Vec<Tunnel>,
    /// Places in `tunnels` by child.
    places: HashMap<u32, usize>,
    /// Installed, but not to be sent on yet.
    pending: HashMap<u32, Tunnel>,
    inbound: HashMap<u32, InSa>,
    /// Inbound SPI of a child.
    spis: HashMap<u32, u32>,
    turn: usize,
    credit: f64,
    paid: Instant,
    memory: Vec<u8>,
    pub(crate) packets: Packets,
}

impl Flows {
    /// None yet.
    pub(crate) fn new(plan: Traffic, run: [u8; 4], now: Instant) -> Self {
        Self {
            plan,
            began: now,
            run,
            tunnels: Vec::new(),
            places: HashMap::new(),
            pending: HashMap::new(),
            inbound: HashMap::new(),
            spis: HashMap::new(),
            turn: 0,
            credit: 0.0,
            paid: now,
            memory: vec![0; HEADROOM + usize::from(MOST) + TAILROOM],
            packets: Packets::default(),
        }
    }

    // -------------------------------------------------------------------------------------- what the engine orders

    /// Puts a CHILD_SA to work.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(crate) fn install(&mut self, child: &ChildSa) -> Result<(), String> {
        if !child.encap {
            return Err(
                "the gateway sends ESP outside of UDP, which needs privileges: do without --no-encap"
                    .to_owned(),
            );
        }
        let inbound = InSa::new(child).map_err(|e| e.to_string())?;
        let sa = Arc::new(OutSa::new(child).map_err(|e| e.to_string())?);
        let hosts = child.local_ts.iter().filter_map(policy::Selector::host_address);
        let fits = |address: &IpAddr| address.is_ipv4() == self.plan.target.is_ipv4();
        let source = child
            .local_vips
            .iter()
            .copied()
            .chain(hosts)
            .find(fits)
            .ok_or_else(|| format!("the client has no address to reach {} from", self.plan.target))?;
        self.inbound.insert(child.spi_in, inbound);
        self.spis.insert(child.id, child.spi_in);
        let tunnel = Tunnel { child: child.id, sa, source, count: 0, replaces: child.replaces };
        if child.inbound_only {
            self.pending.insert(child.id, tunnel);
        } else {
            self.send_on(tunnel);
        }
        Ok(())
    }

    /// The outbound half may be used.
    pub(crate) fn activate(&mut self, child: u32) {
        if let Some(tunnel) = self.pending.remove(&child) {
            self.send_on(tunnel);
        }
    }

    /// The gateway is elsewhere.
    pub(crate) fn update(&mut self, child: u32, path: esp::Path) {
        if let Some(tunnel) = self.places.get(&child).and_then(|place| self.tunnels.get(*place)) {
            tunnel.sa.set_path(path);
        }
    }

    /// From now on this tunnel is used, not the one that it replaces.
    fn send_on(&mut self, tunnel: Tunnel) {
        if let Some(old) = tunnel.replaces {
            // Its counters are told when it is removed, which a rekeyed one soon is.
            drop(self.quiet(old));
        }
        self.places.insert(tunnel.child, self.tunnels.len());
        self.tunnels.push(tunnel);
    }

    /// The CHILD_SA is gone.
    pub(crate) fn remove(&mut self, child: u32) {
        self.pending.remove(&child);
        if let Some(spi) = self.spis.remove(&child) {
            self.inbound.remove(&spi);
        }
        drop(self.quiet(child));
    }

    /// Nothing more is sent on it; what still comes is taken.
    pub(crate) fn quiet(&mut self, child: u32) -> Option<Arc<OutSa>> {
        let place = self.places.remove(&child)?;
        if place >= self.tunnels.len() {
            return None;
        }
        let gone = self.tunnels.swap_remove(place);
        if let Some(moved) = self.tunnels.get(place) {
            self.places.insert(moved.child, place);
        }
        Some(gone.sa)
    }

    // -------------------------------------------------------------------------------------- sending

    /// Packets per second of all tunnels.
    fn rate(&self) -> f64 {
        let tunnels = u32::try_from(self.tunnels.len()).unwrap_or(u32::MAX);
        self.plan.per_second * f64::from(tunnels)
    }

    /// When the next packet is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        let rate = self.rate();
        if rate <= 0.0 {
            return None;
        }
        let missing = (1.0 - self.credit).max(0.0) / rate;
        Some(self.paid + Duration::from_secs_f64(missing.min(60.0)))
    }

    /// Sends what is due, at most a burst; limits that were reached become commands.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        mono: u64,
        mut wire: impl FnMut(&[u8], &esp::Path) -> bool,
    ) -> Vec<Command> {
        let rate = self.rate();
        let time = now.saturating_duration_since(self.paid).as_secs_f64();
        self.paid = now;
        self.credit = (self.credit + time * rate).min((rate * CATCH_UP).max(1.0));
        let mut commands = Vec::new();
        for _ in 0..BURST {
            if self.credit < 1.0 {
                break;
            }
            self.credit -= 1.0;
            if self.turn >= self.tunnels.len() {
                self.turn = 0;
            }
            let Some(tunnel) = self.tunnels.get_mut(self.turn) else { break };
            self.turn = self.turn.saturating_add(1);
            tunnel.count = tunnel.count.wrapping_add(1);
            let stamp = now.saturating_duration_since(self.began);
            let Some(len) = write(&mut self.memory, &self.plan, tunnel, self.run, stamp) else { continue };
            let Some(mut packet) = Packet::new(&mut self.memory, HEADROOM..HEADROOM.saturating_add(len))
            else {
                continue;
            };
            let Ok(view) = IpView::parse(packet.bytes()) else { continue };
            // Nobody else seals here.
            let Some(mut turn) = tunnel.sa.try_turn() else { continue };
            match turn.seal(&mut packet, &view, mono, usize::MAX) {
                Ok(sealed) => {
                    let sent = wire(packet.bytes(), turn.path());
                    let counter = if sent { &mut self.packets.sent } else { &mut self.packets.unsent };
                    *counter = counter.saturating_add(1);
                    let hard = sealed.limit.map(|limit| limit == Limit::Hard);
                    commands.extend(hard.map(|hard| Command::Expire { child: tunnel.child, hard }));
                }
                Err(_) => self.packets.unsent = self.packets.unsent.saturating_add(1),
            }
        }
        commands
    }

    // -------------------------------------------------------------------------------------- receiving

    /// An ESP packet came; the first one on a new SA is told to the engine.
    pub(crate) fn receive(
        &mut self,
        bytes: &mut [u8],
        from: SocketAddr,
        now: Instant,
        mono: u64,
    ) -> Option<Command> {
        let spi = bytes.first_chunk::<4>().map(|spi| u32::from_be_bytes(*spi))?;
        let Some(sa) = self.inbound.get(&spi) else {
            self.packets.strange = self.packets.strange.saturating_add(1);
            return None;
        };
        let len = bytes.len();
        let mut packet = Packet::new(bytes, 0..len)?;
        let Ok(opened) = sa.open(&mut packet, from, 0, mono) else {
            self.packets.refused = self.packets.refused.saturating_add(1);
            return None;
        };
        match read(packet.bytes(), &opened.view, &self.plan, self.run) {
            Some(stamp) => {
                self.packets.received = self.packets.received.saturating_add(1);
                self.packets.round_trip.add(now.saturating_duration_since(self.began).saturating_sub(stamp));
            }
            None => self.packets.other = self.packets.other.saturating_add(1),
        }
        let usage = || sa.usage();
        opened.first.then(|| Command::Traffic {
            child: sa.child,
            usage_in: usage(),
            usage_out: policy::sa::Usage::default(),
        })
    }

    /// Everything sent was answered.
    pub(crate) fn is_settled(&self) -> bool {
        self.packets.received >= self.packets.sent
    }
}

/// Writes the next packet of a tunnel behind the headroom; its length.
fn write(memory: &mut [u8], plan: &Traffic, tunnel: &Tunnel, run: [u8; 4], stamp: Duration) -> Option<usize> {
    let total = usize::from(plan.size);
    let head = if tunnel.source.is_ipv4() { IPV4_LEN } else { IPV6_LEN };
    let upper_len = total.checked_sub(head)?;
    let packet = memory.get_mut(HEADROOM..HEADROOM.checked_add(total)?)?;
    packet.fill(0);
    let nanos = u64::try_from(stamp.as_nanos()).unwrap_or(u64::MAX).to_be_bytes();
    let payload = packet.get_mut(head.checked_add(ICMP_LEN)?..)?;
    let stamp = payload.get_mut(..STAMP)?;
    for (to, from) in stamp.iter_mut().zip(MAGIC.into_iter().chain(run).chain(nanos)) {
        *to = from;
    }
    let (ip, upper) = packet.split_at_mut_checked(head)?;
    let kind = match (plan.port, tunnel.source) {
        (Some(port), _) => {
            // A UDP header is as long as one of ICMP echo.
            let payload = upper.get(UDP_LEN..)?;
            let header = udp_header(tunnel.source, plan.target, SOURCE_PORT, port, payload);
            upper.get_mut(..UDP_LEN)?.copy_from_slice(&header);
            protocol::UDP
        }
        (None, IpAddr::V4(_)) => {
            echo(upper, 8, tunnel.count, Checksum::new())?;
            protocol::ICMP
        }
        (None, IpAddr::V6(_)) => {
            let sum = Checksum::new().pseudo(tunnel.source, plan.target, protocol::ICMPV6, upper_len);
            echo(upper, 128, tunnel.count, sum)?;
            protocol::ICMPV6
        }
    };
    match (tunnel.source, plan.target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            ip.copy_from_slice(&ipv4_header(source, target, kind, upper_len, 64, 0, true));
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            ip.copy_from_slice(&ipv6_header(source, target, kind, upper_len, 64, 0));
        }
        _ => return None,
    }
    Some(total)
}

/// An ICMP echo request over what stands behind its header.
fn echo(upper: &mut [u8], kind: u8, count: u16, sum: Checksum) -> Option<()> {
    let [hi, lo] = count.to_be_bytes();
    let [id_hi, id_lo] = SOURCE_PORT.to_be_bytes();
    upper.get_mut(..ICMP_LEN)?.copy_from_slice(&[kind, 0, 0, 0, id_hi, id_lo, hi, lo]);
    let sum = sum.bytes(upper).finish().to_be_bytes();
    upper.get_mut(2..4)?.copy_from_slice(&sum);
    Some(())
}

/// When the packet that this answers left; `None`: it answers none of ours.
fn read(packet: &[u8], view: &IpView, plan: &Traffic, run: [u8; 4]) -> Option<Duration> {
    if view.source != plan.target {
        return None;
    }
    let upper = packet.get(view.header_len..)?;
    let answers = match (plan.port, view.protocol, view.upper) {
        (Some(port), protocol::UDP, Upper::Ports { source, destination }) => {
            source == port && destination == SOURCE_PORT
        }
        (None, protocol::ICMP, Upper::Icmp { kind: 0, .. }) => true,
        (None, protocol::ICMPV6, Upper::Icmp { kind: 129, .. }) => true,
        _ => false,
    };
    let payload = upper.get(ICMP_LEN..).filter(|_| answers)?;
    let (magic, rest) = payload.split_first_chunk::<4>()?;
    let (of_run, rest) = rest.split_first_chunk::<4>()?;
    let nanos = rest.first_chunk::<8>()?;
    (*magic == MAGIC && *of_run == run).then(|| Duration::from_nanos(u64::from_be_bytes(*nanos)))
}
