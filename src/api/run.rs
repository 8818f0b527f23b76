// A claimed job, held by a worker.
//
// A run never records an outcome other than the one it was given. If a run is dropped without an
// outcome, its job is settled as the next open would settle it.

mod dropped;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::api::cancelled::Cancelled;
use crate::api::graph::Graph;
use crate::api::lifecycle::Completion;
use crate::api::pending_write::PendingWrite;
use crate::api::spans::call_span;
use crate::api::write::PreparedWrite;
use crate::base::sync::atomic::{AtomicU64, Ordering};
use crate::base::sync::time::Instant;
use crate::engine::state::calls::WriteResult;
use crate::engine::state::operation::Action;
use crate::engine::state::run_cell::RunCell;
use crate::model::error::Result;
use crate::model::id::JobId;
use crate::model::job::Progress;
use crate::model::outcome::Outcome;
use crate::model::request::Request;

/// The maximum length of a progress text, in bytes.
const PROGRESS_BYTES_MAX: usize = 256;

/// No outcome has been recorded yet.
const OPEN: u64 = 0;
/// An attempt to record an outcome has failed.
const FAILED: u64 = 1;
/// An outcome was queued or recorded, or the run was detached.
const SETTLED: u64 = 2;

/// A claimed job: returned by [`Graph::claim`](crate::Graph::claim),
/// [`Graph::claim_next`](crate::Graph::claim_next),
/// [`Graph::claim_next_timeout`](crate::Graph::claim_next_timeout),
/// [`Graph::claim_next_async`](crate::Graph::claim_next_async), and
/// [`Graph::attach`](crate::Graph::attach).
///
/// Finish it with [`Run::complete`], [`Run::requeue`], or [`Run::detach`]. If `complete` or
/// `requeue` fails, the run still owns its job: try again, or call another of the three.
///
/// # Dropping a run
/// If a run is dropped without any of these calls, its job is settled as the next open would settle
/// it after a crash, so that a graceful shutdown preserves at least as much as `kill -9`:
///
/// | [`Recovery`](crate::Recovery) | dropped | dropped after a cancel request | dropped by a panic |
/// |---|---|---|---|
/// | [`Interrupt`](crate::Recovery::Interrupt) | interrupted | canceled | interrupted |
/// | [`Requeue`](crate::Recovery::Requeue) | pending again | canceled | interrupted |
/// | [`Leave`](crate::Recovery::Leave) | left running | left running | interrupted |
///
/// A panic is a bug in the worker's code, not a shutdown, and a job that panics each time must not
/// run forever. Therefore, a job whose run is dropped by a panic is never requeued. A job whose
/// secrets are lost ([`Job::secrets_lost`](crate::Job::secrets_lost)) is interrupted instead of
/// requeued.
///
/// Dropping the run blocks until this has been recorded, for up to a second. As long as the store
/// is open, it is recorded even if that takes longer. Once the store is closed, nothing is
/// recorded, and the next open recovers the job. After a failed `complete` or `requeue`, dropping
/// the run records nothing: the job stays running until it is completed with
/// [`Graph::complete`](crate::Graph::complete), [attached](crate::Graph::attach), or recovered by
/// the next open.
///
/// # Delivery
/// A job may run twice under [`Recovery::Requeue`](crate::Recovery::Requeue), but never under
/// [`Recovery::Interrupt`](crate::Recovery::Interrupt).
///
/// | | a job runs |
/// |---|---|
/// | [`Recovery::Interrupt`](crate::Recovery::Interrupt) | at most once |
/// | [`Recovery::Requeue`](crate::Recovery::Requeue) | at least once: again after a crash, after a shutdown, or if its run is dropped, even if the work was done and only its outcome had not been recorded |
/// | [`Recovery::Leave`](crate::Recovery::Leave) | at most once, unless it is attached again |
///
/// [`Run::requeue`] makes a job run again, whatever the policy. Under `Requeue`, the work must be
/// idempotent. Two runs never own a job at the same time: a requeued job is given to one worker,
/// and its earlier runs can no longer complete it.
///
/// # Graceful shutdown
/// 1. Stop claiming: do not call [`claim_next`](crate::Graph::claim_next) again, and drop the
///    futures of [`claim_next_async`](crate::Graph::claim_next_async).
/// 2. Let the current work finish, up to a deadline.
/// 3. At the deadline, drop the runs, or call [`Run::requeue`] for work that can be repeated
///    and [`Run::complete`] for the rest.
/// 4. [Close](crate::JobStore::close) the store.
///
/// ```
/// use jobstore::{JobStore, Outcome, Recovery, Requeued};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let store = JobStore::options().recovery(Recovery::Requeue).open(dir)?;
/// let movie = store.get_or_create_graph("10001", "movie")?;
/// # let request = jobstore::Request::new("pagerank", "/ges", jobstore::Body::empty())?;
/// # let id = movie.submit(request)?;
/// # let is_stopping = || true; // set by the handler of SIGTERM
/// # let step = || false;
/// if let Some(run) = movie.claim_next()? {
///     loop {
///         if run.cancel_requested() {
///             run.complete(Outcome::cancelled())?;
///             break;
///         }
///         if is_stopping() {
///             assert_eq!(run.requeue()?, Requeued::Pending); // another process continues
///             break;
///         }
///         if step() {
///             run.complete(Outcome::succeeded())?;
///             break;
///         }
///     }
/// }
/// store.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Examples
/// ```
/// use jobstore::{Body, JobStore, Outcome, Request};
/// # let store = JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// movie.submit(Request::new("pagerank", "/ges", Body::empty())?)?;
/// while let Some(run) = movie.claim_next()? {
///     for step in 0..10 {
///         if run.cancel_requested() {
///             break;
///         }
///         run.progress(step * 10, "iterating");
///     }
///     let outcome = if run.cancel_requested() { Outcome::cancelled() } else { Outcome::succeeded() };
///     run.complete(outcome)?;
/// }
/// # Ok::<(), jobstore::Error>(())
/// ```
#[must_use = "dropping a run settles its job without an outcome"]
pub struct Run {
    graph: Graph,
    id: JobId,
    request: Request,
    sequence: u64,
    secrets_lost: bool,
    cell: Arc<RunCell>,
    /// Whether the run is settled: [`OPEN`], [`FAILED`], or [`SETTLED`].
    end: AtomicU64,
}

