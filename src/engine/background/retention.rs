//! Retention: the rounds in which jobs are purged and tombstones are forgotten.
//!
//! Only complete jobs are purged, in small separate commits. A jump of the system clock makes no
//! job older.

#[cfg(feature = "archive")]
mod archived;
mod due;
mod forget;
mod problems;
mod purge;

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "archive")]
pub(crate) use self::archived::step_archived;
use self::due::Due;
use self::forget::forget_due;
pub(crate) use self::purge::STEP_JOBS;
use crate::base::sync::atomic::Ordering;
use crate::base::sync::time::Instant;
#[cfg(feature = "archive")]
use crate::engine::background::archiving;
use crate::engine::core::Engine;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::retention::RetentionState;
use crate::engine::state::retention::purge_lag::Overdue;
use crate::model::error::Result;
use crate::model::retention::Retention;

/// For this long after an open, the default policy does not apply, because a graph without a policy
/// may still be given the policy that it had earlier.
const UNSAID: Duration = Duration::from_secs(3600);

/// How long to wait before a failed lookup of tombstones is retried.
const DEFAULTS_RETRY: Duration = Duration::from_secs(60);

impl Engine {
    /// Records when the store was opened. The default policy begins to apply some time later.
    pub(crate) fn begin_retention(&self) {
        self.retention.lock().opened = Some(Instant::now());
    }

    /// Records that changes of a graph have become visible.
    pub(crate) fn note_changed(&self, graph: &Arc<GraphCore>, is_smaller: bool) {
        if !is_smaller && graph.retention.read().is_none() {
            return;
        }
        let mut changed_graphs = self.changed_graphs.lock();
        changed_graphs.note(graph);
        if is_smaller {
            changed_graphs.shrunk.insert(graph.number);
        }
    }

    /// Records that a graph has a new policy.
    pub(crate) fn note_policy(&self, graph: &Arc<GraphCore>) {
        let mut work = self.retention.lock();
        if !graph.is_dropped() {
            let policy = graph.retention.read().clone();
            work.schedule.note_policy(graph.number, policy.as_deref());
            #[cfg(feature = "archive")]
            if policy.is_some_and(|policy| policy.archive.is_some()) {
                work.archived.insert(graph.number, Arc::downgrade(graph));
            }
        }
    }

    /// The graphs that retention checks in this round.
    fn begin_retention_round(&self) -> Vec<Arc<GraphCore>> {
        let now_ms = self.clock_mark().age_ms as i64;
        let changed = std::mem::take(&mut self.changed_graphs.lock().graphs);
        let mut work = self.retention.lock();
        for graph in changed {
            graph.is_noted_changed.swap(false, Ordering::AcqRel);
            match graph.is_dropped() {
                true => work.forget(graph.number),
                false => work.schedule.note(graph.number),
            }
        }
        let round = work.schedule.begin_round(now_ms);
        drop(work);
        // Look up one graph at a time, so that a commit that creates or drops a graph does not wait
        // for all of them.
        let there = round.into_iter().filter_map(|number| self.graph(number));
        there.collect()
    }

    /// Once callers have had enough time to set policies, applies the default policy to graphs
    /// without one.
    fn begin_defaults(&self) {
        {
            let mut work = self.retention.lock();
            let now = Instant::now();
            let open = work.opened.map(|at| now.saturating_duration_since(at));
            let is_time = open.is_some_and(|time| time >= UNSAID);
            if work.by_default || !is_time || work.defaults_at.is_some_and(|at| at > now) {
                return;
            }
            work.defaults_at = now.checked_add(DEFAULTS_RETRY);
        }
        if let Err(error) = self.look_up_tombstones() {
            tracing::warn!(%error, "cannot look up tombstones; retrying later");
            return;
        }
        let mut work = self.retention.lock();
        let RetentionState {
            schedule,
            tombstones,
            by_default,
            ..
        } = &mut *work;
        *by_default = true;
        tombstones.keys().for_each(|&graph| schedule.note(graph));
    }
}

/// Purges what is due and forgets tombstones, up to a bound; returns whether there is more to do.
/// If this fails for a graph, the graph is left for the next round.
pub(crate) fn step(engine: &Engine) -> bool {
    if engine.follower.is_some() {
        // The store that the follower follows purges, and the follower only has to release the
        // graphs that have changed.
        engine.begin_retention_round();
        return false;
    }
    engine.record_clock_if_due();
    engine.begin_defaults();
    let graphs = engine.begin_retention_round();
    let by_default = engine.retention.lock().by_default;
    let defaults = by_default.then(Retention::new);
    engine.metrics.visits.add(graphs.len() as u64);
    let mut is_more = false;
    for graph in graphs {
        is_more |= visit(engine, &graph, defaults.as_ref());
    }
    is_more
}

