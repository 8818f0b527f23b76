//! Protects callers from faults of an engine: checks the lock on its file, and catches its panics.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::index::Fault;

/// Locks an open file in the same way as the engines. Returns `false` if it is already locked.
pub(super) fn lock(file: &File) -> bool {
    rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Unlocks the file explicitly, because a process that is being spawned may have a duplicate of the
/// handle.
pub(super) fn unlock(file: &File) {
    rustix::fs::flock(file, rustix::fs::FlockOperation::Unlock).ok();
}

/// Calls an engine, which may panic on damage instead of returning an error.
pub(super) fn catch_panic<T, E: std::fmt::Display>(
    call: impl FnOnce() -> Result<T, E>,
) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|e| Fault(e.to_string())),
        Err(_) => Err(Fault("the index engine panicked".to_owned())),
    }
}
