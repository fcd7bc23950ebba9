//! What is answered: as strongSwan's tool lays it out, or as JSON.
use super::attributes;
use super::options::HELP;
use crate::out::{clean, complain, put};
use crate::pki::dates;
use jiff::Timestamp;
use policy::attribute::KEYWORDS;
use serde_json::{Value, json};
use sql::admin::{Attribute, Lease, LeaseState, PoolRow};
use std::net::IpAddr;

/// The answer to one order.
#[derive(Debug)]
pub(super) enum Answer {
    Help,
    Keywords,
    Status {
        dns: Vec<IpAddr>,
        nbns: Vec<IpAddr>,
        pools: Vec<PoolRow>,
    },
    Attributes {
        attributes: Vec<Attribute>,
        as_hex: bool,
    },
    Leases {
        leases: Vec<Lease>,
        utc: bool,
        notes: Vec<String>,
    },
    Done {
        what: &'static str,
        message: String,
        /// How many pools' addresses, attributes, … it was about.
        count: u64,
        /// What the administrator should know besides.
        notes: Vec<String>,
    },
}

impl Answer {
    pub(super) const fn done(what: &'static str, message: String, count: u64) -> Self {
        Self::Done { what, message, count, notes: Vec::new() }
    }

    /// Adds notes to what was done.
    pub(super) fn with(mut self, more: Vec<String>) -> Self {
        if let Self::Done { notes, .. } = &mut self {
            notes.extend(more);
        }
        self
    }

    /// Prints it for people; notes go to standard error.
    pub(super) fn show(&self) {
        put!("{}", clean(&self.text()));
        if let Self::Done { notes, .. } | Self::Leases { notes, .. } = self {
            for note in notes {
                complain!("{}", clean(note));
            }
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Help => HELP.to_owned(),
            Self::Keywords => keywords(),
            Self::Status { dns, nbns, pools } => status(dns, nbns, pools),
            Self::Attributes { attributes, as_hex } => self::attributes(attributes, *as_hex),
            Self::Leases { leases, utc, .. } => self::leases(leases, *utc),
            Self::Done { message, .. } => message.clone(),
        }
    }

    /// `{"schema": "cygnet.pool/1", …}`; fields are only ever added.
    pub(super) fn json(&self) -> Value {
        let mut document = match self {
            Self::Help => json!({ "help": HELP }),
            Self::Keywords => json!({ "keywords": KEYWORDS.iter().map(|keyword| json!({
                "keyword": keyword.name,
                "aliases": keyword.aliases,
                "value": attributes::options(keyword.form),
                "types": attributes::kinds(keyword),
                "description": keyword.help,
            })).collect::<Vec<_>>() }),
            Self::Status { dns, nbns, pools } => json!({
                "dns": dns,
                "nbns": nbns,
                "pools": pools.iter().map(|pool| json!({
                    "name": pool.name,
                    "start": pool.start,
                    "end": pool.end,
                    "timeout": pool.timeout,
                    "size": u64::try_from(pool.size).unwrap_or(u64::MAX),
                    "online": pool.online,
                    "usage": pool.used,
                })).collect::<Vec<_>>(),
            }),
            Self::Attributes { attributes, as_hex } => json!({
                "attributes": attributes.iter().map(|one| json!({
                    "type": u16::from(one.kind),
                    "description": attributes::description(one.kind.into()),
                    "pool": one.pool,
                    "identity": one.identity.as_ref().map(ToString::to_string),
                    "value": attributes::shown(one.kind.into(), &one.value, *as_hex),
                })).collect::<Vec<_>>(),
            }),
            Self::Leases { leases, notes, .. } => json!({
                "leases": leases.iter().map(|lease| json!({
                    "pool": lease.pool,
                    "address": lease.address,
                    "status": state(lease.state),
                    "identity": lease.identity.to_string(),
                    "acquired": lease.acquired,
                    "released": lease.released,
                    "expires": lease.expires,
                    "gateways": lease.gateways,
                })).collect::<Vec<_>>(),
                "notes": notes,
            }),
            Self::Done { what, message, count, notes } => {
                json!({ "done": what, "message": message, "count": count, "notes": notes })
            }
        };
        if let Some(fields) = document.as_object_mut() {
            fields.insert("schema".to_owned(), "cygnet.pool/1".into());
        }
        document
    }
}

const fn state(state: LeaseState) -> &'static str {
    match state {
        LeaseState::Online => "online",
        LeaseState::Valid => "valid",
        LeaseState::Expired => "expired",
    }
}

