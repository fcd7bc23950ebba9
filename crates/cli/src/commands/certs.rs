//! `cygnet certs`.
use super::status::{table, trimmed};
use crate::args::Certs;
use crate::exit::Failure;
use crate::out::{clean, complain, put, say};
use crate::pki::{Trouble, dates, input};
use crate::session::{collect, connect};
use anstyle::{AnsiColor, Style};
use config::tree::Section;
use crypto::sign::PublicKey;
use jiff::{Timestamp, tz::TimeZone};
use serde::{Serialize, Serializer};
use std::process::ExitCode;
use vici::{Client, Message};

const DAY: i64 = 86_400;
/// What ends within so many days is marked.
const SOON: i64 = 30;

/// `{"schema": "cygnet.certs/1", "certificates": […]}`; fields are only ever added.
#[derive(Debug, Serialize)]
struct Document {
    schema: &'static str,
    certificates: Vec<Cert>,
}

/// A certificate the daemon holds; a raw public key has neither names nor dates.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Cert {
    /// As vici names it: `X509`, `X509_AC`, `PUBKEY`.
    r#type: String,
    /// What an X.509 certificate is trusted for: `NONE`, `CA`, `AA`, `OCSP`.
    flag: Option<String>,
    subject: Option<String>,
    issuer: Option<String>,
    serial: Option<String>,
    /// Kind and bits of its key; absent where this build has no such keys.
    key: Option<String>,
    key_id: Option<String>,
    private_key: bool,
    #[serde(serialize_with = "rfc3339")]
    not_before: Option<Timestamp>,
    #[serde(serialize_with = "rfc3339")]
    not_after: Option<Timestamp>,
    /// Whole days; below zero once it has expired.
    days_left: Option<i64>,
    state: Option<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Valid,
    Expiring,
    Expired,
    NotYetValid,
}

impl State {
    fn of(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> Self {
        if now > not_after {
            Self::Expired
        } else if now < not_before {
            Self::NotYetValid
        } else if days_left(not_after, now) < SOON {
            Self::Expiring
        } else {
            Self::Valid
        }
    }

    /// What the table says, and how.
    fn shown(self) -> (&'static str, Option<AnsiColor>) {
        match self {
            Self::Valid => ("valid", None),
            Self::Expiring => ("expires soon", Some(AnsiColor::Yellow)),
            Self::Expired => ("expired", Some(AnsiColor::Red)),
            Self::NotYetValid => ("not yet valid", Some(AnsiColor::Yellow)),
        }
    }
}

fn days_left(not_after: Timestamp, now: Timestamp) -> i64 {
    (not_after.as_second() - now.as_second()).div_euclid(DAY)
}

pub(super) fn run(uri: Option<&str>, args: &Certs) -> Result<ExitCode, Failure> {
    let certificates = fetch(&mut connect(uri)?)?;
    if args.json {
        let document = Document { schema: "cygnet.certs/1", certificates };
        put!("{}", serde_json::to_string_pretty(&document).unwrap_or_default());
    } else {
        say!("{}", render(&certificates));
    }
    Ok(ExitCode::SUCCESS)
}

/// How a certificate stands today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Valid,
    /// For less than a month.
    Ending,
    /// No more, or not yet.
    Invalid,
}

/// Names of the daemon's certificates and how they stand.
pub(crate) fn standing(client: &mut Client) -> Result<Vec<(String, Standing)>, Failure> {
    let named = |cert: Cert| {
        let standing = match cert.state? {
            State::Valid => Standing::Valid,
            State::Expiring => Standing::Ending,
            State::Expired | State::NotYetValid => Standing::Invalid,
        };
        Some((cert.subject.or(cert.issuer).unwrap_or_default(), standing))
    };
    Ok(fetch(client)?.into_iter().filter_map(named).collect())
}

