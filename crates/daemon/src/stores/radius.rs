//! Addresses and attributes that a RADIUS server assigned in its Access-Accept (RFC 2865 Framed-*).
use crate::asks::radius::Handle;
use policy::{Identity, attribute};
use pool::{Attributes, Grant, Later, LeaseRow, Origin, PoolStatus, Store, Trouble, Wanted};
use radius::relay::Framed;
use std::net::IpAddr;
use wire::ike::ConfigAttr;

/// The name of the pool that is the RADIUS server's.
const POOL: &str = "radius";

/// What the RADIUS server said of each client.
pub(crate) struct Radius(pub(crate) Handle);

impl Radius {
    async fn framed(&self, wanted: &Wanted) -> Result<Vec<Grant>, Trouble> {
        let mut offered = self.0.framed(wanted.ike_id).await.addresses;
        let mut grants = Vec::new();
        for asked in &wanted.requested {
            if let Some(at) = offered.iter().position(|a| a.is_ipv4() == asked.is_ipv4()) {
                let address = offered.remove(at);
                let prefix = if address.is_ipv4() { 32 } else { 128 };
                grants.push(Grant { pool: POOL.to_owned(), address, prefix, origin: Origin::New });
            }
        }
        if grants.is_empty() { Err(Trouble::Exhausted(wanted.pools.clone())) } else { Ok(grants) }
    }
}

fn attributes_of(framed: &Framed) -> Vec<ConfigAttr> {
    let mut attributes = Vec::new();
    let mut add = |name: &str, text: String| {
        if let Ok(attribute) = attribute::find(name).and_then(|named| named.attribute(text.as_bytes())) {
            attributes.push(ConfigAttr::from(attribute));
        }
    };
    for (name, addresses) in [("dns", &framed.dns), ("nbns", &framed.nbns)] {
        addresses.iter().for_each(|address| add(name, address.to_string()));
    }
    if let Some(mask) = framed.netmask {
        add("netmask", mask.to_string());
    }
    for (name, text) in
        [("banner", &framed.banner), ("def_domain", &framed.domain), ("split_dns", &framed.split_dns)]
    {
        text.iter().for_each(|text| add(name, text.clone()));
    }
    attributes
}

impl Store for Radius {
    fn plugin(&self) -> &'static str {
        "eap-radius"
    }

    fn serves<'a>(&'a self, pool: &'a str) -> Later<'a, bool> {
        Box::pin(std::future::ready(pool == POOL))
    }

    fn lease<'a>(&'a self, wanted: &'a Wanted) -> Later<'a, Result<Vec<Grant>, Trouble>> {
        Box::pin(self.framed(wanted))
    }

    fn attributes<'a>(&'a self, wanted: &'a Wanted, granted: &'a [Grant]) -> Later<'a, Attributes> {
        Box::pin(async move {
            let ours = granted.iter().any(|grant| grant.pool == POOL);
            if !ours {
                return Ok(Vec::new());
            }
            Ok(attributes_of(&self.0.framed(wanted.ike_id).await))
        })
    }

    fn release<'a>(&'a self, _: &'a [String], _: &'a Identity, _: IpAddr) -> Later<'a, bool> {
        // The server learns of the end by accounting.
        Box::pin(std::future::ready(false))
    }

    fn status(&self) -> Later<'_, Result<Vec<PoolStatus>, Trouble>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn leases<'a>(&'a self, _: &'a str, _: usize) -> Later<'a, Result<Vec<LeaseRow>, Trouble>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}
