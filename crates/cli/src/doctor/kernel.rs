//! What the kernel has.
use super::daemon::Told;
use super::{Finding, State};
use std::path::Path;

pub(super) fn look(told: &Told) -> Vec<Finding> {
    vec![
        esp(linux::xfrm::probe().map_err(|e| (e.to_string(), e.errno())), told.plane.as_deref()),
        tun(told.plane.as_deref()),
    ]
}

/// `EPERM` on Linux.
const EPERM: i32 = 1;

fn esp(probed: Result<(), (String, Option<i32>)>, plane: Option<&str>) -> Finding {
    const CHECK: &str = "kernel ESP";
    match (probed, plane) {
        (Ok(()), Some("userspace")) => Finding::new(
            CHECK,
            State::Good,
            "there, but the daemon does ESP itself: charon.data_plane, or kernel-libipsec is to be loaded",
        ),
        (Ok(()), _) => Finding::good(CHECK, "there"),
        (Err((why, Some(EPERM))), _) => Finding::unknown(CHECK, format!("only root can find out ({why})")),
        (Err((why, _)), Some("xfrm")) => Finding::wrong(
            CHECK,
            format!("gone while the daemon uses it: {why}"),
            "modprobe -a esp4 esp6 xfrm_user",
        ),
        (Err((why, _)), _) => Finding::warning(
            CHECK,
            format!("not there, so the daemon does ESP itself: {why}"),
            "for the kernel's: modprobe -a esp4 esp6 xfrm_user, then start the daemon again",
        ),
    }
}

/// Without the kernel's ESP a TUN device is needed.
fn tun(plane: Option<&str>) -> Finding {
    const CHECK: &str = "TUN";
    match (Path::new("/dev/net/tun").exists(), plane) {
        (true, _) => Finding::good(CHECK, "/dev/net/tun is there"),
        (false, Some("xfrm")) => Finding::good(CHECK, "not there, and not needed with the kernel's ESP"),
        (false, _) => Finding::warning(CHECK, "no /dev/net/tun: no ESP without the kernel's", "modprobe tun"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_lacks_matters_by_who_needs_it() {
        let no = || Err(("adding an SA: not supported".to_owned(), Some(93)));
        assert_eq!(esp(Ok(()), Some("xfrm")).state, State::Good);
        assert_eq!(esp(no(), Some("userspace")).state, State::Warning);
        assert_eq!(esp(no(), None).state, State::Warning);
        assert_eq!(esp(no(), Some("xfrm")).state, State::Wrong);
        assert_eq!(esp(Err(("x".into(), Some(EPERM))), None).state, State::Unknown);
        assert!(esp(Ok(()), Some("userspace")).says.contains("itself"));
    }
}
