//! Configuration profiles for iOS, iPadOS and macOS (`.mobileconfig`: a property list, Apple's "Configuration Profile
//! Reference", payloads com.apple.vpn.managed, com.apple.security.root, com.apple.security.pkcs12).
use super::profiles::{Login, Paperwork, Parts};
use crate::exit::{FAILED, Failure};
use plist::{Dictionary, Value};
use uuid::Uuid;

/// How the user authenticates.
pub(super) enum Way<'a> {
    Certificate(&'a Paperwork),
    Login(&'a Login),
}

/// The profile.
pub(super) fn profile(parts: &Parts<'_>, way: &Way<'_>) -> Result<Vec<u8>, Failure> {
    let state = parts.state;
    let label = match way {
        Way::Certificate(_) => "certificate",
        Way::Login(_) => "password",
    };
    let title = format!("{} ({label})", state.name);
    // Profiles of the same identifier replace each other: one per gateway, user and way.
    let identifier =
        format!("org.cygnet.quickstart.{}.{}.{label}", plain(&state.name), plain(parts.identity));
    let (root, own, vpn) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let mut payloads = vec![payload(
        &identifier,
        "com.apple.security.root",
        root,
        &state.authority,
        [
            ("PayloadCertificateFileName", "ca.cer".into()),
            ("PayloadContent", Value::Data(parts.authority.der.clone())),
        ],
    )];
    if let Way::Certificate(paper) = way {
        payloads.push(payload(
            &identifier,
            "com.apple.security.pkcs12",
            own,
            parts.identity,
            [
                ("PayloadCertificateFileName", "user.p12".into()),
                // Whoever has the profile has the password; the container's cipher does not matter here, and not every
                // release opens one with AES.
                ("PayloadContent", Value::Data(paper.compatible.clone())),
                ("Password", paper.password.as_str().into()),
            ],
        ));
    }
    payloads.push(payload(
        &identifier,
        "com.apple.vpn.managed",
        vpn,
        &title,
        [
            ("UserDefinedName", title.as_str().into()),
            ("VPNType", "IKEv2".into()),
            ("IKEv2", Value::Dictionary(ikev2(parts, way, own))),
        ],
    ));
    let mut root = dictionary([
        ("PayloadType", "Configuration".into()),
        ("PayloadVersion", 1.into()),
        ("PayloadIdentifier", identifier.as_str().into()),
        ("PayloadUUID", uuid(Uuid::new_v4())),
        ("PayloadDisplayName", title.as_str().into()),
        ("PayloadDescription", format!("VPN to {}", state.name).into()),
        ("PayloadRemovalDisallowed", false.into()),
    ]);
    root.insert("PayloadContent".into(), Value::Array(payloads.into_iter().map(Value::Dictionary).collect()));
    let mut out = Vec::new();
    Value::Dictionary(root)
        .to_writer_xml(&mut out)
        .map_err(|error| Failure::new(FAILED, format_args!("property list: {error}")))?;
    Ok(out)
}

fn ikev2(parts: &Parts<'_>, way: &Way<'_>, own: Uuid) -> Dictionary {
    let state = parts.state;
    let mut vpn = dictionary([
        ("RemoteAddress", state.name.as_str().into()),
        // Must be a subjectAltName of the gateway's certificate, or Apple refuses it.
        ("RemoteIdentifier", state.name.as_str().into()),
        ("ServerCertificateIssuerCommonName", state.authority.as_str().into()),
        ("ServerCertificateCommonName", state.name.as_str().into()),
        ("DeadPeerDetectionRate", "Medium".into()),
        ("DisableMOBIKE", 0.into()),
        ("DisableRedirect", 1.into()),
        ("EnableCertificateRevocationCheck", 0.into()),
        // Without this and a group below, rekeying a CHILD_SA proposes what the first one did not have (seen with
        // macOS 14, which then loses the tunnel every 24 minutes).
        ("EnablePFS", 1.into()),
        ("NATKeepAliveOffloadEnable", 1.into()),
        ("UseConfigurationAttributeInternalIPSubnet", 0.into()),
        ("IKESecurityAssociationParameters", Value::Dictionary(algorithms(1440))),
        ("ChildSecurityAssociationParameters", Value::Dictionary(algorithms(1440))),
    ]);
    match way {
        Way::Certificate(_) => {
            vpn.insert("AuthenticationMethod".into(), "Certificate".into());
            vpn.insert("CertificateType".into(), "RSA".into());
            vpn.insert("PayloadCertificateUUID".into(), uuid(own));
            vpn.insert("LocalIdentifier".into(), parts.identity.into());
            vpn.insert("ExtendedAuthEnabled".into(), 0.into());
        }
        Way::Login(login) => {
            // "None" with extended authentication: EAP only, the gateway by its certificate.
            vpn.insert("AuthenticationMethod".into(), "None".into());
            vpn.insert("LocalIdentifier".into(), parts.identity.into());
            vpn.insert("ExtendedAuthEnabled".into(), 1.into());
            vpn.insert("AuthName".into(), login.name.as_str().into());
            vpn.insert("AuthPassword".into(), login.password.as_str().into());
        }
    }
    if parts.on_demand {
        let always = dictionary([("Action", "Connect".into())]);
        vpn.insert("OnDemandEnabled".into(), 1.into());
        vpn.insert("OnDemandRules".into(), Value::Array(vec![Value::Dictionary(always)]));
    }
    vpn
}

/// AES-256-GCM with P-256, which all releases since iOS 9 and macOS 10.11 have; SHA2-256 is the PRF.
fn algorithms(minutes: i64) -> Dictionary {
    dictionary([
        ("EncryptionAlgorithm", "AES-256-GCM".into()),
        ("IntegrityAlgorithm", "SHA2-256".into()),
        ("DiffieHellmanGroup", 19.into()),
        ("LifeTimeInMinutes", minutes.into()),
    ])
}

fn payload<const N: usize>(
    identifier: &str,
    kind: &str,
    id: Uuid,
    title: &str,
    content: [(&str, Value); N],
) -> Dictionary {
    let last = kind.rsplit('.').next().unwrap_or(kind);
    let mut payload = dictionary([
        ("PayloadType", kind.into()),
        ("PayloadVersion", 1.into()),
        ("PayloadIdentifier", format!("{identifier}.{last}").into()),
        ("PayloadUUID", uuid(id)),
        ("PayloadDisplayName", title.into()),
    ]);
    payload.extend(content.map(|(key, value)| (key.to_owned(), value)));
    payload
}

fn dictionary<const N: usize>(content: [(&str, Value); N]) -> Dictionary {
    content.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn uuid(id: Uuid) -> Value {
    id.to_string().to_uppercase().into()
}

/// Letters and digits, the rest as dashes: identifiers are reverse host names.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}
