//! The command line: the commands, and the options that all of them share.
//!
//! Contains [`Arguments`], the list of commands. Every command has its own file. Invalid arguments
//! are refused before anything is opened.

use clap::{Parser, Subcommand};

use crate::problem::{Problem, Verdict};
use crate::store_args::StoreArgs;
use crate::{
    backup, cancel, complete, completions, export, find, graphs, history, import, list, man, purge,
    repair, replica, serve, show, stats, tally, verify, wait, watch,
};

const ABOUT: &str = "Inspect and maintain a job store";

const LONG_ABOUT: &str = "\
Inspect and maintain a job store.

A store is a directory (--data, or JOBSTORE_DATA) that contains graphs
(--graph). If no process has the store open, jobstore opens it and leaves
running jobs as they are. Commands that only read do not keep an engine from
opening the store; cancel, complete, import, purge, repair, and serve lock it
until they finish. If an engine has the store open, jobstore asks the engine
through the control socket in the directory, provided that the engine opened
one. The engine keeps running.";

const AFTER_HELP: &str = "\
Exit codes: 0, success; 1, an error occurred, damage was found, or nothing was
found; 2, incorrect usage. `jobstore wait` has further ones.

Examples:
  jobstore list --data /var/lib/engine/jobs --newest-first
  export JOBSTORE_DATA=/var/lib/engine/jobs
  jobstore list --state running --format jsonl
  jobstore show 4611686018427387904018f2c1a-7b1e-7c3d-9a4f-0123456789ab
  jobstore verify";

/// The parsed command line.
#[derive(Parser)]
#[command(
    name = "jobstore",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_help = AFTER_HELP,
    max_term_width = 90,
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    store_args: StoreArgs,
    #[command(subcommand)]
    verb: Verb,
}

/// The commands.
#[derive(Subcommand)]
enum Verb {
    Graphs(graphs::Arguments),
    List(list::Arguments),
    Show(show::Arguments),
    Find(find::Arguments),
    Watch(watch::Arguments),
    Wait(wait::Arguments),
    Stats(stats::Arguments),
    History(history::Arguments),
    Tally(tally::Arguments),
    Cancel(cancel::Arguments),
    Complete(complete::Arguments),
    Verify(verify::Arguments),
    Repair(repair::Arguments),
    Export(export::Arguments),
    Import(import::Arguments),
    Backup(backup::Arguments),
    Purge(purge::Arguments),
    Serve(serve::Arguments),
    Replica(replica::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
    /// Explain what to use instead
    #[command(hide = true, aliases = ["remove", "rm"], after_help = "See: jobstore cancel, jobstore purge")]
    Delete {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        _words: Vec<String>,
    },
}

impl Arguments {
    pub(crate) fn run(self) -> Result<Verdict, Problem> {
        let store_args = &self.store_args;
        match self.verb {
            Verb::Graphs(arguments) => graphs::run(store_args, &arguments),
            Verb::List(arguments) => list::run(store_args, &arguments),
            Verb::Show(arguments) => show::run(store_args, &arguments),
            Verb::Find(arguments) => find::run(store_args, &arguments),
            Verb::Watch(arguments) => watch::run(store_args, &arguments),
            Verb::Wait(arguments) => wait::run(store_args, &arguments),
            Verb::Stats(arguments) => stats::run(store_args, &arguments),
            Verb::History(arguments) => history::run(store_args, &arguments),
            Verb::Tally(arguments) => tally::run(store_args, &arguments),
            Verb::Cancel(arguments) => cancel::run(store_args, &arguments),
            Verb::Complete(arguments) => complete::run(store_args, &arguments),
            Verb::Verify(arguments) => verify::run(store_args, &arguments),
            Verb::Repair(arguments) => repair::run(store_args, &arguments),
            Verb::Export(arguments) => export::run(store_args, &arguments),
            Verb::Import(arguments) => import::run(store_args, &arguments),
            Verb::Backup(arguments) => backup::run(store_args, &arguments),
            Verb::Purge(arguments) => purge::run(store_args, &arguments),
            Verb::Serve(arguments) => serve::run(store_args, &arguments),
            Verb::Replica(arguments) => replica::run(store_args, &arguments),
            Verb::Completions(arguments) => completions::run(&arguments),
            Verb::Man(arguments) => man::run(&arguments),
            Verb::Delete { .. } => Err(Problem::usage(
                "jobs cannot be deleted individually",
                "to stop a job, use `jobstore cancel ID`; to remove complete jobs by filter, use \
                 `jobstore purge`",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_verb_has_examples() {
        for verb in Arguments::command().get_subcommands() {
            for command in [verb].into_iter().chain(verb.get_subcommands()) {
                let help = command.get_after_help().map(ToString::to_string);
                let help = help.unwrap_or_default();
                let name = command.get_name();
                assert!(help.contains("jobstore "), "{name} has none");
            }
        }
    }
}
