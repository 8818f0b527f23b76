//! What becomes of finished jobs in time: policies and purges by hand.
//!
//! Owns: the calls of [`Graph`] about them. Must not know: how room comes back.
//! Promise: nothing is purged by default; only complete jobs ever are.

use std::sync::Arc;

use crate::api::graph::Graph;
use crate::api::spans::call_span;
use crate::engine::listing;
use crate::engine::retention::STEP_JOBS;
#[cfg(any(doc, feature = "archive"))]
use crate::model::error::Error;
use crate::model::error::Result;
use crate::model::job_query::JobQuery;
#[cfg(feature = "archive")]
use crate::model::retention::ArchiveTo;
use crate::model::retention::{PurgeReason, PurgeReport, Retention};
use crate::model::states::{State, States};

/// Jobs that `Graph::purge` handles together.
const PURGED_AT_ONCE: usize = 1 << 16;

impl Graph {
    /// Says how long the graph keeps its complete jobs; `None` for ever, as it is
    /// until this is called. It holds until the store is closed: the engine says it
    /// again after each open.
    ///
    /// Purging happens in the background, within some seconds, in commits of at most
    /// 1024 jobs. A purged job is in no list, count or search from that commit on;
    /// its room comes back when at least half of the file it lies in is purged, outcomes
    /// and dropped graphs included: packs take at most twice what they would have to.
    ///
    /// Once this has returned, no job is purged by an earlier policy; it waits for the commit
    /// that is under way, and for its archive.
    ///
    /// # Errors
    /// [`Error::GraphDropped`], [`Error::Closed`]; [`Error::InvalidUse`] for an archive
    /// within the store's own directory.
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
        self.engine().check_not_read_only()?;
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
        // The commit that is under way was the last by the policy before.
        drop(self.core.purging.lock());
        self.engine().note_policy(&self.core);
        self.engine().wake_packer();
        Ok(())
    }

    /// The policy set last, since the store was opened; `None` while all is kept.
    #[must_use]
    pub fn retention(&self) -> Option<Retention> {
        self.core.retention.read().as_deref().cloned()
    }

    /// Purges all complete jobs that match a list now, however many. An offset, a
    /// limit, a cursor or a count is refused, and so is an empty text to search for, which
    /// every job contains: it may come from a setting that is missing. Returns when all of them
    /// are purged, durably: in commits of at most 1024 jobs, between which other writes complete.
    ///
    /// # Cost
    /// Where the list scans, its jobs are searched for first. Each job costs reading its
    /// block, and some 40 bytes of tombstone.
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
    ///
    /// # Errors
    /// Those of [`Graph::list`] and of every write ([`Graph::submit`]);
    /// [`Error::InvalidUse`] for a list with an offset, limit, cursor, count or empty text;
    /// [`Error::Damaged`], [`Error::IndexUnavailable`]; where the graph has an archive that
    /// cannot be written, [`Error::Io`], [`Error::DiskFull`] or
    /// [`Error::PermissionDenied`]. What was purged before an error stays so.
    pub fn purge(&self, query: JobQuery) -> Result<PurgeReport> {
        self.purge_with_progress(query, |_| {})
    }

    /// Like [`Graph::purge`], but calls `progress` after each commit of at most 1024 jobs, on
    /// this thread: the purge waits for it.
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
        let _span = call_span!("purge", self);
        self.check_writable()?;
        let mut done = PurgeReport::default();
        done.stopped = self.each_to_purge(query, |sequences| {
            for some in sequences.chunks(STEP_JOBS) {
                done.jobs += self
                    .engine()
                    .purge(&self.core, some, (PurgeReason::ByHand, None))?;
                progress(done);
            }
            Ok(())
        })?;
        self.engine().wake_packer();
        Ok(done)
    }

    /// What [`Graph::purge`] would purge now; nothing is changed.
    ///
    /// # Errors
    /// Those of [`Graph::list`]; [`Error::InvalidUse`] for a list that [`Graph::purge`]
    /// refuses.
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
            Ok(())
        })?;
        Ok(done)
    }

    /// Says whether the search was stopped.
    fn each_to_purge(
        &self,
        mut query: JobQuery,
        mut each: impl FnMut(&[u64]) -> Result<()>,
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
            each(&some)?;
        }
        Ok(page.is_stopped)
    }
}
