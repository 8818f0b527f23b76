//! Validates and encodes a write that ends a run without an outcome.
//!
//! The job is settled as an open would settle it: if its cancellation was requested, it is canceled
//! and never requeued.

use std::sync::Arc;

use super::staging::Staging;
use super::transitions::no_longer_held;
use crate::engine::state::calls::WriteResult;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::run_cell::RunCell;
use crate::log::event::{Event, RecoveredAs, pack_sequences};
use crate::model::error::Result;
use crate::model::id::JobId;
use crate::model::outcome::Outcome;
use crate::model::states::State;

impl Staging<'_> {
    pub(super) fn give_up(
        &mut self,
        graph: &Arc<GraphCore>,
        (sequence, id, run): (u64, Option<&JobId>, &RunCell),
        requeue: bool,
    ) -> Result<WriteResult> {
        if self.round.state(graph, sequence)? == State::Complete {
            return Ok(WriteResult::AlreadyComplete);
        }
        if !self.round.holds(graph, sequence, run) {
            return Err(no_longer_held());
        }
        let key = (graph.number, sequence);
        let is_cancelling = self.round.cancelling.contains(&key)
            || graph.state.read().cancelling.contains(&sequence);
        let result = match (is_cancelling, requeue) {
            (true, _) => {
                self.complete(graph, sequence, &Outcome::cancelled());
                WriteResult::Done
            }
            (false, false) => {
                self.complete(graph, sequence, &Outcome::interrupted());
                WriteResult::Done
            }
            (false, true) => {
                let open_number = self.engine.open_event().open_number;
                self.recovered(graph, sequence, (RecoveredAs::Requeued, open_number));
                self.round.states.insert(key, State::Pending);
                self.round.requeued.insert(key);
                self.round.started.remove(&key);
                WriteResult::Requeued
            }
        };
        if let Some(id) = id {
            self.round.note_id(id);
        }
        Ok(result)
    }

    /// Records what recovery did with a job, at the open with this number.
    pub(super) fn recovered(
        &mut self,
        graph: &Arc<GraphCore>,
        sequence: u64,
        (action, open_number): (RecoveredAs, u64),
    ) {
        let (command, _) = self.running_job(graph, sequence);
        let recovered = Event::Recovered {
            graph: graph.number,
            open_number,
            time_ms: self.round.now_ms,
            age_shift_ms: self.round.age_shift_ms(),
            action,
            command,
            sequences: &pack_sequences(&[sequence]),
        };
        self.push(graph, &recovered);
    }
}
