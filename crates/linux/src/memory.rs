//! Memory that only the start of a program needed.
#![allow(unsafe_code, reason = "madvise and malloc_trim")]

use std::fs;

/// Gives back what the start needed and what follows does not: freed heap, and the mapped pages of the program's own
/// code. Code is mapped again, from the page cache, when it runs again.
pub fn give_back() {
    trim();
    let Ok(program) = fs::read_link("/proc/self/exe") else { return };
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else { return };
    for (start, end) in maps.lines().filter_map(|line| code(line, &program.to_string_lossy())) {
        // SAFETY: the range is a private mapping of a file that cannot be written through and never was: the kernel
        // reads the same bytes from the file again when they are needed.
        let _as_before = unsafe {
            libc::madvise(
                std::ptr::without_provenance_mut(start),
                end.saturating_sub(start),
                libc::MADV_DONTNEED,
            )
        };
    }
}

/// Gives freed heap back to the system, as far as the allocator keeps some.
pub fn trim() {
    // SAFETY: it takes no pointers and may be called at any time, from any thread.
    #[cfg(target_env = "gnu")]
    let _some = unsafe { libc::malloc_trim(0) };
}

/// Bounds of a mapping, where it is code of this program.
fn code(line: &str, program: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (range, rights) = (words.next()?, words.next()?);
    let name = line.splitn(6, ' ').nth(5)?.trim_start();
    if rights != "r-xp" || name != program {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_programs_code() {
        let line = |rights: &str, name: &str| {
            format!("5615a0553000-5615a18cb000 {rights} 005c0000 fe:00 1234                       {name}")
        };
        let found = code(&line("r-xp", "/usr/sbin/cygnetd"), "/usr/sbin/cygnetd");
        assert_eq!(found, Some((0x5615_a055_3000, 0x5615_a18c_b000)));
        assert_eq!(code(&line("r--p", "/usr/sbin/cygnetd"), "/usr/sbin/cygnetd"), None);
        assert_eq!(code(&line("r-xp", "/usr/lib/libc.so.6"), "/usr/sbin/cygnetd"), None);
        assert_eq!(code("nonsense", "/usr/sbin/cygnetd"), None);
        assert_eq!(code("", ""), None);
        // and the program runs on
        give_back();
    }
}
