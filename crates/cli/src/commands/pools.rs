//! `cygnet pools`, `cygnet leases`: of every backend of the daemon.
use crate::args::{LeaseFormat, Leases, Pools};
use crate::exit::Failure;
use crate::out::{put, say};
use crate::session::connect;
use ask::Query;
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;
use vici::Client;

pub(crate) mod ask;
pub(crate) mod show;

/// How long the daemon may take to find the next lease that fits: a database may be behind it.
const PATIENCE: Duration = Duration::from_secs(60);

/// `{"schema": "cygnet.pools/1", "pools": […]}`; fields are only ever added.
#[derive(Debug, Serialize)]
struct Document {
    schema: &'static str,
    pools: Vec<Pool>,
}

/// A pool of virtual addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Pool {
    pub(crate) name: String,
    /// The plugin of strongSwan whose place the backend takes: `vici` has the pools in memory.
    pub(crate) backend: String,
    pub(crate) base: String,
    /// 0: the backend does not know.
    pub(crate) size: u64,
    pub(crate) online: u64,
    pub(crate) offline: u64,
    /// Addresses that belong to somebody: online and offline.
    pub(crate) usage: u64,
    pub(crate) leases: Vec<Lease>,
}

/// Who holds an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Lease {
    pub(crate) address: String,
    /// Its length, where it is a prefix that is leased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<u8>,
    pub(crate) identity: String,
    pub(crate) online: bool,
    /// Since when it is online, or offline (Unix seconds).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<u64>,
    /// When it ends for good (Unix seconds).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<u64>,
}

pub(super) fn leases(uri: Option<&str>, args: &Leases) -> Result<ExitCode, Failure> {
    let query = Query {
        pool: args.pool.clone(),
        backend: args.backend.clone(),
        identity: args.identity.clone(),
        address: args.address,
        online: (args.online || args.offline).then_some(args.online),
    };
    let mut client = connect(uri)?;
    client.set_timeout(Some(PATIENCE));
    if args.json || args.format == LeaseFormat::Ipsec {
        let (pools, trouble) = ask::everything(&mut client, &query)?;
        if args.json {
            json(pools)
        } else {
            show::as_ipsec_leases(&pools)
        }
        return ended(trouble);
    }
    let mut table = show::LeaseTable::new(now());
    let trouble = ask::leases(&mut client, &query, |pool, backend, lease| {
        table.add(pool, backend, &lease, |line| say!("{line}"));
    })?;
    table.end(|line| say!("{line}"));
    ended(trouble)
}

pub(super) fn pools(uri: Option<&str>, args: &Pools) -> Result<ExitCode, Failure> {
    let query = Query { pool: args.name.clone(), backend: args.backend.clone(), ..Query::default() };
    let mut client = connect(uri)?;
    client.set_timeout(Some(PATIENCE));
    if args.json {
        let (pools, trouble) = ask::everything(&mut client, &query)?;
        json(pools);
        return ended(trouble);
    }
    let (pools, trouble) = ask::pools(&mut client, &query)?;
    if pools.is_empty() && trouble.is_none() {
        say!("{}", query.backend.map_or("no pools are loaded", |_| "this backend has no pools"));
    } else if !pools.is_empty() {
        say!("{}", show::pools(&pools));
    }
    ended(trouble)
}

/// What could be had was shown; what could not is the error.
fn ended(trouble: Option<Failure>) -> Result<ExitCode, Failure> {
    trouble.map_or(Ok(ExitCode::SUCCESS), Err)
}

fn json(pools: Vec<Pool>) {
    let document = Document { schema: "cygnet.pools/1", pools };
    put!("{}", serde_json::to_string_pretty(&document).unwrap_or_default());
}

/// All pools with their leases.
pub(crate) fn fetch(client: &mut Client) -> Result<Vec<Pool>, Failure> {
    match ask::everything(client, &Query::default())? {
        (_, Some(trouble)) => Err(trouble),
        (pools, None) => Ok(pools),
    }
}

/// The leases of all pools as a table.
pub(crate) fn render_leases(pools: &[Pool]) -> String {
    let mut lines = Vec::new();
    let mut table = show::LeaseTable::new(now());
    for pool in pools {
        for lease in &pool.leases {
            table.add(&pool.name, &pool.backend, lease, |line| lines.push(line));
        }
    }
    table.end(|line| lines.push(line));
    lines.join("\n")
}

fn now() -> u64 {
    u64::try_from(crate::pki::dates::now().as_second()).unwrap_or(0)
}
