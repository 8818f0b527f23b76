//! The state of a graph in memory, and how a committed change becomes visible.
//!
//! Only this code changes [`GraphState`]. All changes of a commit become visible together.
//! Changes that are not in the index yet are found here.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use crate::base::sync::atomic::Ordering;
use crate::engine::state::activity::Activity;
use crate::engine::state::change::StateChange;
use crate::engine::state::detail_changes::DetailChanges;
use crate::engine::state::details::ChunkDetails;
use crate::engine::state::graph_changes::{GraphChanges, RoundNumber};
use crate::engine::state::running::RunningJob;
use crate::engine::state::state_identity::StateIdentity;
use crate::engine::state::status::{CHUNK_JOBS, StatusColumn};
use crate::engine::state::unpacked::{TailPlace, TailRun};
use crate::engine::state::waiters::{PENDING, Waiter, Waiters};
use crate::index::rows::{DETAIL_JOBS, Detail};
use crate::log::fingerprint::Fingerprint;
use crate::log::pack::Part;
use crate::log::segment::Segment;
use crate::model::states::{State, States};

#[derive(Default)]
pub(crate) struct GraphState {
    pub(crate) identity: StateIdentity,
    pub(crate) status: StatusColumn,
    /// Packed requests, in order.
    pub(crate) parts: Arc<[Arc<Part>]>,
    /// The requests that follow the packed ones and are stored in segments.
    pub(crate) tail: Vec<TailRun>,
    /// The fingerprints of the requests in segments.
    tail_fingerprints: Vec<Fingerprint>,
    /// The tombstones of purges up to this LSN have been forgotten.
    pub(crate) forgotten_lsn: u64,
    /// Running jobs with a cancel request.
    pub(crate) cancelling: BTreeSet<u64>,
    pub(crate) activity: Activity,
    /// Waiters for a job's completion, or for a pending job.
    pub(crate) waiters: Waiters,
    /// What is known about the rows of details in the index.
    pub(crate) details: ChunkDetails,
    /// Changes that were made since the indexer last took the changes.
    pub(crate) changed: DetailChanges,
    /// Changes that are being written to the index.
    pub(crate) flushing: Option<Arc<DetailChanges>>,
    /// The round of the index that takes the changes; 0 if there are none.
    pub(crate) index_round: RoundNumber,
    /// The changes that belong to the current round, if the graph has changed again since the round
    /// began.
    pub(crate) taken_changes: Option<Box<GraphChanges>>,
}

impl GraphState {
    /// Makes a durable change visible. `segment` contains its texts.
    pub(crate) fn apply(&mut self, change: &StateChange, segment: &Arc<Segment>) {
        if let StateChange::Submitted {
            sequence,
            place,
            fingerprint,
        } = *change
        {
            self.add_tail(segment, sequence, place, fingerprint);
        }
        self.apply_state(change);
    }

    /// Removes the waiters for a change that was made.
    pub(crate) fn take_waiters(&mut self, change: &StateChange, waiters: &mut Vec<Arc<Waiter>>) {
        match *change {
            StateChange::Completed { sequence, .. }
            | StateChange::Purged { sequence, .. }
            // A run also waits for these changes, because they either ask it to stop or end it.
            | StateChange::CancelRequested { sequence }
            | StateChange::Requeued { sequence } => self.waiters.take(sequence, waiters),
            StateChange::Submitted { .. }
            | StateChange::Started { .. }
            | StateChange::Forgotten { .. } => {}
        }
    }

    /// Whether any job is pending.
    pub(crate) fn has_pending(&self) -> bool {
        self.pending() > 0
    }

    fn pending(&self) -> u64 {
        self.status.total(States::NONE.with(State::Pending))
    }

    /// Removes waiters for a pending job: one for each of `jobs` jobs, but no more than there are
    /// pending jobs.
    pub(crate) fn take_claimers(&mut self, jobs: u64, waiters: &mut Vec<Arc<Waiter>>) {
        if self.waiters.has(PENDING) {
            let jobs = jobs.min(self.pending());
            self.waiters.take_first(PENDING, jobs, waiters);
        }
    }

    /// Marks the run of a job as over, so that it no longer owns the job.
    fn end_run(&mut self, sequence: u64) {
        if let Some(cell) = self.activity.watched.remove(&sequence) {
            cell.end();
        }
    }

    /// Marks all runs as over, so that they no longer own their jobs.
    pub(crate) fn end_runs(&mut self) {
        std::mem::take(&mut self.activity.watched)
            .into_values()
            .for_each(|cell| cell.end());
    }

    /// Counts what a change that is replayed contributes to the history. The number of its command
    /// stays assigned, even if the event that named the command is lost.
    pub(crate) fn count(&mut self, change: &StateChange) {
        if let Some(counted) = change.happened() {
            self.activity.commands.take(counted.1);
            self.activity.history.count(counted);
        }
    }

    /// Counts a change that was made at this time, in the history and in the counters. Events that
    /// happened at other times were imported, and are counted only in the history.
    pub(crate) fn count_published(&mut self, change: &StateChange, now_ms: u64) {
        if let Some((at_ms, command, happened)) = change.happened() {
            if at_ms == now_ms {
                self.activity.counters.count(happened);
            }
            self.activity.history.count((at_ms, command, happened));
        }
    }

