//! Whole jobs as lines of JSON: into a graph.
//!
//! Owns: [`Graph::import`], what a line may hold, and what becomes of one that is bad.
//! Must not know: how jobs are recorded.
//! Promise: lines become jobs in their order, wholly and durably or not at all, and once,
//! however often they are imported; a bad line is named by its number, never by its text.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::graph::Graph;
use crate::api::spans::call_span;
#[cfg(feature = "http")]
use crate::api::store::JobStore;
use crate::api::write::unexpected;
use crate::base::clock::TIME_MS_MAX;
use crate::base::codec::NUMBER_MAX;
use crate::engine::core::Engine;
use crate::engine::state::calls::Answer;
use crate::engine::state::operation::{Action, Imported, Operation, SMALL_WRITE_BYTES, Submission};
use crate::model::error::{Error, Result};
use crate::model::id::JobId;
use crate::model::outcome::{Outcome, OutcomeKind};
use crate::model::request::{BESIDE_REQUEST_BYTES, Body, Request, WireRequest, present};
use crate::model::states::State;

/// Jobs of one commit.
const BATCH_JOBS: usize = 4096;
/// Bytes of requests of one commit, about.
const BATCH_BYTES: u64 = 4 << 20;
/// Bad lines whose numbers are kept.
const BAD_LINES_KEPT: usize = 1000;

/// What becomes of a line that is no job: see [`Graph::import`].
///
/// # Examples
/// ```
/// use jobstore::{Error, JobStore, OnBadLine};
/// # let store = JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// let stopped = movie.import(&b"no job\n"[..], OnBadLine::Stop);
/// assert!(matches!(stopped, Err(Error::BadLine { line: 1, .. })));
/// assert_eq!(movie.import(&b"no job\n"[..], OnBadLine::Skip)?.bad, 1);
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnBadLine {
    /// The import ends there with [`Error::BadLine`]; the lines before are imported.
    #[default]
    Stop,
    /// It is passed over and counted.
    Skip,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// Jobs that were recorded.
    pub imported: u64,
    /// Jobs that were there already, with the same id and request.
    pub there: u64,
    /// Those of them whose line has secrets that the job does not: it was recorded masked,
    /// or with others. It stays so.
    pub secrets_left: u64,
    /// Lines that were passed over.
    pub bad: u64,
    /// The numbers of those, from 1, up to 1000 of them, and what is wrong with each.
    pub bad_lines: Vec<(u64, String)>,
    /// Lines read, empty ones included.
    pub lines: u64,
}

impl Graph {
    /// Records the jobs of lines of JSON, in their order: those of [`Graph::export`], bare
    /// requests (`{"command":..,"url":..,"body":..}`), or a request with what is known of
    /// it: `{"request":{..}, "jobId"?, "status"?, "outcome"?, "submittedAt"?, "startedAt"?,
    /// "finishedAt"?, "cancelRequested"?}`. Without an id the graph makes one; without a
    /// status the job is pending, or complete where there is an outcome; without times it
    /// is now. Empty lines are passed over.
    ///
    /// Times are milliseconds since 1970, up to the end of the year 9999. Only an outcome
    /// that a recovery made has a `boot`: interrupted or cancelled, and nothing else.
    ///
    /// A job whose id is there with the same request is left as it is; so an import can be
    /// repeated, and one that was interrupted is completed by doing it again. (Lines
    /// without an id make a job each time.) A job that is running in the line is running
    /// here: the next open recovers it.
    ///
    /// Requests are compared masked, so a job that came redacted stays so when its secrets
    /// come later; [`ImportReport::secrets_left`] counts these. Import lines with secrets
    /// first, or into another graph.
    ///
    /// Lines have no keys of [`Graph::submit_once`]: who tries again with a key makes
    /// another job here. A [`JobStore::backup`](crate::JobStore::backup) keeps the keys.
    ///
    /// # Durability
    /// As [`Graph::submit_all`]: each commit of up to 4096 lines, some 4 MiB, wholly or not
    /// at all. An import that returns an error keeps the jobs of the lines before; how many
    /// it imported, [`Graph::import_with`] reports.
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
    /// use jobstore::{JobStore, List, OnBadLine};
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
        self.import_with(reader, on_bad_line, |_| {})
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
    /// let done = movie.import_with(lines.as_bytes(), OnBadLine::Skip, |so_far| {
    ///     eprintln!("{} lines, {} jobs", so_far.lines, so_far.imported);
    /// })?;
    /// for (line, problem) in &done.bad_lines {
    ///     eprintln!("line {line}: {problem}");
    /// }
    /// assert_eq!((done.imported, done.bad), (1, 1));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn import_with(
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
    fn place(&self, line: u64, job: Imported, batch: &Batch) -> Result<Placed> {
        let Some(id) = &job.id else {
            return Ok(Placed::New(Box::new(job)));
        };
        let kept = &job.submission.kept;
        let batched = batch.ids.get(id).and_then(|&n| batch.jobs.get(n));
        let batched = batched.map(|job| &job.submission.kept);
        let known = match batched {
            Some(known) => Some(known.request.clone()),
            None => self.look(id).map_err(|e| of_line(line, e))?.found,
        };
        match known {
            Some(known) if known == kept.request => {
                let is_secret_left = kept.has_values() && {
                    let known = match batched {
                        Some(known) => known.revealed(),
                        None => self.job(id)?.map(|job| job.request().clone()),
                    };
                    known != kept.revealed()
                };
                Ok(Placed::There { is_secret_left })
            }
            Some(_) => Err(of_line(line, Error::JobIdTaken { id: id.clone() })),
            None => Ok(Placed::New(Box::new(job))),
        }
    }

