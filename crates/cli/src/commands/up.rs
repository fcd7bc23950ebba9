//! `cygnet up`.
use super::status;
use crate::args::Up;
use crate::exit::{FAILED, Failure};
use crate::out::{clean, say};
use crate::session::{PROMPT, collect, connect, succeeded};
use crate::view::IkeSa;
use config::tree::Section;
use std::process::ExitCode;
use std::time::Duration;
use vici::{Client, Message};

pub(super) fn run(uri: Option<&str>, args: &Up) -> Result<ExitCode, Failure> {
    let mut client = connect(uri)?;
    let known = collect(&mut client, "list-conns", Section::default(), "list-conn")?;
    let targets = targets(&known, &args.name, args.ike.as_deref())?;
    let up = status::fetch(&mut client, None)?;
    for target in targets {
        if target.is_among(&up) {
            // Asking the daemon would bring up a second one beside it.
            say!("{} is up already", clean(&target.to_string()));
            continue;
        }
        let mut message = Section::default();
        if let Some(child) = &target.child {
            message.put("child", child);
        }
        message.put("ike", &target.ike);
        control(&mut client, "initiate", message, args.timeout, args.quiet)?;
        say!("{} is up", clean(&target.to_string()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a command that logs while it works and may take `timeout` seconds.
pub(super) fn control(
    client: &mut Client,
    command: &str,
    mut message: Section,
    timeout: u64,
    quiet: bool,
) -> Result<Section, Failure> {
    if timeout > 0 {
        message.put("timeout", timeout.saturating_mul(1000));
    }
    message.put("loglevel", 1);
    // The daemon ends the waiting; the margin is for its answer.
    client.set_timeout((timeout > 0).then(|| Duration::from_secs(timeout).saturating_add(PROMPT)));
    let answer = client.request_streamed(command, message, "control-log", |event| {
        if !quiet {
            let group = event.text("group").unwrap_or("?").to_owned();
            say!("  [{}] {}", clean(&group), clean(event.text("msg").unwrap_or_default()));
        }
    })?;
    client.set_timeout(Some(PROMPT));
    succeeded(command, &answer)?;
    Ok(answer)
}

#[derive(Debug, PartialEq, Eq)]
struct Target {
    ike: String,
    child: Option<String>,
}

impl Target {
    fn is_among(&self, up: &[IkeSa]) -> bool {
        up.iter().filter(|sa| sa.connection == self.ike && sa.state == "ESTABLISHED").any(|sa| {
            match &self.child {
                Some(name) => {
                    sa.child_sas.iter().any(|child| child.name == *name && child.state == "INSTALLED")
                }
                None => true,
            }
        })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.child {
            Some(child) => write!(f, "{child} of {}", self.ike),
            None => f.write_str(&self.ike),
        }
    }
}

/// What a name means: a connection with all its children, or a child.
fn targets(known: &[Section], name: &str, ike: Option<&str>) -> Result<Vec<Target>, Failure> {
    let all = || {
        known.iter().flat_map(|event| event.children()).map(|(conn, section)| {
            let children: Vec<&str> =
                section.child("children").map(|c| c.children().map(|(n, _)| n).collect()).unwrap_or_default();
            (conn, children)
        })
    };
    let target =
        |ike: &str, child: Option<&str>| Target { ike: ike.to_owned(), child: child.map(str::to_owned) };
    if ike.is_none()
        && let Some((conn, children)) = all().find(|(conn, _)| *conn == name)
    {
        if children.is_empty() {
            return Ok(vec![target(conn, None)]);
        }
        return Ok(children.into_iter().map(|child| target(conn, Some(child))).collect());
    }
    let owners: Vec<&str> = all()
        .filter(|(conn, children)| ike.is_none_or(|ike| ike == *conn) && children.contains(&name))
        .map(|(conn, _)| conn)
        .collect();
    match owners[..] {
        [owner] => Ok(vec![target(owner, Some(name))]),
        [] => {
            let names: Vec<String> = all()
                .flat_map(|(conn, children)| {
                    std::iter::once(conn.to_owned())
                        .chain(children.into_iter().map(move |child| format!("{child} (of {conn})")))
                })
                .collect();
            let failure = Failure::new(FAILED, format_args!("no connection or child is called '{name}'"));
            Err(if names.is_empty() {
                failure.hint("nothing is loaded: 'cygnet load' reads the configuration")
            } else {
                failure.hint(format_args!("there are: {}", clean(&names.join(", "))))
            })
        }
        _ => Err(Failure::new(
            FAILED,
            format_args!("several connections have a child '{name}': {}", owners.join(", ")),
        )
        .hint(format_args!("say which: cygnet up {name} --ike {}", owners[0]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<Section> {
        [("home", &["net", "dmz"][..]), ("work", &["net"]), ("bare", &[])]
            .into_iter()
            .map(|(name, children)| {
                let mut all = Section::default();
                for child in children {
                    all.put_section(child, Section::default());
                }
                let mut conn = Section::default();
                conn.put_section("children", all);
                let mut event = Section::default();
                event.put_section(name, conn);
                event
            })
            .collect()
    }

    fn named(name: &str, ike: Option<&str>) -> Result<Vec<(String, Option<String>)>, String> {
        targets(&known(), name, ike)
            .map(|all| all.into_iter().map(|t| (t.ike, t.child)).collect())
            .map_err(|failure| failure.message().to_owned())
    }

    #[test]
    fn what_is_up_is_known() {
        let up = crate::view::ike_sas(&[crate::view::tests::sample()]);
        let target =
            |ike: &str, child: Option<&str>| Target { ike: ike.into(), child: child.map(str::to_owned) };
        assert!(target("home", Some("net")).is_among(&up) && target("home", None).is_among(&up));
        assert!(!target("home", Some("dmz")).is_among(&up) && !target("work", Some("net")).is_among(&up));
        assert!(!target("home", Some("net")).is_among(&[]));
    }

    #[test]
    fn a_name_is_a_connection_or_a_child() {
        let pair = |ike: &str, child: &str| (ike.to_owned(), Some(child.to_owned()));
        assert_eq!(named("home", None).unwrap(), [pair("home", "net"), pair("home", "dmz")]);
        assert_eq!(named("dmz", None).unwrap(), [pair("home", "dmz")]);
        assert_eq!(named("bare", None).unwrap(), [("bare".to_owned(), None)]);
        assert_eq!(named("net", Some("work")).unwrap(), [pair("work", "net")]);
        assert!(named("net", None).unwrap_err().contains("several connections"));
        assert!(named("nope", None).unwrap_err().contains("no connection or child"));
        assert!(named("dmz", Some("work")).is_err());
    }
}
