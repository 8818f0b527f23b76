//! `jobstore`: a command-line tool for operators.
//!
//! Contains everything from the command line to the exit code: 0 for success, 1 for a problem that
//! was found, 2 for incorrect usage; `wait` has additional exit codes. Problems are reported on
//! standard error with a remedy. If the reader of the output exits, the process exits silently.

#![warn(rust_2018_idioms)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::todo)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
#![forbid(unsafe_code)]

mod access;
mod arguments;
mod backup;
mod bounded;
mod cancel;
mod columns;
mod complete;
mod completions;
mod confirm;
mod export;
mod filters;
mod find;
mod graphs;
mod history;
mod history_table;
mod import;
mod import_check;
mod list;
mod list_watch;
mod man;
mod notify;
mod output;
mod problem;
mod progress;
mod purge;
mod repair;
mod replica;
mod row;
mod serve;
mod short_id;
mod show;
mod stats;
mod store_args;
mod table;
mod tally;
mod tokens;
mod verify;
mod wait;
mod watch;
mod when;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    problem::exit(arguments.run())
}
