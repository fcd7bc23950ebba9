//! Results as Markdown tables: one row for each contender, medians over the rounds.
use crate::contender::Kind;
use crate::record::{Record, Summary};
use crate::run::{SEARCHED, SIZES};
use std::fmt::Write as _;

/// What our daemon does with all its IKE_SAs while others wait: as metrics name it, and in words.
pub(crate) const WORKS: [(&str, &str); 3] = [
    ("list", "all are listed"),
    ("rekey", "all CHILD_SAs are rekeyed"),
    ("liveness", "the liveness of all is checked"),
];

/// A column: heading, metric, digits after the point.
struct Column {
    heading: String,
    metric: String,
    digits: usize,
}

fn column(heading: impl Into<String>, metric: impl Into<String>, digits: usize) -> Column {
    Column { heading: heading.into(), metric: metric.into(), digits }
}

/// All tables that have a value.
pub(crate) fn all(record: &Record) -> String {
    let tunnels = [tcp(record), udp(record), lossless(record), latency(record), loaded(record)];
    let ike = [handshakes(record), growth(record), stalls(record)];
    [tunnels.concat(), ike.concat(), start(record), pool(record)].concat()
}

/// Numbers of IKE_SAs that a topic was measured with, whatever they are: a quick run's too.
fn counts(record: &Record, topic: &str) -> Vec<usize> {
    let of = |metric: &str| metric.strip_prefix(topic)?.strip_prefix(' ')?.split(' ').next()?.parse().ok();
    let mut counts: Vec<usize> = record.samples.iter().filter_map(|sample| of(&sample.metric)).collect();
    counts.sort_unstable();
    counts.dedup();
    counts
}

/// Set-ups with strongSwan's load tester as initiator.
pub(crate) fn handshakes(record: &Record) -> String {
    set_ups(record, "ike")
}

/// Set-ups with our own.
pub(crate) fn growth(record: &Record) -> String {
    set_ups(record, "growth")
}

fn set_ups(record: &Record, topic: &str) -> String {
    let mut text = String::new();
    for count in counts(record, topic) {
        let n = number(count as f64, 0);
        text += &table(
            record,
            &[
                column(format!("{n} IKE_SAs: set-ups/s"), format!("{topic} {count} set-ups/s"), 0),
                column("responder's CPU, ms each", format!("{topic} {count} CPU ms"), 3),
                column("initiator's", format!("{topic} {count} initiator CPU ms"), 3),
                column("resident, KB each", format!("{topic} {count} KB"), 1),
                column("of its own, KB each", format!("{topic} {count} own KB"), 1),
            ],
        );
    }
    text
}

/// The longest waits of others while our daemon works on all its IKE_SAs: a row for each work.
pub(crate) fn stalls(record: &Record) -> String {
    let mut text = String::new();
    for count in counts(record, "stall") {
        let n = number(count as f64, 0);
        let _ = writeln!(text, "| {n} IKE_SAs | IKE, ms | vici, ms | a sleeper, ms |\n|---|---|---|---|");
        for (work, words) in WORKS {
            let cells = ["IKE", "vici", "sleeper"].map(|way| {
                shown(record.summary(Kind::Cygnet, &format!("stall {count} {work} {way} ms")).as_ref(), 1)
            });
            let _ = writeln!(text, "| {words} | {} |", cells.join(" | "));
        }
        text.push('\n');
    }
    text
}

pub(crate) fn start(record: &Record) -> String {
    table(
        record,
        &[
            column("first answer after, ms", "start ms", 0),
            column("resident, MB", "idle resident MB", 1),
            column("of its own, MB", "idle own MB", 1),
            column("CPU in 30 s, ms", "idle CPU ms per 30 s", 0),
            column("switches in 30 s", "idle switches per 30 s", 0),
        ],
    )
}

pub(crate) fn pool(record: &Record) -> String {
    table(
        record,
        &[
            column("first leases per second", "pool first leases/s", 0),
            column("leases of clients that return, per second", "pool leases again/s", 0),
            column("releases per second", "pool releases/s", 0),
        ],
    )
}

