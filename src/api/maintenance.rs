//! Maintenance of a store: full verification, repair, and the clock's confirmation.

use std::path::Path;

use crate::api::store::JobStore;
use crate::engine::check;
use crate::model::error::{Error, Result};
use crate::model::report::{RepairReport, VerifyProgress, VerifyReport};

impl JobStore {
    /// Looks over the store in `dir`, which must not be open: reads and checks every
    /// byte of its log, and whether an open would succeed. Changes nothing. What the
    /// index holds is not looked at: an open makes it anew where it is not right. (An
    /// open, and a repair, ask it one thing: whether it has seen more than the log
    /// of a store that was not closed still has, whose end is lost then.)
    ///
    /// It takes no lock, so an engine can open the store meanwhile; then it ends with
    /// [`Error::StoreInUse`].
    ///
    /// # Cost
    /// Everything is read once; memory for the states and directories, and for a
    /// segment.
    ///
    /// # Errors
    /// Damage is no error but stands in the [`VerifyReport`]. [`Error::StoreInUse`] (use
    /// [`JobStore::scrub`] then), [`Error::StoreMissing`], [`Error::NotAStore`],
    /// [`Error::NewerFormat`], [`Error::PermissionDenied`], [`Error::Io`], and
    /// [`Error::Damaged`] where not even the store's identity can be found out.
    ///
    /// # Examples
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// # jobstore::JobStore::open(dir)?.close()?;
    /// let report = jobstore::JobStore::verify(dir)?;
    /// print!("{report}");
    /// assert!(report.is_sound());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verify(dir: impl AsRef<Path>) -> Result<VerifyReport> {
        JobStore::verify_with_progress(dir, |_| {})
    }

    /// The same, and `progress` is told of it at the beginning, after each block and
    /// segment, and at the end.
    ///
    /// # Errors
    /// Those of [`JobStore::verify`].
    ///
    /// # Examples
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// # jobstore::JobStore::open(dir)?.close()?;
    /// let report = jobstore::JobStore::verify_with_progress(dir, |seen| {
    ///     eprintln!("{} of {} bytes", seen.bytes, seen.of);
    /// })?;
    /// assert!(report.is_sound());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verify_with_progress(
        dir: impl AsRef<Path>,
        progress: impl FnMut(VerifyProgress),
    ) -> Result<VerifyReport> {
        let dir = dir.as_ref();
        let _span = tracing::info_span!("verify", dir = %dir.display()).entered();
        check::verify_directory(dir, progress)
    }

    /// Quarantines what is damaged in the store in `dir`, which must not be open, so
    /// that the rest is served again. A sound store is left as it is.
    ///
    /// Damaged blocks are taken out of the list: their jobs are counted by
    /// [`Page::quarantined`](crate::Page::quarantined) and
    /// [`Graph::quarantined`](crate::Graph::quarantined). Where events were lost, jobs
    /// that were not complete before them, and of which nothing later tells, are
    /// completed as interrupted by the next open, whatever [`Recovery`] it is told:
    /// nobody works twice on a job whose end was lost. A graph whose name was lost,
    /// also in the index, is called `graph-N` in the project `lost`. The index is
    /// made anew by the next open.
    ///
    /// Each file that held damage stays beside the store as it was found, under its
    /// name with `.damaged` behind; [`RepairReport`] lists them. Remove them when they
    /// are of no more use. A repair that was interrupted can be done again.
    ///
    /// A pack whose directory (its last bytes) is damaged is quarantined as a whole, and
    /// so are all its jobs, because nothing else says where they lie. Until the jobs in
    /// doubt are settled, the next open keeps what it reads after the first lost
    /// event in memory, about 100 bytes for each change of a job.
    ///
    /// If the very end of the log is lost, numbers of jobs that were recorded there
    /// may be given again; their ids are not.
    ///
    /// An open fails with [`Error::Damaged`] if the part of the log that it reads is
    /// damaged. Other damage, such as that of a block of jobs, does not prevent an open:
    /// [`JobStore::verify`] and [`JobStore::scrub`] find it, and reading such a job
    /// returns [`Error::Damaged`].
    ///
    /// # Errors
    /// Those of [`JobStore::verify`], and [`Error::DiskFull`]: what is sound of a damaged
    /// file is written anew beside it.
    ///
    /// [`Recovery`]: crate::Recovery
    ///
    /// # Examples
    /// An engine that prefers serving the rest to not starting:
    /// ```
    /// use jobstore::{Error, JobStore};
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// # JobStore::open(dir)?.close()?;
    /// # std::fs::remove_file(dir.join("STORE"))?;
    /// let store = match JobStore::open(dir) {
    ///     Err(Error::Damaged { .. }) => {
    ///         // Copy the directory first, or restore a backup instead.
    ///         let repaired = JobStore::repair(dir)?;
    ///         eprint!("the store was damaged: {repaired}");
    /// #       assert!(repaired.changed());
    ///         JobStore::open(dir)?
    ///     }
    ///     opened => opened?,
    /// };
    /// # store.close()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn repair(dir: impl AsRef<Path>) -> Result<RepairReport> {
        let dir = dir.as_ref();
        let _span = tracing::info_span!("repair", dir = %dir.display()).entered();
        check::repair_directory(dir)
    }

    /// Looks this store over while it is at work: reads and checks every byte of its
    /// log and every row of its index, as they are now, at low priority: it rests as
    /// long as it reads. Blocks until it is through; closing the store ends it. While
    /// the last scrub found damage, [`JobStore::health`] says so.
    ///
    /// # Errors
    /// Damage is no error but stands in the [`VerifyReport`]. [`Error::Closed`],
    /// [`Error::Io`].
    ///
    /// # Examples
    /// ```
    /// # let store = jobstore::JobStore::in_memory()?;
    /// // Once a night, say, in a thread of its own.
    /// let scrubbing = store.clone();
    /// let report = std::thread::spawn(move || scrubbing.scrub());
    /// # let report = report.join().map_err(|_| "it panicked")?;
    /// # assert!(report?.is_sound());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scrub(&self) -> Result<VerifyReport> {
        let _span = tracing::info_span!("scrub", dir = %self.path().display()).entered();
        self.engine().scrub()
    }

    /// Confirms that the system's clock is right, so that all jobs age by what it advanced.
    ///
    /// While the store is open, jobs age by a monotonic clock. If the system's clock advanced
    /// by more than a day while the store was closed, either it was closed that long or the
    /// clock jumped, and only an operator can tell. That time does not count until this is
    /// called, and [`JobStore::health`] reports it to graphs that purge by age. If the clock
    /// jumped, set it right instead: the report ends without a confirmation.
    ///
    /// If nothing waits to be confirmed, this adds what the clock jumped ahead while the store
    /// was open, such as while the machine slept. Do not call it because a clock that was
    /// behind has been set right.
    ///
    /// Jobs that had completed before that time become older by it. Those that completed after
    /// it, even before this call, do not. If several such times are confirmed at once, they
    /// count for jobs that had completed before the first of them.
    ///
    /// # Durability
    /// As any write: once this has returned, the confirmation survives a crash.
    ///
    /// # Errors
    /// [`Error::Closed`], and those of every write ([`Graph::submit`](crate::Graph::submit)).
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Health, JobStore, Retention};
    /// use std::time::Duration;
    /// # struct NextWeek;
    /// # impl jobstore::Clock for NextWeek {
    /// #     fn now(&self) -> std::time::SystemTime {
    /// #         std::time::SystemTime::now() + Duration::from_secs(7 * 24 * 3600)
    /// #     }
    /// # }
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path().join("store");
    /// # let dir = &dir;
    /// # let store = JobStore::open(dir)?;
    /// # store.create_graph("10001", "movie")?;
    /// # store.close()?;
    /// // The store was closed for a week, or the clock is wrong.
    /// let store = JobStore::options().clock(NextWeek).open(dir)?;
    /// let movie = store.graph("10001", "movie")?;
    /// movie.set_retention(Some(Retention::new().max_age(Duration::from_secs(30 * 24 * 3600))))?;
    /// assert!(matches!(store.health(), Health::Degraded { .. }));
    ///
    /// store.confirm_clock()?; // somebody has looked: it is right
    /// assert_eq!(store.health(), Health::Ok);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn confirm_clock(&self) -> Result<(), Error> {
        self.engine().check_open()?;
        self.engine().confirm_clock()
    }
}
