use super::*;

#[test]
fn the_latest_server_comes_first_in_a_file() {
    let one = |servers: &[&str], domains: &[&str]| NameServers {
        interface: None,
        servers: servers.iter().map(|s| s.parse().unwrap()).collect(),
        domains: domains.iter().map(|d| (*d).to_owned()).collect(),
    };
    let all = [one(&["10.0.0.1", "10.0.0.2"], &["a"]), one(&["10.1.0.1", "10.0.0.1"], &["b", "a"])];
    let ip = |s: &str| -> IpAddr { s.parse().unwrap() };
    assert_eq!(stacked(&all).0, [ip("10.1.0.1"), ip("10.0.0.2"), ip("10.0.0.1")]);
    assert_eq!(latest_first(&all).0, [ip("10.1.0.1"), ip("10.0.0.1"), ip("10.0.0.2")]);
    assert_eq!(stacked(&all).1, ["a", "b"]);
}

#[test]
fn a_host_that_leaves_its_resolv_conf_to_systemd() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("resolv.conf");
    for own in ["/run/systemd/resolve/stub-resolv.conf", "../run/systemd/resolve/resolv.conf"] {
        let _ = fs::remove_file(&conf);
        std::os::unix::fs::symlink(own, &conf).unwrap();
        assert_eq!(Target::of_host(&conf, "lo.ipsec"), Target::Resolved, "{own}");
    }
    fs::remove_file(&conf).unwrap();
    fs::write(&conf, "nameserver 127.0.0.53\n").unwrap();
    assert_ne!(Target::of_host(&conf, "lo.ipsec"), Target::Resolved);
}

#[test]
fn what_a_dead_predecessor_left_goes_first() {
    let dir = tempfile::tempdir().unwrap();
    let (file, state) = (dir.path().join("resolv.conf"), dir.path().join("dns.state"));
    fs::write(&file, "nameserver 192.0.2.1\n").unwrap();
    let target = Target::File(file.clone());
    let mut first = Keeper::start(target, Some(state.clone()), |_| {}).unwrap();
    let given = NameServers { servers: vec!["10.0.0.1".parse().unwrap()], ..NameServers::default() };
    first.set(vec![given]);
    assert!(fs::read_to_string(&file).unwrap().contains("10.0.0.1") && state.exists());
    std::mem::forget(first); // it died
    let (tx, said) = std::sync::mpsc::channel();
    let elsewhere = Target::File(dir.path().join("other"));
    let second = Keeper::start(elsewhere, Some(state.clone()), move |text| drop(tx.send(text))).unwrap();
    assert!(said.recv_timeout(Duration::from_secs(5)).unwrap().contains("that a previous run left"));
    second.finish(Duration::from_secs(5));
    assert_eq!(fs::read_to_string(&file).unwrap(), "nameserver 192.0.2.1\n");
    assert!(!state.exists());
}

#[test]
fn a_file_that_cannot_be_written_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (tx, said) = std::sync::mpsc::channel();
    let mut keeper =
        Keeper::start(Target::File(dir.path().to_owned()), None, move |text| drop(tx.send(text))).unwrap();
    keeper.set(vec![NameServers { servers: vec!["10.0.0.1".parse().unwrap()], ..NameServers::default() }]);
    let text = said.recv_timeout(Duration::from_secs(5)).unwrap();
    assert!(text.contains("adding DNS servers to") && text.contains("Is a directory"), "{text}");
}
