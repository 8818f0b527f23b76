//! The age clock and, for each chunk of jobs, the time at which its first completed job becomes
//! due.
//!
//! The age clock advances with monotonic time while the store is open. At an open, it advances by
//! the time that the store was closed, if the system clock shows a plausible duration. Nothing else
//! advances it, so no single reading of the system clock makes a job older. A gap is time that the
//! age clock did not count but that was confirmed later. A gap makes only those events older that
//! occurred before it.

use std::time::Duration;

use crate::base::sync::time::Instant;
use crate::log::clock_gaps::{Gap, Gaps};
use crate::log::clock_mark::ClockMark;

/// If the time between a close and the next open is at most this long, it needs no confirmation.
const PLAUSIBLE_MS: i64 = 24 * 3_600_000;
/// The system clock and monotonic time may diverge by this much. A larger difference is considered
/// a jump.
const SLACK_MS: u64 = 60_000;

/// The age clock of an open store.
pub(crate) struct AgeClock {
    mark: ClockMark,
    /// When the mark was taken, in whole milliseconds since the open.
    at: Instant,
    /// The confirmed gaps: time that the age clock did not count.
    gaps: Gaps,
}

impl AgeClock {
    /// Continues from the last recorded mark, if there is one, with the current reading of the
    /// system clock.
    pub(crate) fn begin(
        (recorded, gaps): (Option<ClockMark>, Gaps),
        at: Instant,
        wall_ms: u64,
    ) -> AgeClock {
        let Some(mut mark) = recorded else {
            let mark = ClockMark {
                age_ms: wall_ms,
                wall_ms,
                ..ClockMark::default()
            };
            return AgeClock { mark, at, gaps };
        };
        let closed_ms = wall_ms as i64 - mark.wall_ms as i64;
        mark.wall_ms = wall_ms;
        if (0..=PLAUSIBLE_MS).contains(&closed_ms) {
            mark.age_ms += closed_ms as u64;
        } else {
            jump(&mut mark, closed_ms, closed_ms.max(0) as u64);
        }
        AgeClock { mark, at, gaps }
    }

    /// The last reading of the clocks.
    pub(crate) fn mark(&self) -> ClockMark {
        self.mark
    }

    /// Reads the clocks.
    pub(crate) fn read(&mut self, now: Instant, wall_ms: u64) -> ClockMark {
        let passed = now.saturating_duration_since(self.at);
        let passed_ms = u64::try_from(passed.as_millis()).unwrap_or(0);
        // Fractions of a millisecond are counted by the next reading.
        self.at = self
            .at
            .checked_add(Duration::from_millis(passed_ms))
            .unwrap_or(now);
        let mark = &mut self.mark;
        mark.age_ms += passed_ms;
        let expected_ms = mark.wall_ms.saturating_add(passed_ms);
        mark.wall_ms = wall_ms;
        if wall_ms.abs_diff(expected_ms) > SLACK_MS {
            jump(mark, wall_ms as i64 - expected_ms as i64, 0);
        }
        self.mark
    }

    /// Continues from a mark that another store has recorded, and adds what that store confirmed.
    pub(crate) fn follow(&mut self, mark: ClockMark, confirmed: Option<Gap>) {
        self.mark = mark;
        if let Some(gap) = confirmed {
            self.gaps.add(gap);
        }
    }

    /// Replaces the mark and the gaps by those of a restored log.
    pub(crate) fn restore(&mut self, mark: ClockMark, gaps: Gaps) {
        self.mark = mark;
        self.gaps = gaps;
    }

    /// Applies a durable confirmation of whatever could be confirmed when `staged` was read.
    pub(crate) fn confirmed(&mut self, staged: &ClockMark) {
        if let Some(gap) = staged.unconfirmed() {
            self.gaps.add(gap);
        }
        // Keep those jumps of the clock that occurred after that reading.
        let mark = &mut self.mark;
        mark.drift_ms -= staged.drift_ms;
        mark.doubted_ms = mark.doubted_ms.saturating_sub(staged.doubted_ms);
        mark.jumped_at_ms = match is_even(mark.drift_ms) {
            true => 0,
            false => mark.age_ms,
        };
    }

