//! `jobstore completions`: writes a completion script for a shell.
//!
//! The script is generated from the command line definition, so it is always up to date.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::arguments;
use crate::output;
use crate::problem::{Problem, Verdict};

const AFTER_HELP: &str = "\
Examples:
  jobstore completions bash \\
    > ~/.local/share/bash-completion/completions/jobstore
  jobstore completions zsh > ~/.zfunc/_jobstore
  jobstore completions fish > ~/.config/fish/completions/jobstore.fish";

/// Write a completion script for a shell
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Shell to write the script for
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict, Problem> {
    let mut command = arguments::Arguments::command();
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "jobstore", &mut text);
    output::whole(&text)?;
    Ok(Verdict::Fine)
}
