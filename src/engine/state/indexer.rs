//! What the index has, and what it lacks.
//!
//! Owns: what of memory is not in the index yet, and the order it is written in.
//! Must not know: the engine that keeps the rows, commits, when it is written.
//! Promise: the index says of itself up to which LSN it is whole; what it does not
//! hold stays in memory until it does.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use crate::engine::state::backlog::Dropped;
use crate::engine::state::catalog::Graphs;
use crate::engine::state::detail_changes::DetailChanges;
use crate::engine::state::detail_rows;
use crate::engine::state::details::{self, ChunkHashes};
use crate::engine::state::external_ids::ForeignIds;
use crate::engine::state::flush_batch::Taken;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::purged_ranges::GoneRuns;
use crate::engine::state::rewrites::Rewrites;
use crate::engine::state::status::{self, CHUNK_JOBS, CHUNK_ROWS, SavedChunk};
use crate::index::rows::{self, DETAIL_JOBS, Detail, GraphRow, Head, ROWS_FORMAT, Tombstone};
use crate::index::sorted_runs::Owner;
use crate::index::{Batch, Fault, Index};
use crate::log::clock_gaps::Gaps;
use crate::model::store_id::StoreId;

/// The runs are not cleared of fewer dead ids.
pub(crate) const LOST_IDS_MIN: u64 = 1024;
/// A close that finds more graphs to be written leaves them to the next open, which reads
/// them from the log again.
const CLOSE_GRAPHS_MAX: usize = 4096;

/// Whether all that was to be written was.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    All,
    /// The store is being closed: the index says that it is partial.
    Interrupted,
}

/// What is known of the rows that the head vouches for.
pub(crate) struct Indexer {
    store: StoreId,
    pub(crate) applied_lsn: u64,
    /// Hashes of the graph rows, status rows and run rows, by key.
    named: HashMap<NamedKey, u64>,
    /// All of those hashes together.
    digest: u64,
    /// Graphs that have rows.
    pub(crate) graphs: HashMap<u32, Known>,
    /// Dropped graphs that may still have details.
    pub(crate) dropped: Vec<(u32, Weak<GraphCore>)>,
    /// Which chunks share status rows, by graph.
    pub(crate) gone_runs: HashMap<u32, GoneRuns>,
    /// Jobs, about, whose ids and keys may be dead since the runs were last cleared of
    /// dead ones.
    pub(crate) lost_ids: u64,
    /// Whether a close has interrupted it.
    pub(crate) is_interrupted: bool,
    pub(crate) rewrites: Rewrites,
}

/// A graph as its row has it.
pub(crate) struct Known {
    pub(crate) graph: Weak<GraphCore>,
    /// Up to which purge its tombstones are forgotten.
    pub(crate) forgotten_lsn: u64,
}

/// Bytes of the longest key that is named.
pub(crate) const NAMED_KEY_BYTES_MAX: usize = 13;
/// The key of a row that is named, filled up with zeros: the first byte says its length.
type NamedKey = [u8; NAMED_KEY_BYTES_MAX];

fn named_key(key: &[u8]) -> NamedKey {
    let mut named = [0; NAMED_KEY_BYTES_MAX];
    named[..key.len()].copy_from_slice(key);
    named
}

/// What leaves memory in one go: everything up to one LSN.
pub(crate) struct Leaving {
    pub(crate) lsn: u64,
    pub(crate) boot: u64,
    pub(crate) gaps: Gaps,
    pub(crate) graphs_created: u32,
    /// The graphs that changed.
    pub(crate) graphs: Vec<Arc<GraphCore>>,
    /// The graphs that were dropped.
    pub(crate) dropped: Vec<Dropped>,
}

impl Leaving {
    /// All changes up to this LSN, of graphs that nobody changes meanwhile.
    pub(crate) fn of_replay(
        indexer: &Indexer,
        graphs: &Graphs,
        lsn: u64,
        (boot, gaps): (u64, &Gaps),
    ) -> Leaving {
        Leaving {
            gaps: gaps.clone(),
            lsn,
            boot,
            graphs: indexer.lacking(graphs),
            dropped: indexer.not_among(graphs),
            graphs_created: graphs.created,
        }
    }

    /// Forgets what is in the index now.
    pub(crate) fn left(&self, ids: &ForeignIds) {
        for graph in &self.graphs {
            graph.state.write().leaving = None;
        }
        ids.left();
    }
}

/// Batches on their way to the index. When there is more than one, the head says
/// meanwhile that rows may be newer than it.
struct Writer<'i> {
    index: &'i dyn Index,
    batch: Batch,
    partial_head: Option<Vec<u8>>,
    /// The rows of details in the batch: graph, group and hash.
    details: Vec<(Arc<GraphCore>, u64, u64)>,
}

