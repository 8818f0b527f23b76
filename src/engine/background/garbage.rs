//! Measures how much of the packs is garbage, and how much is live.
//!
//! Directly after a pack is rewritten, everything left in it is considered live.
//!
//! The **live bytes** of a store are the total size that its packs would have if all of them were
//! rewritten now: the stored blocks of listed jobs, in graphs that were not dropped; the stored
//! events of those jobs; purges whose tombstones are not forgotten, and the keys that these
//! tombstones keep taken; and the fixed cost of each graph and pack. Packs are rewritten so that
//! they take at most twice the live bytes. Besides packs, a store has one or two segments and the
//! index.

use std::ops::Range;
use std::sync::Arc;

use crate::base::sync::atomic::Ordering;
use crate::engine::core::Engine;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::graph_state::GraphState;
use crate::log::event_sizes::EventSizes;
use crate::log::pack::{Pack, PackedEventSizes, Part, recount};

/// About how many bytes of blocks and events are stored, and how many of them are garbage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) all: u64,
    pub(crate) garbage: u64,
}

impl Weight {
    /// Whether a rewrite frees at least as many bytes as it writes.
    pub(crate) fn is_mostly_garbage(self) -> bool {
        self.garbage > 0 && 2 * self.garbage >= self.all
    }
}

/// Counts the garbage in new packs, and recounts graphs that were changed by purges, forgotten
/// tombstones, or drops since the last call.
pub(crate) fn count(engine: &Engine, packs: &[Arc<Pack>]) {
    let _one_at_a_time = engine.counting_garbage.lock();
    let shrunk = std::mem::take(&mut engine.changed_graphs.lock().shrunk);
    for number in shrunk {
        let graph = engine.graph(number);
        for pack in packs.iter().filter(|pack| pack.garbage.is_counted()) {
            let is_there = pack.part_of(number).is_some() || pack.event_sizes_of(number).is_some();
            engine.metrics.visits.add(u64::from(is_there));
            if let Some(part) = pack.part_of(number) {
                count_part(graph.as_deref(), pack, part);
            }
            if let Some(event_sizes) = pack.event_sizes_of(number) {
                count_events(graph.as_deref(), pack, event_sizes);
            }
        }
    }
    for pack in packs.iter().filter(|pack| !pack.garbage.is_counted()) {
        let graphs = pack.parts.len().max(pack.event_sizes.len());
        engine.metrics.visits.add(graphs as u64);
        for part in &pack.parts {
            let graph = engine.graph(part.graph);
            count_part(graph.as_deref(), pack, part);
        }
        for event_sizes in &pack.event_sizes {
            let graph = engine.graph(event_sizes.sizes.graph);
            count_events(graph.as_deref(), pack, event_sizes);
        }
        pack.garbage.set_counted();
    }
}

fn count_part(graph: Option<&GraphCore>, pack: &Pack, part: &Part) {
    let garbage = graph.map_or_else(|| part.block_bytes(), |graph| in_blocks(graph, part));
    recount(&pack.garbage.blocks, &part.garbage, garbage);
}

fn count_events(graph: Option<&GraphCore>, pack: &Pack, event_sizes: &PackedEventSizes) {
    let garbage = graph.map_or_else(
        || event_sizes.sizes.bytes(),
        |graph| in_events(graph, &event_sizes.sizes),
    );
    recount(&pack.garbage.events, &event_sizes.garbage, garbage);
}

/// The weight of a pack when it was last counted.
pub(crate) fn counted(pack: &Pack) -> Weight {
    let blocks = pack.garbage.blocks.load(Ordering::Relaxed);
    let event_sizes = pack.garbage.events.load(Ordering::Relaxed);
    // Events are weighed by their compressed size. The same compression ratio is assumed for all of
    // them.
    let stored = pack.event_bytes;
    Weight {
        all: pack.block_bytes + stored + pack.padding_bytes,
        garbage: blocks + share(stored, event_sizes, pack.raw_event_bytes) + pack.padding_bytes,
    }
}

/// Weighs a pack.
#[cfg(test)]
#[cfg_attr(jobstore_shuttle, allow(dead_code))]
pub(crate) fn weigh(engine: &Engine, pack: &Arc<Pack>) -> Weight {
    let packs = engine.log_files.read().packs.clone();
    count(engine, &packs);
    counted(pack)
}

/// The share of `whole` that corresponds to `some` out of `all`.
fn share(whole: u64, some: u64, all: u64) -> u64 {
    let part = u128::from(whole) * u128::from(some) / u128::from(all.max(1));
    u64::try_from(part).unwrap_or(whole).min(whole)
}

/// About how many bytes of blocks belong to jobs that are gone.
fn in_blocks(graph: &GraphCore, part: &Part) -> u64 {
    let state = graph.state.read();
    if state.status.removed_total() == 0 {
        return 0;
    }
    let blocks = part.blocks.iter().filter(|place| !place.is_empty());
    let removed = |range: Range<u64>| state.status.removed_in(range);
    blocks
        .map(|place| {
            let removed = removed(place.first_sequence..place.end_sequence());
            share(u64::from(place.len), removed, u64::from(place.jobs))
        })
        .sum()
}

/// About how many bytes of events belong to jobs that are gone and to forgotten tombstones.
fn in_events(graph: &GraphCore, event_sizes: &EventSizes) -> u64 {
    let state = graph.state.read();
    if state.status.removed_total() == 0 {
        return 0;
    }
    let runs = event_sizes.runs.iter().map(|run| {
        let removed = state.status.removed_in(run.first..run.end);
        let was_left = (run.end - run.first).saturating_sub(run.removed);
        share(run.bytes, removed.saturating_sub(run.removed), was_left)
    });
    let large = event_sizes.large();
    let large = large.filter(|&(sequence, _)| state.status.is_removed(sequence));
    let tombstones = event_sizes.tombstones.iter();
    let forgotten = tombstones.filter(|&&(lsn, _)| lsn <= state.forgotten_lsn);
    runs.sum::<u64>()
        + large.map(|(_, bytes)| bytes).sum::<u64>()
        + forgotten.map(|&(_, bytes)| bytes).sum::<u64>()
}

/// The bytes of a run's small events are divided evenly among the run's jobs, this many jobs at a
/// time.
const SPREAD_JOBS: u64 = 1024;

/// Calls `each` for the events of the graph's listed jobs in this pack, either for one job or for
/// several neighboring jobs together. Passes the sequence number after the last of these jobs, and
/// about how many bytes their events take.
pub(crate) fn live_events(
    state: &GraphState,
    graph: u32,
    pack: &Pack,
    mut each: impl FnMut(u64, u64),
) {
    let Some(PackedEventSizes {
        sizes: event_sizes, ..
    }) = pack.event_sizes_of(graph)
    else {
        return;
    };
    let stored = |bytes: u64| share(pack.event_bytes, bytes, pack.raw_event_bytes);
    for run in &event_sizes.runs {
        let was_left = (run.end - run.first).saturating_sub(run.removed);
        for first in (run.first..run.end).step_by(SPREAD_JOBS as usize) {
            let end = run.end.min(first + SPREAD_JOBS);
            let left = end - first - state.status.removed_in(first..end);
            each(end, stored(share(run.bytes, left, was_left)));
        }
    }
    for (sequence, bytes) in event_sizes.large() {
        if !state.status.is_removed(sequence) {
            each(sequence + 1, stored(bytes));
        }
    }
}
