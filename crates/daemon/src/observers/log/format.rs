//! How a line looks: charon's way.
use super::Line;
use ike::io::Group;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt::Write;

/// The three letters of a group.
pub(crate) const fn group(group: Group) -> &'static str {
    match group {
        Group::App => "APP",
        Group::Asn => "ASN",
        Group::Cfg => "CFG",
        Group::Chd => "CHD",
        Group::Dmn => "DMN",
        Group::Enc => "ENC",
        Group::Esp => "ESP",
        Group::Ike => "IKE",
        Group::Job => "JOB",
        Group::Knl => "KNL",
        Group::Lib => "LIB",
        Group::Mgr => "MGR",
        Group::Net => "NET",
        Group::Tls => "TLS",
    }
}

/// Digits after the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Precision {
    #[default]
    Second,
    Milli,
    Micro,
}

/// What a sink prints besides the text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Style {
    /// `strftime` format; none prints no time.
    pub(crate) time_format: Option<String>,
    pub(crate) precision: Precision,
    /// Print `<name|id>` of the IKE_SA.
    pub(crate) ike_name: bool,
    /// Print the level after the group.
    pub(crate) log_level: bool,
    /// One JSON object per line.
    pub(crate) json: bool,
}

impl Style {
    /// The line with everything before the text; several lines where the text has several.
    pub(crate) fn render(&self, line: &Line, zone: &TimeZone) -> String {
        if self.json {
            return self.render_json(line, zone);
        }
        let mut out = String::with_capacity(line.text.len() + 48);
        for part in line.text.split('\n') {
            if let Some(format) = &self.time_format {
                out.push_str(&time(line.time, format, self.precision, zone));
                out.push(' ');
            }
            // Writing to a String cannot fail.
            let _never = write!(out, "{:02}[{}", line.thread, group(line.group));
            if self.log_level {
                let _never = write!(out, "{}", line.level);
            }
            out.push_str("] ");
            if self.ike_name
                && let Some((name, id)) = &line.ike
            {
                let _never =
                    if name.is_empty() { write!(out, "<{id}> ") } else { write!(out, "<{name}|{id}> ") };
            }
            printable(part, &mut out);
            out.push('\n');
        }
        out
    }

    fn render_json(&self, line: &Line, zone: &TimeZone) -> String {
        let mut out = String::from("{");
        if let Some(format) = &self.time_format {
            field(&mut out, "time", &time(line.time, format, self.precision, zone));
        }
        let _never = write!(out, "\"thread\":{},", line.thread);
        field(&mut out, "group", group(line.group));
        let _never = write!(out, "\"level\":{},", line.level);
        if let Some((name, id)) = &line.ike {
            let _never = write!(out, "\"ikesa-uniqueid\":{id},");
            if !name.is_empty() {
                field(&mut out, "ikesa-name", name);
            }
        }
        field(&mut out, "msg", &line.text);
        out.pop();
        out.push_str("}\n");
        out
    }
}

fn time(at: Timestamp, format: &str, precision: Precision, zone: &TimeZone) -> String {
    let zoned = at.to_zoned(zone.clone());
    let mut text = jiff::fmt::strtime::format(format, &zoned).unwrap_or_else(|_| zoned.to_string());
    let micros = at.subsec_microsecond().unsigned_abs();
    let _never = match precision {
        Precision::Second => Ok(()),
        Precision::Milli => write!(text, ".{:03}", micros / 1000),
        Precision::Micro => write!(text, ".{micros:06}"),
    };
    text
}

/// Control characters could forge lines or colour a terminal; a peer chooses parts of the text.
fn printable(text: &str, out: &mut String) {
    out.extend(text.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }));
}

fn field(out: &mut String, name: &str, value: &str) {
    let _never = write!(out, "\"{name}\":\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {
                let _never = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push_str("\",");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            time: Timestamp::from_microsecond(1_795_233_600_123_456).unwrap(),
            thread: 12,
            group: Group::Ike,
            level: 1,
            ike: Some(("home".into(), 1)),
            text: "IKE_SA deleted".into(),
        }
    }

    #[test]
    fn a_line_looks_like_charons() {
        let style = Style { time_format: Some("%b %d %T".into()), ike_name: true, ..Style::default() };
        assert_eq!(
            style.render(&line(), &TimeZone::UTC),
            "Nov 21 04:00:00 12[IKE] <home|1> IKE_SA deleted\n"
        );
        assert_eq!(Style::default().render(&line(), &TimeZone::UTC), "12[IKE] IKE_SA deleted\n");
        let style = Style { log_level: true, ..Style::default() };
        assert_eq!(style.render(&line(), &TimeZone::UTC), "12[IKE1] IKE_SA deleted\n");
        let style =
            Style { time_format: Some("%b %e %T".into()), precision: Precision::Milli, ..Style::default() };
        assert_eq!(style.render(&line(), &TimeZone::UTC), "Nov 21 04:00:00.123 12[IKE] IKE_SA deleted\n");
    }

    #[test]
    fn an_unnamed_sa_shows_its_number_only() {
        let style = Style { ike_name: true, ..Style::default() };
        let mut line = line();
        line.ike = Some((String::new(), 7));
        line.text = "a\nb\u{1b}[31m".into();
        assert_eq!(style.render(&line, &TimeZone::UTC), "12[IKE] <7> a\n12[IKE] <7> b?[31m\n");
    }

    #[test]
    fn json_is_escaped() {
        let style = Style { json: true, ..Style::default() };
        let mut line = line();
        line.text = "say \"x\"\n\u{1}".into();
        assert_eq!(
            style.render(&line, &TimeZone::UTC),
            "{\"thread\":12,\"group\":\"IKE\",\"level\":1,\"ikesa-uniqueid\":1,\"ikesa-name\":\"home\",\
             \"msg\":\"say \\\"x\\\"\\n\\u0001\"}\n"
        );
    }
}
