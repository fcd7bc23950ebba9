//! `load-cert`, `load-key`, `load-token`, `list-certs` and the rest about certificates and private keys.
use super::client::Client;
use super::load::text;
use super::{Desk, Outcome, secrets};
use crate::credentials::Held;
use crate::observers::log::Voice;
use config::schema::secret::VaultPath;
use config::schema::values::handle;
use config::tree::Section;
use crypto::Secret;
use crypto::sign::{KeyType, PrivateKey};
use ike::io::{Group, StartActions};
use pki::{AttributeCertificate, Item, Trust};
use policy::Identity;
use std::sync::{Arc, PoisonError};
use vici::Message;

/// Types of certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Any,
    X509,
    AttributeCertificate,
    Crl,
    OcspResponse,
    PublicKey,
}

impl Type {
    fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_uppercase().as_str() {
            "ANY" => Self::Any,
            "X509" => Self::X509,
            "X509_AC" => Self::AttributeCertificate,
            "X509_CRL" => Self::Crl,
            "OCSP_RESPONSE" => Self::OcspResponse,
            "PUBKEY" => Self::PublicKey,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Any => "ANY",
            Self::X509 => "X509",
            Self::AttributeCertificate => "X509_AC",
            Self::Crl => "X509_CRL",
            Self::OcspResponse => "OCSP_RESPONSE",
            Self::PublicKey => "PUBKEY",
        }
    }

    fn wants(self, other: Self) -> bool {
        self == Self::Any || self == other
    }
}

/// What a certificate is good for; `None` is any of it.
fn flag(text: &str) -> Option<Option<Trust>> {
    Some(match text.to_ascii_uppercase().as_str() {
        "NONE" => Some(Trust::None),
        "CA" => Some(Trust::Ca),
        "AA" => Some(Trust::Aa),
        "OCSP" => Some(Trust::Ocsp),
        "ANY" => None,
        _ => return None,
    })
}

/// `load-cert`
pub(super) async fn load_cert(desk: &Desk, message: &Section) -> Outcome {
    let word = text(message, "type").ok_or("certificate type missing")?;
    let kind = Type::parse(word).ok_or_else(|| format!("invalid certificate type '{word}'"))?;
    let trust = match text(message, "flag") {
        Some(word) => flag(word).ok_or_else(|| format!("invalid certificate flag '{word}'"))?,
        None => None,
    };
    let trust = trust.unwrap_or(Trust::None);
    let data = message.bytes("data").filter(|data| !data.is_empty()).ok_or("certificate data missing")?;
    let failed = |why: &str| format!("parsing {} certificate failed ({why})", kind.name());
    if kind == Type::AttributeCertificate {
        let der = pki::container::to_der(data).map_err(|e| failed(&e.to_string()))?;
        let certificate = AttributeCertificate::from_der(&der).map_err(|why| failed(&why))?;
        let text = format!("loaded attribute certificate by '{}'", certificate.issuer());
        let mut store = desk.store.lock().await;
        store.credentials.put_attributes(certificate);
        desk.log.say(Voice::Control, Group::Cfg, 1, text);
        desk.shard.command(store.reload(StartActions::default())).await;
        return Ok(());
    }
    let items = pki::load(data, None).map_err(|e| failed(&e.to_string()))?;
    let item = items.into_iter().find(|item| match item {
        Item::Certificate(_) => matches!(kind, Type::X509 | Type::Any),
        Item::Crl(_) => matches!(kind, Type::Crl | Type::Any),
        Item::PublicKey(_) => matches!(kind, Type::PublicKey | Type::Any),
        Item::PrivateKey(_) => false,
    });
    let item = item.ok_or_else(|| failed("there is nothing of that type in it"))?;
    let mut store = desk.store.lock().await;
    let what = match item {
        Item::Certificate(certificate) => {
            let subject = certificate.subject().to_string();
            if trust == Trust::Ca && !certificate.is_ca() {
                return Err("ca certificate lacks CA basic constraint, rejected".into());
            }
            store.credentials.put_certificate(certificate, trust);
            format!("certificate '{subject}'")
        }
        Item::Crl(crl) => {
            let issuer = crl.issuer().to_string();
            store.credentials.put_crl(*crl);
            format!("crl of '{issuer}'")
        }
        Item::PublicKey(key) => {
            let id = Identity::KeyId(key.spki_id());
            store.credentials.put_public_key(key);
            format!("certificate '{id}'")
        }
        Item::PrivateKey(_) => return Err(failed("it is a private key")),
    };
    desk.log.say(Voice::Control, Group::Cfg, 1, format!("loaded {what}"));
    desk.shard.command(store.reload(StartActions::default())).await;
    Ok(())
}

