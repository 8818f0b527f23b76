//! How a store is reached: in its folder, or by asking the engine that has it open.
//!
//! Owns: [`Access`], what all verbs ask of a store, and which of both ways is taken. Must
//! not know: how either does it.
//! Promise: a verb does not know the difference; a store in use that cannot be asked is
//! refused with who holds it and what to do.

mod directory;
mod engine;
mod lock_holder;
mod socket;

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use jobstore::{Error, JobStore, OutcomeKind, VerifyReport};

use directory::OpenFor;
pub(crate) use directory::{Create, MAX_REQUEST_BYTES};

use crate::filters::Filters;
use crate::problem::Problem;
use crate::store_args::{GraphName, StoreArgs};

/// Some of a graph's jobs.
pub(crate) struct ListQuery<'a> {
    pub(crate) filters: &'a Filters,
    pub(crate) offset: u64,
    pub(crate) limit: u64,
    pub(crate) newest_first: bool,
    pub(crate) cursor: Option<&'a str>,
    /// Whether the whole list is counted, though that may mean going through all of it.
    pub(crate) count: bool,
}

/// What is known of a page beside its jobs.
#[derive(Debug, Default)]
pub(crate) struct PageInfo {
    pub(crate) jobs: u64,
    pub(crate) total: Option<u64>,
    pub(crate) next: Option<String>,
    pub(crate) quarantined: u64,
}

/// What is known of jobs whose ids are lost.
pub(crate) struct FindQuery<'a> {
    pub(crate) filters: &'a Filters,
    pub(crate) limit: u64,
    pub(crate) cursor: Option<&'a str>,
}

/// What a stretch of a search came to.
#[derive(Debug, Default)]
pub(crate) struct ScanStep {
    pub(crate) found: u64,
    /// Where the search goes on, unless it is over.
    pub(crate) next: Option<String>,
    pub(crate) looked_at: u64,
    /// Jobs that are left to look at.
    pub(crate) left: u64,
}

/// How long a stretch of a search may take: whoever looks on wants to see it move.
const SCAN_STEP_TIME: Duration = Duration::from_millis(200);

/// How a job is to end.
pub(crate) struct CompletionArgs<'a> {
    pub(crate) kind: OutcomeKind,
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
}

impl CompletionArgs<'_> {
    /// Whether code and message belong to it.
    fn says_why(&self) -> bool {
        matches!(
            self.kind,
            OutcomeKind::Failed | OutcomeKind::PartiallyFailed
        )
    }
}

/// What became of a job that was to be called off.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    BeforeStart,
    Requested,
    AlreadyComplete,
}

/// How lines are to be imported.
#[derive(Clone, Copy)]
pub(crate) struct Import {
    pub(crate) skip_bad: bool,
}

/// What an import did.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    pub(crate) imported: u64,
    pub(crate) there: u64,
    /// Those of them whose line has secrets that the job does not.
    pub(crate) secrets_left: u64,
    pub(crate) bad: u64,
    /// The first of the bad lines, by their number, and what is wrong with each.
    pub(crate) bad_lines: Vec<(u64, String)>,
}

/// Told of each line, a whole job as JSON.
pub(crate) type EachLine<'a> = &'a mut dyn FnMut(&str) -> Result<(), Problem>;

/// A store, however it is reached.
pub(crate) trait Access {
    fn graphs(&self) -> Result<Vec<GraphName>, Problem>;

    /// The contract's document of some jobs.
    fn document(
        &self,
        graph: &GraphName,
        list_query: &ListQuery<'_>,
        out: &mut dyn Write,
    ) -> Result<(), Problem>;

    /// Some jobs, each as its line.
    fn page(
        &self,
        graph: &GraphName,
        list_query: &ListQuery<'_>,
        each: EachLine<'_>,
    ) -> Result<PageInfo, Problem>;

    /// The line of a job.
    fn job(&self, graph: &GraphName, id: &str) -> Result<String, Problem>;

    /// What the ids begin with that the graph makes, as far as that can be told.
    fn id_begin(&self, graph: &GraphName) -> Result<Option<String>, Problem>;

    /// The jobs of a request, newest first, each as its line; says how many.
    fn find(
        &self,
        graph: &GraphName,
        request: &str,
        limit: u64,
        each: EachLine<'_>,
    ) -> Result<u64, Problem>;

