//! The clocks at the time of a write.
//!
//! The log records the age clock, so the age of a job does not depend on a single reading of the
//! system clock.

use serde::{Deserialize, Serialize};

use crate::base::clock::TIME_MS_MAX;
use crate::log::clock_gaps::{Gap, Gaps};

/// The clocks at one instant. It is recorded in each frame, in each pack, and at a clean close.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClockMark {
    /// The age clock. It never goes back and never jumps, not even when jumps of the system clock
    /// are confirmed.
    pub(crate) age_ms: u64,
    /// The system clock, in milliseconds since 1970.
    pub(crate) wall_ms: u64,
    /// The sum of all jumps of the system clock that the age clock did not follow.
    pub(crate) drift_ms: i64,
    /// By how much the system clock jumped forward while the store was closed, excluding jumps that
    /// have been confirmed.
    pub(crate) doubted_ms: u64,
    /// The reading of the age clock at which the unconfirmed time may have begun. If `doubted_ms`
    /// is 0, this is the reading at which the drift may have begun, even if the drift is negative.
    /// 0 if no time is unconfirmed, or if the reading is not known.
    pub(crate) jumped_at_ms: u64,
}

impl ClockMark {
    /// Returns whether a store could have written these values. Sums of such values cannot
    /// overflow.
    pub(crate) fn is_possible(&self) -> bool {
        const MAX: u64 = 1 << 60;
        self.age_ms < MAX
            && self.wall_ms <= TIME_MS_MAX
            && self.drift_ms.unsigned_abs() < MAX
            && self.doubted_ms < MAX
            && self.jumped_at_ms < MAX
    }

    /// Returns the time that is not confirmed yet. When it is confirmed, it is added to the ages of
    /// all earlier events.
    pub(crate) fn unconfirmed(self) -> Option<Gap> {
        let gap = Gap {
            before_ms: self.jumped_at_ms,
            gap_ms: match self.doubted_ms {
                0 => self.drift_ms.max(0) as u64,
                doubted_ms => doubted_ms,
            },
        };
        gap.is_possible().then_some(gap)
    }

    /// The clocks after everything has been confirmed.
    pub(crate) fn confirmed(self) -> ClockMark {
        ClockMark {
            age_ms: self.age_ms,
            wall_ms: self.wall_ms,
            ..ClockMark::default()
        }
    }

    /// The system clock minus all unexplained forward jumps.
    fn plausible_wall_ms(&self) -> i64 {
        self.wall_ms as i64 - self.drift_ms.max(0)
    }

    /// Converts a time of the system clock to the age clock. A time in the future is treated as the
    /// current time.
    pub(crate) fn age_at(&self, time_ms: u64, gaps: &Gaps) -> i64 {
        let ago_ms = self.plausible_wall_ms().saturating_sub_unsigned(time_ms);
        gaps.at((self.age_ms as i64).saturating_sub(ago_ms.max(0)))
    }

    /// The result of [`ClockMark::age_at`] minus `time_ms`, as an event stores it.
    pub(crate) fn shift(&self, time_ms: u64, gaps: &Gaps) -> i64 {
        self.age_at(time_ms, gaps).saturating_sub_unsigned(time_ms)
    }
}

/// Computes the age clock at an event from the event's time and age shift.
pub(crate) fn shifted(time_ms: u64, age_shift_ms: i64) -> i64 {
    age_shift_ms.saturating_add_unsigned(time_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_earlier_is_older_and_what_is_dated_ahead_is_not() {
        let mark = ClockMark {
            age_ms: 5_000,
            wall_ms: 900_000,
            ..ClockMark::default()
        };
        let none = Gaps::default();
        assert_eq!(mark.age_at(900_000, &none), 5_000);
        assert_eq!(mark.age_at(899_000, &none), 4_000);
        assert_eq!(mark.age_at(0, &none), 5_000 - 900_000);
        assert_eq!(mark.age_at(u64::MAX, &none), 5_000);
        assert_eq!(shifted(899_000, mark.shift(899_000, &none)), 4_000);
        let jumped = ClockMark {
            wall_ms: 1_900_000,
            drift_ms: 1_000_000,
            ..mark
        };
        assert_eq!(jumped.age_at(899_000, &none), 4_000);
        assert_eq!(jumped.age_at(1_900_000, &none), 5_000);
        let went_back = ClockMark {
            wall_ms: 100_000,
            drift_ms: -800_000,
            ..mark
        };
        assert_eq!(went_back.age_at(99_000, &none), 4_000);
        assert_eq!(went_back.age_at(899_000, &none), 5_000);
    }
}
