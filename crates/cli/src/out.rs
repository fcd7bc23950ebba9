//! Printing: colours only where they are wanted, a closed pipe is a quiet end, and nothing a peer sent reaches the
//! terminal as control characters.
use std::borrow::Cow;
use std::fmt::Arguments;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

/// Prints a line, with colours where standard output is a terminal and `NO_COLOR` is not set.
pub(crate) fn line(text: Arguments<'_>) {
    let mut stdout = anstream::stdout().lock();
    ended(writeln!(stdout, "{text}").and_then(|()| stdout.flush()));
}

/// Prints a line exactly as it is.
pub(crate) fn plain(text: Arguments<'_>) {
    let mut stdout = std::io::stdout().lock();
    ended(writeln!(stdout, "{text}").and_then(|()| stdout.flush()));
}

/// Prints without a line end, exactly as it is.
pub(crate) fn bytes(text: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    ended(stdout.write_all(text).and_then(|()| stdout.flush()));
}

/// Prints a line to standard error.
pub(crate) fn error_line(text: Arguments<'_>) {
    // Nobody is left to tell when standard error is gone.
    drop(writeln!(anstream::stderr().lock(), "{text}"));
}

/// Whether a closed pipe ends the program.
static ENDS: AtomicBool = AtomicBool::new(true);

/// From now on a closed pipe only means that nobody reads: there is something to clean up first.
pub(crate) fn outlive_reader() {
    ENDS.store(false, Ordering::Relaxed);
}

/// `| head` closing the pipe is no error, and nothing is left to do then.
fn ended(result: std::io::Result<()>) {
    if result.is_err() && ENDS.load(Ordering::Relaxed) {
        std::process::exit(0);
    }
}

/// The text without control characters: identities and log lines come from peers.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.contains(harmful) {
        Cow::Owned(text.chars().map(|c| if harmful(c) { '\u{fffd}' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Prints a line for people.
macro_rules! say {
    ($($text:tt)*) => { $crate::out::line(format_args!($($text)*)) };
}
/// Prints a line exactly as it is.
macro_rules! put {
    ($($text:tt)*) => { $crate::out::plain(format_args!($($text)*)) };
}
/// Prints a line to standard error.
macro_rules! complain {
    ($($text:tt)*) => { $crate::out::error_line(format_args!($($text)*)) };
}
pub(crate) use {complain, put, say};

/// Seconds as people say them: the two largest units.
pub(crate) fn duration(seconds: u64) -> String {
    let (d, h, m, s) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    match (d, h, m) {
        (0, 0, 0) => format!("{s}s"),
        (0, 0, _) => format!("{m}m {s:02}s"),
        (0, _, _) => format!("{h}h {m:02}m"),
        _ => format!("{d}d {h:02}h"),
    }
}

/// Bytes with a unit, in steps of 1024.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1023.95 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

/// A count with thousands set apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m 00s"),
            (3_599, "59m 59s"),
            (3_600, "1h 00m"),
            (90_061, "1d 01h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        for (bytes, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_536, "1.5 KiB"),
            (1 << 20, "1.0 MiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(clean("carol@example.org"), "carol@example.org");
        assert_eq!(clean("a\u{1b}[2Jb\u{7f}\u{9b}"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}");
    }
}