/// The result of [`Run::requeue`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requeued {
    /// The job is pending again, at its original position in the order.
    Pending,
    /// The job had a cancel request, so it was completed as canceled.
    Cancelled,
    /// The job was already complete.
    AlreadyComplete,
}

impl Run {
    pub(crate) fn new(
        graph: Graph,
        (id, request, sequence, secrets_lost): (JobId, Request, u64, bool),
        cell: Arc<RunCell>,
    ) -> Run {
        Run {
            graph,
            id,
            request,
            sequence,
            secrets_lost,
            cell,
            end: AtomicU64::new(OPEN),
        }
    }

    /// Returns the job's id.
    #[must_use]
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// Returns the job's request exactly as submitted, secrets included. If the secrets are
    /// [lost](crate::Job::secrets_lost), it contains `"******"` instead.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Reports the progress of the work: a percentage (a value above 100 is stored as 100), and a
    /// short text, which is truncated to 256 bytes. Readers see the latest report. It is kept only
    /// in memory, so the call is cheap, and async code can make it directly.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Outcome, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let run = movie.claim(&id)?;
    /// run.progress(40, "iteration 8 of 20");
    /// let job = movie.job(&id)?.ok_or("it is running")?;
    /// assert_eq!(job.progress().map(|progress| progress.percent), Some(40));
    /// # run.complete(Outcome::succeeded())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn progress(&self, percent: u8, text: &str) {
        let mut end = text.len().min(PROGRESS_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        *self.cell.progress.lock() = Some(Progress {
            percent: percent.min(100),
            text: text[..end].to_owned(),
        });
    }

    /// Returns `true` if the work should stop: [`Graph::cancel`](crate::Graph::cancel) was called
    /// for the job, or the run [is over](Run::is_over). This takes two atomic reads, so it can be
    /// called often.
    #[must_use]
    pub fn cancel_requested(&self) -> bool {
        self.cell.cancel.load(Ordering::Acquire) || self.is_over()
    }

