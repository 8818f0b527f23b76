//! The only caller of [`Clock::now`].
//!
//! A clock that panics does not affect any write: times continue from its last reading.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::SystemTime;

use crate::base::clock::{self, Clock};
use crate::base::sync::Mutex;
use crate::base::sync::atomic::{AtomicBool, Ordering};
use crate::base::sync::time::Instant;

pub(crate) struct HostClock {
    clock: Box<dyn Clock>,
    /// The last reading, and when it was taken.
    last: Mutex<Option<(Instant, SystemTime)>>,
    panics: AtomicBool,
}

impl HostClock {
    pub(crate) fn new(clock: impl Clock + 'static) -> HostClock {
        HostClock {
            clock: Box::new(clock),
            last: Mutex::default(),
            panics: AtomicBool::new(false),
        }
    }

    /// Returns the current time. Must not be called while holding a lock, because the host's clock
    /// may block.
    pub(crate) fn now(&self) -> SystemTime {
        let asked = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| self.clock.now())) {
            Ok(now) => {
                *self.last.lock() = Some((asked, now));
                self.panics.store(false, Ordering::Relaxed);
                now
            }
            Err(panic) => {
                // Dropping the panic payload may panic again.
                std::mem::forget(panic);
                if !self.panics.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        "the host's clock panicked; times continue from its last value until it \
                         responds again"
                    );
                }
                self.estimate()
            }
        }
    }

    /// Returns the last reading plus the time since then, for callers that must not read the clock.
    pub(crate) fn estimate(&self) -> SystemTime {
        let Some((taken_at, reading)) = *self.last.lock() else {
            return SystemTime::now();
        };
        let passed = Instant::now().saturating_duration_since(taken_at);
        let end = clock::from_ms(clock::TIME_MS_MAX);
        reading.checked_add(passed).unwrap_or(end).min(end)
    }

    /// Returns whether the last call of the clock panicked.
    pub(crate) fn panics(&self) -> bool {
        self.panics.load(Ordering::Relaxed)
    }
}
