//! Start and stop, in order, on one page.
use crate::args::Args;
use crate::asks::Asks;
use crate::asks::dns;
use crate::asks::eap::Eaps;
use crate::asks::eap::local::Methods;
use crate::asks::judge::Judges;
use crate::asks::lease::Leases;
use crate::asks::plane::{self, Names, Plane, Wishes};
use crate::asks::radius;
use crate::asks::resolve::{PathRules, Resolver};
use crate::asks::sign::Signers;
use crate::conf::Conf;
use crate::control::events::Registry;
use crate::control::stats::Started;
use crate::control::store::Store;
use crate::control::{self, Desk, Listener};
use crate::credentials::Shared;
use crate::data_plane::DataPlane;
use crate::interfaces::Interfaces;
use crate::observers::commands::Commands;
use crate::observers::counters::Counters;
use crate::observers::log::{Log, Origin, Voice};
use crate::observers::{Observers, updown};
use crate::reload::Reloader;
use crate::shard::{self, Shard};
use crate::sockets::{Port, Sockets};
use crate::stores::chosen::Chosen;
use crate::stores::detours::Detours;
use crate::stores::dhcp::Dhcp;
use crate::stores::memory::Memory;
use crate::stores::radius::Radius;
use crate::stores::{self, Stores};
use crate::{neighbours, notices, scripts};
use anyhow::{Context, Result, bail};
use arc_swap::ArcSwap;
use config::NetworkSettings;
use ike::Engine;
use ike::io::{Command, Group};
use linux::dns::Keeper;
use linux::network::Network;
use linux::nft::returns::Returns;
use linux::udp::UdpOptions;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How long the peers have to confirm our deletes at the end.
const SHUTDOWN: Duration = Duration::from_secs(4);
/// How long updown scripts have at the end.
const SCRIPTS: Duration = Duration::from_secs(5);
/// How long RADIUS servers have to take the last records at the end.
const RECORDS: Duration = Duration::from_secs(5);
/// How long one start or stop script may run.
const SCRIPT: Duration = Duration::from_secs(30);
/// How often counters are looked at for liveness and inactivity.
const TICK: Duration = Duration::from_secs(1);

