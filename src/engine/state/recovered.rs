//! What an open found running.

use crate::log::event::RecoveredAs;

/// Jobs of a graph that an open found running or in doubt.
pub(crate) struct RecoveredJobs {
    /// Its number, for it may be dropped.
    pub(crate) graph: u32,
    /// `None`: they were left running.
    pub(crate) action: Option<RecoveredAs>,
    pub(crate) sequences: Vec<u64>,
}
