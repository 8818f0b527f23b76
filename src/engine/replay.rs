//! From the log back to memory: what an open does with each event.
//!
//! Owns: which events change states again, and which only say where a request
//! lies. Must not know: files' layout, threads.
//! Promise: whatever the index holds up to its LSN, the states after the last
//! event are those the log tells.

mod changes;
mod in_doubt;
mod packs;
mod problem;
mod progress;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use self::changes::changes_of;
use self::in_doubt::InDoubt;
use self::packs::PackState;
pub(crate) use self::problem::ReplayError;
use self::progress::Follower;
use crate::engine::state::catalog::Graphs;
use crate::engine::state::change::StateChange;
use crate::engine::state::external_ids::ExternalIds;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::indexer::{FlushBatch, Indexer};
use crate::engine::state::unpacked::TailPlace;
use crate::index::empty::NoIndex;
use crate::index::sorted_runs::Runs;
use crate::index::{Fault, Index};
use crate::log::clock_gaps::Gaps;
use crate::log::clock_mark::ClockMark;
use crate::log::event::{Event, SubmissionTexts};
use crate::log::fingerprint::Fingerprint;
use crate::log::pack::Pack;
use crate::log::purged_jobs;
use crate::log::segment::Segment;
use crate::model::error::{Error, Result};
use crate::model::options::OnReplay;
use crate::model::token::OpenEvent;

/// Changes are written to the index whenever so many wait, so that a rebuild's
/// memory is bounded.
const CHANGES_MAX: u64 = 256 << 10;

/// The memory of a store while it is being put together.
pub(crate) struct Replay {
    pub(crate) graphs: Graphs,
    pub(crate) ids: ExternalIds,
    pub(crate) indexer: Indexer,
    pub(crate) index: Arc<dyn Index>,
    /// The last boot the log or the index tells of.
    pub(crate) open_number: u64,
    /// The last opening among the events that were read.
    pub(crate) open_event: Option<OpenEvent>,
    pub(crate) next_lsn: u64,
    changes: u64,
    pack: PackState,
    /// Graphs of which something is missing, events or requests, and where that was
    /// noticed; nothing more of them is taken in. It is damage unless the log goes on to
    /// drop the graph: packing and rewriting leave out what tells of dropped graphs, in
    /// one pack after another.
    broken: HashMap<u32, Error>,
    pub(crate) in_doubt: InDoubt,
    follower: Option<Follower>,
    /// The clocks when the log was last written to.
    pub(crate) clock: Option<ClockMark>,
    /// What was confirmed that the age clock did not count.
    pub(crate) gaps: Gaps,
}

impl Replay {
    pub(crate) fn new(
        graphs: Graphs,
        ids: ExternalIds,
        indexer: Indexer,
        index: Arc<dyn Index>,
        open_number: u64,
    ) -> Replay {
        Replay {
            graphs,
            ids,
            indexer,
            index,
            open_number,
            open_event: None,
            next_lsn: 1,
            changes: 0,
            pack: PackState::default(),
            broken: HashMap::new(),
            in_doubt: InDoubt::default(),
            follower: None,
            clock: None,
            gaps: Gaps::default(),
        }
    }

    /// For a pack by itself, in front of which these graphs are as they are.
    pub(crate) fn of_one(graphs: Graphs, pack: &Pack) -> Replay {
        let mut indexer = Indexer::new(pack.store);
        indexer.applied_lsn = pack.first_lsn - 1;
        let ids = ExternalIds::new(Runs::default());
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
        self.follower = call.map(|call| Follower::new(call, first_lsn, known_lsn));
    }

    fn advance_to(&mut self, next_lsn: u64) {
        self.next_lsn = next_lsn;
        if let Some(follower) = &mut self.follower {
            follower.advance_to(next_lsn);
        }
    }

    /// Says that all is taken in.
    pub(crate) fn followed(&mut self) {
        if let Some(follower) = self.follower.take() {
            follower.finish(self.next_lsn);
        }
    }

    /// Takes an event of a segment in; its bytes end at `end` in it.
    pub(crate) fn segment_event(
        &mut self,
        lsn: u64,
        event: &Event<'_>,
        segment: &Arc<Segment>,
        end: u64,
    ) -> Result<(), ReplayError> {
        self.event(lsn, event, &segment.path, Some((segment, end)))
    }

    /// Takes in what recovery did, which was just appended to the log.
    pub(crate) fn settled_event(
        &mut self,
        event: &Event<'_>,
        path: &Path,
    ) -> Result<(), ReplayError> {
        self.state_event(self.next_lsn, event, path)?;
        self.next_lsn += 1;
        Ok(())
    }

