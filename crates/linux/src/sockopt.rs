//! Socket options that no kept crate names.
#![allow(unsafe_code, reason = "setsockopt with structures that nix and socket2 do not know")]

use std::io;
use std::mem::size_of_val;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// `struct xfrm_userpolicy_info`, as the kernel reads it from `IP_XFRM_POLICY`: 168 bytes on every architecture
/// with 8-byte alignment of `u64`.
const POLICY_INFO: usize = 168;
/// Offset of the family in its selector.
const SELECTOR_FAMILY: usize = 40;
/// Offset of the direction.
const DIRECTION: usize = 160;
const IP_XFRM_POLICY: i32 = 17;
const IPV6_XFRM_POLICY: i32 = 35;
const UDP_GRO: i32 = 104;
const UDP_ENCAP: i32 = 100;
/// RFC 3948's framing.
const UDP_ENCAP_ESPINUDP: i32 = 2;

/// Sets an integer option.
pub(crate) fn set_int(socket: BorrowedFd<'_>, level: i32, option: i32, value: i32) -> io::Result<()> {
    set(socket, level, option, &value.to_ne_bytes())
}

fn set(socket: BorrowedFd<'_>, level: i32, option: i32, value: &[u8]) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of_val(value)).map_err(io::Error::other)?;
    // SAFETY: the kernel reads `len` bytes from `value`, which is exactly its length and outlives the call.
    let r = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value.as_ptr().cast(), len) };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads an integer option.
pub(crate) fn get_int(socket: BorrowedFd<'_>, level: i32, option: i32) -> io::Result<i32> {
    let mut value = 0i32;
    let mut len: libc::socklen_t = 4;
    // SAFETY: the kernel writes at most 4 bytes into `value` and the true length into `len`; both outlive the call.
    let r = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, option, ptr::from_mut(&mut value).cast(), &raw mut len)
    };
    if r == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// Packets a socket had no room for (`SO_MEMINFO`, since Linux 4.12).
pub(crate) fn drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    /// `SK_MEMINFO_DROPS` is the last of them.
    const VALUES: usize = 9;
    let mut values = [0u32; VALUES];
    let mut len = libc::socklen_t::try_from(size_of_val(&values)).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `len` bytes into `values`, which is their length, and the true length into
    // `len`; both outlive the call.
    let r = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    let [.., drops] = values;
    if r == 0 { Ok(drops) } else { Err(io::Error::last_os_error()) }
}

/// Lets the kernel join datagrams of one flow (since Linux 5.0).
pub(crate) fn set_gro(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_int(socket, libc::SOL_UDP, UDP_GRO, 1)
}

/// Hands ESP in UDP to the kernel's IPsec.
pub(crate) fn take_esp(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_int(socket, libc::SOL_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
}

/// Exempts a socket from the kernel's IPsec policies, both directions, so that IKE never meets the policies it
/// has installed. `ENOPROTOOPT` and the like where the kernel has no XFRM.
pub(crate) fn bypass_xfrm(socket: BorrowedFd<'_>, v6: bool) -> io::Result<()> {
    let family = if v6 { libc::AF_INET6 } else { libc::AF_INET };
    for direction in [0u8, 1] {
        let mut info = [0u8; POLICY_INFO];
        if let Some(slot) = info.get_mut(SELECTOR_FAMILY..SELECTOR_FAMILY + 2) {
            slot.copy_from_slice(&u16::try_from(family).unwrap_or(0).to_ne_bytes());
        }
        if let Some(slot) = info.get_mut(DIRECTION) {
            *slot = direction; // XFRM_POLICY_IN, XFRM_POLICY_OUT; the action stays 0: XFRM_POLICY_ALLOW
        }
        if v6 {
            set(socket, libc::IPPROTO_IPV6, IPV6_XFRM_POLICY, &info)?;
        } else {
            set(socket, libc::IPPROTO_IP, IP_XFRM_POLICY, &info)?;
        }
    }
    Ok(())
}

/// Sets the credentials of the calling thread's capabilities (`capset`, version 3).
pub(crate) fn capset(effective: u64, permitted: u64, inheritable: u64) -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    let low = |v: u64| u32::try_from(v & 0xffff_ffff).unwrap_or(0);
    let high = |v: u64| u32::try_from(v >> 32).unwrap_or(0);
    let data: [u32; 6] = [
        low(effective),
        low(permitted),
        low(inheritable),
        high(effective),
        high(permitted),
        high(inheritable),
    ];
    // SAFETY: capset reads a header of two words and, for version 3, two triples of words; both arrays have
    // exactly that size and outlive the call.
    let r = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads the calling thread's capabilities: effective, permitted, inheritable.
pub(crate) fn capget() -> io::Result<(u64, u64, u64)> {
    const VERSION_3: u32 = 0x2008_0522;
    let mut header: [u32; 2] = [VERSION_3, 0];
    let mut data = [0u32; 6];
    // SAFETY: capget reads and writes a header of two words and writes, for version 3, two triples of words.
    let r = unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), data.as_mut_ptr()) };
    if r != 0 {
        return Err(io::Error::last_os_error());
    }
    let [e0, p0, i0, e1, p1, i1] = data.map(u64::from);
    Ok((e0 | e1 << 32, p0 | p1 << 32, i0 | i1 << 32))
}

/// Removes a capability from the bounding set of the calling thread.
pub(crate) fn drop_bounding(capability: u32) -> io::Result<()> {
    // SAFETY: PR_CAPBSET_DROP takes integers only.
    let r = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