/// Does what is due in a graph, up to a bound, and schedules the graph's next check.
fn visit(engine: &Engine, graph: &Arc<GraphCore>, defaults: Option<&Retention>) -> bool {
    let policy = graph.retention.read().clone();
    // Graphs that have an archive are purged by the archiver.
    #[cfg(feature = "archive")]
    let is_archived = archiving::concerns(graph, policy.as_deref());
    #[cfg(not(feature = "archive"))]
    let is_archived = false;
    let mut next_ms = None;
    let purged = match &policy {
        _ if is_archived => Ok(false),
        Some(policy) => purge_due(engine, graph, policy, true, &mut next_ms),
        None => {
            engine.note_due(graph, Overdue::Nothing);
            Ok(false)
        }
    };
    let forgotten = match policy.as_deref().or(defaults) {
        Some(policy) => forget_due(engine, graph, policy, &mut next_ms),
        None => Ok(false),
    };
    // Problems with purging graphs that have an archive are recorded by the archiver.
    if !is_archived || forgotten.is_err() {
        engine.note_problem(graph, &purged, &forgotten);
    }
    let in_each = purged.is_err() || forgotten.is_err();
    let is_more = purged.unwrap_or(false) || forgotten.unwrap_or(false);
    let mut work = engine.retention.lock();
    work.schedule.plan(graph.number, next_ms, in_each);
    if is_more {
        work.schedule.note(graph.number);
    }
    is_more
}

/// Purges jobs of a graph that are due. If the jobs have to be archived first and archiving fails,
/// the graph has to wait, but other graphs are still purged.
fn purge_due(
    engine: &Engine,
    graph: &Arc<GraphCore>,
    policy: &Arc<Retention>,
    is_ready: bool,
    next_ms: &mut Option<i64>,
) -> Result<bool> {
    let due = Due::find(engine, graph, policy)?;
    *next_ms = due.next_ms();
    engine.note_due(graph, due.found());
    if !is_ready {
        return Ok(false);
    }
    let purged = due.purge(engine, graph, policy);
    #[cfg(feature = "archive")]
    if purged.is_err() && archiving::has_problem(graph) {
        return Ok(false);
    }
    Ok(purged? > 0)
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use super::*;
    use crate::log::clock_gaps::Gaps;
    use crate::{Body, JobQuery, JobStore, Request};

    #[test]
    fn of_a_dropped_graph_nothing_is_kept() {
        let store = JobStore::in_memory().unwrap();
        let graph = store.create_graph("1", "movie").unwrap();
        let id = graph.submit(Request::new("c", "", Body::empty()).unwrap());
        graph.cancel(id.unwrap()).unwrap();
        graph.purge(JobQuery::new()).unwrap();
        let engine = graph.engine();
        let (number, now) = (graph.core.number, Instant::now());
        let kept = |work: &RetentionState| {
            [
                work.tombstones.contains_key(&number),
                work.ages.contains_key(&number),
                work.purge_lag.of(number, now).is_some(),
            ]
        };
        {
            // Set and checked under one lock, because the background thread checks the graph, too.
            let mut work = engine.retention.lock();
            work.ages(number, &Arc::new(Retention::new()), &Gaps::default());
            work.purge_lag
                .note(number, Overdue::Over(Duration::ZERO), now);
            assert_eq!(kept(&work), [true; 3]);
        }
        store.drop_graph("1", "movie").unwrap();
        step(engine);
        assert_eq!(kept(&engine.retention.lock()), [false; 3]);
    }

    #[test]
    fn tombstones_are_bounded_by_default_once_no_policy_is_to_be_expected() {
        let store = JobStore::in_memory().unwrap();
        let graph = store.create_graph("1", "movie").unwrap();
        let id = graph.submit(Request::new("c", "", Body::empty()).unwrap());
        let id = id.unwrap();
        graph.cancel(&id).unwrap();
        graph.purge(JobQuery::new()).unwrap();
        let engine = graph.engine();
        let purged_days_ago = |days: u64| {
            let now_ms = engine.clock_mark().age_ms as i64;
            let mut work = engine.retention.lock();
            for queue in work.tombstones.values_mut() {
                queue.set_times(now_ms - days as i64 * 24 * 3_600_000);
            }
            work.schedule.note(graph.core.number);
        };
        let is_known = || graph.tombstone(&id).unwrap().is_some();
        purged_days_ago(31);
        step(engine);
        assert!(is_known(), "right after the open");
        engine.retention.lock().opened = Some(Instant::now() - UNSAID);
        purged_days_ago(29);
        step(engine);
        assert!(is_known(), "younger than that");
        purged_days_ago(31);
        while step(engine) {}
        assert!(!is_known());
    }
}
