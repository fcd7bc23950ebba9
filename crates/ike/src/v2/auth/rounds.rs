//! Rounds of authentication (RFC 4739): which are due, and what a connection demands of those that are done.
use crate::io::Distrust;
use policy::{Auth, AuthClass, Connection, Identity};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::{Arc, LazyLock};
use wire::iana::{AuthMethod, IdType};
use wire::ike::Id;

/// How the peer went about a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum How {
    /// By a pre-shared key.
    Psk,
    /// By a signature.
    Signature,
    /// By EAP.
    Eap,
    /// Not at all (RFC 7619).
    Null,
}

impl How {
    /// What an AUTH payload outside of EAP says.
    pub(crate) fn of(method: AuthMethod) -> Option<Self> {
        match method {
            AuthMethod::Psk => Some(Self::Psk),
            AuthMethod::Null => Some(Self::Null),
            AuthMethod::Rsa
            | AuthMethod::Ecdsa256
            | AuthMethod::Ecdsa384
            | AuthMethod::Ecdsa521
            | AuthMethod::Signature => Some(Self::Signature),
            AuthMethod::Dss | AuthMethod::Unknown(_) => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Psk => "pre-shared key",
            Self::Signature => "public key",
            Self::Eap => "EAP",
            Self::Null => "NULL",
        }
    }

    /// Whether a round of that class may be gone about so.
    pub(crate) fn fits(self, class: &AuthClass) -> bool {
        match class {
            AuthClass::Psk => self == Self::Psk,
            AuthClass::Pubkey(_) => self == Self::Signature,
            AuthClass::Eap(_) => self == Self::Eap,
            // Who takes anybody says so: `null`.
            AuthClass::Any => matches!(self, Self::Psk | Self::Signature),
            AuthClass::Null => self == Self::Null,
            AuthClass::Xauth(_) => false,
        }
    }
}

/// charon's name of a class.
pub(crate) fn class_name(class: &AuthClass) -> &'static str {
    match class {
        AuthClass::Psk => "pre-shared key",
        AuthClass::Pubkey(_) => "public key",
        AuthClass::Eap(_) => "EAP",
        AuthClass::Xauth(_) => "XAuth",
        AuthClass::Any => "any",
        AuthClass::Null => "NULL",
    }
}

/// Name of a method in the log, of those that do not name their scheme.
pub(crate) fn method_name(method: AuthMethod) -> &'static str {
    match method {
        AuthMethod::Rsa => "RSA signature",
        AuthMethod::Psk => "pre-shared key",
        AuthMethod::Dss => "DSS signature",
        AuthMethod::Ecdsa256 => "ECDSA-256 signature",
        AuthMethod::Ecdsa384 => "ECDSA-384 signature",
        AuthMethod::Ecdsa521 => "ECDSA-521 signature",
        AuthMethod::Null => "NULL",
        AuthMethod::Signature => "digital signature",
        AuthMethod::Unknown(_) => "unknown method",
    }
}

/// Rounds of one side. They are looked at for every peer, and most have one: nothing is copied.
pub(crate) type Rounds<'a> = SmallVec<[&'a Auth; 4]>;

/// Those of connections that say nothing of any.
static OURS: LazyLock<Auth> = LazyLock::new(|| Auth::named("", AuthClass::Psk));
static THEIRS: LazyLock<Auth> = LazyLock::new(|| Auth::named("", AuthClass::Any));

fn sorted<'a>(rounds: &'a [Auth], otherwise: &'static LazyLock<Auth>) -> Rounds<'a> {
    let mut all: Rounds<'a> = rounds.iter().collect();
    // Stable: rounds without a number stay in their order.
    all.sort_by_key(|a| a.round);
    if all.is_empty() {
        all.push(otherwise);
    }
    all
}

/// Our rounds, in order; at least one.
pub(crate) fn ours(c: &Connection) -> Rounds<'_> {
    sorted(&c.local, &OURS)
}