/// `load-key`; gives the id of the key.
pub(super) async fn load_key(desk: &Desk, message: &Section) -> Result<String, String> {
    let word = text(message, "type").ok_or("key type missing")?;
    let word = word.to_ascii_uppercase();
    let fits = |kind: KeyType| match word.as_str() {
        "RSA" => kind == KeyType::Rsa,
        "ECDSA" => matches!(kind, KeyType::P256 | KeyType::P384 | KeyType::P521),
        "ED25519" => kind == KeyType::Ed25519,
        // No key of these kinds can be read.
        "ED448" | "BLISS" => false,
        _ => true,
    };
    if !matches!(word.as_str(), "ANY" | "RSA" | "ECDSA" | "ED25519" | "ED448" | "BLISS") {
        return Err(format!("invalid key type: {}", word.to_ascii_lowercase()));
    }
    let path = text(message, "vault").map(VaultPath::parse).transpose()?;
    let data = match (message.bytes("data").filter(|data| !data.is_empty()), &path) {
        (Some(data), None) => Secret::from(data),
        (None, Some(path)) => desk.credentials.read_vault(path).await?,
        (Some(_), Some(_)) => return Err("key data and vault path given".into()),
        (None, None) => return Err("key data missing".into()),
    };
    let failed = |why: &str| format!("parsing {word} private key failed ({why})");
    let key = private_key(&data).map_err(|why| failed(&why))?;
    if !fits(key.kind()) {
        return Err(failed(&format!("it is of type {}", key.kind())));
    }
    let mut store = desk.store.lock().await;
    let id = store.credentials.put_key(Arc::new(key));
    if let Some(path) = path {
        store.credentials.from_vault.insert(id.clone(), path);
    }
    desk.log.say(Voice::Control, Group::Cfg, 1, format!("loaded {word} private key"));
    desk.shard.command(store.reload(StartActions::default())).await;
    Ok(id)
}

pub(super) fn private_key(data: &Secret) -> Result<PrivateKey, String> {
    let items = pki::load(data.as_slice(), None).map_err(|e| e.to_string())?;
    let found = items.into_iter().find_map(|item| match item {
        Item::PrivateKey(key) => Some(key),
        Item::Certificate(_) | Item::PublicKey(_) | Item::Crl(_) => None,
    });
    found.ok_or_else(|| "there is no private key in it".into())
}

/// `unload-key`
pub(super) async fn unload_key(desk: &Desk, message: &Section) -> Outcome {
    let id = text(message, "id").ok_or("key id missing")?;
    let mut store = desk.store.lock().await;
    if !store.credentials.remove_key(id) {
        return Err("key not found".into());
    }
    desk.log.say(Voice::Control, Group::Cfg, 1, format!("unloaded private key with id {id}"));
    desk.shard.command(store.reload(StartActions::default())).await;
    Ok(())
}

/// `get-keys`
pub(super) async fn get_keys(desk: &Desk) -> Section {
    let mut out = Section::default();
    out.put_list("keys", desk.store.lock().await.credentials.key_ids());
    out
}

