//! Purges graphs that have an archive, on the archiver thread.

use std::sync::Arc;
use std::sync::Weak;

use super::purge_due;
use crate::engine::background::archiving;
use crate::engine::core::Engine;
use crate::engine::state::graph::GraphCore;

impl Engine {
    /// Records that the archive of a graph was opened.
    pub(crate) fn note_archive(&self, graph: &Arc<GraphCore>) {
        let mut work = self.retention.lock();
        work.archived.insert(graph.number, Arc::downgrade(graph));
    }

    /// The graphs that have or may have an archive, including dropped ones.
    pub(crate) fn with_archive(&self) -> Vec<Arc<GraphCore>> {
        let work = self.retention.lock();
        work.archived.values().filter_map(Weak::upgrade).collect()
    }

    /// The graphs that have an archive. Graphs that no longer have one return to the ordinary
    /// rounds; the archives of dropped graphs are finished.
    fn archived_graphs(&self) -> Vec<Arc<GraphCore>> {
        let known = self.retention.lock().archived.clone();
        let mut found = Vec::with_capacity(known.len());
        let mut is_any_left = false;
        for (number, graph) in known {
            let graph = graph.upgrade();
            if let Some(graph) = graph.as_ref().filter(|graph| graph.is_dropped()) {
                archiving::finish(graph);
            }
            let graph = graph.filter(|graph| !graph.is_dropped());
            // A policy is set first, and then recorded under this lock.
            let mut work = self.retention.lock();
            let is_archived = graph.as_ref().is_some_and(|graph| {
                let policy = graph.retention.read().clone();
                archiving::concerns(graph, policy.as_deref())
            });
            if !is_archived {
                work.archived.remove(&number);
                if graph.is_some() {
                    work.schedule.note(number);
                    is_any_left = true;
                }
                continue;
            }
            drop(work);
            found.extend(graph);
        }
        if is_any_left {
            self.wake_packer();
        }
        found
    }
}

/// Purges what is due in the graphs that have an archive, up to a bound; returns whether there
/// is more to do.
pub(crate) fn step_archived(engine: &Engine) -> bool {
    let graphs = engine.archived_graphs();
    engine.metrics.visits.add(graphs.len() as u64);
    let mut is_more = false;
    for graph in graphs {
        let policy = graph.retention.read().clone();
        let is_ready = archiving::maintain_archive(engine, &graph);
        let Some(policy) = &policy else {
            continue;
        };
        // These graphs are checked in each round, regardless of when their jobs become due.
        let purged = purge_due(engine, &graph, policy, is_ready, &mut None);
        engine.note_problem(&graph, &purged, &Ok(false));
        is_more |= purged.unwrap_or(false);
    }
    is_more
}
