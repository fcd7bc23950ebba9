//! Which data plane: the kernel's or our own (`charon.data_plane`).
use crate::conf::Conf;
use dataplane::{Abilities, Xfrm};

/// What protects packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataPlane {
    /// The kernel's IPsec.
    Xfrm,
    /// ESP in user space over a TUN device.
    Userspace,
}

impl DataPlane {
    /// What it can beside the ordinary.
    pub(crate) fn abilities(self) -> Abilities {
        match self {
            Self::Xfrm => Xfrm::abilities(),
            Self::Userspace => Abilities::default(),
        }
    }
}

/// The choice and why, for the log; or why there is none.
pub(crate) fn choose(conf: &Conf) -> Result<(DataPlane, String), String> {
    decide(conf, || Xfrm::probe().map_err(|e| crate::asks::plane::chain(&e)))
}

fn decide(conf: &Conf, probe: impl FnOnce() -> Result<(), String>) -> Result<(DataPlane, String), String> {
    match conf.text("data_plane").map(str::trim) {
        Some("xfrm") => probe()
            .map(|()| (DataPlane::Xfrm, "data_plane = xfrm".to_owned()))
            .map_err(|why| format!("data_plane = xfrm, but the kernel's IPsec cannot be used: {why}")),
        Some("userspace") => Ok((DataPlane::Userspace, "data_plane = userspace".to_owned())),
        None | Some("auto") if names_libipsec(conf) => {
            Ok((DataPlane::Userspace, "kernel-libipsec is to be loaded".to_owned()))
        }
        None | Some("auto") => Ok(match probe() {
            Ok(()) => (DataPlane::Xfrm, "the kernel has ESP".to_owned()),
            Err(why) => (DataPlane::Userspace, format!("the kernel's IPsec cannot be used: {why}")),
        }),
        Some(other) => Err(format!("data_plane = {other}: it is auto, xfrm or userspace")),
    }
}

/// Whoever loads strongSwan's userspace ESP wants ours.
fn names_libipsec(conf: &Conf) -> bool {
    let listed =
        |list: &str| list.split_whitespace().any(|name| name.trim_end_matches('!') == "kernel-libipsec");
    conf.text("load").is_some_and(listed) || conf.flag("plugins.kernel-libipsec.load", false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::tree::Section;
    use vici::Message as _;

    fn decided(settings: &[(&str, &str)], kernel: bool) -> Result<DataPlane, String> {
        let mut charon = Section::default();
        for (key, value) in settings {
            if *key == "libipsec.load" {
                let (mut plugins, mut libipsec) = (Section::default(), Section::default());
                libipsec.put("load", *value);
                plugins.put_section("kernel-libipsec", libipsec);
                charon.put_section("plugins", plugins);
            } else {
                charon.put(key, *value);
            }
        }
        let mut root = Section::default();
        root.put_section("charon", charon);
        let probe = || if kernel { Ok(()) } else { Err("no".to_owned()) };
        decide(&Conf::new(&root), probe).map(|(plane, _)| plane)
    }

    #[test]
    fn the_kernel_where_it_can_unless_told_otherwise() {
        assert_eq!(decided(&[], true), Ok(DataPlane::Xfrm));
        assert_eq!(decided(&[], false), Ok(DataPlane::Userspace));
        assert_eq!(decided(&[("data_plane", "auto")], true), Ok(DataPlane::Xfrm));
        assert_eq!(decided(&[("data_plane", "userspace")], true), Ok(DataPlane::Userspace));
        assert_eq!(decided(&[("data_plane", "xfrm")], true), Ok(DataPlane::Xfrm));
        assert!(decided(&[("data_plane", "xfrm")], false).unwrap_err().contains("no"));
        assert!(decided(&[("data_plane", "tun")], true).unwrap_err().contains("tun"));
    }

    #[test]
    fn loading_libipsec_still_means_user_space() {
        assert_eq!(decided(&[("load", "aes sha1 kernel-libipsec vici")], true), Ok(DataPlane::Userspace));
        assert_eq!(decided(&[("libipsec.load", "yes")], true), Ok(DataPlane::Userspace));
        assert_eq!(decided(&[("libipsec.load", "no")], true), Ok(DataPlane::Xfrm));
        let both = [("load", "kernel-libipsec"), ("data_plane", "xfrm")];
        assert_eq!(decided(&both, true), Ok(DataPlane::Xfrm));
    }
}
