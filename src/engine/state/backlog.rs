//! The graphs whose changes the index lacks.
//!
//! Owns: [`Backlog`], the list of them, and the rule by which a graph's changes up to one
//! LSN are taken out of memory while later ones are made. Must not know: rows, batches.
//! Promise: a round of the index visits the graphs that changed since the last one, and no
//! others; to begin a round costs the committer nothing, however many they are.
//!
//! Each round has a number. A graph is on the list of the first round after its change.
//! Once that round has begun, its changes belong to it: the indexer takes them when it gets
//! to the graph, or the committer does before it changes the graph again.

use std::sync::Arc;

use crate::engine::state::catalog::Graphs;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::graph_changes::{GraphChanges, RoundNumber};
use crate::engine::state::graph_state::GraphState;

/// Held with the committer: changes are made and rounds begin under one lock.
pub(crate) struct Backlog {
    round: RoundNumber,
    graphs: Vec<Arc<GraphCore>>,
    dropped: Vec<Dropped>,
}

/// A graph that was dropped, and how many jobs it ever had, if that is known.
pub(crate) type Dropped = (u32, Option<u64>);

impl Default for Backlog {
    fn default() -> Backlog {
        Backlog {
            round: 1,
            graphs: Vec::new(),
            dropped: Vec::new(),
        }
    }
}

impl Backlog {
    /// What an open found changed and did not write.
    pub(crate) fn of_open(changed: Vec<Arc<GraphCore>>, dropped: Vec<Dropped>) -> Backlog {
        let mut backlog = Backlog {
            dropped,
            ..Backlog::default()
        };
        for graph in changed {
            backlog.note(&graph, &mut graph.state.write());
        }
        backlog
    }

    /// Notes that a graph is about to change, or is new.
    pub(crate) fn note(&mut self, graph: &Arc<GraphCore>, state: &mut GraphState) {
        if state.index_round == self.round {
            return;
        }
        if state.index_round != 0 {
            // The indexer has not come to it yet.
            let taken_changes = state.take_changes();
            state.taken_changes = Some(Box::new(taken_changes));
        }
        state.index_round = self.round;
        self.graphs.push(graph.clone());
    }

    pub(crate) fn note_dropped(&mut self, number: u32, jobs: u64) {
        self.dropped.push((number, Some(jobs)));
    }

    /// Begins a round: what changes from here on belongs to the next.
    pub(crate) fn begin_round(&mut self) -> (Vec<Arc<GraphCore>>, Vec<Dropped>) {
        self.round += 1;
        (
            std::mem::take(&mut self.graphs),
            std::mem::take(&mut self.dropped),
        )
    }
}

impl GraphState {
    /// Takes what belongs to the round that is under way. Its details are found in
    /// `flushing` until the index has them.
    pub(crate) fn take_for_round(&mut self) -> GraphChanges {
        match self.taken_changes.take() {
            Some(taken_changes) => *taken_changes,
            None => {
                self.index_round = 0;
                self.take_changes()
            }
        }
    }

    pub(crate) fn take_changes(&mut self) -> GraphChanges {
        let details = Arc::new(std::mem::take(&mut self.changed));
        self.flushing = (!details.is_empty()).then(|| details.clone());
        // A chunk goes with the rows of details that it vouches for.
        for (sequence, _) in details.iter() {
            self.status.touch(sequence);
        }
        GraphChanges {
            details,
            chunks: self.status.take_dirty(),
            forgotten_lsn: self.forgotten_lsn,
        }
    }

    fn is_changed(&self) -> bool {
        self.status.is_dirty() || !self.changed.is_empty()
    }
}

impl Graphs {
    /// Those that are changed, or that `is_lacking` says so of.
    pub(crate) fn changed(&self, is_lacking: impl Fn(u32, u64) -> bool) -> Vec<Arc<GraphCore>> {
        let is_changed = |graph: &&Arc<GraphCore>| {
            let state = graph.state.read();
            state.is_changed() || is_lacking(graph.number, state.forgotten_lsn)
        };
        let graphs = self.by_number.values().filter(is_changed);
        graphs.cloned().collect()
    }
}
