//! `jobstore graphs`: lists the graphs of a store, with their counts, oldest jobs, and failures.

use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::access::{self, Access, HistoryQuery};
use crate::columns::Columns;
use crate::history_table;
use crate::output::{self, grouped, harmless};
use crate::problem::{Problem, Verdict};
use crate::store_args::{GraphName, StoreArgs};
use crate::when;

const DAY: Duration = Duration::from_secs(24 * 3600);

const AFTER_HELP: &str = "\
The table shows how many jobs are in each state, when the oldest pending job
was submitted, and when the longest-running job was started. It also shows how
many jobs failed in the last 24 hours: those with the outcome failed,
partially_failed, or interrupted, including jobs that have been purged since.

Examples:
  jobstore graphs
  jobstore graphs --format jsonl | jq 'select(.pending > 1000) | .name'";

/// The output format.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Human-readable table
    Table,
    /// The statistics of each graph as one JSON object per line
    Jsonl,
}

/// List the graphs
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// The statistics of a graph that are shown.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Graph {
    project_id: String,
    name: String,
    pending: u64,
    running: u64,
    complete: u64,
    oldest_pending_at: Option<u64>,
    longest_running_at: Option<u64>,
    /// The failures of the last 24 hours. They are not part of the statistics.
    #[serde(skip)]
    failed: u64,
}

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    let access = access::open(store_args)?;
    let lines = access.graph_stats()?;
    match arguments.format {
        Format::Jsonl => {
            access.close()?;
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            output::whole(text.as_bytes())?;
        }
        Format::Table => {
            let mut graphs = Vec::new();
            for line in &lines {
                let mut graph: Graph = Problem::parse_json("the statistics", line)?;
                graph.failed = failed(&*access, &graph)?;
                graphs.push(graph);
            }
            access.close()?;
            match graphs.is_empty() {
                true => output::note("no graphs"),
                false => output::coloured(&table(&graphs, when::now_ms()).layout(output::width()))?,
            }
        }
    }
    Ok(Verdict::Fine)
}

/// Returns how many jobs of a graph failed in the last 24 hours.
fn failed(access: &dyn Access, graph: &Graph) -> Result<u64, Problem> {
    let name = GraphName {
        project: graph.project_id.clone(),
        name: graph.name.clone(),
    };
    let to = SystemTime::now();
    let query = HistoryQuery {
        from: to - DAY,
        to,
        step: DAY / 24,
    };
    let points = history_table::points(&access.history(&name, &query)?)?;
    Ok(points.iter().map(|point| point.counts.failed()).sum())
}

fn table(graphs: &[Graph], now_ms: u64) -> Columns {
    let each = |cell: &dyn Fn(&Graph) -> String| graphs.iter().map(cell).collect();
    let ago = |ms: Option<u64>| ms.map_or_else(String::new, |ms| when::ago(ms, now_ms));
    let mut columns = Columns::default();
    let name = |graph: &Graph| harmless(&format!("{}/{}", graph.project_id, graph.name));
    columns.text("graph", each(&name));
    columns.numbers("pending", 0, each(&|graph| grouped(graph.pending)));
    columns.numbers("running", 0, each(&|graph| grouped(graph.running)));
    columns.numbers("complete", 0, each(&|graph| grouped(graph.complete)));
    columns.numbers("failed (24 h)", 0, each(&|graph| grouped(graph.failed)));
    columns.text(
        "oldest pending",
        each(&|graph| ago(graph.oldest_pending_at)),
    );
    columns.text(
        "longest running",
        each(&|graph| ago(graph.longest_running_at)),
    );
    columns
}
