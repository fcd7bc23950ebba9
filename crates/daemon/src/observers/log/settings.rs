//! From the logger sections of `strongswan.conf` to sinks.
use super::Levels;
use super::format::{Precision, Style};
use super::sink::Sink;
use crate::conf::{Conf, word};
use config::tree::Section;
use std::path::Path;

/// How loggers came out, for the log itself.
pub(crate) struct Opened {
    pub(crate) sinks: Vec<Sink>,
    /// What could not be opened or understood.
    pub(crate) complaints: Vec<String>,
}

/// What the command line says about logging.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    /// `--debug-<group> n`, in order.
    pub(crate) levels: Vec<(String, i8)>,
    /// `--use-syslog`: syslog as well as standard error.
    pub(crate) use_syslog: bool,
}

/// Opens all sinks. Files are truncated unless `append` or `reopen` says otherwise.
pub(crate) fn sinks(conf: &Conf, origin: &Origin, reopen: bool) -> Opened {
    let mut opened = Opened { sinks: Vec::new(), complaints: Vec::new() };
    for (name, section) in conf.below(&["filelog"]).into_iter().flat_map(Section::sections) {
        // The older form has the path as the section's name.
        let path = text(section, "path").unwrap_or(name);
        let append = reopen || flag(section, "append", true);
        let flush_line = flag(section, "flush_line", false);
        let levels = levels(section, &format!("filelog.{name}"), &mut opened.complaints);
        match Sink::file(path, append, flush_line, levels, style(section)) {
            Ok(sink) => opened.sinks.push(sink),
            Err(e) => opened.complaints.push(format!("opening file {path} for logging failed: {e}")),
        }
    }
    let identifier = conf.text("syslog.identifier").unwrap_or("charon").to_owned();
    for (name, section) in conf.below(&["syslog"]).into_iter().flat_map(Section::sections) {
        let Some(facility) = facility(name) else {
            opened.complaints.push(format!("unknown syslog facility '{name}'"));
            continue;
        };
        let levels = levels(section, &format!("syslog.{name}"), &mut opened.complaints);
        let map = level_map(text(section, "map_level").unwrap_or_default());
        let style = Style { time_format: None, ..style(section) };
        match Sink::syslog(facility, identifier.clone(), levels, style, map) {
            Ok(sink) => opened.sinks.push(sink),
            Err(e) => opened.complaints.push(format!("opening syslog failed: {e}")),
        }
    }
    // charon-systemd writes to the journal unless told otherwise.
    let journal = conf.below(&["journal"]);
    if journal.is_some() || (opened.sinks.is_empty() && Path::new("/run/systemd/journal/socket").exists()) {
        let none = Section::default();
        let levels = levels(journal.unwrap_or(&none), "journal", &mut opened.complaints);
        match Sink::journal("cygnetd".into(), levels) {
            Ok(sink) => opened.sinks.push(sink),
            Err(e) => opened.complaints.push(format!("opening the journal failed: {e}")),
        }
    }
    if opened.sinks.is_empty() || !origin.levels.is_empty() {
        stderr(origin, &mut opened);
    }
    if origin.use_syslog {
        match Sink::syslog(LOG_DAEMON, identifier, origin_levels(origin), Style::default(), Vec::new()) {
            Ok(sink) => opened.sinks.push(sink),
            Err(e) => opened.complaints.push(format!("opening syslog failed: {e}")),
        }
    }
    opened
}

/// syslog's facility for daemons (RFC 5424 6.2.1).
const LOG_DAEMON: u8 = 3;

fn text<'a>(section: &'a Section, key: &str) -> Option<&'a str> {
    section.value(key)?.as_text()
}

fn flag(section: &Section, key: &str, default: bool) -> bool {
    text(section, key).and_then(word).unwrap_or(default)
}

fn stderr(origin: &Origin, opened: &mut Opened) {
    let style = Style { ike_name: true, ..Style::default() };
    match Sink::file("stderr", true, true, origin_levels(origin), style) {
        Ok(sink) => opened.sinks.push(sink),
        Err(e) => opened.complaints.push(format!("standard error: {e}")),
    }
}

fn origin_levels(origin: &Origin) -> Levels {
    let mut levels = Levels::new(1);
    for (group, level) in &origin.levels {
        levels.set(group, *level);
    }
    levels
}

fn levels(section: &Section, base: &str, complaints: &mut Vec<String>) -> Levels {
    const OPTIONS: [&str; 10] = [
        "path",
        "append",
        "flush_line",
        "ike_name",
        "json",
        "log_level",
        "time_format",
        "time_precision",
        "map_level",
        "default",
    ];
    let default = text(section, "default").and_then(|level| level.trim().parse().ok());
    let mut levels = Levels::new(default.unwrap_or(1));
    for (key, value) in section.values() {
        if OPTIONS.contains(&key) {
            continue;
        }
        let text = value.as_text().unwrap_or_default();
        match text.trim().parse() {
            Ok(level) if levels.set(key, level) => {}
            Ok(_) => complaints.push(format!("{base}: there is no log group '{key}'")),
            Err(_) => complaints.push(format!("{base}.{key}: '{text}' is no log level")),
        }
    }
    levels
}

fn style(section: &Section) -> Style {
    Style {
        time_format: text(section, "time_format").map(str::to_owned),
        precision: match text(section, "time_precision") {
            Some("ms") => Precision::Milli,
            Some("us") => Precision::Micro,
            _ => Precision::Second,
        },
        ike_name: flag(section, "ike_name", false),
        log_level: flag(section, "log_level", false),
        json: flag(section, "json", false),
    }
}

/// syslog's facilities (RFC 5424 6.2.1).
fn facility(name: &str) -> Option<u8> {
    const NAMES: [(&str, u8); 14] = [
        ("user", 1),
        ("mail", 2),
        ("daemon", 3),
        ("auth", 4),
        ("news", 7),
        ("authpriv", 10),
        ("local0", 16),
        ("local1", 17),
        ("local2", 18),
        ("local3", 19),
        ("local4", 20),
        ("local5", 21),
        ("local6", 22),
        ("local7", 23),
    ];
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// `map_level`: pairs of our level and syslog's severity, `0:5 1:6`.
fn level_map(text: &str) -> Vec<(i8, u8)> {
    text.split([',', ' '])
        .filter_map(|pair| {
            let (level, severity) = pair.split_once(':')?;
            let severity: u8 = severity.trim().parse().ok()?;
            Some((level.trim().parse().ok()?, severity.min(7)))
        })
        .collect()
}
