use super::*;
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt as _;

fn servers(all: &[&str]) -> Vec<IpAddr> {
    all.iter().map(|s| s.parse().unwrap()).collect()
}

fn domains(all: &[&str]) -> Vec<String> {
    all.iter().map(|s| (*s).to_owned()).collect()
}

#[test]
fn lines_come_and_go_and_the_rest_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resolv.conf");
    let original = "# mine\nnameserver 192.0.2.1\nsearch example.org"; // no newline at the end
    fs::write(&path, original).unwrap();
    set(&path, &servers(&["10.0.0.1", "2001:db8::1"]), &[]).unwrap();
    let ours = "nameserver 10.0.0.1   # by cygnet\nnameserver 2001:db8::1   # by cygnet\n";
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{ours}{original}"));
    for _ in 0..2 {
        set(&path, &servers(&["10.0.0.2"]), &domains(&["corp.example", "example.org"])).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!(
                "nameserver 10.0.0.2   # by cygnet\n{original}\n\
                 # by cygnet, line joined: search example.org corp.example\nsearch example.org corp.example\n"
            )
        );
    }
    set(&path, &[], &[]).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), original);
}

#[test]
fn a_file_that_was_not_there_goes_and_an_empty_one_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resolv.conf");
    set(&path, &[], &[]).unwrap();
    assert!(!path.exists());
    set(&path, &servers(&["10.0.0.1"]), &[]).unwrap();
    set(&path, &servers(&["10.0.0.2"]), &[]).unwrap();
    assert!(path.exists());
    set(&path, &[], &[]).unwrap();
    assert!(!path.exists());
    fs::write(&path, "").unwrap();
    set(&path, &servers(&["10.0.0.1"]), &[]).unwrap();
    set(&path, &[], &[]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[test]
fn links_and_permissions_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    fs::write(&real, "search a\n").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("real", &link).unwrap();
    set(&link, &servers(&["10.0.0.1"]), &[]).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::read_to_string(&real).unwrap().starts_with("nameserver 10.0.0.1"));
    // A link to nothing is followed, not replaced.
    fs::remove_file(&real).unwrap();
    set(&link, &servers(&["10.0.0.1"]), &[]).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink() && real.exists());
}

#[test]
fn bytes_that_are_no_text_are_no_obstacle() {
    let old = b"# caf\xe9\nnameserver 192.0.2.1\n".to_vec();
    let new = edit(Some(&old), &servers(&["10.0.0.1"]), &domains(&["x.example"])).unwrap();
    assert_eq!(edit(Some(&new), &[], &[]), Some(old));
}

/// A line of somebody else.
fn foreign() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,8}( [a-z.]{1,8}){0,2}",
        Just("nameserver 192.0.2.53".to_owned()),
        Just("search example.org lan".to_owned()),
        Just("domain example.net".to_owned()),
        Just("# by somebody".to_owned()),
        Just(String::new()),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Ours(Vec<u8>, Vec<String>),
    /// Somebody writes a line into one of the gaps.
    Insert(usize, String),
    /// Somebody removes one of the lines that are not ours.
    Remove(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (prop::collection::vec(1u8..5, 0..4), prop::collection::vec("[a-z]{1,4}\\.example", 0..3))
            .prop_map(|(s, d)| Step::Ours(s, d)),
        (any::<usize>(), foreign()).prop_map(|(at, line)| Step::Insert(at, line)),
        any::<usize>().prop_map(Step::Remove),
    ]
}

fn lines(text: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(text).lines().map(str::to_owned).collect()
}

fn others(text: &[u8]) -> Vec<String> {
    lines(&edit(Some(text), &[], &[]).unwrap_or_default())
}

/// Places before which somebody may write: anywhere but between a mark and its line.
fn gaps(all: &[String]) -> Vec<usize> {
    let mark = |line: &String| line.starts_with(SEARCH) || line.starts_with(SEARCH_JOINED);
    (0..=all.len()).filter(|at| at.checked_sub(1).and_then(|i| all.get(i)).is_none_or(|l| !mark(l))).collect()
}

proptest! {
    /// Whatever we and others write in turn, what is left without us is what the others wrote.
    #[test]
    fn others_lines_are_never_touched(
        original in prop::collection::vec(foreign(), 0..6),
        ended in any::<bool>(),
        steps in prop::collection::vec(step(), 0..12),
    ) {
        let mut text = original.join("\n").into_bytes();
        if ended && !original.is_empty() {
            text.push(b'\n');
        }
        let untouched = text.clone();
        let mut changed = false;
        for step in steps {
            let before = others(&text);
            match step {
                Step::Ours(numbers, domains) => {
                    let servers: Vec<IpAddr> = numbers.iter().map(|n| IpAddr::from([10, 0, 0, *n])).collect();
                    text = edit(Some(&text), &servers, &domains).unwrap();
                    for server in servers {
                        let line = format!("nameserver {server}{MARK}");
                        prop_assert!(lines(&text).contains(&line));
                    }
                    if !domains.is_empty() {
                        let all = lines(&text);
                        let last = all.iter().rfind(|l| l.starts_with("search ")).unwrap();
                        prop_assert!(domains.iter().all(|d| last.split(' ').any(|w| w == d)));
                    }
                    prop_assert_eq!(others(&text), before);
                }
                Step::Insert(at, line) => {
                    let mut all = lines(&text);
                    let gaps = gaps(&all);
                    all.insert(gaps[at % gaps.len()], line.clone());
                    text = all.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes();
                    let after = others(&text);
                    prop_assert_eq!(after.len(), before.len() + 1);
                    prop_assert!(after.contains(&line));
                    changed = true;
                }
                Step::Remove(at) if !before.is_empty() => {
                    let victim = &before[at % before.len()];
                    let mut all = lines(&text);
                    all.remove(all.iter().position(|l| l == victim).unwrap());
                    text = all.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes();
                    let mut expected = before.clone();
                    expected.remove(before.iter().position(|l| l == victim).unwrap());
                    prop_assert_eq!(others(&text), expected);
                    changed = true;
                }
                Step::Remove(_) => {}
            }
        }
        if !changed {
            prop_assert_eq!(edit(Some(&text), &[], &[]).unwrap(), untouched);
        }
    }
}
