// Exporting jobs as JSON lines.
//
// An export is a snapshot of one instant, in list order. It reproduces requests byte for byte and
// uses bounded memory. It can continue where another export stopped.
//
// A line with all possible members (those that do not apply to a job are omitted):
// ```json
// {"jobId":"..","status":"complete","request":{..},"masked":true,"cancelRequested":true,
//  "outcome":{"kind":"failed","code":"..","message":"..","resultRef":"..","detail":..,"recoveredAtOpen":2},
//  "submittedAt":1700000000000,"startedAt":1700000000001,"completedAt":1700000000002}
// ```

mod lines;

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use crate::api::graph::Graph;
use crate::api::page::Page;
use crate::api::spans::call_span;
use crate::engine::read::jobs::ExtraCache;
use crate::engine::read::large::Large;
use crate::engine::read::listing;
use crate::engine::read::reader::{Reader, Snapshot};
use crate::index::rows::DetailRow;
use crate::model::cursor::Cursor;
use crate::model::error::{Error, Result};
use crate::model::job_query::JobQuery;
use crate::model::states::State;

impl Graph {
    /// Exports the jobs that match a query as JSON lines, one job per line: id, state, request,
    /// outcome, and times in milliseconds since 1970. All jobs are exported as of one instant,
    /// however many there are. The query's offset and cursor apply; a limit is an error.
    /// [`Graph::import`] is the inverse.
    ///
    /// A line with all its members; those that do not apply to a job are omitted:
    /// ```json
    /// {"jobId":"..","status":"complete","request":{..},"masked":true,"cancelRequested":true,
    ///  "outcome":{"kind":"failed","code":"..","message":"..","resultRef":"..","detail":..,"recoveredAtOpen":2},
    ///  "submittedAt":1700000000000,"startedAt":1700000000001,"completedAt":1700000000002}
    /// ```
    ///
    /// Values under secret keys are written as `"******"`, unless [`Export::reveal_secrets`] is
    /// called. Idempotency keys ([`Graph::submit_once`]) are not exported: after an import, a retry
    /// with the same key creates another job. A [`JobStore::backup`](crate::JobStore::backup)
    /// contains the keys.
    ///
    /// # Cost
    /// Requests are copied, not parsed. One row of the index is read for every 128 jobs. In memory,
    /// an export holds one block or a part of a large job, and the states, which take up less than
    /// one byte per job. Writers do not wait. If the query requires a scan, the scan is run first;
    /// it needs less than two bytes of memory for each job of the graph.
    ///
    /// # Errors
    /// Those of [`Graph::list`]; [`Error::InvalidUse`] if the query sets a limit or uses
    /// [`JobQuery::count_total`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// movie.submit_as("import-1", Request::new("import_graph", "/ges", Body::empty())?)?;
    /// let mut lines = Vec::new();
    /// let mut export = movie.export(JobQuery::new())?;
    /// while export.write_some(&mut lines)? {
    /// // Stored with the lines, the cursor lets another export resume here.
    ///     let _behind = export.cursor();
    /// }
    /// assert!(lines.starts_with(br#"{"jobId":"import-1","status":"pending","request":{"#));
    /// assert_eq!(export.jobs(), 1);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn export(&self, query: JobQuery) -> Result<Export> {
        let _span = call_span!("export", self);
        query.check_export()?;
        self.check()?;
        let as_of_lsn = self.as_of_lsn();
        let listing = listing::whole((self.engine(), &self.core), &query)?;
        let page = Page::of(self, listing, as_of_lsn);
        let mut export = Export::new(&page, LineFormat::Lines);
        export.stopped_at = page.next.filter(|_| page.is_stopped);
        export.query = query;
        Ok(export)
    }
}

/// The format in which jobs are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LineFormat {
    Lines,
    /// Lines with the progress of running jobs, which an import rejects.
    #[cfg(feature = "http")]
    LinesWithProgress,
    /// Elements of the list's array, with details of each job.
    Members,
}

