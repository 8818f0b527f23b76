// Retention policies and manual purges. By default, nothing is purged. Only complete jobs can be
// purged.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::api::graph::Graph;
use crate::api::spans::call_span;
use crate::engine::background::retention::STEP_JOBS;
use crate::engine::read::listing;
#[cfg(any(doc, feature = "archive"))]
use crate::model::error::Error;
use crate::model::error::Result;
use crate::model::job_query::JobQuery;
#[cfg(feature = "archive")]
use crate::model::retention::ArchiveTo;
use crate::model::retention::{PurgeReason, PurgeReport, Retention};
use crate::model::states::{State, States};

/// The number of jobs that `Graph::purge` handles at a time.
const PURGED_AT_ONCE: usize = 1 << 16;

impl Graph {
    /// Sets the graph's retention policy. With `None`, the default, all jobs are kept. A policy is
    /// not stored: set it after each open.
    ///
    /// Jobs are purged in the background, within a few seconds, in commits of at most 1024 jobs.
    /// From that commit on, a purged job is not in any list, count, or search. Its disk space is
    /// reclaimed once at least half of the file that contains it has been purged, so packs take up
    /// at most twice the space of the jobs in them. The space occupied by outcomes and dropped
    /// graphs is reclaimed in the same way.
    ///
    /// Once this has returned, no more jobs are purged under the previous policy. The call waits
    /// for a commit in progress and for the archive of its jobs to be written.
    ///
    /// # Errors
    /// [`Error::GraphDropped`], [`Error::Closed`]; [`Error::InvalidUse`] if the archive is inside
    /// the store's directory.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobStore, Retention};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let policy = Retention::new().max_jobs(10_000_000);
    /// movie.set_retention(Some(policy.clone()))?; // at each open
    /// assert_eq!(movie.retention(), Some(policy));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn set_retention(&self, policy: Option<Retention>) -> Result<()> {
        self.check()?;
        self.engine().check_may_write()?;
        #[cfg(feature = "archive")]
        if let Some(ArchiveTo(directory)) = policy.as_ref().and_then(|p| p.archive.as_ref()) {
            if self.engine().is_within(directory) {
                return Err(Error::InvalidUse {
                    what: "the archive would be inside the store's own directory; choose a \
                         directory outside it",
                });
            }
        }
        *self.core.retention.write() = policy.map(Arc::new);
        #[cfg(feature = "archive")]
        if let Some(archive) = self.core.archive.state_if_used() {
            archive.forget_lost();
        }
        // The commit that was in progress was the last one under the previous policy.
        drop(self.core.purging.lock());
        self.engine().note_policy(&self.core);
        self.engine().wake_packer();
        Ok(())
    }

    /// Returns the retention policy that has been set since the store was opened, or `None` if all
    /// jobs are kept.
    #[must_use]
    pub fn retention(&self) -> Option<Retention> {
        self.core.retention.read().as_deref().cloned()
    }

    /// Immediately purges all complete jobs that match a query, however many there are. Returns
    /// when all of them are durably purged. The jobs are purged in commits of at most 1024 jobs;
    /// other writes can complete between these commits.
    ///
    /// # Cost
    /// If the query requires a scan, the scan is run first. For each job, its block is read, and a
    /// tombstone of about 40 bytes is written.
    ///
    /// # Errors
    /// Those of [`Graph::list`] and of every write ([`Graph::submit`]). [`Error::InvalidUse`] if
    /// the query sets an offset, a limit, a cursor, or [`JobQuery::count_total`], or if a search
    /// text is empty: it would match every job, and may be due to a missing setting.
    /// [`Error::Damaged`], [`Error::IndexUnavailable`]. If the graph has an archive that cannot be
    /// written: [`Error::Io`], [`Error::DiskFull`], or [`Error::PermissionDenied`]. Jobs that were
    /// purged before an error stay purged.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Outcome, Request, Submitted};
    /// let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// let request = Request::new("import_graph", "/ges/v1.0/10001/graphs", Body::empty())?;
    /// movie.submit_as("import-1", request.clone())?;
    /// movie.claim("import-1")?.complete(Outcome::succeeded())?;
    ///
    /// assert_eq!(movie.purge_dry_run(JobQuery::new())?.jobs, 1);
    /// assert_eq!(movie.purge(JobQuery::new())?.jobs, 1);
    /// assert!(movie.job("import-1")?.is_none());
    /// assert!(movie.tombstone("import-1")?.is_some());
    /// assert!(movie.tombstone("import-2")?.is_none());
    /// assert!(movie.submit_as("import-1", request).is_err());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn purge(&self, query: JobQuery) -> Result<PurgeReport> {
        self.purge_with_progress(query, |_| {})
    }

    /// Like [`Graph::purge`], but calls `progress` on the calling thread after each commit of at
    /// most 1024 jobs.
    ///
    /// # Errors
    /// Those of [`Graph::purge`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobQuery, JobStore};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let list = JobQuery::new().command("vertex_query");
    /// let all = movie.purge_dry_run(list.clone())?.jobs;
    /// movie.purge_with_progress(list, |so_far| eprintln!("{} of {all}", so_far.jobs))?;
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn purge_with_progress(
        &self,
        query: JobQuery,
        mut progress: impl FnMut(PurgeReport),
    ) -> Result<PurgeReport> {
        self.purge_while(query, |done| {
            progress(done);
            ControlFlow::Continue(())
        })
    }

    /// Like [`Graph::purge`], but stops if `step`, which is called after each commit, tells it to.
    pub(crate) fn purge_while(
        &self,
        query: JobQuery,
        mut step: impl FnMut(PurgeReport) -> ControlFlow<()>,
    ) -> Result<PurgeReport> {
        let _span = call_span!("purge", self);
        self.check_writable()?;
        let (mut done, mut flow) = (PurgeReport::default(), ControlFlow::Continue(()));
        done.stopped = self.each_to_purge(query, |sequences| {
            for some in sequences.chunks(STEP_JOBS) {
                if flow.is_break() {
                    break;
                }
                done.jobs += self
                    .engine()
                    .purge(&self.core, some, (PurgeReason::ByHand, None))?;
                flow = step(done);
            }
            Ok(flow)
        })?;
        self.engine().wake_packer();
        Ok(done)
    }

    /// Returns what [`Graph::purge`] would purge now, without changing anything.
    ///
    /// # Errors
    /// Those of [`Graph::list`]; [`Error::InvalidUse`] for a query that [`Graph::purge`] rejects.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobQuery, JobStore};
    /// use std::time::{Duration, SystemTime};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let year_ago = SystemTime::now() - Duration::from_secs(365 * 24 * 3600);
    /// let old = JobQuery::new().completed_before(year_ago);
    /// println!("{} jobs would be purged", movie.purge_dry_run(old)?.jobs);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn purge_dry_run(&self, query: JobQuery) -> Result<PurgeReport> {
        let mut done = PurgeReport::default();
        done.stopped = self.each_to_purge(query, |sequences| {
            done.jobs += sequences.len() as u64;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(done)
    }

    /// Calls `each` with the complete jobs that match, a limited number at a time. Returns whether
    /// this was stopped.
    fn each_to_purge(
        &self,
        mut query: JobQuery,
        mut each: impl FnMut(&[u64]) -> Result<ControlFlow<()>>,
    ) -> Result<bool> {
        query.check_purge()?;
        if query.states != States::NONE && !query.states.has(State::Complete) {
            return Ok(false);
        }
        query.states = States::NONE.with(State::Complete);
        self.check()?;
        let page = listing::whole((self.engine(), &self.core), &query)?;
        let mut sequences = page.snapshot.selection.sequences().peekable();
        while sequences.peek().is_some() {
            let some: Vec<u64> = sequences.by_ref().take(PURGED_AT_ONCE).collect();
            if each(&some)?.is_break() {
                return Ok(true);
            }
        }
        Ok(page.is_stopped)
    }
}
