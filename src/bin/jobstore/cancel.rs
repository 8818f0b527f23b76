//! `jobstore cancel`: cancels a job, or all jobs that match filters.
//!
//! If a job is already complete, this is reported. Without an id and without a filter, `--all` is
//! required.

use clap::Args;

use crate::access::{self, Access, Cancelled, CancelledAll, Create};
use crate::filters::Selection;
use crate::output;
use crate::problem::{Problem, Verdict};
use crate::progress::Bar;
use crate::short_id;
use crate::store_args::StoreArgs;

const AFTER_HELP: &str = "\
A pending job completes immediately with the outcome cancelled. A running job
receives a cancellation request, which its worker can see. To complete a
running job that no longer has a worker, use `jobstore complete`.

Examples:
  jobstore cancel 018f2c1a-7b1e-7c3d-9a4f-0123456789ab
  jobstore cancel --command import_graph --state pending --dry-run
  jobstore cancel --started-before 6h";

/// Cancel a job, or all jobs that match filters
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Id of the job
    id: Option<String>,
    /// Only count the jobs that would be canceled
    #[arg(long, conflicts_with = "id")]
    dry_run: bool,
    /// Cancel all pending and running jobs
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    jobs: Selection,
}

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    let filters = &arguments.jobs.filters;
    match (&arguments.id, filters.is_empty(), arguments.all) {
        (Some(id), true, false) => one(store_args, arguments, id),
        (None, false, false) | (None, true, true) => all(store_args, arguments),
        (None, true, false) => Err(Problem::usage(
            "neither a job nor a filter was given",
            "give the id of a job, add a filter such as --state pending, or use --all",
        )),
        _ => Err(Problem::usage(
            "an id, filters, and --all cannot be combined",
            "use only one of them",
        )),
    }
}

fn one(store_args: &StoreArgs, arguments: &Arguments, id: &str) -> Result<Verdict, Problem> {
    let access = access::open_to_write(store_args, Create::Never)?;
    let graph = arguments.jobs.graph.choose(&*access)?;
    let (id, _) = short_id::job_to_change(&*access, &graph, id)?;
    let done = access.cancel(&graph, &id)?;
    access.close()?;
    let (said, verdict) = match done {
        Cancelled::BeforeStart => ("was canceled", Verdict::Fine),
        Cancelled::Requested => (
            "is running and was asked to stop; if its worker does not respond, use `jobstore \
             complete --cancelled`",
            Verdict::Fine,
        ),
        Cancelled::AlreadyComplete => ("is already complete; nothing was changed", Verdict::Wrong),
    };
    output::note(&format!("job {id} {said}"));
    Ok(verdict)
}

fn all(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    let access: Box<dyn Access> = match arguments.dry_run {
        true => access::open(store_args)?,
        false => access::open_to_write(store_args, Create::Never)?,
    };
    let graph = arguments.jobs.graph.choose(&*access)?;
    let cancel = |dry_run: bool, progress: &mut dyn FnMut(u64)| {
        access.cancel_all(&graph, &arguments.jobs.filters, dry_run, progress)
    };
    let would = cancel(true, &mut |_| {})?;
    let done = match arguments.dry_run {
        true => would,
        false => {
            let (bar, of) = (Bar::items("canceling"), would.cancelled + would.requested);
            cancel(false, &mut |done| bar.at(done, Some(of)))?
        }
    };
    access.close()?;
    output::whole(said(&done, arguments.dry_run).as_bytes())?;
    Ok(Verdict::Fine)
}

fn said(done: &CancelledAll, dry_run: bool) -> String {
    let (cancelled, requested) = (output::jobs(done.cancelled), output::jobs(done.requested));
    let mut text = match dry_run {
        true => format!("{cancelled} would be canceled, {requested} asked to stop\n"),
        false => format!("canceled {cancelled}, asked {requested} to stop\n"),
    };
    if done.already_complete > 0 {
        let jobs = output::jobs(done.already_complete);
        text.push_str(&format!("{jobs} completed in the meantime\n"));
    }
    text
}
