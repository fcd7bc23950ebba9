//! Where lines end up.
use super::format::{Style, group};
use super::{Levels, Line};
use jiff::tz::TimeZone;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

/// A destination of log lines with its levels.
pub(crate) struct Sink {
    levels: Levels,
    kind: Kind,
}

enum Kind {
    Stream { out: Box<dyn Write + Send>, style: Style, flush_line: bool, zone: TimeZone },
    Syslog { socket: UnixDatagram, facility: u8, identifier: String, style: Style, map: Vec<(i8, u8)> },
    Journal { socket: UnixDatagram, identifier: String },
}

/// How long a line waits for syslog or the journal before it is lost.
const PATIENCE: Duration = Duration::from_millis(500);

/// syslog's severities (RFC 5424 6.2.1).
const LOG_NOTICE: u8 = 5;
const LOG_INFO: u8 = 6;

impl Sink {
    /// A file, or standard output and error by the names `stdout` and `stderr`.
    pub(crate) fn file(
        path: &str,
        append: bool,
        flush_line: bool,
        levels: Levels,
        style: Style,
    ) -> std::io::Result<Self> {
        let out: Box<dyn Write + Send> = match path {
            "stdout" => Box::new(std::io::stdout()),
            "stderr" => Box::new(std::io::stderr()),
            _ => {
                let file: File = if append {
                    OpenOptions::new().create(true).append(true).open(path)?
                } else {
                    OpenOptions::new().create(true).write(true).truncate(true).open(path)?
                };
                Box::new(BufWriter::new(file))
            }
        };
        Ok(Self { levels, kind: Kind::Stream { out, style, flush_line, zone: TimeZone::system() } })
    }

    /// The local syslog daemon; `map` gives severities for levels.
    pub(crate) fn syslog(
        facility: u8,
        identifier: String,
        levels: Levels,
        style: Style,
        map: Vec<(i8, u8)>,
    ) -> std::io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // The log thread may wait a little for a busy receiver; nobody else waits for the log thread.
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.connect("/dev/log")?;
        Ok(Self { levels, kind: Kind::Syslog { socket, facility, identifier, style, map } })
    }

    /// The systemd journal.
    pub(crate) fn journal(identifier: String, levels: Levels) -> std::io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // The log thread may wait a little for a busy receiver; nobody else waits for the log thread.
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.connect(Path::new("/run/systemd/journal/socket"))?;
        Ok(Self { levels, kind: Kind::Journal { socket, identifier } })
    }

    /// The levels.
    pub(crate) fn levels(&self) -> &Levels {
        &self.levels
    }

    /// Somebody wants to see every line at once.
    pub(crate) fn is_prompt(&self) -> bool {
        matches!(self.kind, Kind::Stream { flush_line: true, .. })
    }

    /// Writes a line if it is wanted. Errors are dropped: there is nowhere to report them.
    pub(crate) fn write(&mut self, line: &Line) {
        if !self.levels.wants(line.group, line.level) {
            return;
        }
        match &mut self.kind {
            Kind::Stream { out, style, flush_line, zone } => {
                let _lost = out.write_all(style.render(line, zone).as_bytes());
                if *flush_line {
                    let _lost = out.flush();
                }
            }
            Kind::Syslog { socket, facility, identifier, style, map } => {
                let severity = map
                    .iter()
                    .find(|(level, _)| *level == line.level)
                    .map_or(LOG_INFO, |(_, severity)| *severity);
                let stamp = jiff::fmt::strtime::format("%b %e %T", &line.time.to_zoned(TimeZone::system()))
                    .unwrap_or_default();
                for part in style.render(line, &TimeZone::UTC).lines() {
                    let message = format!(
                        "<{}>{stamp} {identifier}: {part}",
                        u16::from(*facility) * 8 + u16::from(severity)
                    );
                    let _lost = socket.send(message.as_bytes());
                }
            }
            Kind::Journal { socket, identifier } => {
                let _lost = socket.send(&journal_entry(line, identifier));
            }
        }
    }

    /// Hands buffered lines to the system.
    pub(crate) fn flush(&mut self) {
        match &mut self.kind {
            Kind::Stream { out, .. } => {
                let _lost = out.flush();
            }
            Kind::Syslog { .. } | Kind::Journal { .. } => {}
        }
    }
}

/// The journal's native protocol: `KEY=value` lines, values with line breaks by length.
fn journal_entry(line: &Line, identifier: &str) -> Vec<u8> {
    let mut entry = Vec::new();
    let mut field = |key: &str, value: &str| {
        entry.extend_from_slice(key.as_bytes());
        if value.contains('\n') {
            entry.push(b'\n');
            entry.extend_from_slice(&u64::try_from(value.len()).unwrap_or(u64::MAX).to_le_bytes());
        } else {
            entry.push(b'=');
        }
        entry.extend_from_slice(value.as_bytes());
        entry.push(b'\n');
    };
    let name = match &line.ike {
        Some((name, id)) if !name.is_empty() => format!("<{name}|{id}> "),
        Some((_, id)) => format!("<{id}> "),
        None => String::new(),
    };
    field("MESSAGE", &format!("{:02}[{}] {name}{}", line.thread, group(line.group), line.text));
    let priority = if line.level <= 0 { LOG_NOTICE } else { LOG_INFO };
    field("PRIORITY", &priority.to_string());
    field("SYSLOG_IDENTIFIER", identifier);
    field("LEVEL", &line.level.to_string());
    field("THREAD", &line.thread.to_string());
    field("GROUP", group(line.group));
    if let Some((name, id)) = &line.ike {
        field("IKE_SA_UNIQUE_ID", &id.to_string());
        if !name.is_empty() {
            field("IKE_SA_NAME", name);
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use ike::io::Group;

    #[test]
    fn a_journal_field_with_line_breaks_carries_its_length() {
        let line = Line {
            time: jiff::Timestamp::UNIX_EPOCH,
            thread: 1,
            group: Group::Net,
            level: 1,
            ike: Some(("a".into(), 2)),
            text: "x\ny".into(),
        };
        let entry = journal_entry(&line, "cygnetd");
        let message = b"01[NET] <a|2> x\ny";
        let mut expected = b"MESSAGE\n".to_vec();
        expected.extend_from_slice(&(message.len() as u64).to_le_bytes());
        expected.extend_from_slice(message);
        assert!(entry.starts_with(&expected));
        assert!(entry.ends_with(b"GROUP=NET\nIKE_SA_UNIQUE_ID=2\nIKE_SA_NAME=a\n"));
    }

    #[test]
    fn a_file_is_appended_or_truncated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let text = path.to_str().unwrap();
        let line = Line {
            time: jiff::Timestamp::UNIX_EPOCH,
            thread: 0,
            group: Group::Dmn,
            level: 1,
            ike: None,
            text: "hello".into(),
        };
        for (append, expected) in
            [(true, "00[DMN] hello\n"), (true, "00[DMN] hello\n00[DMN] hello\n"), (false, "00[DMN] hello\n")]
        {
            let mut sink = Sink::file(text, append, true, Levels::new(1), Style::default()).unwrap();
            sink.write(&line);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        }
    }
}
