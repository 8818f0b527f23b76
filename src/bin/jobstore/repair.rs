//! `jobstore repair`: quarantines damaged data, so that the rest can be served.
//!
//! The findings are shown before anything is changed. Nothing is changed without confirmation.

use clap::Args;
use jobstore::JobStore;

use crate::access;
use crate::confirm::is_agreed;
use crate::output;
use crate::problem::{Problem, Verdict};
use crate::progress::Bar;
use crate::store_args::StoreArgs;
use crate::verify;

const AFTER_HELP: &str = "\
Corrupt jobs are no longer listed; the damaged files are kept in the directory
as *.damaged. Copy the directory before a repair. Exit code 0 means that the
store has no damage afterwards.

Examples:
  jobstore verify
  jobstore repair
  jobstore repair --yes";

/// Quarantine damaged data, so that the rest of the store can be used
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Repair without asking for confirmation
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    let dir = &store_args.data()?;
    // Files that the repair rewrites belong to the user who runs it.
    access::check_owner(dir)?;
    let report = verify::look(dir).map_err(|error| access::at_rest(dir, error))?;
    if report.is_sound() && report.closed == Some(true) {
        output::coloured(&format!("{report}nothing to repair\n"))?;
        return Ok(Verdict::Fine);
    }
    output::coloured(&report.to_string())?;
    let question = match report.is_sound() {
        // The end of the log may be missing, which only a comparison with the index can detect.
        true => {
            "The store was not closed cleanly, and the end of its log may be missing. Compare it \
             with the index, and repair it?"
        }
        false => "Quarantine the damage?",
    };
    if !arguments.yes && !is_agreed(question, "use --yes to repair without confirmation")? {
        let verdict = match report.is_sound() {
            true => Verdict::Fine,
            false => Verdict::Wrong,
        };
        output::note("nothing was changed");
        return Ok(verdict);
    }
    let repaired = {
        let _bar = Bar::busy("repairing");
        JobStore::repair(dir).map_err(|error| access::at_rest(dir, error))?
    };
    let mut text = String::new();
    for path in &repaired.quarantined {
        text.push_str(&format!("quarantined: {}\n", path.display()));
    }
    text.push_str(&match repaired.changed() {
        true => format!(
            "repaired: {} quarantined, {} events lost\n",
            output::jobs(repaired.jobs),
            output::grouped(repaired.events)
        ),
        false => "nothing to repair\n".to_owned(),
    });
    output::coloured(&text)?;
    Ok(Verdict::Fine)
}
