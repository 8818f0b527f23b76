// The options for opening a store. A value outside an option's range is an error and is never
// clamped.

mod checks;
mod replay;
mod replica;
mod secrets;
mod text;
mod values;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crate::base::clock::{Clock, SystemClock};
use crate::base::host_clock::HostClock;
use crate::model::replica::{Replica, TakeOver};
use crate::model::secrets::Named;

pub(crate) use self::replay::OnReplay;
pub use self::replay::ReplayProgress;
pub use self::values::{Durability, Recovery};

/// Options for opening a store: returned by [`JobStore::options`](crate::JobStore::options).
///
/// # Examples
/// ```
/// use jobstore::{Durability, JobStore, Recovery};
/// use std::time::Duration;
/// let store = JobStore::options()
///     .cache_bytes(16 << 20)
///     .durability(Durability::Interval(Duration::from_millis(50)))
///     .recovery(Recovery::Requeue)
///     .in_memory()?;
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) cache_bytes: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) max_request_bytes: u64,
    pub(crate) max_queue_bytes: u64,
    pub(crate) page_threads: usize,
    pub(crate) durability: Durability,
    pub(crate) recovery: Recovery,
    pub(crate) close_timeout: Duration,
    pub(crate) snapshot_timeout: Duration,
    pub(crate) clock: Arc<HostClock>,
    pub(crate) create: bool,
    pub(crate) named_secrets: Named,
    pub(crate) read_only: bool,
    /// Whether the store is opened as a follower of its replica.
    pub(crate) is_follower: bool,
    pub(crate) on_replay: Option<OnReplay>,
    pub(crate) replica: Option<Arc<dyn Replica>>,
    pub(crate) take_over: TakeOver,
    pub(crate) replica_timeout: Duration,
    pub(crate) reseed: bool,
    pub(crate) detach_replica: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            cache_bytes: 64 << 20,
            segment_bytes: 16 << 20,
            max_request_bytes: 16 << 20,
            max_queue_bytes: 64 << 20,
            page_threads: page_threads_there(),
            durability: Durability::Synced,
            recovery: Recovery::Interrupt,
            close_timeout: Duration::from_secs(30),
            snapshot_timeout: Duration::from_secs(600),
            clock: Arc::new(HostClock::new(SystemClock)),
            create: true,
            read_only: false,
            is_follower: false,
            on_replay: None,
            replica: None,
            take_over: TakeOver::Now,
            replica_timeout: Duration::from_secs(30),
            reseed: false,
            detach_replica: false,
            named_secrets: Named::default(),
        }
    }
}

/// The default number of page threads: 2 if the machine has at least two cores, otherwise 1. The
/// number of cores is looked up only once, because the lookup reads several files.
fn page_threads_there() -> usize {
    static THERE: OnceLock<usize> = OnceLock::new();
    *THERE.get_or_init(|| thread::available_parallelism().map_or(1, |n| n.get().min(2)))
}

