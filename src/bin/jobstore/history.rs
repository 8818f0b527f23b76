//! `jobstore history`: shows what happened in a graph, by time.
//!
//! Contains the options, and the period that they select. The layout of the counts is in
//! `history_table.rs`.

use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use jobstore::HistoryPoint;

use crate::access::{self, HistoryQuery};
use crate::history_table;
use crate::output;
use crate::problem::{Problem, Verdict};
use crate::store_args::{GraphChoice, StoreArgs};
use crate::when;

/// The default length of a history.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const AFTER_HELP: &str = "\
The table shows how many jobs were submitted, started, and completed in each
period, and the percentiles of how long they waited and ran. Failed jobs are
those with the outcome failed, partially_failed, or interrupted. A percentile
is the upper bound of a histogram bucket. Periods in which nothing happened are
omitted. Periods begin at multiples of their length since 1970.

Jobs that have been purged since are included. The most recent 168 active hours
have a resolution of one minute (so at least the last week), the 90 active days
before them have a resolution of one hour, and older history has a resolution
of one day. If --step is shorter than that, the table shows the length of each
period. The format json has the counts of each outcome and the histograms, in
total and by command.

Examples:
  jobstore history
  jobstore history --since 2h --step 1min
  jobstore history --since 90d --step 1d --by command
  jobstore history --since 7d --format json |
    jq -r '.points[] | [.start, .counts.submitted] | @csv'";

/// The output format.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Human-readable table
    Table,
    /// One JSON object, as returned over HTTP
    Json,
}

/// How the counts of a period are divided.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Command,
}

/// Show counts, wait times, and run times over time
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Beginning of the history [default: 24 hours before its end]
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    since: Option<SystemTime>,
    /// End of the history [default: now]
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    until: Option<SystemTime>,
    /// Length of the periods: minutes that divide an hour, hours that divide a day, or days
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = step)]
    step: Duration,
    /// Group counts by this property
    #[arg(long, value_name = "PROPERTY", value_enum)]
    by: Option<By>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    graph: GraphChoice,
}

fn step(text: &str) -> Result<Duration, String> {
    let step = when::parse_duration(text)?;
    match HistoryPoint::is_step(step) {
        true => Ok(step),
        false => Err(format!(
            "the step {text:?} is not a number of minutes that divides an hour, a number of hours that \
             divides a day, or a number of days: use a step such as 5min, 1h, 6h, or 1d"
        )),
    }
}

impl Arguments {
    fn query(&self) -> Result<HistoryQuery, Problem> {
        let end = self.until.unwrap_or_else(SystemTime::now);
        let since = self.since.or_else(|| end.checked_sub(DAY));
        let from = since.map_or(SystemTime::UNIX_EPOCH, |t| t.max(SystemTime::UNIX_EPOCH));
        if from >= end {
            return Err(Problem::usage(
                format!(
                    "the history is empty: it would begin at {}, which is not before its end, {}",
                    when::here(when::to_ms(from)),
                    when::here(when::to_ms(end)),
                ),
                "use a --since that is before --until",
            ));
        }
        Ok(HistoryQuery {
            from,
            to: end,
            step: self.step,
        })
    }
}

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    let query = arguments.query()?;
    let access = access::open(store_args)?;
    let graph = arguments.graph.choose(&*access)?;
    let json = access.history(&graph, &query)?;
    access.close()?;
    if arguments.format == Format::Json {
        output::whole((json.trim_end().to_owned() + "\n").as_bytes())?;
        return Ok(Verdict::Fine);
    }
    let points = history_table::points(&json)?;
    match points.is_empty() {
        true => output::note("nothing happened in this period"),
        false => {
            let table = history_table::table(&points, query.step, arguments.by.is_some());
            output::coloured(&table.layout(output::width()))?;
        }
    }
    Ok(Verdict::Fine)
}