/// `load-token`; gives the id of the key.
pub(super) async fn load_token(desk: &Desk, message: &Section) -> Result<String, String> {
    let word = text(message, "handle").ok_or("keyid missing")?;
    let failed = |why: &str| format!("loading private key from token failed ({why})");
    let id = handle(word).map_err(|why| failed(&why))?;
    let slot = match text(message, "slot") {
        Some(word) => Some(word.parse().map_err(|_| failed(&format!("`{word}` is no slot")))?),
        None => None,
    };
    let module = text(message, "module").map(str::to_owned);
    let pin = Secret::from(message.bytes("pin").unwrap_or_default());
    let shared = desk.credentials.clone();
    let work = tokio::task::spawn_blocking(move || shared.tokens.key(&id, slot, module.as_deref(), &pin));
    let key = match work.await {
        Ok(Ok(key)) => key,
        Ok(Err(why)) => return Err(failed(&why)),
        Err(e) => return Err(failed(&e.to_string())),
    };
    let mut store = desk.store.lock().await;
    let id = store.credentials.put_key(Arc::new(key));
    desk.log.say(Voice::Control, Group::Cfg, 1, format!("loaded private key with handle {word} from token"));
    desk.shard.command(store.reload(StartActions::default())).await;
    Ok(id)
}

/// `list-certs`: one event each, in charon's order.
pub(super) async fn list_certs(client: &mut Client, message: &Section) -> Section {
    let kind = match text(message, "type").map(Type::parse) {
        Some(Some(kind)) => kind,
        // As charon: nothing is of a type that does not exist.
        Some(None) => return Section::default(),
        None => Type::Any,
    };
    // As charon: the flag counts with this type only.
    let wanted = match kind {
        Type::X509 => text(message, "flag").and_then(flag).flatten(),
        _ => None,
    };
    let subject = text(message, "subject").and_then(|text| Identity::parse(text).ok());
    let mut events = Vec::new();
    {
        let store = client.desk.store.lock().await;
        let held = store.held();
        let has_key = |key| store.credentials.has_key(key);
        if kind.wants(Type::PublicKey) && subject.is_none() {
            for key in held.iter().filter_map(Held::public_key) {
                events.push(event(Type::PublicKey, None, has_key(key), key.spki()));
            }
        }
        if kind.wants(Type::X509) {
            for (trust, word) in
                [(Trust::None, "NONE"), (Trust::Ca, "CA"), (Trust::Aa, "AA"), (Trust::Ocsp, "OCSP")]
            {
                if wanted.is_some_and(|wanted| wanted != trust) {
                    continue;
                }
                for certificate in held.iter().filter_map(Held::certificate) {
                    // A CA certificate is one wherever it was loaded from.
                    let shown = match certificate.1 {
                        Trust::None if certificate.0.is_ca() => Trust::Ca,
                        known => known,
                    };
                    let named = subject.as_ref().is_none_or(|id| names(certificate.0, id));
                    if shown == trust && named {
                        let key = has_key(certificate.0.key());
                        events.push(event(Type::X509, Some(word), key, certificate.0.der()));
                    }
                }
            }
        }
        if kind.wants(Type::AttributeCertificate) && subject.is_none() {
            for certificate in held.iter().filter_map(Held::attributes) {
                events.push(event(Type::AttributeCertificate, None, false, certificate.der()));
            }
        }
        if kind.wants(Type::Crl) {
            let is_of = |issuer: &Identity| subject.as_ref().is_none_or(|id| id.matches(issuer).is_some());
            for crl in held.iter().filter_map(Held::crl).filter(|crl| is_of(crl.issuer())) {
                events.push(event(Type::Crl, None, false, crl.der()));
            }
            let cache = client.desk.credentials.cache.lock().unwrap_or_else(PoisonError::into_inner);
            for crl in cache.crls().filter(|crl| is_of(crl.issuer())) {
                if !held.iter().filter_map(Held::crl).any(|known| known.der() == crl.der()) {
                    events.push(event(Type::Crl, None, false, crl.der()));
                }
            }
        }
        if kind.wants(Type::OcspResponse) && subject.is_none() {
            let cache = client.desk.credentials.cache.lock().unwrap_or_else(PoisonError::into_inner);
            for response in cache.responses() {
                events.push(event(Type::OcspResponse, None, false, response));
            }
        }
    }
    for event in events {
        client.stream("list-cert", event).await;
    }
    Section::default()
}

