//! Memory that only the start of a program needed, and memory that became much.
#![allow(unsafe_code, reason = "madvise and malloc_trim")]

use std::fs;
use std::time::{Duration, Instant};

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

/// Asks for big pages under all that has become big on the heap, and waits until they are there (Linux 6.1; older ones
/// take their time): what is read here and there in hundreds of megabytes then finds its page much sooner. Costs at most
/// a page of them where a mapping begins and ends, and copies once what it moves. For a thread of its own.
///
/// While the kernel works on a piece, threads of this process that need more memory wait: for that pieces are small, and after
/// each it rests for as long as it took.
pub fn big_pages() {
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else { return };
    for (start, end) in maps.lines().filter_map(heap) {
        advise(start, end, libc::MADV_HUGEPAGE);
        for (start, end) in pieces(start, end) {
            let begun = Instant::now();
            advise(start, end, MADV_COLLAPSE);
            std::thread::sleep(begun.elapsed().min(LONGEST_REST));
        }
    }
}

/// Bounds of the pieces of a mapping.
fn pieces(start: usize, end: usize) -> impl Iterator<Item = (usize, usize)> {
    let next = |at: usize| (at / PIECE).saturating_add(1).saturating_mul(PIECE);
    std::iter::successors(Some(start), move |at| Some(next(*at)))
        .take_while(move |at| *at < end)
        .map(move |at| (at, next(at).min(end)))
}

fn advise(start: usize, end: usize, advice: i32) {
    let length = end.saturating_sub(start);
    // SAFETY: the advice of both callers neither changes what is in memory, nor whether it may be used; a range that is gone
    // is refused, and one that became another's of this process only gets big pages as well.
    let _wish = unsafe { libc::madvise(std::ptr::without_provenance_mut(start), length, advice) };
}

const MADV_COLLAPSE: i32 = 25;
/// What is smaller has no need of big pages.
const BIG: usize = 8 << 20;
/// Bytes that are moved at once, whole big pages.
const PIECE: usize = 4 << 20;
/// Longest rest between two pieces.
const LONGEST_REST: Duration = Duration::from_millis(50);

/// Bounds of a mapping, where it is heap and big.
fn heap(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (range, rights) = (words.next()?, words.next()?);
    let name = words.nth(3).unwrap_or_default();
    let (start, end) = range.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    (rights == "rw-p" && matches!(name, "" | "[heap]") && end.saturating_sub(start) >= BIG)
        .then_some((start, end))
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
    fn only_what_is_big_and_heap() {
        let line = |end: &str, rest: &str| format!("7f0000000000-7f00{end} {rest}");
        assert_eq!(
            heap(&line("00800000", "rw-p 00000000 00:00 0 ")),
            Some((0x7f00_0000_0000, 0x7f00_0080_0000))
        );
        assert!(heap(&line("00800000", "rw-p 00000000 00:00 0    [heap]")).is_some());
        assert_eq!(heap(&line("007ff000", "rw-p 00000000 00:00 0 ")), None);
        assert_eq!(heap(&line("00800000", "---p 00000000 00:00 0 ")), None);
        assert_eq!(heap(&line("00800000", "rw-p 00000000 fe:00 12 /some/file")), None);
        assert_eq!(heap(&line("00800000", "rw-p 00000000 00:00 0    [stack]")), None);
        assert_eq!(heap("nonsense"), None);
    }

    #[test]
    fn pieces_are_small_and_leave_nothing_out() {
        let all = |start, end| pieces(start, end).collect::<Vec<_>>();
        assert_eq!(all(5, 7), [(5, 7)]);
        assert_eq!(all(0, 2 * PIECE), [(0, PIECE), (PIECE, 2 * PIECE)]);
        assert_eq!(
            all(PIECE - 1, 2 * PIECE + 1),
            [(PIECE - 1, PIECE), (PIECE, 2 * PIECE), (2 * PIECE, 2 * PIECE + 1)]
        );
        assert_eq!(all(7, 7), []);
    }

    #[test]
    fn what_is_there_stays_with_big_pages() {
        let much: Vec<u8> = (0..32 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
        big_pages();
        assert!(much.iter().zip(0u32..).all(|(byte, n)| *byte == n.to_le_bytes()[1]));
    }

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
