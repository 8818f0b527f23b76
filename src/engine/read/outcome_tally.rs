//! Counts jobs by outcome. For most chunks of jobs, the counts are in memory. Only if the index
//! lacks changes to a chunk are its jobs counted one by one.

use std::ops::Range;

use crate::engine::core::Engine;
use crate::engine::read::reader::Snapshot;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::graph_state::GraphState;
use crate::engine::state::status::{CHUNK_JOBS, Selection};
use crate::model::outcome::OutcomeKind;
use crate::model::states::{State, States};
use crate::model::tally::TallyKey;

/// Jobs at one instant, of which most are counted already.
pub(super) struct Counted {
    pub(super) groups: Vec<(TallyKey, u64)>,
    /// The jobs that are not counted yet.
    pub(super) rest: Snapshot,
}

/// Counts the jobs in these states whose outcomes are known without reading the index.
pub(super) fn counted(engine: &Engine, graph: &GraphCore, wanted: States) -> Counted {
    let state = graph.state.read();
    let (mut states, mut kinds) = ([0; State::ALL.len()], [0; OutcomeKind::STORED_END]);
    let mut rest: Vec<Range<u64>> = Vec::new();
    for (chunk, is_changed) in (0..).zip(state.changed_chunks()) {
        if !add_chunk(&state, chunk, is_changed, wanted, &mut kinds) {
            let (first, end) = (chunk * CHUNK_JOBS, (chunk + 1) * CHUNK_JOBS);
            match rest.last_mut() {
                Some(last) if last.end == first => last.end = end,
                _ => rest.push(first..end),
            }
            continue;
        }
        for (jobs, of) in states.iter_mut().zip(State::ALL) {
            let is_counted = of != State::Complete && wanted.has(of);
            *jobs += match is_counted {
                true => state.status.total_in_chunk(chunk, States::NONE.with(of)),
                false => 0,
            };
        }
    }
    let mut selection = Selection::default();
    for range in rest {
        let chunks = range.start / CHUNK_JOBS..range.end / CHUNK_JOBS;
        let jobs = chunks.map(|chunk| state.status.total_in_chunk(chunk, wanted));
        selection.append(state.status.select(wanted, range.start, 0, jobs.sum()));
    }
    let rest = Snapshot::take(&state, selection).with_log(engine);
    let outcomes = OutcomeKind::ALL.iter().map(|&kind| {
        let jobs = kinds[usize::from(kind.to_stored())];
        (TallyKey::Outcome(kind), jobs)
    });
    let states = State::ALL.into_iter().zip(states);
    let states = states.map(|(state, jobs)| (TallyKey::State(state), jobs));
    let groups = outcomes.chain(states).filter(|(_, n)| *n > 0).collect();
    Counted { groups, rest }
}

/// Adds the outcomes of a chunk's jobs, if they are known.
fn add_chunk(
    state: &GraphState,
    chunk: u64,
    is_changed: bool,
    wanted: States,
    kinds: &mut [u64; OutcomeKind::STORED_END],
) -> bool {
    let complete = States::NONE.with(State::Complete);
    let complete = match wanted.has(State::Complete) {
        true => state.status.total_in_chunk(chunk, complete),
        false => 0,
    };
    if complete == 0 {
        return true;
    }
    let outcomes = state.details.outcomes(chunk);
    // If jobs were quarantined, their outcomes are still in the index.
    if is_changed || outcomes.total() != complete {
        return false;
    }
    for (kind, jobs) in outcomes.each().filter(|(_, jobs)| *jobs > 0) {
        match kinds.get_mut(kind) {
            Some(known) => *known += jobs,
            None => return false,
        }
    }
    true
}
