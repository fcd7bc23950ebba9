//! `strongswan.conf`: read at start, on SIGHUP and by `reload-settings`.
use crate::conf::Conf;
use crate::control::{self, Desk, Outcome};
use crate::observers::log::{Log, Origin, Voice, sinks};
use crate::stores::attributes::global_attributes;
use arc_swap::ArcSwap;
use ike::io::{Group, StartActions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wire::ike::ConfigAttr;

/// Where the file is unless `STRONGSWAN_CONF` or `--conf` says otherwise.
const DEFAULT_FILE: &str = "/etc/strongswan.conf";

/// Reads the file, and applies what may change while the daemon runs.
pub(crate) struct Reloader {
    pub(crate) file: PathBuf,
    /// Named by the operator: then it must exist.
    pub(crate) named: bool,
    pub(crate) origin: Origin,
    pub(crate) log: Arc<Log>,
    pub(crate) attributes: Arc<ArcSwap<Vec<ConfigAttr>>>,
}

impl Reloader {
    /// Which file: the option, then the environment, then the default.
    pub(crate) fn choose(option: Option<&Path>) -> (PathBuf, bool) {
        match option.map(Path::to_owned).or_else(|| std::env::var_os("STRONGSWAN_CONF").map(PathBuf::from)) {
            Some(path) => (path, true),
            None => (PathBuf::from(DEFAULT_FILE), false),
        }
    }

    /// Reads the file. Missing without being named: all defaults.
    pub(crate) fn read(&self) -> Result<Conf, String> {
        if !self.named && !self.file.exists() {
            return Ok(Conf::default());
        }
        crate::parse::file(&self.file).map(|root| Conf::new(&root))
    }

    /// Opens the loggers and takes the attributes.
    pub(crate) fn apply(&self, conf: &Conf, reopen: bool) {
        let opened = sinks(conf, &self.origin, reopen);
        self.log.configure(opened.sinks);
        for complaint in conf.warnings.iter().cloned().chain(opened.complaints) {
            self.log.say(Voice::Main, Group::Dmn, 1, complaint);
        }
        let (attributes, complaints) = global_attributes(conf);
        self.attributes.store(Arc::new(attributes));
        for complaint in complaints {
            self.log.say(Voice::Main, Group::Cfg, 1, complaint);
        }
    }

    /// Reads the file again. On an error everything stays as it was.
    pub(crate) async fn reload(&self, desk: &Desk, reopen: bool) -> Outcome {
        let conf = match self.read() {
            Ok(conf) => conf,
            Err(why) => {
                self.log.say(
                    Voice::Main,
                    Group::Cfg,
                    0,
                    format!("{} not loaded: {why}", self.file.display()),
                );
                return Err(why);
            }
        };
        self.apply(&conf, reopen);
        desk.observers.radius.settings(conf.radius().clone());
        let (dhcp, complaints) = crate::stores::dhcp::Settings::new(&conf);
        for complaint in complaints {
            self.log.say(Voice::Main, Group::Cfg, 0, complaint);
        }
        desk.dhcp.configure(dhcp);
        let settings = conf.credentials().clone();
        let tokens_again =
            settings.pkcs11_reload_certs || settings.pkcs11 != desk.credentials.settings.load().pkcs11;
        if let Err(why) = desk.credentials.configure(&settings) {
            self.log.say(Voice::Main, Group::Cfg, 0, why);
        }
        if tokens_again {
            control::credentials::read_tokens(desk).await;
        }
        control::credentials::read_vault(desk).await;
        {
            let mut store = desk.store.lock().await;
            store.settings = conf.engine(desk.data_plane, desk.abilities);
            store.credentials.settings = settings;
            desk.shard.command(store.reload(StartActions::default())).await;
        }
        control::database::read(desk, conf.text("plugins.sql.database")).await;
        Ok(())
    }
}
