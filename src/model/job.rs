//! A recorded job as its readers see it.
//!
//! Owns: [`Job`], [`State`], [`Progress`]. Must not know: where it was read from.
//! Promise: times and outcome never show more than the job's state at the instant
//! it was read.

use std::fmt;
use std::time::SystemTime;

use crate::model::id::JobId;
use crate::model::outcome::Outcome;
use crate::model::request::Request;
use crate::model::secrets::SecretKeys;
use crate::model::states::State;

/// How far a running job says it is. Kept in memory only, and no part of the
/// instant that a page shows.
#[derive(Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Progress {
    /// 0 to 100.
    pub percent: u8,
    /// A few words, at most 256 bytes.
    pub text: String,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Progress({} %)", self.percent)
    }
}

/// A job: its request, its state, and what is known of its life, as it was when it was read.
///
/// Cheap to clone, and it keeps no file open. `Debug` never shows the body.
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
    /// What may be shown of it.
    pub(crate) masked: Request,
    pub(crate) secrets_lost: bool,
    /// What is masked of its outcome's detail.
    pub(crate) secret_keys: SecretKeys,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) progress: Option<Progress>,
    pub(crate) cancel_requested: bool,
    pub(crate) submitted_at: SystemTime,
    pub(crate) started_at: Option<SystemTime>,
    pub(crate) completed_at: Option<SystemTime>,
}

impl Job {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// Its place in the graph's order, from 0; never given twice.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The request it was made for, to the letter, with the secrets it carries: for who
    /// works on it. For all that leaves the process see [`Job::masked_request`].
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The same with `"******"` in place of every value under a key that was secret when
    /// it was submitted ([`Options::secret_keys`](crate::Options::secret_keys), which has an
    /// example): as it is listed and exported.
    #[must_use]
    pub fn masked_request(&self) -> &Request {
        &self.masked
    }

    /// Whether secrets that the request carried are not known here: it was masked at
    /// submit ([`Secrets::MaskAtSubmit`](crate::Secrets::MaskAtSubmit)), or before it came
    /// here. [`Job::request`] has `"******"` in their place, and no recovery makes the job
    /// pending again.
    #[must_use]
    pub fn secrets_lost(&self) -> bool {
        self.secrets_lost
    }

    /// How it ended; there if it is complete, and only then.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// How far it says it is, while it is running under a [`Run`](crate::Run) of
    /// this process that said so ([`Run::progress`](crate::Run::progress)).
    #[must_use]
    pub fn progress(&self) -> Option<&Progress> {
        self.progress.as_ref()
    }

    /// Whether it is running and was asked to stop ([`Graph::cancel`](crate::Graph::cancel)).
    #[must_use]
    pub fn cancel_requested(&self) -> bool {
        self.cancel_requested
    }

    /// When it was recorded, to the millisecond, by the store's clock
    /// ([`Options::clock`](crate::Options::clock)).
    #[must_use]
    pub fn submitted_at(&self) -> SystemTime {
        self.submitted_at
    }

    /// When it was started, to the millisecond, if it was; of one that was started again,
    /// the last time.
    #[must_use]
    pub fn started_at(&self) -> Option<SystemTime> {
        self.started_at
    }

    /// When it ended, to the millisecond, if it did.
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
