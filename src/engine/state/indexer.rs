//! Records which changes are in the index, and which are not.
//!
//! The index records the LSN up to which it is complete. Later changes stay in memory until they
//! are in the index.

mod chunk_rows;
mod history;
pub(crate) mod removal;
mod writer;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use self::chunk_rows::ChunkRows;
use self::writer::Writer;
use crate::engine::state::backlog::Dropped;
use crate::engine::state::catalog::Graphs;
use crate::engine::state::external_ids::ExternalIds;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::graph_changes::GraphChanges;
use crate::engine::state::removed_runs::RemovedRuns;
use crate::engine::state::rewrites::Rewrites;
use crate::engine::state::status::CHUNK_JOBS;
use crate::index::rows::{self, GraphRow, IndexHead, ROWS_FORMAT};
use crate::index::{Fault, Index};
use crate::log::clock_gaps::Gaps;
use crate::model::store_id::StoreId;

/// If more graphs than this have to be written at a close, they are not written. The next open
/// replays them from the log.
const CLOSE_GRAPHS_MAX: usize = 4096;

/// Whether everything was written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    All,
    /// The store is being closed: the index records that it is partial.
    Interrupted,
}

/// The state of the rows that are included in the header's hash.
pub(crate) struct Indexer {
    store: StoreId,
    pub(crate) applied_lsn: u64,
    /// Hashes of the rows that are included in the digest, by key.
    row_hashes: HashMap<RowKey, u64>,
    /// All of those hashes combined.
    digest: u64,
    /// Graphs that have rows.
    pub(crate) graphs: HashMap<u32, IndexedGraph>,
    /// Dropped graphs that may still have rows of details.
    pub(crate) dropped: Vec<(u32, Weak<GraphCore>)>,
    /// Which chunks share status rows, by graph.
    pub(crate) removed_runs: HashMap<u32, RemovedRuns>,
    /// About how many jobs may have left dead ids and keys in the runs since dead ones were last
    /// removed.
    pub(crate) lost_ids: u64,
    /// Whether a close interrupted the writing of a round.
    pub(crate) is_interrupted: bool,
    pub(crate) rewrites: Rewrites,
}

/// A graph as its row records it.
pub(crate) struct IndexedGraph {
    pub(crate) graph: Weak<GraphCore>,
    /// The LSN of the last purge whose tombstones are forgotten.
    pub(crate) forgotten_lsn: u64,
    /// The greatest number of a command.
    pub(crate) last_command: u8,
}

/// The length of the longest key whose row is hashed individually, in bytes.
pub(crate) const ROW_KEY_BYTES_MAX: usize = 13;

/// The key of such a row, padded with zeros. The first byte of the key determines its length.
type RowKey = [u8; ROW_KEY_BYTES_MAX];

fn row_key(key: &[u8]) -> RowKey {
    let mut named = [0; ROW_KEY_BYTES_MAX];
    named[..key.len()].copy_from_slice(key);
    named
}

/// What is moved from memory to the index in one round: everything up to one LSN.
pub(crate) struct FlushBatch {
    pub(crate) lsn: u64,
    pub(crate) open_number: u64,
    pub(crate) gaps: Gaps,
    pub(crate) graphs_created: u32,
    /// The graphs that changed.
    pub(crate) graphs: Vec<Arc<GraphCore>>,
    /// The graphs that were dropped.
    pub(crate) dropped: Vec<Dropped>,
}

impl FlushBatch {
    /// All changes up to this LSN. The graphs must not change until the changes have been written.
    pub(crate) fn of_replay(
        indexer: &Indexer,
        graphs: &Graphs,
        lsn: u64,
        (open_number, gaps): (u64, &Gaps),
    ) -> FlushBatch {
        FlushBatch {
            gaps: gaps.clone(),
            lsn,
            open_number,
            graphs: indexer.lacking(graphs),
            dropped: indexer.not_among(graphs),
            graphs_created: graphs.created,
        }
    }

    /// Removes from memory what is in the index now.
    pub(crate) fn end_flush(&self, ids: &ExternalIds) {
        for graph in &self.graphs {
            graph.state.write().flushing = None;
        }
        ids.end_flush();
    }
}

impl Indexer {
    pub(crate) fn new(store: StoreId) -> Indexer {
        Indexer {
            store,
            applied_lsn: 0,
            row_hashes: HashMap::new(),
            digest: 0,
            graphs: HashMap::new(),
            dropped: Vec::new(),
            removed_runs: HashMap::new(),
            lost_ids: 0,
            is_interrupted: false,
            rewrites: Rewrites::default(),
        }
    }

