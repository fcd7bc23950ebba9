//! `cygnet pki` against the stock pki and openssl: the same text for the same input, and each takes what the other made.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Shelf(tempfile::TempDir);

impl Shelf {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn run(&self, program: &Path, words: &[&str]) -> Output {
        Command::new(program)
            .args(words)
            .current_dir(self.0.path())
            .env("TZ", "UTC")
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
    }

    fn stock(&self, line: &str) -> Output {
        self.run(Path::new("pki"), &words(line))
    }

    fn ours(&self, line: &str) -> Output {
        self.run(&cygnet(), &[&["pki"], &words(line)[..]].concat())
    }

    fn openssl(&self, line: &str) -> String {
        let out = self.run(Path::new("openssl"), &words(line));
        assert!(out.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&out.stderr));
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    }

    /// Runs it and keeps what it wrote.
    fn keep(&self, out: &Output, line: &str, file: &str) {
        assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
        std::fs::write(self.0.path().join(file), &out.stdout).unwrap();
    }

    fn make(&self, ours: bool, line: &str, file: &str) {
        let out = if ours { self.ours(line) } else { self.stock(line) };
        self.keep(&out, line, file);
    }

    /// Both print the same and end the same. A second may pass between the two, and with it the number of days that are
    /// left: then they are asked again.
    fn same(&self, line: &str) {
        let (mut stock, mut ours) = (self.stock(line), self.ours(line));
        for _ in 0..2 {
            if stock.stdout == ours.stdout {
                break;
            }
            (stock, ours) = (self.stock(line), self.ours(line));
        }
        assert!(
            stock.stdout == ours.stdout,
            "pki {line}\n--- stock\n{}\n--- ours\n{}{}",
            String::from_utf8_lossy(&stock.stdout),
            String::from_utf8_lossy(&ours.stdout),
            String::from_utf8_lossy(&ours.stderr)
        );
        assert_eq!(stock.status.code(), ours.status.code(), "pki {line}");
    }
}

/// Words at blanks; a part between bars that begins with = is one word.
fn words(line: &str) -> Vec<&str> {
    line.split('|')
        .flat_map(|part| {
            part.strip_prefix('=').map_or_else(|| part.split_whitespace().collect(), |word| vec![word])
        })
        .collect()
}

fn cygnet() -> PathBuf {
    let daemon = Path::new(env!("CARGO_BIN_EXE_cygnetd"));
    let tool = daemon.with_file_name("cygnet");
    assert!(tool.exists(), "{} is missing: cargo build -p cli", tool.display());
    tool
}

