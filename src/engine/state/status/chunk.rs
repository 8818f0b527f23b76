//! A chunk: the states of 4,096 jobs, and how many jobs are in each state.

use super::word::{EVERY_LOW_BIT, WORD_JOBS};
use crate::model::states::States;

/// The number of words in a chunk.
pub(super) const CHUNK_WORDS: usize = 128;

/// The number of jobs whose states share a chunk. A chunk is the unit of counting and saving.
pub(crate) const CHUNK_JOBS: u64 = WORD_JOBS * CHUNK_WORDS as u64;

/// The code of jobs that are no longer listed.
pub(super) const REMOVED: u64 = 3;

#[derive(Clone)]
pub(super) struct Chunk {
    /// The words of the chunk's jobs, as many as are needed; `None` once all jobs are gone.
    pub(super) words: Option<Vec<u64>>,
    pub(super) counts: [u32; 4],
    /// Whether it has changed since it was last saved.
    pub(super) dirty: bool,
}

impl Chunk {
    pub(super) fn empty() -> Chunk {
        Chunk {
            words: Some(Vec::new()),
            counts: [0; 4],
            dirty: false,
        }
    }

    /// A full chunk of jobs that are gone.
    pub(super) fn all_removed() -> Chunk {
        let mut counts = [0; 4];
        counts[REMOVED as usize] = CHUNK_JOBS as u32;
        Chunk {
            words: None,
            counts,
            dirty: false,
        }
    }

    pub(super) fn is_removed(&self) -> bool {
        self.words.is_none()
    }

    /// Restores the words of `jobs` jobs from the saved bytes, and returns the bytes after
    /// them.
    pub(super) fn restore<'a>(&mut self, jobs: u64, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (saved, rest) = bytes.split_at_checked(jobs.div_ceil(WORD_JOBS) as usize * 8)?;
        let words = self.words.as_mut()?;
        words.reserve_exact(saved.len() / 8);
        words.extend(saved.chunks_exact(8).map(|bytes| {
            let mut eight = [0; 8];
            eight.copy_from_slice(bytes);
            u64::from_le_bytes(eight)
        }));
        // The bits of jobs that do not exist yet must be zero.
        let (_, last, shift) = place(jobs - 1);
        if words[last].checked_shr(shift + 2).unwrap_or(0) != 0 {
            return None;
        }
        for &word in words.iter() {
            let (low, high) = (word & EVERY_LOW_BIT, (word >> 1) & EVERY_LOW_BIT);
            self.counts[1] += (low & !high).count_ones();
            self.counts[2] += (high & !low).count_ones();
            self.counts[3] += (low & high).count_ones();
        }
        // The code of all other jobs is zero.
        self.counts[0] = jobs as u32 - self.counts[1..].iter().sum::<u32>();
        Some(rest)
    }
}

pub(super) fn count(states: States, counts: &[u32; 4]) -> u64 {
    (0..3)
        .filter(|code| states.bits() & (1 << code) != 0)
        .map(|code| u64::from(counts[code]))
        .sum()
}

/// Chunk, word and shift of a job's two bits.
pub(super) fn place(sequence: u64) -> (usize, usize, u32) {
    (
        (sequence / CHUNK_JOBS) as usize,
        (sequence % CHUNK_JOBS / WORD_JOBS) as usize,
        (sequence % WORD_JOBS) as u32 * 2,
    )
}
