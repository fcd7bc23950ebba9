//! The vici server: accepts clients, and knows all commands.

mod act;
mod authorities;
mod client;
pub(crate) mod credentials;
pub(crate) mod database;
pub(crate) mod events;
mod list;
mod load;
mod pools;
mod secrets;
pub(crate) mod stats;
pub(crate) mod store;
mod trace;
pub(crate) mod view;

use crate::asks::plane;
use crate::credentials::Shared;
use crate::data_plane::DataPlane;
use crate::observers::Observers;
use crate::observers::log::{Log, Voice};
use crate::shard;
use crate::stores::Stores;
use anyhow::{Context, Result, bail};
use client::Client;
use config::tree::Section;
use dataplane::Abilities;
use ike::io::Group;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::{TcpListener, UnixListener};
use vici::Message;

/// Where the socket is unless `charon.plugins.vici.socket` says otherwise.
pub(crate) const DEFAULT_SOCKET: &str = "unix:///var/run/charon.vici";
/// Clients at a time.
const CLIENTS: usize = 256;

/// Everything commands work on.
pub(crate) struct Desk {
    pub(crate) shard: shard::Handle,
    pub(crate) plane: plane::Handle,
    /// `None`: there is no data plane.
    pub(crate) plane_name: Option<String>,
    /// Which one was chosen.
    pub(crate) data_plane: DataPlane,
    /// And what it can.
    pub(crate) abilities: Abilities,
    pub(crate) observers: Arc<Observers>,
    pub(crate) log: Arc<Log>,
    pub(crate) stores: Arc<Stores>,
    pub(crate) dhcp: Arc<crate::stores::dhcp::Dhcp>,
    pub(crate) store: tokio::sync::Mutex<store::Store>,
    pub(crate) credentials: Arc<Shared>,
    pub(crate) reloader: Arc<crate::reload::Reloader>,
    pub(crate) sockets: Arc<crate::sockets::Sockets>,
    pub(crate) started: stats::Started,
}

/// For a daemon that dies to close its socket.
const DYING: std::time::Duration = std::time::Duration::from_millis(300);

/// A listening socket.
pub(crate) enum Listener {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
}

impl Listener {
    /// Opens the socket of a URI, `unix://PATH` or `tcp://HOST:PORT`. What is left of a dead daemon is removed.
    pub(crate) async fn open(uri: &str) -> Result<Self> {
        if let Some(path) = uri.strip_prefix("unix://") {
            let path = Path::new(path);
            if somebody_listens(path).await {
                bail!("another daemon answers on {}", path.display());
            }
            if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
                std::fs::remove_file(path).with_context(|| format!("removing {}", path.display()))?;
            }
            let listener = UnixListener::bind(path).with_context(|| format!("binding {}", path.display()))?;
            // Whoever can open the socket controls the daemon: owner and group only.
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o770))?;
            Ok(Self::Unix(listener, path.to_owned()))
        } else if let Some(address) = uri.strip_prefix("tcp://") {
            Ok(Self::Tcp(TcpListener::bind(address).await.with_context(|| format!("binding {uri}"))?))
        } else {
            bail!("vici socket '{uri}': only unix:// and tcp:// are supported");
        }
    }

    /// Removes the socket's file.
    pub(crate) fn close(self) {
        if let Self::Unix(listener, path) = self {
            drop(listener);
            let _gone = std::fs::remove_file(path);
        }
    }
}

/// Whether a daemon has this socket open, and keeps it open: one that was killed may take a moment to be gone.
async fn somebody_listens(path: &Path) -> bool {
    use tokio::io::AsyncReadExt as _;
    let Ok(mut stream) = tokio::net::UnixStream::connect(path).await else { return false };
    // A daemon says nothing before it is asked; the kernel hangs up for one that has died.
    tokio::time::timeout(DYING, stream.read_u8()).await.is_err()
}

