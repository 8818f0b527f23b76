//! The states of a graph's jobs, two bits each, used as the index of lists.
//!
//! Keeps counts by state, and finds the job at an offset. The cost of a page depends only on the
//! jobs that it returns, not on those before it: the totals are kept up to date, and the n-th match
//! is found by adding up the counts of chunks, and then of words.

mod chunk;
mod saved;
mod search;
mod selection;
#[cfg(test)]
mod tests;
mod word;

use std::ops::Range;

pub(crate) use self::chunk::CHUNK_JOBS;
use self::chunk::{Chunk, REMOVED, place};
pub(crate) use self::saved::{CHUNK_ROWS, SAVED_WORDS_MAX, SavedChunk, run_of, saved_run};
pub(crate) use self::selection::Selection;
use self::word::{EVERY_LOW_BIT, WORD_JOBS};
use crate::engine::state::removed_jobs::RemovedJobs;
use crate::model::states::{State, States, code, state_of};

/// The states of the jobs with the numbers from 0 to `len` (exclusive).
#[derive(Default)]
pub(crate) struct StatusColumn {
    chunks: Vec<Chunk>,
    /// The number of leading chunks that have no jobs left.
    removed: usize,
    len: u64,
    totals: [u64; 4],
    /// The numbers of the dirty chunks.
    dirty: Vec<u32>,
}

impl StatusColumn {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn total(&self, states: States) -> u64 {
        (0..3)
            .filter(|code| states.bits() & (1 << code) != 0)
            .map(|code| self.totals[code])
            .sum()
    }

