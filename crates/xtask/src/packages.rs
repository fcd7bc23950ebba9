//! The Debian packages that the tests use, installed by name where that is possible.
use crate::peers;
use crate::run::{ci, exists, is_root, run};
use anyhow::{Result, bail};

/// `(a program that shows the package is there, package)`.
const WANTED: &[(&str, &str)] = &[
    ("charon", "strongswan-charon"),
    ("charon-systemd", "charon-systemd"),
    ("swanctl", "strongswan-swanctl"),
    ("pki", "strongswan-pki"),
    ("openssl", "openssl"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("tcpdump", "tcpdump"),
    ("iperf3", "iperf3"),
    ("ping", "iputils-ping"),
    ("python3", "python3"),
    ("pip3", "python3-pip"),
    ("softhsm2-util", "softhsm2"),
    ("freeradius", "freeradius"),
    ("radclient", "freeradius-utils"),
    ("resolvconf", "openresolv"),
    ("dbus-daemon", "dbus-daemon"),
    ("dbus-send", "dbus-bin"),
    ("mariadbd", "mariadb-server"),
    ("sqlite3", "sqlite3"),
    ("dnsmasq", "dnsmasq-base"),
    ("kea-dhcp4", "kea-dhcp4-server"),
    ("keepalived", "keepalived"),
    ("bird", "bird2"),
    ("iptables", "iptables"),
    ("valgrind", "valgrind"),
];
/// Packages without a program of their own; `(file, package)`.
const PLUGINS: &[(&str, &str)] = &[
    ("/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so", "libcharon-extra-plugins"),
    ("/usr/lib/ipsec/plugins/libstrongswan-curve25519.so", "libstrongswan-extra-plugins"),
    ("/usr/lib/postgresql", "postgresql"),
    ("/usr/lib/ipsec/_updown", "strongswan-starter"),
    ("/usr/lib/ipsec/plugins/libstrongswan-openssl.so", "libstrongswan-standard-plugins"),
];

/// Packages not there yet.
pub(crate) fn missing() -> Vec<&'static str> {
    let programs = WANTED.iter().filter(|(p, _)| !exists(p)).map(|(_, k)| *k);
    let plugins = PLUGINS.iter().filter(|(f, _)| !std::path::Path::new(f).exists()).map(|(_, k)| *k);
    // The lab's parts only where the machine's own kernel will not do.
    let lab = if crate::kernel::own_kernel_has_esp() { &[] } else { crate::kernel::PACKAGES };
    let lab = lab.iter().filter(|(f, _)| !std::path::Path::new(f).exists()).map(|(_, k)| *k);
    programs.chain(plugins).chain(lab).filter(|p| *p != "openresolv").collect()
}

/// Installs what is missing; returns what is still missing afterwards.
pub(crate) fn install() -> Result<Vec<&'static str>> {
    let wanted = missing();
    if wanted.is_empty() {
        peers::get()?;
        return Ok(wanted);
    }
    if !is_root() || !exists("apt-get") {
        println!(
            "missing for the interop tests: {} (install them as root, on Debian with apt-get)",
            wanted.join(" ")
        );
    } else {
        run("apt-get", &["update", "-q"]).or_else(|e| if ci() { Err(e) } else { Ok(()) })?;
        let mut args =
            vec!["-o", "DPkg::Lock::Timeout=300", "install", "-y", "-q", "--no-install-recommends"];
        args.extend(&wanted);
        let mut c = crate::run::command("apt-get", &args);
        c.env("DEBIAN_FRONTEND", "noninteractive");
        let outcome = crate::run::run_command(c);
        if ci() {
            outcome?;
        }
    }
    let left = missing();
    if ci() && !left.is_empty() {
        bail!("missing peers under CI: {}", left.join(" "));
    }
    if left.is_empty() {
        peers::get()?;
    }
    Ok(left)
}
