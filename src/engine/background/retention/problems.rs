//! What prevents due jobs from being purged, and for how long.

use std::time::Duration;

use crate::base::sync::time::Instant;
use crate::engine::core::Engine;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::retention::purge_lag::Overdue;
use crate::model::error::Result;

impl Engine {
    pub(super) fn note_problem(
        &self,
        graph: &GraphCore,
        purged: &Result<bool>,
        forgotten: &Result<bool>,
    ) {
        let name = &graph.name;
        let problem = match (purged, forgotten) {
            (Err(error), _) => format!("jobs of graph {name:?} are overdue for purging: {error}"),
            (_, Err(error)) => {
                format!("expired tombstones of graph {name:?} are not removed: {error}")
            }
            (Ok(_), Ok(_)) => {
                self.retention.lock().problems.remove(&graph.number);
                return;
            }
        };
        tracing::warn!("{problem}");
        let mut work = self.retention.lock();
        work.problems.insert(graph.number, problem);
    }

    /// What prevents a graph from being purged.
    pub(crate) fn purge_problem(&self) -> Option<String> {
        self.retention.lock().problems.values().next().cloned()
    }

    pub(super) fn note_due(&self, graph: &GraphCore, found: Overdue) {
        let mut work = self.retention.lock();
        work.purge_lag.note(graph.number, found, Instant::now());
    }

    /// How long jobs of a graph have been overdue for purging.
    pub(crate) fn purge_lag(&self, graph: &GraphCore) -> Option<Duration> {
        graph.retention.read().as_ref()?;
        self.retention
            .lock()
            .purge_lag
            .of(graph.number, Instant::now())
    }
}