    /// Commits what was gathered.
    fn record(
        &self,
        batch: &mut Batch,
        report: &mut ImportReport,
        on_bad_line: OnBadLine,
    ) -> Result<()> {
        let Batch {
            jobs, lines, bytes, ..
        } = std::mem::take(batch);
        if jobs.is_empty() {
            return Ok(());
        }
        self.engine().check_index_lag()?;
        let answer = self.engine().commit(Operation {
            action: Action::Import {
                graph: self.core.clone(),
                jobs,
                stops: on_bad_line == OnBadLine::Stop,
            },
            bytes,
        })?;
        let Answer::Imported { made, refused } = answer else {
            return Err(unexpected());
        };
        report.imported += made;
        report.there += lines.len() as u64 - made - refused.len() as u64;
        for (n, error) in refused {
            let line = lines.get(n).copied().unwrap_or_default();
            report.pass_over(of_line(line, error), on_bad_line)?;
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
            let graph = self.graph_or_create(project_id, name)?;
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
    let (mut graph, mut batch) = (None::<Graph>, Batch::default());
    let mut line = Vec::new();
    let longest = engine.options.request_bytes_max + BESIDE_REQUEST_BYTES;
    let mut record = |graph: Option<&Graph>, batch: &mut Batch, report: &mut ImportReport| {
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
            Ok(Placed::There { is_secret_left }) => {
                report.there += 1;
                report.secrets_left += u64::from(is_secret_left);
                Ok(())
            }
            Ok(Placed::New(job)) => {
                batch.add(report.lines, *job);
                Ok(())
            }
            Err(error) => report.pass_over(error, on_bad_line),
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

/// A line's job; what is wrong with it is said without its text.
fn parse(line: u64, bytes: &[u8], engine: &Engine) -> Result<Imported> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the line is not valid UTF-8".to_owned());
    let job = text.and_then(|text| Line::job(text, engine));
    let job = job.map_err(|problem| Error::BadLine { line, problem })?;
    let given_bytes = job.submission.kept.bytes();
    let max_bytes = engine.options.request_bytes_max;
    if given_bytes > max_bytes {
        let error = Error::RequestTooLarge {
            given_bytes,
            max_bytes,
        };
        return Err(of_line(line, error));
    }
    Ok(job)
}

impl ImportReport {
    /// Notes a bad line. One that the import stops at is an error, and so is what is wrong
    /// with the store: no line is passed over for that.
    fn pass_over(&mut self, error: Error, on_bad_line: OnBadLine) -> Result<()> {
        match error {
            Error::BadLine { line, problem } if on_bad_line == OnBadLine::Skip => {
                self.bad += 1;
                if self.bad_lines.len() < BAD_LINES_KEPT {
                    self.bad_lines.push((line, problem));
                }
                Ok(())
            }
            error => Err(error),
        }
    }
}

/// An error that a line has led to: the line's own, or the store's.
fn of_line(line: u64, error: Error) -> Error {
    match error {
        Error::JobIdTaken { .. } | Error::JobIdPurged { .. } | Error::RequestTooLarge { .. } => {
            let problem = error.to_string();
            Error::BadLine { line, problem }
        }
        error => error,
    }
}

/// Whether a job is new to its graph.
enum Placed {
    There { is_secret_left: bool },
    New(Box<Imported>),
}

/// Jobs of the next commit, and their lines.
#[derive(Default)]
struct Batch {
    jobs: Vec<Imported>,
    /// Where those with an id stand.
    ids: HashMap<JobId, usize>,
    lines: Vec<u64>,
    bytes: u64,
}

impl Batch {
    fn add(&mut self, line: u64, job: Imported) {
        self.bytes += job.submission.kept.bytes() + SMALL_WRITE_BYTES;
        if let Some(id) = &job.id {
            self.ids.insert(id.clone(), self.jobs.len());
        }
        self.jobs.push(job);
        self.lines.push(line);
    }

    fn is_full(&self) -> bool {
        self.jobs.len() >= BATCH_JOBS || self.bytes >= BATCH_BYTES
    }
}

#[derive(PartialEq, Eq)]
enum Read {
    Line,
    TooLong,
    End,
}

/// Reads up to the next line feed; of a line that is too long no more is kept.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>, longest: u64) -> Result<Read> {
    line.clear();
    let mut is_too_long = false;
    loop {
        let there = reader.fill_buf().map_err(|e| Error::input(&e))?;
        if there.is_empty() {
            let is_end = line.is_empty() && !is_too_long;
            return Ok(match (is_end, is_too_long) {
                (true, _) => Read::End,
                (false, true) => Read::TooLong,
                (false, false) => Read::Line,
            });
        }
        let end = there.iter().position(|&byte| byte == b'\n');
        let (part, taken) = match end {
            Some(end) => (&there[..end], end + 1),
            None => (there, there.len()),
        };
        is_too_long |= (line.len() + part.len()) as u64 > longest;
        if !is_too_long {
            line.extend_from_slice(part);
        }
        reader.consume(taken);
        if end.is_some() {
            return Ok(if is_too_long {
                Read::TooLong
            } else {
                Read::Line
            });
        }
    }
}

/// A line as it may be given.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Line<'a> {
    job_id: Option<String>,
    status: Option<String>,
    #[serde(borrow)]
    request: Option<WireRequest<'a>>,
    #[serde(borrow)]
    outcome: Option<WireOutcome<'a>>,
    submitted_at: Option<u64>,
    started_at: Option<u64>,
    finished_at: Option<u64>,
    #[serde(default)]
    cancel_requested: bool,
    #[serde(default)]
    redacted: bool,
    command: Option<String>,
    url: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    body: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireOutcome<'a> {
    kind: String,
    code: Option<String>,
    message: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    detail: Option<&'a RawValue>,
    result_ref: Option<String>,
    boot: Option<u64>,
}

impl<'a> Line<'a> {
    fn job(text: &'a str, engine: &Engine) -> Result<Imported, String> {
        let line: Line<'a> = serde_json::from_str(text).map_err(|e| {
            // serde's words quote what they do not know.
            let what = if e.is_data() {
                "unexpected field or type"
            } else {
                "invalid JSON"
            };
            format!("{what} at column {}", e.column())
        })?;
        let said = |error: Error| error.to_string();
        let is_bare = line.command.is_some() || line.url.is_some() || line.body.is_some();
        let request = match (line.request, line.command) {
            (Some(_), _) if is_bare => {
                let problem = "it has both a request and a command, url, or body; use one or the \
                     other";
                return Err(problem.to_owned());
            }
            (Some(request), _) => {
                let url = request.url.map(|url| url.0.into_owned());
                let command = request.command.into_owned();
                (command, url.unwrap_or_default(), request.body)
            }
            (None, Some(command)) => (command, line.url.unwrap_or_default(), line.body),
            (None, None) => return Err("it has neither a request nor a command".to_owned()),
        };
        let (command, url, body) = request;
        let body = body.map_or_else(|| Ok(Body::empty()), |b| Body::from_json(b.get()));
        let request = Request::new(command, url, body.map_err(said)?).map_err(said)?;
        let kept = match (engine.options.secret_keys.keep(request), line.redacted) {
            (kept, true) => kept.redacted(),
            (kept, false) => kept,
        };
        let id = line.job_id.map(JobId::new).transpose().map_err(said)?;
        let keys = &engine.options.secret_keys;
        let outcome = line.outcome.map(WireOutcome::outcome).transpose()?;
        let outcome = outcome.map(|o| o.kept(keys)).transpose().map_err(said)?;
        let status = line.status.map(|given| {
            let states = State::ALL.into_iter();
            states.into_iter().find(|state| state.as_str() == given)
        });
        let status = match status {
            Some(None) => {
                return Err("invalid status; use pending, running, or complete".to_owned());
            }
            Some(status) => status,
            None => None,
        };
        let state = match (status, &outcome) {
            (None, None) => State::Pending,
            (None | Some(State::Complete), _) => State::Complete,
            (Some(open), None) => open,
            (Some(_), Some(_)) => return Err("only a complete job can have an outcome".to_owned()),
        };
        let outcome = match (state, outcome) {
            (State::Complete, None) => Some(Outcome::succeeded()),
            (_, outcome) => outcome,
        };
        let submitted_ms = time("submittedAt", line.submitted_at)?;
        let started_ms = time("startedAt", line.started_at)?;
        let finished_ms = time("finishedAt", line.finished_at)?;
        Ok(Imported {
            id,
            submission: Submission::new(engine.store, kept),
            state,
            outcome,
            submitted_ms,
            started_ms: started_ms.filter(|_| state != State::Pending),
            finished_ms: finished_ms.filter(|_| state == State::Complete),
            cancel_requested: line.cancel_requested && state == State::Running,
        })
    }
}

