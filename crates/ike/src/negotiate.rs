//! Proposals against proposals (RFC 7296 2.7, 3.3.6; RFC 9370 2.2).
use policy::Proposal;
use policy::proposal::Chosen;
use wire::iana::{Encr, Esn, Integ, Ke, Prf, ProtocolId, TransformType};
use wire::ike::{Sa, Transform};

/// Most proposals and transforms of a peer we look at.
const MAX_PROPOSALS: usize = 64;

/// A proposal as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    /// Its number.
    pub(crate) number: u8,
    /// The sender's SPI.
    pub(crate) spi: Vec<u8>,
    /// What it offers; unknown transforms are in it and match nothing.
    pub(crate) offer: Proposal,
    /// It has transform types we do not know: "the responder MUST NOT accept" it (RFC 7296 3.3.6).
    pub(crate) unknown: bool,
    /// Ciphers as sent, for the answer.
    encr: Vec<Transform>,
}

const ADD_KE: [TransformType; 7] = [
    TransformType::AddKe1,
    TransformType::AddKe2,
    TransformType::AddKe3,
    TransformType::AddKe4,
    TransformType::AddKe5,
    TransformType::AddKe6,
    TransformType::AddKe7,
];

/// Key length as configured proposals count it: 0 where the cipher has only one.
fn bits(e: Encr, sent: Option<u16>) -> u16 {
    match e {
        Encr::ChaCha20Poly1305 | Encr::TripleDes | Encr::Des | Encr::Null => 0,
        _ => sent.unwrap_or(0),
    }
}

/// From the wire.
pub(crate) fn read(sa: &Sa) -> Vec<Received> {
    sa.proposals
        .iter()
        .take(MAX_PROPOSALS)
        .map(|p| {
            let mut r = Received {
                number: p.number,
                spi: p.spi.clone(),
                offer: Proposal::empty(p.protocol),
                unknown: false,
                encr: Vec::new(),
            };
            for t in &p.transforms {
                let slot = ADD_KE.iter().position(|a| *a == t.kind);
                match t.kind {
                    TransformType::Encr => {
                        let e = Encr::from(t.id);
                        r.offer.encr.push((e, bits(e, t.key_bits)));
                        r.encr.push(*t);
                    }
                    TransformType::Prf => r.offer.prf.push(Prf::from(t.id)),
                    TransformType::Integ => r.offer.integ.push(Integ::from(t.id)),
                    TransformType::Ke => r.offer.ke.push(Ke::from(t.id)),
                    TransformType::Esn => r.offer.esn.push(Esn::from(t.id)),
                    TransformType::Unknown(_) => r.unknown = true,
                    _ => {
                        if let Some(list) = slot.and_then(|s| r.offer.add_ke.get_mut(s)) {
                            list.push(Ke::from(t.id));
                        }
                    }
                }
            }
            r
        })
        .collect()
}

fn transform(kind: TransformType, id: u16) -> Transform {
    Transform { kind, id, key_bits: None }
}

fn encr_transform(e: Encr, key_bits: u16) -> Transform {
    Transform { kind: TransformType::Encr, id: e.into(), key_bits: (key_bits != 0).then_some(key_bits) }
}

/// To the wire: our offer. `with_ke`: false in IKE_AUTH, where CHILD_SAs have no key exchange of their own.
pub(crate) fn offer(set: &[Proposal], spi: &[u8], with_ke: bool) -> Sa {
    let proposals = (1u8..)
        .zip(set)
        .map(|(number, p)| {
            let mut t = Vec::new();
            t.extend(p.encr.iter().map(|(e, b)| encr_transform(*e, *b)));
            t.extend(p.integ.iter().map(|i| transform(TransformType::Integ, (*i).into())));
            t.extend(p.prf.iter().map(|x| transform(TransformType::Prf, (*x).into())));
            if with_ke {
                t.extend(p.ke.iter().map(|k| transform(TransformType::Ke, (*k).into())));
                for (kind, list) in ADD_KE.iter().zip(&p.add_ke) {
                    t.extend(list.iter().map(|k| transform(*kind, (*k).into())));
                }
            }
            if p.protocol != ProtocolId::Ike {
                if p.esn.is_empty() {
                    t.push(transform(TransformType::Esn, Esn::No.into()));
                }
                t.extend(p.esn.iter().map(|e| transform(TransformType::Esn, (*e).into())));
            }
            wire::ike::Proposal { number, protocol: p.protocol, spi: spi.to_vec(), transforms: t }
        })
        .collect();
    Sa { proposals }
}

