//! Attribute certificates (RFC 5755): groups that an attribute authority gives the holder of a certificate.
use crate::algorithm::Signed;
use crate::cert::{Certificate, dn, same_name};
use crate::store::{Store, Trust};
use der::asn1::{Any, BitString, GeneralizedTime, Int, ObjectIdentifier, SetOfVec};
use der::{Decode, Sequence, ValueOrd};
use policy::Identity;
use spki::AlgorithmIdentifierOwned;
use std::fmt;
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::name::{GeneralName, GeneralNames};

/// An attribute certificate longer than this is refused.
const MAX_LENGTH: usize = 1 << 14;
/// id-aca-group (RFC 5755 4.4.4).
const GROUP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.10.4");

#[derive(Sequence)]
struct Outer {
    info: Info,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

#[derive(Sequence)]
struct Info {
    version: u8,
    holder: Holder,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    issuer: V2Form,
    algorithm: AlgorithmIdentifierOwned,
    serial: Int,
    validity: Validity,
    attributes: Vec<Attribute>,
    #[asn1(optional = "true")]
    unique_id: Option<BitString>,
    #[asn1(optional = "true")]
    extensions: Option<Extensions>,
}

#[derive(Sequence)]
struct Holder {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    certificate: Option<IssuerSerial>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    entity: Option<GeneralNames>,
}

#[derive(Sequence)]
struct IssuerSerial {
    issuer: GeneralNames,
    serial: Int,
    #[asn1(optional = "true")]
    unique_id: Option<BitString>,
}

#[derive(Sequence)]
struct V2Form {
    #[asn1(optional = "true")]
    name: Option<GeneralNames>,
}

#[derive(Sequence)]
struct Validity {
    not_before: GeneralizedTime,
    not_after: GeneralizedTime,
}

#[derive(Clone, Sequence, ValueOrd)]
struct Attribute {
    id: ObjectIdentifier,
    values: SetOfVec<Any>,
}

/// IetfAttrSyntax (RFC 5755 4.4).
#[derive(Sequence)]
struct IetfAttrSyntax {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    authority: Option<GeneralNames>,
    values: Vec<Any>,
}

/// An attribute certificate, read; nothing about its signature is known yet.
#[derive(Clone, PartialEq, Eq)]
pub struct AttributeCertificate {
    der: Vec<u8>,
    signed: Signed,
    issuer: Identity,
    /// Issuer and serial number of the holder's certificate, or the holder's name.
    holder: (Option<(Identity, Vec<u8>)>, Option<Identity>),
    serial: Vec<u8>,
    not_before: u64,
    not_after: u64,
    groups: Vec<String>,
}

impl fmt::Debug for AttributeCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttributeCertificate(\"{}\", {:?})", self.issuer, self.groups)
    }
}

impl AttributeCertificate {
    /// Reads DER.
    ///
    /// # Errors
    /// What is malformed or not understood.
    pub fn from_der(der: &[u8]) -> Result<Self, String> {
        let bad = |what: &dyn fmt::Display| format!("malformed or unsupported attribute certificate: {what}");
        if der.len() > MAX_LENGTH {
            return Err(bad(&"too long"));
        }
        let outer = Outer::from_der(der).map_err(|e| bad(&e))?;
        let signed = Signed::read(der).ok_or_else(|| bad(&"outer structure"))?;
        let info = outer.info;
        if info.version != 1 || info.algorithm != outer.algorithm {
            return Err(bad(&"version or algorithm"));
        }
        // RFC 5755 4.3: those that are not understood and critical forbid its use; targets are among them.
        if let Some(unknown) = info.extensions.iter().flatten().find(|e| e.critical) {
            return Err(bad(&format_args!("critical extension {}", unknown.extn_id)));
        }
        let issuer = info.issuer.name.as_ref().and_then(directory).ok_or_else(|| bad(&"no issuer"))?;
        let certificate = info
            .holder
            .certificate
            .as_ref()
            .and_then(|c| Some((directory(&c.issuer)?, c.serial.as_bytes().to_vec())));
        let entity = info.holder.entity.as_ref().and_then(directory);
        if certificate.is_none() && entity.is_none() {
            return Err(bad(&"no holder"));
        }
        let mut groups = Vec::new();
        for attribute in info.attributes.iter().filter(|a| a.id == GROUP) {
            for value in attribute.values.iter() {
                let syntax: IetfAttrSyntax = value.decode_as().map_err(|e| bad(&e))?;
                groups
                    .extend(syntax.values.iter().filter_map(|v| String::from_utf8(v.value().to_vec()).ok()));
            }
        }
        Ok(Self {
            der: der.to_vec(),
            signed,
            issuer,
            holder: (certificate, entity),
            serial: info.serial.as_bytes().to_vec(),
            not_before: info.validity.not_before.to_unix_duration().as_secs(),
            not_after: info.validity.not_after.to_unix_duration().as_secs(),
            groups,
        })
    }

