//! A small graph engine that embeds the job store. It records every asynchronous request before
//! executing it, and after a crash it knows which jobs were interrupted. This file contains the
//! order of events. No fault causes a panic: errors are written to standard error, and the exit
//! code is 1.
//!
//! ```text
//! cargo run --release --example graph_engine            # again and again: the list grows
//! cargo run --release --example graph_engine -- --die   # dies at work; the next run says what was hit
//! cargo run --release --example graph_engine | head -c 300
//! cargo run --release --features replica-s3 --example graph_engine -- --replica s3://bucket/demo
//! ```
//!
//! Read next: `client.rs` (the requests), `commands.rs` (their execution), `workers.rs` (the
//! threads).

mod algorithms;
mod arguments;
mod client;
mod commands;
mod export;
mod graph;
mod listing;
mod refusal;
mod request_body;
mod table;
mod vertex_query;
mod workers;

use std::error::Error;
use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::sync::Arc;

use jobstore::{Cancellation, JobQuery, JobStore};

use crate::arguments::Arguments;
use crate::client::Batch;
use crate::commands::Engine;
use crate::workers::Workers;

const PROJECT_ID: &str = "10001";
const GRAPH_NAME: &str = "movie";
const WORKERS: usize = 2;

fn main() -> ExitCode {
    let arguments = match arguments::parse(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => return failed(&error),
    };
    let done = match arguments {
        Arguments::Help => {
            tell(arguments::USAGE);
            Ok(())
        }
        Arguments::Run {
            data_directory,
            replica,
            die,
        } => run(&data_directory, replica.as_deref(), die),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn run(data_directory: &Path, replica: Option<&str>, die: bool) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(data_directory)
        .map_err(|error| format!("cannot create {}: {error}", data_directory.display()))?;
    // The store has its own directory, because nothing else may write to it.
    let mut options = JobStore::options();
    if let Some(url) = replica {
        // Takes the replica over, and restores from it what the directory lacks.
        options = options.replica(jobstore::replica::connect(url)?);
    }
    let store = options.open(data_directory.join("jobs"))?;
    tell(&table::recovery(&store)?);
    let graph = store.get_or_create_graph(PROJECT_ID, GRAPH_NAME)?;
    let engine = Arc::new(Engine::new(csv_directory(), data_directory.to_owned()));

    // The import runs first and alone, because jobs that a previous run left pending need a graph,
    // and are older than the import.
    let import = client::submit_import(&graph)?;
    engine.execute(graph.claim(&import)?)?;

    // For a crash while every worker is busy, enough requests must be endless.
    let batch = Batch::submit(&graph, if die { WORKERS } else { 1 })?;
    tell_cancelled("one request", &batch.cancel_before_start(&graph)?);

    let workers = Workers::start(&graph, &engine, WORKERS)?;
    batch.wait_until_running(&graph)?;
    if die {
        tell("aborting in the middle of the work because of --die; run again without it\n");
        process::abort();
    }
    for cancellation in batch.cancel_running(&graph)? {
        tell_cancelled("the endless PageRank", &cancellation);
    }
    batch.wait_until_complete(&graph)?;
    workers.stop()?;

    let page = graph.list(JobQuery::new())?;
    listing::print(&page)?;
    tell(&table::jobs(&graph, &page)?);
    store.close()?;
    Ok(())
}

/// Returns the directory of the sample data, which is next to the source of this example.
fn csv_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/graph_engine")
}

fn tell_cancelled(what: &str, cancellation: &Cancellation) {
    let how = match cancellation {
        Cancellation::CancelledBeforeStart => "it had not started",
        Cancellation::Requested => "its worker was asked to stop",
        _ => "it was already complete",
    };
    tell(&format!("canceled {what}: {how}\n"));
}

fn failed(error: &impl Display) -> ExitCode {
    tell(&format!("graph_engine: {error}\n"));
    ExitCode::FAILURE
}

/// Writes a line to standard error. If standard error is closed, that is no reason to stop, but
/// `eprintln!` would panic.
fn tell(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
