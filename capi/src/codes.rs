// The codes of errors. A code never changes, and new ones are only added at the end.

use jobstore::Error;

/// The call succeeded.
pub const JOBSTORE_OK: i32 = 0;
/// The project has no graph with this name.
pub const JOBSTORE_ERROR_UNKNOWN_GRAPH: i32 = 1;
/// The project already has a graph with this name.
pub const JOBSTORE_ERROR_GRAPH_EXISTS: i32 = 2;
/// The graph of this handle was dropped.
pub const JOBSTORE_ERROR_GRAPH_DROPPED: i32 = 3;
/// The project id or graph name is invalid.
pub const JOBSTORE_ERROR_INVALID_NAME: i32 = 4;
/// The graph has no job with this id.
pub const JOBSTORE_ERROR_UNKNOWN_JOB: i32 = 5;
/// The string is not a valid job id.
pub const JOBSTORE_ERROR_INVALID_JOB_ID: i32 = 6;
/// The id belongs to a job with a different request.
pub const JOBSTORE_ERROR_JOB_ID_TAKEN: i32 = 7;
/// The idempotency key belongs to a job with a different request.
pub const JOBSTORE_ERROR_KEY_TAKEN: i32 = 8;
/// The idempotency key belonged to a job that has been purged.
pub const JOBSTORE_ERROR_KEY_PURGED: i32 = 9;
/// The string is not a valid idempotency key.
pub const JOBSTORE_ERROR_INVALID_KEY: i32 = 10;
/// The job's state does not allow this step.
pub const JOBSTORE_ERROR_ILLEGAL_TRANSITION: i32 = 11;
/// The request has no command.
pub const JOBSTORE_ERROR_EMPTY_COMMAND: i32 = 12;
/// The command or URL is too long.
pub const JOBSTORE_ERROR_TEXT_TOO_LONG: i32 = 13;
/// The text is not JSON, or the JSON is not a request.
pub const JOBSTORE_ERROR_INVALID_JSON: i32 = 14;
/// The string is not a JSON pointer.
pub const JOBSTORE_ERROR_INVALID_POINTER: i32 = 15;
/// The JSON is nested too deeply.
pub const JOBSTORE_ERROR_TOO_DEEP: i32 = 16;
/// The request exceeds the store's size limit.
pub const JOBSTORE_ERROR_REQUEST_TOO_LARGE: i32 = 17;
/// The batch is too large.
pub const JOBSTORE_ERROR_BATCH_TOO_LARGE: i32 = 18;
/// A part of the outcome is too large.
pub const JOBSTORE_ERROR_OUTCOME_TOO_LARGE: i32 = 19;
/// The page limit is not between 1 and max.
pub const JOBSTORE_ERROR_PAGE_LIMIT: i32 = 20;
/// The job with this id was purged.
pub const JOBSTORE_ERROR_JOB_PURGED: i32 = 21;
/// The id belonged to a job that has been purged.
pub const JOBSTORE_ERROR_JOB_ID_PURGED: i32 = 22;
/// The page has expired: the files that it needs were replaced or deleted too long ago.
pub const JOBSTORE_ERROR_PAGE_EXPIRED: i32 = 23;
/// The cursor was altered, belongs to another graph or filter, or was issued by another copy of the store.
pub const JOBSTORE_ERROR_INVALID_CURSOR: i32 = 24;
/// The position was altered, belongs to another graph, or was issued by another copy of the store.
pub const JOBSTORE_ERROR_INVALID_POSITION: i32 = 25;
/// The value of an option is out of range.
pub const JOBSTORE_ERROR_INVALID_OPTION: i32 = 26;
/// The store is open in another process, or has been opened separately in this process.
pub const JOBSTORE_ERROR_STORE_IN_USE: i32 = 27;
/// The directory for a backup is not empty.
pub const JOBSTORE_ERROR_NOT_EMPTY: i32 = 28;
/// The directory contains something other than a store.
pub const JOBSTORE_ERROR_NOT_A_STORE: i32 = 29;
/// The path of the control socket in the store's directory is too long for a socket.
pub const JOBSTORE_ERROR_PATH_TOO_LONG: i32 = 30;
/// There is no store, and Options::create is false.
pub const JOBSTORE_ERROR_STORE_MISSING: i32 = 31;
/// The store was written by a newer release.
pub const JOBSTORE_ERROR_NEWER_FORMAT: i32 = 32;
/// The store was written by a build older than the first release.
pub const JOBSTORE_ERROR_OLDER_FORMAT: i32 = 33;
/// The store uses features that only a newer release supports.
pub const JOBSTORE_ERROR_UNKNOWN_FEATURES: i32 = 34;
/// The operating system denied access.
pub const JOBSTORE_ERROR_PERMISSION_DENIED: i32 = 35;
/// The disk is full.
pub const JOBSTORE_ERROR_DISK_FULL: i32 = 36;
/// The commit queue is full.
pub const JOBSTORE_ERROR_BUSY: i32 = 37;
/// The write or sync of a commit failed.
pub const JOBSTORE_ERROR_COMMIT_UNKNOWN: i32 = 38;
/// The store accepts no writes until it is reopened.
pub const JOBSTORE_ERROR_READ_ONLY: i32 = 39;
/// The store's directory, or a file in it, was deleted, moved, or replaced while the store was open.
pub const JOBSTORE_ERROR_REMOVED: i32 = 40;
/// Another open of the store has taken over its replica, so this one can no longer write.
pub const JOBSTORE_ERROR_DEPOSED: i32 = 41;
/// The replica is in use, and TakeOver::IfQuiet was set.
pub const JOBSTORE_ERROR_REPLICA_IN_USE: i32 = 42;
/// The store has a replica, but was opened without it.
pub const JOBSTORE_ERROR_REPLICA_NEEDED: i32 = 43;
/// The replica could not be reached in time, or it changes too fast.
pub const JOBSTORE_ERROR_REPLICA_UNREACHABLE: i32 = 44;
/// The replica's backend refused a call: the location or the credentials are wrong, or a permission is missing.
pub const JOBSTORE_ERROR_REPLICA_REFUSED: i32 = 45;
/// The replica's backend lacks a property that a replica requires, so writes could be lost.
pub const JOBSTORE_ERROR_REPLICA_UNFIT: i32 = 46;
/// The replica belongs to another store.
pub const JOBSTORE_ERROR_REPLICA_OF_OTHER_STORE: i32 = 47;
/// The replica lacks writes that were acknowledged: its URL is not that of the store's replica, or it was deleted or restored to an earlier state.
pub const JOBSTORE_ERROR_REPLICA_BEHIND: i32 = 48;
/// The directory and the replica contain different writes: the store was written to without its replica, or the directory is a copy that was written to.
pub const JOBSTORE_ERROR_REPLICA_DIVERGED: i32 = 49;
/// A chunk or blob of the replica is missing or corrupt.
pub const JOBSTORE_ERROR_REPLICA_DAMAGED: i32 = 50;
/// The process was forked from a process that had opened this store, or that had opened any store for writing.
pub const JOBSTORE_ERROR_FORKED: i32 = 51;
/// The store was opened with Options::read_only.
pub const JOBSTORE_ERROR_OPENED_READ_ONLY: i32 = 52;
/// The store was opened with JobStore::follow: it shows what another store writes.
pub const JOBSTORE_ERROR_FOLLOWER: i32 = 53;
/// The process or the system has too many open files.
pub const JOBSTORE_ERROR_TOO_MANY_OPEN_FILES: i32 = 54;
/// A file is corrupt: its contents are not what was written to it.
pub const JOBSTORE_ERROR_DAMAGED: i32 = 55;
/// The index cannot be used.
pub const JOBSTORE_ERROR_INDEX_UNAVAILABLE: i32 = 56;
/// The index's thread did not stop when the store was closed, and was abandoned.
pub const JOBSTORE_ERROR_INDEX_STUCK: i32 = 57;
/// The store did not close in time.
pub const JOBSTORE_ERROR_CLOSE_STUCK: i32 = 58;
/// An operation of the operating system failed.
pub const JOBSTORE_ERROR_IO: i32 = 59;
/// Writing a page or an export to the caller's writer failed.
pub const JOBSTORE_ERROR_OUTPUT: i32 = 60;
/// A line of an import is not a valid job.
pub const JOBSTORE_ERROR_BAD_LINE: i32 = 61;
/// Reading an import from the caller's reader failed.
pub const JOBSTORE_ERROR_INPUT: i32 = 62;
/// The call is not valid in this situation.
pub const JOBSTORE_ERROR_INVALID_USE: i32 = 63;
/// The store was closed.
pub const JOBSTORE_ERROR_CLOSED: i32 = 64;
/// A parameter of a query string, an option given as text, or a member of a JSON document is invalid.
pub const JOBSTORE_ERROR_INVALID_PARAMETER: i32 = 65;
/// An error without a code of its own. Its name and message describe it.
pub const JOBSTORE_ERROR_OTHER: i32 = 1000;
/// A bug in jobstore was caught at the boundary. Free all handles that the call used.
pub const JOBSTORE_ERROR_PANIC: i32 = 1001;
/// The buffer is too small. The call returned the required size.
pub const JOBSTORE_ERROR_BUFFER_TOO_SMALL: i32 = 1002;
/// Another thread is using this handle, which only one thread may use at a time.
pub const JOBSTORE_ERROR_HANDLE_IN_USE: i32 = 1003;

