//! `jobstore list`: lists the jobs of a graph, or of all graphs, page by page.
//!
//! Contains the output formats, and the footer of a table. The `json` format is exactly the
//! document of the GES API. A table reports the range of the listed jobs, the total number of jobs,
//! and how to continue.

use std::io::Write as _;

use clap::{Args, ValueEnum};

use crate::access::{self, Access, EachLine, ListQuery, PageInfo};
use crate::filters::{Selection, some_text};
use crate::list_watch;
use crate::output::{self, SpooledOutput};
use crate::problem::{Problem, Verdict};
use crate::row::Row;
use crate::store_args::{GraphName, StoreArgs};
use crate::table::{self, Table};
use crate::when;

/// The default number of rows of a table.
const ROWS: u64 = 50;
/// The maximum number of jobs on a page, and the default for a document: the limit of the GES API.
pub(crate) const JOBS: u64 = 100_000;
/// The maximum number of jobs on a page of all graphs.
const JOBS_OF_ALL: u64 = 1000;

const AFTER_HELP: &str = "\
If the store has several graphs, the jobs of all of them are listed, merged by
submission time, unless --graph chooses one. A page of all graphs has at most
1000 jobs.

Filters by state are fast; all other filters scan the jobs.

Examples:
  jobstore list --newest-first
  jobstore list --state running,pending --watch
  jobstore list --outcome failed --completed-from 12h --newest-first --count
  jobstore list --offset 100000 --limit 100000 --format json
  jobstore list --submitted-from 2026-11-24T22:00 --format jsonl | jq .request.command";

/// The output format.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Human-readable table, as wide as the terminal
    Table,
    /// Document of the GES job-list API: {"jobs":[...],"result":"success"}
    Json,
    /// Whole jobs, one JSON object per line, with outcomes and times
    Jsonl,
}

/// List jobs
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Number of jobs to skip
    #[arg(long, value_name = "JOBS", default_value_t = 0)]
    offset: u64,
    /// Maximum number of jobs to show, 1 to 100000 (at most 1000 across all graphs) [default: 50
    /// in a table, otherwise the maximum]
    #[arg(long, value_name = "JOBS", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    limit: Option<u64>,
    /// Show the newest jobs first
    #[arg(long)]
    newest_first: bool,
    /// Continue where the previous page ended
    #[arg(long, value_name = "TEXT", conflicts_with = "offset", value_parser = some_text())]
    cursor: Option<String>,
    /// Count all matching jobs, even if that requires a scan
    #[arg(long)]
    count: bool,
    /// Show the table again every second, until the command is interrupted
    #[arg(long)]
    watch: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    jobs: Selection,
}

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    let access = access::open(store_args)?;
    let listed = Listed {
        access: &*access,
        graph: chosen(arguments, &*access)?,
        list_query: ListQuery {
            filters: &arguments.jobs.filters,
            offset: arguments.offset,
            limit: 0,
            newest_first: arguments.newest_first,
            cursor: arguments.cursor.as_deref(),
            count: arguments.count,
        },
    };
    let listed = listed.with_limit(arguments);
    if arguments.watch {
        return list_watch::run(&*access, || listed.table());
    }
    match arguments.format {
        Format::Json => {
            let mut out = SpooledOutput::new();
            listed.document(&mut out)?;
            access.close()?;
            // On a terminal, a line feed follows the document. A file gets exactly the document.
            let end = if output::width().is_some() { "\n" } else { "" };
            let written = out.write_all(end.as_bytes());
            written.map_err(|e| Problem::output(&e))?;
            out.hand_over()?;
        }
        Format::Jsonl => lines(&*access, |each| listed.page(each).map(drop))?,
        Format::Table => {
            let (table, footer) = listed.table()?;
            access.close()?;
            if !table.is_empty() {
                output::coloured(&table)?;
            }
            // The footer goes to standard error, so that a pipe gets only the rows.
            output::note(footer.trim_end());
        }
    }
    Ok(Verdict::Fine)
}

/// Returns the graph to list. `None` means all graphs.
fn chosen(arguments: &Arguments, access: &dyn Access) -> Result<Option<GraphName>, Problem> {
    if arguments.format == Format::Json {
        return arguments.jobs.graph.choose(access).map(Some);
    }
    let graph = arguments.jobs.graph.choose_or_all(access)?;
    if graph.is_none() && (arguments.offset > 0 || arguments.count) {
        return Err(Problem::usage(
            "a list of all graphs accepts neither --offset nor --count",
            "choose a graph with --graph, or continue with --cursor",
        ));
    }
    Ok(graph)
}

/// What is listed.
struct Listed<'a> {
    access: &'a dyn Access,
    /// `None` for all graphs.
    graph: Option<GraphName>,
    list_query: ListQuery<'a>,
}

