//! `jobstore complete`: completes a job that has stalled.
//!
//! Selects the outcome. A job that is already complete keeps its outcome, and that outcome is
//! reported.

use clap::Args;
use jobstore::OutcomeKind;

use crate::access::{self, CompletionArgs, Create};
use crate::filters::text_up_to;
use crate::output;
use crate::problem::{Problem, Verdict};
use crate::short_id;
use crate::store_args::{GraphChoice, StoreArgs};

const AFTER_HELP: &str = "\
Use this for a running job that no longer has a worker. If a worker is still
running the job, it is asked to stop, and any outcome that it reports later is
rejected: the first outcome stays.

Examples:
  jobstore complete 018f2c1a-7b1e-7c3d-9a4f-0123456789ab
  jobstore complete --failed --reason \"host 7 was lost\" import-2026-11-24";

/// The longest code and message that an outcome stores without truncation.
const CODE_BYTES_MAX: usize = 256;
const MESSAGE_BYTES_MAX: usize = 8 << 10;

/// Complete a running job, as succeeded by default
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Id of the job
    id: String,
    /// The job failed
    #[arg(long, group = "end")]
    failed: bool,
    /// The job succeeded in part
    #[arg(long, group = "end")]
    partially_failed: bool,
    /// The job was canceled
    #[arg(long, group = "end")]
    cancelled: bool,
    /// The job was interrupted
    #[arg(long, group = "end")]
    interrupted: bool,
    /// Message that says why the job failed
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with_all = ["cancelled", "interrupted"],
        value_parser = text_up_to(MESSAGE_BYTES_MAX)
    )]
    reason: Option<String>,
    /// Error code of the failure
    #[arg(
        long,
        value_name = "TEXT",
        requires = "reason",
        default_value = "by_hand",
        value_parser = text_up_to(CODE_BYTES_MAX)
    )]
    code: String,
    #[command(flatten)]
    graph: GraphChoice,
}

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    let kind = match arguments {
        Arguments { failed: true, .. } => OutcomeKind::Failed,
        Arguments {
            partially_failed: true,
            ..
        } => OutcomeKind::PartiallyFailed,
        Arguments {
            cancelled: true, ..
        } => OutcomeKind::Cancelled,
        Arguments {
            interrupted: true, ..
        } => OutcomeKind::Interrupted,
        Arguments {
            reason: Some(_), ..
        } => {
            return Err(Problem::usage(
                "--reason cannot be used for a job that succeeded",
                "add --failed or --partially-failed",
            ));
        }
        _ => OutcomeKind::Succeeded,
    };
    let access = access::open_to_write(store_args, Create::Never)?;
    let graph = arguments.graph.choose(&*access)?;
    let (id, _) = short_id::job_to_change(&*access, &graph, &arguments.id)?;
    let completion = CompletionArgs {
        kind,
        code: &arguments.code,
        message: arguments.reason.as_deref().unwrap_or("completed manually"),
    };
    let before = access.complete(&graph, &id, &completion)?;
    access.close()?;
    Ok(match before {
        None => {
            output::note(&format!("job {id} was completed as {kind}"));
            Verdict::Fine
        }
        Some(known) => {
            output::note(&format!(
                "job {id} is already complete: {known}; nothing was changed"
            ));
            Verdict::Wrong
        }
    })
}
