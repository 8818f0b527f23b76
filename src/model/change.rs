// The kinds of changes in a feed. A gap is a kind of its own, so that it is not mistaken for a time
// without changes.

use crate::model::outcome::Outcome;
use crate::model::retention::PurgeReason;

/// What happened to a job, or to the feed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// The job was recorded as pending.
    Submitted,
    /// The job was started.
    Started,
    /// A cancel request was recorded for the running job.
    CancelRequested,
    /// The job was completed.
    Completed(Outcome),
    /// The job is pending again. It was requeued by an
    /// open or by its run ([`Run::requeue`](crate::Run::requeue)).
    Requeued,
    /// The job was purged. Reported as long as its tombstone is retained; afterward, the feed may
    /// have a gap instead. A purge is never reported without the job's `result_ref`.
    #[non_exhaustive]
    Purged {
        /// Why it was purged.
        reason: PurgeReason,
        /// The job's [`Outcome::result_ref`], so that the engine can delete the result.
        result_ref: Option<String>,
    },
    /// The feed has a gap here: events no longer exist, because their jobs were purged, or because
    /// the events were lost and a repair quarantined the damage. The events may have belonged to
    /// this graph or to others. A reader that needs every job starts over from a list.
    #[non_exhaustive]
    Gone {
        /// Number of missing events in the store's log. Each is one change, of this graph or
        /// another, except that an open and a purge change many jobs with one event.
        events: u64,
    },
}
