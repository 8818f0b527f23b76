//! What went wrong, said to a person.
//!
//! Owns: [`Problem`], [`Verdict`], exit codes, and what helps against each error an
//! operator can meet. Must not know: verbs.
//! Promise: every problem is said in one line, with a second that says what to do; no
//! request's text is in it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use jobstore::Error;

/// How a verb ended that did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fine,
    /// It found something wrong, and has said so.
    Wrong,
}

/// Why a verb did not do its work.
#[derive(Debug)]
pub(crate) enum Problem {
    /// It was asked for in a way that makes no sense.
    Usage { what: String, remedy: String },
    /// It was not possible.
    Failed { what: String, remedy: String },
    /// Nobody reads the output any more.
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

    /// An error of writing the output.
    pub(crate) fn output(error: &io::Error) -> Problem {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Problem::ReaderGone,
            _ => Problem::failed(
                format!("the output could not be written: {error}"),
                "what was written is not whole; make room, and do it again",
            ),
        }
    }

    /// An error about a file that was named.
    pub(crate) fn file(operation: &str, path: &Path, error: &io::Error) -> Problem {
        let what = format!("cannot {operation} {}: {error}", path.display());
        Problem::usage(what, "name a file that can be used so")
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let what = error.to_string();
        match &error {
            Error::Output {
                kind: io::ErrorKind::BrokenPipe,
                ..
            } => Problem::ReaderGone,
            Error::StoreMissing { path } => Problem::usage(
                format!("there is no store at {}", path.display()),
                "look at --data and JOBSTORE_DATA; `jobstore import` makes a store",
            ),
            Error::NotAStore { path, found } => Problem::usage(
                format!(
                    "{} is no store: it holds {found:?} and no STORE file",
                    path.display()
                ),
                match store_below(path) {
                    Some(below) => format!("there is one in {}", below.display()),
                    None => "name the folder that holds the file STORE".to_owned(),
                },
            ),
            Error::UnknownGraph { .. }
            | Error::InvalidName { .. }
            | Error::InvalidJobId { .. }
            | Error::InvalidJson { .. }
            | Error::InvalidPointer { .. }
            | Error::TooDeep { .. }
            | Error::PageLimit { .. }
            | Error::InvalidCursor { .. }
            | Error::TextTooLong { .. }
            | Error::EmptyCommand
            | Error::OutcomeTooLarge { .. } => Problem::usage(what, ""),
            Error::BadLine { line, problem } => Problem::failed(
                format!("line {line} is no job: {problem}"),
                "the lines before it are imported; mend it, or pass over such lines: --skip-bad",
            ),
            _ => Problem::failed(what, remedy(&error)),
        }
    }
}

/// A store in a folder of this folder.
fn store_below(path: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(path).ok()?;
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
    folders
        .into_iter()
        .find(|folder| folder.join("STORE").is_file())
}

/// What helps, where the error does not say so itself.
fn remedy(error: &Error) -> String {
    let text = match error {
        Error::Damaged { .. } => {
            "`jobstore verify` lists all damage; `jobstore repair` sets it aside"
        }
        Error::UnknownJob { .. } => {
            "`jobstore list --newest` shows what there is; \
             `jobstore find` has jobs by their request"
        }
        Error::JobPurged { .. } => "its result, if the engine kept one, may still be there",
        Error::IllegalTransition { .. } => {
            "a job that was not started can only be called off: `jobstore cancel`"
        }
        Error::NewerFormat { .. } => "this program is of an older release than the engine",
        Error::IndexUnavailable { .. } => "any verb opens the store and makes the index anew",
        Error::Io { .. } => "look at the disk and at the system's log",
        _ => "",
    };
    text.to_owned()
}

/// Says what is to be said, and gives the exit code.
pub(crate) fn exit(ended: Result<Verdict, Problem>) -> ExitCode {
    match ended {
        Ok(Verdict::Fine) | Err(Problem::ReaderGone) => ExitCode::SUCCESS,
        Ok(Verdict::Wrong) => ExitCode::from(1),
        Err(Problem::Failed { what, remedy }) => {
            say(&what, &remedy);
            ExitCode::from(1)
        }
        Err(Problem::Usage { what, remedy }) => {
            say(&what, &remedy);
            ExitCode::from(2)
        }
    }
}

/// Says what is wrong, and what helps.
pub(crate) fn say(what: &str, remedy: &str) {
    use std::io::Write as _;
    let red = Style::new().fg_color(Some(AnsiColor::Red.into())).bold();
    let mut out = anstream::stderr().lock();
    // Nobody is left to be told when this fails.
    writeln!(out, "{red}jobstore:{red:#} {what}").ok();
    if !remedy.is_empty() {
        writeln!(out, "  {remedy}").ok();
    }
}
