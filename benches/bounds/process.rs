//! The current file descriptors and memory of this process.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::common::memory::memory;

/// Returns the number of open file descriptors, or 0 if the system does not list them.
pub fn descriptors() -> u64 {
    // Listing them opens another descriptor, which is subtracted.
    std::fs::read_dir("/proc/self/fd").map_or(0, |all| all.count() as u64 - 1)
}

pub fn resident_mib() -> f64 {
    memory().now_kib as f64 / 1024.0
}

/// Runs a function. Returns its result and the largest number of open file descriptors observed
/// while it ran.
pub fn most_descriptors<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let (is_done, most) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                most.fetch_max(descriptors(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let done = work();
        is_done.store(true, Ordering::Relaxed);
        (done, most.load(Ordering::Relaxed))
    })
}
