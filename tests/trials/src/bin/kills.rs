//! Kills a process that works on a store, at random moments, again and again.
//!
//! Chooses when the process is killed, and what happens to the store between two kills. Guarantee:
//! everything acknowledged is present, nothing is present that was not attempted, and the store
//! remains usable, whatever the state of the index. Exits with status 1 if this is violated.
//!
//! The moments are random: a seed repeats the choices, but not the moments. After a failure, the
//! output and the store's directory, as it was after the kill, are kept.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jobstore_trials::args::Args;
use jobstore_trials::child::{self, Working};
use jobstore_trials::directory::{self, INDEX};
use jobstore_trials::line::{Act, Line};
use jobstore_trials::oracle::Oracle;
use jobstore_trials::plan::{Plan, options};
use jobstore_trials::random::Random;
use jobstore_trials::rebuilds;
use tempfile::TempDir;

const USAGE: &str = "kills [--kills N] [--seed S] [--interval]";
/// The number of kills of one store.
const KILLS_OF_A_STORE: u64 = 8;
/// How long an open, including all checks, may take.
const CHECK_MOST: Duration = Duration::from_secs(60);
/// The number of jobs of each graph that are looked up by their ids.
const LOOKUPS: u64 = 20;

fn main() -> ExitCode {
    if let Some(code) = child::be_child() {
        return code;
    }
    let mut args = Args::new(USAGE);
    let kills = args.number("--kills").unwrap_or(200);
    let seed = args.number("--seed").unwrap_or(1);
    let interval = args.flag("--interval");
    args.end();
    rebuilds::count();
    let began = Instant::now();
    let mut sum = Sum::default();
    let mut random = Random(seed);
    while sum.kills < kills {
        let mut trial = match Trial::new(Random(random.any()), interval) {
            Ok(trial) => trial,
            Err(e) => {
                println!("FAILED: cannot create a directory for a store: {e}");
                return ExitCode::FAILURE;
            }
        };
        let survived = trial.run((kills - sum.kills).min(KILLS_OF_A_STORE), &mut sum);
        if let Err(what) = survived {
            println!("FAILED: {what}");
            println!("after {} kills; seed {seed}", sum.kills);
            println!("kept in {}", trial.keep().display());
            return ExitCode::FAILURE;
        }
    }
    println!(
        "kills survived: {} of {} stores, in {:.0?}{}",
        sum.kills,
        sum.stores,
        began.elapsed(),
        if interval { ", interval mode" } else { "" }
    );
    println!(
        "before anything was written: {}; during an open: {}; during operation: {}",
        sum.kills - sum.in_open - sum.at_work,
        sum.in_open,
        sum.at_work
    );
    println!(
        "stores checked: {}; without their index: {}; with an older one: {}; rebuilt because of a fault: {}",
        sum.checks,
        sum.lost,
        sum.older,
        rebuilds::counted()
    );
    println!(
        "calls acknowledged: {}; facts checked: {}; seed {seed}",
        sum.acknowledged, sum.facts
    );
    ExitCode::SUCCESS
}

#[derive(Default)]
struct Sum {
    stores: u64,
    kills: u64,
    in_open: u64,
    at_work: u64,
    checks: u64,
    lost: u64,
    older: u64,
    acknowledged: u64,
    facts: u64,
}

/// A store that is killed.
struct Trial {
    random: Random,
    interval_ms: u64,
    root: TempDir,
    /// An index from an earlier time.
    older: Option<PathBuf>,
    oracle: Oracle,
    said: Vec<Line>,
}

impl Trial {
    fn new(mut random: Random, interval: bool) -> std::io::Result<Trial> {
        Ok(Trial {
            // In memory, more happens between two kills. On a disk, syncs take longer.
            root: match random.one_in(2) {
                true => directory::fast()?,
                false => directory::on_disk()?,
            },
            interval_ms: if interval { 1 + random.below(40) } else { 0 },
            random,
            older: None,
            oracle: Oracle::new(),
            said: Vec::new(),
        })
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("store")
    }

