//! The purges of a graph whose tombstones are kept.
//!
//! [`TombstoneQueue`] records these purges, the number of tombstones, and how old the oldest is.
//! The time that it takes to add a purge, read the age, or forget the first purge does not depend
//! on the number of purges.

use std::collections::{BTreeMap, VecDeque};

use crate::log::clock_gaps::Gaps;

/// A purge and how many tombstones it left.
pub(crate) type PurgeEntry = (u64, u64);

#[derive(Default)]
pub(crate) struct TombstoneQueue {
    /// LSN and number of jobs, in the order of the purges.
    purges: VecDeque<PurgeEntry>,
    jobs: u64,
    /// The LSN and time of each purge that is older than all later ones. All purges before an old
    /// one are considered at least as old, whatever their recorded times are.
    times: VecDeque<(u64, i64)>,
}

impl TombstoneQueue {
    /// Adds a purge, unless it has already been added.
    pub(crate) fn add(&mut self, (lsn, jobs): PurgeEntry, time_ms: i64) {
        if self.purges.back().is_some_and(|&(last, _)| last >= lsn) {
            return;
        }
        self.purges.push_back((lsn, jobs));
        self.jobs += jobs;
        while self.times.back().is_some_and(|&(_, last)| last >= time_ms) {
            self.times.pop_back();
        }
        self.times.push_back((lsn, time_ms));
    }

    /// Adds the purges of earlier opens before the others.
    pub(crate) fn add_earlier(&mut self, found: BTreeMap<u64, (u64, i64)>) {
        let later = std::mem::take(self);
        let first = later.purges.front().map_or(u64::MAX, |&(lsn, _)| lsn);
        for (lsn, (jobs, time_ms)) in found.range(..first) {
            self.add((*lsn, *jobs), *time_ms);
        }
        for &(lsn, jobs) in &later.purges {
            let n = later.times.partition_point(|&(of, _)| of < lsn);
            self.add((lsn, jobs), later.times[n].1);
        }
    }

    /// The time from which the age of the oldest purge is measured, by the age clock. If the
    /// recorded time is in the future, the clock had jumped when it was recorded, and the current
    /// time is used instead.
    pub(crate) fn oldest_ms(&mut self, now_ms: i64, gaps: &Gaps) -> Option<i64> {
        let mut ahead = None;
        while self.times.back().is_some_and(|&(_, time)| time > now_ms) {
            ahead = ahead.or(self.times.pop_back());
        }
        if let Some((lsn, _)) = ahead {
            self.times.push_back((lsn, now_ms));
        }
        self.times.front().map(|&(_, time)| gaps.since(time))
    }

    /// The last purge that happened before this time by the age clock, if there is one. All purges
    /// before it are considered at least as old.
    pub(crate) fn older_than(&self, time_ms: i64, gaps: &Gaps) -> Option<u64> {
        let is_older = |time| gaps.since(time) < time_ms;
        let n = self.times.partition_point(|&(_, time)| is_older(time));
        n.checked_sub(1).map(|n| self.times[n].0)
    }

    /// The first purges that have to be forgotten: all up to `old`, and enough to leave at most
    /// `jobs` tombstones. Together, the returned purges left about `at_once` tombstones at most.
    pub(crate) fn first_over(&self, jobs: u64, old: Option<u64>, at_once: u64) -> Vec<u64> {
        let over = self.jobs.saturating_sub(jobs);
        let (mut taken, mut lsns) = (0, Vec::new());
        for &(lsn, jobs) in &self.purges {
            let is_wanted = taken < over || old.is_some_and(|old| lsn <= old);
            if !is_wanted || (taken > 0 && taken + jobs > at_once) {
                break;
            }
            taken += jobs;
            lsns.push(lsn);
        }
        lsns
    }

    /// Removes the purges up to this one.
    pub(crate) fn forget(&mut self, through_lsn: u64) {
        while let Some(&(_, jobs)) = self.purges.front().filter(|p| p.0 <= through_lsn) {
            self.purges.pop_front();
            self.jobs -= jobs;
        }
        while self.times.front().is_some_and(|t| t.0 <= through_lsn) {
            self.times.pop_front();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.purges.is_empty()
    }

    #[cfg(all(test, not(jobstore_shuttle)))]
    pub(crate) fn set_times(&mut self, time_ms: i64) {
        self.times = self
            .purges
            .back()
            .map(|&(lsn, _)| (lsn, time_ms))
            .into_iter()
            .collect();
    }
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_the_least_time_of_those_that_are_kept() {
        let mut queue = TombstoneQueue::default();
        for (lsn, time) in [(1, 50), (2, 20), (3, 30), (4, 90), (5, 70)] {
            queue.add((lsn, 10), time);
            queue.add((lsn, 10), time);
        }
        assert_eq!(queue.jobs, 50);
        assert_eq!(queue.oldest_ms(100, &Gaps::default()), Some(20));
        queue.forget(1);
        assert_eq!(queue.oldest_ms(100, &Gaps::default()), Some(20));
        queue.forget(2);
        assert_eq!(queue.oldest_ms(100, &Gaps::default()), Some(30));
        queue.forget(3);
        // A time in the future is replaced with the current time.
        assert_eq!(queue.oldest_ms(60, &Gaps::default()), Some(60));
        assert_eq!(queue.oldest_ms(100, &Gaps::default()), Some(60));
        queue.forget(9);
        assert_eq!(
            (queue.oldest_ms(100, &Gaps::default()), queue.jobs),
            (None, 0)
        );
        assert!(queue.is_empty());
    }

    #[test]
    fn purges_of_earlier_opens_come_first_and_once() {
        let mut queue = TombstoneQueue::default();
        queue.add((7, 1), 70);
        queue.add((9, 1), 90);
        let earlier = BTreeMap::from([(3, (2, 30)), (5, (2, 80)), (7, (1, 1))]);
        queue.add_earlier(earlier);
        assert_eq!(queue.purges, [(3, 2), (5, 2), (7, 1), (9, 1)]);
        assert_eq!(queue.oldest_ms(100, &Gaps::default()), Some(30));
        queue.forget(3);
        assert_eq!(queue.oldest_ms(100, &Gaps::default()), Some(70));
    }

    #[test]
    fn what_is_over_or_old_goes_in_steps() {
        let mut queue = TombstoneQueue::default();
        (1..=9).for_each(|lsn| queue.add((lsn, 10), lsn as i64));
        assert_eq!(queue.first_over(90, None, 100), [0; 0]);
        assert_eq!(queue.first_over(65, None, 100), [1, 2, 3]);
        assert_eq!(queue.first_over(0, None, 25), [1, 2]);
        assert_eq!(queue.first_over(0, None, 1), [1]);
        assert_eq!(queue.older_than(1, &Gaps::default()), None);
        assert_eq!(queue.older_than(3, &Gaps::default()), Some(2));
        assert_eq!(queue.first_over(90, Some(2), 100), [1, 2]);
    }
}
