//! `cygnet status`.
use crate::args;
use crate::exit::Failure;
use crate::out::{clean, count, duration, put, say, size};
use crate::session::{collect, connect};
use crate::view::{self, ChildSa, End, IkeSa, Status, Traffic};
use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets};
use config::tree::Section;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;
use vici::{Client, Message};

pub(super) fn run(uri: Option<&str>, args: &args::Status) -> Result<ExitCode, Failure> {
    let mut client = connect(uri)?;
    let Some(seconds) = args.watch else {
        let sas = fetch(&mut client, args.name.as_deref())?;
        if args.json {
            put!("{}", serde_json::to_string_pretty(&Status::new(sas)).unwrap_or_default());
        } else {
            say!("{}", render(&sas));
        }
        return Ok(ExitCode::SUCCESS);
    };
    loop {
        let sas = fetch(&mut client, args.name.as_deref())?;
        if args.json {
            put!("{}", serde_json::to_string(&Status::new(sas)).unwrap_or_default());
        } else {
            if !cfg!(test) && std::io::stdout().is_terminal() {
                // Home, and clear what is below.
                put!("\u{1b}[H\u{1b}[J");
            }
            say!("every {seconds}s, Ctrl-C ends\n\n{}", render(&sas));
        }
        std::thread::sleep(Duration::from_secs(seconds.max(1)));
    }
}

/// Asks the daemon.
pub(crate) fn fetch(client: &mut Client, name: Option<&str>) -> Result<Vec<IkeSa>, Failure> {
    let mut message = Section::default();
    if let Some(name) = name {
        message.put("ike", name);
    }
    Ok(view::ike_sas(&collect(client, "list-sas", message, "list-sa")?))
}

/// What is up, for the terminal there is.
pub(crate) fn render(sas: &[IkeSa]) -> String {
    // Only where a person looks is there a width to fit; a pipe gets whole lines.
    let width = Table::new().width().filter(|_| !cfg!(test) && std::io::stdout().is_terminal());
    render_within(sas, width)
}

/// The two tables, IKE_SAs and CHILD_SAs; where they are too wide, a few lines for each.
fn render_within(sas: &[IkeSa], width: Option<u16>) -> String {
    if sas.is_empty() {
        return "nothing is up; 'cygnet conns' shows what could be".to_owned();
    }
    let tables = tables(sas);
    let widest = anstream::adapter::strip_str(&tables).to_string().lines().map(|l| l.chars().count()).max();
    match width {
        Some(width) if widest > Some(usize::from(width)) => blocks(sas),
        _ => tables,
    }
}

fn blocks(sas: &[IkeSa]) -> String {
    let mut lines = Vec::new();
    for sa in sas {
        lines.push(headline(
            "",
            &format!("{}[{}]", sa.connection, sa.id),
            &sa.state,
            sa.established_seconds,
            sa.rekey_seconds,
        ));
        for (side, end) in [("local", &sa.local), ("remote", &sa.remote)] {
            lines.push(format!("  {side:<7} {}", self::end(end).replace('\n', "  ")));
            if !end.virtual_ips.is_empty() {
                lines.push(format!("          {}", clean(&end.virtual_ips.join(" "))));
            }
        }
        lines.extend(sa.algorithms.iter().map(|used| format!("  with    {used}")));
        if sa.child_sas.is_empty() {
            lines.push("  no CHILD_SA is up, so no traffic is protected".to_owned());
        }
        for child in &sa.child_sas {
            let name = format!("{}{{{}}}", child.name, child.id);
            lines.push(headline("  ", &name, &child.state, child.installed_seconds, child.rekey_seconds));
            for (label, text) in [
                ("local", clean(&child.local_ts.join(" ")).into_owned()),
                ("remote", clean(&child.remote_ts.join(" ")).into_owned()),
                ("in", traffic(&child.inbound).replace('\n', ", ")),
                ("out", traffic(&child.outbound).replace('\n', ", ")),
                ("with", how(child).replace('\n', ", ")),
            ] {
                lines.push(format!("    {label:<7} {text}"));
            }
        }
        lines.push(String::new());
    }
    lines.join("\n").trim_end().to_owned()
}

fn headline(indent: &str, name: &str, state: &str, up: Option<u64>, rekey: Option<u64>) -> String {
    let head = Style::new().bold();
    let mut text = format!("{indent}{head}{}{head:#}  {}", clean(name), clean(state).to_lowercase());
    if let Some(up) = up {
        text.push_str(&format!("  up {}", duration(up)));
    }
    if let Some(rekey) = rekey {
        text.push_str(&format!("  rekey in {}", duration(rekey)));
    }
    text
}

fn tables(sas: &[IkeSa]) -> String {
    let mut ike =
        table(["IKE_SA", "STATE", "UP", "LOCAL", "REMOTE", "VIRTUAL IPS", "ALGORITHMS", "REKEY IN"]);
    let mut child =
        table(["CHILD_SA", "STATE", "UP", "LOCAL NET", "REMOTE NET", "IN", "OUT", "ALGORITHMS", "REKEY IN"]);
    for sa in sas {
        ike.add_row(ike_row(sa));
        for one in &sa.child_sas {
            child.add_row(child_row(sa, one));
        }
    }
    let mut text = paint(&trimmed(&ike));
    text.push('\n');
    if child.row_iter().next().is_some() {
        text.push('\n');
        text.push_str(&paint(&trimmed(&child)));
    } else {
        text.push_str("\nno CHILD_SA is up, so no traffic is protected");
    }
    text.trim_end().to_owned()
}

