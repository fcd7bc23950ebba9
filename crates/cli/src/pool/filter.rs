//! `--filter` of `--leases`.
use policy::Identity;
use sql::admin::LeaseState;
use std::net::IpAddr;

/// Which leases.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Filter {
    pub(super) pool: Option<String>,
    pub(super) identity: Option<Identity>,
    pub(super) address: Option<IpAddr>,
    pub(super) state: Option<LeaseState>,
    /// Unix seconds.
    pub(super) at: Option<u64>,
}

const KEYS: [&str; 5] = ["pool", "id", "addr", "tstamp", "status"];

impl Filter {
    /// Reads `key=value[,key=value…]`. A comma that no key follows belongs to the value: distinguished names have some.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut filter = Self::default();
        let mut parts: Vec<String> = Vec::new();
        for piece in text.split(',') {
            let key = piece.split_once('=').map(|(key, _)| key.trim());
            match parts.last_mut() {
                Some(last) if !key.is_some_and(|key| KEYS.contains(&key)) => {
                    last.push(',');
                    last.push_str(piece);
                }
                _ => parts.push(piece.to_owned()),
            }
        }
        for part in parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').ok_or_else(|| unknown(part))?;
            filter.set(key.trim(), value.trim())?;
        }
        Ok(filter)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        if KEYS.contains(&key) && value.is_empty() {
            return Err(format!("--filter {key}= has no value"));
        }
        match key {
            "pool" => self.pool = Some(value.to_owned()),
            "id" => {
                let identity =
                    Identity::parse(value).map_err(|error| format!("--filter id={value}: {error}"))?;
                self.identity = Some(identity);
            }
            "addr" => {
                let address = value.parse().map_err(|_| format!("--filter addr={value}: no IP address"))?;
                self.address = Some(address);
            }
            "tstamp" => {
                let at = value.parse().map_err(|_| {
                    format!("--filter tstamp={value}: no UNIX timestamp, such as 'date +%s' prints")
                })?;
                self.at = Some(at);
            }
            "status" => {
                self.state = Some(match value {
                    "online" => LeaseState::Online,
                    "valid" => LeaseState::Valid,
                    "expired" => LeaseState::Expired,
                    _ => return Err(format!("--filter status={value}: online, valid or expired")),
                });
            }
            other => return Err(unknown(other)),
        }
        Ok(())
    }
}

fn unknown(key: &str) -> String {
    format!("--filter '{key}': written key=value, the keys are {}", KEYS.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key() {
        let text = "pool=big,id=carol@strongswan.org,addr=10.3.0.1,status=valid,tstamp=1700000000";
        let filter = Filter::read(text).unwrap();
        assert_eq!(
            filter,
            Filter {
                pool: Some("big".into()),
                identity: Identity::parse("carol@strongswan.org").ok(),
                address: "10.3.0.1".parse().ok(),
                state: Some(LeaseState::Valid),
                at: Some(1_700_000_000),
            }
        );
        assert_eq!(Filter::read("").unwrap(), Filter::default());
    }

    #[test]
    fn a_distinguished_name_keeps_its_commas() {
        let filter = Filter::read("id=C=CH, O=strongSwan, CN=carol,pool=big").unwrap();
        assert_eq!(filter.identity, Identity::parse("C=CH, O=strongSwan, CN=carol").ok());
        assert_eq!(filter.pool.as_deref(), Some("big"));
    }

    #[test]
    fn mistakes_say_what_would_be_right() {
        for (text, words) in [
            ("big", "written key=value, the keys are pool, id,"),
            ("name=big", "the keys are pool, id,"),
            ("addr=ten", "no IP address"),
            ("tstamp=today", "date +%s"),
            ("status=gone", "online, valid or expired"),
            ("pool=", "has no value"),
        ] {
            let mistake = Filter::read(text).unwrap_err();
            assert!(mistake.contains(words), "{text}: {mistake}");
        }
    }
}
