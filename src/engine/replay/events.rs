//! Replays single events: applies them to the state that is being restored.

use std::path::Path;
use std::sync::Arc;

use super::apply::{Target, apply};
use super::{Replay, ReplayError, out_of_order};
use crate::engine::state::change::StateChange;
use crate::engine::state::graph::GraphCore;
use crate::index::sorted_runs::Pair;
use crate::log::clock_gaps::Gap;
use crate::log::event::Event;
use crate::log::segment::Segment;
use crate::model::error::{Error, Result};
use crate::model::token::OpenEvent;

impl Replay {
    /// Replays an event of a segment; its bytes end at `end`.
    pub(crate) fn segment_event(
        &mut self,
        lsn: u64,
        event: &Event<'_>,
        segment: &Arc<Segment>,
        end: u64,
    ) -> Result<(), ReplayError> {
        self.event((lsn, end), event, &segment.path, Some(segment))
    }

    /// Replays the event that recovery has just appended to the log.
    pub(crate) fn settled_event(
        &mut self,
        event: &Event<'_>,
        path: &Path,
    ) -> Result<(), ReplayError> {
        let lsn = self.next_lsn;
        self.restoring(path, None).apply(event, (lsn, 0))?;
        self.next_lsn += 1;
        Ok(())
    }

    /// Replays an event. In a segment, its bytes end at `end`.
    pub(super) fn event(
        &mut self,
        (lsn, end): (u64, u64),
        event: &Event<'_>,
        path: &Path,
        segment: Option<&Arc<Segment>>,
    ) -> Result<(), ReplayError> {
        let is_new = lsn > self.indexer.applied_lsn;
        // The index contains neither the places of requests in segments nor the last open.
        let is_wanted = match event {
            Event::Submitted { .. } if segment.is_none() => {
                return Err(Error::damaged(path, 0, "unexpected submission").into());
            }
            Event::Submitted { .. } | Event::StoreOpened { .. } => true,
            _ => is_new,
        };
        if is_wanted {
            let mut restoring = self.restoring(path, segment);
            restoring.is_new = is_new;
            restoring.apply(event, (lsn, end))?;
        }
        self.advance_to(lsn + 1);
        // When the last event of a pack is replayed, the pack's external ids have not been added
        // yet.
        if is_new && Some(lsn) != self.pack.end {
            self.write_index_if_due()?;
        }
        Ok(())
    }

    fn restoring<'r>(
        &'r mut self,
        path: &'r Path,
        segment: Option<&'r Arc<Segment>>,
    ) -> Restoring<'r> {
        Restoring {
            replay: self,
            path,
            segment,
            lsn: 0,
            is_new: true,
        }
    }
}

/// The state that is being restored, and the origin of the event that is applied to it.
struct Restoring<'r> {
    replay: &'r mut Replay,
    path: &'r Path,
    segment: Option<&'r Arc<Segment>>,
    lsn: u64,
    /// Whether the index lacks the event.
    is_new: bool,
}

impl Restoring<'_> {
    fn apply(&mut self, event: &Event<'_>, place: (u64, u64)) -> Result<()> {
        self.lsn = place.0;
        apply(event, place, self.path, self)
    }

    /// Counts what a change contributes to the graph's history, unless the index contains it.
    fn count(&mut self, graph: &GraphCore, change: &StateChange) {
        let mut state = graph.state.write();
        if self.lsn > state.activity.history.through_lsn {
            let before = state.activity.history.len();
            state.count(change);
            self.replay.changes += (state.activity.history.len() - before) as u64;
        }
    }

    /// Records that jobs before this one are missing.
    fn note_out_of_order(&mut self, graph: &GraphCore, sequence: u64) {
        let error = out_of_order(self.path, graph, sequence);
        self.replay.note_broken(error, graph.number);
    }

    /// Adds the place of a new job's request. Returns whether the job is the next one.
    fn add_tail(&mut self, graph: &GraphCore, change: &StateChange) -> bool {
        let (
            &StateChange::Submitted {
                sequence,
                place,
                fingerprint,
            },
            Some(segment),
        ) = (change, self.segment)
        else {
            return false;
        };
        let mut state = graph.state.write();
        let next = match state.tail.last() {
            Some(run) => run.first_sequence + run.jobs.len() as u64,
            None => state.packed_end(),
        };
        let is_next = sequence == next && (!self.is_new || sequence <= state.status.len());
        if is_next {
            state.add_tail(segment, sequence, place, fingerprint);
        }
        is_next
    }
}

impl Target for Restoring<'_> {
    fn graph(&self, number: u32) -> Result<Option<Arc<GraphCore>>> {
        self.replay.graph_or_dropped(number, self.path)
    }

    fn project(&self, name: &str) -> Arc<str> {
        self.replay.graphs.project(name)
    }

    fn created(&mut self, graph: GraphCore) {
        let graphs = &mut self.replay.graphs;
        if !graphs.by_number.contains_key(&graph.number) {
            graphs.insert(Arc::new(graph));
        }
    }

    fn dropped(&mut self, number: u32) {
        self.replay.graphs.remove(number);
    }

    fn opened(&mut self, open_event: OpenEvent) {
        let replay = &mut *self.replay;
        replay.open_number = replay.open_number.max(open_event.open_number);
        replay.open_event = Some(open_event);
    }

    fn confirmed(&mut self, gap: Gap) {
        self.replay.gaps.add(gap);
    }

    fn changed(&mut self, graph: &Arc<GraphCore>, change: StateChange) {
        if self.replay.broken.contains_key(&graph.number) {
            return;
        }
        let sequence = change.sequence();
        if let StateChange::Submitted { .. } = change {
            if !self.add_tail(graph, &change) {
                self.note_out_of_order(graph, sequence);
            } else if self.is_new {
                graph.state.write().apply_state(&change);
                self.count(graph, &change);
            }
            return;
        }
        self.replay.changes += 1;
        if self.replay.pack.has_lost {
            self.replay.submitted_up_to(graph, sequence);
        }
        self.replay.erased_up_to(graph, sequence);
        let mut state = graph.state.write();
        if sequence >= state.status.len() {
            drop(state);
            self.note_out_of_order(graph, sequence);
            return;
        }
        let is_of_removed = matches!(
            change,
            StateChange::Purged { .. } | StateChange::Forgotten { .. }
        );
        if is_of_removed || !state.status.is_removed(sequence) {
            state.apply_state(&change);
        }
        drop(state);
        self.count(graph, &change);
        // A cancel request does not show whether the job had been started.
        if !matches!(change, StateChange::CancelRequested { .. }) {
            self.replay.in_doubt.remove(graph.number, sequence);
        }
    }

    fn named(&mut self, graph: &Arc<GraphCore>, number: u8, name: &str) {
        graph.state.write().activity.commands.insert(number, name);
    }

    fn added_id(&mut self, (hash, owner): Pair) {
        if self.is_new && self.replay.index.keeps_rows() {
            self.replay.ids.add(hash, owner);
            self.replay.changes += 1;
        }
    }

    fn purged_id(&mut self, id: Pair) {
        self.added_id(id);
    }

    fn forgotten(&mut self, graph: &Arc<GraphCore>, through_lsn: u64) {
        let mut state = graph.state.write();
        state.forgotten_lsn = state.forgotten_lsn.max(through_lsn);
    }
}
