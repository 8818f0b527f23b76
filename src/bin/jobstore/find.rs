//! `jobstore find`: the jobs of a request, for who has lost their ids.
//!
//! Owns: where the request is read from. Must not know: how jobs are found.
//! Promise: every job of the same request, newest first, and no other.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::access;
use crate::list;
use crate::output;
use crate::place::Place;
use crate::problem::{Problem, Verdict};
use crate::row::Row;
use crate::table::{self, Table};
use crate::when;

/// The largest request there can be, and some more.
const REQUEST_BYTES_MAX: u64 = (256 << 20) + (1 << 20);

const AFTER_HELP: &str = "\
Command and url must be equal, and bodies be the same JSON value: white space and the
order of keys do not matter. Exit code 1 means that there is no such job.

Examples:
  jobstore find request.json
  echo '{\"command\":\"import_graph\",\"url\":\"/ges/v1.0/10001/graphs\",\"body\":{}}' |
    jobstore find - --limit 1 --format jsonl";

/// How jobs are shown.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For eyes
    Table,
    /// Whole jobs, one a line
    Jsonl,
}

/// Finds the jobs of a request, newest first
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The request, {"command":..,"url":..,"body":..}; - is standard input
    #[arg(value_name = "FILE|-")]
    request: PathBuf,
    /// Shows at most so many
    #[arg(long, value_name = "JOBS", default_value_t = 50)]
    limit: u64,
    /// How jobs are shown
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(crate) fn run(place: &Place, arguments: &Arguments) -> Result<Verdict, Problem> {
    let request = read(&arguments.request)?;
    let access = access::open(place)?;
    let graph = place.graph(&*access)?;
    let find = |each: access::EachLine<'_>| access.find(&graph, &request, arguments.limit, each);
    let mut found = 0;
    match arguments.format {
        Format::Jsonl => list::lines(|each| {
            found = find(each)?;
            Ok(())
        })?,
        Format::Table => {
            let (mut table, now_ms) = (Table::default(), when::now_ms());
            found = find(&mut |line| {
                table.add(&Row::of(line)?, now_ms);
                Ok(())
            })?;
            if !table.is_empty() {
                let mut text = table.text(output::width());
                if found == arguments.limit {
                    text.push_str(&table::aside("there may be more: --limit shows more"));
                }
                output::coloured(&text)?;
            }
        }
    }
    access.close()?;
    if found == 0 {
        output::note("no job has this request");
        return Ok(Verdict::Wrong);
    }
    Ok(Verdict::Fine)
}

/// All of a file, or of standard input.
fn read(path: &Path) -> Result<String, Problem> {
    let failed = |e: &std::io::Error| Problem::file("read", path, e);
    let mut text = String::new();
    let from: Box<dyn Read> = match path == Path::new("-") {
        true => Box::new(std::io::stdin().lock()),
        false => Box::new(File::open(path).map_err(|e| failed(&e))?),
    };
    let read = from.take(REQUEST_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|e| failed(&e))?;
    Ok(text)
}
