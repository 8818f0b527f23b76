//! Settles the jobs that were running when the store was last closed or crashed.
//!
//! Each job found running is reported by exactly one open, together with what that open did with
//! the job. Jobs whose cancellation was requested are canceled. Some jobs may have been completed
//! by events that are now lost. Such jobs are interrupted, whatever the `Recovery` is, so that no
//! job runs twice because its completion was lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::read::reader::{Reader, Snapshot, Unit};
use crate::engine::read::requests::each_command;
use crate::engine::replay::{Replay, ReplayError};
use crate::engine::state::detail_rows;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::recovered::RecoveredJobs;
use crate::engine::state::running::RunningJob;
use crate::index::rows::DETAIL_JOBS;
use crate::index::{Fault, Index};
use crate::log::clock_gaps::Gaps;
use crate::log::clock_mark::ClockMark;
use crate::log::event::{Event, RecoveredAs, pack_sequences};
use crate::log::frame::Builder;
use crate::log::preallocation::Room;
use crate::log::segment::Segment;
use crate::log::writer::{AppendError, LogWriter};
use crate::model::options::Recovery;
use crate::model::states::{State, States};
use crate::model::unlisted::Unlisted;

/// The maximum number of jobs that one event names.
const EVENT_JOBS_MAX: usize = 64 << 10;

/// Finds the running jobs of all graphs, and which of them have a cancel request.
pub(crate) fn find(replay: &Replay, recovery: Recovery) -> Result<Vec<RecoveredJobs>, ReplayError> {
    let mut found = Vec::new();
    for graph in replay.graphs.by_number.values() {
        let running = States::NONE.with(State::Running);
        let selection = graph.state.read().status.select(running, 0, 0, u64::MAX);
        let in_doubt = replay.in_doubt.of(graph.number);
        let (mut at, mut from, mut sequences) = (0, 0, Vec::new());
        while let Some((sequence, _)) = selection.next(from, &mut at) {
            if !in_doubt.contains(&sequence) {
                sequences.push(sequence);
            }
            from = sequence + 1;
        }
        read_running(graph, &*replay.index, &sequences)?;
        let state = graph.state.read();
        let (cancelling, others): (Vec<u64>, Vec<u64>) = sequences
            .into_iter()
            .partition(|sequence| state.cancelling.contains(sequence));
        let (for_cancelling, for_others) = match recovery {
            Recovery::Interrupt => (Some(RecoveredAs::Cancelled), Some(RecoveredAs::Interrupted)),
            Recovery::Requeue => (Some(RecoveredAs::Cancelled), Some(RecoveredAs::Requeued)),
            Recovery::Leave => (None, None),
        };
        drop(state);
        // A job cannot run if its secrets are lost.
        let (lost, others) = match recovery {
            Recovery::Requeue => secrets_lost_among(graph, others)?,
            Recovery::Interrupt | Recovery::Leave => (Vec::new(), others),
        };
        let in_doubt = in_doubt.iter().copied().collect();
        for (action, sequences) in [
            (for_cancelling, cancelling),
            (for_others, others),
            (Some(RecoveredAs::Interrupted), lost),
            (Some(RecoveredAs::Interrupted), in_doubt),
        ] {
            if !sequences.is_empty() {
                found.push(RecoveredJobs {
                    graph: graph.number,
                    action,
                    sequences,
                });
            }
        }
    }
    Ok(found)
}

/// Divides these jobs into those whose secrets are lost and the others.
fn secrets_lost_among(
    graph: &Arc<GraphCore>,
    sequences: Vec<u64>,
) -> Result<(Vec<u64>, Vec<u64>), ReplayError> {
    let snapshot = {
        let state = graph.state.read();
        let running = States::NONE.with(State::Running);
        let selection = state.status.select(running, 0, 0, u64::MAX);
        let is_asked = |sequence| sequences.binary_search(&sequence).is_ok();
        Snapshot::take(&state, selection.only(is_asked))
    };
    let are_lost = |part: &[u8]| Unlisted::read(part).is_none_or(|part| part.secrets_lost);
    let (mut reader, mut lost) = (Reader::default(), BTreeSet::new());
    while let Some(unit) = reader.read(graph, &snapshot)? {
        match unit {
            Unit::Large(large) => {
                let sequence = large.sequence;
                if are_lost(&large.whole()?.1) {
                    lost.insert(sequence);
                }
            }
            Unit::Block => {
                let block = &reader.block;
                let rows = 0..block.rows.len();
                let found = rows.filter(|&n| are_lost(block.unlisted(n)));
                lost.extend(found.map(|n| block.first_sequence + n as u64));
            }
        }
    }
    let secrets_lost = |sequence: &u64| lost.contains(sequence);
    Ok(sequences.into_iter().partition(secrets_lost))
}

