//! Makes the system calls of a store fail, one after the other, in a real process on a real
//! directory.
//!
//! Contains the command line. The other modules contain the operations on the store ([`driver`]),
//! and the ways in which calls fail ([`sweep`], [`room`]). Guarantee: the result of a failed call
//! is known. Nothing is acknowledged that is not present after reopening, and nothing is present
//! that was not attempted. Reads continue. Nothing hangs, panics, or aborts. A failure of the index
//! loses nothing that was acknowledged.

mod driver;
mod room;
mod setting;
mod sweep;
mod trial;

use std::process::ExitCode;
use std::time::Instant;

use jobstore_trials::args::Args;

const USAGE: &str = "failing_calls [--ci] [--full] [--sizes] [--sweep] [--jobs N] [--require]
  without --full, --sizes, or --sweep: all three
  --sweep    each system call fails once (needs strace)
  --full     a full file system (needs unshare with a user namespace)
  --sizes    no file can grow beyond a size
  --ci       a subset that takes at most two minutes
  --require  fail, instead of skipping, if a tool is missing";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some(trial::WORK) => return trial::child(&words[1..]),
        Some(room::INSIDE) => return room::inside(&words[1..]),
        _ => {}
    }
    let mut args = Args::new(USAGE);
    let (ci, require) = (args.flag("--ci"), args.flag("--require"));
    let (sweep, full, sizes) = (
        args.flag("--sweep"),
        args.flag("--full"),
        args.flag("--sizes"),
    );
    let jobs = args.number("--jobs").unwrap_or(2).max(1);
    args.end();
    let all = !(sweep || full || sizes);
    let began = Instant::now();
    let mut sum = trial::Sum::default();
    if sweep || all {
        sweep::run(ci, jobs, &mut sum);
    }
    if full || all {
        room::full(ci, &mut sum);
    }
    if sizes || all {
        room::sizes(ci, &mut sum);
    }
    println!(
        "{} runs in {:.0?}: {} with a failed call, {} calls failed, {} errors seen by callers, {} \
         acknowledged; {} facts checked after reopening; {} wrong",
        sum.runs,
        began.elapsed(),
        sum.hit,
        sum.calls_failed,
        sum.errors,
        sum.acknowledged,
        sum.facts,
        sum.wrong.len()
    );
    for skipped in &sum.skipped {
        println!("SKIPPED: {skipped}");
    }
    let failed = !sum.wrong.is_empty() || (require && !sum.skipped.is_empty());
    if failed || (sum.runs == 0 && sum.skipped.is_empty()) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
