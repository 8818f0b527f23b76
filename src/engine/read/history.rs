//! Reads the history of a graph: the pages in the index, and what they lack.

use std::sync::Arc;

use crate::engine::core::Engine;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::history::HistorySnapshot;
use crate::engine::state::history_pages::HistoryPages;
use crate::index::{Fault, Index};
use crate::model::error::Result;
use crate::model::history::Rows;

/// If the pages in the index are neither those before nor those after a write, they are read again.
/// If this happens more often in a row, the index is considered stale.
const READS: u32 = 4;
/// The same while they are being written.
const READS_DURING_WRITE: u32 = 10_000;

impl Engine {
    /// The history of a graph in this range of milliseconds, as of one instant.
    pub(crate) fn history(&self, graph: &Arc<GraphCore>, range_ms: (u64, u64)) -> Result<Rows> {
        let number = graph.number;
        self.ask_index(|index| {
            let mut reads = 0;
            loop {
                let snapshot = graph.state.read().activity.history.snapshot();
                let is_writing = snapshot.is_writing;
                match read(index, number, &snapshot, range_ms) {
                    Ok(rows) => return Ok(rows),
                    Err(fault) if reads >= READS_DURING_WRITE => return Err(fault),
                    Err(fault) if reads >= READS && !is_writing => return Err(fault),
                    Err(_) => reads += 1,
                }
            }
        })
    }
}

fn read(
    index: &dyn Index,
    graph: u32,
    snapshot: &HistorySnapshot,
    range_ms: (u64, u64),
) -> Result<Rows, Fault> {
    let mut failed = Fault("the history is missing".to_owned());
    for (pages, lacking) in &snapshot.views {
        let mut read = HistoryPages::new(index, graph, pages);
        let added = lacking.iter().try_for_each(|counts| read.add_all(counts));
        match added.and_then(|()| read.rows_in(range_ms)) {
            Ok(rows) => return Ok(rows),
            Err(fault) => failed = fault,
        }
    }
    Err(failed)
}
