//! Pools and leases for people, and as `ipsec leases` shows them.
use super::super::status::{table, trimmed};
use super::{Lease, Pool};
use crate::out::{clean, count, duration, put};

/// Rows from which the widths of the columns are taken; the rest is printed as it comes.
const FIRST: usize = 1000;
const HEAD: [&str; 7] = ["ADDRESS", "HELD BY", "STATE", "SINCE", "EXPIRES", "POOL", "BACKEND"];

type Row = [String; HEAD.len()];

/// The table of pools.
pub(super) fn pools(pools: &[Pool]) -> String {
    let mut table = table(["POOL", "BACKEND", "FROM", "SIZE", "ONLINE", "OFFLINE", "USAGE"]);
    for pool in pools {
        let unknown = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        table.add_row([
            clean(&pool.name).into_owned(),
            clean(&pool.backend).into_owned(),
            unknown(&pool.base),
            if pool.size == 0 { "-".to_owned() } else { count(pool.size) },
            count(pool.online),
            count(pool.offline),
            share(pool.usage, pool.size),
        ]);
    }
    trimmed(&table)
}

/// How full a pool is.
fn share(used: u64, size: u64) -> String {
    match (used, size) {
        (_, 0) => "-".to_owned(),
        (0, _) => "0%".to_owned(),
        _ if used.saturating_mul(100) < size => "<1%".to_owned(),
        _ => format!("{}%", used.saturating_mul(100) / size),
    }
}

/// As `ipsec leases` prints them.
pub(super) fn as_ipsec_leases(pools: &[Pool]) {
    for line in pools.iter().flat_map(ipsec_leases) {
        put!("{line}");
    }
}

fn ipsec_leases(pool: &Pool) -> Vec<String> {
    let head = format!(
        "Leases in pool '{}', usage: {}/{}, {} online",
        clean(&pool.name),
        pool.usage,
        pool.size,
        pool.online
    );
    let row = |lease: &Lease| {
        let state = if lease.online { "online" } else { "offline" };
        format!("    {}   {state}   '{}'", clean(&lease.address), clean(&lease.identity))
    };
    std::iter::once(head).chain(pool.leases.iter().map(row)).collect()
}

/// Prints leases as they come: their number is not bounded.
pub(super) struct LeaseTable {
    /// Unix seconds.
    now: u64,
    waiting: Vec<Row>,
    /// Known once the first rows are printed.
    widths: Option<[usize; HEAD.len()]>,
}

impl LeaseTable {
    pub(super) const fn new(now: u64) -> Self {
        Self { now, waiting: Vec::new(), widths: None }
    }

    pub(super) fn add(&mut self, pool: &str, backend: &str, lease: &Lease, mut print: impl FnMut(String)) {
        let row = self.row(pool, backend, lease);
        if let Some(widths) = &self.widths {
            print(line(&row, widths));
            return;
        }
        self.waiting.push(row);
        if self.waiting.len() >= FIRST {
            self.begin(print);
        }
    }

    /// Prints what is left.
    pub(super) fn end(mut self, mut print: impl FnMut(String)) {
        if self.widths.is_none() && self.waiting.is_empty() {
            print("no address is leased".to_owned());
        } else if self.widths.is_none() {
            self.begin(print);
        }
    }

    fn begin(&mut self, mut print: impl FnMut(String)) {
        let head = HEAD.map(str::to_owned);
        let mut widths = [0; HEAD.len()];
        for row in std::iter::once(&head).chain(&self.waiting) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in std::iter::once(head).chain(self.waiting.drain(..)) {
            print(line(&row, &widths));
        }
        self.widths = Some(widths);
    }

