use super::*;
use policy::Identity;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

fn quiet() -> Voice {
    Box::new(|_| {})
}

fn change(pool: &str, address: &str, owner: Option<(&str, bool, u64)>, claim: bool) -> Change {
    let owned = owner.map(|(name, online, since)| Owned { identity: name.parse().unwrap(), online, since });
    Change { pool: pool.to_owned(), address: address.parse().unwrap(), owned, claim }
}

fn lines(leases: &[SavedLease]) -> Vec<String> {
    leases.iter().map(|l| format!("{} {} {} {}", l.pool, l.address, l.identity, l.since)).collect()
}

async fn open(path: &Path, now: u64) -> (Journal, Vec<SavedLease>) {
    Journal::open(path, now, quiet()).await.unwrap()
}

/// The files as a process that dies leaves them.
fn killed(directory: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_name().to_string_lossy().starts_with("leases.db") {
            continue;
        }
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

#[tokio::test]
async fn what_was_written_is_there_after_a_crash() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("sub/leases.db");
    let (journal, none) = open(&path, 100).await;
    assert!(none.is_empty());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let written = journal.submit(vec![
        change("a", "10.0.0.1", Some(("carol@example.org", true, 100)), true),
        change("a", "10.0.0.2", Some(("C=CH, O=Cygnet, CN=moon", true, 90)), true),
        change("b", "2001:db8::", Some(("@#0a0b", true, 100)), true),
        change("b", "2001:db8:1::", Some(("{200}:weird", true, 100)), true),
        change("b", "2001:db8:2::", Some(("%any", true, 100)), true),
    ]);
    written.wait().await.unwrap();
    assert!(!journal.claimed("a", "10.0.0.1".parse().unwrap()));
    let second = journal.submit(vec![
        change("a", "10.0.0.2", Some(("C=CH, O=Cygnet, CN=moon", false, 95)), false),
        change("b", "2001:db8::", None, false),
    ]);
    second.wait().await.unwrap();
    // The writer still runs: what it holds in memory is lost, as at a crash.
    let copy = killed(&directory.path().join("sub"));
    let (journal, leases) = open(&copy.path().join("leases.db"), 200).await;
    assert_eq!(
        lines(&leases),
        [
            "a 10.0.0.2 C=CH, O=Cygnet, CN=moon 95",
            "a 10.0.0.1 carol@example.org 200",
            "b 2001:db8:1:: {200}:weird 200",
            "b 2001:db8:2:: %any 200",
        ]
    );
    let expected: Vec<Identity> = ["C=CH, O=Cygnet, CN=moon", "carol@example.org", "{200}:weird", "%any"]
        .map(|text| text.parse().unwrap())
        .to_vec();
    assert_eq!(leases.iter().map(|l| l.identity.clone()).collect::<Vec<_>>(), expected);
    journal.finish().await.unwrap();
}

#[tokio::test]
async fn many_changes_are_one_transaction() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("leases.db");
    let (journal, _) = open(&path, 1).await;
    let all: Vec<Written> = (0..3000u32)
        .map(|n| {
            let address = format!("10.0.{}.{}", n / 250, n % 250);
            journal.submit(vec![change("a", &address, Some((&format!("c{n}"), true, 1)), true)])
        })
        .collect();
    for written in all {
        written.wait().await.unwrap();
    }
    let gone =
        (0..2999u32).map(|n| change("a", &format!("10.0.{}.{}", n / 250, n % 250), None, false)).collect();
    journal.submit(gone).wait().await.unwrap();
    let (_journal, leases) = open(&killed(directory.path()).path().join("leases.db"), 2).await;
    assert_eq!(lines(&leases), ["a 10.0.11.249 c2999 2"]);
}

