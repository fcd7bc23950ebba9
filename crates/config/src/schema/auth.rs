//! `connections.<conn>.local<suffix>` and `remote<suffix>`.
use super::values::{identity, item, number, one_of};
use super::{Context, Fields, Key, Kind};
use crate::capability::Capability;
use crate::report::Report;
use crate::tree::Section;
use policy::{Auth, AuthClass, Identity, KeyConstraints};

/// Whose authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Ours.
    Local,
    /// The peer's.
    Remote,
}

impl Side {
    /// How the names of its sections begin.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }

    /// Its keys.
    #[must_use]
    pub fn keys(self) -> &'static [Key] {
        match self {
            Self::Local => LOCAL,
            Self::Remote => REMOTE,
        }
    }
}

const AUTH: &str = "psk, pubkey, eap[-method], null, key types with constraints";

/// EAP methods that there are.
pub const EAP_METHODS: &[&str] = &["md5", "gtc", "mschapv2", "tls", "ttls", "peap", "dynamic", "radius"];

/// The keys of a local round.
pub const LOCAL: &[Key] = &[
    Key::new("round", Kind::Number, "0", "place among the rounds; 0 as written"),
    Key::new("auth", Kind::Text(AUTH), "pubkey", "how to authenticate"),
    Key::new(
        "id",
        Kind::Text("identity"),
        "",
        "identity to use; else the subject of the first certificate, else the address",
    ),
    Key::new("eap_id", Kind::Text("identity"), "", "identity in EAP; the same as id"),
    Key::new("aaa_id", Kind::Text("identity"), "", "identity of the EAP server; the same as remote.id"),
    Key::new("xauth_id", Kind::Text("identity"), "", "user name in XAuth; the same as id")
        .needs(Capability::Xauth),
    Key::new("certs", Kind::List("files"), "", "certificates to choose from"),
    Key::new("cert", Kind::Sections, "", "a certificate by file or on a token"),
    Key::new("pubkeys", Kind::List("files"), "", "raw public keys, of which the first is used"),
];

/// The keys of a remote round.
pub const REMOTE: &[Key] = &[
    Key::new("round", Kind::Number, "0", "place among the rounds; 0 as written"),
    Key::new("auth", Kind::Text(AUTH), "pubkey", "how the peer must authenticate"),
    Key::new("id", Kind::Text("identity"), "%any", "identity the peer must have; may have wildcards"),
    Key::new("eap_id", Kind::Text("identity"), "", "EAP identity the peer must have; asks for it"),
    Key::new("xauth_id", Kind::Text("identity"), "", "user name the peer must have in XAuth")
        .needs(Capability::Xauth),
    Key::new("groups", Kind::List("names"), "", "groups of which the peer must be in one"),
    Key::new("cert_policy", Kind::List("OIDs"), "", "policies that the peer's certificate must have"),
    Key::new("certs", Kind::List("files"), "", "certificates of which the peer must have one"),
    Key::new("cert", Kind::Sections, "", "a certificate by file or on a token"),
    Key::new("cacerts", Kind::List("files"), "", "CAs of which one must have issued the peer's certificate"),
    Key::new("cacert", Kind::Sections, "", "a CA certificate by file or on a token"),
    Key::new("ca_id", Kind::Text("identity"), "", "identity of a CA in the peer's chain"),
    Key::new("pubkeys", Kind::List("files"), "", "raw public keys of which the peer must have one"),
    Key::new(
        "revocation",
        Kind::Words("relaxed, ifuri, strict"),
        "relaxed",
        "what to do without revocation information",
    ),
];

/// Reads one round.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_auth(
    path: &str,
    name: &str,
    side: Side,
    section: &Section,
    context: &Context,
) -> Result<Auth, Vec<Report>> {
    let mut f = Fields::new(path, section, side.keys(), &context.capabilities);
    let mut a = Auth::named(name, AuthClass::Pubkey("pubkey".into()));
    f.set("round", &mut a.round, number);
    f.set("auth", &mut a.class, |t| {
        AuthClass::parse(t)
            .map_err(|t| format!("`{t}` is no authentication: psk, pubkey, eap, xauth or null"))
    });
    if matches!(a.class, AuthClass::Any) && side == Side::Local {
        f.wrong("auth", "`any` is for the peer; we must know how to authenticate");
    }
    match &a.class {
        AuthClass::Psk | AuthClass::Any | AuthClass::Null | AuthClass::Pubkey(_) => {}
        AuthClass::Eap(method) => {
            if let Err(message) = eap_method(method, side) {
                f.wrong("auth", message);
            }
        }
        AuthClass::Xauth(_) => f.need(Capability::Xauth, "auth"),
    }
    f.set("id", &mut a.id, identity);
    if side == Side::Local && a.id.as_ref().is_some_and(|id| *id != Identity::Any && id.is_pattern()) {
        f.wrong("id", "our own identity cannot be a pattern");
    }
    a.id = a.id.filter(|id| *id != Identity::Any);
    f.set("eap_id", &mut a.eap_id, identity);
    f.set("xauth_id", &mut a.xauth_id, identity);
    if side == Side::Local {
        f.set("aaa_id", &mut a.aaa_id, identity);
    } else {
        f.list("groups", &mut a.groups, item);
        f.list("cert_policy", &mut a.cert_policy, oid);
        f.certificates("cacerts", &mut a.cacerts);
        f.certificate_sections("cacert", &mut a.cacerts);
        f.set("ca_id", &mut a.ca_id, identity);
        f.set("revocation", &mut a.revocation, |t| one_of(t, &["relaxed", "ifuri", "strict"]));
    }
    f.certificates("certs", &mut a.certs);
    f.certificate_sections("cert", &mut a.certs);
    f.certificates("pubkeys", &mut a.pubkeys);
    f.finish(a)
}

/// `text` is what follows `eap-`: a method, and for TLS constraints behind a colon.
fn eap_method(text: &str, side: Side) -> Result<(), String> {
    let (method, constraints) = text.split_once(':').map_or((text, None), |(m, c)| (m, Some(c)));
    if !method.is_empty() && !EAP_METHODS.contains(&method) {
        let known = EAP_METHODS.join(", ");
        return Err(format!("there is no EAP method `{method}` here; there are {known}"));
    }
    if method == "radius" && side == Side::Local {
        return Err("`eap-radius` is for the peer's rounds: it hands them to a RADIUS server".into());
    }
    match constraints {
        Some(constraints) if matches!(method, "tls" | "ttls" | "peap") => key_constraints(constraints),
        Some(_) => Err(format!("constraints on keys make no sense with `eap-{method}`")),
        None => Ok(()),
    }
}

/// An object identifier in digits and dots.
fn oid(text: &str) -> Result<Vec<String>, String> {
    let arcs: Vec<Option<u64>> = text.split('.').map(|arc| arc.parse().ok()).collect();
    match arcs.as_slice() {
        // X.660: two arcs at least; the first is 0 to 2, the second below 40 under 0 and 1.
        [Some(first @ 0..=2), Some(second), rest @ ..]
            if (*first == 2 || *second < 40) && rest.iter().all(Option::is_some) =>
        {
            Ok(vec![text.to_owned()])
        }
        _ => Err(format!("`{text}` is no object identifier, like 1.3.6.1.4.1.36906.1.1")),
    }
}

/// What `auth` demands of keys and signatures.
fn key_constraints(text: &str) -> Result<(), String> {
    let known = |word: String| format!("`{word}` is no kind of key, size or scheme");
    KeyConstraints::parse(text).map(drop).map_err(known)
}
