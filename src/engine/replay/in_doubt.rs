//! Jobs whose state is in doubt, because events about them were lost.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::engine::state::catalog::Graphs;
use crate::model::states::{State, States};

static NONE: BTreeSet<u64> = BTreeSet::new();

/// Jobs that may have been started or completed by events that are now lost, by graph.
#[derive(Default)]
pub(crate) struct InDoubt(BTreeMap<u32, BTreeSet<u64>>);

impl InDoubt {
    pub(crate) fn of(&self, graph: u32) -> &BTreeSet<u64> {
        self.0.get(&graph).unwrap_or(&NONE)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.values().all(BTreeSet::is_empty)
    }

    pub(super) fn of_mut(&mut self, graph: u32) -> &mut BTreeSet<u64> {
        self.0.entry(graph).or_default()
    }

    /// Adds all jobs that are not complete: lost events may have changed them.
    pub(super) fn add_open(&mut self, graphs: &Graphs) {
        let open = States::NONE.with(State::Pending).with(State::Running);
        for graph in graphs.by_number.values() {
            let selection = graph.state.read().status.select(open, 0, 0, u64::MAX);
            let in_doubt = self.of_mut(graph.number);
            let (mut at, mut from) = (0, 0);
            while let Some((sequence, _)) = selection.next(from, &mut at) {
                in_doubt.insert(sequence);
                from = sequence + 1;
            }
        }
    }

    pub(super) fn remove(&mut self, graph: u32, sequence: u64) {
        if let Some(in_doubt) = self.0.get_mut(&graph) {
            in_doubt.remove(&sequence);
        }
    }

    pub(super) fn remove_range(&mut self, graph: u32, range: Range<u64>) {
        if let Some(in_doubt) = self.0.get_mut(&graph) {
            let removed: Vec<u64> = in_doubt.range(range).copied().collect();
            for sequence in &removed {
                in_doubt.remove(sequence);
            }
        }
    }
}
