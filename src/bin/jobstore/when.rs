//! Times in a human-readable form.
//!
//! A text that does not denote exactly one point in time is refused, and the error lists the
//! accepted forms.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Timestamp, ToSpan, ZonedDateTime};

use crate::output;

#[path = "../../base/timestamp.rs"]
mod timestamp;
use timestamp::{ParsedTime, TimeOfDay};

/// The accepted forms.
const ALLOWED: &str = "use a duration before now (90s, 30min, 2h, 7d, 2w, or 1d 12h; a day is 24 \
     hours), the most recent local HH:MM or HH:MM:SS (22:00), a local date or time (2026-11-24, \
     2026-11-24T22:00:30), or a time with an offset (2026-11-24T22:00Z, 2026-11-24T22:00+01:00)";

/// Parses a point in time from the command line.
pub(crate) fn parse(text: &str) -> Result<SystemTime, String> {
    parse_at(text, Timestamp::now(), &zone())
}

/// Parses a duration from the command line.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    ago_of(text).ok_or_else(|| {
        format!("invalid duration {text:?}: use a number with a unit, such as 90s, 10min, or 1h")
    })
}

/// Returns the time zone of this system, or an error if it is not known. If the system has no time
/// zone, returns UTC.
fn zone() -> Result<TimeZone, String> {
    const SYSTEM: &str = "/etc/localtime";
    TimeZone::try_system().or_else(|_| match std::env::var_os("TZ") {
        Some(name) => Err(format!(
            "the time zone TZ={} is unknown",
            name.to_string_lossy()
        )),
        None if Path::new(SYSTEM).exists() => {
            Err(format!("cannot read the time zone from {SYSTEM}"))
        }
        None => Ok(TimeZone::UTC),
    })
}

/// Returns the time zone in which times are shown. Warns once if it is not the system's time zone.
fn shown_zone() -> TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    let zone = ZONE.get_or_init(|| {
        zone().unwrap_or_else(|unknown| {
            output::note(&format!("{unknown}; times are shown in UTC"));
            TimeZone::UTC
        })
    });
    zone.clone()
}

fn parse_at(
    text: &str,
    now: Timestamp,
    zone: &Result<TimeZone, String>,
) -> Result<SystemTime, String> {
    let refused = || format!("invalid time {text:?}: {ALLOWED}");
    // Relative times, and times with an offset, do not depend on the local time zone.
    let local_zone = || {
        let zone = zone.as_ref();
        zone.map_err(|unknown| format!("time {text:?} is local, but {unknown}; {ALLOWED}"))
    };
    let time = if let Some(time) = timestamp::parse_time(text) {
        let zone = local_zone()?;
        let now = now.to_zoned_datetime(zone.clone());
        let last = last_time(time, &now).ok_or_else(refused)?;
        local(text, last, zone)?
    } else if let Some(written) = timestamp::parse(text) {
        match written.offset {
            Some(_) => instant(&written).ok_or_else(|| before_1970(text))?,
            None => local(text, civil(&written).ok_or_else(refused)?, local_zone()?)?,
        }
    } else {
        let ago = ago_of(text).ok_or_else(refused)?;
        let now = SystemTime::try_from(now).map_err(|_| refused())?;
        now.checked_sub(ago).ok_or_else(|| before_1970(text))?
    };
    match time < SystemTime::UNIX_EPOCH {
        true => Err(before_1970(text)),
        false => Ok(time),
    }
}

fn before_1970(text: &str) -> String {
    format!("time {text:?} is before 1970: {ALLOWED}")
}

fn instant(written: &ParsedTime) -> Option<SystemTime> {
    let (ms, nanos) = written.since_1970()?;
    let since = Duration::from_millis(ms) + Duration::from_nanos(nanos.into());
    SystemTime::UNIX_EPOCH.checked_add(since)
}

fn civil(written: &ParsedTime) -> Option<DateTime> {
    let date = written.date;
    let time = written.time.unwrap_or(TimeOfDay {
        hour: 0,
        minute: 0,
        second: 0,
        nanos: 0,
    });
    DateTime::new(
        date.year.try_into().ok()?,
        date.month.try_into().ok()?,
        date.day.try_into().ok()?,
        time.hour.try_into().ok()?,
        time.minute.try_into().ok()?,
        time.second.try_into().ok()?,
        time.nanos.try_into().ok()?,
    )
    .ok()
}

/// Returns the last date on which local clocks showed this time of day.
fn last_time(time: TimeOfDay, now: &ZonedDateTime) -> Option<DateTime> {
    let today = now.datetime().date();
    let on = |date: jiff::civil::Date| {
        let (hour, minute) = (time.hour.try_into().ok()?, time.minute.try_into().ok()?);
        let (second, nanos) = (time.second.try_into().ok()?, time.nanos.try_into().ok()?);
        Some(date.at(hour, minute, second, nanos))
    };
    let at = on(today)?;
    let is_past = at.to_zoned_datetime(now.time_zone().clone()).ok()? <= *now;
    match is_past {
        true => Some(at),
        false => on(today.checked_sub(1.day()).ok()?),
    }
}

