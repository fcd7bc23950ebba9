//! Finding the daemon and talking to it.
use crate::exit::{FAILED, Failure, NO_DAEMON};
use crate::source;
use config::tree::Section;
use std::io::ErrorKind;
use std::time::Duration;
use vici::{Client, ClientError, Message};

/// How long an answer may take that needs no peer.
pub(crate) const PROMPT: Duration = Duration::from_secs(10);

/// Where the daemon's socket is: what was asked for, else what strongswan.conf says, else the usual place.
pub(crate) fn uri(asked: Option<&str>) -> String {
    if let Some(asked) = asked {
        return asked.to_owned();
    }
    let settings = source::settings();
    for path in [
        &["swanctl", "socket"][..],
        &["charon-systemd", "plugins", "vici", "socket"],
        &["charon", "plugins", "vici", "socket"],
    ] {
        if let Some(uri) = source::value_at(&settings, path) {
            return uri;
        }
    }
    vici::client::DEFAULT_URI.to_owned()
}

/// Connects, or says what to do about it.
pub(crate) fn connect(asked: Option<&str>) -> Result<Client, Failure> {
    let uri = uri(asked);
    Client::connect(&uri, Some(PROMPT)).map_err(|error| explain(&uri, error))
}

fn explain(uri: &str, error: ClientError) -> Failure {
    let ClientError::Connect { source, .. } = &error else {
        return error.into();
    };
    let kind = source.kind();
    let place = uri.strip_prefix("unix://").unwrap_or(uri).to_owned();
    match kind {
        ErrorKind::NotFound => Failure::new(
            NO_DAEMON,
            format_args!("the daemon is not running (no socket at {place})"),
        )
        .hint("start it:      systemctl start strongswan     (or, by hand: sudo cygnetd)")
        .hint("other socket:  cygnet --uri unix:///path/to/charon.vici …   (see charon.plugins.vici.socket)"),
        ErrorKind::ConnectionRefused => {
            Failure::new(NO_DAEMON, format_args!("nobody listens on {place}; the daemon seems to have ended"))
                .hint("start it:      systemctl start strongswan     (or, by hand: sudo cygnetd)")
        }
        ErrorKind::PermissionDenied => Failure::new(NO_DAEMON, format_args!("you may not use {place}"))
            .hint("try again as root: sudo cygnet …"),
        _ => error.into(),
    }
}

/// Turns `success = no` into a failure that carries the daemon's reason.
pub(crate) fn succeeded(what: &str, answer: &Section) -> Result<(), Failure> {
    if answer.is_yes("success") {
        return Ok(());
    }
    let reason = answer.text("errmsg").unwrap_or("the daemon gave no reason");
    Err(Failure::new(FAILED, format_args!("{what}: {reason}")))
}

/// Runs a command that streams, and collects what it streamed.
pub(crate) fn collect(
    client: &mut Client,
    command: &str,
    message: Section,
    event: &str,
) -> Result<Vec<Section>, Failure> {
    let mut all = Vec::new();
    let answer = client.request_streamed(command, message, event, |one| all.push(one))?;
    if answer.text("success") == Some("no") {
        succeeded(command, &answer)?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: ErrorKind) -> Failure {
        let uri = "unix:///run/x.vici";
        explain(uri, ClientError::Connect { uri: uri.into(), source: kind.into() })
    }

    #[test]
    fn every_reason_not_to_connect_says_what_to_do() {
        for (kind, words) in [
            (ErrorKind::NotFound, "not running"),
            (ErrorKind::ConnectionRefused, "nobody listens"),
            (ErrorKind::PermissionDenied, "may not use"),
        ] {
            let failure = refused(kind);
            assert!(failure.message().contains(words), "{}", failure.message());
            assert!(failure.message().contains("/run/x.vici"));
            assert_eq!(failure.code, NO_DAEMON);
        }
    }

    #[test]
    fn the_daemons_reason_is_passed_on() {
        let mut answer = Section::default();
        answer.put_bool("success", false).put("errmsg", "CHILD_SA config 'x' not found");
        let failure = succeeded("up", &answer).unwrap_err();
        assert_eq!(failure.message(), "up: CHILD_SA config 'x' not found");
        answer.put_bool("success", true);
        assert!(succeeded("up", &answer).is_ok());
    }
}
