//! A store with a replica.

use std::fmt;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jobstore_trials::child;
use jobstore_trials::dir_replica;
use jobstore_trials::directory;
use jobstore_trials::line::Line;
use jobstore_trials::oracle::Oracle;
use jobstore_trials::plan::{Plan, options};
use jobstore_trials::random::Random;
use tempfile::TempDir;

/// How long an open, including all checks, may take.
const CHECK_MOST: Duration = Duration::from_secs(120);
/// The number of jobs of each graph that are looked up by their ids.
const LOOKUPS: u64 = 20;

/// What happened.
#[derive(Default)]
pub struct Sum {
    pub stores: u64,
    pub kills: u64,
    pub wiped: u64,
    pub older: u64,
    pub takeovers: u64,
    /// Requests that reached the server after their sender was replaced.
    pub late: u64,
    pub checks: u64,
    pub elsewhere: u64,
    pub acknowledged: u64,
    pub facts: u64,
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "kills: {}; takeovers: {}; late requests: {}; stores: {}; directories lost: {}, replaced with an older \
             copy: {}; stores checked: {}, in an empty directory: {}; calls acknowledged: {}; facts \
             checked: {}",
            self.kills,
            self.takeovers,
            self.late,
            self.stores,
            self.wiped,
            self.older,
            self.checks,
            self.elsewhere,
            self.acknowledged,
            self.facts
        )
    }
}

pub struct Trial {
    pub random: Random,
    pub root: TempDir,
    /// How long the last check took, including its open.
    pub check_took: Duration,
    pub replica: String,
    oracle: Oracle,
    said: Vec<Line>,
}

impl Trial {
    pub fn new(seed: u64, url: Option<&str>) -> io::Result<Trial> {
        let mut random = Random::from_seed(seed);
        // In memory, more happens between two kills. On a disk, syncs take longer.
        let root = match random.one_in(2) {
            true => directory::fast()?,
            false => directory::on_disk()?,
        };
        let unique = root.path().file_name().unwrap_or_default();
        let unique = unique.to_string_lossy();
        let replica = match url {
            Some(url) => format!("{url}/{unique}"),
            None => root.path().join("replica").display().to_string(),
        };
        Ok(Trial {
            random,
            root,
            check_took: Duration::ZERO,
            replica,
            oracle: Oracle::new(),
            said: Vec::new(),
        })
    }

    /// Returns the plan of the next process.
    pub fn plan(&mut self, dir: &Path, round: u64) -> Plan {
        Plan {
            replica: Some(self.replica.clone()),
            recovery: self.recovery(),
            ..Plan::new(dir, round, self.random.any())
        }
    }

    fn recovery(&mut self) -> char {
        match self.random.below(5) {
            0 => 'R',
            1 => 'L',
            _ => 'I',
        }
    }

    /// Processes the lines of a process. No process may have written to the replica after it,
    /// except those whose lines are processed later.
    pub fn hear(&mut self, lines: &[Line]) -> Result<(), String> {
        self.said.extend(lines.iter().cloned());
        lines.iter().try_for_each(|line| self.oracle.hear(line))
    }

    /// Opens the store in `dir` or, sometimes, in an empty directory, and compares it with the
    /// lines.
    pub fn check(&mut self, dir: &Path, sum: &mut Sum) -> Result<(), String> {
        let elsewhere = self.random.one_in(2);
        let dir = match elsewhere {
            true => self.root.path().join("elsewhere"),
            false => dir.to_owned(),
        };
        let recovery = self.recovery();
        let began = Instant::now();
        let (replica, oracle) = (self.replica.as_str(), &mut self.oracle);
        let checked = child::within("a check of the store", CHECK_MOST, || {
            catch_unwind(AssertUnwindSafe(|| check(&dir, replica, recovery, oracle)))
        });
        sum.facts += checked.unwrap_or_else(|_| Err("the check panicked".to_owned()))?;
        sum.checks += 1;
        self.check_took = began.elapsed();
        if elsewhere {
            sum.elsewhere += 1;
            fs::remove_dir_all(&dir).map_err(failed)?;
        }
        Ok(())
    }

    /// Returns the number of calls that were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.oracle.acknowledged()
    }

    /// Keeps the directory, and writes the lines next to the store.
    pub fn keep(self) -> PathBuf {
        let text: Vec<String> = self.said.iter().map(Line::to_string).collect();
        let kept = self.root.keep();
        fs::write(kept.join("said"), text.join("\n")).ok();
        kept
    }
}

pub fn failed(error: impl fmt::Display) -> String {
    format!("files or processes of the trial: {error}")
}

fn check(dir: &Path, replica: &str, recovery: char, oracle: &mut Oracle) -> Result<u64, String> {
    let options = options(recovery).replica(dir_replica::at(replica)?);
    let opened = options.open(dir);
    let store = opened.map_err(|e| format!("the store does not open: {e}"))?;
    let seen = oracle.check(&store, LOOKUPS)?;
    oracle.settle(&seen);
    store
        .close()
        .map_err(|e| format!("it does not close: {e}"))?;
    Ok(seen.facts)
}
