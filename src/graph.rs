//! A graph's jobs: the calls an engine makes all day.
//!
//! Owns: [`Graph`] and what its calls answer. Must not know: how a
//! write becomes durable.
//! Promise: what a call says is so; what it refuses changed nothing.

use std::fmt;
use std::sync::Arc;

use crate::engine::answers::Answer;
use crate::engine::graph_state::GraphCore;
use crate::engine::queue::{Action, Looked, Operation, SMALL_WRITE_BYTES, Submission};
use crate::engine::read::Snapshot;
use crate::engine::status::States;
use crate::engine::{Engine, Handle, listing};
use crate::error::{Error, Result};
use crate::id::JobId;
use crate::job::{Job, State};
use crate::list::List;
use crate::page::Page;
use crate::queue::Queue;
use crate::request::Request;
use crate::spans::call_span;
use crate::ticket::Ticket;

/// Requests in one batch.
const BATCH_REQUESTS_MAX: usize = 100_000;
/// Bytes of requests in one batch; a single larger request is still let in.
const BATCH_BYTES_MAX: u64 = 256 << 20;

/// A graph of a store, and its jobs.
///
/// Cheap to clone, `Send + Sync`; it keeps the store open. Ids go in as
/// [`&JobId`](JobId) or `&str`.
///
/// Every write here blocks until it is durable; [`Graph::queue`] has the same
/// writes without blocking. What the calls are for, in the order of a job's life, is in the
/// [crate's documentation](crate#from-a-request-to-its-end).
///
/// # Examples
/// ```
/// use jobstore::{Body, JobStore, List, Outcome, Request, State};
/// # let store = JobStore::in_memory()?;
/// let movie = store.create_graph("10001", "movie")?;
/// let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
/// movie.start(&id)?;
/// movie.complete(&id, Outcome::succeeded())?;
/// assert_eq!(movie.count(State::Complete)?, 1);
/// for job in &movie.list(List::new().newest_first().limit(10))? {
///     println!("{:?}", job?.outcome());
/// }
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone)]
pub struct Graph {
    pub(crate) handle: Arc<Handle>,
    pub(crate) core: Arc<GraphCore>,
}

/// What [`Graph::submit_as`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// The job was recorded.
    Created(JobId),
    /// A job with this id and the same request is there already.
    AlreadyExists(JobId),
}

impl Submitted {
    /// The job's id, either way.
    #[must_use]
    pub fn id(&self) -> &JobId {
        match self {
            Submitted::Created(id) | Submitted::AlreadyExists(id) => id,
        }
    }
}

