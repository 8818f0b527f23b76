//! [`CommitChanges`]: what a commit changes, for its publication.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::state::change::StateChange;
use crate::engine::state::claim::Claim;
use crate::engine::state::graph::GraphCore;
use crate::index::sorted_runs::Pair;
use crate::log::clock_mark::ClockMark;

/// Everything that becomes visible with one frame of the log.
#[derive(Default)]
pub(crate) struct CommitChanges {
    /// Changes of jobs, in order. The places of submissions are relative to the frame.
    pub(crate) jobs: Vec<(Arc<GraphCore>, StateChange)>,
    pub(crate) created: Vec<Arc<GraphCore>>,
    pub(crate) dropped: Vec<Arc<GraphCore>>,
    /// Commands that were assigned a number.
    pub(crate) commands: Vec<(Arc<GraphCore>, u8, Arc<str>)>,
    /// External ids and idempotency keys that were added.
    pub(crate) external_ids: Vec<Pair>,
    /// For each job started for a claim that can be withdrawn: the claim.
    pub(crate) claims: HashMap<(u32, u64), Arc<Claim>>,
    /// The clocks before the time that the age clock did not count was confirmed, if it was.
    pub(crate) confirmed: Option<ClockMark>,
}
