//! The write of a run that ends without an outcome.
//!
//! Owns: what it is checked against, and its events. Must not know: why the run ended.
//! Promise: a job ends as an open would have settled it: one that was asked to stop is
//! cancelled, never requeued.

use std::sync::Arc;

use super::{Round, no_longer_held};
use crate::engine::core::Engine;
use crate::engine::state::calls::Answer;
use crate::engine::state::change::Change;
use crate::engine::state::committer::Committer;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::run_cell::RunCell;
use crate::log::event::{Event, RecoveredAs, pack_sequences};
use crate::model::error::Result;
use crate::model::id::JobId;
use crate::model::outcome::Outcome;
use crate::model::states::State;

impl Committer {
    pub(super) fn give_up(
        &mut self,
        engine: &Engine,
        round: &mut Round,
        graph: &Arc<GraphCore>,
        (sequence, id, run): (u64, Option<&JobId>, &RunCell),
        requeue: bool,
    ) -> Result<Answer> {
        if round.state(graph, sequence)? == State::Complete {
            return Ok(Answer::AlreadyComplete);
        }
        if !round.holds(graph, sequence, run) {
            return Err(no_longer_held());
        }
        let key = (graph.number, sequence);
        let is_cancelling =
            round.cancelling.contains(&key) || graph.state.read().cancelling.contains(&sequence);
        let answer = match (is_cancelling, requeue) {
            (true, _) => {
                self.complete(round, graph, sequence, &Outcome::cancelled());
                Answer::Done
            }
            (false, false) => {
                self.complete(round, graph, sequence, &Outcome::interrupted());
                Answer::Done
            }
            (false, true) => {
                self.frame.push(&Event::Recovered {
                    graph: graph.number,
                    boot: engine.opening.boot,
                    time_ms: round.now_ms,
                    age_shift_ms: round.age_shift_ms(),
                    action: RecoveredAs::Requeued,
                    sequences: &pack_sequences(&[sequence]),
                });
                round.states.insert(key, State::Pending);
                round.requeued.insert(key);
                round.change(graph, Change::Requeued { sequence });
                Answer::Requeued
            }
        };
        if let Some(id) = id {
            round.note_id(id);
        }
        Ok(answer)
    }
}
