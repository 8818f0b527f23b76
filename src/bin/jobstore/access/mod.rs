//! Access to a store: directly in its directory, or through the engine that has it open.
//!
//! Contains [`Access`], the operations that commands need, and the choice between the two ways.
//! Commands do not see the difference. If a store is in use and its engine cannot be reached, the
//! error names the process and says what to do.

mod directory;
mod engine;
mod lock_holder;
mod socket;

use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use jobstore::{Error, JobStore, OutcomeKind, VerifyReport};
use serde::Deserialize;

use directory::OpenFor;
pub(crate) use directory::{Create, MAX_REQUEST_BYTES};
pub(crate) use socket::ESCAPED;

use crate::filters::Filters;
use crate::problem::Problem;
use crate::store_args::{GraphName, StoreArgs};
use crate::tally::By;

/// A selection of a graph's jobs.
pub(crate) struct ListQuery<'a> {
    pub(crate) filters: &'a Filters,
    pub(crate) offset: u64,
    pub(crate) limit: u64,
    pub(crate) newest_first: bool,
    pub(crate) cursor: Option<&'a str>,
    /// Whether to count the whole list, even if that requires a full scan.
    pub(crate) count: bool,
}

/// Information about a page, in addition to its jobs.
#[derive(Debug, Default)]
pub(crate) struct PageInfo {
    pub(crate) jobs: u64,
    pub(crate) total: Option<u64>,
    pub(crate) next: Option<String>,
    pub(crate) quarantined: u64,
}

/// What to search for: the known parts of jobs whose ids are lost.
pub(crate) struct FindQuery<'a> {
    pub(crate) filters: &'a Filters,
    pub(crate) limit: u64,
    pub(crate) cursor: Option<&'a str>,
}

/// The result of one step of a search.
#[derive(Debug, Default)]
pub(crate) struct ScanStep {
    pub(crate) found: u64,
    /// Where the search continues; `None` if it is complete.
    pub(crate) next: Option<String>,
    pub(crate) looked_at: u64,
    /// The number of jobs still to scan.
    pub(crate) left: u64,
}

/// Which part of a history to show.
pub(crate) struct HistoryQuery {
    pub(crate) from: SystemTime,
    pub(crate) to: SystemTime,
    /// The length of the periods.
    pub(crate) step: Duration,
}

/// Which jobs to count, and by what.
pub(crate) struct TallyQuery<'a> {
    pub(crate) filters: &'a Filters,
    pub(crate) by: By,
    /// The length of the periods, if the jobs are counted by time.
    pub(crate) period: Duration,
}

/// Which changes to show.
pub(crate) struct FeedQuery<'a> {
    /// The position after which to begin; by default, the beginning.
    pub(crate) after: Option<&'a str>,
    /// Whether to wait for further changes.
    pub(crate) follow: bool,
    /// For how long changes are collected, if only the last one of each job is wanted.
    pub(crate) coalesce_ms: Option<u64>,
}

impl FeedQuery<'_> {
    /// The position after all changes that have happened.
    pub(crate) const END: &'static str = "end";
}

/// The result of canceling all jobs that match.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CancelledAll {
    pub(crate) cancelled: u64,
    pub(crate) requested: u64,
    pub(crate) already_complete: u64,
}

/// How long one step of a search may take. It is short, so that progress is visible.
const SCAN_STEP_TIME: Duration = Duration::from_millis(200);

/// How to complete a job.
pub(crate) struct CompletionArgs<'a> {
    pub(crate) kind: OutcomeKind,
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
}

impl CompletionArgs<'_> {
    /// Returns whether an outcome of this kind has a code and a message.
    fn says_why(&self) -> bool {
        matches!(
            self.kind,
            OutcomeKind::Failed | OutcomeKind::PartiallyFailed
        )
    }
}

/// The result of a cancellation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    BeforeStart,
    Requested,
    AlreadyComplete,
}

/// The options of an import.
#[derive(Clone, Copy)]
pub(crate) struct Import {
    pub(crate) skip_bad: bool,
}

/// The result of an import.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    pub(crate) imported: u64,
    pub(crate) there: u64,
    /// How many of the existing jobs have secrets in the line but not in the store.
    pub(crate) secrets_left: u64,
    pub(crate) bad: u64,
    /// The first bad lines, as line numbers and errors.
    pub(crate) bad_lines: Vec<(u64, String)>,
}

/// Called for each line. A line is a whole job as JSON.
pub(crate) type EachLine<'a> = &'a mut dyn FnMut(&str) -> Result<(), Problem>;

