// Canceling all jobs that match a query. Memory is bounded, and other writes can complete between
// the commits.

use std::ops::ControlFlow;

use serde_json::json;

use crate::api::graph::Graph;
use crate::api::lifecycle::Cancellation;
use crate::api::spans::call_span;
use crate::engine::read::jobs::NearIds;
use crate::engine::read::listing;
use crate::engine::read::reader::Snapshot;
use crate::model::error::{Error, Result};
use crate::model::id::JobId;
use crate::model::job_query::JobQuery;
use crate::model::states::{State, States};

/// The number of jobs that are searched for at a time.
const FOUND_AT_ONCE: u64 = 1 << 16;
/// The number of cancellations that are queued at a time.
const STEP_JOBS: usize = 1024;

/// The result of [`Graph::cancel_all`] or of a dry run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CancelReport {
    /// Number of jobs that were pending and are now canceled.
    pub cancelled: u64,
    /// Number of running jobs that were asked to stop.
    pub requested: u64,
    /// Number of jobs that completed before they could be canceled.
    pub already_complete: u64,
    /// Whether the search was stopped, in which case more jobs may match.
    pub stopped: bool,
}

impl CancelReport {
    /// Returns the number of jobs that were found.
    #[must_use]
    pub fn jobs(&self) -> u64 {
        self.cancelled + self.requested + self.already_complete
    }

    /// Returns the report as a JSON object: the numbers of `jobs`, `cancelled`, `requested`, and
    /// `alreadyComplete`, and `isPartial` if the search was stopped.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut report = json!({
            "jobs": self.jobs(),
            "cancelled": self.cancelled,
            "requested": self.requested,
            "alreadyComplete": self.already_complete,
        });
        if self.stopped {
            report["isPartial"] = true.into();
        }
        report.to_string()
    }

    fn add(&mut self, done: &Cancellation) {
        match done {
            Cancellation::CancelledBeforeStart => self.cancelled += 1,
            Cancellation::Requested => self.requested += 1,
            Cancellation::AlreadyComplete(_) => self.already_complete += 1,
        }
    }
}

