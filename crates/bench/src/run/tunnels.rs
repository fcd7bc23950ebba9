//! What is measured of a tunnel: TCP, UDP, latency.
use super::{Bench, MODERATE, SEARCHED, SIZES, ping_times, trial_time};
use crate::args::Topic;
use crate::contender::{Contender, Tunnel};
use crate::{blast, iperf, probe, stats, usage};
use anyhow::{Result, ensure};
use std::time::Duration;

impl Bench<'_> {
    /// Brings the contender's tunnel up, measures all, takes it down. What is said of a topic is told as soon as it is
    /// done.
    pub(super) fn tunnels(
        &mut self,
        contender: &Contender,
        topics: &[Topic],
        mut tell: impl FnMut(Topic, Result<String>),
    ) -> Result<()> {
        let tunnel = contender.raise(self.nursery)?;
        let up = probe::reachable(&tunnel.stage.near, tunnel.to, Duration::from_secs(10))?;
        let words: Vec<String> = tunnel.ends.iter().map(crate::nursery::Process::last_words).collect();
        ensure!(up, "no packet passes: {}", words.join("; "));
        for topic in topics {
            let said = match topic {
                Topic::Tcp => self.tcp(&tunnel),
                Topic::Udp => self.udp(&tunnel),
                _ => self.latency(&tunnel),
            };
            for end in &tunnel.ends {
                ensure!(end.ended().is_none(), "{} ended: {}", end.name, end.last_words());
            }
            tell(*topic, said);
        }
        Ok(())
    }

    fn tcp(&mut self, tunnel: &Tunnel) -> Result<String> {
        let mut said = Vec::new();
        let _server = iperf::serve(self.nursery, &tunnel.stage.far)?;
        for streams in [1, 4] {
            let before = cpu(tunnel)?;
            let near = &tunnel.stage.near;
            let transfer = iperf::send(self.nursery, near, tunnel.to, streams, self.args.transfer(), None)?;
            let used = cpu(tunnel)? - before;
            let megabits = transfer.bits_per_second / 1e6;
            self.note(format!("tcp {streams} Mbit/s"), megabits);
            let mut text = format!("TCP {streams}: {megabits:.0} Mbit/s");
            if !tunnel.ends.is_empty() {
                let cost = used / tunnel.ends.len() as f64 / (transfer.bytes / 1e9);
                self.note(format!("tcp {streams} CPU s/GB"), cost);
                text += &format!(", {cost:.2} CPU s/GB");
            }
            said.push(text);
        }
        Ok(said.join("; "))
    }

    fn udp(&mut self, tunnel: &Tunnel) -> Result<String> {
        let path = blast::Path { near: &tunnel.stage.near, far: &tunnel.stage.far, to: tunnel.to };
        let mut said = Vec::new();
        for size in SIZES {
            let blasted = blast::trial(&path, size, None, trial_time(self.args))?.rate();
            self.note(format!("udp {size} blast packets/s"), blasted);
            let mut text = format!("UDP {size}: {blasted:.0}/s");
            if SEARCHED.contains(&size) {
                let whole = blast::lossless(&path, size, blasted, trial_time(self.args))?;
                self.note(format!("udp {size} lossless packets/s"), whole.unwrap_or(0.0));
                text += &format!(", without loss {:.0}", whole.unwrap_or(0.0));
            }
            said.push(text);
        }
        Ok(said.join("; "))
    }

    fn latency(&mut self, tunnel: &Tunnel) -> Result<String> {
        let near = &tunnel.stage.near;
        let pings: Vec<f64> = in_micros(&probe::pings(near, tunnel.to, ping_times(self.args))?);
        let average = stats::mean(&pings).unwrap_or_default();
        self.note("ping average us", average);
        self.note("ping p99 us", stats::percentile(&pings, 0.99).unwrap_or_default());
        let mut said = vec![format!("ping {average:.0} us")];
        let _server = iperf::serve(self.nursery, &tunnel.stage.far)?;
        for (name, limit) in [("full", None), ("300M", Some(MODERATE))] {
            let (_, probes) = probe::while_loaded(near, &tunnel.stage.far, tunnel.to, || {
                iperf::send(self.nursery, near, tunnel.to, 1, self.args.transfer(), limit)
            })?;
            let took = in_micros(&probes.took);
            ensure!(!took.is_empty(), "no probe came back under load");
            for (percent, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
                let value = stats::percentile(&took, share).unwrap_or_default();
                self.note(format!("load {name} {percent} us"), value);
            }
            let lost = 100.0 * (1.0 - took.len() as f64 / probes.sent.max(1) as f64);
            self.note(format!("load {name} lost %"), lost);
            let worst = stats::percentile(&took, 0.999).unwrap_or_default();
            said.push(format!("p99.9 at {name} load {worst:.0} us, {lost:.1} % lost"));
        }
        Ok(said.join("; "))
    }
}

fn in_micros(seconds: &[f64]) -> Vec<f64> {
    seconds.iter().map(|s| s * 1e6).collect()
}

/// Processor time of both ends together, seconds.
fn cpu(tunnel: &Tunnel) -> Result<f64> {
    tunnel.ends.iter().map(|end| usage::cpu_seconds(end.pid)).sum()
}
