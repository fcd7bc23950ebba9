//! The table of bounds: read, compared, written again with its comments.
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fmt;

/// Per cent that a count may differ from its bound where the table is silent.
const SLACK: f64 = 3.0;

/// Instructions in a dump of callgrind's.
pub(super) fn total(dump: &str) -> Result<u64> {
    let events = dump.lines().find_map(|line| line.strip_prefix("events:")).context("no events")?;
    if events.trim() != "Ir" {
        bail!("events{events} instead of Ir");
    }
    let total = dump.lines().find_map(|line| line.strip_prefix("totals:")).context("no totals")?;
    Ok(total.trim().parse()?)
}

/// One row: instructions, per cent, name.
#[derive(Debug, Clone, PartialEq)]
struct Bound {
    count: u64,
    slack: f64,
}

/// The whole table.
#[derive(Debug)]
pub(super) struct Bounds {
    /// Lines as they are, with the name of the row that each holds.
    lines: Vec<(String, Option<String>)>,
    bounds: BTreeMap<String, Bound>,
}

/// What a count is, compared with its bound.
#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    /// Within its slack.
    Good,
    /// Cheaper by more than its slack.
    Better,
    Worse,
    /// Not in the table.
    New,
    /// In the table, and not counted any more.
    Gone,
}

/// All counts with their verdicts.
#[derive(Debug)]
pub(super) struct Report(Vec<(String, Option<u64>, Option<Bound>, Verdict)>);

impl Bounds {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let (mut lines, mut bounds) = (Vec::new(), BTreeMap::new());
        for (number, line) in text.lines().enumerate() {
            let bare = line.trim();
            if bare.is_empty() || bare.starts_with('#') {
                lines.push((line.to_owned(), None));
                continue;
            }
            let (name, bound) = row(bare).with_context(|| format!("line {}: '{bare}'", number + 1))?;
            if bounds.insert(name.clone(), bound).is_some() {
                bail!("line {}: '{name}' a second time", number + 1);
            }
            lines.push((line.to_owned(), Some(name)));
        }
        Ok(Self { lines, bounds })
    }

    /// `all`: everything was counted, so that a row without a count is a fault.
    pub(super) fn compare(&self, counts: &BTreeMap<String, u64>, all: bool) -> Report {
        let judged = counts.iter().map(|(name, count)| {
            let bound = self.bounds.get(name);
            (name.clone(), Some(*count), bound.cloned(), judge(*count, bound))
        });
        let gone = self.bounds.iter().filter(|(name, _)| all && !counts.contains_key(*name));
        let gone = gone.map(|(name, bound)| (name.clone(), None, Some(bound.clone()), Verdict::Gone));
        Report(judged.chain(gone).collect())
    }

    /// The table with the counts that are out of bounds, everything else as it was.
    pub(super) fn accept(&self, counts: &BTreeMap<String, u64>, all: bool) -> String {
        let mut out = String::new();
        for (line, name) in &self.lines {
            let Some((name, bound)) = name.as_ref().and_then(|name| self.bounds.get_key_value(name)) else {
                out += &format!("{line}\n");
                continue;
            };
            match counts.get(name) {
                Some(count) if judge(*count, Some(bound)) != Verdict::Good => {
                    out += &shown(name, &Bound { count: *count, slack: bound.slack });
                }
                None if all => {}
                _ => out += &format!("{line}\n"),
            }
        }
        for (name, count) in counts.iter().filter(|(name, _)| !self.bounds.contains_key(*name)) {
            out += &shown(name, &Bound { count: *count, slack: SLACK });
        }
        out
    }
}

fn row(line: &str) -> Result<(String, Bound)> {
    let mut words = line.splitn(2, char::is_whitespace);
    let count = words.next().unwrap_or_default().parse().context("a number of instructions comes first")?;
    let rest = words.next().unwrap_or_default().trim_start();
    let (slack, name) = rest.split_once('%').context("then a slack in per cent, with '%'")?;
    let slack: f64 = slack.trim().parse().context("then a slack in per cent")?;
    let name = name.trim();
    if count == 0 || !(0.0..=50.0).contains(&slack) || name.is_empty() {
        bail!("instructions above 0, a slack of 0 to 50 %, a name");
    }
    Ok((name.to_owned(), Bound { count, slack }))
}

fn shown(name: &str, bound: &Bound) -> String {
    format!("{:>10} {:>3}%  {name}\n", bound.count, bound.slack)
}

/// By how many per cent a count is above its bound.
fn excess(count: u64, bound: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let (count, bound) = (count as f64, bound as f64);
    100.0 * (count - bound) / bound
}

