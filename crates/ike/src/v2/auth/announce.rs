//! Announcing which authentication methods an end can verify (RFC 9593). A peer's announcement is not authenticated when
//! it is read: it helps to choose among what our configuration allows anyway, and never to allow more.
use super::rounds;
use crate::message::notify;
use crypto::sign::{Hash, SignScheme};
use policy::{AuthClass, Connection};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wire::iana::{AuthMethod, NotifyType};
use wire::ike::Payload;

/// Announcements of a peer that we keep.
const MOST: usize = 64;

/// One announcement: a method, and for digital signatures the AlgorithmIdentifier (RFC 9593 4.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Announcement {
    method: u8,
    algorithm: Vec<u8>,
}

/// DER of an AlgorithmIdentifier (RFC 7427 A), without the outer length that each caller adds.
fn algorithm(scheme: SignScheme) -> Option<Vec<u8>> {
    const RSA: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const SHA2: [u8; 8] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
    const ECDSA_SHA2: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
    let number = |hash: Hash| match hash {
        Hash::Sha256 => Some(1u8),
        Hash::Sha384 => Some(2),
        Hash::Sha512 => Some(3),
        Hash::Sha1 => None,
    };
    let oid = |arcs: &[u8], last: u8| tlv(0x06, &[arcs, &[last]].concat());
    let null = [0x05, 0x00];
    let body = match scheme {
        SignScheme::RsaPkcs1(hash) => [oid(&RSA, number(hash)? + 10).as_slice(), &null].concat(),
        SignScheme::RsaPss(hash) => {
            let digest = tlv(0x30, &[oid(&SHA2, number(hash)?).as_slice(), &null].concat());
            let mgf = tlv(0x30, &[oid(&RSA, 8).as_slice(), &digest].concat());
            let salt = tlv(0x02, &[u8::try_from(hash.size()).ok()?]);
            let parameters = [tlv(0xa0, &digest), tlv(0xa1, &mgf), tlv(0xa2, &salt)].concat();
            [oid(&RSA, 10), tlv(0x30, &parameters)].concat()
        }
        SignScheme::EcdsaDer(hash) => oid(&ECDSA_SHA2, number(hash)? + 1),
        SignScheme::Ed25519 => oid(&[0x2b, 0x65], 0x70),
        SignScheme::EcdsaRaw(_) | SignScheme::Ed448 => return None,
    };
    Some(tlv(0x30, &body))
}

/// A tag, a length below 128, a value: all that is encoded here is shorter.
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap_or(0x7f).min(0x7f);
    [&[tag, length], value].concat()
}

/// Schemes of method 14 that we verify, those that most have first.
fn schemes() -> Vec<SignScheme> {
    let hashes = [Hash::Sha256, Hash::Sha384, Hash::Sha512];
    let mut all: Vec<SignScheme> = Vec::new();
    all.extend(hashes.map(SignScheme::EcdsaDer));
    all.push(SignScheme::Ed25519);
    all.extend(hashes.map(SignScheme::RsaPss));
    all.extend(hashes.map(SignScheme::RsaPkcs1));
    all
}

/// Schemes of the older methods, which carry no AlgorithmIdentifier.
fn older(method: AuthMethod) -> Option<SignScheme> {
    Some(match method {
        AuthMethod::Rsa => SignScheme::RsaPkcs1(Hash::Sha1),
        AuthMethod::Ecdsa256 => SignScheme::EcdsaRaw(Hash::Sha256),
        AuthMethod::Ecdsa384 => SignScheme::EcdsaRaw(Hash::Sha384),
        AuthMethod::Ecdsa521 => SignScheme::EcdsaRaw(Hash::Sha512),
        _ => return None,
    })
}

/// SUPPORTED_AUTH_METHODS for a peer that may turn out to be meant by these connections; `None` where there is nothing
/// to say, as with EAP alone. `signatures`: it knows RFC 7427.
pub(crate) fn supported(conns: &[Arc<Connection>], signatures: bool) -> Option<Payload> {
    let (mut psk, mut null, mut keys) = (false, false, Vec::new());
    for round in conns.iter().flat_map(|c| rounds::theirs(c)) {
        match &round.class {
            AuthClass::Psk => psk = true,
            AuthClass::Null => null = true,
            AuthClass::Any => (psk, keys) = (true, [keys, vec![None]].concat()),
            AuthClass::Pubkey(_) => keys.push(round.class.constraints().ok()),
            AuthClass::Eap(_) | AuthClass::Xauth(_) => {}
        }
    }
    let wanted = |scheme: SignScheme| {
        keys.iter().any(|constraints| constraints.as_ref().is_none_or(|c| c.ike_fits(scheme)))
    };
    let mut data = Vec::new();
    // RFC 9593 4.1: two octets for methods without certificates.
    for (said, method) in [(psk, AuthMethod::Psk), (null, AuthMethod::Null)] {
        if said {
            data.extend([2, u8::from(method)]);
        }
    }
    if signatures {
        // 4.3: length, method, the number of the CA in CERTREQ that it goes with (0: any), AlgorithmIdentifier.
        for der in schemes().into_iter().filter(|s| wanted(*s)).filter_map(algorithm) {
            let length = u8::try_from(der.len().saturating_add(3)).ok()?;
            data.extend([length, u8::from(AuthMethod::Signature), 0]);
            data.extend(der);
        }
    }
    // 4.2: three octets for the older methods.
    for method in [AuthMethod::Ecdsa256, AuthMethod::Ecdsa384, AuthMethod::Ecdsa521] {
        if older(method).is_some_and(wanted) {
            data.extend([3, u8::from(method), 0]);
        }
    }
    (!data.is_empty()).then(|| notify(NotifyType::SupportedAuthMethods, &data))
}

