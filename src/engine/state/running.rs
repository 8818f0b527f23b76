//! The facts about open jobs that later events record: when a job was submitted and started, and which
//! command it has.

use std::collections::BTreeMap;
use std::ops::Range;

/// A job that was submitted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SubmittedJob {
    /// The time of the submission, if known.
    pub(crate) submitted_ms: Option<u64>,
    /// The number of its command, or 0.
    pub(crate) command: u8,
}

/// A running job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunningJob {
    pub(crate) started_ms: u64,
    /// The number of its command, or 0.
    pub(crate) command: u8,
}

/// The running jobs whose start is known.
pub(crate) struct RunningJobs(BTreeMap<u64, RunningJob>);

impl RunningJobs {
    pub(crate) const fn new() -> RunningJobs {
        RunningJobs(BTreeMap::new())
    }

    pub(crate) fn get(&self, sequence: u64) -> Option<RunningJob> {
        self.0.get(&sequence).copied()
    }

    pub(crate) fn insert(&mut self, sequence: u64, job: RunningJob) {
        self.0.insert(sequence, job);
    }

    pub(crate) fn remove(&mut self, sequence: u64) {
        self.0.remove(&sequence);
    }

    pub(crate) fn remove_range(&mut self, range: Range<u64>) {
        self.0.retain(|sequence, _| !range.contains(sequence));
    }
}
