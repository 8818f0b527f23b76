//! How old jobs are, by a clock that does not leap.
//!
//! Owns: [`AgeClock`], and for each chunk of jobs when the first of them ended. Must
//! not know: policies.
//! Promise: while the store is open, ages grow as fast as time goes by, whatever the
//! system's clock says; a leap while it was closed makes nobody older until somebody
//! says that the clock is right.

use std::time::Duration;

use crate::sync::time::Instant;

/// A step of the clock across a restart that is believed.
const BELIEVED: Duration = Duration::from_secs(24 * 3600);

/// The time by which ages are counted.
#[derive(Default)]
pub(crate) struct AgeClock {
    begun: Option<Begun>,
    /// What the clock said at open, where that is not believed.
    doubted_ms: Option<u64>,
}

struct Begun {
    at: Instant,
    at_ms: u64,
}

impl AgeClock {
    /// Goes on from the last time that is known, 0 for none, with what the system's
    /// clock says now.
    pub(crate) fn begin(known_ms: u64, now_ms: u64) -> AgeClock {
        let step_ms = now_ms.saturating_sub(known_ms);
        let believed = known_ms == 0 || u128::from(step_ms) <= BELIEVED.as_millis();
        AgeClock {
            begun: believed.then(|| Begun {
                at: Instant::now(),
                at_ms: now_ms.max(known_ms),
            }),
            doubted_ms: (!believed).then_some(now_ms),
        }
    }

    /// The time, in milliseconds since 1970; none while the clock is doubted.
    pub(crate) fn now_ms(&self) -> Option<u64> {
        let begun = self.begun.as_ref()?;
        let passed = Instant::now().saturating_duration_since(begun.at);
        let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        Some(begun.at_ms.saturating_add(passed))
    }

    /// Whether ages wait for somebody to say that the clock is right.
    pub(crate) fn is_doubted(&self) -> bool {
        self.doubted_ms.is_some()
    }

    /// Believes what the system's clock says now.
    pub(crate) fn confirm(&mut self, now_ms: u64) {
        *self = AgeClock::begin(0, now_ms);
    }
}

/// When the first complete job of each chunk ended that is still there.
#[derive(Default)]
pub(crate) struct Ages {
    /// By chunk: how many were complete when it was looked at, and the earliest end.
    chunks: Vec<Option<(u64, u64)>>,
}

impl Ages {
    /// The earliest end, where the chunk has as many complete jobs as it had.
    pub(crate) fn earliest(&self, chunk: usize, complete: u64) -> Option<u64> {
        let (known, earliest) = (*self.chunks.get(chunk)?)?;
        (known == complete).then_some(earliest)
    }

    pub(crate) fn set(&mut self, chunk: usize, complete: u64, earliest: u64) {
        if self.chunks.len() <= chunk {
            self.chunks.resize(chunk + 1, None);
        }
        self.chunks[chunk] = Some((complete, earliest));
    }
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * 3600 * 1000;

    #[test]
    fn a_leap_across_a_restart_is_doubted_until_it_is_confirmed() {
        let mut clock = AgeClock::begin(1_000, 1_000 + 2 * DAY_MS);
        assert!(clock.is_doubted());
        assert_eq!(clock.now_ms(), None);
        clock.confirm(1_000 + 2 * DAY_MS);
        assert!(clock.now_ms() >= Some(1_000 + 2 * DAY_MS));
        assert!(!clock.is_doubted());
    }

    #[test]
    fn a_clock_that_goes_back_does_not_take_time_away() {
        let clock = AgeClock::begin(5 * DAY_MS, DAY_MS);
        assert!(clock.now_ms() >= Some(5 * DAY_MS));
        assert!(AgeClock::begin(DAY_MS, 2 * DAY_MS).now_ms().is_some());
    }

    #[test]
    fn a_chunk_that_changed_is_looked_at_again() {
        let mut ages = Ages::default();
        assert_eq!(ages.earliest(3, 7), None);
        ages.set(3, 7, 100);
        assert_eq!(ages.earliest(3, 7), Some(100));
        assert_eq!(ages.earliest(3, 8), None);
    }
}
