//! [`ChunkDetails`]: what the status rows of a graph record about the rows of details in the index:
//! the hash of each row, and how many jobs of each chunk completed with each outcome.
//!
//! The hashes form a tree: the index's header contains the hash of the status rows, and each
//! status row contains the hashes of the rows of details of its jobs.

use std::collections::{BTreeMap, VecDeque};

use crate::engine::state::outcome_counts::OutcomeCounts;
use crate::engine::state::status::CHUNK_ROWS;
use crate::index::rows::{self, DETAIL_JOBS};

/// The hashes of a chunk's rows; 0 if there is no row.
pub(crate) type ChunkHashes = [u64; CHUNK_ROWS as usize];

/// What is known about the rows of details of a graph without reading them.
#[derive(Default)]
pub(crate) struct ChunkDetails {
    /// The chunks that have rows, in order.
    chunks: VecDeque<KnownChunk>,
    /// The hashes of rows that are being written. While a row is being written, and after its write
    /// has failed, both the old row and the new row are correct.
    writing: BTreeMap<u64, u64>,
}

/// A chunk that has rows of details.
struct KnownChunk {
    number: u64,
    /// The hashes of its rows up to its last row; 0 stands for a missing row.
    hashes: Vec<u64>,
    outcomes: OutcomeCounts,
}

impl ChunkDetails {
    /// The position of a chunk's hashes, or the position at which to insert them.
    fn place(&self, chunk: u64) -> Result<usize, usize> {
        self.chunks
            .binary_search_by_key(&chunk, |known| known.number)
    }

    pub(crate) fn chunk(&self, chunk: u64) -> ChunkHashes {
        let mut hashes = ChunkHashes::default();
        if let Ok(at) = self.place(chunk) {
            let known = &self.chunks[at].hashes;
            hashes[..known.len()].copy_from_slice(known);
        }
        hashes
    }

    /// How many jobs of a chunk completed with each outcome, according to the written rows.
    pub(crate) fn outcomes(&self, chunk: u64) -> OutcomeCounts {
        let at = self.place(chunk).ok();
        at.map_or_else(OutcomeCounts::default, |at| self.chunks[at].outcomes)
    }

    /// Whether a write of any row of a chunk has begun, but is not known to have succeeded.
    pub(crate) fn is_being_written(&self, chunk: u64) -> bool {
        let rows = chunk * CHUNK_ROWS..(chunk + 1) * CHUNK_ROWS;
        self.writing.range(rows).next().is_some()
    }

    /// Records the counts of a chunk, after its rows were written.
    pub(crate) fn set_outcomes(&mut self, chunk: u64, outcomes: OutcomeCounts) {
        // Without rows, there is nothing to count.
        if let Ok(at) = self.place(chunk) {
            self.chunks[at].outcomes = outcomes;
        }
    }

    /// The hashes that the row of a group may have.
    pub(crate) fn allowed(&self, group: u64) -> [u64; 2] {
        let n = (group % CHUNK_ROWS) as usize;
        let at = self.place(group / CHUNK_ROWS).ok();
        let known = at
            .and_then(|at| self.chunks[at].hashes.get(n).copied())
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

    fn insert(&mut self, at: usize, chunk: KnownChunk) {
        if self.chunks.is_empty() {
            // Most graphs are small.
            self.chunks.reserve_exact(1);
        }
        self.chunks.insert(at, chunk);
    }

    /// Records that a row was written.
    pub(crate) fn written(&mut self, group: u64, hash: u64) {
        self.writing.remove(&group);
        let (chunk, n) = (group / CHUNK_ROWS, (group % CHUNK_ROWS) as usize);
        let at = match self.place(chunk) {
            Ok(at) => at,
            Err(_) if hash == 0 => return,
            Err(at) => {
                let known = KnownChunk {
                    number: chunk,
                    hashes: Vec::new(),
                    outcomes: OutcomeCounts::default(),
                };
                self.insert(at, known);
                at
            }
        };
        let hashes = &mut self.chunks[at].hashes;
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

    /// Restores what the status row of a chunk of `jobs` jobs records.
    pub(crate) fn restore(&mut self, chunk: u64, jobs: u64, bytes: &[u8]) -> Option<()> {
        let hashes = jobs.div_ceil(DETAIL_JOBS) as usize * 8;
        let (hashes, outcomes) = bytes.split_at_checked(hashes)?;
        let outcomes = OutcomeCounts::parse(outcomes)?;
        let hashes = hashes.chunks_exact(8).map(|bytes| {
            let mut eight = [0; 8];
            eight.copy_from_slice(bytes);
            u64::from_le_bytes(eight)
        });
        let mut hashes: Vec<u64> = hashes.collect();
        let rows = hashes.iter().rposition(|&hash| hash != 0);
        hashes.truncate(rows.map_or(0, |last| last + 1));
        if !hashes.is_empty() {
            hashes.shrink_to_fit();
            let at = self.place(chunk).err()?;
            let known = KnownChunk {
                number: chunk,
                hashes,
                outcomes,
            };
            self.insert(at, known);
        }
        Some(())
    }
}

/// Appends the hashes and counts of a chunk of `jobs` jobs, as its status row stores them.
pub(crate) fn put(
    (hashes, outcomes): (&ChunkHashes, &OutcomeCounts),
    jobs: u64,
    out: &mut Vec<u8>,
) {
    for hash in &hashes[..jobs.div_ceil(DETAIL_JOBS) as usize] {
        out.extend_from_slice(&hash.to_le_bytes());
    }
    outcomes.put(out);
}

/// The hash of this row; 0 is reserved for a missing row.
pub(crate) fn hash(key: &[u8], value: &[u8]) -> u64 {
    rows::row_hash(key, value).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::rows::{Detail, DetailRow, Finished};

    #[test]
    fn hashes_and_counts_come_back_for_as_many_jobs_as_there_are() {
        let mut row = DetailRow::default();
        let finished = Finished {
            at_ms: 1,
            age_ms: 1,
            kind: 3,
            open_number: 0,
            extra_lsn: 0,
        };
        row.0[5] = Detail {
            finished: Some(finished),
            ..Detail::default()
        };
        let mut outcomes = OutcomeCounts::default();
        outcomes.add(&row);
        let mut saved = ChunkDetails::default();
        saved.set_outcomes(1, outcomes);
        assert_eq!(saved.outcomes(1).total(), 0, "a chunk without rows");
        saved.written(CHUNK_ROWS, 5);
        saved.written(CHUNK_ROWS + 2, 6);
        saved.set_outcomes(1, outcomes);
        let mut bytes = Vec::new();
        put(
            (&saved.chunk(1), &outcomes),
            2 * DETAIL_JOBS + 1,
            &mut bytes,
        );
        assert_eq!(bytes.len(), 24 + 16);
        let mut back = ChunkDetails::default();
        assert_eq!(back.restore(1, 2 * DETAIL_JOBS, &bytes), None);
        assert_eq!(back.restore(1, 2 * DETAIL_JOBS + 1, &bytes), Some(()));
        assert_eq!(back.chunk(1), saved.chunk(1));
        assert_eq!(back.outcomes(1), outcomes);
        assert_eq!(back.chunk(0), ChunkHashes::default());
        assert_eq!(back.outcomes(9).total(), 0);
        outcomes.subtract(&row);
        assert_eq!(outcomes, OutcomeCounts::default());
    }
}
