//! What rustls asks about certificates, and what signs for ours.
use super::{Judge, Role, Signer};
use crate::step::{Failed, Line};
use crypto::sign::{Hash, KeyType, PublicKey, SignScheme};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible,
    SignatureAlgorithm, SignatureScheme,
};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Longest chain that is handed to the judge.
const MAX_CHAIN: usize = 16;

/// Signatures in handshakes, and what they are here.
const SCHEMES: [(SignatureScheme, SignScheme); 10] = [
    (SignatureScheme::ECDSA_NISTP256_SHA256, SignScheme::EcdsaDer(Hash::Sha256)),
    (SignatureScheme::ECDSA_NISTP384_SHA384, SignScheme::EcdsaDer(Hash::Sha384)),
    (SignatureScheme::ECDSA_NISTP521_SHA512, SignScheme::EcdsaDer(Hash::Sha512)),
    (SignatureScheme::ED25519, SignScheme::Ed25519),
    (SignatureScheme::RSA_PSS_SHA256, SignScheme::RsaPss(Hash::Sha256)),
    (SignatureScheme::RSA_PSS_SHA384, SignScheme::RsaPss(Hash::Sha384)),
    (SignatureScheme::RSA_PSS_SHA512, SignScheme::RsaPss(Hash::Sha512)),
    (SignatureScheme::RSA_PKCS1_SHA256, SignScheme::RsaPkcs1(Hash::Sha256)),
    (SignatureScheme::RSA_PKCS1_SHA384, SignScheme::RsaPkcs1(Hash::Sha384)),
    (SignatureScheme::RSA_PKCS1_SHA512, SignScheme::RsaPkcs1(Hash::Sha512)),
];

/// The trust in the other end of one handshake. rustls calls its verifiers through shared references, hence the lock;
/// nobody else ever waits for it.
pub(super) struct Trust {
    judge: Arc<dyn Judge>,
    role: Role,
    name: Vec<u8>,
    authorities: Vec<DistinguishedName>,
    judged: Mutex<Judged>,
}

#[derive(Default)]
struct Judged {
    /// The certificate that was judged good, and its key.
    key: Option<(Vec<u8>, PublicKey)>,
    failed: Option<Failed>,
    log: Vec<Line>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("role", &self.role).finish_non_exhaustive()
    }
}

impl Trust {
    pub(super) fn new(judge: Arc<dyn Judge>, role: Role, name: &[u8], authorities: &[Vec<u8>]) -> Self {
        let authorities = authorities.iter().map(|dn| DistinguishedName::from(dn.clone())).collect();
        Self { judge, role, name: name.to_vec(), authorities, judged: Mutex::default() }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Judged) -> T) -> T {
        f(&mut self.judged.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lines of the judge that were not taken yet.
    pub(super) fn take_log(&self) -> Vec<Line> {
        self.with(|j| std::mem::take(&mut j.log))
    }

    /// Why the judge refused, if he did.
    pub(super) fn take_failed(&self) -> Option<Failed> {
        self.with(|j| j.failed.take())
    }

    /// Whether this is the certificate that was judged good.
    pub(super) fn vouches_for(&self, certificate: Option<&CertificateDer<'_>>) -> bool {
        self.with(|j| {
            j.key.as_ref().is_some_and(|(der, _)| certificate.is_some_and(|c| c.as_ref() == &**der))
        })
    }

    fn decide(&self, end_entity: &CertificateDer<'_>, more: &[CertificateDer<'_>]) -> Result<(), Error> {
        let chain: Vec<&[u8]> =
            std::iter::once(end_entity.as_ref()).chain(more.iter().map(AsRef::as_ref)).collect();
        let verdict = if chain.len() > MAX_CHAIN {
            Err(Failed {
                alert: "cert-exceeded-path-len",
                ..Failed::peer(format!("a chain of {} certificates, more than {MAX_CHAIN}", chain.len()))
            })
        } else {
            let judgement = self.judge.judge(&chain, self.role, &self.name);
            self.with(|j| j.log.extend(judgement.log));
            judgement.verdict
        };
        self.with(|j| match verdict {
            Ok(key) => {
                j.key = Some((end_entity.to_vec(), key));
                j.failed = None;
                Ok(())
            }
            Err(failed) => {
                j.key = None;
                let error = refusal(&failed);
                j.failed = Some(failed);
                Err(Error::InvalidCertificate(error))
            }
        })
    }

    fn check(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
        v13: bool,
    ) -> Result<HandshakeSignatureValid, Error> {
        let unknown = || Error::PeerIncompatible(PeerIncompatible::NoSignatureSchemesInCommon);
        let (_, scheme) = SCHEMES.iter().find(|(s, _)| *s == signed.scheme).ok_or_else(unknown)?;
        self.with(|j| {
            let key = match &j.key {
                Some((der, key)) if certificate.as_ref() == &**der => key,
                Some(_) | None => return Err(Error::General("a certificate that nobody judged".into())),
            };
            if v13 && !fits_tls13(*scheme, key.kind()) {
                return Err(unknown());
            }
            key.verify(*scheme, message, signed.signature())
                .map_err(|_| Error::InvalidCertificate(CertificateError::BadSignature))?;
            Ok(HandshakeSignatureValid::assertion())
        })
    }
}

