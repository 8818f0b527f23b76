//! What an open found running.
//!
//! Owns: [`Recovered`] and what was done about each job. Must not know: how they
//! were found.
//! Promise: exactly the jobs that this open found running, no older ones.

use std::fmt;

use crate::api::graph::Graph;
use crate::api::store::JobStore;
use crate::engine::state::recovered::RecoveredJobs;
use crate::log::event::RecoveredAs;
use crate::model::error::Result;
use crate::model::job::Job;
use crate::model::options::Recovery;

impl JobStore {
    /// What this open found running, and what it did about it: see [`Recovered`].
    #[must_use]
    pub fn recovered(&self) -> Recovered<'_> {
        Recovered { store: self }
    }
}

/// What became of a job that an open found running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecoveryAction {
    /// It is complete, as interrupted.
    Interrupted,
    /// It had been asked to stop and is complete, as cancelled.
    Cancelled,
    /// It is pending again.
    Requeued,
    /// It was left running.
    Left,
}

/// The jobs that the open of this store found running: from
/// [`JobStore::recovered`].
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

/// A job that an open found running, as it is now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecoveredJob {
    /// Its graph.
    pub graph: Graph,
    /// The job as it is now.
    pub job: Job,
    /// What the open did about it.
    pub action: RecoveryAction,
}

impl<'s> Recovered<'s> {
    fn found(&self) -> &'s [RecoveredJobs] {
        &self.store.engine().recovered
    }

    /// The number of this open, from 1: [`JobStore::opens`]. The outcomes of the jobs that it
    /// completed have it ([`Outcome::recovered_at_open`](crate::Outcome::recovered_at_open)).
    #[must_use]
    pub fn opens(&self) -> u64 {
        self.store.opens()
    }

    /// What was to be done about them.
    #[must_use]
    pub fn policy(&self) -> Recovery {
        self.store.engine().options.recovery
    }

    /// How many there were, in all graphs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found().iter().map(|found| found.sequences.len()).sum()
    }

    /// Whether there were none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found().is_empty()
    }

    /// The jobs, graph by graph. Each is read when it is asked for; those that were purged
    /// since, or whose graph was dropped, are left out.
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
