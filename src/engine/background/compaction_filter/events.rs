//! Decides which events of rewritten packs are kept.

use std::ops::Range;

use super::CompactionFilter;
use crate::engine::state::removed_jobs::RemovedJobs;
use crate::log::event::{Event, pack_sequences, unpack_sequences};
use crate::log::event_sizes::RemovedWith;
use crate::log::pack_writer::PackWriter;
use crate::log::purged_jobs::{self, PurgedJob};
use crate::model::error::Result;

/// The events of packs that are being rewritten.
pub(super) struct Events<'k, 'e, 'w, 'd> {
    filter: &'k CompactionFilter<'e>,
    writer: &'w mut PackWriter<'d>,
    /// The number of events omitted since the last event that was kept.
    erased: u64,
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
                _ => self.erase(event.lsns()),
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
            } if filter.is_removed(graph, sequence) => self.erase(1),
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
                    None => self.erase(1),
                }
            }
            Event::Submits {
                graph,
                first_sequence,
                count,
            } => self.submits(graph, first_sequence..first_sequence + count),
            // The event is kept unchanged as long as any of its jobs exists: a shortened list would
            // not show that jobs are missing, and a reader of the change feed would miss them
            // silently.
            Event::Recovered {
                graph, sequences, ..
            } => {
                let all = unpack_sequences(sequences).unwrap_or_default();
                match all.into_iter().all(|job| filter.is_removed(graph, job)) {
                    true => self.erase(1),
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
            Event::Erased { count } => self.erase(count),
            // A pack stores the clocks in its footer.
            Event::Clock => self.erase(1),
            _ => self.keep(event),
        }
    }

    fn submits(&mut self, graph: u32, range: Range<u64>) -> Result<()> {
        let nothing = RemovedJobs::default();
        let removed = self.filter.removed.get(&graph).unwrap_or(&nothing);
        let mut from = range.start;
        while from < range.end {
            let is_removed = removed.contains(from);
            let run = (from..range.end).take_while(|&s| removed.contains(s) == is_removed);
            let count = run.count() as u64;
            if is_removed {
                self.erase(count)?;
            } else {
                self.keep(&Event::Submits {
                    graph,
                    first_sequence: from,
                    count,
                })?;
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
            true => self.erase(1),
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
        if left.is_empty() && !is_last {
            return self.erase(1);
        }
        self.end()?;
        let event = Event::Forgotten {
            graph,
            through_lsn,
            sequences: &pack_sequences(&left),
        };
        self.writer
            .event_that(&event, Some((graph, RemovedWith::Graph)))
    }

    fn erase(&mut self, count: u64) -> Result<()> {
        self.erased += count;
        Ok(())
    }

    fn keep(&mut self, event: &Event<'_>) -> Result<()> {
        self.end()?;
        self.writer.event(event)
    }

    pub(super) fn end(&mut self) -> Result<()> {
        match std::mem::take(&mut self.erased) {
            0 => Ok(()),
            count => self.writer.event(&Event::Erased { count }),
        }
    }
}