/// RFC 8446 4.2.3: no PKCS#1, and ECDSA schemes are bound to their curve.
fn fits_tls13(scheme: SignScheme, key: KeyType) -> bool {
    match scheme {
        SignScheme::EcdsaDer(Hash::Sha256) => key == KeyType::P256,
        SignScheme::EcdsaDer(Hash::Sha384) => key == KeyType::P384,
        SignScheme::EcdsaDer(Hash::Sha512) => key == KeyType::P521,
        SignScheme::RsaPss(_) => key == KeyType::Rsa,
        SignScheme::Ed25519 => key == KeyType::Ed25519,
        SignScheme::EcdsaDer(_) | SignScheme::EcdsaRaw(_) | SignScheme::RsaPkcs1(_) | SignScheme::Ed448 => {
            false
        }
    }
}

/// The library's word for a refusal: it chooses the TLS alert that the other end gets.
fn refusal(failed: &Failed) -> CertificateError {
    match failed.alert {
        "cert-expired" => CertificateError::Expired,
        "cert-revoked" => CertificateError::Revoked,
        "cert-no-issuer" | "cert-untrusted-root" => CertificateError::UnknownIssuer,
        _ => CertificateError::Other(OtherError(Arc::new(std::io::Error::other(failed.reason.clone())))),
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.decide(end_entity, intermediates)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check(message, cert, dss, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check(message, cert, dss, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.iter().map(|(s, _)| *s).collect()
    }
}

impl ClientCertVerifier for Trust {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.authorities
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.decide(end_entity, intermediates)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check(message, cert, dss, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check(message, cert, dss, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.iter().map(|(s, _)| *s).collect()
    }
}

/// Our private key, as rustls wants it.
#[derive(Debug)]
pub(super) struct Key(pub(super) Arc<dyn Signer>);

impl rustls::sign::SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        let (tls, scheme) = SignScheme::of_key(self.0.key(), true)
            .into_iter()
            .find_map(|scheme| SCHEMES.iter().find(|(tls, s)| *s == scheme && offered.contains(tls)))?;
        Some(Box::new(Signing { key: self.0.clone(), tls: *tls, scheme: *scheme }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.0.key() {
            KeyType::Rsa => SignatureAlgorithm::RSA,
            KeyType::P256 | KeyType::P384 | KeyType::P521 => SignatureAlgorithm::ECDSA,
            KeyType::Ed25519 => SignatureAlgorithm::ED25519,
        }
    }
}

#[derive(Debug)]
struct Signing {
    key: Arc<dyn Signer>,
    tls: SignatureScheme,
    scheme: SignScheme,
}

impl rustls::sign::Signer for Signing {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.key.sign(self.scheme, message).map_err(|e| Error::General(e.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        self.tls
    }
}