/// To the wire: the answer to a received offer.
pub(crate) fn answer(c: &Chosen, received: &Received, spi: &[u8]) -> Sa {
    let mut t = Vec::new();
    if c.protocol != ProtocolId::Ah {
        // The attribute as it was sent: some peers name the only key length a cipher has.
        let same = received.encr.iter().find(|t| {
            let e = Encr::from(t.id);
            e == c.encr.0 && bits(e, t.key_bits) == c.encr.1
        });
        t.push(same.copied().unwrap_or_else(|| encr_transform(c.encr.0, c.encr.1)));
    }
    if c.integ != Integ::None || received.offer.integ.contains(&Integ::None) {
        t.push(transform(TransformType::Integ, c.integ.into()));
    }
    if let Some(p) = c.prf {
        t.push(transform(TransformType::Prf, p.into()));
    }
    if c.ke != Ke::None || received.offer.ke.contains(&Ke::None) {
        t.push(transform(TransformType::Ke, c.ke.into()));
    }
    for ((kind, list), k) in ADD_KE.iter().zip(&received.offer.add_ke).zip(&c.add_ke) {
        if !list.is_empty() {
            t.push(transform(*kind, (*k).into()));
        }
    }
    if c.protocol != ProtocolId::Ike && !received.offer.esn.is_empty() {
        t.push(transform(TransformType::Esn, c.esn.into()));
    }
    Sa {
        proposals: vec![wire::ike::Proposal {
            number: c.number,
            protocol: c.protocol,
            spi: spi.to_vec(),
            transforms: t,
        }],
    }
}

/// The first match. `prefer_ours`: our order of proposals and transforms decides, else the peer's.
/// `with_ke`: as in [`offer`].
pub(crate) fn choose<'r>(
    ours: &[Proposal],
    theirs: &'r [Received],
    prefer_ours: bool,
    with_ke: bool,
) -> Option<(Chosen, &'r Received)> {
    let of = |o: &Proposal, t: &'r Received| meet(o, t, prefer_ours, with_ke).map(|c| (c, t));
    if prefer_ours {
        ours.iter().find_map(|o| theirs.iter().find_map(|t| of(o, t)))
    } else {
        theirs.iter().find_map(|t| ours.iter().find_map(|o| of(o, t)))
    }
}

fn first<T: Copy + PartialEq>(ours: &[T], theirs: &[T], prefer_ours: bool) -> Option<T> {
    if prefer_ours {
        ours.iter().find(|x| theirs.contains(x)).copied()
    } else {
        theirs.iter().find(|x| ours.contains(x)).copied()
    }
}

/// Like [`first`], where an empty list means `none`.
fn optional<T: Copy + PartialEq>(ours: &[T], theirs: &[T], none: T, prefer_ours: bool) -> Option<T> {
    let none = [none];
    let ours = if ours.is_empty() { &none } else { ours };
    let theirs = if theirs.is_empty() { &none } else { theirs };
    first(ours, theirs, prefer_ours)
}

