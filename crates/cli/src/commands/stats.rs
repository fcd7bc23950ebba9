//! `cygnet stats`, `cygnet version`.
use super::json;
use crate::args::List;
use crate::exit::Failure;
use crate::out::{clean, put, say};
use crate::session::connect;
use config::tree::Section;
use std::process::ExitCode;
use vici::Message;

pub(super) fn stats(uri: Option<&str>, args: &List) -> Result<ExitCode, Failure> {
    let answer = connect(uri)?.request("stats", Section::default())?;
    if args.json {
        put!("{}", serde_json::to_string_pretty(&json::of(&answer)).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    let at = |path: &[&str]| {
        let (last, sections) = path.split_last()?;
        let section = sections.iter().try_fold(&answer, |section, name| section.child(name))?;
        section.text(last).map(|text| clean(text).into_owned())
    };
    for (label, value) in [
        ("running", at(&["uptime", "running"])),
        ("since", at(&["uptime", "since"])),
        ("IKE_SAs", at(&["ikesas", "total"])),
        ("half-open", at(&["ikesas", "half-open"])),
        ("scheduled", at(&["scheduled"])),
    ] {
        if let Some(value) = value {
            say!("{label:<10} {value}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn version(uri: Option<&str>, args: &List) -> Result<ExitCode, Failure> {
    let ours = env!("CARGO_PKG_VERSION");
    let daemon = connect(uri).and_then(|mut client| Ok(client.request("version", Section::default())?));
    if args.json {
        let daemon = daemon.as_ref().map_or(serde_json::Value::Null, json::of);
        put!("{}", serde_json::json!({"schema": "cygnet.version/1", "cygnet": ours, "daemon": daemon}));
        return Ok(ExitCode::SUCCESS);
    }
    say!("cygnet {ours}");
    match daemon {
        Ok(answer) => {
            let part = |key| clean(answer.text(key).unwrap_or("?")).into_owned();
            say!(
                "{} {} ({}, {}, {})",
                part("daemon"),
                part("version"),
                part("sysname"),
                part("release"),
                part("machine")
            );
        }
        // The version of the tool is an answer too.
        Err(failure) => say!("daemon: {}", failure.message()),
    }
    Ok(ExitCode::SUCCESS)
}
