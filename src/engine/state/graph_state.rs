//! What memory holds of a graph, and how a committed change becomes visible.
//!
//! Owns: [`GraphState`] and the only code that changes it. Must not know: callers,
//! how changes are logged.
//! Promise: all changes of a commit become visible at once; what is not in the
//! index yet is found here.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::base::sync::atomic::Ordering;
use crate::engine::state::change::StateChange;
use crate::engine::state::detail_changes::DetailChanges;
use crate::engine::state::details::DetailHashes;
use crate::engine::state::graph_changes::{GraphChanges, RoundNumber};
use crate::engine::state::run_cell::RunCell;
use crate::engine::state::status::StatusColumn;
use crate::engine::state::unpacked::{TailPlace, TailRun};
use crate::engine::state::waiters::{PENDING, Waiter, Waiters};
use crate::index::rows::Detail;
use crate::log::fingerprint::Fingerprint;
use crate::log::pack::Part;
use crate::log::segment::Segment;
use crate::model::states::{State, States};

#[derive(Default)]
pub(crate) struct GraphState {
    pub(crate) status: StatusColumn,
    /// Packed requests, in order.
    pub(crate) parts: Arc<[Arc<Part>]>,
    /// Requests that follow, in segments.
    pub(crate) tail: Vec<TailRun>,
    /// The fingerprints of those, from the first on.
    tail_fingerprints: Vec<Fingerprint>,
    /// Purges up to this LSN have no tombstones any more.
    pub(crate) forgotten_lsn: u64,
    /// Running jobs that were asked to stop.
    pub(crate) cancelling: BTreeSet<u64>,
    /// Running jobs that have a guard.
    pub(crate) watched: BTreeMap<u64, Arc<RunCell>>,
    /// Who waits for a job's end, or for a pending job.
    pub(crate) waiters: Waiters,
    /// What vouches for the rows of details in the index.
    pub(crate) details: DetailHashes,
    /// Changed since the indexer last came by.
    pub(crate) changed: DetailChanges,
    /// Being written to the index.
    pub(crate) flushing: Option<Arc<DetailChanges>>,
    /// The round of the index that takes what changed; 0 where nothing did.
    pub(crate) index_round: RoundNumber,
    /// What the round under way takes, if the graph has changed since it began.
    pub(crate) taken_changes: Option<Box<GraphChanges>>,
}

impl GraphState {
    /// Makes a durable change visible. `segment` is where its texts lie.
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

    /// Takes out who waited for a change that was made.
    pub(crate) fn take_waiters(&mut self, change: &StateChange, waiters: &mut Vec<Arc<Waiter>>) {
        match *change {
            StateChange::Completed { sequence, .. }
            | StateChange::Purged { sequence, .. }
            // Those ask a run to stop, or end it.
            | StateChange::CancelRequested { sequence }
            | StateChange::Requeued { sequence } => self.waiters.take(sequence, waiters),
            StateChange::Submitted { .. } | StateChange::Started { .. } | StateChange::Forgotten { .. } => {}
        }
    }

    /// Whether any job is pending.
    pub(crate) fn has_pending(&self) -> bool {
        self.pending() > 0
    }

    fn pending(&self) -> u64 {
        self.status.total(States::NONE.with(State::Pending))
    }

    /// Takes out who waits for a pending job: one for each of `jobs`, as far as they are
    /// still pending.
    pub(crate) fn take_claimers(&mut self, jobs: u64, waiters: &mut Vec<Arc<Waiter>>) {
        if self.waiters.has(PENDING) {
            let jobs = jobs.min(self.pending());
            self.waiters.take_first(PENDING, jobs, waiters);
        }
    }

    /// Tells the runs of a job that they no longer hold it.
    fn end_run(&mut self, sequence: u64) {
        if let Some(cell) = self.watched.remove(&sequence) {
            cell.end();
        }
    }

    /// Tells all runs that they no longer hold their jobs.
    pub(crate) fn end_runs(&mut self) {
        std::mem::take(&mut self.watched)
            .into_values()
            .for_each(|cell| cell.end());
    }

