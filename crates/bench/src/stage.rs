//! Two hosts and the cable between them: two network namespaces and a veth pair with an MTU of 1,500 bytes.
//!
//! Both go when the last process in them and this value are gone.
use anyhow::{Context as _, Result};
use linux::netns::{self, Namespace};
use std::net::{IpAddr, Ipv4Addr};

/// The outer address of the host that answers.
pub(crate) const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// The outer address of the host that calls.
pub(crate) const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
/// The address behind the host that answers, reached through a tunnel only.
pub(crate) const FAR_INNER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 1));
/// The address of the host that calls inside a tunnel, where the tunnel does not assign it.
pub(crate) const NEAR_INNER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 2));
/// The interface at either end of the cable.
pub(crate) const CABLE: &str = "wan0";

/// The two hosts.
pub(crate) struct Stage {
    /// Sends load and starts tunnels.
    pub(crate) near: Namespace,
    /// Receives.
    pub(crate) far: Namespace,
}

impl Stage {
    /// Makes the hosts, joined and addressed.
    pub(crate) fn build() -> Result<Self> {
        let (near, far) = (Namespace::create()?, Namespace::create()?);
        netns::cable(&near, CABLE, &far, CABLE)?;
        near.configure(CABLE, format!("{NEAR}/24").parse()?)?;
        far.configure(CABLE, format!("{FAR}/24").parse()?)?;
        Ok(Self { near, far })
    }
}

/// Namespaces and TUN devices, as root or in a user namespace; must come before the first thread.
pub(crate) fn privileges() -> Result<()> {
    if !std::path::Path::new("/dev/net/tun").exists() {
        anyhow::bail!("/dev/net/tun is missing: load the module (modprobe tun)");
    }
    if linux::privilege::is_root() {
        return Ok(());
    }
    netns::become_root().context("not root, and user namespaces are not allowed here: run it with sudo")
}
