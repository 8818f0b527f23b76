//! How old jobs are, by a clock that does not leap.
//!
//! Owns: [`AgeClock`], and for each chunk of jobs when the first of them ended. Must
//! not know: policies.
//! Promise: while the store is open, ages grow as fast as time goes by, whatever the
//! system's clock says; a leap while it was closed makes nobody older until somebody
//! says that the clock is right. Who ended under a clock that had leapt ahead grows old
//! like all others.

use std::time::Duration;

use crate::sync::time::Instant;

/// A step of the clock across a restart that is believed.
const BELIEVED: Duration = Duration::from_secs(24 * 3600);
/// By so much clocks may go apart; more is a leap.
const SLACK_MS: u64 = 60_000;

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
    leap: Leap,
}

/// When the system's clock was last seen to leap, and where to: at first, what it said when
/// this clock began. Since then both go on side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leap {
    /// By the clock that ages go by.
    at_ms: u64,
    /// By the system's.
    to_ms: u64,
}

impl Leap {
    /// When a job ended, by the clock that ages go by, whose end was written by the
    /// system's. One that lies ahead and was not written since the leap, was before it.
    pub(crate) fn ended_ms(self, written_ms: u64, now_ms: u64) -> u64 {
        let since = self.to_ms.saturating_sub(SLACK_MS)..=self.system_ms(now_ms) + SLACK_MS;
        match since.contains(&written_ms) {
            true => now_ms.min(self.at_ms + written_ms.saturating_sub(self.to_ms)),
            false if written_ms <= now_ms => written_ms,
            false => self.at_ms,
        }
    }

    /// What the system's clock says, if it has not leapt again.
    fn system_ms(self, now_ms: u64) -> u64 {
        self.to_ms + now_ms.saturating_sub(self.at_ms)
    }
}

impl AgeClock {
    /// Goes on from the last time that is known, 0 for none, with what the system's
    /// clock says now.
    pub(crate) fn begin(known_ms: u64, now_ms: u64) -> AgeClock {
        let step_ms = now_ms.saturating_sub(known_ms);
        let believed = known_ms == 0 || u128::from(step_ms) <= BELIEVED.as_millis();
        let at_ms = now_ms.max(known_ms);
        AgeClock {
            begun: believed.then(|| Begun {
                at: Instant::now(),
                at_ms,
                leap: Leap {
                    at_ms,
                    to_ms: now_ms,
                },
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

    /// The same, and how to read times of the system's clock by it.
    pub(crate) fn now(&self) -> Option<(u64, Leap)> {
        Some((self.now_ms()?, self.begun.as_ref()?.leap))
    }

    /// Looks whether the system's clock has leapt.
    pub(crate) fn see(&mut self, system_ms: u64) {
        let Some((at_ms, leap)) = self.now() else {
            return;
        };
        if let (true, Some(begun)) = (
            leap.system_ms(at_ms).abs_diff(system_ms) > SLACK_MS,
            &mut self.begun,
        ) {
            begun.leap = Leap {
                at_ms,
                to_ms: system_ms,
            };
        }
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

/// When the first complete job of each chunk is due that is still there.
#[derive(Default)]
pub(crate) struct Ages {
    /// By chunk: how many were complete when it was looked at, and the earliest time.
    chunks: Vec<Option<(u64, u64)>>,
}

impl Ages {
    /// The earliest time, where the chunk has as many complete jobs as it had.
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
    fn who_ended_under_a_clock_that_had_leapt_is_as_old_as_it_is() {
        const HOUR_MS: u64 = 3_600_000;
        let begun_ms = 1000 * DAY_MS;
        let since = |at_ms: u64, to_ms: u64| Leap { at_ms, to_ms };
        let now_ms = begun_ms + 5 * HOUR_MS;
        // No leap: times are what they say, but for what lies ahead.
        let leap = since(begun_ms, begun_ms);
        let ended_ms = |written_ms| leap.ended_ms(written_ms, now_ms);
        assert_eq!(ended_ms(begun_ms - DAY_MS), begun_ms - DAY_MS);
        assert_eq!(ended_ms(begun_ms + HOUR_MS), begun_ms + HOUR_MS);
        assert_eq!(ended_ms(begun_ms + 9 * DAY_MS), begun_ms);
        // A leap an hour after the begin, ahead and back.
        for to_ms in [9000 * DAY_MS, 10 * DAY_MS] {
            let at_ms = begun_ms + HOUR_MS;
            let leap = since(at_ms, to_ms);
            let ended_ms = |written_ms| leap.ended_ms(written_ms, now_ms);
            assert_eq!(ended_ms(begun_ms), begun_ms);
            assert_eq!(ended_ms(to_ms), at_ms);
            assert_eq!(ended_ms(to_ms - 5000), at_ms, "before the leap was seen");
            assert_eq!(ended_ms(to_ms + HOUR_MS), at_ms + HOUR_MS);
            assert_eq!(ended_ms(to_ms + 4 * HOUR_MS + 5000), now_ms);
            assert_eq!(ended_ms(9999 * DAY_MS), at_ms);
        }
    }

    #[test]
    fn only_a_leap_is_one() {
        let mut clock = AgeClock::begin(0, 7 * DAY_MS);
        let begun = clock.now().unwrap().1;
        clock.see(7 * DAY_MS + 2000);
        assert_eq!(clock.now().unwrap().1, begun);
        clock.see(9 * DAY_MS);
        let leap = clock.now().unwrap().1;
        assert_eq!(leap.to_ms, 9 * DAY_MS);
        assert!(leap.at_ms < 8 * DAY_MS);
        clock.see(9 * DAY_MS);
        assert_eq!(clock.now().unwrap().1, leap);
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
