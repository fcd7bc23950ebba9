//! `cert<suffix>` and `cacert<suffix>` in rounds, and the places of certificates and keys in general.
use super::values::{handle, number, text};
use super::{Fields, Key, Kind};
use crate::capability::Capabilities;
use crate::report::Report;
use crate::tree::Section;
use policy::CertRef;

/// The keys of a certificate's section.
pub const KEYS: &[Key] = &[
    Key::new("file", Kind::Text("file"), "", "the certificate as a file that the daemon reads"),
    Key::new("handle", Kind::Text("hexadecimal digits"), "", "CKA_ID of the certificate on a token"),
    Key::new("slot", Kind::Number, "", "slot of the token; any that has the object"),
    Key::new("module", Kind::Text("name"), "", "PKCS#11 module of the token; any that has the object"),
];

/// Reads the section of a certificate.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(path: &str, section: &Section, capabilities: &Capabilities) -> Result<CertRef, Vec<Report>> {
    let mut f = Fields::new(path, section, KEYS, capabilities);
    let (mut file, mut id, mut slot, mut module) = (None, None, None, None);
    f.set("file", &mut file, text);
    f.set("handle", &mut id, |t| handle(t).map(Some));
    f.set("slot", &mut slot, |t| number(t).map(Some));
    f.set("module", &mut module, text);
    match (file, id) {
        (Some(file), None) if slot.is_none() && module.is_none() => f.finish(CertRef::File(file)),
        (None, Some(handle)) => f.finish(CertRef::Token { handle, slot, module }),
        (Some(_), Some(_)) => {
            f.missing("handle and file path given");
            f.finish(CertRef::File(String::new()))
        }
        (Some(_), None) => {
            f.missing("`slot` and `module` belong to `handle`, not to `file`");
            f.finish(CertRef::File(String::new()))
        }
        (None, None) => {
            f.missing("one of `file` and `handle` is missing");
            f.finish(CertRef::File(String::new()))
        }
    }
}
