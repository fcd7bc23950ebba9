//! Addresses and attributes that a RADIUS server assigned in its Access-Accept (RFC 2865 Framed-*).
use super::attributes::attribute;
use crate::asks::radius::Handle;
use policy::Identity;
use pool::{Attributes, Grant, Later, LeaseRow, Origin, PoolStatus, Store, Trouble, Wanted};
use radius::relay::Framed;
use std::net::IpAddr;
use wire::iana::ConfigAttribute;
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
    for (name, addresses) in [("dns", &framed.dns), ("nbns", &framed.nbns)] {
        attributes.extend(addresses.iter().filter_map(|a| attribute(name, &a.to_string())));
    }
    if let Some(IpAddr::V4(mask)) = framed.netmask {
        attributes.push(ConfigAttr { kind: ConfigAttribute::Ip4Netmask, value: mask.octets().to_vec() });
    }
    let text = |kind: ConfigAttribute, text: &Option<String>| {
        text.as_ref().map(|text| ConfigAttr { kind, value: text.as_bytes().to_vec() })
    };
    attributes.extend(text(ConfigAttribute::UnityBanner, &framed.banner));
    attributes.extend(text(ConfigAttribute::UnityDefDomain, &framed.domain));
    attributes.extend(text(ConfigAttribute::UnitySplitDnsName, &framed.split_dns));
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
