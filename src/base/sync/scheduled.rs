//! The crate's locks, channels, and clock on top of `shuttle`, which explores interleavings.
//!
//! The calls have the same signatures as those of parking_lot, crossbeam, and std. At each call,
//! the scheduler may switch to any other thread.
//!
//! Time is the number of steps. A wait with a deadline either may time out at any step or never
//! times out. This is decided at random when the wait begins. Therefore, progress must not depend
//! on a timeout. If it does, the scheduler reports a deadlock.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use shuttle::future::batch_semaphore::{BatchSemaphore, Fairness};
use shuttle::rand::Rng;

use self::time::Instant;

pub(crate) mod atomic {
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering};
}

pub(crate) mod channel;

pub(crate) mod thread {
    pub(crate) use shuttle::thread::{Builder, JoinHandle, current, panicking};
}

pub(crate) mod time {
    use std::time::Duration;

    /// An instant: one millisecond per step.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct Instant(Duration);

    impl Instant {
        pub(crate) fn now() -> Instant {
            let steps = shuttle::current::context_switches() as u64;
            Instant(Duration::from_millis(steps))
        }

        pub(crate) fn checked_add(self, duration: Duration) -> Option<Instant> {
            self.0.checked_add(duration).map(Instant)
        }

        pub(crate) fn saturating_duration_since(self, earlier: Instant) -> Duration {
            self.0.saturating_sub(earlier.0)
        }
    }

    impl std::ops::Add<Duration> for Instant {
        type Output = Instant;

        fn add(self, duration: Duration) -> Instant {
            Instant(self.0 + duration)
        }
    }
}

/// Lets the scheduler switch to any other thread.
fn step() {
    shuttle::thread::sleep(Duration::ZERO);
}

/// Of the waits with a deadline, one in this many times out.
const TIMES_OUT_ONE_IN: u32 = 4;
/// If a wait is going to time out, it does so at about one in this many steps.
const LOOKS_ONE_IN: u32 = 4;

#[derive(Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

/// A guard of a locked mutex. While the guard waits in a [`Condvar`], the lock is released.
pub(crate) struct MutexGuard<'m, T> {
    mutex: &'m Mutex<T>,
    held: Option<shuttle::sync::MutexGuard<'m, T>>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let held = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        MutexGuard {
            mutex: self,
            held: Some(held),
        }
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        use std::sync::TryLockError;
        let held = match self.0.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(MutexGuard {
            mutex: self,
            held: Some(held),
        })
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_ref().expect("it is held")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().expect("it is held")
    }
}

#[derive(Default)]
pub(crate) struct RwLock<T>(shuttle::sync::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> RwLock<T> {
        RwLock(shuttle::sync::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> shuttle::sync::RwLockReadGuard<'_, T> {
        self.0
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn write(&self) -> shuttle::sync::RwLockWriteGuard<'_, T> {
        self.0
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The waiting threads. Each waits on its own semaphore, which receives a permit when the thread is
/// notified.
#[derive(Default)]
pub(crate) struct Condvar {
    // Never locked across a step, so no thread ever waits for this lock.
    waiting: std::sync::Mutex<Vec<Arc<BatchSemaphore>>>,
}

pub(crate) struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub(crate) fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) fn new() -> Condvar {
        Condvar::default()
    }

    fn enter(&self) -> Arc<BatchSemaphore> {
        let notified = Arc::new(BatchSemaphore::new(0, Fairness::Unfair));
        self.waiting
            .lock()
            .expect("no panic")
            .push(notified.clone());
        notified
    }

    /// Removes a waiter. Returns `false` if it has already been notified.
    fn leave(&self, notified: &Arc<BatchSemaphore>) -> bool {
        let mut waiting = self.waiting.lock().expect("no panic");
        let place = waiting.iter().position(|w| Arc::ptr_eq(w, notified));
        place.map(|n| waiting.remove(n)).is_some()
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        // The waiter is added before the mutex is released, so that no notification is missed.
        let notified = self.enter();
        guard.held = None;
        notified.acquire_blocking(1).expect("it is never closed");
        guard.held = guard.mutex.lock().held.take();
    }

    pub(crate) fn wait_until<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        _deadline: Instant,
    ) -> WaitTimeoutResult {
        let mut random = shuttle::rand::thread_rng();
        if !random.gen_ratio(1, TIMES_OUT_ONE_IN) {
            self.wait(guard);
            return WaitTimeoutResult(false);
        }
        let notified = self.enter();
        guard.held = None;
        let mut timed_out = false;
        while notified.try_acquire(1).is_err() {
            if random.gen_ratio(1, LOOKS_ONE_IN) && self.leave(&notified) {
                timed_out = true;
                break;
            }
            shuttle::thread::yield_now();
        }
        guard.held = guard.mutex.lock().held.take();
        WaitTimeoutResult(timed_out)
    }

    pub(crate) fn wait_for<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        timeout: Duration,
    ) -> WaitTimeoutResult {
        self.wait_until(guard, Instant::now() + timeout)
    }

    /// Notifies an arbitrary waiter.
    pub(crate) fn notify_one(&self) {
        step();
        let chosen = {
            let mut waiting = self.waiting.lock().expect("no panic");
            match waiting.len() {
                0 => return,
                len => waiting.swap_remove(shuttle::rand::thread_rng().gen_range(0..len)),
            }
        };
        chosen.release(1);
    }

    pub(crate) fn notify_all(&self) {
        step();
        let all = std::mem::take(&mut *self.waiting.lock().expect("no panic"));
        all.iter().for_each(|notified| notified.release(1));
    }
}

/// Initializing a value takes no step, so the type of the standard library can be used.
pub(crate) struct OnceLock<T>(std::sync::OnceLock<T>);

impl<T> OnceLock<T> {
    pub(crate) fn new() -> OnceLock<T> {
        OnceLock(std::sync::OnceLock::new())
    }

    pub(crate) fn get(&self) -> Option<&T> {
        step();
        self.0.get()
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        step();
        self.0.set(value)
    }

    pub(crate) fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
        step();
        self.0.get_or_init(init)
    }
}
