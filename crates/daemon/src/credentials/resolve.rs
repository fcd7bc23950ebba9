//! Certificates that a connection or an authority names: from bytes, files and tokens to what they hold.
use super::tokens::Tokens;
use pki::{Certificate, Item};
use policy::{Auth, CertRef, Connection, Identity};
use std::path::Path;
use std::sync::Arc;

/// A file that is longer is no certificate.
const LONGEST: u64 = 256 << 10;

/// What was wrong: the key (`certs`, `cert1`), and why.
pub(crate) struct Wrong {
    pub(crate) key: &'static str,
    pub(crate) why: String,
}

/// Reads what the rounds of a connection name; a round of ours without `id` gets the subject of its first certificate.
pub(crate) fn connection(
    connection: &mut Connection,
    tokens: &Tokens,
    log: &mut Vec<String>,
) -> Result<(), Wrong> {
    for (local, rounds) in [(true, &mut connection.local), (false, &mut connection.remote)] {
        for round in rounds {
            self::round(round, tokens)?;
            if local && round.id.is_none() {
                round.id = subject(round);
                if let Some(id) = &round.id {
                    log.push(format!("id not specified, defaulting to cert subject '{id}'"));
                }
            }
        }
    }
    Ok(())
}

fn round(round: &mut Auth, tokens: &Tokens) -> Result<(), Wrong> {
    for (list, in_messages, in_sections) in
        [(&mut round.certs, "certs", "cert"), (&mut round.cacerts, "cacerts", "cacert")]
    {
        for reference in list {
            let in_message = matches!(reference, CertRef::Raw(_) | CertRef::Loaded(_) | CertRef::Key(_));
            let key = if in_message { in_messages } else { in_sections };
            let certificate = certificate(reference, tokens).map_err(|why| Wrong { key, why })?;
            *reference = CertRef::Loaded(certificate.to_policy());
        }
    }
    for reference in &mut round.pubkeys {
        let key = match reference {
            CertRef::Raw(bytes) => public_key(bytes),
            CertRef::Key(_) => continue,
            CertRef::Loaded(_) | CertRef::File(_) | CertRef::Token { .. } => {
                Err("this is no public key".into())
            }
        };
        let key = key.map_err(|why| Wrong { key: "pubkeys", why })?;
        *reference = CertRef::Key(key);
    }
    Ok(())
}

/// The subject of the first certificate, or the id of the first key.
fn subject(round: &Auth) -> Option<Identity> {
    let certificate = round.certs.first().and_then(CertRef::certificate).map(|c| c.subject.clone());
    certificate.or_else(|| match round.pubkeys.first()? {
        CertRef::Key(spki) => {
            let key = crypto::sign::PublicKey::from_spki(spki).ok()?;
            Some(Identity::KeyId(key.spki_id()))
        }
        CertRef::Loaded(_) | CertRef::Raw(_) | CertRef::File(_) | CertRef::Token { .. } => None,
    })
}

/// The certificate that is meant. Reads files and asks tokens: not for the runtime's own threads.
pub(crate) fn certificate(reference: &CertRef, tokens: &Tokens) -> Result<Certificate, String> {
    match reference {
        CertRef::Raw(bytes) => first_certificate(bytes),
        CertRef::Loaded(loaded) => Certificate::from_der(&loaded.der).map_err(|e| e.to_string()),
        CertRef::File(path) => {
            let bytes = read(Path::new(path)).map_err(|why| format!("{path}: {why}"))?;
            first_certificate(&bytes).map_err(|why| format!("{path}: {why}"))
        }
        CertRef::Token { handle, slot, module } => {
            let der = tokens.certificate(handle, *slot, module.as_deref())?;
            Certificate::from_der(&der).map_err(|e| e.to_string())
        }
        CertRef::Key(_) => Err("a public key, not a certificate".into()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let length = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if length > LONGEST {
        return Err(format!("{length} bytes are too long for a certificate"));
    }
    std::fs::read(path).map_err(|e| e.to_string())
}

fn first_certificate(bytes: &[u8]) -> Result<Certificate, String> {
    let items = pki::load(bytes, None).map_err(|e| e.to_string())?;
    let found = items.into_iter().find_map(|item| match item {
        Item::Certificate(certificate) => Some(certificate),
        Item::PrivateKey(_) | Item::PublicKey(_) | Item::Crl(_) => None,
    });
    found.ok_or_else(|| "there is no certificate in it".into())
}

fn public_key(bytes: &[u8]) -> Result<Arc<[u8]>, String> {
    let items = pki::load(bytes, None).map_err(|e| e.to_string())?;
    let found = items.into_iter().find_map(|item| match item {
        Item::PublicKey(key) => Some(key.spki().into()),
        // As charon: the key of a certificate will do.
        Item::Certificate(certificate) => Some(certificate.key().spki().into()),
        Item::PrivateKey(_) | Item::Crl(_) => None,
    });
    found.ok_or_else(|| "there is no public key in it".into())
}
