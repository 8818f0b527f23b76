//! Replays the log: restores the state in memory from each event.
//!
//! The restored states are those after the last event of the log, whichever LSN the index has
//! reached.

pub(crate) mod apply;
mod events;
mod in_doubt;
mod packs;
mod problem;
mod progress;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use self::in_doubt::InDoubt;
use self::packs::PackState;
pub(crate) use self::problem::ReplayError;
use self::progress::Follower;
use crate::engine::state::catalog::Graphs;
use crate::engine::state::external_ids::ExternalIds;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::indexer::{FlushBatch, Indexer};
use crate::index::empty::NoIndex;
use crate::index::sorted_runs::Runs;
use crate::index::{Fault, Index};
use crate::log::clock_gaps::Gaps;
use crate::log::clock_mark::ClockMark;
use crate::log::pack::Pack;
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
                let mut state = graph.state.write();
                state.changed.clear();
                state.activity.history.clear();
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