    /// DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The attribute authority.
    #[must_use]
    pub fn issuer(&self) -> &Identity {
        &self.issuer
    }

    /// Serial number.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// Seconds since 1970 from which, and until which it is valid.
    #[must_use]
    pub fn validity(&self) -> (u64, u64) {
        (self.not_before, self.not_after)
    }

    /// Groups that it gives.
    #[must_use]
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// Speaks of the holder of this certificate. If it names certificate and name, both must be right.
    #[must_use]
    pub fn is_for(&self, certificate: &Certificate) -> bool {
        let (by_certificate, by_name) = &self.holder;
        by_certificate.as_ref().is_none_or(|(issuer, serial)| {
            same_name(issuer, certificate.issuer()) && serial == certificate.serial()
        }) && by_name.as_ref().is_none_or(|name| same_name(name, certificate.subject()))
    }

    /// Signed by an attribute authority that is loaded as one, and in force.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify(&self, store: &Store, now: u64) -> Result<(), String> {
        if now < self.not_before || now > self.not_after {
            return Err(format!(
                "attribute certificate issued by \"{}\" is not valid at this time",
                self.issuer
            ));
        }
        let signed = store
            .certificates()
            .iter()
            .filter(|(authority, trust)| *trust == Trust::Aa && same_name(authority.subject(), &self.issuer))
            .any(|(authority, _)| authority.valid_at(now) && self.signed.verify(authority.key()).is_ok());
        if signed {
            Ok(())
        } else {
            Err(format!(
                "no trusted attribute authority \"{}\" signed the attribute certificate",
                self.issuer
            ))
        }
    }
}

