//! What a connection demands of the peer's key, certificate and chain.
use crate::cert::Certificate;
use crate::chain::Path;
use crate::store::Store;
use crate::verdict::{Distrust, Rule};
use crypto::sign::{PublicKey, SignScheme};
use policy::{Auth, AuthClass, CertRef, Identity, KeyConstraints};

fn failed(certificate: &str, reason: impl std::fmt::Display) -> Distrust {
    Distrust::new(Rule::Constraint, certificate, format_args!("constraint check failed: {reason}"))
}

/// The raw public keys that a round names.
pub(super) fn raw_keys(auth: &Auth) -> Vec<PublicKey> {
    auth.pubkeys
        .iter()
        .filter_map(|key| match key {
            CertRef::Key(spki) => PublicKey::from_spki(spki).ok(),
            CertRef::Loaded(_) | CertRef::Raw(_) | CertRef::File(_) | CertRef::Token { .. } => None,
        })
        .collect()
}

/// What is demanded of identity, kind of round and groups.
fn common(
    auth: &Auth,
    peer: &Identity,
    groups: &[String],
    subject: &str,
) -> Result<KeyConstraints, Distrust> {
    if !matches!(auth.class, AuthClass::Pubkey(_) | AuthClass::Any | AuthClass::Eap(_)) {
        return Err(failed(subject, "no public key authentication expected"));
    }
    if let Some(id) = &auth.id
        && id.matches(peer).is_none()
    {
        return Err(failed(subject, format_args!("identity '{id}' required")));
    }
    if !auth.groups.is_empty() && !auth.groups.iter().any(|group| groups.contains(group)) {
        return Err(failed(subject, format_args!("{}", auth.groups_demanded())));
    }
    auth.class.constraints().map_err(|word| failed(subject, format_args!("`{word}` is no constraint")))
}

/// Checks a raw public key: one that the round names, or, where it names nothing, one that was loaded and is the identity.
pub(super) fn raw_key(
    auth: &Auth,
    peer: &Identity,
    key: &PublicKey,
    store: &Store,
    scheme: SignScheme,
) -> Result<(), Distrust> {
    let constraints = common(auth, peer, &[], "")?;
    let loaded = store.is_key_of(peer, key) && store.public_keys().contains(key);
    let wanted = (auth.pubkeys.is_empty() && auth.certs.is_empty() && loaded) || raw_keys(auth).contains(key);
    if !wanted {
        return Err(failed("", "peer not authenticated with a public key of this connection"));
    }
    // Nothing issued a raw key: whoever wants a CA, a certificate or a policy does not want it.
    if !auth.cacerts.is_empty() || auth.ca_id.is_some() || !auth.cert_policy.is_empty() {
        return Err(failed("", "a certificate is required"));
    }
    if !constraints.key_fits(key.kind(), key.bits()) {
        return Err(failed("", format_args!("{} {} bit key not acceptable", key.kind(), key.bits())));
    }
    if !constraints.ike_fits(scheme) {
        return Err(failed("", format_args!("signature scheme {scheme} not acceptable")));
    }
    Ok(())
}

/// Checks a certificate and its chain. Of the groups wanted the peer must be in one.
pub(super) fn certificate(
    auth: &Auth,
    peer: &Identity,
    groups: &[String],
    path: &Path,
    scheme: SignScheme,
    now: u64,
) -> Result<(), Distrust> {
    let subject = path.leaf().map_or_else(String::new, |leaf| leaf.subject().to_string());
    let constraints = common(auth, peer, groups, &subject)?;
    if !constraints.ike_fits(scheme) {
        return Err(failed(&subject, format_args!("signature scheme {scheme} not acceptable")));
    }
    chain(auth, &constraints, path, now)
}

/// Checks a chain; this is all there is to check with TLS, where the handshake vouches for the signature.
pub(super) fn chain(
    auth: &Auth,
    constraints: &KeyConstraints,
    path: &Path,
    now: u64,
) -> Result<(), Distrust> {
    let subject = path.leaf().map_or_else(String::new, |leaf| leaf.subject().to_string());
    let is = |reference: &CertRef, certificate: &Certificate| {
        reference.certificate().is_some_and(|wanted| *wanted.der == *certificate.der())
    };
    let leaf = path.leaf().ok_or_else(|| failed("", "no certificate"))?;
    if !auth.certs.is_empty() || !auth.pubkeys.is_empty() {
        let named = auth.certs.iter().any(|wanted| is(wanted, leaf)) || raw_keys(auth).contains(leaf.key());
        if !named {
            return Err(failed(&subject, "peer not authenticated with a certificate of this connection"));
        }
    }
    if !auth.cacerts.is_empty()
        && !path.issuers().iter().any(|issuer| auth.cacerts.iter().any(|wanted| is(wanted, issuer)))
    {
        let names: Vec<String> =
            auth.cacerts.iter().filter_map(CertRef::certificate).map(|c| c.subject.to_string()).collect();
        return Err(failed(&subject, format_args!("peer not authenticated by CA '{}'", names.join("', '"))));
    }
    if let Some(ca) = &auth.ca_id
        && !path.issuers().iter().any(|issuer| ca.matches(issuer.subject()).is_some())
    {
        return Err(failed(&subject, format_args!("peer not authenticated by CA '{ca}'")));
    }
    for certificate in path.certificates() {
        let key = certificate.key();
        if !constraints.key_fits(key.kind(), key.bits()) {
            let name = certificate.subject().to_string();
            return Err(failed(
                &name,
                format_args!("{} {} bit key of \"{name}\" not acceptable", key.kind(), key.bits()),
            ));
        }
    }
    for (certificate, scheme) in path.certificates().iter().zip(path.schemes()) {
        if !constraints.chain_fits(*scheme) {
            let name = certificate.subject().to_string();
            return Err(failed(
                &name,
                format_args!("signature scheme {scheme} of \"{name}\" not acceptable"),
            ));
        }
    }
    auth.cert_policy.iter().try_for_each(|policy| path.check_policy(policy, now))
}