/// A large job that has been written in part.
struct PartialJob {
    large: Large,
    state: State,
    /// The number of bytes of its text that have not been written yet.
    left: usize,
    /// The position after the job.
    resume_at: u64,
}

/// An export of a graph's jobs: returned by [`Graph::export`].
///
/// It keeps the store open and prevents the deletion of the files that it needs, so drop it when it
/// is finished. It expires like a page
/// ([`Options::snapshot_timeout`](crate::Options::snapshot_timeout)).
///
/// # Moving jobs between stores
/// Write an export with [`Export::write_all`], and read it with [`Graph::import`]. Call
/// [`Export::reveal_secrets`] if the other store will run the jobs. An import can be repeated: it
/// skips the jobs that exist already. With [`Export::cursor`], a later export continues with the
/// jobs submitted since. To copy a whole store, use [`JobStore::backup`](crate::JobStore::backup),
/// which also preserves idempotency keys and tombstones.
pub struct Export {
    graph: Graph,
    snapshot: Arc<Snapshot>,
    query: JobQuery,
    form: LineFormat,
    reader: Reader,
    /// The position after the last line that was written. In ascending order, the next job is at
    /// this position or after it; in descending order, before it.
    place: Option<u64>,
    jobs: u64,
    of: u64,
    /// The position at which the search was stopped.
    stopped_at: Option<Cursor>,
    details: Option<(u64, DetailRow)>,
    extras: ExtraCache,
    line: Vec<u8>,
    begun: Option<PartialJob>,
    piece: Vec<u8>,
    reveals: bool,
}

impl Export {
    /// The jobs of a page as elements of the list's array.
    pub(crate) fn members(page: &Page) -> Export {
        Export::new(page, LineFormat::Members)
    }

    /// The jobs of a page as lines, with the progress of running jobs.
    #[cfg(feature = "http")]
    pub(crate) fn lines_with_progress(page: &Page) -> Export {
        Export::new(page, LineFormat::LinesWithProgress)
    }

    fn new(page: &Page, form: LineFormat) -> Export {
        Export {
            graph: page.graph.clone(),
            of: page.snapshot.selection.len,
            snapshot: page.snapshot.clone(),
            stopped_at: None,
            query: JobQuery::new(),
            form,
            reader: Reader::default(),
            place: None,
            jobs: 0,
            details: None,
            extras: ExtraCache::default(),
            line: Vec::new(),
            begun: None,
            piece: Vec::new(),
            reveals: false,
        }
    }

    /// Exports the real values of secrets in requests instead of `"******"`
    /// ([`Options::secret_keys`](crate::Options::secret_keys)). Use it to move jobs to a store that
    /// will run them. Protect the output like the credentials in it.
    ///
    /// Without this, the lines of jobs with secrets contain `"masked":true`, and a job that is
    /// imported from such a line has lost its secrets
    /// ([`Job::secrets_lost`](crate::Job::secrets_lost)).
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, OnBadLine, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let body = Body::from_json(r#"{"secretKey": "hunter2"}"#)?;
    /// let id = movie.submit(Request::new("import_graph", "/ges", body)?)?;
    /// let mut lines = Vec::new();
    /// movie.export(JobQuery::new())?.reveal_secrets().write_all(&mut lines)?;
    ///
    /// let elsewhere = JobStore::in_memory()?.create_graph("10001", "movie")?;
    /// elsewhere.import(&lines[..], OnBadLine::Stop)?;
    /// let job = elsewhere.job(&id)?.ok_or("it was imported")?;
    /// assert_eq!(job.request().body(), r#"{"secretKey":"hunter2"}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn reveal_secrets(mut self) -> Export {
        self.reveals = true;
        self
    }

