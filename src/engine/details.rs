//! The rows of details, and what vouches for them.
//!
//! Owns: [`DetailHashes`], the hash of every row of details that the index was given;
//! reading such a row. Must not know: what becomes of a row that is not the one.
//! Promise: a row that is read is the one that was written last, or it is refused: an
//! index that brings an old row back cannot show an old time.
//!
//! It is a tree of hashes: the index's head vouches for the status rows, each status
//! row for the rows of details of its jobs.

use std::collections::{HashMap, VecDeque};

use crate::engine::graph_state::GraphCore;
use crate::engine::status::CHUNK_JOBS;
use crate::index::rows::{self, DETAIL_JOBS, DetailRow};
use crate::index::{Fault, Index};

/// Rows of details whose hashes share a status row.
pub(crate) const CHUNK_ROWS: u64 = CHUNK_JOBS / DETAIL_JOBS;

/// The hashes of a chunk's rows; 0 where there is none.
pub(crate) type ChunkHashes = [u64; CHUNK_ROWS as usize];

/// The hash of every row of details of a graph.
#[derive(Default)]
pub(crate) struct DetailHashes {
    /// Chunks with any, in order, each with its rows up to the last; 0 where there is none.
    chunks: VecDeque<(u64, Vec<u64>)>,
    /// Of rows that are being written: either the old row or this one is right, also
    /// after a write that failed.
    writing: HashMap<u64, u64>,
}

impl DetailHashes {
    /// Where the hashes of a chunk are, or belong.
    fn place(&self, chunk: u64) -> Result<usize, usize> {
        self.chunks.binary_search_by_key(&chunk, |known| known.0)
    }

    pub(crate) fn chunk(&self, chunk: u64) -> ChunkHashes {
        let mut hashes = ChunkHashes::default();
        if let Ok(at) = self.place(chunk) {
            let known = &self.chunks[at].1;
            hashes[..known.len()].copy_from_slice(known);
        }
        hashes
    }

    /// What the row of a group may hash to.
    fn allowed(&self, group: u64) -> [u64; 2] {
        let n = (group % CHUNK_ROWS) as usize;
        let at = self.place(group / CHUNK_ROWS).ok();
        let known = at
            .and_then(|at| self.chunks[at].1.get(n).copied())
            .unwrap_or(0);
        [known, self.writing.get(&group).copied().unwrap_or(known)]
    }

    /// Whether there is a row of a group.
    pub(crate) fn has_row(&self, group: u64) -> bool {
        self.allowed(group) != [0; 2]
    }

    /// Notes that a row is about to be written.
    pub(crate) fn write(&mut self, group: u64, hash: u64) {
        self.writing.insert(group, hash);
    }

    /// Notes that a row was written.
    pub(crate) fn written(&mut self, group: u64, hash: u64) {
        self.writing.remove(&group);
        if self.writing.is_empty() {
            // Most graphs seldom change.
            self.writing = HashMap::new();
        }
        let (chunk, n) = (group / CHUNK_ROWS, (group % CHUNK_ROWS) as usize);
        let at = match self.place(chunk) {
            Ok(at) => at,
            Err(_) if hash == 0 => return,
            Err(at) => {
                if self.chunks.is_empty() {
                    // Most graphs are small.
                    self.chunks.reserve_exact(1);
                }
                self.chunks.insert(at, (chunk, Vec::new()));
                at
            }
        };
        let hashes = &mut self.chunks[at].1;
        if hashes.len() <= n {
            hashes.reserve_exact(n + 1 - hashes.len());
            hashes.resize(n + 1, 0);
        }
        hashes[n] = hash;
        let last = hashes.iter().rposition(|&hash| hash != 0);
        hashes.truncate(last.map_or(0, |last| last + 1));
        if hashes.is_empty() {
            self.chunks.remove(at);
        }
    }

    /// Takes the hashes of a chunk of so many jobs from its status row.
    pub(crate) fn restore(&mut self, chunk: u64, jobs: u64, bytes: &[u8]) -> Option<()> {
        if bytes.len() as u64 != jobs.div_ceil(DETAIL_JOBS) * 8 {
            return None;
        }
        for (n, bytes) in bytes.chunks_exact(8).enumerate() {
            let hash = u64::from_le_bytes(bytes.try_into().ok()?);
            self.written(chunk * CHUNK_ROWS + n as u64, hash);
        }
        Some(())
    }
}

