//! `secrets.<kind><suffix>`, and vici's `load-shared`.
use super::values::{handle, number};
use super::{Key, Kind};
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

/// How the names of sections for private keys in files begin: also the directories where the files are.
pub const PRIVATE: &[&str] = &["private", "rsa", "ecdsa", "pkcs8", "pkcs12"];

/// How the names of sections for private keys on tokens begin.
pub const TOKEN: &str = "token";

/// The keys of a shared secret.
pub const KEYS: &[Key] = &[
    Key::new(
        "secret",
        Kind::Text("text, 0x and hexadecimal digits, 0s and Base64"),
        "",
        "the secret; this or vault is required",
    ),
    Key::new(
        "vault",
        Kind::Text("path:field"),
        "",
        "where the daemon reads the secret in a HashiCorp Vault, see charon.plugins.vault; not in strongSwan",
    ),
    Key::new(
        "id",
        Kind::Text("identity"),
        "",
        "whose it is, any number of keys beginning with id; none for anybody",
    ),
];

/// The keys of a private key in a file.
pub const PRIVATE_KEYS: &[Key] = &[
    Key::new("file", Kind::Text("file"), "", "the file, in the directory named like the kind of section"),
    Key::new("secret", Kind::Text("text"), "", "its passphrase; asked for where it is missing"),
    Key::new(
        "vault",
        Kind::Text("path:field"),
        "",
        "in place of file: where the daemon reads the key, PEM, in a HashiCorp Vault; not in strongSwan",
    ),
];

/// The keys of a private key on a token.
pub const TOKEN_KEYS: &[Key] = &[
    Key::new("handle", Kind::Text("hexadecimal digits"), "", "CKA_ID of the key; required"),
    Key::new("slot", Kind::Number, "", "slot of the token; any that has the key"),
    Key::new("module", Kind::Text("name"), "", "PKCS#11 module of the token; any that has the key"),
    Key::new("pin", Kind::Text("text"), "", "PIN of the token; asked for where it is missing"),
];

/// A place in a Vault: an API path and a field of what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultPath {
    /// API path without `v1/`, like `secret/data/vpn/alice`.
    pub path: String,
    /// Field.
    pub field: String,
}

/// Where a shared secret comes from.
#[derive(Debug, Clone)]
pub enum SecretData {
    /// Here it is.
    Given(Secret),
    /// It is in a Vault.
    Vault(VaultPath),
}

/// A shared secret as it is configured.
#[derive(Debug, Clone)]
pub struct SharedConfig {
    /// Id, which may be empty.
    pub id: String,
    /// Kind.
    pub kind: SecretKind,
    /// The secret.
    pub data: SecretData,
    /// Owners.
    pub owners: Vec<Identity>,
}

impl SharedConfig {
    /// With the secret itself.
    #[must_use]
    pub fn with(self, data: Secret) -> SharedSecret {
        SharedSecret { id: self.id, kind: self.kind, data, owners: self.owners }
    }

    /// As [`SharedSecret::rank`]: `None` if it is not for these ends.
    #[must_use]
    pub fn fits(&self, me: Option<&Identity>, other: Option<&Identity>) -> bool {
        self.clone().with(Secret::default()).rank(me, other).is_some()
    }
}

/// A private key in a file, or in a Vault.
#[derive(Debug, Clone)]
pub struct PrivateFile {
    /// Kind, which names the directory: one of [`PRIVATE`].
    pub kind: &'static str,
    /// File in that directory, or an absolute path.
    pub file: Option<String>,
    /// Passphrase.
    pub secret: Option<Secret>,
    /// In place of a file.
    pub vault: Option<VaultPath>,
}

/// A private key on a token.
#[derive(Debug, Clone)]
pub struct TokenKey {
    /// CKA_ID.
    pub handle: Vec<u8>,
    /// Slot.
    pub slot: Option<u64>,
    /// Module.
    pub module: Option<String>,
    /// PIN.
    pub pin: Option<Secret>,
}

/// One section of `secrets`.
#[derive(Debug, Clone)]
pub enum SecretSection {
    /// A shared secret.
    Shared(SharedConfig),
    /// A private key in a file.
    Private(PrivateFile),
    /// A private key on a token.
    Token(TokenKey),
}

impl VaultPath {
    /// Reads `path:field`. Tools of the Vault's friends write `path#field`, which needs quotes in a file, where `#` begins
    /// a comment.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` names nothing in a Vault, as `secret/data/vpn/alice:password` does");
        let (path, field) = text.split_once('#').or_else(|| text.rsplit_once(':')).ok_or_else(bad)?;
        let path = path.trim_matches('/');
        let sound = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '%' | ':');
        let dots = path.split('/').any(|part| matches!(part, "" | "." | ".."));
        if dots || field.is_empty() || !path.contains('/') || !path.chars().all(sound) {
            return Err(bad());
        }
        Ok(Self { path: path.to_owned(), field: field.to_owned() })
    }
}

