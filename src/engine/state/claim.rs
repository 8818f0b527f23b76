//! A claim that can be withdrawn until its job is handed over.
//!
//! Owns: [`Claim`], what a future that claims a job and the committer share. Must not know:
//! how jobs are claimed and given back.
//! Promise: a claim that was withdrawn before it was staged starts no job; one that started a
//! job names it from the commit on.

use std::sync::Arc;

use crate::base::sync::Mutex;
use crate::base::sync::atomic::{AtomicBool, Ordering};
use crate::engine::state::run_cell::RunCell;

/// A claim whose caller may lose interest in it.
#[derive(Default)]
pub(crate) struct Claim {
    is_withdrawn: AtomicBool,
    /// Shared with the run of the claimed job: shows whether the job is still this claim's.
    pub(crate) run: Arc<RunCell>,
    sequence: Mutex<Option<u64>>,
}

impl Claim {
    /// Has the committer start no job for it, if it has not yet.
    pub(crate) fn withdraw(&self) {
        self.is_withdrawn.store(true, Ordering::Release);
    }

    pub(crate) fn is_withdrawn(&self) -> bool {
        self.is_withdrawn.load(Ordering::Acquire)
    }

    /// Notes the job that was started for it.
    pub(crate) fn set_started(&self, sequence: u64) {
        *self.sequence.lock() = Some(sequence);
    }

    /// The job that was started for it.
    pub(crate) fn started(&self) -> Option<u64> {
        *self.sequence.lock()
    }
}
