//! Replays the log: restores the state in memory from each event.
//!
//! The restored states are those after the last event of the log, whichever LSN the index has
//! reached.

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

/// Changes are written to the index whenever this many are waiting. This limits the memory that a
/// rebuild needs.
const CHANGES_MAX: u64 = 256 << 10;

/// The state of a store while it is being restored.
pub(crate) struct Replay {
    pub(crate) graphs: Graphs,
    pub(crate) ids: ExternalIds,
    pub(crate) indexer: Indexer,
    pub(crate) index: Arc<dyn Index>,
    /// The number of the last open that the log or the index records.
    pub(crate) open_number: u64,
    /// The last open among the events that were read.
    pub(crate) open_event: Option<OpenEvent>,
    pub(crate) next_lsn: u64,
    changes: u64,
    pack: PackState,
    /// Graphs that lack events or requests, each with the error that was found. The rest of their
    /// events are skipped. Missing events are damage unless the log drops the graph later: packing
    /// and rewriting omit the events of dropped graphs, in one pack after another.
    broken: HashMap<u32, Error>,
    pub(crate) in_doubt: InDoubt,
    follower: Option<Follower>,
    /// The readings of the clocks when the log was last written to.
    pub(crate) clock: Option<ClockMark>,
    /// The confirmed gaps: time that the age clock did not count.
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

    /// Begins a replay of a single pack; `graphs` contains the graphs as they are before the pack.
    pub(crate) fn of_one(graphs: Graphs, pack: &Pack) -> Replay {
        let mut indexer = Indexer::new(pack.store);
        indexer.applied_lsn = pack.first_lsn - 1;
        let ids = ExternalIds::new(Runs::default());
        let mut replay = Replay::new(graphs, ids, indexer, Arc::new(NoIndex), 0);
        replay.next_lsn = pack.first_lsn;
        replay
    }

    /// Records that a part of a graph is missing.
    fn note_broken(&mut self, error: Error, number: u32) {
        self.broken.entry(number).or_insert(error);
    }

    /// Returns an error if part of a graph is missing and the graph was not dropped.
    pub(crate) fn check_graph(&self, number: u32) -> Result<(), Error> {
        match self.broken.get(&number) {
            Some(error) if self.graphs.by_number.contains_key(&number) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Reports progress to `call`, with `known_lsn` as the expected last LSN.
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

    /// Reports that everything was replayed.
    pub(crate) fn followed(&mut self) {
        if let Some(follower) = self.follower.take() {
            follower.finish(self.next_lsn);
        }
    }

    /// Replays an event of a segment; its bytes end at `end`.
    pub(crate) fn segment_event(
        &mut self,
        lsn: u64,
        event: &Event<'_>,
        segment: &Arc<Segment>,
        end: u64,
    ) -> Result<(), ReplayError> {
        self.event(lsn, event, &segment.path, Some((segment, end)))
    }

    /// Replays the event that recovery has just appended to the log.
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
        // When the last event of a pack is replayed, the pack's external ids have not been added
        // yet.
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

    /// Replays a change of states.
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
            // A cancel request does not show whether the job had been started.
            if !matches!(change, StateChange::CancelRequested { .. }) {
                self.in_doubt.remove(graph.number, sequence);
            }
        }
        Ok(())
    }

    /// Adds the external ids of purged jobs.
    fn external_tombstones(&mut self, graph: &GraphCore, jobs: &[u8]) {
        for job in purged_jobs::unpack(jobs).unwrap_or_default() {
            if let Some(id) = job.id.filter(|id| id.is_external) {
                self.ids.add(id.lookup, graph.owner(job.sequence));
                self.changes += 1;
            }
        }
    }

    /// Replays an event that does not change the state of a job.
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

    /// Returns a graph. Returns `None` if the graph was dropped, or if a part of it is missing; in
    /// the latter case, a later event has to drop it. A number that was never assigned is damage.
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

    /// If there are many changes, writes them to the index and removes them from memory.
    fn write_index_if_due(&mut self) -> Result<(), Fault> {
        // The index cannot record which jobs are in doubt.
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

    /// Checks that every job has a state and a place. If a job is only in the index, it is missing
    /// from the log.
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
