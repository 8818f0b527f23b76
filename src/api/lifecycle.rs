//! Jobs on their way from pending to complete.
//!
//! Owns: the calls that take a job further, and what they answer. Must not know: how a
//! write becomes durable.
//! Promise: a job goes from state to state as it is allowed to.

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

/// What [`Graph::complete`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// The outcome was recorded.
    Done,
    /// The job was complete before, with this outcome; that one stays.
    AlreadyComplete(Outcome),
}

/// What [`Graph::cancel`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cancellation {
    /// The job was pending; it is complete now, as cancelled.
    CancelledBeforeStart,
    /// The job is running; its worker sees the request.
    Requested,
    /// The job was complete before, with this outcome.
    AlreadyComplete(Outcome),
}

impl Graph {
    /// Marks a pending job as running. [`Graph::claim`] does the same and gives a guard,
    /// which records the end of work that ends without a word.
    ///
    /// # Errors
    /// [`Error::UnknownJob`], [`Error::JobPurged`]; [`Error::IllegalTransition`] when it
    /// is not pending; those of every write ([`Graph::submit`]) and of looking an id up
    /// ([`Graph::job`]).
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

    /// The job with this id, and what starts it.
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

    /// Marks a running job as complete, with its outcome. A pending job can only be
    /// completed as cancelled. A job that is complete keeps the outcome it has.
    ///
    /// # Errors
    /// [`Error::UnknownJob`], [`Error::JobPurged`]; [`Error::IllegalTransition`] for a
    /// pending job; [`Error::OutcomeTooLarge`] for a detail over 64 KiB once it is masked
    /// ([`Secrets::MaskAtSubmit`](crate::Secrets::MaskAtSubmit)); those of every write
    /// ([`Graph::submit`]) and of looking an id up ([`Graph::job`]).
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

    /// Completes a job, by a run if one is given.
    pub(crate) fn complete_write(
        &self,
        (sequence, id): (u64, JobId),
        outcome: Outcome,
        run: Option<Arc<RunCell>>,
    ) -> Result<PreparedWrite<Completion>> {
        self.check_writable()?;
        let outcome = outcome.kept(&self.engine().options.secret_keys)?;
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

    /// Cancels a job: a pending job is immediately complete, as cancelled; a running job
    /// gets a durable request, which its worker sees by
    /// [`Run::cancel_requested`](crate::Run::cancel_requested). After a restart, a job with
    /// such a request ends as cancelled.
    ///
    /// # Errors
    /// [`Error::UnknownJob`], [`Error::JobPurged`]; those of every write
    /// ([`Graph::submit`]) and of looking an id up ([`Graph::job`]).
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
    ///     assert!(run.cancel_requested()); // the worker asks now and then
    ///     run.complete(Outcome::cancelled())?;
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn cancel(&self, id: impl AsRef<str>) -> Result<Cancellation> {
        let _span = call_span!("cancel", self, id.as_ref());
        self.cancel_write(id.as_ref())?.commit(self.engine())
    }

    pub(crate) fn cancel_write(&self, id: &str) -> Result<PreparedWrite<Cancellation>> {
        let (sequence, id) = self.resolve(id)?;
        let action = Action::Cancel {
            graph: self.core.clone(),
            sequence,
            id,
        };
        let graph = self.clone();
        Ok(PreparedWrite::small(action, move |result| {
            graph.cancellation(sequence, result)
        }))
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
