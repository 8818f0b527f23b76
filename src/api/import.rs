//! Whole jobs as lines of JSON: into a graph.
//!
//! Owns: [`Graph::import`], what a line may hold, and what becomes of one that is bad.
//! Must not know: how jobs are recorded.
//! Promise: lines become jobs in their order, wholly and durably or not at all, and once,
//! however often they are imported; a bad line is named by its number, never by its text.

mod batch;
mod line;
mod reader;
mod report;

use std::io;

use self::batch::ImportBatch;
use self::line::{of_line, parse};
use self::reader::{Read, read_line};
pub use self::report::{ImportReport, OnBadLine};
use crate::api::graph::Graph;
use crate::api::spans::call_span;
#[cfg(feature = "http")]
use crate::api::store::JobStore;
use crate::api::write::unexpected;
use crate::engine::core::Engine;
use crate::engine::state::calls::WriteResult;
use crate::engine::state::operation::{Action, Imported, Operation};
use crate::model::error::{Error, Result};
use crate::model::request::BESIDE_REQUEST_BYTES;

impl Graph {
    /// Records the jobs of lines of JSON, in their order: those of [`Graph::export`], bare
    /// requests (`{"command":..,"url":..,"body":..}`), or a request with what is known of
    /// it: `{"request":{..}, "jobId"?, "status"?, "outcome"?, "submittedAt"?, "startedAt"?,
    /// "completedAt"?, "cancelRequested"?}`. Without an id the graph makes one; without a
    /// status the job is pending, or complete where there is an outcome; without times it
    /// is now. Empty lines are passed over.
    ///
    /// Times are milliseconds since 1970, up to the end of the year 9999. Only an outcome
    /// that a recovery made has a `recoveredAtOpen`: interrupted or cancelled, and nothing else.
    ///
    /// A job whose id is there with the same request is left as it is; so an import can be
    /// repeated, and one that was interrupted is completed by doing it again. (Lines
    /// without an id make a job each time.) A job that is running in the line is running
    /// here: the next open recovers it.
    ///
    /// Requests are compared masked, so a job that came masked stays so when its secrets
    /// come later; [`ImportReport::secrets_left`] counts these. Import lines with secrets
    /// first, or into another graph.
    ///
    /// Lines have no keys of [`Graph::submit_once`]: who tries again with a key makes
    /// another job here. A [`JobStore::backup`](crate::JobStore::backup) keeps the keys.
    ///
    /// # Durability
    /// As [`Graph::submit_all`]: each commit of up to 4096 lines, some 4 MiB, wholly or not
    /// at all. An import that returns an error keeps the jobs of the lines before; how many
    /// it imported, [`Graph::import_with_progress`] reports.
    ///
    /// # Cost
    /// Memory for the lines of one commit. An id that is new costs nothing on the disk,
    /// nearly always; one that is there costs reading its job's block.
    ///
    /// # Errors
    /// [`Error::BadLine`] with the line's number, unless [`OnBadLine::Skip`] is given: text
    /// that is no job, an id that belongs to another request or was purged, a request over
    /// its bounds. [`Error::Input`] from
    /// the reader. Those of [`Graph::submit`] and of looking an id up ([`Graph::job`]):
    /// what is wrong with the store ends an import, however bad lines are taken.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobQuery, JobStore, OnBadLine};
    /// let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// let lines = concat!(
    ///     r#"{"jobId":"a","status":"complete","request":{"command":"c","url":"/","body":1}}"#, "\n",
    ///     r#"{"command":"c","url":"/","body":{}}"#, "\n",
    /// );
    /// let done = movie.import(lines.as_bytes(), OnBadLine::Stop)?;
    /// assert_eq!(done.imported, 2);
    /// assert!(movie.job("a")?.is_some());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn import(&self, reader: impl io::Read, on_bad_line: OnBadLine) -> Result<ImportReport> {
        self.import_with_progress(reader, on_bad_line, |_| {})
    }

    /// [`Graph::import`] that calls `progress` after each commit with what was done up to
    /// then, also before an error is returned, and at the end. It runs on this thread: the
    /// import waits for it.
    ///
    /// # Errors
    /// Those of [`Graph::import`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobStore, OnBadLine};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let lines = concat!(r#"{"command":"clear_graph","url":"/ges"}"#, "\n", "no job\n");
    /// let done = movie.import_with_progress(lines.as_bytes(), OnBadLine::Skip, |so_far| {
    ///     eprintln!("{} lines, {} jobs", so_far.lines, so_far.imported);
    /// })?;
    /// for (line, problem) in &done.bad_lines {
    ///     eprintln!("line {line}: {problem}");
    /// }
    /// assert_eq!((done.imported, done.bad), (1, 1));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn import_with_progress(
        &self,
        reader: impl io::Read,
        on_bad_line: OnBadLine,
        progress: impl FnMut(&ImportReport),
    ) -> Result<ImportReport> {
        let _span = call_span!("import", self);
        self.check_writable()?;
        import(
            self.engine(),
            || Ok(self.clone()),
            reader,
            on_bad_line,
            progress,
        )
    }

    /// Whether the graph or the batch has a line's job.
    fn place(&self, line: u64, job: Imported, batch: &ImportBatch) -> Result<ImportAction> {
        let Some(id) = &job.id else {
            return Ok(ImportAction::New(Box::new(job)));
        };
        let masked_request = &job.submission.masked_request;
        let batched = batch.ids.get(id).and_then(|&n| batch.jobs.get(n));
        let batched = batched.map(|job| &job.submission.masked_request);
        let known = match batched {
            Some(known) => Some(known.request.clone()),
            None => self.look_up(id).map_err(|e| of_line(line, e))?.found,
        };
        match known {
            Some(known) if known == masked_request.request => {
                let is_secret_left = masked_request.has_values() && {
                    let known = match batched {
                        Some(known) => known.revealed(),
                        None => self.job(id)?.map(|job| job.request().clone()),
                    };
                    known != masked_request.revealed()
                };
                Ok(ImportAction::Exists { is_secret_left })
            }
            Some(_) => Err(of_line(line, Error::JobIdTaken { id: id.clone() })),
            None => Ok(ImportAction::New(Box::new(job))),
        }
    }

    /// Commits what was gathered.
    fn record(
        &self,
        batch: &mut ImportBatch,
        report: &mut ImportReport,
        on_bad_line: OnBadLine,
    ) -> Result<()> {
        let ImportBatch {
            jobs, lines, bytes, ..
        } = std::mem::take(batch);
        if jobs.is_empty() {
            return Ok(());
        }
        self.engine().check_index_lag()?;
        let result = self.engine().commit(Operation {
            action: Action::Import {
                graph: self.core.clone(),
                jobs,
                stops: on_bad_line == OnBadLine::Stop,
            },
            bytes,
        })?;
        let WriteResult::Imported { made, refused } = result else {
            return Err(unexpected());
        };
        report.imported += made;
        report.there += lines.len() as u64 - made - refused.len() as u64;
        for (n, error) in refused {
            let line = lines.get(n).copied().unwrap_or_default();
            report.skip_line(of_line(line, error), on_bad_line)?;
        }
        Ok(())
    }
}