fn directory(names: &GeneralNames) -> Option<Identity> {
    names.iter().find_map(|name| match name {
        GeneralName::DirectoryName(name) => dn(name).ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use data_encoding::BASE64;

    /// Made by `pki --self`, `pki --issue` and `pki --acert --group sales --group allow` of strongSwan 5.9.8.
    const AUTHORITY: &str = "MIIBjjCCATSgAwIBAgIIVkgOjGAiWuIwCgYIKoZIzj0EAwIwKzELMAkGA1UEBhMCQ0gxDzANBgNVBAoTBkN5Z25ldDELMAkGA1UE\
        AxMCQUEwHhcNMjYxMTI3MDQyNjExWhcNMjkxMTI2MDQyNjExWjArMQswCQYDVQQGEwJDSDEPMA0GA1UEChMGQ3lnbmV0MQswCQYD\
        VQQDEwJBQTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAm8fXJCzpZkpSgxLJG8UGYO0gmX/bz80NRfDmU15pzss/z15ymf/JfS\
        /65ODL1WIrDZjq6m3TrApXlbTbx6XtmjQjBAMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBTx4lSI\
        xNOs9W5OHXtnC4ggZc8kLDAKBggqhkjOPQQDAgNIADBFAiEA8z3bVPzXT4DOGrsm9Z+XHWl35a0rfUfPFxXPVOsX+HYCIHY7gvKA\
        6c97IjTIKwJ4UCh9hiCc/ArOE9kBZT7mlLJo";
    const HOLDER: &str = "MIIBcDCCARegAwIBAgIIC/Mjs4hUWdEwCgYIKoZIzj0EAwIwKzELMAkGA1UEBhMCQ0gxDzANBgNVBAoTBkN5Z25ldDELMAkGA1UE\
        AxMCQUEwHhcNMjYxMTI3MDQyNjExWhcNMjkxMTI2MDQyNjExWjAtMQswCQYDVQQGEwJDSDEPMA0GA1UEChMGQ3lnbmV0MQ0wCwYD\
        VQQDEwRkYXZlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAES3Tk950n5ZgfTUvAmW0r/DZGMZfzO1qnsKy6Az8r7q7aUvpPV+G5\
        D6B1BAy2r9vvEFng6hVjhzwOhy0xqwTN8KMjMCEwHwYDVR0jBBgwFoAU8eJUiMTTrPVuTh17ZwuIIGXPJCwwCgYIKoZIzj0EAwID\
        RwAwRAIgbJOL9Vl0OALk7KP7K78Z7QbHCMNXQ4bSyoJBxFhI+BsCIEX38Qq6MF+4m6yAYPN6zg1OrgrjxxG7A6337aN0yqo1";
    const ATTRIBUTE: &str = "MIIBxzCCAW0CAQEwcKA7MC+kLTArMQswCQYDVQQGEwJDSDEPMA0GA1UEChMGQ3lnbmV0MQswCQYDVQQDEwJBQQIIC/Mjs4hUWdGh\
        MaQvMC0xCzAJBgNVBAYTAkNIMQ8wDQYDVQQKEwZDeWduZXQxDTALBgNVBAMTBGRhdmWgMTAvpC0wKzELMAkGA1UEBhMCQ0gxDzAN\
        BgNVBAoTBkN5Z25ldDELMAkGA1UEAxMCQUEwCgYIKoZIzj0EAwICCGmED2NhOf7+MCIYDzIwMjYxMTI3MDQyNjExWhgPMjAyNjEx\
        MjgwNDI2MTFaMCAwHgYIKwYBBQUHCgQxEjAQMA4MBXNhbGVzDAVhbGxvdzBnMFoGA1UdIwRTMFGAFPHiVIjE06z1bk4de2cLiCBl\
        zyQsoS+kLTArMQswCQYDVQQGEwJDSDEPMA0GA1UEChMGQ3lnbmV0MQswCQYDVQQDEwJBQYIIVkgOjGAiWuIwCQYDVR04BAIFADAK\
        BggqhkjOPQQDAgNIADBFAiEAyGWDmXlwIwEsMWJYqYYMMVXhVnGcaKQBAhh9tG2gWnECICjEeM9JhhjPETHKu4dR84boTiXR8ZRS\
        8J9BiDvvpN0m";

    fn der(text: &str) -> Vec<u8> {
        BASE64.decode(text.as_bytes()).unwrap()
    }

    #[test]
    fn those_of_strongswan() {
        let (authority, holder) =
            (Certificate::from_der(&der(AUTHORITY)).unwrap(), Certificate::from_der(&der(HOLDER)).unwrap());
        let attribute = AttributeCertificate::from_der(&der(ATTRIBUTE)).unwrap();
        assert_eq!(attribute.groups(), ["sales", "allow"]);
        assert_eq!(attribute.issuer().to_string(), "C=CH, O=Cygnet, CN=AA");
        assert!(attribute.is_for(&holder) && !attribute.is_for(&authority));
        let mut store = Store::new(Settings::default());
        let (from, to) = attribute.validity();
        assert!(attribute.verify(&store, from).unwrap_err().contains("no trusted attribute authority"));
        store.add_certificate(authority.clone(), Trust::Ca);
        assert!(attribute.verify(&store, from).is_err());
        let mut store = Store::new(Settings::default());
        store.add_certificate(authority, Trust::Aa);
        assert_eq!(attribute.verify(&store, from), Ok(()));
        assert!(attribute.verify(&store, to + 1).is_err() && attribute.verify(&store, from - 1).is_err());
    }
}
