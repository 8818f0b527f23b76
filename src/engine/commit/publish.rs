//! Publishes the durable changes of a commit to readers.

use std::sync::Arc;

use crate::base::sync::atomic::Ordering;
use crate::engine::core::Engine;
use crate::engine::state::change::StateChange;
use crate::engine::state::commit_changes::CommitChanges;
use crate::engine::state::committer::Committer;
use crate::engine::state::waiters::ANY;
use crate::log::segment::Segment;

/// The indexer is woken whenever this many changes wait for it.
const CHANGES_TO_INDEX: u64 = 32 << 10;

/// A frame of the log whose changes become visible.
pub(super) struct Published<'s> {
    pub(super) segment: &'s Arc<Segment>,
    /// The offset of the frame in the segment.
    pub(super) at: u64,
    pub(super) last_lsn: u64,
    /// The last LSN that is durable.
    pub(super) durable_lsn: u64,
    /// The time of the commit.
    pub(super) now_ms: u64,
}

impl Committer {
    /// Adds the segment in which the log continues to the files of the log.
    pub(super) fn add_active_segment(&self, engine: &Engine) {
        let mut log_files = engine.log_files.write();
        let segments = &mut Arc::make_mut(&mut log_files).segments;
        segments.push(self.log.active().clone());
    }

    /// Makes the changes of a frame visible, all at one instant in each graph.
    pub(super) fn publish(
        &mut self,
        engine: &Engine,
        commit: &mut CommitChanges,
        frame: &Published<'_>,
    ) {
        if !commit.created.is_empty() || !commit.dropped.is_empty() {
            let mut graphs = engine.graphs.write();
            for graph in &commit.dropped {
                graphs.remove(graph.number);
                let mut state = graph.state.write();
                state.end_runs();
                engine
                    .metrics
                    .dropped_jobs
                    .lock()
                    .add(&state.activity.counters);
                self.waiters.extend(state.waiters.take_all());
                self.backlog.note_dropped(graph.number, state.status.len());
                drop(state);
                engine.note_changed(graph, true);
            }
            for graph in commit.created.drain(..) {
                self.backlog.note(&graph, &mut graph.state.write());
                graphs.insert(graph);
            }
        }
        if let Some(before) = &commit.confirmed {
            engine.clock.lock().confirmed(before);
        }
        for &(hash, owner) in &commit.external_ids {
            engine.ids.add(hash, owner);
        }
        for (graph, number, name) in commit.commands.drain(..) {
            let mut state = graph.state.write();
            self.backlog.note(&graph, &mut state);
            state.activity.commands.insert(number, &name);
        }
        // This is set before any of the changes can be read.
        engine.visible_lsn.store(frame.last_lsn, Ordering::Release);
        let changes = commit.jobs.len() as u64;
        self.changes_since_index += changes;
        engine.index_lag.fetch_add(changes, Ordering::Relaxed);
        // A stable sort keeps each graph's changes in order. Each graph is locked once, so a
        // page sees all of a commit or none of it.
        commit.jobs.sort_by_key(|(graph, _)| graph.number);
        for changes in commit.jobs.chunk_by_mut(|a, b| a.0.number == b.0.number) {
            let graph = changes[0].0.clone();
            let mut state = graph.state.write();
            self.backlog.note(&graph, &mut state);
            for (_, change) in &mut *changes {
                if let StateChange::Submitted { place, .. } = change {
                    place.shift(frame.at as u32);
                }
                state.apply(change, frame.segment);
                state.count_published(change, frame.now_ms);
                state.take_waiters(change, &mut self.waiters);
                if let StateChange::Started { sequence, .. } = *change {
                    if let Some(claim) = commit.claims.remove(&(graph.number, sequence)) {
                        state.activity.watched.insert(sequence, claim.run.clone());
                        claim.set_started(sequence);
                    }
                }
            }
            let pending = changes.iter().filter(|(_, change)| change.is_pending());
            state.take_claimers(pending.count() as u64, &mut self.waiters);
        }
        engine
            .durable_lsn
            .store(frame.durable_lsn, Ordering::Release);
        // Waiters are woken only after they can read the changes.
        for changes in commit.jobs.chunk_by(|a, b| a.0.number == b.0.number) {
            let graph = &changes[0].0;
            let is_smaller = |(_, change): &(_, StateChange)| {
                matches!(
                    change,
                    StateChange::Purged { .. } | StateChange::Forgotten { .. }
                )
            };
            engine.note_changed(graph, changes.iter().any(is_smaller));
            if graph.state.read().waiters.has(ANY) {
                graph.state.write().waiters.take(ANY, &mut self.waiters);
            }
        }
        if self.changes_since_index >= CHANGES_TO_INDEX {
            self.changes_since_index = 0;
            engine.wake_indexer();
        }
    }
}
