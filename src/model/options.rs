// The options of an open. An option outside its range is an error, and is never clamped.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crate::base::clock::{Clock, SystemClock};
use crate::base::host_clock::HostClock;
use crate::model::error::{Error, Result};
use crate::model::secrets::{Keys, Named, SecretKeys, Secrets};

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// After its commit was synced to disk. Neither a crash of the process nor a power failure
    /// loses an acknowledged write, and readers never see one that a crash could revert.
    Synced,
    /// After its commit was passed to the operating system, which is synced at this interval, 1 ms
    /// to 60 s. A crash of the process loses no acknowledged write. A crash of the system or a
    /// power failure can revert the commits of the last interval, latest first, and readers may
    /// have seen them.
    Interval(Duration),
}

/// What an open does with jobs that were running when the store was last closed or crashed, and
/// what the drop of a [`Run`](crate::Run) does with its job. [`Run`](crate::Run#delivery) describes
/// delivery and graceful shutdown.
///
/// Under `Interrupt` and `Requeue`, a job with a cancel request is completed as cancelled. If a
/// repair found that events were lost, jobs that may have completed in one of them are interrupted
/// under any policy.
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
/// // The engine crashed; its jobs can be run again from their start.
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
    /// Completes them as [`Outcome::interrupted`](crate::Outcome::interrupted): a job runs at most
    /// once.
    Interrupt,
    /// Makes them pending again: a job runs at least once. Jobs whose secrets are lost
    /// ([`Job::secrets_lost`](crate::Job::secrets_lost)) are interrupted, because no worker could
    /// run them.
    Requeue,
    /// Leaves them running, for an engine that decides itself.
    Leave,
}

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
    /// The effective keys: those that were named, and otherwise those that the store has recorded.
    /// Valid once the store is open.
    pub(crate) secret_keys: SecretKeys,
    pub(crate) read_only: bool,
    pub(crate) on_replay: Option<OnReplay>,
}

/// The callback for reading the log during an open.
pub(crate) type OnReplay = Arc<dyn Fn(&ReplayProgress) + Send + Sync>;

/// The progress of reading the log during an open: see [`Options::on_replay`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayProgress {
    /// Number of events read so far.
    pub events: u64,
    /// Number of events to read, as far as is known: the events of unpacked segments are counted as
    /// they are read.
    pub of: u64,
    /// Whether the index is being rebuilt from the whole log.
    pub rebuilding: bool,
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
            on_replay: None,
            named_secrets: Named::default(),
            secret_keys: SecretKeys::default(),
        }
    }
}

/// 2 if the machine has two cores. Read once, since the lookup reads several files.
fn page_threads_there() -> usize {
    static THERE: OnceLock<usize> = OnceLock::new();
    *THERE.get_or_init(|| thread::available_parallelism().map_or(1, |n| n.get().min(2)))
}

impl Options {
    /// Sets the size of all caches together, in bytes: 4 MiB to 1 TiB, 64 MiB by default. A quarter
    /// is passed to the index engine, which uses more than that. The jobs themselves are read
    /// through the system's file cache.
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
    /// default. It applies to the text as given and as stored ([`Options::secret_keys`]).
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
    /// larger write is accepted when the queue is empty.
    #[must_use]
    pub fn max_queue_bytes(mut self, bytes: u64) -> Options {
        self.max_queue_bytes = bytes;
        self
    }

    /// Sets the number of threads that assemble the JSON of a long page
    /// ([`Page::write_json`](crate::Page::write_json), [`Page::to_json`](crate::Page::to_json)),
    /// including the caller's: 1 to 64; by default 2, or 1 on a machine with one core. The other
    /// threads run only during the call.
    ///
    /// With two threads, a full page takes about 0.7 times as long, for slightly more work in
    /// total. More threads help only as long as the calling thread, which does all the writing,
    /// waits for them. Pages below about 8000 jobs use only the calling thread.
    #[must_use]
    pub fn page_threads(mut self, threads: usize) -> Options {
        self.page_threads = threads;
        self
    }

    /// Sets when a write is acknowledged; [`Durability::Synced`] by default. An interval is 1 ms to
    /// 60 s.
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

