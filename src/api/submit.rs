// Submitting requests as jobs. If a call returns a job, the job is recorded. If it returns an error
// other than [`Error::CommitUnknown`], nothing was changed.

use crate::api::graph::Graph;
use crate::api::pending_write::PendingWrite;
use crate::api::spans::call_span;
use crate::api::write::{PreparedWrite, unexpected};
use crate::engine::state::calls::WriteResult;
use crate::engine::state::operation::{
    Action, JobLookup, Operation, SMALL_WRITE_BYTES, Submission,
};
use crate::model::error::{Error, Result};
use crate::model::id::JobId;
use crate::model::request::Request;

/// The maximum number of requests in a batch.
const BATCH_REQUESTS_MAX: usize = 100_000;
/// The maximum size of a batch, in bytes. A batch of a single larger request is accepted.
const BATCH_BYTES_MAX: u64 = 256 << 20;

/// Requests that are recorded in one commit.
pub(crate) struct SubmitBatch {
    submissions: Vec<Submission>,
    /// The requests' size in the queue.
    bytes: u64,
}

/// The result of [`Graph::submit_as`] and [`Graph::submit_once`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// The job was recorded.
    Created(JobId),
    /// A job with this id or key and the same request already existed.
    AlreadyExists(JobId),
}

impl Submitted {
    /// Returns the job's id in either case.
    #[must_use]
    pub fn id(&self) -> &JobId {
        match self {
            Submitted::Created(id) | Submitted::AlreadyExists(id) => id,
        }
    }
}

