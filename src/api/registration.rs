// A caller's place among the waiters of a graph.

use std::sync::Arc;
use std::task::{Context, Poll};

use crate::api::graph::Graph;
use crate::base::sync::time::Instant;
use crate::engine::state::waiters::Waiter;

/// Registers a waiter while it is needed. Dropping this removes the waiter.
pub(crate) struct Registration {
    graph: Graph,
    /// The job that is waited for, or one of the special numbers of the waiters.
    sequence: u64,
    waiter: Option<Arc<Waiter>>,
}

impl Registration {
    pub(crate) fn new(graph: &Graph, sequence: u64) -> Registration {
        Registration {
            graph: graph.clone(),
            sequence,
            waiter: None,
        }
    }

    /// Returns the waiter, registering it first if necessary.
    pub(crate) fn waiter(&mut self) -> Arc<Waiter> {
        let (core, sequence) = (&self.graph.core, self.sequence);
        let add = || core.state.write().waiters.add(sequence);
        self.waiter.get_or_insert_with(add).clone()
    }

    /// Removes the waiter. Returns whether it had already been removed to be woken.
    pub(crate) fn remove(&mut self) -> bool {
        // A forked child must not touch the locks of its parent.
        if self.graph.engine().check_process().is_err() {
            return false;
        }
        let Some(waiter) = self.waiter.take() else {
            return false;
        };
        let mut state = self.graph.core.state.write();
        !state.waiters.remove(self.sequence, &waiter)
    }

    /// Blocks until `ready` returns a value, which it may do from any moment at which the waiter
    /// is woken. Returns `None` if the deadline passes first.
    pub(crate) fn wait<T>(
        &mut self,
        deadline: Option<Instant>,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        loop {
            let waiter = self.waiter();
            if let Some(value) = ready() {
                return Some(value);
            }
            if !waiter.wait(deadline) {
                return None;
            }
            self.remove();
        }
    }

    /// Like [`Registration::wait`], for a future.
    pub(crate) fn poll<T>(
        &mut self,
        context: &Context<'_>,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Poll<T> {
        loop {
            let waiter = self.waiter();
            if let Some(value) = ready() {
                return Poll::Ready(value);
            }
            if !waiter.poll(context.waker()) {
                return Poll::Pending;
            }
            self.remove();
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.remove();
    }
}
