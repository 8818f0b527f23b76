//! Counts jobs by a property, in one pass over a snapshot of their states.
//!
//! Nearly everything is counted from memory and from the rows of the index. The request of a packed
//! job is read only if neither contains its command or time. By origin, all requests are read.

mod origins;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::core::Engine;
use crate::engine::read::listing;
use crate::engine::read::outcome_tally;
use crate::engine::read::reader::Snapshot;
use crate::engine::read::requests::{each_command, each_request};
use crate::engine::state::graph::GraphCore;
use crate::index::rows::{DETAIL_JOBS, Detail};
use crate::model::error::{Error, Result};
use crate::model::job_query::{JobQuery, ScanProgress};
use crate::model::outcome::OutcomeKind;
use crate::model::states::{State, States};
use crate::model::tally::{Tally, TallyBy, TallyKey, check_groups, period_of};

/// Progress is reported after this many jobs.
const REPORT_JOBS: u64 = 8192;
/// The same, if their requests are read.
const REPORT_REQUESTS: u64 = 64;

/// Jobs that are being counted.
struct Counting<'c> {
    query: &'c JobQuery,
    of: u64,
    looked_at: u64,
    reported: u64,
    /// Progress is reported after this many jobs.
    report_jobs: u64,
    /// Groups in which jobs are counted often, by the number of a state, outcome, or command.
    small: [u64; 256],
    groups: BTreeMap<TallyKey, u64>,
    /// Jobs that were added one after another to the same group, and not to `groups` yet.
    run: Option<(TallyKey, u64)>,
}

/// Why counting ended early.
enum Stop {
    Stopped,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

impl Counting<'_> {
    fn add(&mut self, key: TallyKey, jobs: u64) -> Result<()> {
        match &mut self.run {
            Some((last, more)) if *last == key => *more += jobs,
            _ => {
                self.end_run()?;
                self.run = Some((key, jobs));
            }
        }
        Ok(())
    }

    fn end_run(&mut self) -> Result<()> {
        if let Some((key, jobs)) = self.run.take() {
            *self.groups.entry(key).or_default() += jobs;
        }
        check_groups(self.groups.len())
    }

    /// Reports that more jobs were counted. Fails if the caller wants to stop.
    fn looked_at(&mut self, jobs: u64) -> Result<(), Stop> {
        self.looked_at += jobs;
        let is_due =
            self.looked_at - self.reported >= self.report_jobs || self.looked_at == self.of;
        let Some(call) = self.query.on_progress.as_ref().filter(|_| is_due) else {
            return Ok(());
        };
        self.reported = self.looked_at;
        let progress = ScanProgress {
            looked_at: self.looked_at,
            matched: self.looked_at,
            of: self.of,
        };
        match (call.0)(&progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Stop::Stopped),
        }
    }
}

/// The jobs of a query, counted by a property.
pub(crate) fn tally(
    (engine, graph): (&Engine, &Arc<GraphCore>),
    query: &JobQuery,
    by: TallyBy,
) -> Result<Tally> {
    if by == TallyBy::State && query.filter.is_any() {
        return Ok(by_state(graph, query.wanted()));
    }
    let (snapshot, known, list_is_stopped) = match by {
        TallyBy::Outcome if query.filter.is_any() => {
            let counted = outcome_tally::counted(engine, graph, query.wanted());
            (counted.rest, counted.groups, false)
        }
        _ => {
            let listing = listing::whole((engine, graph), query)?;
            (listing.snapshot, Vec::new(), listing.is_stopped)
        }
    };
    let snapshot = &snapshot;
    let known_jobs: u64 = known.iter().map(|(_, jobs)| jobs).sum();
    let mut counting = Counting {
        query,
        of: known_jobs + snapshot.selection.len,
        looked_at: 0,
        reported: 0,
        report_jobs: match by {
            TallyBy::Origin => REPORT_REQUESTS,
            _ => REPORT_JOBS,
        },
        small: [0; 256],
        groups: known.into_iter().collect(),
        run: None,
    };
    let begun = counting.looked_at(known_jobs);
    let counted = begun.and_then(|()| match by {
        TallyBy::State => states(&mut counting, snapshot),
        TallyBy::Origin => origins::count(&mut counting, graph, snapshot),
        TallyBy::SubmittedPer(period) => submitted(&mut counting, graph, snapshot, period),
        TallyBy::Outcome | TallyBy::Command | TallyBy::CompletedPer(_) => {
            details(&mut counting, (engine, graph), snapshot, by)
        }
    });
    counting.end_run()?;
    let is_stopped = match counted {
        Ok(()) => false,
        Err(Stop::Stopped) => true,
        Err(Stop::Failed(error)) => return Err(error),
    };
    let groups: Vec<(TallyKey, u64)> = counting.groups.into_iter().collect();
    Ok(Tally {
        jobs: groups.iter().map(|(_, jobs)| jobs).sum(),
        groups,
        is_partial: list_is_stopped || (is_stopped && counting.looked_at < counting.of),
    })
}