/// Runs the daemon until it is told to end.
pub(crate) async fn run(args: Args) -> Result<()> {
    // 1. Log and settings.
    let clients = Arc::new(Registry::default());
    let log = Log::start(clients.clone()).context("starting the log")?;
    let (file, named) = Reloader::choose(args.conf.as_deref());
    let attributes = Arc::new(ArcSwap::from_pointee(Vec::new()));
    let origin = Origin { levels: args.levels, use_syslog: args.use_syslog };
    let reloader =
        Arc::new(Reloader { file, named, origin, log: log.clone(), attributes: attributes.clone() });
    let conf = match reloader.read() {
        Ok(conf) => conf,
        Err(why) => bail!("{}\n{why}", reloader.file.display()),
    };
    reloader.apply(&conf, false);
    let version = env!("CARGO_PKG_VERSION");
    log.say(Voice::Main, Group::Dmn, 1, format!("Starting IKE daemon cygnetd {version} (Cygnet)"));

    say_what_is_missing(&conf, &log);
    let chosen = crate::data_plane::choose(&conf);
    let data_plane = chosen.as_ref().map_or(DataPlane::Userspace, |(plane, _)| *plane);
    let abilities = data_plane.abilities();
    let settings = conf.engine(data_plane, abilities);

    // 2. Control socket: its failure must be known before anything is changed on the host.
    let uri = conf.text("plugins.vici.socket").unwrap_or(control::DEFAULT_SOCKET).to_owned();
    let listener = Listener::open(&uri).await.context("opening the vici socket")?;

    // What shall survive must be readable, or nothing starts.
    let memory = Arc::new(memory(&conf, &log).await?);

    // 3. Host state; what a crashed predecessor left is undone here.
    let mut wishes = wishes(conf.network());
    let mut network = Network::open(state_file("network", &log).as_deref()).context("opening netlink")?;
    let names = names(&conf, &log)?;
    let returns = Returns::open(state_file("connmark", &log));

    // 4. Sockets and data plane.
    let options = UdpOptions { mark: wishes.paths.mark, receive_buffer: 4 << 20, ..UdpOptions::default() };
    let use_v4 = conf.flag("plugins.socket-default.use_ipv4", true);
    let use_v6 = conf.flag("plugins.socket-default.use_ipv6", true);
    let ike_port = Port::open(settings.port, &options, use_v4, use_v6, &log);
    let nat_t = Port::open(settings.port_nat_t, &options, use_v4, use_v6, &log);
    if ike_port.is_closed() && nat_t.is_closed() {
        bail!("neither port {} nor port {} could be opened", settings.port, settings.port_nat_t);
    }
    let sockets = Arc::new(Sockets::new(ike_port, nat_t, log.clone()));
    let (shard, shard_inbox) = shard::Handle::new();
    let (plane, plane_inbox) = plane::Handle::new();
    let (backend, missing) = notices::start_backend(&conf, chosen, &sockets, &wishes, &shard, &plane, &log);
    let plane_name = backend.as_ref().map(|backend| backend.name().to_owned());
    // Without its routes no packet would find a device of ours: they are its policies, as with kernel-libipsec.
    wishes.install_routes |= backend.as_ref().is_some_and(|backend| backend.device().is_some());
    if backend.is_none() {
        log.say(Voice::Main, Group::Knl, 0, format!("no data plane: {missing}; IKE_SAs only, no CHILD_SAs"));
    }
    let device = backend.as_ref().and_then(|backend| backend.device());
    // ESP in user space has lanes that read the NAT-T port.
    let ears = sockets.ears(device.is_none());
    let firewall = firewall(&conf, device.as_deref(), [settings.port, settings.port_nat_t], &log)?;
    let paths = wishes.paths;
    let returns = conf.loads("connmark", false).then_some(returns);
    let own_changes = network.netlink().port();
    Plane {
        backend,
        device: device.map(Into::into),
        missing,
        network,
        firewall,
        names,
        returns,
        wishes,
        addresses: Default::default(),
        last_way: None,
        shard: shard.clone(),
        log: log.clone(),
    }
    .start(plane_inbox)
    .context("starting the data plane's thread")?;
    let interfaces = Interfaces::new(&conf);
    shard.ignore(interfaces.ignored(&log));
    let neighbours = match conf.loads("farp", false) {
        true => neighbours::Handle::start(log.clone()),
        false => neighbours::Handle::default(),
    };
    notices::watch_network(&plane, own_changes, &shard, &neighbours, interfaces, &log);

    // 5. RADIUS, observers, engine.
    let (radius, radius_inbox) = radius::Handle::new();
    let observers = Arc::new(Observers {
        log: log.clone(),
        clients,
        counters: Arc::new(Counters::default()),
        commands: Arc::new(Commands::default()),
        updown: updown::Handle::new(
            log.clone(),
            tokio::runtime::Handle::current(),
            conf.network().dns_handler,
        ),
        radius: radius.clone(),
        neighbours,
    });
    let world = radius::World {
        shard: shard.clone(),
        log: log.clone(),
        clients: observers.clients.clone(),
        commands: observers.commands.clone(),
    };
    radius_inbox.start(conf.radius().clone(), world, seeded()?);
    let credentials = Arc::new(Shared::new());
    if let Err(why) = credentials.configure(conf.credentials()) {
        log.say(Voice::Main, Group::Cfg, 0, why);
    }
    let mut store = Store::new(settings, credentials.clone());
    store.credentials.settings = conf.credentials().clone();
    let engine =
        Engine::new(shard::now(), seeded()?, Arc::new(store.snapshot()), ike::Shard { index: 0, bits: 0 });
    let (dhcp_settings, complaints) = stores::dhcp::Settings::new(&conf);
    for complaint in complaints {
        log.say(Voice::Main, Group::Cfg, 0, complaint);
    }
    let dhcp = Dhcp::start(dhcp_settings, log.clone(), shard.clone(), observers.commands.clone(), seeded()?);
    let stores = Arc::new(Stores {
        others: other_stores(&conf, &log, (&radius, dhcp.clone()), (&credentials, &memory)),
        memory: memory.clone(),
        order: pool_order(&conf),
        detours: Detours::default(),
    });
    let asks = Asks {
        eap: Eaps::new(radius.clone(), Methods::new(shard.clone(), credentials.clone())),
        leases: Leases::new(stores.clone(), attributes, log.clone(), shard.clone()),
        plane: plane::Parcel::new(plane.clone()),
        resolver: Resolver::new(shard.clone(), paths),
        signers: Signers::new(shard.clone(), credentials.clone()),
        judges: Judges::new(shard.clone(), credentials.clone(), log.clone()),
    };
    let machine = Shard::new(engine, sockets.clone(), ears, asks, observers.clone(), &shard_inbox)?;
    machine.start(shard_inbox, tokio::runtime::Handle::current()).context("starting the engine's thread")?;
    tokio::spawn(plane.clone().keep_looking(TICK));
    tokio::spawn(memory.clone().keep_time());

    // 6. Operators.
    let desk = Arc::new(Desk {
        shard: shard.clone(),
        plane: plane.clone(),
        plane_name,
        data_plane,
        abilities,
        observers: observers.clone(),
        log: log.clone(),
        stores,
        dhcp,
        store: tokio::sync::Mutex::new(store),
        credentials,
        reloader: reloader.clone(),
        sockets,
        started: Started { mono: linux::clock::monotonic_ms(), wall: jiff::Zoned::now() },
    });
    control::credentials::read_tokens(&desk).await;
    control::database::read(&desk, conf.text("plugins.sql.database")).await;
    let _beside = run_scripts(&conf, "start-scripts", &log);
    linux::memory::give_back();
    let _no_systemd = sd_notify::notify(&[sd_notify::NotifyState::Ready]);

    // 7. Work, until a signal.
    tokio::select! {
        () = control::serve(&listener, desk.clone()) => {}
        name = signals(&desk) => {
            log.say(Voice::Main, Group::Dmn, 0, format!("{} received, shutting down", name?));
        }
    }

    // 8. Backwards.
    let _no_systemd = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    listener.close();
    let waiter = observers.commands.open(-1);
    radius.stopping().await;
    shard.command(Command::Shutdown { id: waiter.id }).await;
    if tokio::time::timeout(SHUTDOWN, waiter.outcome).await.is_err() {
        log.say(Voice::Main, Group::Dmn, 1, "some peers did not confirm the end of their IKE_SAs in time");
    }
    observers.updown.finish(SCRIPTS).await;
    radius.finish(RECORDS).await;
    if tokio::time::timeout(SHUTDOWN, plane.stop()).await.is_err() {
        log.say(Voice::Main, Group::Knl, 0, "the data plane did not stop in time");
    }
    match tokio::time::timeout(SHUTDOWN, memory.finish()).await {
        Ok(Ok(())) => {}
        Ok(Err(why)) => {
            log.say(Voice::Main, Group::Cfg, 0, format!("the lease store was not completed: {why}"))
        }
        Err(_late) => log.say(Voice::Main, Group::Cfg, 0, "the lease store was not completed in time"),
    }
    let conf = reloader.read().unwrap_or(conf);
    let _ended = run_scripts(&conf, "stop-scripts", &log).await;
    log.flush();
    Ok(())
}

