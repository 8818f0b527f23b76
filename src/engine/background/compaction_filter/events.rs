//! Decides which events of rewritten packs are kept.

use std::ops::Range;

use super::CompactionFilter;
use crate::engine::replay::apply::each_change;
use crate::engine::state::removed_jobs::RemovedJobs;
use crate::log::erased_history::{self, ErasedRows};
use crate::log::event::{Event, pack_sequences, unpack_sequences};
use crate::log::event_sizes::RemovedWith;
use crate::log::pack_writer::PackWriter;
use crate::log::purged_jobs::{self, PurgedJob};
use crate::log::submit_runs;
use crate::model::error::Result;
use crate::model::history::{Slot, minute_of};
use crate::model::job_counts::JobCounts;

/// The events of packs that are being rewritten.
pub(super) struct Events<'k, 'e, 'w, 'd> {
    filter: &'k CompactionFilter<'e>,
    writer: &'w mut PackWriter<'d>,
    /// The number of events omitted since the last event that was kept.
    erased: u64,
    /// What these events contribute to the histories of graphs.
    history: ErasedRows,
}

impl<'k, 'e, 'w, 'd> Events<'k, 'e, 'w, 'd> {
    pub(super) fn new(
        filter: &'k CompactionFilter<'e>,
        writer: &'w mut PackWriter<'d>,
    ) -> Events<'k, 'e, 'w, 'd> {
        Events {
            filter,
            writer,
            erased: 0,
            history: ErasedRows::new(),
        }
    }

    pub(super) fn event(&mut self, lsn: u64, event: &Event<'_>) -> Result<()> {
        let filter = self.filter;
        if !filter.leaves_out {
            return self.keep(event);
        }
        let of_dropped = event
            .of_graph()
            .is_some_and(|graph| filter.is_dropped(graph));
        if of_dropped {
            return match event {
                // Keep the fact that the number was used.
                Event::GraphCreated { .. } | Event::GraphDropped { .. } => self.keep(event),
                _ => self.erase(event),
            };
        }
        match *event {
            Event::Started {
                graph, sequence, ..
            }
            | Event::CancelRequested {
                graph, sequence, ..
            }
            | Event::Completed {
                graph, sequence, ..
            } if filter.is_removed(graph, sequence) => self.erase(event),
            // A key stays taken as long as the tombstone of its job is kept.
            Event::Keyed {
                graph, sequence, ..
            } if filter.is_removed(graph, sequence) => {
                let core = filter.graph(graph);
                let tombstone = core.map(|core| filter.tombstone_of(&core, sequence));
                match tombstone.transpose()?.flatten() {
                    Some(lsn) => {
                        self.end()?;
                        let removed_with = Some((graph, RemovedWith::Tombstones(lsn)));
                        self.writer.event_that(event, removed_with)
                    }
                    None => self.erase(event),
                }
            }
            Event::Submits {
                graph,
                first_sequence,
                count,
                runs,
            } => self.submits(graph, first_sequence..first_sequence + count, runs),
            // The event is kept unchanged as long as any of its jobs exists: a shortened list would
            // not show that jobs are missing, and a reader of the change feed would miss them
            // silently.
            Event::Recovered {
                graph, sequences, ..
            } => {
                let all = unpack_sequences(sequences).unwrap_or_default();
                match all.into_iter().all(|job| filter.is_removed(graph, job)) {
                    true => self.erase(event),
                    false => self.keep(event),
                }
            }
            Event::Purged {
                graph,
                time_ms,
                age_shift_ms,
                why,
                jobs,
            } => self.purged(lsn, (graph, time_ms, age_shift_ms, why), jobs),
            Event::Forgotten {
                graph,
                through_lsn,
                sequences,
            } => self.forgotten((graph, through_lsn), sequences),
            // A pack stores the clocks in its footer.
            Event::Erased { .. } | Event::Clock => self.erase(event),
            _ => self.keep(event),
        }
    }

    fn submits(&mut self, graph: u32, range: Range<u64>, runs: &[u8]) -> Result<()> {
        let runs = submit_runs::unpack(runs).unwrap_or_default();
        let nothing = RemovedJobs::default();
        let removed = self.filter.removed.get(&graph).unwrap_or(&nothing);
        let mut from = range.start;
        while from < range.end {
            let is_removed = removed.contains(from);
            let run = (from..range.end).take_while(|&s| removed.contains(s) == is_removed);
            let count = run.count() as u64;
            let submits = Event::Submits {
                graph,
                first_sequence: from,
                count,
                runs: &submit_runs::pack(&submit_runs::slice(&runs, from - range.start, count)),
            };
            if is_removed {
                self.erase(&submits)?;
            } else {
                self.keep(&submits)?;
            }
            from += count;
        }
        Ok(())
    }

