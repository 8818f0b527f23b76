//! What a list is asked for, and where the next page goes on.
//!
//! Owns: [`JobQuery`], [`ScanProgress`]. Must not know: how a page is read.
//! Promise: what cannot be asked for is refused before anything is read.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::SystemTime;

use crate::base::clock;
use crate::model::cursor::Cursor;
use crate::model::error::{Error, Result};
use crate::model::filter::JobFilter;
use crate::model::outcome::OutcomeKind;
use crate::model::request_filter::{Matcher, Needle};
use crate::model::states::{State, States};

/// The greatest page.
pub(crate) const PAGE_JOBS_MAX: u64 = 100_000;

/// Which jobs a page shows: oldest first, all states, from offset 0, up to 100000,
/// unless said otherwise. What is asked for holds together.
///
/// # Cost
/// By state and order: what the page returns, at any offset, and the exact total at
/// once. All else scans: the jobs are gone through in the order of the list until the page
/// is full, and `offset` jobs that match are gone through as well; a cursor goes on where
/// the page ended. By time of submission whole blocks are passed over by what memory knows
/// of them: some milliseconds for 10 million jobs. By outcome and by the times of start and
/// end a row of the index is read for each 128 jobs. By command, url and body each block is
/// read and searched, by [`page_threads`](crate::Options::page_threads) threads, as far as
/// the rest of the filter leaves jobs in it; they read some blocks ahead of what fills the
/// page. The states are copied first, less than a byte a job, under a lock that writers
/// wait for.
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

/// How far a scan has come: see [`JobQuery::on_progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanProgress {
    /// Jobs it has looked at, or passed over by what memory knows of them.
    pub looked_at: u64,
    /// How many of them match, those that the offset passes over included.
    pub matched: u64,
    /// Jobs to be looked at, if it goes on to the end of the list.
    pub of: u64,
}

/// What is called while a list is searched.
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
            filter: JobFilter::default(),
            newest_first: false,
            count_total: false,
            cursor: None,
            on_progress: None,
        }
    }
}

impl JobQuery {
    /// All jobs, oldest first, up to 100000.
    #[must_use]
    pub fn new() -> JobQuery {
        JobQuery::default()
    }

    /// Shows jobs in this state only; said several times, in any of these states.
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

    /// Shows jobs that ended in this way only; said several times, in any of these.
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

    /// Shows jobs with this command only, the whole of it; said several times, with any of
    /// these.
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

    /// Shows jobs whose url begins like this; said several times, in any of these ways.
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
    /// // The id is lost, and so is the request, but for some of its parts.
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

    /// Shows jobs whose url has this text in it; said several times, all of these. See
    /// [`JobQuery::url_prefix`].
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

    /// Shows jobs whose body has this in its JSON text; said several times, all of these.
    /// It is the text as the list shows it: without white space between values, with the
    /// escapes that the request came with, and with `"******"` for values that are secret.
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

    /// Shows jobs whose body has this JSON value at the place that a JSON pointer
    /// (RFC 6901) leads to: `/parallel/edge`, `/files/0`, and the whole body for an empty
    /// one. Said several times, all of these.
    ///
    /// Values are compared as [`Request`](crate::Request)s are: key order aside, strings by
    /// their characters, numbers by their text. Where a key is there several times, any of
    /// its values will do.
    ///
    /// A pointer that is none is [`Error::InvalidPointer`], and a value that is no JSON
    /// [`Error::InvalidJson`] or [`Error::TooDeep`], when the list is asked for.
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

    /// Shows jobs that were submitted then or later, by the clock, to the millisecond; said
    /// again, it is the last time that counts, as for all six of these.
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

    /// Shows jobs that were submitted before then: see [`JobQuery::submitted_from`].
    #[must_use]
    pub fn submitted_before(mut self, time: SystemTime) -> JobQuery {
        self.filter.submitted.to = Some(clock::to_ms(time));
        self
    }

    /// Shows jobs that were started then or later; none that was not. See
    /// [`JobQuery::started_before`].
    #[must_use]
    pub fn started_from(mut self, time: SystemTime) -> JobQuery {
        self.filter.started.from = Some(clock::to_ms(time));
        self
    }

    /// Shows jobs that were started before then; none that was not.
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

