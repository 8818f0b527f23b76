// The store, from open to close. Dropping the last handle closes it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::api::graph::Graph;
use crate::engine::core::Engine;
use crate::engine::open;
use crate::engine::open::directory;
use crate::engine::store_handle::StoreHandle;
use crate::model::error::{Error, Result};
use crate::model::health::Health;
use crate::model::options::Options;
use crate::model::replica::Replica;

/// A durable store of jobs: one directory, opened by one process at a time.
///
/// A handle is cheap to clone and is `Send + Sync`. All clones, [`Graph`]s, and
/// [`Page`](crate::Page)s refer to the same store. The store runs the threads `jobstore-commit`,
/// `jobstore-pack`, `jobstore-index`, and, with the feature `archive`, `jobstore-purge`. The index
/// engine runs a few more.
///
/// A forked child process cannot use the store: every call there returns [`Error::Forked`], and
/// dropping its handles does nothing. Nor can the child open another store for writing. Fork before
/// the first store is opened, or start a new program.
///
/// The directory must be on a local file system, because locks and syncs are unreliable on others.
/// It must not be moved while the store is open. If the directory or a file in it is deleted,
/// moved, or replaced, or the path leads to another directory, the store stops accepting writes
/// ([`Error::Removed`]). A write is acknowledged only if a store opened again by the same path
/// would contain it. Nothing is written to a directory that has replaced the store's directory.
/// Reads still work.
///
/// # Examples
/// ```
/// use jobstore::{Body, JobQuery, JobStore, Outcome, Request};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let store = JobStore::open(dir)?;
/// let movie = store.create_graph("10001", "movie")?;
/// let url = "/ges/v1.0/10001/graphs/movie/action?action_id=import-graph";
/// let id = movie.submit(Request::new("import_graph", url, Body::empty())?)?;
/// movie.start(&id)?;
/// movie.complete(&id, Outcome::succeeded())?;
/// assert_eq!(movie.list(JobQuery::new())?.total(), Some(1));
/// store.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct JobStore {
    pub(crate) handle: Arc<StoreHandle>,
}

