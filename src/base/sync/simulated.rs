//! The monotonic clock of a simulated thread, and waits that use that clock.

use std::cell::Cell;
use std::time::Duration;

use parking_lot::{MutexGuard, WaitTimeoutResult};

thread_local! {
    static AHEAD: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Advances the clock of this thread.
pub(crate) fn advance(time: Duration) {
    AHEAD.set(AHEAD.get().saturating_add(time));
}

/// An instant of the system's monotonic clock, plus the time by which this thread's clock was
/// advanced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant {
    at: std::time::Instant,
}

#[allow(dead_code, reason = "the same methods as the system's type")]
impl Instant {
    pub(crate) fn now() -> Instant {
        let at = std::time::Instant::now() + AHEAD.get();
        Instant { at }
    }

    pub(crate) fn checked_add(self, time: Duration) -> Option<Instant> {
        self.at.checked_add(time).map(|at| Instant { at })
    }

    pub(crate) fn checked_sub(self, time: Duration) -> Option<Instant> {
        self.at.checked_sub(time).map(|at| Instant { at })
    }

    pub(crate) fn saturating_duration_since(self, earlier: Instant) -> Duration {
        self.at.saturating_duration_since(earlier.at)
    }

    pub(crate) fn checked_duration_since(self, earlier: Instant) -> Option<Duration> {
        self.at.checked_duration_since(earlier.at)
    }

    pub(crate) fn duration_since(self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }

    pub(crate) fn elapsed(self) -> Duration {
        Instant::now().saturating_duration_since(self)
    }
}

impl std::ops::Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, time: Duration) -> Instant {
        Instant { at: self.at + time }
    }
}

impl std::ops::Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, time: Duration) -> Instant {
        Instant { at: self.at - time }
    }
}

impl std::ops::Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

/// A condition variable whose deadlines are [`Instant`]s.
#[derive(Debug, Default)]
pub(crate) struct Condvar(parking_lot::Condvar);

#[allow(dead_code, reason = "the same methods as the system's type")]
impl Condvar {
    pub(crate) fn new() -> Condvar {
        Condvar::default()
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        self.0.wait(guard);
    }

    pub(crate) fn wait_until<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        deadline: Instant,
    ) -> WaitTimeoutResult {
        let left = deadline.saturating_duration_since(Instant::now());
        self.0.wait_for(guard, left)
    }

    pub(crate) fn wait_for<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        time: Duration,
    ) -> WaitTimeoutResult {
        self.0.wait_for(guard, time)
    }
}
