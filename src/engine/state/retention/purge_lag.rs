//! How long purges have been overdue.
//!
//! [`PurgeLag`] records for each graph how long jobs have been due without being purged, for
//! whatever reason. A graph without such jobs is not overdue.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::sync::time::Instant;

/// Graphs with overdue jobs.
#[derive(Default)]
pub(crate) struct PurgeLag(BTreeMap<u32, Since>);

#[derive(Clone, Copy)]
struct Since {
    seen: Instant,
    /// How long the jobs had been due at that time.
    by: Duration,
}

impl Since {
    fn at(self, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.seen);
        self.by.saturating_add(since)
    }
}

/// What a check of a graph found to be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    Nothing,
    /// Jobs are due only by age. Contains how long the first one has been due.
    ByAge(Duration),
    /// There are too many jobs or bytes. It is not recorded when this began. If jobs are also due
    /// by age, contains how long the first one has been due.
    Over(Duration),
}

impl PurgeLag {
    pub(crate) fn note(&mut self, graph: u32, found: Overdue, now: Instant) {
        let known = self.0.get(&graph).copied();
        let by = match found {
            Overdue::Nothing => {
                self.0.remove(&graph);
                return;
            }
            Overdue::ByAge(by) => by,
            Overdue::Over(by) => known.map_or(by, |known| known.at(now).max(by)),
        };
        self.0.insert(graph, Since { seen: now, by });
    }

    /// Removes a graph that no longer exists.
    pub(crate) fn forget(&mut self, graph: u32) {
        self.0.remove(&graph);
    }

    /// The longest time that any graph has been overdue.
    pub(crate) fn longest(&self, now: Instant) -> Option<Duration> {
        self.0.values().map(|since| since.at(now)).max()
    }

    pub(crate) fn of(&self, graph: u32, now: Instant) -> Option<Duration> {
        self.0.get(&graph).map(|since| since.at(now))
    }
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_a_bound_is_late_since_it_was_seen_and_what_is_old_since_it_was_due() {
        let (begun, hour) = (Instant::now(), Duration::from_secs(3600));
        let mut purge_lag = PurgeLag::default();
        assert_eq!(purge_lag.of(1, begun), None);
        purge_lag.note(1, Overdue::Over(Duration::ZERO), begun);
        purge_lag.note(1, Overdue::Over(Duration::ZERO), begun + hour);
        assert_eq!(purge_lag.of(1, begun + 2 * hour), Some(2 * hour));
        // The oldest job was purged, and the next one became due later.
        purge_lag.note(1, Overdue::ByAge(5 * hour), begun + 2 * hour);
        purge_lag.note(1, Overdue::ByAge(hour), begun + 2 * hour);
        assert_eq!(purge_lag.of(1, begun + 3 * hour), Some(2 * hour));
        assert_eq!(purge_lag.of(2, begun + 3 * hour), None);
        purge_lag.note(1, Overdue::Nothing, begun + 3 * hour);
        assert_eq!(purge_lag.of(1, begun + 3 * hour), None);
    }
}