impl Graph {
    pub(crate) fn new(handle: &Arc<Handle>, core: &Arc<GraphCore>) -> Graph {
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
                graph: self.core.name.clone(),
            });
        }
        Ok(())
    }

    pub(crate) fn check_writable(&self) -> Result<()> {
        self.check()?;
        self.engine().check_writable()
    }

    /// Records a request as a pending job and gives it an id: 55 characters, the
    /// graph's [number](Graph::number) and a version 7 UUID.
    ///
    /// # Durability
    /// When this returns, the job survives a kill of the process and a power cut
    /// ([`Durability`](crate::Durability) says what interval mode can lose). No
    /// list shows it before. Calls that come together share one sync.
    ///
    /// # Errors
    /// [`Error::RequestTooLarge`], [`Error::GraphDropped`], and those of every
    /// write: [`Error::DiskFull`] (nothing recorded), [`Error::CommitUnknown`] (the
    /// disk failed: reopen and look), [`Error::ReadOnly`], [`Error::Closed`]. A
    /// million jobs after the index failed, [`Error::IndexUnavailable`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request, State};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let url = "/ges/v1.0/10001/graphs/movie/action?action_id=import-graph";
    /// let body = Body::from_json(r#"{"edgesetPath": "movies/edges.csv"}"#)?;
    /// let id = movie.submit(Request::new("import_graph", url, body)?)?; // durable now
    /// println!("accepted as {id}");
    /// assert_eq!(movie.count(State::Pending)?, 1);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn submit(&self, request: Request) -> Result<JobId> {
        let _span = call_span!("submit", self);
        let id = created(self.engine().commit(self.submit_operation(request)?))?;
        tracing::debug!(job = id.as_str(), "recorded");
        Ok(id)
    }

    /// Records several requests in one commit: all of them, in their order and next
    /// to each other, or none. At most 100000 requests and 256 MiB; of none nothing is
    /// recorded.
    ///
    /// # Cost
    /// One sync for all: for many requests far less than as many [`Graph::submit`]s.
    /// Other writes wait meanwhile.
    ///
    /// # Errors
    /// [`Error::BatchTooLarge`], and those of [`Graph::submit`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request, Result};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let request = |path: &str| Request::new("import_graph", "/ges", Body::from_value(&[path])?);
    /// let requests: Vec<Request> = ["a.csv", "b.csv"].map(request).into_iter().collect::<Result<_>>()?;
    /// let ids = movie.submit_all(requests)?; // both, or an error and none
    /// assert_eq!(ids.len(), 2);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn submit_all(&self, requests: impl IntoIterator<Item = Request>) -> Result<Vec<JobId>> {
        let _span = call_span!("submit_all", self);
        let operation = self.submit_all_operation(requests)?;
        if is_empty_batch(&operation) {
            return Ok(Vec::new());
        }
        created_all(self.engine().commit(operation))
    }

    /// Records a request under the engine's own id: 1 to 128 characters of
    /// `[0-9A-Za-z_-]`.
    ///
    /// A job with this id and the same request is left as it is; so this call can
    /// be repeated when its answer was lost.
    ///
    /// # Cost
    /// That of [`Graph::submit`], and of looking the id up: nothing on the disk for
    /// nearly every id that is new. About 10 bytes a job in the index.
    ///
    /// # Errors
    /// [`Error::JobIdTaken`] when the id belongs to a job with another request (compared
    /// as by [`Graph::find`]), [`Error::JobIdPurged`] while a purged job's tombstone has
    /// it; those of [`Graph::submit`] and of looking an id up ([`Graph::job`]).
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, Error, JobStore, Request, Submitted};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let request = || Request::new("import_graph", "/ges", Body::empty());
    /// movie.submit_as("import-17", request()?)?;
    /// // The answer was lost: try again.
    /// let again = movie.submit_as("import-17", request()?)?;
    /// assert!(matches!(again, Submitted::AlreadyExists(_)));
    /// let other = Request::new("clear_graph", "/ges", Body::empty())?;
    /// assert!(matches!(movie.submit_as("import-17", other), Err(Error::JobIdTaken { .. })));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn submit_as(&self, id: impl AsRef<str>, request: Request) -> Result<Submitted> {
        let _span = call_span!("submit", self, id.as_ref());
        let id = JobId::new(id)?;
        let looked = self.look(&id)?;
        match &looked.found {
            Some(known) if *known == self.masked(&request) => Ok(Submitted::AlreadyExists(id)),
            Some(_) => Err(Error::JobIdTaken { id }),
            None => {
                let operation = self.submit_as_operation(&id, request, looked)?;
                submitted(self.engine().commit(operation), id)
            }
        }
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

    /// Some of the graph's jobs at one instant.
    ///
    /// # Ordering
    /// By the order of their commits: oldest first, or [`List::newest_first`].
    ///
    /// # Cost
    /// By state and order alone, a copy of the states of the jobs shown, under a lock that
    /// writers wait for: microseconds, whatever the offset. What other filters cost, says
    /// [`List`]. The jobs are read as the page is.
    ///
    /// # Errors
    /// [`Error::PageLimit`], [`Error::InvalidCursor`], [`Error::GraphDropped`],
    /// [`Error::Closed`]. Of a list that scans or has a limit in bytes also
    /// [`Error::Damaged`], [`Error::Io`] and [`Error::IndexUnavailable`]; of one by
    /// [`List::body_value`] [`Error::InvalidPointer`], [`Error::InvalidJson`] and
    /// [`Error::TooDeep`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, List, Request, State};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// // What is still to be done, and how much of it there is.
    /// let list = List::new().state(State::Pending).state(State::Running);
    /// let page = movie.list(list.limit(10))?;
    /// println!("{} of {:?}", page.len(), page.total());
    /// page.write_json(std::io::stdout().lock())?; // {"jobs":[...],"result":"success"}
    /// # assert_eq!(page.total(), Some(1));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn list(&self, list: List) -> Result<Page> {
        let _span = call_span!("list", self);
        self.check()?;
        list.check()?;
        listing::page(self, &list)
    }

    /// The page that shows one job: the one with this id.
    ///
    /// # Cost
    /// That of [`Graph::job`].
    ///
    /// # Errors
    /// [`Error::UnknownJob`], [`Error::JobPurged`], and those of [`Graph::job`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request};
    /// let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// movie.submit_as("import-1", Request::new("import_graph", "/ges", Body::empty())?)?;
    /// let json = movie.list_one("import-1")?.to_json()?;
    /// assert!(json.starts_with(br#"{"jobs":[{"jobId":"import-1","status":"pending","#));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn list_one(&self, id: impl AsRef<str>) -> Result<Page> {
        let _span = call_span!("list", self, id.as_ref());
        self.check()?;
        let (sequence, id) = self.resolve_to_read(id.as_ref())?;
        let snapshot = Snapshot::one(&self.core, sequence);
        let snapshot = snapshot.ok_or_else(|| self.not_there(&id))?;
        Ok(Page {
            graph: self.clone(),
            snapshot: Arc::new(snapshot),
            total: Some(1),
            set_aside: 0,
            next: None,
            is_stopped: false,
        })
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

    /// How many of the graph's jobs a repair has set aside, because their blocks
    /// were damaged: no list shows them, and no count has them. 0 in a store that
    /// was never repaired.
    ///
    /// # Errors
    /// [`Error::GraphDropped`], [`Error::Closed`].
    pub fn set_aside(&self) -> Result<u64> {
        self.check()?;
        Ok(self.core.state.read().set_aside_in(|| 0..u64::MAX))
    }

    /// The same writes for engines that must not block: each is queued and gives a
    /// [`Ticket`], which is a future and can be waited for. See [`Queue`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let ticket = movie.queue().submit(Request::new("clear_graph", "/ges", Body::empty())?);
    /// let id = ticket.wait()?; // in an async engine: `ticket.await?`
    /// # assert!(movie.job(&id)?.is_some());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn queue(&self) -> Queue<'_> {
        Queue::new(self)
    }

    /// Queues a request like [`Queue::submit`], but refuses it when the queue is
    /// full.
    ///
    /// # Errors
    /// [`Error::Busy`], and then nothing was queued; [`Error::RequestTooLarge`],
    /// [`Error::GraphDropped`], [`Error::ReadOnly`], [`Error::IndexUnavailable`],
    /// [`Error::Closed`]. Those of the commit come from the ticket.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, Error, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// match movie.try_submit(Request::new("clear_graph", "/ges", Body::empty())?) {
    ///     Ok(ticket) => println!("accepted as {}", ticket.wait()?),
    ///     Err(Error::Busy { .. }) => println!("too much at once: try again later"),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn try_submit(&self, request: Request) -> Result<Ticket<JobId>> {
        Ticket::try_new(&self.handle, self.submit_operation(request)?, created)
    }

    // What the blocking calls and the queued ones share.

    /// A request as it may be shown, to be compared with what is stored.
    pub(crate) fn masked(&self, request: &Request) -> Request {
        self.engine().options.secret_keys.masked(request)
    }

    /// A request as it is queued, and what it weighs there.
    pub(crate) fn submission(&self, request: Request) -> Result<(Submission, u64)> {
        self.engine().check_index_lag()?;
        let max_bytes = self.engine().options.request_bytes_max;
        let check = |given_bytes: u64| match given_bytes > max_bytes {
            true => Err(Error::RequestTooLarge {
                given_bytes,
                max_bytes,
            }),
            false => Ok(given_bytes),
        };
        check(request.as_json().len() as u64)?;
        let kept = self.engine().options.secret_keys.keep(request);
        // Where short values are masked it grows.
        let given_bytes = check(kept.bytes())?;
        let submission = Submission::new(self.engine().store, kept);
        Ok((submission, given_bytes + SMALL_WRITE_BYTES))
    }

    pub(crate) fn submit_operation(&self, request: Request) -> Result<Operation> {
        self.check_writable()?;
        let (submission, bytes) = self.submission(request)?;
        let graph = self.core.clone();
        Ok(Operation {
            action: Action::Submit { graph, submission },
            bytes,
        })
    }

    pub(crate) fn submit_all_operation(
        &self,
        requests: impl IntoIterator<Item = Request>,
    ) -> Result<Operation> {
        self.check_writable()?;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for request in requests {
            let (submission, weight) = self.submission(request)?;
            bytes += weight;
            batch.push(submission);
            let too_many = batch.len() > BATCH_REQUESTS_MAX;
            if too_many || (bytes > BATCH_BYTES_MAX && batch.len() > 1) {
                let (max, unit) = match too_many {
                    true => (BATCH_REQUESTS_MAX as u64, "requests"),
                    false => (BATCH_BYTES_MAX, "bytes"),
                };
                return Err(Error::BatchTooLarge { max, unit });
            }
        }
        let graph = self.core.clone();
        let action = Action::SubmitAll {
            graph,
            submissions: batch,
        };
        Ok(Operation { action, bytes })
    }

    pub(crate) fn submit_as_operation(
        &self,
        id: &JobId,
        request: Request,
        looked: Looked,
    ) -> Result<Operation> {
        self.check_writable()?;
        let (submission, bytes) = self.submission(request)?;
        let action = Action::SubmitAs {
            graph: self.core.clone(),
            id: id.clone(),
            submission,
            looked,
        };
        Ok(Operation { action, bytes })
    }

    /// The job an engine's id belongs to already.
    pub(crate) fn look(&self, id: &JobId) -> Result<Looked> {
        self.check()?;
        let generation = self.engine().ids.generation();
        let found = self.engine().request_of(&self.core, id.as_str())?;
        if found.is_none() {
            self.engine().check_not_purged(&self.core, id)?;
        }
        Ok(Looked { found, generation })
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
            Ok(Some(stone)) => Error::JobPurged {
                id: id.clone(),
                at: stone.purged_at,
            },
            Ok(None) => Error::UnknownJob { id: id.to_string() },
            Err(error) => error,
        }
    }
}

fn is_empty_batch(operation: &Operation) -> bool {
    matches!(&operation.action, Action::SubmitAll { submissions, .. } if submissions.is_empty())
}

pub(crate) fn created(answer: Result<Answer>) -> Result<JobId> {
    match answer? {
        Answer::Created(id) => Ok(id),
        _ => Err(unexpected()),
    }
}

/// The committer answers each write in its own way; anything else is our mistake.
pub(crate) fn unexpected() -> Error {
    Error::InvalidUse {
        what: "the store gave an answer to another question; please report this",
    }
}

pub(crate) fn created_all(answer: Result<Answer>) -> Result<Vec<JobId>> {
    match answer? {
        Answer::CreatedAll(ids) => Ok(ids),
        _ => Err(unexpected()),
    }
}

pub(crate) fn submitted(answer: Result<Answer>, id: JobId) -> Result<Submitted> {
    match answer? {
        Answer::Exists => Ok(Submitted::AlreadyExists(id)),
        _ => Ok(Submitted::Created(id)),
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
