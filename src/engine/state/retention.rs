//! The state of retention, except for the states of jobs.
//!
//! [`RetentionState`] is that state; [`ChangedGraphs`] is what commits record for it.

pub(crate) mod ages;
pub(crate) mod purge_lag;
pub(crate) mod schedule;
pub(crate) mod tombstone_queue;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
#[cfg(feature = "archive")]
use std::sync::Weak;

use crate::base::sync::atomic::Ordering;
use crate::base::sync::time::Instant;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::retention::ages::Ages;
use crate::engine::state::retention::purge_lag::PurgeLag;
use crate::engine::state::retention::schedule::RetentionSchedule;
use crate::engine::state::retention::tombstone_queue::TombstoneQueue;
use crate::log::clock_gaps::Gaps;
use crate::model::retention::Retention;

/// The state of retention, except for the states of jobs.
#[derive(Default)]
pub(crate) struct RetentionState {
    pub(crate) opened: Option<Instant>,
    pub(crate) schedule: RetentionSchedule,
    /// Graphs that have or may have an archive.
    #[cfg(feature = "archive")]
    pub(crate) archived: BTreeMap<u32, Weak<GraphCore>>,
    /// The ages of each graph's jobs, which are valid only for one policy and one set of confirmed
    /// gaps.
    pub(crate) ages: BTreeMap<u32, (Arc<Retention>, Gaps, Ages)>,
    /// Purges whose tombstones are kept, by graph.
    pub(crate) tombstones: BTreeMap<u32, TombstoneQueue>,
    /// Whether `tombstones` includes the purges of earlier opens.
    pub(crate) knows_earlier: bool,
    /// Whether the default policy applies to graphs without one.
    pub(crate) by_default: bool,
    /// When to retry looking up the graphs to which the default policy applies.
    pub(crate) defaults_at: Option<Instant>,
    /// When jobs were last purged.
    pub(crate) last_purge_ms: Option<u64>,
    pub(crate) purge_lag: PurgeLag,
    /// What prevents graphs from being purged, or their tombstones from being forgotten.
    pub(crate) problems: BTreeMap<u32, String>,
}

impl RetentionState {
    /// What is known about the ages of a graph's jobs under this policy.
    pub(crate) fn ages(&mut self, graph: u32, policy: &Arc<Retention>, gaps: &Gaps) -> &mut Ages {
        let new = || (policy.clone(), gaps.clone(), Ages::default());
        let known = self.ages.entry(graph).or_insert_with(new);
        if known.0 != *policy || known.1 != *gaps {
            *known = new();
        }
        &mut known.2
    }

    #[cfg(all(test, not(jobstore_shuttle)))]
    pub(crate) fn has_tombstones(&self, graph: u32) -> bool {
        self.tombstones.contains_key(&graph)
    }

    /// Removes a dropped graph.
    pub(crate) fn forget(&mut self, graph: u32) {
        self.schedule.forget(graph);
        self.ages.remove(&graph);
        self.tombstones.remove(&graph);
        self.purge_lag.forget(graph);
        self.problems.remove(&graph);
    }
}

/// What the committer records for retention and compaction.
#[derive(Default)]
pub(crate) struct ChangedGraphs {
    /// Graphs that changed in a way that affects retention, or were dropped.
    pub(crate) graphs: Vec<Arc<GraphCore>>,
    /// Graphs that were dropped, or whose jobs were purged. Packs may contain garbage of these
    /// graphs.
    pub(crate) shrunk: BTreeSet<u32>,
}

impl ChangedGraphs {
    pub(crate) fn note(&mut self, graph: &Arc<GraphCore>) {
        if !graph.is_noted_changed.swap(true, Ordering::AcqRel) {
            self.graphs.push(graph.clone());
        }
    }
}
