//! The seam to threads: locks, atomics and what else waits.
//!
//! Owns: which implementation the whole crate uses. Must not know: what is guarded.
//! Promise: everything that threads share goes through here, so that a scheduler
//! that tries orders of their steps can stand in for the system's.

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
}
