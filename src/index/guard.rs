//! What keeps an engine's faults from its callers: the lock of its file, and its panics.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::index::Fault;

/// Takes the lock of an open file, as the engines do; no when somebody has it.
pub(super) fn lock(file: &File) -> bool {
    rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Lets go of it by name: a process that is just being started has a copy of the
/// handle.
pub(super) fn unlock(file: &File) {
    rustix::fs::flock(file, rustix::fs::FlockOperation::Unlock).ok();
}

/// Calls an engine, which may panic on damage where it should return an error.
pub(super) fn catch_panic<T, E: std::fmt::Display>(
    call: impl FnOnce() -> Result<T, E>,
) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|e| Fault(e.to_string())),
        Err(_) => Err(Fault("the index engine panicked".to_owned())),
    }
}
