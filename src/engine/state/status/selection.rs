//! The jobs that a page shows.
//!
//! [`Selection`] contains the jobs and their states, in words of 32. It is a copy, and therefore a
//! snapshot of one instant; it takes less than one byte per job if neighboring jobs are selected.

use std::ops::Range;

use super::word::{ALL_COMPLETE, WORD_JOBS};
use crate::model::states::{State, state_of};

/// Jobs and their states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(super) words: Vec<SelectedWord>,
    /// How many jobs are selected.
    pub(crate) len: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SelectedWord {
    /// The sequence number of its first job.
    pub(super) first: u64,
    pub(super) states: u64,
    /// A bit for each job.
    pub(super) selected: u32,
}

impl Selection {
    /// The first selected job.
    pub(crate) fn first(&self) -> Option<u64> {
        self.word(0)
    }

    /// The selected jobs, in order.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = u64> + '_ {
        self.words.iter().flat_map(|word| {
            let bits = (0..WORD_JOBS).filter(|n| word.selected >> n & 1 == 1);
            bits.map(|n| word.first + n)
        })
    }

    /// Returns the selection without the unwanted jobs.
    pub(crate) fn only(mut self, is_wanted: impl Fn(u64) -> bool) -> Selection {
        self.len = 0;
        for word in &mut self.words {
            for n in 0..WORD_JOBS {
                if word.selected >> n & 1 == 1 && !is_wanted(word.first + n) {
                    word.selected &= !(1 << n);
                }
            }
            self.len += u64::from(word.selected.count_ones());
        }
        self.words.retain(|word| word.selected != 0);
        self
    }

    /// The selected jobs in these ranges. The ranges are in ascending order.
    pub(crate) fn within(&self, ranges: &[Range<u64>]) -> Selection {
        let mut within = Selection::default();
        for range in ranges {
            let words = self.words.iter().skip(self.place(range.start));
            for word in words.take_while(|word| word.first < range.end) {
                let mut selected = word.selected;
                if word.first < range.start {
                    selected &= u32::MAX << (range.start - word.first);
                }
                if range.end - word.first < WORD_JOBS {
                    selected &= (1 << (range.end - word.first)) - 1;
                }
                if selected == 0 {
                    continue;
                }
                within.len += u64::from(selected.count_ones());
                match within.words.last_mut() {
                    Some(last) if last.first == word.first => last.selected |= selected,
                    _ => within.words.push(SelectedWord { selected, ..*word }),
                }
            }
        }
        within
    }

    /// Adds jobs that follow all selected ones.
    pub(crate) fn append(&mut self, later: Selection) {
        self.words.extend(later.words);
        self.len += later.len;
    }

    /// The last selected job.
    pub(crate) fn last(&self) -> Option<u64> {
        let word = self.words.last()?;
        Some(word.first + 31 - u64::from(word.selected.leading_zeros()))
    }

    /// The first selected job of the n-th word.
    pub(crate) fn word(&self, n: usize) -> Option<u64> {
        let word = self.words.get(n)?;
        Some(word.first + u64::from(word.selected.trailing_zeros()))
    }

    /// Where to start searching for a job.
    pub(crate) fn place(&self, sequence: u64) -> usize {
        self.words
            .partition_point(|word| word.first + WORD_JOBS <= sequence)
    }

    /// Moves `at` to the position of a job. Repeated searches in ascending order are fast.
    pub(crate) fn seek(&self, sequence: u64, at: &mut usize) {
        while self
            .words
            .get(*at)
            .is_some_and(|w| w.first + WORD_JOBS <= sequence)
        {
            *at += 1;
        }
    }

    /// The next selected job at or after `sequence`, and its state.
    pub(crate) fn next(&self, sequence: u64, at: &mut usize) -> Option<(u64, State)> {
        self.seek(sequence, at);
        loop {
            let word = self.words.get(*at)?;
            let passed = sequence.saturating_sub(word.first).min(WORD_JOBS);
            let rest = u64::from(word.selected) >> passed << passed;
            if rest != 0 {
                let n = rest.trailing_zeros();
                let state = state_of((word.states >> (2 * n)) & 3)?;
                return Some((word.first + u64::from(n), state));
            }
            *at += 1;
        }
    }

    /// The last selected job before `sequence`, and its state.
    pub(crate) fn before(&self, sequence: u64) -> Option<(u64, State)> {
        let mut at = self.words.partition_point(|word| word.first < sequence);
        while let Some(word) = at.checked_sub(1).and_then(|n| self.words.get(n)) {
            let kept = (sequence - word.first).min(WORD_JOBS);
            let rest = u64::from(word.selected) & ((1 << kept) - 1);
            if rest != 0 {
                let n = u64::from(rest.ilog2());
                let state = state_of((word.states >> (2 * n)) & 3)?;
                return Some((word.first + n, state));
            }
            at -= 1;
        }
        None
    }

    /// The first run of `jobs` jobs at or after `from` that are all selected and complete. A run
    /// begins at a multiple of `jobs`. Repeated searches in ascending order are fast.
    #[cfg(feature = "http")]
    pub(crate) fn aligned_complete_run(&self, from: u64, jobs: u64, at: &mut usize) -> Option<u64> {
        let mut start = from.next_multiple_of(jobs);
        loop {
            let (next, _) = self.next(start, at)?;
            start = start.max(next / jobs * jobs);
            if self.complete_run(start, start + jobs, at) == jobs {
                return Some(start);
            }
            start += jobs;
        }
    }

    /// How many jobs, starting with `sequence` and before `end`, are all selected and complete.
    pub(crate) fn complete_run(&self, sequence: u64, end: u64, at: &mut usize) -> u64 {
        let mut next = sequence;
        while next < end {
            self.seek(next, at);
            let Some(word) = self.words.get(*at) else {
                break;
            };
            if word.first > next {
                break;
            }
            if word.first == next && word.selected == u32::MAX && word.states == ALL_COMPLETE {
                next += WORD_JOBS;
                continue;
            }
            let n = next - word.first;
            let complete = (word.states >> (2 * n)) & 3 == 2 && (word.selected >> n) & 1 == 1;
            if !complete {
                break;
            }
            next += 1;
        }
        next.min(end) - sequence
    }
}