fn judge(count: u64, bound: Option<&Bound>) -> Verdict {
    let Some(bound) = bound else { return Verdict::New };
    let excess = excess(count, bound.count);
    if excess > bound.slack {
        Verdict::Worse
    } else if excess < -bound.slack {
        Verdict::Better
    } else {
        Verdict::Good
    }
}

impl Report {
    /// How many are out of bounds in a way that must not be.
    pub(super) fn faults(&self) -> usize {
        let fault = |verdict: &Verdict| matches!(verdict, Verdict::Worse | Verdict::New | Verdict::Gone);
        self.0.iter().filter(|(.., verdict)| fault(verdict)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count, bound, verdict) in &self.0 {
            let counted = count.map_or_else(|| "-".to_owned(), |count| count.to_string());
            write!(f, "{counted:>10}")?;
            match count.zip(bound.as_ref()) {
                Some((count, bound)) => write!(f, " {:>+7.1}%", excess(count, bound.count))?,
                None => write!(f, " {:>8}", "")?,
            }
            writeln!(f, "  {name}")?;
            let hint = match (verdict, bound) {
                (Verdict::Worse, Some(b)) => {
                    format!("OUT OF BOUNDS: {} and {} % more are allowed", b.count, b.slack)
                }
                (Verdict::Better, Some(b)) => {
                    format!(
                        "better than {} by more than {} %: --accept makes that the bound",
                        b.count, b.slack
                    )
                }
                (Verdict::New, _) => "HAS NO BOUND yet".to_owned(),
                (Verdict::Gone, _) => "HAS A BOUND and is not counted any more".to_owned(),
                _ => continue,
            };
            writeln!(f, "{:>20}{hint}", "")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "# A comment.\n\n      1000   3%  esp/seal\n       200   5%  ike/rekey IKE_SA\n";

    fn counts(list: &[(&str, u64)]) -> BTreeMap<String, u64> {
        list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    fn faults(list: &[(&str, u64)], all: bool) -> usize {
        Bounds::parse(TABLE).unwrap().compare(&counts(list), all).faults()
    }

    #[test]
    fn a_count_beyond_its_slack_fails() {
        assert_eq!(faults(&[("esp/seal", 1030), ("ike/rekey IKE_SA", 200)], true), 0);
        assert_eq!(faults(&[("esp/seal", 1031), ("ike/rekey IKE_SA", 200)], true), 1);
        assert_eq!(faults(&[("esp/seal", 1031), ("ike/rekey IKE_SA", 211)], true), 2);
        let report = Bounds::parse(TABLE).unwrap().compare(&counts(&[("esp/seal", 1250)]), false);
        let text = report.to_string();
        assert!(text.contains("+25.0%  esp/seal") && text.contains("OUT OF BOUNDS: 1000 and 3 %"), "{text}");
    }

    #[test]
    fn what_became_cheaper_is_said_and_passes() {
        let report = Bounds::parse(TABLE).unwrap().compare(&counts(&[("esp/seal", 900)]), false);
        assert_eq!(report.faults(), 0);
        assert!(report.to_string().contains("better than 1000"));
    }

    #[test]
    fn nothing_is_left_out() {
        assert_eq!(faults(&[("esp/seal", 1000)], true), 1, "a row without its count");
        assert_eq!(faults(&[("esp/seal", 1000)], false), 0, "only this one was wanted");
        assert_eq!(faults(&[("esp/open", 1000)], false), 1, "a count without its row");
    }

    #[test]
    fn accepting_changes_only_what_is_out_of_bounds() {
        let bounds = Bounds::parse(TABLE).unwrap();
        let new = counts(&[("esp/seal", 1010), ("ike/rekey IKE_SA", 300), ("esp/open", 7)]);
        let text = bounds.accept(&new, true);
        let expected = "# A comment.\n\n      1000   3%  esp/seal\n       300   5%  ike/rekey IKE_SA\n         7   3%  esp/open\n";
        assert_eq!(text, expected);
        assert_eq!(Bounds::parse(&text).unwrap().compare(&new, true).faults(), 0);
        let some = counts(&[("esp/seal", 2000)]);
        assert!(bounds.accept(&some, false).contains("ike/rekey"), "not counted this time, kept");
        assert!(!bounds.accept(&some, true).contains("ike/rekey"), "gone");
    }

    #[test]
    fn tables_that_are_none() {
        for bad in ["esp/seal 100 3%", "100 3 esp/seal", "0 3% a", "100 3%", "100 90% a", "1 3% a\n1 3% a"] {
            assert!(Bounds::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dumps() {
        assert_eq!(total("version: 1\nevents: Ir\nfn=(1) a\n5 7\ntotals: 7\n").unwrap(), 7);
        assert!(total("events: Ir Dr\ntotals: 7 2\n").is_err());
        assert!(total("events: Ir\n").is_err());
    }
}
