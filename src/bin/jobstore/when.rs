//! Times as people write and read them.
//!
//! Owns: what `--since` and its like understand, ages and durations in words. Must not
//! know: what happened then.
//! Promise: a time is taken for one thing only, or refused with what is allowed.

use std::time::{Duration, SystemTime};

use jiff::civil::{Date, DateTime, Time};
use jiff::{Span, Timestamp, ZonedDateTime};

/// What is allowed, for who wrote something else.
const ALLOWED: &str = "write how long ago (2h, 30min, 7d), a time of the last day (22:00), \
                       a time here (2026-11-24T22:00), or one with its zone (2026-11-24T22:00Z)";

/// A point in time that was written on the command line.
pub(crate) fn parse(text: &str) -> Result<SystemTime, String> {
    parse_at(text, &ZonedDateTime::now())
}

fn parse_at(text: &str, now: &ZonedDateTime) -> Result<SystemTime, String> {
    let refused = || format!("{text:?} is no time: {ALLOWED}");
    let zoned = if let Ok(time) = text.parse::<Timestamp>() {
        time.to_zoned_datetime(now.time_zone().clone())
    } else if let Ok(ago) = text.parse::<Span>() {
        if ago.is_negative() {
            return Err(refused());
        }
        now.checked_sub(ago).map_err(|_| refused())?
    } else if text.len() <= 8 && text.contains(':') {
        // The last time that clocks here showed it.
        let time: Time = text.parse().map_err(|_| refused())?;
        let at = now
            .date()
            .to_datetime(time)
            .to_zoned_datetime(now.time_zone().clone());
        let at = at.map_err(|_| refused())?;
        match at <= *now {
            true => at,
            false => at.checked_sub(Span::new().days(1)).map_err(|_| refused())?,
        }
    } else {
        let here: DateTime = text
            .parse::<DateTime>()
            .or_else(|_| text.parse::<Date>().map(|date| date.at(0, 0, 0, 0)))
            .map_err(|_| refused())?;
        here.to_zoned_datetime(now.time_zone().clone())
            .map_err(|_| refused())?
    };
    let time = SystemTime::try_from(zoned.timestamp()).map_err(|_| refused())?;
    match time < SystemTime::UNIX_EPOCH {
        true => Err(format!("{text:?} is before 1970: {ALLOWED}")),
        false => Ok(time),
    }
}

/// Milliseconds since 1970.
pub(crate) fn to_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

pub(crate) fn now_ms() -> u64 {
    to_ms(SystemTime::now())
}

/// A time as clocks here show it.
pub(crate) fn here(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    match Timestamp::from_millisecond(ms) {
        Ok(time) => {
            let zoned = time.to_zoned_datetime(jiff::tz::TimeZone::system());
            zoned.strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
        }
        Err(_) => format!("{ms} ms since 1970"),
    }
}

/// How long ago, in words.
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

/// How long something took, in words.
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

    fn at(text: &str) -> Result<String, String> {
        let now: ZonedDateTime = "2026-11-25T04:00:00+01:00[+01:00]".parse().unwrap();
        let time = parse_at(text, &now)?;
        Ok(Timestamp::try_from(time).unwrap().to_string())
    }

    #[test]
    fn every_way_to_write_a_time_is_understood() {
        for (text, means) in [
            ("2h", "2026-11-25T01:00:00Z"),
            ("30min", "2026-11-25T02:30:00Z"),
            ("1d 1h", "2026-11-24T02:00:00Z"),
            ("22:00", "2026-11-24T21:00:00Z"),
            ("03:30", "2026-11-25T02:30:00Z"),
            ("2026-11-24T22:00", "2026-11-24T21:00:00Z"),
            ("2026-11-24 22:00:01", "2026-11-24T21:00:01Z"),
            ("2026-11-24", "2026-11-23T23:00:00Z"),
            ("2026-11-24T22:00:00Z", "2026-11-24T22:00:00Z"),
            ("2026-11-24T22:00:00.5+02:00", "2026-11-24T20:00:00.5Z"),
        ] {
            assert_eq!(at(text).as_deref(), Ok(means), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_what_is_allowed() {
        for text in [
            "",
            "yesterday",
            "-2h",
            "25:00",
            "2026-13-01",
            "1969-01-01",
            "5",
        ] {
            let refused = at(text).unwrap_err();
            assert!(refused.contains("2h, 30min"), "{text}: {refused}");
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