/// Keys of all kinds, an authority, an end entity and lists, all made by one of the two.
fn furnish(shelf: &Shelf, ours: bool) {
    for kind in ["rsa", "ecdsa", "ed25519"] {
        shelf.make(ours, &format!("--gen --type {kind}"), &format!("{kind}.der"));
        shelf.make(ours, &format!("--pub --in {kind}.der"), &format!("{kind}.pub"));
    }
    shelf.make(
        ours,
        "--self --ca --in rsa.der --pathlen 1 --ocsp http://ocsp.example.org --addrblock 0.0.0.0/0 --addrblock ::/0 --dn|=C=CH, O=Cygnet, CN=CA",
        "ca.der",
    );
    shelf.make(
        ours,
        "--self --ca --in ed25519.der --type ed25519 --dn|=C=CH, O=Cygnet, CN=Ed|--lifetime 10",
        "ed.der",
    );
    shelf.make(
        ours,
        "--issue --in ecdsa.pub --cacert ca.der --cakey rsa.der --san moon.example.org --san 10.1.2.3 --san fec0::1 \
         --san carol@example.org --flag serverAuth --flag ikeIntermediate --flag clientAuth --dn|=C=CH, OU=Research, CN=moon|\
         --crl http://crl.example.org/a.crl --crl http://crl.example.org/b.crl --crlissuer|=C=CH, O=Cygnet|\
         --ocsp http://a --ocsp http://b --cert-policy 1.2.3.4 --cps-uri http://cps --user-notice hello --cert-policy 1.2.4",
        "moon.der",
    );
    shelf.make(
        ours,
        "--issue --in ecdsa.der --type ecdsa --cacert ca.der --cakey rsa.der --ca --pathlen 0 --serial 00ff \
         --addrblock 10.0.0.0/8 --addrblock fec0::/16 --addrblock 192.168.1.7-192.168.1.13 --nc-permitted dns:.example.org \
         --nc-excluded email:example.org --flag msSmartcardLogon --flag ocspSigning --digest sha512 --rsa-padding pss \
         --dn|=C=CH, O=Cygnet, CN=Sub|",
        "sub.der",
    );
    shelf.make(
        ours,
        "--req --in ecdsa.der --san req.example.org --profile server --password secret --dn|=C=CH, CN=req",
        "req.der",
    );
    shelf.make(ours, "--issue --in req.der --type pkcs10 --cacert ca.der --cakey rsa.der", "asked.der");
    shelf.make(
        ours,
        "--signcrl --cacert ca.der --cakey rsa.der --reason superseded --cert moon.der --reason key-compromise \
         --date 1600000000 --serial 0102 --crluri http://delta",
        "a.crl",
    );
    shelf.make(
        ours,
        "--signcrl --cacert ca.der --cakey rsa.der --lastcrl a.crl --serial 03 --basecrl a.crl --lifetime 1",
        "b.crl",
    );
    shelf.make(
        ours,
        "--acert --in moon.der --group sales --group finance --issuercert ca.der --issuerkey rsa.der",
        "groups.ac",
    );
}

fn compare(shelf: &Shelf) {
    for kind in ["rsa", "ecdsa", "ed25519"] {
        shelf.same(&format!("--print --type priv --in {kind}.der"));
        shelf.same(&format!("--print --type {kind} --in {kind}.der"));
        shelf.same(&format!("--print --type pub --in {kind}.pub"));
        for format in ["pretty", "hex", "base64", "bin"] {
            for id in ["all", "spk", "spki"] {
                shelf.same(&format!("--keyid --in {kind}.der --format {format} --id {id}"));
            }
        }
        for form in ["der", "pem", "sshkey"] {
            shelf.same(&format!("--pub --in {kind}.der --outform {form}"));
        }
    }
    shelf.same("--pub --in rsa.der --outform dnskey");
    for certificate in ["ca", "ed", "moon", "sub", "asked"] {
        shelf.same(&format!("--print --in {certificate}.der"));
        shelf.same(&format!("--keyid --in {certificate}.der --type x509"));
        shelf.same(&format!("--pub --in {certificate}.der --type x509"));
        for format in ["config", "hex", "base64", "bin"] {
            shelf.same(&format!("--dn --in {certificate}.der --format {format}"));
        }
    }
    shelf.same("--keyid --in req.der --type pkcs10");
    for list in ["a", "b"] {
        shelf.same(&format!("--print --type crl --in {list}.crl"));
    }
    shelf.same("--print --type ac --in groups.ac");
}

#[test]
fn the_same_text_for_what_the_stock_tool_made() {
    let shelf = Shelf::new();
    furnish(&shelf, false);
    compare(&shelf);
}

#[test]
fn the_same_text_for_what_we_made() {
    let shelf = Shelf::new();
    furnish(&shelf, true);
    compare(&shelf);
}

