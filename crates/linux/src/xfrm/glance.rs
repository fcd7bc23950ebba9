//! Name and counters of an SA, read where they lie: of a hundred thousand SAs nothing else is looked at, least of all
//! their keys.
use super::address;
use super::state::{Protocol, StateId, StateUse};
use netlink_packet_xfrm::{UserSaInfo, XFRM_USER_SA_INFO_LEN, XFRMA_LASTUSED, XFRMA_MARK};

/// Name and counters out of the body of a message about an SA; its keys are not looked at. `None` for protocols that
/// we do not install.
pub(super) fn glance(body: &[u8]) -> Option<(StateId, StateUse)> {
    let info = UserSaInfo::parse(body).ok()?;
    let (mut marked, mut last) = ((0, 0), None);
    let mut rest = body.get(XFRM_USER_SA_INFO_LEN..)?;
    while let Some(([l0, l1, k0, k1], _)) = rest.split_first_chunk::<4>() {
        let len = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let value = rest.get(4..len)?;
        match (u16::from_ne_bytes([*k0, *k1]), value) {
            (XFRMA_LASTUSED, value) => last = value.first_chunk().map(|at| u64::from_ne_bytes(*at)),
            (XFRMA_MARK, &[v0, v1, v2, v3, m0, m1, m2, m3]) => {
                marked = (u32::from_ne_bytes([v0, v1, v2, v3]), u32::from_ne_bytes([m0, m1, m2, m3]));
            }
            _ => {}
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    let id = StateId {
        destination: address(&info.id.daddr, info.family),
        spi: info.id.spi,
        protocol: Protocol::from_number(info.id.proto)?,
        mark: marked,
    };
    let found = StateUse {
        bytes: info.lifetime_cur.bytes,
        packets: info.lifetime_cur.packets,
        last: last.filter(|at| *at != 0),
        source: address(&info.saddr, info.family),
        reqid: info.reqid,
    };
    Some((id, found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_xfrm::{Mark, XfrmAttrs};

    #[test]
    fn a_glance_finds_name_and_counters_whatever_is_cut_off() {
        use netlink_packet_core::Emitable as _;
        let mut message = crate::xfrm::harmless(Protocol::Esp).message();
        message.user_sa_info.id.spi = 0xc0de_0001;
        message.user_sa_info.lifetime_cur.bytes = 840;
        message.user_sa_info.lifetime_cur.packets = 10;
        message.nlas.push(XfrmAttrs::Mark(Mark { value: 5, mask: 0xff }));
        message.nlas.push(XfrmAttrs::LastUsed(1_700_000_000));
        let mut body = vec![0; message.buffer_len()];
        message.emit(&mut body);
        let (id, found) = glance(&body).unwrap();
        let whole = super::super::state::usage(&message);
        assert_eq!((id.spi, id.mark, id.destination), (0xc0de_0001, (5, 0xff), "127.0.0.1".parse().unwrap()));
        assert_eq!(found, whole);
        assert_eq!((found.packets, found.last), (10, Some(1_700_000_000)));
        for len in 0..body.len() {
            let _no_panic = glance(&body[..len]);
        }
    }
}
