//! What a user gets: a folder with something for every kind of device.
use super::config::{self, Client};
use super::shelf::Shelf;
use super::state::State;
use super::{android, apple, qr, windows};
use crate::exit::{FAILED, Failure};
use crate::pki::input::Certificate;
use crate::pki::issue::Authority;
use crate::pki::output::pem;
use ::pki::container::{Protection, write_pkcs12};
use crypto::{Rng, Secret};
use std::path::Path;

/// A certificate with its key, and both in containers.
pub(super) struct Paperwork {
    pub(super) certificate: Vec<u8>,
    pub(super) key: Secret,
    /// AES: Android, Windows since 10, OpenSSL.
    pub(super) modern: Vec<u8>,
    /// Triple DES and SHA-1: what Apple's import takes on every release, and old Windows.
    pub(super) compatible: Vec<u8>,
    pub(super) password: String,
}

impl Paperwork {
    pub(super) fn new(
        name: &str,
        certificate: Vec<u8>,
        key: Secret,
        authority: &Authority,
        password: String,
        seed: [u8; 32],
    ) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::new(FAILED, format_args!("PKCS#12: {error}"));
        let chain = [
            ::pki::Certificate::from_der(&certificate).map_err(|error| failed(&error))?,
            ::pki::Certificate::from_der(&authority.certificate.der).map_err(|error| failed(&error))?,
        ];
        let mut rng = Rng::from_seed(seed);
        let mut container = |protection| {
            write_pkcs12(key.as_slice(), &chain, name, &password, protection, &mut rng)
                .map_err(|error| failed(&error))
        };
        let (modern, compatible) = (container(Protection::Modern)?, container(Protection::Compatible)?);
        Ok(Self { certificate, key, modern, compatible, password })
    }
}

/// A name and a password.
pub(super) struct Login {
    pub(super) name: String,
    pub(super) password: String,
}

/// Everything profiles are made of.
pub(super) struct Parts<'a> {
    pub(super) state: &'a State,
    pub(super) authority: &'a Certificate,
    pub(super) identity: &'a str,
    pub(super) paperwork: Option<&'a Paperwork>,
    pub(super) login: Option<&'a Login>,
    /// Apple: connect whenever there is a network.
    pub(super) on_demand: bool,
}

/// What the files of a folder are for.
pub(super) const ABOUT: &[(&str, &str)] = &[
    ("cert.mobileconfig", "iPhone, iPad, Mac: open it (certificate)"),
    ("login.mobileconfig", "iPhone, iPad, Mac: open it (password)"),
    ("cert.sswan", "strongSwan for Android: import it (certificate)"),
    ("login.sswan", "strongSwan for Android: import it (password)"),
    ("cert.ps1", "Windows 10 and 11: run it as administrator (certificate)"),
    ("login.ps1", "Windows 10 and 11: run it as administrator (password)"),
    ("user.p12", "key and certificate, AES: Android, Windows, Linux"),
    ("user-compatible.p12", "the same for old systems and Apple, 3DES"),
    ("ca.pem", "the authority's certificate, for devices configured by hand"),
    ("swanctl-cert/swanctl.conf", "folder for cygnet and strongSwan (certificate)"),
    ("swanctl-login/swanctl.conf", "folder for cygnet and strongSwan (password)"),
    ("login.txt", "server, name and password as text"),
    ("login.svg", "the same as a QR code"),
    ("login-sswan.svg", "login.sswan as a QR code"),
];

/// Puts the files of a user on the shelf; their names.
pub(super) fn write(parts: &Parts<'_>, home: &Path, shelf: &mut Shelf) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    let mut add = |name: &str, content: Vec<u8>| {
        shelf.secret(home.join(name), content);
        names.push(name.to_owned());
    };
    let authority = pem("CERTIFICATE", &parts.authority.der);
    add("ca.pem", authority.clone().into());
    if let Some(paper) = parts.paperwork {
        add("cert.mobileconfig", apple::profile(parts, &apple::Way::Certificate(paper))?);
        add("cert.sswan", android::with_certificate(parts, paper)?.into());
        add("cert.ps1", windows::with_certificate(parts, paper).into());
        add("user.p12", paper.modern.clone());
        add("user-compatible.p12", paper.compatible.clone());
        add(
            "swanctl-cert/swanctl.conf",
            config::client(parts.state, &Client::Certificate(parts.identity)).into(),
        );
        add("swanctl-cert/x509ca/ca.pem", authority.clone().into());
        add("swanctl-cert/x509/client.pem", pem("CERTIFICATE", &paper.certificate).into());
        add("swanctl-cert/private/client.pem", pem("PRIVATE KEY", paper.key.as_slice()).into());
    }
    if let Some(login) = parts.login {
        add("login.mobileconfig", apple::profile(parts, &apple::Way::Login(login))?);
        let profile = android::with_login(parts, login)?;
        if let Some(code) = qr::svg(&profile) {
            add("login-sswan.svg", code.into());
        }
        add("login.sswan", profile.into());
        add("login.ps1", windows::with_login(parts, login).into());
        let client = Client::Login(&login.name, &login.password);
        add("swanctl-login/swanctl.conf", config::client(parts.state, &client).into());
        add("swanctl-login/x509ca/ca.pem", authority.into());
        let card = card(parts.state, login);
        if let Some(code) = qr::svg(&card) {
            add("login.svg", code.into());
        }
        add("login.txt", card.into());
    }
    Ok(names)
}

/// What somebody types who configures a device by hand.
pub(super) fn card(state: &State, login: &Login) -> String {
    format!(
        "VPN: IKEv2 with user name and password (EAP-MSCHAPv2)\nServer: {server}\nRemote ID: {server}\nUser: {user}\nPassword: {password}\n",
        server = state.name,
        user = login.name,
        password = login.password
    )
}
