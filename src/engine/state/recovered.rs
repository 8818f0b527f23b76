//! The jobs that an open found running.

use crate::log::event::RecoveredAs;

/// Jobs of a graph that an open found running or in doubt.
pub(crate) struct RecoveredJobs {
    /// The graph's number, rather than the graph itself, because the graph may be dropped.
    pub(crate) graph: u32,
    /// What was done with the jobs; `None` if they were left running.
    pub(crate) action: Option<RecoveredAs>,
    pub(crate) sequences: Vec<u64>,
}
