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
pub(super) const MOST: usize = 64;

/// One announcement: a method, and for digital signatures the AlgorithmIdentifier (RFC 9593 4.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Announcement {
    method: u8,
    algorithm: Vec<u8>,
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
        for der in schemes().into_iter().filter(|s| wanted(*s)).filter_map(SignScheme::identifier) {
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
        schemes().into_iter().filter_map(|s| Some((s.identifier()?, s))).collect();
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
