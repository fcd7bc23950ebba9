//! Profiles of the strongSwan app for Android (`.sswan`: JSON, documented at docs.strongswan.org).
use super::profiles::{Login, Paperwork, Parts};
use crate::exit::{FAILED, Failure};
use data_encoding::BASE64;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// With key and certificate inside; the app asks for the container's password.
pub(super) fn with_certificate(parts: &Parts<'_>, paper: &Paperwork) -> Result<String, Failure> {
    text(
        parts,
        "ikev2-cert",
        "certificate",
        json!({"p12": BASE64.encode(&paper.modern), "id": parts.identity}),
    )
}

/// With a user name; the app asks for the password, profiles cannot hold one.
pub(super) fn with_login(parts: &Parts<'_>, login: &Login) -> Result<String, Failure> {
    text(parts, "ikev2-eap", "password", json!({"eap_id": login.name}))
}

fn text(parts: &Parts<'_>, kind: &str, label: &str, local: Value) -> Result<String, Failure> {
    let state = parts.state;
    let mut profile = Map::new();
    profile.insert("uuid".into(), Uuid::new_v4().to_string().into());
    profile.insert("name".into(), format!("{} ({label})", state.name).into());
    profile.insert("type".into(), kind.into());
    profile.insert(
        "remote".into(),
        json!({
            "addr": state.name,
            "id": state.name,
            "cert": BASE64.encode(&parts.authority.der),
        }),
    );
    profile.insert("local".into(), local);
    // The app offers much; this keeps it at the strong end of what the gateway takes.
    profile.insert("ike-proposal".into(), "aes256gcm16-prfsha384-ecp384-x25519".into());
    profile.insert("esp-proposal".into(), "aes256gcm16-ecp384-x25519".into());
    let all = ["0.0.0.0/0", "::/0"];
    if !state.routes.iter().all(|route| all.contains(&route.as_str())) {
        profile.insert("split-tunneling".into(), json!({"subnets": state.routes}));
    }
    // Without an IPv6 pool nothing of IPv6 goes through the tunnel; it shall not go around it either.
    let has = |v6: bool| state.pools.iter().any(|pool| pool.contains(':') == v6);
    for (v6, key) in [(true, "block-ipv6"), (false, "block-ipv4")] {
        if !has(v6) {
            let split = profile.entry("split-tunneling").or_insert_with(|| json!({}));
            if let Some(split) = split.as_object_mut() {
                split.insert(key.into(), true.into());
            }
        }
    }
    serde_json::to_string(&profile)
        .map_err(|error| Failure::new(FAILED, format_args!("writing JSON: {error}")))
}
