//! What can happen to a job.
//!
//! Owns: [`ChangeKind`]. Must not know: where a change stands in a feed.
//! Promise: a gap is a kind of its own, and is never mistaken for a time without changes.

use crate::model::outcome::Outcome;
use crate::model::retention::PurgeReason;

/// What happened to a job.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// It was recorded, as pending.
    Submitted,
    /// It began to run.
    Started,
    /// It was asked to stop.
    CancelRequested,
    /// It is complete.
    Completed(Outcome),
    /// It is pending again: made so by an open or by its run
    /// ([`Run::requeue`](crate::Run::requeue)).
    Requeued,
    /// It was purged. Told as long as its tombstone is kept; whoever comes later may find a
    /// gap here, and never a purge without the reference it had.
    #[non_exhaustive]
    Purged {
        /// Why.
        reason: PurgeReason,
        /// Where the engine keeps its result, for the engine to delete.
        result_ref: Option<String>,
    },
    /// The feed has a gap here: events of the store, of this graph or of others, no longer
    /// exist, because their jobs were purged, or were lost and quarantined by a repair. A
    /// reader that has to know everything starts over from a list.
    #[non_exhaustive]
    Gone {
        /// How many events of the store's log. Each is a change, of this graph or another,
        /// but for those of an open and of a purge, which are changes of many jobs each.
        events: u64,
    },
}
