// Waiting until a run should stop.
//
// A wait ends as soon as the result of the work can no longer be recorded, and a dropped wait
// leaves no waiter behind.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::api::graph::Graph;
use crate::base::sync::atomic::Ordering;
use crate::base::sync::time::Instant;
use crate::engine::state::run_cell::RunCell;
use crate::engine::state::waiters::Waiter;

/// Resolves when a run should stop: returned by [`Run::cancelled`](crate::Run::cancelled).
///
/// It does not borrow the run. It keeps the store open.
#[must_use = "it does nothing unless it is awaited"]
pub struct Cancelled {
    graph: Graph,
    sequence: u64,
    cell: Arc<RunCell>,
    waiter: Option<Arc<Waiter>>,
}

impl Cancelled {
    pub(crate) fn new(graph: Graph, sequence: u64, cell: Arc<RunCell>) -> Cancelled {
        Cancelled {
            graph,
            sequence,
            cell,
            waiter: None,
        }
    }

    /// Blocks until the run should stop. Returns `false` if the deadline passes first.
    pub(crate) fn wait(&mut self, deadline: Option<Instant>) -> bool {
        loop {
            if self.graph.engine().check_process().is_err() {
                return true;
            }
            let waiter = self.listed();
            if self.is_due() {
                return true;
            }
            if !waiter.wait(deadline) {
                return false;
            }
            self.unregister();
        }
    }

    /// Whether the run should stop. Call this after the waiter has been registered.
    fn is_due(&self) -> bool {
        self.cell.cancel.load(Ordering::Acquire)
            || self.cell.is_over()
            || self.graph.check_writable().is_err()
    }

    /// Returns the waiter, registering it first if necessary.
    fn listed(&mut self) -> Arc<Waiter> {
        let (core, sequence) = (&self.graph.core, self.sequence);
        let add = || core.state.write().waiters.add(sequence);
        self.waiter.get_or_insert_with(add).clone()
    }

    fn unregister(&mut self) {
        if self.graph.engine().check_process().is_err() {
            return;
        }
        if let Some(waiter) = self.waiter.take() {
            let mut state = self.graph.core.state.write();
            state.waiters.remove(self.sequence, &waiter);
        }
    }
}

impl Future for Cancelled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.graph.engine().check_process().is_err() {
                return Poll::Ready(());
            }
            let waiter = self.listed();
            if self.is_due() {
                return Poll::Ready(());
            }
            if !waiter.poll(context.waker()) {
                return Poll::Pending;
            }
            self.unregister();
        }
    }
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        self.unregister();
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled")
            .field("graph", &self.graph)
            .field("is_due", &self.is_due())
            .finish_non_exhaustive()
    }
}