    /// Applies a change of states, without texts.
    pub(crate) fn apply_state(&mut self, change: &StateChange) {
        match *change {
            StateChange::Submitted { sequence, .. } => self.add_pending(sequence),
            StateChange::Started {
                sequence,
                at_ms,
                command,
                ..
            } => {
                self.status.set(sequence, State::Running);
                let running = RunningJob {
                    started_ms: at_ms,
                    command,
                };
                self.activity.running.insert(sequence, running);
                let detail = self.changed.of(sequence);
                detail.started_ms = Some(at_ms);
                detail.command = command;
            }
            StateChange::CancelRequested { sequence } => {
                self.cancelling.insert(sequence);
                if let Some(cell) = self.activity.watched.get(&sequence) {
                    cell.cancel.store(true, Ordering::Release);
                }
                let detail = self.changed.of(sequence);
                detail.cancel_requested = true;
            }
            StateChange::Completed {
                sequence,
                finished,
                command,
                ..
            } => {
                self.status.set(sequence, State::Complete);
                self.cancelling.remove(&sequence);
                self.activity.running.remove(sequence);
                self.end_run(sequence);
                let detail = self.changed.of(sequence);
                detail.finished = Some(finished);
                detail.command = command;
            }
            // The start time is kept, because pages taken earlier still show the job as running. A
            // job with a cancel request is never requeued.
            StateChange::Requeued { sequence } => {
                self.status.set(sequence, State::Pending);
                self.cancelling.remove(&sequence);
                self.activity.running.remove(sequence);
                self.end_run(sequence);
            }
            StateChange::Purged {
                sequence,
                tombstone,
            } => {
                self.status.set_removed(sequence);
                self.cancelling.remove(&sequence);
                self.activity.running.remove(sequence);
                // The outcome stays available to pages that were taken earlier, until the tombstone
                // is forgotten.
                let left = Detail {
                    reset: tombstone.is_none(),
                    tombstone,
                    ..Detail::default()
                };
                self.changed.of(sequence).merge(&left);
            }
            StateChange::Forgotten {
                sequence,
                through_lsn,
            } => {
                self.forgotten_lsn = self.forgotten_lsn.max(through_lsn);
                // The job was purged, even if the event that records the purge is lost.
                self.status.set_removed(sequence);
                self.cancelling.remove(&sequence);
                self.activity.running.remove(sequence);
                let forget = Detail {
                    reset: true,
                    ..Detail::default()
                };
                *self.changed.of(sequence) = forget;
            }
        }
    }

    pub(crate) fn add_tail(
        &mut self,
        segment: &Arc<Segment>,
        sequence: u64,
        place: TailPlace,
        fingerprint: Fingerprint,
    ) {
        if self.tail.is_empty() {
            // Most graphs have few jobs that are not packed.
            self.tail.reserve_exact(1);
            self.tail_fingerprints.reserve_exact(1);
        }
        self.tail_fingerprints.push(fingerprint);
        match self.tail.last_mut() {
            Some(run) if Arc::ptr_eq(&run.segment, segment) => run.jobs.push(place),
            _ => self.tail.push(TailRun {
                segment: segment.clone(),
                first_sequence: sequence,
                jobs: vec![place],
            }),
        }
    }

    /// Makes a job pending: a new one, or one that the index did not record as pending.
    pub(crate) fn add_pending(&mut self, sequence: u64) {
        if sequence == self.status.len() {
            self.status.push();
        } else {
            self.status.set(sequence, State::Pending);
        }
    }

    /// Removes jobs from all lists, because their blocks were quarantined or they were purged.
    pub(crate) fn set_range_aside(&mut self, range: Range<u64>) {
        let cancelling: Vec<u64> = self.cancelling.range(range.clone()).copied().collect();
        for sequence in &cancelling {
            self.cancelling.remove(sequence);
        }
        self.activity.running.remove_range(range.clone());
        // Their details are removed; only tombstones are kept.
        if range.end - range.start < self.changed.len() as u64 {
            for sequence in range.clone() {
                let known = self.changed.get(sequence);
                if known.is_some_and(|detail| detail.tombstone.is_none()) {
                    self.changed.remove(sequence);
                }
            }
        } else {
            let is_kept = |sequence, detail: &Detail| {
                !range.contains(&sequence) || detail.tombstone.is_some()
            };
            self.changed.retain(is_kept);
        }
        self.status.set_range_removed(range);
    }

    /// How many jobs in a range were quarantined. Calls `range` only if any were.
    pub(crate) fn quarantined_in(&self, range: impl FnOnce() -> Range<u64>) -> u64 {
        if self.parts.iter().all(|part| part.quarantined == 0) {
            return 0;
        }
        let range = range();
        let parts = self.parts.iter().filter(|part| part.quarantined > 0);
        parts
            .flat_map(|part| &part.blocks)
            .filter(|place| place.is_quarantined())
            .map(|place| {
                let (from, end) = (place.first_sequence, place.end_sequence());
                end.min(range.end).saturating_sub(from.max(range.start))
            })
            .sum()
    }

