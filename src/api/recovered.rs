// The jobs that this open found running, and what it did with each of them.

use std::fmt;

use crate::api::graph::Graph;
use crate::api::store::JobStore;
use crate::engine::state::recovered::RecoveredJobs;
use crate::log::event::RecoveredAs;
use crate::model::error::Result;
use crate::model::job::Job;
use crate::model::options::Recovery;

impl JobStore {
    /// Returns the jobs that this open found running, and what it did with them.
    #[must_use]
    pub fn recovered(&self) -> Recovered<'_> {
        Recovered { store: self }
    }
}

/// What an open did with a job that it found running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecoveryAction {
    /// The job was completed as interrupted.
    Interrupted,
    /// The job had a cancel request, and was completed as canceled.
    Cancelled,
    /// The job became pending again.
    Requeued,
    /// The job was left running.
    Left,
}

/// The jobs that this open of the store found running: returned by [`JobStore::recovered`].
///
/// # Examples
/// ```
/// # let store = jobstore::JobStore::in_memory()?;
/// let recovered = store.recovered();
/// println!("open {} found {} jobs running", recovered.opens(), recovered.len());
/// for found in recovered.jobs() {
///     let found = found?;
///     println!("{} was {:?}", found.job.id(), found.action);
/// }
/// # Ok::<(), jobstore::Error>(())
/// ```
pub struct Recovered<'s> {
    store: &'s JobStore,
}

/// A job that an open found running.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecoveredJob {
    /// The job's graph.
    pub graph: Graph,
    /// The job in its current state.
    pub job: Job,
    /// What the open did with it.
    pub action: RecoveryAction,
}

impl<'s> Recovered<'s> {
    fn found(&self) -> &'s [RecoveredJobs] {
        &self.store.engine().recovered
    }

    /// Returns the number of this open, starting at 1: [`JobStore::opens`]. The outcomes recorded
    /// by this open contain this number
    /// ([`Outcome::recovered_at_open`](crate::Outcome::recovered_at_open)).
    #[must_use]
    pub fn opens(&self) -> u64 {
        self.store.opens()
    }

    /// Returns the recovery policy of this open.
    #[must_use]
    pub fn policy(&self) -> Recovery {
        self.store.engine().options.recovery
    }

    /// Returns the number of jobs that this open found running, in all graphs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found().iter().map(|found| found.sequences.len()).sum()
    }

    /// Returns `true` if this open found no running jobs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found().is_empty()
    }

    /// Returns an iterator over the jobs, graph by graph. Each job is read when the iterator
    /// reaches it. Jobs that were purged in the meantime, or whose graph was dropped, are skipped.
    ///
    /// # Errors
    /// Each item can be [`Error::Damaged`], [`Error::Io`], [`Error::IndexUnavailable`] or
    /// [`Error::Closed`].
    ///
    /// [`Error::Damaged`]: crate::Error::Damaged
    /// [`Error::Io`]: crate::Error::Io
    /// [`Error::IndexUnavailable`]: crate::Error::IndexUnavailable
    /// [`Error::Closed`]: crate::Error::Closed
    pub fn jobs(&self) -> impl Iterator<Item = Result<RecoveredJob>> + use<'s> {
        let store = self.store;
        self.found().iter().flat_map(move |found| {
            let graph = store.engine().graph(found.graph);
            let graph = graph.map(|core| Graph::new(store.handle(), &core));
            let action = match found.action {
                Some(RecoveredAs::Interrupted) => RecoveryAction::Interrupted,
                Some(RecoveredAs::Cancelled) => RecoveryAction::Cancelled,
                Some(RecoveredAs::Requeued) => RecoveryAction::Requeued,
                None => RecoveryAction::Left,
            };
            let jobs = graph.into_iter().flat_map(|graph| {
                let sequences = found.sequences.iter();
                sequences.map(move |&sequence| (graph.clone(), sequence))
            });
            jobs.filter_map(move |(graph, sequence)| {
                let job = store
                    .engine()
                    .check_open()
                    .and_then(|()| store.engine().job(&graph.core, sequence));
                let job = job.transpose()?;
                Some(job.map(|job| RecoveredJob { graph, job, action }))
            })
        })
    }
}

impl fmt::Debug for Recovered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovered")
            .field("opens", &self.opens())
            .field("policy", &self.policy())
            .field("len", &self.len())
            .finish()
    }
}
