//! A watchdog for the index's thread: records which call to the index the thread is in, and
//! since when.
//!
//! If a call hangs, other threads can detect this; the watchdog itself waits for nothing.

use std::time::Duration;

use crate::base::sync::Mutex;
use crate::base::sync::time::Instant;

use crate::index::{Batch, EachRow, Fault, Index};

/// A call that takes longer than this is considered to hang.
pub(crate) const HANG_TIMEOUT: Duration = Duration::from_secs(30);

/// The operation that the index's thread is waiting for.
#[derive(Default)]
pub(crate) struct Watchdog {
    busy: Mutex<Option<(&'static str, Instant)>>,
}

impl Watchdog {
    /// Makes a call while the watchdog monitors it.
    pub(crate) fn during<T>(&self, call: &'static str, make: impl FnOnce() -> T) -> T {
        struct End<'w>(&'w Watchdog);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                *self.0.busy.lock() = None;
            }
        }
        *self.busy.lock() = Some((call, Instant::now()));
        let _end = End(self);
        make()
    }

    /// Records that the current call makes progress.
    pub(crate) fn note_progress(&self) {
        if let Some((_, since)) = &mut *self.busy.lock() {
            *since = Instant::now();
        }
    }

    /// The call that the thread is in, and how long the call has taken by `now`.
    pub(crate) fn busy(&self, now: Instant) -> Option<(&'static str, Duration)> {
        let (call, since) = (*self.busy.lock())?;
        Some((call, now.saturating_duration_since(since)))
    }
}

/// An index whose calls are monitored.
pub(crate) struct WatchedIndex<'i> {
    pub(crate) index: &'i dyn Index,
    pub(crate) watchdog: &'i Watchdog,
}

impl Index for WatchedIndex<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.watchdog.during("read", || self.index.get(key))
    }

    fn scan(&self, prefix: &[u8], each: EachRow<'_>) -> Result<(), Fault> {
        self.watchdog
            .during("scan", || self.index.scan(prefix, each))
    }

    fn write(&self, batch: &Batch) -> Result<(), Fault> {
        self.watchdog.during("write", || self.index.write(batch))
    }

    fn flush(&self) -> Result<(), Fault> {
        self.watchdog.during("flush", || self.index.flush())
    }
}
