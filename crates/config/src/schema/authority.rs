//! `authorities.<name>`.
use super::values::{handle, number, text};
use super::{Fields, Key, Kind};
use crate::capability::Capabilities;
use crate::report::Report;
use crate::tree::Section;

/// The keys of a certification authority.
pub const KEYS: &[Key] = &[
    Key::new("cacert", Kind::Text("file or certificate"), "", "the CA certificate, in x509ca or by its path"),
    Key::new("file", Kind::Text("file"), "", "the CA certificate as a file that the daemon reads"),
    Key::new("handle", Kind::Text("hexadecimal digits"), "", "the CA certificate on a token"),
    Key::new("slot", Kind::Number, "", "slot of the token"),
    Key::new("module", Kind::Text("name"), "", "PKCS#11 module of the token"),
    Key::new("cert_uri_base", Kind::Text("URI"), "", "where certificates are found by their hash"),
    Key::new("crl_uris", Kind::List("URIs"), "", "where its CRLs are"),
    Key::new("ocsp_uris", Kind::List("URIs"), "", "where its OCSP responders are"),
];

/// What is configured about a certification authority.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Authority {
    /// Name of the section.
    pub name: String,
    /// File name (in configuration files) or the certificate itself (in vici messages).
    pub cacert: Vec<u8>,
    /// File that the daemon reads.
    pub file: Option<String>,
    /// Handle on a token.
    pub handle: Option<Vec<u8>>,
    /// Slot of the token.
    pub slot: Option<u64>,
    /// Module of the token.
    pub module: Option<String>,
    /// Base of hash-and-URL.
    pub cert_uri_base: Option<String>,
    /// CRLs.
    pub crl_uris: Vec<String>,
    /// OCSP responders.
    pub ocsp_uris: Vec<String>,
}

/// Reads an authority, from a file or from vici's `load-authority`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_authority(name: &str, section: &Section) -> Result<Authority, Vec<Report>> {
    let capabilities = Capabilities::none();
    let mut f = Fields::new(format!("authorities.{name}"), section, KEYS, &capabilities);
    let mut a = Authority { name: name.to_owned(), ..Authority::default() };
    a.cacert = section.value("cacert").map(|v| v.bytes.clone()).unwrap_or_default();
    f.set("file", &mut a.file, text);
    f.set("handle", &mut a.handle, |t| handle(t).map(Some));
    f.set("slot", &mut a.slot, |t| number(t).map(Some));
    f.set("module", &mut a.module, text);
    f.set("cert_uri_base", &mut a.cert_uri_base, text);
    f.list("crl_uris", &mut a.crl_uris, crl_uri);
    f.list("ocsp_uris", &mut a.ocsp_uris, ocsp_uri);
    let given = [f.has("cacert"), f.has("file"), f.has("handle")].into_iter().filter(|set| *set).count();
    if given > 1 {
        f.missing("only one of `cacert`, `file` and `handle` may be given");
    }
    f.finish(a)
}

/// What a CRL can be fetched from.
fn crl_uri(text: &str) -> Result<Vec<String>, String> {
    fetchable(text, &["http://", "file://"])
}

fn ocsp_uri(text: &str) -> Result<Vec<String>, String> {
    fetchable(text, &["http://"])
}

fn fetchable(text: &str, schemes: &[&str]) -> Result<Vec<String>, String> {
    let has =
        |scheme: &&&str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    match schemes.iter().find(has) {
        Some(_) => Ok(vec![text.to_owned()]),
        None => Err(format!("`{text}` cannot be fetched: there is only {}", schemes.join(" and "))),
    }
}
