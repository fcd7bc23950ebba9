//! A random life of the four hosts, and the questions asked at its end.
//!
//! While it lasts: operators initiate, rekey, terminate, reload and restart at random, on both ends at once as
//! well; the network loses, doubles, delays, damages and replays; hosts are cut off, roam, crash or are taken over
//! by a successor. Then the weather clears and time passes. Everything both ends then hold must agree; after a
//! shutdown nothing may be left.
use crate::dice::Dice;
use crate::net::Flight;
use crate::scenario::{CAROL, DAVE, MOON, SUN, Terms, ip};
use crate::world::{Violation, World};
use ike::io::{Command, Filter, StartActions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Time after which every loose end must be tied up: detection of a dead peer, all retransmissions, a retry.
const QUIET: u64 = 900_000;
/// Longest wait for a moment without any task.
const PATIENCE: u64 = 600_000;

/// What a life was like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Digest and number of transcript lines.
    pub digest: (u64, u64),
    /// IKE_SAs and CHILD_SAs up in the quiet.
    pub up: (usize, usize),
}

/// Lives the life number `seed`; the world is there to be looked at in any case.
pub fn run(seed: u64, keep: usize) -> (World, Result<Report, Violation>) {
    let mut dice = Dice::new(seed, 3);
    let terms = Terms::random(&mut dice);
    let mut world = World::new(seed, terms.hosts(), keep);
    world.net.nats = terms.nats();
    world.net.weather = terms.weather;
    world.mood.failures = terms.failures;
    world.names.insert("moon.test".to_owned(), ip("192.0.2.1"));
    world.note(format_args!("seed {seed}: {terms:?}"));
    let mut life = Life { world, dice, terms, roamed: 0 };
    let result = life.live();
    (life.world, result)
}

/// A host and the id an SA has there, and the same at the other end, if it has the SA.
type Both = (usize, u32, Option<(usize, u32)>);

struct Life {
    world: World,
    dice: Dice,
    terms: Terms,
    roamed: u8,
}

impl Life {
    fn live(&mut self) -> Result<Report, Violation> {
        // What is configured to start does so with the first reload, as in a daemon.
        for host in 0..self.world.hosts.len() {
            self.reload(host)?;
        }
        for _ in 0..self.dice.range(8, 40) {
            self.act()?;
            let pause = *self.dice.pick(&[0, 0, 3, 30, 100, 1_000, 5_000, 20_000, 90_000, 250_000]);
            let pause = self.dice.below(pause + 1);
            self.world.run_until(self.world.now() + pause)?;
        }
        self.world.note(format_args!("the weather clears"));
        self.world.net.heal();
        self.world.mood.failures = 0;
        // Who found no route when it moved hears of the one it now has.
        for host in 0..self.world.hosts.len() {
            self.world.command(host, Command::AddressesChanged)?;
        }
        self.world.run_until(self.world.now() + QUIET)?;
        settle(&mut self.world)?;
        self.world.check_agreement()?;
        for host in 0..self.world.hosts.len() {
            if let Some((id, what)) = self.world.hosts[host].commands.first_key_value() {
                let name = self.world.hosts[host].config.name.clone();
                let what = format!("command {} ({what}) is never done", id.0);
                return Err(Violation { at: self.world.now(), host: name, what });
            }
        }
        let lists: Vec<_> = self.world.hosts.iter().map(|h| h.engine.list(&Filter::default())).collect();
        let up = (lists.iter().map(Vec::len).sum(), lists.iter().flatten().map(|sa| sa.children.len()).sum());
        self.end()?;
        Ok(Report { digest: self.world.transcript.digest(), up })
    }

    /// Everybody is told to stop.
    fn end(&mut self) -> Result<(), Violation> {
        self.world.note(format_args!("shutdown"));
        for host in 0..self.world.hosts.len() {
            let id = self.world.command_id(host, "shutdown");
            self.world.command(host, Command::Shutdown { id })?;
            let pause = *self.dice.pick(&[0, 0, 10, 100, 10_000]);
            self.world.run_until(self.world.now() + pause)?;
        }
        self.world.run_until(self.world.now() + QUIET)?;
        (0..self.world.hosts.len()).try_for_each(|host| self.world.check_empty(host))
    }