/// The number of jobs in each state, which is known.
fn by_state(graph: &GraphCore, wanted: States) -> Tally {
    let state = graph.state.read();
    let wanted = State::ALL.into_iter().filter(|&state| wanted.has(state));
    let counts = wanted.map(|of| {
        let jobs = state.status.total(States::NONE.with(of));
        (TallyKey::State(of), jobs)
    });
    let groups: Vec<(TallyKey, u64)> = counts.filter(|(_, jobs)| *jobs > 0).collect();
    Tally {
        jobs: groups.iter().map(|(_, jobs)| jobs).sum(),
        groups,
        is_partial: false,
    }
}

/// Counts jobs by their states.
fn states(counting: &mut Counting<'_>, snapshot: &Snapshot) -> Result<(), Stop> {
    let (mut from, mut at) = (0, 0);
    while let Some((sequence, state)) = snapshot.selection.next(from, &mut at) {
        counting.add(TallyKey::State(state), 1)?;
        counting.looked_at(1)?;
        from = sequence + 1;
    }
    Ok(())
}

/// Counts jobs by what the rows of the index record about them.
fn details(
    counting: &mut Counting<'_>,
    (engine, graph): (&Engine, &Arc<GraphCore>),
    snapshot: &Snapshot,
    by: TallyBy,
) -> Result<(), Stop> {
    let (mut from, mut at) = (0, 0);
    let mut group: Vec<(u64, State)> = Vec::with_capacity(DETAIL_JOBS as usize);
    let mut unknown = Vec::new();
    let mut ended = Ok(());
    while let Some((first, _)) = snapshot.selection.next(from, &mut at) {
        let end = (first / DETAIL_JOBS + 1) * DETAIL_JOBS;
        group.clear();
        from = first;
        let mut next = |from| snapshot.selection.next(from, &mut at);
        while let Some(job) = next(from).filter(|job| job.0 < end) {
            group.push(job);
            from = job.0 + 1;
        }
        let is_wanted = |&(_, state): &(u64, State)| match by {
            TallyBy::Command => state != State::Pending,
            _ => state == State::Complete,
        };
        let row = match group.iter().any(is_wanted) {
            true => Some(engine.details(graph, first / DETAIL_JOBS)?),
            false => None,
        };
        for &(sequence, state) in &group {
            let detail = row.as_ref().filter(|_| is_wanted(&(sequence, state)));
            let detail = detail.map(|row| &row.0[(sequence % DETAIL_JOBS) as usize]);
            match (detail, by) {
                (None, TallyBy::Command) => unknown.push(sequence),
                (None, _) => counting.small[usize::from(OUTCOME_END) + state as usize] += 1,
                (Some(detail), TallyBy::Command) => {
                    counting.small[usize::from(detail.command)] += 1
                }
                (Some(detail), by) => one(counting, detail, by)?,
            }
        }
        ended = counting.looked_at(group.len() as u64);
        if ended.is_err() {
            break;
        }
    }
    if by == TallyBy::Command {
        pending_commands(counting, graph, snapshot, &unknown)?;
    }
    named(counting, graph, by)?;
    ended
}

