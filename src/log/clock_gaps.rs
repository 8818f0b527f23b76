//! Gaps: periods that the age clock did not count at first and that an operator confirmed later.
//!
//! A gap adds to the age of everything before it, and of nothing else. The list of gaps is short.

use serde::{Deserialize, Serialize};

use crate::base::codec::NUMBER_MAX;

/// The maximum number of gaps that are kept. If there are more, the oldest ones are merged.
const GAPS_MAX: usize = 16;

/// A confirmed gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gap {
    /// Anything that happened before this time, by the age clock, is older by `gap_ms`.
    pub(crate) before_ms: u64,
    pub(crate) gap_ms: u64,
}

impl Gap {
    pub(crate) fn is_possible(&self) -> bool {
        (1..NUMBER_MAX).contains(&self.before_ms) && (1..NUMBER_MAX).contains(&self.gap_ms)
    }
}

/// All confirmed gaps, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gaps(Vec<Gap>);

impl Gaps {
    /// Adds a gap. Gaps are added in ascending order, so a gap that is not later than the last one
    /// has already been added.
    pub(crate) fn add(&mut self, gap: Gap) {
        let last = self.0.last();
        if last.is_some_and(|last| last.before_ms >= gap.before_ms) {
            return;
        }
        self.0.push(gap);
        if self.0.len() > GAPS_MAX {
            // This keeps jobs that completed between the two gaps longer than required. No job is
            // kept for a shorter time than required.
            let second = self.0.remove(1);
            let first = &mut self.0[0];
            let sum_ms = first.gap_ms.saturating_add(second.gap_ms);
            first.gap_ms = sum_ms.min(NUMBER_MAX - 1);
        }
    }

    /// Returns the reading of the age clock at which the age of an event at `at_ms` starts: the age
    /// of the event is the current reading of the age clock minus this value. An earlier event is
    /// never younger than a later one.
    pub(crate) fn since(&self, at_ms: i64) -> i64 {
        let later = self.0.iter().rev();
        let after = later.take_while(|gap| at_ms < gap.before_ms as i64);
        after.fold(at_ms, |at, gap| at.saturating_sub_unsigned(gap.gap_ms))
    }

    /// The inverse of [`Gaps::since`]: returns the time of an event whose age starts at `since_ms`.
    /// For a time within a gap, returns the end of the gap.
    pub(crate) fn at(&self, since_ms: i64) -> i64 {
        let mut at_ms = since_ms;
        for gap in self.0.iter().rev() {
            let before_ms = gap.before_ms as i64;
            if at_ms >= before_ms {
                break;
            }
            at_ms = at_ms.saturating_add_unsigned(gap.gap_ms).min(before_ms);
        }
        at_ms
    }

    /// Returns whether a store could have written it.
    pub(crate) fn is_possible(&self) -> bool {
        let ascending = self.0.windows(2).all(|w| w[0].before_ms < w[1].before_ms);
        self.0.len() <= GAPS_MAX && ascending && self.0.iter().all(Gap::is_possible)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(list: &[(u64, u64)]) -> Gaps {
        let mut gaps = Gaps::default();
        for &(before_ms, gap_ms) in list {
            gaps.add(Gap { before_ms, gap_ms });
        }
        gaps
    }

    #[test]
    fn a_gap_makes_older_what_happened_before_it_and_is_added_once() {
        let gaps = gaps(&[(100, 50), (100, 50), (200, 7), (150, 9)]);
        assert!(gaps.is_possible());
        assert_eq!(gaps.since(99), 99 - 57);
        assert_eq!(gaps.since(100), 100 - 7);
        assert_eq!(gaps.since(199), 199 - 7);
        assert_eq!(gaps.since(200), 200);
        for at_ms in [-5, 0, 99, 100, 199, 200, 999] {
            assert_eq!(gaps.at(gaps.since(at_ms)), at_ms);
        }
        // Within a gap.
        assert_eq!((gaps.at(195), gaps.at(60)), (200, 100));
    }

    #[test]
    fn of_many_gaps_the_oldest_are_merged_and_no_age_grows_by_that() {
        let all: Vec<(u64, u64)> = (1..=40).map(|n| (n * 1000, n)).collect();
        let bounded = gaps(&all);
        assert_eq!(bounded.0.len(), GAPS_MAX);
        assert!(bounded.is_possible());
        for at_ms in (0..41_000).step_by(500) {
            let later = all.iter().filter(|gap| at_ms < gap.0 as i64);
            let exact = at_ms - later.map(|gap| gap.1 as i64).sum::<i64>();
            assert!(bounded.since(at_ms) >= exact);
            if !(1_000..25_000).contains(&at_ms) {
                assert_eq!(bounded.since(at_ms), exact, "{at_ms}");
            }
        }
    }
}
