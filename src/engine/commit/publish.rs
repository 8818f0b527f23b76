//! Publishes the durable changes of a commit to readers.

use std::sync::Arc;

use super::round::Round;
use crate::base::sync::atomic::Ordering;
use crate::engine::core::Engine;
use crate::engine::state::change::StateChange;
use crate::engine::state::committer::Committer;
use crate::engine::state::waiters::ANY;
use crate::log::writer::Appended;

/// The indexer is woken whenever this many changes wait for it.
const CHANGES_TO_INDEX: u64 = 32 << 10;

impl Committer {
    pub(super) fn publish(&mut self, engine: &Engine, round: &mut Round, appended: &Appended) {
        if appended.sealed.is_some() {
            let mut log_files = engine.log_files.write();
            Arc::make_mut(&mut log_files)
                .segments
                .push(appended.segment.clone());
        }
        if !round.created.is_empty() || !round.dropped.is_empty() {
            let mut graphs = engine.graphs.write();
            for graph in &round.dropped {
                graphs.remove(graph.number);
                let mut state = graph.state.write();
                state.end_runs();
                self.waiters.extend(state.waiters.take_all());
                self.backlog.note_dropped(graph.number, state.status.len());
                drop(state);
                engine.note_changed(graph, true);
            }
            for graph in round.created.drain(..) {
                self.backlog.note(&graph, &mut graph.state.write());
                graphs.insert(graph);
            }
        }
        if round.confirms_clock {
            engine.clock.lock().confirmed(&round.clock);
        }
        for &(hash, owner) in &round.external_ids {
            engine.ids.add(hash, owner);
        }
        // This is set before any of the changes can be read.
        let visible_lsn = self.log.next_lsn() - 1;
        engine.visible_lsn.store(visible_lsn, Ordering::Release);
        let changes = round.changes.len() as u64;
        self.changes_since_index += changes;
        engine.index_lag.fetch_add(changes, Ordering::Relaxed);
        // A stable sort keeps each graph's changes in order. Each graph is locked once, so a
        // page sees all of a commit or none of it.
        round.changes.sort_by_key(|(graph, _)| graph.number);
        for changes in round.changes.chunk_by_mut(|a, b| a.0.number == b.0.number) {
            let graph = changes[0].0.clone();
            let mut state = graph.state.write();
            self.backlog.note(&graph, &mut state);
            for (_, change) in &mut *changes {
                if let StateChange::Submitted { place, .. } = change {
                    place.shift(appended.at as u32);
                }
                state.apply(change, &appended.segment);
                state.take_waiters(change, &mut self.waiters);
                if let StateChange::Started { sequence, .. } = *change {
                    if let Some(claim) = round.claims.remove(&(graph.number, sequence)) {
                        state.watched.insert(sequence, claim.run.clone());
                        claim.set_started(sequence);
                    }
                }
            }
            let pending = changes.iter().filter(|(_, change)| change.is_pending());
            state.take_claimers(pending.count() as u64, &mut self.waiters);
        }
        let durable_lsn = self.log.synced_lsn();
        engine.durable_lsn.store(durable_lsn, Ordering::Release);
        // Waiters are woken only after they can read the changes.
        for changes in round.changes.chunk_by(|a, b| a.0.number == b.0.number) {
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
        if appended.sealed.is_some() {
            engine.wake_packer();
        }
        if self.changes_since_index >= CHANGES_TO_INDEX {
            self.changes_since_index = 0;
            engine.wake_indexer();
        }
    }
}