    /// The confirmed gaps: time that the age clock did not count.
    pub(crate) fn gaps(&self) -> &Gaps {
        &self.gaps
    }
}

/// Records a jump of the system clock, and how much of the jump is doubted. A backward jump cancels
/// doubted forward jumps.
fn jump(mark: &mut ClockMark, by_ms: i64, doubted_ms: u64) {
    let before = *mark;
    mark.drift_ms += by_ms;
    let doubted_ms = (mark.doubted_ms + doubted_ms).saturating_sub(by_ms.min(0).unsigned_abs());
    mark.doubted_ms = doubted_ms.min(mark.drift_ms.max(0) as u64);
    // A jump this small would not have been doubted, so it need not be confirmed.
    if mark.doubted_ms <= PLAUSIBLE_MS as u64 {
        mark.doubted_ms = 0;
    }
    let begins = match (before.doubted_ms > 0, mark.doubted_ms > 0) {
        (true, true) => false,
        (true, false) => {
            mark.jumped_at_ms = 0;
            false
        }
        // If the clock was already behind, it is known only that the missing time lies after the
        // moment when the clock fell behind, so that moment is kept.
        (false, true) => before.drift_ms >= -(SLACK_MS as i64),
        (false, false) if is_even(mark.drift_ms) => {
            mark.jumped_at_ms = 0;
            false
        }
        (false, false) => is_even(before.drift_ms),
    };
    if begins {
        // Ensures that events recorded before a forward jump also precede it according to the age
        // clock.
        mark.age_ms += u64::from(by_ms > 0);
        mark.jumped_at_ms = mark.age_ms;
    }
}

/// Whether the system clock is right, or so little behind that it is considered right.
fn is_even(drift_ms: i64) -> bool {
    (-(SLACK_MS as i64)..=0).contains(&drift_ms)
}

/// For each chunk, when its first remaining complete job becomes due.
#[derive(Default)]
pub(crate) struct Ages {
    /// For each chunk: how many jobs were complete at the last check, and when the first of them
    /// becomes due.
    chunks: Vec<Option<(u64, i64)>>,
}

impl Ages {
    /// When the first job becomes due, if the chunk still has the same number of complete jobs.
    pub(crate) fn earliest(&self, chunk: usize, complete: u64) -> Option<i64> {
        let (known, earliest) = (*self.chunks.get(chunk)?)?;
        (known == complete).then_some(earliest)
    }

    pub(crate) fn set(&mut self, chunk: usize, complete: u64, earliest: i64) {
        if self.chunks.len() <= chunk {
            self.chunks.resize(chunk + 1, None);
        }
        self.chunks[chunk] = Some((complete, earliest));
    }
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;
    const DAY_MS: u64 = 24 * HOUR_MS;
    const NOW: u64 = 20_000 * DAY_MS;

    /// A system clock, and the monotonic time of its readings.
    struct Trial {
        clock: AgeClock,
        now: Instant,
        wall_ms: u64,
    }

    impl Trial {
        fn new(wall_ms: u64) -> Trial {
            let now = Instant::now();
            let clock = AgeClock::begin((None, Gaps::default()), now, wall_ms);
            Trial {
                clock,
                now,
                wall_ms,
            }
        }

        fn passes(&mut self, ms: u64) {
            self.now += Duration::from_millis(ms);
            self.wall_ms += ms;
        }

        fn read(&mut self) -> ClockMark {
            self.clock.read(self.now, self.wall_ms)
        }

        fn reopen(&mut self, wall_ms: u64) -> ClockMark {
            let recorded = self.read();
            self.wall_ms = wall_ms;
            let gaps = self.clock.gaps().clone();
            self.clock = AgeClock::begin((Some(recorded), gaps), self.now, wall_ms);
            self.clock.mark()
        }

