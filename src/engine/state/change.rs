//! Changes that a commit or an open makes to a graph.

use crate::engine::state::unpacked::TailPlace;
use crate::index::rows::{Finished, TombstoneRow};
use crate::log::fingerprint::Fingerprint;
use crate::model::job_counts::Happened;
use crate::model::outcome::OutcomeKind;

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
        command: u8,
        wait_ms: Option<u64>,
    },
    CancelRequested {
        sequence: u64,
    },
    Completed {
        sequence: u64,
        finished: Finished,
        command: u8,
        run_ms: Option<u64>,
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

    /// What is counted: the time, the number of the command, and what happened.
    pub(crate) fn happened(&self) -> Option<(u64, u8, Happened)> {
        match *self {
            StateChange::Submitted { place, .. } => {
                Some((place.submitted_ms, place.command, Happened::Submitted))
            }
            StateChange::Started {
                at_ms,
                command,
                wait_ms,
                ..
            } => Some((at_ms, command, Happened::Started { wait_ms })),
            StateChange::Completed {
                finished,
                command,
                run_ms,
                ..
            } => {
                let kind = OutcomeKind::from_stored(finished.kind)?;
                let completed = Happened::Completed { kind, run_ms };
                Some((finished.at_ms, command, completed))
            }
            StateChange::CancelRequested { .. }
            | StateChange::Requeued { .. }
            | StateChange::Purged { .. }
            | StateChange::Forgotten { .. } => None,
        }
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
