//! Fresh databases: SQLite files, and a MariaDB and a PostgreSQL that this test process runs for itself.
use sql::{Connection, Kind, Uri};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Every kind.
pub(crate) const KINDS: [Kind; 3] = [Kind::Sqlite, Kind::Mysql, Kind::Postgres];

/// A database that was not there before.
pub(crate) struct Fresh {
    pub(crate) uri: Uri,
    pub(crate) text: String,
    /// Where the server listens.
    pub(crate) port: u16,
    _dir: Option<TempDir>,
}

/// An empty database without tables.
pub(crate) async fn fresh(kind: Kind) -> Fresh {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let name = format!("vpn{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    if kind == Kind::Sqlite {
        // In memory: each of the thousands of transactions of these tests would wait for the disk.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let text = format!("sqlite://{}/ipsec.db", dir.path().display());
        return Fresh { uri: Uri::parse(&text).unwrap(), text, port: 0, _dir: Some(dir) };
    }
    let port = tokio::task::spawn_blocking(move || server(kind)).await.unwrap();
    let at = |database: &str| match kind {
        Kind::Mysql => format!("mysql://root@127.0.0.1:{port}/{database}"),
        Kind::Sqlite | Kind::Postgres => {
            format!("postgresql://cygnet@127.0.0.1:{port}/{database}?sslmode=disable")
        }
    };
    let main = Uri::parse(&at(if kind == Kind::Mysql { "mysql" } else { "postgres" })).unwrap();
    let up = async {
        loop {
            // It listens before it is ready.
            match Connection::open(&main, false).await {
                Ok(connection) => break connection,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let mut connection = tokio::time::timeout(Duration::from_secs(40), up).await.unwrap();
    connection.script(Box::leak(format!("CREATE DATABASE {name}").into_boxed_str())).await.unwrap();
    connection.close().await;
    let text = at(&name);
    Fresh { uri: Uri::parse(&text).unwrap(), text, port, _dir: None }
}

/// The port of this process's server.
fn server(kind: Kind) -> u16 {
    static MARIADB: OnceLock<u16> = OnceLock::new();
    static POSTGRES: OnceLock<u16> = OnceLock::new();
    match kind {
        Kind::Mysql => *MARIADB.get_or_init(|| start("mariadb")),
        Kind::Sqlite | Kind::Postgres => *POSTGRES.get_or_init(|| start("postgres")),
    }
}

fn start(name: &'static str) -> u16 {
    let mut hasher = DefaultHasher::new();
    env!("CARGO_TARGET_TMPDIR").hash(&mut hasher);
    let dir = std::env::temp_dir().join(format!("cygnet-{name}-{:x}", hasher.finish()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    if root() {
        std::os::unix::fs::chown(&dir, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    // The server ends with the thread that started it, so that one must stay.
    let (data, started) = (dir.join("data"), std::sync::mpsc::channel());
    std::thread::spawn(move || {
        let mut child =
            if name == "mariadb" { mariadb(&dir, &data, port) } else { postgres(&dir, &data, port) };
        started.0.send(()).unwrap();
        let _ = child.wait();
    });
    started.1.recv().unwrap();
    let deadline = Instant::now() + Duration::from_secs(40);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < deadline, "{name} did not come up");
        std::thread::sleep(Duration::from_millis(50));
    }
    port
}

const NOBODY: u32 = 65534;

fn root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
}

/// A command that is not root's and ends with who starts it.
fn unprivileged(dir: &Path, program: &str) -> Command {
    let mut command = Command::new("setpriv");
    if root() {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    command.args(["--pdeathsig=QUIT", program]);
    command.current_dir(dir).env("HOME", dir).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).unwrap());
    command
}

fn mariadb(dir: &Path, data: &Path, port: u16) -> std::process::Child {
    let small = ["--innodb-log-file-size=8M", "--innodb-flush-log-at-trx-commit=0"];
    let mut install = unprivileged(dir, "mariadb-install-db");
    install.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
    install.args(["--auth-root-authentication-method=normal", "--skip-test-db"]).args(small);
    assert!(install.status().unwrap().success(), "mariadb-install-db: see {}", dir.join("log").display());
    let mut command = unprivileged(dir, "/usr/sbin/mariadbd");
    command.arg("--no-defaults").arg(format!("--datadir={}", data.display())).arg(format!("--port={port}"));
    command.arg(format!("--socket={}", dir.join("socket").display())).arg("--bind-address=127.0.0.1");
    command.args(small).args(["--skip-log-bin", "--innodb-buffer-pool-size=32M"]);
    command.spawn().unwrap()
}

/// Where Debian puts the programs of the server.
fn postgres_programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").unwrap();
    let newest =
        versions.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok()).max().unwrap();
    PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin"))
}

fn postgres(dir: &Path, data: &Path, port: u16) -> std::process::Child {
    let programs = postgres_programs();
    let mut init = unprivileged(dir, &programs.join("initdb").display().to_string());
    init.arg("-D").arg(data).args(["-A", "trust", "-U", "cygnet", "--no-sync", "-E", "UTF8", "--locale=C"]);
    assert!(init.status().unwrap().success(), "initdb: see {}", dir.join("log").display());
    let mut command = unprivileged(dir, &programs.join("postgres").display().to_string());
    command.arg("-D").arg(data).args([
        "-p",
        &port.to_string(),
        "-k",
        "",
        "-h",
        "127.0.0.1",
        "-c",
        "fsync=off",
    ]);
    command.spawn().unwrap()
}
