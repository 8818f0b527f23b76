//! `jobstore verify`: reads and checks every byte of a store.
//!
//! Contains the report. Verification changes nothing. If damage is found, the exit code is 1, and
//! the report gives the file and the offset.

use std::path::Path;

use clap::{Args, ValueEnum};
use jobstore::{JobStore, VerifyReport};

use crate::access;
use crate::output;
use crate::problem::{Problem, Verdict};
use crate::progress::Bar;
use crate::store_args::StoreArgs;

const AFTER_HELP: &str = "\
If an engine has the store open, the engine verifies it, at low priority.

Examples:
  jobstore verify
  jobstore verify --format json | jq .damage";

/// The output format.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Human-readable text
    Text,
    /// One JSON object
    Json,
}

/// Verify every byte of the store
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    let dir = &store_args.data()?;
    let report = access::verify(dir, || look(dir))?;
    let text = match arguments.format {
        Format::Text => report.to_string(),
        Format::Json => report.to_json() + "\n",
    };
    output::coloured(&text)?;
    if report.is_sound() {
        return Ok(Verdict::Fine);
    }
    output::note("`jobstore repair` quarantines the damage, so that the rest can be used");
    Ok(Verdict::Wrong)
}

/// Verifies a store that no engine has open.
pub(crate) fn look(dir: &Path) -> jobstore::Result<VerifyReport> {
    let bar = Bar::bytes("verifying");
    JobStore::verify_with_progress(dir, |seen| bar.at(seen.bytes, Some(seen.of)))
}
