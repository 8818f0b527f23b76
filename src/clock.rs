//! Where times come from.
//!
//! Owns: [`Clock`] and the form times are stored in (milliseconds since 1970).
//! Promise: no order and no uniqueness ever rests on a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the store what time it is; tests bring their own.
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
    /// The time of day.
    fn now(&self) -> SystemTime;
}

/// The system's clock.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A time as it is stored. Times before 1970 become 1970.
pub(crate) fn to_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis())
        .unwrap_or(u64::MAX)
        .min(TIME_MS_MAX)
}

pub(crate) fn from_ms(time_ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(time_ms.min(TIME_MS_MAX))
}

/// The end of the year 9999: every system's clock can hold it.
const TIME_MS_MAX: u64 = 253_402_300_799_999;
