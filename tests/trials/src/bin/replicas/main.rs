//! Kills, replaces, and pauses processes whose store has a replica that they share, and loses their
//! directories.
//!
//! Guarantee: everything acknowledged is present after any of this, wherever the store is opened;
//! nothing is present that was not attempted, or that was refused because another process had taken
//! over the replica. Exits with status 1 if this is violated.
//!
//! The moments are random: a seed repeats the choices, but not the moments. After a failure, the
//! output, the replica, and the store's directories are kept.

#![forbid(unsafe_code)]

mod kills;
mod takeovers;
mod trial;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use jobstore_trials::args::Args;
use jobstore_trials::child;

use crate::trial::{Sum, Trial};

const USAGE: &str = "replicas [--kills N | --depose N | --pause N] [--seed S] [--url URL]

--kills N   kills the writer N times, and loses its directory or replaces it with an older copy
--depose N  lets another process take over the replica from the writer N times
--pause N   does the same while the writer is stopped, and then continues it
--url URL   keeps the replicas below this URL (features replica-s3, replica-etcd), and leaves them
            there; otherwise, they are in a directory";
/// The number of kills, or of takeovers, of one store.
const ROUNDS_OF_A_STORE: u64 = 8;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(child::WORK) {
        // The children write to files, so they do not notice by themselves that the parent exits.
        let kill = Some(rustix::process::Signal::KILL);
        rustix::process::set_parent_process_death_signal(kill).ok();
    }
    if let Some(code) = child::be_child() {
        return code;
    }
    let mut args = Args::new(USAGE);
    let url = args.text("--url");
    let seed = args.number("--seed").unwrap_or(1);
    let (depose, pause) = (args.number("--depose"), args.number("--pause"));
    let kills = args.number("--kills");
    args.end();
    let (mode, rounds) = match (depose, pause) {
        (Some(rounds), _) => ("--depose", rounds),
        (_, Some(rounds)) => ("--pause", rounds),
        _ => ("--kills", kills.unwrap_or(200)),
    };
    let began = Instant::now();
    let mut sum = Sum::default();
    let mut done = 0;
    while done < rounds {
        let count = (rounds - done).min(ROUNDS_OF_A_STORE);
        let seed = seed + done / ROUNDS_OF_A_STORE;
        let mut trial = match Trial::new(seed, url.as_deref()) {
            Ok(trial) => trial,
            Err(e) => {
                println!("FAILED: cannot create a directory for a store: {e}");
                return ExitCode::FAILURE;
            }
        };
        let survived = match mode {
            "--kills" => kills::run(&mut trial, count, &mut sum),
            _ => takeovers::run(&mut trial, count, mode == "--pause", &mut sum),
        };
        sum.acknowledged += trial.acknowledged();
        if let Err(what) = survived {
            println!("FAILED: {what}");
            println!("{sum}");
            println!("repeat: replicas {mode} {count} --seed {seed}");
            println!("kept in {}", trial.keep().display());
            return ExitCode::FAILURE;
        }
        done += count;
    }
    let took = Duration::from_secs(began.elapsed().as_secs());
    println!("{sum}; seed {seed}; {took:?}");
    ExitCode::SUCCESS
}