/// Reads a peer's announcements; a malformed one ends the list.
pub(crate) fn read(mut data: &[u8]) -> Vec<Announcement> {
    let mut out = Vec::new();
    while let Some((length, rest)) = data.split_first()
        && out.len() < MOST
        && *length >= 2
        && let Some((one, next)) = rest.split_at_checked(usize::from(*length).saturating_sub(1))
        && let Some((method, more)) = one.split_first()
    {
        let algorithm = more.get(1..).unwrap_or_default().to_vec();
        out.push(Announcement { method: *method, algorithm });
        data = next;
    }
    out
}

/// The signature schemes that announcements name.
pub(crate) fn named(announcements: &[Announcement]) -> Vec<SignScheme> {
    let known: Vec<(Vec<u8>, SignScheme)> =
        schemes().into_iter().filter_map(|s| Some((algorithm(s)?, s))).collect();
    let scheme = |a: &Announcement| match AuthMethod::from(a.method) {
        AuthMethod::Signature => known.iter().find(|(der, _)| *der == a.algorithm).map(|(_, s)| *s),
        method => older(method),
    };
    announcements.iter().filter_map(scheme).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::Auth;

    fn connection(auth: &str) -> Arc<Connection> {
        let mut c = Connection::named("c");
        c.remote = vec![Auth::named("remote", AuthClass::parse(auth).unwrap())];
        Arc::new(c)
    }

    fn data(conns: &[Arc<Connection>], signatures: bool) -> Vec<u8> {
        match supported(conns, signatures) {
            Some(Payload::Notify(n)) => n.data,
            _ => Vec::new(),
        }
    }

    /// RFC 7427 A.1.2, A.3.2, A.4.3, and RFC 8410 for Ed25519.
    #[test]
    fn algorithm_identifiers_of_the_rfc() {
        let hex = |s| algorithm(s).unwrap().iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(SignScheme::RsaPkcs1(Hash::Sha256)), "300d06092a864886f70d01010b0500");
        assert_eq!(hex(SignScheme::EcdsaDer(Hash::Sha256)), "300a06082a8648ce3d040302");
        assert_eq!(hex(SignScheme::Ed25519), "300506032b6570");
        assert_eq!(
            hex(SignScheme::RsaPss(Hash::Sha256)),
            "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120"
        );
        assert_eq!(algorithm(SignScheme::RsaPkcs1(Hash::Sha1)), None);
    }

    #[test]
    fn what_connections_take_is_announced_and_read_back() {
        assert_eq!(data(&[connection("psk"), connection("eap-md5")], true), [2, 2]);
        assert_eq!(data(&[connection("null")], true), [2, 13]);
        assert_eq!(data(&[connection("eap-tls")], true), Vec::<u8>::new());
        let all = named(&read(&data(&[connection("pubkey")], true)));
        assert_eq!(all.len(), schemes().len() + 3);
        let some = named(&read(&data(&[connection("ike:rsa/pss-sha384")], true)));
        assert_eq!(some, [SignScheme::RsaPss(Hash::Sha384)]);
        let old = named(&read(&data(&[connection("pubkey")], false)));
        assert_eq!(old, [Hash::Sha256, Hash::Sha384, Hash::Sha512].map(SignScheme::EcdsaRaw));
    }

    #[test]
    fn odd_announcements_end_the_list() {
        for (bytes, count) in [
            (&[][..], 0),
            (&[0][..], 0),
            (&[1, 2][..], 0),
            (&[2][..], 0),
            (&[2, 2, 9, 14][..], 1),
            (&[4, 14, 0, 7, 2, 99][..], 2),
        ] {
            assert_eq!(read(bytes).len(), count, "{bytes:?}");
        }
        assert_eq!(read(&[2, 2].repeat(1000)).len(), MOST);
        assert!(named(&read(&[4, 14, 0, 7, 2, 99])).is_empty());
    }
}