fn meet(ours: &Proposal, t: &Received, prefer_ours: bool, with_ke: bool) -> Option<Chosen> {
    let theirs = &t.offer;
    if ours.protocol != theirs.protocol || t.unknown {
        return None;
    }
    let encr = if ours.protocol == ProtocolId::Ah {
        (Encr::Null, 0)
    } else {
        first(&ours.encr, &theirs.encr, prefer_ours)?
    };
    let aead = ours.protocol != ProtocolId::Ah && crypto::table::encr_is_aead(encr.0);
    let integ = if aead {
        // RFC 5282 8: combined-mode ciphers go with no integrity algorithm, or with NONE.
        optional(&[], &theirs.integ, Integ::None, prefer_ours)?
    } else if ours.protocol == ProtocolId::Esp {
        optional(&ours.integ, &theirs.integ, Integ::None, prefer_ours)?
    } else {
        first(&ours.integ, &theirs.integ, prefer_ours)?
    };
    let prf = if ours.protocol == ProtocolId::Ike {
        Some(first(&ours.prf, &theirs.prf, prefer_ours)?)
    } else {
        None
    };
    let mut ke = Ke::None;
    let mut add_ke = Vec::new();
    if with_ke {
        ke = optional(&ours.ke, &theirs.ke, Ke::None, prefer_ours)?;
        if ours.protocol == ProtocolId::Ike && ke == Ke::None {
            return None;
        }
        let both = ours.add_ke.iter().zip(&theirs.add_ke);
        // Most have none.
        let used = both
            .clone()
            .rposition(|(o, t)| !o.is_empty() || !t.is_empty())
            .map_or(0, |at| at.saturating_add(1));
        for (o, t) in both.take(used) {
            // RFC 9370 2.2.1: the same method must not be chosen twice.
            let fresh = |list: &[Ke]| -> Vec<Ke> {
                list.iter()
                    .filter(|k| **k == Ke::None || (**k != ke && !add_ke.contains(*k)))
                    .copied()
                    .collect()
            };
            let (o2, t2) = (fresh(o), fresh(t));
            if (o2.is_empty() && !o.is_empty()) || (t2.is_empty() && !t.is_empty()) {
                return None;
            }
            add_ke.push(optional(&o2, &t2, Ke::None, prefer_ours)?);
        }
        if ke == Ke::None && add_ke.iter().any(|k| *k != Ke::None) {
            return None;
        }
        while add_ke.last() == Some(&Ke::None) {
            add_ke.pop();
        }
    }
    let esn = if ours.protocol == ProtocolId::Ike {
        Esn::No
    } else {
        optional(&ours.esn, &theirs.esn, Esn::No, prefer_ours)?
    };
    Some(Chosen { protocol: ours.protocol, number: t.number, encr, integ, prf, ke, add_ke, esn })
}

/// The peer's answer to our offer: exactly one proposal, one transform of each kind, all from ours.
pub(crate) fn accept(ours: &[Proposal], sa: &Sa, with_ke: bool) -> Option<(Chosen, Vec<u8>)> {
    let [only] = read(sa).try_into().ok()?;
    let only: Received = only;
    let o = &only.offer;
    let mut counts = vec![o.encr.len(), o.integ.len(), o.prf.len(), o.ke.len(), o.esn.len()];
    counts.extend(o.add_ke.iter().map(Vec::len));
    if counts.iter().any(|n| *n > 1) {
        return None;
    }
    // "the proposal number in the response MUST match" one of ours; several of ours may equal it in content.
    let set: Vec<Proposal> = match ours.get(usize::from(only.number).wrapping_sub(1)) {
        Some(p) => vec![p.clone()],
        None => return None,
    };
    let (chosen, received) = choose(&set, std::slice::from_ref(&only), true, with_ke)?;
    let spi = received.spi.clone();
    Some((chosen, spi))
}

/// Whether proposals allow what was chosen.
pub(crate) fn allows(ours: &[Proposal], c: &Chosen) -> bool {
    let one = Received {
        number: c.number,
        spi: Vec::new(),
        offer: c.to_proposal(),
        unknown: false,
        encr: Vec::new(),
    };
    choose(ours, std::slice::from_ref(&one), true, true).is_some()
}

/// For the log: `IKE:AES_…, IKE:AES_…`.
pub(crate) fn list<'p>(proposals: impl Iterator<Item = &'p Proposal>) -> String {
    let all: Vec<String> = proposals.map(ToString::to_string).collect();
    all.join(", ")
}