    fn row(&self, pool: &str, backend: &str, lease: &Lease) -> Row {
        let address = match lease.prefix {
            Some(length) => format!("{}/{length}", lease.address),
            None => lease.address.clone(),
        };
        let since = lease.since.map(|time| duration(self.now.saturating_sub(time)));
        let expires = lease.expires.map(|time| match time.checked_sub(self.now) {
            Some(left) => format!("in {}", duration(left)),
            None => "expired".to_owned(),
        });
        let unknown = || "-".to_owned();
        [
            clean(&address).into_owned(),
            clean(&lease.identity).into_owned(),
            if lease.online { "online" } else { "offline" }.to_owned(),
            since.unwrap_or_else(unknown),
            expires.unwrap_or_else(unknown),
            clean(pool).into_owned(),
            clean(backend).into_owned(),
        ]
    }
}

fn line(row: &Row, widths: &[usize; HEAD.len()]) -> String {
    let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
    cells.join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(address: &str, identity: &str, online: bool) -> Lease {
        Lease {
            address: address.to_owned(),
            prefix: None,
            identity: identity.to_owned(),
            online,
            since: None,
            expires: None,
        }
    }

    fn pool() -> Pool {
        Pool {
            name: "v4".into(),
            backend: "vici".into(),
            base: "10.3.0.0".into(),
            size: 254,
            online: 1,
            offline: 0,
            usage: 1,
            leases: vec![lease("10.3.0.1", "carol@strongswan.org", true)],
        }
    }

    #[test]
    fn leases_as_a_table() {
        let mut lines = Vec::new();
        let mut table = LeaseTable::new(10_000);
        table.add("v4", "vici", &lease("10.3.0.1", "carol@example.org", true), |_| panic!("too early"));
        let known = Lease { since: Some(9_000), expires: Some(10_060), ..lease("10.4.0.2", "dave", false) };
        table.add("db", "attr-sql", &known, |_| panic!("too early"));
        let gone = Lease { prefix: Some(64), expires: Some(1), ..lease("fd03::", "erin\u{7}", false) };
        table.add("db", "attr-sql", &gone, |_| panic!("too early"));
        table.end(|line| lines.push(line));
        assert_eq!(
            lines.join("\n"),
            "\
ADDRESS    HELD BY            STATE    SINCE    EXPIRES    POOL  BACKEND
10.3.0.1   carol@example.org  online   -        -          v4    vici
10.4.0.2   dave               offline  16m 40s  in 1m 00s  db    attr-sql
fd03::/64  erin\u{fffd}              offline  -        expired    db    attr-sql"
        );
    }

    #[test]
    fn a_long_list_is_printed_as_it_comes() {
        let mut printed = 0;
        let mut table = LeaseTable::new(0);
        for number in 0..FIRST * 2 {
            table.add("v4", "vici", &lease("10.3.0.1", "carol", true), |_| printed += 1);
            assert!(table.waiting.len() < FIRST, "{number}");
        }
        assert_eq!(printed, FIRST * 2 + 1);
        table.end(|_| panic!("nothing is left"));
        let mut lines = Vec::new();
        LeaseTable::new(0).end(|line| lines.push(line));
        assert_eq!(lines, ["no address is leased"]);
    }

    #[test]
    fn pools_as_a_table() {
        let large = Pool { name: "db".into(), backend: "attr-sql".into(), size: 1_000, usage: 9, ..pool() };
        let unknown = Pool { name: "dhcp".into(), backend: "dhcp".into(), ..Pool::default() };
        assert_eq!(
            pools(&[pool(), large, unknown]),
            "\
POOL  BACKEND   FROM      SIZE   ONLINE  OFFLINE  USAGE
v4    vici      10.3.0.0  254    1       0        <1%
db    attr-sql  10.3.0.0  1,000  1       0        <1%
dhcp  dhcp      -         -      0       0        -"
        );
        assert_eq!((share(0, 10), share(1, 10), share(10, 10)), ("0%".into(), "10%".into(), "100%".into()));
    }

    #[test]
    fn leases_as_ipsec_prints_them() {
        assert_eq!(
            ipsec_leases(&pool()),
            ["Leases in pool 'v4', usage: 1/254, 1 online", "    10.3.0.1   online   'carol@strongswan.org'"]
        );
    }
}
