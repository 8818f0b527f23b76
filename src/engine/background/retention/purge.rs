//! Purges jobs in small separate commits, after archiving them if the policy asks for it.

#[cfg(feature = "archive")]
use crate::engine::background::archiving;
use crate::engine::core::Engine;
use crate::engine::read::jobs::ExtraCache;
use crate::engine::read::large::large_id_in;
use crate::engine::read::missing_job::missing;
use crate::engine::read::reader::{Reader, Snapshot, Unit};
use crate::engine::state::calls::WriteResult;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::operation::{Action, Operation};
use crate::index::rows::DETAIL_JOBS;
use crate::log::purged_jobs::{self, PurgedJob};
use crate::log::writer;
use crate::model::error::Result;
use crate::model::retention::{PurgeReason, Retention};
use crate::model::states::{State, States};
use std::sync::Arc;

/// The maximum number of jobs that one event purges.
pub(crate) const STEP_JOBS: usize = 1024;
/// About how many bytes an event may record about the jobs that it purges. This is at most half of
/// the reserve that is kept for such events.
const STEP_BYTES_MAX: u64 = 64 << 10;

pub(super) const COMPLETE: States = States::NONE.with(State::Complete);

impl Engine {
    /// Purges the complete jobs among these, and returns how many there were. Jobs that are due
    /// under a policy are kept if the graph has a different policy by now.
    pub(crate) fn purge(
        &self,
        graph: &Arc<GraphCore>,
        sequences: &[u64],
        (why, by): (PurgeReason, Option<&Arc<Retention>>),
    ) -> Result<u64> {
        let mut purged = 0;
        let kept_bytes = writer::freeing_bytes(self.preallocation.reserve_bytes());
        let bytes_max = STEP_BYTES_MAX.min(kept_bytes / 2);
        for step in sequences.chunks(STEP_JOBS) {
            if by.is_some_and(|by| !graph.is_purged_by(by)) {
                break;
            }
            #[cfg(feature = "archive")]
            let now_ms = self.now_ms();
            #[cfg(feature = "archive")]
            let policy = graph.retention.read().clone();
            #[cfg(feature = "archive")]
            let mut archiving = match policy.as_deref() {
                Some(policy) if policy.archive.is_some() => Some(archiving::begin(self, graph)?),
                _ => None,
            };
            let mut jobs = self.to_purge(graph, step)?;
            while !jobs.is_empty() {
                let mut bytes = 0;
                let fits = jobs.iter().take_while(|job| {
                    bytes += purged_jobs::bytes_of(job);
                    bytes <= bytes_max
                });
                let rest = jobs.split_off(fits.count().max(1));
                let some = std::mem::replace(&mut jobs, rest);
                #[cfg(feature = "archive")]
                let archived = match &mut archiving {
                    Some(archiving) => archiving.put(&some, now_ms)?,
                    None => None,
                };
                // Archiving may take a long time, so the policy is checked only now.
                let purging = graph.purging.lock();
                let done = match by.is_some_and(|by| !graph.is_purged_by(by)) {
                    true => Ok(0),
                    false => self.purge_step(graph, some, why),
                };
                drop(purging);
                #[cfg(feature = "archive")]
                if let Some(archiving) = &mut archiving {
                    archiving.settle(archived, &done);
                }
                purged += done?;
            }
        }
        Ok(purged)
    }

    fn purge_step(
        &self,
        graph: &Arc<GraphCore>,
        jobs: Vec<PurgedJob>,
        why: PurgeReason,
    ) -> Result<u64> {
        let result = self.commit(Operation::small(Action::Purge {
            graph: graph.clone(),
            jobs,
            why: why.to_stored(),
        }))?;
        let WriteResult::Purged { lsn, jobs } = result else {
            return Ok(0);
        };
        // The caller holds locks, so the host's clock is not read here. Instead, this uses the
        // reading of the last commit.
        let clock = self.clock_mark_at(self.queue.commit_time_ms());
        let age_ms = clock.age_ms as i64;
        let mut work = self.retention.lock();
        work.last_purge_ms = Some(clock.wall_ms);
        self.metrics.purged.add(jobs);
        if jobs > 0 && !graph.is_dropped() {
            let queue = work.tombstones.entry(graph.number).or_default();
            queue.add((lsn, jobs), age_ms);
        }
        Ok(jobs)
    }

    /// What a purge records about these jobs. Jobs that do not exist or are not complete are
    /// omitted.
    fn to_purge(&self, graph: &Arc<GraphCore>, sequences: &[u64]) -> Result<Vec<PurgedJob>> {
        let (Some(&first), Some(&last)) = (sequences.first(), sequences.last()) else {
            return Ok(Vec::new());
        };
        let snapshot = {
            let state = graph.state.read();
            let jobs = state.status.select(COMPLETE, first, 0, last - first + 1);
            let is_wanted = |s: u64| sequences.binary_search(&s).is_ok();
            Snapshot::take(&state, jobs.only(is_wanted))
        };
        let (mut reader, mut at, mut found) = (Reader::without_unlisted(), 0, Vec::new());
        let mut row = None;
        let mut extras = ExtraCache::default();
        while let Some(unit) = reader.read(graph, &snapshot)? {
            let mut ids = Vec::new();
            match unit {
                Unit::Large(large) => {
                    let sequence = large.sequence;
                    ids.push((sequence, large_id_in(large)?));
                }
                Unit::Block => {
                    let block = &reader.block;
                    for (sequence, row) in (block.first_sequence..).zip(&block.rows) {
                        let next = snapshot.selection.next(sequence, &mut at);
                        if next.is_some_and(|(next, _)| next == sequence) {
                            let id = std::str::from_utf8(block.id(row));
                            let id = id.map_err(|_| missing(&graph.path(), sequence))?;
                            ids.push((sequence, id.to_owned()));
                        }
                    }
                }
            }
            for (sequence, id) in ids {
                let group = sequence / DETAIL_JOBS;
                let details = match row.take() {
                    Some((known, details)) if known == group => details,
                    _ => self.details(graph, group)?,
                };
                let detail = details.0[(sequence % DETAIL_JOBS) as usize];
                row = Some((group, details));
                let result_ref = match detail.finished.map(|end| end.extra_lsn) {
                    None | Some(0) => None,
                    Some(lsn) => self
                        .outcome_extra(lsn, &mut extras)?
                        .and_then(|extra| extra.result_ref),
                };
                found.push(PurgedJob {
                    sequence,
                    id: Some(graph.tombstone_hash(&id, sequence)),
                    result_ref,
                });
            }
        }
        Ok(found)
    }
}
