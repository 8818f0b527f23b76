//! From memory to the index, in the background.
//!
//! Owns: what of memory is not in the index yet, and the order it is written in.
//! Must not know: the engine that keeps the rows, commits.
//! Promise: the index says of itself up to which LSN it is whole; what it does not
//! hold stays in memory until it does.

use crate::sync::atomic::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::sync::channel::{Receiver, RecvTimeoutError};

use crate::engine::details::{self, CHUNK_ROWS, ChunkHashes};
use crate::engine::gone_runs::GoneRuns;
use crate::engine::graph_state::{DetailChanges, GraphCore};
use crate::engine::lookup::ForeignIds;
use crate::engine::status::{self, CHUNK_JOBS, SavedChunk};
use crate::engine::watch::Watched;
use crate::engine::{Engine, Graphs};
use crate::index::rows::{self, DETAIL_JOBS, Detail, GraphRow, Head, ROWS_FORMAT, Tombstone};
use crate::index::runs::Owner;
use crate::index::{Batch, Fault, Index};
use crate::storage::identity::StoreId;

/// The index lags behind by at most about so much, when little happens.
const LAG: Duration = Duration::from_secs(1);

/// The runs are not cleared of fewer dead ids.
const LOST_IDS_MIN: u64 = 1024;

/// What is known of the rows that the head vouches for.
pub(crate) struct Indexer {
    store: StoreId,
    pub(crate) applied_lsn: u64,
    /// Hashes of the graph rows, status rows and run rows, by key.
    pub(crate) named: HashMap<Vec<u8>, u64>,
    /// Graphs that have rows.
    pub(crate) graphs: BTreeMap<u32, Weak<GraphCore>>,
    /// Up to which purge their rows say that tombstones are forgotten.
    pub(crate) forgotten: HashMap<u32, u64>,
    /// Dropped graphs that may still have details.
    pub(crate) dropped: Vec<(u32, Weak<GraphCore>)>,
    /// Which chunks share status rows, by graph.
    pub(crate) gone_runs: HashMap<u32, GoneRuns>,
    /// Jobs, about, whose ids and keys may be dead since the runs were last cleared of
    /// dead ones.
    pub(crate) lost_ids: u64,
}

struct LeavingGraph {
    graph: Arc<GraphCore>,
    details: Arc<DetailChanges>,
    chunks: Vec<SavedChunk>,
}

/// What leaves memory in one go: everything up to one LSN.
pub(crate) struct Leaving {
    lsn: u64,
    boot: u64,
    graphs_created: u32,
    graphs: Vec<LeavingGraph>,
}

impl Leaving {
    /// Takes all changes up to this LSN; nothing may change meanwhile.
    pub(crate) fn take(graphs: &Graphs, lsn: u64, boot: u64) -> Leaving {
        let taken = graphs.by_number.values().map(|graph| {
            let mut state = graph.state.write();
            state.leaving = Arc::new(std::mem::take(&mut state.changed));
            let details = state.leaving.clone();
            // A chunk goes with the rows of details that it vouches for.
            for &sequence in details.keys() {
                state.status.touch(sequence);
            }
            LeavingGraph {
                graph: graph.clone(),
                details,
                chunks: state.status.take_dirty(),
            }
        });
        Leaving {
            lsn,
            boot,
            graphs: taken.collect(),
            graphs_created: graphs.created,
        }
    }

    /// Forgets what is in the index now.
    pub(crate) fn left(&self, ids: &ForeignIds) {
        for leaving in &self.graphs {
            leaving.graph.state.write().leaving = Arc::default();
        }
        ids.left();
    }
}

/// The indexer's thread: works whenever it is called or enough time has passed,
/// until the store closes.
pub(crate) fn run(engine: &Engine, calls: &Receiver<()>) {
    loop {
        match calls.recv_timeout(LAG) {
            Err(RecvTimeoutError::Disconnected) => return engine.end_index(),
            Ok(()) | Err(RecvTimeoutError::Timeout) => {
                engine.apply_to_index();
                engine.index_to_disk();
            }
        }
    }
}

