//! A graph, and its jobs one by one.
//!
//! Owns: [`Graph`], whether it can be used, and how an id leads to its job or to what is
//! left of it. Must not know: the other calls, which stand each with what they give.
//! Promise: what a call says is so, at that instant.

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

/// A graph of a store, and its jobs.
///
/// Cheap to clone, `Send + Sync`; it keeps the store open. Ids go in as
/// [`&JobId`](JobId) or `&str`.
///
/// Every write here blocks until it is durable; [`Graph::nonblocking`] has the same
/// writes without blocking. What the calls are for, in the order of a job's life, is in the
/// [crate's documentation](crate#from-a-request-to-its-end).
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

    /// The id of the project it belongs to: 1 to 255 bytes.
    #[must_use]
    pub fn project_id(&self) -> &str {
        &self.core.project
    }

    /// Its name: 1 to 255 bytes.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// The 19 digits that the ids it makes begin with: drawn when it was made, and the
    /// same in every copy of the store.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.core.ids.number()
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.engine().check_open()?;
        if self.core.is_dropped() {
            return Err(Error::GraphDropped {
                graph: self.core.name.to_string(),
            });
        }
        Ok(())
    }

    pub(crate) fn check_writable(&self) -> Result<()> {
        self.check()?;
        self.engine().check_writable()
    }

    /// A job by its id, as it is now; `None` when there is none. One that was purged is
    /// none, too: [`Graph::tombstone`] tells them apart.
    ///
    /// # Cost
    /// Ids that the graph made lead to their job without the index; one block is
    /// read and decompressed. Times and outcome are a row of the index.
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

    /// What is left of the job that had this id, if it was purged and its tombstone is
    /// still kept ([`Retention::max_tombstones`](crate::Retention::max_tombstones));
    /// `None` for a job that is there and for an id that is not known.
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
            what: "it contains a purge that is not in the log".into(),
        })?;
        Ok(Some(Tombstone {
            purged_at: clock::from_ms(purge.time_ms),
            reason: PurgeReason::from_stored(purge.why),
        }))
    }

    /// How many jobs are in this state: exactly, a number in memory.
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

    /// The number of the graph's jobs that a repair has quarantined because their blocks
    /// were damaged: no list or count includes them. 0 in a store that was never repaired.
    ///
    /// # Errors
    /// [`Error::GraphDropped`], [`Error::Closed`].
    pub fn quarantined(&self) -> Result<u64> {
        self.check()?;
        Ok(self.core.state.read().quarantined_in(|| 0..u64::MAX))
    }

    /// A request as it may be shown, to be compared with what is stored.
    pub(crate) fn masked(&self, request: &Request) -> Request {
        self.engine().options.secret_keys.masked(request)
    }

    /// The job an engine's id belongs to already.
    pub(crate) fn look_up(&self, id: &JobId) -> Result<JobLookup> {
        self.check()?;
        let generation = self.engine().ids.generation();
        let found = self.engine().request_of(&self.core, id.as_str())?;
        if found.is_none() {
            self.engine().check_not_purged(&self.core, id)?;
        }
        Ok(JobLookup { found, generation })
    }

    /// The job an id that comes from outside belongs to.
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

    /// Why there is no job with an id that comes from outside.
    #[cfg(feature = "http")]
    pub(crate) fn not_there_by_text(&self, id: &str) -> Error {
        JobId::new(id).map_or_else(|error| error, |id| self.not_there(&id))
    }

    /// Why there is no job with this id.
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
