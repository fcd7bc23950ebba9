//! One TLS connection in memory: messages in, messages out.
use super::suites;
use super::trust::{Key, Trust};
use super::{Role, Tls};
use crate::config::Method;
use crate::step::{Failed, Line, printable};
use crypto::Secret;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Connection, Error, ProtocolVersion, ServerConfig,
    ServerConnection,
};
use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::Arc;

/// Label of the MSK of EAP-TLS and PEAP with TLS 1.2 (RFC 5216 2.3).
const LABEL_TLS: &[u8] = b"client EAP encryption";
/// Of EAP-TTLS (RFC 5281 8).
const LABEL_TTLS: &[u8] = b"ttls keying material";
/// Of all with TLS 1.3 (RFC 9190 2.3, RFC 9427 2.1); the context is the method's number.
const LABEL_TLS13: &[u8] = b"EXPORTER_EAP_TLS_Key_Material";
/// Implicit challenge of CHAP and MSCHAPv2 inside TTLS (RFC 5281 11.1, RFC 9427 2.3).
const LABEL_CHALLENGE: &[u8] = b"ttls challenge";
/// MSK and EMSK.
const KEY_MATERIAL: usize = 128;
const MSK: usize = 64;

/// rustls wants a time only to hand it on to verifiers and tickets; our judge has his own, and there are no tickets.
#[derive(Debug)]
struct NoClock;

impl TimeProvider for NoClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(std::time::Duration::ZERO))
    }
}

/// What went wrong, and the bytes (an alert) that the other end should still get.
pub(crate) struct Broken {
    pub(crate) why: Failed,
    pub(crate) alert: Vec<u8>,
}

/// A connection.
pub(crate) struct Session {
    connection: Connection,
    trust: Arc<Trust>,
    /// The other end must have a certificate.
    demands: bool,
    role: Role,
    name: Vec<u8>,
    told: bool,
}

impl Session {
    /// As server; `demands`: the client must have a certificate, which proves `client`.
    pub(crate) fn server(tls: &Tls, client: &[u8], demands: bool) -> Result<Self, Failed> {
        let trust = Arc::new(Trust::new(tls.judge.clone(), Role::Client, client, &tls.authorities));
        let key = certified(tls)
            .ok_or_else(|| Failed::local("no certificate and private key for the TLS server"))?;
        let versions = ServerConfig::builder_with_details(tls.provider.clone(), Arc::new(NoClock))
            .with_protocol_versions(&tls.versions)
            .map_err(local)?;
        let mut config = if demands {
            versions.with_client_cert_verifier(trust.clone())
        } else {
            versions.with_no_client_auth()
        }
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        // Every conversation is a full handshake: a ticket would be a stray message (RFC 9190 2.1.1), and a resumed
        // session has no certificate to judge.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        let connection = ServerConnection::new(Arc::new(config)).map_err(local)?;
        Ok(Self::of(connection.into(), trust, demands, Role::Client, client))
    }