impl Graph {
    /// Cancels all pending and running jobs that match a query, however many there are. Returns
    /// when all cancellations are durable. Running jobs that have been asked to stop before are not
    /// asked again. Jobs that are submitted during the call are not canceled.
    ///
    /// # Cost
    /// 65,536 jobs are searched for at a time, newest first, as by [`Graph::list`]. For each job,
    /// its id is read, and a write is queued; 1024 writes are queued at a time, and share commits.
    /// Other writes can complete between these commits.
    ///
    /// # Errors
    /// Those of [`Graph::list`] and of every write ([`Graph::submit`]). [`Error::InvalidUse`] if
    /// the query sets an offset, a limit, a cursor, or [`JobQuery::count_total`], or if a search
    /// text is empty: it would match every job, and may be due to a missing setting. After an error,
    /// some of the jobs are canceled.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// for command in ["import_graph", "import_graph", "export_graph"] {
    ///     movie.submit(Request::new(command, "/ges", Body::empty())?)?;
    /// }
    /// movie.claim_next()?.ok_or("it was just submitted")?.detach();
    ///
    /// let imports = JobQuery::new().command("import_graph");
    /// assert_eq!(movie.cancel_all_dry_run(imports.clone())?.jobs(), 2);
    /// let done = movie.cancel_all(imports.clone())?;
    /// assert_eq!((done.cancelled, done.requested), (1, 1));
    /// assert_eq!(movie.cancel_all(imports)?.jobs(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel_all(&self, query: JobQuery) -> Result<CancelReport> {
        self.cancel_all_with_progress(query, |_| {})
    }

    /// Like [`Graph::cancel_all`], but calls `progress` on the calling thread after each step of at
    /// most 1024 jobs.
    ///
    /// # Errors
    /// Those of [`Graph::cancel_all`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobQuery, JobStore, State};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let pending = JobQuery::new().state(State::Pending);
    /// let all = movie.cancel_all_dry_run(pending.clone())?.jobs();
    /// movie.cancel_all_with_progress(pending, |so_far| eprintln!("{} of {all}", so_far.jobs()))?;
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn cancel_all_with_progress(
        &self,
        query: JobQuery,
        mut progress: impl FnMut(CancelReport),
    ) -> Result<CancelReport> {
        self.cancel_all_while(query, |done| {
            progress(done);
            ControlFlow::Continue(())
        })
    }

    /// Like [`Graph::cancel_all`], but stops if `step`, which is called after each step, tells it to.
    pub(crate) fn cancel_all_while(
        &self,
        query: JobQuery,
        mut step: impl FnMut(CancelReport) -> ControlFlow<()>,
    ) -> Result<CancelReport> {
        let _span = call_span!("cancel_all", self);
        self.check_writable()?;
        let mut done = CancelReport::default();
        done.stopped = self.each_to_cancel(query, |found| {
            let (mut ids, mut flow) = (NearbyIds::default(), ControlFlow::Continue(()));
            let jobs = found.selection.sequences();
            let jobs: Vec<u64> = jobs.filter(|&job| !found.is_cancelling(job)).collect();
            for some in jobs.chunks(STEP_JOBS) {
                if flow.is_break() {
                    break;
                }
                self.cancel_step(some, &mut ids, &mut done)?;
                flow = step(done);
            }
            Ok(flow)
        })?;
        Ok(done)
    }

    fn cancel_step(
        &self,
        jobs: &[u64],
        ids: &mut NearbyIds,
        done: &mut CancelReport,
    ) -> Result<()> {
        let (nonblocking, mut writes) = (self.nonblocking(), Vec::with_capacity(jobs.len()));
        for &job in jobs {
            match ids.of(self, job)? {
                Some(id) => writes.push(nonblocking.pending(Ok(self.cancel_write_of((job, id))))),
                // It completed and was purged in the meantime.
                None => done.already_complete += 1,
            }
        }
        let mut failed = None;
        // All writes are settled before an error is returned.
        for write in writes {
            match write.wait() {
                Ok(cancelled) => done.add(&cancelled),
                Err(Error::UnknownJob { .. } | Error::JobPurged { .. }) => {
                    done.already_complete += 1;
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Returns what [`Graph::cancel_all`] would do now, without changing anything.
    ///
    /// # Errors
    /// Those of [`Graph::list`]; [`Error::InvalidUse`] for a query that [`Graph::cancel_all`]
    /// rejects.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobQuery, JobStore};
    /// use std::time::{Duration, SystemTime};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    /// let stuck = movie.cancel_all_dry_run(JobQuery::new().started_before(hour_ago))?;
    /// println!("{} running jobs would be asked to stop", stuck.requested);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn cancel_all_dry_run(&self, query: JobQuery) -> Result<CancelReport> {
        let mut done = CancelReport::default();
        done.stopped = self.each_to_cancel(query, |found| {
            let (mut from, mut at) = (0, 0);
            while let Some((job, state)) = found.selection.next(from, &mut at) {
                from = job + 1;
                match state {
                    State::Pending => done.cancelled += 1,
                    _ if found.is_cancelling(job) => {}
                    _ => done.requested += 1,
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(done)
    }

    /// Calls `each` with the pending and running jobs that match, a limited number at a time.
    /// Returns whether this was stopped.
    fn each_to_cancel(
        &self,
        mut query: JobQuery,
        mut each: impl FnMut(&Snapshot) -> Result<ControlFlow<()>>,
    ) -> Result<bool> {
        query.check_cancel_all()?;
        let wanted = query.wanted();
        query.states = [State::Pending, State::Running]
            .into_iter()
            .filter(|&state| wanted.has(state))
            .fold(States::NONE, States::with);
        self.check()?;
        if query.states == States::NONE {
            return Ok(false);
        }
        // In this order, jobs that are submitted during the call are never reached.
        query.newest_first = true;
        query.limit = Some(FOUND_AT_ONCE);
        loop {
            let page = listing::page((self.engine(), &self.core), &query)?;
            if each(&page.snapshot)?.is_break() {
                return Ok(true);
            }
            if page.is_stopped || page.next.is_none() {
                return Ok(page.is_stopped);
            }
            query.cursor = page.next;
        }
    }
}

/// Looks up the ids of jobs, in ascending order. Neighboring ids are read together.
#[derive(Default)]
struct NearbyIds {
    near: Option<NearIds>,
}

impl NearbyIds {
    fn of(&mut self, graph: &Graph, job: u64) -> Result<Option<JobId>> {
        let known = |near: &NearIds| {
            let n = usize::try_from(job.checked_sub(near.0)?).ok()?;
            near.1.get(n).map(|(id, _)| id.clone())
        };
        if let Some(id) = self.near.as_ref().and_then(known) {
            return Ok(Some(id));
        }
        self.near = graph.engine().ids_near(&graph.core, job)?;
        Ok(self.near.as_ref().and_then(known))
    }
}