        fn confirm(&mut self) {
            let staged = self.read();
            self.clock.confirmed(&staged);
            assert_eq!(self.clock.mark(), staged.confirmed());
        }

        /// The age of an event at `at_ms`.
        fn age_of(&mut self, at_ms: u64) -> i64 {
            self.read().age_ms as i64 - self.clock.gaps().since(at_ms as i64)
        }
    }

    #[test]
    fn it_advances_with_monotonic_time_whatever_the_clock_says() {
        let mut trial = Trial::new(NOW);
        for wall_ms in [NOW, 0, NOW + 80 * 365 * DAY_MS, NOW] {
            trial.wall_ms = wall_ms;
            let before = trial.read().age_ms;
            trial.passes(HOUR_MS);
            assert_eq!(trial.read().age_ms, before + HOUR_MS);
            assert_eq!(trial.read().doubted_ms, 0);
        }
        assert_eq!(trial.read().age_ms, NOW + 4 * HOUR_MS);
    }

    #[test]
    fn it_loses_nothing_to_frequent_reads() {
        let mut trial = Trial::new(NOW);
        for _ in 0..10_000 {
            trial.now += Duration::from_micros(100);
            trial.clock.read(trial.now, NOW);
        }
        assert_eq!(trial.clock.mark().age_ms, NOW + 1000);
    }

    #[test]
    fn closed_time_counts_if_it_is_plausible() {
        let mut trial = Trial::new(NOW);
        assert_eq!(trial.reopen(NOW + DAY_MS).age_ms, NOW + DAY_MS);
        // The clock is set back, and some time passes.
        assert_eq!(trial.reopen(NOW).age_ms, NOW + DAY_MS);
        let mark = trial.reopen(NOW + HOUR_MS);
        assert_eq!((mark.age_ms, mark.doubted_ms), (NOW + DAY_MS + HOUR_MS, 0));
    }

    #[test]
    fn a_long_time_closed_waits_to_be_confirmed() {
        let mut trial = Trial::new(NOW);
        let before = trial.read().age_ms;
        let mark = trial.reopen(NOW + 3 * DAY_MS);
        assert_eq!((mark.age_ms, mark.doubted_ms), (NOW + 1, 3 * DAY_MS));
        let after = mark.age_ms;
        // The same is true if the store is opened once more before the confirmation.
        let mark = trial.reopen(NOW + 3 * DAY_MS + HOUR_MS);
        assert_eq!(
            (mark.age_ms, mark.doubted_ms),
            (NOW + 1 + HOUR_MS, 3 * DAY_MS)
        );
        for _ in 0..2 {
            trial.confirm();
            assert_eq!(trial.read().age_ms, NOW + 1 + HOUR_MS, "it does not jump");
            // Events before the gap become older by the length of the gap, once. No other event
            // becomes older.
            let older = (3 * DAY_MS + HOUR_MS + 1) as i64;
            assert_eq!(trial.age_of(before), older);
            assert_eq!(trial.age_of(after), HOUR_MS as i64);
        }
    }

    #[test]
    fn of_several_gaps_none_makes_older_what_happened_after_its_begin() {
        let mut trial = Trial::new(NOW);
        let first = trial.read().age_ms;
        trial.reopen(NOW + 3 * DAY_MS);
        trial.passes(HOUR_MS);
        let second = trial.read().age_ms;
        let mark = trial.reopen(NOW + 8 * DAY_MS + HOUR_MS);
        assert_eq!(mark.doubted_ms, 8 * DAY_MS);
        trial.confirm();
        assert!(trial.age_of(first) >= (8 * DAY_MS + HOUR_MS) as i64);
        assert_eq!(trial.age_of(second), 0);
    }

