//! What was measured, as it is kept in a file: raw values, one for each round, and what they were measured on.
use crate::contender::{Kind, Missing};
use crate::stats;
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Changes when a field changes its meaning or goes.
const FORMAT: u32 = 1;

/// One run, or several joined.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    format: u32,
    pub(crate) machine: Machine,
    /// Who was measured.
    pub(crate) contenders: Vec<Measured>,
    /// Who was not.
    pub(crate) missing: Vec<Missing>,
    pub(crate) samples: Vec<Sample>,
    /// Share of the processors' time that others used just before each turn, 0 to 1.
    pub(crate) busy: Vec<f64>,
    /// What failed, in words; a measurement that failed has no sample.
    pub(crate) failures: Vec<String>,
}

/// Where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_mb: u64,
    pub(crate) kernel: String,
    /// Day, UTC.
    pub(crate) date: String,
    /// The commit that was measured.
    pub(crate) commit: String,
}

/// A contender and the version it says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) kind: Kind,
    pub(crate) version: String,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) kind: Kind,
    /// What it is; its unit is the end of its name.
    pub(crate) metric: String,
    pub(crate) round: u32,
    pub(crate) value: f64,
}

/// Median and spread of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
    pub(crate) rounds: usize,
}

impl Record {
    /// An empty one of this machine.
    pub(crate) fn new(machine: Machine) -> Self {
        Self {
            format: FORMAT,
            machine,
            contenders: vec![],
            missing: vec![],
            samples: vec![],
            busy: vec![],
            failures: vec![],
        }
    }

    /// Reads one from a file.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        let record: Self = serde_json::from_slice(&text).with_context(|| format!("{}", file.display()))?;
        ensure!(
            record.format == FORMAT,
            "{}: format {}, this program knows {FORMAT}",
            file.display(),
            record.format
        );
        Ok(record)
    }

    /// Writes it to a file, whole or not at all.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let what = || format!("writing {}", file.display());
        let directory = file.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut new = tempfile::NamedTempFile::new_in(directory).with_context(what)?;
        serde_json::to_writer_pretty(&mut new, self).with_context(what)?;
        new.persist(file).with_context(what)?;
        Ok(())
    }

    /// Adds another's results; its rounds come after ours. The later one says who was measured on what.
    pub(crate) fn join(&mut self, other: Self) {
        let after = self.last_round();
        self.samples.extend(other.samples.into_iter().map(|s| Sample { round: s.round + after, ..s }));
        self.busy.extend(other.busy);
        self.failures.extend(other.failures);
        self.contenders.retain(|c| other.contenders.iter().all(|o| o.kind != c.kind));
        self.contenders.extend(other.contenders);
        self.contenders.sort_by_key(|c| c.kind);
        self.missing.extend(other.missing);
        self.missing.sort_by_key(|m| m.kind);
        self.missing.dedup_by_key(|m| m.kind);
        let measured: Vec<Kind> = self.contenders.iter().map(|c| c.kind).collect();
        self.missing.retain(|m| !measured.contains(&m.kind));
        self.machine = other.machine;
    }

    /// The number of the last round, 0 where there is none.
    pub(crate) fn last_round(&self) -> u32 {
        self.samples.iter().map(|s| s.round).max().unwrap_or(0)
    }

    /// The values of a metric, by round.
    pub(crate) fn values(&self, kind: Kind, metric: &str) -> Vec<(u32, f64)> {
        self.samples
            .iter()
            .filter(|s| s.kind == kind && s.metric == metric)
            .map(|s| (s.round, s.value))
            .collect()
    }

    /// Median and spread of a metric.
    pub(crate) fn summary(&self, kind: Kind, metric: &str) -> Option<Summary> {
        let values: Vec<f64> = self.values(kind, metric).into_iter().map(|(_, value)| value).collect();
        let (least, greatest) = stats::range(&values)?;
        Some(Summary { median: stats::median(&values)?, least, greatest, rounds: values.len() })
    }

    /// The median over rounds of one's value divided by another's in the same round: what disturbs the machine for some
    /// minutes disturbs both. Of rounds in which both were measured.
    pub(crate) fn ratio(&self, one: Kind, other: Kind, metric: &str) -> Option<Summary> {
        self.divided((one, metric), (other, metric))
    }

    /// The same of any two figures.
    pub(crate) fn divided(&self, one: (Kind, &str), by: (Kind, &str)) -> Option<Summary> {
        let others = self.values(by.0, by.1);
        let ratios: Vec<f64> = self
            .values(one.0, one.1)
            .into_iter()
            .filter_map(|(round, value)| {
                let (_, by) = others.iter().find(|(r, _)| *r == round)?;
                (*by > 0.0).then(|| value / by)
            })
            .collect();
        let (least, greatest) = stats::range(&ratios)?;
        Some(Summary { median: stats::median(&ratios)?, least, greatest, rounds: ratios.len() })
    }
}