impl Listed<'_> {
    fn with_limit(mut self, arguments: &Arguments) -> Self {
        let default = match (arguments.format, &self.graph) {
            (Format::Table, _) => ROWS,
            (Format::Json | Format::Jsonl, Some(_)) => JOBS,
            (Format::Json | Format::Jsonl, None) => JOBS_OF_ALL,
        };
        self.list_query.limit = arguments.limit.unwrap_or(default);
        self
    }

    fn page(&self, each: EachLine<'_>) -> Result<PageInfo, Problem> {
        match &self.graph {
            Some(graph) => self.access.page(graph, &self.list_query, each),
            None => self.access.page_of_all(&self.list_query, each),
        }
    }

    fn document(&self, out: &mut SpooledOutput) -> Result<(), Problem> {
        let graph = self.graph.as_ref();
        graph.map_or(Ok(()), |graph| {
            self.access.document(graph, &self.list_query, out)
        })
    }

    /// Returns the table, which is empty if there are no jobs, and the text below it.
    fn table(&self) -> Result<(String, String), Problem> {
        let (mut table, now_ms) = (Table::default(), when::now_ms());
        let shown = self.page(&mut |line| {
            table.add(&Row::of(line)?, now_ms);
            Ok(())
        })?;
        let text = match table.is_empty() {
            true => String::new(),
            false => table.text(output::width()),
        };
        Ok((text, footer(&self.list_query, &shown)))
    }
}

/// Writes lines to standard output. Closes the store first, so that a slow reader does not keep it
/// open.
pub(crate) fn lines(
    access: &dyn Access,
    jobs: impl FnOnce(EachLine<'_>) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let mut out = SpooledOutput::new();
    jobs(&mut |line| writeln!(out, "{line}").map_err(|e| Problem::output(&e)))?;
    access.close()?;
    out.hand_over()
}

/// Returns the text below a table: the range of the listed jobs, the total number of jobs, and how
/// to continue.
fn footer(list_query: &ListQuery<'_>, shown: &PageInfo) -> String {
    let of = match shown.total {
        Some(total) => format!(" of {}", output::grouped(total)),
        None => String::new(),
    };
    let mut text = match (shown.jobs, shown.total) {
        (0, Some(0)) => table::aside("no jobs"),
        (0, Some(total)) => table::aside(&format!(
            "no jobs at this offset; the list has {}",
            output::jobs(total)
        )),
        (0, None) => table::aside("no jobs"),
        (jobs, _) if list_query.cursor.is_some() => {
            table::aside(&format!("{} more{of}", output::grouped(jobs)))
        }
        (jobs, _) => {
            let (first, last) = (list_query.offset + 1, list_query.offset + jobs);
            let (first, last) = (output::grouped(first), output::grouped(last));
            table::aside(&format!("{first}-{last}{of}"))
        }
    };
    if shown.quarantined > 0 {
        let jobs = output::jobs(shown.quarantined);
        text.push_str(&table::warning(&format!(
            "{jobs} not shown because a repair quarantined them"
        )));
    }
    if let Some(next) = &shown.next {
        // For a list by state and order, an offset is as fast as a cursor and easier to read.
        let on = match (list_query.cursor, shown.total) {
            (None, Some(_)) if !list_query.count => {
                format!("--offset {}", list_query.offset + shown.jobs)
            }
            _ => format!("--cursor {next}"),
        };
        text.push_str(&table::aside(&format!("continue with {on}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::Filters;

    fn below(offset: u64, cursor: Option<&str>, shown: &PageInfo) -> String {
        let list_query = ListQuery {
            filters: &Filters::default(),
            offset,
            limit: 50,
            newest_first: false,
            cursor,
            count: false,
        };
        anstream::adapter::strip_str(&footer(&list_query, shown)).to_string()
    }

    #[test]
    fn a_table_says_which_jobs_of_how_many_and_how_to_go_on() {
        let mut shown = PageInfo {
            jobs: 50,
            total: Some(1_234_567),
            next: Some("02ab".to_owned()),
            quarantined: 0,
        };
        assert_eq!(
            below(0, None, &shown),
            "1-50 of 1,234,567\ncontinue with --offset 50\n"
        );
        let on = "1,001-1,050 of 1,234,567\ncontinue with --offset 1050\n";
        assert_eq!(below(1000, None, &shown), on);
        let by_cursor = "50 more of 1,234,567\ncontinue with --cursor 02ab\n";
        assert_eq!(below(0, Some("02aa"), &shown), by_cursor);
        shown.total = None;
        assert_eq!(
            below(0, None, &shown),
            "1-50\ncontinue with --cursor 02ab\n"
        );
        (shown.next, shown.quarantined) = (None, 3);
        let aside = "1-50\n3 jobs not shown because a repair quarantined them\n";
        assert_eq!(below(0, None, &shown), aside);
        let mut none = PageInfo::default();
        assert_eq!(below(0, None, &none), "no jobs\n");
        none.total = Some(7);
        assert_eq!(
            below(10, None, &none),
            "no jobs at this offset; the list has 7 jobs\n"
        );
    }
}
