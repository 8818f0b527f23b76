//! The [`Clock`] that a host can provide, and the stored form of a time: milliseconds since 1970.
//!
//! Neither order nor uniqueness depends on a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The source of the current time. Tests can supply their own.
///
/// The store calls the clock on its own threads. It also calls the clock before each commit, on the
/// threads of callers that wait until their writes are durable. The clock is never called by
/// operations that must not block ([`Graph::try_submit`](crate::Graph::try_submit), creating and
/// polling a [`PendingWrite`](crate::PendingWrite), pages, lookups, and
/// [`JobStore::health`](crate::JobStore::health)), nor while a lock is held that such an operation
/// takes. A clock that blocks delays all commits and the calls that wait for them, and the queue
/// fills up.
///
/// A panic of the clock does not affect the store's work: times continue from the last reading, and
/// [`Health::Degraded`](crate::Health::Degraded) reports the panic until the clock returns a time
/// again.
///
/// # Examples
/// ```
/// use std::time::{Duration, SystemTime};
/// struct Fixed;
/// impl jobstore::Clock for Fixed {
///     fn now(&self) -> SystemTime {
///         SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
///     }
/// }
/// let store = jobstore::JobStore::options().clock(Fixed).in_memory()?;
/// # Ok::<(), jobstore::Error>(())
/// ```
pub trait Clock: Send + Sync {
    /// Returns the current time.
    fn now(&self) -> SystemTime;
}

/// The system clock.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// Converts a time to its stored form. Times before 1970 become 1970.
pub(crate) fn to_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis())
        .unwrap_or(u64::MAX)
        .min(TIME_MS_MAX)
}

pub(crate) fn from_ms(time_ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(time_ms.min(TIME_MS_MAX))
}

/// Formats a time as RFC 3339: `2026-02-28T08:15:00.250Z`.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let ms = to_ms(time);
    let (days, of_day) = (ms / 86_400_000, ms % 86_400_000);
    // Years are counted in eras of 400 years, and begin in March, so that a leap day is the last
    // day of its year. 0000-03-01 is 719468 days before 1970.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let date = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    let year = 400 * era + year + u64::from(month <= 2);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, ms) = (of_day / 1000 % 60, of_day % 1000);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Limits a duration so that it can be added to any instant of this process without overflow. The
/// limit is so long that a wait of this duration is effectively unbounded.
pub(crate) fn bounded(time: Duration) -> Duration {
    const FAR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    time.min(FAR)
}

/// The end of the year 9999, which every system clock can represent.
pub(crate) const TIME_MS_MAX: u64 = 253_402_300_799_999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_wrong_tells_a_time_that_can_be_stored() {
        let year_300000 = UNIX_EPOCH + Duration::from_secs(298_030 * 31_556_952);
        assert_eq!(to_ms(year_300000), TIME_MS_MAX);
        assert_eq!(to_ms(UNIX_EPOCH - Duration::from_secs(1)), 0);
    }

    #[test]
    fn times_are_written_as_the_calendar_has_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_251_199_250, "2024-02-29T23:59:59.250Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (TIME_MS_MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(from_ms(ms)), text);
        }
    }
}
