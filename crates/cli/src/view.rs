//! What the daemon's list of SAs means; also the schema of `cygnet status --json`.
//!
//! The JSON document is `{"schema": "cygnet.status/1", "ike_sas": [IkeSa…]}`. Within version 1 fields may be added,
//! never renamed, retyped or removed. Absent values are `null`, absent lists are empty.
use config::tree::Section;
use serde::Serialize;
use vici::Message;

/// Name and version of the document.
pub(crate) const SCHEMA: &str = "cygnet.status/1";

/// The whole document.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) schema: &'static str,
    pub(crate) ike_sas: Vec<IkeSa>,
}

/// One IKE_SA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct IkeSa {
    /// Name of the connection.
    pub(crate) connection: String,
    /// Unique id, as `--ike-id` takes it.
    pub(crate) id: u32,
    /// 1 or 2.
    pub(crate) ike_version: u8,
    /// charon's word: ESTABLISHED, CONNECTING …
    pub(crate) state: String,
    /// Whether we began it.
    pub(crate) initiator: bool,
    pub(crate) initiator_spi: String,
    pub(crate) responder_spi: String,
    pub(crate) local: End,
    pub(crate) remote: End,
    pub(crate) algorithms: Option<Algorithms>,
    /// Seconds since it came up.
    pub(crate) established_seconds: Option<u64>,
    /// Seconds until it is rekeyed.
    pub(crate) rekey_seconds: Option<u64>,
    /// Seconds until it is reauthenticated.
    pub(crate) reauth_seconds: Option<u64>,
    /// What it has to do, is doing, and does for the peer.
    pub(crate) tasks: Tasks,
    pub(crate) child_sas: Vec<ChildSa>,
}

/// One end of an IKE_SA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct End {
    pub(crate) address: String,
    pub(crate) port: Option<u16>,
    pub(crate) id: Option<String>,
    pub(crate) eap_id: Option<String>,
    pub(crate) xauth_id: Option<String>,
    pub(crate) behind_nat: bool,
    pub(crate) virtual_ips: Vec<String>,
}

/// What was negotiated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Algorithms {
    pub(crate) encryption: Option<String>,
    pub(crate) encryption_bits: Option<u16>,
    pub(crate) integrity: Option<String>,
    pub(crate) prf: Option<String>,
    pub(crate) key_exchange: Option<String>,
    pub(crate) additional_key_exchanges: Vec<String>,
    pub(crate) esn: bool,
    pub(crate) ppk: bool,
}

/// Tasks by charon's names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Tasks {
    pub(crate) queued: Vec<String>,
    pub(crate) active: Vec<String>,
    pub(crate) passive: Vec<String>,
}

/// One CHILD_SA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ChildSa {
    pub(crate) name: String,
    pub(crate) id: u32,
    pub(crate) reqid: Option<u32>,
    /// charon's word: INSTALLED, REKEYED …
    pub(crate) state: String,
    /// TUNNEL, TRANSPORT …
    pub(crate) mode: String,
    /// ESP or AH.
    pub(crate) protocol: Option<String>,
    pub(crate) udp_encapsulation: bool,
    pub(crate) spi_in: Option<String>,
    pub(crate) spi_out: Option<String>,
    pub(crate) algorithms: Option<Algorithms>,
    /// Received and decrypted.
    pub(crate) inbound: Traffic,
    /// Encrypted and sent.
    pub(crate) outbound: Traffic,
    pub(crate) installed_seconds: Option<u64>,
    pub(crate) rekey_seconds: Option<u64>,
    pub(crate) expires_seconds: Option<u64>,
    pub(crate) local_ts: Vec<String>,
    pub(crate) remote_ts: Vec<String>,
}

/// What passed in one direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Traffic {
    pub(crate) bytes: u64,
    pub(crate) packets: u64,
    /// Seconds since the last packet.
    pub(crate) idle_seconds: Option<u64>,
}