/// Cancel requests and starts that are already in the index are not replayed, so they are read from
/// it.
fn read_running(graph: &GraphCore, index: &dyn Index, sequences: &[u64]) -> Result<(), Fault> {
    for group in sequences.chunk_by(|a, b| a / DETAIL_JOBS == b / DETAIL_JOBS) {
        let row = detail_rows::read(index, graph, group[0] / DETAIL_JOBS)?;
        let mut state = graph.state.write();
        for &sequence in group {
            let mut detail = row.0[(sequence % DETAIL_JOBS) as usize];
            let changes = state.detail_changes(sequence);
            changes
                .iter()
                .flatten()
                .for_each(|change| detail.merge(change));
            if detail.cancel_requested {
                state.cancelling.insert(sequence);
            }
            if let Some(started_ms) = detail.started_ms {
                let running = RunningJob {
                    started_ms,
                    command: detail.command,
                };
                state.activity.running.insert(sequence, running);
            }
        }
    }
    Ok(())
}

/// Divides these jobs by the numbers of their commands. If these cannot be read, the jobs are counted
/// under no command.
fn by_command(replay: &Replay, graph: u32, sequences: &[u64]) -> BTreeMap<u8, Vec<u64>> {
    let mut divided: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
    let Some(graph) = replay.graphs.by_number.get(&graph) else {
        divided.insert(0, sequences.to_vec());
        return divided;
    };
    // It is not known whether a job in doubt was started.
    let mut unknown = Vec::new();
    let snapshot = {
        let state = graph.state.read();
        for &sequence in sequences {
            match state.activity.running.get(sequence) {
                Some(job) => divided.entry(job.command).or_default().push(sequence),
                None => unknown.push(sequence),
            }
        }
        let Some(&first) = unknown.first() else {
            return divided;
        };
        let selection = state.status.select(States::ALL, first, 0, u64::MAX);
        let is_unknown = |sequence| unknown.binary_search(&sequence).is_ok();
        Snapshot::take(&state, selection.only(is_unknown))
    };
    let mut read = Vec::new();
    let commands = each_command(graph, &snapshot, &unknown, |sequence, command| {
        read.push((sequence, command));
    });
    if let Err(error) = commands {
        tracing::warn!(%error, "cannot read the commands of jobs that were interrupted");
        read = unknown.into_iter().map(|sequence| (sequence, 0)).collect();
    }
    for (sequence, command) in read {
        divided.entry(command).or_default().push(sequence);
    }
    divided.values_mut().for_each(|jobs| jobs.sort_unstable());
    divided
}

/// Records this open, and what it does with the running jobs, in one durable frame. Returns the
/// segment that was too small for the frame, if any.
pub(crate) fn settle(
    replay: &mut Replay,
    log: &mut LogWriter,
    found: &[RecoveredJobs],
    clock: ClockMark,
) -> Result<Option<Arc<Segment>>, ReplayError> {
    let time_ms = clock.wall_ms;
    let open_number = replay.open_number + 1;
    let mut packed = Vec::new();
    for found in found {
        if let Some(action) = found.action {
            for sequences in found.sequences.chunks(EVENT_JOBS_MAX) {
                for (command, sequences) in by_command(replay, found.graph, sequences) {
                    let of_graph = (found.graph, command);
                    packed.push((of_graph, action, pack_sequences(&sequences)));
                }
            }
        }
    }
    let mut events = vec![Event::StoreOpened {
        open_number,
        time_ms,
    }];
    events.extend(
        packed
            .iter()
            .map(|((graph, command), action, sequences)| Event::Recovered {
                graph: *graph,
                command: *command,
                open_number,
                time_ms,
                age_shift_ms: clock.shift(time_ms, &Gaps::default()),
                action: *action,
                sequences,
            }),
    );
    let mut frame = Builder::default();
    frame.clear();
    frame.clock = clock;
    events.iter().for_each(|event| {
        frame.push(event);
    });
    let appended = match log.append(&mut frame, Room::Opening) {
        Ok(appended) => appended,
        Err(AppendError::Refused(error) | AppendError::Unknown(error)) => return Err(error.into()),
    };
    log.sync()?;
    for event in &events {
        replay.settled_event(event, &appended.segment.path)?;
    }
    Ok(appended.sealed)
}
