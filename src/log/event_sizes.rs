//! The sizes of a pack's events, grouped by what must be removed before the events can be removed.
//! [`EventSizes`] is part of a pack's footer, and [`EventSizesBuilder`] collects the sizes.
//!
//! Directly after a rewrite, none of the remaining events counts as garbage, so a pack is not
//! rewritten again for events that a rewrite does not remove.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::codec::{VarReader, put_var};
use crate::log::event::{Event, last_of_sequences};
use crate::log::purged_jobs;

/// The number of jobs per group. The small events of a group are counted together.
const GROUP_JOBS: u64 = 64;
/// An event of at least this size is counted separately.
const LARGE_BYTES: u64 = 512;
/// The maximum number of runs of a graph in a footer.
const RUNS_MAX: usize = 64;

/// What must be removed before an event of a graph can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RemovedWith {
    /// This job.
    Job(u64),
    /// The tombstones of the purges up to this LSN.
    Tombstones(u64),
    /// The graph.
    Graph,
}

impl RemovedWith {
    /// Returns the graph that an event belongs to, and what must be removed before the event can
    /// be. `lsn` is the LSN of the event.
    pub(crate) fn of(event: &Event<'_>, lsn: u64) -> Option<(u32, RemovedWith)> {
        let removed_with = match *event {
            // Never removed, because they record that the graph's number was used.
            Event::GraphCreated { .. } | Event::GraphDropped { .. } => return None,
            Event::Started { sequence, .. }
            | Event::CancelRequested { sequence, .. }
            | Event::Completed { sequence, .. }
            | Event::Keyed { sequence, .. } => RemovedWith::Job(sequence),
            Event::Submits {
                first_sequence,
                count: 1,
                ..
            } => RemovedWith::Job(first_sequence),
            // Removed when all of its jobs are gone. An event with a long list of jobs is kept
            // until the graph is dropped.
            Event::Recovered { sequences, .. } if (sequences.len() as u64) < LARGE_BYTES / 2 => {
                RemovedWith::Job(last_of_sequences(sequences).unwrap_or_default())
            }
            Event::Purged { jobs, .. } if purged_jobs::has_tombstones(jobs) => {
                RemovedWith::Tombstones(lsn)
            }
            Event::Forgotten {
                through_lsn,
                sequences,
                ..
            } if !sequences.is_empty() => RemovedWith::Tombstones(through_lsn),
            _ => RemovedWith::Graph,
        };
        Some((event.of_graph()?, removed_with))
    }
}

/// The size of the events of one graph in a pack, before compression.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventSizes {
    pub(crate) graph: u32,
    /// Small events, by ranges of jobs.
    pub(crate) runs: Box<[EventSizesRun]>,
    /// Large events, by job: the difference between its number and that of the previous job, then
    /// the size.
    large: Box<[u8]>,
    /// For each group of events, the LSN up to which tombstones must be forgotten before the events
    /// can be removed, and the size of the events.
    pub(crate) tombstones: Box<[(u64, u64)]>,
    /// The size of events that are removed together with the graph.
    pub(crate) rest: u64,
}

/// The small events of a range of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventSizesRun {
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) bytes: u64,
    /// How many of these jobs were already gone when the events were written.
    pub(crate) removed: u64,
}

impl EventSizes {
    /// Returns, for each large event, the number of its job and its size.
    pub(crate) fn large(&self) -> impl Iterator<Item = (u64, u64)> {
        let (mut reader, mut sequence) = (VarReader(&self.large), 0u64);
        std::iter::from_fn(move || {
            sequence = sequence.checked_add(reader.next()?)?;
            Some((sequence, reader.next()?))
        })
    }

    /// Returns the size of all events.
    pub(crate) fn bytes(&self) -> u64 {
        let runs: u64 = self.runs.iter().map(|run| run.bytes).sum();
        let large: u64 = self.large().map(|(_, bytes)| bytes).sum();
        let tombstones: u64 = self.tombstones.iter().map(|&(_, bytes)| bytes).sum();
        runs + large + tombstones + self.rest
    }

    /// Returns whether the sum of all sizes cannot overflow.
    pub(super) fn is_possible(&self) -> bool {
        const MAX: u64 = 1 << 40;
        let runs = self
            .runs
            .iter()
            .all(|run| run.first < run.end && run.bytes < MAX);
        let large = self.large().all(|(_, bytes)| bytes < MAX);
        let tombstones = self.tombstones.iter().all(|&(_, bytes)| bytes < MAX);
        runs && large && tombstones && self.rest < MAX
    }
}

/// Collects the sizes of a pack's events while they are written.
#[derive(Default)]
pub(crate) struct EventSizesBuilder {
    graphs: BTreeMap<u32, Gathered>,
}