#[cfg(feature = "http")]
impl JobStore {
    /// [`Graph::import`] into a graph that may not exist. It is created when a line is a job,
    /// or when no line is bad. Returns whether it was.
    pub(crate) fn import_or_create(
        &self,
        project_id: &str,
        name: &str,
        reader: impl io::Read,
        on_bad_line: OnBadLine,
    ) -> Result<(ImportReport, bool)> {
        self.engine().check_writable()?;
        let mut span = None;
        let create = || {
            let graph = self.get_or_create_graph(project_id, name)?;
            span = Some(call_span!("import", graph));
            Ok(graph)
        };
        let report = import(self.engine(), create, reader, on_bad_line, |_| {})?;
        Ok((report, span.is_some()))
    }
}

/// Imports into the graph that `into` returns. It is called when a line is a job, or at the end
/// when no line was bad.
fn import(
    engine: &Engine,
    mut into: impl FnMut() -> Result<Graph>,
    reader: impl io::Read,
    on_bad_line: OnBadLine,
    mut progress: impl FnMut(&ImportReport),
) -> Result<ImportReport> {
    let mut reader = io::BufReader::with_capacity(256 << 10, reader);
    let mut report = ImportReport::default();
    let (mut graph, mut batch) = (None::<Graph>, ImportBatch::default());
    let mut line = Vec::new();
    let longest = engine.options.max_request_bytes + BESIDE_REQUEST_BYTES;
    let mut record = |graph: Option<&Graph>, batch: &mut ImportBatch, report: &mut ImportReport| {
        let recorded = graph.map_or(Ok(()), |graph| graph.record(batch, report, on_bad_line));
        // A line may be refused after others were recorded.
        progress(report);
        recorded
    };
    loop {
        let read = read_line(&mut reader, &mut line, longest)?;
        if read == Read::End {
            break;
        }
        report.lines += 1;
        let parsed = match read {
            Read::TooLong => Err(Error::BadLine {
                line: report.lines,
                problem: format!("the line is longer than {longest} bytes"),
            }),
            _ if line.iter().all(u8::is_ascii_whitespace) => continue,
            _ => parse(report.lines, &line, engine),
        };
        let placed = match parsed {
            Ok(job) => {
                let graph = match &graph {
                    Some(graph) => graph,
                    None => graph.insert(into()?),
                };
                graph.place(report.lines, job, &batch)
            }
            Err(error) => Err(error),
        };
        let stopped = match placed {
            Ok(ImportAction::Exists { is_secret_left }) => {
                report.there += 1;
                report.secrets_left += u64::from(is_secret_left);
                Ok(())
            }
            Ok(ImportAction::New(job)) => {
                batch.add(report.lines, *job);
                Ok(())
            }
            Err(error) => report.skip_line(error, on_bad_line),
        };
        if stopped.is_err() || batch.is_full() {
            record(graph.as_ref(), &mut batch, &mut report)?;
        }
        stopped?;
    }
    if graph.is_none() && report.bad == 0 {
        graph = Some(into()?);
    }
    record(graph.as_ref(), &mut batch, &mut report)?;
    Ok(report)
}

/// Whether a job is new to its graph.
enum ImportAction {
    Exists { is_secret_left: bool },
    New(Box<Imported>),
}