/// Columns as wide as they need to be. Numbers stand right (`true`).
fn columns<const N: usize>(head: [(&str, bool); N], rows: &[[String; N]]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.chain([head[at].0.len()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |cells: [&str; N]| {
        let cells: Vec<String> = (0..N)
            .map(|at| {
                let width = widths[at];
                if head[at].1 { format!("{:>width$}", cells[at]) } else { format!("{:<width$}", cells[at]) }
            })
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    let titles = line(head.map(|(title, _)| title));
    let rows = rows.iter().map(|row| line(std::array::from_fn(|at| row[at].as_str())));
    std::iter::once(titles).chain(rows).collect::<Vec<_>>().join("\n")
}

fn status(dns: &[IpAddr], nbns: &[IpAddr], pools: &[PoolRow]) -> String {
    let mut lines = Vec::new();
    for (label, servers) in [("dns", dns), ("nbns", nbns)] {
        if !servers.is_empty() {
            let all: Vec<String> = servers.iter().map(ToString::to_string).collect();
            lines.push(format!("{label} servers: {}", all.join(" ")));
        }
    }
    if pools.is_empty() {
        lines.push("no pools found".to_owned());
        return lines.join("\n");
    }
    let rows: Vec<[String; 7]> = pools
        .iter()
        .map(|pool| {
            [
                clean(&pool.name).into_owned(),
                pool.start.to_string(),
                pool.end.to_string(),
                timeout(pool.timeout),
                pool.size.to_string(),
                share(pool.online, pool.size),
                share(pool.used, pool.size),
            ]
        })
        .collect();
    lines.push(columns(
        [
            ("name", false),
            ("start", false),
            ("end", false),
            ("timeout", true),
            ("size", true),
            ("online", true),
            ("usage", true),
        ],
        &rows,
    ));
    lines.join("\n")
}

/// In the largest unit that gives more than two.
fn timeout(seconds: u64) -> String {
    match seconds {
        0 => "static".to_owned(),
        172_801.. => format!("{}d", seconds / 86_400),
        7_201.. => format!("{}h", seconds / 3_600),
        121.. => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

fn share(count: u64, size: u128) -> String {
    let percent = u128::from(count).saturating_mul(100).checked_div(size).unwrap_or(0);
    format!("{count} ({percent:>2}%)")
}

fn leases(leases: &[Lease], utc: bool) -> String {
    if leases.is_empty() {
        return "no matching leases found".to_owned();
    }
    let date = |seconds: Option<u64>| {
        let at = seconds.and_then(|seconds| i64::try_from(seconds).ok());
        let at = at.and_then(|seconds| Timestamp::from_second(seconds).ok());
        at.map_or_else(|| "-".to_owned(), |at| if utc { dates::show_utc(at) } else { dates::show(at) })
    };
    let rows: Vec<[String; 6]> = leases
        .iter()
        .map(|lease| {
            let end = match lease.state {
                LeaseState::Online => None,
                LeaseState::Valid => lease.expires,
                LeaseState::Expired => lease.expires.or(lease.released),
            };
            [
                clean(&lease.pool).into_owned(),
                lease.address.to_string(),
                state(lease.state).to_owned(),
                date(lease.acquired),
                date(end),
                clean(&lease.identity.to_string()).into_owned(),
            ]
        })
        .collect();
    columns(
        [
            ("name", false),
            ("address", false),
            ("status", false),
            ("start", false),
            ("end", false),
            ("identity", false),
        ],
        &rows,
    )
}

fn attributes(attributes: &[Attribute], as_hex: bool) -> String {
    if attributes.is_empty() {
        return "no attributes found".to_owned();
    }
    let rows: Vec<[String; 5]> = attributes
        .iter()
        .map(|one| {
            let kind = u16::from(one.kind);
            let or_all = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            [
                kind.to_string(),
                attributes::description(kind).to_owned(),
                or_all(one.pool.as_deref().map(|name| clean(name).into_owned())),
                or_all(one.identity.as_ref().map(ToString::to_string)),
                clean(&attributes::shown(kind, &one.value, as_hex)).into_owned(),
            ]
        })
        .collect();
    columns(
        [("type", true), ("description", false), ("pool", false), ("identity", false), ("value", false)],
        &rows,
    )
}

fn keywords() -> String {
    let rows: Vec<[String; 4]> = KEYWORDS
        .iter()
        .map(|keyword| {
            let names: Vec<&str> = std::iter::once(&keyword.name).chain(keyword.aliases).copied().collect();
            [
                names.join(", "),
                attributes::options(keyword.form),
                attributes::descriptions(keyword).join(", "),
                keyword.help.to_owned(),
            ]
        })
        .collect();
    let table =
        columns([("keyword", false), ("value", false), ("type", false), ("description", false)], &rows);
    format!(
        "{table}\nwith internal_ip4_ or internal_ip6_ before it, a keyword of two types is for one family"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::Identity;

    fn pool(name: &str, ends: [&str; 2], timeout: u64, counts: (u128, u64, u64)) -> PoolRow {
        let [start, end] = ends.map(|text| text.parse().unwrap());
        PoolRow {
            name: name.into(),
            start,
            end,
            timeout,
            size: counts.0,
            online: counts.1,
            used: counts.2,
            unmade: 0,
        }
    }

    #[test]
    fn the_table_of_pools() {
        let pools = [
            pool("bigpool", ["10.3.0.1", "10.3.3.232"], 0, (1000, 2, 12)),
            pool("pool_v6", ["fec3::1", "fec3::fe"], 172_800, (254, 1, 254)),
        ];
        let dns = ["10.1.0.10", "10.1.0.20"].map(|text| text.parse().unwrap());
        let answer = Answer::Status { dns: dns.to_vec(), nbns: vec![dns[1]], pools: pools.to_vec() };
        assert_eq!(
            answer.text(),
            "\
dns servers: 10.1.0.10 10.1.0.20
nbns servers: 10.1.0.20
name     start     end         timeout  size   online       usage
bigpool  10.3.0.1  10.3.3.232   static  1000  2 ( 0%)    12 ( 1%)
pool_v6  fec3::1   fec3::fe        48h   254  1 ( 0%)  254 (100%)"
        );
        assert_eq!(answer.json()["pools"][1]["usage"], 254);
        let none = Answer::Status { dns: Vec::new(), nbns: Vec::new(), pools: Vec::new() };
        assert_eq!(none.text(), "no pools found");
    }

    #[test]
    fn timeouts_in_the_largest_fitting_unit() {
        for (seconds, text) in [
            (0, "static"),
            (90, "90s"),
            (3_600, "60m"),
            (7_200, "120m"),
            (10_800, "3h"),
            (172_800, "48h"),
            (259_200, "3d"),
        ] {
            assert_eq!(timeout(seconds), text);
        }
    }

    #[test]
    fn the_table_of_leases() {
        let lease = |address: &str, state, released, expires| Lease {
            pool: "bigpool".into(),
            address: address.parse().unwrap(),
            identity: Identity::parse("carol@strongswan.org").unwrap(),
            state,
            acquired: Some(1_700_000_000),
            released,
            expires,
            gateways: Vec::new(),
        };
        let leases = vec![
            lease("10.3.0.1", LeaseState::Online, None, None),
            lease("10.3.0.2", LeaseState::Valid, Some(1_700_000_100), Some(1_700_003_700)),
            lease("10.3.0.13", LeaseState::Expired, Some(1_700_000_100), None),
        ];
        let answer = Answer::Leases { leases, utc: true, notes: Vec::new() };
        assert_eq!(
            answer.text(),
            "\
name     address    status   start                     end                       identity
bigpool  10.3.0.1   online   Nov 14 22:13:20 UTC 2023  -                         carol@strongswan.org
bigpool  10.3.0.2   valid    Nov 14 22:13:20 UTC 2023  Nov 14 23:15:00 UTC 2023  carol@strongswan.org
bigpool  10.3.0.13  expired  Nov 14 22:13:20 UTC 2023  Nov 14 22:15:00 UTC 2023  carol@strongswan.org"
        );
        let document = answer.json();
        assert_eq!(
            (&document["schema"], &document["leases"][1]["status"]),
            (&"cygnet.pool/1".into(), &"valid".into())
        );
    }

    #[test]
    fn the_table_of_attributes() {
        let one = |kind: u16, value: &[u8], pool: Option<&str>, identity: Option<&str>| Attribute {
            kind: kind.into(),
            value: value.to_vec(),
            pool: pool.map(str::to_owned),
            identity: identity.map(|text| Identity::parse(text).unwrap()),
        };
        let all = vec![
            one(3, &[10, 1, 0, 10], None, None),
            one(28_672, b"hello", Some("intpool"), Some("alice@strongswan.org")),
            one(99, &[1, 2], Some("intpool"), None),
        ];
        let shown = Answer::Attributes { attributes: all.clone(), as_hex: false };
        assert_eq!(
            shown.text(),
            " type  description       pool     identity              value
    3  INTERNAL_IP4_DNS  -        -                     10.1.0.10
28672  UNITY_BANNER      intpool  alice@strongswan.org  hello
   99                    intpool  -                     0x0102"
        );
        let hex = Answer::Attributes { attributes: all, as_hex: true };
        assert!(hex.text().contains("0x0a01000a") && hex.text().contains("0x68656c6c6f"));
        assert_eq!(hex.json()["attributes"][1]["identity"], "alice@strongswan.org");
    }

    #[test]
    fn every_keyword_is_listed() {
        let text = Answer::Keywords.text();
        assert_eq!(text.lines().count(), KEYWORDS.len() + 2);
        assert!(text.contains("INTERNAL_IP4_DNS, INTERNAL_IP6_DNS"), "{text}");
        assert!(text.contains("\nsplit_dns, unity_splitdns_name, "), "{text}");
    }

    #[test]
    fn notes_are_part_of_what_was_done() {
        let answer = Answer::done("add", "pool 'x' added".into(), 3).with(vec!["note: y".into()]);
        assert_eq!(answer.text(), "pool 'x' added");
        assert_eq!((&answer.json()["count"], &answer.json()["notes"][0]), (&3.into(), &"note: y".into()));
    }
}
