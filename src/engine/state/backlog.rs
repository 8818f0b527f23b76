//! The graphs that have changes that the index lacks.
//!
//! [`Backlog`] lists these graphs, and keeps changes up to a round's LSN apart from later ones. A
//! round of the index visits only the graphs that changed since the last round. The time that the
//! committer needs to begin a round does not depend on the number of graphs.
//!
//! Each round has a number. When a graph changes, it is put on the list of the next round. Once
//! that round has begun, the change belongs to the round, and the indexer takes the change when it
//! reaches the graph. If the committer has to change the graph again before that, it first sets the
//! earlier change aside for the indexer.

use std::sync::Arc;

use crate::engine::state::catalog::Graphs;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::graph_changes::{GraphChanges, RoundNumber};
use crate::engine::state::graph_state::GraphState;

/// Protected by the committer's lock, so that changes are made and rounds are begun under one lock.
pub(crate) struct Backlog {
    round: RoundNumber,
    graphs: Vec<Arc<GraphCore>>,
    dropped: Vec<Dropped>,
}

/// A graph that was dropped, and how many jobs were ever added to it, if that is known.
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
    /// Begins with changes that an open found in the log and has not written to the index yet.
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

    /// Records that a graph is about to change, or is new.
    pub(crate) fn note(&mut self, graph: &Arc<GraphCore>, state: &mut GraphState) {
        if state.index_round == self.round {
            return;
        }
        if state.index_round != 0 {
            // The indexer has not taken the graph's earlier changes yet.
            let taken_changes = state.take_changes();
            state.taken_changes = Some(Box::new(taken_changes));
        }
        state.index_round = self.round;
        self.graphs.push(graph.clone());
    }

    pub(crate) fn note_dropped(&mut self, number: u32, jobs: u64) {
        self.dropped.push((number, Some(jobs)));
    }

    /// Begins a round: later changes belong to the next one.
    pub(crate) fn begin_round(&mut self) -> (Vec<Arc<GraphCore>>, Vec<Dropped>) {
        self.round += 1;
        (
            std::mem::take(&mut self.graphs),
            std::mem::take(&mut self.dropped),
        )
    }
}

impl GraphState {
    /// Takes the changes that belong to the current round. The changes of details stay in
    /// `flushing` until they are in the index.
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
        // A status row is written together with the rows of details whose hashes it contains.
        for (sequence, _) in details.iter() {
            self.status.touch(sequence);
        }
        GraphChanges {
            details,
            chunks: self.status.take_dirty(),
            forgotten_lsn: self.forgotten_lsn,
            last_command: self.activity.commands.last(),
            history: self.activity.history.take(),
        }
    }

    fn is_changed(&self) -> bool {
        self.status.is_dirty() || !self.changed.is_empty() || self.activity.history.len() > 0
    }
}

impl Graphs {
    /// The graphs that have changed, or for which `is_lacking` returns true.
    pub(crate) fn changed(&self, is_lacking: impl Fn(u32, u64) -> bool) -> Vec<Arc<GraphCore>> {
        let is_changed = |graph: &&Arc<GraphCore>| {
            let state = graph.state.read();
            state.is_changed() || is_lacking(graph.number, state.forgotten_lsn)
        };
        let graphs = self.by_number.values().filter(is_changed);
        graphs.cloned().collect()
    }
}
