//! The gateway: an authority, a certificate, connections, pools.
use super::config;
use super::shelf::{self, Shelf};
use super::state::State;
use crate::args::Quickstart;
use crate::exit::{FAILED, Failure};
use crate::out::{put, say};
use crate::pki::dates::Span;
use crate::pki::extensions::{Usage, Wanted, alt_name};
use crate::pki::input::{self, Certificate};
use crate::pki::issue::{Authority, Paper, random_serial};
use crate::pki::output::pem;
use crate::pki::signcrl::List;
use crate::pki::signer::Signer;
use crypto::sign::{KeyType, PrivateKey};
use policy::Identity;
use std::net::IpAddr;
use std::path::Path;

/// Ten years: whoever changes the authority must touch every client.
const AUTHORITY_DAYS: u32 = 3650;
/// Apple refuses server certificates that live longer than 825 days (iOS 13, macOS 10.15).
pub(super) const LEAF_DAYS: u32 = 820;
/// RSA, since Windows' built-in client authenticates with nothing else; 3072 bits are good beyond 2030.
const BITS: usize = 3072;

pub(super) fn create(directory: &Path, args: &Quickstart) -> Result<(), Failure> {
    let Some(name) = args.name.as_deref() else {
        return Err(Failure::new(
            2,
            "--name is required: the name or address under which clients find the gateway",
        )
        .hint("cygnet quickstart --name gw.example.org"));
    };
    let state = describe(name, args)?;
    if State::file(directory).exists() {
        return Err(Failure::new(
            FAILED,
            format_args!("{} is there already; nothing was changed", State::file(directory).display()),
        )
        .hint("'cygnet quickstart user NAME' makes a user, 'cygnet quickstart --renew' a new certificate for the gateway"));
    }
    let mut shelf = Shelf::default();
    let at = |file: &str| directory.join(file);
    if args.dry_run {
        // The same files, with nothing in those that need keys.
        for file in [config::AUTHORITY_KEY, config::KEY] {
            shelf.secret(at(file), "");
        }
        for file in [config::AUTHORITY, config::CERTIFICATE, config::REVOKED] {
            shelf.open(at(file), "");
        }
    } else {
        papers(directory, &state, &mut shelf)?;
    }
    shelf.open(at(config::CONNECTIONS), config::gateway(&state));
    shelf.open(at(config::FIREWALL), config::firewall(&state));
    let main = at("swanctl.conf");
    let included = includes(&main);
    if !main.exists() {
        shelf.open(main, "# What is in conf.d, sorted by name.\ninclude conf.d/*.conf\n");
    }
    shelf.secret(State::file(directory), state.json()?);
    if args.dry_run {
        shelf.check()?;
    } else {
        shelf.write()?;
    }
    report(directory, args, &state, &shelf, included)
}

/// What was asked for, checked.
fn describe(name: &str, args: &Quickstart) -> Result<State, Failure> {
    let wrong = |what: String| Failure::new(2, what);
    let fit = match Identity::parse(name) {
        Ok(Identity::Ip(_)) => true,
        Ok(Identity::Fqdn(text)) => {
            text == name
                && text.len() <= 64
                && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
        }
        _ => false,
    };
    if !fit {
        return Err(wrong(format!("--name {name}: neither a host name nor an address")));
    }
    let mut state = State::new(name, format!("{name} VPN CA"));
    let addresses = |option: &str, given: &[String]| -> Result<Vec<String>, Failure> {
        for text in given {
            text.parse::<IpAddr>().map_err(|_| wrong(format!("--{option} {text}: no address")))?;
        }
        Ok(given.to_vec())
    };
    state.addresses = addresses("address", &args.address)?;
    state.dns = addresses("dns", &args.dns)?;
    let nets = |option: &str, given: &[String]| -> Result<Vec<String>, Failure> {
        for text in given {
            match (text.contains('/'), Identity::parse(text)) {
                (true, Ok(Identity::Range(..))) => {}
                _ => return Err(wrong(format!("--{option} {text}: no subnet, like 10.9.0.0/24"))),
            }
        }
        Ok(given.to_vec())
    };
    state.pools = nets("pool", &args.pool)?;
    if state.pools.is_empty() {
        // A network of our own in each family; the random part keeps two gateways apart (RFC 4193 3.2).
        let [a, b, c, d, e, f, g] = super::random::<7>()?;
        state.pools = vec![
            format!("10.{}.{}.0/24", 64 + f % 128, g),
            format!("fd{a:02x}:{b:02x}{c:02x}:{d:02x}{e:02x}::/112"),
        ];
    }
    state.routes = nets("route", &args.route)?;
    if state.routes.is_empty() {
        for (family, all) in [(false, "0.0.0.0/0"), (true, "::/0")] {
            if state.pools.iter().any(|pool| pool.contains(':') == family) {
                state.routes.push(all.to_owned());
            }
        }
    }
    Ok(state)
}

