// The writes of a graph for callers that must not block. The writes of a thread are committed in
// the order of its calls.

use std::sync::Arc;

use crate::api::graph::Graph;
use crate::api::lifecycle::{Cancellation, Completion};
use crate::api::pending_write::PendingWrite;
use crate::api::run::Run;
use crate::api::submit::Submitted;
use crate::api::write::PreparedWrite;
use crate::engine::state::claim::Claim;
use crate::model::error::Result;
use crate::model::id::JobId;
use crate::model::outcome::Outcome;
use crate::model::request::Request;

impl Graph {
    /// Returns the graph's writes for callers that must not block. Each call queues its write and
    /// returns a [`PendingWrite`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let write = movie.nonblocking().submit(Request::new("clear_graph", "/ges", Body::empty())?);
    /// let id = write.wait()?; // in an async engine: `write.await?`
    /// # assert!(movie.job(&id)?.is_some());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn nonblocking(&self) -> NonBlocking<'_> {
        NonBlocking { graph: self }
    }
}

/// The writes of a graph for callers that must not block: returned by [`Graph::nonblocking`].
///
/// Each call queues its write and returns a [`PendingWrite`], a future that works in any async
/// runtime. All errors, including those for invalid input, are returned by the pending write. Calls
/// that take an id first look up the job, for which a block is read.
///
/// # Ordering
/// The writes of a thread are committed in the order of its calls, as long as there is space in the
/// queue. If the queue is full, a pending write enters the queue when it is first polled while
/// there is space.
///
/// # Other calls for async code
/// | to | use |
/// |---|---|
/// | claim a job, waiting for one | [`Graph::claim_next_async`] |
/// | complete or requeue a run | [`Run::complete_async`], [`Run::requeue_async`] |
/// | stop work when it is cancelled | [`Run::cancelled`] |
/// | wait for a job to complete | [`Graph::wait_async`] |
/// | follow changes | [`Changes::poll_next`](crate::Changes::poll_next) |
/// | submit without ever waiting for space in the queue | [`Graph::try_submit`] |
/// | create and drop graphs | [`JobStore::nonblocking`](crate::JobStore::nonblocking) |
///
/// Lists, exports, backups, and maintenance block; call them from a thread that is allowed to
/// block.
///
/// # Examples
/// ```
/// use jobstore::{Body, JobStore, Outcome, Request, Result, State};
/// # let store = JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// let nonblocking = movie.nonblocking();
/// let work = async {
///     let id = nonblocking.submit(Request::new("clear_graph", "/ges", Body::empty())?).await?;
///     nonblocking.start(&id).await?;
///     nonblocking.complete(&id, Outcome::succeeded()).await?;
///     Result::Ok(id)
/// };
/// let id = futures::executor::block_on(work)?; // any runtime
/// assert_eq!(movie.job(&id)?.map(|job| job.state()), Some(State::Complete));
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct NonBlocking<'g> {
    graph: &'g Graph,
}

impl<'g> NonBlocking<'g> {
    pub(crate) fn graph(&self) -> &'g Graph {
        self.graph
    }

    pub(crate) fn pending<T: Send + 'static>(
        &self,
        write: Result<PreparedWrite<T>>,
    ) -> PendingWrite<T> {
        PendingWrite::new(&self.graph.handle, write)
    }

    fn pending_claim<T: Send + 'static>(
        &self,
        claim: Arc<Claim>,
        write: Result<PreparedWrite<T>>,
    ) -> PendingWrite<T> {
        let graph = self.graph.core.clone();
        PendingWrite::of_claim(&self.graph.handle, (graph, claim), write)
    }

    /// Like [`Graph::submit`]. If the queue is full, the pending write waits for space;
    /// [`Graph::try_submit`] returns an error instead.
    pub fn submit(&self, request: Request) -> PendingWrite<JobId> {
        self.pending(self.graph.submit_write(request))
    }

    /// Like [`Graph::submit_all`].
    pub fn submit_all(
        &self,
        requests: impl IntoIterator<Item = Request>,
    ) -> PendingWrite<Vec<JobId>> {
        let batch = self.graph.batch(requests);
        self.pending(batch.map(|batch| self.graph.submit_all_write(batch)))
    }

    /// Like [`Graph::submit_as`].
    pub fn submit_as(&self, id: impl AsRef<str>, request: Request) -> PendingWrite<Submitted> {
        let write = JobId::new(id).and_then(|id| {
            let lookup = self.graph.look_up(&id)?;
            self.graph.submit_as_write(id, request, lookup)
        });
        self.pending(write)
    }

    /// Like [`Graph::claim_next`]. [`Graph::claim_next_async`] also waits if no job is pending.
    ///
    /// # Cancel safety
    /// If the pending write is dropped, the claim is withdrawn. If a job has already been claimed,
    /// it is handed back: it becomes pending again, at its original position in the order, whatever
    /// the [`Recovery`](crate::Recovery) setting. Dropping does not block.
    ///
    /// # Cost
    /// That of [`Graph::claim_next`]: if no job is pending and no other write is queued, no commit
    /// is made.
    pub fn claim_next(&self) -> PendingWrite<Option<Run>> {
        let claim = Arc::new(Claim::default());
        let write = self.graph.claim_write(Some(claim.clone()));
        self.pending_claim(claim, write)
    }

    /// Like [`Graph::claim`].
    ///
    /// # Cancel safety
    /// That of [`NonBlocking::claim_next`].
    pub fn claim(&self, id: impl AsRef<str>) -> PendingWrite<Run> {
        let claim = Arc::new(Claim::default());
        let write = self.graph.run_write(id.as_ref(), Some(claim.clone()));
        self.pending_claim(claim, write)
    }

    /// Like [`Graph::start`].
    pub fn start(&self, id: impl AsRef<str>) -> PendingWrite<()> {
        self.pending(self.graph.start_write(id.as_ref()))
    }

    /// Like [`Graph::complete`].
    pub fn complete(&self, id: impl AsRef<str>, outcome: Outcome) -> PendingWrite<Completion> {
        let found = self.graph.resolve(id.as_ref());
        self.pending(found.and_then(|found| self.graph.complete_write(found, outcome, None)))
    }

    /// Like [`Graph::cancel`].
    pub fn cancel(&self, id: impl AsRef<str>) -> PendingWrite<Cancellation> {
        self.pending(self.graph.cancel_write(id.as_ref()))
    }
}