    /// Returns a future that resolves when the run should stop. It works in any async runtime, for
    /// example in a `select!` beside the work. [`Run::wait_cancelled`] blocks instead.
    ///
    /// It resolves when [`Run::cancel_requested`] becomes true: a cancellation is requested, or the
    /// run [is over](Run::is_over). It also resolves when no outcome can be recorded any more,
    /// because the graph is dropped, the store is closed, or a failed write has made the store
    /// read-only. If one of these is already the case, the future resolves immediately.
    ///
    /// Dropping the future has no effect on the run.
    ///
    /// # Examples
    /// ```
    /// use futures::future::{Either, pending, select};
    /// use jobstore::{Body, JobStore, Outcome, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let id = movie.submit(Request::new("pagerank", "/ges", Body::empty())?)?;
    /// # futures::executor::block_on(async {
    /// let run = movie.claim_next_async().await?;
    /// movie.cancel(&id)?; // somewhere else
    /// let work = pending::<()>(); // does not complete
    /// let outcome = match select(run.cancelled(), work).await {
    ///     Either::Left(_) => Outcome::cancelled(),
    ///     Either::Right(_) => Outcome::succeeded(),
    /// };
    /// run.complete_async(outcome).await?;
    /// # Ok::<(), jobstore::Error>(())
    /// # })?;
    /// let job = movie.job(&id)?.ok_or("it is complete")?;
    /// assert_eq!(job.outcome(), Some(&Outcome::cancelled()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancelled(&self) -> Cancelled {
        Cancelled::new(self.graph.clone(), self.sequence, self.cell.clone())
    }

    /// Blocks until the run should stop, as described at [`Run::cancelled`], and returns `true`.
    /// Returns `false` if the timeout passes first. Work that has to pause can wait here instead of
    /// sleeping.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Outcome, Request};
    /// use std::time::Duration;
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("pagerank", "/ges", Body::empty())?)?;
    /// let run = movie.claim(&id)?;
    /// assert!(!run.wait_cancelled(Duration::from_millis(10)));
    /// movie.cancel(&id)?; // somewhere else
    /// assert!(run.wait_cancelled(Duration::from_secs(60)));
    /// run.complete(Outcome::cancelled())?;
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn wait_cancelled(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        self.cancelled().wait(deadline)
    }

    /// Returns `true` if the run no longer owns its job: the job was completed through
    /// [`Graph::complete`](crate::Graph::complete) (perhaps by an operator) or requeued by another
    /// run, or its graph was dropped. The result of the work is no longer needed.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, Completion, JobStore, Outcome, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let run = movie.claim(&id)?;
    /// movie.complete(&id, Outcome::interrupted())?; // an operator completes the job
    /// assert!(run.is_over() && run.cancel_requested());
    /// // The first outcome stays.
    /// let late = run.complete(Outcome::succeeded())?;
    /// assert_eq!(late, Completion::AlreadyComplete(Outcome::interrupted()));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.cell.is_over()
    }

    /// Completes the job with an outcome, and blocks until the outcome is durable. If the job has
    /// already been completed through [`Graph::complete`](crate::Graph::complete), it keeps that
    /// outcome.
    ///
    /// # Errors
    /// Those of [`Graph::complete`](crate::Graph::complete);
    /// [`Error::InvalidUse`](crate::Error::InvalidUse) if the job was requeued. On an error, the
    /// run still owns the job: try again, perhaps with a smaller detail. If the run is dropped
    /// instead, no other outcome is recorded: the job stays running, and can be completed with
    /// [`Graph::complete`](crate::Graph::complete).
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Outcome, Request};
    /// # fn clear() -> Result<u64, std::io::Error> { Ok(7) }
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// if let Some(run) = movie.claim_next()? {
    ///     let outcome = match clear() {
    ///         Ok(vertices) => Outcome::succeeded().with_detail(&vertices)?,
    ///         Err(error) => Outcome::failed("GES.8012", error.to_string()),
    ///     };
    ///     run.complete(outcome)?;
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn complete(&self, outcome: Outcome) -> Result<Completion> {
        let _span = call_span!("complete", self.graph, self.id.as_str());
        let write = self.complete_write(outcome);
        self.tried(write.and_then(|write| write.commit(self.graph.engine())))
    }

    fn complete_write(&self, outcome: Outcome) -> Result<PreparedWrite<Completion>> {
        let found = (self.sequence, self.id.clone());
        let run = Some(self.cell.clone());
        self.graph.complete_write(found, outcome, run)
    }

    /// Like [`Run::complete`], but without blocking: `run.complete_async(outcome).await?`. After
    /// this call, dropping the run records nothing. If the pending write fails, try again, or
    /// complete the job with [`Graph::complete`](crate::Graph::complete).
    ///
    /// # Cancel safety
    /// The outcome is recorded whether or not the pending write is awaited, and even if the pending
    /// write or the run is dropped. (Dropping a pending write that found the commit queue full
    /// blocks until there is space; see [`PendingWrite`].)
    ///
    /// # Errors
    /// The pending write returns the errors of [`Run::complete`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Outcome, Request, State};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// # futures::executor::block_on(async {
    /// let run = movie.claim_next_async().await?;
    /// run.complete_async(Outcome::succeeded()).await?;
    /// # jobstore::Result::Ok(())
    /// # })?;
    /// assert_eq!(movie.count(State::Complete)?, 1);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn complete_async(&self, outcome: Outcome) -> PendingWrite<Completion> {
        self.end.store(SETTLED, Ordering::Relaxed);
        PendingWrite::new(&self.graph.handle, self.complete_write(outcome))
    }

    /// Makes the job pending again, at its original position in the order, and blocks until the
    /// change is durable. The next worker runs the job from the beginning. If the job has a cancel
    /// request, it is completed as canceled instead.
    ///
    /// The [changes](crate::Graph::changes) contain
    /// [`ChangeKind::Requeued`](crate::ChangeKind::Requeued). The job's progress is discarded.
    ///
    /// # Errors
    /// Those of every write ([`Graph::submit`](crate::Graph::submit));
    /// [`Error::InvalidUse`](crate::Error::InvalidUse) if the job was already requeued. On an
    /// error, the run still owns the job, and dropping the run records nothing.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request, Requeued, State};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// movie.submit(Request::new("pagerank", "/ges", Body::empty())?)?;
    /// let run = movie.claim(&id)?;
    /// assert_eq!(run.requeue()?, Requeued::Pending);
    /// assert_eq!(movie.count(State::Pending)?, 2);
    /// // It is still the oldest.
    /// assert_eq!(movie.claim_next()?.map(|run| run.id().clone()), Some(id));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn requeue(&self) -> Result<Requeued> {
        let _span = call_span!("requeue", self.graph, self.id.as_str());
        let write = self.give_up(true, requeued);
        self.tried(write.and_then(|write| write.commit(self.graph.engine())))
    }

    /// Like [`Run::requeue`], but without blocking. After this call, dropping the run records
    /// nothing. Async code should call this instead of dropping the run, because a drop may block
    /// for up to a second.
    ///
    /// # Cancel safety
    /// The same as for [`Run::complete_async`].
    ///
    /// # Errors
    /// The pending write returns the errors of [`Run::requeue`].
    pub fn requeue_async(&self) -> PendingWrite<Requeued> {
        self.end.store(SETTLED, Ordering::Relaxed);
        PendingWrite::new(&self.graph.handle, self.give_up(true, requeued))
    }

    /// Releases the job without recording anything: it stays running. Complete it with
    /// [`Graph::complete`](crate::Graph::complete), or continue it with
    /// [`Graph::attach`](crate::Graph::attach). Under
    /// [`Recovery::Interrupt`](crate::Recovery::Interrupt) and
    /// [`Recovery::Requeue`](crate::Recovery::Requeue), the next open recovers it.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Outcome, Request, State};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # movie.submit(Request::new("import_graph", "/ges", Body::empty())?)?;
    /// if let Some(run) = movie.claim_next()? {
    ///     let id = run.id().clone();
    ///     run.detach(); // something outside of this process works on it
    ///     assert_eq!(movie.count(State::Running)?, 1);
    ///     movie.complete(&id, Outcome::succeeded())?; // it has reported back
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn detach(self) {
        self.end.store(SETTLED, Ordering::Relaxed);
    }

    /// Remembers whether recording succeeded.
    fn tried<T>(&self, recorded: Result<T>) -> Result<T> {
        let end = match recorded {
            Ok(_) => SETTLED,
            Err(_) => FAILED,
        };
        self.end.store(end, Ordering::Relaxed);
        recorded
    }

    fn give_up<T: 'static>(
        &self,
        requeue: bool,
        finish: fn(Result<WriteResult>) -> Result<T>,
    ) -> Result<PreparedWrite<T>> {
        self.graph.check_writable()?;
        let action = Action::GiveUp {
            graph: self.graph.core.clone(),
            sequence: self.sequence,
            id: self.id.clone(),
            run: self.cell.clone(),
            requeue,
        };
        Ok(PreparedWrite::small(action, finish))
    }
}

fn requeued(result: Result<WriteResult>) -> Result<Requeued> {
    Ok(match result? {
        WriteResult::Requeued => Requeued::Pending,
        WriteResult::AlreadyComplete => Requeued::AlreadyComplete,
        _ => Requeued::Cancelled,
    })
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("id", &self.id)
            .field("request", &self.request)
            .field("cancel_requested", &self.cancel_requested())
            .finish_non_exhaustive()
    }
}
