//! Keys of `strongswan.conf` about certificates, revocation, tokens, EAP and TLS.
use super::Reader;
use crate::schema::auth::EAP_METHODS;
use crate::schema::values::{flag, number, text, time, word};
use crate::schema::{Key, Kind};
use crate::tree::{Section, Value};

/// The keys; `*` stands for any name.
pub const KEYS: &[Key] = &[
    Key::new("rsa_pss", Kind::Flag, "no", "sign with RSA-PSS where auth does not say how"),
    Key::new(
        "cache_crls",
        Kind::Flag,
        "no",
        "write CRLs that were fetched to x509crl in the directory of swanctl.conf",
    ),
    Key::new("plugins.revocation.enable_crl", Kind::Flag, "yes", "use CRLs"),
    Key::new("plugins.revocation.enable_ocsp", Kind::Flag, "yes", "use OCSP"),
    Key::new(
        "plugins.revocation.timeout",
        Kind::Time,
        "10s",
        "how long fetching CRLs and OCSP responses may take",
    ),
    Key::new("plugins.pkcs11.modules.*.path", Kind::Text("file"), "", "shared object of a PKCS#11 module"),
    Key::new(
        "plugins.pkcs11.modules.*.load_certs",
        Kind::Flag,
        "yes",
        "load the certificates of its tokens at the start",
    ),
    Key::new("plugins.pkcs11.reload_certs", Kind::Flag, "no", "load them anew when settings are reloaded"),
    Key::new("plugins.eap-tls.fragment_size", Kind::Number, "1024", "largest EAP-TLS packet"),
    Key::new("plugins.eap-tls.include_length", Kind::Flag, "yes", "length also in what is not fragmented"),
    Key::new(
        "plugins.eap-tls.max_message_count",
        Kind::Number,
        "32",
        "packets of one conversation; 0 any number",
    ),
    Key::new("plugins.eap-ttls.fragment_size", Kind::Number, "1024", "largest EAP-TTLS packet"),
    Key::new("plugins.eap-ttls.include_length", Kind::Flag, "yes", "length also in what is not fragmented"),
    Key::new(
        "plugins.eap-ttls.max_message_count",
        Kind::Number,
        "32",
        "packets of one conversation; 0 any number",
    ),
    Key::new("plugins.eap-ttls.phase2_method", Kind::Words(PHASE2), "md5", "how clients authenticate inside"),
    Key::new(
        "plugins.eap-ttls.phase2_piggyback",
        Kind::Flag,
        "no",
        "ask for the identity along with the end of the handshake",
    ),
    Key::new("plugins.eap-ttls.request_peer_auth", Kind::Flag, "no", "ask clients for a certificate, too"),
    Key::new("plugins.eap-peap.fragment_size", Kind::Number, "1024", "largest EAP-PEAP packet"),
    Key::new("plugins.eap-peap.include_length", Kind::Flag, "no", "length also in what is not fragmented"),
    Key::new(
        "plugins.eap-peap.max_message_count",
        Kind::Number,
        "32",
        "packets of one conversation; 0 any number",
    ),
    Key::new(
        "plugins.eap-peap.phase2_method",
        Kind::Words(PHASE2),
        "mschapv2",
        "how clients authenticate inside",
    ),
    Key::new(
        "plugins.eap-peap.phase2_piggyback",
        Kind::Flag,
        "no",
        "ask for the identity along with the end of the handshake",
    ),
    Key::new("plugins.eap-peap.request_peer_auth", Kind::Flag, "no", "ask clients for a certificate, too"),
    Key::new(
        "plugins.eap-dynamic.preferred",
        Kind::List("EAP methods"),
        "",
        "methods to offer, in this order, before all others",
    ),
    Key::new("plugins.eap-dynamic.prefer_user", Kind::Flag, "no", "the order of the client counts"),
    Key::new("tls.version_min", Kind::Words("1.2, 1.3"), "1.2", "oldest TLS in EAP"),
    Key::new("tls.version_max", Kind::Words("1.2, 1.3"), "1.2", "newest TLS in EAP"),
    Key::new(
        "tls.suites",
        Kind::List("names"),
        "",
        "cipher suites of TLS in EAP that may be used; all there are",
    ),
    Key::new(
        "tls.send_certreq_authorities",
        Kind::Flag,
        "yes",
        "name our CAs when asking a client for its certificate",
    ),
    Key::new(
        "plugins.vault.address",
        Kind::Text("URL"),
        "",
        "a HashiCorp Vault, http or https; not in strongSwan",
    ),
    Key::new(
        "plugins.vault.token_file",
        Kind::Text("file"),
        "",
        "file with the token; else the environment variable VAULT_TOKEN",
    ),
    Key::new("plugins.vault.namespace", Kind::Text("name"), "", "namespace in the Vault"),
    Key::new(
        "plugins.vault.ca",
        Kind::Text("file"),
        "",
        "CA certificates for https, PEM; those of the system",
    ),
    Key::new("plugins.vault.timeout", Kind::Time, "10s", "how long an answer may take"),
];