/// Appends the hashes of a chunk of so many jobs, as they stand in its status row.
pub(crate) fn put_hashes(hashes: &ChunkHashes, jobs: u64, out: &mut Vec<u8>) {
    for hash in &hashes[..jobs.div_ceil(DETAIL_JOBS) as usize] {
        out.extend_from_slice(&hash.to_le_bytes());
    }
}

/// What vouches for this row; 0 is kept for a row that is not there.
pub(crate) fn hash(key: &[u8], value: &[u8]) -> u64 {
    rows::row_hash(key, value).max(1)
}

/// How often in a row another row than the right one is read, with nothing written
/// meanwhile, before it is taken for an old one.
const READS: u32 = 4;

/// Reads the row of a group, and refuses another one than was written last.
///
/// This takes no lock that the indexer holds: a commit reads rows too, and the indexer waits
/// for commits. A row that is rewritten meanwhile is read again.
pub(crate) fn read(index: &dyn Index, graph: &GraphCore, group: u64) -> Result<DetailRow, Fault> {
    let key = rows::detail_key(graph.number, group);
    let look = || graph.state.read().details.allowed(group);
    let (mut allowed, mut reads) = (look(), 0);
    loop {
        let value = index.get(&key)?;
        let found = value.as_ref().map_or(0, |value| hash(&key, value));
        if allowed.contains(&found) {
            let Some(value) = value else {
                return Ok(DetailRow::default());
            };
            let row = rows::open(&key, &value).and_then(DetailRow::decode);
            return row.ok_or_else(|| Fault("a row of details is not valid".to_owned()));
        }
        let now = look();
        reads = if now == allowed { reads + 1 } else { 0 };
        if reads == READS {
            let number = graph.number;
            return Err(Fault(format!(
                "row {group} of the details of graph {number} is missing or an old one"
            )));
        }
        allowed = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Batch;
    use crate::index::memory::MemoryIndex;
    use crate::index::rows::Detail;

    fn sealed(key: &[u8], started_ms: u64) -> Vec<u8> {
        let mut row = DetailRow::default();
        row.0[3] = Detail {
            started_ms: Some(started_ms),
            ..Detail::default()
        };
        rows::seal(key, row.encode())
    }

    #[test]
    fn only_the_row_that_was_written_last_is_read() {
        let graph = GraphCore::new(7, ("p", "g"), (1, [2, 3]), 0);
        let index = MemoryIndex::default();
        let group = CHUNK_ROWS + 1;
        let key = rows::detail_key(7, group);
        let put = |value: Option<Vec<u8>>| {
            let mut batch = Batch::default();
            match value {
                Some(value) => batch.put(key.clone(), value),
                None => batch.remove(key.clone()),
            }
            index.write(&batch).unwrap();
        };
        let started = || {
            let row = read(&index, &graph, group).ok();
            row.map(|row| row.0[3].started_ms)
        };
        let (old, new) = (sealed(&key, 1), sealed(&key, 2));
        assert_eq!(started(), Some(None));
        put(Some(old.clone()));
        assert_eq!(started(), None, "a row that was never written");
        let mut state = graph.state.write();
        state.details.written(group, hash(&key, &old));
        // While it is written, and after a write that failed, either is right.
        state.details.write(group, hash(&key, &new));
        drop(state);
        assert_eq!(started(), Some(Some(1)));
        put(Some(new.clone()));
        assert_eq!(started(), Some(Some(2)));
        let mut state = graph.state.write();
        state.details.written(group, hash(&key, &new));
        drop(state);
        assert_eq!(started(), Some(Some(2)));
        put(Some(old));
        assert_eq!(started(), None, "the old row");
        put(None);
        assert_eq!(started(), None, "no row");
    }

    #[test]
    fn hashes_come_back_for_as_many_jobs_as_there_are() {
        let mut saved = DetailHashes::default();
        saved.written(CHUNK_ROWS, 5);
        saved.written(CHUNK_ROWS + 2, 6);
        let mut bytes = Vec::new();
        put_hashes(&saved.chunk(1), 2 * DETAIL_JOBS + 1, &mut bytes);
        assert_eq!(bytes.len(), 24);
        let mut back = DetailHashes::default();
        assert_eq!(back.restore(1, 2 * DETAIL_JOBS, &bytes), None);
        assert_eq!(back.restore(1, 2 * DETAIL_JOBS + 1, &bytes), Some(()));
        assert_eq!(back.chunk(1), saved.chunk(1));
        assert_eq!(back.chunk(0), ChunkHashes::default());
        assert_eq!(back.chunk(9), ChunkHashes::default());
    }
}
