// The query of a list. An invalid query is rejected before anything is read.

mod checks;
mod filters;
mod progress;
mod times;

use crate::model::cursor::Cursor;
use crate::model::error::Result;
use crate::model::filter::JobFilter;
use crate::model::request_filter::Matcher;
use crate::model::states::States;

pub(crate) use self::progress::OnProgress;
pub use self::progress::ScanProgress;

/// The maximum number of jobs on a page.
pub(crate) const PAGE_JOBS_MAX: u64 = 100_000;
/// The maximum number of jobs on a page over several graphs.
pub(crate) const STORE_PAGE_JOBS_MAX: u64 = 1000;

/// Selects the jobs of a page, an export, or a purge. A job must match all filters that are set. By
/// default, all jobs match, and the order is oldest first.
///
/// A page starts at offset 0 and contains at most 100,000 jobs, unless the query sets other values.
/// An export or a purge covers all matching jobs and rejects a limit.
///
/// # Cost
/// If a query is unfiltered, or filters only by state, its cost depends on the size of the page and
/// not on the offset, and the page includes the exact total. Any other filter requires a scan: jobs
/// are checked in list order until the page is full. The jobs that `offset` skips are also scanned,
/// whereas a cursor continues where the previous page ended.
///
/// | filter | cost of a scan |
/// |---|---|
/// | time of submission | whole blocks are skipped by their times in memory: a few milliseconds for 10 million jobs |
/// | outcome, time of start or completion | one row of the index for every 128 jobs |
/// | command, URL, body, origin | each block that the other filters do not rule out is read and searched, by [`page_threads`](crate::Options::page_threads) threads, which read a few blocks ahead |
///
/// A scan first copies the states of all jobs under a lock that writers wait for. They take up less
/// than one byte per job.
///
/// # Searching
/// [`Graph::find`](crate::Graph::find) finds the jobs of a known request through an index. If only
/// parts of the request are known, use [`url_prefix`](JobQuery::url_prefix),
/// [`url_contains`](JobQuery::url_contains), [`body_contains`](JobQuery::body_contains), and
/// [`body_value`](JobQuery::body_value). [`on_progress`](JobQuery::on_progress) reports the
/// progress of a scan, and can stop it.
///
/// # Examples
/// ```
/// use jobstore::{JobQuery, JobStore, State};
/// # let store = JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// let page = movie.list(JobQuery::new().state(State::Pending).offset(20).limit(10))?;
/// assert_eq!(page.total(), Some(0));
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct JobQuery {
    pub(crate) offset: u64,
    pub(crate) limit: Option<u64>,
    pub(crate) limit_bytes: Option<u64>,
    pub(crate) states: States,
    pub(crate) filter: JobFilter,
    pub(crate) newest_first: bool,
    pub(crate) count_total: bool,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) on_progress: Option<OnProgress>,
}

impl Default for JobQuery {
    fn default() -> JobQuery {
        JobQuery {
            offset: 0,
            limit: None,
            limit_bytes: None,
            states: States::NONE,
            filter: JobFilter::default(),
            newest_first: false,
            count_total: false,
            cursor: None,
            on_progress: None,
        }
    }
}

impl JobQuery {
    /// Selects all jobs, oldest first, at most 100,000.
    #[must_use]
    pub fn new() -> JobQuery {
        JobQuery::default()
    }