    fn act(&mut self) -> Result<(), Violation> {
        match self.dice.below(100) {
            0..=24 => {
                let (host, ike, child) = *self.dice.pick(STARTS);
                self.initiate(host, ike, child)
            }
            25..=27 => {
                self.initiate(MOON, "site", "nets")?;
                self.initiate(SUN, "site", "nets")
            }
            28..=36 => self.rekey_child(),
            37..=45 => self.rekey_ike(),
            46..=53 => self.terminate(),
            54..=57 => self.rekey_against_delete(),
            58..=69 => (0..self.dice.range(1, 6)).try_for_each(|_| self.traffic()),
            70..=73 => self.cut(),
            74..=77 => {
                self.world.note(format_args!("NAT rebinding"));
                self.world.net.nats[0].rebind();
                Ok(())
            }
            78..=80 => self.expire(),
            81..=83 => {
                let host = self.any_host();
                self.reload(host)
            }
            84..=87 => self.take_over(),
            88..=89 => {
                let host = self.any_host();
                let name = self.world.hosts[host].config.name.clone();
                self.world.note(format_args!("{name} crashes"));
                let now = self.world.clock.now();
                self.world.hosts[host].crash(now);
                self.reload(host)
            }
            90..=92 => self.roam(),
            93..=94 => self.trap(),
            _ => self.inject(),
        }
    }

    fn any_host(&mut self) -> usize {
        self.dice.below(self.world.hosts.len() as u64) as usize
    }

    fn initiate(&mut self, host: usize, ike: &str, child: &str) -> Result<(), Violation> {
        let id = self.world.command_id(host, "initiate");
        let child = (!self.dice.chance(50)).then(|| child.to_owned());
        self.world.command(host, Command::Initiate { id, ike: Some(ike.to_owned()), child })
    }

    /// A random CHILD_SA: host, id, and the same at the other end.
    fn some_child(&mut self) -> Option<Both> {
        let host = self.any_host();
        let ids: Vec<u32> = self.world.hosts[host].dataplane.children.keys().copied().collect();
        let id = ids[self.dice.index(ids.len())?];
        let spi = self.world.hosts[host].dataplane.children[&id].sa.spi_out;
        let twin = self.world.hosts.iter().enumerate().find_map(|(i, h)| {
            h.dataplane.children.values().find(|c| i != host && c.sa.spi_in == spi).map(|c| (i, c.sa.id))
        });
        Some((host, id, twin))
    }

    /// A random IKE_SA likewise.
    fn some_ike(&mut self) -> Option<Both> {
        let host = self.any_host();
        let list = self.world.hosts[host].engine.list(&Filter::default());
        let sa = &list[self.dice.index(list.len())?];
        let twin = self.world.hosts.iter().enumerate().filter(|(i, _)| *i != host).find_map(|(i, h)| {
            let twin = h.engine.list(&Filter::default());
            twin.iter().find(|o| (o.spi_i, o.spi_r) == (sa.spi_i, sa.spi_r)).map(|o| (i, o.unique_id))
        });
        Some((host, sa.unique_id, twin))
    }

    fn rekey(&mut self, host: usize, filter: Filter, reauth: bool) -> Result<(), Violation> {
        let id = self.world.command_id(host, "rekey");
        self.world.command(host, Command::Rekey { id, filter, reauth })
    }

    /// At one end, or at both within moments.
    fn rekey_child(&mut self) -> Result<(), Violation> {
        let Some((host, child, twin)) = self.some_child() else { return Ok(()) };
        self.rekey(host, Filter { child_id: Some(child), ..Filter::default() }, false)?;
        match twin {
            Some((host, child)) if self.dice.chance(500) => {
                self.moment()?;
                self.rekey(host, Filter { child_id: Some(child), ..Filter::default() }, false)
            }
            _ => Ok(()),
        }
    }

