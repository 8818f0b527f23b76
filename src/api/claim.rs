// Claiming jobs for workers.
//
// Two workers never get the same job. A job that was started but cannot be handed to its worker is
// completed as interrupted.

use std::sync::Arc;

use crate::api::graph::Graph;
use crate::api::pending_write::PendingWrite;
use crate::api::run::Run;
use crate::api::spans::call_span;
use crate::api::write::{PreparedWrite, done};
use crate::base::sync::atomic::Ordering;
use crate::engine::read::missing_job::missing;
use crate::engine::state::calls::WriteResult;
use crate::engine::state::claim::Claim;
use crate::engine::state::operation::Action;
use crate::engine::state::run_cell::RunCell;
use crate::model::error::{Error, Result};
use crate::model::states::State;

impl Graph {
    /// Claims the oldest pending job: marks it as running and returns a [`Run`] for it. Returns
    /// `None` if no job is pending. Two callers never get the same job.
    ///
    /// # Cost
    /// If no job is pending, a counter in memory is read. Otherwise, one commit is made and one
    /// block is read.
    ///
    /// # Errors
    /// The errors of every write ([`Graph::submit`]), and those of [`Graph::claim`] for a job that
    /// cannot be read.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Outcome, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// while let Some(run) = movie.claim_next()? {
    ///     println!("{}: {}", run.id(), run.request().command());
    ///     run.complete(Outcome::succeeded())?;
    /// }
    /// assert!(movie.claim_next()?.is_none(), "no more jobs are pending");
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn claim_next(&self) -> Result<Option<Run>> {
        let write = self.claim_write(None)?;
        let operation = write.operation.as_ref();
        let _span = operation.map(|_| call_span!("claim_next", self));
        write.commit(self.engine())
    }

    pub(crate) fn claim_write(
        &self,
        claim: Option<Arc<Claim>>,
    ) -> Result<PreparedWrite<Option<Run>>> {
        self.check_writable()?;
        if !self.may_have_pending() {
            return Ok(PreparedWrite::finished(Ok(None)));
        }
        let action = Action::Claim {
            graph: self.core.clone(),
            claim,
        };
        let graph = self.clone();
        Ok(PreparedWrite::small(action, move |result| {
            graph.claimed(result)
        }))
    }

    /// Whether a claim may find a job. If not, no commit is made.
    fn may_have_pending(&self) -> bool {
        // The queue must be checked before the state: once the queue is idle, every write that was
        // queued earlier is visible in the state.
        if !self.engine().queue.is_idle() {
            return true;
        }
        self.core.state.read().has_pending()
    }

    /// Claims a pending job: marks it as running and returns a [`Run`] for it, with its request
    /// exactly as submitted, secrets included.
    ///
    /// # Errors
    /// Those of [`Graph::start`]. If the job was started but cannot be read ([`Error::Damaged`],
    /// [`Error::Io`]), it is completed as interrupted.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Outcome, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let run = movie.claim(&id)?; // pending -> running
    /// run.progress(50, "half of it");
    /// run.complete(Outcome::succeeded().with_result_ref("results/42.csv")?)?; // running -> complete
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn claim(&self, id: impl AsRef<str>) -> Result<Run> {
        let _span = call_span!("claim", self, id.as_ref());
        self.run_write(id.as_ref(), None)?.commit(self.engine())
    }

    pub(crate) fn run_write(
        &self,
        id: &str,
        claim: Option<Arc<Claim>>,
    ) -> Result<PreparedWrite<Run>> {
        let (sequence, action) = self.start_action(id, claim)?;
        let graph = self.clone();
        Ok(PreparedWrite::small(action, move |result| {
            result?;
            graph.watch(sequence)
        }))
    }

    /// Returns a [`Run`] for a job that is already running, because an earlier process left it
    /// running ([`Recovery::Leave`](crate::Recovery::Leave)), because it was started through
    /// [`Graph::start`], or because its run was [detached](Run::detach). The caller must make sure
    /// that no other worker has it.
    ///
    /// # Errors
    /// [`Error::UnknownJob`], [`Error::JobPurged`]; [`Error::IllegalTransition`] if the job is not
    /// running; [`Error::ReadOnly`], and those of [`Graph::job`].
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
    /// // The process that started the job ended, but an external system still works on the job.
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

    fn claimed(&self, result: Result<WriteResult>) -> Result<Option<Run>> {
        match result? {
            WriteResult::Claimed(Some(sequence)) => self.watch(sequence).map(Some),
            _ => Ok(None),
        }
    }

    /// Returns the run of a job that was just started. If that fails, completes the job as
    /// interrupted, since no worker will have it.
    fn watch(&self, sequence: u64) -> Result<Run> {
        self.guard(sequence).inspect_err(|_| {
            let action = Action::Abandon {
                graph: self.core.clone(),
                sequence,
            };
            // Although the pending write is dropped, the write itself stays in the queue.
            drop(PendingWrite::new(
                &self.handle,
                Ok(PreparedWrite::small(action, done)),
            ));
        })
    }

    fn guard(&self, sequence: u64) -> Result<Run> {
        let known = self.engine().id_and_kept(&self.core, sequence)?;
        let (id, kept) = known.ok_or_else(|| Error::UnknownJob {
            id: format!("number {sequence}"),
        })?;
        let secrets_lost = kept.secrets_lost();
        let request = kept
            .revealed()
            .ok_or_else(|| missing(&self.core.path(), sequence))?;
        let mut state = self.core.state.write();
        let cancelling = state.cancelling.contains(&sequence);
        let running = state.status.get(sequence) == Some(State::Running);
        let cell = match state.activity.watched.get(&sequence) {
            Some(cell) => cell.clone(),
            None => Arc::new(RunCell::default()),
        };
        if running {
            cell.cancel.store(cancelling, Ordering::Release);
            state.activity.watched.insert(sequence, cell.clone());
        } else {
            // The job has been completed in the meantime.
            cell.end();
        }
        drop(state);
        let job = (id, request, sequence, secrets_lost);
        Ok(Run::new(self.clone(), job, cell))
    }
}
