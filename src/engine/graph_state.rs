//! What memory holds of a graph, and how a committed change becomes visible.
//!
//! Owns: [`GraphState`] and the only code that changes it. Must not know: callers,
//! how changes are logged.
//! Promise: all changes of a commit become visible at once; what is not in the
//! index yet is found here.

use crate::sync::atomic::{AtomicBool, Ordering};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use crate::sync::{Mutex, RwLock};

use crate::engine::backlog::{RoundNumber, Taken};
use crate::engine::details::DetailHashes;
use crate::engine::status::StatusColumn;
use crate::engine::waiting::{Waiter, Waiters};
use crate::fingerprint::Fingerprint;
use crate::id::OwnIds;
use crate::index::rows::{Detail, Finished, Tombstone};
use crate::job::{Progress, State};
use crate::retention::Retention;
use crate::storage::codec::length_prefix_bytes;
use crate::storage::event::Texts;
use crate::storage::pack::Part;
use crate::storage::segment::Segment;

/// A graph of an open store.
pub(crate) struct GraphCore {
    /// Its number in the log, from 0 in the order of creation.
    pub(crate) number: u32,
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) ids: OwnIds,
    pub(crate) key: [u64; 2],
    pub(crate) created_ms: u64,
    dropped: AtomicBool,
    /// Whether it is among the graphs that retention is told of.
    pub(crate) is_noted: AtomicBool,
    pub(crate) state: RwLock<GraphState>,
    /// How long complete jobs are kept.
    pub(crate) retention: RwLock<Option<Arc<Retention>>>,
    /// Held by who purges, from the last look at the policy to the commit.
    pub(crate) purging: Mutex<()>,
    /// Where purged jobs go first.
    #[cfg(feature = "archive")]
    pub(crate) archive: crate::engine::archiving::Home,
}

impl GraphCore {
    pub(crate) fn new(
        number: u32,
        (project, name): (&str, &str),
        (id_number, key): (u64, [u64; 2]),
        created_ms: u64,
    ) -> GraphCore {
        GraphCore {
            number,
            project: project.to_owned(),
            name: name.to_owned(),
            ids: OwnIds::new(id_number, key),
            key,
            created_ms,
            dropped: AtomicBool::new(false),
            is_noted: AtomicBool::new(false),
            state: RwLock::default(),
            retention: RwLock::default(),
            purging: Mutex::default(),
            #[cfg(feature = "archive")]
            archive: Default::default(),
        }
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }

    /// Whether this policy is in force.
    pub(crate) fn is_purged_by(&self, policy: &Arc<Retention>) -> bool {
        let in_force = self.retention.read();
        in_force.as_ref().is_some_and(|p| Arc::ptr_eq(p, policy))
    }

    pub(crate) fn set_dropped(&self) {
        self.dropped.store(true, Ordering::Release);
    }

    /// Whether the event that created it was lost: its ids cannot be told from
    /// others any more, so all of them are looked up.
    pub(crate) fn has_lost_its_key(&self) -> bool {
        self.key == [0; 2]
    }

    /// Whether this id of this job was not made by the graph, so that only a lookup
    /// finds the job.
    pub(crate) fn is_foreign(&self, id: &str, sequence: u64) -> bool {
        self.ids.sequence(id) != Some(sequence)
    }

    /// The hash a foreign id is looked up by. The graph's key goes in, so that ids
    /// made to collide elsewhere do not collide here.
    pub(crate) fn id_hash(&self, id: &str) -> u64 {
        let seed = self.key[0] ^ u64::from(self.number);
        xxhash_rust::xxh3::xxh3_64_with_seed(id.as_bytes(), seed)
    }
}

/// What a run and the store share of a running job.
#[derive(Default)]
pub(crate) struct RunCell {
    pub(crate) cancel: AtomicBool,
    is_over: AtomicBool,
    pub(crate) progress: Mutex<Option<Progress>>,
}

impl RunCell {
    /// Whether the run no longer holds its job: the job was completed or requeued, by
    /// anybody, or its graph was dropped.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }
}

/// Where a request lies that is not packed yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TailPlace {
    /// The first byte of what is masked in it, in the segment.
    pub(crate) secrets_at: u32,
    pub(crate) secrets_len: u32,
    /// Its request's first byte in the segment.
    pub(crate) request_at: u32,
    pub(crate) request_len: u32,
    /// CRC-32 of what is masked, id and request.
    pub(crate) crc: u32,
    pub(crate) submitted_ms: u64,
    pub(crate) id_len: u8,
}

