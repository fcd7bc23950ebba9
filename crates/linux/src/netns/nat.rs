//! A masquerading router with nf_tables, without the `nft` program: the few messages it takes, written by hand.
//!
//! `table ip NAME { chain post { type nat hook postrouting priority srcnat; oifname IF masquerade } }`

use crate::{Attempt, Error, Result};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use std::io;

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFNL_MSG_BATCH_BEGIN: u16 = 16;
const NFNL_MSG_BATCH_END: u16 = 17;
const NFT_MSG_NEWTABLE: u16 = 0;
const NFT_MSG_NEWCHAIN: u16 = 3;
const NFT_MSG_NEWRULE: u16 = 6;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
const NLA_F_NESTED: u16 = 0x8000;

const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;

/// A buffer of netlink messages.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    sequence: u32,
}

impl Batch {
    fn message(&mut self, kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) {
        let len = u32::try_from(20 + attributes.len()).unwrap_or(u32::MAX);
        self.bytes.extend(len.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
        self.bytes.extend(self.sequence.to_ne_bytes());
        self.bytes.extend(0u32.to_ne_bytes());
        self.bytes.push(family);
        self.bytes.push(0);
        self.bytes.extend(resource.to_be_bytes());
        self.bytes.extend(attributes);
        self.sequence += 1;
    }

    fn table(&mut self, message: u16, flags: u16, family: u8, attributes: &[u8]) {
        self.message(NFNL_SUBSYS_NFTABLES << 8 | message, flags | NLM_F_ACK, family, 0, attributes);
    }
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut out = Vec::with_capacity(4 + value.len() + 3);
    out.extend(len.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn text(kind: u16, value: &str) -> Vec<u8> {
    let mut bytes = value.as_bytes().to_vec();
    bytes.push(0);
    attribute(kind, &bytes)
}

fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | NLA_F_NESTED, &parts.concat())
}

/// One expression of a rule: NFTA_LIST_ELEM { NFTA_EXPR_NAME, NFTA_EXPR_DATA }.
fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    nested(1, &[text(1, name), nested(2, data)])
}

/// Rewrites the source of what leaves by `interface` to the interface's address, v4 or v6, in the calling
/// thread's network namespace. The rules live in a table of their own and go with the namespace.
///
/// # Errors
/// No privilege, or a kernel without nf_tables NAT.
pub fn masquerade(interface: &str, v6: bool) -> Result<()> {
    const TABLE: &str = "cygnet-nat";
    const CHAIN: &str = "post";
    let family = if v6 { NFPROTO_IPV6 } else { NFPROTO_IPV4 };
    let mut name = [0u8; 16];
    for (to, from) in name.iter_mut().zip(interface.bytes().take(15)) {
        *to = from;
    }
    let mut batch = Batch::default();
    batch.message(NFNL_MSG_BATCH_BEGIN, 0, 0, NFNL_SUBSYS_NFTABLES, &[]);
    batch.table(NFT_MSG_NEWTABLE, NLM_F_CREATE, family, &[text(1, TABLE), number(2, 0)].concat());
    // NFTA_CHAIN_TABLE, NAME, HOOK { HOOKNUM postrouting, PRIORITY srcnat }, TYPE
    batch.table(
        NFT_MSG_NEWCHAIN,
        NLM_F_CREATE,
        family,
        &[text(1, TABLE), text(3, CHAIN), nested(4, &[number(1, 4), number(2, 100)]), text(7, "nat")]
            .concat(),
    );
    // meta: DREG 1, KEY oifname; cmp: SREG 1, OP eq, DATA { VALUE }
    let meta = expression("meta", &[number(1, 1), number(2, 7)]);
    let compare = expression("cmp", &[number(1, 1), number(2, 0), nested(3, &[attribute(1, &name)])]);
    let masquerade = expression("masq", &[]);
    batch.table(
        NFT_MSG_NEWRULE,
        NLM_F_CREATE | NLM_F_APPEND,
        family,
        &[text(1, TABLE), text(2, CHAIN), nested(4, &[meta, compare, masquerade])].concat(),
    );
    batch.message(NFNL_MSG_BATCH_END, 0, 0, NFNL_SUBSYS_NFTABLES, &[]);
    submit(&batch.bytes, 3).attempt(|| format!("masquerading what leaves by {interface} with nf_tables"))
}

/// Sends a batch and waits for its acknowledgements; the first error is the batch's.
fn submit(bytes: &[u8], mut expected: u32) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(bytes, 0)?;
    while expected > 0 {
        let (received, _) = socket.recv_from_full()?;
        let mut rest = received.as_slice();
        while let (Some(len), Some(kind)) = (rest.first_chunk::<4>(), rest.get(4..6)) {
            let len = usize::try_from(u32::from_ne_bytes(*len)).unwrap_or(usize::MAX).max(16);
            if kind == 2u16.to_ne_bytes() {
                // NLMSG_ERROR: a negative errno, or 0 for an acknowledgement
                let code =
                    rest.get(16..20).and_then(|c| c.first_chunk::<4>()).map_or(0, |c| i32::from_ne_bytes(*c));
                if code != 0 {
                    return Err(io::Error::from_raw_os_error(code.saturating_neg()));
                }
                expected = expected.saturating_sub(1);
            }
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
    }
    Ok(())
}

/// The kernel can do it: tried in a namespace of its own.
///
/// # Errors
/// What is missing.
pub fn available() -> Result<()> {
    let namespace = super::Namespace::create()?;
    namespace.run(|| masquerade("lo", false))?.map_err(|e| Error::new("NAT for the demo", e.source))
}
