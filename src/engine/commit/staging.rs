//! Validation: checks each write against the states after the writes before it, and encodes it
//! as events of the frame.

use super::round::Round;
use crate::engine::core::Engine;
use crate::engine::state::calls::WriteResult;
use crate::engine::state::operation::Action;
use crate::log::clock_mark::ClockMark;
use crate::log::event::Event;
use crate::log::frame::Builder;
use crate::model::error::Result;

/// The writes of a commit, being encoded into a frame.
pub(super) struct Staging<'c> {
    pub(super) engine: &'c Engine,
    pub(super) frame: &'c mut Builder,
    /// The log sequence number of the frame's first event.
    first_lsn: u64,
    pub(super) round: Round,
}

impl<'c> Staging<'c> {
    /// Begins an empty frame.
    pub(super) fn begin(
        engine: &'c Engine,
        (frame, first_lsn): (&'c mut Builder, u64),
        clock: ClockMark,
    ) -> Staging<'c> {
        frame.clear();
        frame.clock = clock;
        Staging {
            engine,
            frame,
            first_lsn,
            round: Round {
                now_ms: clock.wall_ms,
                clock,
                gaps: engine.gaps(),
                ..Round::default()
            },
        }
    }

    /// Adds a write. A refused write adds no events.
    pub(super) fn add(&mut self, action: &Action) {
        let result = self.stage(action);
        self.round.results.push(result);
    }

    /// The changes to apply once the frame is durable.
    pub(super) fn finish(self) -> Round {
        self.round
    }

    /// The log sequence number of the next event to be added.
    pub(super) fn next_lsn(&self) -> u64 {
        self.first_lsn + self.frame.count()
    }

    /// Checks a write against the states after the writes before it, and adds its events to the
    /// frame.
    fn stage(&mut self, action: &Action) -> Result<WriteResult> {
        match action {
            Action::CreateGraph {
                project,
                name,
                id_number,
                key,
            } => self.create_graph((project, name), (*id_number, *key)),
            Action::DropGraph { graph } => {
                self.round.check_graph(graph)?;
                self.drop_graph(graph);
                Ok(WriteResult::Done)
            }
            Action::Submit { graph, submission } => {
                self.round.check_graph(graph)?;
                let id = self.submit(graph, submission);
                Ok(WriteResult::Created(id))
            }
            Action::SubmitAll { graph, submissions } => {
                self.round.check_graph(graph)?;
                let submitted = submissions.iter().map(|s| self.submit(graph, s));
                Ok(WriteResult::CreatedAll(submitted.collect()))
            }
            Action::SubmitAs {
                graph,
                id,
                submission,
                lookup,
            } => {
                self.round.check_graph(graph)?;
                self.submit_as(graph, (id, submission, lookup))
            }
            Action::SubmitOnce {
                graph,
                key,
                submission,
                lookup,
            } => {
                self.round.check_graph(graph)?;
                self.submit_once(graph, (key, submission, lookup))
            }
            Action::Start {
                graph,
                sequence,
                id,
                claim,
            } => {
                self.round.check_graph(graph)?;
                self.start_if_pending(graph, (*sequence, id), claim.as_ref())
            }
            Action::Complete {
                graph,
                sequence,
                id,
                outcome,
                run,
            } => {
                self.round.check_graph(graph)?;
                self.complete_if_open(graph, (*sequence, id), outcome, run.as_deref())
            }
            Action::Cancel {
                graph,
                sequence,
                id,
            } => {
                self.round.check_graph(graph)?;
                self.cancel(graph, *sequence, id)
            }
            Action::GiveUp {
                graph,
                sequence,
                id,
                run,
                requeue,
            } => {
                self.round.check_graph(graph)?;
                self.give_up(graph, (*sequence, Some(id), run), *requeue)
            }
            Action::Abandon { graph, sequence } => {
                self.round.check_graph(graph)?;
                self.abandon(graph, *sequence)
            }
            Action::Claim { graph, claim } => {
                self.round.check_graph(graph)?;
                Ok(self.claim(graph, claim.as_ref()))
            }
            Action::HandBack { graph, claim } => {
                self.round.check_graph(graph)?;
                match claim.started() {
                    // The job's id is not known here, and no caller waits for the result.
                    Some(sequence) => self.give_up(graph, (sequence, None, &*claim.run), true),
                    None => Ok(WriteResult::Done),
                }
            }
            Action::Import { graph, jobs, stops } => {
                self.round.check_graph(graph)?;
                self.import(graph, (jobs, *stops))
            }
            Action::Purge { graph, jobs, why } => {
                self.round.check_graph(graph)?;
                self.purge(graph, jobs, *why)
            }
            Action::Forget {
                graph,
                through_lsn,
                sequences,
            } => {
                self.round.check_graph(graph)?;
                Ok(self.forget(graph, *through_lsn, sequences))
            }
            Action::Clock => {
                self.frame.push(&Event::Clock);
                Ok(WriteResult::Done)
            }
            Action::ConfirmClock => {
                // If the frame already contains a confirmation, nothing is left to confirm.
                let gap = self.frame.clock.unconfirmed();
                self.frame.clock = self.frame.clock.confirmed();
                self.frame.push(&gap.map_or(Event::Clock, Event::Confirmed));
                self.round.confirms_clock = true;
                Ok(WriteResult::Done)
            }
        }
    }
}
