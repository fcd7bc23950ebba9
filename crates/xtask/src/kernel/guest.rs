//! What the booted kernel finds: its first process, the command, its modules. All in one directory of the host's
//! file system, which is the guest's root, under an overlay that is thrown away.
use crate::run::root;
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// Modules that the tests may need, as far as the kernel has them and has not built them in.
const MODULES: &[&str] = &[
    "xfrm_user",
    "xfrm_algo",
    "esp4",
    "esp6",
    "ah4",
    "ah6",
    "ipcomp",
    "ipcomp6",
    "xfrm_interface",
    "ip_vti",
    "ip6_vti",
    "ip_gre",
    "ip6_gre",
    "vrf",
    "veth",
    "dummy",
    "tun",
    "authenc",
    "authencesn",
    "cbc",
    "ctr",
    "gcm",
    "ccm",
    "chacha20poly1305",
    "echainiv",
    "seqiv",
    "cmac",
    "xcbc",
    "sha1_generic",
    "sha256_generic",
    "sha512_generic",
    "md5",
    "camellia_generic",
    "des_generic",
    "aesni_intel",
    "nf_tables",
    "nf_conntrack",
    "nf_nat",
    "nft_ct",
    "nft_chain_nat",
    "nft_nat",
    "nft_masq",
    "nft_xfrm",
    "sch_netem",
];

/// Process 1. Its argument is the run directory. Busybox's applets are used where they do: they need no program to
/// be loaded, which counts under emulation.
const INIT: &str = r#"#!/bin/busybox sh
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH
R=$1
die() { echo "kernel-test: $*" >/dev/console; echo 125 >"$R/out/status"; /bin/busybox sync; /bin/busybox poweroff -f; exit 125; }
/bin/busybox mount -t proc proc /proc || die proc
[ -f "$R/overlay.ko" ] && { insmod "$R/overlay.ko" || die overlay.ko; }
mount -t tmpfs -o mode=755,size=90% over "$R/over" || die tmpfs
mkdir "$R/over/upper" "$R/over/work" "$R/over/root" && chmod 755 "$R/over/upper"
N=$R/over/root
mount -t overlay -o lowerdir=/,upperdir="$R/over/upper",workdir="$R/over/work" overlay "$N" || die overlay
mount --bind "$R" "$N$R" || die bind
mount -t proc proc "$N/proc" && mount -t sysfs sysfs "$N/sys" && mount -t devtmpfs dev "$N/dev" || die mounts
mkdir -p "$N/dev/pts" "$N/dev/shm"
mount -t devpts -o ptmxmode=666,mode=620,gid=5 devpts "$N/dev/pts"
mount -t tmpfs -o mode=1777 shm "$N/dev/shm"
ln -sf /proc/self/fd "$N/dev/fd"; ln -sf /proc/self/fd/0 "$N/dev/stdin"
ln -sf /proc/self/fd/1 "$N/dev/stdout"; ln -sf /proc/self/fd/2 "$N/dev/stderr"
mount -t tmpfs -o mode=755 run "$N/run" && mkdir -p "$N/run/lock" "$N/run/netns"
K=$(cat /proc/sys/kernel/osrelease)
if [ -d "$R/modules" ]; then
    mkdir -p "$N/lib/modules/$K" && mount --bind "$R/modules/" "$N/lib/modules/$K" || die modules
fi
cd "$N" && pivot_root . . && cd / && umount -l . || die pivot_root
echo kernel-test >/proc/sys/kernel/hostname
ip link set lo up
[ -d "$R/modules" ] && { modprobe -a $(cat "$R/modules.list") 2>&1 | sed 's/^/kernel-test: /' >/dev/console; }
for O in /dev/vport0p1 /dev/vport1p1 /dev/ttyS0; do [ -c $O ] && break; done
[ $O = /dev/ttyS0 ] && stty -F $O raw -echo
mkfifo /run/out
/bin/busybox cat /run/out >$O & C=$!
setsid /bin/sh "$R/command" </dev/null >/run/out 2>&1
S=$?
for p in /proc/[0-9]*; do
    p=${p#/proc/}
    case $p in 1|$C) ;; *) [ -e /proc/$p/exe ] && kill -9 $p 2>/dev/null ;; esac
done
wait $C
echo $S >"$R/out/status"
sync
poweroff -f
"#;

/// The directory of one run; it goes when dropped.
#[derive(Debug)]
pub(crate) struct Guest(tempfile::TempDir);

impl Guest {
    /// Lays everything out. `modules`: where the kernel's are, if it has any.
    pub(crate) fn new(script: &str, modules: Option<&Path>) -> Result<Self> {
        let guest = Self(tempfile::Builder::new().prefix("cygnet-kernel-").tempdir()?);
        for directory in ["over", "out"] {
            fs::create_dir(guest.path(directory))?;
        }
        fs::write(guest.path("init"), INIT)?;
        fs::set_permissions(guest.path("init"), fs::Permissions::from_mode(0o755))?;
        let mut command = String::new();
        for (name, value) in std::env::vars() {
            let passed = ["PATH", "HOME", "LANG", "CI"].contains(&name.as_str())
                || name.starts_with("CYGNET_")
                || name.starts_with("RUST_");
            if passed {
                command.push_str(&format!("export {name}={}\n", quoted(&value)));
            }
        }
        // Marks for the tests that this is a kernel with everything.
        command.push_str("export CYGNET_KERNEL_TEST=1\n");
        command.push_str(&format!("cd {}\n", quoted(&root().display().to_string())));
        command.push_str(script);
        fs::write(guest.path("command"), command)?;
        if let Some(modules) = modules {
            guest.bring(modules).with_context(|| format!("modules in {}", modules.display()))?;
        }
        Ok(guest)
    }

    /// A file of the run.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What the command's exit status was, if it came that far.
    pub(crate) fn status(&self) -> Option<i32> {
        fs::read_to_string(self.path("out/status")).ok()?.trim().parse().ok()
    }

    /// What the kernel wrote on its console.
    pub(crate) fn console(&self) -> String {
        let bytes = fs::read(self.path("console")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn bring(&self, modules: &Path) -> Result<()> {
        symlink(modules, self.path("modules"))?;
        let overlay = modules.join("kernel/fs/overlayfs/overlay.ko");
        if overlay.exists() {
            symlink(overlay, self.path("overlay.ko"))?;
        }
        let known = fs::read_to_string(modules.join("modules.dep"))?;
        let known: Vec<String> = known
            .lines()
            .filter_map(|line| line.split_once(".ko")?.0.rsplit('/').next().map(|n| n.replace('-', "_")))
            .collect();
        let there: Vec<&str> =
            MODULES.iter().copied().filter(|name| known.iter().any(|k| k == name)).collect();
        fs::write(self.path("modules.list"), there.join(" "))?;
        Ok(())
    }
}

/// One word for a shell.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