/// Becomes `charon.user` and `charon.group` where they are set, and keeps what a keying daemon needs.
pub(crate) fn drop_privileges(args: &Args) -> Result<()> {
    use linux::privilege::Capability;
    let (file, _) = Reloader::choose(args.conf.as_deref());
    // What cannot be read is reported by the start proper.
    let Ok(root) = crate::parse::file(&file) else { return Ok(()) };
    let conf = Conf::new(&root);
    let (user, group) = (conf.text("user"), conf.text("group"));
    if user.is_none() && group.is_none() {
        return Ok(());
    }
    let keep =
        [Capability::NetBindService, Capability::NetAdmin, Capability::NetRaw, Capability::DacOverride];
    linux::privilege::drop_to(user, group, &keep).context("changing user and group")
}

/// Keys that are valid and that we cannot obey: said aloud, never passed over.
fn say_what_is_missing(conf: &Conf, log: &Log) {
    let off = |key: &str| !conf.flag(key, true);
    let missing = [
        ("ignore_routing_tables", conf.text("ignore_routing_tables").is_some()),
        ("process_route", off("process_route")),
        ("plugins.socket-default.set_source", off("plugins.socket-default.set_source")),
    ];
    for (key, _) in missing.iter().filter(|(_, set)| *set) {
        log.say(
            Voice::Main,
            Group::Cfg,
            0,
            format!("charon.{key} is not supported by this version of cygnetd"),
        );
    }
}

/// Waits for the signal to end; SIGHUP reloads meanwhile.
async fn signals(desk: &Desk) -> Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok("SIGTERM"),
            _ = interrupt.recv() => return Ok("SIGINT"),
            _ = hangup.recv() => {
                desk.log.say(Voice::Main, Group::Dmn, 1, "signal of type SIGHUP received. Reloading configuration");
                // What is wrong is in the log, and nothing was changed.
                let _logged = desk.reloader.reload(desk, true).await;
            }
        }
    }
}

/// Runs `start-scripts` or `stop-scripts` one after the other.
fn run_scripts(conf: &Conf, section: &str, log: &Arc<Log>) -> tokio::task::JoinHandle<()> {
    let commands: Vec<(String, String)> = conf
        .keys(section)
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), conf.text(&format!("{section}.{name}"))?.to_owned())))
        .collect();
    let log = log.clone();
    let section = section.to_owned();
    // Beside everything else: a start script may well call swanctl.
    let work = async move {
        for (name, command) in commands {
            let outcome = scripts::run(&command, &[], SCRIPT, |line| {
                log.say(Voice::Script, Group::Dmn, 1, format!("{section}: {line}"));
            })
            .await;
            if let Err(e) = outcome {
                log.say(Voice::Script, Group::Dmn, 1, format!("{section}.{name}: {e}"));
            }
        }
    };
    tokio::spawn(work)
}

