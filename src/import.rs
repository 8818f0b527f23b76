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

use crate::clock::TIME_MS_MAX;
use crate::engine::Engine;
use crate::engine::answers::Answer;
use crate::engine::queue::{Action, Imported, Operation, SMALL_WRITE_BYTES, Submission};
use crate::error::{Error, Result};
use crate::graph::{Graph, unexpected};
use crate::id::JobId;
use crate::job::State;
use crate::outcome::{Outcome, OutcomeKind};
use crate::request::{Body, Request, present};
use crate::spans::call_span;
use crate::storage::event::NUMBER_MAX;

/// Jobs of one commit.
const BATCH_JOBS: usize = 4096;
/// Bytes of requests of one commit, about.
const BATCH_BYTES: u64 = 4 << 20;
/// Bad lines whose numbers are kept.
const BAD_LINES_KEPT: usize = 1000;
/// Bytes a line may have beside its request.
const BESIDE_REQUEST_BYTES: u64 = 1 << 20;

/// What becomes of a line that is no job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnBadLine {
    /// The import ends there with [`Error::BadLine`]; the lines before are imported.
    #[default]
    Stop,
    /// It is passed over and counted.
    Skip,
}

/// How to import: see [`Graph::import`].
///
/// # Examples
/// ```
/// use jobstore::{Error, ImportOptions, JobStore, OnBadLine};
/// # let store = JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// let strict = movie.import(&b"no job\n"[..], ImportOptions::new());
/// assert!(matches!(strict, Err(Error::BadLine { line: 1, .. })));
/// let skipping = ImportOptions::new().on_bad_line(OnBadLine::Skip);
/// assert_eq!(movie.import(&b"no job\n"[..], skipping)?.bad, 1);
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct ImportOptions {
    on_bad_line: OnBadLine,
}

impl ImportOptions {
    /// The defaults: it stops at a bad line.
    pub fn new() -> ImportOptions {
        ImportOptions::default()
    }

    /// What becomes of a line that is no job; [`OnBadLine::Stop`] by default.
    pub fn on_bad_line(mut self, what: OnBadLine) -> ImportOptions {
        self.on_bad_line = what;
        self
    }
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
    /// at all.
    ///
    /// # Cost
    /// Memory for the lines of one commit. An id that is new costs nothing on the disk,
    /// nearly always; one that is there costs reading its job's block.
    ///
    /// # Errors
    /// [`Error::BadLine`] with the line's number: text that is no job, an id that belongs
    /// to another request or was purged, a request over its bounds. [`Error::Input`] from
    /// the reader. Those of [`Graph::submit`] and of looking an id up ([`Graph::job`]):
    /// what is wrong with the store ends an import, however bad lines are taken.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{ImportOptions, JobStore, List};
    /// let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// let lines = concat!(
    ///     r#"{"jobId":"a","status":"complete","request":{"command":"c","url":"/","body":1}}"#, "\n",
    ///     r#"{"command":"c","url":"/","body":{}}"#, "\n",
    /// );
    /// let done = movie.import(lines.as_bytes(), ImportOptions::new())?;
    /// assert_eq!(done.imported, 2);
    /// assert!(movie.job("a")?.is_some());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn import(&self, reader: impl io::Read, options: ImportOptions) -> Result<ImportReport> {
        self.import_with(reader, options, |_| {})
    }

    /// [`Graph::import`] whose `progress` is told after each commit, with what was done up
    /// to then, and at the end. It runs on this thread: the import waits for it.
    ///
    /// # Errors
    /// Those of [`Graph::import`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{ImportOptions, JobStore, OnBadLine};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let lines = concat!(r#"{"command":"clear_graph","url":"/ges"}"#, "\n", "no job\n");
    /// let options = ImportOptions::new().on_bad_line(OnBadLine::Skip);
    /// let done = movie.import_with(lines.as_bytes(), options, |so_far| {
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
        options: ImportOptions,
        mut progress: impl FnMut(&ImportReport),
    ) -> Result<ImportReport> {
        let _span = call_span!("import", self);
        self.check_writable()?;
        let mut reader = io::BufReader::with_capacity(256 << 10, reader);
        let mut report = ImportReport::default();
        let mut batch = Batch::default();
        let mut line = Vec::new();
        let longest = self.engine().options.request_bytes_max + BESIDE_REQUEST_BYTES;
        loop {
            let read = read_line(&mut reader, &mut line, longest)?;
            if read == Read::End {
                break;
            }
            report.lines += 1;
            let parsed = match read {
                Read::TooLong => Err(Error::BadLine {
                    line: report.lines,
                    problem: format!("it has more than {longest} bytes"),
                }),
                _ if line.iter().all(u8::is_ascii_whitespace) => continue,
                _ => self.parse((report.lines, &line), &batch),
            };
            match parsed {
                Ok(Parsed::There { is_secret_left }) => {
                    report.there += 1;
                    report.secrets_left += u64::from(is_secret_left);
                }
                Ok(Parsed::New(job)) => batch.add(report.lines, *job),
                Err(error) => {
                    if let Err(error) = report.pass_over(error, options) {
                        self.record(&mut batch, &mut report, options)?;
                        return Err(error);
                    }
                }
            }
            if batch.is_full() {
                self.record(&mut batch, &mut report, options)?;
                progress(&report);
            }
        }
        self.record(&mut batch, &mut report, options)?;
        progress(&report);
        Ok(report)
    }

    /// A line's job; what is wrong with it is said without its text.
    fn parse(&self, (line, bytes): (u64, &[u8]), batch: &Batch) -> Result<Parsed> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned());
        let job = text.and_then(|text| Line::job(text, self.engine()));
        let job = job.map_err(|problem| Error::BadLine { line, problem })?;
        if let Some(id) = &job.id {
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
                    return Ok(Parsed::There { is_secret_left });
                }
                Some(_) => return Err(of_line(line, Error::JobIdTaken { id: id.clone() })),
                None => {}
            }
        }
        let given_bytes = job.submission.kept.bytes();
        let max_bytes = self.engine().options.request_bytes_max;
        if given_bytes > max_bytes {
            let error = Error::RequestTooLarge {
                given_bytes,
                max_bytes,
            };
            return Err(of_line(line, error));
        }
        Ok(Parsed::New(Box::new(job)))
    }

    /// Commits what was gathered.
    fn record(
        &self,
        batch: &mut Batch,
        report: &mut ImportReport,
        options: ImportOptions,
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
                stops: options.on_bad_line == OnBadLine::Stop,
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
            report.pass_over(of_line(line, error), options)?;
        }
        Ok(())
    }
}

