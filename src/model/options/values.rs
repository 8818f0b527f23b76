// The values of options.

use std::time::Duration;

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// After its commit has been synced to disk. Neither a crash of the process nor a power failure
    /// loses an acknowledged write, and readers never see one that a crash could revert.
    Synced,
    /// After its commit has been passed to the operating system. The log is synced at this
    /// interval, which must be 1 ms to 60 s. A crash of the process loses no acknowledged write. A
    /// crash of the system or a power failure can revert the latest commits, at most those of the
    /// last interval, and readers may already have seen them.
    Interval(Duration),
}

/// What an open does with jobs that were running when the store was last closed or when the process
/// crashed, and what dropping a [`Run`](crate::Run) does with its job. [`Run`](crate::Run#delivery)
/// describes delivery and graceful shutdown.
///
/// Under `Interrupt` and `Requeue`, a job with a cancel request is completed as canceled. If a
/// repair found that events were lost, jobs whose completion may be among these events are
/// interrupted, whatever the policy.
///
/// # Examples
/// ```
/// use jobstore::{JobStore, Recovery};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// # let store = JobStore::open(dir)?;
/// # let movie = store.create_graph("10001", "movie")?;
/// # let request = jobstore::Request::new("import_graph", "/ges", jobstore::Body::empty())?;
/// # movie.start(movie.submit(request)?)?;
/// # store.close()?;
/// // The engine crashed; its jobs can be run again from the beginning.
/// let store = JobStore::options().recovery(Recovery::Requeue).open(dir)?;
/// for found in store.recovered().jobs() {
///     let found = found?;
///     println!("{} {:?}", found.job.id(), found.action); // Requeued
/// }
/// # assert_eq!(store.recovered().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovery {
    /// Completes these jobs with [`Outcome::interrupted`](crate::Outcome::interrupted): a job runs
    /// at most once.
    Interrupt,
    /// Makes these jobs pending again: a job runs at least once. Jobs whose secrets are lost
    /// ([`Job::secrets_lost`](crate::Job::secrets_lost)) are interrupted, because no worker could
    /// run them.
    Requeue,
    /// Leaves these jobs running, for an engine that recovers them itself.
    Leave,
}