/// The pools in memory, with the file that keeps their leases (`charon.pool_store`).
async fn memory(conf: &Conf, log: &Arc<Log>) -> Result<Memory> {
    let Some(path) = conf.text("pool_store").filter(|path| !path.is_empty()) else {
        return Ok(Memory::default());
    };
    let voice = log.clone();
    let say = Box::new(move |line| voice.say(Voice::Main, Group::Cfg, 0, line));
    let memory = Memory::kept_in(Path::new(path), say).await?;
    log.say(Voice::Main, Group::Cfg, 1, format!("leases of pools in memory are kept in {path}"));
    Ok(memory)
}

/// The stores that may have to wait, in the order in which charon loads its plugins.
fn other_stores(
    conf: &Conf,
    log: &Arc<Log>,
    (radius, dhcp): (&radius::Handle, Arc<Dhcp>),
    (credentials, memory): (&Arc<Shared>, &Arc<Memory>),
) -> Vec<Arc<dyn pool::Store>> {
    let radius: Arc<dyn pool::Store> = Arc::new(Radius::new(radius.clone(), memory.held().clone()));
    let chosen: Arc<dyn pool::Store> = Arc::new(Chosen::new(credentials.clone(), memory.clone()));
    let dhcp: Arc<dyn pool::Store> = dhcp;
    stores::sql::start(conf, log).into_iter().chain([radius, dhcp, chosen]).collect()
}

/// Which pool is asked first (`charon.pool_order`).
fn pool_order(conf: &Conf) -> stores::Order {
    match conf.text("pool_order") {
        Some("plugins") => stores::Order::Plugins,
        Some(_) | None => stores::Order::Connection,
    }
}

/// The generator, seeded by the system.
fn seeded() -> Result<crypto::Rng> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| anyhow::anyhow!("no randomness from the system: {e}"))?;
    Ok(crypto::Rng::from_seed(seed))
}

/// The firewall table, where one is wanted; a predecessor's goes in any case.
fn firewall(
    conf: &Conf,
    device: Option<&str>,
    ports: [u16; 2],
    log: &Log,
) -> Result<Option<plane::Firewall>> {
    let file = state_file("firewall", log);
    if let Err(why) = plane::clean_firewall(file.as_ref()) {
        log.say(Voice::Main, Group::Knl, 0, why);
    }
    if !conf.flag("firewall", false) {
        return Ok(None);
    }
    // Without it nothing may start: somebody relies on it.
    let firewall = plane::Firewall::start(device, ports, file).map_err(anyhow::Error::msg);
    firewall.map(Some).context("charon.firewall = yes")
}

/// What the configuration says about routes and addresses.
fn wishes(network: &NetworkSettings) -> Wishes {
    let (rule, socket_mark) = network.marks();
    let table = network.routing_table;
    Wishes {
        install_routes: network.install_routes,
        table,
        priority: network.routing_table_prio,
        install_virtual_ip: network.install_virtual_ip,
        install_virtual_ip_on: network.install_virtual_ip_on.clone(),
        rule_mark: Some((rule.value, rule.mask, rule.invert)),
        install_routes_xfrmi: network.install_routes_xfrmi,
        mtu: network.mtu,
        paths: PathRules {
            mark: socket_mark,
            table: Some(table),
            prefer_temporary: network.prefer_temporary_addrs,
        },
    }
}

/// Where the host state we changed is written down: one file per network namespace, since several daemons may run
/// on one machine.
pub(crate) fn state_file(what: &str, log: &Log) -> Option<PathBuf> {
    let directory = Path::new("/run/cygnet");
    if let Err(e) = std::fs::create_dir_all(directory) {
        log.say(
            Voice::Main,
            Group::Knl,
            1,
            format!("{}: {e}; nothing can be undone after a crash", directory.display()),
        );
        return None;
    }
    let namespace = std::fs::metadata("/proc/self/ns/net").map(|meta| meta.ino()).unwrap_or_default();
    Some(directory.join(format!("{what}-{namespace}.state")))
}

/// Where DNS servers of gateways go; what a crashed predecessor left there is undone.
fn names(conf: &Conf, log: &Arc<Log>) -> Result<Names> {
    let network = conf.network();
    let Some(target) = dns::target(network) else {
        return Ok(if network.dns_handler { Names::Updown } else { Names::Nowhere });
    };
    let (state, say) = (state_file("dns", log), log.clone());
    let keeper = Keeper::start(target.clone(), state, move |text| {
        say.say(Voice::Plane, Group::Ike, 0, text);
    })
    .context("starting the keeper of DNS servers")?;
    Ok(Names::Host { keeper, target: target.to_string() })
}
