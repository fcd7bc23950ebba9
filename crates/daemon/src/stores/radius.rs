//! Addresses and attributes that a RADIUS server assigned in its Access-Accept (RFC 2865 Framed-*).
use super::held::{Held, Taken};
use crate::asks::radius::Handle;
use ipnet::IpNet;
use policy::{Identity, attribute};
use pool::{Attributes, Grant, Later, LeaseRow, Store, Trouble, Wanted};
use radius::relay::Framed;
use std::net::IpAddr;
use std::sync::Arc;
use wire::iana::ConfigAttribute;
use wire::ike::ConfigAttr;

/// The name of the pool that is the RADIUS server's.
const POOL: &str = "radius";

/// What the RADIUS server said of each client.
pub(crate) struct Radius {
    server: Handle,
    held: Arc<Held>,
}

impl Radius {
    pub(crate) fn new(server: Handle, held: Arc<Held>) -> Self {
        Self { server, held }
    }

    async fn framed(&self, wanted: &Wanted) -> Result<Vec<Grant>, Trouble> {
        let framed = self.server.framed(wanted.ike_id).await;
        let mut grants = Vec::new();
        let mut taken = Vec::new();
        for net in offers(&framed, wanted) {
            match self.held.offer(net, POOL, &wanted.identity) {
                Ok(grant) => grants.push(grant),
                Err(Taken(by)) => taken.push(format!("the server assigned {net}, which '{by}' has")),
            }
        }
        match (grants.is_empty(), taken.is_empty()) {
            (false, _) => Ok(grants),
            (true, true) => Err(Trouble::Exhausted(wanted.pools.clone())),
            (true, false) => Err(Trouble::Unavailable { pool: POOL.to_owned(), why: taken.join("; ") }),
        }
    }
}

/// What the server assigned of what the client asked for.
fn offers(framed: &Framed, wanted: &Wanted) -> Vec<IpNet> {
    let prefixes = framed.prefixes.iter().copied().map(IpNet::from);
    let mut all: Vec<IpNet> = framed.addresses.iter().copied().map(IpNet::from).chain(prefixes).collect();
    let any_prefix = wanted.attributes.contains(&ConfigAttribute::Ip6Prefix);
    let mut offers = Vec::new();
    for asked in &wanted.requested {
        let family = |net: &IpNet| net.addr().is_ipv4() == asked.is_ipv4();
        // Who asks for a prefix gets one first, who does not gets an address first.
        let prefix = asked.is_prefix() || any_prefix;
        let alike = |net: &IpNet| family(net) && (net.prefix_len() < net.max_prefix_len()) == prefix;
        if let Some(at) = all.iter().position(alike).or_else(|| all.iter().position(family)) {
            offers.push(all.remove(at));
        } else if asked.is_ipv4() && framed.client_chooses && !asked.is_unspecified() {
            // RFC 2865 5.8: "the NAS should allow the user to select an address".
            offers.push(asked.net());
        }
    }
    offers
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

    fn has_fixed_names(&self) -> bool {
        true
    }

    fn lease<'a>(&'a self, wanted: &'a Wanted) -> Later<'a, Result<Vec<Grant>, Trouble>> {
        Box::pin(self.framed(wanted))
    }

    fn attributes<'a>(&'a self, wanted: &'a Wanted, granted: &'a [Grant]) -> Later<'a, Attributes> {
        Box::pin(async move {
            let framed = self.server.framed(wanted.ike_id).await;
            let ours = |grant: &Grant| grant.pool == POOL || framed.pools.contains(&grant.pool);
            Ok(if granted.iter().any(ours) { attributes_of(&framed) } else { Vec::new() })
        })
    }

    /// The server learns of the end by accounting, [`Held`] by whoever asks the stores.
    fn release<'a>(&'a self, _: &'a [String], identity: &'a Identity, address: IpAddr) -> Later<'a, bool> {
        Box::pin(std::future::ready(self.held.holds(address, POOL, identity)))
    }

    fn also<'a>(&'a self, wanted: &'a Wanted) -> Later<'a, Vec<String>> {
        Box::pin(async { self.server.framed(wanted.ike_id).await.pools })
    }

    fn leases<'a>(&'a self, _: &'a str, limit: usize) -> Later<'a, Result<Vec<LeaseRow>, Trouble>> {
        Box::pin(std::future::ready(Ok(self.held.rows(POOL, limit))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(requested: &[&str], attributes: Vec<ConfigAttribute>) -> Wanted {
        Wanted {
            pools: vec![POOL.to_owned()],
            identity: Identity::Fqdn("carol".into()),
            requested: requested.iter().map(|a| a.parse().unwrap()).collect(),
            attributes,
            remote: "192.0.2.2:500".parse().unwrap(),
            connection: "rw".to_owned(),
            ike_id: 1,
        }
    }

    #[test]
    fn what_the_server_assigned_goes_to_what_was_asked() {
        let framed = Framed {
            addresses: vec!["10.3.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
            prefixes: vec!["fd00:1::/64".parse().unwrap()],
            ..Framed::default()
        };
        let texts = |requested: &[&str], attributes: Vec<ConfigAttribute>| -> Vec<String> {
            offers(&framed, &wanted(requested, attributes)).iter().map(ToString::to_string).collect()
        };
        assert_eq!(texts(&["0.0.0.0", "::"], vec![]), ["10.3.0.7/32", "fd00::7/128"]);
        assert_eq!(texts(&["::"], vec![ConfigAttribute::Ip6Prefix]), ["fd00:1::/64"]);
        assert_eq!(texts(&["::/64", "::"], vec![]), ["fd00:1::/64", "fd00::7/128"]);
        assert_eq!(texts(&["::", "::", "::"], vec![]), ["fd00::7/128", "fd00:1::/64"]);
        assert!(texts(&[], vec![]).is_empty());
    }

    #[test]
    fn a_client_chooses_only_where_the_server_lets_it() {
        for (client_chooses, asked, count) in
            [(true, "10.3.0.9", 1), (true, "0.0.0.0", 0), (false, "10.3.0.9", 0), (true, "fd00::9", 0)]
        {
            let framed = Framed { client_chooses, ..Framed::default() };
            assert_eq!(offers(&framed, &wanted(&[asked], vec![])).len(), count, "{asked}");
        }
    }
}
