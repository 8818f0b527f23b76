//! The host's clock, as the store calls it.
//!
//! Owns: the only call to [`Clock::now`]. Must not know: what times are for.
//! Promise: a clock that panics harms no write: time continues from what it last said.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

use crate::clock::{self, Clock};
use crate::sync::OnceLock;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::time::Instant;

/// What the clock said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    /// Readings that were finished before this one.
    number: u64,
    pub(crate) ms: u64,
}

impl Reading {
    /// The later one of two, whatever the clock said in between.
    pub(crate) fn later(self, other: Reading) -> Reading {
        match self.number < other.number {
            true => other,
            false => self,
        }
    }
}

/// No reading yet.
const UNKNOWN: u64 = u64::MAX;

pub(crate) struct HostClock {
    clock: Box<dyn Clock>,
    begun: OnceLock<Instant>,
    /// What the clock said last, less the time that had passed since `begun`, as a
    /// wrapping difference in milliseconds.
    offset_ms: AtomicU64,
    panics: AtomicBool,
    readings: AtomicU64,
}

impl HostClock {
    pub(crate) fn new(clock: impl Clock + 'static) -> HostClock {
        HostClock {
            clock: Box::new(clock),
            begun: OnceLock::new(),
            offset_ms: AtomicU64::new(UNKNOWN),
            panics: AtomicBool::new(false),
            readings: AtomicU64::new(1),
        }
    }

    /// The time. Not to be asked for under a lock: the clock may do anything.
    pub(crate) fn now(&self) -> SystemTime {
        let read = catch_unwind(AssertUnwindSafe(|| self.clock.now()));
        let begun = *self.begun.get_or_init(Instant::now);
        let passed = Instant::now().saturating_duration_since(begun).as_millis() as u64;
        match read {
            Ok(now) => {
                let offset = clock::to_ms(now).wrapping_sub(passed);
                self.offset_ms.store(offset, Ordering::Relaxed);
                self.panics.store(false, Ordering::Relaxed);
                now
            }
            Err(panic) => {
                // Dropping what it panicked with may panic again.
                std::mem::forget(panic);
                if !self.panics.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        "the host's clock panicked; until it answers again, times continue from \
                         what it last said"
                    );
                }
                match self.offset_ms.load(Ordering::Relaxed) {
                    UNKNOWN => SystemTime::now(),
                    offset => {
                        let ms = offset.wrapping_add(passed).min(clock::TIME_MS_MAX);
                        SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
                    }
                }
            }
        }
    }

    /// The time, for a commit that is made a little later.
    pub(crate) fn read(&self) -> Reading {
        let ms = clock::to_ms(self.now());
        let number = self.readings.fetch_add(1, Ordering::Relaxed);
        Reading { number, ms }
    }

    /// Whether it panicked when it was last asked.
    pub(crate) fn panics(&self) -> bool {
        self.panics.load(Ordering::Relaxed)
    }
}
