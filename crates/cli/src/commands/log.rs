//! `cygnet log`.
use crate::args::Log;
use crate::exit::Failure;
use crate::out::{clean, say};
use crate::session::connect;
use anstyle::{AnsiColor, Style};
use config::tree::Section;
use std::process::ExitCode;
use vici::{ClientError, Message};

pub(super) fn run(uri: Option<&str>, args: &Log) -> Result<ExitCode, Failure> {
    let mut client = connect(uri)?;
    client.register("log")?;
    loop {
        match client.next_event(None) {
            Ok(Some((_, event))) if wanted(&event, args) => {
                let stamp = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
                say!("{stamp} {}", line(&event));
            }
            Ok(_) => {}
            Err(ClientError::Closed) => {
                return Err(Failure::new(crate::exit::NO_DAEMON, "the daemon ended"));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn wanted(event: &Section, args: &Log) -> bool {
    let group = event.text("group").unwrap_or_default();
    let level = event.number::<i8>("level").unwrap_or(0);
    (args.group.is_empty() || args.group.iter().any(|one| one.eq_ignore_ascii_case(group)))
        && args.level.is_none_or(|most| level <= most)
}

fn line(event: &Section) -> String {
    let quiet = Style::new().fg_color(Some(AnsiColor::Cyan.into()));
    let group = event.text("group").unwrap_or("???");
    let sa = match (
        event.text("ikesa-name"),
        event.text("ikesa-uniqued").or_else(|| event.text("ikesa-uniqueid")),
    ) {
        (Some(name), Some(id)) => format!(" {}[{}]", clean(name), clean(id)),
        _ => String::new(),
    };
    format!("{quiet}{}{quiet:#}{sa} {}", clean(group), clean(event.text("msg").unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Section {
        let mut event = Section::default();
        event
            .put("group", "IKE")
            .put("level", 1)
            .put("ikesa-name", "home")
            .put("ikesa-uniqued", 3)
            .put("msg", "hello");
        event
    }

    #[test]
    fn lines_say_where_and_what() {
        assert_eq!(anstream::adapter::strip_str(&line(&event())).to_string(), "IKE home[3] hello");
    }

    #[test]
    fn filters_by_group_and_level() {
        let args =
            |group: &[&str], level| Log { group: group.iter().map(|&g| g.to_owned()).collect(), level };
        assert!(wanted(&event(), &args(&[], None)));
        assert!(wanted(&event(), &args(&["ike", "net"], Some(1))));
        assert!(!wanted(&event(), &args(&["cfg"], None)));
        assert!(!wanted(&event(), &args(&[], Some(0))));
    }
}
