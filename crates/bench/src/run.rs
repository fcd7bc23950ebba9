//! The run: rounds, in each every contender once, in each turn every topic.
use crate::args::{Args, Topic};
use crate::contender::{Contender, Kind};
use crate::nursery::Nursery;
use crate::record::{Record, Sample};
use crate::usage;
use anyhow::Result;
use progress::Progress;
use std::time::Duration;

mod daemons;
pub(crate) mod growth;
mod pool;
mod progress;
mod tunnels;

/// Bytes of a datagram's payload. The greatest is what a path with an MTU of 1,400 bytes carries in one piece.
pub(crate) const SIZES: [usize; 5] = [64, 256, 512, 1024, 1372];
/// Of those, where the greatest rate without loss is looked for.
pub(crate) const SEARCHED: [usize; 2] = [64, 1372];
/// A moderate load that every contender carries, bits per second.
pub(crate) const MODERATE: u64 = 300_000_000;
/// IKE_SAs of the topic of handshakes.
pub(crate) const FEW: usize = 1_000;
/// IKE_SAs of the topic of scale.
pub(crate) const MANY: [usize; 2] = [10_000, 100_000];
/// Rounds in which growth is measured: its ratio needs more than one, and each takes minutes.
pub(crate) const GROWING: u32 = 3;

/// Runs all, adding to a record; what fails is noted there and the run goes on.
pub(crate) fn all(
    args: &Args,
    contenders: &[Contender],
    nursery: &Nursery,
    record: &mut Record,
    mut save: impl FnMut(&Record) -> Result<()>,
) -> Result<()> {
    let plan = plan(args, contenders);
    let total: f64 = plan.iter().flat_map(|turn| &turn.topics).map(|topic| seconds(*topic, args)).sum();
    let mut progress = Progress::new(total);
    let before = record.last_round();
    for turn in plan {
        let kind = turn.contender.kind;
        progress.turn(turn.round, args.turns(), kind.name());
        record.busy.push(usage::busy(Duration::from_millis(200))?);
        let round = before + turn.round;
        let mut bench = Bench { args, nursery, record, round, kind };
        bench.turn(turn.contender, &turn.topics, &mut progress);
        save(record)?;
    }
    Ok(())
}

/// One contender's turn in one round.
struct Turn<'a> {
    round: u32,
    contender: &'a Contender,
    topics: Vec<Topic>,
}

/// All turns, in order: A B C A B C …
fn plan<'a>(args: &Args, contenders: &'a [Contender]) -> Vec<Turn<'a>> {
    let mut plan = Vec::new();
    for round in 1..=args.turns() {
        for contender in contenders {
            let mut topics = args.topics();
            topics.retain(|t| t.concerns(contender.kind) && round <= rounds(*t, args));
            if !topics.is_empty() {
                plan.push(Turn { round, contender, topics });
            }
        }
    }
    plan
}

/// In how many rounds a topic is measured.
fn rounds(topic: Topic, args: &Args) -> u32 {
    match topic {
        // the many take minutes, and memory hardly varies; the quick run has no minutes
        Topic::Scale => u32::from(!args.quick),
        Topic::Growth => GROWING,
        _ => args.turns(),
    }
}

/// About how long a topic takes.
fn seconds(topic: Topic, args: &Args) -> f64 {
    let transfer = f64::from(args.transfer());
    match topic {
        Topic::Tcp => 2.0 * transfer + 2.0,
        Topic::Udp => {
            trial_time(args).as_secs_f64() * (SIZES.len() as f64 + SEARCHED.len() as f64 * 10.0) * 1.3
        }
        Topic::Latency => f64::from(ping_times(args)) / 10.0 + 2.0 * (transfer + 2.0),
        Topic::Handshakes => 6.0,
        Topic::Scale => 200.0,
        Topic::Growth => growth::seconds(args),
        Topic::Start => daemons::idle_time(args).as_secs_f64() + 8.0,
        Topic::Pool => 2.0,
    }
}

fn trial_time(args: &Args) -> Duration {
    if args.quick { Duration::from_millis(200) } else { Duration::from_millis(500) }
}

fn ping_times(args: &Args) -> u16 {
    if args.quick { 5 } else { 40 }
}

/// One turn of one contender.
struct Bench<'a> {
    args: &'a Args,
    nursery: &'a Nursery,
    record: &'a mut Record,
    round: u32,
    kind: Kind,
}

impl Bench<'_> {
    fn turn(&mut self, contender: &Contender, topics: &[Topic], progress: &mut Progress) {
        let args = self.args;
        let (kind, round) = (self.kind, self.round);
        let mut failures = Vec::new();
        let mut tell = |topic: Topic, said: Result<String>| match said {
            Ok(said) => progress.done(seconds(topic, args), &said),
            Err(error) => {
                progress.failed(seconds(topic, args), &error);
                failures.push(format!("{}, round {round}, {topic:?}: {error:#}", kind.name()));
            }
        };
        let through = |topic: &Topic| matches!(topic, Topic::Tcp | Topic::Udp | Topic::Latency);
        let (tunnels, others): (Vec<Topic>, Vec<Topic>) = topics.iter().partition(|t| through(t));
        if let Some(first) = tunnels.first()
            && let Err(error) = self.tunnels(contender, &tunnels, &mut tell)
        {
            tell(*first, Err(error));
        }
        for topic in others {
            let said = match topic {
                Topic::Handshakes => self.handshakes(contender, &[FEW]),
                Topic::Scale => self.handshakes(contender, &MANY),
                Topic::Growth => self.growth(contender),
                Topic::Start => self.start(contender),
                _ => self.pool(),
            };
            tell(topic, said);
        }
        self.record.failures.extend(failures);
    }

    fn note(&mut self, metric: impl Into<String>, value: f64) {
        let (kind, round) = (self.kind, self.round);
        self.record.samples.push(Sample { kind, metric: metric.into(), round, value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[test]
    fn contenders_take_turns() {
        let contenders = [Kind::Plain, Kind::Cygnet, Kind::StrongswanFake].map(Contender::example);
        let shown = |words: &[&str]| -> Vec<(u32, Kind, usize)> {
            let args = Args::parse_from(words);
            plan(&args, &contenders).iter().map(|t| (t.round, t.contender.kind, t.topics.len())).collect()
        };
        assert_eq!(
            shown(&["bench", "--only", "tcp", "--rounds", "2"]),
            [(1, Kind::Plain, 1), (1, Kind::Cygnet, 1), (2, Kind::Plain, 1), (2, Kind::Cygnet, 1)]
        );
        assert_eq!(
            shown(&["bench", "--only", "scale", "--rounds", "2"]),
            [(1, Kind::Cygnet, 1), (1, Kind::StrongswanFake, 1)]
        );
        assert_eq!(
            shown(&["bench", "--only", "growth"]),
            [(1, Kind::Cygnet, 1), (2, Kind::Cygnet, 1), (3, Kind::Cygnet, 1)]
        );
        assert_eq!(
            shown(&["bench", "--quick"]),
            [(1, Kind::Plain, 3), (1, Kind::Cygnet, 7), (1, Kind::StrongswanFake, 1)]
        );
    }
}