/// A time that can be shown, so that it is filtered by as it is shown.
fn time(name: &str, given: Option<u64>) -> Result<Option<u64>, String> {
    match given {
        Some(given) if given > TIME_MS_MAX => Err(format!(
            "invalid {name}: {given}; use at most {TIME_MS_MAX} (milliseconds since 1970, up to \
             the end of the year 9999)"
        )),
        given => Ok(given),
    }
}

impl WireOutcome<'_> {
    fn outcome(self) -> Result<Outcome, String> {
        let kind = OutcomeKind::from_word(&self.kind);
        let kind = kind.ok_or(
            "invalid kind of outcome; use succeeded, partially_failed, failed, \
             cancelled, or interrupted",
        )?;
        let said = |error: Error| error.to_string();
        let mut outcome = Outcome::new(kind, self.code, self.message).map_err(said)?;
        if let Some(detail) = self.detail {
            outcome = outcome.with_detail_json(detail.get()).map_err(said)?;
        }
        if let Some(text) = self.result_ref {
            outcome = outcome.with_result_ref(text).map_err(said)?;
        }
        if let Some(boot) = self.boot {
            if !(1..NUMBER_MAX).contains(&boot) {
                let max = NUMBER_MAX - 1;
                return Err(format!(
                    "invalid boot of the outcome: {boot}; use 1 to {max}"
                ));
            }
            // A recovery says nothing else of an end, and there is no room for it.
            let is_cut_short = matches!(kind, OutcomeKind::Interrupted | OutcomeKind::Cancelled);
            if !is_cut_short || outcome.extra.is_some() {
                let problem = "only an interrupted or cancelled outcome without other details can \
                     have a boot";
                return Err(problem.to_owned());
            }
            outcome.boot = Some(boot);
        }
        Ok(outcome)
    }
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ImportReport {
            imported,
            there,
            secrets_left,
            bad,
            ..
        } = self;
        write!(f, "{imported} imported, {there} already present")?;
        if *secrets_left > 0 {
            write!(
                f,
                " ({secrets_left} of them left without the secrets in their lines)"
            )?;
        }
        write!(f, ", {bad} skipped")
    }
}
