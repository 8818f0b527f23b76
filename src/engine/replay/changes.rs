//! The changes of states that an event records.

use std::path::Path;

use crate::engine::state::change::StateChange;
use crate::index::rows::{Finished, TombstoneRow};
use crate::log::clock_mark::shifted;
use crate::log::event::{Event, RecoveredAs, unpack_sequences};
use crate::log::purged_jobs::{self, PurgedJob};
use crate::model::error::{Error, Result};
use crate::model::outcome::OutcomeKind;

/// Returns the graph that an event changes, and the changes; `None` for an event that changes no
/// existing job.
pub(super) fn changes_of(
    event: &Event<'_>,
    lsn: u64,
    path: &Path,
) -> Result<Option<(u32, Vec<StateChange>)>, Error> {
    let changes = match *event {
        Event::Started {
            graph,
            sequence,
            time_ms,
        } => (
            graph,
            vec![StateChange::Started {
                sequence,
                at_ms: time_ms,
            }],
        ),
        Event::CancelRequested {
            graph, sequence, ..
        } => (graph, vec![StateChange::CancelRequested { sequence }]),
        Event::Completed {
            graph,
            sequence,
            time_ms,
            age_shift_ms,
            kind,
            ref extra,
        } => {
            let finished = Finished {
                at_ms: time_ms,
                age_ms: shifted(time_ms, age_shift_ms),
                kind,
                open_number: 0,
                extra_lsn: if extra.is_some() { lsn } else { 0 },
            };
            (graph, vec![StateChange::Completed { sequence, finished }])
        }
        Event::Recovered {
            graph,
            open_number,
            time_ms,
            age_shift_ms,
            action,
            sequences,
        } => {
            let sequences = unpack_sequences(sequences)
                .ok_or_else(|| Error::damaged(path, 0, "invalid list of jobs"))?;
            let age_ms = shifted(time_ms, age_shift_ms);
            let change = |sequence| recovered(sequence, action, open_number, (time_ms, age_ms));
            (graph, sequences.into_iter().map(change).collect())
        }
        Event::Purged { graph, jobs, .. } => {
            let jobs = purged_jobs::unpack(jobs)
                .ok_or_else(|| Error::damaged(path, 0, "invalid list of jobs"))?;
            let change = |job: PurgedJob| StateChange::Purged {
                sequence: job.sequence,
                tombstone: job.id.map(|id| TombstoneRow::new(&id, lsn)),
            };
            (graph, jobs.into_iter().map(change).collect())
        }
        Event::Forgotten {
            graph,
            through_lsn,
            sequences,
        } => {
            let sequences = unpack_sequences(sequences)
                .ok_or_else(|| Error::damaged(path, 0, "invalid list of jobs"))?;
            let change = |sequence| StateChange::Forgotten {
                sequence,
                through_lsn,
            };
            (graph, sequences.into_iter().map(change).collect())
        }
        Event::StoreOpened { .. }
        | Event::Clock
        | Event::Confirmed(_)
        | Event::GraphCreated { .. }
        | Event::GraphDropped { .. }
        | Event::Submitted { .. }
        | Event::Submits { .. }
        | Event::Lost { .. }
        | Event::Erased { .. }
        | Event::Keyed { .. } => return Ok(None),
    };
    Ok(Some(changes))
}

/// What recovery did with one job.
fn recovered(
    sequence: u64,
    action: RecoveredAs,
    open_number: u64,
    (at_ms, age_ms): (u64, i64),
) -> StateChange {
    let kind = match action {
        RecoveredAs::Requeued => return StateChange::Requeued { sequence },
        RecoveredAs::Interrupted => OutcomeKind::Interrupted,
        RecoveredAs::Cancelled => OutcomeKind::Cancelled,
    };
    StateChange::Completed {
        sequence,
        finished: Finished {
            at_ms,
            age_ms,
            kind: kind.to_stored(),
            open_number,
            extra_lsn: 0,
        },
    }
}