/// Asks the daemon. CRLs and OCSP responses, which it lists under the same command, are no certificates.
fn fetch(client: &mut Client) -> Result<Vec<Cert>, Failure> {
    let now = dates::now();
    let mut all = Vec::new();
    for kind in ["X509", "X509_AC", "PUBKEY"] {
        let mut message = Section::default();
        message.put("type", kind);
        for event in collect(client, "list-certs", message, "list-cert")? {
            match read(kind, &event, now) {
                Ok(cert) => all.push(cert),
                Err(trouble) => {
                    complain!("a certificate of type {kind} cannot be read: {}", clean(&trouble.to_string()));
                }
            }
        }
    }
    Ok(all)
}

fn read(kind: &str, event: &Section, now: Timestamp) -> Result<Cert, Trouble> {
    let data = event.bytes("data").unwrap_or_default();
    let mut cert = Cert {
        r#type: kind.to_owned(),
        flag: event.text("flag").map(str::to_owned).filter(|_| kind == "X509"),
        subject: None,
        issuer: None,
        serial: None,
        key: None,
        key_id: None,
        private_key: event.is_yes("has_privkey"),
        not_before: None,
        not_after: None,
        days_left: None,
        state: None,
    };
    match kind {
        "PUBKEY" => cert.tell_key(&PublicKey::from_spki(data)?),
        "X509_AC" => {
            let read = pki::AttributeCertificate::from_der(data).map_err(Trouble::failed)?;
            let (from, until) = read.validity();
            cert.issuer = Some(read.issuer().to_string());
            cert.serial = Some(hex(read.serial()));
            cert.tell_dates(at(from), at(until), now);
        }
        _ => {
            // The tool's own reader: whatever key the certificate has, its names and dates can be told.
            let read = input::Certificate::from_bytes(data)?;
            let validity = read.read.tbs_certificate().validity();
            cert.subject = Some(input::text_of(&read.subject()?));
            cert.issuer = Some(input::text_of(&read.issuer()?));
            cert.serial = Some(hex(read.serial()));
            if let Ok(key) = read.key() {
                cert.tell_key(&key);
            }
            cert.tell_dates(
                dates::timestamp(&validity.not_before),
                dates::timestamp(&validity.not_after),
                now,
            );
        }
    }
    Ok(cert)
}

impl Cert {
    fn tell_key(&mut self, key: &PublicKey) {
        self.key = Some(format!("{} {}", key.kind(), key.bits()));
        self.key_id = Some(hex(&key.key_id()));
    }

    fn tell_dates(&mut self, from: Timestamp, until: Timestamp, now: Timestamp) {
        self.not_before = Some(from);
        self.not_after = Some(until);
        self.days_left = Some(days_left(until, now));
        self.state = Some(State::of(from, until, now));
    }

    /// What it is, in words.
    fn kind(&self) -> &'static str {
        match (self.r#type.as_str(), self.flag.as_deref()) {
            ("PUBKEY", _) => "raw key",
            ("X509_AC", _) => "attributes",
            (_, Some("CA")) => "CA",
            (_, Some("AA")) => "attribute authority",
            (_, Some("OCSP")) => "OCSP signer",
            _ => "end entity",
        }
    }
}

fn rfc3339<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(|at| at.to_string()).serialize(serializer)
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn at(seconds: u64) -> Timestamp {
    i64::try_from(seconds).ok().and_then(|s| Timestamp::from_second(s).ok()).unwrap_or(Timestamp::MAX)
}

