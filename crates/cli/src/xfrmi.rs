//! strongSwan's `xfrmi`: makes and lists XFRM interfaces.
//!
//! Called as `xfrmi` (through a link) or as `cygnet xfrmi`. What it prints is what strongSwan's tool prints, seen from
//! version 5.9.8; an MTU, JSON and an interface without a device below it are ours.
use crate::getopt::{self, Opt, Parsed, flag, value};
use crate::out::{clean, complain, put};
use config::schema::values;
use linux::netlink::{LinkKind, Netlink};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::process::ExitCode;

const OPTIONS: &[Opt] = &[
    flag("help", 'h', "print this help."),
    value("debug", 'v', "taken for strongSwan's sake, without effect."),
    flag("list", 'l', "list XFRM interfaces."),
    value("name", 'n', "name of the XFRM interface."),
    value("id", 'i', "numeric XFRM ID, not 0."),
    value("dev", 'd', "underlying interface; it can do without."),
    value("mtu", 'm', "MTU of the XFRM interface, in bytes."),
    flag("json", 'j', "answer in JSON."),
];

/// An XFRM interface.
#[derive(Debug, PartialEq, Eq)]
struct Interface {
    index: u32,
    name: String,
    device: Option<String>,
    if_id: u32,
    mtu: u32,
    up: bool,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
enum Order {
    Help,
    List,
    Add { name: String, if_id: u32, device: Option<String>, mtu: Option<u32> },
}

/// Runs xfrmi with these arguments (its name not among them).
pub(crate) fn main(words: Vec<OsString>) -> ExitCode {
    let words: Vec<String> = words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain!("{}", clean(&why));
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<(), String> {
    let misused = |mistake: String| format!("xfrmi: {mistake}\n{}", help());
    let parsed = getopt::parse(words, OPTIONS, &[]).map_err(misused)?;
    if let Some(other) = parsed.others().first() {
        return Err(misused(format!("unexpected '{other}'")));
    }
    let json = parsed.has("json");
    match order(&parsed)? {
        Order::Help => put!("{}", help()),
        Order::List => {
            let all = list().map_err(|e| e.to_string())?;
            if json { put!("{:#}", document(&all)) } else { put!("{}", clean(&table(&all))) }
        }
        Order::Add { name, if_id, device, mtu } => {
            let made = add(&name, if_id, device.as_deref(), mtu)?;
            if json {
                put!("{:#}", document(&[made]));
            }
        }
    }
    Ok(())
}

fn order(parsed: &Parsed<'_>) -> Result<Order, String> {
    if parsed.has("help") {
        return Ok(Order::Help);
    }
    if parsed.has("list") {
        return Ok(Order::List);
    }
    let name = parsed.value("name").filter(|name| !name.is_empty());
    let name =
        name.ok_or_else(|| format!("please specify a name (--name) or --list\n{}", help()))?.to_owned();
    if name.len() > 15 {
        return Err(format!("'{name}' is too long for the name of an interface: 15 characters at most"));
    }
    let if_id = match parsed.value("id") {
        Some(text) => number("id", text)?,
        None => {
            return Err(format!(
                "please specify the XFRM ID of {name} (--id), as if_id_in and if_id_out have it"
            ));
        }
    };
    if if_id == 0 {
        return Err("an XFRM ID of 0 means none: please specify another (--id)".to_owned());
    }
    let mtu = parsed.value("mtu").map(|text| number("mtu", text)).transpose()?;
    Ok(Order::Add { name, if_id, device: parsed.value("dev").map(str::to_owned), mtu })
}

/// Decimal, or hexadecimal after 0x.
fn number(option: &str, text: &str) -> Result<u32, String> {
    values::number(text)
        .map_err(|_| format!("--{option} takes a number up to 4294967295, like 42 or 0x2a, not '{text}'"))
}

fn list() -> linux::Result<Vec<Interface>> {
    let links = Netlink::open()?.links()?;
    let name = |index: u32| {
        // It may be in another namespace.
        let found = links.iter().find(|link| link.index == index).map(|link| link.name.clone());
        found.unwrap_or_else(|| format!("if{index}"))
    };
    let mut all = Vec::new();
    for link in &links {
        let Some(LinkKind::Xfrm { if_id }) = link.kind else { continue };
        let device = link.device.filter(|device| *device != link.index).map(name);
        all.push(Interface {
            index: link.index,
            name: link.name.clone(),
            device,
            if_id,
            mtu: link.mtu,
            up: link.up,
        });
    }
    Ok(all)
}

fn add(name: &str, if_id: u32, device: Option<&str>, mtu: Option<u32>) -> Result<Interface, String> {
    let plain = |e: linux::Error| e.to_string();
    for other in list().map_err(plain)? {
        if other.name == name || other.if_id == if_id {
            return Err(format!(
                "XFRM interface already exists: {} has XFRM ID {:#x} [{}]",
                other.name, other.if_id, other.if_id
            ));
        }
    }
    let mut netlink = Netlink::open().map_err(plain)?;
    let device = match device {
        Some(device) => {
            Some(netlink.link_index(device).map_err(|_| format!("physical interface {device} not found"))?)
        }
        None => None,
    };
    let refused = |e: linux::Error| format!("failed to create XFRM interface: {e}");
    netlink.add_tunnel(name, &LinkKind::Xfrm { if_id }, device, mtu).map_err(refused)?;
    let made = list().map_err(plain)?.into_iter().find(|one| one.name == name);
    made.ok_or_else(|| format!("XFRM interface {name} was created and is gone again"))
}

/// As strongSwan's tool lays it out.
fn table(all: &[Interface]) -> String {
    let lines: Vec<String> = all
        .iter()
        .map(|one| {
            let device = one.device.as_deref().unwrap_or_default();
            format!(
                "{:2}: {:<16} dev {device:<8} if_id 0x{:08x} [{}]",
                one.index, one.name, one.if_id, one.if_id
            )
        })
        .collect();
    lines.join("\n")
}

/// `{"schema": "cygnet.xfrmi/1", …}`; fields are only ever added.
fn document(all: &[Interface]) -> Value {
    let one = |one: &Interface| {
        json!({
            "index": one.index,
            "name": one.name,
            "device": one.device,
            "if_id": one.if_id,
            "mtu": one.mtu,
            "up": one.up,
        })
    };
    json!({ "schema": "cygnet.xfrmi/1", "interfaces": all.iter().map(one).collect::<Vec<_>>() })
}

fn help() -> String {
    let mut text = "Create XFRM interfaces\n\nxfrmi [OPTIONS]\n\nOptions:\n".to_owned();
    for option in OPTIONS {
        let kind = match option.long {
            _ if !option.value => "",
            "name" => "=NAME",
            "dev" => "=DEVICE",
            "id" => "=ID",
            _ => "=NUMBER",
        };
        let long = format!("{}{kind}", option.long);
        let _ = writeln!(text, "  -{}, --{long:<14} {}", option.short, option.about);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(words: &str) -> Result<Order, String> {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        order(&getopt::parse(&words, OPTIONS, &[]).unwrap())
    }

    #[test]
    fn orders() {
        let add = Order::Add {
            name: "ipsec0".to_owned(),
            if_id: 42,
            device: Some("eth0".to_owned()),
            mtu: Some(1400),
        };
        assert_eq!(ordered("--name ipsec0 --id 0x2a --dev eth0 --mtu 1400"), Ok(add));
        let bare = Order::Add { name: "ipsec0".to_owned(), if_id: 42, device: None, mtu: None };
        assert_eq!(ordered("-n ipsec0 -i42"), Ok(bare));
        assert_eq!(ordered("--li"), Ok(Order::List));
        for (words, why) in [
            ("", "please specify a name"),
            ("-n ipsec0", "--id"),
            ("-n ipsec0 -i 0", "0 means none"),
            ("-n ipsec0 -i -1", "not '-1'"),
            ("-n ipsec0 -i 4294967296", "up to 4294967295"),
            ("-n ipsec0 -i 1 -m x", "--mtu takes a number"),
            ("-n sixteen-letters1 -i 1", "15 characters"),
        ] {
            let said = ordered(words).unwrap_err();
            assert!(said.contains(why), "{words}: {said}");
        }
    }

    #[test]
    fn a_list_is_laid_out_as_strongswans() {
        let interface = |device: Option<&str>| Interface {
            index: 4,
            name: "ipsec0".to_owned(),
            device: device.map(str::to_owned),
            if_id: 42,
            mtu: 1500,
            up: true,
        };
        let lines = table(&[interface(Some("eth9")), interface(None)]);
        let wanted = " 4: ipsec0           dev eth9     if_id 0x0000002a [42]\n 4: ipsec0           dev          if_id 0x0000002a [42]";
        assert_eq!(lines, wanted);
        assert_eq!(document(&[interface(None)])["interfaces"][0]["if_id"], 42);
    }
}
