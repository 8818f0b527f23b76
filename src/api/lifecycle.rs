// Starting, completing, and canceling jobs by id.

use std::sync::Arc;

use crate::api::graph::Graph;
use crate::api::spans::call_span;
use crate::api::write::{PreparedWrite, done};
use crate::engine::state::calls::WriteResult;
use crate::engine::state::claim::Claim;
use crate::engine::state::operation::{Action, Operation, SMALL_WRITE_BYTES};
use crate::engine::state::run_cell::RunCell;
use crate::model::error::{Error, Result};
use crate::model::id::JobId;
use crate::model::outcome::Outcome;

/// The result of [`Graph::complete`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// The outcome was recorded.
    Done,
    /// The job was already complete. It keeps this outcome.
    AlreadyComplete(Outcome),
}

/// The result of [`Graph::cancel`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cancellation {
    /// The job was pending. It is now complete, with the outcome canceled.
    CancelledBeforeStart,
    /// The job is running. The cancel request is recorded, and the job's worker can see it.
    Requested,
    /// The job was already complete. It keeps this outcome.
    AlreadyComplete(Outcome),
}

impl Graph {
    /// Marks a pending job as running. [`Graph::claim`] does the same and returns a
    /// [`Run`](crate::Run), which records an outcome even if the worker panics.
    ///
    /// # Errors
    /// [`Error::UnknownJob`], [`Error::JobPurged`]; [`Error::IllegalTransition`] if the job is not
    /// pending; those of every write ([`Graph::submit`]) and those of [`Graph::job`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, Error, JobStore, Request, State};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// movie.start(&id)?;
    /// let again = movie.start(&id);
    /// assert!(matches!(again, Err(Error::IllegalTransition { from: State::Running, .. })));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn start(&self, id: impl AsRef<str>) -> Result<()> {
        let _span = call_span!("start", self, id.as_ref());
        self.start_write(id.as_ref())?.commit(self.engine())
    }

    pub(crate) fn start_write(&self, id: &str) -> Result<PreparedWrite<()>> {
        let (_, action) = self.start_action(id, None)?;
        Ok(PreparedWrite::small(action, done))
    }

    /// Returns the job with this id, and the action that starts it.
    pub(crate) fn start_action(
        &self,
        id: &str,
        claim: Option<Arc<Claim>>,
    ) -> Result<(u64, Action)> {
        let (sequence, id) = self.resolve(id)?;
        let action = Action::Start {
            graph: self.core.clone(),
            sequence,
            id,
            claim,
        };
        Ok((sequence, action))
    }

    /// Completes a running job with an outcome. For a pending job, the only valid outcome is
    /// canceled. A job that is already complete keeps its outcome.
    ///
    /// # Errors
    /// [`Error::UnknownJob`], [`Error::JobPurged`]; [`Error::IllegalTransition`] for a pending job;
    /// [`Error::OutcomeTooLarge`] if masking makes the detail longer than 64 KiB
    /// ([`Secrets::MaskAtSubmit`](crate::Secrets::MaskAtSubmit)); those of every write
    /// ([`Graph::submit`]) and those of [`Graph::job`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, Completion, JobStore, Outcome, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// movie.start(&id)?;
    /// let failed = Outcome::failed("GES.8012", "no such vertex");
    /// assert_eq!(movie.complete(&id, failed.clone())?, Completion::Done);
    /// // The first outcome stays.
    /// let again = movie.complete(&id, Outcome::succeeded())?;
    /// assert_eq!(again, Completion::AlreadyComplete(failed));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn complete(&self, id: impl AsRef<str>, outcome: Outcome) -> Result<Completion> {
        let (sequence, id) = self.resolve(id.as_ref())?;
        let _span = call_span!("complete", self, id.as_str());
        let write = self.complete_write((sequence, id), outcome, None)?;
        write.commit(self.engine())
    }

    /// Completes a job, on behalf of a run if one is given.
    pub(crate) fn complete_write(
        &self,
        (sequence, id): (u64, JobId),
        outcome: Outcome,
        run: Option<Arc<RunCell>>,
    ) -> Result<PreparedWrite<Completion>> {
        self.check_writable()?;
        let outcome = outcome.kept(&self.engine().secret_keys())?;
        let texts = [
            outcome.code(),
            outcome.message(),
            outcome.detail(),
            outcome.result_ref(),
        ];
        let text_bytes: u64 = texts.iter().flatten().map(|text| text.len() as u64).sum();
        let action = Action::Complete {
            graph: self.core.clone(),
            sequence,
            id,
            outcome,
            run,
        };
        let bytes = SMALL_WRITE_BYTES + text_bytes;
        let graph = self.clone();
        Ok(PreparedWrite::new(
            Operation { action, bytes },
            move |result| graph.completion(sequence, result),
        ))
    }

    fn completion(&self, sequence: u64, result: Result<WriteResult>) -> Result<Completion> {
        match result? {
            WriteResult::AlreadyComplete => {
                Ok(Completion::AlreadyComplete(self.outcome(sequence)?))
            }
            _ => Ok(Completion::Done),
        }
    }

    /// Cancels a job. A pending job is completed as canceled immediately. For a running job, a
    /// durable cancel request is recorded; the job's worker can check for it with
    /// [`Run::cancel_requested`](crate::Run::cancel_requested). If the store is reopened before the
    /// job completes, recovery completes it as canceled, except under
    /// [`Recovery::Leave`](crate::Recovery::Leave).
    ///
    /// # Errors
    /// [`Error::UnknownJob`], [`Error::JobPurged`]; those of every write ([`Graph::submit`]) and
    /// those of [`Graph::job`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, Cancellation, JobStore, Outcome, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let request = || Request::new("export_graph", "/ges", Body::empty());
    /// let waiting = movie.submit(request()?)?;
    /// assert_eq!(movie.cancel(&waiting)?, Cancellation::CancelledBeforeStart);
    ///
    /// movie.submit(request()?)?;
    /// if let Some(run) = movie.claim_next()? {
    ///     assert_eq!(movie.cancel(run.id())?, Cancellation::Requested);
    ///     assert!(run.cancel_requested()); // the worker checks from time to time
    ///     run.complete(Outcome::cancelled())?;
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn cancel(&self, id: impl AsRef<str>) -> Result<Cancellation> {
        let _span = call_span!("cancel", self, id.as_ref());
        self.cancel_write(id.as_ref())?.commit(self.engine())
    }

    pub(crate) fn cancel_write(&self, id: &str) -> Result<PreparedWrite<Cancellation>> {
        Ok(self.cancel_write_of(self.resolve(id)?))
    }

    pub(crate) fn cancel_write_of(
        &self,
        (sequence, id): (u64, JobId),
    ) -> PreparedWrite<Cancellation> {
        let action = Action::Cancel {
            graph: self.core.clone(),
            sequence,
            id,
        };
        let graph = self.clone();
        PreparedWrite::small(action, move |result| graph.cancellation(sequence, result))
    }

    fn cancellation(&self, sequence: u64, result: Result<WriteResult>) -> Result<Cancellation> {
        match result? {
            WriteResult::AlreadyComplete => {
                Ok(Cancellation::AlreadyComplete(self.outcome(sequence)?))
            }
            WriteResult::CancelledBeforeStart => Ok(Cancellation::CancelledBeforeStart),
            _ => Ok(Cancellation::Requested),
        }
    }

    fn outcome(&self, sequence: u64) -> Result<Outcome> {
        let job = self.engine().job(&self.core, sequence)?;
        job.and_then(|job| job.outcome).ok_or(Error::UnknownJob {
            id: sequence.to_string(),
        })
    }
}
