// The query of a list. An invalid query is rejected before anything is read.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::SystemTime;

use crate::base::clock;
use crate::model::cursor::Cursor;
use crate::model::error::{Error, Result};
use crate::model::filter::Filter;
use crate::model::outcome::OutcomeKind;
use crate::model::request_filter::{Matcher, Needle};
use crate::model::states::{State, States};

/// The maximum number of jobs on a page.
pub(crate) const PAGE_JOBS_MAX: u64 = 100_000;

/// Selects the jobs of a page, an export, or a purge. By default: all jobs, oldest first, from
/// offset 0, at most 100,000. A job must match all filters that are set.
///
/// # Cost
/// A query by state and order only costs what the page returns, at any offset, and includes the
/// exact total. Any other filter scans: jobs are checked in list order until the page is full. The
/// `offset` is also scanned; a cursor continues where the page ended.
///
/// | filter | cost of a scan |
/// |---|---|
/// | time of submission | whole blocks are skipped by their times in memory: a few milliseconds for 10 million jobs |
/// | outcome, time of start or completion | one row of the index for every 128 jobs |
/// | command, URL, body | each block that the other filters do not rule out is read and searched, by [`page_threads`](crate::Options::page_threads) threads, which read a few blocks ahead |
///
/// A scan first copies the states, less than one byte per job, under a lock that writers wait for.
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
    pub(crate) filter: Filter,
    pub(crate) newest_first: bool,
    pub(crate) count_total: bool,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) on_progress: Option<OnProgress>,
}

/// The progress of a scan: see [`JobQuery::on_progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanProgress {
    /// Number of jobs scanned or skipped so far.
    pub looked_at: u64,
    /// Number of jobs that match so far, including those that the offset skips.
    pub matched: u64,
    /// Number of jobs that a scan to the end of the list covers.
    pub of: u64,
}

/// The callback of a scan.
#[derive(Clone)]
pub(crate) struct OnProgress(pub(crate) Arc<OnScanned>);

type OnScanned = dyn Fn(&ScanProgress) -> ControlFlow<()> + Send + Sync;

impl fmt::Debug for OnProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnProgress")
    }
}

impl Default for JobQuery {
    fn default() -> JobQuery {
        JobQuery {
            offset: 0,
            limit: None,
            limit_bytes: None,
            states: States::NONE,
            filter: Filter::default(),
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

    /// Selects jobs in this state. If called several times, in any of these states.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request, State};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// # movie.cancel(movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?)?;
    /// movie.start(&id)?;
    /// let open = JobQuery::new().state(State::Pending).state(State::Running);
    /// assert_eq!(movie.list(open)?.total(), Some(1));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn state(mut self, state: State) -> JobQuery {
        self.states = self.states.with(state);
        self
    }

    /// Selects jobs that completed with this kind of outcome. If called several times, with any of
    /// these kinds.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Outcome, OutcomeKind, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// # movie.submit(Request::new("vertex_query", "/other", Body::empty())?)?;
    /// let run = movie.claim(&id)?;
    /// run.complete(Outcome::partially_failed("GES.8011", "3 lines were no edges"))?;
    /// // What needs attention?
    /// let list = JobQuery::new().outcome(OutcomeKind::Failed).outcome(OutcomeKind::PartiallyFailed);
    /// assert_eq!(movie.list(list)?.len(), 1);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn outcome(mut self, kind: OutcomeKind) -> JobQuery {
        self.filter.add_outcome(kind);
        self
    }