    fn event(
        &mut self,
        lsn: u64,
        event: &Event<'_>,
        path: &Path,
        segment: Option<(&Arc<Segment>, u64)>,
    ) -> Result<(), ReplayError> {
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
        } else if let &Event::StoreOpened {
            open_number,
            time_ms,
        } = event
        {
            self.open_event = Some(OpenEvent {
                lsn,
                open_number,
                time_ms,
            });
        }
        self.advance_to(lsn + 1);
        // At the end of a pack its foreign ids are still to come.
        if is_new && Some(lsn) != self.pack.end {
            self.write_index_if_due()?;
        }
        Ok(())
    }

    fn submitted(
        &mut self,
        (number, sequence): (u32, u64),
        (texts, time_ms, fingerprint): (SubmissionTexts<'_>, u64, Fingerprint),
        (segment, end): (&Arc<Segment>, u64),
        is_new: bool,
    ) -> Result<(), ReplayError> {
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
            if self.index.keeps_rows() && graph.is_external(texts.id, sequence) {
                self.ids.add(graph.id_hash(texts.id), graph.owner(sequence));
                self.changes += 1;
            }
        }
        Ok(())
    }

    /// Makes a change of states again.
    fn state_event(&mut self, lsn: u64, event: &Event<'_>, path: &Path) -> Result<(), ReplayError> {
        let Some((number, changes)) = changes_of(event, lsn, path)? else {
            return self.store_event(lsn, event, path);
        };
        let Some(graph) = self.graph_or_dropped(number, path)? else {
            return Ok(());
        };
        if let Event::Forgotten { through_lsn, .. } = *event {
            let mut state = graph.state.write();
            state.forgotten_lsn = state.forgotten_lsn.max(through_lsn);
        }
        if let (Event::Purged { jobs, .. }, true) = (event, self.index.keeps_rows()) {
            self.external_tombstones(&graph, jobs);
        }
        self.changes += changes.len() as u64;
        for change in &changes {
            let sequence = change.sequence();
            if self.pack.has_lost {
                self.submitted_up_to(&graph, sequence);
            }
            self.erased_up_to(&graph, sequence);
            let mut state = graph.state.write();
            if sequence >= state.status.len() {
                let error = out_of_order(path, &graph, sequence);
                self.note_broken(error, number);
                return Ok(());
            }
            let is_of_removed = matches!(
                change,
                StateChange::Purged { .. } | StateChange::Forgotten { .. }
            );
            if is_of_removed || !state.status.is_removed(sequence) {
                state.apply_state(change);
            }
            drop(state);
            // A cancel request does not say whether the job had been started.
            if !matches!(change, StateChange::CancelRequested { .. }) {
                self.in_doubt.remove(graph.number, sequence);
            }
        }
        Ok(())
    }

    /// The ids of purged jobs that only a lookup finds.
    fn external_tombstones(&mut self, graph: &GraphCore, jobs: &[u8]) {
        for job in purged_jobs::unpack(jobs).unwrap_or_default() {
            if let Some(id) = job.id.filter(|id| id.is_external) {
                self.ids.add(id.lookup, graph.owner(job.sequence));
                self.changes += 1;
            }
        }
    }

    /// Takes in an event that changes no state of a job.
    fn store_event(&mut self, lsn: u64, event: &Event<'_>, path: &Path) -> Result<(), ReplayError> {
        match *event {
            Event::StoreOpened {
                open_number,
                time_ms,
            } => {
                self.open_number = self.open_number.max(open_number);
                self.open_event = Some(OpenEvent {
                    lsn,
                    open_number,
                    time_ms,
                });
            }
            Event::Clock => {}
            Event::Confirmed(gap) => {
                self.gaps.add(gap);
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
            }
            Event::GraphDropped { graph, .. } => {
                self.graphs.remove(graph);
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
            }
            Event::Started { .. }
            | Event::CancelRequested { .. }
            | Event::Completed { .. }
            | Event::Recovered { .. }
            | Event::Purged { .. }
            | Event::Forgotten { .. } => {}
        }
        Ok(())
    }

    /// A live graph, or none when it was dropped, or will have to be because something of
    /// it is missing; a number that was never given is damage.
    fn graph_or_dropped(&self, number: u32, path: &Path) -> Result<Option<Arc<GraphCore>>, Error> {
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
        let in_doubt = !self.in_doubt.is_empty();
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
        let batch = FlushBatch::of_replay(
            &self.indexer,
            &self.graphs,
            lsn,
            (self.open_number, &self.gaps),
        );
        self.indexer
            .apply(&*self.index, &self.ids, &batch, &|| false)?;
        batch.end_flush(&self.ids);
        Ok(())
    }

    /// Whether every job has a state and a place. A job too many in the index is
    /// one too few in the log.
    pub(crate) fn check_whole(&self, last: &Path) -> Result<(), ReplayError> {
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

fn out_of_order(path: &Path, graph: &GraphCore, sequence: u64) -> Error {
    let what = format!(
        "unexpected job {sequence} of graph {}: jobs are missing or out of order",
        graph.number
    );
    Error::damaged(path, 0, what)
}
