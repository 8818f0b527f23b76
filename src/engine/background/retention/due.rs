//! Finds the jobs that are due for purging.
//!
//! [`Due`] lists them by count, bytes, and age, without reading more jobs than may be due. Only
//! complete jobs are due. If there are too many jobs or bytes, those submitted first are due.

use std::sync::Arc;
use std::time::Duration;

use super::purge::{COMPLETE, STEP_JOBS};
use crate::engine::background::garbage;
use crate::engine::core::Engine;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::retention::purge_lag::Overdue;
use crate::engine::state::status::CHUNK_JOBS;
use crate::index::rows::DETAIL_JOBS;
use crate::model::error::Result;
use crate::model::retention::{PurgeReason, Retention};
use crate::model::states::{State, States};

/// The maximum number of jobs that a round purges before the background thread returns to the
/// packs.
const ROUND_JOBS: usize = 64 * STEP_JOBS;

/// The jobs that are due under a policy, up to a bound. A job may be due for more than one reason.
pub(super) struct Due {
    by_count: Vec<u64>,
    by_bytes: Vec<u64>,
    by_age: Vec<u64>,
    /// How long the first of the jobs due by age has been due.
    age_late: Duration,
    /// When the next job becomes due by age.
    next_ms: Option<i64>,
}

impl Due {
    pub(super) fn find(
        engine: &Engine,
        graph: &Arc<GraphCore>,
        policy: &Arc<Retention>,
    ) -> Result<Due> {
        let ByAge { due, late_ms, next } = engine.by_age(graph, policy)?;
        Ok(Due {
            by_count: by_count(graph, policy),
            by_bytes: by_bytes(engine, graph, policy),
            by_age: due,
            age_late: Duration::from_millis(late_ms),
            next_ms: (next < i64::MAX).then_some(next),
        })
    }

    /// When the graph has to be checked again, even if nothing in it changes.
    pub(super) fn next_ms(&self) -> Option<i64> {
        self.next_ms
    }

    pub(super) fn found(&self) -> Overdue {
        match (&*self.by_count, &*self.by_bytes, &*self.by_age) {
            ([], [], []) => Overdue::Nothing,
            ([], [], _) => Overdue::ByAge(self.age_late),
            _ => Overdue::Over(self.age_late),
        }
    }

    pub(super) fn purge(
        &self,
        engine: &Engine,
        graph: &Arc<GraphCore>,
        policy: &Arc<Retention>,
    ) -> Result<u64> {
        let mut purged = 0;
        for (jobs, why) in [
            (&self.by_count, PurgeReason::Count),
            (&self.by_bytes, PurgeReason::Bytes),
            (&self.by_age, PurgeReason::Age),
        ] {
            purged += engine.purge(graph, jobs, (why, Some(policy)))?;
        }
        Ok(purged)
    }
}

/// The oldest complete jobs, if there are more jobs than the policy keeps.
fn by_count(graph: &GraphCore, policy: &Retention) -> Vec<u64> {
    let Some(kept) = policy.jobs else {
        return Vec::new();
    };
    let state = graph.state.read();
    let over = state.status.total(COMPLETE).saturating_sub(kept);
    let due = state
        .status
        .select(COMPLETE, 0, 0, over.min(ROUND_JOBS as u64));
    due.sequences().collect()
}

/// The oldest complete jobs, if the blocks and events of later jobs already use all the bytes that
/// the policy allows.
fn by_bytes(engine: &Engine, graph: &GraphCore, policy: &Retention) -> Vec<u64> {
    let Some(kept) = policy.bytes else {
        return Vec::new();
    };
    let packs = engine.log_files.read().packs.clone();
    let state = graph.state.read();
    let mut taken: Vec<(u64, u64)> = Vec::new();
    let blocks = state.parts.iter().flat_map(|part| &part.blocks);
    for place in blocks.filter(|place| !place.is_empty()) {
        let range = place.first_sequence..place.end_sequence();
        let there = u64::from(place.jobs) - state.status.removed_in(range);
        let bytes = u64::from(place.len) * there / u64::from(place.jobs);
        taken.push((place.end_sequence(), bytes));
    }
    for pack in &packs {
        garbage::live_events(&state, graph.number, pack, |end, bytes| {
            taken.push((end, bytes));
        });
    }
    taken.sort_unstable_by(|a, b| b.cmp(a));
    let tail = state.tail.iter().flat_map(|run| &run.jobs);
    let tail: u64 = tail.map(|job| u64::from(job.request_len)).sum();
    let mut cut = 0;
    match kept.checked_sub(tail) {
        None => cut = state.packed_end(),
        Some(mut left) => {
            for (end, bytes) in taken {
                match left.checked_sub(bytes) {
                    Some(rest) => left = rest,
                    None => {
                        cut = end;
                        break;
                    }
                }
            }
        }
    }
    let due = state.status.select(COMPLETE, 0, 0, ROUND_JOBS as u64);
    due.sequences().take_while(|&s| s < cut).collect()
}

