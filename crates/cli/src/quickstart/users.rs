//! Users: made, listed, revoked.
use super::config;
use super::gateway::{LEAF_DAYS, authority};
use super::profiles::{self, Login, Paperwork};
use super::shelf::{self, Shelf};
use super::state::{State, User};
use super::{password, random};
use crate::args::QuickstartUser;
use crate::exit::{FAILED, Failure};
use crate::out::{put, say};
use crate::pki::dates::{self, Span};
use crate::pki::extensions::{Usage, Wanted, alt_name};
use crate::pki::input;
use crate::pki::issue::{Authority, Paper, random_serial};
use crate::pki::signcrl::{self, Entry, List};
use crypto::sign::{KeyType, PrivateKey};
use data_encoding::HEXLOWER;
use std::path::{Path, PathBuf};
use x509_cert::ext::pkix::crl::CrlReason;

const BITS: usize = 3072;

pub(super) fn run(directory: &Path, args: &QuickstartUser, json: bool) -> Result<(), Failure> {
    let state = State::read(directory)?;
    if args.list {
        list(&state, json);
        return Ok(());
    }
    if let Some(name) = &args.revoke {
        return revoke(directory, state, name, json);
    }
    let Some(name) = args.name.as_deref() else {
        return Err(Failure::new(2, "the name of the user is missing").hint("cygnet quickstart user alice"));
    };
    create(directory, state, name, args, json)
}

fn secret_file(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("conf.d/quickstart-user-{name}.conf"))
}

fn create(
    directory: &Path,
    mut state: State,
    name: &str,
    args: &QuickstartUser,
    json: bool,
) -> Result<(), Failure> {
    // It becomes part of file names, of section names and of identities.
    let fit = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if name.is_empty() || name.len() > 40 || !name.chars().all(fit) {
        return Err(Failure::new(2, format_args!("{name}: a user's name has letters, digits, - and _ only")));
    }
    if state.user(name).is_some() {
        return Err(Failure::new(FAILED, format_args!("{name} is there already; nothing was changed"))
            .hint(format_args!("'cygnet quickstart user --revoke {name}' makes room for new credentials")));
    }
    let (certificate, login) = match (args.cert, args.eap) {
        (true, false) => (true, false),
        (false, true) => (false, true),
        _ => (true, true),
    };
    let home = args.out.clone().unwrap_or_else(|| directory.join("quickstart/users").join(name));
    let identity = identity(&state, name);
    let authority = authority(directory)?;
    let mut user = User {
        name: name.to_owned(),
        identity: identity.clone(),
        serial: None,
        eap: login,
        created: dates::now().to_string(),
        revoked: None,
    };
    let mut shelf = Shelf::default();
    let paperwork = if certificate { Some(paper(&authority, name, &identity, &mut user)?) } else { None };
    let login = if login { Some(Login { name: name.to_owned(), password: password(16)? }) } else { None };
    if let Some(login) = &login {
        shelf.secret(secret_file(directory, name), config::secret(name, &login.password));
    }
    let parts = profiles::Parts {
        state: &state,
        authority: &authority.certificate,
        identity: &identity,
        paperwork: paperwork.as_ref(),
        login: login.as_ref(),
        on_demand: args.on_demand,
    };
    let files = profiles::write(&parts, &home, &mut shelf)?;
    shelf.write()?;
    state.users.push(user);
    state.store(directory)?;
    if json {
        put!(
            "{:#}",
            serde_json::json!({
                "schema": "cygnet.quickstart.user/1",
                "name": name,
                "identity": identity,
                "certificate": certificate,
                "password": login.as_ref().map(|login| &login.password),
                "container_password": paperwork.as_ref().map(|paper| &paper.password),
                "directory": home,
                "files": files,
            })
        );
        return Ok(());
    }
    say!("{name} may come in. In {}:", home.display());
    for (file, about) in profiles::ABOUT {
        if files.iter().any(|written| written == file) {
            say!("  {file:<28} {about}");
        }
    }
    if let Some(login) = &login {
        say!("User name {}, password {}", login.name, login.password);
        say!("");
        say!("{}", super::qr::terminal(&profiles::card(&state, login))?);
    }
    if let Some(paper) = &paperwork {
        say!("Password of the .p12 files: {}", paper.password);
    }
    say!("");
    say!("Next:");
    if login.is_some() {
        say!("  - cygnet load, so that the daemon knows the password");
    }
    say!(
        "  - bring the folder to {name} on a safe way; it is as secret as the password. docs/clients.md: what each device does with it"
    );
    Ok(())
}