impl Options {
    /// Sets the total size of all caches, in bytes: 4 MiB to 1 TiB, 64 MiB by default. A quarter of
    /// it is the cache size passed to the index engine, which uses more memory than that. The jobs
    /// themselves are read through the system's file cache.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: u64) -> Options {
        self.cache_bytes = bytes;
        self
    }

    /// Sets the size at which a log segment is full, in bytes: 64 KiB to 1 GiB, 16 MiB by default.
    /// Larger segments make an open after a crash slower.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Options {
        self.segment_bytes = bytes;
        self
    }

    /// Sets the maximum size of a request's JSON text, in bytes: 1 KiB to 256 MiB, 16 MiB by
    /// default. The limit applies to the text both as given and as stored
    /// ([`Options::secret_keys`]).
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, Error, JobStore, Request};
    /// let store = JobStore::options().max_request_bytes(64 << 10).in_memory()?; // 64 KiB
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let body = Body::from_value(&"x".repeat(70_000))?;
    /// let refused = movie.submit(Request::new("import_graph", "/ges", body)?);
    /// assert!(matches!(refused, Err(Error::RequestTooLarge { max_bytes: 65_536, .. })));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn max_request_bytes(mut self, bytes: u64) -> Options {
        self.max_request_bytes = bytes;
        self
    }

    /// Sets the maximum size of the commit queue, in bytes: 64 KiB to 16 GiB, 64 MiB by default. A
    /// write larger than this is accepted when the queue is empty.
    #[must_use]
    pub fn max_queue_bytes(mut self, bytes: u64) -> Options {
        self.max_queue_bytes = bytes;
        self
    }

    /// Sets the number of threads that assemble the JSON of a long page
    /// ([`Page::write_json`](crate::Page::write_json), [`Page::to_json`](crate::Page::to_json)),
    /// including the calling thread: 1 to 64; by default 2, or 1 on a machine with one core. The
    /// other threads run only during the call.
    ///
    /// With two threads, a full page takes about 0.7 times as long as with one, but the total work
    /// is slightly greater. More threads help only until the calling thread, which does all the
    /// writing, no longer has to wait for them. Pages of fewer than about 8000 jobs use only the
    /// calling thread.
    #[must_use]
    pub fn page_threads(mut self, threads: usize) -> Options {
        self.page_threads = threads;
        self
    }

    /// Sets when a write is acknowledged; [`Durability::Synced`] by default. An interval must be 1
    /// ms to 60 s.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Durability, JobStore};
    /// use std::time::Duration;
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// // Jobs that can be submitted again: a power failure may lose those of the last 20 ms.
    /// let interval = Durability::Interval(Duration::from_millis(20));
    /// let store = JobStore::options().durability(interval).open(dir)?;
    /// # drop(store);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Options {
        self.durability = durability;
        self
    }

    /// Sets what happens to jobs that the open finds running; [`Recovery::Interrupt`] by default.
    #[must_use]
    pub fn recovery(mut self, recovery: Recovery) -> Options {
        self.recovery = recovery;
        self
    }

    /// Sets how long [`JobStore::close`](crate::JobStore::close) waits for threads that are stuck
    /// before it abandons them: 1 ms to 1 h, 30 s by default.
    #[must_use]
    pub fn close_timeout(mut self, timeout: Duration) -> Options {
        self.close_timeout = timeout;
        self
    }

    /// Sets how long a page, or anything else that reads a snapshot, remains readable after files
    /// that it needs have been replaced: 1 s to 1 day, 10 minutes by default. After that, reading
    /// it returns [`Error::PageExpired`](crate::Error::PageExpired), and the files' space is
    /// reclaimed, so that a page that is never dropped does not keep purged jobs on disk. While the
    /// disk is full, the timeout is at most 5 s. Nothing expires during a
    /// [`JobStore::backup`](crate::JobStore::backup) or
    /// [`JobStore::scrub`](crate::JobStore::scrub).
    #[must_use]
    pub fn snapshot_timeout(mut self, time: Duration) -> Options {
        self.snapshot_timeout = time;
        self
    }

    /// Sets the clock that the store uses; the system's clock by default. See [`Clock`].
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Options {
        self.clock = Arc::new(HostClock::new(clock));
        self
    }

    /// Sets whether a missing store is created; `true` by default. If `false`, opening a missing
    /// store returns [`Error::StoreMissing`](crate::Error::StoreMissing).
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Error, JobStore};
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// let opened = JobStore::options().create(false).open(dir.join("typo"));
    /// assert!(matches!(opened, Err(Error::StoreMissing { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn create(mut self, create: bool) -> Options {
        self.create = create;
        self
    }

    /// Sets whether the store is opened read-only; `false` by default. A read-only open writes
    /// nothing at all, so it works on a read-only file system, in a directory without write
    /// permission, and on a full disk. Lists, searches, counts, exports,
    /// [`Graph::changes`](crate::Graph::changes), [`JobStore::stats`](crate::JobStore::stats),
    /// [`JobStore::scrub`](crate::JobStore::scrub), and
    /// [`JobStore::backup`](crate::JobStore::backup) work as usual. Every call that would change
    /// something returns [`Error::OpenedReadOnly`](crate::Error::OpenedReadOnly), and so does a
    /// call that waits for a job that is not complete.
    ///
    /// A read-only open shows the store as its last process left it. No recovery is performed: a
    /// job that was running is shown as running. The open is not counted by
    /// [`JobStore::opens`](crate::JobStore::opens) and records no secret keys; [`Options::create`]
    /// has no effect. After a crash, a read-only open reads the log up to the point at which the
    /// next writable open would truncate it. Unlike a writable open, it cannot make the writes
    /// before that point durable. Therefore, a reader may see writes that a power failure still
    /// reverts: writes that were never acknowledged and, if a process was killed and the store has
    /// not been opened for writing since then, the writes of that process's last commit.
    ///
    /// No lock is taken: any number of readers can be open, and an engine can open the store at the
    /// same time. Readers do not see that engine's changes. The engine may also replace files that
    /// a reader does not currently have open (a reader keeps at most 40 files open). A call that
    /// reads such a file returns [`Error::PageExpired`](crate::Error::PageExpired). In this case,
    /// open the store again. While an engine has the store open, a read-only open returns
    /// [`Error::StoreInUse`](crate::Error::StoreInUse). Query the engine instead, because only the
    /// engine knows what is durable.
    ///
    /// # Cost
    /// The index of a read-only open is held in memory. After a clean close, it is read from the
    /// index's files. Because the index engine cannot open its files without writing to them, they
    /// are first copied to a private directory below [`std::env::temp_dir`]. The copy is compared
    /// with the checksum recorded by the close, then read, and removed before the open returns. If
    /// the files cannot be used (after a crash, if the index is larger than 256 MiB, or if there is
    /// no space for the copy), the index is rebuilt from the log's events. For 1 million completed
    /// jobs, this takes about a second on one core and 60 MiB of memory. The jobs themselves are
    /// not read.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Error, JobQuery, JobStore};
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// # let store = JobStore::open(dir)?;
    /// # store.create_graph("10001", "movie")?;
    /// # store.close()?;
    /// let store = JobStore::options().read_only(true).open(dir)?;
    /// let movie = store.graph("10001", "movie")?;
    /// assert_eq!(movie.list(JobQuery::new())?.total(), Some(0));
    /// let refused = store.drop_graph("10001", "movie");
    /// assert!(matches!(refused, Err(Error::OpenedReadOnly)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Options {
        self.read_only = read_only;
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("cache_bytes", &self.cache_bytes)
            .field("segment_bytes", &self.segment_bytes)
            .field("max_request_bytes", &self.max_request_bytes)
            .field("max_queue_bytes", &self.max_queue_bytes)
            .field("page_threads", &self.page_threads)
            .field("durability", &self.durability)
            .field("recovery", &self.recovery)
            .field("close_timeout", &self.close_timeout)
            .field("snapshot_timeout", &self.snapshot_timeout)
            .field("create", &self.create)
            .field("read_only", &self.read_only)
            .field("secret_keys", &self.named_secrets.keys)
            .field("secrets", &self.named_secrets.policy)
            .field("replica", &self.replica.as_ref().map(|r| r.place()))
            .field("take_over", &self.take_over)
            .field("replica_timeout", &self.replica_timeout)
            .finish_non_exhaustive()
    }
}
