//! What the events of a job record for the history: its command, how long it waited, and how long it
//! ran.
//!
//! Nearly always, this is in memory. Only if a job was packed before it was started or canceled, its
//! request is read, together with those of its neighbors. If that fails, the events record that the
//! time is unknown.

use std::sync::Arc;

use super::staging::Staging;
use crate::base::clock;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::running::SubmittedJob;
use crate::log::event::Event;
use crate::model::error::Result;
use crate::model::json;
use crate::model::request::Request;

impl Staging<'_> {
    /// The number of a command. A new command is assigned one, as long as there are numbers left.
    pub(super) fn command_number(&mut self, graph: &Arc<GraphCore>, name: &str) -> u8 {
        let new = self.round.commands.get(&graph.number);
        let next = {
            let commands = &graph.state.read().activity.commands;
            if let Some(number) = commands.number(name) {
                return number;
            }
            commands.next(new.map_or(0, Vec::len))
        };
        let known = new.and_then(|new| new.iter().find(|(known, _)| **known == *name));
        match (known, next) {
            (Some((_, number)), _) => *number,
            (None, None) => 0,
            (None, Some(number)) => {
                let command = Event::Command {
                    graph: graph.number,
                    number,
                    name,
                };
                self.push(graph, &command);
                let new = self.round.commands.entry(graph.number).or_default();
                new.push((name.into(), number));
                number
            }
        }
    }

    /// When a job was submitted, and with which command.
    pub(super) fn submitted_job(&mut self, graph: &Arc<GraphCore>, sequence: u64) -> SubmittedJob {
        {
            let state = graph.state.read();
            if let Some(at) = sequence.checked_sub(state.status.len()) {
                let added = self.round.added.get(&graph.number);
                let job = added.and_then(|added| added.get(usize::try_from(at).ok()?));
                return job.copied().unwrap_or_default();
            }
            if let Some(place) = state.tail_place(sequence) {
                return SubmittedJob {
                    submitted_ms: Some(place.submitted_ms),
                    command: place.command,
                };
            }
        }
        let packed = self.packed_job(graph, sequence).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read when a job was submitted");
            None
        });
        packed.unwrap_or_default()
    }

    /// Reads a job in a pack.
    fn packed_job(
        &mut self,
        graph: &Arc<GraphCore>,
        sequence: u64,
    ) -> Result<Option<SubmittedJob>> {
        let facts = |submitted_ms, command: &str| SubmittedJob {
            submitted_ms: Some(submitted_ms),
            command: {
                let commands = &graph.state.read().activity.commands;
                commands.number(command).unwrap_or(0)
            },
        };
        if self.nearby_jobs.get(graph.number, sequence).is_none() {
            match self.engine.nearby_jobs(graph, sequence)? {
                Some(nearby) => *self.nearby_jobs = nearby,
                None => {
                    let job = self.engine.job(graph, sequence)?;
                    return Ok(job.map(|job| {
                        facts(clock::to_ms(job.submitted_at()), job.request().command())
                    }));
                }
            }
        }
        let nearby = self.nearby_jobs.get(graph.number, sequence);
        Ok(nearby.and_then(|(request, submitted_ms)| {
            let [command, ..] = Request::parts_of(std::str::from_utf8(request).ok()?)?;
            Some(facts(submitted_ms, &json::characters(command)?))
        }))
    }

    /// The command of a job, and for how long it has been running, if that is known.
    pub(super) fn running_job(
        &mut self,
        graph: &Arc<GraphCore>,
        sequence: u64,
    ) -> (u8, Option<u64>) {
        let key = (graph.number, sequence);
        let started = match self.round.started.get(&key) {
            Some(started) => Some(*started),
            // It was requeued in this commit, so it is not running.
            None if self.round.requeued.contains(&key) => None,
            None => graph.state.read().activity.running.get(sequence),
        };
        match started {
            Some(job) => {
                let run_ms = self.round.now_ms.saturating_sub(job.started_ms);
                (job.command, Some(run_ms))
            }
            None => (self.submitted_job(graph, sequence).command, None),
        }
    }
}
