//! `jobstore find`: finds jobs whose ids are lost.
//!
//! Finds exactly the jobs that have the same request, or that match the filters, newest first. A
//! search that stops early reports how to continue.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::access::{self, Access, FindQuery};
use crate::bounded;
use crate::filters::{Selection, some_text};
use crate::list::{self, JOBS};
use crate::output;
use crate::problem::{Problem, Verdict};
use crate::progress::Bar;
use crate::row::Row;
use crate::store_args::{GraphName, StoreArgs};
use crate::table::{self, Table};
use crate::when;

/// The largest possible request, plus some allowance.
const MAX_REQUEST_BYTES: u64 = (256 << 20) + (1 << 20);

const AFTER_HELP: &str = "\
With a request, jobs match if they have the same command and URL, and their
bodies are the same JSON value: white space and the order of keys do not
matter. This search is fast. With filters, all jobs are scanned. Exit code 1
means that no job was found.

Examples:
  jobstore find request.json
  echo '{\"command\":\"import_graph\",\"url\":\"/ges/v1.0/10001/graphs\"}' |
    jobstore find - --limit 1 --format jsonl
  jobstore find --body-contains ranking_edge.csv --limit 1
  jobstore find --submitted-from 7d --body-pointer /parallel/edge --body-value 8";

/// The output format.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Human-readable table
    Table,
    /// Whole jobs, one JSON object per line
    Jsonl,
}

/// Find jobs by their request or by filters, newest first
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// File that contains the request, {"command":..,"url":..,"body":..}; - is standard input
    #[arg(value_name = "FILE|-")]
    request: Option<PathBuf>,
    /// Maximum number of jobs to show
    #[arg(long, value_name = "JOBS", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Continue where a previous search by filters ended
    #[arg(long, value_name = "TEXT", conflicts_with = "request", value_parser = some_text())]
    cursor: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    jobs: Selection,
}

/// The result of a search.
struct FoundJob {
    jobs: u64,
    /// How to see more results, if there may be any.
    more: Option<String>,
}

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    let request = match (&arguments.request, arguments.jobs.filters.is_empty()) {
        (Some(path), true) => Some(read(path)?),
        (None, false) => None,
        (Some(_), false) => {
            return Err(Problem::usage(
                "a request file and filters cannot be combined",
                "omit either the file or the filters",
            ));
        }
        (None, true) => {
            return Err(Problem::usage(
                "nothing to search for",
                "give a file that contains the request, or filters such as --body-contains",
            ));
        }
    };
    let access = access::open(store_args)?;
    let graph = arguments.jobs.graph.choose(&*access)?;
    let find = |each: access::EachLine<'_>| match &request {
        Some(request) => {
            let jobs = access.find(&graph, request, arguments.limit, each)?;
            let is_full = jobs == arguments.limit;
            let more =
                is_full.then(|| "there may be more; increase --limit to show them".to_owned());
            Ok(FoundJob { jobs, more })
        }
        None => search(&*access, &graph, arguments, each),
    };
    let jobs = match arguments.format {
        Format::Jsonl => {
            let mut found = FoundJob {
                jobs: 0,
                more: None,
            };
            list::lines(&*access, |each| {
                found = find(each)?;
                Ok(())
            })?;
            // In this format, standard output contains only whole jobs.
            if let Some(more) = found.more.filter(|_| request.is_none()) {
                output::note(&more);
            }
            found.jobs
        }
        Format::Table => {
            let (mut table, now_ms) = (Table::default(), when::now_ms());
            let found = find(&mut |line| {
                table.add(&Row::of(line)?, now_ms);
                Ok(())
            })?;
            access.close()?;
            if !table.is_empty() {
                output::coloured(&table.text(output::width()))?;
                if let Some(more) = found.more {
                    output::note(table::aside(&more).trim_end());
                }
            }
            found.jobs
        }
    };
    if jobs == 0 {
        output::note(match (&request, &arguments.cursor) {
            (Some(_), _) => "no job has this request",
            (None, None) => "no job matches the filters",
            (None, Some(_)) => "no more jobs match the filters",
        });
        return Ok(Verdict::Wrong);
    }
    Ok(Verdict::Fine)
}

/// Searches for jobs that match the filters, step by step, until enough are found.
fn search(
    access: &dyn Access,
    graph: &GraphName,
    arguments: &Arguments,
    each: access::EachLine<'_>,
) -> Result<FoundJob, Problem> {
    let bar = Bar::items("searching");
    let (mut jobs, mut looked_at, mut cursor) = (0, 0, arguments.cursor.clone());
    loop {
        let find_query = FindQuery {
            filters: &arguments.jobs.filters,
            limit: arguments.limit.saturating_sub(jobs).min(JOBS),
            cursor: cursor.as_deref(),
        };
        let step = access.search(graph, &find_query, each)?;
        (jobs, looked_at) = (jobs + step.found, looked_at + step.looked_at);
        bar.at(looked_at, Some(looked_at + step.left));
        cursor = step.next;
        if cursor.is_none() || jobs >= arguments.limit {
            let more = cursor.map(|next| format!("continue with --cursor {next}"));
            return Ok(FoundJob { jobs, more });
        }
    }
}

/// Reads a file or standard input.
fn read(path: &Path) -> Result<String, Problem> {
    let failed = |e: &std::io::Error| Problem::file("read", path, e);
    let from: Box<dyn Read> = match path == Path::new("-") {
        true => Box::new(std::io::stdin().lock()),
        false => Box::new(File::open(path).map_err(|e| failed(&e))?),
    };
    bounded::read_to_string(from, MAX_REQUEST_BYTES).map_err(|e| match e.kind() {
        std::io::ErrorKind::FileTooLarge => Problem::usage(
            format!("{} is {e}", path.display()),
            "no store accepts a request of this size",
        ),
        _ => failed(&e),
    })
}