impl std::fmt::Display for VaultPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.path, self.field)
    }
}

/// One section of `secrets`, and what is wrong with it. No message holds a secret.
struct Reader<'a> {
    path: String,
    section: &'a Section,
    reports: Vec<Report>,
}

impl<'a> Reader<'a> {
    fn report(&self, key: &str, message: &str) -> Report {
        let path = if key.is_empty() { self.path.clone() } else { format!("{}.{key}", self.path) };
        let span = if key.is_empty() { self.section.span } else { self.section.key_span(key) };
        Report::error(message).at(span).key(path).hide_line()
    }

    fn wrong(&mut self, key: &str, message: &str) {
        let report = self.report(key, message);
        self.reports.push(report);
    }

    /// The values whose keys are known; `ids`: so are all that begin with `id`.
    fn values(&mut self, keys: &[Key], ids: bool) -> Vec<(&'a str, &'a Value)> {
        let section = self.section;
        let names = || keys.iter().map(|key| key.name);
        let mut out = Vec::new();
        for (key, node) in &section.entries {
            match node {
                Node::Value(value) if names().any(|name| name == key) || ids && key.starts_with("id") => {
                    out.push((key.as_str(), value));
                }
                Node::Value(_) | Node::List(_) => {
                    let known: Vec<&str> = names().collect();
                    let more = if ids { "…" } else { "" };
                    let mut unknown = self.report(key, &format!("unknown key ({}{more})", known.join(", ")));
                    unknown.hint = closest(key, names()).map(|near| format!("did you mean `{near}`?"));
                    self.reports.push(unknown);
                }
                Node::Section(_) => self.wrong(key, "unknown section"),
            }
        }
        out
    }