impl Machine {
    /// This one, now.
    pub(crate) fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| -> Option<String> {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal")
            .and_then(|m| m.split_ascii_whitespace().next()?.parse::<u64>().ok());
        let commit = std::process::Command::new("git")
            .args(["describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"])
            .output()
            .ok()
            .filter(|out| out.status.success())
            .map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            memory_mb: memory.unwrap_or(0) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            commit: commit.unwrap_or_else(|| "unknown".to_owned()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record of a machine that does not exist.
    pub(crate) fn example() -> Record {
        let mut record = Record::new(Machine {
            processor: "Example 1000".to_owned(),
            cores: 2,
            memory_mb: 4000,
            kernel: "6.1.0".to_owned(),
            date: "2026-01-31".to_owned(),
            commit: "0123456789".to_owned(),
        });
        record.contenders = vec![
            Measured { kind: Kind::Cygnet, version: "cygnetd 1".to_owned() },
            Measured { kind: Kind::Strongswan, version: "strongSwan 9".to_owned() },
        ];
        record.missing =
            vec![Missing { kind: Kind::Boringtun, reason: "boringtun-cli is not on the PATH".to_owned() }];
        for (kind, values) in
            [(Kind::Cygnet, [900.0, 1000.0, 1300.0]), (Kind::Strongswan, [90.0, 200.0, 100.0])]
        {
            for (round, value) in (1..).zip(values) {
                record.samples.push(Sample { kind, metric: "tcp 1 Mbit/s".to_owned(), round, value });
            }
        }
        record.busy = vec![0.0, 0.5, 0.01];
        record
    }

    #[test]
    fn ratios_are_within_rounds() {
        let record = example();
        let one = record.summary(Kind::Cygnet, "tcp 1 Mbit/s").unwrap();
        assert_eq!((one.median, one.least, one.greatest, one.rounds), (1000.0, 900.0, 1300.0, 3));
        let ratio = record.ratio(Kind::Cygnet, Kind::Strongswan, "tcp 1 Mbit/s").unwrap();
        assert_eq!((ratio.median, ratio.least, ratio.greatest), (10.0, 5.0, 13.0));
        assert_eq!(record.ratio(Kind::Cygnet, Kind::Boringtun, "tcp 1 Mbit/s"), None);
        let same = (Kind::Cygnet, "tcp 1 Mbit/s");
        assert_eq!(record.divided(same, same).unwrap().greatest, 1.0);
        assert_eq!(record.summary(Kind::Cygnet, "something else"), None);
    }

    #[test]
    fn joined_records_keep_their_rounds_apart() {
        let mut record = example();
        let mut other = example();
        other.contenders = vec![Measured { kind: Kind::Boringtun, version: "0.7".to_owned() }];
        other.missing = vec![];
        record.join(other);
        assert_eq!(record.last_round(), 6);
        let names: Vec<Kind> = record.contenders.iter().map(|c| c.kind).collect();
        assert_eq!(names, [Kind::Cygnet, Kind::Strongswan, Kind::Boringtun]);
        assert!(record.missing.is_empty(), "what was measured once is not missing");
        assert_eq!(record.ratio(Kind::Cygnet, Kind::Strongswan, "tcp 1 Mbit/s").unwrap().rounds, 6);
    }

    #[test]
    fn a_record_survives_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("raw.json");
        let record = example();
        record.write(&file).unwrap();
        let again = Record::read(&file).unwrap();
        assert_eq!(again.samples, record.samples);
        assert_eq!(again.machine, record.machine);
        let text = std::fs::read_to_string(&file).unwrap().replace("\"format\": 1", "\"format\": 99");
        std::fs::write(&file, text).unwrap();
        assert!(Record::read(&file).unwrap_err().to_string().contains("format 99"));
    }
}
