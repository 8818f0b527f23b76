// Verification, repair, and confirmation of the clock.

use std::path::Path;

use crate::api::store::JobStore;
use crate::engine::maintenance::check;
use crate::model::error::{Error, Result};
use crate::model::report::{RepairReport, VerifyProgress, VerifyReport};

impl JobStore {
    /// Verifies the store in `dir`, which must not be open. Reads and checks every byte of the log,
    /// checks whether an open would succeed, and changes nothing. The index is not checked, since
    /// an open rebuilds it if necessary. (An open and a repair use the index for one check: if the
    /// store was not closed cleanly, they check whether the end of its log is lost.)
    ///
    /// No lock is taken, so an engine can open the store during the call. In that case, the call
    /// returns [`Error::StoreInUse`].
    ///
    /// # Cost
    /// Every file of the log is read once. The states, the packs' directories, and one segment are
    /// held in memory.
    ///
    /// # Errors
    /// Damage is not an error; it is listed in the [`VerifyReport`]. [`Error::StoreInUse`] (use
    /// [`JobStore::scrub`] instead), [`Error::StoreMissing`], [`Error::NotAStore`],
    /// [`Error::NewerFormat`], [`Error::PermissionDenied`], [`Error::Io`], and [`Error::Damaged`]
    /// if not even the store's identity can be determined.
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

    /// Like [`JobStore::verify`], but calls `progress` at the beginning, after each block and
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

    /// Quarantines the damage in the store in `dir`, which must not be open, so that the rest can
    /// be served again. A store without damage is not changed.
    ///
    /// Jobs in damaged blocks are removed from lists;
    /// [`Page::quarantined`](crate::Page::quarantined) and
    /// [`Graph::quarantined`](crate::Graph::quarantined) count them. If events were lost, one of
    /// them may have been the completion of a job. This is possible for every job that was not
    /// complete before the lost events and has no later events. The next open completes all these
    /// jobs as interrupted, whatever the [`Recovery`] setting, so that no job that may have
    /// completed runs again. If the name of a graph was lost from both the log and the index, the
    /// graph is named `graph-N` in the project `lost`. The next open rebuilds the index.
    ///
    /// Each damaged file is kept in the directory, with `.damaged` appended to its name;
    /// [`RepairReport`] lists these files. Remove them when they are no longer needed. An
    /// interrupted repair can be run again.
    ///
    /// If a pack's directory (at its end) is damaged, the whole pack is quarantined with all its
    /// jobs, because nothing else records where they are. Until the next open has found the
    /// affected jobs, it holds the events after the first lost one in memory; each takes about 100
    /// bytes.
    ///
    /// If the end of the log is lost, the sequence numbers of the jobs recorded there may be
    /// reused, but their ids are not.
    ///
    /// An open fails with [`Error::Damaged`] only if the part of the log that it reads is damaged.
    /// Other damage, such as damage to a block of jobs, does not prevent an open:
    /// [`JobStore::verify`] and [`JobStore::scrub`] find it, and reading such a job returns
    /// [`Error::Damaged`].
    ///
    /// # Errors
    /// Those of [`JobStore::verify`], and [`Error::DiskFull`], because the intact part of a damaged
    /// file is written to a new file.
    ///
    /// [`Recovery`]: crate::Recovery
    ///
    /// # Examples
    /// An engine that prefers to start without the damaged jobs rather than not to start at all:
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

    /// Verifies this store while it is in use: reads and checks every byte of the log and every row
    /// of the index. It runs at low priority: after each step, it pauses for as long as the step
    /// took. The call blocks until the scrub is complete or the store is closed. If the last scrub
    /// found damage, [`JobStore::health`] reports it.
    ///
    /// # Errors
    /// Damage is not an error; it is listed in the [`VerifyReport`]. [`Error::Closed`],
    /// [`Error::Io`].
    ///
    /// # Examples
    /// ```
    /// # let store = jobstore::JobStore::in_memory()?;
    /// // For example once a night, in a separate thread.
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

    /// Confirms that the system's clock is right, so that the time during which the store was
    /// closed is added to the ages of jobs.
    ///
    /// While the store is open, jobs age by a monotonic clock. If the system's clock advanced by
    /// more than a day while the store was closed, either the store was closed that long or the
    /// clock jumped, and only an operator can tell which. That time is not added until this is
    /// called, and if a graph purges by age, [`JobStore::health`] reports that a confirmation is
    /// needed. If the clock jumped, correct the clock instead; [`JobStore::health`] then stops
    /// reporting this even without a confirmation.
    ///
    /// If there is nothing to confirm, this adds the time by which the clock jumped ahead while the
    /// store was open, for example because the machine was asleep. Do not call it if the clock
    /// jumped ahead because it had been behind and was corrected.
    ///
    /// The confirmed period is added only to the ages of jobs that completed before it began. If
    /// one call confirms several periods, they are added only to the ages of jobs that completed
    /// before the first period.
    ///
    /// # Durability
    /// When this returns, the confirmation survives a crash, like any write.
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
    /// store.confirm_clock()?; // an operator has checked the clock
    /// assert_eq!(store.health(), Health::Ok);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn confirm_clock(&self) -> Result<(), Error> {
        self.engine().check_open()?;
        self.engine().confirm_clock()
    }
}
