//! Why a client failed or was lost, in words, and what to do about it.
use std::fmt;

/// Kinds of reasons. The text is what the gateway or our own side said; without anything that differs per client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No answer to IKE_SA_INIT.
    NoAnswer,
    /// IKE_SA_INIT was answered, what followed was not.
    NoAnswerLater,
    /// An error notify, by its name.
    Refused(String),
    /// The IKE_SA came up, its CHILD_SA did not: error notify by name.
    NoChild(String),
    /// The gateway could not show who it is.
    GatewayDistrusted(String),
    /// It sent us elsewhere (RFC 5685).
    Redirected,
    /// The gateway closed the IKE_SA.
    Closed,
    /// It no longer answers.
    Dead,
    /// Something of ours, or something unusual.
    Other(String),
}

/// Longest text kept.
const MOST_TEXT: usize = 160;

impl Reason {
    /// How much it says: the one that says most is kept of several.
    pub(crate) fn weight(&self) -> u8 {
        match self {
            Self::Other(_) => 1,
            Self::Closed => 2,
            Self::NoAnswer | Self::NoAnswerLater | Self::Dead => 3,
            Self::NoChild(_) => 4,
            Self::Refused(_) => 5,
            Self::GatewayDistrusted(_) | Self::Redirected => 6,
        }
    }

    /// From a line of the engine's log about a client, where the line says why something failed.
    pub(crate) fn of_log(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("received ") {
            if let Some(name) = rest.strip_suffix(" notify error") {
                return Some(Self::Refused(name.to_owned()));
            }
            return rest
                .strip_suffix(" notify, no CHILD_SA built")
                .map(|name| Self::NoChild(name.to_owned()));
        }
        for start in [
            "IKE_AUTH response processing failed: ",
            "unable to send IKE_AUTH request: ",
            "unable to initiate: ",
        ] {
            if let Some(why) = text.strip_prefix(start) {
                return Some(Self::Other(why.to_owned()));
            }
        }
        if text.starts_with("IKE_SA_INIT response") || text.starts_with("too many COOKIE") {
            return Some(Self::Other(text.to_owned()));
        }
        if text.starts_with("verification of AUTH payload") || text.starts_with("IDr '") {
            return Some(Self::GatewayDistrusted(text.to_owned()));
        }
        None
    }

    /// The same without what differs per client, and not longer than anybody reads.
    pub(crate) fn trimmed(self, client: &str) -> Self {
        let trim = |text: String| {
            let text = if client.is_empty() { text } else { text.replace(client, "CLIENT") };
            if text.chars().count() > MOST_TEXT {
                text.chars().take(MOST_TEXT).chain(['…']).collect()
            } else {
                text
            }
        };
        match self {
            Self::Other(text) => Self::Other(trim(text)),
            Self::GatewayDistrusted(text) => Self::GatewayDistrusted(trim(text)),
            other => other,
        }
    }

    /// One word or two, for machines.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::NoAnswer => "no-answer".to_owned(),
            Self::NoAnswerLater => "no-answer-later".to_owned(),
            Self::Refused(name) => format!("refused:{name}"),
            Self::NoChild(name) => format!("no-child:{name}"),
            Self::GatewayDistrusted(_) => "gateway-distrusted".to_owned(),
            Self::Redirected => "redirected".to_owned(),
            Self::Closed => "closed".to_owned(),
            Self::Dead => "dead".to_owned(),
            Self::Other(_) => "other".to_owned(),
        }
    }

    /// What to do next.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NoAnswer => {
                "is the address right, UDP port 500 open, the gateway running? Many half-open IKE_SAs from one address are blocked: raise charon.block_threshold and charon.cookie_threshold (0 turns them off), take more --source addresses, or a lower --rate or --concurrent"
            }
            Self::NoAnswerLater => {
                "UDP port 4500 may be closed on the way, or the gateway is overloaded: try a lower --rate, and look at its log and load"
            }
            Self::Refused(name) | Self::NoChild(name) => refused(name),
            Self::GatewayDistrusted(_) => {
                "the secret, the authority (--ca) or --gateway-id does not fit the gateway"
            }
            Self::Redirected => "the gateway redirects clients (RFC 5685): name the gateway it sends them to",
            Self::Closed => {
                "the gateway took the client down: uniqueness (is each identity used once?), its lifetimes, or its operator; its log says which"
            }
            Self::Dead => "the gateway stopped answering: overload, a restart, or the path",
            Self::Other(_) => "see the text; cygnet log on the gateway shows the other side",
        }
    }
}