/// Converts a local time. Returns an error unless local clocks show it exactly once.
fn local(text: &str, at: DateTime, zone: &TimeZone) -> Result<SystemTime, String> {
    let with = |offset: Offset| format!("{}{}", at.strftime("%Y-%m-%dT%H:%M:%S"), words(offset));
    let ambiguous = zone.to_ambiguous_timestamp(at);
    match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { offset } => {
            let refused = || format!("invalid time {text:?}: {ALLOWED}");
            let time = offset.to_timestamp(at).map_err(|_| refused())?;
            SystemTime::try_from(time).map_err(|_| refused())
        }
        AmbiguousOffset::Gap { before, after } => Err(format!(
            "local time {text:?} does not exist, because clocks were set forward; add the offset, \
             {} or {}",
            with(before),
            with(after)
        )),
        AmbiguousOffset::Fold { before, after } => Err(format!(
            "local time {text:?} is ambiguous, because clocks were set back; add the offset, {} \
             or {}",
            with(before),
            with(after)
        )),
    }
}

fn words(offset: Offset) -> String {
    let minutes = offset.seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    let minutes = minutes.unsigned_abs();
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Units of relative times with their lengths in seconds, longest first. `m` alone could mean
/// minutes or months, so it is not accepted.
const UNITS: [(&[&str], u64); 5] = [
    (&["w", "week", "weeks"], 7 * 86_400),
    (&["d", "day", "days"], 86_400),
    (&["h", "hour", "hours"], 3_600),
    (&["min", "minute", "minutes"], 60),
    (&["s", "sec", "second", "seconds"], 1),
];

/// Parses a relative time such as `1d 12h`: numbers with their units, longest first, each unit at
/// most once.
fn ago_of(text: &str) -> Option<Duration> {
    let (mut rest, mut seconds, mut next) = (text, 0u64, 0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].strip_prefix(' ').unwrap_or(&rest[digits..]);
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic());
        let (unit, after_number) = rest.split_at(letters.unwrap_or(rest.len()));
        let at = UNITS.iter().position(|(names, _)| names.contains(&unit))?;
        if at < next {
            return None;
        }
        next = at + 1;
        seconds = seconds.checked_add(number.checked_mul(UNITS[at].1)?)?;
        rest = match after_number.strip_prefix(' ') {
            Some("") => return None,
            Some(more) => more,
            None => after_number,
        };
    }
    (next > 0).then(|| Duration::from_secs(seconds))
}

/// Converts a time to milliseconds since 1970.
pub(crate) fn to_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

pub(crate) fn now_ms() -> u64 {
    to_ms(SystemTime::now())
}

/// Formats a time in the local time zone.
pub(crate) fn here(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    match Timestamp::from_millisecond(ms) {
        Ok(time) => {
            let zoned = time.to_zoned_datetime(shown_zone());
            zoned.strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
        }
        Err(_) => format!("{ms} ms since 1970"),
    }
}

/// Formats a time in the local time zone, to the minute.
pub(crate) fn minute(ms: u64) -> String {
    let time = i64::try_from(ms).ok().map(Timestamp::from_millisecond);
    match time {
        Some(Ok(time)) => {
            let zoned = time.to_zoned_datetime(shown_zone());
            zoned.strftime("%Y-%m-%d %H:%M %Z").to_string()
        }
        _ => format!("{ms} ms since 1970"),
    }
}