macro_rules! codes {
    ($($name:literal => $code:ident,)*) => {
        /// The code of an error of the store.
        pub(crate) fn code_of(error: &Error) -> i32 {
            match error.code() {
                $($name => $code,)*
                _ => JOBSTORE_ERROR_OTHER,
            }
        }

        /// The name of a code, terminated by a NUL byte.
        pub(crate) fn name_of(code: i32) -> &'static str {
            match code {
                JOBSTORE_OK => "Ok\0",
                $($code => concat!($name, "\0"),)*
                JOBSTORE_ERROR_PANIC => "Panic\0",
                JOBSTORE_ERROR_BUFFER_TOO_SMALL => "BufferTooSmall\0",
                JOBSTORE_ERROR_HANDLE_IN_USE => "HandleInUse\0",
                _ => "Other\0",
            }
        }
    };
}

codes! {
    "UnknownGraph" => JOBSTORE_ERROR_UNKNOWN_GRAPH,
    "GraphExists" => JOBSTORE_ERROR_GRAPH_EXISTS,
    "GraphDropped" => JOBSTORE_ERROR_GRAPH_DROPPED,
    "InvalidName" => JOBSTORE_ERROR_INVALID_NAME,
    "UnknownJob" => JOBSTORE_ERROR_UNKNOWN_JOB,
    "InvalidJobId" => JOBSTORE_ERROR_INVALID_JOB_ID,
    "JobIdTaken" => JOBSTORE_ERROR_JOB_ID_TAKEN,
    "KeyTaken" => JOBSTORE_ERROR_KEY_TAKEN,
    "KeyPurged" => JOBSTORE_ERROR_KEY_PURGED,
    "InvalidKey" => JOBSTORE_ERROR_INVALID_KEY,
    "IllegalTransition" => JOBSTORE_ERROR_ILLEGAL_TRANSITION,
    "EmptyCommand" => JOBSTORE_ERROR_EMPTY_COMMAND,
    "TextTooLong" => JOBSTORE_ERROR_TEXT_TOO_LONG,
    "InvalidJson" => JOBSTORE_ERROR_INVALID_JSON,
    "InvalidPointer" => JOBSTORE_ERROR_INVALID_POINTER,
    "TooDeep" => JOBSTORE_ERROR_TOO_DEEP,
    "RequestTooLarge" => JOBSTORE_ERROR_REQUEST_TOO_LARGE,
    "BatchTooLarge" => JOBSTORE_ERROR_BATCH_TOO_LARGE,
    "OutcomeTooLarge" => JOBSTORE_ERROR_OUTCOME_TOO_LARGE,
    "PageLimit" => JOBSTORE_ERROR_PAGE_LIMIT,
    "JobPurged" => JOBSTORE_ERROR_JOB_PURGED,
    "JobIdPurged" => JOBSTORE_ERROR_JOB_ID_PURGED,
    "PageExpired" => JOBSTORE_ERROR_PAGE_EXPIRED,
    "InvalidCursor" => JOBSTORE_ERROR_INVALID_CURSOR,
    "InvalidPosition" => JOBSTORE_ERROR_INVALID_POSITION,
    "InvalidOption" => JOBSTORE_ERROR_INVALID_OPTION,
    "StoreInUse" => JOBSTORE_ERROR_STORE_IN_USE,
    "NotEmpty" => JOBSTORE_ERROR_NOT_EMPTY,
    "NotAStore" => JOBSTORE_ERROR_NOT_A_STORE,
    "PathTooLong" => JOBSTORE_ERROR_PATH_TOO_LONG,
    "StoreMissing" => JOBSTORE_ERROR_STORE_MISSING,
    "NewerFormat" => JOBSTORE_ERROR_NEWER_FORMAT,
    "OlderFormat" => JOBSTORE_ERROR_OLDER_FORMAT,
    "UnknownFeatures" => JOBSTORE_ERROR_UNKNOWN_FEATURES,
    "PermissionDenied" => JOBSTORE_ERROR_PERMISSION_DENIED,
    "DiskFull" => JOBSTORE_ERROR_DISK_FULL,
    "Busy" => JOBSTORE_ERROR_BUSY,
    "CommitUnknown" => JOBSTORE_ERROR_COMMIT_UNKNOWN,
    "ReadOnly" => JOBSTORE_ERROR_READ_ONLY,
    "Removed" => JOBSTORE_ERROR_REMOVED,
    "Deposed" => JOBSTORE_ERROR_DEPOSED,
    "ReplicaInUse" => JOBSTORE_ERROR_REPLICA_IN_USE,
    "ReplicaNeeded" => JOBSTORE_ERROR_REPLICA_NEEDED,
    "ReplicaUnreachable" => JOBSTORE_ERROR_REPLICA_UNREACHABLE,
    "ReplicaRefused" => JOBSTORE_ERROR_REPLICA_REFUSED,
    "ReplicaUnfit" => JOBSTORE_ERROR_REPLICA_UNFIT,
    "ReplicaOfOtherStore" => JOBSTORE_ERROR_REPLICA_OF_OTHER_STORE,
    "ReplicaBehind" => JOBSTORE_ERROR_REPLICA_BEHIND,
    "ReplicaDiverged" => JOBSTORE_ERROR_REPLICA_DIVERGED,
    "ReplicaDamaged" => JOBSTORE_ERROR_REPLICA_DAMAGED,
    "Forked" => JOBSTORE_ERROR_FORKED,
    "OpenedReadOnly" => JOBSTORE_ERROR_OPENED_READ_ONLY,
    "Follower" => JOBSTORE_ERROR_FOLLOWER,
    "TooManyOpenFiles" => JOBSTORE_ERROR_TOO_MANY_OPEN_FILES,
    "Damaged" => JOBSTORE_ERROR_DAMAGED,
    "IndexUnavailable" => JOBSTORE_ERROR_INDEX_UNAVAILABLE,
    "IndexStuck" => JOBSTORE_ERROR_INDEX_STUCK,
    "CloseStuck" => JOBSTORE_ERROR_CLOSE_STUCK,
    "Io" => JOBSTORE_ERROR_IO,
    "Output" => JOBSTORE_ERROR_OUTPUT,
    "BadLine" => JOBSTORE_ERROR_BAD_LINE,
    "Input" => JOBSTORE_ERROR_INPUT,
    "InvalidUse" => JOBSTORE_ERROR_INVALID_USE,
    "Closed" => JOBSTORE_ERROR_CLOSED,
    "InvalidParameter" => JOBSTORE_ERROR_INVALID_PARAMETER,
}
