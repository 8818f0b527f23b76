// The totals of all graphs of a store. One lock is taken at a time, and few jobs are read, however
// many graphs there are.

use std::sync::Arc;

use crate::base::clock;
use crate::base::sync::time::Instant;
use crate::engine::core::Engine;
use crate::engine::state::graph::GraphCore;
use crate::index::rows::DETAIL_JOBS;
use crate::model::error::{Error, Result};
use crate::model::states::{State, States};
use crate::model::stats::Totals;

/// The maximum number of running jobs among which the one that has run longest is searched for.
pub(crate) const RUNNING_LOOKED_AT: u64 = 10_000;

/// The totals of these graphs, and the number of jobs of each.
pub(crate) fn of(engine: &Engine, cores: &[Arc<GraphCore>]) -> Result<(Totals, Vec<u64>)> {
    let mut totals = Totals {
        graphs: cores.len() as u64,
        counters: engine.metrics.dropped_jobs.lock().clone(),
        ..Totals::default()
    };
    let mut jobs = Vec::with_capacity(cores.len());
    // For the oldest pending job of each graph: a lower bound of its submission time, and whether
    // the bound is exact.
    let mut pending = Vec::new();
    let mut running = Vec::new();
    for (n, core) in cores.iter().enumerate() {
        let state = core.state.read();
        let status = &state.status;
        let [waiting, working, complete] =
            State::ALL.map(|state| status.total(States::NONE.with(state)));
        totals.pending += waiting;
        totals.running += working;
        totals.complete += complete;
        totals.quarantined += state.quarantined_in(|| 0..u64::MAX);
        totals.counters.add(&state.activity.counters);
        jobs.push(waiting + working + complete);
        if waiting > 0 {
            let first = status.select(States::NONE.with(State::Pending), 0, 0, 1);
            if let Some(sequence) = first.first() {
                let (at_ms, is_exact) = state.submitted_ms(sequence).unwrap_or_default();
                pending.push((at_ms, is_exact, n, sequence));
            }
        }
        if working > 0 {
            running.push(n);
        }
    }
    pending.sort_unstable();
    let mut oldest: Option<u64> = None;
    for (at_ms, is_exact, n, sequence) in pending {
        if oldest.is_some_and(|oldest| oldest <= at_ms) {
            break;
        }
        let found = match is_exact {
            true => Some(at_ms),
            false => {
                let job = unless_dropped(engine.job(&cores[n], sequence))?.flatten();
                job.map(|job| clock::to_ms(job.submitted_at()))
            }
        };
        oldest = oldest.into_iter().chain(found).min();
    }
    totals.oldest_pending_at = oldest.map(clock::from_ms);
    let (mut left, mut longest) = (RUNNING_LOOKED_AT, None);
    for n in running {
        let found = unless_dropped(longest_running(engine, &cores[n], left))?;
        let (looked_at, started_ms) = found.unwrap_or_default();
        longest = longest.into_iter().chain(started_ms).min();
        left = left.saturating_sub(looked_at);
        if left == 0 {
            break;
        }
    }
    totals.longest_running_at = longest.map(clock::from_ms);
    totals.purge_lag = engine.retention.lock().purge_lag.longest(Instant::now());
    Ok((totals, jobs))
}

/// What was read of a graph, or `None` if the graph has been dropped meanwhile.
pub(crate) fn unless_dropped<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Err(Error::GraphDropped { .. }) => Ok(None),
        read => read.map(Some),
    }
}