    /// As client of the server of that name.
    pub(crate) fn client(tls: &Tls, server: &[u8]) -> Result<Self, Failed> {
        let trust = Arc::new(Trust::new(tls.judge.clone(), Role::Server, server, &[]));
        let verified = ClientConfig::builder_with_details(tls.provider.clone(), Arc::new(NoClock))
            .with_protocol_versions(&tls.versions)
            .map_err(local)?
            .dangerous()
            .with_custom_certificate_verifier(trust.clone());
        let mut config = match certified(tls) {
            Some(key) => verified.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
            None => verified.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        // Not sent, and not what the judge compares with.
        let nobody = ServerName::try_from("eap.invalid").map_err(|e| Failed::local(e.to_string()))?;
        let connection = ClientConnection::new(Arc::new(config), nobody).map_err(local)?;
        Ok(Self::of(connection.into(), trust, true, Role::Server, server))
    }

    fn of(connection: Connection, trust: Arc<Trust>, demands: bool, role: Role, name: &[u8]) -> Self {
        Self { connection, trust, demands, role, name: name.to_vec(), told: false }
    }

    /// Takes a message, and gives the application data in it.
    pub(crate) fn feed(&mut self, message: &[u8], log: &mut Vec<Line>) -> Result<Secret, Broken> {
        let result = self.receive(message);
        log.extend(self.trust.take_log());
        match result {
            Ok(plain) => {
                self.tell(log);
                Ok(plain)
            }
            Err(error) => {
                let alert = self.take();
                let why = self.explain(error, !alert.is_empty(), log);
                Err(Broken { why, alert })
            }
        }
    }

    fn receive(&mut self, mut message: &[u8]) -> Result<Secret, Error> {
        let mut plain = Vec::new();
        while !message.is_empty() {
            match self.connection.read_tls(&mut message) {
                Ok(0) => return Err(Error::General("the TLS connection takes no more".into())),
                Ok(_) => {}
                Err(e) => return Err(Error::General(e.to_string())),
            }
            let state = self.connection.process_new_packets()?;
            match self.connection.reader().read_to_end(&mut plain) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(Error::General(e.to_string())),
            }
            if state.peer_has_closed() {
                return Err(Error::AlertReceived(AlertDescription::CloseNotify));
            }
        }
        // CVE-2023-26463: nobody gets past a handshake with a certificate that was not judged.
        if self.is_up() && self.demands {
            let certificate = self.connection.peer_certificates().and_then(<[CertificateDer<'_>]>::first);
            if !self.trust.vouches_for(certificate) {
                return Err(Error::General("the other end's certificate was not judged".into()));
            }
        }
        Ok(Secret::new(plain))
    }

    /// Once, when the handshake is complete.
    fn tell(&mut self, log: &mut Vec<Line>) {
        if self.told || !self.is_up() {
            return;
        }
        self.told = true;
        if let Some(suite) = self.connection.negotiated_cipher_suite() {
            let version = if self.is_13() { "1.3" } else { "1.2" };
            log.push(Line::tls(1, format!("negotiated TLS {version} using suite {}", suites::name(&suite))));
        }
    }

    fn explain(&mut self, error: Error, alerted: bool, log: &mut Vec<Line>) -> Failed {
        if let Error::AlertReceived(alert) = error {
            let name = alert_name(alert);
            if alert == AlertDescription::CloseNotify {
                log.push(Line::tls(1, "received TLS close notify"));
            } else {
                log.push(Line::tls(1, format!("received fatal TLS alert '{name}'")));
            }
            return Failed::local(format!("the other end ended TLS: {name}"));
        }
        let failed = self.trust.take_failed();
        if failed.is_some() {
            let (who, name) =
                (if self.role == Role::Server { "server" } else { "peer" }, printable(&self.name));
            log.push(Line::tls(1, format!("no TLS public key found for {who} '{name}'")));
        }
        if alerted {
            log.push(Line::tls(1, format!("sending fatal TLS alert: {error}")));
        }
        failed.unwrap_or_else(|| Failed::peer(format!("TLS failed: {error}")))
    }

    /// Queues application data.
    pub(crate) fn write(&mut self, plain: &[u8]) -> Result<(), Failed> {
        self.connection
            .writer()
            .write_all(plain)
            .map_err(|e| Failed::local(format!("TLS takes no data: {e}")))
    }

    /// The TLS bytes that wait to be sent.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while self.connection.wants_write() {
            // Into memory: writing cannot fail, and writes all.
            if self.connection.write_tls(&mut out).is_err() {
                break;
            }
        }
        out
    }

    /// The handshake is complete.
    pub(crate) fn is_up(&self) -> bool {
        !self.connection.is_handshaking()
    }

    /// TLS 1.3 was negotiated.
    pub(crate) fn is_13(&self) -> bool {
        self.connection.protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    /// The method's MSK.
    pub(crate) fn msk(&self, method: Method) -> Result<Secret, Failed> {
        let mut material = Secret::zeroed(KEY_MATERIAL);
        let number = method.number().short().unwrap_or_default();
        let (label, context) = match method {
            _ if self.is_13() => (LABEL_TLS13, Some(&[number][..])),
            Method::Ttls => (LABEL_TTLS, None),
            Method::Tls | Method::Peap | Method::Md5 | Method::Gtc | Method::Mschapv2 => (LABEL_TLS, None),
        };
        self.export(&mut material, label, context)?;
        Ok(material.split_at(MSK).0)
    }

    /// The challenge that both ends of TTLS know, `len` bytes.
    pub(crate) fn challenge(&self, len: usize) -> Result<Secret, Failed> {
        let mut challenge = Secret::zeroed(len);
        self.export(&mut challenge, LABEL_CHALLENGE, None)?;
        Ok(challenge)
    }

    fn export(&self, out: &mut Secret, label: &[u8], context: Option<&[u8]>) -> Result<(), Failed> {
        self.connection.export_keying_material(out.as_mut_slice(), label, context).map_err(local)?;
        Ok(())
    }
}

fn certified(tls: &Tls) -> Option<CertifiedKey> {
    let credentials = tls.credentials.as_ref().filter(|c| !c.chain.is_empty())?;
    let chain = credentials.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    Some(CertifiedKey::new(chain, Arc::new(Key(credentials.signer.clone()))))
}

fn local(error: Error) -> Failed {
    Failed::local(format!("TLS failed: {error}"))
}

/// `bad certificate`, `unknown CA`, …
fn alert_name(alert: AlertDescription) -> String {
    let Some(name) = alert.as_str() else { return format!("{alert:?}") };
    if name == "UnknownCA" {
        return "unknown CA".to_owned();
    }
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_alerts() {
        assert_eq!(alert_name(AlertDescription::UnknownCA), "unknown CA");
        assert_eq!(alert_name(AlertDescription::BadCertificate), "bad certificate");
        assert_eq!(alert_name(AlertDescription::CloseNotify), "close notify");
    }
}