    /// Once its tombstones are forgotten, the event of a purge records only which jobs are gone,
    /// and omits jobs that blocks record as purged. References to results are removed together with
    /// the tombstones. Therefore, the limits on tombstones determine how long a caller can find out
    /// which results to delete, and how much space the references take.
    fn purged(&mut self, lsn: u64, head: (u32, u64, i64, u8), jobs: &[u8]) -> Result<()> {
        let (graph, time_ms, age_shift_ms, why) = head;
        let whole = Event::Purged {
            graph,
            time_ms,
            age_shift_ms,
            why,
            jobs,
        };
        let (Some(core), Some(removed)) = (self.filter.graph(graph), purged_jobs::unpack(jobs))
        else {
            return self.keep(&whole);
        };
        if core.state.read().forgotten_lsn < lsn {
            return self.keep(&whole);
        }
        let left: Vec<PurgedJob> = removed
            .into_iter()
            .filter(|job| !self.filter.is_purged_in_blocks(&core, job.sequence))
            .map(|job| PurgedJob {
                id: None,
                result_ref: None,
                ..job
            })
            .collect();
        match left.is_empty() {
            true => self.erase(&whole),
            false => self.keep(&Event::Purged {
                graph,
                time_ms,
                age_shift_ms,
                why,
                jobs: &purged_jobs::pack(&left),
            }),
        }
    }

    /// The index has forgotten the tombstones of the jobs listed here. A job stays listed as long
    /// as no block records that it was purged, because the event of its purge may be lost.
    fn forgotten(&mut self, head: (u32, u64), sequences: &[u8]) -> Result<()> {
        let (graph, through_lsn) = head;
        let mut left = Vec::new();
        let mut is_last = true;
        if let Some(core) = self.filter.graph(graph) {
            left = unpack_sequences(sequences).unwrap_or_default();
            left.retain(|&job| !self.filter.is_purged_in_blocks(&core, job));
            is_last = core.state.read().forgotten_lsn <= through_lsn;
        }
        let event = Event::Forgotten {
            graph,
            through_lsn,
            sequences: &pack_sequences(&left),
        };
        if left.is_empty() && !is_last {
            return self.erase(&event);
        }
        self.end()?;
        self.writer
            .event_that(&event, Some((graph, RemovedWith::Graph)))
    }

    /// Omits an event. What it contributes to the history of its graph is kept.
    fn erase(&mut self, event: &Event<'_>) -> Result<()> {
        self.erased += event.lsns();
        let (filter, history) = (self.filter, &mut self.history);
        each_count(event, |number, slot, counts| {
            if let Some(graph) = filter.graph(number) {
                let slot = graph.state.read().activity.history.folded(slot);
                history.entry((number, slot)).or_default().add(&counts);
            }
        });
        Ok(())
    }

    fn keep(&mut self, event: &Event<'_>) -> Result<()> {
        self.end()?;
        self.writer.event(event)
    }

    pub(super) fn end(&mut self) -> Result<()> {
        let packed = erased_history::pack(&std::mem::take(&mut self.history));
        let mut left = std::mem::take(&mut self.erased);
        // Each event has at most one row, unless it is an `Erased` event itself, so there are at
        // least as many events as rows.
        for (n, (rows, history)) in packed.iter().enumerate() {
            let is_last = n + 1 == packed.len();
            let count = if is_last { left } else { (*rows).min(left) };
            left -= count;
            self.writer.event(&Event::Erased { count, history })?;
        }
        match left {
            0 => Ok(()),
            count => self.writer.event(&Event::Erased {
                count,
                history: &[],
            }),
        }
    }
}

/// Calls `each` with what an event of a pack contributes to the histories of graphs: a graph, a
/// slot, and counts.
fn each_count(event: &Event<'_>, mut each: impl FnMut(u32, Slot, JobCounts)) {
    match *event {
        Event::Submits { graph, runs, .. } => {
            for run in submit_runs::unpack(runs).unwrap_or_default() {
                let mut counts = JobCounts::default();
                counts.count_submitted(run.count);
                each(graph, Slot::of_minute(run.minute, run.command), counts);
            }
        }
        Event::Erased { history, .. } => {
            erased_history::each(history, each);
        }
        _ => {
            let Some(graph) = event.of_graph() else {
                return;
            };
            // The history does not depend on the places of texts.
            let place = (0, u64::from(u32::MAX));
            each_change(event, place, |change| {
                if let Some((at_ms, command, happened)) = change.happened() {
                    let mut counts = JobCounts::default();
                    counts.count(happened);
                    each(graph, Slot::of_minute(minute_of(at_ms), command), counts);
                }
            });
        }
    }
}
