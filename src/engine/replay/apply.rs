//! Determines what each event changes.
//!
//! A commit, the replay of the log, and a follower all apply events through [`apply`], so an event
//! means the same to each of them.

use std::path::Path;
use std::sync::Arc;

use crate::engine::state::change::StateChange;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::unpacked::TailPlace;
use crate::index::rows::{Finished, TombstoneRow};
use crate::index::sorted_runs::Pair;
use crate::log::clock_gaps::Gap;
use crate::log::clock_mark::shifted;
use crate::log::event::{Event, RecoveredAs, unpack_sequences};
use crate::log::purged_jobs;
use crate::model::error::{Error, Result};
use crate::model::token::OpenEvent;

/// What events are applied to.
pub(crate) trait Target {
    /// The graph with this number; `None` if its events are to be skipped.
    fn graph(&self, number: u32) -> Result<Option<Arc<GraphCore>>>;
    /// A project's name, shared by its graphs.
    fn project(&self, name: &str) -> Arc<str>;
    fn created(&mut self, graph: GraphCore);
    fn dropped(&mut self, number: u32);
    fn opened(&mut self, open_event: OpenEvent);
    /// Time that the age clock did not count was confirmed.
    fn confirmed(&mut self, gap: Gap);
    fn changed(&mut self, graph: &Arc<GraphCore>, change: StateChange);
    /// A command was assigned a number.
    fn named(&mut self, graph: &Arc<GraphCore>, number: u8, name: &str);
    /// An external id, or an idempotency key, was added.
    fn added_id(&mut self, id: Pair);
    /// The external id of a purged job. It is already known unless the job's submission was erased.
    fn purged_id(&mut self, _id: Pair) {}
    /// The tombstones of a graph's purges up to this LSN are forgotten. The change of each of
    /// their jobs says the same, but a rewritten pack may name none of them.
    fn forgotten(&mut self, _graph: &Arc<GraphCore>, _through_lsn: u64) {}
}

/// Applies an event of a frame. `end` is the offset after its bytes, from which the places of its
/// texts are computed. `path` is the file that contains the event.
pub(crate) fn apply(
    event: &Event<'_>,
    (lsn, end): (u64, u64),
    path: &Path,
    target: &mut impl Target,
) -> Result<()> {
    match *event {
        Event::StoreOpened {
            open_number,
            time_ms,
        } => target.opened(OpenEvent {
            lsn,
            open_number,
            time_ms,
        }),
        Event::Clock => {}
        Event::Confirmed(gap) => target.confirmed(gap),
        Event::GraphCreated {
            graph,
            number,
            key,
            time_ms,
            project,
            name,
        } => {
            let names = (target.project(project), name);
            target.created(GraphCore::new(graph, names, (number, key), time_ms));
        }
        Event::GraphDropped { graph, .. } => target.dropped(graph),
        Event::Submits { .. } | Event::Lost { .. } | Event::Erased { .. } => {
            return Err(Error::damaged(path, 0, "unexpected event of a pack"));
        }
        _ => {
            let graph = event.of_graph().map_or(Ok(None), |n| target.graph(n))?;
            if let Some(graph) = graph {
                apply_to(&graph, event, (lsn, end), target)
                    .ok_or_else(|| Error::damaged(path, 0, "invalid list of jobs"))?;
            }
        }
    }
    Ok(())
}

/// Applies an event to its graph. Returns `None` if the event is invalid.
fn apply_to(
    graph: &Arc<GraphCore>,
    event: &Event<'_>,
    place: (u64, u64),
    target: &mut impl Target,
) -> Option<()> {
    let (lsn, _) = place;
    match *event {
        Event::Purged { jobs, .. } => {
            for job in purged_jobs::unpack(jobs)? {
                if let Some(id) = job.id.filter(|id| id.is_external) {
                    target.purged_id((id.lookup, graph.owner(job.sequence)));
                }
            }
        }
        Event::Forgotten { through_lsn, .. } => target.forgotten(graph, through_lsn),
        _ => {}
    }
    each_change(event, place, |change| target.changed(graph, change))?;
    match *event {
        Event::Submitted {
            sequence, texts, ..
        } if graph.is_external(texts.id, sequence) => {
            target.added_id((graph.id_hash(texts.id), graph.owner(sequence)));
        }
        Event::Keyed { sequence, key, .. } => {
            target.added_id((graph.key_hash(key), graph.owner_of_key(sequence, lsn)));
        }
        Event::Command { number, name, .. } => target.named(graph, number, name),
        _ => {}
    }
    Some(())
}

/// Calls `each` with the changes of an event, one for each of its jobs. Returns `None` if the event
/// is invalid.
pub(crate) fn each_change(
    event: &Event<'_>,
    (lsn, end): (u64, u64),
    mut each: impl FnMut(StateChange),
) -> Option<()> {
    match *event {
        Event::Submitted {
            sequence,
            time_ms,
            fingerprint,
            command,
            texts,
            ..
        } => each(StateChange::Submitted {
            sequence,
            place: TailPlace::new(end, &texts, (time_ms, command)),
            fingerprint,
        }),
        Event::Started {
            sequence,
            time_ms,
            command,
            wait_ms,
            ..
        } => each(StateChange::Started {
            sequence,
            at_ms: time_ms,
            command,
            wait_ms,
        }),
        Event::CancelRequested { sequence, .. } => each(StateChange::CancelRequested { sequence }),
        Event::Completed {
            sequence,
            time_ms,
            age_shift_ms,
            kind,
            command,
            run_ms,
            ref extra,
            ..
        } => each(StateChange::Completed {
            sequence,
            command,
            run_ms,
            finished: Finished {
                at_ms: time_ms,
                age_ms: shifted(time_ms, age_shift_ms),
                kind,
                open_number: 0,
                extra_lsn: if extra.is_some() { lsn } else { 0 },
            },
        }),
        Event::Recovered {
            open_number,
            time_ms,
            age_shift_ms,
            action,
            command,
            sequences,
            ..
        } => {
            let times = (time_ms, shifted(time_ms, age_shift_ms));
            for sequence in unpack_sequences(sequences)? {
                each(recovered((sequence, command), action, open_number, times));
            }
        }
        Event::Purged { jobs, .. } => {
            for job in purged_jobs::unpack(jobs)? {
                each(StateChange::Purged {
                    sequence: job.sequence,
                    tombstone: job.id.map(|id| TombstoneRow::new(&id, lsn)),
                });
            }
        }
        Event::Forgotten {
            through_lsn,
            sequences,
            ..
        } => {
            for sequence in unpack_sequences(sequences)? {
                each(StateChange::Forgotten {
                    sequence,
                    through_lsn,
                });
            }
        }
        // These do not change jobs of a graph.
        Event::StoreOpened { .. }
        | Event::Clock
        | Event::Confirmed(_)
        | Event::GraphCreated { .. }
        | Event::GraphDropped { .. }
        | Event::Keyed { .. }
        | Event::Command { .. }
        | Event::Submits { .. }
        | Event::Lost { .. }
        | Event::Erased { .. } => {}
    }
    Some(())
}

/// What recovery did with one job.
fn recovered(
    (sequence, command): (u64, u8),
    action: RecoveredAs,
    open_number: u64,
    (at_ms, age_ms): (u64, i64),
) -> StateChange {
    let Some(kind) = action.outcome() else {
        return StateChange::Requeued { sequence };
    };
    StateChange::Completed {
        sequence,
        command,
        run_ms: None,
        finished: Finished {
            at_ms,
            age_ms,
            kind: kind.to_stored(),
            open_number,
            extra_lsn: 0,
        },
    }
}