impl JobStore {
    /// Opens the store in `dir` with the default [`Options`]. Creates the directory and the store
    /// if they do not exist.
    ///
    /// Jobs that were running are completed as interrupted: see [`JobStore::recovered`]. Operations
    /// that were interrupted by a crash are finished. If the index is missing, damaged, or stale,
    /// it is rebuilt from the log.
    ///
    /// # Cost
    /// An open reads the log's unpacked segments, the packs' directories, the states (a quarter of
    /// a byte per job), and the lookup entries of ids chosen by the caller (about 10 bytes each).
    /// The jobs themselves are not read, unless the index has to be rebuilt.
    ///
    /// After a clean close, the index's files (about 15 bytes per job) are also read once and
    /// compared with their checksum.
    ///
    /// # Errors
    /// [`Error::StoreInUse`], [`Error::NotAStore`], [`Error::NewerFormat`], [`Error::OlderFormat`],
    /// [`Error::UnknownFeatures`], [`Error::PermissionDenied`], [`Error::DiskFull`],
    /// [`Error::TooManyOpenFiles`], [`Error::Io`]; [`Error::Damaged`] if the log is corrupt, and
    /// [`Error::IndexUnavailable`] if the index could not be rebuilt. If the store has a replica:
    /// [`Error::ReplicaNeeded`]. With options, also [`Error::InvalidOption`] and
    /// [`Error::StoreMissing`], and those of [`Options::replica`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Error, JobStore};
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// let store = JobStore::open(dir)?;
    /// println!("opens so far: {}", store.opens());
    /// // A store that is open cannot be opened again, in this process or another.
    /// assert!(matches!(JobStore::open(dir), Err(Error::StoreInUse { .. })));
    /// store.close()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(dir: impl AsRef<Path>) -> Result<JobStore> {
        JobStore::options().open(dir)
    }

    /// Opens the store in `dir` as a follower of its replica: the store shows what another store
    /// writes to the replica, a moment later, and serves every call that reads. The directory is
    /// created if it does not exist, and becomes a copy of the store. Nothing is written to the
    /// replica, and the store that writes to it is not disturbed.
    ///
    /// Lists, cursors, searches, counts, and exports work as in any store: what was committed at
    /// once becomes visible at once. [`Graph::wait`](crate::Graph::wait) and
    /// [`Graph::changes`](crate::Graph::changes) wait for what the other store writes. Every call
    /// that would change something returns [`Error::Follower`].
    ///
    /// [`JobStore::lag`] is how far the store may be behind. Cursors and positions that were issued
    /// by the other store are valid here as soon as what they refer to is, and the reverse.
    ///
    /// If the replica cannot be reached, the store keeps showing what it has, and
    /// [`JobStore::health`] reports it. If the store was not open, or the replica could not be
    /// reached, for so long that chunks were removed in the meantime, everything that the directory
    /// lacks is downloaded again; until that is done, the store shows its earlier state.
    ///
    /// # Take over
    /// Close the store, and open the same directory with [`Options::replica`]. Since almost
    /// everything is there, this takes about as long as an open.
    ///
    /// # Cost
    /// The store runs the threads `jobstore-follow`, `jobstore-pack`, and `jobstore-index`. The
    /// replica is read once per commit and, while nothing is written, about twice a second.
    ///
    /// # Errors
    /// [`Error::StoreMissing`] if the replica is empty; [`Error::ReplicaUnreachable`],
    /// [`Error::ReplicaRefused`], [`Error::ReplicaOfOtherStore`], [`Error::ReplicaBehind`],
    /// [`Error::ReplicaDiverged`], [`Error::ReplicaDamaged`], and those of [`JobStore::open`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::replica::MemoryReplica;
    /// use jobstore::{Body, Error, JobQuery, JobStore, Request};
    /// use std::sync::Arc;
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// let replica = Arc::new(MemoryReplica::default()); // in practice, S3 or etcd
    /// let store = JobStore::options().replica(replica.clone()).open(dir.join("here"))?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// let request = || Request::new("clear_graph", "/ges", Body::empty());
    /// movie.submit(request()?)?;
    ///
    /// // In another process.
    /// let follower = JobStore::follow(dir.join("there"), replica.clone())?;
    /// let followed = follower.graph("10001", "movie")?;
    /// assert_eq!(followed.list(JobQuery::new())?.total(), Some(1));
    /// assert!(matches!(followed.submit(request()?), Err(Error::Follower)));
    ///
    /// // The first machine is lost, and the follower takes over.
    /// drop((movie, store, followed));
    /// follower.close()?;
    /// let store = JobStore::options().replica(replica).open(dir.join("there"))?;
    /// store.graph("10001", "movie")?.submit(request()?)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn follow(dir: impl AsRef<Path>, replica: Arc<dyn Replica>) -> Result<JobStore> {
        JobStore::options().replica(replica).follow(dir)
    }

    /// Returns the default [`Options`], which can be changed before the store is opened.
    #[must_use]
    pub fn options() -> Options {
        Options::default()
    }

    /// Creates a store in memory, for tests. It behaves like a store on disk, but it cannot be
    /// backed up, and its contents are lost when the last handle is dropped.
    ///
    /// # Errors
    /// [`Error::Io`] if the system cannot provide random numbers or threads.
    ///
    /// # Examples
    /// ```
    /// let store = jobstore::JobStore::in_memory()?;
    /// assert!(store.graphs()?.is_empty());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn in_memory() -> Result<JobStore> {
        JobStore::options().in_memory()
    }

    pub(crate) fn open_with(options: Options, dir: Option<&Path>) -> Result<JobStore> {
        let shown = dir.unwrap_or(Path::new("memory"));
        let _span = tracing::info_span!("open", dir = %shown.display()).entered();
        let engine = match dir {
            Some(dir) => directory::open_directory(options, dir)?,
            None => open::open_memory(options)?,
        };
        tracing::info!(opens = engine.open_event().open_number, "store opened");
        Ok(JobStore {
            handle: Arc::new(StoreHandle { engine }),
        })
    }

    #[cfg(all(test, not(jobstore_shuttle)))]
    pub(crate) fn of(handle: Arc<StoreHandle>) -> JobStore {
        JobStore { handle }
    }

    pub(crate) fn handle(&self) -> &Arc<StoreHandle> {
        &self.handle
    }

    /// Checks that a graph belongs to this store.
    pub(crate) fn check_own(&self, graph: &Graph) -> Result<()> {
        match std::ptr::eq(self.engine(), graph.engine()) {
            true => Ok(()),
            false => Err(Error::InvalidUse {
                what: "a graph belongs to another store; pass graphs of this store",
            }),
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.handle.engine
    }

    /// Returns the store's directory; for a store in memory, a path that does not exist.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.engine().disk.path("")
    }

    /// Returns how many times the store has been opened for writing, including this open: 1 for a
    /// new store. Read-only opens are not included.
    #[must_use]
    pub fn opens(&self) -> u64 {
        self.engine().open_event().open_number
    }

    /// Returns the fencing token of this open: the number of its claim on the replica, or `None`
    /// without a replica. Of two opens of a store, the later one has the greater token. Pass the
    /// token along with side effects outside of the store, such as writes to a shared file system,
    /// so that the receiver can reject a token that is lower than the highest one it has seen.
    ///
    /// The tokens belong to the replica. If the store is reseeded into an empty prefix, or if the
    /// replica was deleted or restored to an earlier state, they start again at 1 or at an earlier
    /// number: reset the receivers that compare tokens.
    #[must_use]
    pub fn reign(&self) -> Option<u64> {
        let replica = self.engine().replica.as_ref()?;
        Some(replica.appender.writer().claim)
    }

    /// Returns how far the store may be behind the store that it follows; `None` unless it was
    /// opened with [`JobStore::follow`].
    ///
    /// This is the time since the replica was last known to contain nothing further, at most about
    /// half a second while the replica responds. While there is more to read, and for up to a second
    /// afterwards, it is the time since the last commit that is visible, for which the clocks of
    /// both machines must agree.
    ///
    /// # Examples
    /// ```
    /// # let store = jobstore::JobStore::in_memory()?;
    /// if let Some(lag) = store.lag() {
    ///     println!("as of {} ms ago", lag.as_millis());
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        self.engine().lag()
    }

    /// Returns whether the store is fully functional. The call is cheap enough to be made every
    /// second.
    ///
    /// # Examples
    /// ```
    /// use jobstore::Health;
    /// # let store = jobstore::JobStore::in_memory()?;
    /// match store.health() {
    ///     Health::Ok => {}
    ///     Health::Degraded { why, .. } => eprintln!("needs attention: {why}"),
    ///     Health::ReadOnly { why, .. } => eprintln!("no writes are accepted: {why}"),
    ///     other => eprintln!("{}", other.as_str()),
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn health(&self) -> Health {
        self.engine().health()
    }

    /// Closes the store: completes the queued writes, makes them durable, updates the index, ends
    /// the threads, and unlocks the directory. All later calls return [`Error::Closed`]; pages that
    /// were listed before can still be written as JSON. Closing a closed store does nothing.
    ///
    /// The call returns after [`Options::close_timeout`](crate::Options::close_timeout) at the
    /// latest; threads that are stuck by then are abandoned. If more than 4096 graphs have changed
    /// since the index was last written, the next open reads their changes from the log.
    ///
    /// Dropping the last handle also closes the store, but cannot return an error.
    ///
    /// # Errors
    /// [`Error::IndexStuck`] if the index did not stop in time; the log is complete.
    /// [`Error::CloseStuck`] if something else did not stop, and the directory stays locked: call
    /// `close` again. [`Error::ReadOnly`] if an earlier failure had stopped writes, and
    /// [`Error::Deposed`] if another open had taken over the replica: the store is closed;
    /// [`Error::Removed`] if the directory or a file in it was moved; [`Error::Forked`].
    /// [`Error::Io`] and [`Error::DiskFull`] if the end of the log could not be recorded;
    /// acknowledged writes are durable nevertheless.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, Error, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let write = movie.nonblocking().submit(Request::new("clear_graph", "/ges", Body::empty())?);
    /// store.close()?; // queued writes are durable
    /// let id = write.wait()?;
    /// assert!(matches!(movie.job(&id), Err(Error::Closed)));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn close(&self) -> Result<()> {
        self.engine().check_process()?;
        self.engine().attached_service.end();
        let _span = tracing::info_span!("close", dir = %self.path().display()).entered();
        self.engine().close()
    }
}

