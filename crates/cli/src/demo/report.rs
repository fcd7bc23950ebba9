//! `cygnet demo --json`: `{"schema": "cygnet.demo/1", …}`; fields are only ever added.
use super::traffic::{Ping, Transfer};
use crate::commands::pools::Pool;
use crate::out::put;
use crate::view::IkeSa;

/// Everything the demo found out.
pub(super) struct Report<'a> {
    pub(super) nat: bool,
    pub(super) tunnel_ms: u128,
    pub(super) up: &'a IkeSa,
    pub(super) pings: &'a [Ping],
    pub(super) transfer: &'a Transfer,
    pub(super) client: Vec<IkeSa>,
    pub(super) gateway: Vec<IkeSa>,
    pub(super) pools: Vec<Pool>,
    pub(super) seconds: f64,
}

pub(super) fn print(report: &Report<'_>) {
    let document = serde_json::json!({
        "schema": "cygnet.demo/1",
        "nat": report.nat,
        "tunnel_ms": report.tunnel_ms,
        "virtual_ips": report.up.local.virtual_ips,
        "pings": report.pings,
        "transfer": report.transfer,
        "client": report.client,
        "gateway": report.gateway,
        "pools": report.pools,
        "seconds": report.seconds,
    });
    put!("{document:#}");
}
