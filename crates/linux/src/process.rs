//! Signals to other processes.

#![allow(unsafe_code, reason = "a started program makes a system call between fork and exec")]

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// A program started with `command` is killed when the thread that starts it ends, however that happens: nothing
/// outlives a program that was killed itself. A program that changes its user loses this.
pub fn end_with_us(command: &mut Command) {
    let promise = || prctl::set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from);
    // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(promise) };
}

/// Asks a process to end (SIGTERM). One that is gone already is as good.
pub fn terminate(pid: u32) {
    send(pid, Signal::SIGTERM);
}

/// What Ctrl-C sends (SIGINT).
pub fn interrupt(pid: u32) {
    send(pid, Signal::SIGINT);
}

/// Ends a process group at once (SIGKILL), by the process that began it. One that is gone already is as good.
pub fn kill_group(leader: u32) {
    // 0 would name our own group, 1 that of all.
    if let Ok(group @ 2..) = i32::try_from(leader) {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

fn send(pid: u32, signal: Signal) {
    // Zero and negative numbers would name whole groups of processes.
    if let Ok(pid @ 1..) = i32::try_from(pid) {
        // The only failure for a child of ours is that it is gone.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}