impl TailPlace {
    /// Where the texts of a submission lie whose event ends at `end`.
    pub(crate) fn new(end: u64, texts: &Texts<'_>, submitted_ms: u64) -> TailPlace {
        let from_end = texts.places_from_end();
        let mut crc = crc32fast::Hasher::new();
        crc.update(texts.secrets);
        crc.update(texts.id.as_bytes());
        crc.update(texts.request.as_bytes());
        TailPlace {
            // A segment has at most 1 GiB, or one batch, which is smaller still.
            secrets_at: (end - from_end.secrets as u64) as u32,
            secrets_len: texts.secrets.len() as u32,
            request_at: (end - from_end.request as u64) as u32,
            request_len: texts.request.len() as u32,
            crc: crc.finalize(),
            submitted_ms,
            id_len: texts.id.len() as u8,
        }
    }

    /// Its id's first byte in the segment.
    pub(crate) fn id_at(&self) -> u32 {
        let prefix = length_prefix_bytes(usize::from(self.id_len));
        self.secrets_at + self.secrets_len + prefix as u32
    }

    /// Moves it so many bytes on.
    pub(crate) fn shift(&mut self, bytes: u32) {
        self.secrets_at += bytes;
        self.request_at += bytes;
    }
}

/// Requests of one graph in one segment; their sequence numbers join without gap.
#[derive(Clone)]
pub(crate) struct TailRun {
    pub(crate) segment: Arc<Segment>,
    pub(crate) first_sequence: u64,
    pub(crate) jobs: Vec<TailPlace>,
}

/// Changes to details that are not in the index yet, later ones merged in.
pub(crate) type DetailChanges = HashMap<u64, Detail>;

#[derive(Default)]
pub(crate) struct GraphState {
    pub(crate) status: StatusColumn,
    /// Packed requests, in order.
    pub(crate) parts: Arc<Vec<Arc<Part>>>,
    /// Requests that follow, in segments.
    pub(crate) tail: Vec<TailRun>,
    /// The fingerprints of those, from the first on.
    tail_fingerprints: Vec<Fingerprint>,
    /// Purges up to this LSN have no tombstones any more.
    pub(crate) forgotten_lsn: u64,
    /// Running jobs that were asked to stop.
    pub(crate) cancelling: BTreeSet<u64>,
    /// Running jobs that have a guard.
    pub(crate) watched: HashMap<u64, Arc<RunCell>>,
    /// Who waits for a job's end.
    pub(crate) waiters: Waiters,
    /// What vouches for the rows of details in the index.
    pub(crate) details: DetailHashes,
    /// Changed since the indexer last came by.
    pub(crate) changed: DetailChanges,
    /// Being written to the index.
    pub(crate) leaving: Option<Arc<DetailChanges>>,
    /// The round of the index that takes what changed; 0 where nothing did.
    pub(crate) index_round: RoundNumber,
    /// What the round under way takes, if the graph has changed since it began.
    pub(crate) taken: Option<Box<Taken>>,
}

/// A change of one graph, as the log has it, without texts.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Submitted {
        sequence: u64,
        place: TailPlace,
        fingerprint: Fingerprint,
    },
    Started {
        sequence: u64,
        at_ms: u64,
    },
    CancelRequested {
        sequence: u64,
    },
    Completed {
        sequence: u64,
        finished: Finished,
    },
    Requeued {
        sequence: u64,
    },
    Purged {
        sequence: u64,
        tombstone: Option<Tombstone>,
    },
    /// The job's tombstone goes, and with it those of all purges up to this LSN.
    Forgotten {
        sequence: u64,
        through_lsn: u64,
    },
}

impl Change {
    pub(crate) fn sequence(&self) -> u64 {
        match *self {
            Change::Submitted { sequence, .. }
            | Change::Started { sequence, .. }
            | Change::CancelRequested { sequence }
            | Change::Completed { sequence, .. }
            | Change::Requeued { sequence }
            | Change::Purged { sequence, .. }
            | Change::Forgotten { sequence, .. } => sequence,
        }
    }
}

