//! From the log back to memory: what an open does with each event.
//!
//! Owns: which events change states again, and which only say where a request
//! lies. Must not know: files' layout, threads.
//! Promise: whatever the index holds up to its LSN, the states after the last
//! event are those the log tells.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::engine::state::catalog::Graphs;
use crate::engine::state::change::Change;
use crate::engine::state::external_ids::ForeignIds;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::indexer::{Indexer, Leaving};
use crate::engine::state::unpacked::TailPlace;
use crate::index::empty::NoIndex;
use crate::index::rows::{Finished, Tombstone};
use crate::index::sorted_runs::Runs;
use crate::index::{Fault, Index};
use crate::log::block::Block;
use crate::log::clock_gaps::Gaps;
use crate::log::clock_mark::{ClockMark, shifted};
use crate::log::event::{Event, RecoveredAs, Texts, unpack_sequences};
use crate::log::fingerprint::Fingerprint;
use crate::log::pack::{BlockPlace, Pack, Part};
use crate::log::purged_jobs::{self, PurgedJob};
use crate::log::segment::Segment;
use crate::model::error::{Error, Result};
use crate::model::options::{OnReplay, Replayed};
use crate::model::outcome::OutcomeKind;
use crate::model::states::{State, States};
use crate::model::token::Opening;

/// Changes are written to the index whenever so many wait, so that a rebuild's
/// memory is bounded.
const CHANGES_MAX: u64 = 256 << 10;

/// Who follows a replay is told after about so many events.
const FOLLOW_EVENTS: u64 = 64 << 10;

/// Why a replay ended early.
pub(crate) enum Problem {
    /// The truth cannot be read.
    Truth(Error),
    /// The index does not fit the truth, or cannot be written.
    Index(Fault),
}

impl Problem {
    /// For where the index was made anew already.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Problem::Truth(error) => error,
            Problem::Index(fault) => Error::IndexUnavailable {
                what: fault.0.into(),
            },
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        Problem::Truth(error)
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Problem {
        Problem::Index(fault)
    }
}

/// The memory of a store while it is being put together.
pub(crate) struct Replay {
    pub(crate) graphs: Graphs,
    pub(crate) ids: ForeignIds,
    pub(crate) indexer: Indexer,
    pub(crate) index: Arc<dyn Index>,
    /// The last boot the log or the index tells of.
    pub(crate) boot: u64,
    /// The last opening among the events that were read.
    pub(crate) opening: Option<Opening>,
    pub(crate) next_lsn: u64,
    changes: u64,
    /// The last LSN of the pack that is being taken in.
    pack_end: Option<u64>,
    /// Graphs of which something is missing, events or requests, and where that was
    /// noticed; nothing more of them is taken in. It is damage unless the log goes on to
    /// drop the graph: packing and rewriting leave out what tells of dropped graphs, in
    /// one pack after another.
    broken: HashMap<u32, Error>,
    /// Whether the pack that is being taken in has lost events.
    pack_has_lost: bool,
    /// The same of events that were erased.
    pack_has_erased: bool,
    /// Whether the index has the first events of that pack.
    began_in_pack: bool,
    /// Where that pack says of jobs that they were purged, by graph.
    pack_purged: HashMap<u32, Vec<std::ops::Range<u64>>>,
    /// Jobs by graph that lost events may have started or completed.
    pub(crate) in_doubt: BTreeMap<u32, BTreeSet<u64>>,
    follower: Option<Follower>,
    /// The clocks when the log was last written to.
    pub(crate) clock: Option<ClockMark>,
    /// What was confirmed that the age clock did not count.
    pub(crate) gaps: Gaps,
}

/// Who is told how far the replay has come.
struct Follower {
    call: OnReplay,
    /// The first LSN that is taken in, and the last, as far as is known.
    first_lsn: u64,
    known_lsn: u64,
    /// Where it was last called.
    called_lsn: u64,
}

impl Follower {
    fn call(&mut self, next_lsn: u64) {
        self.called_lsn = next_lsn;
        let events = next_lsn - self.first_lsn;
        (self.call)(&Replayed {
            events,
            of: events.max((self.known_lsn + 1).saturating_sub(self.first_lsn)),
            rebuilding: self.first_lsn == 1,
        });
    }
}

