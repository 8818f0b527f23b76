//! The transitions of a job: started, completed, canceled, abandoned.

use std::sync::Arc;

use super::staging::Staging;
use crate::engine::state::calls::WriteResult;
use crate::engine::state::claim::Claim;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::run_cell::RunCell;
use crate::engine::state::running::RunningJob;
use crate::log::event::Event;
use crate::model::error::{Error, Result};
use crate::model::id::JobId;
use crate::model::outcome::{Outcome, OutcomeKind};
use crate::model::states::State;

impl Staging<'_> {
    /// Starts a job if it is pending and its claim was not withdrawn.
    pub(super) fn start_if_pending(
        &mut self,
        graph: &Arc<GraphCore>,
        (sequence, id): (u64, &JobId),
        claim: Option<&Arc<Claim>>,
    ) -> Result<WriteResult> {
        if !claim.is_some_and(|claim| claim.is_withdrawn()) {
            match self.round.state(graph, sequence)? {
                State::Pending => self.start(graph, sequence, claim),
                from => return Err(illegal(id, from, State::Running)),
            }
            self.round.note_id(id);
        }
        Ok(WriteResult::Done)
    }

    /// Starts the oldest pending job, if there is one and the claim was not withdrawn.
    pub(super) fn claim(
        &mut self,
        graph: &Arc<GraphCore>,
        claim: Option<&Arc<Claim>>,
    ) -> WriteResult {
        if claim.is_some_and(|claim| claim.is_withdrawn()) {
            return WriteResult::Claimed(None);
        }
        let claimed = self.round.oldest_pending(graph);
        if let Some(sequence) = claimed {
            self.start(graph, sequence, claim);
        }
        WriteResult::Claimed(claimed)
    }

    pub(super) fn complete_if_open(
        &mut self,
        graph: &Arc<GraphCore>,
        (sequence, id): (u64, &JobId),
        outcome: &Outcome,
        run: Option<&RunCell>,
    ) -> Result<WriteResult> {
        match self.round.state(graph, sequence)? {
            State::Complete => return Ok(WriteResult::AlreadyComplete),
            _ if !run.is_none_or(|run| self.round.holds(graph, sequence, run)) => {
                return Err(no_longer_held());
            }
            State::Pending if outcome.kind() != OutcomeKind::Cancelled => {
                return Err(illegal(id, State::Pending, State::Complete));
            }
            _ => self.complete(graph, sequence, outcome),
        }
        self.round.note_id(id);
        Ok(WriteResult::Done)
    }

    /// Interrupts a job whose run was abandoned.
    pub(super) fn abandon(&mut self, graph: &Arc<GraphCore>, sequence: u64) -> Result<WriteResult> {
        if self.round.state(graph, sequence)? == State::Running {
            self.complete(graph, sequence, &Outcome::interrupted());
        }
        Ok(WriteResult::Done)
    }

    pub(super) fn start(
        &mut self,
        graph: &Arc<GraphCore>,
        sequence: u64,
        claim: Option<&Arc<Claim>>,
    ) {
        let submitted = self.submitted_job(graph, sequence);
        let (now_ms, command) = (self.round.now_ms, submitted.command);
        let wait_ms = submitted.submitted_ms.map(|ms| now_ms.saturating_sub(ms));
        let started = Event::Started {
            graph: graph.number,
            sequence,
            time_ms: now_ms,
            command,
            wait_ms,
        };
        self.push(graph, &started);
        let job = (graph.number, sequence);
        let running = RunningJob {
            started_ms: now_ms,
            command,
        };
        self.round.started.insert(job, running);
        self.round.states.insert(job, State::Running);
        if let Some(claim) = claim {
            self.round.changes.claims.insert(job, claim.clone());
        }
    }

    pub(super) fn complete(&mut self, graph: &Arc<GraphCore>, sequence: u64, outcome: &Outcome) {
        let (command, run_ms) = self.running_job(graph, sequence);
        let completed = Event::Completed {
            graph: graph.number,
            sequence,
            time_ms: self.round.now_ms,
            age_shift_ms: self.round.age_shift_ms(),
            kind: outcome.kind().to_stored(),
            command,
            run_ms,
            extra: outcome.extra.clone(),
        };
        self.push(graph, &completed);
        self.round
            .states
            .insert((graph.number, sequence), State::Complete);
    }

    pub(super) fn cancel(
        &mut self,
        graph: &Arc<GraphCore>,
        sequence: u64,
        id: &JobId,
    ) -> Result<WriteResult> {
        match self.round.state(graph, sequence)? {
            State::Complete => Ok(WriteResult::AlreadyComplete),
            State::Pending => {
                self.complete(graph, sequence, &Outcome::cancelled());
                self.round.note_id(id);
                Ok(WriteResult::CancelledBeforeStart)
            }
            State::Running => {
                let known = graph.state.read().cancelling.contains(&sequence);
                if !known && self.round.cancelling.insert((graph.number, sequence)) {
                    self.request_cancel(graph, sequence, self.round.now_ms);
                }
                self.round.note_id(id);
                Ok(WriteResult::CancelRequested)
            }
        }
    }

    pub(super) fn request_cancel(&mut self, graph: &Arc<GraphCore>, sequence: u64, time_ms: u64) {
        let requested = Event::CancelRequested {
            graph: graph.number,
            sequence,
            time_ms,
        };
        self.push(graph, &requested);
    }
}

pub(super) fn no_longer_held() -> Error {
    Error::InvalidUse {
        what: "the job of this run was requeued; claim a job again",
    }
}

fn illegal(id: &JobId, from: State, to: State) -> Error {
    Error::IllegalTransition {
        id: id.clone(),
        from,
        to,
    }
}
