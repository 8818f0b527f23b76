//! How long a graph keeps its jobs, and what is told of those that it no longer keeps.
//!
//! Owns: [`Retention`], its bounds and their defaults, [`PurgeReason`] and the numbers that
//! reasons are stored as, [`Tombstone`], [`PurgeReport`]. Must not know: how jobs are purged.
//! Promise: a policy that sets no bound keeps every job.

#[cfg(feature = "archive")]
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::model::outcome::OutcomeKind;

/// The folder that purged jobs go to first.
#[cfg(feature = "archive")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArchiveTo(pub(crate) PathBuf);

/// How long a graph keeps its complete jobs: see
/// [`Graph::set_retention`](crate::Graph::set_retention).
///
/// Bounds that are set hold together: a job that is over any of them goes. Pending and
/// running jobs are never purged.
///
/// # Examples
/// ```
/// use jobstore::{JobStore, OutcomeKind, Retention};
/// use std::time::Duration;
/// const DAY: Duration = Duration::from_secs(24 * 3600);
/// let store = JobStore::in_memory()?;
/// let movie = store.create_graph("10001", "movie")?;
/// let policy = Retention::new()
///     .max_age(30 * DAY)
///     .max_age_of(OutcomeKind::Failed, 180 * DAY)
///     .max_jobs(10_000_000);
/// movie.set_retention(Some(policy))?;
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    age: Option<Duration>,
    /// By the numbers that kinds are stored as.
    outcome_ages: [Option<Duration>; OutcomeKind::STORED_END],
    pub(crate) jobs: Option<u64>,
    pub(crate) bytes: Option<u64>,
    pub(crate) tombstone_age: Duration,
    pub(crate) tombstones: u64,
    #[cfg(feature = "archive")]
    pub(crate) archive: Option<ArchiveTo>,
    #[cfg(feature = "archive")]
    pub(crate) archive_file_bytes: u64,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention {
            age: None,
            outcome_ages: [None; OutcomeKind::STORED_END],
            jobs: None,
            bytes: None,
            tombstone_age: Duration::from_secs(30 * 24 * 3600),
            tombstones: 1_000_000,
            #[cfg(feature = "archive")]
            archive: None,
            #[cfg(feature = "archive")]
            archive_file_bytes: 64 << 20,
        }
    }
}

impl Retention {
    /// Keeps all jobs for ever, until bounds are set.
    #[must_use]
    pub fn new() -> Retention {
        Retention::default()
    }

