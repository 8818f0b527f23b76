//! The submission times of the jobs of a snapshot.
//!
//! Times of jobs that are not packed are in memory. For a packed job, a part of its block is read,
//! and the times in that part are kept for the next job.

use crate::engine::read::missing_job::missing;
use crate::engine::read::reader::{Reader, Snapshot, Unit};
use crate::engine::state::graph::GraphCore;
use crate::model::error::Result;

/// Looks up submission times, in milliseconds since 1970. Neighboring times are read together.
#[derive(Default)]
pub(crate) struct SubmissionTimes {
    /// The first job whose time is known.
    first: u64,
    /// The times of consecutive jobs.
    times_ms: Vec<u64>,
}

impl SubmissionTimes {
    /// The submission time of a selected job. The reader may have been used for other graphs.
    pub(crate) fn of(
        &mut self,
        reader: &mut Reader,
        graph: &GraphCore,
        snapshot: &Snapshot,
        sequence: u64,
    ) -> Result<u64> {
        if let Some(known) = self.known(sequence) {
            return Ok(known);
        }
        if let Some(run) = snapshot.run_of(sequence) {
            let n = (sequence - run.first_sequence) as usize;
            return Ok(run.jobs[n].submitted_ms);
        }
        reader.seek_range(sequence..sequence + 1, snapshot);
        match reader.read(graph, snapshot)? {
            None => return Err(missing(&graph.path(), sequence)),
            Some(Unit::Large(large)) => {
                (self.first, self.times_ms) = (sequence, vec![large.row.submitted_ms]);
            }
            Some(Unit::Block) => {
                let rows = &reader.block.rows;
                self.first = reader.block.first_sequence;
                self.times_ms.clear();
                self.times_ms
                    .extend(rows.iter().map(|row| row.submitted_ms));
            }
        }
        self.known(sequence)
            .ok_or_else(|| missing(&graph.path(), sequence))
    }

    fn known(&self, sequence: u64) -> Option<u64> {
        let n = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        self.times_ms.get(n).copied()
    }
}
