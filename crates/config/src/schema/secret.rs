//! `secrets.<kind><suffix>`, and vici's `load-shared`.
use super::{Key, Kind};
use crate::capability::Capability;
use crate::report::{Report, closest};
use crate::tree::{Node, Section, Value};
use crypto::Secret;
use policy::secrets::decode_secret;
use policy::{Identity, SecretKind, SharedSecret};

/// How the names of sections of shared secrets begin, and their kinds.
pub const SHARED: &[(&str, SecretKind, &str)] = &[
    ("ike", SecretKind::Ike, "ike"),
    ("eap", SecretKind::Eap, "eap"),
    ("xauth", SecretKind::Eap, "eap"),
    ("ntlm", SecretKind::Ntlm, "ntlm"),
    ("ppk", SecretKind::Ppk, "ppk"),
];

/// How the names of sections for private keys begin.
pub const PRIVATE: &[&str] = &["private", "rsa", "ecdsa", "pkcs8", "pkcs12", "token"];

/// The keys of a shared secret.
pub const KEYS: &[Key] = &[
    Key::new(
        "secret",
        Kind::Text("text, 0x and hexadecimal digits, 0s and Base64"),
        "",
        "the secret; required",
    ),
    Key::new(
        "id",
        Kind::Text("identity"),
        "",
        "whose it is, any number of keys beginning with id; none for anybody",
    ),
];

/// Reads one section of `secrets` in a file.
///
/// # Errors
/// Everything that is wrong with it. No message holds the secret.
pub fn load_secret(name: &str, section: &Section) -> Result<SharedSecret, Vec<Report>> {
    let path = format!("secrets.{name}");
    let report = |message: &str, key: &str| {
        let path = if key.is_empty() { path.clone() } else { format!("{path}.{key}") };
        let span = if key.is_empty() { section.span } else { section.key_span(key) };
        Report::error(message).at(span).key(path).hide_line()
    };
    let Some((_, kind, _)) = SHARED.iter().find(|(prefix, ..)| name.starts_with(prefix)) else {
        if PRIVATE.iter().any(|prefix| name.starts_with(prefix)) {
            return Err(vec![report(Capability::PublicKeys.missing(), "")]);
        }
        let known = SHARED.iter().map(|(prefix, ..)| *prefix).chain(PRIVATE.iter().copied());
        let mut unknown = report("unknown kind of secret (ike, eap, xauth, ntlm, ppk)", "");
        unknown.hint = closest(name, known).map(|k| format!("did you mean `{k}`?"));
        return Err(vec![unknown]);
    };
    let mut reports = Vec::new();
    let mut data = None;
    let mut owners = Vec::new();
    for (key, node) in &section.entries {
        match node {
            Node::Value(value) if key == "secret" => match decode_secret(&value.bytes) {
                Ok(bytes) => data = Some(Secret::new(bytes)),
                Err(error) => reports.push(report(&error.to_string(), key)),
            },
            Node::Value(value) if key.starts_with("id") => match owner(value) {
                Ok(id) => owners.push(id),
                Err(message) => reports.push(report(&message, key)),
            },
            Node::Value(_) | Node::List(_) => {
                let mut unknown = report("unknown key (secret, id…)", key);
                unknown.hint = closest(key, ["secret", "id"]).map(|k| format!("did you mean `{k}`?"));
                reports.push(unknown);
            }
            Node::Section(_) => reports.push(report("unknown section", key)),
        }
    }
    match data {
        Some(data) if reports.is_empty() => {
            Ok(SharedSecret { id: name.to_owned(), kind: *kind, data, owners })
        }
        Some(_) => Err(reports),
        None => {
            if reports.is_empty() {
                reports.push(report("`secret` is missing", ""));
            }
            Err(reports)
        }
    }
}

/// The `load-shared` message of a section of `secrets`: `id`, `type`, `data` and `owners`.
///
/// # Errors
/// As [`load_secret`].
pub fn shared_message(name: &str, section: &Section) -> Result<Section, Vec<Report>> {
    let secret = load_secret(name, section)?;
    let mut out = Section::new();
    out.insert("id", Node::Value(Value::new(name)));
    let kind =
        SHARED.iter().find(|(prefix, ..)| name.starts_with(prefix)).map_or("ike", |(_, _, word)| *word);
    out.insert("type", Node::Value(Value::new(kind)));
    out.insert("data", Node::Value(Value::new(secret.data.as_slice())));
    let owners =
        section.entries.iter().filter(|(key, _)| key.starts_with("id")).filter_map(|(_, node)| match node {
            Node::Value(value) => Some(value.clone()),
            Node::List(_) | Node::Section(_) => None,
        });
    out.insert("owners", Node::List(owners.collect()));
    Ok(out)
}

/// Reads vici's `load-shared`: `id`, `type`, `data`, `owners`.
///
/// # Errors
/// Everything that is wrong with it. No message holds the secret.
pub fn load_shared(message: &Section) -> Result<SharedSecret, Vec<Report>> {
    let mut reports = Vec::new();
    let text = |key: &str| message.value(key).and_then(Value::as_text).unwrap_or("");
    let kind = match text("type").to_ascii_uppercase().as_str() {
        "IKE" => SecretKind::Ike,
        // As strongSwan: EAP and XAuth secrets serve both.
        "EAP" | "XAUTH" => SecretKind::Eap,
        "NTLM" => SecretKind::Ntlm,
        "PPK" => SecretKind::Ppk,
        other => {
            reports
                .push(Report::error(format!("`{other}` is none of IKE, EAP, XAUTH, NTLM, PPK")).key("type"));
            SecretKind::Ike
        }
    };
    let data = message.value("data").map(|value| Secret::new(value.bytes.clone()));
    if data.is_none() {
        reports.push(Report::error("`data` is missing").key("data"));
    }
    let mut owners = Vec::new();
    for value in message.list("owners").unwrap_or_default() {
        match owner(&value) {
            Ok(id) => owners.push(id),
            Err(error) => reports.push(Report::error(error).key("owners")),
        }
    }
    for key in message.entries.keys().filter(|key| !["id", "type", "data", "owners"].contains(&key.as_str()))
    {
        reports.push(Report::error("unknown key").key(key.as_str()));
    }
    match data {
        Some(data) if reports.is_empty() => {
            Ok(SharedSecret { id: text("id").to_owned(), kind, data, owners })
        }
        _ => Err(reports),
    }
}

fn owner(value: &Value) -> Result<Identity, String> {
    let text = value.as_text().ok_or("an identity must be UTF-8 text")?;
    Ok(super::values::identity(text)?.unwrap_or(Identity::Any))
}
