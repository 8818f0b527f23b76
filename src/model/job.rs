// A recorded job as it is read.
//
// The times and the outcome match the job's state at the instant at which the job was read. They
// never show a later change.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::model::id::JobId;
use crate::model::outcome::Outcome;
use crate::model::request::Request;
use crate::model::secrets::SecretKeys;
use crate::model::states::State;

/// The progress that a running job has reported. It is kept only in memory, and is not part of a
/// page's snapshot.
#[derive(Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Progress {
    /// 0 to 100.
    pub percent: u8,
    /// A short text of at most 256 bytes.
    pub text: String,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Progress({} %)", self.percent)
    }
}

/// A job as of the time it was read: its request, state, outcome, and times.
///
/// A job is cheap to clone and keeps no file open. `Debug` never shows the body.
///
/// # Examples
/// ```
/// use jobstore::{Body, JobStore, Outcome, Request, State};
/// # let store = JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
/// movie.claim(&id)?.complete(Outcome::succeeded())?;
/// if let Some(job) = movie.job(&id)? {
///     assert_eq!(job.state(), State::Complete);
///     println!("{} {:?}", job.request().command(), job.outcome());
///     println!("from {:?} to {:?}", job.started_at(), job.completed_at());
/// }
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone)]
pub struct Job {
    pub(crate) id: JobId,
    pub(crate) sequence: u64,
    pub(crate) state: State,
    pub(crate) request: Request,
    /// The request with its secrets masked.
    pub(crate) masked: Request,
    pub(crate) secrets_lost: bool,
    /// The keys whose values are masked in the outcome's detail.
    pub(crate) secret_keys: Arc<SecretKeys>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) progress: Option<Progress>,
    pub(crate) cancel_requested: bool,
    pub(crate) submitted_at: SystemTime,
    pub(crate) started_at: Option<SystemTime>,
    pub(crate) completed_at: Option<SystemTime>,
}

impl Job {
    /// Returns the job's id.
    #[must_use]
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// Returns the job's position in the order of the graph's jobs, starting at 0. Numbers are
    /// never reused.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns the job's state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns the request exactly as submitted, secrets included, for the worker. For anything
    /// that leaves the process, use [`Job::masked_request`].
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Returns the request with `"******"` in place of every value under a key that was secret when
    /// the request was submitted ([`Options::secret_keys`](crate::Options::secret_keys)). Lists and
    /// exports show it in this form.
    #[must_use]
    pub fn masked_request(&self) -> &Request {
        &self.masked
    }

    /// Returns `true` if the store does not contain the request's secrets, because they were masked
    /// at submit ([`Secrets::MaskAtSubmit`](crate::Secrets::MaskAtSubmit)) or before the job was
    /// imported. [`Job::request`] then contains `"******"`, and recovery interrupts the job instead
    /// of requeueing it.
    #[must_use]
    pub fn secrets_lost(&self) -> bool {
        self.secrets_lost
    }

    /// Returns the outcome if the job is complete, and `None` otherwise.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Returns the latest progress reported by the job's [`Run`](crate::Run) in this process
    /// ([`Run::progress`](crate::Run::progress)), if the job is running.
    #[must_use]
    pub fn progress(&self) -> Option<&Progress> {
        self.progress.as_ref()
    }

    /// Returns `true` if the job is running and a cancel request was recorded for it
    /// ([`Graph::cancel`](crate::Graph::cancel)).
    #[must_use]
    pub fn cancel_requested(&self) -> bool {
        self.cancel_requested
    }

    /// Returns the time of submission, to the millisecond, by the store's clock
    /// ([`Options::clock`](crate::Options::clock)).
    #[must_use]
    pub fn submitted_at(&self) -> SystemTime {
        self.submitted_at
    }

    /// Returns the time of the last start, to the millisecond, if the job has been started.
    #[must_use]
    pub fn started_at(&self) -> Option<SystemTime> {
        self.started_at
    }

    /// Returns the time of completion, to the millisecond, if the job is complete.
    #[must_use]
    pub fn completed_at(&self) -> Option<SystemTime> {
        self.completed_at
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.id)
            .field("sequence", &self.sequence)
            .field("state", &self.state)
            .field("request", &self.request)
            .field("outcome", &self.outcome)
            .field("cancel_requested", &self.cancel_requested)
            .field("secrets_lost", &self.secrets_lost)
            .finish_non_exhaustive()
    }
}