    fn rekey_ike(&mut self) -> Result<(), Violation> {
        let Some((host, ike, twin)) = self.some_ike() else { return Ok(()) };
        let reauth = self.dice.chance(150);
        self.rekey(host, Filter { ike_id: Some(ike), ..Filter::default() }, reauth)?;
        match twin {
            Some((host, ike)) if self.dice.chance(500) => {
                self.moment()?;
                let reauth = self.dice.chance(150);
                self.rekey(host, Filter { ike_id: Some(ike), ..Filter::default() }, reauth)
            }
            _ => Ok(()),
        }
    }

    fn moment(&mut self) -> Result<(), Violation> {
        let below = *self.dice.pick(&[1, 1, 20, 80, 400]);
        let pause = self.dice.below(below);
        self.world.run_until(self.world.now() + pause)
    }

    fn terminate(&mut self) -> Result<(), Violation> {
        let force = self.dice.chance(150);
        let (host, filter, twin) = if self.dice.chance(500) {
            let Some((host, ike, twin)) = self.some_ike() else { return Ok(()) };
            let by = |id| Filter { ike_id: Some(id), ..Filter::default() };
            (host, by(ike), twin.map(|(host, id)| (host, by(id))))
        } else {
            let Some((host, child, twin)) = self.some_child() else { return Ok(()) };
            let by = |id| Filter { child_id: Some(id), ..Filter::default() };
            (host, by(child), twin.map(|(host, id)| (host, by(id))))
        };
        let id = self.world.command_id(host, "terminate");
        self.world.command(host, Command::Terminate { id, filter, force })?;
        match twin {
            Some((host, filter)) if self.dice.chance(300) => {
                self.moment()?;
                let id = self.world.command_id(host, "terminate");
                self.world.command(host, Command::Terminate { id, filter, force: false })
            }
            _ => Ok(()),
        }
    }

    /// One end rekeys what the other closes, IKE_SA or CHILD_SA, or the IKE_SA above it.
    fn rekey_against_delete(&mut self) -> Result<(), Violation> {
        let Some((host, child, Some((other, twin)))) = self.some_child() else { return Ok(()) };
        let filter = |dice: &mut Dice, world: &World, host: usize, child: u32| {
            let ike = world.hosts[host].dataplane.children.get(&child).map(|c| c.sa.ike_id);
            match ike {
                Some(ike) if dice.chance(400) => Filter { ike_id: Some(ike), ..Filter::default() },
                _ => Filter { child_id: Some(child), ..Filter::default() },
            }
        };
        let mine = filter(&mut self.dice, &self.world, host, child);
        self.rekey(host, mine, false)?;
        self.moment()?;
        let theirs = filter(&mut self.dice, &self.world, other, twin);
        if self.dice.chance(300) {
            return self.rekey(other, theirs, false);
        }
        let id = self.world.command_id(other, "terminate");
        self.world.command(other, Command::Terminate { id, filter: theirs, force: false })
    }

    fn traffic(&mut self) -> Result<(), Violation> {
        let Some((host, child, _)) = self.some_child() else { return Ok(()) };
        self.world.traffic(host, child)?;
        self.moment()
    }

    fn cut(&mut self) -> Result<(), Violation> {
        let host = self.any_host();
        let seconds = *self.dice.pick(&[3, 20, 100, 400]);
        let until = self.world.now() + 1000 * self.dice.range(1, seconds);
        let address = self.world.hosts[host].config.addresses[0];
        self.world.note(format_args!("{address} is cut off until {until}"));
        self.world.net.cut(address, until);
        Ok(())
    }

    fn expire(&mut self) -> Result<(), Violation> {
        let Some((host, child, _)) = self.some_child() else { return Ok(()) };
        let hard = self.dice.chance(300);
        self.world.command(host, Command::Expire { child, hard })
    }

    fn reload(&mut self, host: usize) -> Result<(), Violation> {
        let name = self.world.hosts[host].config.name.clone();
        let first = self.world.now() == 0;
        if !first {
            self.terms.child_rekey = self.dice.range(60, 600);
        }
        let snapshot = Arc::new(self.terms.snapshot(&name));
        let names: Vec<String> = snapshot.connections.iter().map(|c| c.name.clone()).collect();
        let undo = if first { Vec::new() } else { names.clone() };
        self.world.hosts[host].config.snapshot = Arc::clone(&snapshot);
        self.world
            .command(host, Command::Reload { snapshot, start_actions: StartActions { run: names, undo } })
    }

