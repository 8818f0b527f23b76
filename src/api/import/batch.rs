// The jobs of one commit of an import.

use std::collections::HashMap;

use crate::engine::state::operation::{Imported, SMALL_WRITE_BYTES};
use crate::model::id::JobId;

/// The maximum number of jobs in a commit.
const BATCH_JOBS: usize = 4096;

/// The approximate size of the requests in a commit, in bytes.
const BATCH_BYTES: u64 = 4 << 20;

/// The jobs of the next commit, and their lines.
#[derive(Default)]
pub(super) struct ImportBatch {
    pub(super) jobs: Vec<Imported>,
    /// The positions in `jobs` of the jobs whose lines have an id.
    pub(super) ids: HashMap<JobId, usize>,
    pub(super) lines: Vec<u64>,
    pub(super) bytes: u64,
}

impl ImportBatch {
    pub(super) fn add(&mut self, line: u64, job: Imported) {
        self.bytes += job.submission.masked_request.bytes() + SMALL_WRITE_BYTES;
        if let Some(id) = &job.id {
            self.ids.insert(id.clone(), self.jobs.len());
        }
        self.jobs.push(job);
        self.lines.push(line);
    }

    pub(super) fn is_full(&self) -> bool {
        self.jobs.len() >= BATCH_JOBS || self.bytes >= BATCH_BYTES
    }
}