impl Engine {
    /// Writes to the index what it does not hold yet.
    pub(crate) fn apply_to_index(&self) {
        let mut indexer = self.indexer.lock();
        if let Some(why) = self.lacks_room_for_index() {
            let moved = self.index_to_memory(&mut indexer, why);
            drop(indexer);
            self.release_index(moved);
            return;
        }
        if !self.index_is_sound() || self.check_files().is_err() {
            return;
        }
        let Some((leaving, lag)) = self.take_leaving(&indexer) else {
            return;
        };
        let Ok(index) = self.index() else {
            return;
        };
        let watched = Watched {
            index: &*index,
            watch: &self.index_watch,
        };
        match indexer.apply(&watched, &self.ids, &leaving) {
            Ok(()) => {
                leaving.left(&self.ids);
                if let Some(folder) = &self.index_folder {
                    folder.restrict();
                }
                self.index_lag.fetch_sub(lag, Ordering::Relaxed);
            }
            // What was to leave stays in memory, so all reads go on.
            Err(fault) => {
                self.index_failed(fault);
                let why = self.lacks_room_for_index();
                let moved = why.map(|why| self.index_to_memory(&mut indexer, why));
                drop((index, indexer));
                if let Some(moved) = moved {
                    self.release_index(moved);
                }
            }
        }
    }