    fn run(&mut self, kills: u64, sum: &mut Sum) -> Result<(), String> {
        sum.stores += 1;
        for round in 0..kills {
            self.kill(round, sum)?;
            // Sometimes the check is left out, so that the next process finds what the killed one
            // left.
            if round + 1 == kills || !self.random.one_in(3) {
                self.check(sum)?;
            }
        }
        sum.acknowledged += self.oracle.acknowledged();
        Ok(())
    }

    fn kill(&mut self, round: u64, sum: &mut Sum) -> Result<(), String> {
        let plan = Plan {
            interval_ms: self.interval_ms,
            recovery: self.recovery(),
            ..Plan::new(self.dir(), round, self.random.any())
        };
        let wait_us = match self.random.below(4) {
            0 => self.random.below(15_000),
            1..=2 => self.random.below(80_000),
            _ => self.random.below(250_000),
        };
        let working = Working::start(&plan).map_err(|e| e.to_string())?;
        let lines = working.kill_after(Duration::from_micros(wait_us))?;
        sum.kills += 1;
        let is_open = |line: &Line| matches!(line, Line::Tried { act, .. } if matches!(act, Act::Open { .. }));
        match lines.iter().filter(|line| !is_open(line)).count() {
            0 if lines.is_empty() => {}
            0 => sum.in_open += 1,
            _ => sum.at_work += 1,
        }
        self.said.extend(lines.iter().cloned());
        lines.iter().try_for_each(|line| self.oracle.hear(line))
    }

    fn recovery(&mut self) -> char {
        match self.random.below(5) {
            0 => 'R',
            1 => 'L',
            _ => 'I',
        }
    }

    /// Opens the store, perhaps with another index, and compares it with the recorded lines.
    fn check(&mut self, sum: &mut Sum) -> Result<(), String> {
        let dir = self.dir();
        let index = dir.join(INDEX);
        let failed = |e: std::io::Error| format!("files of the trial: {e}");
        let before = self.root.path().join("as-killed");
        fs::remove_dir_all(&before).ok();
        if dir.exists() {
            directory::copy(&dir, &before).map_err(failed)?;
        }
        match (self.random.below(6), self.older.take()) {
            (0, _) if index.exists() => {
                directory::lose_index(&dir).map_err(failed)?;
                sum.lost += 1;
            }
            (1 | 2, Some(older)) if index.exists() => {
                directory::lose_index(&dir).map_err(failed)?;
                fs::rename(older, &index).map_err(failed)?;
                sum.older += 1;
            }
            (_, older) => self.older = older,
        }
        let twice = self.random.one_in(4);
        for _ in 0..1 + u64::from(twice) {
            let recovery = self.recovery();
            let oracle = &mut self.oracle;
            let checked = child::within("a check of the store", CHECK_MOST, || {
                catch_unwind(AssertUnwindSafe(|| check(&dir, recovery, oracle)))
            });
            let facts = checked.unwrap_or_else(|_| Err("the check panicked".to_owned()))?;
            sum.checks += 1;
            sum.facts += facts;
        }
        if self.random.one_in(2) {
            let older = self.root.path().join("older-index");
            fs::remove_dir_all(&older).ok();
            let from = match self.random.one_in(2) {
                true => index,
                false => before.join(INDEX),
            };
            if from.exists() {
                directory::copy(&from, &older).map_err(failed)?;
                self.older = Some(older);
            }
        }
        Ok(())
    }

    /// Keeps the directory, and writes the lines next to the store.
    fn keep(self) -> PathBuf {
        let text: Vec<String> = self.said.iter().map(Line::to_string).collect();
        let kept = self.root.keep();
        fs::write(kept.join("said"), text.join("\n")).ok();
        kept
    }
}

fn check(dir: &Path, recovery: char, oracle: &mut Oracle) -> Result<u64, String> {
    let opened = options(recovery).open(dir);
    let store = opened.map_err(|e| format!("the store does not open: {e}"))?;
    let seen = oracle.check(&store, LOOKUPS)?;
    oracle.settle(&seen);
    store
        .close()
        .map_err(|e| format!("it does not close: {e}"))?;
    Ok(seen.facts)
}
