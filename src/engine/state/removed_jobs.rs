//! The jobs of a range that are no longer listed.

use std::ops::Range;

/// The jobs of a range that were unlisted at one moment.
#[derive(Default)]
pub(crate) struct RemovedJobs {
    pub(crate) first: u64,
    /// A bit for each job.
    pub(crate) words: Vec<u64>,
}

impl RemovedJobs {
    pub(crate) fn clear(&mut self, range: Range<u64>) {
        for at in range.start - self.first..range.end - self.first {
            if let Some(word) = self.words.get_mut((at / 64) as usize) {
                *word &= !(1 << (at % 64));
            }
        }
    }

    pub(crate) fn contains(&self, sequence: u64) -> bool {
        let at = sequence.wrapping_sub(self.first);
        let word = usize::try_from(at / 64)
            .ok()
            .and_then(|n| self.words.get(n));
        word.is_some_and(|word| word >> (at % 64) & 1 == 1)
    }
}
