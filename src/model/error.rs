//! Every way a call can fail, and what each failure is on the wire.
//!
//! Owns: [`Error`]. Must not know: how anything is stored.
//! Promise: bad input says what was given, what is allowed and what to do; no
//! message ever carries a request's body.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::base::clock;
use crate::model::id::{ID_CHARACTERS_MAX, JobId};
use crate::model::states::State;

/// What a fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
///
/// Cheap to clone, so that one failed commit can answer every caller that waited
/// for it. Expected results (a job that was complete already, an id that exists
/// with the same request) are not errors but values of the calls themselves.
///
/// # Examples
/// ```
/// use jobstore::{Error, JobStore, Outcome};
/// # let store = JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// match movie.complete("import-17", Outcome::succeeded()) {
///     Ok(done) => println!("{done:?}"),
///     Err(Error::UnknownJob { id }) => println!("there is no job {id}"),
///     Err(Error::CommitUnknown { why, .. }) => println!("reopen the store and look: {why}"),
///     Err(error) => println!("{error}; a client is told {}", error.api_error().to_json()),
/// }
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No graph of that name in that project.
    #[error("graph : {graph} not exist")]
    UnknownGraph {
        /// The name asked for.
        graph: String,
    },
    /// A graph of that name is there already.
    #[error(
        "graph {graph:?} already exists in project {project:?}; open it with `graph`, or drop it \
         first"
    )]
    GraphExists {
        /// The project's id.
        project: String,
        /// The graph's name.
        graph: String,
    },
    /// The graph behind this handle was dropped.
    #[error("graph {graph:?} was dropped; get a new handle with `create_graph`")]
    GraphDropped {
        /// The name the graph had.
        graph: String,
    },
    /// A project id or graph name that cannot be one.
    #[error(
        "invalid {what}: {given:?}; use 1 to {max_bytes} bytes without control characters or '/'"
    )]
    InvalidName {
        /// "project id" or "graph name".
        what: &'static str,
        /// What was given, cut to a readable length.
        given: String,
        /// The greatest length in bytes.
        max_bytes: usize,
    },
    /// No job with that id in the graph.
    #[error("can not find job, jobId is {id}")]
    UnknownJob {
        /// The id asked for.
        id: String,
    },
    /// Text that cannot be a job id.
    #[error(
        "invalid job id: {given:?}; use 1 to {max} characters from 0-9, A-Z, a-z, '_', and '-'"
    )]
    InvalidJobId {
        /// What was given, cut to a readable length.
        given: String,
        /// The greatest length in characters.
        max: usize,
    },
    /// The id belongs to a job with another request.
    #[error("job id {id} is already used by a job with a different request; choose another id")]
    JobIdTaken {
        /// The id.
        id: JobId,
    },
    /// The key belongs to a job with another request.
    #[error(
        "the idempotency key is already used by job {id}, which has a different request; \
         choose another key"
    )]
    KeyTaken {
        /// The job.
        id: JobId,
    },
    /// The key belonged to a job that was purged: it is free again once the job's
    /// tombstone is forgotten.
    #[error("the idempotency key was used by a job that has been purged; choose another key")]
    KeyPurged,
    /// Text that cannot be a key.
    #[error(
        "invalid idempotency key: its length is {given_bytes} bytes; use 1 to {max_bytes} bytes"
    )]
    InvalidKey {
        /// Its length in bytes.
        given_bytes: usize,
        /// The greatest length in bytes.
        max_bytes: usize,
    },
    /// The job's state does not allow that step; nothing was changed.
    #[error("job {id} is {from} and cannot become {to}")]
    IllegalTransition {
        /// The job.
        id: JobId,
        /// Its state.
        from: State,
        /// The state asked for.
        to: State,
    },
    /// A request without a command.
    #[error("the command is empty; set it to the name of the operation, such as \"import_graph\"")]
    EmptyCommand,
    /// A command or url over its bound.
    #[error("the {what} is too long: {given_bytes} bytes, at most {max_bytes} are allowed")]
    TextTooLong {
        /// "command" or "url".
        what: &'static str,
        /// Its length in bytes.
        given_bytes: usize,
        /// The bound in bytes.
        max_bytes: usize,
    },
    /// Text that is not JSON, or JSON that is not a request.
    #[error("{}", invalid_json(what, *problem, *line, *column))]
    InvalidJson {
        /// "body", "detail", "request" or "value".
        what: &'static str,
        /// What is wrong, without any of the text.
        problem: JsonProblem,
        /// Line, from 1; 0 where there is no text.
        line: usize,
        /// Column, from 1; 0 where there is no text.
        column: usize,
    },
    /// Text that is no JSON pointer.
    #[error(
        "invalid JSON pointer: {given:?}; {problem}; write it like \"/name/0\", with ~1 for a '/' \
         in a name"
    )]
    InvalidPointer {
        /// What was given, cut to a readable length.
        given: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// JSON nested deeper than allowed.
    #[error("the {what} is nested too deeply: {given} levels, at most {max} are allowed")]
    TooDeep {
        /// "body", "detail" or "value".
        what: &'static str,
        /// Its depth, in levels.
        given: usize,
        /// The bound.
        max: usize,
    },
    /// A request over the store's size limit.
    #[error(
        "the request is too large: {given_bytes} bytes, at most {max_bytes} are allowed (option \
         max_request_bytes)"
    )]
    RequestTooLarge {
        /// Its size in bytes.
        given_bytes: u64,
        /// The bound in bytes.
        max_bytes: u64,
    },
    /// More requests in one batch than allowed.
    #[error("the batch is too large: at most {max} {unit} are allowed; split it")]
    BatchTooLarge {
        /// The bound.
        max: u64,
        /// "requests" or "bytes".
        unit: &'static str,
    },
    /// A part of an outcome over its bound.
    #[error(
        "the outcome's {what} is too large: {given_bytes} bytes, at most {max_bytes} are allowed"
    )]
    OutcomeTooLarge {
        /// "detail", "result_ref", "code" or "message".
        what: &'static str,
        /// Its size in bytes.
        given_bytes: usize,
        /// The bound in bytes.
        max_bytes: usize,
    },
    /// A page limit outside 1..=max.
    #[error("invalid value {given} for parameter limit: it must be 1 to {max}")]
    PageLimit {
        /// The limit given.
        given: u64,
        /// The greatest limit.
        max: u64,
    },
    /// The job with that id was purged; its tombstone is still there.
    #[error("job {id} was purged at {}", clock::rfc3339(*at))]
    JobPurged {
        /// The id.
        id: JobId,
        /// When it was purged.
        at: SystemTime,
    },
    /// The id belonged to a job that was purged: it is free again once its tombstone is
    /// forgotten.
    #[error("job id {id} was used by a job that has been purged; choose another id")]
    JobIdPurged {
        /// The id.
        id: JobId,
    },
    /// The page is too old: what it shows was purged since, and its time is over.
    #[error("the page has expired: its files have been replaced or purged; list again")]
    PageExpired,
    /// A cursor of another graph or filter, an altered one, or one that was given out by a
    /// copy of the store.
    #[error("invalid value for parameter cursor: {problem}; start again without a cursor")]
    InvalidCursor {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A position of another graph, an altered one, or one that was given out by a copy of
    /// the store.
    #[error("invalid position: {problem}; read the changes from the beginning, or list the jobs")]
    InvalidPosition {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An option outside its range.
    #[error("invalid value {given} for option {option}; allowed: {allowed}")]
    InvalidOption {
        /// The option's name.
        option: &'static str,
        /// The value given.
        given: u64,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Another process, or another handle of this one, has the store open.
    #[error("the store {} is already open{}; close it there, or open another directory",
        path.display(), holder.map(|pid| format!(" in process {pid}")).unwrap_or_default())]
    StoreInUse {
        /// The store's folder.
        path: PathBuf,
        /// The process that has it locked, if that is certain.
        holder: Option<u32>,
    },
    /// The folder that a copy was to be made in holds something.
    #[error("directory {} is not empty: it contains {found:?}; choose a directory that is empty \
         or does not exist", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// One of the names found in it.
        found: String,
    },
    /// The folder holds something else.
    #[error("{} is not a jobstore directory: it contains {found:?} but no STORE file; choose an \
         empty directory", path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
        /// One of the names found in it.
        found: String,
    },
    /// The folder's path is longer than that of a socket can be.
    #[error("socket path {} is too long: {given_bytes} bytes, at most {max_bytes} are allowed; \
         open the store by a shorter path, such as a relative path or a symbolic link",
        path.display())]
    PathTooLong {
        /// The socket's path.
        path: PathBuf,
        /// Its length in bytes.
        given_bytes: usize,
        /// The greatest length in bytes.
        max_bytes: usize,
    },
    /// There is no store and none was to be created.
    #[error("no store found at {}; to create one, open it with create(true)", path.display())]
    StoreMissing {
        /// The folder.
        path: PathBuf,
    },
    /// The store was written by a later release.
    #[error("the store {} has format {found}, but this release supports formats up to \
         {supported}; use the release that wrote the store",
        path.display())]
    NewerFormat {
        /// The store's folder.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The latest format this release reads.
        supported: u32,
    },
    /// The store was written by a build from before the first release.
    #[error("the store {} has format {found}, from before the first release, but this release \
         supports formats from {oldest} on; export the jobs with the build that wrote the store, \
         and import them into a new store",
        path.display())]
    OlderFormat {
        /// The store's folder.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The earliest format this release reads.
        oldest: u32,
    },
    /// The store uses what only a later release knows.
    #[error("the store {} uses features {features:#010x} that this release does not support; use \
         the release that wrote the store",
        path.display())]
    UnknownFeatures {
        /// The store's folder.
        path: PathBuf,
        /// The features' bits.
        features: u32,
    },
    /// The system does not allow it.
    #[error("cannot {operation} {}: permission denied; it must belong to the user that this \
         process runs as", path.display())]
    PermissionDenied {
        /// What was tried.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
    },
    /// There is no room on the disk; this write was not recorded, and later writes
    /// succeed once there is room again. Until then starting, completing and
    /// cancelling jobs and dropping graphs go on, as far as the reserve reaches.
    #[error("cannot {operation} {}: no space left on device; the write was not recorded; free \
         disk space and retry", path.display())]
    DiskFull {
        /// What was tried.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
    },
    /// The commit queue is full (only from the `try_` calls).
    #[error(
        "the commit queue is full: {queued_bytes} of {max_bytes} bytes are in use; retry, or wait \
         with `nonblocking`"
    )]
    Busy {
        /// Bytes that wait.
        queued_bytes: u64,
        /// The queue's bound.
        max_bytes: u64,
    },
    /// The write or sync of a commit failed: after reopening it is wholly there or
    /// wholly absent. The store takes no more writes until it is reopened.
    #[error("it is unknown whether the commit is durable ({why}); reopen the store and check")]
    CommitUnknown {
        /// The jobs the commit was about, as far as they have ids.
        ids: Arc<[JobId]>,
        /// What failed.
        why: Arc<str>,
    },
    /// The store takes no writes until it is reopened; reads are served.
    #[error("the store is read-only because an earlier write failed ({why}); reopen the store")]
    ReadOnly {
        /// What failed.
        why: Arc<str>,
    },
    /// The store's directory, or a file in it, is not where it was when the store was
    /// opened: what is written from then on would not be found again. The store takes
    /// no more writes: see [`Error::ReadOnly`].
    #[error("the {what} {} was deleted, moved, or replaced while the store was open; put it back, \
         close the store, and run `verify` before opening the store again",
        path.display())]
    Removed {
        /// "directory" or "file".
        what: &'static str,
        /// Its path.
        path: PathBuf,
    },
    /// The call was made in a fork of the process that opened the store, or of one that
    /// opened any store for writing. The store is its parent's; the fork can neither use nor
    /// close it, nor open another for writing: threads that all stores share are not there.
    #[error(
        "this process was forked from process {opener}, which had already opened a store; use the \
         store in process {opener}, fork before opening a store, or start a new program"
    )]
    Forked {
        /// The process that opened the store.
        opener: u32,
    },
    /// The store was opened with [`Options::read_only`](crate::Options::read_only): nothing
    /// in it can be changed, and nothing in it changes.
    #[error("the store was opened read-only; open it without `read_only` to change it")]
    OpenedReadOnly,
    /// The process or the system has too many files open. The store itself is sound.
    #[error("cannot {operation} {}: too many open files; raise the limit (`ulimit -n`, or \
         LimitNOFILE in a systemd unit) or close files, and retry", path.display())]
    TooManyOpenFiles {
        /// What was tried.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
    },
    /// A file does not hold what was written to it.
    #[error("{} is corrupt at byte {offset}: {what}; restore the store from a backup, or \
         quarantine the damage with `repair`", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The byte at which it was noticed.
        offset: u64,
        /// What is wrong.
        what: Arc<str>,
    },
    /// The index cannot answer. It is derived from the log and is rebuilt at the
    /// next open.
    #[error("the index is unavailable ({what}); reopen the store to rebuild it")]
    IndexUnavailable {
        /// What is wrong.
        what: Arc<str>,
    },
    /// The index's thread did not come to its end while the store was closed, and was
    /// left behind. The log was closed well: everything acknowledged is in it. The
    /// next open makes the index anew; until this process ends, the thread may hold
    /// memory and files.
    #[error(
        "the index does not respond ({what}) and was abandoned; the log is closed and complete; \
         end this process soon; the next open rebuilds the index"
    )]
    IndexStuck {
        /// Where it is stuck.
        what: Arc<str>,
    },
    /// The store did not come to its end in time. Everything acknowledged is durable,
    /// but something may still write: the folder stays locked until it has ended and the
    /// store was closed again, or this process has ended.
    #[error(
        "the store did not close in time: still waiting for {what}; acknowledged writes are \
         durable, but the directory stays locked; close the store again later, or end this \
         process"
    )]
    CloseStuck {
        /// What did not end.
        what: Arc<str>,
    },
    /// The system refused an operation.
    #[error("cannot {operation} {}: {message}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's kind of error.
        kind: io::ErrorKind,
        /// The system's words.
        message: Arc<str>,
    },
    /// The writer that a page was written to refused it.
    #[error("cannot write the output: {message}")]
    Output {
        /// The writer's kind of error.
        kind: io::ErrorKind,
        /// The writer's words.
        message: Arc<str>,
    },
    /// A line of an import is no job; those before it are imported.
    #[error("line {line} is not a valid job: {problem}; fix the line, or skip bad lines")]
    BadLine {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it, without its text.
        problem: String,
    },
    /// The reader that lines were to come from failed.
    #[error("cannot read the input: {message}")]
    Input {
        /// The reader's kind of error.
        kind: io::ErrorKind,
        /// The reader's words.
        message: Arc<str>,
    },
    /// A call that makes no sense at this point.
    #[error("{what}")]
    InvalidUse {
        /// What was wrong about it.
        what: &'static str,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// Sorts an I/O error by what the caller can do about it.
    pub(crate) fn io(operation: &'static str, path: impl AsRef<Path>, error: &io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        if error.get_ref().is_some_and(|why| why.is::<Revoked>()) {
            return Error::PageExpired;
        }
        if is_out_of_descriptors(error) {
            return Error::TooManyOpenFiles { operation, path };
        }
        match error.kind() {
            io::ErrorKind::PermissionDenied => Error::PermissionDenied { operation, path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::DiskFull { operation, path }
            }
            kind => Error::Io {
                operation,
                path,
                kind,
                message: error.to_string().into(),
            },
        }
    }

    pub(crate) fn damaged(file: impl AsRef<Path>, offset: u64, what: impl Into<Arc<str>>) -> Error {
        Error::Damaged {
            file: file.as_ref().to_path_buf(),
            offset,
            what: what.into(),
        }
    }

    pub(crate) fn output(error: &io::Error) -> Error {
        Error::Output {
            kind: error.kind(),
            message: error.to_string().into(),
        }
    }

    pub(crate) fn input(error: &io::Error) -> Error {
        Error::Input {
            kind: error.kind(),
            message: error.to_string().into(),
        }
    }

    /// The error's code: the name of its variant, for metrics, logs, and callers that tell
    /// errors apart as text. A code is stable: a later version may add codes, but neither
    /// renames nor reuses one.
    ///
    /// # Examples
    /// ```
    /// let store = jobstore::JobStore::in_memory()?;
    /// assert_eq!(store.graph("10001", "movidde").unwrap_err().code(), "UnknownGraph");
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Error::UnknownGraph { .. } => "UnknownGraph",
            Error::GraphExists { .. } => "GraphExists",
            Error::GraphDropped { .. } => "GraphDropped",
            Error::InvalidName { .. } => "InvalidName",
            Error::UnknownJob { .. } => "UnknownJob",
            Error::InvalidJobId { .. } => "InvalidJobId",
            Error::JobIdTaken { .. } => "JobIdTaken",
            Error::KeyTaken { .. } => "KeyTaken",
            Error::KeyPurged => "KeyPurged",
            Error::InvalidKey { .. } => "InvalidKey",
            Error::IllegalTransition { .. } => "IllegalTransition",
            Error::EmptyCommand => "EmptyCommand",
            Error::TextTooLong { .. } => "TextTooLong",
            Error::InvalidJson { .. } => "InvalidJson",
            Error::InvalidPointer { .. } => "InvalidPointer",
            Error::TooDeep { .. } => "TooDeep",
            Error::RequestTooLarge { .. } => "RequestTooLarge",
            Error::BatchTooLarge { .. } => "BatchTooLarge",
            Error::OutcomeTooLarge { .. } => "OutcomeTooLarge",
            Error::PageLimit { .. } => "PageLimit",
            Error::JobPurged { .. } => "JobPurged",
            Error::JobIdPurged { .. } => "JobIdPurged",
            Error::PageExpired => "PageExpired",
            Error::InvalidCursor { .. } => "InvalidCursor",
            Error::InvalidPosition { .. } => "InvalidPosition",
            Error::InvalidOption { .. } => "InvalidOption",
            Error::StoreInUse { .. } => "StoreInUse",
            Error::NotEmpty { .. } => "NotEmpty",
            Error::NotAStore { .. } => "NotAStore",
            Error::PathTooLong { .. } => "PathTooLong",
            Error::StoreMissing { .. } => "StoreMissing",
            Error::NewerFormat { .. } => "NewerFormat",
            Error::OlderFormat { .. } => "OlderFormat",
            Error::UnknownFeatures { .. } => "UnknownFeatures",
            Error::PermissionDenied { .. } => "PermissionDenied",
            Error::DiskFull { .. } => "DiskFull",
            Error::Busy { .. } => "Busy",
            Error::CommitUnknown { .. } => "CommitUnknown",
            Error::ReadOnly { .. } => "ReadOnly",
            Error::Removed { .. } => "Removed",
            Error::Forked { .. } => "Forked",
            Error::OpenedReadOnly => "OpenedReadOnly",
            Error::TooManyOpenFiles { .. } => "TooManyOpenFiles",
            Error::Damaged { .. } => "Damaged",
            Error::IndexUnavailable { .. } => "IndexUnavailable",
            Error::IndexStuck { .. } => "IndexStuck",
            Error::CloseStuck { .. } => "CloseStuck",
            Error::Io { .. } => "Io",
            Error::Output { .. } => "Output",
            Error::BadLine { .. } => "BadLine",
            Error::Input { .. } => "Input",
            Error::InvalidUse { .. } => "InvalidUse",
            Error::Closed => "Closed",
        }
    }
}

