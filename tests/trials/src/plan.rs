//! The plan of a workload, and how it is passed to a child process.
//!
//! Contains [`Plan`], the graphs' names, and the options of stores in trials. A plan can be
//! converted to arguments and back unchanged.

use std::path::PathBuf;
use std::time::Duration;

use jobstore::{Durability, Error, JobStore, Options, Recovery, RecoveryAction};

use crate::dir_replica;

/// The project of all graphs.
pub const PROJECT: &str = "10001";
/// The graph whose jobs can be claimed by any thread.
pub const SHARED: &str = "shared";
/// The graphs in which each thread runs its own jobs.
pub const OWN: [&str; 2] = ["movie", "music"];
/// The graph from which jobs are purged. It is used by one thread only.
pub const PURGED: &str = "purged";
/// The prefix of the names of temporary graphs.
pub const SCRAP: &str = "scrap";

/// The operations to perform on a store.
#[derive(Clone, Debug)]
pub struct Plan {
    pub dir: PathBuf,
    /// The directory or the URL of the store's replica.
    pub replica: Option<String>,
    /// The number of the process among those that work on this store. It makes the keys of the
    /// process unique.
    pub round: u64,
    pub seed: u64,
    pub threads: u64,
    /// The approximate number of calls of each thread, after which the store is closed.
    pub calls: u64,
    /// The sync interval. If it is 0, every write is synced.
    pub interval_ms: u64,
    /// The first letter of `I`nterrupt, `R`equeue, or `L`eave.
    pub recovery: char,
    /// Whether failed calls are expected. If so, they do not make the workload fail. If the store
    /// has a replica, they are expected only because another process takes it over.
    pub errors_expected: bool,
    /// Whether the process exits in the middle of everything, as soon as one thread has made its
    /// calls, instead of closing the store.
    pub dies: bool,
}

impl Plan {
    /// Returns a plan for four threads that never stop.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, round: u64, seed: u64) -> Plan {
        Plan {
            dir: dir.into(),
            replica: None,
            round,
            seed,
            threads: 4,
            calls: u64::MAX,
            interval_ms: 0,
            recovery: 'I',
            errors_expected: false,
            dies: false,
        }
    }

    /// Returns the arguments for another process.
    #[must_use]
    pub fn to_args(&self) -> Vec<String> {
        let numbers = [
            self.round,
            self.seed,
            self.threads,
            self.calls,
            self.interval_ms,
            u64::from(self.errors_expected),
            u64::from(self.dies),
        ];
        let dir = self.dir.to_str().expect("a path that is text").to_owned();
        let texts = numbers.iter().map(u64::to_string);
        let replica = self.replica.clone().unwrap_or_default();
        [dir, replica, self.recovery.to_string()]
            .into_iter()
            .chain(texts)
            .collect()
    }

    /// Parses the arguments that [`Plan::to_args`] returned. `None` for any other arguments.
    #[must_use]
    pub fn from_args(args: &[String]) -> Option<Plan> {
        let [dir, replica, recovery, numbers @ ..] = args else {
            return None;
        };
        let numbers: Option<Vec<u64>> = numbers.iter().map(|text| text.parse().ok()).collect();
        let [round, seed, threads, calls, interval_ms, errors, dies] = numbers?[..] else {
            return None;
        };
        Some(Plan {
            dir: dir.into(),
            replica: (!replica.is_empty()).then(|| replica.clone()),
            round,
            seed,
            threads,
            calls,
            interval_ms,
            recovery: recovery.chars().next()?,
            errors_expected: errors != 0,
            dies: dies != 0,
        })
    }

    /// Returns the options with which the plan opens its store.
    ///
    /// # Errors
    /// There is no replica at the place of the replica.
    pub fn options(&self) -> Result<Options, String> {
        let options = match &self.replica {
            Some(place) => options(self.recovery).replica(dir_replica::at(place)?),
            None => options(self.recovery),
        };
        Ok(match self.interval_ms {
            0 => options,
            ms => options.durability(Durability::Interval(Duration::from_millis(ms))),
        })
    }

    /// Returns whether this error of a call is expected.
    #[must_use]
    pub fn expects(&self, error: &Error) -> bool {
        self.errors_expected && (self.replica.is_none() || matches!(error, Error::Deposed { .. }))
    }
}

/// Returns options with segments so small that little data fills them.
#[must_use]
pub fn options(recovery: char) -> Options {
    JobStore::options()
        .segment_bytes(64 << 10)
        .cache_bytes(4 << 20)
        .recovery(match recovery {
            'R' => Recovery::Requeue,
            'L' => Recovery::Leave,
            _ => Recovery::Interrupt,
        })
}

/// Returns the first letter of an action.
#[must_use]
pub fn letter(action: RecoveryAction) -> char {
    match action {
        RecoveryAction::Interrupted => 'I',
        RecoveryAction::Cancelled => 'C',
        RecoveryAction::Requeued => 'R',
        RecoveryAction::Left => 'L',
        _ => '?',
    }
}
