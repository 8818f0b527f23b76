//! Validation: checks each write against the states after the writes before it, and encodes it
//! as events of the frame.

use std::path::Path;
use std::sync::Arc;

use super::round::Round;
use crate::engine::core::Engine;
use crate::engine::replay::apply::{Target, apply};
use crate::engine::state::calls::WriteResult;
use crate::engine::state::change::StateChange;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::nearby_jobs::NearbyJobs;
use crate::engine::state::operation::Action;
use crate::index::sorted_runs::Pair;
use crate::log::clock_gaps::Gap;
use crate::log::clock_mark::ClockMark;
use crate::log::event::Event;
use crate::log::frame::Builder;
use crate::model::error::Result;
use crate::model::token::OpenEvent;

/// The writes of a commit, being encoded into a frame.
pub(super) struct Staging<'c> {
    pub(super) engine: &'c Engine,
    pub(super) frame: &'c mut Builder,
    /// The log sequence number of the frame's first event.
    first_lsn: u64,
    pub(super) nearby_jobs: &'c mut NearbyJobs,
    pub(super) round: Round,
}

impl<'c> Staging<'c> {
    /// Begins an empty frame.
    pub(super) fn begin(
        engine: &'c Engine,
        (frame, first_lsn): (&'c mut Builder, u64),
        clock: ClockMark,
        nearby_jobs: &'c mut NearbyJobs,
    ) -> Staging<'c> {
        frame.clear();
        frame.clock = clock;
        Staging {
            engine,
            frame,
            first_lsn,
            nearby_jobs,
            round: Round {
                now_ms: clock.wall_ms,
                clock,
                gaps: engine.gaps(),
                ..Round::default()
            },
        }
    }

    /// Adds an event of this graph to the frame, and what it changes to the changes of the commit.
    pub(super) fn push(&mut self, graph: &Arc<GraphCore>, event: &Event<'_>) {
        self.push_event(Some(graph), event);
    }

    pub(super) fn push_event(&mut self, graph: Option<&Arc<GraphCore>>, event: &Event<'_>) {
        let lsn = self.next_lsn();
        let end = self.frame.push(event) as u64;
        let mut staged = Staged {
            engine: self.engine,
            round: &mut self.round,
            graph,
        };
        if apply(event, (lsn, end), Path::new("frame"), &mut staged).is_err() {
            self.frame.set_unreadable();
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
                self.push_event(None, &Event::Clock);
                Ok(WriteResult::Done)
            }
            Action::ConfirmClock => {
                // If the frame already contains a confirmation, nothing is left to confirm.
                let gap = self.frame.clock.unconfirmed();
                self.frame.clock = self.frame.clock.confirmed();
                self.push_event(None, &gap.map_or(Event::Clock, Event::Confirmed));
                self.round.changes.confirmed = Some(self.round.clock);
                Ok(WriteResult::Done)
            }
        }
    }
}

/// The changes of the commit, and the graph to which an event is applied.
struct Staged<'s> {
    engine: &'s Engine,
    round: &'s mut Round,
    graph: Option<&'s Arc<GraphCore>>,
}

impl Target for Staged<'_> {
    fn graph(&self, _number: u32) -> Result<Option<Arc<GraphCore>>> {
        Ok(self.graph.cloned())
    }

    fn project(&self, name: &str) -> Arc<str> {
        self.engine.graphs.read().project(name)
    }

    fn created(&mut self, graph: GraphCore) {
        self.round.changes.created.push(Arc::new(graph));
    }

    fn dropped(&mut self, _number: u32) {
        self.round.changes.dropped.extend(self.graph.cloned());
    }

    // Only an open writes this event.
    fn opened(&mut self, _open_event: OpenEvent) {}

    // The clock of the open store is confirmed by the reading that the round began with.
    fn confirmed(&mut self, _gap: Gap) {}

    fn changed(&mut self, graph: &Arc<GraphCore>, change: StateChange) {
        self.round.changes.jobs.push((graph.clone(), change));
    }

    fn named(&mut self, graph: &Arc<GraphCore>, number: u8, name: &str) {
        let command = (graph.clone(), number, name.into());
        self.round.changes.commands.push(command);
    }

    fn added_id(&mut self, id: Pair) {
        self.round.changes.external_ids.push(id);
    }
}
