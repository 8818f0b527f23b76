//! Changes that a commit or an open makes to a graph.

use crate::engine::state::unpacked::TailPlace;
use crate::index::rows::{Finished, TombstoneRow};
use crate::log::fingerprint::Fingerprint;

/// A change of one graph, as recorded in the log, but without the jobs' texts.
#[derive(Clone, Debug)]
pub(crate) enum StateChange {
    Submitted {
        sequence: u64,
        place: TailPlace,
        fingerprint: Fingerprint,
    },
    Started {
        sequence: u64,
        at_ms: u64,
    },
    CancelRequested {
        sequence: u64,
    },
    Completed {
        sequence: u64,
        finished: Finished,
    },
    Requeued {
        sequence: u64,
    },
    Purged {
        sequence: u64,
        tombstone: Option<TombstoneRow>,
    },
    /// Forgets the tombstone of this job, and the tombstones of all purges up to this LSN.
    Forgotten {
        sequence: u64,
        through_lsn: u64,
    },
}

impl StateChange {
    /// Whether the change makes a job pending.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(
            self,
            StateChange::Submitted { .. } | StateChange::Requeued { .. }
        )
    }

    pub(crate) fn sequence(&self) -> u64 {
        match *self {
            StateChange::Submitted { sequence, .. }
            | StateChange::Started { sequence, .. }
            | StateChange::CancelRequested { sequence }
            | StateChange::Completed { sequence, .. }
            | StateChange::Requeued { sequence }
            | StateChange::Purged { sequence, .. }
            | StateChange::Forgotten { sequence, .. } => sequence,
        }
    }
}
