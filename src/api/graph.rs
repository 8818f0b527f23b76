// A graph, and lookups of single jobs by id.

use std::fmt;
use std::sync::Arc;

use crate::api::spans::call_span;
use crate::base::clock;
use crate::engine::core::Engine;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::operation::JobLookup;
use crate::engine::store_handle::StoreHandle;
use crate::model::error::{Error, Result};
use crate::model::id::JobId;
use crate::model::job::Job;
use crate::model::request::Request;
use crate::model::retention::{PurgeReason, Tombstone};
use crate::model::states::{State, States};

/// A graph in a store, with its jobs.
///
/// A handle is cheap to clone, is `Send + Sync`, and keeps the store open. Ids are passed as
/// [`&JobId`](JobId) or `&str`.
///
/// The write methods block until their writes are durable; [`Graph::nonblocking`] offers the same
/// writes without blocking. The methods are listed in the order of a job's life cycle; the [crate's
/// documentation](crate#calls-by-task) lists them by task.
///
/// # Examples
/// ```
/// use jobstore::{Body, JobQuery, JobStore, Outcome, Request, State};
/// # let store = JobStore::in_memory()?;
/// let movie = store.create_graph("10001", "movie")?;
/// let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
/// movie.start(&id)?;
/// movie.complete(&id, Outcome::succeeded())?;
/// assert_eq!(movie.count(State::Complete)?, 1);
/// for job in &movie.list(JobQuery::new().newest_first().limit(10))? {
///     println!("{:?}", job?.outcome());
/// }
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone)]
pub struct Graph {
    pub(crate) handle: Arc<StoreHandle>,
    pub(crate) core: Arc<GraphCore>,
}

impl Graph {
    pub(crate) fn new(handle: &Arc<StoreHandle>, core: &Arc<GraphCore>) -> Graph {
        Graph {
            handle: handle.clone(),
            core: core.clone(),
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.handle.engine
    }

    /// Returns the id of the graph's project, which is 1 to 255 bytes long.
    #[must_use]
    pub fn project_id(&self) -> &str {
        &self.core.project
    }

    /// Returns the graph's name, which is 1 to 255 bytes long.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// Returns the 19-digit number at the start of every id that this graph generates. The number
    /// is random, but it is the same in every copy of the store.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.core.ids.number()
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.engine().check_open()?;
        self.core.check_not_dropped()
    }

    pub(crate) fn check_writable(&self) -> Result<()> {
        self.check()?;
        self.engine().check_writable()
    }

    /// Returns the job with this id in its current state, or `None` if there is no such job or it
    /// has been purged. [`Graph::tombstone`] distinguishes the two cases.
    ///
    /// # Cost
    /// If the graph generated the id, the job is found without the index. One block is read and
    /// decompressed. Times and outcome are read from one row of the index.
    ///
    /// # Errors
    /// [`Error::InvalidJobId`], [`Error::GraphDropped`], [`Error::Closed`],
    /// [`Error::Damaged`], [`Error::Io`], [`Error::IndexUnavailable`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request, State};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let job = movie.job(&id)?.ok_or("it was just submitted")?;
    /// assert_eq!(job.state(), State::Pending);
    /// println!("{} since {:?}", job.request().command(), job.submitted_at());
    /// assert!(movie.job("import-17")?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn job(&self, id: impl AsRef<str>) -> Result<Option<Job>> {
        let _span = call_span!("job", self, id.as_ref());
        self.check()?;
        self.engine().job_with_id(&self.core, id.as_ref())
    }

    /// Returns the tombstone of the purged job with this id, as long as it is retained
    /// ([`Retention::max_tombstones`](crate::Retention::max_tombstones)). Returns `None` if the job
    /// exists, or if the id is unknown.
    ///
    /// # Errors
    /// Those of [`Graph::job`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobStore, PurgeReason};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// // No such job: has it been purged?
    /// match movie.tombstone("import-17")? {
    ///     Some(stone) if stone.reason == PurgeReason::ByHand => println!("purged by hand"),
    ///     Some(stone) => println!("purged by the retention policy at {:?}", stone.purged_at),
    ///     None => println!("it never existed, or its tombstone is gone"),
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
            // The tombstone and its event have been removed in the meantime.
            return Ok(None);
        }
        let purge = purge.ok_or_else(|| Error::IndexUnavailable {
            what: "it contains a purge that is not in the log".into(),
        })?;
        Ok(Some(Tombstone {
            purged_at: clock::from_ms(purge.time_ms),
            reason: PurgeReason::from_stored(purge.why),
        }))
    }

    /// Returns the exact number of jobs in this state, from memory.
    ///
    /// # Errors
    /// [`Error::GraphDropped`], [`Error::Closed`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request, State};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// movie.start(&id)?;
    /// assert_eq!((movie.count(State::Pending)?, movie.count(State::Running)?), (0, 1));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn count(&self, state: State) -> Result<u64> {
        self.check()?;
        Ok(self
            .core
            .state
            .read()
            .status
            .total(States::NONE.with(state)))
    }

    /// Returns the number of jobs that a repair quarantined because their blocks were damaged.
    /// Lists and counts do not include them. Jobs of these blocks that had been purged before the
    /// repair are included. The number is 0 in a store that has never been repaired.
    ///
    /// # Errors
    /// [`Error::GraphDropped`], [`Error::Closed`].
    pub fn quarantined(&self) -> Result<u64> {
        self.check()?;
        Ok(self.core.state.read().quarantined_in(|| 0..u64::MAX))
    }

    /// The masked form of a request, for comparison with stored requests.
    pub(crate) fn masked(&self, request: &Request) -> Request {
        self.engine().secret_keys().masked(request)
    }

    /// Looks up the job with this id, which was chosen by the caller.
    pub(crate) fn look_up(&self, id: &JobId) -> Result<JobLookup> {
        self.check()?;
        let (generation, hash) = (
            self.engine().ids.generation(),
            self.core.id_hash(id.as_str()),
        );
        let found = self.engine().request_of(&self.core, id.as_str())?;
        if found.is_none() {
            self.engine().check_not_purged(&self.core, id)?;
        }
        let generation = match found {
            Some(_) => Some(generation),
            None => self.engine().ids.generation_if_absent(generation, hash),
        };
        Ok(JobLookup { found, generation })
    }

    /// Finds the job with an id passed by a caller. The id may be invalid.
    pub(crate) fn resolve(&self, id: &str) -> Result<(u64, JobId)> {
        self.check_writable()?;
        self.resolve_to_read(id)
    }

    pub(crate) fn resolve_to_read(&self, id: &str) -> Result<(u64, JobId)> {
        let sequence = self.engine().resolve(&self.core, id)?;
        let id = JobId::new(id)?;
        match sequence {
            Some(sequence) => Ok((sequence, id)),
            None => Err(self.not_there(&id)),
        }
    }

    /// The error for an id passed by a caller if there is no such job or the id is invalid.
    #[cfg(feature = "http")]
    pub(crate) fn not_there_by_text(&self, id: &str) -> Error {
        JobId::new(id).map_or_else(|error| error, |id| self.not_there(&id))
    }

    /// The error for an id if there is no such job.
    pub(crate) fn not_there(&self, id: &JobId) -> Error {
        match self.tombstone(id) {
            Ok(Some(tombstone)) => Error::JobPurged {
                id: id.clone(),
                at: tombstone.purged_at,
            },
            Ok(None) => Error::UnknownJob { id: id.to_string() },
            Err(error) => error,
        }
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph")
            .field("project_id", &self.core.project)
            .field("name", &self.core.name)
            .finish_non_exhaustive()
    }
}
