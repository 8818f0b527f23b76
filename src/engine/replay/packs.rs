//! Replays a pack: applies the events that the index lacks, and records where requests are stored.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::problem::ReplayError;
use super::{Replay, out_of_order};
use crate::engine::state::graph::GraphCore;
use crate::index::Fault;
use crate::log::block::Block;
use crate::log::event::Event;
use crate::log::pack::{BlockPlace, Pack, Part};
use crate::log::{erased_history, submit_runs};
use crate::model::error::Result;
use crate::model::history::Slot;

/// The state of the pack being replayed.
#[derive(Default)]
pub(super) struct PackState {
    /// The last LSN of the pack being replayed.
    pub(super) end: Option<u64>,
    /// Whether any events of the pack are lost.
    pub(super) has_lost: bool,
    /// Whether any events of the pack were erased.
    has_erased: bool,
    /// Whether the index already contains the first events of the pack.
    began_in: bool,
    /// The jobs that the pack records as purged, by graph.
    purged: HashMap<u32, Vec<Range<u64>>>,
}

impl Replay {
    /// Replays a pack: applies the events that the index lacks, and records where requests are
    /// stored.
    pub(crate) fn pack(&mut self, pack: &Pack) -> Result<(), ReplayError> {
        let from = self.indexer.applied_lsn + 1;
        self.pack.end = Some(pack.last_lsn);
        self.pack.has_erased = false;
        self.pack.began_in = from > pack.first_lsn;
        self.pack.purged = purged_in(pack);
        if pack.last_lsn >= from {
            pack.events(from.max(pack.first_lsn), |lsn, event| {
                self.packed_event(lsn, event, &pack.path)
            })?;
        }
        for part in &pack.parts {
            let Some(graph) = self.graph_or_dropped(part.graph, &pack.path)? else {
                continue;
            };
            if pack.last_lsn >= from && self.index.keeps_rows() {
                self.external_ids(&graph, part)?;
            }
            if graph.state.read().packed_end() != part.first_sequence {
                let error = out_of_order(&pack.path, &graph, part.first_sequence);
                self.note_broken(error, part.graph);
                continue;
            }
            self.known_by_blocks(&graph, part);
            graph.state.write().add_part(part.clone());
        }
        self.next_lsn = pack.last_lsn + 1;
        self.clock = pack.clock.or(self.clock);
        self.pack.end = None;
        self.pack.has_lost = false;
        if pack.last_lsn >= from {
            self.write_index_if_due()?;
        }
        Ok(())
    }

    /// Adds jobs whose submission was lost but whose block exists. Jobs that were purged, or whose
    /// block was quarantined, become unlisted.
    fn known_by_blocks(&mut self, graph: &Arc<GraphCore>, part: &Part) {
        if self.pack.has_lost && part.end_sequence > 0 {
            self.submitted_up_to(graph, part.end_sequence - 1);
        }
        if part.quarantined == 0 && part.purged == 0 {
            return;
        }
        for place in part.blocks.iter().filter(|place| place.is_empty()) {
            // The events that submitted them may also be erased or lost.
            self.erased_up_to(graph, place.end_sequence() - 1);
            self.submitted_up_to(graph, place.end_sequence() - 1);
            let range = place.first_sequence..place.end_sequence();
            self.in_doubt.remove_range(graph.number, range.clone());
            graph.state.write().set_range_aside(range);
        }
    }

    /// Adds jobs up to `last` whose submission was lost.
    pub(super) fn submitted_up_to(&mut self, graph: &GraphCore, last: u64) {
        let mut state = graph.state.write();
        let in_doubt = self.in_doubt.of_mut(graph.number);
        for sequence in state.status.len()..=last {
            state.add_pending(sequence);
            in_doubt.insert(sequence);
        }
    }

    /// Adds jobs up to `last` whose submission was erased, if the pack records that they were
    /// purged; otherwise, they are missing.
    pub(super) fn erased_up_to(&mut self, graph: &GraphCore, last: u64) {
        let mut state = graph.state.write();
        if !self.pack.has_erased || state.status.len() > last {
            return;
        }
        let purged = self.pack.purged.get(&graph.number);
        let ranges = purged.map(Vec::as_slice).unwrap_or_default();
        let near = ranges.partition_point(|range| range.end <= state.status.len());
        for range in &ranges[near..] {
            let len = state.status.len();
            if len > last || !range.contains(&len) {
                break;
            }
            state.status.extend_removed(range.end.min(last + 1));
        }
    }

