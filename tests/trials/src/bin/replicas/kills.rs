//! Kills the writer at random moments. Then its directory may be lost, or replaced with an older
//! copy.

use std::fs;
use std::path::Path;
use std::time::Duration;

use jobstore_trials::child::Working;
use jobstore_trials::directory;

use crate::trial::{Sum, Trial, failed};

pub fn run(trial: &mut Trial, kills: u64, sum: &mut Sum) -> Result<(), String> {
    sum.stores += 1;
    let dir = trial.root.path().join("store");
    for round in 0..kills {
        kill(trial, &dir, round)?;
        sum.kills += 1;
        replace(trial, &dir, sum).map_err(failed)?;
        // Sometimes the check is left out, so that the next process finds what the killed one left.
        if round + 1 == kills || !trial.random.one_in(3) {
            trial.check(&dir, sum)?;
        }
    }
    Ok(())
}

fn kill(trial: &mut Trial, dir: &Path, round: u64) -> Result<(), String> {
    let plan = trial.plan(dir, round);
    let wait_ms = match trial.random.below(4) {
        0 => trial.random.below(100),
        1..=2 => trial.random.below(500),
        _ => trial.random.below(1000),
    };
    let working = Working::start(&plan).map_err(failed)?;
    let lines = working.kill_after(Duration::from_millis(wait_ms))?;
    trial.hear(&lines)
}

/// Deletes the directory, replaces it with a copy from an earlier kill, or leaves it as it is.
fn replace(trial: &mut Trial, dir: &Path, sum: &mut Sum) -> std::io::Result<()> {
    let older = trial.root.path().join("older");
    let newer = trial.root.path().join("newer");
    let copied = dir.exists() && trial.random.one_in(2);
    if copied {
        directory::copy(dir, &newer)?;
    }
    match trial.random.below(4) {
        0 | 1 if dir.exists() => {
            fs::remove_dir_all(dir)?;
            sum.wiped += 1;
        }
        2 if older.exists() => {
            fs::remove_dir_all(dir).ok();
            directory::copy(&older, dir)?;
            sum.older += 1;
        }
        _ => {}
    }
    if copied {
        fs::remove_dir_all(&older).ok();
        fs::rename(newer, older)?;
    }
    Ok(())
}
