//! How long purges have been overdue.
//!
//! [`Late`] records for each graph how long jobs have been due. Jobs that are due and not
//! purged count, whatever prevents the purge; a graph without such jobs is not overdue.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::sync::time::Instant;

/// Graphs with overdue jobs.
#[derive(Default)]
pub(crate) struct Late(BTreeMap<u32, Since>);

#[derive(Clone, Copy)]
struct Since {
    seen: Instant,
    /// How long they had been due at that time.
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
pub(crate) enum Found {
    Nothing,
    /// By age only: how long the first job has been due.
    ByAge(Duration),
    /// Too many jobs or bytes; since when is not recorded.
    Over(Duration),
}

impl Late {
    pub(crate) fn note(&mut self, graph: u32, found: Found, now: Instant) {
        let known = self.0.get(&graph).copied();
        let by = match found {
            Found::Nothing => {
                self.0.remove(&graph);
                return;
            }
            Found::ByAge(by) => by,
            Found::Over(by) => known.map_or(by, |known| known.at(now).max(by)),
        };
        self.0.insert(graph, Since { seen: now, by });
    }

    /// Removes a graph that no longer exists.
    pub(crate) fn forget(&mut self, graph: u32) {
        self.0.remove(&graph);
    }

    /// The longest time over all graphs.
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
        let mut late = Late::default();
        assert_eq!(late.of(1, begun), None);
        late.note(1, Found::Over(Duration::ZERO), begun);
        late.note(1, Found::Over(Duration::ZERO), begun + hour);
        assert_eq!(late.of(1, begun + 2 * hour), Some(2 * hour));
        // The oldest was purged, and the next became due later.
        late.note(1, Found::ByAge(5 * hour), begun + 2 * hour);
        late.note(1, Found::ByAge(hour), begun + 2 * hour);
        assert_eq!(late.of(1, begun + 3 * hour), Some(2 * hour));
        assert_eq!(late.of(2, begun + 3 * hour), None);
        late.note(1, Found::Nothing, begun + 3 * hour);
        assert_eq!(late.of(1, begun + 3 * hour), None);
    }
}
