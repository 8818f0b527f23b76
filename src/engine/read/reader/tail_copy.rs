//! The jobs of a snapshot that are in segments: a copy, whose memory is kept for the next one.

use crate::base::spare::Spare;
use crate::engine::state::unpacked::{TailPlace, TailRun};

/// The maximum number of places whose memory is kept (64 KiB).
const KEPT_JOBS_MAX: usize = (64 << 10) / size_of::<TailPlace>();

static KEPT: Spare<Vec<TailPlace>> = Spare::new(8);

/// Parts of the runs of a graph, in order.
#[derive(Default)]
pub(super) struct TailCopy {
    pub(super) runs: Vec<TailRun>,
}

impl TailCopy {
    /// Copies the jobs from `first` to `last`, both inclusive.
    pub(super) fn of(runs: &[TailRun], first: u64, last: u64) -> TailCopy {
        let runs = runs.iter().filter_map(|run| slice(run, first, last));
        TailCopy {
            runs: runs.collect(),
        }
    }
}

fn slice(run: &TailRun, first: u64, last: u64) -> Option<TailRun> {
    let end = run.first_sequence + run.jobs.len() as u64;
    let (from, to) = (first.max(run.first_sequence), (last + 1).min(end));
    if from >= to {
        return None;
    }
    let mut jobs = KEPT.take().unwrap_or_default();
    jobs.clear();
    let range = (from - run.first_sequence) as usize..(to - run.first_sequence) as usize;
    jobs.extend_from_slice(&run.jobs[range]);
    Some(TailRun {
        segment: run.segment.clone(),
        first_sequence: from,
        jobs,
    })
}

impl Drop for TailCopy {
    fn drop(&mut self) {
        for run in self.runs.drain(..) {
            if run.jobs.capacity() <= KEPT_JOBS_MAX {
                KEPT.keep(run.jobs);
            }
        }
    }
}
