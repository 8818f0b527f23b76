//! How late purging is.
//!
//! Owns: [`PurgeLag`]: for each graph, for how long jobs have been due. Must not know:
//! policies. Promise: jobs that are due and stay count, whatever keeps them from being
//! purged; who has none is not late.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::sync::time::Instant;

/// Graphs with jobs that are due.
#[derive(Default)]
pub(crate) struct PurgeLag(BTreeMap<u32, Since>);

#[derive(Clone, Copy)]
struct Since {
    seen: Instant,
    /// For how long they had been due then.
    by: Duration,
}

impl Since {
    fn at(self, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.seen);
        self.by.saturating_add(since)
    }
}

/// What a look at a graph has found to be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    Nothing,
    /// By age alone: the first for so long.
    ByAge(Duration),
    /// Too many, or too large; since when is not written anywhere.
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

    /// Forgets a graph that is not there any more.
    pub(crate) fn forget(&mut self, graph: u32) {
        self.0.remove(&graph);
    }

    /// That of the graph in which it is the longest.
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
        // The eldest went, the next was due later.
        purge_lag.note(1, Overdue::ByAge(5 * hour), begun + 2 * hour);
        purge_lag.note(1, Overdue::ByAge(hour), begun + 2 * hour);
        assert_eq!(purge_lag.of(1, begun + 3 * hour), Some(2 * hour));
        assert_eq!(purge_lag.of(2, begun + 3 * hour), None);
        purge_lag.note(1, Overdue::Nothing, begun + 3 * hour);
        assert_eq!(purge_lag.of(1, begun + 3 * hour), None);
    }
}