    /// Everything that has changed, at one LSN that is durable: no index is ever
    /// ahead of the log.
    fn take_leaving(&self, indexer: &Indexer) -> Option<(Leaving, u64)> {
        let mut committer = self.hold_committer();
        // A failed sync is noted in the store's health; then nothing leaves.
        let synced = committer.sync(self).is_ok() && !self.has_failed();
        let lsn = committer.log.synced_lsn();
        (synced && lsn > indexer.applied_lsn).then(|| {
            let lag = self.index_lag.load(Ordering::Relaxed);
            (
                Leaving::take(&self.graphs.read(), lsn, self.opening.boot),
                lag,
            )
        })
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
            graphs: BTreeMap::new(),
            forgotten: HashMap::new(),
            dropped: Vec::new(),
            gone_runs: HashMap::new(),
            lost_ids: 0,
        }
    }

    fn name(&mut self, key: &[u8], value: Option<&[u8]>) {
        match value {
            Some(value) => self.named.insert(key.to_vec(), rows::row_hash(key, value)),
            None => self.named.remove(key),
        };
    }

    pub(crate) fn digest(&self) -> u64 {
        self.named.values().fold(0, |digest, hash| digest ^ hash)
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
    ) -> Result<(), Fault> {
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
        self.remove_dropped(&mut writer, leaving)?;
        for LeavingGraph {
            graph,
            details,
            chunks,
        } in &leaving.graphs
        {
            let forgotten_lsn = graph.state.read().forgotten_lsn;
            let known = self.graphs.insert(graph.number, Arc::downgrade(graph));
            let written = self.forgotten.insert(graph.number, forgotten_lsn);
            if known.is_none() || written.unwrap_or(0) != forgotten_lsn {
                let key = rows::graph_key(graph.number);
                let row = GraphRow {
                    number: graph.ids.number(),
                    key: graph.key,
                    project: graph.project.clone(),
                    name: graph.name.clone(),
                    created_ms: graph.created_ms,
                    forgotten_lsn,
                };
                let value = rows::seal_value(&key, &row);
                self.name(&key, Some(&value));
                writer.put(key, value)?;
            }
            let mut changed: Vec<u64> = details.keys().copied().collect();
            changed.sort_unstable();
            let mut changed = changed.as_slice();
            for chunk in chunks {
                let end = (chunk.number + 1) * CHUNK_JOBS;
                let (here, rest) = changed.split_at(changed.partition_point(|&s| s < end));
                changed = rest;
                let mut rows = ChunkRows::make(index, graph, chunk, (here, details))?;
                let runs = self.gone_runs.entry(graph.number).or_default();
                rows.share(graph.number, chunk.number, runs);
                let of_states = rows.rows.iter();
                for (key, value) in of_states.filter(|row| row.0.starts_with(rows::STATUS)) {
                    self.name(key, value.as_deref());
                }
                writer.put_chunk(graph, rows)?;
            }
            debug_assert!(changed.is_empty(), "each change lies in a chunk that goes");
            let reset = details.values().filter(|detail| detail.reset).count();
            self.lost_ids = self.lost_ids.saturating_add(reset as u64);
        }
        self.remove_dead_ids(&mut writer, ids)?;
        let head = self.head(leaving, false);
        writer.batch.put(rows::HEAD.to_vec(), head);
        writer.write_batch()?;
        self.applied_lsn = leaving.lsn;
        Ok(())
    }

    /// Removes what makes a dropped graph a graph, and its details once nobody can
    /// read a page of it any more.
    fn remove_dropped(&mut self, writer: &mut Writer<'_>, leaving: &Leaving) -> Result<(), Fault> {
        let live = |number: u32| leaving.graphs.iter().any(|l| l.graph.number == number);
        let gone: Vec<u32> = self.graphs.keys().copied().filter(|&n| !live(n)).collect();
        for number in gone {
            let key = rows::graph_key(number);
            self.name(&key, None);
            writer.remove(key)?;
            let chunks = self.remove_rows(writer, &rows::status_prefix(number))?;
            self.lost_ids = self.lost_ids.saturating_add(chunks * CHUNK_JOBS);
            self.gone_runs.remove(&number);
            let graph = self.graphs.remove(&number).unwrap_or_default();
            self.dropped.push((number, graph));
        }
        let (kept, gone) = std::mem::take(&mut self.dropped)
            .into_iter()
            .partition(|(_, graph)| graph.strong_count() > 0);
        self.dropped = kept;
        for (number, _) in gone {
            self.remove_rows(writer, &rows::detail_prefix(number))?;
        }
        Ok(())
    }

    /// Takes ids and keys out of the runs whose jobs were purged and have no tombstones,
    /// or whose graphs were dropped, once that may be half of them.
    fn remove_dead_ids(&mut self, writer: &mut Writer<'_>, ids: &ForeignIds) -> Result<(), Fault> {
        let all = ids.runs.count();
        if self.lost_ids < LOST_IDS_MIN.max(all / 2) {
            return Ok(());
        }
        // What is asked about details is in the index by then.
        writer.write_out()?;
        let index = writer.index;
        let graphs: HashMap<u32, Option<Arc<GraphCore>>> = self
            .graphs
            .iter()
            .map(|(&number, graph)| (number, graph.upgrade()))
            .collect();
        let mut is_live = |owner: &Owner| match graphs.get(&owner.graph) {
            Some(Some(graph)) => is_known(index, graph, owner.sequence),
            _ => Ok(false),
        };
        ids.runs
            .retain(index, &mut is_live, &mut |key, value| self.name(key, value))?;
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
            self.name(&key, None);
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
        true => details::read(index, graph, group)?.0[n],
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
        (sequences, changes): (&[u64], &DetailChanges),
    ) -> Result<ChunkRows, Fault> {
        let mut made = ChunkRows {
            rows: vec![Default::default()],
            hashes: Vec::new(),
            is_gone: false,
        };
        let (mut hashes, forgotten_lsn) = {
            let state = graph.state.read();
            (state.details.chunk(chunk.number), state.forgotten_lsn)
        };
        for sequences in sequences.chunk_by(|a, b| a / DETAIL_JOBS == b / DETAIL_JOBS) {
            let group = sequences[0] / DETAIL_JOBS;
            let mut row = details::read(index, graph, group)?;
            for sequence in sequences {
                let detail = &mut row.0[(sequence % DETAIL_JOBS) as usize];
                detail.merge(&changes[sequence]);
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
    fn share(&mut self, graph: u32, chunk: u64, runs: &mut GoneRuns) {
        let changes = match self.is_gone {
            true => {
                self.rows.remove(0);
                runs.insert(chunk)
            }
            false => runs.remove(chunk),
        };
        for (first, chunks) in changes {
            let key = rows::status_key(graph, first);
            let row = chunks.map(|chunks| rows::seal(&key, status::saved_run(chunks)));
            self.rows.push((key, row));
        }
    }
}
