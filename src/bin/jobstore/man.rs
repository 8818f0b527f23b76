//! `jobstore man`: prints the manual.
//!
//! The page is generated from the command line definition, so it is always up to date.

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use crate::arguments;
use crate::output;
use crate::problem::{Problem, Verdict};

const AFTER_HELP: &str = "\
Examples:
  jobstore man | man -l -
  jobstore man list > jobstore-list.1";

/// Write the manual page of jobstore, or of one command
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Command whose manual page to write
    #[arg(value_name = "COMMAND")]
    verb: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict, Problem> {
    let mut command = arguments::Arguments::command();
    command.build();
    let page = match &arguments.verb {
        None => Man::new(command),
        Some(verb) => {
            let found = command.find_subcommand(verb).cloned();
            let found = found.ok_or_else(|| {
                Problem::usage(
                    format!("unknown command {verb:?}"),
                    "`jobstore --help` lists all commands",
                )
            })?;
            Man::new(found).title(format!("jobstore-{verb}"))
        }
    };
    let mut text = Vec::new();
    let rendered = page.render(&mut text);
    rendered.map_err(|e| Problem::output(&e))?;
    output::whole(&text)?;
    Ok(Verdict::Fine)
}
