//! Moments: RFC 3339 text, numbers since 1970, and "3 min ago".

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// The instant of an RFC 3339 text with offset, in microseconds since 1970.
pub(crate) fn micros(text: &str) -> Result<i64, String> {
    let instant: Timestamp =
        text.parse().map_err(|_| format!("`{text}` is not a time such as 2026-01-31T12:00:00Z (RFC 3339)"))?;
    Ok(instant.as_microsecond())
}

/// The RFC 3339 text in UTC of microseconds since 1970; as a number when out of range.
pub(crate) fn from_micros(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(|_| micros.to_string(), |instant| instant.to_string())
}

/// The RFC 3339 text in UTC of milliseconds since 1970.
pub(crate) fn from_millis(millis: u64) -> String {
    i64::try_from(millis)
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .map_or_else(|| millis.to_string(), |instant| instant.to_string())
}

/// Milliseconds since 1970, now.
pub(crate) fn now_millis() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// How long ago a moment was, roughly: for people.
pub(crate) fn ago(millis: Option<u64>, now: u64) -> String {
    match millis {
        None => "never".to_owned(),
        Some(millis) if millis > now + 1000 => "in the future by this device's clock".to_owned(),
        Some(millis) => match now.saturating_sub(millis) / 1000 {
            0..2 => "just now".to_owned(),
            seconds @ 2..120 => format!("{seconds} s ago"),
            seconds @ 120..7_200 => format!("{} min ago", seconds / 60),
            seconds @ 7_200..172_800 => format!("{} h ago", seconds / 3_600),
            seconds => format!("{} days ago", seconds / 86_400),
        },
    }
}

/// How long something lasts, roughly: for people.
pub(crate) fn lasting(millis: u64) -> String {
    match millis.div_ceil(1000) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h", seconds.div_ceil(3_600)),
    }
}

/// A span such as `500ms`, `30s`, `5m`, `2h`; a bare number counts seconds.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let count: u64 = digits.parse().map_err(|_| format!("`{text}` is not a time span such as 500ms, 30s or 5m"))?;
    match text.get(digits.len()..) {
        Some("ms") => Ok(Duration::from_millis(count)),
        Some("" | "s") => Ok(Duration::from_secs(count)),
        Some("m" | "min") => Ok(Duration::from_secs(count.saturating_mul(60))),
        Some("h") => Ok(Duration::from_secs(count.saturating_mul(3_600))),
        Some("d") => Ok(Duration::from_secs(count.saturating_mul(86_400))),
        Some(_) | None => Err(format!("`{text}` has a unit that is not ms, s, m, h or d")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_with_an_offset_is_an_instant() {
        let local = micros("2020-12-11T23:37:25-08:00").unwrap();
        assert_eq!(local, micros("2020-12-12T07:37:25Z").unwrap());
        assert_eq!(from_micros(local), "2020-12-12T07:37:25Z");
        assert_eq!(from_micros(local + 250_000), "2020-12-12T07:37:25.25Z");
        assert!(micros("yesterday").unwrap_err().contains("RFC 3339"));
        assert!(micros("2020-12-11T23:37:25").is_err(), "a time without offset is no instant");
    }

    #[test]
    fn spans_have_units_and_seconds_are_the_default() {
        assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(span("30"), Ok(Duration::from_secs(30)));
        assert_eq!(span("5m"), Ok(Duration::from_secs(300)));
        assert!(span("5 weeks").is_err());
        assert!(span("").is_err());
    }

    #[test]
    fn a_span_is_told_in_one_unit() {
        let told = [0, 900, 119_000, 300_000, 7_200_000].map(lasting);
        assert_eq!(told, ["0 s", "1 s", "119 s", "5 min", "2 h"]);
    }

    #[test]
    fn a_moment_ahead_of_the_clock_is_called_so() {
        assert_eq!(ago(Some(1_000), 4_000), "3 s ago");
        assert_eq!(ago(Some(9_000), 4_000), "in the future by this device's clock");
        assert_eq!(ago(None, 4_000), "never");
    }
}
