//! The jobs that an open found running.

use crate::log::event::RecoveredAs;

/// Jobs of a graph that an open found running or in doubt.
pub(crate) struct RecoveredJobs {
    /// The graph's number, because the graph may be dropped.
    pub(crate) graph: u32,
    /// `None`: the jobs were left running.
    pub(crate) action: Option<RecoveredAs>,
    pub(crate) sequences: Vec<u64>,
}