fn refused(name: &str) -> &'static str {
    match name {
        "AUTHENTICATION_FAILED" => {
            "the gateway does not take these credentials: compare --identity, the secret or certificate and --gateway-id with its connection"
        }
        "NO_PROPOSAL_CHOSEN" => {
            "no common algorithms, or no connection of the gateway fits these addresses: compare --proposal and --esp-proposal with its proposals"
        }
        "TS_UNACCEPTABLE" => {
            "the gateway allows other networks: compare --remote-ts and --vip with its local_ts and pools"
        }
        "INTERNAL_ADDRESS_FAILURE" => {
            "the gateway's pool is empty or of another family: give it more addresses, or choose --vip"
        }
        "FAILED_CP_REQUIRED" => {
            "the gateway insists on virtual addresses: ask for one with --vip v4 or --vip v6"
        }
        "TEMPORARY_FAILURE" | "NO_ADDITIONAL_SAS" => {
            "the gateway is busy or full: try again later or with a lower --rate"
        }
        "INVALID_SYNTAX" => {
            "the gateway could not read our message: a bug of one of the two, please report it"
        }
        _ => "the gateway's log says why",
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer => f.write_str("the gateway did not answer"),
            Self::NoAnswerLater => f.write_str("the gateway answered IKE_SA_INIT but nothing after it"),
            Self::Refused(name) => write!(f, "the gateway refused: {name}"),
            Self::NoChild(name) => write!(f, "the gateway refused the CHILD_SA: {name}"),
            Self::GatewayDistrusted(why) => write!(f, "the gateway is not trusted: {why}"),
            Self::Redirected => f.write_str("the gateway sends clients to another one"),
            Self::Closed => f.write_str("the gateway closed the connection"),
            Self::Dead => f.write_str("the gateway no longer answered"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_that_say_why() {
        let refused = |name: &str| Some(Reason::Refused(name.to_owned()));
        assert_eq!(
            Reason::of_log("received AUTHENTICATION_FAILED notify error"),
            refused("AUTHENTICATION_FAILED")
        );
        assert_eq!(
            Reason::of_log("received TS_UNACCEPTABLE notify, no CHILD_SA built"),
            Some(Reason::NoChild("TS_UNACCEPTABLE".to_owned()))
        );
        assert_eq!(Reason::of_log("received retransmit of request with ID 0, retransmitting response"), None);
        assert!(matches!(
            Reason::of_log("IKE_AUTH response processing failed: AUTH payload missing"),
            Some(Reason::Other(why)) if why == "AUTH payload missing"
        ));
        assert_eq!(Reason::of_log("initiating IKE_SA 7[7] to 192.0.2.1"), None);
    }

    #[test]
    fn texts_do_not_differ_by_client() {
        let of = |n: u32| {
            Reason::Other(format!("no shared key found for 'c{n}@x' - 'gw'")).trimmed(&format!("c{n}@x"))
        };
        assert_eq!(of(1), of(2));
        assert_eq!(of(1).to_string(), "no shared key found for 'CLIENT' - 'gw'");
        let long = Reason::Other("x".repeat(1000)).trimmed("");
        assert_eq!(long.to_string().chars().count(), MOST_TEXT + 1);
    }
}
