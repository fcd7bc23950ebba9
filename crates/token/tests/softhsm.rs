//! Against SoftHSM 2: its tool makes a token with keys that openssl made, the crate finds them and signs.
//!
//! Needs Debian's `softhsm2` and `openssl`. One process may hold one configuration of SoftHSM, so this is one test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use crypto::Secret;
use crypto::sign::{Hash, SignScheme};
use cryptoki::context::Pkcs11;
use cryptoki::object::{Attribute, CertificateType, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use std::path::Path;
use std::process::Command;
use token::{Module, Place, TokenError};

const LIBRARY: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "1234-secret";

/// Starts the test anew, in a process that has the environment from the start (to change it here would be `unsafe`).
fn again(directory: &Path) {
    let conf = directory.join("softhsm2.conf");
    std::fs::create_dir(directory.join("tokens")).unwrap();
    let text = format!("directories.tokendir = {}\nlog.level = ERROR\n", directory.join("tokens").display());
    std::fs::write(&conf, text).unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "keys_that_stay_on_their_token", "--nocapture"])
        .env("SOFTHSM2_CONF", &conf)
        .env("CYGNET_TOKEN_DIR", directory)
        .status()
        .unwrap();
    assert!(status.success());
}

fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn import(directory: &Path, id: &str, generate: &[&str]) {
    let key = directory.join(format!("{id}.pem"));
    let key = key.to_str().unwrap();
    let mut args = vec!["genpkey", "-out", key];
    args.extend(generate);
    run("openssl", &args);
    run("softhsm2-util", &["--import", key, "--token", "house", "--label", id, "--id", id, "--pin", PIN]);
}

/// Puts a certificate on the token, under the handle d1.
fn certificate(directory: &Path) -> Vec<u8> {
    let file = directory.join("cert.der");
    let (key, out) = (directory.join("a1.pem"), file.to_str().unwrap());
    let subject = ["-subj", "/C=CH/CN=gw.example.org", "-outform", "DER", "-out", out];
    run("openssl", &[&["req", "-x509", "-new", "-key", key.to_str().unwrap()][..], &subject].concat());
    let der = std::fs::read(&file).unwrap();
    let context = Pkcs11::new(LIBRARY).unwrap();
    let slot = context.get_slots_with_initialized_token().unwrap()[0];
    let session = context.open_rw_session(slot).unwrap();
    session.login(UserType::User, Some(&AuthPin::new(PIN.into()))).unwrap();
    let template = [
        Attribute::Class(ObjectClass::CERTIFICATE),
        Attribute::CertificateType(CertificateType::X_509),
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Subject(vec![0x30, 0]),
        Attribute::Id(vec![0xd1]),
        Attribute::Value(der.clone()),
    ];
    session.create_object(&template).unwrap();
    session.logout().unwrap();
    der
}

#[test]
fn keys_that_stay_on_their_token() {
    let Some(directory) = std::env::var_os("CYGNET_TOKEN_DIR") else {
        let directory = tempfile::tempdir().unwrap();
        return again(directory.path());
    };
    let directory = Path::new(&directory);
    run("softhsm2-util", &["--init-token", "--free", "--label", "house", "--so-pin", "so-pin", "--pin", PIN]);
    import(directory, "a1", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    for (id, curve) in [("b1", "P-256"), ("b2", "P-384"), ("b3", "P-521")] {
        import(directory, id, &["-algorithm", "EC", "-pkeyopt", &format!("ec_paramgen_curve:{curve}")]);
    }
    import(directory, "c1", &["-algorithm", "ED25519"]);

    let module = Module::load("softhsm", LIBRARY, true).unwrap();
    let place = |id: u8| Place { handle: vec![id], slot: None };
    let pin = || Secret::new(PIN.as_bytes().to_vec());
    let hashes = [Hash::Sha256, Hash::Sha384, Hash::Sha512];
    let schemes = [
        (0xa1, [hashes.map(SignScheme::RsaPkcs1).to_vec(), hashes.map(SignScheme::RsaPss).to_vec()].concat()),
        (0xb1, vec![SignScheme::EcdsaDer(Hash::Sha256), SignScheme::EcdsaRaw(Hash::Sha256)]),
        (0xb2, vec![SignScheme::EcdsaDer(Hash::Sha384), SignScheme::EcdsaRaw(Hash::Sha384)]),
        (0xb3, vec![SignScheme::EcdsaDer(Hash::Sha512), SignScheme::EcdsaRaw(Hash::Sha512)]),
        (0xc1, vec![SignScheme::Ed25519]),
    ];
    for (id, schemes) in schemes {
        let key = module.key(&place(id), pin()).unwrap();
        // The public half is the one that openssl made.
        let file = directory.join(format!("{id:x}.pem"));
        let der = directory.join("public.der");
        let (file, out) = (file.to_str().unwrap(), der.to_str().unwrap());
        run("openssl", &["pkey", "-in", file, "-pubout", "-outform", "DER", "-out", out]);
        assert_eq!(key.public().spki(), std::fs::read(&der).unwrap());
        for scheme in schemes {
            let signature = key.sign(scheme, b"some octets").unwrap_or_else(|e| panic!("{scheme}: {e}"));
            key.public().verify(scheme, b"some octets", &signature).unwrap();
            assert!(key.public().verify(scheme, b"other octets", &signature).is_err());
        }
        assert!(!format!("{key:?}").contains(PIN));
    }
    let rsa = module.key(&place(0xa1), pin()).unwrap();
    assert!(matches!(rsa.sign(SignScheme::Ed25519, b"x"), Err(TokenError::Unsupported(_))));

    let der = certificate(directory);
    assert_eq!(module.certificate(&place(0xd1), None).unwrap(), der);
    assert_eq!(module.certificates().unwrap(), [(der, false)]);

    // What goes wrong is said, without the PIN.
    let error = module.key(&place(0xff), pin()).unwrap_err();
    assert_eq!(error.to_string(), "no private key with handle ff found on any slot of module 'softhsm'");
    let error = module.key(&place(0xa1), Secret::new(b"wrong-pin".to_vec())).unwrap_err();
    assert!(matches!(error, TokenError::Login { .. }), "{error}");
    assert!(!error.to_string().contains("wrong-pin"));
    let elsewhere = Place { handle: vec![0xa1], slot: Some(4711) };
    assert!(matches!(module.key(&elsewhere, pin()), Err(TokenError::NotFound { .. })));
    let error = module.certificate(&place(0xa1), None).unwrap_err();
    assert!(matches!(error, TokenError::NotFound { .. }), "{error}");
    let error = Module::load("ghost", "/nonexistent/library.so", true).unwrap_err();
    assert!(error.to_string().starts_with("PKCS#11 module 'ghost' (/nonexistent/library.so): "), "{error}");
}