impl fmt::Debug for JobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobStore")
            .field("path", &self.engine().disk.path(""))
            .field("opens", &self.opens())
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Opens the store in `dir` with these options. See [`JobStore::open`].
    ///
    /// # Errors
    /// Those of [`JobStore::open`]; with a replica, those of [`Options::replica`].
    pub fn open(self, dir: impl AsRef<Path>) -> Result<JobStore> {
        self.check()?;
        JobStore::open_with(self, Some(dir.as_ref()))
    }

    /// Opens the store in `dir` as a follower of its replica ([`Options::replica`]) with these
    /// options. See [`JobStore::follow`]. The options for writes have no effect.
    ///
    /// # Errors
    /// Those of [`JobStore::follow`]; [`Error::InvalidUse`] if no replica was set, or together with
    /// `read_only`, `reseed`, or `detach_replica`.
    ///
    /// # Examples
    /// ```
    /// use jobstore::replica::MemoryReplica;
    /// use jobstore::JobStore;
    /// use std::sync::Arc;
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// # let replica = MemoryReplica::default();
    /// # let store = JobStore::options().replica(Arc::new(replica.clone())).open(dir.join("a"))?;
    /// # store.create_graph("10001", "movie")?;
    /// let follower = JobStore::options()
    ///     .replica(Arc::new(replica))
    ///     .cache_bytes(16 << 20)
    ///     .follow(dir.join("copy"))?;
    /// assert!(follower.graph("10001", "movie").is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn follow(mut self, dir: impl AsRef<Path>) -> Result<JobStore> {
        self.check()?;
        if self.replica.is_none() {
            return Err(Error::InvalidUse {
                what: "a store can only be followed through its replica; set the option `replica`",
            });
        }
        if self.read_only || self.reseed || self.detach_replica {
            return Err(Error::InvalidUse {
                what: "a follower changes nothing but its own copy; omit `read_only`, `reseed`, \
                       and `detach_replica`",
            });
        }
        self.is_follower = true;
        JobStore::open_with(self, Some(dir.as_ref()))
    }

    /// Creates a store in memory with these options, for tests. See [`JobStore::in_memory`].
    ///
    /// # Errors
    /// [`Error::InvalidOption`], and [`Error::Io`] if the system cannot provide random numbers or
    /// threads.
    pub fn in_memory(self) -> Result<JobStore> {
        self.check()?;
        if self.read_only {
            return Err(Error::InvalidUse {
                what: "a new in-memory store contains nothing to read; omit `read_only`",
            });
        }
        JobStore::open_with(self, None)
    }
}
