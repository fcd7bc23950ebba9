//! Dates as pki reads and shows them: in the local time zone.
use super::{Call, Trouble};
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::time::{Duration, SystemTime};
use x509_cert::time::{Time, Validity};

/// From when until when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

impl Span {
    /// As two options and `--lifetime` say. Where only the end is given, it begins a lifetime before that.
    pub(super) fn of(
        call: &Call<'_>,
        from: &str,
        until: &str,
        unit: u64,
        default: u64,
    ) -> Result<Self, Trouble> {
        let lifetime = call.number::<u32>("lifetime")?.map_or(default, u64::from);
        if lifetime == 0 {
            return Err(Trouble::usage("invalid --lifetime value"));
        }
        let length = SignedDuration::try_from(Duration::from_secs(lifetime * unit))
            .map_err(|_| Trouble::usage("invalid --lifetime value"))?;
        let format = call.value("dateform").unwrap_or("%d.%m.%y %T");
        let read = |option: &str| call.value(option).map(|text| read(format, text, option)).transpose();
        let out_of_range = |_| Trouble::usage("the validity goes beyond the calendar");
        let span = match (read(from)?, read(until)?) {
            (Some(from), Some(until)) => Self { from, until },
            (None, Some(until)) => Self { from: until.checked_sub(length).map_err(out_of_range)?, until },
            (from, None) => {
                let from = from.unwrap_or_else(now);
                Self { from, until: from.checked_add(length).map_err(out_of_range)? }
            }
        };
        if span.until <= span.from {
            return Err(Trouble::usage("the validity ends before it begins"));
        }
        Ok(span)
    }

    /// Some days from now.
    pub(crate) fn days(days: u32) -> Result<Self, Trouble> {
        // An hour back, since the clocks of phones and gateways differ.
        let now = now();
        let from = now.checked_sub(SignedDuration::from_hours(1)).map_err(Trouble::failed)?;
        let until =
            now.checked_add(SignedDuration::from_hours(24 * i64::from(days))).map_err(Trouble::failed)?;
        Ok(Self { from, until })
    }

    pub(crate) fn validity(self) -> Result<Validity, Trouble> {
        Ok(Validity::new(time(self.from)?, time(self.until)?))
    }
}

/// Now, to the second.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default()
}

/// As X.509 writes it: UTCTime up to 2049 (RFC 5280 4.1.2.5).
pub(crate) fn time(at: Timestamp) -> Result<Time, Trouble> {
    Ok(Time::try_from(SystemTime::from(at))?)
}

/// What X.509 wrote.
pub(crate) fn timestamp(time: &Time) -> Timestamp {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

/// Reads a date in a strptime(3) format, in the local time zone unless the format has one.
fn read(format: &str, text: &str, option: &str) -> Result<Timestamp, Trouble> {
    let bad = |_| Trouble::Failed(format!("invalid --{option} value '{text}', expected the form '{format}'"));
    let broken = strtime::parse(format, text).map_err(bad)?;
    if let Ok(at) = broken.to_timestamp() {
        return Ok(at);
    }
    let local =
        broken.to_datetime().or_else(|_| broken.to_date().map(|date| date.at(0, 0, 0, 0))).map_err(bad)?;
    Ok(local.to_zoned(TimeZone::system()).map_err(bad)?.timestamp())
}

/// `Nov 27 03:31:42 2026`.
pub(crate) fn show(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system()).strftime("%b %d %H:%M:%S %Y").to_string()
}

/// `Nov 27 03:31:42 UTC 2026`.
pub(crate) fn show_utc(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%b %d %H:%M:%S UTC %Y").to_string()
}

/// A number of days, hours, minutes or seconds, whichever gives at least two.
pub(super) fn distance(a: Timestamp, b: Timestamp) -> String {
    let seconds = a.as_second().abs_diff(b.as_second());
    let (number, unit) = match seconds {
        172_801.. => (seconds / 86_400, "day"),
        7_201.. => (seconds / 3_600, "hour"),
        121.. => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

/// How a beginning and an end relate to now, in pki's words.
pub(super) fn judge_begin(at: Timestamp, now: Timestamp) -> String {
    if at > now { format!("not valid yet (valid in {})", distance(at, now)) } else { "ok".to_owned() }
}

/// See [`judge_begin`].
pub(super) fn judge_end(at: Timestamp, now: Timestamp) -> String {
    if at < now {
        format!("expired ({} ago)", distance(at, now))
    } else {
        format!("ok (expires in {})", distance(at, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_as_pki_says_them() {
        let zero = Timestamp::UNIX_EPOCH;
        for (seconds, text) in [
            (1, "1 second"),
            (50, "50 seconds"),
            (300, "5 minutes"),
            (10_800, "3 hours"),
            (86_410, "24 hours"),
            (259_200, "3 days"),
        ] {
            assert_eq!(distance(zero, Timestamp::from_second(seconds).unwrap()), text);
        }
    }

    #[test]
    fn dates_are_read() {
        let at = read("%d.%m.%y %T", "01.02.27 03:04:05", "not-after").unwrap();
        assert_eq!(show(at), "Feb 01 03:04:05 2027");
        let at = read("%s", "1600000000", "not-after").unwrap();
        assert_eq!(at.as_second(), 1_600_000_000);
        assert_eq!(show_utc(at), "Sep 13 12:26:40 UTC 2020");
        assert!(read("%d.%m.%y %T", "soon", "not-after").is_err());
    }
}
