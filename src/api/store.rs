//! The store: a folder of graphs and their jobs.
//!
//! Owns: [`JobStore`] and its life from open to close. Must not know: how jobs are
//! kept.
//! Promise: the last handle closes what nobody closed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::api::graph::Graph;
use crate::api::write::{Write, unexpected};
use crate::engine::core::Engine;
use crate::engine::handle::Handle;
use crate::engine::state::calls::Answer;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::operation::Action;
use crate::engine::{check, folder, open};
use crate::log::random;
use crate::model::error::{Error, Result, excerpt, excerpt_over};
use crate::model::health::Health;
use crate::model::options::Options;
use crate::model::report::{Repaired, Report, Verified};

/// Bytes a project id or graph name may have.
const NAME_BYTES_MAX: usize = 255;

/// A durable store of jobs: one folder, one process.
///
/// Cheap to clone, `Send + Sync`; all clones, [`Graph`]s and [`Page`](crate::Page)s
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
/// use jobstore::{Body, JobStore, List, Outcome, Request};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let store = JobStore::open(dir)?;
/// let movie = store.create_graph("10001", "movie")?;
/// let url = "/ges/v1.0/10001/graphs/movie/action?action_id=import-graph";
/// let id = movie.submit(Request::new("import_graph", url, Body::empty())?)?;
/// movie.start(&id)?;
/// movie.complete(&id, Outcome::succeeded())?;
/// assert_eq!(movie.list(List::new())?.total(), Some(1));
/// store.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct JobStore {
    pub(crate) handle: Arc<Handle>,
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
    /// println!("opened for the {}. time", store.boot());
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
    /// Damage is no error but stands in the [`Report`]. [`Error::StoreInUse`] (use
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
    pub fn verify(dir: impl AsRef<Path>) -> Result<Report> {
        JobStore::verify_with(dir, |_| {})
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
    /// let report = jobstore::JobStore::verify_with(dir, |seen| {
    ///     eprintln!("{} of {} bytes", seen.bytes, seen.of);
    /// })?;
    /// assert!(report.is_sound());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verify_with(dir: impl AsRef<Path>, progress: impl FnMut(Verified)) -> Result<Report> {
        let dir = dir.as_ref();
        let _span = tracing::info_span!("verify", dir = %dir.display()).entered();
        check::verify_folder(dir, progress)
    }

    /// Sets aside what is damaged in the store in `dir`, which must not be open, so
    /// that the rest is served again. A sound store is left as it is.
    ///
    /// Damaged blocks are taken out of the list: their jobs are counted by
    /// [`Page::set_aside`](crate::Page::set_aside) and
    /// [`Graph::set_aside`](crate::Graph::set_aside). Where events were lost, jobs
    /// that were not complete before them, and of which nothing later tells, are
    /// completed as interrupted by the next open, whatever [`Recovery`] it is told:
    /// nobody works twice on a job whose end was lost. A graph whose name was lost,
    /// also in the index, is called `graph-N` in the project `lost`. The index is
    /// made anew by the next open.
    ///
    /// Each file that held damage stays beside the store as it was found, under its
    /// name with `.damaged` behind; [`Repaired`] lists them. Remove them when they
    /// are of no more use. A repair that was interrupted can be done again.
    ///
    /// A pack whose directory (its last bytes) is damaged is set aside as a whole, and
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
    pub fn repair(dir: impl AsRef<Path>) -> Result<Repaired> {
        let dir = dir.as_ref();
        let _span = tracing::info_span!("repair", dir = %dir.display()).entered();
        check::repair_folder(dir)
    }

    /// Looks this store over while it is at work: reads and checks every byte of its
    /// log and every row of its index, as they are now, at low priority: it rests as
    /// long as it reads. Blocks until it is through; closing the store ends it. While
    /// the last scrub found damage, [`JobStore::health`] says so.
    ///
    /// # Errors
    /// Damage is no error but stands in the [`Report`]. [`Error::Closed`],
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
    pub fn scrub(&self) -> Result<Report> {
        let _span = tracing::info_span!("scrub", dir = %self.path().display()).entered();
        self.engine().scrub()
    }

    pub(crate) fn open_with(options: Options, dir: Option<&Path>) -> Result<JobStore> {
        let shown = dir.unwrap_or(Path::new("memory"));
        let _span = tracing::info_span!("open", dir = %shown.display()).entered();
        let engine = match dir {
            Some(dir) => folder::open_folder(options, dir)?,
            None => open::open_memory(options)?,
        };
        tracing::info!(boot = engine.opening.boot, "the store is open");
        Ok(JobStore {
            handle: Arc::new(Handle { engine }),
        })
    }

    #[cfg(all(test, not(jobstore_shuttle)))]
    pub(crate) fn of(handle: Arc<Handle>) -> JobStore {
        JobStore { handle }
    }

    pub(crate) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.handle.engine
    }

    /// Makes a graph: `name` in the project with the id `project_id`, each 1 to 255
    /// bytes without control characters or `/`. It starts empty, also under the
    /// name of one that was dropped.
    ///
    /// # Durability
    /// As for every write: durable when this returns.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::GraphExists`], and those of every write:
    /// [`Error::Closed`], [`Error::ReadOnly`], [`Error::DiskFull`],
    /// [`Error::CommitUnknown`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Error, JobStore};
    /// # let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// assert_eq!((movie.project_id(), movie.name()), ("10001", "movie"));
    /// let again = store.create_graph("10001", "movie");
    /// assert!(matches!(again, Err(Error::GraphExists { .. })));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn create_graph(&self, project_id: &str, name: &str) -> Result<Graph> {
        let write = self.create_write(project_id, name)?;
        write.commit(self.engine())
    }

    /// The graph of that name in that project. Another project's graph does not
    /// exist for the caller.
    ///
    /// # Errors
    /// [`Error::UnknownGraph`], [`Error::Closed`].
    ///
    /// # Examples
    /// ```
    /// let store = jobstore::JobStore::in_memory()?;
    /// let error = store.graph("10001", "movidde").unwrap_err();
    /// assert_eq!(error.to_string(), "graph : movidde not exist");
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn graph(&self, project_id: &str, name: &str) -> Result<Graph> {
        self.engine().check_open()?;
        match self.engine().graphs.read().named(project_id, name) {
            Some(core) => Ok(Graph::new(&self.handle, core)),
            // To the letter, if a graph can be called so.
            None => Err(Error::UnknownGraph {
                graph: excerpt_over(NAME_BYTES_MAX, name),
            }),
        }
    }

    /// The graph of that name, made if it is not there: what an engine calls at its
    /// start.
    ///
    /// # Errors
    /// Those of [`JobStore::create_graph`] but [`Error::GraphExists`].
    ///
    /// # Examples
    /// ```
    /// # let store = jobstore::JobStore::in_memory()?;
    /// let movie = store.graph_or_create("10001", "movie")?; // new, or with all its jobs
    /// assert_eq!(store.graph_or_create("10001", "movie")?.number(), movie.number());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn graph_or_create(&self, project_id: &str, name: &str) -> Result<Graph> {
        loop {
            match self.graph(project_id, name) {
                Err(Error::UnknownGraph { .. }) => {}
                found => return found,
            }
            match self.create_graph(project_id, name) {
                // Somebody else was quicker.
                Err(Error::GraphExists { .. }) => {}
                made => return made,
            }
        }
    }

    /// All graphs of all projects, in the order they were made.
    ///
    /// # Errors
    /// [`Error::Closed`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobStore, State};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// for graph in store.graphs()? {
    ///     println!("{}/{}: {} pending", graph.project_id(), graph.name(), graph.count(State::Pending)?);
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn graphs(&self) -> Result<Vec<Graph>> {
        self.engine().check_open()?;
        let all = self.engine().all_graphs();
        Ok(all
            .iter()
            .map(|core| Graph::new(&self.handle, core))
            .collect())
    }

    /// Drops a graph and all its jobs, whatever their state. Handles of it say
    /// [`Error::GraphDropped`]; pages that were made before can still be written as JSON.
    /// Disk space comes back as packs are merged and rewritten, that of outcomes too, once no
    /// handle or page of the graph is left; then nothing of its jobs is stored any more.
    ///
    /// # Errors
    /// [`Error::UnknownGraph`], and those of every write.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Error, JobStore, State};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// store.drop_graph("10001", "movie")?;
    /// assert!(matches!(movie.count(State::Pending), Err(Error::GraphDropped { .. })));
    /// assert!(matches!(store.graph("10001", "movie"), Err(Error::UnknownGraph { .. })));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn drop_graph(&self, project_id: &str, name: &str) -> Result<()> {
        let write = self.drop_write(project_id, name)?;
        write.commit(self.engine())
    }

    pub(crate) fn drop_write(&self, project_id: &str, name: &str) -> Result<Write<()>> {
        let core = self.graph(project_id, name)?.core;
        self.engine().check_writable()?;
        let graph = core.clone();
        Ok(Write::small(Action::DropGraph { graph }, move |answer| {
            graph_dropped(&core, answer)
        }))
    }

    pub(crate) fn create_write(&self, project_id: &str, name: &str) -> Result<Write<Graph>> {
        check_name("project id", project_id)?;
        check_name("graph name", name)?;
        self.engine().check_writable()?;
        let disk = &*self.engine().disk;
        let key: [u8; 16] = random::random(disk)?;
        let (low, high) = (
            u128::from_le_bytes(key) as u64,
            u128::from_le_bytes(key) >> 64,
        );
        let action = Action::CreateGraph {
            project: project_id.to_owned(),
            name: name.to_owned(),
            id_number: random::random_id_number(disk)?,
            key: [low, high as u64],
        };
        let handle = self.handle.clone();
        Ok(Write::small(action, move |answer| {
            graph_created(&handle, answer)
        }))
    }

    /// Where the store is; for one in memory, a path that does not exist.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.engine().disk.path("")
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
    /// [`Error::Closed`], and those of every write ([`Graph::submit`]).
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
    /// movie.set_retention(Some(Retention::new().keep_for(Duration::from_secs(30 * 24 * 3600))))?;
    /// assert!(matches!(store.health(), Health::Degraded { .. }));
    ///
    /// store.confirm_clock()?; // somebody has looked: it is right
    /// assert_eq!(store.health(), Health::Ok);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn confirm_clock(&self) -> Result<()> {
        self.engine().check_open()?;
        self.engine().confirm_clock()
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

    /// How often the store was opened, this time included: 1 for a new one.
    #[must_use]
    pub fn boot(&self) -> u64 {
        self.engine().opening.boot
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
    /// let ticket = movie.queue().submit(Request::new("clear_graph", "/ges", Body::empty())?);
    /// store.close()?; // what was queued is durable
    /// let id = ticket.wait()?;
    /// assert!(matches!(movie.job(&id), Err(Error::Closed)));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn close(&self) -> Result<()> {
        self.engine().check_process()?;
        self.engine().guest.end();
        let _span = tracing::info_span!("close", dir = %self.path().display()).entered();
        self.engine().close()
    }
}

