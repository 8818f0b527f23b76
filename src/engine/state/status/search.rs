//! Finds the jobs at an offset of a list.

use super::StatusColumn;
use super::chunk::{CHUNK_JOBS, count};
use super::selection::{SelectedWord, Selection};
use super::word::{WORD_JOBS, matches};
use crate::model::states::States;

impl StatusColumn {
    /// Selects jobs in these states, starting at number `from`: skips `offset` of them, then
    /// selects at most `limit`.
    pub(crate) fn select(&self, states: States, from: u64, offset: u64, limit: u64) -> Selection {
        let mut selection = Selection {
            words: Vec::with_capacity(self.words_of_neighbors(states, limit)),
            len: 0,
        };
        let mut skip = offset;
        let first_chunk = ((from / CHUNK_JOBS) as usize).max(self.removed);
        for (n, chunk) in self.chunks.iter().enumerate().skip(first_chunk) {
            let chunk_first = n as u64 * CHUNK_JOBS;
            let in_chunk = count(states, &chunk.counts);
            if in_chunk == 0 || (chunk_first >= from && in_chunk <= skip) {
                skip -= in_chunk.min(skip);
                continue;
            }
            let words = chunk.words.as_deref().unwrap_or_default().iter();
            let before = from.saturating_sub(chunk_first) / WORD_JOBS;
            for (w, &word) in words.enumerate().skip(before as usize) {
                let first = chunk_first + w as u64 * WORD_JOBS;
                if first >= self.len {
                    break;
                }
                let mut selected = matches(states, word) & self.existing(first);
                if first < from {
                    selected &= u32::MAX << (from - first);
                }
                let matches = u64::from(selected.count_ones());
                if matches <= skip {
                    skip -= matches;
                    continue;
                }
                for _ in 0..std::mem::take(&mut skip) {
                    selected &= selected - 1;
                }
                let left = limit - selection.len;
                while u64::from(selected.count_ones()) > left {
                    selected ^= 1 << (31 - selected.leading_zeros());
                }
                if selected != 0 {
                    selection.len += u64::from(selected.count_ones());
                    selection.words.push(SelectedWord {
                        first,
                        states: word,
                        selected,
                    });
                }
                if selection.len == limit {
                    return selection;
                }
            }
        }
        selection
    }

    /// Like [`StatusColumn::select`], but in reverse: of the jobs in these states before number
    /// `until`, skips the last `offset`, and then selects at most the last `limit` of the others.
    pub(crate) fn select_back(
        &self,
        states: States,
        until: u64,
        offset: u64,
        limit: u64,
    ) -> Selection {
        let mut words = Vec::with_capacity(self.words_of_neighbors(states, limit));
        let (mut skip, mut left) = (offset, limit);
        let chunks = self.chunks.iter().enumerate().rev();
        for (n, chunk) in chunks {
            let chunk_first = n as u64 * CHUNK_JOBS;
            let in_chunk = count(states, &chunk.counts);
            let is_before = chunk_first + CHUNK_JOBS <= until;
            if in_chunk == 0 || chunk_first >= until || (is_before && in_chunk <= skip) {
                skip -= if is_before { in_chunk.min(skip) } else { 0 };
                continue;
            }
            let chunk_words = chunk
                .words
                .iter()
                .flat_map(|words| words.iter().enumerate());
            for (w, &word) in chunk_words.rev() {
                let first = chunk_first + w as u64 * WORD_JOBS;
                if first >= self.len || first >= until {
                    continue;
                }
                let mut selected = matches(states, word) & self.existing(first);
                if until - first < WORD_JOBS {
                    selected &= (1 << (until - first)) - 1;
                }
                let matches = u64::from(selected.count_ones());
                if matches <= skip {
                    skip -= matches;
                    continue;
                }
                for _ in 0..std::mem::take(&mut skip) {
                    selected ^= 1 << (31 - selected.leading_zeros());
                }
                while u64::from(selected.count_ones()) > left {
                    selected &= selected - 1;
                }
                if selected != 0 {
                    left -= u64::from(selected.count_ones());
                    words.push(SelectedWord {
                        first,
                        states: word,
                        selected,
                    });
                }
                if left == 0 {
                    break;
                }
            }
            if left == 0 {
                break;
            }
        }
        words.reverse();
        Selection {
            words,
            len: limit - left,
        }
    }

    /// The number of words of a selection, if the selected jobs are neighbors. A selection grows only
    /// if they are not: a state is locked while its jobs are selected.
    fn words_of_neighbors(&self, states: States, limit: u64) -> usize {
        let jobs = limit.min(self.total(states));
        (jobs.div_ceil(WORD_JOBS) + u64::from(jobs > 0)) as usize
    }

    /// A mask in which a bit is set for each job of this word that exists.
    fn existing(&self, first: u64) -> u32 {
        match self.len.saturating_sub(first) {
            n if n >= WORD_JOBS => u32::MAX,
            n => (1u32 << n) - 1,
        }
    }
}