    /// Selects jobs with exactly this command. If called several times, with any of these commands.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// # movie.submit(Request::new("vertex_query", "/other", Body::empty())?)?;
    /// let list = JobQuery::new().command("clear_graph").command("import_graph");
    /// assert_eq!(movie.list(list)?.len(), 1);
    /// assert!(movie.list(JobQuery::new().command("clear"))?.is_empty());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn command(mut self, command: impl Into<String>) -> JobQuery {
        self.filter.texts.commands.push(command.into());
        self
    }

    /// Selects jobs whose URL starts with this text. If called several times, with any of these
    /// texts.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let url = "/ges/v1.0/10001/graphs/movie/action?action_id=import-graph";
    /// let body = r#"{"edgesetPath": "obs/a \"b\".csv", "parallel": {"edge": 8}}"#;
    /// movie.submit(Request::new("import_graph", url, Body::from_json(body)?)?)?;
    ///
    /// // The id is lost, and only parts of the request are known.
    /// let list = JobQuery::new()
    ///     .newest_first()
    ///     .url_prefix("/ges/v1.0/10001/")
    ///     .url_contains("action_id=import")
    ///     .body_contains("edgesetPath")
    ///     .body_value("/parallel/edge", "8")
    ///     .body_value("/edgesetPath", r#""obs/a \u0022b\u0022.csv""#);
    /// assert_eq!(movie.list(list.limit(1))?.len(), 1);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn url_prefix(mut self, text: impl Into<String>) -> JobQuery {
        self.filter.texts.url_prefixes.push(Needle(text.into()));
        self
    }

    /// Selects jobs whose URL contains this text. If called several times, all of these texts.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let url = "/ges/v1.0/10001/graphs/movie/action?action_id=import-graph";
    /// movie.submit(Request::new("import_graph", url, Body::empty())?)?;
    /// # movie.submit(Request::new("vertex_query", "/other", Body::empty())?)?;
    /// let list = JobQuery::new().url_contains("/movie/").url_contains("action_id=import");
    /// assert_eq!(movie.list(list)?.len(), 1);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn url_contains(mut self, text: impl Into<String>) -> JobQuery {
        self.filter.texts.in_url.push(Needle(text.into()));
        self
    }

    /// Selects jobs whose body contains this text in its JSON. If called several times, all of
    /// these texts. The JSON is the one that lists show: without white space between values, with
    /// the escapes of the request, and with `"******"` in place of secret values.
    /// [`JobQuery::body_value`] finds a value however it is written.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let body = Body::from_json(r#"{ "path": "obs/edges.csv" }"#)?;
    /// movie.submit(Request::new("import_graph", "/ges", body)?)?;
    /// # movie.submit(Request::new("vertex_query", "/other", Body::empty())?)?;
    /// assert_eq!(movie.list(JobQuery::new().body_contains("edges.csv"))?.len(), 1);
    /// assert_eq!(movie.list(JobQuery::new().body_contains(r#""path":"obs/"#))?.len(), 1);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn body_contains(mut self, text: impl Into<String>) -> JobQuery {
        self.filter.texts.in_body.push(Needle(text.into()));
        self
    }

    /// Selects jobs whose body has this JSON value at a JSON pointer (RFC 6901), such as
    /// `/parallel/edge` or `/files/0`. The empty pointer stands for the whole body. If called
    /// several times, all of these values.
    ///
    /// Values are compared like [`Request`](crate::Request)s: objects regardless of key order,
    /// strings by their characters, numbers by their text. If a key occurs several times, any of
    /// its values may match.
    ///
    /// An invalid pointer or value is reported by the call that runs the query, as
    /// [`Error::InvalidPointer`], [`Error::InvalidJson`], or [`Error::TooDeep`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let body = Body::from_json(r#"{"parallel": {"edge": 8}, "files": ["a.csv", "b.csv"]}"#)?;
    /// movie.submit(Request::new("import_graph", "/ges", body)?)?;
    /// # movie.submit(Request::new("vertex_query", "/other", Body::empty())?)?;
    /// let list = JobQuery::new().body_value("/parallel", r#"{"edge": 8}"#).body_value("/files/1", r#""b.csv""#);
    /// assert_eq!(movie.list(list)?.len(), 1);
    /// // Numbers are compared by their text.
    /// assert!(movie.list(JobQuery::new().body_value("/parallel/edge", "8.0"))?.is_empty());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn body_value(mut self, pointer: impl Into<String>, json: impl Into<String>) -> JobQuery {
        let value = (pointer.into(), Needle(json.into()));
        self.filter.texts.values.push(value);
        self
    }

    /// Selects jobs that were submitted at this time or later, by the store's clock, to the
    /// millisecond. If any of the six time filters is called again, the last time applies.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// use std::time::{Duration, SystemTime};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let hour = Duration::from_secs(3600);
    /// let last_hour = JobQuery::new().submitted_from(SystemTime::now() - hour);
    /// assert_eq!(movie.list(last_hour)?.len(), 1);
    /// let hour_before = JobQuery::new()
    ///     .submitted_from(SystemTime::now() - 2 * hour)
    ///     .submitted_before(SystemTime::now() - hour);
    /// assert!(movie.list(hour_before)?.is_empty());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn submitted_from(mut self, time: SystemTime) -> JobQuery {
        self.filter.submitted.from = Some(clock::to_ms(time));
        self
    }

    /// Selects jobs that were submitted before this time: see [`JobQuery::submitted_from`].
    #[must_use]
    pub fn submitted_before(mut self, time: SystemTime) -> JobQuery {
        self.filter.submitted.to = Some(clock::to_ms(time));
        self
    }

    /// Selects jobs that were started at this time or later: see [`JobQuery::started_before`]. Jobs
    /// that were never started do not match.
    #[must_use]
    pub fn started_from(mut self, time: SystemTime) -> JobQuery {
        self.filter.started.from = Some(clock::to_ms(time));
        self
    }

    /// Selects jobs that were started before this time. Jobs that were never started do not match.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request, State};
    /// use std::time::{Duration, SystemTime};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// movie.start(&id)?;
    /// // What has run for more than an hour?
    /// let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    /// let list = JobQuery::new().state(State::Running).started_before(hour_ago);
    /// assert!(movie.list(list)?.is_empty());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn started_before(mut self, time: SystemTime) -> JobQuery {
        self.filter.started.to = Some(clock::to_ms(time));
        self
    }

    /// Selects jobs that completed at this time or later: see [`JobQuery::newest_first`]. Jobs that
    /// are not complete do not match.
    #[must_use]
    pub fn completed_from(mut self, time: SystemTime) -> JobQuery {
        self.filter.completed.from = Some(clock::to_ms(time));
        self
    }

    /// Selects jobs that completed before this time. Jobs that are not complete do not match.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobQuery, JobStore, OutcomeKind};
    /// use std::time::{Duration, SystemTime};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// // By hand: purge jobs that succeeded more than 30 days ago.
    /// let then = SystemTime::now() - Duration::from_secs(30 * 24 * 3600);
    /// let old = JobQuery::new().outcome(OutcomeKind::Succeeded).completed_before(then);
    /// println!("{} jobs are purged", movie.purge(old)?.jobs);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn completed_before(mut self, time: SystemTime) -> JobQuery {
        self.filter.completed.to = Some(clock::to_ms(time));
        self
    }

    /// Lists the jobs submitted last first. Offsets and cursors count in this order. Jobs that are
    /// submitted between two pages of a list are not included.
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
    /// // What was cancelled in the last hour, newest first?
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

    /// Skips this many jobs; 0 by default. If the list has fewer, the page is empty.
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
    /// // The third page of 50, of 120 jobs; any page costs the same.
    /// let page = movie.list(JobQuery::new().offset(100).limit(50))?;
    /// assert_eq!((page.len(), page.total()), (20, Some(120)));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn offset(mut self, jobs: u64) -> JobQuery {
        self.offset = jobs;
        self
    }

    /// Limits the page to this many jobs: 1 to 100,000, which is the default. Any other limit makes
    /// the call that runs the query return [`Error::PageLimit`].
    #[must_use]
    pub fn limit(mut self, jobs: u64) -> JobQuery {
        self.limit = Some(jobs);
        self
    }

    /// Limits the page to this many bytes of JSON ([`Page::to_json`]); it contains at least one
    /// job. Can be combined with a limit in jobs. The page's blocks are read once more to find its
    /// end.
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
    /// assert!(page.next().is_some(), "the others come on the next pages");
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    ///
    /// [`Page::to_json`]: crate::Page::to_json
    #[must_use]
    pub fn limit_bytes(mut self, bytes: u64) -> JobQuery {
        self.limit_bytes = Some(bytes);
        self
    }

    /// Continues where a page ended: see [`Page::next`](crate::Page::next). An offset counts from
    /// there, after the part of that page's own offset that was not skipped yet.
    ///
    /// The graph, states, filter, and order must be those of that page; otherwise the call that
    /// runs the query returns [`Error::InvalidCursor`]. The limit may differ. [`Cursor`] and
    /// [`Page::next`](crate::Page::next) have examples.
    #[must_use]
    pub fn cursor(mut self, cursor: &Cursor) -> JobQuery {
        self.cursor = Some(cursor.clone());
        self
    }

    /// Whether it selects all jobs, apart from its limits.
    #[cfg(feature = "http")]
    pub(crate) fn is_any(&self) -> bool {
        self.states == States::NONE && self.filter.is_any()
    }

    /// Whether jobs are scanned to find its page.
    #[cfg(feature = "http")]
    pub(crate) fn scans(&self) -> bool {
        !self.filter.is_any() || self.limit_bytes.is_some()
    }

    /// The selected states: all of them if none was named.
    pub(crate) fn wanted(&self) -> States {
        if self.states == States::NONE {
            States::ALL
        } else {
            self.states
        }
    }

    /// A checksum of its order and filter, for cursors.
    pub(crate) fn filter_check(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&[u8::from(self.newest_first)]);
        crc.update(&self.filter.bytes());
        crc.finalize()
    }

    /// The maximum number of jobs on its page.
    pub(crate) fn page_limit(&self) -> u64 {
        self.limit.unwrap_or(PAGE_JOBS_MAX)
    }

    /// Rejects what a purge would ignore, since it purges all jobs that match. The order matters if
    /// [`JobQuery::on_progress`] stops the search.
    pub(crate) fn check_purge(&self) -> Result<()> {
        refuse(&[
            (
                self.filter.texts.has_empty(),
                "a purge does not accept an empty text, because every job contains it; omit the \
                 empty JobQuery::url_prefix, url_contains, or body_contains",
            ),
            (
                self.limit.is_some(),
                "a purge does not accept a limit, because it purges all matching jobs; omit \
                 JobQuery::limit",
            ),
            (
                self.limit_bytes.is_some(),
                "a purge does not accept limit_bytes, because it purges all matching jobs; omit \
                 JobQuery::limit_bytes",
            ),
            (
                self.offset > 0,
                "a purge does not accept an offset, because it purges all matching jobs; omit \
                 JobQuery::offset",
            ),
            (
                self.cursor.is_some(),
                "a purge does not accept a cursor, because it purges all matching jobs; omit \
                 JobQuery::cursor",
            ),
            (
                self.count_total,
                "a purge does not accept count_total, because it always returns the number of \
                 purged jobs; omit JobQuery::count_total",
            ),
        ])
    }

    /// Rejects what an export would ignore, since it exports all jobs that match, from the offset
    /// or the cursor on.
    pub(crate) fn check_export(&self) -> Result<()> {
        refuse(&[
            (
                self.limit.is_some(),
                "an export does not accept a limit, because it covers all matching jobs; omit \
                 JobQuery::limit, and stop reading early",
            ),
            (
                self.limit_bytes.is_some(),
                "an export does not accept limit_bytes, because it covers all matching jobs; omit \
                 JobQuery::limit_bytes, and stop reading early",
            ),
            (
                self.count_total,
                "an export does not accept count_total, because Export::of returns the total; \
                 omit JobQuery::count_total",
            ),
        ])
    }

    pub(crate) fn check(&self) -> Result<()> {
        let limit = self.page_limit();
        if !(1..=PAGE_JOBS_MAX).contains(&limit) {
            return Err(Error::PageLimit {
                given: limit,
                max: PAGE_JOBS_MAX,
            });
        }
        Ok(())
    }

    /// # Errors
    /// The query is invalid.
    pub(crate) fn matcher(&self) -> Result<Matcher> {
        Matcher::new(&self.filter.texts)
    }

    /// Counts all jobs that match, even if that requires a scan of the whole list, whatever the
    /// limit. The page is searched first. If [`JobQuery::on_progress`] stops the count, there is no
    /// total, and the page is unaffected. For a query by state and order only,
    /// [`Page::total`](crate::Page::total) is always known.
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

    /// Calls `call` during a scan, on the calling thread, about every thousand jobs, to report the
    /// progress and to stop the scan if necessary. A query by state and order only does not scan,
    /// and never calls it.
    ///
    /// If `call` returns [`ControlFlow::Break`], the scan stops: the page contains what was found,
    /// [`Page::is_stopped`](crate::Page::is_stopped) returns `true`, and
    /// [`Page::next`](crate::Page::next) continues the scan. Likewise,
    /// [`Graph::export`](crate::Graph::export) and [`Graph::purge`](crate::Graph::purge) then
    /// export and purge what was found.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobQuery, JobStore};
    /// use std::ops::ControlFlow;
    /// use std::time::{Duration, Instant};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let body = jobstore::Body::from_json(r#"{"path": "a.csv"}"#)?;
    /// # movie.submit(jobstore::Request::new("import_graph", "/ges", body)?)?;
    /// let list = || JobQuery::new().body_value("/path", r#""a.csv""#);
    /// let mut found = 0;
    /// let mut cursor = None;
    /// loop {
    /// // At most a second per page.
    ///     let end = Instant::now() + Duration::from_secs(1);
    ///     let list = list().on_progress(move |searched| {
    ///         eprintln!("{} of {} jobs", searched.looked_at, searched.of);
    ///         match Instant::now() < end {
    ///             true => ControlFlow::Continue(()),
    ///             false => ControlFlow::Break(()),
    ///         }
    ///     });
    ///     let page = movie.list(match &cursor {
    ///         None => list,
    ///         Some(cursor) => list.cursor(cursor),
    ///     })?;
    ///     found += page.len();
    ///     cursor = page.next();
    ///     if cursor.is_none() {
    ///         break;
    ///     }
    /// }
    /// assert_eq!(found, 1);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn on_progress(
        mut self,
        call: impl Fn(&ScanProgress) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> JobQuery {
        self.on_progress = Some(OnProgress(Arc::new(call)));
        self
    }
}

/// Returns the first problem that applies.
fn refuse(ignored: &[(bool, &'static str)]) -> Result<()> {
    match ignored.iter().find(|(is_given, _)| *is_given) {
        None => Ok(()),
        Some(&(_, what)) => Err(Error::InvalidUse { what }),
    }
}
