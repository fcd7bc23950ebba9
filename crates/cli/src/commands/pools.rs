//! `cygnet leases`, `cygnet pools`.
use super::status::{table, trimmed};
use crate::args::Pools;
use crate::exit::{FAILED, Failure};
use crate::out::{clean, count, put, say};
use crate::session::connect;
use config::tree::Section;
use serde::Serialize;
use std::process::ExitCode;
use vici::{Client, Message};

/// `{"schema": "cygnet.pools/1", "pools": […]}`; fields are only ever added.
#[derive(Debug, Serialize)]
struct Document {
    schema: &'static str,
    pools: Vec<Pool>,
}

/// A pool of virtual addresses.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) base: String,
    pub(crate) size: u64,
    pub(crate) online: u64,
    pub(crate) offline: u64,
    pub(crate) leases: Vec<Lease>,
}

/// Who holds an address.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Lease {
    pub(crate) address: String,
    pub(crate) identity: String,
    pub(crate) online: bool,
}

pub(super) fn leases(uri: Option<&str>, args: &Pools) -> Result<ExitCode, Failure> {
    let pools = fetch(&mut connect(uri)?, args.name.as_deref())?;
    if args.json {
        return json(pools);
    }
    say!("{}", render_leases(&pools));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn pools(uri: Option<&str>, args: &Pools) -> Result<ExitCode, Failure> {
    let pools = fetch(&mut connect(uri)?, args.name.as_deref())?;
    if args.json {
        return json(pools);
    }
    if pools.is_empty() {
        say!("no pools are loaded");
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = table(["POOL", "FROM", "ADDRESSES", "ONLINE", "OFFLINE", "NEVER LEASED"]);
    for pool in &pools {
        let free = pool.size.saturating_sub(pool.online).saturating_sub(pool.offline);
        table.add_row([
            clean(&pool.name).into_owned(),
            pool.base.clone(),
            count(pool.size),
            count(pool.online),
            count(pool.offline),
            count(free),
        ]);
    }
    say!("{}", trimmed(&table));
    Ok(ExitCode::SUCCESS)
}

/// The leases of all pools.
pub(crate) fn render_leases(pools: &[Pool]) -> String {
    if pools.iter().all(|pool| pool.leases.is_empty()) {
        return "no address is leased".to_owned();
    }
    let mut table = table(["ADDRESS", "HELD BY", "STATE", "POOL"]);
    for pool in pools {
        for lease in &pool.leases {
            let state = if lease.online { "online" } else { "offline" };
            table.add_row([
                &lease.address,
                clean(&lease.identity).as_ref(),
                state,
                clean(&pool.name).as_ref(),
            ]);
        }
    }
    trimmed(&table)
}

fn json(pools: Vec<Pool>) -> Result<ExitCode, Failure> {
    let document = Document { schema: "cygnet.pools/1", pools };
    put!("{}", serde_json::to_string_pretty(&document).unwrap_or_default());
    Ok(ExitCode::SUCCESS)
}

/// Asks the daemon.
pub(crate) fn fetch(client: &mut Client, name: Option<&str>) -> Result<Vec<Pool>, Failure> {
    let mut message = Section::default();
    message.put_bool("leases", true);
    if let Some(name) = name {
        message.put("name", name);
    }
    let pools = read(&client.request("get-pools", message)?);
    if let (Some(name), true) = (name, pools.is_empty()) {
        return Err(
            Failure::new(FAILED, format_args!("no pool is called '{name}'")).hint("'cygnet pools' shows all")
        );
    }
    Ok(pools)
}

fn read(answer: &Section) -> Vec<Pool> {
    answer
        .children()
        .map(|(name, pool)| Pool {
            name: name.to_owned(),
            base: pool.text("base").unwrap_or_default().to_owned(),
            size: pool.number("size").unwrap_or(0),
            online: pool.number("online").unwrap_or(0),
            offline: pool.number("offline").unwrap_or(0),
            leases: pool
                .child("leases")
                .into_iter()
                .flat_map(|all| all.children())
                .map(|(_, one)| lease(one))
                .collect(),
        })
        .collect()
}

fn lease(lease: &Section) -> Lease {
    Lease {
        address: lease.text("address").unwrap_or_default().to_owned(),
        identity: lease.text("identity").unwrap_or_default().to_owned(),
        online: lease.text("status") == Some("online"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_and_leases_are_read_and_shown() {
        let mut one = Section::default();
        one.put("address", "10.3.0.1").put("identity", "carol@example.org").put("status", "online");
        let mut leases = Section::default();
        leases.put_section("0", one);
        let mut pool = Section::default();
        pool.put("base", "10.3.0.0")
            .put("size", 254)
            .put("online", 1)
            .put("offline", 0)
            .put_section("leases", leases);
        let mut answer = Section::default();
        answer.put_section("v4", pool);
        let pools = read(&answer);
        assert_eq!((pools[0].size, pools[0].leases.len(), pools[0].leases[0].online), (254, 1, true));
        assert_eq!(
            render_leases(&pools),
            "ADDRESS   HELD BY            STATE   POOL\n10.3.0.1  carol@example.org  online  v4"
        );
        assert_eq!(render_leases(&[]), "no address is leased");
    }
}