impl Graph {
    /// Records a request as a pending job, and returns the job's id: 55 characters that consist of
    /// the graph's [number](Graph::number) and a version 7 UUID.
    ///
    /// # Durability
    /// When this returns, the job survives a crash of the process and a power failure, unless
    /// [`Durability`](crate::Durability) is set to an interval. Before that, lists do not show the
    /// job. Concurrent calls share one sync.
    ///
    /// # Errors
    /// [`Error::RequestTooLarge`], [`Error::GraphDropped`], and those of every write:
    /// [`Error::DiskFull`] (nothing was recorded), [`Error::CommitUnknown`] (the disk failed:
    /// reopen the store to see whether the job was recorded), [`Error::ReadOnly`],
    /// [`Error::OpenedReadOnly`], [`Error::Removed`], [`Error::Forked`], [`Error::Closed`].
    /// [`Error::IndexUnavailable`] if the index has failed and a million jobs have been submitted
    /// since then.
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
        let id = self.submit_write(request)?.commit(self.engine())?;
        tracing::debug!(job = id.as_str(), "recorded");
        Ok(id)
    }

    /// Submits several requests in one commit: all of them, contiguous and in order, or none. A
    /// batch contains at most 100,000 requests and 256 MiB. An empty batch records nothing.
    ///
    /// # Cost
    /// The whole batch shares one sync, so it takes far less time than calling [`Graph::submit`]
    /// for each request. Other writes wait until the batch has been committed.
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
    /// let ids = movie.submit_all(requests)?; // both are recorded, or neither
    /// assert_eq!(ids.len(), 2);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn submit_all(&self, requests: impl IntoIterator<Item = Request>) -> Result<Vec<JobId>> {
        let _span = call_span!("submit_all", self);
        let batch = self.batch(requests)?;
        if batch.submissions.is_empty() {
            return Ok(Vec::new());
        }
        self.submit_all_write(batch).commit(self.engine())
    }

    pub(crate) fn batch(&self, requests: impl IntoIterator<Item = Request>) -> Result<SubmitBatch> {
        self.check_writable()?;
        let (mut submissions, mut bytes) = (Vec::new(), 0);
        for request in requests {
            let (submission, weight) = self.submission(request)?;
            bytes += weight;
            submissions.push(submission);
            let too_many = submissions.len() > BATCH_REQUESTS_MAX;
            if too_many || (bytes > BATCH_BYTES_MAX && submissions.len() > 1) {
                let (max, unit) = match too_many {
                    true => (BATCH_REQUESTS_MAX as u64, "requests"),
                    false => (BATCH_BYTES_MAX, "bytes"),
                };
                return Err(Error::BatchTooLarge { max, unit });
            }
        }
        Ok(SubmitBatch { submissions, bytes })
    }

    pub(crate) fn submit_all_write(&self, batch: SubmitBatch) -> PreparedWrite<Vec<JobId>> {
        let action = Action::SubmitAll {
            graph: self.core.clone(),
            submissions: batch.submissions,
        };
        let bytes = batch.bytes;
        PreparedWrite::new(Operation { action, bytes }, created_all)
    }

    /// Submits a request under an id chosen by the caller: 1 to 128 characters of `[0-9A-Za-z_-]`.
    ///
    /// If a job with this id and the same request exists, nothing is recorded, so this call can be
    /// retried if its result was lost.
    ///
    /// # Cost
    /// That of [`Graph::submit`], and one lookup. If the id is new, the lookup almost never reads
    /// the disk. In the index, each such job takes up about 10 bytes.
    ///
    /// # Errors
    /// [`Error::JobIdTaken`] if the id belongs to a job with a different request (compared as by
    /// [`Graph::find`]); [`Error::JobIdPurged`] if the job was purged and its tombstone is
    /// retained; those of [`Graph::submit`] and [`Graph::job`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, Error, JobStore, Request, Submitted};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let request = || Request::new("import_graph", "/ges", Body::empty());
    /// movie.submit_as("import-17", request()?)?;
    /// // The result was lost: try again.
    /// let again = movie.submit_as("import-17", request()?)?;
    /// assert!(matches!(again, Submitted::AlreadyExists(_)));
    /// let other = Request::new("clear_graph", "/ges", Body::empty())?;
    /// assert!(matches!(movie.submit_as("import-17", other), Err(Error::JobIdTaken { .. })));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn submit_as(&self, id: impl AsRef<str>, request: Request) -> Result<Submitted> {
        let _span = call_span!("submit", self, id.as_ref());
        let id = JobId::new(id)?;
        let lookup = self.look_up(&id)?;
        match &lookup.found {
            Some(known) if *known == self.masked(&request) => Ok(Submitted::AlreadyExists(id)),
            Some(_) => Err(Error::JobIdTaken { id }),
            None => {
                let write = self.submit_as_write(id, request, lookup)?;
                write.commit(self.engine())
            }
        }
    }

    pub(crate) fn submit_as_write(
        &self,
        id: JobId,
        request: Request,
        lookup: JobLookup,
    ) -> Result<PreparedWrite<Submitted>> {
        self.check_writable()?;
        let (submission, bytes) = self.submission(request)?;
        let action = Action::SubmitAs {
            graph: self.core.clone(),
            id: id.clone(),
            submission,
            lookup,
        };
        let operation = Operation { action, bytes };
        Ok(PreparedWrite::new(operation, |result| {
            submitted(result, id)
        }))
    }

    /// Returns a request in the form in which it is queued, and its size in the queue.
    pub(crate) fn submission(&self, request: Request) -> Result<(Submission, u64)> {
        self.engine().check_index_lag()?;
        let max_bytes = self.engine().options.max_request_bytes;
        let check = |given_bytes: u64| match given_bytes > max_bytes {
            true => Err(Error::RequestTooLarge {
                given_bytes,
                max_bytes,
            }),
            false => Ok(given_bytes),
        };
        check(request.as_json().len() as u64)?;
        let masked_request = self.engine().secret_keys().keep(request);
        // Masking may make short values longer.
        let given_bytes = check(masked_request.bytes())?;
        let submission = Submission::new(self.engine().store, masked_request);
        Ok((submission, given_bytes + SMALL_WRITE_BYTES))
    }

    /// Like [`NonBlocking::submit`](crate::NonBlocking::submit), but returns an error if the queue
    /// is full.
    ///
    /// # Errors
    /// [`Error::Busy`] if the queue is full: nothing was queued. [`Error::RequestTooLarge`],
    /// [`Error::GraphDropped`], [`Error::ReadOnly`], [`Error::IndexUnavailable`],
    /// [`Error::Closed`]. Errors of the commit are returned by the pending write.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, Error, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// match movie.try_submit(Request::new("clear_graph", "/ges", Body::empty())?) {
    ///     Ok(write) => println!("accepted as {}", write.wait()?),
    ///     Err(Error::Busy { .. }) => println!("the queue is full; try again later"),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn try_submit(&self, request: Request) -> Result<PendingWrite<JobId>> {
        PendingWrite::try_new(&self.handle, self.submit_write(request)?)
    }

    pub(crate) fn submit_write(&self, request: Request) -> Result<PreparedWrite<JobId>> {
        self.check_writable()?;
        let (submission, bytes) = self.submission(request)?;
        let graph = self.core.clone();
        let action = Action::Submit { graph, submission };
        Ok(PreparedWrite::new(Operation { action, bytes }, created))
    }
}

fn created(result: Result<WriteResult>) -> Result<JobId> {
    match result? {
        WriteResult::Created(id) => Ok(id),
        _ => Err(unexpected()),
    }
}

fn created_all(result: Result<WriteResult>) -> Result<Vec<JobId>> {
    match result? {
        WriteResult::CreatedAll(ids) => Ok(ids),
        _ => Err(unexpected()),
    }
}

fn submitted(result: Result<WriteResult>, id: JobId) -> Result<Submitted> {
    match result? {
        WriteResult::Exists => Ok(Submitted::AlreadyExists(id)),
        _ => Ok(Submitted::Created(id)),
    }
}
