//! `docs/performance.md` and its plots. What stands between the markers is written by people and kept as it is.
use crate::blast::TOLERATED;
use crate::contender::Kind;
use crate::plots::{Bar, Line};
use crate::record::Record;
use crate::run::growth::{LOOK, RUNS, checked_after};
use crate::run::{FEW, GROWING, MANY, SEARCHED, SIZES};
use crate::warriors::AT_ONCE;
use crate::{plots, stats, tables, targets};
use anyhow::{Context as _, Result, bail};
use std::path::Path;

const BEGIN: &str = "<!-- kept: begin (written by people; `cargo xtask bench` leaves it as it is) -->";
const END: &str = "<!-- kept: end -->";

/// A page, and the plots it shows by name.
pub(crate) struct Page {
    pub(crate) text: String,
    pub(crate) plots: Vec<(&'static str, String)>,
}

/// Writes the page to a file and its plots into a directory of the same name beside it.
pub(crate) fn write(record: &Record, file: &Path) -> Result<()> {
    let kept = match std::fs::read_to_string(file) {
        Ok(text) => kept(&text).with_context(|| format!("{}", file.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
    };
    let directory = file.with_extension("");
    let name = directory.file_name().context("a page needs a name")?.to_string_lossy().into_owned();
    let page = render(record, &kept, &name);
    std::fs::create_dir_all(&directory)?;
    for (name, svg) in &page.plots {
        let plot = directory.join(name);
        std::fs::write(&plot, svg).with_context(|| format!("writing {}", plot.display()))?;
    }
    std::fs::write(file, page.text).with_context(|| format!("writing {}", file.display()))
}

/// What stands between the markers.
fn kept(text: &str) -> Result<String> {
    let Some((_, rest)) = text.split_once(BEGIN) else {
        bail!("it has no line '{BEGIN}': put what shall stay between that and '{END}'");
    };
    let (kept, _) = rest.split_once(END).with_context(|| format!("it has no line '{END}'"))?;
    Ok(kept.trim().to_owned())
}

/// The page; `directory` is where its plots are, seen from it.
pub(crate) fn render(record: &Record, kept: &str, directory: &str) -> Page {
    let mut text = heading(record);
    let mut plots = Vec::new();
    text += "## What we set out to reach\n\n";
    text += "Ratios are taken within each round; their median counts. Memory *of its own* is what a process has written \
             itself: the pages\nof its program, which come in with the first set-ups, are shared and can be taken back, so \
             they are not an IKE_SA's;\nthe resident size, which holds them, is in the tables, too.\n\n";
    text += &targets::table(record);
    for section in [tcp, udp, latency, handshakes, small] {
        text += &section(record, directory, &mut plots);
    }
    text += &method();
    text += &format!("{BEGIN}\n\n");
    if !kept.is_empty() {
        text += &format!("{kept}\n\n");
    }
    text += &format!("{END}\n");
    Page { text, plots }
}

fn heading(record: &Record) -> String {
    let machine = &record.machine;
    let busy = stats::median(&record.busy).unwrap_or(0.0) * 100.0;
    let most = record.busy.iter().copied().fold(0.0, f64::max) * 100.0;
    let mut text = format!(
        "# Performance

Written by `cargo xtask bench`: our daemon and every peer that is installed, in turn, on one machine. Read ratios, not
digits, and measure on your own machine.

{}, {} cores, {} MB, Linux {}, {}, commit `{}`. Medians of up to {} rounds; in brackets least and greatest.
Before each turn others used {busy:.0} % of the processors (median; at most {most:.0} %).

| measured | version |\n|---|---|\n",
        machine.processor,
        machine.cores,
        machine.memory_mb,
        machine.kernel,
        machine.date,
        machine.commit,
        rounds(record),
    );
    for measured in &record.contenders {
        let version = if measured.version.is_empty() { "–" } else { &measured.version };
        text += &format!("| {} | {version} |\n", measured.kind.name());
    }
    for missing in &record.missing {
        text += &format!("| {} | **not measured**: {} |\n", missing.kind.name(), missing.reason);
    }
    text.push('\n');
    if !record.failures.is_empty() {
        text += "These measurements failed and are not in the tables:\n\n";
        for failure in &record.failures {
            text += &format!("* {}\n", failure.replace('\n', " "));
        }
        text.push('\n');
    }
    text
}

/// The most rounds that any figure has.
fn rounds(record: &Record) -> usize {
    let of = |sample: &crate::record::Sample| record.values(sample.kind, &sample.metric).len();
    record.samples.iter().map(of).max().unwrap_or(0)
}

type Plots = Vec<(&'static str, String)>;

/// A plot in the page.
fn show(plots: &mut Plots, directory: &str, name: &'static str, alt: &str, svg: String) -> String {
    plots.push((name, svg));
    format!("![{alt}]({directory}/{name})\n\n")
}

/// Bars of all contenders that have these metrics: one group for each.
fn bars(record: &Record, title: &str, digits: usize, metrics: &[(String, String)]) -> Option<String> {
    let mut groups = Vec::new();
    for (heading, metric) in metrics {
        let bars: Vec<Bar> = Kind::ALL
            .into_iter()
            .filter_map(|kind| {
                let s = record.summary(kind, metric)?;
                let ours = kind == Kind::Cygnet;
                let label = kind.name().to_owned();
                Some(Bar { label, value: s.median, least: s.least, greatest: s.greatest, ours })
            })
            .collect();
        if !bars.is_empty() {
            groups.push((heading.clone(), bars));
        }
    }
    (!groups.is_empty()).then(|| plots::bars(title, digits, &groups))
}

/// Lines of all contenders over numbers that name a metric.
fn grown(record: &Record, numbers: &[usize], metric: impl Fn(usize) -> String) -> Vec<Line> {
    Kind::ALL
        .into_iter()
        .map(|kind| Line {
            label: kind.name().to_owned(),
            points: numbers
                .iter()
                .filter_map(|n| Some((*n as f64, record.summary(kind, &metric(*n))?.median)))
                .filter(|(_, y)| *y > 0.0)
                .collect(),
        })
        .filter(|line| !line.points.is_empty())
        .collect()
}

fn tcp(record: &Record, directory: &str, plots: &mut Plots) -> String {
    let table = tables::tcp(record);
    if table.is_empty() {
        return "## TCP\n\nNot measured.\n\n".to_owned();
    }
    let mut text = "## TCP\n\n".to_owned();
    let metrics = [1, 4].map(|n| (format!("{n} stream(s)"), format!("tcp {n} Mbit/s")));
    if let Some(svg) = bars(record, "TCP, Mbit/s (more is better)", 0, &metrics) {
        text += &show(plots, directory, "tcp.svg", "TCP throughput", svg);
    }
    text += &table;
    let metrics = [1, 4].map(|n| (format!("{n} stream(s)"), format!("tcp {n} CPU s/GB")));
    if let Some(svg) = bars(record, "processor seconds per GB and end (less is better)", 2, &metrics) {
        text += &show(plots, directory, "cpu.svg", "processor time per GB", svg);
    }
    text
}

fn udp(record: &Record, directory: &str, plots: &mut Plots) -> String {
    let table = tables::udp(record);
    if table.is_empty() {
        return "## UDP\n\nNot measured.\n\n".to_owned();
    }
    let mut text = "## UDP\n\nAt full blast, what arrives:\n\n".to_owned();
    let lines = grown(record, &SIZES, |size| format!("udp {size} blast packets/s"));
    let svg = plots::lines("UDP at full blast", "bytes of payload", "packets per second received", &lines);
    text += &show(plots, directory, "udp.svg", "UDP packets per second by size", svg);
    text += &table;
    text += "Without loss:\n\n";
    let metrics = SEARCHED.map(|n| (format!("{n} bytes"), format!("udp {n} lossless packets/s")));
    if let Some(svg) = bars(record, "UDP without loss, packets per second (more is better)", 0, &metrics) {
        text += &show(plots, directory, "lossless.svg", "UDP packets per second without loss", svg);
    }
    text += &tables::lossless(record);
    text
}

fn latency(record: &Record, directory: &str, plots: &mut Plots) -> String {
    let (idle, loaded) = (tables::latency(record), tables::loaded(record));
    if idle.is_empty() && loaded.is_empty() {
        return "## Added latency\n\nNot measured.\n\n".to_owned();
    }
    let mut text = "## Added latency\n\nThere and back, on an idle path:\n\n".to_owned();
    text += &idle;
    text += "While one TCP stream fills the path, and while one sends 300 Mbit/s:\n\n";
    let metrics = ["p50", "p99", "p99.9"].map(|p| (format!("{p}, full load"), format!("load full {p} us")));
    if let Some(svg) = bars(record, "there and back under load, µs (less is better)", 0, &metrics) {
        text += &show(plots, directory, "latency.svg", "latency under load", svg);
    }
    text += &loaded;
    text
}

fn handshakes(record: &Record, directory: &str, plots: &mut Plots) -> String {
    let tables = [tables::handshakes(record), tables::growth(record), tables::stalls(record)];
    if tables.iter().all(String::is_empty) {
        return "## IKE_SA set-up\n\nNot measured.\n\n".to_owned();
    }
    let [handshakes, growth, stalls] = tables;
    let mut text = "## IKE_SA set-up\n\nPSK, X25519, one CHILD_SA, a virtual address; \
                    the initiator is on the same cores.\n\n"
        .to_owned();
    if !handshakes.is_empty() {
        text += "With strongSwan's load tester as initiator. From 10,000 on both responders wait for it: then their \
                 processor time and memory tell them apart, not how many come per second.\n\n";
        text += &handshakes;
    }
    if !growth.is_empty() {
        text += "With `cygnet load-test` as initiator, which has the next set-up ready when one is done:\n\n";
        text += &growth;
    }
    if !stalls.is_empty() {
        text += "While our daemon lists all IKE_SAs for one client of vici, rekeys all CHILD_SAs by one command, and \
                 checks the liveness of all, others ask for an IKE_SA and for `stats` and wait so long at most:\n\n";
        text += &stalls;
    }
    let counts: Vec<usize> = std::iter::once(FEW).chain(MANY).collect();
    for (name, alt, y, metric) in [
        ("set-ups.svg", "set-ups per second by number of IKE_SAs", "set-ups per second", "set-ups/s"),
        ("set-up-cpu.svg", "processor time of a set-up", "ms of the responder's CPU each", "CPU ms"),
        ("memory.svg", "memory of its own per IKE_SA and CHILD_SA", "KB each", "own KB"),
    ] {
        let mut lines = grown(record, &counts, |count| format!("ike {count} {metric}"));
        let ours = grown(record, &counts, |count| format!("growth {count} {metric}"));
        let label = |line: Line| Line { label: format!("{}, our load test", line.label), ..line };
        lines.extend(ours.into_iter().map(label));
        if lines.iter().any(|line| line.points.len() > 1) {
            let svg = plots::lines(alt, "IKE_SAs", y, &lines);
            text += &show(plots, directory, name, alt, svg);
        }
    }
    text
}

fn small(record: &Record, _: &str, _: &mut Plots) -> String {
    let (start, pool) = (tables::start(record), tables::pool(record));
    let or = |table: String| if table.is_empty() { "Not measured.\n\n".to_owned() } else { table };
    format!(
        "## Start and rest\n\nA daemon with one connection, no IKE_SA:\n\n{}## Pools\n\n100,000 clients, in memory, one \
         core:\n\n{}",
        or(start),
        or(pool)
    )
}

/// How it was measured: what a reader needs to doubt or repeat it.
fn method() -> String {
    format!(
        "## How it was measured

Two network namespaces joined by a veth pair with an MTU of 1,500 bytes; one end of a tunnel in each, so that both ends
and the load share the cores. Each tunnel comes up anew for each round, the contenders take turns, and each keeps its
own MTU. cygnetd and charon read the same files: `{ike}`, ESP `{esp}` in UDP, a virtual address. The load goes from the
client to the gateway.

* **TCP** is what iperf3's receiver saw. Processor time is user and system time of both tunnel processes from `/proc`,
  halved; work that the kernel does for them elsewhere is in nobody's figure.
* **UDP** datagrams cross the network stack one by one: the sender gives the kernel up to 32 with one call, the receiver
  takes as many, neither joins nor cuts them (no GSO, no GRO). At full blast the sender takes the processor time it can
  get, which it takes from the tunnel. **Without loss** is the greatest rate at which at most {lost} % is lost: the rate
  doubles or halves from what arrived at full blast to the first change, then the range is halved (on a scale of ratios)
  until it is narrower than 5 %. Each rate is sent for half a second; one that loses more, or that the sender does not
  reach, is tried a second time before it counts as lost.
* **Latency** on an idle path is that of pings, ten per second; under load, of datagrams of 8 bytes that the far host
  returns, one each millisecond.
* **Set-ups**: per second between a tenth and nine tenths of all, as the responder counts; processor time is that of the
  whole process (the initiator's with its start). Memory is what the responder grew by: *resident* with the pages of its
  program that come in with the first set-ups, which are shared, can be taken back and do not become more with more
  IKE_SAs; *of its own* is what it has written itself (`Anonymous`), which is what IKE_SAs take, and what the targets
  are about. charon has 16 threads, `ikesa_table_size = 65536`, `ikesa_table_segments = 64`, no DoS protection; with a
  *fake kernel* it has no data plane at all. kernel-libipsec is measured at 1,000 only, for it slows down with the number
  of its tunnels.
* **Growth**: `cygnet load-test` has {at_once} set-ups under way at any time, from one thread; it computes about as much as
  the responder. 1,000 are there within a moment: the responder is asked every {look} ms how many it has (with the load
  tester every 50), and {few} runs, each with a new daemon, before, between and after the larger ones give one figure, their
  median. The first {growing} rounds only.
* **Waits**: with 100,000 IKE_SAs up, one after the other: `list-sas` of all; `rekey` of all CHILD_SAs by one command, which
  the load test answers; a liveness check of each (`dpd_delay = {dpd}s`), and such checks go on during the others. A
  millisecond after each answer the next question is asked, the same IKE_SA_INIT over the network and `stats` through
  vici; the engine answers both, and the table has the longest waits. One without an answer within a second counts as a
  second. Daemon, load test and questioner share the cores: *a sleeper* is how much longer than a millisecond somebody
  slept who asks nothing. In the targets the longest of all rounds counts.
* **Pools**: first leases in order; then all are released, and lease again in a scattered order; then all are released in
  that order.
* **Start** is from the start of the process, which loads its configuration itself (`start-scripts`), to the first
  IKE_SA_INIT answered with a chosen proposal; one is sent each millisecond. At rest, context switches of all threads
  and processor time are counted for 30 seconds.

",
        ike = crate::contender::ike::IKE,
        esp = crate::contender::ike::ESP,
        lost = TOLERATED * 100.0,
        at_once = AT_ONCE,
        look = LOOK.as_millis(),
        few = RUNS.iter().filter(|count| **count == FEW).count(),
        growing = GROWING,
        dpd = checked_after(100_000),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::example;

    #[test]
    fn a_page_is_as_it_was() {
        let page = render(&example(), "Words of a person.", "performance");
        let names: Vec<&str> = page.plots.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["tcp.svg"]);
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/page/golden.md");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &page.text).unwrap();
        }
        let wanted = std::fs::read_to_string(golden).unwrap();
        assert_eq!(page.text, wanted, "run the tests with UPDATE_GOLDEN=1 and look at the difference");
    }

    #[test]
    fn growth_and_waits_have_tables_and_what_was_not_measured_a_dash() {
        let mut record = example();
        let mut add = |metric: &str, value: f64| {
            let (kind, metric) = (Kind::Cygnet, metric.to_owned());
            record.samples.push(crate::record::Sample { kind, metric, round: 1, value });
        };
        // as records were before memory was told apart
        add("ike 1000 set-ups/s", 3582.0);
        add("ike 1000 CPU ms", 0.14);
        add("ike 1000 KB", 12.3);
        for (count, rate) in [(1_000, 5000.0), (100_000, 4000.0)] {
            add(&format!("growth {count} set-ups/s"), rate);
            add(&format!("growth {count} own KB"), 3.9);
        }
        add("stall 100000 list IKE ms", 4.5);
        add("stall 100000 list vici ms", 2.5);
        let page = render(&record, "", "performance");
        for line in [
            "| cygnet | 3,582 | 0.140 | – | 12.3 | – |",
            "| | 100,000 IKE_SAs: set-ups/s | responder's CPU, ms each | initiator's | resident, KB each | of its own, KB each |",
            "| cygnet | 4,000 | – | – | – | 3.9 |",
            "| 100,000 IKE_SAs | IKE, ms | vici, ms | a sleeper, ms |",
            "| all are listed | 4.5 | 2.5 | – |",
            "| all CHILD_SAs are rekeyed | – | – | – |",
        ] {
            assert!(page.text.lines().any(|have| have == line), "{line}\n{}", page.text);
        }
        let plot =
            |name: &str| page.plots.iter().find(|(have, _)| *have == name).map(|(_, svg)| svg.as_str());
        assert!(plot("set-ups.svg").unwrap().contains("cygnet, our load test"));
        assert!(plot("memory.svg").is_some());
        assert_eq!(plot("set-up-cpu.svg"), None, "one number makes no line");
    }

    #[test]
    fn what_people_wrote_survives() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("page.md");
        write(&example(), &file).unwrap();
        let first = std::fs::read_to_string(&file).unwrap();
        assert!(first.contains("page/tcp.svg") && directory.path().join("page/tcp.svg").is_file());
        let changed = first.replace(END, &format!("## Limits\n\nSome.\n\n{END}")).replace("# Perf", "# Fast");
        std::fs::write(&file, changed).unwrap();
        write(&example(), &file).unwrap();
        let second = std::fs::read_to_string(&file).unwrap();
        assert!(second.contains("## Limits\n\nSome.\n") && second.contains("# Perf"));
        write(&example(), &file).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), second);
    }

    #[test]
    fn a_page_without_markers_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("page.md");
        std::fs::write(&file, "# Mine\n").unwrap();
        assert!(format!("{:#}", write(&example(), &file).unwrap_err()).contains("kept: begin"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "# Mine\n");
    }
}
