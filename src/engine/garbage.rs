//! What of the packs is garbage, and what is live.
//!
//! Owns: how both are measured. Must not know: what becomes of a pack that holds much
//! garbage.
//! Promise: directly after a pack was rewritten, what is left of it counts as live.
//!
//! **Live bytes** of a store are what its packs would have if all of them were rewritten
//! now: the stored blocks of jobs that are listed, in graphs that were not dropped; the
//! stored events of those jobs; purges, with the keys that they keep taken, whose
//! tombstones are not forgotten; and what each graph and pack has by itself. Packs are
//! rewritten so that they take at most twice that. Beside them stand a segment or two and
//! the index.

use std::ops::Range;

use crate::engine::Engine;
use crate::engine::graph_state::{GraphCore, GraphState};
use crate::storage::pack::{Pack, Part};
use crate::storage::told::Told;

/// Bytes of blocks and events as they are stored, about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) all: u64,
    pub(crate) garbage: u64,
}

impl Weight {
    /// Whether rewriting gives back at least as much as it writes.
    pub(crate) fn is_mostly_garbage(self) -> bool {
        self.garbage > 0 && 2 * self.garbage >= self.all
    }
}

/// Weighs a pack.
pub(crate) fn weigh(engine: &Engine, pack: &Pack) -> Weight {
    let mut weight = Weight::default();
    for part in &pack.parts {
        let bytes: u64 = part.blocks.iter().map(|b| u64::from(b.len)).sum();
        weight.all += bytes;
        let graph = engine.graph(part.graph);
        weight.garbage += graph.map_or(bytes, |graph| in_blocks(&graph, part));
    }
    // Events count as they are stored, compressed as all of them are.
    let (mut told, mut garbage) = (0, 0);
    for of_graph in &pack.told {
        let bytes = of_graph.bytes();
        told += bytes;
        let graph = engine.graph(of_graph.graph);
        garbage += graph.map_or(bytes, |graph| in_events(&graph, of_graph));
    }
    let stored = pack.event_bytes();
    weight.all += stored;
    weight.garbage += share(stored, garbage, told);
    weight
}

/// The part of `whole` that `some` is of `all`.
fn share(whole: u64, some: u64, all: u64) -> u64 {
    let part = u128::from(whole) * u128::from(some) / u128::from(all.max(1));
    u64::try_from(part).unwrap_or(whole).min(whole)
}

/// What blocks hold of jobs that are gone, about.
fn in_blocks(graph: &GraphCore, part: &Part) -> u64 {
    let state = graph.state.read();
    if state.status.gone_total() == 0 {
        return 0;
    }
    let blocks = part.blocks.iter().filter(|place| !place.is_empty());
    let gone = |range: Range<u64>| state.status.gone_in(range);
    blocks
        .map(|place| {
            let gone = gone(place.first_sequence..place.end_sequence());
            share(u64::from(place.len), gone, u64::from(place.jobs))
        })
        .sum()
}

/// What events hold of jobs that are gone and of tombstones that are forgotten, about.
fn in_events(graph: &GraphCore, told: &Told) -> u64 {
    let state = graph.state.read();
    if state.status.gone_total() == 0 {
        return 0;
    }
    let runs = told.runs.iter().map(|run| {
        let gone = state.status.gone_in(run.first..run.end);
        let was_left = (run.end - run.first).saturating_sub(run.gone);
        share(run.bytes, gone.saturating_sub(run.gone), was_left)
    });
    let large = told.large();
    let large = large.filter(|&(sequence, _)| state.status.is_gone(sequence));
    let tombstones = told.tombstones.iter();
    let forgotten = tombstones.filter(|&&(lsn, _)| lsn <= state.forgotten_lsn);
    runs.sum::<u64>()
        + large.map(|(_, bytes)| bytes).sum::<u64>()
        + forgotten.map(|&(_, bytes)| bytes).sum::<u64>()
}

/// Jobs over which the small events of a run are spread evenly, at a time.
const SPREAD_JOBS: u64 = 1024;

/// Calls `each` with what a pack has of events of jobs of a graph that are listed: one
/// past the job, or the last of some neighbors, and their bytes as they are stored, about.
pub(crate) fn live_events(
    state: &GraphState,
    graph: u32,
    pack: &Pack,
    mut each: impl FnMut(u64, u64),
) {
    let Ok(n) = pack.told.binary_search_by_key(&graph, |told| told.graph) else {
        return;
    };
    let all: u64 = pack.told.iter().map(Told::bytes).sum();
    let stored = |bytes: u64| share(pack.event_bytes(), bytes, all);
    for run in &pack.told[n].runs {
        let was_left = (run.end - run.first).saturating_sub(run.gone);
        for first in (run.first..run.end).step_by(SPREAD_JOBS as usize) {
            let end = run.end.min(first + SPREAD_JOBS);
            let left = end - first - state.status.gone_in(first..end);
            each(end, stored(share(run.bytes, left, was_left)));
        }
    }
    for (sequence, bytes) in pack.told[n].large() {
        if !state.status.is_gone(sequence) {
            each(sequence + 1, stored(bytes));
        }
    }
}