impl Replay {
    pub(crate) fn new(
        graphs: Graphs,
        ids: ForeignIds,
        indexer: Indexer,
        index: Arc<dyn Index>,
        boot: u64,
    ) -> Replay {
        Replay {
            graphs,
            ids,
            indexer,
            index,
            boot,
            opening: None,
            next_lsn: 1,
            changes: 0,
            pack_end: None,
            broken: HashMap::new(),
            pack_has_lost: false,
            pack_has_erased: false,
            began_in_pack: false,
            pack_purged: HashMap::new(),
            in_doubt: BTreeMap::new(),
            follower: None,
            clock: None,
            gaps: Gaps::default(),
        }
    }

    /// For a pack by itself, in front of which these graphs are as they are.
    pub(crate) fn of_one(graphs: Graphs, pack: &Pack) -> Replay {
        let mut indexer = Indexer::new(pack.store);
        indexer.applied_lsn = pack.first_lsn - 1;
        let ids = ForeignIds::new(Runs::default());
        let mut replay = Replay::new(graphs, ids, indexer, Arc::new(NoIndex), 0);
        replay.next_lsn = pack.first_lsn;
        replay
    }

    /// Notes that something of a graph is missing.
    fn note_broken(&mut self, error: Error, number: u32) {
        self.broken.entry(number).or_insert(error);
    }