impl Status {
    pub(crate) const fn new(ike_sas: Vec<IkeSa>) -> Self {
        Self { schema: SCHEMA, ike_sas }
    }
}

/// Reads the events of `list-sas`.
pub(crate) fn ike_sas(events: &[Section]) -> Vec<IkeSa> {
    events.iter().flat_map(|event| event.children().map(|(name, sa)| ike_sa(name, sa))).collect()
}

fn ike_sa(name: &str, sa: &Section) -> IkeSa {
    IkeSa {
        connection: name.to_owned(),
        id: sa.number("uniqueid").unwrap_or(0),
        ike_version: sa.number("version").unwrap_or(0),
        state: owned(sa, "state").unwrap_or_default(),
        initiator: sa.is_yes("initiator"),
        initiator_spi: owned(sa, "initiator-spi").unwrap_or_default(),
        responder_spi: owned(sa, "responder-spi").unwrap_or_default(),
        local: End {
            address: owned(sa, "local-host").unwrap_or_default(),
            port: sa.number("local-port"),
            id: owned(sa, "local-id"),
            eap_id: None,
            xauth_id: None,
            behind_nat: sa.is_yes("nat-local"),
            virtual_ips: list(sa, "local-vips"),
        },
        remote: End {
            address: owned(sa, "remote-host").unwrap_or_default(),
            port: sa.number("remote-port"),
            id: owned(sa, "remote-id"),
            eap_id: owned(sa, "remote-eap-id"),
            xauth_id: owned(sa, "remote-xauth-id"),
            behind_nat: sa.is_yes("nat-remote"),
            virtual_ips: list(sa, "remote-vips"),
        },
        algorithms: algorithms(sa),
        established_seconds: sa.number("established"),
        rekey_seconds: sa.number("rekey-time"),
        reauth_seconds: sa.number("reauth-time"),
        tasks: Tasks {
            queued: list(sa, "tasks-queued"),
            active: list(sa, "tasks-active"),
            passive: list(sa, "tasks-passive"),
        },
        child_sas: sa.child("child-sas").into_iter().flat_map(|all| all.children()).map(child_sa).collect(),
    }
}

fn child_sa((key, sa): (&str, &Section)) -> ChildSa {
    let traffic = |direction: &str| Traffic {
        bytes: sa.number(&format!("bytes-{direction}")).unwrap_or(0),
        packets: sa.number(&format!("packets-{direction}")).unwrap_or(0),
        idle_seconds: sa.number(&format!("use-{direction}")),
    };
    ChildSa {
        name: owned(sa, "name").unwrap_or_else(|| key.to_owned()),
        id: sa.number("uniqueid").unwrap_or(0),
        reqid: sa.number("reqid"),
        state: owned(sa, "state").unwrap_or_default(),
        mode: owned(sa, "mode").unwrap_or_default(),
        protocol: owned(sa, "protocol"),
        udp_encapsulation: sa.is_yes("encap"),
        spi_in: owned(sa, "spi-in"),
        spi_out: owned(sa, "spi-out"),
        algorithms: algorithms(sa),
        inbound: traffic("in"),
        outbound: traffic("out"),
        installed_seconds: sa.number("install-time"),
        rekey_seconds: sa.number("rekey-time"),
        expires_seconds: sa.number("life-time"),
        local_ts: list(sa, "local-ts"),
        remote_ts: list(sa, "remote-ts"),
    }
}

fn algorithms(sa: &Section) -> Option<Algorithms> {
    let found = Algorithms {
        encryption: owned(sa, "encr-alg"),
        encryption_bits: sa.number("encr-keysize"),
        integrity: owned(sa, "integ-alg"),
        prf: owned(sa, "prf-alg"),
        key_exchange: owned(sa, "dh-group"),
        additional_key_exchanges: (1..=7).filter_map(|n| owned(sa, &format!("ake{n}"))).collect(),
        esn: sa.text("esn").is_some_and(|esn| esn != "0" && esn != "no"),
        ppk: sa.is_yes("ppk"),
    };
    (found.encryption.is_some() || found.integrity.is_some()).then_some(found)
}

