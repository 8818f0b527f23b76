//! Locks, atomics, channels, threads, and the monotonic clock, for the whole crate.
//!
//! All sharing and waiting between threads goes through this module, so that tests can replace the
//! system's scheduler with one that explores interleavings.
//!
//! Tests that are built with `--cfg jobstore_shuttle` use `scheduled`. With the feature
//! `simulation`, the clock comes from `simulated`. Otherwise, these are plain re-exports.

#[cfg(all(test, jobstore_shuttle))]
mod scheduled;
#[cfg(feature = "simulation")]
#[cfg_attr(test, allow(dead_code, reason = "tests keep the system's clock"))]
pub(crate) mod simulated;
#[cfg(all(test, jobstore_shuttle))]
pub(crate) use scheduled::*;

#[cfg(not(all(test, jobstore_shuttle)))]
pub(crate) use system::*;

#[cfg(not(all(test, jobstore_shuttle)))]
mod system {
    #[cfg(all(feature = "simulation", not(test)))]
    pub(crate) use crate::base::sync::simulated::Condvar;
    #[cfg(any(not(feature = "simulation"), test))]
    pub(crate) use parking_lot::Condvar;
    pub(crate) use parking_lot::{Mutex, MutexGuard, RwLock};
    pub(crate) use std::sync::OnceLock;

    pub(crate) mod atomic {
        pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    }

    pub(crate) mod channel {
        pub(crate) use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
    }

    pub(crate) mod thread {
        pub(crate) use std::thread::{Builder, JoinHandle, current, panicking};
    }

    pub(crate) mod time {
        #[cfg(all(feature = "simulation", not(test)))]
        pub(crate) use crate::base::sync::simulated::Instant;
        #[cfg(any(not(feature = "simulation"), test))]
        pub(crate) use std::time::Instant;
    }
}
