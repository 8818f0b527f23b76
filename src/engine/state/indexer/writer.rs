//! Batches of rows to be written to the index.

use std::sync::Arc;

use super::chunk_rows::ChunkRows;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::history::Pages;
use crate::engine::state::outcome_counts::OutcomeCounts;
use crate::index::rows;
use crate::index::{Batch, Fault, Index};

/// Batches of rows to be written to the index. If there is more than one batch, the header records
/// that rows may be newer than the header, until all batches have been written.
pub(super) struct Writer<'i> {
    pub(super) index: &'i dyn Index,
    pub(super) batch: Batch,
    partial_head: Option<Vec<u8>>,
    /// The rows of details in the batch: graph, group and hash.
    details: Vec<(Arc<GraphCore>, u64, u64)>,
    /// The chunks in the batch: graph, number, and how many of its jobs have each outcome.
    outcomes: Vec<(Arc<GraphCore>, u64, OutcomeCounts)>,
    /// The histories in the batch: graph, pages, and the LSN up to which they contain all events.
    histories: Vec<(Arc<GraphCore>, Arc<Pages>, u64)>,
}

impl<'i> Writer<'i> {
    pub(super) fn new(index: &'i dyn Index, partial_head: Vec<u8>) -> Writer<'i> {
        Writer {
            index,
            batch: Batch::default(),
            partial_head: Some(partial_head),
            details: Vec::new(),
            outcomes: Vec::new(),
            histories: Vec::new(),
        }
    }

    /// Puts rows that must be in one batch: a status row and the rows of details whose hashes
    /// it contains.
    pub(super) fn put_chunk(
        &mut self,
        graph: &Arc<GraphCore>,
        chunk: ChunkRows,
    ) -> Result<(), Fault> {
        if !self.batch.has_room_for(&chunk.rows) {
            self.write_out()?;
        }
        self.add(chunk.rows);
        if !chunk.hashes.is_empty() {
            let outcomes = (graph.clone(), chunk.number, chunk.outcomes);
            self.outcomes.push(outcomes);
        }
        let hashes = chunk.hashes.into_iter();
        self.details
            .extend(hashes.map(|(group, hash)| (graph.clone(), group, hash)));
        self.write_if_full()
    }

    /// Puts rows that must be in one batch: the changed pages of a history, and the list of its
    /// pages.
    pub(super) fn put_history(
        &mut self,
        graph: &Arc<GraphCore>,
        rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
        (pages, lsn): (Arc<Pages>, u64),
    ) -> Result<(), Fault> {
        if !self.batch.has_room_for(&rows) {
            self.write_out()?;
        }
        self.add(rows);
        self.histories.push((graph.clone(), pages, lsn));
        self.write_if_full()
    }

    fn add(&mut self, rows: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
        for (key, value) in rows {
            match value {
                Some(value) => self.batch.put(key, value),
                None => self.batch.remove(key),
            }
        }
    }

    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), Fault> {
        self.batch.put(key, value);
        self.write_if_full()
    }

    pub(super) fn remove(&mut self, key: Vec<u8>) -> Result<(), Fault> {
        self.batch.remove(key);
        self.write_if_full()
    }

    fn write_if_full(&mut self) -> Result<(), Fault> {
        if self.batch.is_full() {
            self.write_out()?;
        }
        Ok(())
    }

    pub(super) fn write_out(&mut self) -> Result<(), Fault> {
        self.mark_partial()?;
        self.write_batch()
    }

    /// Writes the batch. Until the batch has been written, readers may read either the old or the
    /// new version of its rows of details.
    pub(super) fn write_batch(&mut self) -> Result<(), Fault> {
        for (graph, group, hash) in &self.details {
            graph.state.write().details.write(*group, *hash);
        }
        for (graph, pages, _) in &self.histories {
            graph
                .state
                .write()
                .activity
                .history
                .begin_write(pages.clone());
        }
        self.index.write(&self.batch)?;
        for (graph, pages, lsn) in self.histories.drain(..) {
            graph.state.write().activity.history.written(pages, lsn);
        }
        for (graph, group, hash) in self.details.drain(..) {
            graph.state.write().details.written(group, hash);
        }
        for (graph, chunk, outcomes) in self.outcomes.drain(..) {
            graph.state.write().details.set_outcomes(chunk, outcomes);
        }
        self.batch.clear();
        Ok(())
    }

    pub(super) fn mark_partial(&mut self) -> Result<(), Fault> {
        if let Some(head) = self.partial_head.take() {
            let mut batch = Batch::default();
            batch.put(rows::HEAD.to_vec(), head);
            self.index.write(&batch)?;
        }
        Ok(())
    }
}