    /// Makes a change of states, wherever the texts lie.
    pub(crate) fn apply_state(&mut self, change: &StateChange) {
        match *change {
            StateChange::Submitted { sequence, .. } => self.add_pending(sequence),
            StateChange::Started { sequence, at_ms } => {
                self.status.set(sequence, State::Running);
                let detail = self.changed.of(sequence);
                detail.started_ms = Some(at_ms);
            }
            StateChange::CancelRequested { sequence } => {
                self.cancelling.insert(sequence);
                if let Some(cell) = self.watched.get(&sequence) {
                    cell.cancel.store(true, Ordering::Release);
                }
                let detail = self.changed.of(sequence);
                detail.cancel_requested = true;
            }
            StateChange::Completed { sequence, finished } => {
                self.status.set(sequence, State::Complete);
                self.cancelling.remove(&sequence);
                self.end_run(sequence);
                let detail = self.changed.of(sequence);
                detail.finished = Some(finished);
            }
            // When it was started stays known, for pages that still show it running. A
            // job with a cancel request is never requeued.
            StateChange::Requeued { sequence } => {
                self.status.set(sequence, State::Pending);
                self.cancelling.remove(&sequence);
                self.end_run(sequence);
            }
            StateChange::Purged {
                sequence,
                tombstone,
            } => {
                self.status.set_removed(sequence);
                self.cancelling.remove(&sequence);
                // How it went is still told to pages that are older, until the tombstone
                // goes.
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
                // It was purged, even where the event that says so is lost.
                self.status.set_removed(sequence);
                self.cancelling.remove(&sequence);
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

    /// Makes a job pending that is new, or that an index knew more of than it
    /// says.
    pub(crate) fn add_pending(&mut self, sequence: u64) {
        if sequence == self.status.len() {
            self.status.push();
        } else {
            self.status.set(sequence, State::Pending);
        }
    }

    /// Takes jobs out of all lists: their blocks were quarantined, or they were purged.
    pub(crate) fn set_range_aside(&mut self, range: Range<u64>) {
        let cancelling: Vec<u64> = self.cancelling.range(range.clone()).copied().collect();
        for sequence in &cancelling {
            self.cancelling.remove(sequence);
        }
        // What is known of their lives goes, but for their tombstones.
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

    /// How many jobs in a range were quarantined. The range is asked for only where
    /// any were.
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

    /// Whether a pack says of this job that it was purged.
    pub(crate) fn is_purged_in_packs(&self, sequence: u64) -> bool {
        let part = self.parts.partition_point(|p| p.end_sequence <= sequence);
        let part = self.parts.get(part);
        let place = part.and_then(|part| Some(part.blocks[part.block_of(sequence)?]));
        place.is_some_and(|place| place.purged)
    }

    /// When a job was submitted at the earliest, as far as memory knows, and whether that is
    /// the time itself.
    pub(crate) fn submitted_ms(&self, sequence: u64) -> Option<(u64, bool)> {
        let part = self.parts.partition_point(|p| p.end_sequence <= sequence);
        if let Some(part) = self.parts.get(part) {
            let place = part.blocks[part.block_of(sequence)?];
            return Some((place.first_ms, place.span_ms == 0));
        }
        let after = self
            .tail
            .partition_point(|run| run.first_sequence <= sequence);
        let run = self.tail.get(after.checked_sub(1)?)?;
        let place = run.jobs.get((sequence - run.first_sequence) as usize)?;
        Some((place.submitted_ms, true))
    }

    /// One past the last packed job.
    pub(crate) fn packed_end(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.end_sequence)
    }

    /// Replaces a segment's requests by the pack they are in now.
    pub(crate) fn pack(&mut self, segment: &Arc<Segment>, part: Option<Arc<Part>>) {
        // The eldest segment is packed first, so its jobs are the first of the tail.
        let of_it = |run: &&TailRun| Arc::ptr_eq(&run.segment, segment);
        let packed: usize = self.tail.iter().filter(of_it).map(|r| r.jobs.len()).sum();
        self.tail_fingerprints.drain(..packed);
        self.tail.retain(|run| !Arc::ptr_eq(&run.segment, segment));
        if self.tail.is_empty() {
            // Room for a segment's jobs is not kept for what may come.
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

    /// Replaces parts of packs by the part of the pack they were merged into.
    pub(crate) fn merge(&mut self, part: &Arc<Part>) {
        let parts = &self.parts;
        let first = parts.partition_point(|p| p.end_sequence <= part.first_sequence);
        let end = parts.partition_point(|p| p.first_sequence < part.end_sequence);
        let merged = [&parts[..first], std::slice::from_ref(part), &parts[end..]];
        self.parts = merged.concat().into();
    }

    /// What is known of a job's life that the index may not know yet. To be asked
    /// before the index: what leaves here is there already.
    pub(crate) fn detail_changes(&self, sequence: u64) -> [Option<Detail>; 2] {
        [
            self.flushing
                .as_ref()
                .and_then(|flushing| flushing.get(sequence).copied()),
            self.changed.get(sequence).copied(),
        ]
    }
}
