//! Who waits for a job's end, or for a pending job.
//!
//! Owns: [`Waiter`], the list of them by job, and when they are called. Must not know:
//! what they do then.
//! Promise: no call is lost: a waiter is listed before it looks at the job, and called
//! after the end is durable and visible; a commit that concerns nobody's job costs a
//! look at an empty list.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use crate::base::sync::time::Instant;
use crate::base::sync::{Condvar, Mutex};
use crate::engine::state::wakers;

/// One who waits, as a thread or as a future.
#[derive(Default)]
pub(crate) struct Waiter {
    /// Among those of its graph.
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
    /// Has it look at the job again. Not to be done under a lock: who is woken may do
    /// anything.
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

    /// Waits until it is called, and says whether it was before the deadline.
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

    /// Whether it was called; if not, the waker is woken when it is.
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

/// Stands for any job: no job has this number.
pub(crate) const ANY: u64 = u64::MAX;
/// Stands for the next pending job: no job has this number, either.
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

    /// Forgets one that waits no more. `false` if it was taken out before, to be called.
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

    /// Takes those of a job out, to be called.
    pub(crate) fn take(&mut self, sequence: u64, taken: &mut Vec<Arc<Waiter>>) {
        while let Some(key) = self.first_of(sequence) {
            taken.extend(self.waiting.remove(&key));
        }
    }

    /// Takes out those of a job that have waited longest, at most so many, to be called.
    pub(crate) fn take_first(&mut self, sequence: u64, max: u64, taken: &mut Vec<Arc<Waiter>>) {
        for _ in 0..max {
            let Some(key) = self.first_of(sequence) else {
                return;
            };
            taken.extend(self.waiting.remove(&key));
        }
    }

    /// Takes all out.
    pub(crate) fn take_all(&mut self) -> Vec<Arc<Waiter>> {
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    #[cfg(all(test, jobstore_shuttle))]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