pub(crate) fn tcp(record: &Record) -> String {
    let mut columns = Vec::new();
    for streams in [1, 4] {
        let plural = if streams == 1 { "stream" } else { "streams" };
        columns.push(column(format!("TCP {streams} {plural}, Mbit/s"), format!("tcp {streams} Mbit/s"), 0));
    }
    for streams in [1, 4] {
        let heading = format!("CPU s per GB and end ({streams})");
        columns.push(column(heading, format!("tcp {streams} CPU s/GB"), 2));
    }
    table(record, &columns)
}

pub(crate) fn udp(record: &Record) -> String {
    let columns: Vec<Column> = SIZES
        .iter()
        .map(|size| column(format!("{size} B, packets/s"), format!("udp {size} blast packets/s"), 0))
        .collect();
    table(record, &columns)
}

pub(crate) fn lossless(record: &Record) -> String {
    let columns: Vec<Column> = SEARCHED
        .iter()
        .map(|size| {
            column(format!("{size} B without loss, packets/s"), format!("udp {size} lossless packets/s"), 0)
        })
        .collect();
    table(record, &columns)
}

pub(crate) fn latency(record: &Record) -> String {
    table(
        record,
        &[column("ping average, µs", "ping average us", 0), column("ping p99, µs", "ping p99 us", 0)],
    )
}

pub(crate) fn loaded(record: &Record) -> String {
    let mut columns = Vec::new();
    for (name, heading) in [("full", "full load"), ("300M", "300 Mbit/s")] {
        for percent in ["p50", "p99", "p99.9"] {
            columns.push(column(format!("{heading}, {percent}, µs"), format!("load {name} {percent} us"), 0));
        }
        columns.push(column(format!("{heading}, lost, %"), format!("load {name} lost %"), 1));
    }
    table(record, &columns)
}

/// A table, or nothing where nothing was measured.
fn table(record: &Record, columns: &[Column]) -> String {
    let rows: Vec<(Kind, Vec<Option<Summary>>)> = Kind::ALL
        .into_iter()
        .map(|kind| (kind, columns.iter().map(|c| record.summary(kind, &c.metric)).collect::<Vec<_>>()))
        .filter(|(_, cells)| cells.iter().any(Option::is_some))
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let headings: Vec<&str> = columns.iter().map(|c| c.heading.as_str()).collect();
    let mut text = format!("| | {} |\n|---|{}\n", headings.join(" | "), "---|".repeat(columns.len()));
    for (kind, cells) in rows {
        let cells: Vec<String> =
            cells.iter().zip(columns).map(|(cell, c)| shown(cell.as_ref(), c.digits)).collect();
        // writing to a string does not fail
        let _ = writeln!(text, "| {} | {} |", kind.name(), cells.join(" | "));
    }
    text.push('\n');
    text
}

/// Median, and in brackets least to greatest where there were several rounds.
fn shown(cell: Option<&Summary>, digits: usize) -> String {
    let Some(cell) = cell else { return "–".to_owned() };
    let median = number(cell.median, digits);
    if cell.rounds < 2 {
        return median;
    }
    format!("{median} ({}–{})", number(cell.least, digits), number(cell.greatest, digits))
}

/// With commas between thousands.
pub(crate) fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.find('.').map_or((text.as_str(), ""), |point| text.split_at(point));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |w| ("-", w));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(number(1_234_567.8, 0), "1,234,568");
        assert_eq!(number(999.0, 0), "999");
        assert_eq!(number(-1234.5, 1), "-1,234.5");
        assert_eq!(number(0.126, 2), "0.13");
    }

    #[test]
    fn a_table_shows_medians_and_spread_of_who_was_measured() {
        let record = crate::record::tests::example();
        let text = tcp(&record);
        assert_eq!(
            text,
            "| | TCP 1 stream, Mbit/s | TCP 4 streams, Mbit/s | CPU s per GB and end (1) | CPU s per GB and end (4) |\n\
             |---|---|---|---|---|\n\
             | cygnet | 1,000 (900–1,300) | – | – | – |\n\
             | strongSwan kernel-libipsec | 100 (90–200) | – | – | – |\n\n"
        );
        assert_eq!(udp(&record), "");
    }
}
