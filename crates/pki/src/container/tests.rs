use super::*;
use crypto::sign::{KeyType, SignScheme};
use std::process::Command;

/// Runs openssl in a directory of its own; it is part of every machine that these tests run on.
fn openssl(dir: &std::path::Path, command: &str) -> Vec<u8> {
    let output =
        Command::new("openssl").args(command.split_ascii_whitespace()).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn only_key(bytes: &[u8], password: Option<&str>) -> PrivateKey {
    match load(bytes, password).unwrap().pop() {
        Some(Item::PrivateKey(key)) => key,
        other => panic!("{other:?}"),
    }
}

#[test]
fn private_keys_in_every_form_that_openssl_writes() {
    let dir = tempfile::tempdir().unwrap();
    for (make, kind) in [
        ("genrsa -out k.pem 2048", KeyType::Rsa),
        ("ecparam -name prime256v1 -genkey -out k.pem", KeyType::P256),
        ("ecparam -name secp384r1 -genkey -out k.pem", KeyType::P384),
        ("ecparam -name secp521r1 -genkey -out k.pem", KeyType::P521),
        ("genpkey -algorithm ed25519 -out k.pem", KeyType::Ed25519),
    ] {
        openssl(dir.path(), make);
        let plain = std::fs::read(dir.path().join("k.pem")).unwrap();
        let key = only_key(&plain, None);
        assert_eq!(key.kind(), kind);
        let mut forms =
            vec!["pkcs8 -topk8 -nocrypt -in k.pem", "pkcs8 -topk8 -nocrypt -in k.pem -outform DER"];
        let mut encrypted = vec![
            "pkcs8 -topk8 -in k.pem -passout pass:secret",
            "pkcs8 -topk8 -in k.pem -passout pass:secret -outform DER",
            "pkcs8 -topk8 -in k.pem -passout pass:secret -v2 des3",
            "pkcs8 -topk8 -in k.pem -passout pass:secret -v2 aes-128-cbc -v2prf hmacWithSHA1",
            "pkcs8 -topk8 -in k.pem -passout pass:secret -scrypt",
            "pkcs8 -topk8 -in k.pem -passout pass:secret -v1 PBE-SHA1-3DES",
        ];
        if kind == KeyType::Rsa {
            forms.extend(["rsa -in k.pem -traditional", "rsa -in k.pem -traditional -outform DER"]);
            encrypted.extend([
                "rsa -in k.pem -traditional -aes128 -passout pass:secret",
                "rsa -in k.pem -traditional -aes256 -passout pass:secret",
                "rsa -in k.pem -traditional -des3 -passout pass:secret",
            ]);
        } else if kind != KeyType::Ed25519 {
            forms.extend(["ec -in k.pem", "ec -in k.pem -outform DER"]);
            encrypted.push("ec -in k.pem -aes192 -passout pass:secret");
        }
        for form in forms {
            let bytes = openssl(dir.path(), form);
            assert_eq!(only_key(&bytes, None).public(), key.public(), "{form}");
        }
        for form in encrypted {
            let bytes = openssl(dir.path(), form);
            assert_eq!(only_key(&bytes, Some("secret")).public(), key.public(), "{form}");
            assert!(matches!(load(&bytes, None), Err(ContainerError::NeedsPassword(_))), "{form}");
            assert!(matches!(load(&bytes, Some("wrong")), Err(ContainerError::WrongPassword(_))), "{form}");
        }
        for form in ["pkey -in k.pem -pubout", "pkey -in k.pem -pubout -outform DER"] {
            match load(&openssl(dir.path(), form), None).unwrap().as_slice() {
                [Item::PublicKey(public)] => assert_eq!(public, key.public(), "{form}"),
                other => panic!("{form}: {other:?}"),
            }
        }
    }
}

#[test]
fn pkcs12_old_and_new() {
    let dir = tempfile::tempdir().unwrap();
    let run = |command: &str| openssl(dir.path(), command);
    run("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=CA -days 30");
    run(
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout k.pem -out k.csr -subj /CN=moon",
    );
    run("x509 -req -in k.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out c.pem -days 30");
    for (options, name) in [
        ("", "as OpenSSL 3 does"),
        ("-legacy", "RC2 with 40 bits and 3DES"),
        ("-certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg sha1", "3DES"),
        ("-certpbe NONE -keypbe NONE", "only a MAC"),
        ("-macalg sha512", "MAC with SHA-512"),
    ] {
        let file = run(&format!(
            "pkcs12 -export -inkey k.pem -in c.pem -certfile ca.pem -passout pass:gehe1m {options}"
        ));
        let items = load(&file, Some("gehe1m")).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (mut certs, mut keys) = (Vec::new(), Vec::new());
        for item in items {
            match item {
                Item::Certificate(c) => certs.push(c),
                Item::PrivateKey(k) => keys.push(k),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((certs.len(), keys.len()), (2, 1), "{name}");
        assert!(certs.iter().any(|c| c.key() == keys[0].public()), "{name}");
        assert!(matches!(load(&file, Some("gehe1n")), Err(ContainerError::WrongPassword(_))), "{name}");
        assert!(matches!(load(&file, None), Err(ContainerError::NeedsPassword(_))), "{name}");
        for cut in [1, 10, file.len() / 2, file.len() - 1] {
            assert!(load(&file[..cut], Some("gehe1m")).is_err());
        }
    }
    // What we write, openssl reads.
    let key = run("pkcs8 -topk8 -nocrypt -in k.pem -outform DER");
    let certs =
        [std::fs::read(dir.path().join("c.pem")).unwrap(), std::fs::read(dir.path().join("ca.pem")).unwrap()]
            .map(|pem| certificates(&pem).unwrap().remove(0));
    let ours = write_pkcs12(
        &key,
        &certs,
        "moon",
        "pass wörd",
        Protection::Modern,
        &mut crypto::Rng::from_seed([7; 32]),
    )
    .unwrap();
    assert_eq!(load(&ours, Some("pass wörd")).unwrap().len(), 3);
    let ours = write_pkcs12(
        &key,
        &certs,
        "moon",
        "secret",
        Protection::Modern,
        &mut crypto::Rng::from_seed([7; 32]),
    )
    .unwrap();
    std::fs::write(dir.path().join("ours.p12"), ours).unwrap();
    let text = String::from_utf8(run("pkcs12 -in ours.p12 -passin pass:secret -nodes")).unwrap();
    assert!(text.contains("friendlyName: moon") && text.contains("BEGIN PRIVATE KEY"), "{text}");
    assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 2);
    // Text around the blocks is passed over.
    assert_eq!(load(text.as_bytes(), None).unwrap().len(), 3);
}

#[test]
fn public_keys_as_text() {
    // RFC 8709, RFC 5656 as ssh-keygen writes them; RFC 3110 as Debian's `pki --pub --outform dnskey` does.
    let ed = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ carol";
    match load(ed.as_bytes(), None).unwrap().as_slice() {
        [Item::PublicKey(key)] => assert_eq!(key.kind(), KeyType::Ed25519),
        other => panic!("{other:?}"),
    }
    let dir = tempfile::tempdir().unwrap();
    openssl(dir.path(), "genrsa -out k.pem 2048");
    let key = only_key(&std::fs::read(dir.path().join("k.pem")).unwrap(), None);
    let modulus = String::from_utf8(openssl(dir.path(), "rsa -in k.pem -noout -modulus")).unwrap();
    let modulus =
        data_encoding::HEXUPPER.decode(modulus.trim().strip_prefix("Modulus=").unwrap().as_bytes()).unwrap();
    let mut data = vec![3, 1, 0, 1];
    data.extend(&modulus);
    let mut long = vec![0, 0, 3, 1, 0, 1];
    long.extend(&modulus);
    for text in [
        format!("0s{}", data_encoding::BASE64.encode(&data)),
        format!("0x{}", data_encoding::HEXLOWER.encode(&data)),
        format!("0s{}\n", data_encoding::BASE64.encode(&long)),
    ] {
        match load(text.as_bytes(), None).unwrap().as_slice() {
            [Item::PublicKey(public)] => assert_eq!(public, key.public()),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_none_is_told() {
    for bytes in
        [&b""[..], b"hello", b"0s", b"0xzz", b"ssh-rsa AAAA", b"ssh-dss !", b"\x30\x00", b"\x30\x80\x00\x00"]
    {
        assert!(load(bytes, None).is_err(), "{bytes:?}");
    }
    let open = "-----BEGIN CERTIFICATE-----\nMIIB\n";
    assert_eq!(load(open.as_bytes(), None).unwrap_err(), ContainerError::Malformed("PEM"));
    let crossed = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END X509 CRL-----\n";
    assert_eq!(load(crossed.as_bytes(), None).unwrap_err(), ContainerError::Malformed("PEM"));
    let ssh = "-----BEGIN OPENSSH PRIVATE KEY-----\nMAA=\n-----END OPENSSH PRIVATE KEY-----\n";
    assert!(load(ssh.as_bytes(), None).unwrap_err().to_string().contains("PKCS#8"));
    let key = only_key(
        b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----",
        None,
    );
    assert!(key.sign(SignScheme::Ed25519, b"").is_ok());
}
