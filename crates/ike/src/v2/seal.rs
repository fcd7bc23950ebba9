//! SK and SKF payloads: sealing, fragmenting, opening, putting together (RFC 7296 3.14, RFC 7383).
use super::keys::Keys;
use crate::fault::Fault;
use crate::message::Inner;
use crypto::{IkeCipher, Rng};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use wire::iana::PayloadType;
use wire::ike::{Header, Sealed};

/// Most fragments of one message we take.
const MAX_FRAGMENTS: u16 = 255;

fn cipher(keys: &Keys, initiators: bool) -> Result<IkeCipher, Fault> {
    let suite = &keys.suite;
    let (e, a) = (keys.sk_e(initiators), keys.sk_a(initiators));
    Ok(IkeCipher::new(suite.encr.0, suite.encr.1, suite.integ, e, a)?)
}

/// Seals a message into one datagram, or into several of at most `limit` bytes each.
/// `from_initiator`: we are the original initiator of the IKE_SA.
pub(crate) fn seal(
    keys: &mut Keys,
    rng: &mut Rng,
    from_initiator: bool,
    header: Header,
    inner: &Inner,
    limit: Option<usize>,
) -> Result<Vec<Vec<u8>>, Fault> {
    let cipher = cipher(keys, from_initiator)?;
    let whole = Header::LEN.saturating_add(4).saturating_add(cipher.body_len(inner.bytes.len()));
    let limit = limit.filter(|l| whole > *l);
    let Some(limit) = limit else {
        return Ok(vec![one(&cipher, keys, rng, header, inner.first, None, &inner.bytes)?]);
    };
    // Header, SKF generic header and fragment numbers, IV, at most a block of padding, ICV.
    let overhead = Header::LEN
        .saturating_add(8)
        .saturating_add(cipher.iv_len())
        .saturating_add(cipher.icv_len())
        .saturating_add(cipher.block_len());
    let room = limit.saturating_sub(overhead).max(64);
    let pieces: Vec<&[u8]> = inner.bytes.chunks(room).collect();
    let total =
        u16::try_from(pieces.len()).map_err(|_| Fault::Local("message too long to fragment".to_owned()))?;
    let mut out = Vec::with_capacity(pieces.len());
    for (number, piece) in (1u16..).zip(pieces) {
        // RFC 7383 2.5: "the Next Payload field … in the first fragment … in other fragments MUST be set to zero".
        let first = if number == 1 { inner.first } else { PayloadType::None };
        out.push(one(&cipher, keys, rng, header, first, Some((number, total)), piece)?);
    }
    Ok(out)
}

fn one(
    cipher: &IkeCipher,
    keys: &mut Keys,
    rng: &mut Rng,
    header: Header,
    first: PayloadType,
    fragment: Option<(u16, u16)>,
    plain: &[u8],
) -> Result<Vec<u8>, Fault> {
    let body = cipher.body_len(plain.len());
    let mut datagram = wire::ike::Message::encode_sealed(header, first, fragment, body);
    let aad_end = datagram.len().saturating_sub(body);
    let iv = if cipher.iv_is_counter() {
        let n = keys.next_iv;
        keys.next_iv =
            n.checked_add(1).ok_or_else(|| Fault::Local("IVs of the IKE_SA are used up".to_owned()))?;
        n.to_be_bytes().to_vec()
    } else {
        rng.bytes(cipher.iv_len())
    };
    cipher.seal(&mut datagram, aad_end, plain, &iv)?;
    Ok(datagram)
}

/// Opens an SK or SKF payload; the plaintext.
pub(crate) fn open(
    keys: &Keys,
    from_initiator: bool,
    datagram: &mut [u8],
    sealed: &Sealed,
) -> Result<Vec<u8>, Fault> {
    let cipher = cipher(keys, from_initiator)?;
    let range = cipher.open(datagram, sealed.aad.end)?;
    Ok(datagram.get(range).unwrap_or_default().to_vec())
}

/// Fragments of one message, opened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reassembly {
    id: u32,
    total: u16,
    first: PayloadType,
    parts: BTreeMap<u16, Vec<u8>>,
    bytes: usize,
}

/// Adds an opened fragment. `Some` when the message is whole. One message at a time and direction is put together, of at most
/// `max` bytes; a fragment of another message starts over.
pub(crate) fn collect(
    state: &mut Option<Box<Reassembly>>,
    header: &Header,
    sealed: &Sealed,
    plain: Vec<u8>,
    max: usize,
) -> Result<Option<Inner>, Fault> {
    let Some((number, total)) = sealed.fragment else {
        return Ok(Some(Inner { first: sealed.inner, bytes: plain }));
    };
    if number == 0 || total == 0 || number > total || total > MAX_FRAGMENTS {
        return Err(Fault::Broken("illegal fragment numbers"));
    }
    let same = state.as_ref().is_some_and(|r| r.id == header.message_id);
    let known = state.as_ref().map_or(0, |r| r.total);
    // RFC 7383 2.6: a smaller Total Fragments is an old attempt (ignore); a larger one replaces what was collected.
    if same && total < known {
        return Ok(None);
    }
    if !same || total > known {
        *state = Some(Box::new(Reassembly {
            id: header.message_id,
            total,
            first: PayloadType::None,
            parts: BTreeMap::new(),
            bytes: 0,
        }));
    }
    let Some(r) = state.as_mut() else { return Ok(None) };
    if number == 1 {
        r.first = sealed.inner;
    }
    let len = plain.len();
    if r.parts.contains_key(&number) {
        return Ok(None);
    }
    r.bytes = r.bytes.saturating_add(len);
    if r.bytes > max {
        *state = None;
        return Err(Fault::Broken("fragmented message is too long"));
    }
    r.parts.insert(number, plain);
    if r.parts.len() < usize::from(r.total) {
        return Ok(None);
    }
    let Some(whole) = state.take() else { return Ok(None) };
    Ok(Some(Inner { first: whole.first, bytes: whole.parts.into_values().flatten().collect() }))
}