#[derive(Default)]
struct Gathered {
    /// The size of small events, by group of jobs.
    small: BTreeMap<u64, u64>,
    large: BTreeMap<u64, u64>,
    tombstones: BTreeMap<u64, u64>,
    rest: u64,
}

impl EventSizesBuilder {
    pub(crate) fn add(&mut self, (graph, removed_with): (u32, RemovedWith), bytes: u64) {
        let gathered = self.graphs.entry(graph).or_default();
        let at = match removed_with {
            RemovedWith::Job(sequence) if bytes >= LARGE_BYTES => {
                gathered.large.entry(sequence).or_default()
            }
            RemovedWith::Job(sequence) => gathered.small.entry(sequence / GROUP_JOBS).or_default(),
            RemovedWith::Tombstones(lsn) => gathered.tombstones.entry(lsn).or_default(),
            RemovedWith::Graph => &mut gathered.rest,
        };
        *at += bytes;
    }

    /// Converts the sizes for the footer. `removed` returns how many jobs of a range of a graph
    /// were gone before the first event was written.
    pub(crate) fn into_footer(self, removed: impl Fn(u32, u64, u64) -> u64) -> Vec<EventSizes> {
        let graphs = self.graphs.into_iter();
        let event_sizes = graphs.map(|(graph, gathered)| {
            let mut large = Vec::new();
            let mut before = 0;
            for (sequence, bytes) in gathered.large {
                put_var(sequence - before, &mut large);
                put_var(bytes, &mut large);
                before = sequence;
            }
            let mut runs = runs(gathered.small);
            for run in &mut runs {
                run.removed = removed(graph, run.first, run.end);
            }
            EventSizes {
                graph,
                runs: runs.into(),
                large: large.into(),
                tombstones: few(gathered.tombstones).into(),
                rest: gathered.rest,
            }
        });
        event_sizes.collect()
    }
}

/// Merges neighboring groups into runs. If there are too many runs, merges those with the smallest
/// gaps between them.
fn runs(groups: BTreeMap<u64, u64>) -> Vec<EventSizesRun> {
    let mut gaps: Vec<u64> = Vec::new();
    let mut before: Option<u64> = None;
    for &group in groups.keys() {
        gaps.extend(before.map(|before| group - before));
        before = Some(group);
    }
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    // Runs are separated by gaps larger than this.
    let bridged = gaps.get(RUNS_MAX - 1).copied().unwrap_or(1).max(1);
    let mut runs: Vec<EventSizesRun> = Vec::new();
    let mut before = 0;
    for (group, bytes) in groups {
        let (first, end) = (group * GROUP_JOBS, (group + 1) * GROUP_JOBS);
        match runs.last_mut() {
            Some(run) if group - before <= bridged => {
                run.end = end;
                run.bytes += bytes;
            }
            _ => runs.push(EventSizesRun {
                first,
                end,
                bytes,
                removed: 0,
            }),
        }
        before = group;
    }
    runs
}

/// Merges neighboring entries if there are too many. The events of a merged entry can be removed
/// only when the tombstones up to its last LSN are forgotten.
fn few(by_lsn: BTreeMap<u64, u64>) -> Vec<(u64, u64)> {
    let each = by_lsn.len().div_ceil(RUNS_MAX).max(1);
    let all: Vec<(u64, u64)> = by_lsn.into_iter().collect();
    let some = all.chunks(each).filter_map(|some| {
        let &(lsn, _) = some.last()?;
        Some((lsn, some.iter().map(|&(_, bytes)| bytes).sum()))
    });
    some.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gathered_adds_up_however_it_is_put_together() {
        let mut builder = EventSizesBuilder::default();
        let mut all = 0;
        for n in 0..10_000u64 {
            let bytes = 20 + n % 700;
            let removed_with = match n % 5 {
                0 => RemovedWith::Tombstones(n),
                1 => RemovedWith::Graph,
                _ => RemovedWith::Job(n * n % 1_000_003),
            };
            builder.add((3, removed_with), bytes);
            all += bytes;
        }
        let event_sizes = builder.into_footer(|_, first, end| (end - first) / 2);
        let [event_sizes] = &event_sizes[..] else {
            panic!("one graph")
        };
        assert_eq!((event_sizes.graph, event_sizes.bytes()), (3, all));
        assert!(event_sizes.is_possible());
        assert!(event_sizes.runs.len() <= RUNS_MAX && event_sizes.tombstones.len() <= RUNS_MAX);
        assert!(event_sizes.runs.windows(2).all(|w| w[0].end <= w[1].first));
        assert!(
            event_sizes
                .runs
                .iter()
                .all(|run| run.removed == (run.end - run.first) / 2)
        );
        assert!(event_sizes.large().all(|(_, bytes)| bytes >= LARGE_BYTES));
    }
}
