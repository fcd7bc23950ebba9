//! Answers go back by the SA that the question came by.
//!
//! Several hosts behind one NAT look alike to the kernel: in transport mode their policies differ in nothing but a
//! mark. So packets to us are marked by the SPI they arrive with, the mark is kept with the connection that conntrack
//! knows, and what is sent on that connection gets it back. The rules are a table of their own:
//!
//! ```text
//! table inet cygnet-connmark {
//!     map esp4, udp4, esp6, udp6              # our address [, UDP port], SPI (shown backwards) : mark
//!     map answers { type mark : mark }        # mark of packets to us : mark of packets to the peer
//!     set returns { type mark }               # marks of packets to the peer
//!     chain arrive {
//!         type filter hook prerouting priority mangle
//!         meta nfproto ipv4 meta l4proto esp meta mark set ip daddr . esp spi map @esp4
//!         meta nfproto ipv4 meta l4proto udp meta mark set ip daddr . udp dport . @th,64,32 map @udp4
//!         # the same for IPv6
//!     }
//!     chain keep {
//!         type filter hook input priority mangle
//!         meta secpath exists ct mark set meta mark map @answers
//!     }
//!     chain answer {
//!         type route hook output priority mangle
//!         ct mark @returns meta mark set ct mark
//!     }
//! }
//! ```
use super::{Batch, INET, IPV4, IPV6, Kind, attribute, expression, has_table, nested, number, text};
use crate::{Attempt, Result};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

/// The table's name; nobody else's has it.
pub const TABLE: &str = "cygnet-connmark";

/// SAs told to the kernel in one message.
const CHUNK: usize = 256;

const MARK: u32 = 19;
const IPV4_ADDRESS: u32 = 7;
const IPV6_ADDRESS: u32 = 8;
const SERVICE: u32 = 13;
/// `priority mangle`, -150.
const MANGLE: u32 = 0xffff_ff6a;
const FIRST: u32 = 1;

/// One SA for packets to us, and the marks of its CHILD_SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Return {
    /// Our outer address.
    pub local: IpAddr,
    /// Our SPI.
    pub spi: u32,
    /// Our UDP port, where ESP comes in UDP.
    pub port: Option<u16>,
    /// Mark of packets to us.
    pub mark_in: u32,
    /// Mark of packets to the peer.
    pub mark_out: u32,
}

impl Return {
    fn map(&self) -> &'static str {
        match (self.local, self.port) {
            (IpAddr::V4(_), None) => "esp4",
            (IpAddr::V4(_), Some(_)) => "udp4",
            (IpAddr::V6(_), None) => "esp6",
            (IpAddr::V6(_), Some(_)) => "udp6",
        }
    }

    /// Each part fills up its registers of four bytes.
    fn key(&self) -> Vec<u8> {
        let mut key = match self.local {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        if let Some(port) = self.port {
            key.extend(port.to_be_bytes());
            key.extend([0, 0]);
        }
        key.extend(self.spi.to_be_bytes());
        key
    }
}

/// The keeper of the table, in the network namespace of the calling thread. The table is there as long as an SA needs
/// it, and goes when this is dropped.
#[derive(Debug)]
pub struct Returns {
    /// Says that there is a table, for the time after a crash.
    state_file: Option<PathBuf>,
    wanted: BTreeSet<Return>,
    made: bool,
    /// Somebody took the table away, it is there again, and nobody was told.
    restored: bool,
}

impl Returns {
    /// Removes the table that a crashed predecessor left, according to `state_file`.
    pub fn open(state_file: Option<PathBuf>) -> Self {
        let mut returns = Self { state_file, wanted: BTreeSet::new(), made: false, restored: false };
        if returns.state_file.as_ref().is_some_and(|path| path.exists()) {
            tracing::info!("removing the table {TABLE} left by a previous run");
            returns.made = true;
            returns.clear();
        }
        returns
    }

    /// Marks packets that arrive by this SA, and the answers to them.
    ///
    /// # Errors
    /// The system's: no nf_tables, no conntrack, no privilege. Then nothing has changed.
    pub fn add(&mut self, sa: Return) -> Result<()> {
        if !self.wanted.insert(sa) {
            return Ok(());
        }
        let done = if self.made { elements(Kind::NewElements, &[sa]).submit() } else { self.make() };
        let done = match done {
            // `nft flush ruleset` took it away.
            Err(e) if self.made && gone(&e) => self.restore(),
            other => other,
        };
        done.inspect_err(|_| {
            self.wanted.remove(&sa);
            if self.wanted.is_empty() {
                self.clear();
            }
        })
        .attempt(|| format!("marking the packets of SPI {:08x} in the table {TABLE}", sa.spi))
    }

