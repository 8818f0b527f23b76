//! The writes of graphs for engines that must not block.
//!
//! Owns: [`NonBlocking`]: for each blocking call one that gives a pending write.
//! Must not know: what the writes do, beyond what the blocking calls share.
//! Promise: what is queued is carried out in the order of one thread's calls.

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
    /// The same writes for engines that must not block: each is queued and gives a
    /// [`PendingWrite`], which is a future and can be waited for. See [`NonBlocking`].
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

/// A graph's writes without blocking: from [`Graph::nonblocking`].
///
/// Each call queues its write and returns a [`PendingWrite`]. Errors, those of bad input
/// too, come from the pending write. Writes of one thread are carried out in the order of
/// the calls, as long as the queue has room; when it is full, a pending write waits for
/// room when it is polled.
///
/// Calls that take an id look the job up first, which reads a block.
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

    /// Like [`Graph::submit`]. Where the queue is full the pending write waits for room;
    /// [`Graph::try_submit`] refuses instead.
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

    /// Like [`Graph::claim_next`]. A future that waits for a job is
    /// [`Graph::claim_next_async`].
    ///
    /// # Cancel safety
    /// If the pending write is dropped, the claim is withdrawn. If a job was claimed already, it
    /// is handed back: it is pending again, in its old place in the order, under any
    /// [`Recovery`](crate::Recovery). Dropping does not block.
    ///
    /// # Cost
    /// As for [`Graph::claim_next`]: without a pending job, and with no other write queued, it
    /// is answered without a commit.
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
