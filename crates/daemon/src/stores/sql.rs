//! Pools in a database (`charon.plugins.attr-sql`).
use crate::conf::Conf;
use crate::observers::log::{Log, Voice};
use ike::io::Group;
use pool::Store;
use sql::{Pools, Recovery, Settings, Uri};
use std::sync::Arc;

/// The store, where the configuration names a database.
pub(crate) fn start(conf: &Conf, log: &Arc<Log>) -> Option<Arc<dyn Store>> {
    let key = |name: &str| conf.text(&format!("plugins.attr-sql.{name}"));
    let database = key("database")?;
    if !conf.flag("plugins.attr-sql.load", true) {
        return None;
    }
    let database = match Uri::parse(database) {
        Ok(database) => database,
        Err(why) => {
            log.say(Voice::Main, Group::Cfg, 0, format!("plugins.attr-sql.database: {why}"));
            return None;
        }
    };
    let gateway = key("gateway").map_or_else(host_name, str::to_owned);
    let recovery = match conf.flag("plugins.attr-sql.crash_recovery", true) {
        false => Recovery::Own,
        true if key("crash_recovery").is_some() => Recovery::All,
        true => Recovery::default(),
    };
    log.say(Voice::Main, Group::Cfg, 1, format!("pools in database {database}, as gateway '{gateway}'"));
    let lines = log.clone();
    let settings = Settings {
        recovery,
        history: conf.flag("plugins.attr-sql.lease_history", true),
        say: Arc::new(move |wanted, line| {
            let ike = wanted.map(|wanted| (wanted.connection.clone(), wanted.ike_id));
            lines.line(Voice::Engine, Group::Cfg, 1, ike, line);
        }),
        ..Settings::new(database, gateway)
    };
    Some(Arc::new(Pools::start(settings)))
}

/// What this host calls itself.
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}
