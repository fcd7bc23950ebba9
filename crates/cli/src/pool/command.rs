//! From words to what is to be done.
use super::attributes::{self, Given, Wanted};
use super::filter::Filter;
use super::options::{OPERATIONS, OPTIONS, VALUES, takes};
use crate::getopt::{Parsed, parse};
use policy::Identity;
use std::net::IpAddr;

/// What is to be done, and how it is answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Order {
    pub(super) command: Command,
    pub(super) json: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    Help,
    Status,
    ShowAttributes,
    StatusAttributes {
        as_hex: bool,
    },
    Add {
        name: String,
        addresses: Addresses,
        /// Seconds.
        timeout: u64,
        replace: bool,
    },
    Delete(String),
    Resize {
        name: String,
        end: IpAddr,
    },
    Purge(String),
    Leases {
        filter: Box<Filter>,
        utc: bool,
    },
    AddAttribute(For),
    DeleteAttribute(For),
    /// A file, or - for standard input.
    Batch(String),
    Init,
    Fill(String),
}

/// Which addresses a pool is to have.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Addresses {
    Range(IpAddr, IpAddr),
    /// A file, or - for standard input.
    File(String),
}

/// An attribute, and who is to have it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct For {
    pub(super) attribute: Wanted,
    pub(super) pool: Option<String>,
    pub(super) identity: Option<Identity>,
}

impl For {
    /// `for pool 'x' and carol@example.org`, or nothing.
    pub(super) fn whom(&self) -> String {
        let pool = self.pool.as_ref().map(|name| format!(" for pool '{name}'")).unwrap_or_default();
        match &self.identity {
            Some(identity) => format!("{pool} and '{identity}'"),
            None => pool,
        }
    }
}

/// Reads a command line, the name of the program not among the words. An error says what would be right.
pub(super) fn read(words: &[String]) -> Result<Order, String> {
    let given = parse(words, OPTIONS, &[])?;
    let operations: Vec<&'static str> =
        given.given().iter().map(|(name, _)| *name).filter(|name| OPERATIONS.contains(name)).collect();
    if operations.contains(&"help") {
        return Ok(Order { command: Command::Help, json: false });
    }
    let mut operation = match operations[..] {
        [one] => one,
        [] => return Err(nothing_to_do(&given)),
        [first, second, ..] => return Err(format!("only one thing at a time: --{first} or --{second}")),
    };
    let name = given.value(operation).unwrap_or_default().trim().to_owned();
    let takes_name = OPTIONS.iter().any(|option| option.long == operation && option.value);
    if takes_name && name.is_empty() {
        return Err(format!("--{operation} needs a name"));
    }
    if attributes::is_reserved(&name) {
        operation = match operation {
            "add" => "addattr",
            "del" => "delattr",
            "replace" => {
                return Err(format!(
                    "'{name}' is an attribute, no pool, and is not replaced: use --delattr {name} and --addattr {name}"
                ));
            }
            "resize" | "purge" | "fill" => return Err(format!("'{name}' is an attribute, no pool")),
            other => other,
        };
    }
    only(operation, &given)?;
    let command = match operation {
        "status" => Command::Status,
        "showattr" => Command::ShowAttributes,
        "statusattr" => Command::StatusAttributes { as_hex: given.has("hexout") },
        "add" | "replace" => Command::Add {
            addresses: addresses(operation, &name, &given)?,
            timeout: given.value("timeout").map_or(Ok(0), timeout)?,
            replace: operation == "replace",
            name,
        },
        "del" => Command::Delete(name),
        "resize" => Command::Resize { end: address("end", need(operation, "end", &given)?)?, name },
        "purge" => Command::Purge(name),
        "leases" => Command::Leases { filter: Box::new(filter(&given)?), utc: given.has("utc") },
        "addattr" => Command::AddAttribute(attribute(&name, &given, true)?),
        "delattr" => Command::DeleteAttribute(attribute(&name, &given, false)?),
        "batch" => Command::Batch(name),
        "init" => Command::Init,
        _ => Command::Fill(name),
    };
    Ok(Order { command, json: given.has("json") })
}

fn nothing_to_do(given: &Parsed<'_>) -> String {
    match given.others() {
        [word, ..] if OPERATIONS.contains(word) => format!("write --{word} instead of {word}"),
        [word, ..] => format!("'{word}': say first what to do, such as --status or --add"),
        [] => "say what to do, such as --status or --add".to_owned(),
    }
}

/// No option that belongs to something else, no word that is no option.
fn only(operation: &str, given: &Parsed<'_>) -> Result<(), String> {
    let known = takes(operation);
    for (name, _) in given.given() {
        if !OPERATIONS.contains(name) && *name != "json" && !known.contains(name) {
            return Err(match known {
                [] => format!("--{operation} takes no --{name}"),
                known => format!("--{operation} takes no --{name}, only --{}", known.join(", --")),
            });
        }
    }
    match given.others() {
        [] => Ok(()),
        [_] if operation == "leases" => Ok(()),
        [word, ..] if operation == "leases" => {
            Err(format!("'{word}': leases of one pool or of all; --filter narrows further"))
        }
        [word, ..] => Err(format!("'{word}' belongs to no option")),
    }
}