/// Returns how many running jobs of a graph were searched, and when the one that has run longest
/// was started.
pub(crate) fn longest_running(
    engine: &Engine,
    core: &Arc<GraphCore>,
    most: u64,
) -> Result<(u64, Option<u64>)> {
    let running = States::NONE.with(State::Running);
    let running = core.state.read().status.select(running, 0, 0, most);
    let mut longest: Option<u64> = None;
    let sequences: Vec<u64> = running.sequences().collect();
    for group in sequences.chunk_by(|a, b| a / DETAIL_JOBS == b / DETAIL_JOBS) {
        let row = engine.details(core, group[0] / DETAIL_JOBS)?;
        let started = group
            .iter()
            .filter_map(|sequence| row.0[(sequence % DETAIL_JOBS) as usize].started_ms);
        longest = longest.into_iter().chain(started).min();
    }
    Ok((sequences.len() as u64, longest))
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use crate::replica::MemoryReplica;
    use crate::{Body, Error, JobStore, Request};

    #[test]
    fn totals_are_those_of_all_graphs_and_the_largest_are_shown_in_their_order() {
        let store = JobStore::options().segment_bytes(64 << 10);
        let store = store.in_memory().unwrap();
        let request = || Request::new("c", "/g", Body::empty()).unwrap();
        for n in 0..30usize {
            let graph = store.create_graph("1", &format!("graph-{n}")).unwrap();
            for _ in 0..n * 7 % 30 {
                graph.submit(request()).unwrap();
            }
            if n % 3 == 0 && n > 0 {
                graph.claim_next().unwrap().unwrap().detach();
            }
        }
        let all = store.stats().unwrap();
        let sum = |of: fn(&crate::GraphStats) -> u64| all.graphs.iter().map(of).sum::<u64>();
        assert_eq!(all.totals.graphs, 30);
        assert_eq!(all.totals.pending, sum(|graph| graph.pending));
        assert_eq!(all.totals.running, sum(|graph| graph.running));
        let oldest = all
            .graphs
            .iter()
            .filter_map(|graph| graph.oldest_pending_at);
        assert_eq!(all.totals.oldest_pending_at, oldest.min());
        let longest = all
            .graphs
            .iter()
            .filter_map(|graph| graph.longest_running_at);
        assert_eq!(all.totals.longest_running_at, longest.min());

        let few = store.stats_of(5).unwrap();
        assert_eq!(few.totals, all.totals);
        let jobs = |graph: &crate::GraphStats| graph.pending + graph.running;
        let mut most: Vec<u64> = all.graphs.iter().map(jobs).collect();
        most.sort_unstable();
        let mut shown: Vec<u64> = few.graphs.iter().map(jobs).collect();
        shown.sort_unstable();
        assert_eq!(shown, most[25..]);
        let place = |name: &str| all.graphs.iter().position(|graph| graph.name == name);
        assert!(few.graphs.is_sorted_by_key(|graph| place(&graph.name)));
        assert_eq!(store.stats_of(0).unwrap().graphs, []);
    }

    #[test]
    fn a_graph_that_is_dropped_meanwhile_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let replica = std::sync::Arc::new(MemoryReplica::default());
        let options = || JobStore::options().replica(replica.clone());
        let writer = options().open(dir.path().join("a")).unwrap();
        for name in ["movie", "short"] {
            let graph = writer.create_graph("1", name).unwrap();
            for _ in 0..3 {
                let request = Request::new("c", "/g", Body::empty()).unwrap();
                graph.submit(request).unwrap();
            }
            graph.claim_next().unwrap().unwrap().detach();
        }
        let follower = options().follow(dir.path().join("b")).unwrap();
        let engine = follower.engine();
        while engine.all_graphs().len() < 2 || follower.stats().unwrap().totals.running < 2 {
            std::thread::yield_now();
        }
        // The restored index no longer has the rows of the dropped graph.
        let cores = engine.all_graphs();
        engine.restore_follower().unwrap();
        writer.drop_graph("1", "short").unwrap();
        engine.restore_follower().unwrap();
        let short = super::longest_running(engine, &cores[1], 10);
        assert!(
            matches!(short, Err(Error::GraphDropped { .. })),
            "{short:?}"
        );
        let (totals, _) = super::of(engine, &cores).unwrap();
        assert!(totals.longest_running_at.is_some());
        assert!(engine.index_is_sound());
    }
}
