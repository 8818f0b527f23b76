// The errors of this crate.
//
// The message for invalid input states what was given, what is allowed, and what to do. No message
// contains the body of a request.

mod code;
mod excerpt;
mod io_error;
mod json_problem;
mod parameter;
mod transition;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::base::clock;
use crate::model::id::JobId;
use crate::model::states::State;

use self::json_problem::invalid_json;

pub(crate) use self::excerpt::{excerpt, excerpt_over};
pub(crate) use self::io_error::{Revoked, is_out_of_descriptors};
pub use self::json_problem::JsonProblem;
pub(crate) use self::parameter::{invalid_parameter, invalid_value};

/// The result type of this crate's fallible calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[doc = include_str!("error/error.md")]
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The project has no graph with this name.
    #[error("graph : {graph} not exist")]
    UnknownGraph {
        /// The name of the graph.
        graph: String,
    },
    /// The project already has a graph with this name.
    #[error(
        "graph {graph:?} already exists in project {project:?}; open it with `graph`, or drop it \
         first"
    )]
    GraphExists {
        /// The id of the project.
        project: String,
        /// The name of the graph.
        graph: String,
    },
    /// The graph of this handle was dropped.
    #[error("graph {graph:?} was dropped; get a new handle with `create_graph`")]
    GraphDropped {
        /// The name of the graph.
        graph: String,
    },
    /// The project id or graph name is invalid.
    #[error(
        "invalid {what}: {given:?}; use 1 to {max_bytes} bytes without control characters or '/'"
    )]
    InvalidName {
        /// "project id" or "graph name".
        what: &'static str,
        /// The invalid string, shortened if necessary.
        given: String,
        /// The maximum length in bytes.
        max_bytes: usize,
    },
    /// The graph has no job with this id.
    #[error("can not find job, jobId is {id}")]
    UnknownJob {
        /// The id.
        id: String,
    },
    /// The string is not a valid job id.
    #[error(
        "invalid job id: {given:?}; use 1 to {max} characters from 0-9, A-Z, a-z, '_', and '-'"
    )]
    InvalidJobId {
        /// The invalid string, shortened if necessary.
        given: String,
        /// The maximum length in characters.
        max: usize,
    },
    /// The id belongs to a job with a different request.
    #[error("job id {id} is already used by a job with a different request; choose another id")]
    JobIdTaken {
        /// The id.
        id: JobId,
    },
    /// The idempotency key belongs to a job with a different request.
    #[error(
        "the idempotency key is already used by job {id}, which has a different request; \
         choose another key"
    )]
    KeyTaken {
        /// The id of that job.
        id: JobId,
    },
    /// The idempotency key belonged to a job that has been purged. It can be used again once the
    /// job's tombstone is gone.
    #[error("the idempotency key was used by a job that has been purged; choose another key")]
    KeyPurged,
    /// The string is not a valid idempotency key.
    #[error(
        "invalid idempotency key: its length is {given_bytes} bytes; use 1 to {max_bytes} bytes"
    )]
    InvalidKey {
        /// Its length in bytes.
        given_bytes: usize,
        /// The maximum length in bytes.
        max_bytes: usize,
    },
    /// The job's state does not allow this step. Nothing was changed.
    #[error("job {id} is {from} and cannot become {to}{}", transition::remedy(*from, *to))]
    IllegalTransition {
        /// The id of the job.
        id: JobId,
        /// Its state.
        from: State,
        /// The requested state.
        to: State,
    },
    /// The request has no command.
    #[error("the command is empty; set it to the name of the operation, such as \"import_graph\"")]
    EmptyCommand,
    /// The command or URL is too long.
    #[error("the {what} is too long: {given_bytes} bytes, at most {max_bytes} are allowed")]
    TextTooLong {
        /// "command" or "url".
        what: &'static str,
        /// Its length in bytes.
        given_bytes: usize,
        /// The maximum length in bytes.
        max_bytes: usize,
    },
    /// The text is not JSON, or the JSON is not a request.
    #[error("{}", invalid_json(what, *problem, *line, *column))]
    InvalidJson {
        /// "body", "detail", "request", "value", "outcome", or "retention policy".
        what: &'static str,
        /// The problem, without any of the text.
        problem: JsonProblem,
        /// The line, starting at 1; 0 if there is no text.
        line: usize,
        /// The column, starting at 1; 0 if there is no text.
        column: usize,
    },
    /// The string is not a JSON pointer.
    #[error(
        "invalid JSON pointer: {given:?}; {problem}; write it like \"/name/0\", with ~1 for a '/' \
         in a name"
    )]
    InvalidPointer {
        /// The invalid string, shortened if necessary.
        given: String,
        /// The problem.
        problem: &'static str,
    },
    /// The JSON is nested too deeply.
    #[error("the {what} is nested too deeply: {given} levels, at most {max} are allowed")]
    TooDeep {
        /// "body", "detail", or "value".
        what: &'static str,
        /// Its depth in levels.
        given: usize,
        /// The maximum depth.
        max: usize,
    },
    /// The request exceeds the store's size limit.
    #[error(
        "the request is too large: {given_bytes} bytes, at most {max_bytes} are allowed (option \
         max_request_bytes)"
    )]
    RequestTooLarge {
        /// Its size in bytes.
        given_bytes: u64,
        /// The maximum size in bytes.
        max_bytes: u64,
    },
    /// The batch is too large.
    #[error("the batch is too large: at most {max} {unit} are allowed; split it")]
    BatchTooLarge {
        /// The maximum.
        max: u64,
        /// "requests" or "bytes".
        unit: &'static str,
    },
    /// A part of the outcome is too large.
    #[error(
        "the outcome's {what} is too large: {given_bytes} bytes, at most {max_bytes} are allowed"
    )]
    OutcomeTooLarge {
        /// "detail", "result_ref", "code", or "message".
        what: &'static str,
        /// Its size in bytes.
        given_bytes: usize,
        /// The maximum size in bytes.
        max_bytes: usize,
    },
    /// The page limit is not between 1 and `max`.
    #[error("invalid value {given} for parameter limit: it must be 1 to {max}")]
    PageLimit {
        /// The limit given.
        given: u64,
        /// The maximum.
        max: u64,
    },
    /// The job with this id was purged. Its tombstone still exists.
    #[error("job {id} was purged at {}", clock::rfc3339(*at))]
    JobPurged {
        /// The id.
        id: JobId,
        /// When it was purged.
        at: SystemTime,
    },
    /// The id belonged to a job that has been purged. It can be used again once the job's tombstone
    /// is gone.
    #[error("job id {id} was used by a job that has been purged; choose another id")]
    JobIdPurged {
        /// The id.
        id: JobId,
    },
    /// The page has expired: the files that it needs were replaced or deleted too long ago
    /// ([`Options::snapshot_timeout`](crate::Options::snapshot_timeout)).
    #[error("the page has expired: its files have been replaced or purged; list again")]
    PageExpired,
    /// The cursor was altered, belongs to another graph or filter, or was issued by another copy of
    /// the store.
    #[error("invalid value for parameter cursor: {problem}; start again without a cursor")]
    InvalidCursor {
        /// The problem.
        problem: &'static str,
    },
    /// The position was altered, belongs to another graph, or was issued by another copy of the
    /// store.
    #[error("invalid position: {problem}; read the changes from the beginning, or list the jobs")]
    InvalidPosition {
        /// The problem.
        problem: &'static str,
    },
    /// The value of an option is out of range.
    #[error("invalid value {given} for option {option}; allowed: {allowed}")]
    InvalidOption {
        /// The name of the option.
        option: &'static str,
        /// The value given.
        given: u64,
        /// The allowed values.
        allowed: &'static str,
    },
    /// A parameter of a query string, an option given as text, or a member of a JSON document is
    /// invalid.
    #[error("{problem}")]
    InvalidParameter {
        /// The parameter, the value given, the allowed values, and the remedy.
        problem: String,
    },
    /// The store is open in another process, or has been opened separately in this process.
    #[error("the store {} is already open{}; close it there, or open another directory",
        path.display(), holder.map(|pid| format!(" in process {pid}")).unwrap_or_default())]
    StoreInUse {
        /// The directory of the store.
        path: PathBuf,
        /// The id of the process that has locked the store, if known.
        holder: Option<u32>,
    },
    /// The directory for a backup is not empty.
    #[error("directory {} is not empty: it contains {found:?}; choose a directory that is empty \
         or does not exist", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// The name of a file found in it.
        found: String,
    },
    /// The directory contains something other than a store.
    #[error("{} is not a jobstore directory: it contains {found:?} but no STORE file; choose an \
         empty directory", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// The name of a file found in it.
        found: String,
    },
    /// The path of the control socket in the store's directory is too long for a socket.
    #[error("socket path {} is too long: {given_bytes} bytes, at most {max_bytes} are allowed; \
         open the store by a shorter path, such as a relative path or a symbolic link",
        path.display())]
    PathTooLong {
        /// The path of the socket.
        path: PathBuf,
        /// Its length in bytes.
        given_bytes: usize,
        /// The maximum length in bytes.
        max_bytes: usize,
    },
    /// There is no store, and [`Options::create`](crate::Options::create) is `false`.
    #[error("no store found at {}; to create one, open it with create(true)", path.display())]
    StoreMissing {
        /// The directory.
        path: PathBuf,
    },
    /// The store was written by a newer release.
    #[error("the store {} has format {found}, but this release supports formats up to \
         {supported}; use the release that wrote the store",
        path.display())]
    NewerFormat {
        /// The directory of the store.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this release supports.
        supported: u32,
    },
    /// The store was written by a build older than the first release.
    #[error("the store {} has format {found}, from before the first release, but this release \
         supports formats from {oldest} on; export the jobs with the build that wrote the store, \
         and import them into a new store",
        path.display())]
    OlderFormat {
        /// The directory of the store.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The oldest format that this release supports.
        oldest: u32,
    },
    /// The store uses features that only a newer release supports.
    #[error("the store {} uses features {features:#010x} that this release does not support; use \
         the release that wrote the store",
        path.display())]
    UnknownFeatures {
        /// The directory of the store.
        path: PathBuf,
        /// The unsupported features, as bits.
        features: u32,
    },
    /// The operating system denied access.
    #[error("cannot {operation} {}: permission denied; it must belong to the user that this \
         process runs as", path.display())]
    PermissionDenied {
        /// The operation that failed.
        operation: &'static str,
        /// Its path.
        path: PathBuf,
    },
    /// The disk is full. This write was not recorded; writes succeed again once there is space.
    /// Until then, jobs can still be started, completed, and canceled, and graphs can still be
    /// dropped, as long as the reserved space lasts.
    #[error("cannot {operation} {}: no space left on device; the write was not recorded; free \
         disk space and retry", path.display())]
    DiskFull {
        /// The operation that failed.
        operation: &'static str,
        /// Its path.
        path: PathBuf,
    },
    /// The commit queue is full. Only the `try_` calls return this.
    #[error(
        "the commit queue is full: {queued_bytes} of {max_bytes} bytes are in use; retry, or wait \
         with `nonblocking`"
    )]
    Busy {
        /// The number of bytes in the queue.
        queued_bytes: u64,
        /// The maximum size of the queue in bytes.
        max_bytes: u64,
    },
    /// The write or sync of a commit failed. After the store is reopened, the commit is either
    /// recorded completely or not at all. Until then, the store accepts no writes.
    #[error("it is unknown whether the commit is durable ({why}); reopen the store and check")]
    CommitUnknown {
        /// The ids of the jobs to which this write refers, if they are known.
        ids: Arc<[JobId]>,
        /// The cause.
        why: Arc<str>,
    },
    /// The store accepts no writes until it is reopened. Reads still work.
    #[error("the store is read-only because an earlier write failed ({why}); reopen the store")]
    ReadOnly {
        /// The cause.
        why: Arc<str>,
    },
    /// The store's directory, or a file in it, was deleted, moved, or replaced while the store was
    /// open. Later writes would be lost, so the store accepts none, as with [`Error::ReadOnly`].
    #[error("the {what} {} was deleted, moved, or replaced while the store was open; put it back, \
         close the store, and run `verify` before opening the store again",
        path.display())]
    Removed {
        /// "directory" or "file".
        what: &'static str,
        /// Its path.
        path: PathBuf,
    },
    /// Another open of the store has taken over its replica, so this one can no longer write. This
    /// write was not recorded. Reads still work, but show the store as it was.
    #[error("the replica was taken over by {by}{}; this store accepts no more writes; close \
         it, and send writes to the store that took over", at(*since))]
    Deposed {
        /// The process that took over.
        by: Arc<str>,
        /// When it took over, by its clock; the Unix epoch if unknown.
        since: SystemTime,
    },
    /// The replica is in use, and [`TakeOver::IfQuiet`](crate::replica::TakeOver::IfQuiet) was set.
    #[error("the replica {place} is in use by {by}, which took it over{}; stop that process, \
         or take over with TakeOver::Now", at(*since))]
    ReplicaInUse {
        /// Where the replica is.
        place: String,
        /// The process that uses it.
        by: Arc<str>,
        /// When that process took over, by its clock; the Unix epoch if unknown.
        since: SystemTime,
    },
    /// The store has a replica, but was opened without it. Writes made only to the directory would
    /// be lost at the next takeover.
    #[error("the store {} has a replica and cannot be opened for writing without it; set the \
         option `replica`, or, to stop using the replica, open the store once with \
         `detach_replica`", path.display())]
    ReplicaNeeded {
        /// The directory of the store.
        path: PathBuf,
    },
    /// The replica could not be reached in time
    /// ([`Options::replica_timeout`](crate::Options::replica_timeout)), or it changes too fast.
    #[error("the replica {place} is unavailable: {what}")]
    ReplicaUnreachable {
        /// Where the replica is.
        place: String,
        /// The last problem, and its remedy.
        what: Arc<str>,
    },
    /// The replica's backend refused a call: the location or the credentials are wrong, or a
    /// permission is missing.
    #[error("the replica {place} refused the call: {what}")]
    ReplicaRefused {
        /// Where the replica is.
        place: String,
        /// The problem.
        what: Arc<str>,
    },
    /// The replica's backend lacks a property that a replica requires, so writes could be lost.
    #[error("the backend of the replica {place} cannot be used: {what}")]
    ReplicaUnfit {
        /// Where the replica is.
        place: String,
        /// What it does wrong.
        what: Arc<str>,
    },
    /// The replica belongs to another store.
    #[error(
        "the replica {place} belongs to store {found:032x}, but the directory contains store \
         {expected:032x}; use another prefix, or another directory"
    )]
    ReplicaOfOtherStore {
        /// Where the replica is.
        place: String,
        /// The id of the store that the replica belongs to.
        found: u128,
        /// The id of the store in the directory.
        expected: u128,
    },
    /// The replica lacks writes that were acknowledged: its URL is not that of the store's replica,
    /// or it was deleted or restored to an earlier state. Nothing was changed.
    #[error(
        "the replica {place} {}, but the directory contains acknowledged writes up to log sequence \
         number {local_lsn}: the replica is missing its most recent writes; check the URL; if it \
         is correct, restore the replica, or open the directory once with `reseed` to replace the \
         replica with the directory's contents", end(*replica_lsn)
    )]
    ReplicaBehind {
        /// Where the replica is.
        place: String,
        /// The last log sequence number in the replica; 0 if the replica is empty.
        replica_lsn: u64,
        /// The last acknowledged log sequence number in the directory.
        local_lsn: u64,
    },
    /// The directory and the replica contain different writes: the store was written to without
    /// its replica, or the directory is a copy that was written to. Nothing was changed.
    #[error(
        "the directory does not match the replica {place} ({what}); open an empty directory \
         to restore the store from the replica, or open the directory once with `reseed` to \
         replace the replica with its contents"
    )]
    ReplicaDiverged {
        /// Where the replica is.
        place: String,
        /// The difference.
        what: Arc<str>,
    },
    /// A chunk or blob of the replica is missing or corrupt.
    #[error(
        "the replica {place} is damaged: {what}; check the URL; if it is correct, restore the \
         replica, or open an intact directory of this store once with `reseed`"
    )]
    ReplicaDamaged {
        /// Where the replica is.
        place: String,
        /// The problem.
        what: Arc<str>,
    },
    /// The process was forked from a process that had opened this store, or that had opened any
    /// store for writing. A forked child can neither use nor close its parent's stores, nor open
    /// another store for writing, because it lacks the threads that all stores share.
    #[error(
        "this process was forked from process {opener}, which had already opened a store; use the \
         store in process {opener}, fork before opening a store, or start a new program"
    )]
    Forked {
        /// The id of the process that opened the store.
        opener: u32,
    },
    /// The store was opened with [`Options::read_only`](crate::Options::read_only). Calls that
    /// would change something fail.
    #[error("the store was opened read-only; open it without `read_only` to change it")]
    OpenedReadOnly,
    /// The store was opened with [`JobStore::follow`](crate::JobStore::follow): it shows what
    /// another store writes. Calls that would change something fail.
    #[error(
        "the store follows its replica and accepts no writes; write to the store that writes to \
         the replica, or close this one and open it with the option `replica` to take over"
    )]
    Follower,
    /// The process or the system has too many open files. The store is not damaged.
    #[error("cannot {operation} {}: too many open files; raise the limit (`ulimit -n`, or \
         LimitNOFILE in a systemd unit) or close files, and retry", path.display())]
    TooManyOpenFiles {
        /// The operation that failed.
        operation: &'static str,
        /// Its path.
        path: PathBuf,
    },
    /// A file is corrupt: its contents are not what was written to it.
    #[error("{} is corrupt at byte {offset}: {what}; restore the store from a backup, or \
         quarantine the damage with `repair`", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The offset at which the damage was detected.
        offset: u64,
        /// The problem.
        what: Arc<str>,
    },
    /// The index cannot be used. It is derived from the log, and the next open rebuilds it.
    #[error("the index is unavailable ({what}); reopen the store to rebuild it")]
    IndexUnavailable {
        /// The problem.
        what: Arc<str>,
    },
    /// The index's thread did not stop when the store was closed, and was abandoned. The log is
    /// closed and contains every acknowledged write. The next open rebuilds the index. Until this
    /// process ends, the thread may use memory and files.
    #[error(
        "the index does not respond ({what}) and was abandoned; the log is closed and complete; \
         end this process soon; the next open rebuilds the index"
    )]
    IndexStuck {
        /// Where the thread is stuck.
        what: Arc<str>,
    },
    /// The store did not close in time. Every acknowledged write is durable, but a thread may still
    /// be writing. The directory stays locked until that thread has stopped and the store has been
    /// closed again, or until this process ends.
    #[error(
        "the store did not close in time: still waiting for {what}; acknowledged writes are \
         durable, but the directory stays locked; close the store again later, or end this \
         process"
    )]
    CloseStuck {
        /// What did not stop.
        what: Arc<str>,
    },
    /// An operation of the operating system failed.
    #[error("cannot {operation} {}: {message}", path.display())]
    Io {
        /// The operation that failed.
        operation: &'static str,
        /// Its path.
        path: PathBuf,
        /// The kind of the system's error.
        kind: io::ErrorKind,
        /// The system's message.
        message: Arc<str>,
    },
    /// Writing a page or an export to the caller's writer failed.
    #[error("cannot write the output: {message}")]
    Output {
        /// The kind of the writer's error.
        kind: io::ErrorKind,
        /// The writer's message.
        message: Arc<str>,
    },
    /// A line of an import is not a valid job. The lines before it were imported.
    #[error("line {line} is not a valid job: {problem}; fix the line, or skip bad lines")]
    BadLine {
        /// The line number, starting at 1.
        line: u64,
        /// The problem, without the text of the line.
        problem: String,
    },
    /// Reading an import from the caller's reader failed.
    #[error("cannot read the input: {message}")]
    Input {
        /// The kind of the reader's error.
        kind: io::ErrorKind,
        /// The reader's message.
        message: Arc<str>,
    },
    /// The call is not valid in this situation.
    #[error("{what}")]
    InvalidUse {
        /// The problem.
        what: &'static str,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// Where a replica ends, as a part of a message.
fn end(lsn: u64) -> String {
    match lsn {
        0 => "is empty".to_owned(),
        lsn => format!("ends at log sequence number {lsn}"),
    }
}

/// When a process took over a replica, as a part of a message; nothing if this is unknown.
fn at(since: SystemTime) -> String {
    match since == SystemTime::UNIX_EPOCH {
        true => String::new(),
        false => format!(" at {}", clock::rfc3339(since)),
    }
}