/// What is wrong with the text or value of an [`Error::InvalidJson`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonProblem {
    /// The text ends too early.
    UnexpectedEnd,
    /// A character that JSON does not allow at this place.
    UnexpectedCharacter,
    /// An escape that is half of a surrogate pair (`"\ud800"`). RFC 8259 leaves its meaning
    /// open, and strict readers reject the whole document that contains it.
    LoneSurrogate,
    /// The value has no representation in JSON, such as a map whose keys are not strings.
    NotRepresentable,
    /// The JSON is valid, but a request needs a `command`.
    MissingCommand,
    /// The JSON is valid, but a request needs a `url`.
    MissingUrl,
    /// The JSON is valid, but not an object of `command`, `url`, and `body`.
    NotARequest,
}

impl std::fmt::Display for JsonProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            JsonProblem::UnexpectedEnd => "unexpected end of input",
            JsonProblem::UnexpectedCharacter => "unexpected character",
            JsonProblem::LoneSurrogate => "lone surrogate (\\ud800 to \\udfff must come in pairs)",
            JsonProblem::NotRepresentable => "the value cannot be represented as JSON",
            JsonProblem::MissingCommand => "missing field \"command\"",
            JsonProblem::MissingUrl => "missing field \"url\"",
            JsonProblem::NotARequest => "expected an object with command, url, and body",
        })
    }
}

