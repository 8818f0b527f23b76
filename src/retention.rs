//! What becomes of finished jobs in time: policies, purges by hand, tombstones.
//!
//! Owns: [`Retention`], [`PurgeReason`], [`Tombstone`], [`Purged`] and the calls of
//! [`Graph`] about them. Must not know: how room comes back.
//! Promise: nothing is purged by default; only complete jobs ever are.

#[cfg(feature = "archive")]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::clock;
use crate::engine::listing;
use crate::engine::retention::STEP_JOBS;
use crate::engine::status::States;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::job::State;
use crate::list::List;
use crate::outcome::OutcomeKind;
use crate::spans::call_span;

/// Jobs of a purge by hand that are looked after together.
const PURGED_AT_ONCE: usize = 1 << 16;

/// Kinds of outcomes, by the number they are stored as.
const KINDS: usize = 6;

/// The folder that purged jobs go to first.
#[cfg(feature = "archive")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArchiveTo(pub(crate) PathBuf);

/// How long a graph keeps its complete jobs: see [`Graph::set_retention`].
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
///     .keep_for(30 * DAY)
///     .keep_outcome_for(OutcomeKind::Failed, 180 * DAY)
///     .keep_jobs(10_000_000);
/// movie.set_retention(Some(policy))?;
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    age: Option<Duration>,
    outcome_ages: [Option<Duration>; KINDS],
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
            outcome_ages: [None; KINDS],
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
    /// A job that was imported is as old as its `finishedAt` says, compared with the
    /// system's clock at the import; one that is dated ahead completed at the import.
    #[must_use]
    pub fn keep_for(mut self, age: Duration) -> Retention {
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
    ///     .keep_for(30 * DAY)
    ///     .keep_outcome_for(OutcomeKind::Failed, 180 * DAY)
    ///     .keep_outcome_for(OutcomeKind::Cancelled, DAY);
    /// # drop(policy);
    /// ```
    #[must_use]
    pub fn keep_outcome_for(mut self, kind: OutcomeKind, age: Duration) -> Retention {
        if let Some(of_kind) = self.outcome_ages.get_mut(usize::from(kind.to_stored())) {
            *of_kind = Some(age);
        }
        self
    }

    /// Keeps so many complete jobs, whatever their outcome; the ones submitted first go
    /// first. 0 keeps none: each goes soon after its end.
    #[must_use]
    pub fn keep_jobs(mut self, jobs: u64) -> Retention {
        self.jobs = Some(jobs);
        self
    }

    /// Keeps complete jobs as long as the graph's requests and outcomes, as they are stored
    /// (compressed, once they are packed), take no more bytes than this; the ones submitted
    /// first go first. Outcomes count once they are packed.
    #[must_use]
    pub fn keep_bytes(mut self, bytes: u64) -> Retention {
        self.bytes = Some(bytes);
        self
    }

    /// Remembers the id of a purged job for so long; 30 days by default. As long, it is
    /// [`Error::JobPurged`] to who asks, and cannot be taken again. Time counts as for
    /// [`Retention::keep_for`]. In graphs without a policy the defaults hold, too, from an
    /// hour after the open on.
    #[must_use]
    pub fn keep_tombstones_for(mut self, age: Duration) -> Retention {
        self.tombstone_age = age;
        self
    }

    /// Remembers the ids of about so many purged jobs; 1 million by default. Each takes
    /// some 40 bytes on the disk.
    ///
    /// # Examples
    /// ```
    /// use jobstore::Retention;
    /// use std::time::Duration;
    /// // Many short jobs: a million are kept, and the ids of as many more, for a day.
    /// let policy = Retention::new()
    ///     .keep_jobs(1_000_000)
    ///     .keep_tombstones(1_000_000)
    ///     .keep_tombstones_for(Duration::from_secs(24 * 3600));
    /// # drop(policy);
    /// ```
    #[must_use]
    pub fn keep_tombstones(mut self, jobs: u64) -> Retention {
        self.tombstones = jobs;
        self
    }

    /// Writes each job into an archive in this folder before it is purged, by the policy
    /// and by hand: as its line of [`Graph::export`], compressed with gzip, and synced
    /// before the purge is. [`Graph::import`] takes the lines back. With the feature
    /// `archive` only.
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
    /// [`JobStore::health`](crate::JobStore::health) says why, [`Graph::purge`] fails, and
    /// the policy tries again every few seconds.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, ImportOptions, JobStore, List, Request, Retention};
    /// use std::time::Duration;
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// let store = JobStore::open(dir.join("store"))?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// let policy = Retention::new()
    ///     .keep_for(Duration::from_secs(30 * 24 * 3600))
    ///     .archive_to(dir.join("archive"));
    /// movie.set_retention(Some(policy))?;
    ///
    /// let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// movie.cancel(&id)?;
    /// movie.purge(List::new())?;
    /// store.close()?;
    ///
    /// let store = JobStore::open(dir.join("store"))?;
    /// let old = store.create_graph("10001", "movie-archive")?;
    /// for file in std::fs::read_dir(dir.join("archive"))? {
    ///     let file = std::fs::File::open(file?.path())?;
    ///     old.import(flate2::read::MultiGzDecoder::new(file), ImportOptions::new())?;
    /// }
    /// assert!(old.job(&id)?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "archive")]
    #[must_use]
    pub fn archive_to(mut self, folder: impl Into<PathBuf>) -> Retention {
        self.archive = Some(ArchiveTo(folder.into()));
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
    /// Somebody purged it: [`Graph::purge`].
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

/// What is left of a purged job: from [`Graph::tombstone`].
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
pub struct Purged {
    /// How many jobs, up to now.
    pub jobs: u64,
    /// Whether [`List::on_progress`] stopped the search, so that these are not all.
    pub stopped: bool,
}

impl Graph {
    /// Says how long the graph keeps its complete jobs; `None` for ever, as it is
    /// until this is called. It holds until the store is closed: the engine says it
    /// again after each open.
    ///
    /// Purging goes on in the background, within some seconds, in commits of at most
    /// 1024 jobs. A purged job is in no list, count or search from that commit on;
    /// its room comes back when at least half of the file it lies in is purged, outcomes
    /// and dropped graphs included: packs take at most twice what they would have to.
    ///
    /// Once this has returned, no job is purged by an earlier policy; it waits for the commit
    /// that is under way, and for its archive.
    ///
    /// # Errors
    /// [`Error::GraphDropped`], [`Error::Closed`]; [`Error::InvalidUse`] for an archive
    /// within the store's own folder.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobStore, Retention};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let policy = Retention::new().keep_jobs(10_000_000);
    /// movie.set_retention(Some(policy.clone()))?; // at each open
    /// assert_eq!(movie.retention(), Some(policy));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn set_retention(&self, policy: Option<Retention>) -> Result<()> {
        self.check()?;
        self.engine().check_not_read_only()?;
        #[cfg(feature = "archive")]
        if let Some(ArchiveTo(folder)) = policy.as_ref().and_then(|p| p.archive.as_ref()) {
            if self.engine().is_within(folder) {
                return Err(Error::InvalidUse {
                    what: "the archive is within the store's folder; choose one beside it",
                });
            }
        }
        *self.core.retention.write() = policy.map(Arc::new);
        #[cfg(feature = "archive")]
        self.core.archive.forget_lost();
        // The commit that is under way was the last by the policy before.
        drop(self.core.purging.lock());
        self.engine().note_policy(&self.core);
        self.engine().wake_packer();
        Ok(())
    }

    /// The policy set last, since the store was opened; `None` while all is kept.
    #[must_use]
    pub fn retention(&self) -> Option<Retention> {
        self.core.retention.read().as_deref().cloned()
    }

    /// Purges all complete jobs that match a list now, however many. An offset, a
    /// limit, a cursor or a count is refused. Returns when all of them are purged, durably: in commits of at
    /// most 1024 jobs, between which other writes are carried out.
    ///
    /// # Cost
    /// Where the list scans, its jobs are searched for first. Each job costs reading its
    /// block, and some 40 bytes of tombstone.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, List, Outcome, Request, Submitted};
    /// let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// let request = Request::new("import_graph", "/ges/v1.0/10001/graphs", Body::empty())?;
    /// movie.submit_as("import-1", request.clone())?;
    /// movie.run("import-1")?.complete(Outcome::succeeded())?;
    ///
    /// assert_eq!(movie.purge_dry_run(List::new())?.jobs, 1);
    /// assert_eq!(movie.purge(List::new())?.jobs, 1);
    /// assert!(movie.job("import-1")?.is_none());
    /// assert!(movie.tombstone("import-1")?.is_some());
    /// assert!(movie.tombstone("import-2")?.is_none());
    /// assert!(movie.submit_as("import-1", request).is_err());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Graph::list`] and of every write ([`Graph::submit`]);
    /// [`Error::InvalidUse`] for a list with an offset, limit, cursor or count;
    /// [`Error::Damaged`], [`Error::IndexUnavailable`]; where the graph has an archive that
    /// cannot be written, [`Error::Io`], [`Error::DiskFull`] or
    /// [`Error::PermissionDenied`]. What was purged before an error stays so.
    pub fn purge(&self, list: List) -> Result<Purged> {
        self.purge_with(list, |_| {})
    }

    /// [`Graph::purge`] whose `progress` is told of it after each commit of at most 1024
    /// jobs. It runs on this thread: the purge waits for it.
    ///
    /// # Errors
    /// Those of [`Graph::purge`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobStore, List};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let list = List::new().command("vertex_query");
    /// let all = movie.purge_dry_run(list.clone())?.jobs;
    /// movie.purge_with(list, |so_far| eprintln!("{} of {all}", so_far.jobs))?;
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn purge_with(&self, list: List, mut progress: impl FnMut(Purged)) -> Result<Purged> {
        let _span = call_span!("purge", self);
        self.check_writable()?;
        let mut done = Purged::default();
        done.stopped = self.each_to_purge(list, |sequences| {
            for some in sequences.chunks(STEP_JOBS) {
                done.jobs += self
                    .engine()
                    .purge(&self.core, some, (PurgeReason::ByHand, None))?;
                progress(done);
            }
            Ok(())
        })?;
        self.engine().wake_packer();
        Ok(done)
    }

    /// What [`Graph::purge`] would purge now; nothing is changed.
    ///
    /// # Errors
    /// Those of [`Graph::list`]; [`Error::InvalidUse`] for a list with an offset, limit, cursor or count.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobStore, List};
    /// use std::time::{Duration, SystemTime};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let year_ago = SystemTime::now() - Duration::from_secs(365 * 24 * 3600);
    /// let old = List::new().finished_before(year_ago);
    /// println!("{} jobs would be purged", movie.purge_dry_run(old)?.jobs);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn purge_dry_run(&self, list: List) -> Result<Purged> {
        let mut done = Purged::default();
        done.stopped = self.each_to_purge(list, |sequences| {
            done.jobs += sequences.len() as u64;
            Ok(())
        })?;
        Ok(done)
    }

    /// Says whether the search was stopped.
    fn each_to_purge(
        &self,
        mut list: List,
        mut each: impl FnMut(&[u64]) -> Result<()>,
    ) -> Result<bool> {
        list.check_purge()?;
        if list.states != States::NONE && !list.states.has(State::Complete) {
            return Ok(false);
        }
        list.states = States::NONE.with(State::Complete);
        let page = listing::whole(self, &list)?;
        let mut sequences = page.snapshot.selection.sequences().peekable();
        while sequences.peek().is_some() {
            let some: Vec<u64> = sequences.by_ref().take(PURGED_AT_ONCE).collect();
            each(&some)?;
        }
        Ok(page.is_stopped)
    }

    /// What is left of the job that had this id, if it was purged and its tombstone is
    /// still kept ([`Retention::keep_tombstones`]); `None` for a job that is there and
    /// for an id that is not known.
    ///
    /// # Errors
    /// Those of [`Graph::job`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobStore, PurgeReason};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// // No such job: was there one?
    /// match movie.tombstone("import-17")? {
    ///     Some(stone) if stone.reason == PurgeReason::ByHand => println!("somebody purged it"),
    ///     Some(stone) => println!("it was old: purged at {:?}", stone.purged_at),
    ///     None => println!("there was none, or that is long ago"),
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn tombstone(&self, id: impl AsRef<str>) -> Result<Option<Tombstone>> {
        self.check()?;
        let found = self.engine().tombstone(&self.core, id.as_ref())?;
        let Some(found) = found else {
            return Ok(None);
        };
        let purge = self.engine().purge_of(&found)?;
        if purge.is_none() && self.core.state.read().forgotten_lsn >= found.lsn {
            // It was forgotten meanwhile, and its event is gone.
            return Ok(None);
        }
        let purge = purge.ok_or_else(|| Error::IndexUnavailable {
            what: "it knows a purge that the log does not".into(),
        })?;
        Ok(Some(Tombstone {
            purged_at: clock::from_ms(purge.time_ms),
            reason: PurgeReason::from_stored(purge.why),
        }))
    }
}
