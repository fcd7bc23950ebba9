//! Authentication rounds (`local*`, `remote*`).
use crate::{CertRef, Identity, KeyConstraints};
use serde::{Deserialize, Serialize};

/// How a round authenticates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthClass {
    /// Pre-shared key.
    Psk,
    /// Public key; the rest of the `auth` text holds constraints.
    Pubkey(String),
    /// EAP with an optional method name.
    Eap(String),
    /// XAuth (IKEv1).
    Xauth(String),
    /// Anything the peer does (`any`), but for `null`.
    Any,
    /// None at all (`null`, RFC 7619): the other end stays anonymous.
    Null,
}

/// One round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Auth {
    /// Section name, `local`, `local-1`, ….
    pub name: String,
    /// Order among the rounds.
    pub round: u32,
    /// Method.
    pub class: AuthClass,
    /// Own identity (local) or pattern (remote). `None`: local the host address, remote `%any`.
    pub id: Option<Identity>,
    /// EAP identity.
    pub eap_id: Option<Identity>,
    /// AAA identity.
    pub aaa_id: Option<Identity>,
    /// XAuth identity.
    pub xauth_id: Option<Identity>,
    /// Groups required (remote).
    pub groups: Vec<String>,
    /// Certificate policies required (remote).
    pub cert_policy: Vec<String>,
    /// Certificates: ours to choose from, or those of which the peer must have one.
    pub certs: Vec<CertRef>,
    /// CA certificates of which one must have issued the peer's (remote).
    pub cacerts: Vec<CertRef>,
    /// `ca_id` (remote).
    pub ca_id: Option<Identity>,
    /// Raw public keys.
    pub pubkeys: Vec<CertRef>,
    /// `strict`, `ifuri` or `relaxed` (remote).
    pub revocation: String,
}

impl AuthClass {
    /// Reads the value of an `auth` key: `pubkey` and everything that only constrains it (`rsa-2048-sha256`,
    /// `ike:ecdsa-384`, …), `psk`, `eap[-method]`, `xauth[-backend]`, `any`, `null`.
    ///
    /// # Errors
    /// The text, when it begins with none of these.
    pub fn parse(text: &str) -> Result<Self, String> {
        let constraint = text.strip_prefix("ike:").unwrap_or(text);
        let head = constraint.split(['-', ':', '/']).next().unwrap_or("");
        let rest = || text.split_once(['-', ':']).map_or_else(String::new, |(_, rest)| rest.to_owned());
        match head {
            "psk" if text == "psk" => Ok(Self::Psk),
            "any" if text == "any" => Ok(Self::Any),
            "null" if text == "null" => Ok(Self::Null),
            "eap" if constraint == text => Ok(Self::Eap(rest())),
            "xauth" if constraint == text => Ok(Self::Xauth(rest())),
            "pubkey" | "rsa" | "ecdsa" | "ed25519" | "ed448" => {
                KeyConstraints::parse(text).map_err(|_| text.to_owned())?;
                Ok(Self::Pubkey(text.to_owned()))
            }
            _ => Err(text.to_owned()),
        }
    }

    /// What is demanded of keys and signatures: with `pubkey`, and behind the method of EAP (`eap-tls:ecdsa-384`).
    ///
    /// # Errors
    /// The word that means nothing.
    pub fn constraints(&self) -> Result<KeyConstraints, String> {
        match self {
            Self::Pubkey(text) => KeyConstraints::parse(text),
            Self::Eap(text) => text
                .split_once(':')
                .map_or_else(|| Ok(KeyConstraints::default()), |(_, rest)| KeyConstraints::parse(rest)),
            Self::Psk | Self::Xauth(_) | Self::Any | Self::Null => Ok(KeyConstraints::default()),
        }
    }
}

impl Auth {
    /// What is said of a peer that is in none of the round's groups: charon names the last, the others follow.
    #[must_use]
    pub fn groups_demanded(&self) -> String {
        let Some((last, others)) = self.groups.split_last() else { return String::new() };
        let others: String = others.iter().map(|group| format!(", or to '{group}'")).collect();
        format!("group membership to '{last}' required{others}")
    }

    /// A round with everything else as `swanctl.conf` has it by default.
    #[must_use]
    pub fn named(name: &str, class: AuthClass) -> Self {
        Self {
            name: name.to_owned(),
            round: 0,
            class,
            id: None,
            eap_id: None,
            aaa_id: None,
            xauth_id: None,
            groups: Vec::new(),
            cert_policy: Vec::new(),
            certs: Vec::new(),
            cacerts: Vec::new(),
            ca_id: None,
            pubkeys: Vec::new(),
            revocation: "relaxed".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        for (text, class) in [
            ("psk", AuthClass::Psk),
            ("any", AuthClass::Any),
            ("null", AuthClass::Null),
            ("pubkey", AuthClass::Pubkey("pubkey".into())),
            ("ike:rsa/pss-sha256", AuthClass::Pubkey("ike:rsa/pss-sha256".into())),
            ("rsa-2048-ecdsa-256", AuthClass::Pubkey("rsa-2048-ecdsa-256".into())),
            ("eap", AuthClass::Eap(String::new())),
            ("eap-mschapv2", AuthClass::Eap("mschapv2".into())),
            ("eap-tls:ecdsa-384", AuthClass::Eap("tls:ecdsa-384".into())),
            ("xauth-pam", AuthClass::Xauth("pam".into())),
        ] {
            assert_eq!(AuthClass::parse(text), Ok(class));
        }
        for text in
            ["", "password", "psk-1", "null-1", "ike:null", "ike:psk", "ike:eap", "rsa-md5", "pubkey-2048"]
        {
            assert_eq!(AuthClass::parse(text), Err(text.into()));
        }
    }
}
