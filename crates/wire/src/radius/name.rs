//! Names of attributes as the RFCs and RADIUS dictionaries write them.
use crate::iana::RadiusType;

/// Which attribute: one of the standard's, or a vendor's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttributeName {
    /// Of the standard.
    Standard(RadiusType),
    /// Vendor and its type.
    Vendor(u32, u8),
}

/// Name and type, as RFC 2865 and its successors have them.
const NAMES: &[(&str, RadiusType)] = &[
    ("User-Name", RadiusType::UserName),
    ("User-Password", RadiusType::UserPassword),
    ("CHAP-Password", RadiusType::ChapPassword),
    ("NAS-IP-Address", RadiusType::NasIpAddress),
    ("NAS-Port", RadiusType::NasPort),
    ("Service-Type", RadiusType::ServiceType),
    ("Framed-Protocol", RadiusType::FramedProtocol),
    ("Framed-IP-Address", RadiusType::FramedIpAddress),
    ("Framed-IP-Netmask", RadiusType::FramedIpNetmask),
    ("Framed-Routing", RadiusType::FramedRouting),
    ("Filter-Id", RadiusType::FilterId),
    ("Framed-MTU", RadiusType::FramedMtu),
    ("Framed-Compression", RadiusType::FramedCompression),
    ("Reply-Message", RadiusType::ReplyMessage),
    ("Callback-Number", RadiusType::CallbackNumber),
    ("Callback-Id", RadiusType::CallbackId),
    ("Framed-Route", RadiusType::FramedRoute),
    ("State", RadiusType::State),
    ("Class", RadiusType::Class),
    ("Vendor-Specific", RadiusType::VendorSpecific),
    ("Session-Timeout", RadiusType::SessionTimeout),
    ("Idle-Timeout", RadiusType::IdleTimeout),
    ("Termination-Action", RadiusType::TerminationAction),
    ("Called-Station-Id", RadiusType::CalledStationId),
    ("Calling-Station-Id", RadiusType::CallingStationId),
    ("NAS-Identifier", RadiusType::NasIdentifier),
    ("Proxy-State", RadiusType::ProxyState),
    ("Acct-Status-Type", RadiusType::AcctStatusType),
    ("Acct-Delay-Time", RadiusType::AcctDelayTime),
    ("Acct-Input-Octets", RadiusType::AcctInputOctets),
    ("Acct-Output-Octets", RadiusType::AcctOutputOctets),
    ("Acct-Session-Id", RadiusType::AcctSessionId),
    ("Acct-Authentic", RadiusType::AcctAuthentic),
    ("Acct-Session-Time", RadiusType::AcctSessionTime),
    ("Acct-Input-Packets", RadiusType::AcctInputPackets),
    ("Acct-Output-Packets", RadiusType::AcctOutputPackets),
    ("Acct-Terminate-Cause", RadiusType::AcctTerminateCause),
    ("Acct-Multi-Session-Id", RadiusType::AcctMultiSessionId),
    ("Acct-Link-Count", RadiusType::AcctLinkCount),
    ("Acct-Input-Gigawords", RadiusType::AcctInputGigawords),
    ("Acct-Output-Gigawords", RadiusType::AcctOutputGigawords),
    ("Event-Timestamp", RadiusType::EventTimestamp),
    ("CHAP-Challenge", RadiusType::ChapChallenge),
    ("NAS-Port-Type", RadiusType::NasPortType),
    ("Port-Limit", RadiusType::PortLimit),
    ("Tunnel-Type", RadiusType::TunnelType),
    ("Tunnel-Medium-Type", RadiusType::TunnelMediumType),
    ("Tunnel-Client-Endpoint", RadiusType::TunnelClientEndpoint),
    ("Tunnel-Server-Endpoint", RadiusType::TunnelServerEndpoint),
    ("Tunnel-Password", RadiusType::TunnelPassword),
    ("Connect-Info", RadiusType::ConnectInfo),
    ("Configuration-Token", RadiusType::ConfigurationToken),
    ("EAP-Message", RadiusType::EapMessage),
    ("Message-Authenticator", RadiusType::MessageAuthenticator),
    ("Tunnel-Private-Group-ID", RadiusType::TunnelPrivateGroupId),
    ("Tunnel-Assignment-ID", RadiusType::TunnelAssignmentId),
    ("Tunnel-Preference", RadiusType::TunnelPreference),
    ("Acct-Interim-Interval", RadiusType::AcctInterimInterval),
    ("NAS-Port-Id", RadiusType::NasPortId),
    ("Framed-Pool", RadiusType::FramedPool),
    ("Chargeable-User-Identity", RadiusType::ChargeableUserIdentity),
    ("NAS-IPv6-Address", RadiusType::NasIpv6Address),
    ("Framed-Interface-Id", RadiusType::FramedInterfaceId),
    ("Framed-IPv6-Prefix", RadiusType::FramedIpv6Prefix),
    ("Framed-IPv6-Route", RadiusType::FramedIpv6Route),
    ("Framed-IPv6-Pool", RadiusType::FramedIpv6Pool),
    ("Error-Cause", RadiusType::ErrorCause),
    ("EAP-Key-Name", RadiusType::EapKeyName),
    ("Delegated-IPv6-Prefix", RadiusType::DelegatedIpv6Prefix),
    ("Framed-IPv6-Address", RadiusType::FramedIpv6Address),
    ("DNS-Server-IPv6-Address", RadiusType::DnsServerIpv6Address),
];

/// Reads an attribute's name, its number, or `vendor:type`.
///
/// # Errors
/// The text, when it is none of these.
pub fn parse_name(text: &str) -> Result<AttributeName, String> {
    if let Some((vendor, kind)) = text.split_once(':')
        && let (Ok(vendor), Ok(kind)) = (vendor.trim().parse(), kind.trim().parse())
    {
        return Ok(AttributeName::Vendor(vendor, kind));
    }
    if let Some((_, kind)) = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        return Ok(AttributeName::Standard(*kind));
    }
    match text.parse::<u8>() {
        Ok(number) if number > 0 => Ok(AttributeName::Standard(number.into())),
        _ => Err(text.to_owned()),
    }
}

impl std::fmt::Display for AttributeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Vendor(vendor, kind) => write!(f, "{vendor}:{kind}"),
            Self::Standard(kind) => match NAMES.iter().find(|(_, known)| known == kind) {
                Some((name, _)) => f.write_str(name),
                None => write!(f, "{}", u8::from(*kind)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_one_name() {
        for kind in RadiusType::NAMED {
            let name = AttributeName::Standard(*kind);
            assert_eq!(parse_name(&name.to_string()), Ok(name), "{name}");
            assert!(name.to_string().parse::<u8>().is_err(), "{name}");
        }
        assert_eq!(NAMES.len(), RadiusType::NAMED.len());
    }

    #[test]
    fn names_numbers_and_vendors() {
        assert_eq!(parse_name("11"), Ok(AttributeName::Standard(RadiusType::FilterId)));
        assert_eq!(parse_name("reply-message"), Ok(AttributeName::Standard(RadiusType::ReplyMessage)));
        assert_eq!(parse_name("36906:12"), Ok(AttributeName::Vendor(36906, 12)));
        for wrong in ["", "0", "256", "Replay-Message", "1:256", ":"] {
            assert_eq!(parse_name(wrong), Err(wrong.to_owned()));
        }
    }
}