    /// The SA is gone.
    ///
    /// # Errors
    /// The system's.
    pub fn remove(&mut self, sa: &Return) -> Result<()> {
        if !self.wanted.remove(sa) {
            return Ok(());
        }
        if self.wanted.is_empty() {
            self.clear();
            return Ok(());
        }
        let marks = |other: &Return| other.mark_in == sa.mark_in;
        let batch = if self.wanted.iter().any(marks) {
            let mut batch = Batch::new(INET);
            arrivals(&mut batch, Kind::DeleteElements, &[*sa]);
            batch
        } else {
            elements(Kind::DeleteElements, &[*sa])
        };
        match batch.submit() {
            Err(e) if gone(&e) => self.restore(),
            other => other,
        }
        .attempt(|| format!("removing SPI {:08x} from the table {TABLE}", sa.spi))
    }

    /// Puts the table back if somebody took it away, as the restart of a firewall does. Whether that was so since it was
    /// last asked.
    ///
    /// # Errors
    /// The system's.
    pub fn refresh(&mut self) -> Result<bool> {
        let what = || format!("looking for the table {TABLE}");
        if self.made && !has_table(INET, TABLE).attempt(what)? {
            self.restore().attempt(|| format!("making the table {TABLE}"))?;
        }
        Ok(std::mem::take(&mut self.restored))
    }

    fn restore(&mut self) -> io::Result<()> {
        self.restored = true;
        self.make()
    }

    /// Makes the table with all that is wanted, in place of one that may be there.
    fn make(&mut self) -> io::Result<()> {
        self.made = true;
        if let Some(path) = &self.state_file {
            fs::write(path, format!("{TABLE}\n"))?;
        }
        let all: Vec<Return> = self.wanted.iter().copied().collect();
        table().submit()?;
        all.chunks(CHUNK).try_for_each(|chunk| elements(Kind::NewElements, chunk).submit())
    }

    fn clear(&mut self) {
        if !std::mem::take(&mut self.made) {
            return;
        }
        let mut batch = Batch::new(INET);
        batch.add(Kind::DeleteTable, &[text(1, TABLE)]);
        match batch.submit() {
            Err(e) if !gone(&e) => {
                tracing::warn!("removing the table {TABLE}: {e}");
                return;
            }
            _ => {}
        }
        if let Some(path) = &self.state_file
            && let Err(e) = fs::remove_file(path)
            && e.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("{}: {e}", path.display());
        }
    }
}

impl Drop for Returns {
    fn drop(&mut self) {
        self.clear();
    }
}

fn gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOENT)
}

/// What comes and goes with these SAs.
fn elements(kind: Kind, all: &[Return]) -> Batch {
    let mut batch = Batch::new(INET);
    arrivals(&mut batch, kind, all);
    let answers: BTreeSet<(u32, u32)> = all.iter().map(|sa| (sa.mark_in, sa.mark_out)).collect();
    let answers: Vec<Vec<u8>> =
        answers.iter().map(|(of, by)| element(&of.to_ne_bytes(), Some(&by.to_ne_bytes()))).collect();
    batch.add(kind, &in_set("answers", &answers));
    let marks: BTreeSet<u32> = all.iter().map(|sa| sa.mark_out).collect();
    let marks: Vec<Vec<u8>> = marks.iter().map(|mark| element(&mark.to_ne_bytes(), None)).collect();
    batch.add(kind, &in_set("returns", &marks));
    batch
}

/// The SPIs.
fn arrivals(batch: &mut Batch, kind: Kind, all: &[Return]) {
    for map in ["esp4", "udp4", "esp6", "udp6"] {
        let of_map = all.iter().filter(|sa| sa.map() == map);
        let list: Vec<Vec<u8>> =
            of_map.map(|sa| element(&sa.key(), Some(&sa.mark_in.to_ne_bytes()))).collect();
        if !list.is_empty() {
            batch.add(kind, &in_set(map, &list));
        }
    }
}

/// NFTA_SET_ELEM_LIST_TABLE, SET, ELEMENTS.
fn in_set(name: &str, list: &[Vec<u8>]) -> [Vec<u8>; 3] {
    [text(1, TABLE), text(2, name), nested(3, list)]
}

/// NFTA_LIST_ELEM { NFTA_SET_ELEM_KEY, DATA }.
fn element(key: &[u8], data: Option<&[u8; 4]>) -> Vec<u8> {
    let value = |kind, bytes: &[u8]| nested(kind, &[attribute(1, bytes)]);
    let mut parts = vec![value(1, key)];
    parts.extend(data.map(|data| value(2, data)));
    nested(1, &parts)
}