fn names(certificate: &pki::Certificate, id: &Identity) -> bool {
    let mut all = std::iter::once(certificate.subject()).chain(certificate.names());
    all.any(|name| id.matches(name).is_some())
}

fn event(kind: Type, flag: Option<&str>, has_key: bool, data: &[u8]) -> Section {
    let mut out = Section::default();
    out.put("type", kind.name());
    if let Some(flag) = flag {
        out.put("flag", flag);
    }
    if has_key {
        out.put("has_privkey", "yes");
    }
    out.put_bytes("data", data);
    out
}

/// `flush-certs`: forgets what was fetched.
pub(super) fn flush_certs(desk: &Desk, message: &Section) -> Outcome {
    let kind = match text(message, "type") {
        Some(word) => Type::parse(word).ok_or_else(|| format!("invalid certificate type '{word}'"))?,
        None => Type::Any,
    };
    let mut cache = desk.credentials.cache.lock().unwrap_or_else(PoisonError::into_inner);
    if kind.wants(Type::Crl) {
        cache.clear_crls();
    }
    if kind.wants(Type::OcspResponse) {
        cache.clear_responses();
    }
    Ok(())
}

/// `clear-creds`
pub(super) async fn clear(desk: &Desk) -> Outcome {
    let mut store = desk.store.lock().await;
    store.secrets.clear();
    store.from_vault.clear();
    store.credentials.clear();
    {
        let mut cache = desk.credentials.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.clear_crls();
        cache.clear_responses();
    }
    desk.shard.command(store.reload(StartActions::default())).await;
    Ok(())
}

/// Reads the certificates that tokens show.
pub(crate) async fn read_tokens(desk: &Desk) {
    let shared = desk.credentials.clone();
    let Ok((found, complaints)) = tokio::task::spawn_blocking(move || shared.tokens.shown()).await else {
        return;
    };
    for complaint in complaints {
        desk.log.say(Voice::Control, Group::Cfg, 1, complaint);
    }
    for (certificate, _) in &found {
        let text = format!("loaded certificate '{}' from token", certificate.subject());
        desk.log.say(Voice::Control, Group::Cfg, 1, text);
    }
    let mut store = desk.store.lock().await;
    if store.credentials.on_tokens != found {
        store.credentials.on_tokens = found;
        desk.shard.command(store.reload(StartActions::default())).await;
    }
}

/// Reads what is in the Vault again; what cannot be read stays as it was.
pub(crate) async fn read_vault(desk: &Desk) {
    secrets::read_vault(desk).await;
    let all: Vec<(String, VaultPath)> = {
        let store = desk.store.lock().await;
        store.credentials.from_vault.iter().map(|(id, path)| (id.clone(), path.clone())).collect()
    };
    for (id, path) in all {
        let read = desk.credentials.read_vault(&path).await.and_then(|data| private_key(&data));
        match read {
            Ok(key) => {
                let mut store = desk.store.lock().await;
                let new = store.credentials.put_key(Arc::new(key));
                if new != id {
                    store.credentials.remove_key(&id);
                    store.credentials.from_vault.insert(new, path);
                }
            }
            Err(why) => {
                desk.log.say(
                    Voice::Control,
                    Group::Cfg,
                    0,
                    format!("private key {path} not read again: {why}"),
                );
            }
        }
    }
}