fn need<'a>(operation: &str, option: &str, given: &Parsed<'a>) -> Result<&'a str, String> {
    given.value(option).ok_or_else(|| format!("--{operation} needs --{option}"))
}

fn address(option: &str, text: &str) -> Result<IpAddr, String> {
    text.trim().parse().map_err(|_| match text.split_once(['/', '-']) {
        Some((net, _)) if net.parse::<IpAddr>().is_ok() => {
            format!(
                "--{option} '{text}' is more than one address: give the first as --start, the last as --end"
            )
        }
        _ => format!("--{option} '{text}' is no IPv4 or IPv6 address"),
    })
}

fn addresses(operation: &str, name: &str, given: &Parsed<'_>) -> Result<Addresses, String> {
    match (given.value("start"), given.value("end"), given.value("addresses")) {
        (None, None, Some(file)) => Ok(Addresses::File(file.to_owned())),
        (Some(start), Some(end), None) => {
            let (start, end) = (address("start", start)?, address("end", end)?);
            if start.is_ipv4() != end.is_ipv4() {
                return Err(format!("{start} and {end} are not of one family"));
            }
            if start > end {
                return Err(format!(
                    "--start {start} is behind --end {end}: write the lower address as --start"
                ));
            }
            Ok(Addresses::Range(start, end))
        }
        (Some(start), None, None) => {
            address("start", start)?;
            Err(format!("--{operation} {name} needs --end, too"))
        }
        (None, Some(_), None) => Err(format!("--{operation} {name} needs --start, too")),
        (None, None, None) => {
            Err(format!("--{operation} {name} needs --start ADDRESS --end ADDRESS, or --addresses FILE"))
        }
        _ => Err("a pool is either a range (--start, --end) or single --addresses".to_owned()),
    }
}

/// Hours, or with a unit.
fn timeout(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let wrong = || format!("--timeout '{text}': a number of hours, or one with s, m, h or d; 0: forever");
    let (digits, unit) = match text.char_indices().next_back() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3_600),
        Some((at, 'd')) => (&text[..at], 86_400),
        _ => (text, 3_600),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let seconds = number.checked_mul(unit).filter(|seconds| u32::try_from(*seconds).is_ok());
    seconds.ok_or_else(|| format!("--timeout '{text}' is more than 136 years: 0 is forever"))
}

fn filter(given: &Parsed<'_>) -> Result<Filter, String> {
    let mut filter = Filter::read(given.value("filter").unwrap_or_default())?;
    if let [pool] = given.others() {
        if filter.pool.as_ref().is_some_and(|other| other != pool) {
            return Err(format!("leases of '{pool}' or of the pool in --filter, not both"));
        }
        filter.pool = Some((*pool).to_owned());
    }
    Ok(filter)
}

