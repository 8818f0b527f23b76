//! A claim that can be withdrawn until its job is returned.
//!
//! [`Claim`] is shared by the committer and a future that claims a job. If a claim is withdrawn
//! before it is staged, no job is started for it. After the commit, a claim contains the job that
//! was started for it.

use std::sync::Arc;

use crate::base::sync::Mutex;
use crate::base::sync::atomic::{AtomicBool, Ordering};
use crate::engine::state::run_cell::RunCell;

/// A claim that can be withdrawn by its caller.
#[derive(Default)]
pub(crate) struct Claim {
    is_withdrawn: AtomicBool,
    /// Shared with the run of the claimed job. Shows whether this claim still owns the job.
    pub(crate) run: Arc<RunCell>,
    sequence: Mutex<Option<u64>>,
}

impl Claim {
    /// Prevents the committer from starting a job for this claim, if it has not started one yet.
    pub(crate) fn withdraw(&self) {
        self.is_withdrawn.store(true, Ordering::Release);
    }

    pub(crate) fn is_withdrawn(&self) -> bool {
        self.is_withdrawn.load(Ordering::Acquire)
    }

    /// Records the job that was started for this claim.
    pub(crate) fn set_started(&self, sequence: u64) {
        *self.sequence.lock() = Some(sequence);
    }

    /// The job that was started for this claim.
    pub(crate) fn started(&self) -> Option<u64> {
        *self.sequence.lock()
    }
}