    /// Purges a job once this much time has passed since it completed, within some seconds.
    ///
    /// Age is the time that the store was open since, by a monotonic clock, plus the time
    /// that it was closed, by the system's clock. If the system's clock advanced by more than a
    /// day while the store was closed, that time does not count until
    /// [`JobStore::confirm_clock`](crate::JobStore::confirm_clock) is called; until then
    /// jobs age by the rest. Once it is confirmed, it counts for the jobs that had completed
    /// before it, and for no others. So a clock that is wrong for a moment, while the store is open
    /// or when it is opened, makes no job older. The log records the age clock: a rebuilt
    /// index and a restored backup give the same ages.
    ///
    /// A job that was imported is as old as its `completedAt` says, compared with the
    /// system's clock at the import; one that is dated ahead completed at the import.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Retention {
        self.age = Some(age);
        self
    }

    /// The same for jobs that ended in this way; for them it counts instead, be it longer or
    /// shorter.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{OutcomeKind, Retention};
    /// use std::time::Duration;
    /// const DAY: Duration = Duration::from_secs(24 * 3600);
    /// let policy = Retention::new()
    ///     .max_age(30 * DAY)
    ///     .max_age_of(OutcomeKind::Failed, 180 * DAY)
    ///     .max_age_of(OutcomeKind::Cancelled, DAY);
    /// # drop(policy);
    /// ```
    #[must_use]
    pub fn max_age_of(mut self, kind: OutcomeKind, age: Duration) -> Retention {
        if let Some(of_kind) = self.outcome_ages.get_mut(usize::from(kind.to_stored())) {
            *of_kind = Some(age);
        }
        self
    }

    /// Keeps at most this many complete jobs, whatever their outcome; those submitted first
    /// are purged first. 0 keeps none: each goes soon after its end.
    #[must_use]
    pub fn max_jobs(mut self, jobs: u64) -> Retention {
        self.jobs = Some(jobs);
        self
    }

    /// Keeps complete jobs as long as the graph's requests and outcomes, as they are stored
    /// (compressed, once they are packed), take no more bytes than this; the ones submitted
    /// first go first. Outcomes count once they are packed.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Retention {
        self.bytes = Some(bytes);
        self
    }

    /// Remembers the ids of about this many purged jobs; 1 million by default. Each takes
    /// about 19 bytes in packs and 54 in the files of the index.
    ///
    /// # Examples
    /// ```
    /// use jobstore::Retention;
    /// use std::time::Duration;
    /// // Many short jobs: a million are kept, and the ids of as many more, for a day.
    /// let policy = Retention::new()
    ///     .max_jobs(1_000_000)
    ///     .max_tombstones(1_000_000)
    ///     .tombstone_age(Duration::from_secs(24 * 3600));
    /// # drop(policy);
    /// ```
    #[must_use]
    pub fn max_tombstones(mut self, jobs: u64) -> Retention {
        self.tombstones = jobs;
        self
    }

    /// Remembers the id of a purged job for this long; 30 days by default. Until then, calls
    /// with the id return [`Error::JobPurged`](crate::Error::JobPurged), and it cannot be used
    /// again.
    /// Time counts as for [`Retention::max_age`]. In graphs without a policy the defaults
    /// hold, too, from an hour after the open on.
    #[must_use]
    pub fn tombstone_age(mut self, age: Duration) -> Retention {
        self.tombstone_age = age;
        self
    }

    /// Writes each job into an archive in this folder before it is purged, by the policy
    /// and by hand: as its line of [`Graph::export`](crate::Graph::export), compressed with
    /// gzip, and synced before the purge is. [`Graph::import`](crate::Graph::import) takes
    /// the lines back. With the feature `archive` only.
    ///
    /// The folder is made where it is missing, for this user alone; it must not be in the
    /// store's, and not another store's archive. Files are named by graph and time,
    /// `movie-1234567890123456789-1700000000000.jsonl.gz`, so that their order is that of
    /// the purges (where the clock has gone back, a name goes on from the last); one that
    /// ends in `.gz` is whole and stays as it is. The one that is being
    /// written has `.part` behind its name and can be read, too. It gets its name when it is
    /// full, when the store is closed, and, without what was torn, after a crash.
    ///
    /// Move, compress or remove whole files only. A `.part` that was taken away is noticed
    /// and a new one begun; until the policy is set again
    /// [`JobStore::health`](crate::JobStore::health) says which it was. A copy of the store
    /// that is given the same folder adds files of its own, and leaves those alone that are
    /// being written.
    ///
    /// # Durability
    /// A job that is purged is in the archive. It may be there twice when the process or
    /// the disk failed between archiving and purging it; otherwise it is there once.
    /// While the archive cannot be written, no job of the graph is purged:
    /// [`JobStore::health`](crate::JobStore::health) says why,
    /// [`Graph::purge`](crate::Graph::purge) fails, and the policy tries again every few
    /// seconds.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, OnBadLine, Request, Retention};
    /// use std::time::Duration;
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// let store = JobStore::open(dir.join("store"))?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// let policy = Retention::new()
    ///     .max_age(Duration::from_secs(30 * 24 * 3600))
    ///     .archive_to(dir.join("archive"));
    /// movie.set_retention(Some(policy))?;
    ///
    /// let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// movie.cancel(&id)?;
    /// movie.purge(JobQuery::new())?;
    /// store.close()?;
    ///
    /// let store = JobStore::open(dir.join("store"))?;
    /// let old = store.create_graph("10001", "movie-archive")?;
    /// for file in std::fs::read_dir(dir.join("archive"))? {
    ///     let file = std::fs::File::open(file?.path())?;
    ///     old.import(flate2::read::MultiGzDecoder::new(file), OnBadLine::Stop)?;
    /// }
    /// assert!(old.job(&id)?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "archive")]
    #[must_use]
    pub fn archive_to(mut self, directory: impl Into<PathBuf>) -> Retention {
        self.archive = Some(ArchiveTo(directory.into()));
        self
    }

    /// The size from which on an archive's file is not added to any more, in bytes, as it is
    /// compressed; 64 MiB by default.
    #[cfg(feature = "archive")]
    #[must_use]
    pub fn archive_file_bytes(mut self, bytes: u64) -> Retention {
        self.archive_file_bytes = bytes;
        self
    }

    /// How long a job that ended in this way is kept, in ms, where that is bounded.
    pub(crate) fn age_ms(&self, kind: u8) -> Option<u64> {
        let of_kind = self.outcome_ages.get(usize::from(kind)).copied().flatten();
        of_kind.or(self.age).map(in_ms)
    }

    /// The shortest time any job is kept, in ms, where that is bounded.
    pub(crate) fn shortest_age_ms(&self) -> Option<u64> {
        let ages = self.outcome_ages.iter().chain([&self.age]);
        ages.flatten().copied().map(in_ms).min()
    }
}

fn in_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Why a job was purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PurgeReason {
    /// It had ended long enough ago.
    Age,
    /// There were more complete jobs than the graph keeps.
    Count,
    /// The graph's requests took more bytes than it keeps.
    Bytes,
    /// Somebody purged it: [`Graph::purge`](crate::Graph::purge).
    ByHand,
}

impl PurgeReason {
    pub(crate) fn to_stored(self) -> u8 {
        match self {
            PurgeReason::Age => 1,
            PurgeReason::Count => 2,
            PurgeReason::Bytes => 3,
            PurgeReason::ByHand => 4,
        }
    }

    pub(crate) fn from_stored(stored: u8) -> PurgeReason {
        match stored {
            1 => PurgeReason::Age,
            2 => PurgeReason::Count,
            3 => PurgeReason::Bytes,
            _ => PurgeReason::ByHand,
        }
    }
}

/// What is left of a purged job: from [`Graph::tombstone`](crate::Graph::tombstone).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tombstone {
    /// When it was purged, to the millisecond.
    pub purged_at: SystemTime,
    /// Why.
    pub reason: PurgeReason,
}

/// What a purge by hand did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgeReport {
    /// How many jobs, up to now.
    pub jobs: u64,
    /// Whether [`JobQuery::on_progress`](crate::JobQuery::on_progress) stopped the search, so that
    /// these are not all.
    pub stopped: bool,
}
