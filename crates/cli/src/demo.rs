//! `cygnet demo`: the whole thing on one machine, with real daemons, real packets and nothing left behind.
//!
//! An office host, a gateway, a router with NAT and a client live in four network namespaces. The gateway and the
//! client run `cygnetd` from the files in `examples/road-warrior`; everything after that goes through vici, as it
//! would on two machines. The namespaces live as long as this process and its daemons do, so nothing needs removing.
//!
//! The walk: [`find`] the files and the daemon, [`stage`] the network and the daemons, [`steps`] prints what happens,
//! [`traffic`] pings and transfers, [`report`] is the JSON document.
use crate::args::Demo;
use crate::commands::{pools, status};
use crate::exit::{FAILED, Failure, INTERRUPTED};
use crate::interrupt;
use crate::load::{self, Progress, Source};
use crate::out::{self, complain, say};
use crate::session::succeeded;
use crate::source;
use crate::view::IkeSa;
use config::tree::Section;
use stage::{Daemon, Stage};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use steps::Steps;
use vici::{Client, Message};

mod find;
mod report;
mod stage;
mod steps;
mod traffic;

/// How long the tunnel may take to come up.
const UP: Duration = Duration::from_secs(30);

pub(crate) fn run(args: &Demo) -> Result<ExitCode, Failure> {
    out::outlive_reader();
    let mut steps = Steps::new(args.json);
    let examples = find::examples(args.examples.as_deref())?;
    let cygnetd = find::daemon(args.daemon.as_deref())?;
    // Must come before the first thread.
    stage::privileges()?;
    let reaper = stage::Reaper::default();
    let interrupted = interrupt::watch()?;

    // The work is done on a thread of its own, so that Ctrl-C is answered at once whatever it waits for.
    let (done, outcome) = mpsc::channel();
    let worker = {
        let (args, reaper) = (args.clone(), reaper.clone());
        std::thread::spawn(move || {
            let result = perform(&args, &mut steps, &examples, &cygnetd, &reaper);
            // The receiver is gone only when the program is ending anyway.
            drop(done.send(result));
        })
    };
    let result = loop {
        if interrupted.raised() {
            break None;
        }
        match outcome.recv_timeout(Duration::from_millis(50)) {
            Ok(result) => break Some(result),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break Some(Err(died(worker))),
        }
    };
    let keeping = args.keep && matches!(result, Some(Ok(_)));
    if keeping {
        while !interrupted.raised() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let started = Instant::now();
    let forced = reaper.end_all();
    let cleaned = match forced {
        0 => format!("daemons ended, namespaces gone ({} ms)", started.elapsed().as_millis()),
        _ => format!("{forced} daemons did not end by themselves and were killed"),
    };
    complain_or_say(args.json, &format!("    cleaned up: {cleaned}"));
    match result {
        Some(Ok(_)) if forced > 0 => Err(Failure::new(FAILED, "a daemon did not end when told to")),
        Some(Ok(_)) => Ok(ExitCode::SUCCESS),
        Some(Err(failure)) => Err(failure),
        None => Ok(ExitCode::from(INTERRUPTED)),
    }
}

fn complain_or_say(json: bool, text: &str) {
    if json {
        complain!("{text}");
    } else {
        say!("{text}");
    }
}

/// What the worker's panic said; the panic itself was printed already.
fn died(worker: std::thread::JoinHandle<()>) -> Failure {
    drop(worker.join());
    Failure::new(FAILED, "the demo itself failed; this is a bug")
}

/// The demonstration, step by step. The stage is handed out, for it lives as long as somebody holds it.
fn perform(
    args: &Demo,
    steps: &mut Steps,
    examples: &find::Examples,
    cygnetd: &std::path::Path,
    reaper: &stage::Reaper,
) -> Result<Stage, Failure> {
    let begun = Instant::now();
    let stage = steps.run("four network namespaces: office, gateway, NAT router, client", || {
        let stage = Stage::build()?;
        let nat = match &stage.nat {
            Ok(()) => "client behind NAT (nf_tables masquerade)".to_owned(),
            Err(reason) => format!("WITHOUT NAT, plain routing instead: {reason}"),
        };
        // Freshly given IPv6 addresses are not usable at once (duplicate address detection).
        for host in [stage::OFFICE_V4, stage::OFFICE_V6] {
            if !traffic::reachable(&stage.gateway, host, Duration::from_secs(5))? {
                let text = format!("the gateway does not reach {host} over its own cable");
                return Err(Failure::new(FAILED, text));
            }
        }
        Ok((stage, nat))
    })?;
    steps.run("without a tunnel the office is out of reach", || {
        let reached = traffic::reachable(&stage.client, stage::OFFICE_V4, Duration::from_millis(300))?;
        if reached {
            return Err(Failure::new(
                FAILED,
                "the client reached the office without a tunnel; the stage is not right",
            ));
        }
        Ok(((), format!("no answer from {}", stage::OFFICE_V4)))
    })?;
    let (gateway, client) =
        steps.run("two cygnetd processes, one on the gateway, one on the client", || {
            let gateway = Daemon::start("gateway", cygnetd, &examples.gateway, &stage.gateway, reaper)?;
            let client = Daemon::start("client", cygnetd, &examples.client, &stage.client, reaper)?;
            let text =
                format!("process {} and {}, from {}", gateway.pid, client.pid, examples.root.display());
            Ok(((gateway, client), text))
        })?;
    let mut at_gateway = gateway.connect()?;
    let mut at_client = client.connect()?;
    steps.run("configuration loaded over vici", || {
        let one = load_into(&mut at_gateway, &examples.gateway, &gateway)?;
        let two = load_into(&mut at_client, &examples.client, &client)?;
        Ok(((), format!("gateway: {one}; client: {two}")))
    })?;
    let up = steps.run("client brings up its tunnel (cygnet up home)", || {
        let sa = bring_up(&mut at_client).map_err(|failure| client.explain(gateway.explain(failure)))?;
        let ids = [&sa.local.id, &sa.remote.id].map(|id| id.clone().unwrap_or_default());
        let algorithms = sa.algorithms.as_ref().map(ToString::to_string).unwrap_or_default();
        let text = format!("{} to {}, {algorithms}", ids[0], ids[1]);
        Ok((sa, text))
    })?;
    let tunnel_ms = steps.last_ms();
    steps.run("virtual addresses leased from the gateway's pools", || {
        let vips = up.local.virtual_ips.join(" and ");
        if up.local.virtual_ips.len() < 2 {
            return Err(Failure::new(FAILED, format_args!("expected one of each family, got '{vips}'")));
        }
        Ok(((), vips))
    })?;
    let mut pings = Vec::new();
    for host in [stage::OFFICE_V4, stage::OFFICE_V6] {
        let what = format!("ping {host} through the tunnel");
        pings.push(steps.run(&what, || {
            let ping = traffic::ping(&stage.client, host, 10)
                .map_err(|failure| client.explain(gateway.explain(failure)))?;
            let text = ping.to_string();
            Ok((ping, text))
        })?);
    }
    let what = format!("TCP from the office to the client for {} s", args.seconds);
    let transfer = steps.run(&what, || {
        let transfer = traffic::transfer(&stage, &up, Duration::from_secs(args.seconds))
            .map_err(|failure| client.explain(gateway.explain(failure)))?;
        let text = transfer.to_string();
        Ok((transfer, text))
    })?;

    let at_client_now = status::fetch(&mut at_client, None)?;
    let at_gateway_now = status::fetch(&mut at_gateway, None)?;
    let leases = pools::fetch(&mut at_gateway)?;
    steps.show("on the client (cygnet status)", &status::render(&at_client_now));
    steps.show("on the gateway (cygnet status)", &status::render(&at_gateway_now));
    steps.show("on the gateway (cygnet leases)", &pools::render_leases(&leases));
    if args.json {
        report::print(&report::Report {
            nat: stage.nat.is_ok(),
            tunnel_ms,
            up: &up,
            pings: &pings,
            transfer: &transfer,
            client: at_client_now,
            gateway: at_gateway_now,
            pools: leases,
            seconds: begun.elapsed().as_secs_f64(),
        });
    }
    if args.keep {
        steps.keep(&gateway, &client);
        return Ok(stage);
    }
    steps.run("client takes its tunnel down (cygnet down home)", || {
        take_down(&mut at_client)?;
        Ok(((), "deleted on both ends".to_owned()))
    })?;
    Ok(stage)
}

fn load_into(client: &mut Client, directory: &std::path::Path, daemon: &Daemon) -> Result<String, Failure> {
    struct Failures(Vec<String>);
    impl Progress for Failures {
        fn loaded(&mut self, _what: &str) {}
        fn failed(&mut self, text: &str) {
            self.0.push(text.to_owned());
        }
    }
    let read = source::swanctl(Some(&directory.join("swanctl.conf")))?;
    let source = Source { directory: directory.to_path_buf(), ..read };
    let mut failures = Failures(Vec::new());
    let secrets = load::credentials(&source, false, None, client, &mut failures)?;
    let pools = load::pools(&source, client, &mut failures)?;
    let conns = load::connections(&source, client, &mut failures)?;
    if !failures.0.is_empty() {
        return Err(daemon.explain(Failure::new(FAILED, failures.0.join("; "))));
    }
    let mut parts = Vec::new();
    for (count, noun) in [(conns.loaded, "connection"), (pools.loaded, "pool"), (secrets.loaded, "secret")] {
        match count {
            0 => {}
            1 => parts.push(format!("1 {noun}")),
            _ => parts.push(format!("{count} {noun}s")),
        }
    }
    Ok(parts.join(", "))
}

fn bring_up(client: &mut Client) -> Result<IkeSa, Failure> {
    let mut message = Section::default();
    message.put("ike", "home").put("child", "office").put("timeout", UP.as_millis());
    client.set_timeout(Some(UP + Duration::from_secs(5)));
    let answer = client.request("initiate", message)?;
    succeeded("cygnet up home", &answer)?;
    let sas = status::fetch(client, Some("home"))?;
    sas.into_iter()
        .find(|sa| sa.state == "ESTABLISHED" && !sa.child_sas.is_empty())
        .ok_or_else(|| Failure::new(FAILED, "the daemon says the tunnel is up, but lists none"))
}

fn take_down(client: &mut Client) -> Result<(), Failure> {
    let mut message = Section::default();
    message.put("ike", "home").put("timeout", 10_000);
    let answer = client.request("terminate", message)?;
    succeeded("cygnet down home", &answer)
}