    /// Searches for a while for jobs, newest first, each as its line.
    fn search(
        &self,
        graph: &GraphName,
        find_query: &FindQuery<'_>,
        each: EachLine<'_>,
    ) -> Result<ScanStep, Problem>;

    /// Ends a job; gives how it had ended, where it had.
    fn complete(
        &self,
        graph: &GraphName,
        id: &str,
        completion: &CompletionArgs<'_>,
    ) -> Result<Option<String>, Problem>;

    fn cancel(&self, graph: &GraphName, id: &str) -> Result<Cancelled, Problem>;

    /// Lines of all jobs that are meant, with or without secrets; says how many, and how
    /// many there will be, as far as that is known.
    fn export(
        &self,
        graph: &GraphName,
        filters: &Filters,
        reveal: bool,
        out: &mut dyn Write,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<u64, Problem>;

    /// Records the jobs of lines; makes the graph where it is not there.
    fn import(
        &self,
        graph: &GraphName,
        lines: Box<dyn Read + Send>,
        how: Import,
        progress: &mut dyn FnMut(),
    ) -> Result<Imported, Problem>;

    /// How many jobs [`Access::purge`] would purge.
    fn purge_dry_run(&self, graph: &GraphName, filters: &Filters) -> Result<u64, Problem>;

    fn purge(
        &self,
        graph: &GraphName,
        filters: &Filters,
        progress: &mut dyn FnMut(u64),
    ) -> Result<u64, Problem>;

    /// Copies the store, with hard links if wanted. Returns how many bytes the copy has, and
    /// how many of them it shares.
    fn backup(
        &self,
        to: &Path,
        links: bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(u64, u64), Problem>;

    /// The store's numbers, as the library has them in JSON.
    fn stats(&self) -> Result<String, Problem>;

    /// Lets the store go.
    fn close(&self) -> Result<(), Problem>;
}

/// Reaches a store to read it. Nothing in its directory is changed.
pub(crate) fn open(store_args: &StoreArgs) -> Result<Box<dyn Access>, Problem> {
    reach(store_args, OpenFor::Reading)
}

/// Reaches a store to change it; creates it if there is none and that is allowed.
pub(crate) fn open_to_write(
    store_args: &StoreArgs,
    create: Create,
) -> Result<Box<dyn Access>, Problem> {
    reach(store_args, OpenFor::Writing(create))
}

fn reach(store_args: &StoreArgs, what: OpenFor) -> Result<Box<dyn Access>, Problem> {
    let dir = &store_args.data()?;
    // A command that writes has been refused its option, and ignores the variable.
    let has_keys = what == OpenFor::Reading && store_args.secret_keys()?.is_some();
    match directory::StoreDirectory::open(store_args, what) {
        Ok(directory) => Ok(Box::new(directory)),
        // The engine makes the files then.
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

/// Opens a store at rest for a server of its own.
pub(crate) fn store_at_rest(store_args: &StoreArgs) -> Result<JobStore, Problem> {
    match directory::StoreDirectory::open(store_args, OpenFor::Serving) {
        Ok(directory) => Ok(directory.into_store()),
        Err(directory::OpenRefusal::InUse(pid)) => Err(in_use(&store_args.data()?, pid, AT_REST)),
        Err(
            directory::OpenRefusal::NotOwner(problem) | directory::OpenRefusal::Problem(problem),
        ) => Err(problem),
    }
}

/// Looks a store over: at rest with `look`, else by its engine.
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

/// Refuses to write to a store whose files are another user's.
pub(crate) fn check_owner(dir: &Path) -> Result<(), Problem> {
    directory::check_owner(dir)
}

/// A problem of what is only done to a store at rest.
pub(crate) fn at_rest(dir: &Path, error: Error) -> Problem {
    match error {
        Error::StoreInUse { holder: pid, .. } => in_use(dir, pid, AT_REST),
        other => other.into(),
    }
}

const NO_SOCKET: &str = "it has no control socket, which the engine can open \
     (`JobStore::control`)";
const AT_REST: &str = "this command needs a store that no process has open";
/// What to do about a process that certainly has the store open.
const KNOWN: &str =
    "stop that process first; a `jobstore` command other than `serve` exits by itself";
/// Which process it is may be hidden: it may run in another container.
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
