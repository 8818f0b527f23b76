//! `jobstore wait`: waits until a job is complete.
//!
//! Contains the exit codes, with which a script can tell what happened.

use std::time::{Duration, Instant};

use clap::Args;

use crate::access;
use crate::output::{self, harmless};
use crate::problem::{Problem, Verdict};
use crate::progress::Bar;
use crate::row::Row;
use crate::short_id;
use crate::store_args::{GraphChoice, StoreArgs};
use crate::when;

const AFTER_HELP: &str = "\
Exit codes: 0, the job succeeded; 1, an error occurred, or there is no such
job; 2, incorrect usage; 3, the job completed with another outcome; 4, the job
was not complete when the timeout passed.

Examples:
  jobstore wait 018f2c1a-7b1e-7c3d-9a4f-0123456789ab && echo imported
  jobstore wait import-2026-11-24 --timeout 10min";

/// The exit code if the job did not succeed.
const OTHER_OUTCOME: u8 = 3;
/// The exit code if the timeout passed.
const TIMED_OUT: u8 = 4;
/// The maximum time that the engine is asked to wait.
const STEP: Duration = Duration::from_secs(60);
/// The pause before the engine is asked again if it did not wait.
const PAUSE: Duration = Duration::from_millis(500);

/// Wait until a job is complete
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Id of the job
    id: String,
    /// Maximum time to wait, such as 90s, 10min, or 1h [default: no limit]
    #[arg(long, value_name = "DURATION", value_parser = when::parse_duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    graph: GraphChoice,
}

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    let access = access::open(store_args)?;
    let graph = arguments.graph.choose(&*access)?;
    let (id, mut line) = short_id::job(&*access, &graph, &arguments.id)?;
    let timeout = arguments.timeout;
    let deadline = timeout.and_then(|time| Instant::now().checked_add(time));
    let bar = Bar::busy("waiting");
    let verdict = loop {
        let row = Row::of(&line)?;
        if let Some(outcome) = &row.outcome {
            let kind = outcome.kind.as_str();
            let why = outcome.message.as_deref().map(|why| format!(": {why}"));
            bar.end();
            output::note(&harmless(&format!(
                "job {id} is complete: {}{}",
                row.word(),
                why.unwrap_or_default()
            )));
            break match kind {
                "succeeded" => Verdict::Fine,
                _ => Verdict::Code(OTHER_OUTCOME),
            };
        }
        if !access.is_live() {
            return Err(Problem::failed(
                format!(
                    "job {id} is {}, and no engine has the store open",
                    row.status
                ),
                match row.status.as_str() {
                    "pending" => "start the engine, or cancel the job with `jobstore cancel`",
                    _ => "start the engine, or complete the job with `jobstore complete`",
                },
            ));
        }
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            bar.end();
            output::note(&format!("job {id} is still {}", row.status));
            break Verdict::Code(TIMED_OUT);
        }
        let (asked_at, step) = (Instant::now(), left.unwrap_or(STEP).min(STEP));
        line = access.wait(&graph, &id, step)?;
        // An engine that cannot complete the job responds immediately.
        if asked_at.elapsed() < step.min(PAUSE) && Row::of(&line)?.outcome.is_none() {
            std::thread::sleep(step.min(PAUSE));
        }
    };
    access.close()?;
    Ok(verdict)
}
