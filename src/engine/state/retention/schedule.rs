//! Which graphs retention checks, and when.
//!
//! [`RetentionSchedule`] contains graphs that changed, graphs in which something becomes due at a
//! known time, and graphs that are checked in each round. A round checks only what changed or is
//! due, even if there are many graphs.

use std::collections::{BTreeSet, HashMap};

use crate::model::retention::Retention;

#[derive(Default)]
pub(crate) struct RetentionSchedule {
    /// The graphs of the next round.
    next: BTreeSet<u32>,
    /// Times by the age clock, each with a graph to check at that time.
    due: BTreeSet<(i64, u32)>,
    due_of: HashMap<u32, i64>,
    /// Graphs to check in each round, because something prevents them from being purged.
    each: BTreeSet<u32>,
    /// Graphs whose policy has a maximum age.
    of_age: BTreeSet<u32>,
}

impl RetentionSchedule {
    /// Records that a graph has changed.
    pub(crate) fn note(&mut self, graph: u32) {
        self.next.insert(graph);
    }

    /// Records the current policy of a graph.
    pub(crate) fn note_policy(&mut self, graph: u32, policy: Option<&Retention>) {
        self.next.insert(graph);
        match policy.is_some_and(|policy| policy.shortest_age_ms().is_some()) {
            true => self.of_age.insert(graph),
            false => self.of_age.remove(&graph),
        };
    }

    /// Adds all graphs that have a due time to the next round, because ages have changed.
    pub(crate) fn note_ages(&mut self) {
        self.next.extend(self.due_of.keys());
    }

    /// Whether any policy has a maximum age.
    pub(crate) fn is_any_of_age(&self) -> bool {
        !self.of_age.is_empty()
    }

    /// Schedules the next check of a graph.
    pub(crate) fn plan(&mut self, graph: u32, at_ms: Option<i64>, in_each: bool) {
        if let Some(before) = self.due_of.remove(&graph) {
            self.due.remove(&(before, graph));
        }
        if let Some(at_ms) = at_ms {
            self.due_of.insert(graph, at_ms);
            self.due.insert((at_ms, graph));
        }
        match in_each {
            true => self.each.insert(graph),
            false => self.each.remove(&graph),
        };
    }

    pub(crate) fn forget(&mut self, graph: u32) {
        self.plan(graph, None, false);
        self.next.remove(&graph);
        self.of_age.remove(&graph);
    }

    /// Returns the graphs to check in a round at this time, by the age clock.
    pub(crate) fn begin_round(&mut self, now_ms: i64) -> BTreeSet<u32> {
        let mut round = std::mem::take(&mut self.next);
        let later = self.due.split_off(&(now_ms.saturating_add(1), 0));
        for (_, graph) in std::mem::replace(&mut self.due, later) {
            self.due_of.remove(&graph);
            round.insert(graph);
        }
        round.extend(&self.each);
        round
    }
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn a_round_has_what_changed_what_is_due_and_what_is_of_each() {
        let mut schedule = RetentionSchedule::default();
        let round = |schedule: &mut RetentionSchedule, ms| {
            let round = schedule.begin_round(ms);
            round.into_iter().collect::<Vec<u32>>()
        };
        schedule.plan(1, Some(2_000), false);
        schedule.plan(2, Some(3_000), false);
        schedule.plan(2, Some(4_000), false);
        schedule.plan(3, None, true);
        schedule.note(4);
        assert_eq!(round(&mut schedule, 1_999), [3, 4]);
        assert_eq!(round(&mut schedule, 2_000), [1, 3]);
        assert_eq!(round(&mut schedule, 3_000), [3]);
        schedule.forget(3);
        assert_eq!(round(&mut schedule, 4_000), [2]);
        assert_eq!(round(&mut schedule, 9_000), [0; 0]);
        schedule.plan(6, Some(99_000), false);
        schedule.note_ages();
        assert_eq!(round(&mut schedule, 9_000), [6]);
        let policy = Retention::new().max_age(std::time::Duration::from_secs(1));
        schedule.note_policy(5, Some(&policy));
        assert_eq!(round(&mut schedule, 9_000), [5]);
        assert!(schedule.is_any_of_age());
    }
}
