//! `jobstore tally`: counts jobs by a property.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::access::{self, TallyQuery};
use crate::columns::Columns;
use crate::filters::Selection;
use crate::output::{self, grouped, harmless};
use crate::problem::{Problem, Verdict};
use crate::store_args::StoreArgs;
use crate::when;

/// The default length of a period: an hour.
const PERIOD: Duration = Duration::from_secs(3600);

const AFTER_HELP: &str = "\
Without --graph, the jobs of all graphs are counted together.

Only jobs that exist are counted; `jobstore history` also counts those that
have been purged. By outcome or time of completion, jobs that are not complete
are counted by state. Periods begin at multiples of their length since 1970.
The first 64 commands of a graph are counted separately, and all others
together. Counting by origin reads all requests. A tally has at most 10,000
groups.

Examples:
  jobstore tally --by outcome
  jobstore tally --by command --state pending
  jobstore tally --by origin --submitted-from 1d
  jobstore tally --by completed --period 1d --outcome failed
  jobstore tally --by command --format json | jq '.groups | max_by(.jobs)'";

/// The output format.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Human-readable table
    Table,
    /// One JSON object, as returned over HTTP
    Json,
}

/// The property by which jobs are counted.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    State,
    Outcome,
    Command,
    /// By who or what submitted the job
    Origin,
    /// By the time of submission
    Submitted,
    /// By the time of completion
    Completed,
}

impl By {
    pub(crate) fn has_periods(self) -> bool {
        matches!(self, By::Submitted | By::Completed)
    }

    fn heading(self) -> &'static str {
        match self {
            By::State => "state",
            By::Outcome => "outcome",
            By::Command => "command",
            By::Origin => "origin",
            By::Submitted => "submitted",
            By::Completed => "completed",
        }
    }
}

/// Count jobs by state, outcome, command, origin, or time
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Property by which to count
    #[arg(long, value_name = "PROPERTY", value_enum, default_value_t = By::State)]
    by: By,
    /// Length of the periods, with --by submitted or --by completed [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = period)]
    period: Option<Duration>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    jobs: Selection,
}

fn period(text: &str) -> Result<Duration, String> {
    match when::parse_duration(text)? {
        Duration::ZERO => Err("the period is empty: use at least 1s".to_owned()),
        period => Ok(period),
    }
}

/// The counts that are shown.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tally {
    groups: Vec<Group>,
    jobs: u64,
    is_partial: bool,
}

/// A group has one of the properties.
#[derive(Deserialize)]
struct Group {
    state: Option<String>,
    outcome: Option<String>,
    command: Option<String>,
    origin: Option<String>,
    start: Option<u64>,
    jobs: u64,
}

impl Group {
    fn name(&self, by: By) -> String {
        let texts = [&self.state, &self.outcome, &self.command, &self.origin];
        let text = texts.into_iter().flatten().next();
        match (text, self.start) {
            (Some(text), _) => harmless(text),
            (None, Some(ms)) if ms % 60_000 == 0 => when::minute(ms),
            (None, Some(ms)) => when::here(ms),
            (None, None) if by == By::Origin => NO_ORIGIN.to_owned(),
            (None, None) => OTHER_COMMANDS.to_owned(),
        }
    }
}

/// The commands that are not counted separately.
pub(crate) const OTHER_COMMANDS: &str = "(other commands)";
/// The jobs whose requests have no origin.
const NO_ORIGIN: &str = "(no origin)";

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    let by = arguments.by;
    if arguments.period.is_some() && !by.has_periods() {
        return Err(Problem::usage(
            format!("--period cannot be used with --by {}", by.heading()),
            "omit it, or use --by submitted or --by completed",
        ));
    }
    let access = access::open(store_args)?;
    let graph = arguments.jobs.graph.choose_or_all(&*access)?;
    let json = access.tally(
        graph.as_ref(),
        &TallyQuery {
            filters: &arguments.jobs.filters,
            by,
            period: arguments.period.unwrap_or(PERIOD),
        },
    )?;
    access.close()?;
    let tally: Tally = Problem::parse_json("the counts", &json)?;
    match arguments.format {
        Format::Json => output::whole((json.trim_end().to_owned() + "\n").as_bytes())?,
        Format::Table if tally.groups.is_empty() => output::note("no jobs"),
        Format::Table => {
            let groups = tally.groups.iter();
            let mut columns = Columns::default();
            columns.text(
                by.heading(),
                groups.clone().map(|group| group.name(by)).collect(),
            );
            let jobs = groups.map(|group| grouped(group.jobs));
            columns.numbers("jobs", 0, jobs.collect());
            output::coloured(&columns.layout(output::width()))?;
            output::note(&format!("{} in all", output::jobs(tally.jobs)));
        }
    }
    if tally.is_partial {
        output::note("the count is not complete: it took too long; add filters");
        return Ok(Verdict::Wrong);
    }
    Ok(Verdict::Fine)
}