fn render(certificates: &[Cert]) -> String {
    if certificates.is_empty() {
        return "no certificates are loaded".to_owned();
    }
    let mut table =
        table(["SUBJECT", "ISSUER", "TYPE", "KEY", "PRIVATE KEY", "NOT AFTER", "DAYS LEFT", "STATE"]);
    for cert in certificates {
        let subject = match (&cert.subject, &cert.key_id) {
            (Some(subject), _) => one_line(subject),
            (None, Some(id)) => format!("keyid {id}"),
            (None, None) => String::new(),
        };
        table.add_row([
            subject,
            cert.issuer.as_deref().map(one_line).unwrap_or_default(),
            cert.kind().to_owned(),
            cert.key.clone().unwrap_or_default(),
            if cert.private_key { "yes" } else { "no" }.to_owned(),
            cert.not_after.map(date).unwrap_or_default(),
            cert.days_left.map(|days| days.to_string()).unwrap_or_default(),
            cert.state.map(|state| state.shown().0.to_owned()).unwrap_or_default(),
        ]);
    }
    paint(&trimmed(&table), certificates)
}

/// A name that stays in its row.
fn one_line(name: &str) -> String {
    clean(name).replace(['\n', '\t'], " ")
}

fn date(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// The head bold, the last column of what needs attention in colour.
fn paint(text: &str, certificates: &[Cert]) -> String {
    let head = Style::new().bold();
    let mut lines = text.lines();
    let mut out: Vec<String> = lines.next().map(|line| format!("{head}{line}{head:#}")).into_iter().collect();
    for (line, cert) in lines.zip(certificates) {
        let (word, colour) = cert.state.map(State::shown).unwrap_or_default();
        out.push(match (line.strip_suffix(word), colour) {
            (Some(rest), Some(colour)) => {
                let style = Style::new().bold().fg_color(Some(colour.into()));
                format!("{rest}{style}{word}{style:#}")
            }
            _ => line.to_owned(),
        });
    }
    out.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cert(subject: &str, days: i64) -> Cert {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut cert = Cert {
            r#type: "X509".to_owned(),
            flag: Some("NONE".to_owned()),
            subject: Some(subject.to_owned()),
            issuer: Some("CN=ca".to_owned()),
            serial: Some("01".to_owned()),
            key: Some("ECDSA 256".to_owned()),
            key_id: Some("aabb".to_owned()),
            private_key: true,
            not_before: None,
            not_after: None,
            days_left: None,
            state: None,
        };
        let until = Timestamp::from_second(now.as_second() + days * DAY).unwrap();
        cert.tell_dates(Timestamp::UNIX_EPOCH, until, now);
        cert
    }

    #[test]
    fn what_ends_soon_or_has_ended_is_marked() {
        for (days, state) in
            [(-1, State::Expired), (0, State::Expiring), (29, State::Expiring), (30, State::Valid)]
        {
            let cert = cert("CN=gw", days);
            assert_eq!((cert.days_left, cert.state), (Some(days), Some(state)));
        }
        let [now, later, last] = [1, 2, 3].map(|s| Timestamp::from_second(s).unwrap());
        assert_eq!(State::of(later, last, now), State::NotYetValid);
        // Half a day ago is a day overdue, not none.
        assert_eq!(days_left(Timestamp::UNIX_EPOCH, Timestamp::from_second(DAY / 2).unwrap()), -1);
    }

    #[test]
    fn the_table() {
        let mut raw = cert("", 0);
        raw.r#type = "PUBKEY".to_owned();
        (raw.subject, raw.issuer, raw.not_after, raw.days_left) = (None, None, None, None);
        (raw.state, raw.private_key) = (None, false);
        let certs = [cert("CN=expired\n\u{1b}[2J", -2), cert("CN=gw", 365), raw];
        let painted = render(&certs);
        assert!(painted.contains("31mexpired\u{1b}"), "the last column has the colour: {painted}");
        let text = anstream::adapter::strip_str(&painted).to_string();
        assert_eq!(text, include_str!("certs/table.txt").trim_end());
        assert_eq!(render(&[]), "no certificates are loaded");
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let mut event = Section::default();
        event.put("type", "X509").put_bytes("data", b"no DER");
        for kind in ["X509", "X509_AC", "PUBKEY"] {
            assert!(read(kind, &event, Timestamp::UNIX_EPOCH).is_err(), "{kind}");
        }
    }
}