impl GraphState {
    /// Makes a durable change visible. `segment` is where its texts lie.
    pub(crate) fn apply(&mut self, change: &Change, segment: &Arc<Segment>) {
        if let Change::Submitted {
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
    pub(crate) fn take_waiters(&mut self, change: &Change, called: &mut Vec<Arc<Waiter>>) {
        if let Change::Completed { sequence, .. } | Change::Purged { sequence, .. } = *change {
            self.waiters.take(sequence, called);
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
        self.watched.drain().for_each(|(_, cell)| cell.end());
    }

    /// Makes a change of states, wherever the texts lie.
    pub(crate) fn apply_state(&mut self, change: &Change) {
        match *change {
            Change::Submitted { sequence, .. } => self.add_pending(sequence),
            Change::Started { sequence, at_ms } => {
                self.status.set(sequence, State::Running);
                let detail = self.changed.entry(sequence).or_default();
                detail.started_ms = Some(at_ms);
            }
            Change::CancelRequested { sequence } => {
                self.cancelling.insert(sequence);
                if let Some(cell) = self.watched.get(&sequence) {
                    cell.cancel.store(true, Ordering::Release);
                }
                let detail = self.changed.entry(sequence).or_default();
                detail.cancel_requested = true;
            }
            Change::Completed { sequence, finished } => {
                self.status.set(sequence, State::Complete);
                self.cancelling.remove(&sequence);
                self.end_run(sequence);
                let detail = self.changed.entry(sequence).or_default();
                detail.finished = Some(finished);
            }
            // When it was started stays known, for pages that still show it running. A
            // job with a cancel request is never requeued.
            Change::Requeued { sequence } => {
                self.status.set(sequence, State::Pending);
                self.cancelling.remove(&sequence);
                self.end_run(sequence);
            }
            Change::Purged {
                sequence,
                tombstone,
            } => {
                self.status.set_gone(sequence);
                self.cancelling.remove(&sequence);
                // How it went is still told to pages that are older, until the tombstone
                // goes.
                let left = Detail {
                    reset: tombstone.is_none(),
                    tombstone,
                    ..Detail::default()
                };
                self.changed.entry(sequence).or_default().merge(&left);
            }
            Change::Forgotten {
                sequence,
                through_lsn,
            } => {
                self.forgotten_lsn = self.forgotten_lsn.max(through_lsn);
                let forget = Detail {
                    reset: true,
                    ..Detail::default()
                };
                self.changed.insert(sequence, forget);
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

    /// Takes jobs out of all lists: their blocks were set aside, or they were purged.
    pub(crate) fn set_range_aside(&mut self, range: Range<u64>) {
        let cancelling: Vec<u64> = self.cancelling.range(range.clone()).copied().collect();
        for sequence in &cancelling {
            self.cancelling.remove(sequence);
        }
        // What is known of their lives goes, but for their tombstones.
        if range.end - range.start < self.changed.len() as u64 {
            for sequence in range.clone() {
                let known = self.changed.get(&sequence);
                if known.is_some_and(|detail| detail.tombstone.is_none()) {
                    self.changed.remove(&sequence);
                }
            }
        } else {
            let is_kept = |sequence: &u64, detail: &mut Detail| {
                !range.contains(sequence) || detail.tombstone.is_some()
            };
            self.changed.retain(is_kept);
        }
        self.status.set_range_gone(range);
    }

    /// How many jobs in a range were set aside. The range is asked for only where
    /// any were.
    pub(crate) fn set_aside_in(&self, range: impl FnOnce() -> Range<u64>) -> u64 {
        if self.parts.iter().all(|part| part.set_aside == 0) {
            return 0;
        }
        let range = range();
        let parts = self.parts.iter().filter(|part| part.set_aside > 0);
        parts
            .flat_map(|part| &part.blocks)
            .filter(|place| place.is_set_aside())
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
            Arc::make_mut(&mut self.parts).push(part);
        }
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
        let parts = Arc::make_mut(&mut self.parts);
        let first = parts.partition_point(|p| p.end_sequence <= part.first_sequence);
        let end = parts.partition_point(|p| p.first_sequence < part.end_sequence);
        parts.splice(first..end, [part.clone()]);
    }

    /// What is known of a job's life that the index may not know yet. To be asked
    /// before the index: what leaves here is there already.
    pub(crate) fn detail_changes(&self, sequence: u64) -> [Option<Detail>; 2] {
        [
            self.leaving
                .as_ref()
                .and_then(|leaving| leaving.get(&sequence).copied()),
            self.changed.get(&sequence).copied(),
        ]
    }
}