/// Formats a relative time in words.
pub(crate) fn ago(ms: u64, now_ms: u64) -> String {
    let Some(age_ms) = now_ms.checked_sub(ms) else {
        return "later".to_owned();
    };
    let seconds = age_ms / 1000;
    match seconds {
        0..=1 => "just now".to_owned(),
        2..=119 => format!("{seconds} s ago"),
        120..=7_199 => format!("{} min ago", seconds / 60),
        7_200..=172_799 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// Formats a duration in words.
pub(crate) fn took(time: Duration) -> String {
    let (ms, seconds) = (time.as_millis(), time.as_secs());
    match seconds {
        0 => format!("{ms} ms"),
        1..=119 => format!("{:.1} s", time.as_secs_f64()),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_zone(text: &str, now: &str) -> Result<String, String> {
        let now: ZonedDateTime = now.parse().unwrap();
        let zone = Ok(now.time_zone().clone());
        let time = parse_at(text, now.timestamp(), &zone)?;
        Ok(Timestamp::try_from(time).unwrap().to_string())
    }

    fn at(text: &str) -> Result<String, String> {
        in_zone(text, "2026-11-25T04:00:00+01:00[+01:00]")
    }

    #[test]
    fn every_accepted_form_is_understood() {
        for (text, means) in [
            ("2h", "2026-11-25T01:00:00Z"),
            ("30min", "2026-11-25T02:30:00Z"),
            ("30 minutes", "2026-11-25T02:30:00Z"),
            ("90s", "2026-11-25T02:58:30Z"),
            ("1d 1h", "2026-11-24T02:00:00Z"),
            ("1d1h30min", "2026-11-24T01:30:00Z"),
            ("2w", "2026-11-11T03:00:00Z"),
            ("22:00", "2026-11-24T21:00:00Z"),
            ("03:30", "2026-11-25T02:30:00Z"),
            ("03:30:15", "2026-11-25T02:30:15Z"),
            ("06:00:00", "2026-11-24T05:00:00Z"),
            ("06:00", "2026-11-24T05:00:00Z"),
            ("04:00", "2026-11-25T03:00:00Z"),
            ("2026-11-24T22:00", "2026-11-24T21:00:00Z"),
            ("2026-11-24 22:00:01", "2026-11-24T21:00:01Z"),
            ("2026-11-24", "2026-11-23T23:00:00Z"),
            ("2026-11-24T22:00:00Z", "2026-11-24T22:00:00Z"),
            ("2026-11-24T22:00Z", "2026-11-24T22:00:00Z"),
            ("2026-11-24T22:00:00.5+02:00", "2026-11-24T20:00:00.5Z"),
        ] {
            assert_eq!(at(text).as_deref(), Ok(means), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_accepted_forms() {
        for text in [
            "",
            " ",
            "yesterday",
            "-2h",
            "2h ",
            "2h ago",
            "2",
            "1.5h",
            "6m",
            "6mo",
            "1h 1d",
            "1h 1h",
            "P1D",
            "PT2H",
            "25:00",
            "6:00",
            "06",
            "06:00:00:00",
            "22:00+02",
            "22:00Z",
            "22:00[Asia/Tokyo]",
            "2026-11-24T22:00[Asia/Tokyo]",
            "2026-11-24T22:00[Nowhere/Land]",
            "2026-11-24T22:00+09:00[Asia/Tokyo]",
            "2026-11-24T22:00Z[Nowhere/Land]",
            "2026-11-24T22:00+02",
            "2026-11-24T22",
            "2026-13-01",
            "2026-02-30",
            "1969-01-01",
            "1969-12-31T23:59Z",
            "1969-12-31T23:59",
            "99999999999999w",
            "4000w",
            "5",
        ] {
            let refused = at(text).unwrap_err();
            assert!(
                refused.contains("2026-11-24T22:00+01:00"),
                "{text}: {refused}"
            );
            assert!(refused.contains("30min, 2h, 7d"), "{text}: {refused}");
        }
    }

    /// A zone whose clocks go forward on March 29 and back on October 25.
    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

    fn in_berlin(text: &str, now: &str) -> Result<String, String> {
        let zone = Ok(TimeZone::posix(BERLIN).unwrap());
        let time = parse_at(text, now.parse().unwrap(), &zone)?;
        Ok(Timestamp::try_from(time).unwrap().to_string())
    }

    #[test]
    fn a_time_that_clocks_skipped_or_showed_twice_is_refused() {
        let now = "2026-11-01T12:00:00Z";
        let gap = in_berlin("2026-03-29T02:30", now).unwrap_err();
        assert!(gap.contains("does not exist"), "{gap}");
        assert!(gap.contains("2026-03-29T02:30:00+01:00"), "{gap}");
        assert!(gap.contains("2026-03-29T02:30:00+02:00"), "{gap}");
        let fold = in_berlin("2026-10-25T02:30", now).unwrap_err();
        assert!(fold.contains("ambiguous"), "{fold}");
        assert!(fold.contains("2026-10-25T02:30:00+02:00"), "{fold}");
        assert!(fold.contains("2026-10-25T02:30:00+01:00"), "{fold}");
        let fold = in_berlin("02:30", "2026-10-25T12:00:00Z").unwrap_err();
        assert!(fold.contains("ambiguous"), "{fold}");
        for (text, means) in [
            ("2026-03-29T03:00", "2026-03-29T01:00:00Z"),
            ("2026-03-29T01:59:59", "2026-03-29T00:59:59Z"),
            ("2026-10-25T01:59", "2026-10-24T23:59:00Z"),
            ("2026-10-25T03:00", "2026-10-25T02:00:00Z"),
            ("2026-10-25T02:30:00+02:00", "2026-10-25T00:30:00Z"),
            // A day before now is 24 hours before now, even if clocks have changed since.
            ("7d", "2026-10-25T12:00:00Z"),
        ] {
            assert_eq!(in_berlin(text, now).as_deref(), Ok(means), "{text}");
        }
    }

    #[test]
    fn ages_are_words() {
        let now = 1_000_000_000;
        let all = [0, 5, 150, 7_300, 200_000].map(|s| ago(now - s * 1000, now));
        let words = ["just now", "5 s ago", "2 min ago", "2 h ago", "2 days ago"];
        assert_eq!(all, words);
        assert_eq!(ago(now + 1, now), "later");
    }
}
