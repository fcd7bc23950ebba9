//! A masquerading router with nf_tables.
//!
//! `table ip NAME { chain post { type nat hook postrouting priority srcnat; oifname IF masquerade } }`

use crate::nft::{Batch, IPV4, IPV6, Kind, attribute, expression, nested, number, text};
use crate::{Attempt, Error, Result};

/// Rewrites the source of what leaves by `interface` to the interface's address, v4 or v6, in the calling
/// thread's network namespace. The rules live in a table of their own and go with the namespace.
///
/// # Errors
/// No privilege, or a kernel without nf_tables NAT.
pub fn masquerade(interface: &str, v6: bool) -> Result<()> {
    const TABLE: &str = "cygnet-nat";
    const CHAIN: &str = "post";
    let mut name = [0u8; 16];
    for (to, from) in name.iter_mut().zip(interface.bytes().take(15)) {
        *to = from;
    }
    let mut batch = Batch::new(if v6 { IPV6 } else { IPV4 });
    batch.add(Kind::NewTable, &[text(1, TABLE), number(2, 0)]);
    // NFTA_CHAIN_TABLE, NAME, HOOK { HOOKNUM postrouting, PRIORITY srcnat }, TYPE
    let hook = nested(4, &[number(1, 4), number(2, 100)]);
    batch.add(Kind::NewChain, &[text(1, TABLE), text(3, CHAIN), hook, text(7, "nat")]);
    // meta: DREG 1, KEY oifname; cmp: SREG 1, OP eq, DATA { VALUE }
    let meta = expression("meta", &[number(1, 1), number(2, 7)]);
    let compare = expression("cmp", &[number(1, 1), number(2, 0), nested(3, &[attribute(1, &name)])]);
    let masquerade = expression("masq", &[]);
    batch.add(Kind::NewRule, &[text(1, TABLE), text(2, CHAIN), nested(4, &[meta, compare, masquerade])]);
    batch.submit().attempt(|| format!("masquerading what leaves by {interface} with nf_tables"))
}

/// The kernel can do it: tried in a namespace of its own.
///
/// # Errors
/// What is missing.
pub fn available() -> Result<()> {
    let namespace = super::Namespace::create()?;
    namespace.run(|| masquerade("lo", false))?.map_err(|e| Error::new("NAT for the demo", e.source))
}
