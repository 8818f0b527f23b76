//! Changes that a commit or an open makes to a graph.

use crate::engine::state::unpacked::TailPlace;
use crate::index::rows::{Finished, Tombstone};
use crate::log::fingerprint::Fingerprint;

/// A change of one graph, as recorded in the log, without texts.
#[derive(Clone, Debug)]
pub(crate) enum Change {
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
        tombstone: Option<Tombstone>,
    },
    /// Forgets the job's tombstone, and those of all purges up to this LSN.
    Forgotten {
        sequence: u64,
        through_lsn: u64,
    },
}

impl Change {
    /// Whether it makes a job pending.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self, Change::Submitted { .. } | Change::Requeued { .. })
    }

    pub(crate) fn sequence(&self) -> u64 {
        match *self {
            Change::Submitted { sequence, .. }
            | Change::Started { sequence, .. }
            | Change::CancelRequested { sequence }
            | Change::Completed { sequence, .. }
            | Change::Requeued { sequence }
            | Change::Purged { sequence, .. }
            | Change::Forgotten { sequence, .. } => sequence,
        }
    }
}