impl Writer<'_> {
    /// Puts rows that must be in one batch: a status row and the rows of details
    /// that it vouches for.
    fn put_chunk(&mut self, graph: &Arc<GraphCore>, chunk: ChunkRows) -> Result<(), Fault> {
        if !self.batch.has_room_for(&chunk.rows) {
            self.write_out()?;
        }
        for (key, value) in chunk.rows {
            match value {
                Some(value) => self.batch.put(key, value),
                None => self.batch.remove(key),
            }
        }
        let hashes = chunk.hashes.into_iter();
        self.details
            .extend(hashes.map(|(group, hash)| (graph.clone(), group, hash)));
        self.write_if_full()
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), Fault> {
        self.batch.put(key, value);
        self.write_if_full()
    }

    fn remove(&mut self, key: Vec<u8>) -> Result<(), Fault> {
        self.batch.remove(key);
        self.write_if_full()
    }

    fn write_if_full(&mut self) -> Result<(), Fault> {
        if self.batch.is_full() {
            self.write_out()?;
        }
        Ok(())
    }

    fn write_out(&mut self) -> Result<(), Fault> {
        self.say_partial()?;
        self.write_batch()
    }

    /// Writes the batch. Meanwhile the rows of details in it may be read as they were
    /// or as they are now.
    fn write_batch(&mut self) -> Result<(), Fault> {
        for (graph, group, hash) in &self.details {
            graph.state.write().details.write(*group, *hash);
        }
        self.index.write(&self.batch)?;
        for (graph, group, hash) in self.details.drain(..) {
            graph.state.write().details.written(group, hash);
        }
        self.batch.clear();
        Ok(())
    }

    fn say_partial(&mut self) -> Result<(), Fault> {
        if let Some(head) = self.partial_head.take() {
            let mut batch = Batch::default();
            batch.put(rows::HEAD.to_vec(), head);
            self.index.write(&batch)?;
        }
        Ok(())
    }
}

impl Indexer {
    pub(crate) fn new(store: StoreId) -> Indexer {
        Indexer {
            store,
            applied_lsn: 0,
            named: HashMap::new(),
            digest: 0,
            graphs: HashMap::new(),
            dropped: Vec::new(),
            gone_runs: HashMap::new(),
            lost_ids: 0,
            is_interrupted: false,
            rewrites: Rewrites::default(),
        }
    }

    /// Notes a row that is there, or with no value one that is not there any more.
    pub(crate) fn name(&mut self, key: &[u8], value: Option<&[u8]>) {
        let named = named_key(key);
        let before = match value {
            Some(value) => {
                let hash = rows::row_hash(key, value);
                self.digest ^= hash;
                self.named.insert(named, hash)
            }
            None => self.named.remove(&named),
        };
        self.digest ^= before.unwrap_or(0);
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// The graphs that have changes it lacks.
    pub(crate) fn lacking(&self, graphs: &Graphs) -> Vec<Arc<GraphCore>> {
        graphs.changed(|number, forgotten_lsn| {
            let known = self.graphs.get(&number);
            known.is_none_or(|known| known.forgotten_lsn != forgotten_lsn)
        })
    }

    /// The graphs that have rows and are not there any more.
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

    fn head(&self, leaving: &Leaving, partial: bool) -> Vec<u8> {
        let head = Head {
            rows_format: ROWS_FORMAT,
            store: self.store.0,
            applied_lsn: if partial {
                self.applied_lsn
            } else {
                leaving.lsn
            },
            partial,
            boot: leaving.boot,
            gaps: leaving.gaps.clone(),
            graphs: leaving.graphs_created,
            lost_ids: self.lost_ids,
            digest: if partial { 0 } else { self.digest() },
        };
        rows::seal_value(rows::HEAD, &head)
    }

    /// Writes everything that leaves, and then says so in the head.
    pub(crate) fn apply(
        &mut self,
        index: &dyn Index,
        ids: &ForeignIds,
        leaving: &Leaving,
        is_closing: &dyn Fn() -> bool,
    ) -> Result<Applied, Fault> {
        let is_too_much = |left: usize| left > CLOSE_GRAPHS_MAX && is_closing();
        if is_too_much(leaving.graphs.len() + leaving.dropped.len()) {
            return Ok(Applied::Interrupted);
        }
        let mut writer = Writer {
            index,
            batch: Batch::default(),
            partial_head: Some(self.head(leaving, true)),
            details: Vec::new(),
        };
        let pairs = ids.leave();
        if !pairs.is_empty() {
            writer.say_partial()?;
            let count = pairs.len() as u64;
            ids.runs
                .add(index, pairs.iter().copied(), count, &mut |key, value| {
                    self.name(key, value)
                })?;
        }
        self.remove_dropped(&mut writer, &leaving.dropped)?;
        let dropped: HashSet<u32> = leaving.dropped.iter().map(|dropped| dropped.0).collect();
        for (n, graph) in leaving.graphs.iter().enumerate() {
            if is_too_much(leaving.graphs.len() - n) {
                // All rows that were put are written, under a head that says so.
                writer.write_out()?;
                return Ok(Applied::Interrupted);
            }
            if !dropped.contains(&graph.number) {
                self.apply_graph(&mut writer, graph)?;
            }
        }
        self.remove_dead_ids(&mut writer, ids)?;
        let head = self.head(leaving, false);
        writer.batch.put(rows::HEAD.to_vec(), head);
        writer.write_batch()?;
        self.applied_lsn = leaving.lsn;
        Ok(Applied::All)
    }

    /// Writes what changed in a graph.
    fn apply_graph(
        &mut self,
        writer: &mut Writer<'_>,
        graph: &Arc<GraphCore>,
    ) -> Result<(), Fault> {
        let Taken {
            details,
            chunks,
            forgotten_lsn,
        } = graph.state.write().take_for_round();
        let now = Known {
            graph: Arc::downgrade(graph),
            forgotten_lsn,
        };
        let known = self.graphs.insert(graph.number, now);
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
            self.name(&key, Some(&value));
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
            rows.share(graph.number, chunk.number, &mut self.gone_runs);
            let of_states = rows.rows.iter();
            for (key, value) in of_states.filter(|row| row.0.starts_with(rows::STATUS)) {
                self.name(key, value.as_deref());
            }
            writer.put_chunk(graph, rows)?;
        }
        debug_assert!(changed.is_empty(), "each change lies in a chunk that goes");
        let reset = details.iter().filter(|(_, detail)| detail.reset).count();
        self.lost_ids = self.lost_ids.saturating_add(reset as u64);
        Ok(())
    }

