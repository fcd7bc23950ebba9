//! `pool` from the outside, against databases in files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A directory with a strongswan.conf that names a database in it.
struct Place(TempDir);

impl Place {
    /// With the tables made.
    fn new() -> Self {
        let place = Self::empty();
        assert_eq!(place.good("--init"), format!("sqlite://{} has all tables\n", place.database().display()));
        place
    }

    fn empty() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.settings(&format!(
            "pool {{\n  load = sqlite\n  database = sqlite://{}\n}}\n",
            place.database().display()
        ));
        place
    }

    fn database(&self) -> PathBuf {
        self.0.path().join("ipsec.db")
    }

    fn settings(&self, text: &str) {
        std::fs::write(self.0.path().join("strongswan.conf"), text).unwrap();
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// `cygnet pool …`; `input` is its standard input.
    fn words(&self, words: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cygnet"))
            .arg("pool")
            .args(words)
            .env("STRONGSWAN_CONF", self.0.path().join("strongswan.conf"))
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A tool that ends on a mistake does not read.
        let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn run(&self, line: &str) -> Output {
        self.words(&line.split(' ').collect::<Vec<_>>(), "")
    }

    /// What it prints when all is well.
    fn good(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "{line}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What it complains of, and its exit code.
    fn bad(&self, line: &str) -> (Option<i32>, String) {
        let output = self.run(line);
        assert_eq!(text(&output.stdout), "", "{line}");
        (output.status.code(), text(&output.stderr))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The calls of strongSwan's scenarios with a database.
#[test]
fn what_the_scenarios_do() {
    let place = Place::new();
    assert_eq!(
        place.good("--add big_pool --start 10.3.0.1 --end 10.3.3.232 --timeout 0"),
        "pool 'big_pool' added: 1000 addresses\n"
    );
    place.good("--add pool_v6 --start fec3::1 --end fec3::fe --timeout 48");
    assert_eq!(place.good("--addattr dns --server 10.1.0.10"), "attribute dns added\n");
    place.good("--add dns --server 10.1.0.20");
    place.good("--addattr nbns --server 10.1.0.20");
    place.good("--addattr dns --server 10.1.0.30 --pool big_pool --identity alice@strongswan.org");
    assert_eq!(
        place.good("--status"),
        "\
dns servers: 10.1.0.10 10.1.0.20
nbns servers: 10.1.0.20
name      start     end         timeout  size   online    usage
big_pool  10.3.0.1  10.3.3.232   static  1000  0 ( 0%)  0 ( 0%)
pool_v6   fec3::1   fec3::fe        48h   254  0 ( 0%)  0 ( 0%)
"
    );
    assert_eq!(
        place.good("--statusattr"),
        "\
type  description        pool      identity              value
   3  INTERNAL_IP4_DNS   -         -                     10.1.0.10
   3  INTERNAL_IP4_DNS   -         -                     10.1.0.20
   4  INTERNAL_IP4_NBNS  -         -                     10.1.0.20
   3  INTERNAL_IP4_DNS   big_pool  alice@strongswan.org  10.1.0.30
"
    );
    assert_eq!(
        place.good("--leases --filter pool=big_pool,addr=10.3.0.1,id=carol"),
        "no matching leases found\n"
    );
    place.good("--delattr dns --server 10.1.0.30 --pool big_pool --identity alice@strongswan.org");
    assert_eq!(place.good("--del dns"), "2 attributes dns deleted\n");
    place.good("--del nbns");
    assert_eq!(place.good("--statusattr"), "no attributes found\n");
    place.good("--del big_pool");
    place.good("--del pool_v6");
    assert_eq!(place.good("--status"), "no pools found\n");
}

#[test]
fn single_addresses_are_kept_for_their_owners() {
    let place = Place::new();
    let list = place.file("list", "10.231.14.1\n10.231.14.3=alice@strongswan.org\n\n10.0.0.1\n");
    assert_eq!(
        place.good(&format!("--add mine --addresses {list} --timeout 1d")),
        "pool 'mine' added: 2 addresses\n"
    );
    let leases = place.good("--leases mine --utc");
    assert_eq!(leases.lines().count(), 2, "{leases}");
    assert!(leases.contains("10.231.14.3") && leases.ends_with("alice@strongswan.org\n"), "{leases}");
    let (code, why) = place.bad("--resize mine --end 10.231.14.9");
    assert_eq!(code, Some(1));
    assert!(
        why.contains("was made of single addresses") && why.contains("--replace mine --addresses"),
        "{why}"
    );
    let output = place.words(&["--replace", "mine", "--addresses", "-"], "10.231.14.7\n");
    assert_eq!(text(&output.stdout), "pool 'mine' replaced: 1 address\n", "{}", text(&output.stderr));
}

#[test]
fn a_pool_is_resized_replaced_filled_and_purged() {
    let place = Place::new();
    place.good("--add a --start 10.3.0.1 --end 10.3.0.9");
    assert_eq!(place.good("--resize a --end 10.3.0.20"), "pool 'a' ends at 10.3.0.20: 20 addresses\n");
    assert_eq!(place.good("--resize a --end 10.3.0.1"), "pool 'a' ends at 10.3.0.1: 1 address\n");
    place.good("--resize a --end 10.3.0.20");
    assert_eq!(place.good("--fill a"), "20 rows made for addresses of pool 'a'\n");
    assert_eq!(place.good("--fill a"), "0 rows made for addresses of pool 'a'\n");
    assert_eq!(place.good("--purge a"), "0 past leases of pool 'a' deleted\n");
    let output = place.run("--add b --start 10.3.0.15 --end 10.3.0.30");
    assert!(output.status.success());
    assert_eq!(
        text(&output.stderr),
        "note: pool 'a' (10.3.0.1 to 10.3.0.20) has some of these addresses, too\n"
    );
    place.good("--replace a --start 10.4.0.1 --end 10.4.0.2 --timeout 90s");
    assert_eq!(
        place.good("--replace new --start fd00::1 --end fd00::ffff:ffff:ffff:ffff"),
        "pool 'new' added (there was none of that name): 18446744073709551615 addresses\n"
    );
    let status = place.good("--status");
    assert!(status.contains("a     10.4.0.1   10.4.0.2") && status.contains(" 90s "), "{status}");
    // All of it is there for programs, too.
    let document: serde_json::Value = serde_json::from_str(&place.good("--status --json")).unwrap();
    assert_eq!(
        (&document["schema"], &document["pools"][0]["timeout"]),
        (&"cygnet.pool/1".into(), &90.into())
    );
    let document: serde_json::Value = serde_json::from_str(&place.good("--del b --json")).unwrap();
    assert_eq!((&document["done"], &document["count"]), (&"del".into(), &1.into()));
}

#[test]
fn a_batch_is_done_whole_or_not_at_all() {
    let place = Place::new();
    place.good("--add mypool --start 10.9.0.1 --end 10.9.0.2");
    place.good("--add dns --server 10.9.0.1");
    let batch = "\
--replace mypool --start 10.0.0.1 --end 10.0.0.254

--del dns
--add dns --server 10.1.0.1
--add dns --server 10.1.1.1
--addattr banner --string \"welcome to the office\"
--status
";
    let output = place.words(&["--batch", "-"], batch);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.starts_with("pool 'mypool' replaced: 254 addresses\nattribute dns deleted\n"), "{said}");
    assert!(said.contains("dns servers: 10.1.0.1 10.1.1.1\n"), "{said}");
    let before = place.good("--status");
    // The last line fails: nothing of it stays.
    let file =
        place.file("batch", "--del mypool\n--add other --start 10.5.0.1 --end 10.5.0.9\n--del nothing\n");
    let (code, why) = place.bad(&format!("--batch {file}"));
    assert_eq!(code, Some(1));
    assert!(why.starts_with("pool: line 3: there is no pool 'nothing'"), "{why}");
    assert!(why.ends_with("nothing was changed\n"), "{why}");
    assert_eq!(place.good("--status"), before);
    // A line that is no order: nothing of it begins.
    let file = place.file("batch", "--del mypool\n--add other --start 10.5.0.9 --end 10.5.0.1\n");
    let (code, why) = place.bad(&format!("--batch {file}"));
    assert_eq!(code, Some(2));
    assert!(why.starts_with("pool: line 2: --start 10.5.0.9 is behind"), "{why}");
    assert_eq!(place.good("--status"), before);
    let (code, why) = place.bad("--batch /nonexistent");
    assert_eq!((code, why.contains("'/nonexistent' cannot be read")), (Some(1), true), "{why}");
}

#[test]
fn every_failure_says_what_to_do() {
    let place = Place::empty();
    let (code, why) = place.bad("--status");
    assert_eq!(code, Some(1));
    assert!(why.contains("is not there; 'pool --init' makes it"), "{why}");
    std::fs::write(place.database(), b"").unwrap();
    let (_, why) = place.bad("--status");
    assert!(why.contains("no table") && why.contains("pool --init"), "{why}");
    place.good("--init");
    place.good("--init");
    for (line, words) in [
        ("--del x", "there is no pool 'x'; the database has none"),
        ("--del dns", "there is no attribute dns; 'pool --statusattr' shows all"),
        ("--leases x", "there is no pool 'x'"),
        ("--resize x --end 10.0.0.1", "there is no pool 'x'"),
    ] {
        let (code, why) = place.bad(line);
        assert_eq!(code, Some(1), "{line}");
        assert!(why.contains(words), "{line}: {why}");
    }
    place.good("--add x --start 10.0.0.1 --end 10.0.0.9");
    let (_, why) = place.bad("--add x --start 10.0.0.1 --end 10.0.0.9");
    assert!(why.contains("--resize moves its end, --replace puts"), "{why}");
    let (_, why) = place.bad("--del y");
    assert!(why.contains("there is no pool 'y'; the database has 'x'"), "{why}");
    let (code, why) = place.bad("--frobnicate");
    assert_eq!(code, Some(2));
    assert!(why.contains("unrecognized option '--frobnicate'") && why.contains("'pool --help'"), "{why}");
    let output = place.run("--add dns --server 10.1.0.1 --pool elsewhere");
    assert!(
        text(&output.stderr).starts_with("note: there is no pool 'elsewhere'"),
        "{}",
        text(&output.stderr)
    );
    place.settings("charon {\n");
    let (code, why) = place.bad("--status");
    assert_eq!(code, Some(1));
    assert!(why.contains("strongswan.conf cannot be read:") && why.contains("strongswan.conf:"), "{why}");
    place.settings("charon {\n}\n");
    let (code, why) = place.bad("--status");
    assert_eq!(code, Some(1));
    assert!(why.contains("set pool.database or charon.plugins.attr-sql.database"), "{why}");
    place.settings("pool {\n  database = oracle://a:secret@b/c\n}\n");
    let (_, why) = place.bad("--status");
    assert!(why.contains("pool.database in") && !why.contains("secret"), "{why}");
}

#[test]
fn the_database_of_the_daemon_serves_too() {
    let place = Place::new();
    for daemon in ["charon", "charon-systemd"] {
        place.settings(&format!(
            "{daemon} {{\n  plugins {{\n    attr-sql {{\n      database = sqlite://{}\n    }}\n  }}\n}}\n",
            place.database().display()
        ));
        assert_eq!(place.good("--status"), "no pools found\n");
    }
}

#[test]
fn help_and_keywords_need_no_database_and_the_link_works() {
    let place = Place::empty();
    for line in ["--help", "-h"] {
        assert!(place.good(line).contains("pool --add NAME --start ADDRESS --end ADDRESS"));
    }
    assert!(place.good("--showattr").contains("unity_split_include"));
    let link = place.0.path().join("pool");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_cygnet"), &link).unwrap();
    let output = Command::new(&link).arg("--showattr").output().unwrap();
    assert!(text(&output.stdout).starts_with("keyword "));
}
