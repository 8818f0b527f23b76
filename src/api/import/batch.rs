//! The jobs of one commit.

use std::collections::HashMap;

use crate::engine::state::operation::{Imported, SMALL_WRITE_BYTES};
use crate::model::id::JobId;

/// Jobs of one commit.
const BATCH_JOBS: usize = 4096;

/// Bytes of requests of one commit, about.
const BATCH_BYTES: u64 = 4 << 20;

/// Jobs of the next commit, and their lines.
#[derive(Default)]
pub(super) struct ImportBatch {
    pub(super) jobs: Vec<Imported>,
    /// Where those with an id stand.
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