/// A store that is accessed either in its directory or through an engine.
pub(crate) trait Access {
    fn graphs(&self) -> Result<Vec<GraphName>, Problem>;

    /// Returns the statistics of each graph as JSON, in the library's format.
    fn graph_stats(&self) -> Result<Vec<String>, Problem>;

    /// Passes the selected jobs of all graphs to `each`, one line per job, which begins with the
    /// names of the project and the graph.
    fn page_of_all(
        &self,
        list_query: &ListQuery<'_>,
        each: EachLine<'_>,
    ) -> Result<PageInfo, Problem>;

    /// Writes the selected jobs as a document of the GES API.
    fn document(
        &self,
        graph: &GraphName,
        list_query: &ListQuery<'_>,
        out: &mut dyn Write,
    ) -> Result<(), Problem>;

    /// Passes the selected jobs to `each`, one line per job.
    fn page(
        &self,
        graph: &GraphName,
        list_query: &ListQuery<'_>,
        each: EachLine<'_>,
    ) -> Result<PageInfo, Problem>;

    /// Returns a job as a line.
    fn job(&self, graph: &GraphName, id: &str) -> Result<String, Problem>;

    /// Waits until a job is complete, at most this long. Returns it as a line. If no engine has the
    /// store open, returns immediately.
    fn wait(&self, graph: &GraphName, id: &str, time: Duration) -> Result<String, Problem>;

    /// Passes changes to `each`, one line per change. If they are followed, continues until the
    /// engine ends.
    fn changes(
        &self,
        graph: &GraphName,
        feed_query: &FeedQuery<'_>,
        each: EachLine<'_>,
    ) -> Result<(), Problem>;

    /// Returns what happened in a graph, as JSON in the format of the HTTP route.
    fn history(&self, graph: &GraphName, query: &HistoryQuery) -> Result<String, Problem>;

