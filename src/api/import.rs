// Importing jobs from JSON lines.
//
// The jobs of a batch of lines are recorded durably and in order, and either all of them are
// recorded or none. If the import is repeated, they are not recorded again. A bad line is reported
// by its number; its text is never shown.

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
    /// Imports jobs from JSON lines, in order. A line is in the format of [`Graph::export`], or is
    /// a bare request (`{"command":..,"url":..,"body":..}`), or a request with some of the job's
    /// details: `{"request":{..}, "jobId"?, "status"?, "outcome"?, "submittedAt"?, "startedAt"?,
    /// "completedAt"?, "cancelRequested"?}`. If the id is missing, the graph generates one. If the
    /// status is missing, the job is complete if there is an outcome, and pending otherwise.
    /// Missing times default to the current time. Empty lines are skipped.
    ///
    /// Times are milliseconds since 1970, up to the end of the year 9999. `recoveredAtOpen` is
    /// valid only in an outcome recorded by a recovery: one whose kind is `interrupted` or
    /// `cancelled`, without further members.
    ///
    /// A line whose id already exists with the same request is skipped, so an import can be
    /// repeated, and an interrupted import is completed by running it again. (A line without an id
    /// creates another job each time.) A job whose line has the status `running` is imported as
    /// running, and the next open recovers it.
    ///
    /// Requests are compared in masked form. If a job was imported without its secrets, a later
    /// line does not add them; [`ImportReport::secrets_left`] counts such lines. Import lines with
    /// secrets first, or into another graph.
    ///
    /// Lines do not contain idempotency keys: after an import, a retry of [`Graph::submit_once`]
    /// with the same key creates another job. A [`JobStore::backup`](crate::JobStore::backup)
    /// contains the keys.
    ///
    /// # Durability
    /// Each commit contains up to 4096 jobs or about 4 MiB, and is recorded either completely or
    /// not at all. If an import fails, the jobs of earlier commits remain;
    /// [`Graph::import_with_progress`] reports their number.
    ///
    /// # Cost
    /// The lines of one commit are held in memory. A check for a new id almost never reads the
    /// disk; for an existing id, the job's block is read.
    ///
    /// # Errors
    /// [`Error::BadLine`] with the line's number, unless [`OnBadLine::Skip`] is given: for a line
    /// that is not a valid job, an id that belongs to a different request or was purged, or a
    /// request that is too large. [`Error::Input`] from the reader. Also the errors of
    /// [`Graph::submit`] and [`Graph::job`]. An error of the store always ends the import.
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

    /// Like [`Graph::import`], but calls `progress` on the calling thread after each commit, at the
    /// end, and before an error is returned.
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

    /// Checks whether the graph or the batch already contains the job of a line.
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

    /// Commits the batch.
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
    /// Like [`Graph::import`], but creates the graph if it does not exist. The graph is created
    /// when the first valid line is read. If there is no valid line, it is created at the end,
    /// unless a line was bad. Returns whether the graph was created.
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

/// Imports into the graph that `into` returns. `into` is called when the first valid line is read.
/// If there is no valid line, it is called at the end, unless a line was bad.
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
        // A line may be rejected after other lines have already been recorded.
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
