//! Jobs on their way from pending to complete.
//!
//! Owns: the calls that take a job further, and what they answer. Must not know: how a
//! write becomes durable.
//! Promise: a job goes from state to state as it is allowed to, and no two workers get the
//! same one.

use std::sync::Arc;

use crate::engine::answers::Answer;
use crate::engine::graph_state::RunCell;
use crate::engine::queue::{Action, Operation, SMALL_WRITE_BYTES};
use crate::engine::read::missing;
use crate::engine::status::States;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::id::JobId;
use crate::job::State;
use crate::outcome::Outcome;
use crate::run::Run;
use crate::spans::call_span;
use crate::sync::atomic::Ordering;

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
    /// The job is running; who works on it sees the request.
    Requested,
    /// The job was complete before, with this outcome.
    AlreadyComplete(Outcome),
}

impl Graph {
    /// Marks a pending job as running. [`Graph::run`] does the same and gives a guard,
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
        let (sequence, id) = self.resolve(id.as_ref())?;
        let operation = Operation::small(Action::Start {
            graph: self.core.clone(),
            sequence,
            id,
        });
        self.engine().commit(operation).map(|_| ())
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
        self.complete_sequence(sequence, &id, outcome, None)
    }

    /// Completes a job, by a run if one is given.
    pub(crate) fn complete_sequence(
        &self,
        sequence: u64,
        id: &JobId,
        outcome: Outcome,
        run: Option<Arc<RunCell>>,
    ) -> Result<Completion> {
        let _span = call_span!("complete", self, id.as_str());
        let operation = self.complete_operation(sequence, id, outcome, run)?;
        self.completion(sequence, self.engine().commit(operation))
    }

    /// Calls a job off: a pending one is complete at once, as cancelled; a running
    /// one gets a durable request, which who works on it sees by
    /// [`Run::cancel_requested`]. After a restart, a job with such a request ends
    /// as cancelled.
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
    /// if let Some(run) = movie.run_next()? {
    ///     assert_eq!(movie.cancel(run.id())?, Cancellation::Requested);
    ///     assert!(run.cancel_requested()); // who works on it asks now and then
    ///     run.complete(Outcome::cancelled())?;
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn cancel(&self, id: impl AsRef<str>) -> Result<Cancellation> {
        let _span = call_span!("cancel", self, id.as_ref());
        let (sequence, id) = self.resolve(id.as_ref())?;
        let operation = Operation::small(Action::Cancel {
            graph: self.core.clone(),
            sequence,
            id,
        });
        self.cancellation(sequence, self.engine().commit(operation))
    }

    /// Starts a pending job and hands it over as a guard, with its request as it was
    /// submitted, secrets included.
    ///
    /// # Errors
    /// Those of [`Graph::start`]. Where the job is started and cannot be read
    /// ([`Error::Damaged`], [`Error::Io`]), it is recorded as interrupted.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Outcome, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let run = movie.run(&id)?; // pending -> running
    /// run.progress(50, "half of it");
    /// run.complete(Outcome::succeeded().with_result_ref("results/42.csv")?)?; // running -> complete
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn run(&self, id: impl AsRef<str>) -> Result<Run> {
        let _span = call_span!("start", self, id.as_ref());
        let (sequence, id) = self.resolve(id.as_ref())?;
        let operation = Operation::small(Action::Start {
            graph: self.core.clone(),
            sequence,
            id,
        });
        self.engine().commit(operation)?;
        self.watch(sequence)
    }

    /// Starts the oldest pending job and hands it over as a guard; `None` when
    /// nothing is pending. Two callers never get the same job.
    ///
    /// # Cost
    /// Without a pending job a look at a number in memory; otherwise a commit, and one
    /// block is read.
    ///
    /// # Errors
    /// Those of every write ([`Graph::submit`]), and those of [`Graph::run`] for a job that
    /// cannot be read.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Outcome, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// while let Some(run) = movie.run_next()? {
    ///     println!("{} is to {}", run.id(), run.request().command());
    ///     run.complete(Outcome::succeeded())?;
    /// }
    /// assert!(movie.run_next()?.is_none(), "all is done");
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn run_next(&self) -> Result<Option<Run>> {
        self.check_writable()?;
        if !self.may_have_pending() {
            return Ok(None);
        }
        let _span = call_span!("start_next", self);
        let operation = Operation::small(Action::Claim {
            graph: self.core.clone(),
        });
        self.claimed(self.engine().commit(operation))
    }

    /// Whether a claim may find a job: an idle worker is answered without a commit.
    pub(crate) fn may_have_pending(&self) -> bool {
        // In this order: what was queued before is visible once the queue is idle.
        if !self.engine().queue.is_idle() {
            return true;
        }
        let pending = States::NONE.with(State::Pending);
        self.core.state.read().status.total(pending) > 0
    }

    /// A guard for a job that is running already: one that an earlier process left
    /// ([`Recovery::Leave`](crate::Recovery::Leave)), that was started by its id, or whose
    /// run was [detached](Run::detach). The caller makes sure that nobody else works on it.
    ///
    /// # Errors
    /// [`Error::UnknownJob`], [`Error::JobPurged`]; [`Error::IllegalTransition`] when it
    /// is not running; [`Error::ReadOnly`] and those of [`Graph::job`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobStore, Outcome, Recovery};
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// # let store = JobStore::open(dir)?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let request = jobstore::Request::new("import_graph", "/ges", jobstore::Body::empty())?;
    /// # movie.start(movie.submit(request)?)?;
    /// # store.close()?;
    /// // An earlier process ended while something outside of it was at work; that goes on.
    /// let store = JobStore::options().recovery(Recovery::Leave).open(dir)?;
    /// for found in store.recovered().jobs() {
    ///     let found = found?;
    ///     let run = found.graph.attach(found.job.id())?;
    ///     run.complete(Outcome::succeeded())?;
    /// }
    /// # assert_eq!(store.graph("10001", "movie")?.count(jobstore::State::Complete)?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn attach(&self, id: impl AsRef<str>) -> Result<Run> {
        let (sequence, id) = self.resolve(id.as_ref())?;
        match self.core.state.read().status.get(sequence) {
            Some(State::Running) => {}
            Some(from) => {
                let to = State::Running;
                return Err(Error::IllegalTransition { id, from, to });
            }
            None => return Err(Error::UnknownJob { id: id.to_string() }),
        }
        self.guard(sequence)
    }

    pub(crate) fn complete_operation(
        &self,
        sequence: u64,
        id: &JobId,
        outcome: Outcome,
        run: Option<Arc<RunCell>>,
    ) -> Result<Operation> {
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
            id: id.clone(),
            outcome,
            run,
        };
        Ok(Operation {
            action,
            bytes: SMALL_WRITE_BYTES + text_bytes,
        })
    }

    fn outcome(&self, sequence: u64) -> Result<Outcome> {
        let job = self.engine().job(&self.core, sequence)?;
        job.and_then(|job| job.outcome).ok_or(Error::UnknownJob {
            id: sequence.to_string(),
        })
    }

    pub(crate) fn completion(&self, sequence: u64, answer: Result<Answer>) -> Result<Completion> {
        match answer? {
            Answer::AlreadyComplete => Ok(Completion::AlreadyComplete(self.outcome(sequence)?)),
            _ => Ok(Completion::Done),
        }
    }

    pub(crate) fn cancellation(
        &self,
        sequence: u64,
        answer: Result<Answer>,
    ) -> Result<Cancellation> {
        match answer? {
            Answer::AlreadyComplete => Ok(Cancellation::AlreadyComplete(self.outcome(sequence)?)),
            Answer::CancelledBeforeStart => Ok(Cancellation::CancelledBeforeStart),
            _ => Ok(Cancellation::Requested),
        }
    }

    pub(crate) fn claimed(&self, answer: Result<Answer>) -> Result<Option<Run>> {
        match answer? {
            Answer::Claimed(Some(sequence)) => self.watch(sequence).map(Some),
            _ => Ok(None),
        }
    }

    /// The guard of a job that was just started. If it cannot be had, the job is
    /// recorded as interrupted: nobody will work on it.
    pub(crate) fn watch(&self, sequence: u64) -> Result<Run> {
        self.guard(sequence).inspect_err(|_| {
            let action = Action::Abandon {
                graph: self.core.clone(),
                sequence,
            };
            // Dropping the ticket leaves the write queued.
            drop(
                self.queue()
                    .ticket(Ok(Operation::small(action)), |_, answer| answer.map(|_| ())),
            );
        })
    }

    fn guard(&self, sequence: u64) -> Result<Run> {
        let known = self.engine().id_and_kept(&self.core, sequence)?;
        let (id, kept) = known.ok_or_else(|| Error::UnknownJob {
            id: format!("number {sequence}"),
        })?;
        let is_redacted = kept.is_redacted();
        let request = kept
            .revealed()
            .ok_or_else(|| missing(&self.core.path(), sequence))?;
        let mut state = self.core.state.write();
        let cancelling = state.cancelling.contains(&sequence);
        let running = state.status.get(sequence) == Some(State::Running);
        let cell = match state.watched.get(&sequence) {
            Some(cell) => cell.clone(),
            None => Arc::new(RunCell::default()),
        };
        if running {
            cell.cancel.store(cancelling, Ordering::Release);
            state.watched.insert(sequence, cell.clone());
        } else {
            // It was completed meanwhile.
            cell.end();
        }
        drop(state);
        let job = (id, request, sequence, is_redacted);
        Ok(Run::new(self.clone(), job, cell))
    }
}