    /// Sets what happens to jobs that were running; [`Recovery::Interrupt`] by default.
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
    /// that it needs were replaced: 1 s to 1 day, 10 minutes by default. After that, reading it
    /// returns [`Error::PageExpired`], and the files' space is reclaimed, so that a page that is
    /// never dropped does not keep purged jobs on disk. While the disk is full, the timeout is at
    /// most 5 s. Nothing expires during a [`JobStore::backup`](crate::JobStore::backup) or
    /// [`JobStore::scrub`](crate::JobStore::scrub).
    #[must_use]
    pub fn snapshot_timeout(mut self, time: Duration) -> Options {
        self.snapshot_timeout = time;
        self
    }

    /// Sets the clock; the system's clock by default. See [`Clock`].
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Options {
        self.clock = Arc::new(HostClock::new(clock));
        self
    }

    /// Sets whether a missing store is created; `true` by default. If `false`, opening a missing
    /// store returns [`Error::StoreMissing`].
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

    /// Sets the keys whose values are secret, at any depth of a body and in any case; by default
    /// `accessKey` and `secretKey`. Secrets are found when a request is submitted. Lists, exports,
    /// and archives show `"******"` instead; [`Job::request`] and [`Run::request`] return the real
    /// values. With an empty list, nothing is secret.
    ///
    /// The store records the keys. An open that names none uses those that were recorded last; so
    /// does the `jobstore` CLI. Keys apply to what is submitted from then on. [`Graph::find`],
    /// [`Graph::submit_as`], and [`Graph::submit_once`] compare requests masked with the current
    /// keys, so they match a job that was submitted under other keys only if it looks the same.
    ///
    /// If the record is damaged, the open returns [`Error::Damaged`]. After a repair, every key is
    /// secret until keys are named. If the policy is lost too, [`Secrets::MaskAtSubmit`] applies
    /// until [`Options::secrets`] is set.
    ///
    /// Values are found only by their keys: [`Secrets`] lists what is not masked.
    ///
    /// [`Job::request`]: crate::Job::request
    /// [`Run::request`]: crate::Run::request
    /// [`Graph::find`]: crate::Graph::find
    /// [`Graph::submit_as`]: crate::Graph::submit_as
    /// [`Graph::submit_once`]: crate::Graph::submit_once
    ///
    /// # Cost
    /// One more pass over a body's strings at submit; nothing when jobs are listed.
    ///
    /// # Errors
    /// The open returns [`Error::InvalidOption`] for more than 64 keys, or for a key that is empty
    /// or longer than 256 bytes. It returns [`Error::DiskFull`] or [`Error::Io`] if new keys cannot
    /// be recorded.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// let store = JobStore::options().secret_keys(["accessKey", "password"]).in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// let body = Body::from_json(r#"{"from": {"Password": "hunter2"}}"#)?;
    /// let id = movie.submit(Request::new("import_graph", "/ges", body)?)?;
    ///
    /// let job = movie.job(&id)?.ok_or("it is there")?;
    /// assert_eq!(job.request().body(), r#"{"from":{"Password":"hunter2"}}"#);
    /// assert_eq!(job.masked_request().body(), r#"{"from":{"Password":"******"}}"#);
    /// let listed = movie.list(JobQuery::new())?.to_json()?;
    /// assert!(!String::from_utf8(listed)?.contains("hunter2"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn secret_keys<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Options {
        self.named_secrets.keys = Some(Keys::these(keys));
        self
    }

    /// Sets what happens to the values under secret keys; [`Secrets::MaskOnOutput`] by default. The
    /// store records the policy with the [keys](Options::secret_keys).
    #[must_use]
    pub fn secrets(mut self, policy: Secrets) -> Options {
        self.named_secrets.policy = Some(policy);
        self
    }

    /// Sets whether the store is opened read-only; `false` by default. A read-only open writes
    /// nothing at all, so it works on a read-only file system, in a directory without write
    /// permission, and on a full disk. Lists, searches, counts, exports,
    /// [`Graph::changes`](crate::Graph::changes), [`JobStore::stats`](crate::JobStore::stats),
    /// [`JobStore::scrub`](crate::JobStore::scrub), and
    /// [`JobStore::backup`](crate::JobStore::backup) work as usual. Every call that would change
    /// something returns [`Error::OpenedReadOnly`], and so does a wait for a job that is not
    /// complete.
    ///
    /// A read-only open shows the store as its last process left it. No recovery is performed: a
    /// job that was running is shown as running. The open is not counted by
    /// [`JobStore::opens`](crate::JobStore::opens) and records no secret keys; [`Options::create`]
    /// has no effect. After a crash, the log ends where the next writable open would end it. Unlike
    /// that open, this one cannot make durable what it reads there: a power failure can still
    /// revert writes that were never acknowledged and, if nobody has opened the store since a
    /// process was killed, those of its last commit.
    ///
    /// No lock is taken: any number of readers can be open, and an engine can open the store at the
    /// same time. Readers do not see what that engine does. It may also replace files that a reader
    /// does not have open at that moment (a reader keeps at most 40 open); reading such a file
    /// returns [`Error::PageExpired`]: open the store again. While an engine has the store open, a
    /// read-only open returns [`Error::StoreInUse`]: ask the engine, which knows what is durable.
    ///
    /// # Cost
    /// The index is in memory. After a clean close it is read from the index's files: they are
    /// copied to a private directory below [`std::env::temp_dir`], because no index engine opens
    /// its files without writing to them, compared with the checksum of the close, read, and
    /// removed before the open returns. If that is not possible (after a crash, for an index of
    /// more than 256 MiB, or without room for the copy), the index is rebuilt from the log's
    /// events: for 1 million completed jobs about a second of one core and 60 MiB of memory.
    /// The jobs themselves are not read.
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

    /// Sets a callback that is called while an open reads the log: after a crash, or when the index
    /// is rebuilt, which takes seconds for millions of jobs. It is called on the opening thread,
    /// about every 65,536 events and at the end; never if nothing has to be read.
    ///
    /// # Examples
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// let store = jobstore::JobStore::options()
    ///     .on_replay(|replayed| {
    ///         let what = if replayed.rebuilding { "rebuilding the index" } else { "catching up" };
    ///         eprintln!("{what}: {} of {} events", replayed.events, replayed.of);
    ///     })
    ///     .open(&dir)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn on_replay(mut self, call: impl Fn(&ReplayProgress) + Send + Sync + 'static) -> Options {
        self.on_replay = Some(Arc::new(call));
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.named_secrets
            .keys
            .as_ref()
            .map_or(Ok(()), Keys::check)?;
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let interval_ms = match self.durability {
            Durability::Interval(interval) => ms(interval),
            Durability::Synced => 1,
        };
        for (option, given, min, max, allowed) in [
            (
                "cache_bytes",
                self.cache_bytes,
                4 << 20,
                1 << 40,
                "4 MiB to 1 TiB",
            ),
            (
                "segment_bytes",
                self.segment_bytes,
                64 << 10,
                1 << 30,
                "64 KiB to 1 GiB",
            ),
            (
                "max_request_bytes",
                self.max_request_bytes,
                1 << 10,
                256 << 20,
                "1 KiB to 256 MiB",
            ),
            (
                "max_queue_bytes",
                self.max_queue_bytes,
                64 << 10,
                16 << 30,
                "64 KiB to 16 GiB",
            ),
            ("page_threads", self.page_threads as u64, 1, 64, "1 to 64"),
            (
                "durability interval in ms",
                interval_ms,
                1,
                60_000,
                "1 ms to 60 s",
            ),
            (
                "close_timeout in ms",
                ms(self.close_timeout),
                1,
                3_600_000,
                "1 ms to 1 h",
            ),
            (
                "snapshot_timeout in ms",
                ms(self.snapshot_timeout),
                1_000,
                86_400_000,
                "1 s to 1 day",
            ),
        ] {
            if !(min..=max).contains(&given) {
                return Err(Error::InvalidOption {
                    option,
                    given,
                    allowed,
                });
            }
        }
        Ok(())
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
            .finish_non_exhaustive()
    }
}