/// Keys and certificates.
fn papers(directory: &Path, state: &State, shelf: &mut Shelf) -> Result<(), Failure> {
    let at = |file: &str| directory.join(file);
    let key = PrivateKey::generate(KeyType::Rsa, BITS).map_err(|error| Failure::new(FAILED, error))?;
    let public = key.public().clone();
    let signer = Signer::new(key);
    let name = input::name(&format!("CN={}", state.authority), "name")?;
    let wanted = Wanted { ca: true, path_length: Some(0), ..Wanted::default() };
    let serial = random_serial()?;
    let span = Span::days(AUTHORITY_DAYS)?;
    let paper = Paper { subject: name.der(), issuer: name.der(), serial: &serial, span, key: &public };
    let certificate = paper.sign(&wanted, None, &signer)?;
    let secret = |key: &PrivateKey| -> Result<String, Failure> {
        let der = key.to_pkcs8().map_err(|error| Failure::new(FAILED, error))?;
        Ok(pem("PRIVATE KEY", der.as_slice()))
    };
    shelf.secret(at(config::AUTHORITY_KEY), secret(signer.key())?);
    shelf.open(at(config::AUTHORITY), pem("CERTIFICATE", &certificate));
    let authority = Authority { certificate: Certificate::from_bytes(&certificate)?, signer };
    let key = PrivateKey::generate(KeyType::Rsa, BITS).map_err(|error| Failure::new(FAILED, error))?;
    shelf.secret(at(config::KEY), secret(&key)?);
    shelf.open(at(config::CERTIFICATE), pem("CERTIFICATE", &gateway_certificate(state, &key, &authority)?));
    // Nobody is revoked yet, but the list is there, and as long as the authority.
    let list = List::complete(vec![1], Vec::new(), span).sign(&authority)?;
    shelf.open(at(config::REVOKED), list);
    Ok(())
}

/// Names: what clients connect to. Windows compares an address with a dNSName, others with an iPAddress.
fn gateway_certificate(state: &State, key: &PrivateKey, authority: &Authority) -> Result<Vec<u8>, Failure> {
    let mut names: Vec<&str> = vec![&state.name];
    names.extend(state.addresses.iter().map(String::as_str).filter(|address| *address != state.name));
    let mut wanted = Wanted { usages: vec![Usage::ServerAuth, Usage::IkeIntermediate], ..Wanted::default() };
    for name in names {
        wanted.names.push(alt_name(name)?);
        if name.parse::<IpAddr>().is_ok() {
            wanted.names.push(alt_name(&format!("dns:{name}"))?);
        }
    }
    let subject = input::name(&format!("CN={}", state.name), "name")?;
    let serial = random_serial()?;
    let paper = Paper {
        subject: subject.der(),
        issuer: &authority.certificate.subject()?,
        serial: &serial,
        span: Span::days(LEAF_DAYS)?,
        key: key.public(),
    };
    Ok(paper.sign(&wanted, Some(&authority.key_id()?), &authority.signer)?)
}

/// The authority that quickstart made.
pub(super) fn authority(directory: &Path) -> Result<Authority, Failure> {
    Ok(Authority::from_files(&directory.join(config::AUTHORITY), &directory.join(config::AUTHORITY_KEY))?)
}

/// A new certificate for the gateway's key, with the same names.
pub(super) fn renew(directory: &Path, json: bool) -> Result<(), Failure> {
    let state = State::read(directory)?;
    let authority = authority(directory)?;
    let key = input::private_key(input::file(&directory.join(config::KEY))?.as_slice(), None)?;
    let certificate = gateway_certificate(&state, &key, &authority)?;
    let file = directory.join(config::CERTIFICATE);
    shelf::replace(&file, pem("CERTIFICATE", &certificate), false)?;
    if json {
        put!(
            "{}",
            serde_json::json!({"schema": "cygnet.quickstart.renew/1", "file": file, "days": LEAF_DAYS})
        );
    } else {
        say!("{} is good for {LEAF_DAYS} days; load it: cygnet load", file.display());
    }
    Ok(())
}

/// Whether swanctl.conf includes conf.d; one that is not there yet will.
fn includes(file: &Path) -> bool {
    std::fs::read_to_string(file).map_or(true, |text| {
        text.lines().map(str::trim).any(|line| line.starts_with("include") && line.contains("conf.d"))
    })
}

fn report(
    directory: &Path,
    args: &Quickstart,
    state: &State,
    shelf: &Shelf,
    included: bool,
) -> Result<(), Failure> {
    let hint = (!included).then(|| {
        format!("add this line to {}: include conf.d/*.conf", directory.join("swanctl.conf").display())
    });
    let mut steps: Vec<String> = hint.into_iter().collect();
    steps.push("cygnet check && cygnet load".to_owned());
    steps.push("cygnet quickstart user alice".to_owned());
    steps.push(format!(
        "read {}, which lets UDP 500 and 4500 in and clients out",
        directory.join(config::FIREWALL).display()
    ));
    if state.dns.is_empty() {
        steps.push("clients keep their own name servers; --dns would have given them yours".to_owned());
    }
    if args.json {
        let files: Vec<String> =
            shelf.sheets().iter().map(|sheet| sheet.path.display().to_string()).collect();
        let document = serde_json::json!({
            "schema": "cygnet.quickstart.gateway/1",
            "written": !args.dry_run,
            "name": state.name,
            "pools": state.pools,
            "routes": state.routes,
            "dns": state.dns,
            "files": files,
            "next": steps,
        });
        put!("{document:#}");
        return Ok(());
    }
    if args.dry_run {
        say!("Would write:");
        for sheet in shelf.sheets() {
            say!("  {}{}", sheet.path.display(), if sheet.secret { "  (for its owner only)" } else { "" });
        }
        say!("");
        put!("{}", config::gateway(state));
        return Ok(());
    }
    say!("{} is ready for road warriors.", state.name);
    for sheet in shelf.sheets() {
        say!("  {}{}", sheet.path.display(), if sheet.secret { "  (for its owner only)" } else { "" });
    }
    say!(
        "Clients get addresses out of {} and reach {}.",
        state.pools.join(" and "),
        state.routes.join(" and ")
    );
    say!("");
    say!("Next:");
    for (number, step) in steps.iter().enumerate() {
        say!("  {}. {step}", number + 1);
    }
    Ok(())
}