pub(super) fn table<const N: usize>(head: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    table
}

/// The table without the blanks at line ends and the one before the first column.
pub(super) fn trimmed(table: &Table) -> String {
    let lines: Vec<String> = table
        .to_string()
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned())
        .collect();
    lines.join("\n")
}

/// Colours for what a reader looks for first.
fn paint(text: &str) -> String {
    let head = Style::new().bold();
    let good = Style::new().fg_color(Some(AnsiColor::Green.into()));
    let busy = Style::new().fg_color(Some(AnsiColor::Yellow.into()));
    let mut out = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if number == 0 {
            out.push(format!("{head}{line}{head:#}"));
            continue;
        }
        let mut line = line.to_owned();
        for (word, style) in [
            (" established ", good),
            (" installed ", good),
            (" connecting ", busy),
            (" rekeying ", busy),
            (" deleting ", busy),
            (" rekeyed ", busy),
        ] {
            if let Some(place) = line.find(word) {
                let inner = word.trim();
                line.replace_range(place + 1..place + 1 + inner.len(), &format!("{style}{inner}{style:#}"));
            }
        }
        out.push(line);
    }
    out.join("\n")
}

fn ike_row(sa: &IkeSa) -> Vec<String> {
    let vips: Vec<&str> =
        sa.local.virtual_ips.iter().chain(&sa.remote.virtual_ips).map(String::as_str).collect();
    let mut rekey = sa.rekey_seconds.map(duration).unwrap_or_default();
    if let Some(reauth) = sa.reauth_seconds {
        rekey.push_str(&format!("\nreauth {}", duration(reauth)));
    }
    vec![
        clean(&format!("{}[{}]", sa.connection, sa.id)).into_owned(),
        clean(&sa.state).to_lowercase(),
        sa.established_seconds.map(duration).unwrap_or_default(),
        end(&sa.local),
        end(&sa.remote),
        clean(&vips.join("\n")).into_owned(),
        // One below the other, for the column to stay narrow.
        sa.algorithms.as_ref().map(|used| used.to_string().replace('/', "\n")).unwrap_or_default(),
        rekey,
    ]
}

fn end(end: &End) -> String {
    let mut text = match &end.id {
        Some(id) => format!("{}\n{}", clean(id), clean(&end.address)),
        None => clean(&end.address).into_owned(),
    };
    if let Some(port) = end.port {
        text.push_str(&format!("[{port}]"));
    }
    if end.behind_nat {
        text.push_str(" NAT");
    }
    for (kind, id) in [("EAP", &end.eap_id), ("XAuth", &end.xauth_id)] {
        if let Some(id) = id {
            text.push_str(&format!("\n{kind} {}", clean(id)));
        }
    }
    text
}

fn child_row(sa: &IkeSa, child: &ChildSa) -> Vec<String> {
    vec![
        clean(&format!("{}{{{}}}\n of {}[{}]", child.name, child.id, sa.connection, sa.id)).into_owned(),
        clean(&child.state).to_lowercase(),
        child.installed_seconds.map(duration).unwrap_or_default(),
        clean(&child.local_ts.join("\n")).into_owned(),
        clean(&child.remote_ts.join("\n")).into_owned(),
        traffic(&child.inbound),
        traffic(&child.outbound),
        how(child),
        child.rekey_seconds.map(duration).unwrap_or_default(),
    ]
}

/// Protocol and algorithms, and below them the mode.
fn how(child: &ChildSa) -> String {
    let algorithms = child.algorithms.as_ref().map(ToString::to_string).unwrap_or_default();
    let protocol = child.protocol.as_deref().unwrap_or_default();
    let mode = child.mode.to_lowercase();
    let udp = if child.udp_encapsulation { " in UDP" } else { "" };
    clean(format!("{protocol} {algorithms}\n{mode}{udp}").trim_start()).into_owned()
}

fn traffic(traffic: &Traffic) -> String {
    format!("{}\n{} pkts", size(traffic.bytes), count(traffic.packets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_a_road_warrior() {
        let sas = view::ike_sas(&[view::tests::sample()]);
        let text = anstream::adapter::strip_str(&render(&sas)).to_string();
        assert_eq!(text, include_str!("status/table.txt").trim_end());
    }

    #[test]
    fn a_narrow_terminal_gets_lines_instead() {
        let sas = view::ike_sas(&[view::tests::sample()]);
        let text = anstream::adapter::strip_str(&render_within(&sas, Some(80))).to_string();
        assert_eq!(text, include_str!("status/narrow.txt").trim_end());
        assert!(render_within(&sas, Some(200)).contains("VIRTUAL IPS"));
    }

    #[test]
    fn nothing_up_and_nothing_protected_say_so() {
        assert!(render(&[]).contains("nothing is up"));
        let mut sas = view::ike_sas(&[view::tests::sample()]);
        sas[0].child_sas.clear();
        assert!(render(&sas).contains("no CHILD_SA is up"));
    }

    #[test]
    fn what_a_peer_calls_itself_cannot_steer_the_terminal() {
        let mut sas = view::ike_sas(&[view::tests::sample()]);
        sas[0].remote.id = Some("evil\u{1b}[2J".into());
        assert!(!anstream::adapter::strip_str(&render(&sas)).to_string().contains('\u{1b}'));
        assert!(render(&sas).contains("evil\u{fffd}[2J"));
    }
}