impl ImportReport {
    /// Notes a bad line. One that the import stops at is an error, and so is what is wrong
    /// with the store: no line is passed over for that.
    fn pass_over(&mut self, error: Error, options: ImportOptions) -> Result<()> {
        match error {
            Error::BadLine { line, problem } if options.on_bad_line == OnBadLine::Skip => {
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

enum Parsed {
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
#[serde(deny_unknown_fields)]
struct WireRequest<'a> {
    command: String,
    #[serde(default)]
    url: String,
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
                "it has other fields or types than a job"
            } else {
                "it is not JSON"
            };
            format!("{what}, at column {}", e.column())
        })?;
        let said = |error: Error| error.to_string();
        let is_bare = line.command.is_some() || line.url.is_some() || line.body.is_some();
        let request = match (line.request, line.command) {
            (Some(_), _) if is_bare => {
                let problem = "it has a request, and a command, url or body beside it";
                return Err(problem.to_owned());
            }
            (Some(request), _) => (request.command, request.url, request.body),
            (None, Some(command)) => (command, line.url.unwrap_or_default(), line.body),
            (None, None) => return Err("it has no request, and no command".to_owned()),
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
            Some(None) => return Err("its status is none that there is".to_owned()),
            Some(status) => status,
            None => None,
        };
        let state = match (status, &outcome) {
            (None, None) => State::Pending,
            (None | Some(State::Complete), _) => State::Complete,
            (Some(open), None) => open,
            (Some(_), Some(_)) => return Err("it has an outcome and is not complete".to_owned()),
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
            "its {name} is {given}, at most {TIME_MS_MAX} is allowed (milliseconds since 1970, to the end of 9999)"
        )),
        given => Ok(given),
    }
}

impl WireOutcome<'_> {
    fn outcome(self) -> Result<Outcome, String> {
        let kind = OutcomeKind::from_word(&self.kind);
        let kind = kind.ok_or("its outcome is of no kind that there is")?;
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
                    "its outcome's boot is {boot}, it must be in 1..={max}"
                ));
            }
            // A recovery says nothing else of an end, and there is no room for it.
            let is_cut_short = matches!(kind, OutcomeKind::Interrupted | OutcomeKind::Cancelled);
            if !is_cut_short || outcome.extra.is_some() {
                let problem = "its outcome has a boot, and is not just interrupted or cancelled";
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
        write!(f, "{imported} imported, {there} there already")?;
        if *secrets_left > 0 {
            write!(
                f,
                " ({secrets_left} of them with secrets that were left out)"
            )?;
        }
        write!(f, ", {bad} passed over")
    }
}
