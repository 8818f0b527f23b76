//! Waiters for a job's completion, or for a pending job.
//!
//! No wake-up is lost: a waiter is added before it checks the job, and is woken after the
//! completion is durable and visible. A commit that affects no waiter only checks that a list is
//! empty.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use crate::base::sync::time::Instant;
use crate::base::sync::{Condvar, Mutex};
use crate::engine::state::wakers;

/// A waiter, which is a thread or a future.
#[derive(Default)]
pub(crate) struct Waiter {
    /// The waiter's number among the waiters of its graph.
    number: u64,
    state: Mutex<WaiterState>,
    woken: Condvar,
}

#[derive(Default)]
struct WaiterState {
    is_woken: bool,
    waker: Option<Waker>,
}

impl Waiter {
    /// Wakes the waiter, so that it checks the job again. Must not be called while a lock is held:
    /// a waker may run any code.
    pub(crate) fn wake(&self) {
        let mut state = self.state.lock();
        state.is_woken = true;
        let waker = state.waker.take();
        drop(state);
        self.woken.notify_all();
        if let Some(waker) = waker {
            wakers::wake(waker);
        }
    }

    /// Waits until this waiter is woken. Returns whether that happened before the deadline.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        while !state.is_woken {
            match deadline {
                None => self.woken.wait(&mut state),
                Some(deadline) => {
                    if self.woken.wait_until(&mut state, deadline).timed_out() {
                        return state.is_woken;
                    }
                }
            }
        }
        true
    }

    /// Whether this waiter has been woken. If not, the waker is called once it has been.
    pub(crate) fn poll(&self, waker: &Waker) -> bool {
        let waker = waker.clone();
        let mut state = self.state.lock();
        let is_woken = state.is_woken;
        let unused = match is_woken {
            true => Some(waker),
            false => state.waker.replace(waker),
        };
        drop(state);
        drop(unused);
        is_woken
    }
}

/// Represents any job. No actual job has this number.
pub(crate) const ANY: u64 = u64::MAX;
/// Represents the next pending job. No actual job has this number, either.
pub(crate) const PENDING: u64 = u64::MAX - 1;

/// The waiters of a graph, by their job's sequence number and their own number.
#[derive(Default)]
pub(crate) struct Waiters {
    waiting: BTreeMap<(u64, u64), Arc<Waiter>>,
    next_number: u64,
}

impl Waiters {
    pub(crate) fn add(&mut self, sequence: u64) -> Arc<Waiter> {
        let number = self.next_number;
        self.next_number += 1;
        let waiter = Arc::new(Waiter {
            number,
            ..Waiter::default()
        });
        self.waiting.insert((sequence, number), waiter.clone());
        waiter
    }

    /// Removes a waiter that no longer waits. Returns `false` if it was already removed to be
    /// woken.
    pub(crate) fn remove(&mut self, sequence: u64, waiter: &Arc<Waiter>) -> bool {
        self.waiting.remove(&(sequence, waiter.number)).is_some()
    }

    pub(crate) fn has(&self, sequence: u64) -> bool {
        self.first_of(sequence).is_some()
    }

    fn first_of(&self, sequence: u64) -> Option<(u64, u64)> {
        let mut of_job = self.waiting.range((sequence, 0)..=(sequence, u64::MAX));
        of_job.next().map(|(&key, _)| key)
    }

    /// Removes the waiters of a job, to be woken.
    pub(crate) fn take(&mut self, sequence: u64, taken: &mut Vec<Arc<Waiter>>) {
        while let Some(key) = self.first_of(sequence) {
            taken.extend(self.waiting.remove(&key));
        }
    }

    /// Removes at most `max` waiters of a job, those that have waited longest, to be woken.
    pub(crate) fn take_first(&mut self, sequence: u64, max: u64, taken: &mut Vec<Arc<Waiter>>) {
        for _ in 0..max {
            let Some(key) = self.first_of(sequence) else {
                return;
            };
            taken.extend(self.waiting.remove(&key));
        }
    }

    /// Removes all waiters.
    pub(crate) fn take_all(&mut self) -> Vec<Arc<Waiter>> {
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    #[cfg(all(test, jobstore_shuttle))]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