/// The peer's.
pub(crate) fn theirs(c: &Connection) -> Rounds<'_> {
    sorted(&c.remote, &THEIRS)
}

/// The peer's round of that number, for who keeps it.
pub(crate) fn theirs_at(c: &Connection, at: usize) -> Option<Arc<Auth>> {
    theirs(c).get(at).map(|round| Arc::new(Auth::clone(round)))
}

/// A round of the peer that is done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Passed {
    pub(crate) how: How,
    /// Whom it proved to be.
    pub(crate) identity: Identity,
    /// Its EAP identity, where it was asked for one.
    pub(crate) eap_identity: Option<Identity>,
    pub(crate) groups: Vec<String>,
}

/// What a round demands and the peer did not show; in charon's words.
pub(crate) fn violated(round: &Auth, passed: &Passed) -> Option<String> {
    if !passed.how.fits(&round.class) {
        let (wanted, used) = (class_name(&round.class), passed.how.name());
        return Some(format!("constraint requires {wanted}, but {used} was used"));
    }
    if let Some(id) = &round.id
        && id.matches(&passed.identity).is_none()
    {
        return Some(format!(
            "constraint check failed: identity '{id}' required, not matched by '{}'",
            passed.identity
        ));
    }
    if let (How::Eap, Some(id)) = (passed.how, &round.eap_id) {
        let shown = passed.eap_identity.as_ref();
        if shown.is_none_or(|shown| id.matches(shown).is_none()) {
            let kind = |id: &Identity| id_type(id.to_wire().0);
            let shown = shown
                .map_or_else(|| "not shown".to_owned(), |s| format!("not matched by '{s}' ({})", kind(s)));
            return Some(format!(
                "constraint check failed: EAP identity '{id}' ({}) required, {shown}",
                kind(id)
            ));
        }
    }
    if !round.groups.is_empty() && !round.groups.iter().any(|g| passed.groups.contains(g)) {
        return Some(format!("constraint check failed: {}", round.groups_demanded()));
    }
    None
}

/// charon's name of a type of identity.
fn id_type(kind: IdType) -> String {
    match kind {
        IdType::Any => "ID_ANY".to_owned(),
        IdType::Ipv4 => "ID_IPV4_ADDR".to_owned(),
        IdType::Fqdn => "ID_FQDN".to_owned(),
        IdType::Rfc822 => "ID_RFC822_ADDR".to_owned(),
        IdType::Ipv6 => "ID_IPV6_ADDR".to_owned(),
        IdType::Dn => "ID_DER_ASN1_DN".to_owned(),
        IdType::Gn => "ID_DER_ASN1_GN".to_owned(),
        IdType::KeyId => "ID_KEY_ID".to_owned(),
        IdType::Null => "ID_NULL".to_owned(),
        IdType::FcName | IdType::Unknown(_) => format!("({})", u8::from(kind)),
    }
}

/// Two rounds demand the same, but perhaps groups: what showed one, shows the other.
pub(crate) fn same_demands(a: &Auth, b: &Auth) -> bool {
    let bare = |x: &Auth| Auth { name: String::new(), groups: Vec::new(), round: 0, ..x.clone() };
    std::ptr::eq(a, b) || bare(a) == bare(b)
}

/// The peer's ID payload, as it came: AUTH covers its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RawId(IdType, Vec<u8>);

impl RawId {
    pub(crate) fn of(id: &Id) -> Self {
        Self(id.kind, id.data.clone())
    }

    pub(crate) fn wire(&self) -> Id {
        Id { kind: self.0, data: self.1.clone() }
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        Identity::from_wire(self.0, &self.1).ok()
    }
}

/// Why the peer is not believed, where no certificate is at fault.
pub(crate) fn distrust(reason: &str) -> Distrust {
    Distrust { alert: "peer-auth-failed", certificate: String::new(), reason: reason.to_owned() }
}
