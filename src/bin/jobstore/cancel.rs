//! `jobstore cancel`: cancels a job.
//!
//! If the job is already complete, this is reported.

use clap::Args;

use crate::access::{self, Cancelled, Create};
use crate::output;
use crate::problem::{Problem, Verdict};
use crate::short_id;
use crate::store_args::{GraphChoice, StoreArgs};

const AFTER_HELP: &str = "\
A pending job completes immediately with the outcome cancelled. A running job
receives a cancellation request, which its worker can see. To complete a
running job that has no worker any more, use `jobstore complete`.

Example:
  jobstore cancel 018f2c1a-7b1e-7c3d-9a4f-0123456789ab";

/// Cancel a job
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Id of the job
    id: String,
    #[command(flatten)]
    graph: GraphChoice,
}

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    let access = access::open_to_write(store_args, Create::Never)?;
    let graph = arguments.graph.choose(&*access)?;
    let (id, _) = short_id::job_to_change(&*access, &graph, &arguments.id)?;
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