    /// Whether all of a graph was there, if it was not dropped.
    pub(crate) fn check_graph(&self, number: u32) -> Result<(), Error> {
        match self.broken.get(&number) {
            Some(error) if self.graphs.by_number.contains_key(&number) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Has somebody told how far this comes, who is told that it is known to go up to
    /// `known_lsn`.
    pub(crate) fn follow(&mut self, call: Option<OnReplay>, known_lsn: u64) {
        let first_lsn = self.indexer.applied_lsn + 1;
        self.follower = call.map(|call| Follower {
            call,
            first_lsn,
            known_lsn,
            called_lsn: first_lsn,
        });
    }

    fn come_to(&mut self, next_lsn: u64) {
        self.next_lsn = next_lsn;
        if let Some(follower) = &mut self.follower {
            if next_lsn >= follower.called_lsn + FOLLOW_EVENTS {
                follower.call(next_lsn);
            }
        }
    }

    /// Says that all is taken in.
    pub(crate) fn followed(&mut self) {
        if let Some(mut follower) = self.follower.take() {
            if self.next_lsn > follower.first_lsn {
                follower.call(self.next_lsn);
            }
        }
    }

    /// Takes a pack in: its events as far as the index lacks them, and where its
    /// requests lie.
    pub(crate) fn pack(&mut self, pack: &Pack) -> Result<(), Problem> {
        let from = self.indexer.applied_lsn + 1;
        self.pack_end = Some(pack.last_lsn);
        self.pack_has_erased = false;
        self.began_in_pack = from > pack.first_lsn;
        self.pack_purged = purged_in(pack);
        if pack.last_lsn >= from {
            pack.events(from.max(pack.first_lsn), |lsn, event| {
                self.packed_event(lsn, event, &pack.path)
            })?;
        }
        for part in &pack.parts {
            let Some(graph) = self.graph_or_dropped(part.graph, &pack.path)? else {
                continue;
            };
            if pack.last_lsn >= from && self.index.keeps_rows() {
                self.foreign_ids(&graph, part)?;
            }
            if graph.state.read().packed_end() != part.first_sequence {
                let error = out_of_order(&pack.path, &graph, part.first_sequence);
                self.note_broken(error, part.graph);
                continue;
            }
            self.known_by_blocks(&graph, part);
            graph.state.write().add_part(part.clone());
        }
        self.next_lsn = pack.last_lsn + 1;
        self.clock = pack.clock.or(self.clock);
        self.pack_end = None;
        self.pack_has_lost = false;
        if pack.last_lsn >= from {
            self.write_index_if_due()?;
        }
        Ok(())
    }

    /// Jobs whose submission was lost are known by their blocks; those whose block
    /// was set aside, or that were purged, are listed no more.
    fn known_by_blocks(&mut self, graph: &Arc<GraphCore>, part: &Part) {
        if self.pack_has_lost && part.end_sequence > 0 {
            self.submitted_up_to(graph, part.end_sequence - 1);
        }
        if part.set_aside == 0 && part.purged == 0 {
            return;
        }
        for place in part.blocks.iter().filter(|place| place.is_empty()) {
            // Their submission may be erased, or lost, too.
            self.erased_up_to(graph, place.end_sequence() - 1);
            self.submitted_up_to(graph, place.end_sequence() - 1);
            let range = place.first_sequence..place.end_sequence();
            if let Some(in_doubt) = self.in_doubt.get_mut(&graph.number) {
                let gone: Vec<u64> = in_doubt.range(range.clone()).copied().collect();
                for sequence in &gone {
                    in_doubt.remove(sequence);
                }
            }
            graph.state.write().set_range_aside(range);
        }
    }

    /// Adds jobs up to this one whose submission was lost.
    fn submitted_up_to(&mut self, graph: &GraphCore, last: u64) {
        let mut state = graph.state.write();
        let in_doubt = self.in_doubt.entry(graph.number).or_default();
        for sequence in state.status.len()..=last {
            state.add_pending(sequence);
            in_doubt.insert(sequence);
        }
    }

    /// Adds jobs up to this one whose submission was erased: the pack says that they
    /// were purged. Where it does not, they are missing.
    fn erased_up_to(&mut self, graph: &GraphCore, last: u64) {
        let mut state = graph.state.write();
        if !self.pack_has_erased || state.status.len() > last {
            return;
        }
        let purged = self.pack_purged.get(&graph.number);
        let ranges = purged.map(Vec::as_slice).unwrap_or_default();
        let near = ranges.partition_point(|range| range.end <= state.status.len());
        for range in &ranges[near..] {
            let len = state.status.len();
            if len > last || !range.contains(&len) {
                break;
            }
            state.status.extend_gone(range.end.min(last + 1));
        }
    }

    /// The ids of purged jobs that only a lookup finds.
    fn foreign_tombstones(&mut self, graph: &GraphCore, jobs: &[u8]) {
        for job in purged_jobs::unpack(jobs).unwrap_or_default() {
            if let Some(id) = job.id.filter(|id| id.is_foreign) {
                self.ids.add(id.lookup, graph.owner(job.sequence));
                self.changes += 1;
            }
        }
    }

    /// What lost events did to open jobs is not known.
    fn lost_events(&mut self) {
        self.pack_has_lost = true;
        let open = States::NONE.with(State::Pending).with(State::Running);
        for graph in self.graphs.by_number.values() {
            let selection = graph.state.read().status.select(open, 0, 0, u64::MAX);
            let in_doubt = self.in_doubt.entry(graph.number).or_default();
            let (mut at, mut from) = (0, 0);
            while let Some((sequence, _)) = selection.next(from, &mut at) {
                in_doubt.insert(sequence);
                from = sequence + 1;
            }
        }
    }

    fn packed_event(
        &mut self,
        lsn: u64,
        event: &Event<'_>,
        path: &std::path::Path,
    ) -> Result<(), Problem> {
        if let &Event::Submits {
            graph: number,
            first_sequence,
            count,
        } = event
        {
            let known = (self.indexer.applied_lsn + 1)
                .saturating_sub(lsn)
                .min(count);
            if let Some(graph) = self.graph_or_dropped(number, path)? {
                if self.pack_has_lost && first_sequence > 0 {
                    self.submitted_up_to(&graph, first_sequence - 1);
                }
                if first_sequence > 0 {
                    self.erased_up_to(&graph, first_sequence - 1);
                }
                let mut state = graph.state.write();
                let first = first_sequence + known;
                if first > state.status.len() && known < count {
                    let error = out_of_order(path, &graph, first);
                    self.note_broken(error, number);
                } else {
                    (first..first_sequence + count).for_each(|s| state.add_pending(s));
                }
            }
            self.come_to(lsn + count);
            return Ok(());
        }
        if let &Event::Erased { count } = event {
            // An index that ends within the pack was made before it was rewritten: it
            // knows some of what was erased, and nothing tells how much.
            if self.began_in_pack {
                let what = "it ends inside a part of the log that has been rewritten since";
                return Err(Fault(what.to_owned()).into());
            }
            self.pack_has_erased = true;
            self.come_to(lsn + count);
            return Ok(());
        }
        if let &Event::Lost { count } = event {
            if lsn > self.indexer.applied_lsn {
                self.lost_events();
            }
            self.come_to(lsn + count);
            return Ok(());
        }
        self.event(lsn, event, path, None)
    }

    /// Takes the ids of a part's jobs that were not made by their graph.
    fn foreign_ids(&mut self, graph: &Arc<GraphCore>, part: &Part) -> Result<(), Problem> {
        let is_looked_up = |place: &BlockPlace| {
            !place.is_empty() && (place.foreign_ids || graph.has_lost_its_key())
        };
        let mut block = Block::default();
        let mut piece = Vec::new();
        for place in part.blocks.iter().filter(|place| is_looked_up(place)) {
            let sequence = place.first_sequence;
            if place.large {
                let id = crate::engine::large::large_id(part, *place)?;
                self.ids.add(graph.id_hash(&id), graph.owner(sequence));
                self.changes += 1;
                continue;
            }
            part.read_block(place, (&mut block, &mut piece))?;
            for (n, row) in block.rows.iter().enumerate() {
                let sequence = sequence + n as u64;
                let id = std::str::from_utf8(block.id(row)).map_err(|_| part.not_valid(place))?;
                if graph.is_foreign(id, sequence) {
                    self.ids.add(graph.id_hash(id), graph.owner(sequence));
                    self.changes += 1;
                }
            }
        }
        Ok(())
    }

    /// Takes an event of a segment in; its bytes end at `end` in it.
    pub(crate) fn segment_event(
        &mut self,
        lsn: u64,
        event: &Event<'_>,
        segment: &Arc<Segment>,
        end: u64,
    ) -> Result<(), Problem> {
        self.event(lsn, event, &segment.path, Some((segment, end)))
    }

    /// Takes in what recovery did, which was just appended to the log.
    pub(crate) fn settled_event(
        &mut self,
        event: &Event<'_>,
        path: &std::path::Path,
    ) -> Result<(), Problem> {
        self.state_event(self.next_lsn, event, path)?;
        self.next_lsn += 1;
        Ok(())
    }

    fn event(
        &mut self,
        lsn: u64,
        event: &Event<'_>,
        path: &std::path::Path,
        segment: Option<(&Arc<Segment>, u64)>,
    ) -> Result<(), Problem> {
        let is_new = lsn > self.indexer.applied_lsn;
        if let (
            &Event::Submitted {
                graph: number,
                sequence,
                time_ms,
                fingerprint,
                texts,
            },
            Some((segment, end)),
        ) = (event, segment)
        {
            self.submitted(
                (number, sequence),
                (texts, time_ms, fingerprint),
                (segment, end),
                is_new,
            )?;
        } else if is_new {
            self.state_event(lsn, event, path)?;
        } else if let &Event::Booted { boot, time_ms } = event {
            self.opening = Some(Opening { lsn, boot, time_ms });
        }
        self.come_to(lsn + 1);
        // At the end of a pack its foreign ids are still to come.
        if is_new && Some(lsn) != self.pack_end {
            self.write_index_if_due()?;
        }
        Ok(())
    }

    fn submitted(
        &mut self,
        (number, sequence): (u32, u64),
        (texts, time_ms, fingerprint): (Texts<'_>, u64, Fingerprint),
        (segment, end): (&Arc<Segment>, u64),
        is_new: bool,
    ) -> Result<(), Problem> {
        let Some(graph) = self.graph_or_dropped(number, &segment.path)? else {
            return Ok(());
        };
        let mut state = graph.state.write();
        let next = match state.tail.last() {
            Some(run) => run.first_sequence + run.jobs.len() as u64,
            None => state.packed_end(),
        };
        if is_new && sequence > state.status.len() {
            let error = out_of_order(&segment.path, &graph, sequence);
            self.note_broken(error, number);
            return Ok(());
        }
        if sequence == next {
            let place = TailPlace::new(end, &texts, time_ms);
            state.add_tail(segment, sequence, place, fingerprint);
        } else {
            let error = out_of_order(&segment.path, &graph, sequence);
            self.broken.entry(number).or_insert(error);
            return Ok(());
        }
        if is_new {
            state.add_pending(sequence);
            if self.index.keeps_rows() && graph.is_foreign(texts.id, sequence) {
                self.ids.add(graph.id_hash(texts.id), graph.owner(sequence));
                self.changes += 1;
            }
        }
        Ok(())
    }

    /// Makes a change of states again.
    fn state_event(
        &mut self,
        lsn: u64,
        event: &Event<'_>,
        path: &std::path::Path,
    ) -> Result<(), Problem> {
        let (number, changes) = match *event {
            Event::Booted { boot, time_ms } => {
                self.boot = self.boot.max(boot);
                self.opening = Some(Opening { lsn, boot, time_ms });
                return Ok(());
            }
            Event::Clock => return Ok(()),
            Event::Confirmed(gap) => {
                self.gaps.add(gap);
                return Ok(());
            }
            Event::GraphCreated {
                graph,
                number,
                key,
                time_ms,
                project,
                name,
            } => {
                if !self.graphs.by_number.contains_key(&graph) {
                    let created = GraphCore::new(
                        graph,
                        (self.graphs.project(project), name),
                        (number, key),
                        time_ms,
                    );
                    self.graphs.insert(Arc::new(created));
                }
                return Ok(());
            }
            Event::GraphDropped { graph, .. } => {
                self.graphs.remove(graph);
                return Ok(());
            }
            Event::Submitted { .. }
            | Event::Submits { .. }
            | Event::Lost { .. }
            | Event::Erased { .. } => {
                let what = "unexpected submission";
                return Err(Error::damaged(path, 0, what).into());
            }
            Event::Keyed {
                graph,
                sequence,
                key,
            } => {
                let graph = self.graph_or_dropped(graph, path)?;
                if let Some(graph) = graph.filter(|_| self.index.keeps_rows()) {
                    let owner = graph.owner_of_key(sequence, lsn);
                    self.ids.add(graph.key_hash(key), owner);
                    self.changes += 1;
                }
                return Ok(());
            }
            Event::Started {
                graph,
                sequence,
                time_ms,
            } => (
                graph,
                vec![Change::Started {
                    sequence,
                    at_ms: time_ms,
                }],
            ),
            Event::CancelRequested {
                graph, sequence, ..
            } => (graph, vec![Change::CancelRequested { sequence }]),
            Event::Completed {
                graph,
                sequence,
                time_ms,
                age_shift_ms,
                kind,
                ref extra,
            } => {
                let finished = Finished {
                    at_ms: time_ms,
                    age_ms: shifted(time_ms, age_shift_ms),
                    kind,
                    boot: 0,
                    extra_lsn: if extra.is_some() { lsn } else { 0 },
                };
                (graph, vec![Change::Completed { sequence, finished }])
            }
            Event::Recovered {
                graph,
                boot,
                time_ms,
                age_shift_ms,
                action,
                sequences,
            } => {
                let sequences = unpack_sequences(sequences)
                    .ok_or_else(|| Error::damaged(path, 0, "invalid list of jobs"))?;
                let age_ms = shifted(time_ms, age_shift_ms);
                let change = |sequence| recovered(sequence, action, boot, (time_ms, age_ms));
                (graph, sequences.into_iter().map(change).collect())
            }
            Event::Purged { graph, jobs, .. } => {
                let jobs = purged_jobs::unpack(jobs)
                    .ok_or_else(|| Error::damaged(path, 0, "invalid list of jobs"))?;
                let change = |job: PurgedJob| Change::Purged {
                    sequence: job.sequence,
                    tombstone: job.id.map(|id| Tombstone::new(&id, lsn)),
                };
                (graph, jobs.into_iter().map(change).collect())
            }
            Event::Forgotten {
                graph,
                through_lsn,
                sequences,
            } => {
                let sequences = unpack_sequences(sequences)
                    .ok_or_else(|| Error::damaged(path, 0, "invalid list of jobs"))?;
                if let Some(graph) = self.graph_or_dropped(graph, path)? {
                    let mut state = graph.state.write();
                    state.forgotten_lsn = state.forgotten_lsn.max(through_lsn);
                }
                let change = |sequence| Change::Forgotten {
                    sequence,
                    through_lsn,
                };
                (graph, sequences.into_iter().map(change).collect())
            }
        };
        let Some(graph) = self.graph_or_dropped(number, path)? else {
            return Ok(());
        };
        if let (Event::Purged { jobs, .. }, true) = (event, self.index.keeps_rows()) {
            self.foreign_tombstones(&graph, jobs);
        }
        self.changes += changes.len() as u64;
        for change in &changes {
            let sequence = change.sequence();
            if self.pack_has_lost {
                self.submitted_up_to(&graph, sequence);
            }
            self.erased_up_to(&graph, sequence);
            let mut state = graph.state.write();
            if sequence >= state.status.len() {
                let error = out_of_order(path, &graph, sequence);
                self.note_broken(error, number);
                return Ok(());
            }
            let is_of_gone = matches!(change, Change::Purged { .. } | Change::Forgotten { .. });
            if is_of_gone || !state.status.is_gone(sequence) {
                state.apply_state(change);
            }
            drop(state);
            // A cancel request does not say whether the job had been started.
            if !matches!(change, Change::CancelRequested { .. }) {
                if let Some(in_doubt) = self.in_doubt.get_mut(&graph.number) {
                    in_doubt.remove(&sequence);
                }
            }
        }
        Ok(())
    }

    /// A live graph, or none when it was dropped, or will have to be because something of
    /// it is missing; a number that was never given is damage.
    fn graph_or_dropped(
        &self,
        number: u32,
        path: &std::path::Path,
    ) -> Result<Option<Arc<GraphCore>>, Error> {
        if number >= self.graphs.created {
            let what = format!("it refers to graph {number}, which was never created");
            return Err(Error::damaged(path, 0, what));
        }
        if self.broken.contains_key(&number) {
            return Ok(None);
        }
        Ok(self.graphs.by_number.get(&number).cloned())
    }

    /// Writes what has changed to the index and forgets it, if it is much.
    fn write_index_if_due(&mut self) -> Result<(), Fault> {
        // The index could not say which jobs are in doubt.
        let in_doubt = self.in_doubt.values().any(|jobs| !jobs.is_empty());
        if self.changes < CHANGES_MAX || in_doubt {
            return Ok(());
        }
        self.changes = 0;
        if !self.index.keeps_rows() {
            for graph in self.graphs.by_number.values() {
                graph.state.write().changed.clear();
            }
            return Ok(());
        }
        let lsn = self.next_lsn - 1;
        let leaving = Leaving::of_replay(&self.indexer, &self.graphs, lsn, (self.boot, &self.gaps));
        self.indexer
            .apply(&*self.index, &self.ids, &leaving, &|| false)?;
        leaving.left(&self.ids);
        Ok(())
    }

    /// Whether every job has a state and a place. A job too many in the index is
    /// one too few in the log.
    pub(crate) fn check_whole(&self, last: &std::path::Path) -> Result<(), Problem> {
        if self.indexer.applied_lsn >= self.next_lsn {
            let what = format!(
                "the log ends at log sequence number {}, but the index contains events up to {}: \
                 a file of the log is missing or truncated",
                self.next_lsn - 1,
                self.indexer.applied_lsn
            );
            return Err(Error::damaged(last, 0, what).into());
        }
        for graph in self.graphs.by_number.values() {
            self.check_graph(graph.number)?;
            let state = graph.state.read();
            let end = match state.tail.last() {
                Some(run) => run.first_sequence + run.jobs.len() as u64,
                None => state.packed_end(),
            };
            if end != state.status.len() {
                let what = format!(
                    "it contains {} jobs of graph {}, but the log contains {end}",
                    state.status.len(),
                    graph.number
                );
                return Err(Fault(what).into());
            }
        }
        Ok(())
    }
}

/// Where a pack says of jobs that they were purged.
fn purged_in(pack: &Pack) -> HashMap<u32, Vec<std::ops::Range<u64>>> {
    let mut found = HashMap::new();
    for part in pack.parts.iter().filter(|part| part.purged > 0) {
        let purged = part.blocks.iter().filter(|place| place.purged);
        let ranges = purged.map(|place| place.first_sequence..place.end_sequence());
        found.insert(part.graph, ranges.collect());
    }
    found
}

fn out_of_order(path: &std::path::Path, graph: &GraphCore, sequence: u64) -> Error {
    let what = format!(
        "unexpected job {sequence} of graph {}: jobs are missing or out of order",
        graph.number
    );
    Error::damaged(path, 0, what)
}

/// What recovery did to one job.
fn recovered(sequence: u64, action: RecoveredAs, boot: u64, (at_ms, age_ms): (u64, i64)) -> Change {
    let kind = match action {
        RecoveredAs::Requeued => return Change::Requeued { sequence },
        RecoveredAs::Interrupted => OutcomeKind::Interrupted,
        RecoveredAs::Cancelled => OutcomeKind::Cancelled,
    };
    Change::Completed {
        sequence,
        finished: Finished {
            at_ms,
            age_ms,
            kind: kind.to_stored(),
            boot,
            extra_lsn: 0,
        },
    }
}
