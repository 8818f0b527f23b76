//! Forgets the oldest tombstones that exceed a policy's bounds.

use super::purge::STEP_JOBS;
use crate::engine::core::Engine;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::operation::{Action, Operation};
use crate::log::clock_mark::shifted;
use crate::log::event::Event;
use crate::log::purged_jobs;
use crate::model::error::{Error, Result};
use crate::model::retention::Retention;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Forgets the tombstones of this graph's first purges, if there are too many tombstones or they
/// are too old.
pub(super) fn forget_due(
    engine: &Engine,
    graph: &Arc<GraphCore>,
    policy: &Retention,
    next_ms: &mut Option<i64>,
) -> Result<bool> {
    if graph.state.read().status.removed_total() == 0 {
        return Ok(false);
    }
    engine.look_up_tombstones()?;
    let age_ms = i64::try_from(policy.tombstone_age.as_millis()).unwrap_or(i64::MAX);
    let gaps = engine.gaps();
    let now_ms = engine.clock_mark().age_ms as i64;
    let lsns = {
        let mut work = engine.retention.lock();
        let Some(queue) = work.tombstones.get_mut(&graph.number) else {
            return Ok(false);
        };
        let oldest_ms = queue.oldest_ms(now_ms, &gaps);
        let old_at = oldest_ms.map(|at| at.saturating_add(age_ms).saturating_add(1));
        *next_ms = next_ms.iter().copied().chain(old_at).min();
        let old = queue.older_than(now_ms.saturating_sub(age_ms), &gaps);
        queue.first_over(policy.tombstones, old, STEP_JOBS as u64)
    };
    let Some(&through_lsn) = lsns.last() else {
        return Ok(false);
    };
    let sequences = engine.purged_by(&lsns)?;
    engine.commit(Operation::small(Action::Forget {
        graph: graph.clone(),
        through_lsn,
        sequences,
    }))?;
    let mut work = engine.retention.lock();
    if let Some(queue) = work.tombstones.get_mut(&graph.number) {
        queue.forget(through_lsn);
        if queue.is_empty() {
            work.tombstones.remove(&graph.number);
        }
    }
    Ok(true)
}

impl Engine {
    /// The jobs named in the events of these purges, in ascending order. Neighboring events are
    /// read together.
    fn purged_by(&self, lsns: &[u64]) -> Result<Vec<u64>> {
        let mut sequences = Vec::new();
        let mut left = lsns;
        while let Some(&first) = left.first() {
            let mut read_to = first;
            self.events_near(first, |lsn, event| {
                read_to = read_to.max(lsn);
                if let (Event::Purged { jobs, .. }, Ok(_)) = (event, left.binary_search(&lsn)) {
                    let jobs = purged_jobs::unpack(jobs).unwrap_or_default();
                    sequences.extend(jobs.iter().map(|job| job.sequence));
                }
            })?;
            left = &left[left.partition_point(|&lsn| lsn <= read_to)..];
        }
        sequences.sort_unstable();
        Ok(sequences)
    }

    /// Looks up which purges of earlier opens have tombstones. This happens only once.
    pub(super) fn look_up_tombstones(&self) -> Result<()> {
        if self.retention.lock().knows_earlier {
            return Ok(());
        }
        let mut found: BTreeMap<u32, BTreeMap<u64, (u64, i64)>> = BTreeMap::new();
        let mut take = |lsn: u64, event: &Event<'_>| {
            if let &Event::Purged {
                graph,
                time_ms,
                age_shift_ms,
                jobs,
                ..
            } = event
            {
                let jobs = purged_jobs::unpack(jobs).unwrap_or_default();
                let jobs = jobs.iter().filter(|job| job.id.is_some()).count() as u64;
                if jobs > 0 {
                    let of_graph = found.entry(graph).or_default();
                    of_graph.insert(lsn, (jobs, shifted(time_ms, age_shift_ms)));
                }
            }
        };
        let (packs, segments) = {
            let log_files = self.log_files.read();
            (log_files.packs.clone(), log_files.segments.clone())
        };
        for pack in &packs {
            pack.events(pack.first_lsn, |lsn, event| {
                take(lsn, event);
                Ok::<(), Error>(())
            })?;
        }
        for segment in &segments {
            segment.each_event(&mut take)?;
        }
        found.retain(|&number, found| {
            let graph = self.graph(number);
            let forgotten_lsn = graph.map_or(u64::MAX, |g| g.state.read().forgotten_lsn);
            found.retain(|&lsn, _| lsn > forgotten_lsn);
            !found.is_empty()
        });
        let mut work = self.retention.lock();
        for (number, found) in found {
            work.tombstones
                .entry(number)
                .or_default()
                .add_earlier(found);
        }
        work.knows_earlier = true;
        Ok(())
    }
}
