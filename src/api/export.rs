//! Whole jobs as lines of JSON: out of a graph.
//!
//! Owns: [`Graph::export`], [`Export`], and how lines are put together. Must not
//! know: where lines go.
//! Promise: one instant, in the order of the list, requests to the letter, in bounded
//! memory; where an export ended, another goes on.
//!
//! A line, without what does not apply:
//! ```json
//! {"jobId":"..","status":"complete","request":{..},"masked":true,"cancelRequested":true,
//!  "outcome":{"kind":"failed","code":"..","message":"..","resultRef":"..","detail":..,"recoveredAtOpen":2},
//!  "submittedAt":1700000000000,"startedAt":1700000000001,"completedAt":1700000000002}
//! ```

mod lines;

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use crate::api::graph::Graph;
use crate::api::page::Page;
use crate::api::spans::call_span;
use crate::engine::jobs::ExtraCache;
use crate::engine::large::Large;
use crate::engine::listing;
use crate::engine::read::{Reader, Snapshot};
use crate::index::rows::DetailRow;
use crate::model::cursor::Cursor;
use crate::model::error::{Error, Result};
use crate::model::job_query::JobQuery;
use crate::model::states::State;

impl Graph {
    /// The jobs of a list as lines of JSON, each a whole job: id, state, request, outcome
    /// and times (milliseconds since 1970). All of them at one instant, however many: the
    /// list's limits do not count here, its offset and cursor do. [`Graph::import`] is the
    /// inverse.
    ///
    /// A line, without what does not apply:
    /// ```json
    /// {"jobId":"..","status":"complete","request":{..},"masked":true,"cancelRequested":true,
    ///  "outcome":{"kind":"failed","code":"..","message":"..","resultRef":"..","detail":..,"recoveredAtOpen":2},
    ///  "submittedAt":1700000000000,"startedAt":1700000000001,"completedAt":1700000000002}
    /// ```
    ///
    /// Values under secret keys are written as `"******"`, unless
    /// [`Export::reveal_secrets`] is called. Keys of [`Graph::submit_once`] are not
    /// written: who tries again with one where the jobs are imported makes another job
    /// there. A [`JobStore::backup`](crate::JobStore::backup) keeps them.
    ///
    /// # Cost
    /// Requests are copied, not parsed; a row of the index is read for each 128 jobs. In
    /// memory a block, or a piece of a large job, and the states: less than a byte a job.
    /// Writers do not wait. Where the list scans, its jobs are searched for first; that takes
    /// less than two bytes more a job of the graph, however many match.
    ///
    /// # Errors
    /// Those of [`Graph::list`]; [`Error::InvalidUse`] for a list with a limit or with
    /// [`JobQuery::count_total`], which an export would ignore.
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
    ///     // Kept beside the lines, this is where another export goes on.
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
        let page = Page::of(self, listing::whole((self.engine(), &self.core), &query)?);
        let mut export = Export::new(&page, LineFormat::Lines);
        export.stopped_at = page.next.filter(|_| page.is_stopped);
        export.query = query;
        Ok(export)
    }
}

/// What jobs are written as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LineFormat {
    Lines,
    /// Lines with the progress of running jobs, which no import takes.
    #[cfg(feature = "http")]
    LinesWithProgress,
    /// Members of the list's array, with what is known of each behind.
    Members,
}

/// A large job on its way out, piece by piece.
struct PartialJob {
    large: Large,
    state: State,
    /// Bytes of its text that are still to come.
    left: usize,
    /// Where it goes on behind the job.
    resume_at: u64,
}

/// The lines of a graph's jobs, on their way out: from [`Graph::export`].
///
/// It keeps the store open and the files it needs, so let go of it when all is written; one
/// that is kept too long expires as a page does
/// ([`Options::snapshot_timeout`](crate::Options::snapshot_timeout)).
pub struct Export {
    graph: Graph,
    snapshot: Arc<Snapshot>,
    query: JobQuery,
    form: LineFormat,
    reader: Reader,
    /// Up to where lines were written: the next job is at or behind it, or where newest
    /// come first before it.
    place: Option<u64>,
    jobs: u64,
    of: u64,
    /// Where the search was stopped.
    stopped_at: Option<Cursor>,
    details: Option<(u64, Box<DetailRow>)>,
    extras: ExtraCache,
    line: Vec<u8>,
    begun: Option<PartialJob>,
    piece: Vec<u8>,
    reveals: bool,
}

impl Export {
    /// The jobs of a page as members of the list's array.
    pub(crate) fn members(page: &Page) -> Export {
        Export::new(page, LineFormat::Members)
    }

    /// The jobs of a page as lines, with the progress of those that run.
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

    /// Writes the secrets that requests carry, too, where lines have `"******"` otherwise
    /// ([`Options::secret_keys`](crate::Options::secret_keys)): for moving jobs to a store
    /// that is to work on them. Keep such lines as you keep the credentials in them.
    ///
    /// Without it, lines of jobs with secrets say `"masked":true`, and so does a job
    /// that is imported from one: [`Job::secrets_lost`](crate::Job::secrets_lost).
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

    /// Writes the next lines, about a block's worth; `false` once all are written.
    ///
    /// # Errors
    /// [`Error::Output`] from the writer; [`Error::Damaged`], [`Error::Io`],
    /// [`Error::IndexUnavailable`] and [`Error::PageExpired`] from the store. Lines of a
    /// call that failed may have been written in part; [`Export::cursor`] is then where
    /// they began.
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

    /// As [`Export::write_some`], but what is written may end within a large job, so that
    /// it is bounded however large jobs are. (One whose secrets are revealed is whole.)
    pub(crate) fn write_piece(&mut self, out: impl Write) -> Result<bool> {
        let jobs = self.jobs;
        // They are written again, a begun one from its beginning.
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

    /// Writes all lines that are left, and flushes the writer.
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

    /// Where an export of the same list goes on behind what was written; it is another
    /// instant then. `None` as long as nothing was written.
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
    /// // Tomorrow: only what came since. The cursor can be kept as text.
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

    /// Whether [`JobQuery::on_progress`] stopped the search for the jobs to be written: those
    /// found are not all there are, and [`Export::cursor`] goes on there, once they are
    /// written.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped_at.is_some()
    }

    /// How many jobs were written; those of a call that failed do not count.
    #[must_use]
    pub fn jobs(&self) -> u64 {
        self.jobs
    }

    /// How many jobs it writes in all.
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
