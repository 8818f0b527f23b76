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
    /// The job became pending again. It was requeued when the store was opened, or by its run
    /// ([`Run::requeue`](crate::Run::requeue)).
    Requeued,
    /// The job was purged. This change is reported as long as the job's tombstone is retained;
    /// afterward, the feed may contain a gap instead. A purge is never reported without the job's
    /// `result_ref`.
    #[non_exhaustive]
    Purged {
        /// Why the job was purged.
        reason: PurgeReason,
        /// The job's [`Outcome::result_ref`], so that the engine can delete the result.
        result_ref: Option<String>,
    },
    /// The feed has a gap here: events no longer exist, because their jobs were purged or because a
    /// repair quarantined damaged data that contained the events. The events may have belonged to
    /// this graph or to others. A reader that needs every job must start over from a list.
    #[non_exhaustive]
    Gone {
        /// The number of events missing from the store's log. An event is usually one change, in
        /// this graph or another, but an open or a purge can change many jobs with one event.
        events: u64,
    },
}

impl ChangeKind {
    /// Returns the kind as a word in lower case.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            ChangeKind::Submitted => "submitted",
            ChangeKind::Started => "started",
            ChangeKind::CancelRequested => "cancel_requested",
            ChangeKind::Completed(_) => "completed",
            ChangeKind::Requeued => "requeued",
            ChangeKind::Purged { .. } => "purged",
            ChangeKind::Gone { .. } => "gone",
        }
    }
}
