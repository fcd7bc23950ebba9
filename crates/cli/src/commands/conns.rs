//! `cygnet conns`.
use super::{json, status::table, status::trimmed};
use crate::args::List;
use crate::exit::Failure;
use crate::out::{clean, put, say};
use crate::session::{collect, connect};
use config::tree::Section;
use std::process::ExitCode;
use vici::Message;

pub(super) fn run(uri: Option<&str>, args: &List) -> Result<ExitCode, Failure> {
    let events = collect(&mut connect(uri)?, "list-conns", Section::default(), "list-conn")?;
    if args.json {
        let all: Vec<_> = events.iter().map(json::of).collect();
        put!("{}", serde_json::to_string_pretty(&all).unwrap_or_default());
    } else if events.is_empty() {
        say!("no connections are loaded; 'cygnet load' reads the configuration");
    } else {
        say!("{}", render(&events));
    }
    Ok(ExitCode::SUCCESS)
}

fn render(events: &[Section]) -> String {
    let mut table =
        table(["CONNECTION", "VERSION", "LOCAL", "REMOTE", "CHILD", "MODE", "LOCAL NET", "REMOTE NET"]);
    for (name, conn) in events.iter().flat_map(|event| event.children()) {
        let head = [
            clean(name).into_owned(),
            conn.text("version").unwrap_or_default().to_owned(),
            end(conn, "local"),
            end(conn, "remote"),
        ];
        let children: Vec<_> = conn.child("children").map(|all| all.children().collect()).unwrap_or_default();
        if children.is_empty() {
            table.add_row(head.clone());
        }
        for (number, (name, child)) in children.into_iter().enumerate() {
            let mut row = if number == 0 { head.to_vec() } else { vec![String::new(); head.len()] };
            row.push(clean(name).into_owned());
            row.push(child.text("mode").unwrap_or_default().to_lowercase());
            row.push(clean(&child.items("local-ts").join("\n")).into_owned());
            row.push(clean(&child.items("remote-ts").join("\n")).into_owned());
            table.add_row(row);
        }
    }
    trimmed(&table)
}

/// Addresses, and for each round how it authenticates and as whom.
fn end(conn: &Section, side: &str) -> String {
    let mut lines = vec![conn.items(&format!("{side}_addrs")).join(", ")];
    for (_, round) in conn.children().filter(|(name, _)| name.starts_with(side)) {
        let how = round.text("eap-type").or_else(|| round.text("class")).unwrap_or("any");
        match round.text("id") {
            Some(id) => lines.push(format!("{id} ({how})")),
            None => lines.push(format!("({how})")),
        }
    }
    clean(&lines.join("\n")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_child() {
        let mut child = Section::default();
        child.put("mode", "TUNNEL").put_list("local-ts", ["dynamic"]).put_list("remote-ts", ["10.1.0.0/16"]);
        let mut children = Section::default();
        children.put_section("net", child);
        let mut auth = Section::default();
        auth.put("class", "pre-shared key").put("id", "carol@example.org");
        let mut conn = Section::default();
        conn.put("version", "IKEv2")
            .put_list("local_addrs", ["%any"])
            .put_list("remote_addrs", ["192.0.2.1"]);
        conn.put_section("local-1", auth).put_section("children", children);
        let mut event = Section::default();
        event.put_section("home", conn);
        let text = render(&[event]);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.contains("carol@example.org (pre-shared key)") && text.contains("10.1.0.0/16"));
    }
}
