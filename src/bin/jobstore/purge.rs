//! `jobstore purge`: purges complete jobs.
//!
//! Prevents an accidental purge: only complete jobs are purged, and without a filter, `--all` is
//! required.

use clap::Args;

use crate::access::{self, Create};
use crate::filters::Selection;
use crate::output;
use crate::problem::{Problem, Verdict};
use crate::progress::Bar;
use crate::store_args::StoreArgs;

const AFTER_HELP: &str = "\
Pending and running jobs are never purged. The ids of purged jobs are
remembered for a time, so that a purged job can be distinguished from an
unknown one.

Examples:
  jobstore purge --completed-before 30d --dry-run
  jobstore purge --completed-before 30d --outcome succeeded
  jobstore purge --all";

/// Purge complete jobs
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Only count the jobs that would be purged
    #[arg(long)]
    dry_run: bool,
    /// Purge all complete jobs
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    jobs: Selection,
}

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    let filters = &arguments.jobs.filters;
    match (filters.is_empty(), arguments.all) {
        (true, false) => {
            return Err(Problem::usage(
                "no filter was given: this would purge all complete jobs",
                "add a filter such as --completed-before 30d, or use --all",
            ));
        }
        (false, true) => {
            return Err(Problem::usage(
                "--all and filters cannot be combined",
                "omit one of them",
            ));
        }
        _ => {}
    }
    let access = match arguments.dry_run {
        true => access::open(store_args)?,
        false => access::open_to_write(store_args, Create::Never)?,
    };
    let graph = arguments.jobs.graph.choose(&*access)?;
    let would = access.purge_dry_run(&graph, filters)?;
    let said = match arguments.dry_run {
        true => format!("{} would be purged", output::jobs(would)),
        false => {
            let bar = Bar::items("purging");
            let done = access.purge(&graph, filters, &mut |done| bar.at(done, Some(would)))?;
            format!("purged {}", output::jobs(done))
        }
    };
    access.close()?;
    output::whole(format!("{said}\n").as_bytes())?;
    Ok(Verdict::Fine)
}