const PHASE2: &str = "md5, gtc, mschapv2, tls";

/// A PKCS#11 module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pkcs11Module {
    /// Name, for `module` keys.
    pub name: String,
    /// Shared object.
    pub path: String,
    /// Certificates of its tokens are loaded.
    pub load_certs: bool,
}

/// Settings of an EAP method over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are strongswan.conf's keys, documented in the table")]
pub struct TlsMethodSettings {
    pub fragment_size: u32,
    pub include_length: bool,
    pub max_message_count: u32,
    /// Empty for EAP-TLS, which has none.
    pub phase2_method: String,
    pub phase2_piggyback: bool,
    pub request_peer_auth: bool,
}

/// Where secrets are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are strongswan.conf's keys, documented in the table")]
pub struct VaultSettings {
    pub address: String,
    pub token_file: Option<String>,
    pub namespace: Option<String>,
    pub ca: Option<String>,
    /// Seconds.
    pub timeout: u64,
}

/// TLS 1.2 or 1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "versions of TLS")]
pub enum TlsVersion {
    V12,
    V13,
}

/// Everything about credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are strongswan.conf's keys, documented in the table")]
pub struct CredentialSettings {
    pub rsa_pss: bool,
    pub cache_crls: bool,
    pub enable_crl: bool,
    pub enable_ocsp: bool,
    /// Seconds.
    pub fetch_timeout: u64,
    pub pkcs11: Vec<Pkcs11Module>,
    pub pkcs11_reload_certs: bool,
    pub eap_tls: TlsMethodSettings,
    pub eap_ttls: TlsMethodSettings,
    pub eap_peap: TlsMethodSettings,
    pub eap_dynamic_preferred: Vec<String>,
    pub eap_dynamic_prefer_user: bool,
    pub tls_min: TlsVersion,
    pub tls_max: TlsVersion,
    pub tls_suites: Vec<String>,
    pub tls_send_certreq_authorities: bool,
    pub vault: Option<VaultSettings>,
}

impl Default for CredentialSettings {
    fn default() -> Self {
        let tls = TlsMethodSettings {
            fragment_size: 1024,
            include_length: true,
            max_message_count: 32,
            phase2_method: String::new(),
            phase2_piggyback: false,
            request_peer_auth: false,
        };
        Self {
            rsa_pss: false,
            cache_crls: false,
            enable_crl: true,
            enable_ocsp: true,
            fetch_timeout: 10,
            pkcs11: Vec::new(),
            pkcs11_reload_certs: false,
            eap_ttls: TlsMethodSettings { phase2_method: "md5".into(), ..tls.clone() },
            eap_peap: TlsMethodSettings {
                phase2_method: "mschapv2".into(),
                include_length: false,
                ..tls.clone()
            },
            eap_tls: tls,
            eap_dynamic_preferred: Vec::new(),
            eap_dynamic_prefer_user: false,
            tls_min: TlsVersion::V12,
            tls_max: TlsVersion::V12,
            tls_suites: Vec::new(),
            tls_send_certreq_authorities: true,
            vault: None,
        }
    }
}