    /// Shows jobs that ended then or later; none that did not. See
    /// [`JobQuery::newest_first`].
    #[must_use]
    pub fn completed_from(mut self, time: SystemTime) -> JobQuery {
        self.filter.completed.from = Some(clock::to_ms(time));
        self
    }

    /// Shows jobs that ended before then; none that did not.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobQuery, JobStore, OutcomeKind};
    /// use std::time::{Duration, SystemTime};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// // By hand: forget what succeeded more than 30 days ago.
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

    /// Shows the job first that was submitted last, and so on; offsets and cursors count
    /// from there. Jobs that are submitted while somebody walks the list are not shown.
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
    /// // What was cancelled in the last hour, the last first?
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

    /// Skips this many jobs of the list; 0 by default. Past its end the page is empty.
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

    /// Shows at most this many jobs: 1 to 100000, by default 100000. A call with any other
    /// limit returns [`Error::PageLimit`].
    #[must_use]
    pub fn limit(mut self, jobs: u64) -> JobQuery {
        self.limit = Some(jobs);
        self
    }

    /// Ends the page before it has more bytes of JSON than this ([`Page::to_json`]), or
    /// behind its first job; with the limit in jobs, whichever comes first. It costs
    /// reading the page's blocks once more.
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

    /// Goes on where a page ended: see [`Page::next`](crate::Page::next). An offset counts
    /// from there; what that page's own offset had still to pass over is passed over first.
    ///
    /// States, filter and order have to be those of that page, and the graph, or it is
    /// [`Error::InvalidCursor`] when the list is asked for; the limit may be another.
    /// [`Cursor`] and [`Page::next`](crate::Page::next) have examples.
    #[must_use]
    pub fn cursor(mut self, cursor: &Cursor) -> JobQuery {
        self.cursor = Some(cursor.clone());
        self
    }

    /// Whether it shows all jobs, as far as its limits reach.
    #[cfg(feature = "http")]
    pub(crate) fn is_any(&self) -> bool {
        self.states == States::NONE && self.filter.is_any()
    }

    /// Whether jobs are gone through to find its page.
    #[cfg(feature = "http")]
    pub(crate) fn scans(&self) -> bool {
        !self.filter.is_any() || self.limit_bytes.is_some()
    }

    /// The states asked for; all where none was named.
    pub(crate) fn wanted(&self) -> States {
        if self.states == States::NONE {
            States::ALL
        } else {
            self.states
        }
    }

    /// What its order and filter are told apart by in a cursor.
    pub(crate) fn filter_check(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&[u8::from(self.newest_first)]);
        crc.update(&self.filter.bytes());
        crc.finalize()
    }

    /// The most jobs of a page.
    pub(crate) fn page_limit(&self) -> u64 {
        self.limit.unwrap_or(PAGE_JOBS_MAX)
    }

    /// Refuses what a purge would ignore: it takes all jobs that match. The order counts if
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

    /// Refuses what an export would ignore: it writes all jobs that match, from the offset
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
    /// What it asks for is not valid.
    pub(crate) fn matcher(&self) -> Result<Matcher> {
        Matcher::new(&self.filter.texts)
    }

    /// Has the whole list counted where only a scan can tell: it goes through all jobs,
    /// whatever the limit. The page comes first: where [`JobQuery::on_progress`] stops the count,
    /// there is no total, and the page is what it would be. By state and order alone [`Page::total`](crate::Page::total) is
    /// there without it.
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

    /// Has this called while a list scans, by the thread that asked for it, every thousand
    /// jobs or so: often enough to show how far it is, and to stop it. A list by state and
    /// order alone does not scan, and calls nothing.
    ///
    /// When it returns [`ControlFlow::Break`], the list ends there: the page has what was
    /// found, [`Page::is_stopped`](crate::Page::is_stopped) says so, and
    /// [`Page::next`](crate::Page::next) goes on where it was stopped. The same holds for
    /// [`Graph::export`](crate::Graph::export) and [`Graph::purge`](crate::Graph::purge),
    /// which then write and purge what was found.
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
    ///     // At most a second at once.
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

/// Fails with the first of these that is so.
fn refuse(ignored: &[(bool, &'static str)]) -> Result<()> {
    match ignored.iter().find(|(is_given, _)| *is_given) {
        None => Ok(()),
        Some(&(_, what)) => Err(Error::InvalidUse { what }),
    }
}