fn invalid_json(what: &str, problem: JsonProblem, line: usize, column: usize) -> String {
    use JsonProblem::*;
    match problem {
        UnexpectedEnd | UnexpectedCharacter | LoneSurrogate => {
            format!("invalid JSON in the {what}: {problem} at line {line} column {column}")
        }
        MissingCommand | MissingUrl | NotARequest => {
            format!("invalid {what}: {problem} at line {line} column {column}")
        }
        NotRepresentable => format!("invalid {what}: {problem}"),
    }
}

/// Whether no more files can be opened: no fault of the file that was to be.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let of_process_or_system = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    error
        .raw_os_error()
        .is_some_and(|errno| of_process_or_system.contains(&errno))
}

/// Text for an error message: short enough to read, whatever was given.
pub(crate) fn excerpt(given: &str) -> String {
    const CHARACTERS_MAX: usize = 64;
    match given.char_indices().nth(CHARACTERS_MAX) {
        None => given.to_owned(),
        Some((at, _)) => format!("{}...", &given[..at]),
    }
}

/// What was given as an id, whole if it is no longer than an id may be.
pub(crate) fn excerpt_id(given: &str) -> String {
    excerpt_over(ID_CHARACTERS_MAX, given)
}

/// What was given, whole if it has at most `bytes` bytes.
pub(crate) fn excerpt_over(bytes: usize, given: &str) -> String {
    match given.len() <= bytes {
        true => given.to_owned(),
        false => excerpt(given),
    }
}

