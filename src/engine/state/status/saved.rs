//! Saved chunks: the changes since the last write to the index, and restoring them.

use super::StatusColumn;
use super::chunk::{CHUNK_JOBS, CHUNK_WORDS, Chunk, REMOVED};
use super::word::WORD_JOBS;
use crate::engine::state::outcome_counts::SAVED_COUNTS_WORDS;
use crate::index::rows::DETAIL_JOBS;

/// The number of rows of details whose hashes share a status row.
pub(crate) const CHUNK_ROWS: u64 = CHUNK_JOBS / DETAIL_JOBS;

/// Marks a saved chunk whose jobs are all gone. No words follow.
const ALL_GONE: u16 = 1 << 15;

/// If a row represents more gone jobs than this, it is considered damaged, because restoring these
/// jobs could take too much memory.
const RESTORED_JOBS_MAX: u64 = 1 << 34;

/// A chunk as it is saved.
#[derive(Clone)]
pub(crate) struct SavedChunk {
    pub(crate) number: u64,
    pub(crate) jobs: u64,
    pub(crate) bytes: Vec<u8>,
    /// Whether the chunk is full and all its jobs are gone.
    pub(crate) is_removed: bool,
}

/// The maximum number of words in a saved chunk, including the hashes and counts that follow.
pub(crate) const SAVED_WORDS_MAX: u64 = CHUNK_WORDS as u64 + CHUNK_ROWS + SAVED_COUNTS_WORDS;

impl StatusColumn {
    /// Whether any chunk has changed since it was last taken.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Takes the chunks that changed since they were last taken.
    pub(crate) fn take_dirty(&mut self) -> Vec<SavedChunk> {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        let mut taken = Vec::with_capacity(dirty.len());
        for n in dirty {
            let chunk = self.chunks.get_mut(n as usize);
            if let Some(chunk) = chunk {
                chunk.dirty = false;
                let jobs = (self.len - u64::from(n) * CHUNK_JOBS).min(CHUNK_JOBS);
                let used = jobs.div_ceil(WORD_JOBS) as usize;
                let mut bytes = Vec::with_capacity(2 + used * 8);
                let removed = if chunk.is_removed() { ALL_GONE } else { 0 };
                bytes.extend_from_slice(&(jobs as u16 | removed).to_le_bytes());
                for word in chunk.words.iter().flat_map(|words| &words[..used]) {
                    bytes.extend_from_slice(&word.to_le_bytes());
                }
                taken.push(SavedChunk {
                    number: u64::from(n),
                    jobs,
                    bytes,
                    is_removed: chunk.is_removed(),
                });
            }
        }
        taken
    }

    /// Adds a saved chunk after the existing ones, and returns the number of its jobs and the bytes
    /// that follow. Returns `None` if the saved chunk is not the next one.
    pub(crate) fn restore<'a>(&mut self, number: u64, bytes: &'a [u8]) -> Option<(u64, &'a [u8])> {
        let (head, words) = bytes.split_at_checked(2)?;
        let head = u16::from_le_bytes([head[0], head[1]]);
        let jobs = u64::from(head & !ALL_GONE);
        let fits =
            number.checked_mul(CHUNK_JOBS) == Some(self.len) && (1..=CHUNK_JOBS).contains(&jobs);
        if !fits {
            return None;
        }
        let mut chunk = Chunk::empty();
        let rest = match head & ALL_GONE {
            0 => chunk.restore(jobs, words)?,
            _ if jobs != CHUNK_JOBS => return None,
            _ => {
                chunk.words = None;
                chunk.counts[REMOVED as usize] = jobs as u32;
                if self.removed == self.chunks.len() {
                    self.removed += 1;
                }
                words
            }
        };
        for (total, count) in self.totals.iter_mut().zip(chunk.counts) {
            *total += u64::from(count);
        }
        self.push_chunk(chunk);
        self.len += jobs;
        Some((jobs, rest))
    }

    /// Adds a run of saved chunks whose jobs are all gone. Returns `None` if the run is not the
    /// next one.
    pub(crate) fn restore_removed(&mut self, number: u64, chunks: u64) -> Option<()> {
        let end = number.checked_add(chunks)?.checked_mul(CHUNK_JOBS)?;
        let fits = number.checked_mul(CHUNK_JOBS) == Some(self.len);
        if !fits || chunks == 0 || end > RESTORED_JOBS_MAX {
            return None;
        }
        let (first, dirty) = (self.chunks.len(), self.dirty.len());
        self.extend_removed(end);
        let restored = self.chunks.iter_mut().skip(first);
        restored.for_each(|chunk| chunk.dirty = false);
        self.dirty.truncate(dirty);
        Some(())
    }
}

/// The saved form of a run of chunks whose jobs are all gone.
pub(crate) fn saved_run(chunks: u64) -> Vec<u8> {
    [&ALL_GONE.to_le_bytes()[..], &chunks.to_le_bytes()].concat()
}

/// How many chunks a saved run represents; `None` if this is a different kind of row.
pub(crate) fn run_of(saved: &[u8]) -> Option<u64> {
    let chunks = saved.strip_prefix(&ALL_GONE.to_le_bytes())?;
    Some(u64::from_le_bytes(chunks.try_into().ok()?))
}
