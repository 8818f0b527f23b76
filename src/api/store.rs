//! The store: a folder of graphs and their jobs.
//!
//! Owns: [`JobStore`] and its life from open to close. Must not know: how jobs are
//! kept.
//! Promise: the last handle closes what nobody closed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::core::Engine;
use crate::engine::store_handle::StoreHandle;
use crate::engine::{directory, open};
use crate::model::error::{Error, Result};
use crate::model::health::Health;
use crate::model::options::Options;

/// A durable store of jobs: one folder, one process.
///
/// Cheap to clone, `Send + Sync`; all clones, [`Graph`](crate::Graph)s and [`Page`](crate::Page)s
/// of it are one store. It has three threads of its own: `jobstore-commit`,
/// `jobstore-pack` and `jobstore-index`, and with the feature `archive` a fourth,
/// `jobstore-purge`; the index engine has some more.
///
/// A fork of the process cannot use the store: every call there returns
/// [`Error::Forked`], and dropping its handles does nothing. Nor can it open another for
/// writing: fork before the first store is opened, or start a new program.
///
/// The directory must be on a local file system: the lock and the syncs mean little on
/// others. It stays where it is while the store is open. If the directory or a file in it
/// is deleted, moved or replaced, or the path comes to lead to another directory, the
/// store takes no more writes ([`Error::Removed`] says why), and no write is acknowledged
/// that opening the same path again would not find. Nothing is ever written to the
/// directory that has taken its place. Reads go on.
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
    /// Opens the store in `dir` with the default [`Options`]; makes the folder and
    /// the store where there is none.
    ///
    /// Jobs that were running are completed as interrupted: see
    /// [`JobStore::recovered`]. What a crash left half done is finished. If the
    /// index is missing, damaged or behind, it is made again from the log.
    ///
    /// # Cost
    /// Reads the log's unpacked segments, the packs' directories and the states (a
    /// quarter of a byte a job), and the lookups of ids that engines brought (about
    /// 10 bytes each); the jobs themselves are not read, unless the index has to be
    /// made again.
    ///
    /// After a clean close the index's files, about 15 bytes a job, are read once and
    /// compared with their seal.
    ///
    /// # Errors
    /// [`Error::StoreInUse`], [`Error::NotAStore`], [`Error::NewerFormat`],
    /// [`Error::OlderFormat`], [`Error::UnknownFeatures`],
    /// [`Error::PermissionDenied`], [`Error::DiskFull`], [`Error::TooManyOpenFiles`],
    /// [`Error::Io`], [`Error::Damaged`] when the log does not hold what was written to it, and
    /// [`Error::IndexUnavailable`] when the index could not even be made anew. With
    /// options also [`Error::InvalidOption`] and [`Error::StoreMissing`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Error, JobStore};
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// let store = JobStore::open(dir)?;
    /// println!("opens so far: {}", store.opens());
    /// // One process, and one handle of it, has a store open at a time.
    /// assert!(matches!(JobStore::open(dir), Err(Error::StoreInUse { .. })));
    /// store.close()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(dir: impl AsRef<Path>) -> Result<JobStore> {
        JobStore::options().open(dir)
    }

    /// How to open a store otherwise: see [`Options`].
    #[must_use]
    pub fn options() -> Options {
        Options::default()
    }

    /// Makes a store in memory, for the tests of engines. It does what one on disk does,
    /// but has no files to be backed up, and ends with its last handle.
    ///
    /// # Errors
    /// [`Error::Io`] when the system has no random numbers or threads.
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
        tracing::info!(opens = engine.open_event.open_number, "store opened");
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

    pub(crate) fn engine(&self) -> &Engine {
        &self.handle.engine
    }

    /// Where the store is; for one in memory, a path that does not exist.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.engine().disk.path("")
    }

    /// The number of writable opens of the store so far, this one included: 1 for a new store.
    /// A read-only open does not count.
    #[must_use]
    pub fn opens(&self) -> u64 {
        self.engine().open_event.open_number
    }

    /// Whether the store can do all it should. Cheap enough to be asked every second.
    ///
    /// # Examples
    /// ```
    /// use jobstore::Health;
    /// # let store = jobstore::JobStore::in_memory()?;
    /// match store.health() {
    ///     Health::Ok => {}
    ///     Health::Degraded { why, .. } => eprintln!("look after it: {why}"),
    ///     Health::ReadOnly { why, .. } => eprintln!("restart the engine: {why}"),
    ///     other => eprintln!("{}", other.as_str()),
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn health(&self) -> Health {
        self.engine().health()
    }

    /// Closes the store: carries out what is queued, makes it durable, brings the
    /// index up to date, ends the threads and lets the folder go. All later calls
    /// say [`Error::Closed`]; pages that were made before can still be written as
    /// JSON. Closing again does nothing.
    ///
    /// Comes back after [`Options::close_timeout`](crate::Options::close_timeout) at
    /// the latest, and leaves behind what is stuck. Where more than 4096 graphs have changed
    /// since the index was last written, their changes are left to the next open, which
    /// reads them from the log.
    ///
    /// Dropping the last handle does the same, but can tell nobody of an error.
    ///
    /// # Errors
    /// [`Error::IndexStuck`] when the index did not come to its end: the log did.
    /// [`Error::CloseStuck`] when something else did not, and the directory stays locked:
    /// closing again tries again.
    /// [`Error::ReadOnly`] when an earlier failure had ended the writing;
    /// [`Error::Removed`] when the directory or a file in it is not where it was;
    /// [`Error::Forked`]. [`Error::Io`] and [`Error::DiskFull`] when the end of the log could not be
    /// noted; what was acknowledged is durable all the same.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, Error, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let write = movie.nonblocking().submit(Request::new("clear_graph", "/ges", Body::empty())?);
    /// store.close()?; // what was queued is durable
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
    /// Opens the store in `dir`. See [`JobStore::open`].
    ///
    /// # Errors
    /// Those of [`JobStore::open`], and [`Error::InvalidOption`].
    pub fn open(self, dir: impl AsRef<Path>) -> Result<JobStore> {
        self.check()?;
        JobStore::open_with(self, Some(dir.as_ref()))
    }

    /// Makes a store that lives in memory and ends with its last handle: for the
    /// tests of engines. It behaves like one on disk, without the disk.
    ///
    /// # Errors
    /// [`Error::InvalidOption`], and [`Error::Io`] when the system has no random numbers or
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