/// Complete jobs that are due by age, up to a bound.
struct ByAge {
    due: Vec<u64>,
    /// How long the first of them has been due.
    late_ms: u64,
    /// When the next one becomes due.
    next: i64,
}

impl Engine {
    /// Complete jobs that completed longer ago than the policy keeps them, up to a bound.
    fn by_age(&self, graph: &Arc<GraphCore>, policy: &Arc<Retention>) -> Result<ByAge> {
        let (mut due, mut late_ms, mut next) = (Vec::new(), 0, i64::MAX);
        let in_all = |due, late_ms, next| Ok(ByAge { due, late_ms, next });
        if policy.shortest_age_ms().is_none() {
            return in_all(due, late_ms, next);
        }
        // If a gap is confirmed after this, the graph is checked again.
        let gaps = self.gaps();
        let now_ms = self.clock_mark().age_ms as i64;
        let jobs = graph.state.read().status.len();
        for chunk in 0..jobs.div_ceil(CHUNK_JOBS) {
            let complete = States::NONE.with(State::Complete);
            let complete = graph.state.read().status.total_in_chunk(chunk, complete);
            let known = {
                let mut work = self.retention.lock();
                let ages = work.ages(graph.number, policy, &gaps);
                ages.earliest(chunk as usize, complete)
            };
            if complete == 0 {
                continue;
            }
            if let Some(known) = known.filter(|&ms| ms > now_ms) {
                next = next.min(known);
                continue;
            }
            let mut earliest = i64::MAX;
            let groups = CHUNK_JOBS / DETAIL_JOBS;
            for group in chunk * groups..((chunk + 1) * groups).min(jobs.div_ceil(DETAIL_JOBS)) {
                let selection = {
                    let state = graph.state.read();
                    let first = group * DETAIL_JOBS;
                    let jobs = state.status.select(COMPLETE, first, 0, DETAIL_JOBS);
                    jobs.only(|s| s < first + DETAIL_JOBS)
                };
                if selection.len == 0 {
                    continue;
                }
                let details = self.details(graph, group)?;
                for sequence in selection.sequences() {
                    let detail = details.0[(sequence % DETAIL_JOBS) as usize];
                    // If the details of a complete job lack its completion, the job was purged
                    // after the states were read.
                    let Some(end) = detail.finished else { continue };
                    let Some(age_ms) = policy.age_ms(end.kind) else {
                        continue;
                    };
                    let since_ms = gaps.since(end.age_ms);
                    let due_ms = match age_ms {
                        // A job whose completion time is in the future is considered to have an age
                        // of 0.
                        0 => since_ms.min(now_ms),
                        _ => since_ms.saturating_add_unsigned(age_ms),
                    };
                    match u64::try_from(now_ms.saturating_sub(due_ms)) {
                        Err(_) => earliest = earliest.min(due_ms),
                        Ok(late) => {
                            due.push(sequence);
                            late_ms = late_ms.max(late);
                        }
                    }
                }
                if due.len() >= ROUND_JOBS {
                    due.truncate(ROUND_JOBS);
                    return in_all(due, late_ms, now_ms);
                }
            }
            // The number that is recorded here becomes correct when the due jobs are purged: `left`
            // complete jobs then remain.
            let here = due.iter().rev().take_while(|s| *s / CHUNK_JOBS == chunk);
            let left = complete - (here.count() as u64).min(complete);
            let mut work = self.retention.lock();
            let ages = work.ages(graph.number, policy, &gaps);
            ages.set(chunk as usize, left, earliest);
            next = next.min(earliest);
        }
        in_all(due, late_ms, next)
    }
}