/// Accepts clients for ever.
pub(crate) async fn serve(listener: &Listener, desk: Arc<Desk>) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let places = Arc::new(tokio::sync::Semaphore::new(CLIENTS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let accepted = match listener {
            Listener::Unix(listener, _) => listener.accept().await.map(|(stream, _)| {
                let (reader, writer) = stream.into_split();
                tokio::spawn(Client::run(id, reader, writer, desk.clone(), place));
            }),
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                let (reader, writer) = stream.into_split();
                tokio::spawn(Client::run(id, reader, writer, desk.clone(), place));
            }),
        };
        if let Err(e) = accepted {
            desk.log.say(Voice::Control, Group::Cfg, 1, format!("accepting a vici client failed: {e}"));
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

/// Runs one command; `None`: there is no such command.
pub(crate) async fn command(client: &mut Client, name: &str, message: &Section) -> Option<Section> {
    let desk = client.desk.clone();
    let desk = &*desk;
    Some(match name {
        "version" => stats::version(),
        "stats" => stats::stats(desk).await,
        "reload-settings" => done(desk.reloader.reload(desk, false).await),
        "initiate" => act::initiate(client, message).await,
        "terminate" => act::terminate(client, message).await,
        "rekey" => act::rekey(desk, message).await,
        "redirect" => act::redirect(desk, message).await,
        "install" => act::install(desk, message).await,
        "uninstall" => act::uninstall(desk, message).await,
        "list-sas" => list::sas(client, message).await,
        "list-policies" => list::policies(client, message).await,
        "list-conns" => list::conns(client, message).await,
        "get-conns" => list::get_conns(desk).await,
        "list-certs" => credentials::list_certs(client, message).await,
        "list-authorities" => authorities::stream(client, message).await,
        "get-authorities" => authorities::list(desk).await,
        "load-conn" => done(load::conn(desk, message).await),
        "unload-conn" => done(load::unload_conn(desk, message).await),
        "load-cert" => done(credentials::load_cert(desk, message).await),
        "load-key" => keyed(credentials::load_key(desk, message).await),
        "unload-key" => done(credentials::unload_key(desk, message).await),
        "get-keys" => credentials::get_keys(desk).await,
        "load-token" => keyed(credentials::load_token(desk, message).await),
        "load-shared" => done(secrets::load(desk, message).await),
        "unload-shared" => done(secrets::unload(desk, message).await),
        "get-shared" => secrets::list(desk).await,
        "flush-certs" => done(credentials::flush_certs(desk, message)),
        "clear-creds" => done(credentials::clear(desk).await),
        "load-authority" => done(authorities::load(desk, message).await),
        "unload-authority" => done(authorities::unload(desk, message).await),
        "load-pool" => done(load::pool(desk, message)),
        "unload-pool" => done(load::unload_pool(desk, message)),
        "get-pools" => pools::get(desk, message),
        "list-pools" => pools::list(client, message).await,
        "list-leases" => pools::leases(client, message).await,
        "get-algorithms" => stats::algorithms(),
        "get-counters" => stats::counters(desk, message),
        "trace" => trace::trace(desk, message).await,
        "reset-counters" => stats::reset_counters(desk, message),
        _ => return None,
    })
}

/// A command that can only work or not.
pub(crate) type Outcome = Result<(), String>;

/// `success` and `errmsg`.
fn done(outcome: Outcome) -> Section {
    let mut out = Section::default();
    out.put_bool("success", outcome.is_ok());
    if let Err(why) = outcome {
        out.put("errmsg", why);
    }
    out
}

/// A refusal in the same form.
fn refused(why: impl Into<String>) -> Section {
    done(Err(why.into()))
}

/// `success`, `errmsg`, and the id of a key.
fn keyed(outcome: Result<String, String>) -> Section {
    let id = outcome.as_ref().ok().cloned();
    let mut out = done(outcome.map(drop));
    if let Some(id) = id {
        out.put("id", id);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::Listener;
    use tokio::net::UnixListener;

    #[tokio::test]
    async fn a_daemon_that_dies_is_no_other_daemon() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vici");
        let uri = format!("unix://{}", path.display());
        let other = UnixListener::bind(&path).unwrap();
        let refused = Listener::open(&uri).await.err().unwrap();
        assert!(refused.to_string().contains("another daemon answers on"), "{refused}");
        // It goes while it is looked at.
        let (opened, ()) = tokio::join!(Listener::open(&uri), async { drop(other) });
        opened.unwrap().close();
        assert!(!path.exists());
    }
}
