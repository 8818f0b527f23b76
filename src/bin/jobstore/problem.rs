//! Errors as messages for the user.
//!
//! Contains [`Problem`], [`Verdict`], the exit codes, and the remedies for the errors that
//! operators can meet. Every problem is one line, followed by a line with the remedy. Both are the
//! same whichever way the store is accessed, and contain no text of a request.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use jobstore::Error;
use serde::Deserialize;

/// The result of a command that completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fine,
    /// The command found a problem, and has reported it.
    Wrong,
    /// The command has reported its result, which has an exit code of its own.
    Code(u8),
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Problem {
    /// Incorrect usage.
    Usage { what: String, remedy: String },
    /// The operation failed.
    Failed { what: String, remedy: String },
    /// The given job does not exist.
    NoJob { what: String, was_purged: bool },
    /// The reader of the output has exited.
    ReaderGone,
}

impl Problem {
    pub(crate) fn usage(what: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem::Usage {
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    pub(crate) fn failed(what: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem::Failed {
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// An error while writing the output.
    pub(crate) fn output(error: &io::Error) -> Problem {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Problem::ReaderGone,
            _ => Problem::output_said(&error.to_string()),
        }
    }

    fn output_said(words: &str) -> Problem {
        Problem::failed(
            format!("cannot write the output: {words}"),
            "the output is incomplete; fix the cause, and run the command again",
        )
    }

    /// Returns the problem for a response of the engine that has an unexpected form.
    pub(crate) fn unexpected(what: impl Into<String>) -> Problem {
        Problem::failed(what, "the engine may use a different release of jobstore")
    }

    /// Parses JSON that an engine or the library returned. The message does not quote it.
    pub(crate) fn parse_json<'t, T: Deserialize<'t>>(
        what: &str,
        json: &'t str,
    ) -> Result<T, Problem> {
        serde_json::from_str(json).map_err(|e| {
            let column = e.column();
            Problem::unexpected(format!("cannot read {what}: error at column {column}"))
        })
    }

    /// Returns the problem for an error with a file that the user gave. The remedy is another path
    /// or another disk.
    pub(crate) fn file(operation: &str, path: &Path, error: &io::Error) -> Problem {
        use io::ErrorKind::*;
        let what = format!("cannot {operation} {}: {error}", path.display());
        match error.kind() {
            NotFound | PermissionDenied | AlreadyExists | IsADirectory | NotADirectory
            | InvalidInput | ReadOnlyFilesystem | Unsupported => {
                Problem::usage(what, "check the path, or choose another file")
            }
            InvalidData => Problem::usage(what, "the file must be valid UTF-8"),
            StorageFull | QuotaExceeded | FileTooLarge => {
                Problem::failed(what, "free disk space, or choose a file on another disk")
            }
            _ => Problem::failed(what, "check the disk and the system log"),
        }
    }

    /// Returns the problem for an error of the library, given its code and message. If an engine
    /// reports the error, nothing else is known about it.
    pub(crate) fn of(name: &str, what: String) -> Problem {
        match name {
            "UnknownGraph" | "InvalidName" | "InvalidJobId" | "InvalidJson" | "InvalidPointer"
            | "TooDeep" | "PageLimit" | "InvalidCursor" | "InvalidPosition"
            | "InvalidParameter" | "TextTooLong" | "EmptyCommand" | "OutcomeTooLarge"
            | "NotEmpty" | "InvalidUse" => Problem::usage(what, ""),
            "UnknownJob" | "JobPurged" => Problem::NoJob {
                what,
                was_purged: name == "JobPurged",
            },
            _ => Problem::failed(what, remedy(name)),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        match &error {
            Error::Output {
                kind: io::ErrorKind::BrokenPipe,
                ..
            } => Problem::ReaderGone,
            Error::Output { message, .. } => Problem::output_said(message),
            Error::StoreMissing { path } => Problem::usage(
                format!("no store found at {}", path.display()),
                "check --data and JOBSTORE_DATA; `jobstore import` creates a store",
            ),
            Error::NotAStore { path, found } => Problem::usage(
                format!(
                    "{} is not a jobstore directory: it contains {found:?} but no STORE file",
                    path.display()
                ),
                match store_below(path) {
                    Some(below) => format!("did you mean {}?", below.display()),
                    None => "use the directory that contains the file STORE".to_owned(),
                },
            ),
            Error::Io {
                kind: io::ErrorKind::NotADirectory,
                path,
                ..
            } => Problem::usage(
                format!("{} is not a directory", path.display()),
                "use --data DIR with the directory that contains the file STORE",
            ),
            Error::ReplicaNeeded { path } => Problem::failed(
                format!(
                    "the store {} has a replica and cannot be opened for writing without it",
                    path.display()
                ),
                "use --replica URL, or set JOBSTORE_REPLICA; to stop using the replica, run \
                 `jobstore replica detach`",
            ),
            Error::ReplicaBehind {
                place,
                replica_lsn,
                local_lsn,
            } => {
                let end = match replica_lsn {
                    0 => "is empty".to_owned(),
                    lsn => format!("ends at log sequence number {lsn}"),
                };
                let what = format!(
                    "the replica {place} {end}, but the directory contains acknowledged writes up \
                     to log sequence number {local_lsn}"
                );
                Problem::failed(what, CHECK_URL)
            }
            Error::ReplicaDamaged { place, what } => {
                Problem::failed(format!("the replica {place} is damaged: {what}"), CHECK_URL)
            }
            Error::ReplicaDiverged { place, what } => Problem::failed(
                format!("the directory does not match the replica {place} ({what})"),
                "to use the contents of the replica, use an empty directory; to use those of this \
                 directory, run `jobstore replica reseed`",
            ),
            error => Problem::of(error.code(), error.to_string()),
        }
    }
}

/// Returns a store that is in a subdirectory of this directory.
fn store_below(path: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(path).ok()?;
    let directories = entries.filter_map(|entry| Some(entry.ok()?.path()));
    directories
        .into_iter()
        .find(|directory| directory.join("STORE").is_file())
}

/// Returns the remedy, unless the error's message already contains it.
fn remedy(name: &str) -> &'static str {
    match name {
        "Damaged" => "`jobstore verify` lists all damage; `jobstore repair` quarantines it",
        "IllegalTransition" => {
            "a job that has not started can only be canceled: use `jobstore cancel`"
        }
        "BadLine" => {
            "the lines before it were imported; fix it and continue from this line, or use \
             --skip-bad; if every line has a jobId, the whole import can be repeated"
        }
        "NewerFormat" => "this command is from an older release than the engine",
        "IndexUnavailable" => "the engine rebuilds the index when it next opens the store",
        "PageExpired" => "an engine has opened the store in the meantime; run the command again",
        "Follower" => "to take over, stop the follower, and run `jobstore replica promote`",
        "Io" => "check the path, the disk, and the system log",
        _ => "",
    }
}

const CHECK_URL: &str = "check the URL; if it is correct, restore the replica, or replace its \
     contents with those of an intact directory of the store: `jobstore replica reseed`";
const UNKNOWN: &str = "`jobstore list --newest-first` lists the newest jobs; `jobstore find` finds a \
     job by its request";
const PURGED: &str = "its result may still exist, if the engine stored one";

/// Reports the result and returns the exit code.
pub(crate) fn exit(ended: Result<Verdict, Problem>) -> ExitCode {
    match ended {
        Ok(Verdict::Fine) | Err(Problem::ReaderGone) => ExitCode::SUCCESS,
        Ok(Verdict::Wrong) => ExitCode::from(1),
        Ok(Verdict::Code(code)) => ExitCode::from(code),
        Err(Problem::Failed { what, remedy }) => {
            say(&what, &remedy);
            ExitCode::from(1)
        }
        Err(Problem::NoJob { what, was_purged }) => {
            say(&what, if was_purged { PURGED } else { UNKNOWN });
            ExitCode::from(1)
        }
        Err(Problem::Usage { what, remedy }) => {
            say(&what, &remedy);
            ExitCode::from(2)
        }
    }
}

/// Reports a problem and its remedy.
pub(crate) fn say(what: &str, remedy: &str) {
    use std::io::Write as _;
    let red = Style::new().fg_color(Some(AnsiColor::Red.into())).bold();
    let mut out = anstream::stderr().lock();
    // If this write fails, the error cannot be reported.
    writeln!(out, "{red}jobstore:{red:#} {what}").ok();
    if !remedy.is_empty() {
        writeln!(out, "  {remedy}").ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_wrong_one_or_its_disk_has_failed() {
        use io::ErrorKind::*;
        let of = |kind: io::ErrorKind| Problem::file("write", Path::new("a"), &kind.into());
        for kind in [NotFound, PermissionDenied, IsADirectory, InvalidData] {
            assert!(matches!(of(kind), Problem::Usage { .. }), "{kind}");
        }
        for kind in [StorageFull, QuotaExceeded, FileTooLarge, Other, TimedOut] {
            assert!(matches!(of(kind), Problem::Failed { .. }), "{kind}");
        }
    }
}
