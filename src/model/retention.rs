// Retention policies, and what remains of purged jobs. A policy without limits keeps every job.

#[cfg(feature = "archive")]
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::base::clock;
use crate::model::outcome::OutcomeKind;

/// The directory to which purged jobs are archived.
#[cfg(feature = "archive")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArchiveTo(pub(crate) PathBuf);

/// A graph's retention policy for complete jobs: passed to
/// [`Graph::set_retention`](crate::Graph::set_retention).
///
/// A complete job that exceeds any of the limits is purged. Pending and running jobs are never
/// purged.
///
/// # Purging
/// Jobs are purged in the background, by age, number, or size.
/// [`Graph::purge`](crate::Graph::purge) purges the jobs that match a query. A purged job leaves a
/// [`Tombstone`] for a while, so that its id is not reused and
/// [`Graph::tombstone`](crate::Graph::tombstone) can say when and why it was purged. With the
/// feature `archive`, jobs can be archived first. The [change feed](crate::Graph::changes) reports
/// each purge with the job's [`Outcome::result_ref`](crate::Outcome::result_ref), so that the
/// engine can delete the result.
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
    pub(crate) age: Option<Duration>,
    /// Indexed by the stored number of the kind of outcome.
    pub(crate) outcome_ages: [Option<Duration>; OutcomeKind::STORED_END],
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
    /// Creates a policy that keeps all jobs until limits are set.
    #[must_use]
    pub fn new() -> Retention {
        Retention::default()
    }

    /// Purges a job, within a few seconds, once this much time has passed since it completed.
    ///
    /// A job ages by a monotonic clock while the store is open, and by the system's clock while it
    /// is closed. If the system's clock advanced by more than a day while the store was closed,
    /// that time is not added to ages until
    /// [`JobStore::confirm_clock`](crate::JobStore::confirm_clock) is called. Then it is added only
    /// to the ages of jobs that completed before that time began. Therefore, a clock that is
    /// briefly wrong, while the store is open or when it is opened, does not make any job older.
    /// The clock by which jobs age is recorded in the log, so ages are preserved when the index is
    /// rebuilt or a backup is restored.
    ///
    /// The age of an imported job is the difference between its `completedAt` and the system's
    /// clock at the time of the import, or 0 if `completedAt` is in the future.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Retention {
        self.age = Some(age);
        self
    }

    /// Sets the maximum age of jobs with this kind of outcome. It replaces [`Retention::max_age`]
    /// for them, whether it is longer or shorter.
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

    /// Keeps at most this many complete jobs, whatever their outcome. The jobs submitted first are
    /// purged first. With 0, each job is purged soon after it completes.
    #[must_use]
    pub fn max_jobs(mut self, jobs: u64) -> Retention {
        self.jobs = Some(jobs);
        self
    }

    /// Purges complete jobs as long as the stored requests and outcomes of the graph take up more
    /// than this many bytes. The jobs submitted first are purged first. Requests are measured as
    /// stored, which means compressed once they are packed. Outcomes are included once they are
    /// packed.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Retention {
        self.bytes = Some(bytes);
        self
    }

    /// Retains the tombstones of about this many purged jobs; 1 million by default. Each takes up
    /// about 19 bytes in packs and 54 bytes in the files of the index.
    ///
    /// # Examples
    /// ```
    /// use jobstore::Retention;
    /// use std::time::Duration;
    /// // Many short jobs: keep a million of them, and the ids of another million for a day.
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

    /// Retains the tombstone of a purged job for this long; 30 days by default. As long as the
    /// tombstone is retained, calls that act on the job return
    /// [`Error::JobPurged`](crate::Error::JobPurged), and the id cannot be reused. Time is measured
    /// as for [`Retention::max_age`]. In graphs without a policy, the default limits for tombstones
    /// apply, starting an hour after the open.
    #[must_use]
    pub fn tombstone_age(mut self, age: Duration) -> Retention {
        self.tombstone_age = age;
        self
    }

    /// Archives each job in this directory before the policy or
    /// [`Graph::purge`](crate::Graph::purge) purges it. A job is written as the line that
    /// [`Graph::export`](crate::Graph::export) would produce, compressed with gzip, and synced
    /// before the purge. [`Graph::import`](crate::Graph::import) reads the lines. Requires the
    /// feature `archive`.
    ///
    /// If the directory does not exist, it is created with access for this user only. It must be
    /// outside of the store's directory, and must not be the archive of another store. Files are
    /// named by graph and time, `movie-1234567890123456789-1700000000000.jsonl.gz`, so that they
    /// sort in the order of the purges. (If the clock has gone backward, the time in a new name is
    /// chosen to follow the time in the last one.) A file whose name ends in `.gz` is complete and
    /// is not changed again. The name of the file that is being written ends in `.part`; this file
    /// can be read, too. It is renamed when it is full, when the store is closed, and after a
    /// crash. After a crash, any incomplete data at its end is removed first.
    ///
    /// Move, compress, or remove only complete files. If a `.part` file is removed, a new one is
    /// started, and [`JobStore::health`](crate::JobStore::health) reports the missing file until
    /// the policy is set again. If a copy of the store uses the same directory, it adds its own
    /// files, and does not touch the files that are being written.
    ///
    /// # Durability
    /// Every purged job is in the archive. A job may be there twice if the process or the disk
    /// failed after the job was archived but before it was purged. While the archive cannot be
    /// written, no job of the graph is purged: [`JobStore::health`](crate::JobStore::health)
    /// reports why, [`Graph::purge`](crate::Graph::purge) fails, and the purge by the policy is
    /// retried every few seconds.
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

    /// Sets the size at which an archive file is full, in compressed bytes; 64 MiB by default.
    #[cfg(feature = "archive")]
    #[must_use]
    pub fn archive_file_bytes(mut self, bytes: u64) -> Retention {
        self.archive_file_bytes = bytes;
        self
    }

    /// The maximum age of jobs with this kind of outcome in ms, if there is one.
    pub(crate) fn age_ms(&self, kind: u8) -> Option<u64> {
        let of_kind = self.outcome_ages.get(usize::from(kind)).copied().flatten();
        of_kind.or(self.age).map(in_ms)
    }

    /// The shortest maximum age of any job in ms, if there is one.
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
    /// The job exceeded the maximum age.
    Age,
    /// The graph had more complete jobs than the policy allows.
    Count,
    /// The graph's jobs took up more bytes than the policy allows.
    Bytes,
    /// The job was purged by [`Graph::purge`](crate::Graph::purge).
    ByHand,
}

impl PurgeReason {
    /// Returns the reason as a word in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            PurgeReason::Age => "age",
            PurgeReason::Count => "count",
            PurgeReason::Bytes => "bytes",
            PurgeReason::ByHand => "by_hand",
        }
    }

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

/// What remains of a purged job: returned by [`Graph::tombstone`](crate::Graph::tombstone).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tombstone {
    /// When the job was purged, to the millisecond.
    pub purged_at: SystemTime,
    /// Why the job was purged.
    pub reason: PurgeReason,
}

impl Tombstone {
    /// Returns the tombstone as JSON: `{"purgedAt":1700000000000,"reason":"age"}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let (at, reason) = (clock::to_ms(self.purged_at), self.reason.as_str());
        format!(r#"{{"purgedAt":{at},"reason":"{reason}"}}"#)
    }
}

/// The result of [`Graph::purge`](crate::Graph::purge) or of a dry run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgeReport {
    /// Number of jobs so far.
    pub jobs: u64,
    /// Whether [`JobQuery::on_progress`](crate::JobQuery::on_progress) stopped the search, in which
    /// case more jobs may match.
    pub stopped: bool,
}
