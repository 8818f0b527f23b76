// Waiting for a job to complete.
//
// A waiter sees a completion once it is durable, even if that was before the wait began. A dropped
// wait leaves no waiter behind.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::api::graph::Graph;
use crate::api::registration::Registration;
use crate::base::sync::time::Instant;
use crate::model::error::Result;
use crate::model::id::JobId;
use crate::model::job::Job;
use crate::model::states::State;

impl Graph {
    /// Waits until a job is complete, and returns it. Returns `None` if the timeout passes first. A
    /// job that is already complete is returned immediately.
    ///
    /// # Cost
    /// A waiting call uses a few hundred bytes of memory, and does not poll. Commits of other jobs
    /// do not wake it.
    ///
    /// # Errors
    /// [`Error::UnknownJob`], [`Error::JobPurged`], and those of [`Graph::job`]. These also end a
    /// wait: [`Error::GraphDropped`], [`Error::Closed`], and [`Error::ReadOnly`], if a failed write
    /// means that no job can complete before the store is reopened. In a store that was opened
    /// read-only, [`Error::OpenedReadOnly`] is returned immediately.
    ///
    /// [`Error::UnknownJob`]: crate::Error::UnknownJob
    /// [`Error::JobPurged`]: crate::Error::JobPurged
    /// [`Error::GraphDropped`]: crate::Error::GraphDropped
    /// [`Error::Closed`]: crate::Error::Closed
    /// [`Error::OpenedReadOnly`]: crate::Error::OpenedReadOnly
    /// [`Error::ReadOnly`]: crate::Error::ReadOnly
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Outcome, Request};
    /// use std::time::Duration;
    /// let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// assert!(movie.wait(&id, Duration::from_millis(1))?.is_none());
    ///
    /// let worker = movie.clone();
    /// std::thread::spawn(move || {
    ///     let run = worker.claim_next()?.ok_or(jobstore::Error::Closed)?;
    ///     run.complete(Outcome::succeeded())
    /// });
    /// let job = movie.wait(&id, Duration::from_secs(60))?;
    /// assert_eq!(job.and_then(|job| job.outcome().cloned()), Some(Outcome::succeeded()));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn wait(&self, id: impl AsRef<str>, timeout: Duration) -> Result<Option<Job>> {
        self.wait_async(id)?.wait_timeout(timeout)
    }

    /// Returns a future that resolves to the job once it is complete. It works in any async
    /// runtime. Dropping it cancels the wait.
    ///
    /// # Errors
    /// This call returns [`Error::UnknownJob`](crate::Error::UnknownJob),
    /// [`Error::JobPurged`](crate::Error::JobPurged), and the errors of [`Graph::job`]. The future
    /// returns the other errors of [`Graph::wait`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Outcome, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let completion = movie.wait_async(&id)?;
    /// movie.cancel(&id)?; // somewhere else
    /// let job = futures::executor::block_on(completion)?; // in an async engine: `completion.await?`
    /// assert_eq!(job.outcome(), Some(&Outcome::cancelled()));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn wait_async(&self, id: impl AsRef<str>) -> Result<JobCompletion> {
        self.check()?;
        let (sequence, id) = self.resolve_to_read(id.as_ref())?;
        Ok(JobCompletion {
            registration: Registration::new(self, sequence),
            graph: self.clone(),
            sequence,
            id,
        })
    }
}

/// A future that waits for a job to complete: returned by [`Graph::wait_async`].
///
/// It keeps the store open.
#[must_use = "does nothing unless awaited or waited for"]
pub struct JobCompletion {
    graph: Graph,
    sequence: u64,
    id: JobId,
    registration: Registration,
}

impl JobCompletion {
    /// Blocks until the job is complete. Returns `None` if the timeout passes first; in that case,
    /// this can be called again.
    ///
    /// # Errors
    /// Those of [`Graph::wait`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request, State};
    /// use std::time::Duration;
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let mut completion = movie.wait_async(&id)?;
    /// let job = loop {
    ///     match completion.wait_timeout(Duration::from_millis(10))? {
    ///         Some(job) => break job,
    ///         None => println!("still running"),
    ///     }
    /// #     movie.cancel(&id)?;
    /// };
    /// assert_eq!(job.state(), State::Complete);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<Option<Job>> {
        let deadline = Instant::now().checked_add(timeout);
        self.graph.engine().check_process()?;
        let (graph, sequence, id) = (&self.graph, self.sequence, &self.id);
        let completed = || poll_job(graph, sequence, id);
        self.registration.wait(deadline, completed).transpose()
    }
}

#[cfg(feature = "http")]
impl JobCompletion {
    /// Resolves when the job is complete or cannot complete any more. This reads nothing.
    pub(crate) async fn ended(mut self) {
        let (graph, sequence) = (&self.graph, self.sequence);
        let ended = || (!may_complete(graph, sequence)).then_some(());
        let registration = &mut self.registration;
        std::future::poll_fn(|context| registration.poll(context, ended)).await;
    }
}

#[cfg(feature = "http")]
fn may_complete(graph: &Graph, sequence: u64) -> bool {
    let state = graph.core.state.read().status.get(sequence);
    let engine = graph.engine();
    matches!(state, Some(State::Pending | State::Running))
        && graph.check().is_ok()
        && engine.check_not_read_only().is_ok()
        && engine.check_sound().is_ok()
}

/// Returns the job if it is complete, or the error if it cannot complete. Call this after the
/// waiter has been registered.
fn poll_job(graph: &Graph, sequence: u64, id: &JobId) -> Option<Result<Job>> {
    let engine = graph.engine();
    if let Err(error) = graph.check() {
        return Some(Err(error));
    }
    match graph.core.state.read().status.get(sequence) {
        Some(State::Complete) | None => {}
        // If no writes are possible, the job never completes.
        Some(_) => {
            let checked = engine.check_not_read_only();
            return checked.and_then(|()| engine.check_sound()).err().map(Err);
        }
    }
    let job = engine.job(&graph.core, sequence);
    let purged = || graph.not_there(id);
    Some(job.and_then(|job| job.ok_or_else(purged)))
}

impl Future for JobCompletion {
    type Output = Result<Job>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Job>> {
        let completion = &mut *self;
        if let Err(error) = completion.graph.engine().check_process() {
            return Poll::Ready(Err(error));
        }
        let (graph, sequence, id) = (&completion.graph, completion.sequence, &completion.id);
        let completed = || poll_job(graph, sequence, id);
        completion.registration.poll(context, completed)
    }
}

impl fmt::Debug for JobCompletion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobCompletion")
            .field("graph", &self.graph)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
