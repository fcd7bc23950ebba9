//! `--batch`: many orders, read before any of them is carried out.
use super::command::{Command, Order, read as read_order};
use super::{Trouble, input};
use crate::getopt::words_in;

/// Orders of a batch, at most.
const LIMIT: usize = 100_000;

/// An order and the line it stands in.
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) order: Order,
}

/// Reads a file, or standard input.
pub(super) fn read(file: &str) -> Result<Vec<Line>, Trouble> {
    let text = input::read(file).map_err(Trouble::Failed)?;
    parse(&text, file == "-").map_err(Trouble::Usage)
}

fn parse(text: &str, from_stdin: bool) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        let wrong = |mistake: &str| format!("line {number}: {mistake}; nothing was changed");
        let words = words_in(line).map_err(wrong)?;
        if words.is_empty() {
            continue;
        }
        let order = read_order(&words).map_err(|mistake| wrong(&mistake))?;
        match &order.command {
            Command::Batch(_) => return Err(wrong("a batch cannot contain another")),
            Command::Init => {
                return Err(wrong("--init cannot be taken back, so it is not for batches: run it before"));
            }
            Command::Help => return Err(wrong("--help is not for batches")),
            command if from_stdin && reads_stdin(command) => {
                return Err(wrong("standard input is the batch itself: give the addresses in a file"));
            }
            _ => lines.push(Line { number, order }),
        }
        if lines.len() > LIMIT {
            return Err(wrong(&format!("more than {LIMIT} lines: split the file")));
        }
    }
    if lines.is_empty() { Err("the batch is empty".to_owned()) } else { Ok(lines) }
}

fn reads_stdin(command: &Command) -> bool {
    use super::command::Addresses;
    matches!(command, Command::Add { addresses: Addresses::File(file), .. } if file == "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_orders() {
        let text = "\
--replace mypool --start 10.0.0.1 --end 10.0.0.254

# name servers
--del dns
  --add dns --server 10.1.0.1
--addattr banner --string \"welcome to the office\"
";
        let lines = parse(text, true).unwrap();
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 4, 5, 6]);
        let Command::AddAttribute(wanted) = &lines[3].order.command else { panic!() };
        assert_eq!(wanted.attribute.values, [b"welcome to the office"]);
    }

    #[test]
    fn a_mistake_names_its_line() {
        for (text, words) in [
            ("--status\n--nix\n", "line 2: unrecognized option '--nix'; nothing was changed"),
            ("--batch x", "line 1: a batch cannot contain another"),
            ("--init", "line 1: --init cannot be taken back"),
            ("--addattr banner --string \"open", "line 1: a quote is not closed"),
            ("--add x --addresses -", "line 1: standard input is the batch itself"),
            ("\n# nothing\n", "the batch is empty"),
        ] {
            let mistake = parse(text, true).map(|lines| lines.len()).unwrap_err();
            assert!(mistake.starts_with(words), "{mistake}");
        }
        assert!(parse("--add x --addresses -", false).is_ok());
    }
}