/// The outcomes and states share an array: states are counted after this place.
const OUTCOME_END: u8 = 16;

/// Counts a complete job by its outcome, or by the time of its completion. A job that was purged
/// meanwhile has neither, and is not counted.
fn one(counting: &mut Counting<'_>, detail: &Detail, by: TallyBy) -> Result<(), Stop> {
    let Some(finished) = detail.finished else {
        return Ok(());
    };
    match by {
        TallyBy::CompletedPer(period) => counting.add(period_of(finished.at_ms, period), 1)?,
        _ => counting.small[usize::from(finished.kind.min(OUTCOME_END - 1))] += 1,
    }
    Ok(())
}

/// Adds the groups that were counted by number.
fn named(counting: &mut Counting<'_>, graph: &GraphCore, by: TallyBy) -> Result<()> {
    let small = std::mem::replace(&mut counting.small, [0; 256]);
    for (number, jobs) in small.into_iter().enumerate().filter(|(_, jobs)| *jobs > 0) {
        let number = number as u8;
        let key = match (by, number.checked_sub(OUTCOME_END)) {
            (TallyBy::Command, _) => {
                let state = graph.state.read();
                let name = state.activity.commands.name(number);
                TallyKey::Command(name.map(|name| name.to_string()))
            }
            (_, Some(state)) => match State::ALL.get(usize::from(state)) {
                Some(&state) => TallyKey::State(state),
                None => continue,
            },
            (_, None) => match OutcomeKind::from_stored(number) {
                Some(kind) => TallyKey::Outcome(kind),
                None => continue,
            },
        };
        counting.add(key, jobs)?;
    }
    Ok(())
}

/// Counts pending jobs by command.
fn pending_commands(
    counting: &mut Counting<'_>,
    graph: &GraphCore,
    snapshot: &Snapshot,
    pending: &[u64],
) -> Result<()> {
    let mut packed = Vec::new();
    for &sequence in pending {
        match snapshot.run_of(sequence) {
            Some(run) => {
                let place = &run.jobs[(sequence - run.first_sequence) as usize];
                counting.small[usize::from(place.command)] += 1;
            }
            None => packed.push(sequence),
        }
    }
    each_command(graph, snapshot, &packed, |_, number| {
        counting.small[usize::from(number)] += 1;
    })
}

/// Counts jobs by the time of their submission.
fn submitted(
    counting: &mut Counting<'_>,
    graph: &GraphCore,
    snapshot: &Snapshot,
    period: Duration,
) -> Result<(), Stop> {
    let (mut from, mut at) = (0, 0);
    let mut unsure = Vec::new();
    while let Some((sequence, _)) = snapshot.selection.next(from, &mut at) {
        from = sequence + 1;
        match (snapshot.run_of(sequence), snapshot.part_of(sequence)) {
            (Some(run), _) => {
                let place = &run.jobs[(sequence - run.first_sequence) as usize];
                counting.add(period_of(place.submitted_ms, period), 1)?;
            }
            (None, Some(part)) => {
                let Some(place) = part.block_of(sequence).map(|n| part.blocks[n]) else {
                    continue;
                };
                let (first, last) = (place.first_ms, place.first_ms.saturating_add(place.span_ms));
                match period_of(first, period) {
                    key if key == period_of(last, period) => counting.add(key, 1)?,
                    _ => unsure.push(sequence),
                }
            }
            (None, None) => continue,
        }
        counting.looked_at(1)?;
    }
    each_request(graph, snapshot, &unsure, |_, _, submitted_ms| {
        counting.add(period_of(submitted_ms, period), 1)
    })?;
    Ok(())
}
