//! A job being worked on, as a guard.
//!
//! Owns: [`Run`]: progress, the look at cancel requests, and what happens when the
//! work ends without a word. Must not know: commits.
//! Promise: a run that is dropped unfinished, also by a panic, is recorded as
//! interrupted.

use crate::sync::atomic::Ordering;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::graph_state::RunCell;
use crate::error::Result;
use crate::graph::Graph;
use crate::id::JobId;
use crate::job::Progress;
use crate::lifecycle::Completion;
use crate::outcome::Outcome;
use crate::request::Request;

/// Bytes of a progress text.
const PROGRESS_BYTES_MAX: usize = 256;
/// How long a dropped guard waits for its record; it is queued anyway.
const DROP_WAIT: Duration = Duration::from_secs(1);

/// A running job in the hands of whoever works on it: from
/// [`Graph::run`](crate::Graph::run), [`Graph::run_next`](crate::Graph::run_next) and
/// [`Graph::attach`](crate::Graph::attach).
///
/// Complete it, or it is recorded as [`Outcome::interrupted`] when it is dropped.
/// Dropping waits up to a second for that record; the record is made in any case
/// while the store is open.
///
/// # Examples
/// ```
/// use jobstore::{Body, JobStore, Outcome, Request};
/// # let store = JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// movie.submit(Request::new("pagerank", "/ges", Body::empty())?)?;
/// while let Some(run) = movie.run_next()? {
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
#[must_use = "a run that is dropped is recorded as interrupted"]
pub struct Run {
    graph: Graph,
    id: JobId,
    request: Request,
    sequence: u64,
    cell: Arc<RunCell>,
    finished: bool,
}

impl Run {
    pub(crate) fn new(
        graph: Graph,
        (id, request, sequence): (JobId, Request, u64),
        cell: Arc<RunCell>,
    ) -> Run {
        Run {
            graph,
            id,
            request,
            sequence,
            cell,
            finished: false,
        }
    }

    /// The job's id.
    #[must_use]
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// What is to be done, to the letter, with the secrets it carries. (Of a job that is
    /// [redacted](crate::Job::is_redacted), `"******"` in their place.)
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Says how far the work is: 0 to 100 (more counts as 100) and a few words, cut
    /// to 256 bytes. Not durable and cheap; readers see the latest.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Outcome, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let run = movie.run(&id)?;
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

    /// Whether the job was asked to stop. One atomic read: ask as often as you
    /// like.
    #[must_use]
    pub fn cancel_requested(&self) -> bool {
        self.cell.cancel.load(Ordering::Acquire)
    }

    /// Records how the job ended; blocks until that is durable. Where the job was completed
    /// by its id before, that outcome stays.
    ///
    /// # Errors
    /// Those of [`Graph::complete`](crate::Graph::complete). On an error the guard
    /// is dropped: where that can be recorded, the job is interrupted.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Outcome, Request};
    /// # fn clear() -> Result<u64, std::io::Error> { Ok(7) }
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// if let Some(run) = movie.run_next()? {
    ///     let outcome = match clear() {
    ///         Ok(vertices) => Outcome::succeeded().with_detail(&vertices)?,
    ///         Err(error) => Outcome::failed("GES.8012", error.to_string()),
    ///     };
    ///     run.complete(outcome)?;
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn complete(mut self, outcome: Outcome) -> Result<Completion> {
        let completed = self
            .graph
            .complete_sequence(self.sequence, &self.id, outcome);
        self.finished = completed.is_ok();
        completed
    }

    /// Lets go of the guard without a record: the job is left as it is, for whoever
    /// completes it by its id or takes it again by
    /// [`Graph::attach`](crate::Graph::attach).
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Outcome, Request, State};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// // An async worker completes it without blocking.
    /// # futures::executor::block_on(async {
    /// if let Some(run) = movie.queue().run_next().await? {
    ///     movie.queue().complete(run.id(), Outcome::succeeded()).await?;
    ///     run.leave();
    /// }
    /// # jobstore::Result::Ok(())
    /// # })?;
    /// assert_eq!(movie.count(State::Complete)?, 1);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn leave(mut self) {
        self.finished = true;
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let outcome = Outcome::interrupted();
        let mut ticket = self
            .graph
            .queue()
            .complete_sequence(self.sequence, &self.id, outcome);
        if let Some(Err(error)) = ticket.wait_timeout(DROP_WAIT) {
            tracing::warn!(job = %self.id, %error, "a dropped run could not be recorded as interrupted");
        }
        ticket.detach();
    }
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
