//! A message as payloads: finding them, and naming them as charon's log does.
use crate::fault::Fault;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::sync::Arc;
use wire::iana::{ConfigAttribute, ConfigType, ExchangeType, NotifyType, PayloadType, ProtocolId};
use wire::ike::{Flags, Header, Notify, Payload};

/// A payload chain as it stands inside an SK payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Inner {
    /// Type of the first payload.
    pub(crate) first: PayloadType,
    /// The chain.
    pub(crate) bytes: Vec<u8>,
}

impl Inner {
    pub(crate) fn of(payloads: &[Payload]) -> Self {
        let (first, bytes) = wire::ike::encode_chain(payloads);
        Self { first, bytes }
    }

    pub(crate) fn payloads(&self) -> Result<Vec<Payload>, Fault> {
        Ok(wire::ike::parse_chain(self.first, &self.bytes)?)
    }
}

/// Payloads that an IKE_SA keeps until later. To keep them once more costs nothing; where the state of the IKE_SA goes
/// elsewhere, they are the chain of their bytes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(into = "Inner", try_from = "Inner")]
pub(crate) struct Kept(Arc<Vec<Payload>>);

impl Kept {
    pub(crate) fn into_vec(self) -> Vec<Payload> {
        Arc::unwrap_or_clone(self.0)
    }

    pub(crate) fn extend(&mut self, more: impl IntoIterator<Item = Payload>) {
        Arc::make_mut(&mut self.0).extend(more);
    }
}

impl std::ops::Deref for Kept {
    type Target = [Payload];

    fn deref(&self) -> &[Payload] {
        &self.0
    }
}

impl From<Vec<Payload>> for Kept {
    fn from(payloads: Vec<Payload>) -> Self {
        Self(Arc::new(payloads))
    }
}

impl From<Kept> for Inner {
    fn from(kept: Kept) -> Self {
        Self::of(&kept)
    }
}

impl TryFrom<Inner> for Kept {
    type Error = Fault;

    fn try_from(inner: Inner) -> Result<Self, Fault> {
        inner.payloads().map(Self::from)
    }
}

/// A status or error notify without SPI.
pub(crate) fn notify(kind: NotifyType, data: &[u8]) -> Payload {
    Payload::Notify(Notify { protocol: ProtocolId::None, spi: Vec::new(), kind, data: data.to_vec() })
}

/// The first notify of a type.
pub(crate) fn find(payloads: &[Payload], kind: NotifyType) -> Option<&Notify> {
    notifies(payloads).find(|n| n.kind == kind)
}

/// Whether a notify of this type is there.
pub(crate) fn has(payloads: &[Payload], kind: NotifyType) -> bool {
    find(payloads, kind).is_some()
}

/// All notifies.
pub(crate) fn notifies(payloads: &[Payload]) -> impl Iterator<Item = &Notify> {
    payloads.iter().filter_map(|p| if let Payload::Notify(n) = p { Some(n) } else { None })
}

/// The first error notify.
pub(crate) fn error(payloads: &[Payload]) -> Option<NotifyType> {
    notifies(payloads).find(|n| n.kind.is_error()).map(|n| n.kind)
}

/// The first payload a pattern takes.
macro_rules! pick {
    ($payloads:expr, $variant:ident) => {
        $payloads.iter().find_map(|p| if let wire::ike::Payload::$variant(x) = p { Some(x) } else { None })
    };
}
pub(crate) use pick;

/// The nonce, if its length is legal (RFC 7296 2.10: 16 to 256 octets).
pub(crate) fn nonce(payloads: &[Payload]) -> Result<Vec<u8>, Fault> {
    let n = pick!(payloads, Nonce).ok_or(Fault::Broken("NONCE payload missing"))?;
    if (16..=256).contains(&n.len()) { Ok(n.clone()) } else { Err(Fault::Broken("nonce of illegal length")) }
}

/// Name of an exchange.
pub(crate) fn exchange_name(e: ExchangeType) -> &'static str {
    match e {
        ExchangeType::IkeSaInit => "IKE_SA_INIT",
        ExchangeType::IkeAuth => "IKE_AUTH",
        ExchangeType::CreateChildSa => "CREATE_CHILD_SA",
        ExchangeType::Informational => "INFORMATIONAL",
        ExchangeType::SessionResume => "IKE_SESSION_RESUME",
        ExchangeType::Intermediate => "IKE_INTERMEDIATE",
        ExchangeType::FollowupKe => "IKE_FOLLOWUP_KE",
        ExchangeType::IdentityProtection => "ID_PROT",
        ExchangeType::Aggressive => "AGGRESSIVE",
        ExchangeType::InformationalV1 => "INFORMATIONAL_V1",
        ExchangeType::QuickMode => "QUICK_MODE",
        ExchangeType::Unknown(_) => "UNKNOWN_EXCHANGE",
    }
}