/// Why a revoked file cannot be read.
#[derive(Debug)]
pub(crate) struct Revoked;

impl std::fmt::Display for Revoked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the file was replaced or purged, and is no longer available to this page")
    }
}

impl std::error::Error for Revoked {}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> JobId {
        JobId::new("id").unwrap()
    }

    fn one_of_each() -> Vec<Error> {
        vec![
            Error::UnknownGraph {
                graph: String::new(),
            },
            Error::GraphExists {
                project: String::new(),
                graph: String::new(),
            },
            Error::GraphDropped {
                graph: String::new(),
            },
            Error::InvalidName {
                what: "",
                given: String::new(),
                max_bytes: 0,
            },
            Error::UnknownJob { id: String::new() },
            Error::InvalidJobId {
                given: String::new(),
                max: 0,
            },
            Error::JobIdTaken { id: id() },
            Error::KeyTaken { id: id() },
            Error::KeyPurged,
            Error::InvalidKey {
                given_bytes: 0,
                max_bytes: 0,
            },
            Error::IllegalTransition {
                id: id(),
                from: State::Pending,
                to: State::Pending,
            },
            Error::EmptyCommand,
            Error::TextTooLong {
                what: "",
                given_bytes: 0,
                max_bytes: 0,
            },
            Error::InvalidJson {
                what: "",
                problem: JsonProblem::UnexpectedEnd,
                line: 0,
                column: 0,
            },
            Error::InvalidPointer {
                given: String::new(),
                problem: "",
            },
            Error::TooDeep {
                what: "",
                given: 0,
                max: 0,
            },
            Error::RequestTooLarge {
                given_bytes: 0,
                max_bytes: 0,
            },
            Error::BatchTooLarge { max: 0, unit: "" },
            Error::OutcomeTooLarge {
                what: "",
                given_bytes: 0,
                max_bytes: 0,
            },
            Error::PageLimit { given: 0, max: 0 },
            Error::JobPurged {
                id: id(),
                at: SystemTime::UNIX_EPOCH,
            },
            Error::JobIdPurged { id: id() },
            Error::PageExpired,
            Error::InvalidCursor { problem: "" },
            Error::InvalidPosition { problem: "" },
            Error::InvalidOption {
                option: "",
                given: 0,
                allowed: "",
            },
            Error::StoreInUse {
                path: PathBuf::new(),
                holder: Default::default(),
            },
            Error::NotEmpty {
                path: PathBuf::new(),
                found: String::new(),
            },
            Error::NotAStore {
                path: PathBuf::new(),
                found: String::new(),
            },
            Error::PathTooLong {
                path: PathBuf::new(),
                given_bytes: 0,
                max_bytes: 0,
            },
            Error::StoreMissing {
                path: PathBuf::new(),
            },
            Error::NewerFormat {
                path: PathBuf::new(),
                found: 0,
                supported: 0,
            },
            Error::OlderFormat {
                path: PathBuf::new(),
                found: 0,
                oldest: 0,
            },
            Error::UnknownFeatures {
                path: PathBuf::new(),
                features: 0,
            },
            Error::PermissionDenied {
                operation: "",
                path: PathBuf::new(),
            },
            Error::DiskFull {
                operation: "",
                path: PathBuf::new(),
            },
            Error::Busy {
                queued_bytes: 0,
                max_bytes: 0,
            },
            Error::CommitUnknown {
                ids: Default::default(),
                why: "".into(),
            },
            Error::ReadOnly { why: "".into() },
            Error::Removed {
                what: "",
                path: PathBuf::new(),
            },
            Error::Forked { opener: 0 },
            Error::OpenedReadOnly,
            Error::TooManyOpenFiles {
                operation: "",
                path: PathBuf::new(),
            },
            Error::Damaged {
                file: PathBuf::new(),
                offset: 0,
                what: "".into(),
            },
            Error::IndexUnavailable { what: "".into() },
            Error::IndexStuck { what: "".into() },
            Error::CloseStuck { what: "".into() },
            Error::Io {
                operation: "",
                path: PathBuf::new(),
                kind: io::ErrorKind::Other,
                message: "".into(),
            },
            Error::Output {
                kind: io::ErrorKind::Other,
                message: "".into(),
            },
            Error::BadLine {
                line: 0,
                problem: String::new(),
            },
            Error::Input {
                kind: io::ErrorKind::Other,
                message: "".into(),
            },
            Error::InvalidUse { what: "" },
            Error::Closed,
        ]
    }

    #[test]
    fn every_error_has_the_name_of_its_variant_as_its_code() {
        let source = include_str!("error.rs");
        let arms = source
            .split_once("pub fn code(")
            .map(|(_, arms)| arms)
            .unwrap();
        let arms = arms.split_once("\n    }\n").map(|(arms, _)| arms).unwrap();
        let all = one_of_each();
        assert_eq!(
            arms.matches("=> \"").count(),
            all.len(),
            "a variant is not tested"
        );
        let mut codes = std::collections::BTreeSet::new();
        for error in all {
            let shown = format!("{error:?}");
            let variant = shown.split([' ', '{']).next().unwrap();
            assert_eq!(error.code(), variant);
            assert!(codes.insert(error.code()), "{variant} twice");
        }
    }
}