    /// Records that a row was written; if there is no value, records that the row was removed.
    pub(crate) fn record_row(&mut self, key: &[u8], value: Option<&[u8]>) {
        let named = row_key(key);
        let before = match value {
            Some(value) => {
                let hash = rows::row_hash(key, value);
                self.digest ^= hash;
                self.row_hashes.insert(named, hash)
            }
            None => self.row_hashes.remove(&named),
        };
        self.digest ^= before.unwrap_or(0);
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// The graphs with changes that are not in the index.
    pub(crate) fn lacking(&self, graphs: &Graphs) -> Vec<Arc<GraphCore>> {
        graphs.changed(|number, forgotten_lsn| {
            let known = self.graphs.get(&number);
            known.is_none_or(|known| known.forgotten_lsn != forgotten_lsn)
        })
    }

    /// The graphs that have rows, although they no longer exist.
    pub(crate) fn not_among(&self, graphs: &Graphs) -> Vec<Dropped> {
        let known = self.graphs.iter();
        known
            .filter(|(number, _)| !graphs.by_number.contains_key(number))
            .map(|(&number, known)| {
                let graph = known.graph.upgrade();
                (number, graph.map(|graph| graph.state.read().status.len()))
            })
            .collect()
    }

    fn head(&self, batch: &FlushBatch, partial: bool) -> Vec<u8> {
        let head = IndexHead {
            rows_format: ROWS_FORMAT,
            store: self.store.0,
            applied_lsn: if partial { self.applied_lsn } else { batch.lsn },
            partial,
            open_number: batch.open_number,
            gaps: batch.gaps.clone(),
            graphs: batch.graphs_created,
            lost_ids: self.lost_ids,
            digest: if partial { 0 } else { self.digest() },
        };
        rows::seal_value(rows::HEAD, &head)
    }

    /// Writes all changes of a round, and then records in the header that they have been written.
    pub(crate) fn apply(
        &mut self,
        index: &dyn Index,
        ids: &ExternalIds,
        batch: &FlushBatch,
        is_closing: &dyn Fn() -> bool,
    ) -> Result<Applied, Fault> {
        let is_too_much = |left: usize| left > CLOSE_GRAPHS_MAX && is_closing();
        if is_too_much(batch.graphs.len() + batch.dropped.len()) {
            return Ok(Applied::Interrupted);
        }
        let mut writer = Writer::new(index, self.head(batch, true));
        let pairs = ids.begin_flush();
        if !pairs.is_empty() {
            writer.mark_partial()?;
            let count = pairs.len() as u64;
            ids.runs
                .add(index, pairs.iter().copied(), count, &mut |key, value| {
                    self.record_row(key, value)
                })?;
        }
        self.remove_dropped(&mut writer, &batch.dropped)?;
        let dropped: HashSet<u32> = batch.dropped.iter().map(|dropped| dropped.0).collect();
        for (n, graph) in batch.graphs.iter().enumerate() {
            if is_too_much(batch.graphs.len() - n) {
                // Write the rows that are in the batch. The header then records that the index is
                // partial.
                writer.write_out()?;
                return Ok(Applied::Interrupted);
            }
            if !dropped.contains(&graph.number) {
                self.apply_graph(&mut writer, graph, batch.lsn)?;
            }
        }
        self.remove_dead_ids(&mut writer, ids)?;
        let head = self.head(batch, false);
        writer.batch.put(rows::HEAD.to_vec(), head);
        writer.write_batch()?;
        self.applied_lsn = batch.lsn;
        Ok(Applied::All)
    }

    /// Writes what changed in a graph.
    fn apply_graph(
        &mut self,
        writer: &mut Writer<'_>,
        graph: &Arc<GraphCore>,
        lsn: u64,
    ) -> Result<(), Fault> {
        let GraphChanges {
            details,
            chunks,
            forgotten_lsn,
            last_command,
            history,
        } = graph.state.write().take_for_round();
        let now = IndexedGraph {
            graph: Arc::downgrade(graph),
            forgotten_lsn,
            last_command,
        };
        let known = self.graphs.insert(graph.number, now);
        let known_command = known.as_ref().map_or(0, |known| known.last_command);
        self.put_commands(writer, graph, known_command..last_command)?;
        if let Some(history) = history {
            self.put_history(writer, graph, (&history, lsn))?;
        }
        if known.is_none_or(|known| known.forgotten_lsn != forgotten_lsn) {
            let key = rows::graph_key(graph.number);
            let row = GraphRow {
                number: graph.ids.number(),
                key: graph.ids.key(),
                project: graph.project.to_string(),
                name: graph.name.to_string(),
                created_ms: graph.created_ms,
                forgotten_lsn,
            };
            let value = rows::seal_value(&key, &row);
            self.record_row(&key, Some(&value));
            writer.put(key, value)?;
        }
        let mut changed: Vec<u64> = details.iter().map(|(sequence, _)| sequence).collect();
        changed.sort_unstable();
        let mut changed = changed.as_slice();
        for chunk in &chunks {
            let end = (chunk.number + 1) * CHUNK_JOBS;
            let (here, rest) = changed.split_at(changed.partition_point(|&s| s < end));
            changed = rest;
            let changes = (here, &*details, forgotten_lsn);
            let mut rows = ChunkRows::make(writer.index, graph, chunk, changes)?;
            rows.share(graph.number, chunk.number, &mut self.removed_runs);
            let of_states = rows.rows.iter();
            for (key, value) in of_states.filter(|row| row.0.starts_with(rows::STATUS)) {
                self.record_row(key, value.as_deref());
            }
            writer.put_chunk(graph, rows)?;
        }
        debug_assert!(changed.is_empty(), "each change lies in a chunk that goes");
        let reset = details.iter().filter(|(_, detail)| detail.reset).count();
        self.lost_ids = self.lost_ids.saturating_add(reset as u64);
        Ok(())
    }
}
