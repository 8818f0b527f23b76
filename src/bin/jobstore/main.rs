//! `jobstore`: a tool for the people who run an engine.
//!
//! Owns: from words on a command line to an exit code. Must not know: what a verb does.
//! Promise: 0 is fine, 1 is something wrong that was found, 2 is a use that makes no
//! sense; what is wrong stands on standard error with what helps; a reader of the output
//! that goes away ends the program quietly.

#![warn(rust_2018_idioms)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::todo)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
#![forbid(unsafe_code)]

mod access;
mod arguments;
mod backup;
mod bounded;
mod cancel;
mod complete;
mod completions;
mod export;
mod filters;
mod find;
mod import;
mod import_check;
mod list;
mod man;
mod output;
mod problem;
mod progress;
mod purge;
mod repair;
mod row;
mod serve;
mod short_id;
mod show;
mod stats;
mod store_args;
mod table;
mod tokens;
mod verify;
mod when;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    problem::exit(arguments.run())
}
