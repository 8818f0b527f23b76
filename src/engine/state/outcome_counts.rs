//! How many jobs of a chunk completed with each outcome, according to their rows of details.

use crate::index::rows::{Detail, DetailRow};
use crate::model::outcome::OutcomeKind;

/// The number of counts in a status row. The stored numbers of outcomes are less than this.
const KINDS: usize = 8;
const _: () = assert!(OutcomeKind::STORED_END <= KINDS);

/// The length of the counts in a status row, in bytes.
const SAVED_BYTES: usize = 2 * KINDS;

/// The length of the counts in a status row, in words of 8 bytes.
pub(crate) const SAVED_COUNTS_WORDS: u64 = SAVED_BYTES as u64 / 8;

/// Numbers of jobs by the stored number of their outcome. A chunk has at most 4096 jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutcomeCounts([u16; KINDS]);

/// The outcome of a job that was completed and has not been purged.
fn kind(detail: &Detail) -> Option<usize> {
    let finished = detail.finished.filter(|_| detail.tombstone.is_none())?;
    Some(usize::from(finished.kind)).filter(|&kind| kind < KINDS)
}

impl OutcomeCounts {
    /// Counts the jobs of a row of details.
    pub(crate) fn add(&mut self, row: &DetailRow) {
        for kind in row.0.iter().filter_map(kind) {
            self.0[kind] = self.0[kind].saturating_add(1);
        }
    }

    /// Subtracts what [`OutcomeCounts::add`] counted.
    pub(crate) fn subtract(&mut self, row: &DetailRow) {
        for kind in row.0.iter().filter_map(kind) {
            self.0[kind] = self.0[kind].saturating_sub(1);
        }
    }

    /// The number of all jobs that were counted.
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().copied().map(u64::from).sum()
    }

    /// The number of jobs with each outcome, by the stored number of the outcome.
    pub(crate) fn each(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.0.iter().copied().map(u64::from).enumerate()
    }

    /// Appends the counts as a status row stores them.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        for count in self.0 {
            out.extend_from_slice(&count.to_le_bytes());
        }
    }

    /// Reads what [`OutcomeCounts::put`] wrote.
    pub(crate) fn parse(bytes: &[u8]) -> Option<OutcomeCounts> {
        let bytes: &[u8; SAVED_BYTES] = bytes.try_into().ok()?;
        let mut counts = OutcomeCounts::default();
        for (count, bytes) in counts.0.iter_mut().zip(bytes.chunks_exact(2)) {
            *count = u16::from_le_bytes([bytes[0], bytes[1]]);
        }
        Some(counts)
    }
}
