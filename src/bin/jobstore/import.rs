//! `jobstore import`: imports jobs from lines of JSON.
//!
//! Reads the lines and prints the report. Imported, existing, and bad lines are counted. A bad line
//! is identified by its number, never by its text.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;

use crate::access::{self, Create, Import};
use crate::import_check::{self, CheckedLines};
use crate::output;
use crate::problem::{Problem, Verdict};
use crate::progress::Bar;
use crate::store_args::{GraphName, StoreArgs};

/// The maximum number of bad lines to list.
const BAD_LINES_NAMED: usize = 20;

const AFTER_HELP: &str = "\
Each line is a job written by `jobstore export`, a request
{\"command\":..,\"url\":..,\"body\":..}, or a request with what is known of its job:
{\"request\":{..}, \"jobId\"?, \"status\"?, \"outcome\"?: {\"kind\":..}, \"submittedAt\"?,
\"startedAt\"?, \"completedAt\"?}, times in milliseconds since 1970.

Jobs that already exist are left as they are, so lines that have a jobId, such
as those of an export, can be imported repeatedly. A line without a jobId
creates a new job each time: if an import stops at a line, continue from that
line. The graph and the store are created if they do not exist, unless there are
lines and none contains a valid job.

Examples:
  jobstore import --graph 10001/movie movie.jsonl
  tail -n +1234 movie.jsonl | jobstore import --graph 10001/movie -
  zstd -dc movie.jsonl.zst | jobstore import --data copy --graph 10001/movie -
  jobstore import --graph 10001/movie --skip-bad old-engine.jsonl";

/// Import jobs from lines of JSON
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// File to read; - is standard input
    #[arg(value_name = "FILE|-")]
    from: PathBuf,
    /// Skip and count invalid lines instead of stopping at the first one
    #[arg(long)]
    skip_bad: bool,
    /// Graph to import into; it is created if it does not exist
    #[arg(long, value_name = "PROJECT/NAME", help_heading = "Store")]
    graph: Option<GraphName>,
}

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    let graph = arguments
        .graph
        .as_ref()
        .ok_or_else(|| Problem::usage("no graph was given", "use --graph PROJECT/NAME"))?;
    let from = &arguments.from;
    let (lines, bytes): (Box<dyn Read + Send>, Option<u64>) = match from == Path::new("-") {
        true => (Box::new(io::stdin()), None),
        false => {
            let failed = |e: &io::Error| Problem::file("read", from, e);
            let file = File::open(from).map_err(|e| failed(&e))?;
            let there = file.metadata().map_err(|e| failed(&e))?;
            if there.is_dir() {
                return Err(failed(&io::ErrorKind::IsADirectory.into()));
            }
            (Box::new(file), there.is_file().then_some(there.len()))
        }
    };
    let how = Import {
        skip_bad: arguments.skip_bad,
    };
    let CheckedLines { lines, only_bad } = import_check::check(graph, lines, how)?;
    let is_new = !store_args.has_store()?;
    let access = match only_bad {
        Some(only_bad) if is_new => return Err(only_bad),
        Some(only_bad) => {
            let access = access::open_to_write(store_args, Create::Never)?;
            if !access.graphs()?.contains(graph) {
                return Err(only_bad);
            }
            access
        }
        None => access::open_to_write(store_args, Create::IfMissing)?,
    };
    if is_new {
        let done = match access.opens() {
            None | Some(1) => "created",
            // The replica contained a store.
            _ => "restored",
        };
        output::note(&format!("{done} store {}", store_args.data()?.display()));
    }
    let bar = Bar::bytes("importing");
    let read = Arc::new(AtomicU64::new(0));
    let lines = Counted {
        lines,
        read: read.clone(),
    };
    let done = access.import(graph, Box::new(lines), how, &mut || {
        bar.at(read.load(Ordering::Relaxed), bytes);
    })?;
    drop(bar);
    access.close()?;
    for (line, problem) in done.bad_lines.iter().take(BAD_LINES_NAMED) {
        output::note(&format!("skipped line {line}: {problem}"));
    }
    let unnamed = done.bad.saturating_sub(BAD_LINES_NAMED as u64);
    if unnamed > 0 {
        output::note(&format!(
            "and {} more invalid lines",
            output::grouped(unnamed)
        ));
    }
    if done.secrets_left > 0 {
        output::note(&format!(
            "{} already existed and were left without the secrets in their lines; to keep the \
             secrets, import the lines into a graph that does not contain these jobs",
            output::jobs(done.secrets_left)
        ));
    }
    output::note(&format!(
        "imported {}; {} already present, {} skipped",
        output::jobs(done.imported),
        output::grouped(done.there),
        output::grouped(done.bad)
    ));
    Ok(match done.bad {
        0 => Verdict::Fine,
        _ => Verdict::Wrong,
    })
}

/// The lines, and the number of bytes read.
struct Counted {
    lines: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.lines.read(buffer)?;
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}