    /// Counts the selected jobs of a graph, or of all graphs. Returns the counts as JSON, in the
    /// library's format.
    fn tally(&self, graph: Option<&GraphName>, query: &TallyQuery<'_>) -> Result<String, Problem>;

    /// Returns the prefix of the ids that the graph generates, if it is known.
    fn id_begin(&self, graph: &GraphName) -> Result<Option<String>, Problem>;

    /// Passes the jobs that have this request to `each`, newest first, one line per job. Returns
    /// their number.
    fn find(
        &self,
        graph: &GraphName,
        request: &str,
        limit: u64,
        each: EachLine<'_>,
    ) -> Result<u64, Problem>;

    /// Searches for jobs for a limited time. Passes the jobs that are found to `each`, newest
    /// first, one line per job.
    fn search(
        &self,
        graph: &GraphName,
        find_query: &FindQuery<'_>,
        each: EachLine<'_>,
    ) -> Result<ScanStep, Problem>;

    /// Completes a job. Returns its outcome if it was already complete.
    fn complete(
        &self,
        graph: &GraphName,
        id: &str,
        completion: &CompletionArgs<'_>,
    ) -> Result<Option<String>, Problem>;

    fn cancel(&self, graph: &GraphName, id: &str) -> Result<Cancelled, Problem>;

    /// Cancels all selected jobs, or only counts them.
    fn cancel_all(
        &self,
        graph: &GraphName,
        filters: &Filters,
        dry_run: bool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<CancelledAll, Problem>;

    /// Exports all selected jobs as lines, with or without secrets. Returns their number.
    /// `progress` is passed the number so far and, if known, the expected total.
    fn export(
        &self,
        graph: &GraphName,
        filters: &Filters,
        reveal: bool,
        out: &mut dyn Write,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<u64, Problem>;

    /// Imports jobs from lines. Creates the graph if it does not exist.
    fn import(
        &self,
        graph: &GraphName,
        lines: Box<dyn Read + Send>,
        how: Import,
        progress: &mut dyn FnMut(),
    ) -> Result<Imported, Problem>;

    /// Returns how many jobs [`Access::purge`] would purge.
    fn purge_dry_run(&self, graph: &GraphName, filters: &Filters) -> Result<u64, Problem>;

    fn purge(
        &self,
        graph: &GraphName,
        filters: &Filters,
        progress: &mut dyn FnMut(u64),
    ) -> Result<u64, Problem>;

    /// Copies the store, with hard links if requested. Returns the size of the copy, and how many
    /// of its bytes it shares with the store.
    fn backup(
        &self,
        to: &Path,
        links: bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(u64, u64), Problem>;

    /// Returns the store's statistics as JSON, in the library's format.
    fn stats(&self) -> Result<String, Problem>;

    /// Returns how many times the store has been opened for writing; `None` if an engine has it
    /// open.
    fn opens(&self) -> Option<u64>;

    /// Returns whether an engine has the store open.
    fn is_live(&self) -> bool {
        self.opens().is_none()
    }

    /// Closes the store.
    fn close(&self) -> Result<(), Problem>;
}

/// Opens a store for reading. Nothing in its directory is changed.
pub(crate) fn open(store_args: &StoreArgs) -> Result<Box<dyn Access>, Problem> {
    reach(store_args, OpenFor::Reading)
}

/// Opens a store for changes. If there is none and `create` allows it, creates one.
pub(crate) fn open_to_write(
    store_args: &StoreArgs,
    create: Create,
) -> Result<Box<dyn Access>, Problem> {
    reach(store_args, OpenFor::Writing(create))
}

fn reach(store_args: &StoreArgs, what: OpenFor) -> Result<Box<dyn Access>, Problem> {
    let dir = &store_args.data()?;
    // A command that writes has already refused the option, and ignores the environment variable.
    let has_keys = what == OpenFor::Reading && store_args.secret_keys()?.is_some();
    match directory::StoreDirectory::open(store_args, what) {
        Ok(directory) => Ok(Box::new(directory)),
        // If the engine is used, it creates the files, so they belong to the right user.
        Err(directory::OpenRefusal::NotOwner(problem)) => match engine::Engine::of(dir) {
            Ok(Some(engine)) if !has_keys => Ok(Box::new(engine)),
            _ => Err(problem),
        },
        Err(directory::OpenRefusal::InUse(pid)) => match engine::Engine::of(dir)? {
            Some(_) if has_keys => Err(Problem::usage(
                "secret keys cannot be set while an engine has the store open",
                "omit --secret-keys and unset JOBSTORE_SECRET_KEYS: the engine's own secret keys \
                 apply",
            )),
            Some(engine) => Ok(Box::new(engine)),
            None => Err(in_use(dir, pid, NO_SOCKET)),
        },
        Err(directory::OpenRefusal::Problem(problem)) => Err(problem),
    }
}

/// Opens a store that no engine has open, so that it can be served.
pub(crate) fn store_at_rest(store_args: &StoreArgs) -> Result<JobStore, Problem> {
    match directory::StoreDirectory::open(store_args, OpenFor::Serving) {
        Ok(directory) => Ok(directory.into_store()),
        Err(directory::OpenRefusal::InUse(pid)) => Err(in_use(&store_args.data()?, pid, AT_REST)),
        Err(
            directory::OpenRefusal::NotOwner(problem) | directory::OpenRefusal::Problem(problem),
        ) => Err(problem),
    }
}

/// Verifies a store. If no engine has it open, calls `look`; otherwise, asks the engine.
pub(crate) fn verify(
    dir: &Path,
    look: impl FnOnce() -> Result<VerifyReport, Error>,
) -> Result<VerifyReport, Problem> {
    match look() {
        Ok(report) => Ok(report),
        Err(Error::StoreInUse { holder: pid, .. }) => match engine::Engine::of(dir)? {
            Some(engine) => engine.verify(),
            None => Err(in_use(dir, pid, NO_SOCKET)),
        },
        Err(error) => Err(error.into()),
    }
}

/// Refuses to write to a store whose files belong to another user.
pub(crate) fn check_owner(dir: &Path) -> Result<(), Problem> {
    directory::check_owner(dir)
}

/// Returns the error of an operation that needs exclusive access.
pub(crate) fn at_rest(dir: &Path, error: Error) -> Problem {
    match error {
        Error::StoreInUse { holder: pid, .. } => in_use(dir, pid, AT_REST),
        other => other.into(),
    }
}

const NO_SOCKET: &str = "it has no control socket, which the engine can open \
     (`JobStore::control`)";
const AT_REST: &str = "this command needs a store that no process has open";
/// The remedy if the process that has the store open is known.
const KNOWN: &str = "stop that process first; a `jobstore` command other than `serve` and \
     `replica follow` exits by itself";
/// The remedy if that process is not known. It may be hidden because it runs in another container.
const UNKNOWN: &str = "to find the process that has the directory open, run `lslocks` or `lsof` \
     as root on this host";

fn in_use(dir: &Path, pid: Option<u32>, remedy: &str) -> Problem {
    let next = match pid {
        Some(_) => KNOWN,
        None => UNKNOWN,
    };
    let remedy = format!("{remedy}; {next}");
    let what = format!(
        "store {} is in use {}",
        dir.display(),
        lock_holder::said(pid)
    );
    Problem::failed(what, remedy)
}