    fn packed_event(
        &mut self,
        lsn: u64,
        event: &Event<'_>,
        path: &Path,
    ) -> Result<(), ReplayError> {
        if let &Event::Submits {
            graph: number,
            first_sequence,
            count,
            runs,
        } = event
        {
            let known = (self.indexer.applied_lsn + 1)
                .saturating_sub(lsn)
                .min(count);
            if let Some(graph) = self.graph_or_dropped(number, path)? {
                if self.pack.has_lost && first_sequence > 0 {
                    self.submitted_up_to(&graph, first_sequence - 1);
                }
                if first_sequence > 0 {
                    self.erased_up_to(&graph, first_sequence - 1);
                }
                let mut state = graph.state.write();
                let first = first_sequence + known;
                if first > state.status.len() && known < count {
                    let error = out_of_order(path, &graph, first);
                    self.note_broken(error, number);
                } else {
                    (first..first_sequence + count).for_each(|s| state.add_pending(s));
                    let in_history = (state.activity.history.through_lsn + 1).saturating_sub(lsn);
                    let known = known.max(in_history.min(count));
                    let runs = submit_runs::unpack(runs).unwrap_or_default();
                    for run in submit_runs::slice(&runs, known, count - known) {
                        state.activity.commands.take(run.command);
                        let slot = Slot::of_minute(run.minute, run.command);
                        state.activity.history.add_submitted(slot, run.count);
                    }
                }
            }
            self.advance_to(lsn + count);
            return Ok(());
        }
        if let &Event::Erased { count, history } = event {
            // An index that ends within the pack was written before the pack was rewritten. It
            // contains some of the erased events, but it is unknown how many.
            if self.pack.began_in {
                let what = "it ends inside a part of the log that has been rewritten since";
                return Err(Fault(what.to_owned()).into());
            }
            self.pack.has_erased = true;
            self.erased_history((lsn, lsn + count), history)?;
            self.advance_to(lsn + count);
            return Ok(());
        }
        if let &Event::Lost { count } = event {
            if lsn > self.indexer.applied_lsn {
                self.pack.has_lost = true;
                self.in_doubt.add_open(&self.graphs);
            }
            self.advance_to(lsn + count);
            return Ok(());
        }
        self.event((lsn, 0), event, path, None)
    }

    /// Counts what events did that are now erased.
    fn erased_history(
        &mut self,
        (first_lsn, end_lsn): (u64, u64),
        history: &[u8],
    ) -> Result<(), ReplayError> {
        let (graphs, mut is_divided) = (&self.graphs, false);
        erased_history::each(history, |number, slot, counts| {
            let Some(graph) = graphs.by_number.get(&number) else {
                return;
            };
            let activity = &mut graph.state.write().activity;
            activity.commands.take(slot.command);
            let history = &mut activity.history;
            is_divided |= (first_lsn..end_lsn - 1).contains(&history.through_lsn);
            if history.through_lsn < first_lsn {
                history.add(slot, &counts);
            }
        });
        if is_divided {
            let what =
                "the history of a graph ends inside a part of the log that has been rewritten";
            return Err(Fault(what.to_owned()).into());
        }
        Ok(())
    }

    /// Adds the external ids of a part's jobs.
    fn external_ids(&mut self, graph: &Arc<GraphCore>, part: &Part) -> Result<(), ReplayError> {
        let is_looked_up = |place: &BlockPlace| {
            !place.is_empty() && (place.external_ids || graph.has_lost_its_key())
        };
        let mut block = Block::default();
        let mut piece = Vec::new();
        for place in part.blocks.iter().filter(|place| is_looked_up(place)) {
            if place.large {
                let id = crate::engine::read::large::large_id(part, *place)?;
                let owner = graph.owner(place.first_sequence);
                self.ids.add(graph.id_hash(&id), owner);
                self.changes += 1;
                continue;
            }
            part.read_block(place, (&mut block, &mut piece))?;
            for (sequence, row) in (block.first_sequence..).zip(&block.rows) {
                let id = std::str::from_utf8(block.id(row)).map_err(|_| part.not_valid(place))?;
                if graph.is_external(id, sequence) {
                    self.ids.add(graph.id_hash(id), graph.owner(sequence));
                    self.changes += 1;
                }
            }
        }
        Ok(())
    }
}

/// The jobs that a pack records as purged.
fn purged_in(pack: &Pack) -> HashMap<u32, Vec<std::ops::Range<u64>>> {
    let mut found = HashMap::new();
    for part in pack.parts.iter().filter(|part| part.purged > 0) {
        let purged = part.blocks.iter().filter(|place| place.purged);
        let ranges = purged.map(|place| place.first_sequence..place.end_sequence());
        found.insert(part.graph, ranges.collect());
    }
    found
}
