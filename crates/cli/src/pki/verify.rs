//! `pki --verify`.
use super::input::{self, Certificate};
use super::{Call, Outcome, Trouble, dates};
use crate::out::{clean, complain, put};
use ::pki::{Cache, Crl, Purpose, Settings, Store, TlsJudgement, Trust};
use crypto::sign::{Hash, KeyType, SignScheme};
use der::Encode as _;
use policy::{Auth, AuthClass};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use x509_cert::spki::AlgorithmIdentifierOwned;

/// The lifetimes do not hold.
const NOT_NOW: u8 = 2;

pub(super) fn run(call: &Call<'_>) -> Outcome {
    if call.has("online") {
        return Err(Trouble::failed(
            "--online is not available: the daemon downloads CRLs and asks OCSP responders, this tool does not; give --crl",
        ));
    }
    let certificate = Certificate::from_bytes(input::given(call)?.as_slice())
        .map_err(|_| Trouble::failed("parsing certificate failed"))?;
    let mut store = Store::new(Settings::default());
    let mut trusted = false;
    for file in files(call, "cacert")? {
        let bytes = input::file(&file)?;
        let found = ::pki::container::certificates(bytes.as_slice()).map_err(|error| {
            Trouble::Failed(format!("parsing CA certificate '{}' failed: {error}", file.display()))
        })?;
        for authority in found {
            trusted = true;
            store.add_certificate(authority, Trust::Ca);
        }
    }
    let subject = ::pki::Certificate::from_der(&certificate.der)
        .map_err(|error| Trouble::Failed(format!("parsing certificate failed: {error}")))?;
    if !trusted {
        // Without an authority it is taken as trusted by itself.
        let now = u64::try_from(dates::now().as_second()).unwrap_or(0);
        if subject.valid_at(now) {
            put!("certificate trusted, lifetimes valid");
            return Ok(0);
        }
        put!("certificate trusted, but no valid lifetime");
        return Ok(NOT_NOW);
    }
    let crls = files(call, "crl")?;
    for file in &crls {
        let (_, der) = input::der_of(input::file(file)?.as_slice())?;
        let crl = Crl::from_der(der.as_slice())
            .map_err(|error| Trouble::Failed(format!("parsing CRL '{}' failed: {error}", file.display())))?;
        store.add_crl(Arc::new(crl));
    }
    Ok(judge(Arc::new(store), &certificate.der, !crls.is_empty()))
}

/// Prints the verdict; the exit code.
fn judge(store: Arc<Store>, certificate: &[u8], status: bool) -> u8 {
    let now = u64::try_from(dates::now().as_second()).unwrap_or(0);
    let say = |lines: Vec<::pki::LogLine>| lines.iter().for_each(|line| complain!("{}", clean(&line.text)));
    let anybody = Auth::named("remote", AuthClass::Pubkey("pubkey".into()));
    match store.judge_tls(&[certificate], Purpose::Any, None, &anybody, now) {
        Err((distrust, log)) => {
            say(log);
            complain!("{}", clean(&distrust.reason));
        }
        Ok((path, log)) => {
            say(log);
            if !status {
                put!("certificate trusted, lifetimes valid");
                return 0;
            }
            let mut judgement = TlsJudgement::new(Arc::clone(&store), path, "strict", [0; 32]);
            let mut cache = Cache::default();
            let mut given = None;
            let verdict = loop {
                match judgement.step(&mut cache, given.take(), now) {
                    Ok(verdict) => break verdict,
                    Err(fetch) => given = Some(Err(format!("{} is not fetched by this tool", fetch.url))),
                }
            };
            say(judgement.take_log());
            match verdict {
                Ok(()) => {
                    put!("certificate trusted, lifetimes valid, certificate not revoked");
                    return 0;
                }
                Err(distrust) => complain!("{}", clean(&distrust.reason)),
            }
        }
    }
    put!("certificate untrusted");
    1
}

/// The files that an option names: itself, or what is in the directory.
fn files(call: &Call<'_>, option: &str) -> Result<Vec<PathBuf>, Trouble> {
    let mut all = Vec::new();
    for path in call.options.values(option).map(Path::new) {
        if !path.is_dir() {
            all.push(path.to_owned());
            continue;
        }
        let failed = |error| {
            Trouble::Failed(format!("opening '{}' failed: {}", path.display(), input::reason(&error)))
        };
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if file.is_file() {
                all.push(file);
            }
        }
    }
    all.sort();
    Ok(all)
}

/// How a signature with that AlgorithmIdentifier was made.
pub(super) fn scheme(algorithm: &AlgorithmIdentifierOwned, key: KeyType) -> Result<SignScheme, Trouble> {
    let hash = |which: &[u8]| match which {
        [1] => Hash::Sha256,
        [2] => Hash::Sha384,
        _ => Hash::Sha512,
    };
    Ok(match algorithm.oid.to_string().as_str() {
        "1.2.840.113549.1.1.5" => SignScheme::RsaPkcs1(Hash::Sha1),
        "1.2.840.113549.1.1.11" => SignScheme::RsaPkcs1(Hash::Sha256),
        "1.2.840.113549.1.1.12" => SignScheme::RsaPkcs1(Hash::Sha384),
        "1.2.840.113549.1.1.13" => SignScheme::RsaPkcs1(Hash::Sha512),
        "1.2.840.10045.4.1" => SignScheme::EcdsaDer(Hash::Sha1),
        "1.2.840.10045.4.3.2" => SignScheme::EcdsaDer(Hash::Sha256),
        "1.2.840.10045.4.3.3" => SignScheme::EcdsaDer(Hash::Sha384),
        "1.2.840.10045.4.3.4" => SignScheme::EcdsaDer(Hash::Sha512),
        "1.3.101.112" => SignScheme::Ed25519,
        "1.2.840.113549.1.1.10" => {
            let parameters =
                algorithm.parameters.as_ref().map(|any| any.to_der()).transpose()?.unwrap_or_default();
            let sha2 = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2];
            let at = parameters.windows(sha2.len()).position(|window| window == sha2);
            let which = at.and_then(|at| parameters.get(at + sha2.len()..at + sha2.len() + 1));
            SignScheme::RsaPss(
                which.map(hash).ok_or_else(|| Trouble::failed("RSASSA-PSS with an unknown hash"))?,
            )
        }
        other => {
            return Err(Trouble::Failed(format!("signatures of type {other} are not available ({key} key)")));
        }
    })
}

/// Its own key signed it. As in strongSwan, the names do not matter.
pub(super) fn is_self_signed(certificate: &Certificate) -> bool {
    let check = || -> Result<bool, Trouble> {
        let key = certificate.key()?;
        let scheme = scheme(certificate.read.signature_algorithm(), key.kind())?;
        let tbs = certificate.read.tbs_certificate().to_der()?;
        let signature = certificate.read.signature().as_bytes().unwrap_or_default();
        Ok(key.verify(scheme, &tbs, signature).is_ok())
    };
    check().unwrap_or(false)
}