#[test]
fn openssl_takes_what_we_made() {
    let shelf = Shelf::new();
    furnish(&shelf, true);
    for file in ["ca", "ed", "moon", "sub", "asked"] {
        shelf.openssl(&format!("x509 -inform der -in {file}.der -out {file}.pem"));
    }
    shelf.openssl("verify -CAfile ca.pem moon.pem sub.pem asked.pem");
    shelf.openssl("verify -check_ss_sig -CAfile ed.pem ed.pem");
    for key in ["rsa", "ecdsa", "ed25519"] {
        shelf.openssl(&format!("pkey -inform der -in {key}.der -check -noout"));
    }
    assert!(shelf.openssl("req -inform der -in req.der -verify -noout").contains("OK"));
    for list in ["a", "b"] {
        assert!(
            shelf.openssl(&format!("crl -inform der -in {list}.crl -CAfile ca.pem -noout")).contains("OK")
        );
    }
    let text = shelf.openssl("x509 -in moon.pem -noout -text");
    for part in
        ["DNS:moon.example.org, IP Address:10.1.2.3", "TLS Web Server Authentication", "Explicit Text: hello"]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let text = shelf.openssl("x509 -in sub.pem -noout -text");
    for part in ["10.0.0.0/8", "192.168.1.7-192.168.1.13", "fec0::/16", "CA:TRUE, pathlen:0", "rsassaPss"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn each_takes_the_others_requests_and_keys() {
    let shelf = Shelf::new();
    for (maker, taker) in [(true, false), (false, true)] {
        for kind in ["rsa", "ecdsa", "ed25519"] {
            shelf.make(maker, &format!("--gen --type {kind} --outform pem"), "key.pem");
            shelf.make(maker, "--req --in key.pem --dn|=CN=x|--san a.example --profile dual", "x.req");
            shelf.make(
                taker,
                &format!("--self --ca --in key.pem --type {kind} --dn|=CN=CA|--outform pem"),
                "ca.pem",
            );
            shelf.make(
                taker,
                "--issue --in x.req --type pkcs10 --cacert ca.pem --cakey key.pem --outform pem",
                "x.pem",
            );
            shelf.same("--print --in x.pem");
            shelf.openssl("verify -CAfile ca.pem x.pem");
            assert_eq!(shelf.stock("--verify --in x.pem --cacert ca.pem").status.code(), Some(0), "{kind}");
        }
    }
}

#[test]
fn chains_are_judged_alike() {
    let shelf = Shelf::new();
    for kind in ["rsa", "ecdsa", "ed25519"] {
        shelf.make(true, &format!("--gen --type {kind}"), &format!("{kind}.der"));
        shelf.make(true, &format!("--pub --in {kind}.der"), &format!("{kind}.pub"));
    }
    shelf.make(true, "--self --ca --in rsa.der --pathlen 1 --dn|=C=CH, O=Cygnet, CN=CA", "ca.der");
    shelf.make(true, "--self --ca --in ed25519.der --dn|=C=CH, O=Cygnet, CN=Ed", "ed.der");
    for name in ["moon", "asked"] {
        let line = format!(
            "--issue --in ecdsa.pub --cacert ca.der --cakey rsa.der --flag serverAuth --dn|=CN={name}"
        );
        shelf.make(true, &line, &format!("{name}.der"));
    }
    shelf.make(
        true,
        "--signcrl --cacert ca.der --cakey rsa.der --reason superseded --cert moon.der",
        "a.crl",
    );
    shelf.make(
        true,
        "--self --in ecdsa.der --dn|=CN=old|--not-before|=01.02.25 03:04:05|--not-after|=01.02.26 03:04:05",
        "old.der",
    );
    shelf.make(
        true,
        "--issue --in ecdsa.pub --cacert ca.der --cakey rsa.der --dn|=CN=over|--not-before|=01.02.25 03:04:05|\
         --not-after|=01.02.26 03:04:05",
        "over.der",
    );
    shelf.make(true, "--gen --type ecdsa", "other.der");
    shelf.make(true, "--self --ca --in other.der --dn|=C=CH, O=Cygnet, CN=CA", "impostor.der");
    shelf.make(true, "--signcrl --cacert ca.der --cakey rsa.der", "empty.crl");
    for line in [
        "--verify --in moon.der --cacert ca.der",
        "--verify --in moon.der",
        "--verify --in ca.der",
        "--verify --in old.der",
        "--verify --in over.der --cacert ca.der",
        "--verify --in moon.der --cacert ed.der",
        "--verify --in moon.der --cacert impostor.der",
        "--verify --in asked.der --cacert ed.der --cacert ca.der",
        "--verify --in moon.der --cacert ca.der --crl a.crl",
        "--verify --in asked.der --cacert ca.der --crl empty.crl",
        "--verify --in nofile",
    ] {
        shelf.same(line);
    }
}

#[test]
fn openssl_asks_our_responder() {
    let shelf = Shelf::new();
    furnish(&shelf, true);
    for file in ["ca", "moon", "asked"] {
        shelf.openssl(&format!("x509 -inform der -in {file}.der -out {file}.pem"));
    }
    let signer = "--cacert ca.der --crl a.crl --key rsa.der --lifetime 10";
    let ask = |certificate: &str| format!("ocsp -issuer ca.pem -cert {certificate}.pem");
    let judge = |certificate: &str| {
        shelf.openssl(&format!("{} -no_nonce -respin answer.der -CAfile ca.pem", ask(certificate)))
    };
    for (certificate, words) in
        [("moon", &["moon.pem: revoked", "superseded"][..]), ("asked", &["asked.pem: good"])]
    {
        shelf.openssl(&format!("{} -reqout request.der", ask(certificate)));
        shelf.make(true, &format!("--ocsp --respond --in request.der {signer}"), "answer.der");
        let said = judge(certificate);
        assert!(said.contains("Response verify OK"), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    // A signer of its own, OpenSSL's index, and what is in neither.
    shelf.make(
        true,
        "--issue --in ecdsa.pub --cacert ca.der --cakey rsa.der --flag ocspSigning --dn|=CN=ocsp",
        "ocsp.der",
    );
    let serial = shelf.openssl("x509 -in moon.pem -noout -serial");
    let serial = serial.trim().strip_prefix("serial=").unwrap();
    std::fs::write(
        shelf.0.path().join("index.txt"),
        format!("R\t290101000000Z\t260102030405Z,keyCompromise\t{serial}\tunknown\t/CN=moon\n"),
    )
    .unwrap();
    for (certificate, words) in
        [("moon", &["revoked", "keyCompromise"][..]), ("asked", &["asked.pem: unknown"])]
    {
        shelf.openssl(&format!("{} -reqout request.der", ask(certificate)));
        shelf.make(
            true,
            "--ocsp --respond --in request.der --cacert ca.der --index index.txt --key ecdsa.der --cert ocsp.der",
            "answer.der",
        );
        let said = judge(certificate);
        assert!(said.contains("Response verify OK"), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    let refusal = || {
        let out = shelf.run(Path::new("openssl"), &["ocsp", "-respin", "answer.der", "-noverify"]);
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    };
    // Somebody else's certificates, and something that is no request.
    shelf.make(true, "--self --ca --in ed25519.der --dn|=CN=other|--outform pem", "other.pem");
    shelf.openssl("ocsp -issuer other.pem -cert other.pem -reqout request.der");
    shelf.make(true, &format!("--ocsp --respond --in request.der {signer}"), "answer.der");
    assert!(refusal().contains("unauthorized"), "{}", refusal());
    shelf.make(true, &format!("--ocsp --respond --in moon.pem {signer}"), "answer.der");
    assert!(refusal().contains("malformedrequest"), "{}", refusal());
}

#[test]
fn our_responder_listens() {
    let shelf = Shelf::new();
    furnish(&shelf, true);
    for file in ["ca", "moon"] {
        shelf.openssl(&format!("x509 -inform der -in {file}.der -out {file}.pem"));
    }
    let mut child = Command::new(cygnet())
        .args([
            "pki",
            "--ocsp",
            "--listen",
            "127.0.0.1:0",
            "--cacert",
            "ca.der",
            "--crl",
            "a.crl",
            "--key",
            "rsa.der",
        ])
        .current_dir(shelf.0.path())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut said = std::io::BufReader::new(child.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    let url = line.trim().rsplit(' ').next().unwrap().to_owned();
    let out = shelf.run(
        Path::new("openssl"),
        &["ocsp", "-issuer", "ca.pem", "-cert", "moon.pem", "-CAfile", "ca.pem", "-url", &url],
    );
    child.kill().unwrap();
    child.wait().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(text.contains("Response verify OK") && text.contains("moon.pem: revoked"), "{line}{text}");
}

#[test]
fn containers_of_openssl() {
    let shelf = Shelf::new();
    furnish(&shelf, true);
    for file in ["ca", "moon"] {
        shelf.openssl(&format!("x509 -inform der -in {file}.der -out {file}.pem"));
    }
    shelf.openssl("pkey -inform der -in ecdsa.der -out key.pem");
    shelf.openssl(
        "pkcs12 -export -in moon.pem -inkey key.pem -certfile ca.pem -passout pass:secret -out x.p12",
    );
    let ours = |line: &str, password: &str| {
        let mut command = Command::new(cygnet());
        command.arg("pki").args(words(line)).current_dir(shelf.0.path()).env("CYGNET_PASSPHRASE", password);
        command.output().unwrap()
    };
    let list = ours("--pkcs12 --list --in x.p12", "secret");
    // As Debian's pki 5.9.8 lists it.
    assert_eq!(
        String::from_utf8_lossy(&list.stdout),
        "Certificates:\n[ 1] \"C=CH, O=Cygnet, CN=CA\" (CA)\n[ 2] \"C=CH, OU=Research, CN=moon\"\nPrivate keys:\n[ 3] ECDSA 384 bits\n"
    );
    for (number, file) in [("1", "ca.der"), ("2", "moon.der"), ("3", "ecdsa.der")] {
        let out = ours(&format!("--pkcs12 --export {number} --in x.p12"), "secret");
        assert_eq!(out.stdout, std::fs::read(shelf.0.path().join(file)).unwrap(), "{file}");
    }
    assert_eq!(ours("--pkcs12 --export 4 --in x.p12", "secret").status.code(), Some(1));
    assert_eq!(ours("--pkcs12 --list --in x.p12", "wrong").status.code(), Some(1));
    // Encrypted keys are read wherever keys are.
    shelf.openssl("pkcs8 -topk8 -in key.pem -out locked.pem -passout pass:secret");
    let out = ours("--pub --in locked.pem", "secret");
    assert_eq!(out.stdout, std::fs::read(shelf.0.path().join("ecdsa.pub")).unwrap());
}

#[test]
fn wrong_use_ends_alike() {
    let shelf = Shelf::new();
    shelf.make(true, "--gen", "rsa.der");
    for line in [
        "--bogus",
        "--gen --bogus",
        "--gen --type bogus",
        "--gen --outform bogus",
        "--gen --type ecdsa --size 100",
        "--dn --in nofile",
        "--keyid --in nofile",
        "--self --in rsa.der",
        "--self --in rsa.der --dn bogus",
        "--self --in rsa.der --dn CN=x --digest bogus",
        "--self --in rsa.der --dn CN=x --lifetime 0",
        "--issue --in rsa.der",
        "--signcrl",
        "--print --in rsa.der --type bogus",
        "--print --in rsa.der",
    ] {
        let (stock, ours) = (shelf.stock(line), shelf.ours(line));
        assert_eq!(stock.status.code(), ours.status.code(), "pki {line}");
        assert!(ours.stdout.is_empty(), "pki {line}");
    }
    for line in [
        "--gen --type ed448",
        "--est",
        "--pkcs7",
        "--gen --safe-primes",
        "--self --in rsa.der --dn CN=x --digest md5",
    ] {
        let out = shelf.ours(line);
        assert_eq!(out.status.code(), Some(1), "pki {line}");
        assert!(String::from_utf8_lossy(&out.stderr).contains("is not available"), "pki {line}");
    }
}
