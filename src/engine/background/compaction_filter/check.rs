//! Checks that a replay accepts a rewritten pack.

use std::sync::Arc;

use super::CompactionFilter;
use crate::engine::replay::{Replay, ReplayError};
use crate::engine::state::catalog::Graphs;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::status::StatusColumn;
use crate::log::pack::{Pack, Part};
use crate::model::error::{Error, Result};

impl CompactionFilter<'_> {
    /// Replays a rewritten pack before it replaces its sources. The replay works like that of an
    /// open without an index, and begins with the graphs' states before the pack.
    pub(crate) fn check(&self, pack: &Pack) -> Result<()> {
        let refused = |why: &str| {
            let what = format!("the rewritten pack would fail verification at open: {why}");
            Error::damaged(&pack.path, 0, what)
        };
        let mut graphs = Graphs::after(self.engine.graphs.read().created);
        let known = self.graphs.borrow();
        let live = || known.iter().filter_map(|(&n, g)| Some((n, &g.as_ref()?.0)));
        for (number, graph) in live() {
            let part = pack.part_of(number);
            graphs.insert(Arc::new(graph.as_before(part)));
        }
        let mut replay = Replay::of_one(graphs, pack);
        replay.pack(pack).map_err(|problem| match problem {
            ReplayError::LogFiles(error) => refused(&error.to_string()),
            ReplayError::Index(fault) => refused(&fault.0),
        })?;
        for (number, _) in live() {
            if let Err(error) = replay.check_graph(number) {
                return Err(refused(&error.to_string()));
            }
            let before = self.jobs.get(&number).cloned();
            let written = pack.part_of(number);
            let written = written.map(|part| part.first_sequence..part.end_sequence);
            if before != written {
                return Err(refused(&format!(
                    "it contains jobs {written:?} of graph {number} instead of {before:?}"
                )));
            }
        }
        Ok(())
    }
}

impl GraphCore {
    /// Returns the graph in the state that it is in when a replay reaches the pack. `part` is the
    /// graph's part in the pack. If there is none, all of the graph's jobs come before the pack.
    /// The contents of earlier jobs do not matter.
    fn as_before(&self, part: Option<&Arc<Part>>) -> GraphCore {
        let names = (self.project.clone(), &*self.name);
        let ids = (self.ids.number(), self.ids.key());
        let graph = GraphCore::new(self.number, names, ids, self.created_ms);
        {
            let mut state = graph.state.write();
            let first = match part {
                Some(part) => part.first_sequence,
                None => self.state.read().status.len(),
            };
            state.status = StatusColumn::all_removed(first);
            if let Some(part) = part.filter(|_| first > 0) {
                let before = Part {
                    graph: self.number,
                    first_sequence: 0,
                    end_sequence: first,
                    quarantined: 0,
                    purged: 0,
                    blocks: Box::default(),
                    fingerprints: Box::default(),
                    pack: part.pack.clone(),
                    garbage: Default::default(),
                };
                state.add_part(Arc::new(before));
            }
        }
        graph
    }
}