    /// Lists the newest jobs first. Offsets and cursors apply to this order. Jobs that are
    /// submitted after the first page was listed are not on later pages.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, OutcomeKind, Request};
    /// use std::time::{Duration, SystemTime};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// for command in ["import_graph", "clear_graph", "import_graph"] {
    ///     let id = movie.submit(Request::new(command, "/ges", Body::empty())?)?;
    ///     movie.cancel(&id)?;
    /// }
    /// // What was canceled in the last hour, newest first?
    /// let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    /// let list = JobQuery::new()
    ///     .newest_first()
    ///     .outcome(OutcomeKind::Cancelled)
    ///     .completed_from(hour_ago)
    ///     .command("import_graph");
    /// let page = movie.list(list.clone().limit(1))?;
    /// assert_eq!((page.len(), page.total()), (1, None));
    /// assert_eq!(movie.list(list.count_total())?.total(), Some(2));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn newest_first(mut self) -> JobQuery {
        self.newest_first = true;
        self
    }

    /// Skips this many jobs; 0 by default. If the list contains no further jobs, the page is empty.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobQuery, JobStore};
    /// # use jobstore::{Body, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # for _ in 0..120 {
    /// #     movie.submit(Request::new("vertex_query", "/ges", Body::empty())?)?;
    /// # }
    /// // The third page of up to 50 jobs, out of 120 jobs. All pages cost the same.
    /// let page = movie.list(JobQuery::new().offset(100).limit(50))?;
    /// assert_eq!((page.len(), page.total()), (20, Some(120)));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn offset(mut self, jobs: u64) -> JobQuery {
        self.offset = jobs;
        self
    }

    /// Limits the page to this many jobs: from 1 to 100,000; 100,000 by default. With any other
    /// limit, the call that runs the query returns [`Error::PageLimit`](crate::Error::PageLimit).
    #[must_use]
    pub fn limit(mut self, jobs: u64) -> JobQuery {
        self.limit = Some(jobs);
        self
    }

    /// Limits the page to this many bytes of JSON ([`Page::to_json`]). A page contains at least one
    /// job, even if that job exceeds the limit. This limit can be combined with
    /// [`JobQuery::limit`]. To find the end of the page, its blocks are read an additional time.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// for n in 0..100 {
    ///     movie.submit(Request::new("vertex_query", "/ges", Body::from_value(&n)?)?)?;
    /// }
    /// let page = movie.list(JobQuery::new().limit_bytes(4096))?;
    /// assert!(page.to_json()?.len() <= 4096);
    /// assert!(page.next().is_some(), "the other jobs are on the next pages");
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    ///
    /// [`Page::to_json`]: crate::Page::to_json
    #[must_use]
    pub fn limit_bytes(mut self, bytes: u64) -> JobQuery {
        self.limit_bytes = Some(bytes);
        self
    }

    /// Continues where a page ended: see [`Page::next`](crate::Page::next). An offset is counted
    /// from there. If the search for that page was stopped before it had skipped its own offset,
    /// the rest of that offset is skipped first.
    ///
    /// The graph, states, filter, and order must be the same as for that page; otherwise, the call
    /// that runs the query returns [`Error::InvalidCursor`](crate::Error::InvalidCursor). The limit
    /// may differ. See [`Cursor`] and [`Page::next`](crate::Page::next) for examples.
    #[must_use]
    pub fn cursor(mut self, cursor: &Cursor) -> JobQuery {
        self.cursor = Some(cursor.clone());
        self
    }

    /// Whether the query selects all jobs, regardless of its limits.
    pub(crate) fn is_any(&self) -> bool {
        self.states == States::NONE && self.filter.is_any()
    }

    /// Whether a scan is required to find the page.
    #[cfg(feature = "http")]
    pub(crate) fn scans(&self) -> bool {
        !self.filter.is_any() || self.limit_bytes.is_some()
    }

    /// The selected states: all states if none was given.
    pub(crate) fn wanted(&self) -> States {
        if self.states == States::NONE {
            States::ALL
        } else {
            self.states
        }
    }

    /// A checksum of the query's order and filter, for cursors.
    pub(crate) fn filter_check(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&[u8::from(self.newest_first)]);
        crc.update(&self.filter.bytes());
        crc.finalize()
    }

    /// The maximum number of jobs on the query's page.
    pub(crate) fn page_limit(&self) -> u64 {
        self.limit.unwrap_or(PAGE_JOBS_MAX)
    }

    /// # Errors
    /// An error if the query is invalid.
    pub(crate) fn matcher(&self) -> Result<Matcher> {
        Matcher::new(&self.filter.texts)
    }

    /// Counts all jobs that match, regardless of the limit, even if that requires a scan of the
    /// whole list. The page's jobs are searched for first. If [`JobQuery::on_progress`] stops the
    /// count, there is no total, but the page is unaffected. If a query is unfiltered or filters
    /// only by state, [`Page::total`](crate::Page::total) is always known.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let list = JobQuery::new().command("clear_graph").limit(1);
    /// assert_eq!(movie.list(list.clone())?.total(), None);
    /// assert_eq!(movie.list(list.count_total())?.total(), Some(1));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn count_total(mut self) -> JobQuery {
        self.count_total = true;
        self
    }
}