/// Reads them.
pub(super) fn read(r: &mut Reader<'_>) -> CredentialSettings {
    let mut c = CredentialSettings::default();
    r.set("rsa_pss", &mut c.rsa_pss, flag);
    r.set("cache_crls", &mut c.cache_crls, flag);
    r.set("plugins.revocation.enable_crl", &mut c.enable_crl, flag);
    r.set("plugins.revocation.enable_ocsp", &mut c.enable_ocsp, flag);
    r.set("plugins.revocation.timeout", &mut c.fetch_timeout, |t| match time(t)? {
        0 => Err("fetching needs some time".into()),
        n => Ok(n),
    });
    modules(r, &mut c);
    r.set("plugins.pkcs11.reload_certs", &mut c.pkcs11_reload_certs, flag);
    for (name, method) in
        [("eap-tls", &mut c.eap_tls), ("eap-ttls", &mut c.eap_ttls), ("eap-peap", &mut c.eap_peap)]
    {
        tls_method(r, name, method);
    }
    r.set("plugins.eap-dynamic.preferred", &mut c.eap_dynamic_preferred, |t| {
        t.split(',').map(|name| method(name.trim())).collect()
    });
    r.set("plugins.eap-dynamic.prefer_user", &mut c.eap_dynamic_prefer_user, flag);
    let version = |t: &str| word(t, &[("1.2", TlsVersion::V12), ("1.3", TlsVersion::V13)]);
    r.set("tls.version_min", &mut c.tls_min, version);
    r.set("tls.version_max", &mut c.tls_max, version);
    if c.tls_min > c.tls_max {
        r.wrong("tls.version_max", "this is below tls.version_min");
        (c.tls_min, c.tls_max) = (TlsVersion::V12, TlsVersion::V12);
    }
    r.set("tls.suites", &mut c.tls_suites, |t| {
        Ok(t.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect())
    });
    r.set("tls.send_certreq_authorities", &mut c.tls_send_certreq_authorities, flag);
    c.vault = vault(r);
    c
}

/// What `eap-dynamic` can offer.
fn method(name: &str) -> Result<String, String> {
    let known = || EAP_METHODS.iter().filter(|known| !matches!(**known, "dynamic" | "radius"));
    match known().find(|known| **known == name) {
        Some(known) => Ok((*known).to_owned()),
        None => {
            let known: Vec<&str> = known().copied().collect();
            Err(format!("`{name}` is none of {}", known.join(", ")))
        }
    }
}

fn tls_method(r: &mut Reader<'_>, name: &str, m: &mut TlsMethodSettings) {
    let path = |key: &str| format!("plugins.{name}.{key}");
    r.set(&path("fragment_size"), &mut m.fragment_size, |t| match number(t)? {
        n @ 0..100 => Err(format!("{n} is too small: at least 100")),
        n if n > 65_535 => Err(format!("{n} does not fit an EAP packet")),
        n => Ok(n),
    });
    r.set(&path("include_length"), &mut m.include_length, flag);
    r.set(&path("max_message_count"), &mut m.max_message_count, number);
    if !m.phase2_method.is_empty() {
        r.set(&path("phase2_method"), &mut m.phase2_method, |t| {
            let words = PHASE2.split(", ").map(|word| (word, word.to_owned())).collect::<Vec<_>>();
            word(t, &words)
        });
        r.set(&path("phase2_piggyback"), &mut m.phase2_piggyback, flag);
        r.set(&path("request_peer_auth"), &mut m.request_peer_auth, flag);
    }
}

fn modules(r: &mut Reader<'_>, c: &mut CredentialSettings) {
    let modules = r.section.lookup_section("plugins.pkcs11.modules");
    for (name, module) in modules.into_iter().flat_map(Section::sections) {
        let value = |key: &str| module.value(key).and_then(Value::as_text);
        let Some(path) = value("path").filter(|path| !path.is_empty()) else { continue };
        let load_certs = value("load_certs").is_none_or(|text| flag(text).unwrap_or(true));
        c.pkcs11.push(Pkcs11Module { name: name.to_owned(), path: path.to_owned(), load_certs });
    }
}