impl std::fmt::Display for Algorithms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        match (&self.encryption, self.encryption_bits) {
            (Some(name), Some(bits)) => parts.push(format!("{name}-{bits}")),
            (Some(name), None) => parts.push(name.clone()),
            (None, _) => {}
        }
        parts.extend(self.integrity.clone());
        parts.extend(self.prf.clone());
        parts.extend(self.key_exchange.clone());
        parts.extend(self.additional_key_exchanges.iter().cloned());
        if self.esn {
            parts.push("ESN".to_owned());
        }
        if self.ppk {
            parts.push("PPK".to_owned());
        }
        f.write_str(&parts.join("/"))
    }
}

fn owned(section: &Section, key: &str) -> Option<String> {
    section.bytes(key).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn list(section: &Section, key: &str) -> Vec<String> {
    section.items(key).into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What strongSwan 5.9.8 sent for a road warrior's IKE_SA.
    pub(crate) fn sample() -> Section {
        let mut child = Section::default();
        for (key, value) in [
            ("name", "net"),
            ("uniqueid", "5"),
            ("reqid", "1"),
            ("state", "INSTALLED"),
            ("mode", "TUNNEL"),
            ("protocol", "ESP"),
            ("encap", "yes"),
            ("spi-in", "740d905c"),
            ("spi-out", "ffd4c771"),
            ("encr-alg", "AES_GCM_16"),
            ("encr-keysize", "128"),
            ("bytes-in", "168"),
            ("packets-in", "2"),
            ("use-in", "0"),
            ("bytes-out", "1048576"),
            ("packets-out", "1234"),
            ("use-out", "0"),
            ("rekey-time", "3447"),
            ("life-time", "3959"),
            ("install-time", "61"),
        ] {
            child.put(key, value);
        }
        child
            .put_list("local-ts", ["10.3.0.1/32", "fd00:3::1/128"])
            .put_list("remote-ts", ["10.1.0.0/16", "fd00:1::/64"]);
        let mut children = Section::default();
        children.put_section("net-5", child);
        let mut sa = Section::default();
        for (key, value) in [
            ("uniqueid", "4"),
            ("version", "2"),
            ("state", "ESTABLISHED"),
            ("local-host", "192.0.2.2"),
            ("local-port", "4500"),
            ("local-id", "carol@example.org"),
            ("remote-host", "192.0.2.1"),
            ("remote-port", "4500"),
            ("remote-id", "gw.example.org"),
            ("initiator", "yes"),
            ("initiator-spi", "5e0fe371174d74a7"),
            ("responder-spi", "83f13a7a8d11b61e"),
            ("nat-remote", "yes"),
            ("nat-any", "yes"),
            ("encr-alg", "AES_GCM_16"),
            ("encr-keysize", "128"),
            ("prf-alg", "PRF_HMAC_SHA2_256"),
            ("dh-group", "CURVE_25519"),
            ("established", "61"),
            ("rekey-time", "13644"),
        ] {
            sa.put(key, value);
        }
        sa.put_list("local-vips", ["10.3.0.1", "fd00:3::1"]).put_section("child-sas", children);
        let mut event = Section::default();
        event.put_section("home", sa);
        event
    }

    #[test]
    fn the_json_schema_is_stable() {
        let status = Status::new(ike_sas(&[sample()]));
        let expected = include_str!("view/status.json");
        assert_eq!(serde_json::to_string_pretty(&status).unwrap(), expected.trim_end());
    }

    #[test]
    fn an_empty_event_is_no_reason_to_stop() {
        let mut event = Section::default();
        event.put_section("x", Section::default());
        let sas = ike_sas(&[event]);
        assert_eq!((sas[0].connection.as_str(), sas[0].id, &sas[0].algorithms), ("x", 0, &None));
    }
}
