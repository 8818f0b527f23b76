//! Who waits for a job's end.
//!
//! Owns: [`Waiter`], the list of them by job, and when they are called. Must not know:
//! what they do then.
//! Promise: no call is lost: a waiter is listed before it looks at the job, and called
//! after the end is durable and visible; a commit that concerns nobody's job costs a
//! look at an empty list.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;

use crate::engine::Engine;
use crate::engine::graph_state::GraphCore;
use crate::engine::wakers;
use crate::sync::time::Instant;
use crate::sync::{Condvar, Mutex};

/// One who waits, as a thread or as a future.
#[derive(Default)]
pub(crate) struct Waiter {
    state: Mutex<Called>,
    called: Condvar,
}

#[derive(Default)]
struct Called {
    is_called: bool,
    waker: Option<Waker>,
}

impl Waiter {
    /// Has it look at the job again. Not to be done under a lock: who is woken may do
    /// anything.
    pub(crate) fn call(&self) {
        let mut state = self.state.lock();
        state.is_called = true;
        let waker = state.waker.take();
        drop(state);
        self.called.notify_all();
        if let Some(waker) = waker {
            wakers::wake(waker);
        }
    }

    /// Waits until it is called, and says whether it was before the deadline.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        while !state.is_called {
            match deadline {
                None => self.called.wait(&mut state),
                Some(deadline) => {
                    if self.called.wait_until(&mut state, deadline).timed_out() {
                        return state.is_called;
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
        let is_called = state.is_called;
        let unused = match is_called {
            true => Some(waker),
            false => state.waker.replace(waker),
        };
        drop(state);
        drop(unused);
        is_called
    }
}

/// Stands for any job: no job has this number.
pub(crate) const ANY: u64 = u64::MAX;

/// The waiters of a graph, by their job's sequence number.
#[derive(Default)]
pub(crate) struct Waiters(HashMap<u64, Vec<Arc<Waiter>>>);

impl Waiters {
    pub(crate) fn add(&mut self, sequence: u64) -> Arc<Waiter> {
        let waiter = Arc::new(Waiter::default());
        self.0.entry(sequence).or_default().push(waiter.clone());
        waiter
    }

    /// Forgets one that waits no more.
    pub(crate) fn remove(&mut self, sequence: u64, waiter: &Arc<Waiter>) {
        if let Some(waiters) = self.0.get_mut(&sequence) {
            waiters.retain(|other| !Arc::ptr_eq(other, waiter));
            if waiters.is_empty() {
                self.0.remove(&sequence);
            }
        }
    }

    pub(crate) fn has(&self, sequence: u64) -> bool {
        !self.0.is_empty() && self.0.contains_key(&sequence)
    }

    /// Takes those of a job out, to be called.
    pub(crate) fn take(&mut self, sequence: u64, taken: &mut Vec<Arc<Waiter>>) {
        if !self.0.is_empty() {
            taken.extend(self.0.remove(&sequence).into_iter().flatten());
        }
    }

    /// Takes all out.
    pub(crate) fn take_all(&mut self) -> Vec<Arc<Waiter>> {
        std::mem::take(&mut self.0)
            .into_values()
            .flatten()
            .collect()
    }

    #[cfg(all(test, jobstore_shuttle))]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Engine {
    /// Takes everybody out, to be called: no job comes to its end any more, in this
    /// store as it is.
    pub(crate) fn take_all_waiters(&self) -> Vec<Arc<Waiter>> {
        let graphs: Vec<_> = self.graphs.read().by_number.values().cloned().collect();
        let of = |graph: Arc<GraphCore>| graph.state.write().waiters.take_all();
        graphs.into_iter().flat_map(of).collect()
    }

    pub(crate) fn call_all_waiters(&self) {
        let waiters = self.take_all_waiters();
        waiters.iter().for_each(|waiter| waiter.call());
    }
}
