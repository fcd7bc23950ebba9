//! Times as charon prints them.

/// `Nov 27 03:04:05 2026`, UTC.
pub(crate) fn charon(seconds: u64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Ok(time) = der::DateTime::from_unix_duration(std::time::Duration::from_secs(seconds)) else {
        return seconds.to_string();
    };
    let month = MONTHS.get(usize::from(time.month()).saturating_sub(1)).copied().unwrap_or("???");
    format!(
        "{month} {:02} {:02}:{:02}:{:02} {}",
        time.day(),
        time.hour(),
        time.minutes(),
        time.seconds(),
        time.year()
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn as_charon_prints_them() {
        assert_eq!(super::charon(1_795_748_645), "Nov 27 03:04:05 2026");
        assert_eq!(super::charon(0), "Jan 01 00:00:00 1970");
    }
}