    /// Whether the last handle or page of a dropped graph has gone, so that its details can
    /// go, too, even if nothing else has changed.
    pub(crate) fn can_forget_dropped(&self) -> bool {
        let mut dropped = self.dropped.iter();
        dropped.any(|(_, graph)| graph.strong_count() == 0)
    }

    /// Removes what makes a dropped graph a graph, and its details once nobody can
    /// read a page of it any more. A row says so of it until they are gone.
    fn remove_dropped(
        &mut self,
        writer: &mut Writer<'_>,
        dropped: &[Dropped],
    ) -> Result<(), Fault> {
        for &(number, jobs) in dropped {
            let Some(known) = self.graphs.remove(&number) else {
                continue;
            };
            let key = rows::dropped_key(number);
            let value = rows::seal(&key, Vec::new());
            writer.put(key, value)?;
            let key = rows::graph_key(number);
            self.name(&key, None);
            writer.remove(key)?;
            let chunks = self.remove_rows(writer, &rows::status_prefix(number))?;
            let jobs = jobs.unwrap_or(chunks * CHUNK_JOBS);
            self.lost_ids = self.lost_ids.saturating_add(jobs);
            self.gone_runs.remove(&number);
            self.dropped.push((number, known.graph));
        }
        let (kept, gone) = std::mem::take(&mut self.dropped)
            .into_iter()
            .partition(|(_, graph)| graph.strong_count() > 0);
        self.dropped = kept;
        for (number, _) in gone {
            // The last process may have ended before all of them went.
            self.remove_rows(writer, &rows::status_prefix(number))?;
            self.remove_rows(writer, &rows::detail_prefix(number))?;
            writer.remove(rows::dropped_key(number))?;
        }
        Ok(())
    }

    /// Takes ids and keys out of the runs whose jobs were purged and have no tombstones,
    /// or whose graphs were dropped, once that may be half of them.
    fn remove_dead_ids(&mut self, writer: &mut Writer<'_>, ids: &ForeignIds) -> Result<(), Fault> {
        let all = ids.runs.count();
        if all == 0 {
            self.lost_ids = 0;
        }
        if self.lost_ids < LOST_IDS_MIN.max(all / 2) {
            return Ok(());
        }
        // What is asked about details is in the index by then.
        writer.write_out()?;
        let index = writer.index;
        let graphs = std::mem::take(&mut self.graphs);
        let mut is_live = |owner: &Owner| {
            let graph = graphs.get(&owner.graph);
            match graph.and_then(|known| known.graph.upgrade()) {
                Some(graph) => is_known(index, &graph, owner.sequence),
                None => Ok(false),
            }
        };
        let removed = ids
            .runs
            .retain(index, &mut is_live, &mut |key, value| self.name(key, value));
        self.graphs = graphs;
        removed?;
        self.lost_ids = 0;
        Ok(())
    }