fn graph_created(handle: &Arc<Handle>, answer: Result<Answer>) -> Result<Graph> {
    match answer? {
        Answer::Graph(core) => Ok(Graph::new(handle, &core)),
        _ => Err(unexpected()),
    }
}

fn graph_dropped(graph: &GraphCore, answer: Result<Answer>) -> Result<()> {
    match answer {
        Err(Error::GraphDropped { graph }) => Err(Error::UnknownGraph { graph }),
        Err(other) => Err(other),
        Ok(_) => {
            let (project, graph) = (&*graph.project, &*graph.name);
            tracing::info!(project, graph, "a graph was dropped");
            Ok(())
        }
    }
}

fn check_name(what: &'static str, given: &str) -> Result<()> {
    let usable = (1..=NAME_BYTES_MAX).contains(&given.len())
        && !given.chars().any(|c| c.is_control() || c == '/');
    if usable {
        return Ok(());
    }
    Err(Error::InvalidName {
        what,
        given: excerpt(given),
        max_bytes: NAME_BYTES_MAX,
    })
}

impl fmt::Debug for JobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobStore")
            .field("path", &self.engine().disk.path(""))
            .field("boot", &self.boot())
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
                what: "a new store in memory holds nothing to read; leave `read_only` out",
            });
        }
        JobStore::open_with(self, None)
    }
}