    fn take_over(&mut self) -> Result<(), Violation> {
        let host = self.any_host();
        let name = self.world.hosts[host].config.name.clone();
        self.world.note(format_args!("{name} is taken over"));
        let now = self.world.clock.now();
        let taken = self.world.hosts[host].take_over(now);
        taken.map_err(|what| Violation { at: now.mono, host: name, what })?;
        self.world.drain(host)
    }

    fn roam(&mut self) -> Result<(), Violation> {
        if !self.terms.mobike {
            return Ok(());
        }
        self.roamed = self.roamed.wrapping_add(1);
        let address = IpAddr::V4(Ipv4Addr::new(198, 51, 100, self.roamed.max(1)));
        self.world.note(format_args!("dave moves to {address}"));
        self.world.hosts[DAVE].config.addresses = vec![address];
        self.world.command(DAVE, Command::AddressesChanged)
    }

    fn trap(&mut self) -> Result<(), Violation> {
        let (host, ike, child) = *self.dice.pick(STARTS);
        let id = self.world.command_id(host, "trap");
        let (ike, child) = (Some(ike.to_owned()), child.to_owned());
        if self.dice.chance(400) {
            return self.world.command(host, Command::Uninstall { id, ike, child });
        }
        self.world.command(host, Command::Install { id, ike, child })?;
        self.moment()?;
        match self.world.hosts[host].dataplane.policies.keys().next().copied() {
            Some(trap) => self.world.command(host, Command::Acquire { trap, packet: None }),
            None => Ok(()),
        }
    }

    /// Somebody in the middle sends something: noise, something seen before, or that with a change.
    fn inject(&mut self) -> Result<(), Violation> {
        let now = self.world.now();
        let seen = self.world.net.overheard();
        let flight = if self.dice.chance(300) || seen.is_empty() {
            let at = self.any_host();
            let len = self.dice.below(200);
            let bytes = (0..len).map(|_| self.dice.below(256) as u8).collect();
            let to = SocketAddr::new(self.world.hosts[at].config.addresses[0], 500);
            Flight { from: SocketAddr::new(ip("203.0.113.9"), 500), to, bytes }
        } else {
            let mut flight = self.dice.pick(&seen).clone();
            match self.dice.below(4) {
                0 => {}
                1 => {
                    if let Some(at) = self.dice.index(flight.bytes.len()) {
                        flight.bytes[at] = self.dice.below(256) as u8;
                    }
                }
                2 => flight.bytes.truncate(self.dice.below(flight.bytes.len() as u64 + 1) as usize),
                _ => flight.from = SocketAddr::new(ip("203.0.113.9"), 4500),
            }
            flight
        };
        self.world.net.launch(now, flight);
        Ok(())
    }
}

/// Who may start what.
const STARTS: &[(usize, &str, &str)] = &[
    (CAROL, "home", "net"),
    (CAROL, "home", "net"),
    (CAROL, "home", "alt"),
    (DAVE, "home", "net"),
    (DAVE, "home", "alt"),
    (MOON, "site", "nets"),
    (MOON, "site", "hosts"),
    (SUN, "site", "nets"),
    (SUN, "site", "hosts"),
];

/// Waits for a moment at which nobody is about anything: nothing on the way, no open question, no task.
pub fn settle(world: &mut World) -> Result<(), Violation> {
    let until = world.now() + PATIENCE;
    while !is_quiet(world) && world.now() < until {
        world.run_until(world.now() + 250)?;
    }
    Ok(())
}

fn is_quiet(world: &World) -> bool {
    world.net.next().is_none()
        && world.hosts.iter().all(|h| {
            h.is_idle()
                && h.engine.list(&Filter::default()).iter().all(|sa| {
                    sa.state == "ESTABLISHED"
                        && sa.tasks_active.is_empty()
                        && sa.tasks_queued.is_empty()
                        && sa.tasks_passive.is_empty()
                        && sa.children.iter().all(|c| c.state == "INSTALLED")
                })
        })
}