/// The table without elements.
fn table() -> Batch {
    let mut batch = Batch::new(INET);
    // Made first, it can be deleted whether it was there or not.
    batch.add(Kind::NewTable, &[text(1, TABLE), number(2, 0)]);
    batch.add(Kind::DeleteTable, &[text(1, TABLE)]);
    batch.add(Kind::NewTable, &[text(1, TABLE), number(2, 0)]);
    let joined = |parts: &[u32]| parts.iter().fold(0, |joined, part| joined << 6 | part);
    let (v4, v6) = (IPV4_ADDRESS, IPV6_ADDRESS);
    let maps = [
        ("esp4", joined(&[v4, MARK]), 8),
        ("udp4", joined(&[v4, SERVICE, MARK]), 12),
        ("esp6", joined(&[v6, MARK]), 20),
        ("udp6", joined(&[v6, SERVICE, MARK]), 24),
        ("answers", MARK, 4),
    ];
    for (id, (name, kind, len)) in (1u32..).zip(maps) {
        // NFTA_SET_FLAGS: NFT_SET_MAP
        let mut set = set(id, name, kind, len, 8);
        set.extend([number(6, MARK), number(7, 4)]);
        batch.add(Kind::NewSet, &set);
    }
    batch.add(Kind::NewSet, &set(9, "returns", MARK, 4, 0));
    // NF_INET_PRE_ROUTING, LOCAL_IN, LOCAL_OUT
    for (name, kind, hook) in [("arrive", "filter", 0), ("keep", "filter", 1), ("answer", "route", 3)] {
        let hook = nested(4, &[number(1, hook), number(2, MANGLE)]);
        batch.add(Kind::NewChain, &[text(1, TABLE), text(3, name), hook, text(7, kind)]);
    }
    let mut rule = |chain: &str, expressions: &[Vec<u8>]| {
        batch.add(Kind::NewRule, &[text(1, TABLE), text(2, chain), nested(4, expressions)]);
    };
    // (family, offset of the destination, its length, the register behind it)
    for (family, offset, len, next) in [(IPV4, 16, 4, 9), (IPV6, 24, 16, 2)] {
        let of_family = [load("meta", 15), equals(&[family])];
        let destination = payload(FIRST, 1, offset, len);
        let (esp, udp) = if family == IPV4 { ("esp4", "udp4") } else { ("esp6", "udp6") };
        let mut all = of_family.to_vec();
        all.extend([load("meta", 16), equals(&[50]), destination.clone(), payload(next, 2, 0, 4)]);
        all.extend([lookup(esp, true), store("meta", 3)]);
        rule("arrive", &all);
        let mut all = of_family.to_vec();
        all.extend([load("meta", 16), equals(&[17]), destination, payload(next, 2, 2, 2)]);
        // An address fills one register of four bytes or four; the port is in the next, and then the payload's begin.
        all.extend([payload(if family == IPV4 { 10 } else { 13 }, 2, 8, 4), lookup(udp, true)]);
        all.push(store("meta", 3));
        rule("arrive", &all);
    }
    rule("keep", &[load("meta", 25), equals(&[1]), load("meta", 3), lookup("answers", true), store("ct", 3)]);
    rule("answer", &[load("ct", 3), lookup("returns", false), load("ct", 3), store("meta", 3)]);
    batch
}

/// NFTA_SET_TABLE, NAME, FLAGS, KEY_TYPE, KEY_LEN, ID, USERDATA.
fn set(id: u32, name: &str, kind: u32, len: u32, flags: u32) -> Vec<Vec<u8>> {
    let mut parts = vec![
        text(1, TABLE),
        text(2, name),
        number(3, flags),
        number(4, kind),
        number(5, len),
        number(10, id),
    ];
    // For `nft list`: NFTA_SET_USERDATA with the byte order of key and data, where 1 is the host's.
    let order = |what: u8, order: u32| [vec![what, 4], order.to_ne_bytes().to_vec()].concat();
    parts.push(attribute(13, &[order(0, u32::from(kind == MARK)), order(1, 1)].concat()));
    parts
}

/// DREG, KEY of `meta` and `ct`.
fn load(what: &str, key: u32) -> Vec<u8> {
    expression(what, &[number(1, FIRST), number(2, key)])
}

/// SREG, KEY.
fn store(what: &str, key: u32) -> Vec<u8> {
    let source = if what == "ct" { 4 } else { 3 };
    expression(what, &[number(source, FIRST), number(2, key)])
}

fn equals(value: &[u8]) -> Vec<u8> {
    expression("cmp", &[number(1, FIRST), number(2, 0), nested(3, &[attribute(1, value)])])
}

/// DREG, BASE (1: network, 2: transport header), OFFSET, LEN.
fn payload(register: u32, base: u32, offset: u32, len: u32) -> Vec<u8> {
    expression("payload", &[number(1, register), number(2, base), number(3, offset), number(4, len)])
}

/// SET, SREG, DREG of a map.
fn lookup(name: &str, map: bool) -> Vec<u8> {
    let mut parts = vec![text(1, name), number(2, FIRST)];
    if map {
        parts.push(number(3, FIRST));
    }
    expression("lookup", &parts)
}

#[cfg(test)]
mod tests {
    use super::Return;

    #[test]
    fn keys_are_padded_to_registers() {
        let mut sa = Return {
            local: "192.0.2.1".parse().unwrap(),
            spi: 0xc001_0203,
            port: None,
            mark_in: 1,
            mark_out: 1,
        };
        assert_eq!((sa.map(), sa.key()), ("esp4", vec![192, 0, 2, 1, 0xc0, 1, 2, 3]));
        sa.port = Some(4500);
        assert_eq!((sa.map(), sa.key()), ("udp4", vec![192, 0, 2, 1, 0x11, 0x94, 0, 0, 0xc0, 1, 2, 3]));
        sa.local = "2001:db8::1".parse().unwrap();
        assert_eq!((sa.map(), sa.key().len()), ("udp6", 24));
    }
}
