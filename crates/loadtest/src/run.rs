//! A whole run: lanes are started, watched, told to end, and their counts added up.
use crate::Error;
use crate::lane::{Lane, Share, Shared};
use crate::plan::Plan;
use crate::tally::Tally;
use linux::wait::Waker;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the conductor looks.
const LOOK: Duration = Duration::from_millis(50);

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Clients are being set up (or come and go).
    SettingUp,
    /// All that could are up.
    Holding,
    /// All leave.
    Leaving,
}

/// Where a run stands.
#[derive(Debug)]
pub struct Progress<'a> {
    /// What it is doing.
    pub stage: Stage,
    /// Since its beginning.
    pub elapsed: Duration,
    /// What was counted so far.
    pub tally: &'a Tally,
}

/// A run that has ended.
#[derive(Debug)]
pub struct Ended {
    /// What was counted.
    pub tally: Tally,
    /// From the first start until the last client was up or had failed (or the end was called before).
    pub setting_up: Duration,
    /// From the first start to the last goodbye.
    pub elapsed: Duration,
    /// Somebody stopped it.
    pub stopped: bool,
    /// Addresses it came from.
    pub sources: Vec<IpAddr>,
}

/// Carries a plan out. `stop` may be raised from anywhere: then all clients leave and what was counted is returned;
/// `watch` is told how it goes, some ten times a second.
///
/// # Errors
/// A plan out of bounds, sockets that cannot be opened, no route to the gateway.
pub fn run(plan: &Plan, stop: &AtomicBool, watch: &mut dyn FnMut(&Progress<'_>)) -> Result<Ended, Error> {
    plan.check()?;
    let plan = Arc::new(plan.clone());
    let sources = if plan.sources.is_empty() { vec![source(&plan)?] } else { plan.sources.clone() };
    let began = Instant::now();
    let mut lanes: Vec<(Arc<Shared>, JoinHandle<Tally>)> = Vec::new();
    for lane in 0..plan.lanes {
        let shared = Arc::new(Shared {
            ending: AtomicBool::new(false),
            tally: Mutex::default(),
            waker: Waker::new()?,
        });
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)
            .map_err(|e| Error::Thread(format!("no randomness from the system: {e}")))?;
        let share = Share { lane, lanes: plan.lanes };
        let made = Lane::new(&plan, Arc::clone(&shared), share, sources.clone(), seed);
        let started = made.and_then(|made| {
            std::thread::Builder::new()
                .name(format!("load-test-{lane}"))
                .spawn(move || made.run())
                .map_err(|e| Error::Thread(format!("starting a thread: {e}")))
        });
        match started {
            Ok(handle) => lanes.push((shared, handle)),
            Err(error) => {
                end(&lanes);
                return Err(error);
            }
        }
    }
    let mut done_at = None;
    let stopped = loop {
        std::thread::sleep(LOOK);
        let now = Instant::now();
        let tally = sum(&lanes);
        let elapsed = now.saturating_duration_since(began);
        let settled = tally.established.saturating_add(tally.failed) >= u64::from(plan.clients);
        if done_at.is_none() && settled && plan.churn.is_none() {
            done_at = Some(now);
        }
        let stage = if done_at.is_some() { Stage::Holding } else { Stage::SettingUp };
        watch(&Progress { stage, elapsed, tally: &tally });
        let stopped = stop.load(Ordering::Relaxed);
        let nobody_left = done_at.is_some() && tally.up == 0;
        let held = done_at.zip(plan.hold).is_some_and(|(at, hold)| now.saturating_duration_since(at) >= hold);
        let over = plan.duration.is_some_and(|most| elapsed >= most);
        let died = lanes.iter().any(|(_, handle)| handle.is_finished());
        if stopped || nobody_left || held || over || died {
            break stopped;
        }
    };
    let setting_up = done_at.unwrap_or_else(Instant::now).saturating_duration_since(began);
    end(&lanes);
    while !lanes.iter().all(|(_, handle)| handle.is_finished()) {
        std::thread::sleep(LOOK);
        let tally = sum(&lanes);
        watch(&Progress { stage: Stage::Leaving, elapsed: began.elapsed(), tally: &tally });
    }
    let mut tally = Tally::default();
    for (_, handle) in lanes {
        let one =
            handle.join().map_err(|_| Error::Thread("a thread of the load test died: a bug".to_owned()))?;
        tally.join(&one);
    }
    Ok(Ended { tally, setting_up, elapsed: began.elapsed(), stopped, sources })
}

fn end(lanes: &[(Arc<Shared>, JoinHandle<Tally>)]) {
    for (shared, _) in lanes {
        shared.ending.store(true, Ordering::Relaxed);
        shared.waker.wake();
    }
}

fn sum(lanes: &[(Arc<Shared>, JoinHandle<Tally>)]) -> Tally {
    let mut all = Tally::default();
    for (shared, _) in lanes {
        all.join(&shared.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }
    all
}

/// The address that the kernel would come from. Connecting a UDP socket sends nothing.
fn source(plan: &Plan) -> Result<IpAddr, Error> {
    let probe = || {
        let any: IpAddr =
            if plan.gateway.is_ipv4() { [0, 0, 0, 0].into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
        socket.connect(SocketAddr::new(plan.gateway, plan.port))?;
        socket.local_addr().map(|address| address.ip())
    };
    probe().map_err(|e| Error::System(linux::Error::new(format!("no way to {}", plan.gateway), e)))
}