/// `IKE_AUTH request 1 [ IDi AUTH … ]`.
pub(crate) fn describe(header: &Header, payloads: &[Payload]) -> String {
    let mut s = String::with_capacity(256);
    s.push_str(exchange_name(header.exchange));
    s.push_str(if header.flags.contains(Flags::RESPONSE) { " response " } else { " request " });
    number(&mut s, header.message_id);
    s.push_str(" [");
    for p in payloads {
        s.push(' ');
        put_payload_name(&mut s, p);
    }
    s.push_str(" ]");
    s
}

fn number(s: &mut String, n: impl std::fmt::Display) {
    // A string takes whatever is written.
    let _never = write!(s, "{n}");
}

fn put_payload_name(s: &mut String, p: &Payload) {
    let last = match p {
        Payload::Sa(_) => "SA",
        Payload::Ke(_) => "KE",
        Payload::IdI(_) => "IDi",
        Payload::IdR(_) => "IDr",
        Payload::Cert(_) => "CERT",
        Payload::CertReq(_) => "CERTREQ",
        Payload::Auth(_) => "AUTH",
        Payload::Nonce(_) => "No",
        Payload::Notify(n) => {
            s.push_str("N(");
            match notify_short(n.kind) {
                Some(name) => s.push_str(name),
                None => put_number(s, n.kind.into()),
            }
            ")"
        }
        Payload::Delete(_) => "D",
        Payload::VendorId(_) => "V",
        Payload::TsI(_) => "TSi",
        Payload::TsR(_) => "TSr",
        Payload::Cp(cp) => {
            let kind = match cp.kind {
                ConfigType::Request => "CPRQ",
                ConfigType::Reply => "CPRP",
                ConfigType::Set => "CPS",
                ConfigType::Ack => "CPA",
                ConfigType::Unknown(_) => "CP",
            };
            s.push_str(kind);
            s.push('(');
            for (n, attribute) in cp.attributes.iter().enumerate() {
                if n > 0 {
                    s.push(' ');
                }
                match attribute_short(attribute.kind) {
                    Some(name) => s.push_str(name),
                    None => put_number(s, attribute.kind.into()),
                }
            }
            ")"
        }
        Payload::Eap(packet) => {
            return match wire::eap::EapPacket::parse(packet) {
                Ok(packet) => s.push_str(&packet.summary()),
                Err(_) => s.push_str("EAP"),
            };
        }
        Payload::Unknown { kind, .. } => return number(s, u8::from(*kind)),
    };
    s.push_str(last);
}

/// What has no name.
fn put_number(s: &mut String, n: u16) {
    s.push('(');
    number(s, n);
    s.push(')');
}

fn attribute_short(a: ConfigAttribute) -> Option<&'static str> {
    Some(match a {
        ConfigAttribute::Ip4Address => "ADDR",
        ConfigAttribute::Ip4Netmask => "MASK",
        ConfigAttribute::Ip4Dns => "DNS",
        ConfigAttribute::Ip4Nbns => "NBNS",
        ConfigAttribute::AddressExpiry => "EXP",
        ConfigAttribute::Ip4Dhcp => "DHCP",
        ConfigAttribute::ApplicationVersion => "VER",
        ConfigAttribute::Ip6Address => "ADDR6",
        ConfigAttribute::Ip6Dns => "DNS6",
        ConfigAttribute::Ip6Nbns => "NBNS6",
        ConfigAttribute::Ip6Dhcp => "DHCP6",
        ConfigAttribute::Ip4Subnet => "SUBNET",
        ConfigAttribute::SupportedAttributes => "SUP",
        ConfigAttribute::Ip6Subnet => "SUBNET6",
        ConfigAttribute::DnsDomain => "DOMAIN",
        ConfigAttribute::Ip4Server => "SRV",
        ConfigAttribute::Ip6Server => "SRV6",
        ConfigAttribute::UnityBanner => "U_BANNER",
        ConfigAttribute::UnityDefDomain => "U_DEFDOM",
        ConfigAttribute::UnitySplitDnsName => "U_SPLITDNS",
        ConfigAttribute::UnitySplitInclude => "U_SPLITINC",
        ConfigAttribute::UnityLocalLan => "U_LOCALLAN",
        _ => return None,
    })
}

