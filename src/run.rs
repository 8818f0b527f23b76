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
use crate::graph::{Completion, Graph};
use crate::id::JobId;
use crate::job::Progress;
use crate::outcome::Outcome;
use crate::request::Request;

/// Bytes of a progress text.
const PROGRESS_BYTES_MAX: usize = 256;
/// How long a dropped guard waits for its record; it is queued anyway.
const DROP_WAIT: Duration = Duration::from_secs(1);

/// A running job in the hands of whoever works on it: from
/// [`Graph::run`](crate::Graph::run) and [`Graph::run_next`](crate::Graph::run_next).
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

    /// What is to be done.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Says how far the work is: 0 to 100 (more counts as 100) and a few words, cut
    /// to 256 bytes. Not durable and cheap; readers see the latest.
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

    /// Records how the job ended.
    ///
    /// # Errors
    /// Those of [`Graph::complete`](crate::Graph::complete). On an error the guard
    /// is dropped: where that can be recorded, the job is interrupted.
    pub fn complete(mut self, outcome: Outcome) -> Result<Completion> {
        let completed = self
            .graph
            .complete_sequence(self.sequence, &self.id, outcome);
        self.finished = completed.is_ok();
        completed
    }

    /// Lets go of the guard and leaves the job running.
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
