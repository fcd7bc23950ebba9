//! `cygnet down`, `cygnet terminate`, `cygnet rekey`.
use super::up::control;
use crate::args::{Down, Rekey, Selector, Terminate};
use crate::exit::{FAILED, Failure};
use crate::out::{clean, say};
use crate::session::{collect, connect, succeeded};
use crate::view::{self, IkeSa};
use config::tree::Section;
use std::process::ExitCode;
use vici::{Client, Message};

pub(super) fn run(uri: Option<&str>, args: &Down) -> Result<ExitCode, Failure> {
    let mut client = connect(uri)?;
    let up = list(&mut client)?;
    let messages = match &args.name {
        Some(name) => vec![(name.clone(), selector(&up, name)?)],
        None => up
            .iter()
            .map(|sa| {
                let mut message = Section::default();
                message.put("ike-id", sa.id);
                (format!("{}[{}]", sa.connection, sa.id), message)
            })
            .collect(),
    };
    if messages.is_empty() {
        say!("nothing is up");
    }
    for (name, mut message) in messages {
        if args.force {
            message.put_bool("force", true);
        }
        let answer = control(&mut client, "terminate", message, args.timeout, args.quiet)?;
        ended(&name, &answer);
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn terminate(uri: Option<&str>, args: &Terminate) -> Result<ExitCode, Failure> {
    let mut client = connect(uri)?;
    let mut message = selected(&args.selector);
    if args.force {
        message.put_bool("force", true);
    }
    let answer = control(&mut client, "terminate", message, args.timeout, args.quiet)?;
    ended("what you picked", &answer);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn rekey(uri: Option<&str>, args: &Rekey) -> Result<ExitCode, Failure> {
    let mut client = connect(uri)?;
    let mut message = selector(&list(&mut client)?, &args.name)?;
    if args.reauth {
        message.put_bool("reauth", true);
    }
    let answer = client.request("rekey", message)?;
    succeeded("rekey", &answer)?;
    let what = if args.reauth { "reauthentication" } else { "rekeying" };
    say!("{what} of {} began ({} SAs)", clean(&args.name), answer.text("matches").unwrap_or("?"));
    Ok(ExitCode::SUCCESS)
}

fn ended(name: &str, answer: &Section) {
    match answer.number::<u32>("terminated") {
        Some(1) | None => say!("{} is down", clean(name)),
        Some(many) => say!("{} is down ({many} SAs)", clean(name)),
    }
}

fn list(client: &mut Client) -> Result<Vec<IkeSa>, Failure> {
    Ok(view::ike_sas(&collect(client, "list-sas", Section::default(), "list-sa")?))
}

fn selected(selector: &Selector) -> Section {
    let mut message = Section::default();
    for (key, value) in [
        ("ike", selector.ike.clone()),
        ("ike-id", selector.ike_id.map(|id| id.to_string())),
        ("child", selector.child.clone()),
        ("child-id", selector.child_id.map(|id| id.to_string())),
    ] {
        if let Some(value) = value {
            message.put(key, value);
        }
    }
    message
}

/// The selector for a name: an IKE_SA's, else a CHILD_SA's.
fn selector(up: &[IkeSa], name: &str) -> Result<Section, Failure> {
    let mut message = Section::default();
    if up.iter().any(|sa| sa.connection == name) {
        message.put("ike", name);
    } else if up.iter().any(|sa| sa.child_sas.iter().any(|child| child.name == name)) {
        message.put("child", name);
    } else {
        let mut names: Vec<&str> = up
            .iter()
            .flat_map(|sa| {
                std::iter::once(&sa.connection).chain(sa.child_sas.iter().map(|child| &child.name))
            })
            .map(String::as_str)
            .collect();
        names.sort_unstable();
        names.dedup();
        let failure = Failure::new(FAILED, format_args!("nothing called '{name}' is up"));
        return Err(if names.is_empty() {
            failure.hint("nothing at all is up")
        } else {
            failure.hint(format_args!("up are: {}", clean(&names.join(", "))))
        });
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_selectors() {
        let up = view::ike_sas(&[view::tests::sample()]);
        assert_eq!(selector(&up, "home").unwrap().text("ike"), Some("home"));
        assert_eq!(selector(&up, "net").unwrap().text("child"), Some("net"));
        assert!(selector(&up, "nope").is_err());
        assert!(selector(&[], "home").is_err());
    }

    #[test]
    fn all_parts_of_a_selector_are_sent() {
        let picked =
            Selector { ike: Some("a".into()), ike_id: Some(1), child: Some("b".into()), child_id: Some(2) };
        let message = selected(&picked);
        let sent: Vec<_> =
            ["ike", "ike-id", "child", "child-id"].iter().map(|key| message.text(key)).collect();
        assert_eq!(sent, [Some("a"), Some("1"), Some("b"), Some("2")]);
    }
}