fn vault(r: &mut Reader<'_>) -> Option<VaultSettings> {
    let mut v =
        VaultSettings { address: String::new(), token_file: None, namespace: None, ca: None, timeout: 10 };
    r.set("plugins.vault.address", &mut v.address, |t| {
        if t.starts_with("http://") || t.starts_with("https://") {
            Ok(t.trim_end_matches('/').to_owned())
        } else {
            Err(format!("`{t}` is no http or https URL"))
        }
    });
    r.set("plugins.vault.token_file", &mut v.token_file, text);
    r.set("plugins.vault.namespace", &mut v.namespace, text);
    r.set("plugins.vault.ca", &mut v.ca, text);
    r.set("plugins.vault.timeout", &mut v.timeout, time);
    (!v.address.is_empty()).then_some(v)
}

#[cfg(test)]
mod tests {
    use crate::resolve::{Disk, load_text};
    use crate::schema::daemon::{SECTIONS, load_daemon};
    use std::path::Path;

    fn read(text: &str) -> (super::CredentialSettings, Vec<String>) {
        let loaded = load_text(&Disk, "s.conf", Path::new("/nonexistent"), text.as_bytes()).unwrap();
        let (settings, warnings) = load_daemon(&loaded.root, &SECTIONS);
        (settings.credentials, warnings.iter().map(|w| w.line(&loaded.sources)).collect())
    }

    #[test]
    fn defaults_are_those_of_the_table() {
        let mut lines = String::new();
        for key in super::KEYS.iter().filter(|key| !key.default.is_empty() && !key.name.contains('*')) {
            let names: Vec<&str> = key.name.split('.').collect();
            let (last, sections) = names.split_last().unwrap();
            let open: String = sections.iter().map(|name| format!("{name} {{ ")).collect();
            lines.push_str(&format!("{open} {last} = {}\n {}\n", key.default, "}".repeat(sections.len())));
        }
        let (with, warnings) = read(&format!("charon {{ {lines} }}"));
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(with, super::CredentialSettings::default());
        assert_eq!(read("").0, with);
    }

    #[test]
    fn everything_set() {
        let (c, warnings) = read(
            "charon { rsa_pss = yes\n tls { version_max = 1.3\n }
             plugins { pkcs11 { modules { hsm { path = /lib/x.so\n load_certs = no\n }\n odd { load_certs = no\n } } }
             eap-peap { phase2_method = gtc\n fragment_size = 600\n } eap-dynamic { preferred = tls, md5\n }
             revocation { timeout = 3\n enable_ocsp = no\n } vault { address = http://127.0.0.1:8200/\n token_file = /t\n } } }",
        );
        assert!(warnings.is_empty(), "{warnings:?}");
        assert!(c.rsa_pss && !c.enable_ocsp && c.enable_crl);
        assert_eq!((c.pkcs11.len(), c.pkcs11[0].name.as_str(), c.pkcs11[0].load_certs), (1, "hsm", false));
        assert_eq!((c.eap_peap.phase2_method.as_str(), c.eap_peap.fragment_size), ("gtc", 600));
        assert_eq!((c.eap_dynamic_preferred.len(), c.fetch_timeout), (2, 3));
        assert_eq!(c.vault.unwrap().address, "http://127.0.0.1:8200");
    }

    #[test]
    fn what_is_wrong_keeps_the_default() {
        let (c, warnings) = read(
            "charon {\n\n\ntls { version_min = 1.3\n version_max = 1.1\n }\nplugins { eap-tls { fragment_size = 5\n phase2_method = md5\n }\n eap-dynamic { preferred = tls, radius\n }\n vault { address = ftp://x\n } } }",
        );
        assert_eq!(c, super::CredentialSettings::default());
        assert_eq!(
            warnings,
            [
                "s.conf:8:2: charon.plugins.eap-tls.phase2_method: unknown key, has no effect (did you mean `plugins.eap-ttls.phase2_method`?)",
                "s.conf:7:37: charon.plugins.eap-tls.fragment_size: 5 is too small: at least 100; the default counts",
                "s.conf:10:28: charon.plugins.eap-dynamic.preferred: `radius` is none of md5, gtc, mschapv2, tls, ttls, peap; the default counts",
                "s.conf:5:16: charon.tls.version_max: `1.1` is none of 1.2, 1.3; the default counts",
                "s.conf:5:16: charon.tls.version_max: this is below tls.version_min; the default counts",
                "s.conf:12:20: charon.plugins.vault.address: `ftp://x` is no http or https URL; the default counts",
            ]
        );
    }
}
