//! IPv6 prefixes as values of attributes (RFC 3162 2.3): an octet of nothing, the length, as many octets as it takes.
use ipnet::{IpNet, Ipv6Net};
use std::net::Ipv6Addr;
use wire::iana::RadiusType;
use wire::radius::Attribute;

/// The prefix that is the value; `None` for anything else, such as bits beyond the length.
pub(crate) fn read(attribute: &Attribute) -> Option<Ipv6Net> {
    let ([_, length], octets) = attribute.value.split_first_chunk::<2>()?;
    let mut address = [0; 16];
    address.get_mut(..octets.len())?.copy_from_slice(octets);
    let net = Ipv6Net::new(Ipv6Addr::from(address), *length).ok()?;
    (net.network() == net.addr() && net.prefix_len() > 0).then_some(net)
}

/// The attribute that names a client's address or prefix.
pub(crate) fn framed(net: IpNet) -> Attribute {
    match net {
        IpNet::V4(net) => Attribute::address(RadiusType::FramedIpAddress, net.addr().into()),
        IpNet::V6(net) if net.prefix_len() == 128 => {
            Attribute::address(RadiusType::FramedIpv6Address, net.addr().into())
        }
        IpNet::V6(net) => {
            let octets = net.network().octets();
            let used = usize::from(net.prefix_len().div_ceil(8));
            let value = [&[0, net.prefix_len()][..], octets.get(..used).unwrap_or_default()].concat();
            Attribute::new(RadiusType::FramedIpv6Prefix, value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn prefixes_survive(octets: [u8; 16], length in 1u8..128) {
            let net = Ipv6Net::new(Ipv6Addr::from(octets), length).unwrap().trunc();
            let attribute = framed(net.into());
            prop_assert_eq!(attribute.kind, RadiusType::FramedIpv6Prefix);
            prop_assert_eq!(read(&attribute), Some(net));
        }

        #[test]
        fn anything_can_be_read(value in proptest::collection::vec(any::<u8>(), 0..24)) {
            if let Some(net) = read(&Attribute::new(RadiusType::FramedIpv6Prefix, value.clone())) {
                prop_assert!(value.len() <= 18 && net.prefix_len() == value[1]);
            }
        }
    }

    #[test]
    fn rfc_3162_s_form() {
        let value = |bytes: &[u8]| read(&Attribute::new(RadiusType::FramedIpv6Prefix, bytes));
        let net: Ipv6Net = "2001:db8::/64".parse().unwrap();
        assert_eq!(value(&[0, 64, 0x20, 1, 0xd, 0xb8]), Some(net));
        assert_eq!(value(&[0, 64, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0]), Some(net));
        assert_eq!(value(&[0, 16, 0x20, 1, 0xd, 0xb8]), None);
        assert_eq!(value(&[0, 129, 0x20]), None);
        assert_eq!(value(&[0, 0]), None);
        assert_eq!(value(&[0]), None);
    }
}