/// `alice@gw.example.org`: Apple sends what has an @ as a mail address and everything else as a host name, so there is
/// an @, and the certificate says the same. After an address there is a name that cannot exist.
fn identity(state: &State, name: &str) -> String {
    if state.name.parse::<std::net::IpAddr>().is_ok() {
        format!("{name}@vpn.invalid")
    } else {
        format!("{name}@{}", state.name)
    }
}

fn paper(authority: &Authority, name: &str, identity: &str, user: &mut User) -> Result<Paperwork, Failure> {
    let failed = |error| Failure::new(FAILED, error);
    let key = PrivateKey::generate(KeyType::Rsa, BITS).map_err(failed)?;
    let wanted =
        Wanted { usages: vec![Usage::ClientAuth], names: vec![alt_name(identity)?], ..Wanted::default() };
    let subject = input::name(&format!("CN={identity}"), "name")?;
    let serial = random_serial()?;
    let paper = Paper {
        subject: subject.der(),
        issuer: &authority.certificate.subject()?,
        serial: &serial,
        span: Span::days(LEAF_DAYS)?,
        key: key.public(),
    };
    let certificate = paper.sign(&wanted, Some(&authority.key_id()?), &authority.signer)?;
    user.serial = Some(HEXLOWER.encode(&serial));
    let password = password(16)?;
    let seed = random()?;
    Paperwork::new(name, certificate, key.to_pkcs8().map_err(failed)?, authority, password, seed)
}

fn list(state: &State, json: bool) {
    if json {
        let users = serde_json::json!({"schema": "cygnet.quickstart.users/1", "users": state.users});
        put!("{users:#}");
        return;
    }
    for user in &state.users {
        let kind = match (user.serial.is_some(), user.eap) {
            (true, true) => "certificate, password",
            (true, false) => "certificate",
            _ => "password",
        };
        let end = user.revoked.as_ref().map(|at| format!("  revoked {at}")).unwrap_or_default();
        say!("{:<20} {:<32} {kind:<22} since {}{end}", user.name, user.identity, user.created);
    }
    if state.users.is_empty() {
        say!("nobody yet; 'cygnet quickstart user alice' makes a user");
    }
}

/// Takes the secret away and puts the certificate on the list.
fn revoke(directory: &Path, mut state: State, name: &str, json: bool) -> Result<(), Failure> {
    let Some(user) = state.users.iter_mut().find(|user| user.name == name && user.revoked.is_none()) else {
        return Err(Failure::new(FAILED, format_args!("there is no user {name}"))
            .hint("'cygnet quickstart user --list' shows all"));
    };
    if let Some(serial) = &user.serial {
        let authority = authority(directory)?;
        let file = directory.join(config::REVOKED);
        let last = signcrl::read(&file)?;
        let serial = HEXLOWER
            .decode(serial.as_bytes())
            .map_err(|error| Failure::new(FAILED, format_args!("serial number of {name}: {error}")))?;
        let mut entries = signcrl::entries_of(&last);
        entries.push(Entry { serial, at: dates::now(), reason: CrlReason::CessationOfOperation });
        let span = Span { until: authority.until(), ..Span::days(1)? };
        let number = signcrl::next(&signcrl::number_of(&last));
        shelf::replace(&file, List::complete(number, entries, span).sign(&authority)?, false)?;
    }
    let secret = secret_file(directory, name);
    if user.eap {
        match std::fs::remove_file(&secret) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::new(FAILED, format_args!("removing {}: {error}", secret.display())));
            }
            _ => {}
        }
    }
    user.revoked = Some(dates::now().to_string());
    let identity = user.identity.clone();
    state.store(directory)?;
    if json {
        put!(
            "{:#}",
            serde_json::json!({"schema": "cygnet.quickstart.revoked/1", "name": name, "identity": identity})
        );
        return Ok(());
    }
    say!("{name} will not come in again once the daemon knows:");
    say!("  1. cygnet load");
    say!("  2. cygnet status shows whether {name} is still connected; cygnet terminate ends that");
    Ok(())
}