    /// Writes the next lines: about one block per call. Returns `false` once all lines are written.
    ///
    /// # Errors
    /// [`Error::Output`] from the writer; [`Error::Damaged`], [`Error::Io`],
    /// [`Error::IndexUnavailable`], and [`Error::PageExpired`] from the store. On an error, some of
    /// the lines may have been written; [`Export::cursor`] is then the position before them.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let mut export = movie.export(JobQuery::new())?;
    /// let mut file = Vec::new();
    /// while export.write_some(&mut file)? {
    ///     eprintln!("{} of {} jobs", export.jobs(), export.of());
    /// }
    /// # assert_eq!(export.jobs(), 1);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn write_some(&mut self, mut out: impl Write) -> Result<bool> {
        loop {
            let is_more = self.write_piece(&mut out)?;
            if self.begun.is_none() {
                return Ok(is_more);
            }
        }
    }

    /// Like [`Export::write_some`], but the output may end within a large job, so that the size of
    /// the output is bounded even if a job is larger. (A job whose secrets are revealed is written
    /// in one piece.)
    pub(crate) fn write_piece(&mut self, out: impl Write) -> Result<bool> {
        let jobs = self.jobs;
        // After an error, the next call writes these lines again, and a partially written job from
        // its beginning.
        self.write_next(out).inspect_err(|_| {
            self.jobs = jobs;
            self.begun = None;
        })
    }

    fn write_next(&mut self, mut out: impl Write) -> Result<bool> {
        let mut lines = std::mem::take(&mut self.line);
        lines.clear();
        let resume_at = match self.begun.take() {
            Some(begun) => Some(self.put_piece(begun, &mut lines)?),
            None => self.put_unit(&mut lines)?,
        };
        let Some(resume_at) = resume_at else {
            return Ok(false);
        };
        out.write_all(&lines).map_err(|e| Error::output(&e))?;
        self.line = lines;
        if self.begun.is_none() {
            self.place = Some(resume_at);
        }
        Ok(true)
    }

    /// Writes all remaining lines, and flushes the writer.
    ///
    /// # Errors
    /// Those of [`Export::write_some`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobQuery, JobStore, OutcomeKind};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let mut export = movie.export(JobQuery::new().outcome(OutcomeKind::Failed))?;
    /// export.write_all(std::io::stdout().lock())?;
    /// eprintln!("{} jobs failed", export.jobs());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn write_all(&mut self, mut out: impl Write) -> Result<()> {
        while self.write_some(&mut out)? {}
        out.flush().map_err(|e| Error::output(&e))
    }

    /// Returns the cursor from which another export with the same query continues after the lines
    /// written so far. That export is a snapshot of a later instant. Returns `None` if nothing has
    /// been written yet.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let mut lines = Vec::new();
    /// let mut export = movie.export(JobQuery::new())?;
    /// export.write_all(&mut lines)?;
    ///
    /// // Tomorrow: only new jobs. The cursor can be stored as text.
    /// movie.submit(Request::new("import_graph", "/ges", Body::empty())?)?;
    /// let rest = export.cursor().map_or(JobQuery::new(), |cursor| JobQuery::new().cursor(&cursor));
    /// let mut export = movie.export(rest)?;
    /// export.write_all(&mut lines)?;
    /// assert_eq!(export.jobs(), 1);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        if self.jobs == self.of && self.is_stopped() {
            return self.stopped_at.clone();
        }
        let place = self.place?;
        Some(
            self.graph
                .engine()
                .cursor(&self.graph.core, &self.query, (place, 0)),
        )
    }

    /// Returns `true` if [`JobQuery::on_progress`] stopped the search. In that case, the export
    /// contains only the jobs found until then; once they have been written, an export from
    /// [`Export::cursor`] continues the search.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped_at.is_some()
    }

    /// Returns the number of jobs written so far. Jobs written by a call that failed are not
    /// included.
    #[must_use]
    pub fn jobs(&self) -> u64 {
        self.jobs
    }

    /// Returns the number of jobs in the whole export.
    #[must_use]
    pub fn of(&self) -> u64 {
        self.of
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export")
            .field("graph", &self.graph)
            .field("jobs", &self.jobs)
            .field("of", &self.of)
            .finish_non_exhaustive()
    }
}
