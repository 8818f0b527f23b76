//! [`DetailHashes`]: the hash of every row of details in the index.
//!
//! The hashes form a tree: the index's header contains the hash of the status rows, and each
//! status row contains the hashes of the rows of details of its jobs.

use std::collections::{BTreeMap, VecDeque};

use crate::engine::state::status::CHUNK_ROWS;
use crate::index::rows::{self, DETAIL_JOBS};

/// The hashes of a chunk's rows; 0 if there is no row.
pub(crate) type ChunkHashes = [u64; CHUNK_ROWS as usize];

/// The hash of every row of details of a graph.
#[derive(Default)]
pub(crate) struct DetailHashes {
    /// The chunks that have rows, in order, each with the hashes of its rows up to its last row; 0
    /// stands for a missing row.
    chunks: VecDeque<(u64, Vec<u64>)>,
    /// The hashes of rows that are being written. While a row is being written, and after its write
    /// has failed, both the old row and the new row are correct.
    writing: BTreeMap<u64, u64>,
}

impl DetailHashes {
    /// The position of a chunk's hashes, or the position at which to insert them.
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

    /// The hashes that the row of a group may have.
    pub(crate) fn allowed(&self, group: u64) -> [u64; 2] {
        let n = (group % CHUNK_ROWS) as usize;
        let at = self.place(group / CHUNK_ROWS).ok();
        let known = at
            .and_then(|at| self.chunks[at].1.get(n).copied())
            .unwrap_or(0);
        [known, self.writing.get(&group).copied().unwrap_or(known)]
    }

    /// Whether a group has a row.
    pub(crate) fn has_row(&self, group: u64) -> bool {
        self.allowed(group) != [0; 2]
    }

    /// Records that a row is about to be written.
    pub(crate) fn write(&mut self, group: u64, hash: u64) {
        self.writing.insert(group, hash);
    }

    /// Records that a row was written.
    pub(crate) fn written(&mut self, group: u64, hash: u64) {
        self.writing.remove(&group);
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

    /// Restores the hashes of a chunk of `jobs` jobs from its status row.
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

/// Appends the hashes of a chunk of `jobs` jobs, as its status row stores them.
pub(crate) fn put_hashes(hashes: &ChunkHashes, jobs: u64, out: &mut Vec<u8>) {
    for hash in &hashes[..jobs.div_ceil(DETAIL_JOBS) as usize] {
        out.extend_from_slice(&hash.to_le_bytes());
    }
}

/// The hash of this row; 0 is reserved for a missing row.
pub(crate) fn hash(key: &[u8], value: &[u8]) -> u64 {
    rows::row_hash(key, value).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

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