#[tokio::test]
async fn what_is_no_lease_store_is_left_alone() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    let why = async |path: PathBuf| Journal::open(&path, 1, quiet()).await.unwrap_err().to_string();
    let text = "not a database, but long enough to be one if it had the right bytes in front\n".repeat(20);
    std::fs::write(at("text"), &text).unwrap();
    assert!(why(at("text")).await.contains("is not a lease store, nor any SQLite file; name another"));
    assert_eq!(std::fs::read_to_string(at("text")).unwrap(), text);

    let options = SqliteConnectOptions::new().filename(at("other")).create_if_missing(true);
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("CREATE TABLE pools (id INTEGER)").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    let before = std::fs::read(at("other")).unwrap();
    assert!(why(at("other")).await.contains("but another program's SQLite database"));
    assert_eq!(std::fs::read(at("other")).unwrap(), before);

    std::fs::create_dir(at("directory")).unwrap();
    assert!(
        why(at("directory")).await.contains("cannot be opened: Is a directory"),
        "{}",
        why(at("directory")).await
    );
    assert!(why(at("no/such/place")).await.contains("No such file or directory"));
    assert!(why("/proc/leases.db".into()).await.contains("cannot be opened"));

    let (journal, _) = open(&at("leases.db"), 1).await;
    assert!(why(at("leases.db")).await.contains("in use by another process"));
    journal.submit(vec![change("a", "10.0.0.1", Some(("c", true, 1)), true)]).wait().await.unwrap();

    // A later version's, and one that is damaged.
    let copy = killed(directory.path());
    let path = copy.path().join("leases.db");
    let mut later =
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&path)).await.unwrap();
    sqlx::query("PRAGMA user_version = 7").execute(&mut later).await.unwrap();
    sqlx::query("PRAGMA journal_mode = DELETE").fetch_all(&mut later).await.unwrap();
    later.close().await.unwrap();
    assert!(why(path.clone()).await.contains("has format 7, this version knows format 1"));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[60..64].copy_from_slice(&1u32.to_be_bytes());
    bytes[4096..].fill(0x55);
    std::fs::write(&path, bytes).unwrap();
    let damaged = why(path).await;
    assert!(
        damaged.contains("is damaged") && damaged.contains("put a copy back, or move it away"),
        "{damaged}"
    );
}

/// SQLite's own limit stands in for a full disk: it gives the same error at the same place.
#[tokio::test]
async fn on_a_full_disk_claims_stay_unwritten_until_there_is_room() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("leases.db");
    let mut file = File::open(&path).await.unwrap();
    let batch = |n: u32| -> Pending {
        (0..n)
            .map(|n| {
                let change =
                    change("a", "10.0.0.1", Some((&format!("{n}-{}", "x".repeat(200)), true, 1)), true);
                let address = IpAddr::from(n.to_be_bytes());
                (("a".to_owned(), address), Entry { owned: change.owned, claim: true })
            })
            .collect()
    };
    file.limit(20).await;
    let why = file.write(&batch(2000)).await.unwrap_err();
    assert!(why.contains("full"), "{why}");
    // The next try opens the file again, without the limit.
    file.write(&batch(2000)).await.unwrap();
    assert_eq!(file.leases(2).await.unwrap().len(), 2000);
}

#[tokio::test]
async fn a_claim_that_failed_is_known_as_such() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("leases.db");
    let shared = Shared { path, state: Mutex::default(), wake: Notify::new() };
    let key = ("a".to_owned(), IpAddr::from([10, 0, 0, 1]));
    let entry = |name: &str, claim: bool| Entry {
        owned: change("a", "10.0.0.1", Some((name, true, 1)), claim).owned,
        claim,
    };
    // While the claim was being written, the same client came again: what it has is not on the disk either.
    shared.lock().pending.insert(key.clone(), entry("c", false));
    put_back(&shared, Pending::from([(key.clone(), entry("c", true))]));
    assert!(shared.lock().pending[&key].claim);
    // Somebody else's touch says nothing of it.
    shared.lock().pending.insert(key.clone(), entry("d", false));
    put_back(&shared, Pending::from([(key.clone(), entry("c", true))]));
    assert!(!shared.lock().pending[&key].claim);
}