    #[test]
    fn a_host_that_slept_while_the_store_was_open_is_a_gap_once_it_is_confirmed() {
        let mut trial = Trial::new(NOW);
        let first = trial.read().age_ms;
        trial.wall_ms += 2 * DAY_MS;
        let second = trial.read().age_ms;
        trial.passes(HOUR_MS);
        trial.confirm();
        assert_eq!(trial.age_of(first), (2 * DAY_MS + HOUR_MS + 1) as i64);
        assert_eq!(trial.age_of(second), HOUR_MS as i64);
    }

    #[test]
    fn a_doubt_ends_when_the_clock_is_set_back_open_or_closed() {
        for is_open in [false, true] {
            let mut trial = Trial::new(NOW);
            assert!(trial.reopen(NOW + 9000 * DAY_MS).doubted_ms > 0);
            match is_open {
                true => trial.wall_ms = NOW + HOUR_MS,
                false => drop(trial.reopen(NOW + HOUR_MS)),
            }
            trial.confirm();
            assert!(trial.age_of(NOW) <= HOUR_MS as i64);
            let mark = trial.read();
            assert_eq!((mark.doubted_ms, mark.drift_ms), (0, 0));
        }
        // The reverse: the clock shows 1970 during one open.
        let mut trial = Trial::new(NOW);
        assert_eq!(trial.reopen(0).doubted_ms, 0);
        let mark = trial.reopen(NOW + 1000);
        assert_eq!((mark.age_ms, mark.doubted_ms), (NOW, 0));
    }

    #[test]
    fn time_that_was_missed_while_the_clock_was_behind_makes_nothing_older_since_then() {
        for is_open in [true, false] {
            let mut trial = Trial::new(NOW);
            trial.passes(1);
            trial.wall_ms = 0;
            trial.read();
            // The store is closed for 13 days, which the wrong clock counts correctly.
            trial.reopen(13 * DAY_MS);
            trial.passes(HOUR_MS);
            let during = trial.read().age_ms;
            let right_ms = NOW + 13 * DAY_MS + HOUR_MS;
            match is_open {
                true => trial.wall_ms = right_ms,
                false => drop(trial.reopen(right_ms)),
            }
            trial.confirm();
            assert_eq!(trial.age_of(during), 0, "{is_open}");
            assert!(trial.age_of(NOW) >= (13 * DAY_MS) as i64, "{is_open}");
        }
    }

    #[test]
    fn a_wrong_jump_that_is_taken_back_leaves_no_doubt_about_earlier_ones() {
        // The store is created while its clock shows 1970, and the clock is set afterward.
        let mut trial = Trial::new(0);
        trial.wall_ms = NOW;
        let before = trial.read().age_ms;
        assert!(trial.reopen(NOW + 30_000 * DAY_MS).doubted_ms > 0);
        trial.wall_ms = NOW + HOUR_MS;
        assert_eq!(trial.read().doubted_ms, 0);
        trial.confirm();
        assert!(trial.age_of(before) <= HOUR_MS as i64);
    }

    #[test]
    fn a_confirmed_absence_does_not_count_jumps_from_before() {
        // The store is created while its clock shows 1970.
        let mut trial = Trial::new(0);
        trial.wall_ms = NOW;
        let before = trial.read().age_ms;
        let mark = trial.reopen(NOW + 3 * DAY_MS);
        assert_eq!(mark.doubted_ms, 3 * DAY_MS);
        trial.confirm();
        assert_eq!(trial.age_of(before), (3 * DAY_MS + 1) as i64);
        assert!(trial.age_of(0) <= (3 * DAY_MS + 2) as i64);
    }

    #[test]
    fn a_chunk_that_changed_is_visited_again() {
        let mut ages = Ages::default();
        assert_eq!(ages.earliest(3, 7), None);
        ages.set(3, 7, 100);
        assert_eq!(ages.earliest(3, 7), Some(100));
        assert_eq!(ages.earliest(3, 8), None);
    }
}