    fn remove_rows(&mut self, writer: &mut Writer<'_>, prefix: &[u8]) -> Result<u64, Fault> {
        let mut keys = Vec::new();
        writer.index.scan(prefix, &mut |key, _| {
            keys.push(key.to_vec());
            Ok(())
        })?;
        let removed = keys.len() as u64;
        for key in keys {
            if key.starts_with(rows::STATUS) {
                self.name(&key, None);
            }
            writer.remove(key)?;
        }
        Ok(removed)
    }
}

/// Whether a job is there, or its tombstone.
fn is_known(index: &dyn Index, graph: &GraphCore, sequence: u64) -> Result<bool, Fault> {
    let (group, n) = (sequence / DETAIL_JOBS, (sequence % DETAIL_JOBS) as usize);
    let (changes, forgotten_lsn, has_row) = {
        let state = graph.state.read();
        if !state.status.is_gone(sequence) {
            return Ok(true);
        }
        let has_row = state.details.has_row(group);
        (state.detail_changes(sequence), state.forgotten_lsn, has_row)
    };
    let mut detail = match has_row {
        true => detail_rows::read(index, graph, group)?.0[n],
        false => Detail::default(),
    };
    for change in changes.iter().flatten() {
        detail.merge(change);
    }
    let tombstone = detail.tombstone;
    Ok(tombstone.is_some_and(|tombstone| tombstone.lsn > forgotten_lsn))
}

/// The rows of a chunk that go to the index together.
struct ChunkRows {
    /// The status row, then rows of details.
    rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Group and hash of the rows of details.
    hashes: Vec<(u64, u64)>,
    /// Whether nothing is known of any of its jobs, but that it is gone.
    is_gone: bool,
}

impl ChunkRows {
    /// Merges changes of details, of these jobs of the chunk, into the rows that the
    /// index has, and vouches for what comes out.
    fn make(
        index: &dyn Index,
        graph: &GraphCore,
        chunk: &SavedChunk,
        (sequences, changes, forgotten_lsn): (&[u64], &DetailChanges, u64),
    ) -> Result<ChunkRows, Fault> {
        let mut made = ChunkRows {
            rows: vec![Default::default()],
            hashes: Vec::new(),
            is_gone: false,
        };
        let mut hashes = graph.state.read().details.chunk(chunk.number);
        for sequences in sequences.chunk_by(|a, b| a / DETAIL_JOBS == b / DETAIL_JOBS) {
            let group = sequences[0] / DETAIL_JOBS;
            let mut row = detail_rows::read(index, graph, group)?;
            for sequence in sequences {
                let detail = &mut row.0[(sequence % DETAIL_JOBS) as usize];
                if let Some(change) = changes.get(*sequence) {
                    detail.merge(change);
                }
                detail.reset = false;
                let is_forgotten = |t: &Tombstone| t.lsn <= forgotten_lsn;
                if detail.tombstone.as_ref().is_some_and(is_forgotten) {
                    *detail = Detail::default();
                }
            }
            let key = rows::detail_key(graph.number, group);
            // Nothing is known any more of jobs whose tombstones are forgotten.
            let is_empty = row.0.iter().all(|detail| *detail == Detail::default());
            let value = (!is_empty).then(|| rows::seal(&key, row.encode()));
            let hash = value.as_ref().map_or(0, |value| details::hash(&key, value));
            hashes[(group % CHUNK_ROWS) as usize] = hash;
            made.hashes.push((group, hash));
            made.rows.push((key, value));
        }
        let key = rows::status_key(graph.number, chunk.number);
        let mut content = chunk.bytes.clone();
        details::put_hashes(&hashes, chunk.jobs, &mut content);
        let value = rows::seal(&key, rows::pack_words(&content));
        made.rows[0] = (key, Some(value));
        made.is_gone = chunk.is_gone && hashes == ChunkHashes::default();
        Ok(made)
    }

    /// Has the chunk share a row with its neighbors, if nothing is known of its jobs.
    fn share(&mut self, graph: u32, chunk: u64, runs: &mut HashMap<u32, GoneRuns>) {
        let changes = match (self.is_gone, runs.get_mut(&graph)) {
            (true, _) => {
                self.rows.remove(0);
                runs.entry(graph).or_default().insert(chunk)
            }
            (false, Some(runs)) => runs.remove(chunk),
            (false, None) => return,
        };
        for (first, chunks) in changes {
            let key = rows::status_key(graph, first);
            let row = chunks.map(|chunks| rows::seal(&key, status::saved_run(chunks)));
            self.rows.push((key, row));
        }
    }
}
