//! What must hold for every byte string that reaches `pki`.

use pki::{Certificate, Crl, Item, Store};

/// A file of any form, a certificate, a chain in a handshake.
pub(crate) fn bundle(bytes: &[u8]) {
    for item in pki::load(bytes, None).unwrap_or_default() {
        match item {
            Item::Certificate(certificate) => {
                assert_eq!(Certificate::from_der(certificate.der()).as_ref(), Ok(&certificate));
                assert!(certificate.covers(certificate.subject()) || certificate.subject().is_pattern());
                let _ = certificate.is_self_signed();
            }
            Item::Crl(crl) => assert!(Crl::from_der(crl.der()).is_ok()),
            Item::PublicKey(key) => drop(key.spki_id()),
            Item::PrivateKey(key) => drop(key.public().spki_id()),
        }
    }
    if let Ok(certificate) = Certificate::from_der(bytes) {
        let mut store = Store::default();
        store.add_certificate(certificate, pki::Trust::Ca);
        let auth = policy::Auth::named("remote", policy::AuthClass::Pubkey("pubkey".into()));
        let _ = store.judge_tls(&[bytes, bytes], pki::Purpose::Ike, None, &auth, 1_795_748_645);
    }
}

/// A CRL.
pub(crate) fn crl(bytes: &[u8]) {
    if let Ok(crl) = Crl::from_der(bytes) {
        assert!(!crl.newer_than(&crl) && crl.same_series(&crl) && !crl.takes(&crl));
        assert_eq!(crl.entries().count(), crl.len());
    }
}

/// An OCSP response.
pub(crate) fn ocsp(bytes: &[u8]) {
    if let Ok(response) = pki::ocsp::Response::from_der(bytes) {
        let _ = (response.responder(), response.has_nonce(b"nonce"));
    }
}

/// The data of an AUTH payload of method 14.
pub(crate) fn auth(bytes: &[u8]) {
    if let Ok((scheme, signature)) = pki::parse_auth(bytes) {
        let again = pki::assemble_auth(scheme, signature).expect("what was read can be written");
        assert_eq!(pki::parse_auth(&again), Ok((scheme, signature)));
    }
}

/// A PKCS#12 file whose password is known.
pub(crate) fn pkcs12(bytes: &[u8]) {
    let _ = pki::load(bytes, Some("secret"));
}