/// charon's short name of a notify, as in message descriptions.
fn notify_short(n: NotifyType) -> Option<&'static str> {
    Some(match n {
        NotifyType::UnsupportedCriticalPayload => "CRIT",
        NotifyType::InvalidIkeSpi => "INVAL_IKE_SPI",
        NotifyType::InvalidMajorVersion => "INVAL_MAJOR",
        NotifyType::InvalidSyntax => "INVAL_SYN",
        NotifyType::InvalidMessageId => "INVAL_MID",
        NotifyType::InvalidSpi => "INVAL_SPI",
        NotifyType::NoProposalChosen => "NO_PROP",
        NotifyType::InvalidKePayload => "INVAL_KE",
        NotifyType::AuthenticationFailed => "AUTH_FAILED",
        NotifyType::SinglePairRequired => "SINGLE_PAIR",
        NotifyType::NoAdditionalSas => "NO_ADD_SAS",
        NotifyType::InternalAddressFailure => "INT_ADDR_FAIL",
        NotifyType::FailedCpRequired => "FAIL_CP_REQ",
        NotifyType::TsUnacceptable => "TS_UNACCEPT",
        NotifyType::InvalidSelectors => "INVAL_SEL",
        NotifyType::UnacceptableAddresses => "UNACCEPT_ADDR",
        NotifyType::UnexpectedNatDetected => "UNEXPECT_NAT",
        NotifyType::TemporaryFailure => "TEMP_FAIL",
        NotifyType::ChildSaNotFound => "NO_CHILD_SA",
        NotifyType::InitialContact => "INIT_CONTACT",
        NotifyType::SetWindowSize => "SET_WINSIZE",
        NotifyType::AdditionalTsPossible => "ADD_TS_POSS",
        NotifyType::IpcompSupported => "IPCOMP_SUP",
        NotifyType::NatDetectionSourceIp => "NATD_S_IP",
        NotifyType::NatDetectionDestinationIp => "NATD_D_IP",
        NotifyType::Cookie => "COOKIE",
        NotifyType::UseTransportMode => "USE_TRANSP",
        NotifyType::HttpCertLookupSupported => "HTTP_CERT_LOOK",
        NotifyType::RekeySa => "REKEY_SA",
        NotifyType::EspTfcPaddingNotSupported => "ESP_TFC_PAD_N",
        NotifyType::NonFirstFragmentsAlso => "NON_FIRST_FRAG",
        NotifyType::MobikeSupported => "MOBIKE_SUP",
        NotifyType::AdditionalIp4Address => "ADD_4_ADDR",
        NotifyType::AdditionalIp6Address => "ADD_6_ADDR",
        NotifyType::NoAdditionalAddresses => "NO_ADD_ADDR",
        NotifyType::UpdateSaAddresses => "UPD_SA_ADDR",
        NotifyType::Cookie2 => "COOKIE2",
        NotifyType::NoNatsAllowed => "NO_NATS",
        NotifyType::AuthLifetime => "AUTH_LFT",
        NotifyType::MultipleAuthSupported => "MULT_AUTH",
        NotifyType::AnotherAuthFollows => "AUTH_FOLLOWS",
        NotifyType::RedirectSupported => "REDIR_SUP",
        NotifyType::Redirect => "REDIR",
        NotifyType::RedirectedFrom => "REDIR_FROM",
        NotifyType::UseWespMode => "WESP_MODE",
        NotifyType::RohcSupported => "ROHC_SUP",
        NotifyType::EapOnlyAuthentication => "EAP_ONLY",
        NotifyType::ChildlessIkev2Supported => "CHDLESS_SUP",
        NotifyType::Ikev2MessageIdSyncSupported => "MSG_ID_SYN_SUP",
        NotifyType::IpsecReplayCounterSyncSupported => "REPLAY_CTR_SYN_SUP",
        NotifyType::Ikev2FragmentationSupported => "FRAG_SUP",
        NotifyType::SignatureHashAlgorithms => "HASH_ALG",
        NotifyType::UsePpk => "USE_PPK",
        NotifyType::PpkIdentity => "PPK_ID",
        NotifyType::NoPpkAuth => "NO_PPK",
        NotifyType::IntermediateExchangeSupported => "IKE_INT_SUP",
        NotifyType::AdditionalKeyExchange => "ADD_KE",
        NotifyType::UseBeetMode => "BEET_MODE",
        NotifyType::RadiusAttribute => "RADIUS",
        _ => return None,
    })
}

/// The registry's name of a notify, as in `received NO_PROPOSAL_CHOSEN notify error`.
pub(crate) fn notify_name(n: NotifyType) -> String {
    let debug = format!("{n:?}");
    if matches!(n, NotifyType::Unknown(_)) {
        return format!("({})", u16::from(n));
    }
    let mut out = String::new();
    for (i, c) in debug.chars().enumerate() {
        if c.is_ascii_uppercase() && i > 0 {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_registrys() {
        assert_eq!(notify_name(NotifyType::NoProposalChosen), "NO_PROPOSAL_CHOSEN");
        assert_eq!(notify_name(NotifyType::AuthenticationFailed), "AUTHENTICATION_FAILED");
        assert_eq!(notify_name(NotifyType::TsUnacceptable), "TS_UNACCEPTABLE");
        assert_eq!(notify_name(NotifyType::InvalidKePayload), "INVALID_KE_PAYLOAD");
    }
}