fn attribute(name: &str, given: &Parsed<'_>, needs_value: bool) -> Result<For, String> {
    let mut values = given.given().iter().filter(|(name, _)| VALUES.contains(name));
    let value =
        values.next().map(|(option, text)| Given { option, text: text.unwrap_or_default().to_owned() });
    if values.next().is_some() {
        return Err(format!("one value at a time: --{}", VALUES.join(" or --")));
    }
    let attribute = attributes::read(name, value.as_ref())?;
    if needs_value && attribute.values.is_empty() {
        let form = policy::attribute::find(name).map_or(policy::attribute::Form::Guess, |named| named.form());
        return Err(format!("attribute {name} needs a value: {}", attributes::options(form)));
    }
    let (pool, identity) = (given.value("pool"), given.value("identity"));
    if identity.is_some() && pool.is_none() {
        return Err("--identity needs --pool: which clients of which pool are meant".to_owned());
    }
    let identity = identity
        .map(|text| Identity::parse(text).map_err(|error| format!("--identity '{text}': {error}")))
        .transpose()?;
    if identity.as_ref().is_some_and(Identity::is_pattern) {
        return Err("--identity is one identity, no pattern; without it, all clients of the pool are meant"
            .to_owned());
    }
    Ok(For { attribute, pool: pool.map(str::to_owned), identity })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(line: &str) -> Result<Order, String> {
        read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn command(line: &str) -> Command {
        order(line).unwrap_or_else(|mistake| panic!("{line}: {mistake}")).command
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_operation() {
        let add = |replace, timeout| Command::Add {
            name: "big".into(),
            addresses: Addresses::Range(ip("10.3.0.1"), ip("10.3.3.232")),
            timeout,
            replace,
        };
        for (line, wanted) in [
            ("--status", Command::Status),
            ("--showattr", Command::ShowAttributes),
            ("--statusattr --hexout", Command::StatusAttributes { as_hex: true }),
            ("--add big --start 10.3.0.1 --end 10.3.3.232 --timeout 48", add(false, 172_800)),
            ("--add big --start 10.3.0.1 --end 10.3.3.232", add(false, 0)),
            ("--replace big --start=10.3.0.1 --end=10.3.3.232 --timeout 90m", add(true, 5_400)),
            ("--del big", Command::Delete("big".into())),
            ("--resize big --end fd00::9", Command::Resize { name: "big".into(), end: ip("fd00::9") }),
            ("--purge big", Command::Purge("big".into())),
            ("--batch -", Command::Batch("-".into())),
            ("--init", Command::Init),
            ("--fill big", Command::Fill("big".into())),
            ("--help", Command::Help),
            ("-h", Command::Help),
        ] {
            assert_eq!(command(line), wanted, "{line}");
        }
        let Command::Add { addresses, .. } = command("--add x --addresses -") else { panic!() };
        assert_eq!(addresses, Addresses::File("-".into()));
        let Command::Leases { filter, utc } = command("--leases big --filter status=online --utc") else {
            panic!()
        };
        assert_eq!((filter.pool.as_deref(), utc), (Some("big"), true));
        assert!(order("--status --json").unwrap().json);
    }

    #[test]
    fn attributes_also_by_add_and_del() {
        for line in
            ["--addattr dns --server 10.1.0.10", "--add dns --server 10.1.0.10", "--add DNS --addr 10.1.0.10"]
        {
            let Command::AddAttribute(wanted) = command(line) else { panic!("{line}") };
            assert_eq!((wanted.attribute.kinds, wanted.pool), (vec![3], None), "{line}");
        }
        let Command::DeleteAttribute(wanted) = command("--del nbns") else { panic!() };
        assert_eq!((wanted.attribute.kinds, wanted.attribute.values.len()), (vec![4, 11], 0));
        let line = "--addattr 25 --string x.org --pool big --identity carol@example.org";
        let Command::AddAttribute(wanted) = command(line) else { panic!() };
        assert_eq!(wanted.whom(), " for pool 'big' and 'carol@example.org'");
    }

    #[test]
    fn timeouts() {
        for (text, seconds) in
            [("0", 0), ("1", 3_600), ("30s", 30), ("5m", 300), ("2h", 7_200), ("7d", 604_800)]
        {
            assert_eq!(timeout(text), Ok(seconds), "{text}");
        }
        for text in ["", "x", "-1", "1.5", "5w", "h", "5000000000s", "99999999999999999999d"] {
            assert!(timeout(text).is_err(), "{text}");
        }
    }

    #[test]
    fn mistakes_say_what_would_be_right() {
        for (line, words) in [
            ("", "say what to do, such as --status"),
            ("status", "write --status instead of status"),
            ("big --start 10.3.0.1", "'big': say first what to do"),
            ("--add big --start 10.3.0.0/24", "the first as --start, the last as --end"),
            ("--frobnicate", "unrecognized option '--frobnicate'"),
            ("--status --leases", "--status or --leases"),
            ("--add", "requires an argument"),
            ("--add big", "needs --start ADDRESS --end ADDRESS, or --addresses FILE"),
            ("--add big --start 10.3.0.1", "needs --end"),
            ("--add big --end 10.3.0.1", "needs --start"),
            ("--add big --start 10.3.0.9 --end 10.3.0.1", "behind"),
            ("--add big --start 10.3.0.9 --end fd00::1", "not of one family"),
            ("--add big --start ten --end fd00::1", "--start 'ten' is no IPv4 or IPv6 address"),
            ("--add big --start 10.3.0.1 --end 10.3.0.9 --addresses -", "either a range"),
            ("--add big --start 10.3.0.1 --end 10.3.0.9 --timeout soon", "a number of hours"),
            ("--add big --server 10.3.0.1", "takes no --server"),
            ("--replace dns --server 10.1.0.1", "use --delattr dns and --addattr dns"),
            ("--purge dns", "is an attribute, no pool"),
            ("--resize big", "needs --end"),
            ("--status --utc", "takes no --utc"),
            ("--status big", "'big' belongs to no option"),
            ("--leases a b", "leases of one pool or of all"),
            ("--leases a --filter pool=b", "not both"),
            ("--leases --filter status=gone", "online, valid or expired"),
            ("--addattr dns", "needs a value: --addr, --mask, --server or --hex"),
            ("--addattr 99", "needs a value: --addr, --mask, --server, --subnet, --string or --hex"),
            ("--addattr dns --server 10.1.0.1 --addr 10.1.0.2", "one value at a time"),
            ("--addattr dns --server 10.1.0.1 --identity carol", "--identity needs --pool"),
            ("--addattr dns --server 10.1.0.1 --identity % --pool x --start 1", "takes no --start"),
            ("--addattr dns --server 10.1.0.1 --identity *@example.org --pool x", "no pattern"),
            ("--addattr dns --start 10.1.0.1", "takes no --start"),
        ] {
            let mistake = order(line).map(|order| order.command).unwrap_err();
            assert!(mistake.contains(words), "{line}: {mistake}");
        }
    }
}