    /// Whether a pack records that this job was purged.
    pub(crate) fn is_purged_in_packs(&self, sequence: u64) -> bool {
        let part = self.parts.partition_point(|p| p.end_sequence <= sequence);
        let part = self.parts.get(part);
        let place = part.and_then(|part| Some(part.blocks[part.block_of(sequence)?]));
        place.is_some_and(|place| place.purged)
    }

    /// The earliest possible submission time of a job, if one is known in memory, and whether that
    /// is the exact time.
    pub(crate) fn submitted_ms(&self, sequence: u64) -> Option<(u64, bool)> {
        let part = self.parts.partition_point(|p| p.end_sequence <= sequence);
        if let Some(part) = self.parts.get(part) {
            let place = part.blocks[part.block_of(sequence)?];
            return Some((place.first_ms, place.span_ms == 0));
        }
        let place = self.tail_place(sequence)?;
        Some((place.submitted_ms, true))
    }

    /// The place of a job's request, if the request is not packed.
    pub(crate) fn tail_place(&self, sequence: u64) -> Option<&TailPlace> {
        let after = self
            .tail
            .partition_point(|run| run.first_sequence <= sequence);
        let run = self.tail.get(after.checked_sub(1)?)?;
        run.jobs.get((sequence - run.first_sequence) as usize)
    }

    /// The sequence number after the last packed job.
    pub(crate) fn packed_end(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.end_sequence)
    }

    /// Replaces a segment's requests with the pack that contains them now.
    pub(crate) fn pack(&mut self, segment: &Arc<Segment>, part: Option<Arc<Part>>) {
        // The oldest segment is packed first, so its jobs come first in the tail.
        let of_it = |run: &&TailRun| Arc::ptr_eq(&run.segment, segment);
        let packed: usize = self.tail.iter().filter(of_it).map(|r| r.jobs.len()).sum();
        self.tail_fingerprints.drain(..packed);
        self.tail.retain(|run| !Arc::ptr_eq(&run.segment, segment));
        if self.tail.is_empty() {
            // Free the memory that was needed for the segment's jobs.
            self.tail = Vec::new();
            self.tail_fingerprints = Vec::new();
        }
        if let Some(part) = part {
            self.add_part(part);
        }
    }

    /// Adds the next part.
    pub(crate) fn add_part(&mut self, part: Arc<Part>) {
        self.parts = self.parts.iter().cloned().chain([part]).collect();
    }

    /// The jobs that are not packed and whose requests have this fingerprint, in order.
    pub(crate) fn tail_with_fingerprint(&self, fingerprint: Fingerprint) -> Vec<u64> {
        let first = self.tail.first().map_or(0, |run| run.first_sequence);
        (first..)
            .zip(&self.tail_fingerprints)
            .filter(|&(_, &found)| found == fingerprint)
            .map(|(sequence, _)| sequence)
            .collect()
    }

    /// Replaces parts of packs with the part of the pack that they were merged into.
    pub(crate) fn merge(&mut self, part: &Arc<Part>) {
        let parts = &self.parts;
        let first = parts.partition_point(|p| p.end_sequence <= part.first_sequence);
        let end = parts.partition_point(|p| p.first_sequence < part.end_sequence);
        let merged = [&parts[..first], std::slice::from_ref(part), &parts[end..]];
        self.parts = merged.concat().into();
    }

    /// The facts about a job that may not be in the index yet. Read these before reading the index:
    /// whatever has been removed here is already in the index.
    pub(crate) fn detail_changes(&self, sequence: u64) -> [Option<Detail>; 2] {
        [
            self.flushing
                .as_ref()
                .and_then(|flushing| flushing.get(sequence).copied()),
            self.changed.get(sequence).copied(),
        ]
    }

    /// For each chunk of jobs, whether the index lacks changes to the details of any of its jobs.
    pub(crate) fn changed_chunks(&self) -> Vec<bool> {
        let mut changed = vec![false; self.status.len().div_ceil(CHUNK_JOBS) as usize];
        let flushing = self.flushing.iter().flat_map(|flushing| flushing.iter());
        for (sequence, _) in flushing.chain(self.changed.iter()) {
            if let Some(changed) = changed.get_mut((sequence / CHUNK_JOBS) as usize) {
                *changed = true;
            }
        }
        changed
    }

    /// Like [`GraphState::detail_changes`], for the jobs of a row, by their places in it. If there
    /// are several facts about a job, the later ones follow the earlier ones.
    pub(crate) fn detail_changes_of(&self, group: u64) -> Vec<(usize, Detail)> {
        let mut changes = Vec::new();
        let flushing = self
            .flushing
            .as_ref()
            .filter(|flushing| !flushing.is_empty());
        if flushing.is_none() && self.changed.is_empty() {
            return changes;
        }
        for n in 0..DETAIL_JOBS {
            let facts = self.detail_changes(group * DETAIL_JOBS + n);
            changes.extend(facts.into_iter().flatten().map(|fact| (n as usize, fact)));
        }
        changes
    }
}