    /// Adds a pending job and returns its number.
    pub(crate) fn push(&mut self) -> u64 {
        let sequence = self.len;
        if sequence % CHUNK_JOBS == 0 {
            self.push_chunk(Chunk::empty());
        }
        self.len += 1;
        self.totals[0] += 1;
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.counts[0] += 1;
            if let (Some(words), 0) = (&mut chunk.words, sequence % WORD_JOBS) {
                words.push(0);
            }
        }
        self.touch(sequence);
        sequence
    }

    pub(crate) fn get(&self, sequence: u64) -> Option<State> {
        if sequence >= self.len {
            return None;
        }
        let (chunk, word, shift) = place(sequence);
        let words = self.chunks[chunk].words.as_ref()?;
        state_of((words[word] >> shift) & 3)
    }

    /// Whether a job with this number existed and is no longer listed.
    pub(crate) fn is_removed(&self, sequence: u64) -> bool {
        sequence < self.len && self.get(sequence).is_none()
    }

    /// Changes the state of an existing job. A job that is gone stays gone.
    pub(crate) fn set(&mut self, sequence: u64, state: State) {
        self.set_code(sequence, code(state));
    }

    /// Permanently removes a job from all lists; its number stays taken.
    pub(crate) fn set_removed(&mut self, sequence: u64) {
        self.set_code(sequence, REMOVED);
    }

    fn set_code(&mut self, sequence: u64, new: u64) {
        if sequence >= self.len {
            return;
        }
        let (number, word, shift) = place(sequence);
        let chunk = &mut self.chunks[number];
        let Some(words) = &mut chunk.words else {
            return;
        };
        let old = (words[word] >> shift) & 3;
        if old == REMOVED {
            return;
        }
        words[word] = (words[word] & !(3 << shift)) | (new << shift);
        let (old, new) = (old as usize, new as usize);
        chunk.counts[old] -= 1;
        chunk.counts[new] += 1;
        if !std::mem::replace(&mut chunk.dirty, true) {
            self.dirty.push(number as u32);
        }
        self.totals[old] -= 1;
        self.totals[new] += 1;
        if u64::from(chunk.counts[REMOVED as usize]) == CHUNK_JOBS {
            chunk.words = None;
            while self.chunks.get(self.removed).is_some_and(Chunk::is_removed) {
                self.removed += 1;
            }
        }
    }

    /// A column of `jobs` jobs that are all gone.
    pub(crate) fn all_removed(jobs: u64) -> StatusColumn {
        let mut column = StatusColumn::default();
        column.extend_removed(jobs);
        column
    }

    /// Adds jobs that are gone, until there are `len` jobs in total.
    pub(crate) fn extend_removed(&mut self, len: u64) {
        while self.len < len {
            if self.len % CHUNK_JOBS == 0 && len - self.len >= CHUNK_JOBS {
                if self.removed == self.chunks.len() {
                    self.removed += 1;
                }
                self.push_chunk(Chunk::all_removed());
                self.touch(self.len);
                self.len += CHUNK_JOBS;
                self.totals[REMOVED as usize] += CHUNK_JOBS;
            } else {
                let sequence = self.push();
                self.set_removed(sequence);
            }
        }
    }

    /// Permanently removes jobs from all lists.
    pub(crate) fn set_range_removed(&mut self, range: Range<u64>) {
        let (mut at, end) = (range.start, range.end.min(self.len));
        while at < end {
            let chunk = &self.chunks[(at / CHUNK_JOBS) as usize];
            let chunk_end = (at / CHUNK_JOBS + 1) * CHUNK_JOBS;
            if chunk.is_removed() {
                at = chunk_end;
                continue;
            }
            let until = chunk_end.min(end);
            (at..until).for_each(|sequence| self.set_removed(sequence));
            at = until;
        }
    }

    /// How many jobs are no longer listed.
    pub(crate) fn removed_total(&self) -> u64 {
        self.totals[REMOVED as usize]
    }

    /// How many jobs of a range are no longer listed.
    pub(crate) fn removed_in(&self, range: Range<u64>) -> u64 {
        let (mut at, end, mut removed) = (range.start, range.end.min(self.len), 0);
        while at < end {
            let (n, word, shift) = place(at);
            let chunk = &self.chunks[n];
            let chunk_end = (n as u64 + 1) * CHUNK_JOBS;
            if at % CHUNK_JOBS == 0 && (chunk_end <= end || chunk.is_removed()) {
                removed += u64::from(chunk.counts[REMOVED as usize]).min(end - at);
                at = chunk_end;
                continue;
            }
            let jobs = (WORD_JOBS - at % WORD_JOBS).min(end - at);
            removed += match &chunk.words {
                None => jobs,
                Some(words) => {
                    // Both bits of a job that is gone are set.
                    let word = words[word] >> shift;
                    let both = word & (word >> 1) & EVERY_LOW_BIT;
                    let kept = both & u64::MAX.checked_shr(64 - 2 * jobs as u32).unwrap_or(0);
                    u64::from(kept.count_ones())
                }
            };
            at += jobs;
        }
        removed
    }

    /// The jobs of a range that are no longer listed.
    pub(crate) fn removed(&self, range: Range<u64>) -> RemovedJobs {
        let mut words = vec![0; (range.end - range.start).div_ceil(64) as usize];
        for (n, sequence) in range.clone().enumerate() {
            words[n / 64] |= u64::from(self.is_removed(sequence)) << (n % 64);
        }
        RemovedJobs {
            first: range.start,
            words,
        }
    }

    /// How many jobs of a chunk are in one of these states.
    pub(crate) fn total_in_chunk(&self, chunk: u64, states: States) -> u64 {
        let chunk = self.chunks.get(chunk as usize);
        chunk.map_or(0, |chunk| chunk::count(states, &chunk.counts))
    }

    fn push_chunk(&mut self, chunk: Chunk) {
        if self.chunks.is_empty() {
            // Most graphs are small.
            self.chunks.reserve_exact(1);
        }
        self.chunks.push(chunk);
    }

    /// Marks the chunk of this job as dirty, although the job's state did not change.
    pub(crate) fn touch(&mut self, sequence: u64) {
        let number = (sequence / CHUNK_JOBS) as usize;
        if let Some(chunk) = self.chunks.get_mut(number) {
            if !std::mem::replace(&mut chunk.dirty, true) {
                self.dirty.push(number as u32);
            }
        }
    }
}