    fn text(&mut self, key: &str, value: &'a Value) -> Option<&'a str> {
        let text = value.as_text();
        if text.is_none() {
            self.wrong(key, "this is no UTF-8 text");
        }
        text
    }

    fn vault(&mut self, key: &str, value: &'a Value) -> Option<VaultPath> {
        let text = self.text(key, value)?;
        VaultPath::parse(text).map_err(|message| self.wrong(key, &message)).ok()
    }

    fn shared(&mut self, name: &str, kind: SecretKind) -> Option<SharedConfig> {
        let mut data = None;
        let mut owners = Vec::new();
        for (key, value) in self.values(KEYS, true) {
            let given = match key {
                "secret" => match decode_secret(&value.bytes) {
                    Ok(bytes) => SecretData::Given(Secret::new(bytes)),
                    Err(error) => {
                        self.wrong(key, &error.to_string());
                        continue;
                    }
                },
                "vault" => match self.vault(key, value) {
                    Some(path) => SecretData::Vault(path),
                    None => continue,
                },
                _ => {
                    match owner(value) {
                        Ok(id) => owners.push(id),
                        Err(message) => self.wrong(key, &message),
                    }
                    continue;
                }
            };
            if data.replace(given).is_some() {
                self.wrong(key, "only one of `secret` and `vault` may be given");
            }
        }
        if data.is_none() && self.reports.is_empty() {
            self.wrong("", "`secret` is missing");
        }
        Some(SharedConfig { id: name.to_owned(), kind, data: data?, owners })
    }

    fn private(&mut self, kind: &'static str) -> PrivateFile {
        let mut out = PrivateFile { kind, file: None, secret: None, vault: None };
        for (key, value) in self.values(PRIVATE_KEYS, false) {
            match key {
                "file" => out.file = self.text(key, value).map(str::to_owned),
                "secret" => out.secret = Some(Secret::new(value.bytes.clone())),
                _ => out.vault = self.vault(key, value),
            }
        }
        match (&out.file, &out.vault) {
            (Some(_), Some(_)) => self.wrong("vault", "only one of `file` and `vault` may be given"),
            (None, None) if self.reports.is_empty() => self.wrong("", "`file` is missing"),
            _ => {}
        }
        out
    }

    fn token(&mut self) -> Option<TokenKey> {
        let mut id = None;
        let (mut slot, mut module, mut pin) = (None, None, None);
        for (key, value) in self.values(TOKEN_KEYS, false) {
            if key == "pin" {
                pin = Some(Secret::new(value.bytes.clone()));
                continue;
            }
            let Some(text) = self.text(key, value) else { continue };
            match key {
                "handle" => id = handle(text).map_err(|message| self.wrong(key, &message)).ok(),
                "slot" => slot = number(text).map_err(|message| self.wrong(key, &message)).ok(),
                _ => module = Some(text.to_owned()),
            }
        }
        if id.is_none() && self.reports.is_empty() {
            self.wrong("", "`handle` is missing");
        }
        Some(TokenKey { handle: id?, slot, module, pin })
    }
}

/// Reads one section of `secrets` in a file.
///
/// # Errors
/// Everything that is wrong with it. No message holds the secret.
pub fn load_secret(name: &str, section: &Section) -> Result<SecretSection, Vec<Report>> {
    let mut r = Reader { path: format!("secrets.{name}"), section, reports: Vec::new() };
    let private = PRIVATE.iter().find(|prefix| name.starts_with(**prefix));
    let read = if let Some((_, kind, _)) = SHARED.iter().find(|(prefix, ..)| name.starts_with(prefix)) {
        r.shared(name, *kind).map(SecretSection::Shared)
    } else if let Some(kind) = private {
        Some(SecretSection::Private(r.private(kind)))
    } else if name.starts_with(TOKEN) {
        r.token().map(SecretSection::Token)
    } else {
        let shared = SHARED.iter().map(|(prefix, ..)| *prefix);
        let known: Vec<&str> = shared.chain(PRIVATE.iter().copied()).chain(std::iter::once(TOKEN)).collect();
        let mut unknown = r.report("", &format!("unknown kind of secret ({})", known.join(", ")));
        unknown.hint = closest(name, known).map(|k| format!("did you mean `{k}`?"));
        return Err(vec![unknown]);
    };
    match read {
        Some(read) if r.reports.is_empty() => Ok(read),
        _ => Err(r.reports),
    }
}

/// The `load-shared` message of a section of `secrets`: `id`, `type`, `owners`, and `data` or (not in strongSwan)
/// `vault`.
///
/// # Errors
/// As [`load_secret`]; also for sections that hold no shared secret.
pub fn shared_message(name: &str, section: &Section) -> Result<Section, Vec<Report>> {
    let SecretSection::Shared(secret) = load_secret(name, section)? else {
        return Err(vec![Report::error("this is no shared secret").key(format!("secrets.{name}"))]);
    };
    let mut out = Section::new();
    out.insert("id", Node::Value(Value::new(name)));
    let kind =
        SHARED.iter().find(|(prefix, ..)| name.starts_with(prefix)).map_or("ike", |(_, _, word)| *word);
    out.insert("type", Node::Value(Value::new(kind)));
    match &secret.data {
        SecretData::Given(data) => out.insert("data", Node::Value(Value::new(data.as_slice()))),
        SecretData::Vault(path) => out.insert("vault", Node::Value(Value::new(path.to_string()))),
    };
    let owners =
        section.entries.iter().filter(|(key, _)| key.starts_with("id")).filter_map(|(_, node)| match node {
            Node::Value(value) => Some(value.clone()),
            Node::List(_) | Node::Section(_) => None,
        });
    out.insert("owners", Node::List(owners.collect()));
    Ok(out)
}

/// Reads vici's `load-shared`: `id`, `type`, `data` (or `vault`), `owners`.
///
/// # Errors
/// Everything that is wrong with it. No message holds the secret.
pub fn load_shared(message: &Section) -> Result<SharedConfig, Vec<Report>> {
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
    let data = match (message.value("data"), text("vault")) {
        (Some(data), "") => Some(SecretData::Given(Secret::new(data.bytes.clone()))),
        (None, path) if !path.is_empty() => match VaultPath::parse(path) {
            Ok(path) => Some(SecretData::Vault(path)),
            Err(message) => {
                reports.push(Report::error(message).key("vault"));
                None
            }
        },
        (Some(_), _) => {
            reports.push(Report::error("only one of `data` and `vault` may be given").key("vault"));
            None
        }
        (None, _) => {
            reports.push(Report::error("`data` is missing").key("data"));
            None
        }
    };
    let mut owners = Vec::new();
    for value in message.list("owners").unwrap_or_default() {
        match owner(&value) {
            Ok(id) => owners.push(id),
            Err(error) => reports.push(Report::error(error).key("owners")),
        }
    }
    for key in message
        .entries
        .keys()
        .filter(|key| !["id", "type", "data", "vault", "owners"].contains(&key.as_str()))
    {
        reports.push(Report::error("unknown key").key(key.as_str()));
    }
    match data {
        Some(data) if reports.is_empty() => {
            Ok(SharedConfig { id: text("id").to_owned(), kind, data, owners })
        }
        _ => Err(reports),
    }
}

fn owner(value: &Value) -> Result<Identity, String> {
    let text = value.as_text().ok_or("an identity must be UTF-8 text")?;
    Ok(super::values::identity(text)?.unwrap_or(Identity::Any))
}
