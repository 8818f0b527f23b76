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
use crate::api::registration::Registration;
use crate::base::sync::atomic::Ordering;
use crate::base::sync::time::Instant;
use crate::engine::state::run_cell::RunCell;

/// Resolves when a run should stop: returned by [`Run::cancelled`](crate::Run::cancelled).
///
/// It does not borrow the run. It keeps the store open.
#[must_use = "it does nothing unless it is awaited"]
pub struct Cancelled {
    graph: Graph,
    cell: Arc<RunCell>,
    registration: Registration,
}

impl Cancelled {
    pub(crate) fn new(graph: Graph, sequence: u64, cell: Arc<RunCell>) -> Cancelled {
        Cancelled {
            registration: Registration::new(&graph, sequence),
            graph,
            cell,
        }
    }

    /// Blocks until the run should stop. Returns `false` if the deadline passes first.
    pub(crate) fn wait(&mut self, deadline: Option<Instant>) -> bool {
        let (graph, cell) = (&self.graph, &self.cell);
        if graph.engine().check_process().is_err() {
            return true;
        }
        let due = || is_due(graph, cell).then_some(());
        self.registration.wait(deadline, due).is_some()
    }
}

/// Whether the run should stop. Call this after the waiter has been registered.
fn is_due(graph: &Graph, cell: &RunCell) -> bool {
    cell.cancel.load(Ordering::Acquire) || cell.is_over() || graph.check_writable().is_err()
}

impl Future for Cancelled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let cancelled = &mut *self;
        let (graph, cell) = (&cancelled.graph, &cancelled.cell);
        if graph.engine().check_process().is_err() {
            return Poll::Ready(());
        }
        let due = || is_due(graph, cell).then_some(());
        cancelled.registration.poll(context, due)
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled")
            .field("graph", &self.graph)
            .field("is_due", &is_due(&self.graph, &self.cell))
            .finish_non_exhaustive()
    }
}
