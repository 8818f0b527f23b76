//! What the intact part of a file records about graphs, and what is damaged.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::event::{Event, last_of_sequences};
use crate::log::purged_jobs;
use crate::model::error::Error;

/// What the intact part of a file records about graphs, and what is damaged.
#[derive(Default)]
pub(crate) struct Tally {
    pub(super) created: Vec<(u32, (String, String))>,
    pub(super) dropped: Vec<u32>,
    /// The sequence number after the last job that events refer to, by graph.
    pub(super) mentioned: BTreeMap<u32, u64>,
    /// The sequence number after the last job that a pack's events submit, by graph.
    pub(super) submitted: BTreeMap<u32, u64>,
    pub(super) quarantined: BTreeMap<u32, u64>,
    pub(super) damage: Vec<(Error, u64, u64)>,
    pub(super) bytes: u64,
}

impl Tally {
    pub(super) fn creates(&self) -> BTreeSet<u32> {
        self.created.iter().map(|&(graph, _)| graph).collect()
    }

    pub(super) fn note_job(&mut self, graph: u32, sequence: u64) {
        self.note_jobs_up_to(graph, sequence.saturating_add(1));
    }

    pub(super) fn note_jobs_up_to(&mut self, graph: u32, up_to: u64) {
        let end = self.mentioned.entry(graph).or_default();
        *end = up_to.max(*end);
    }

    pub(super) fn submit(&mut self, graph: u32, up_to: u64) {
        let end = self.submitted.entry(graph).or_default();
        *end = up_to.max(*end);
    }

    pub(super) fn event(&mut self, event: &Event<'_>) {
        match *event {
            Event::GraphCreated {
                graph,
                project,
                name,
                ..
            } => {
                let names = (project.to_owned(), name.to_owned());
                self.created.push((graph, names));
            }
            Event::GraphDropped { graph, .. } => self.dropped.push(graph),
            Event::Submitted {
                graph, sequence, ..
            }
            | Event::Started {
                graph, sequence, ..
            }
            | Event::Keyed {
                graph, sequence, ..
            }
            | Event::CancelRequested {
                graph, sequence, ..
            }
            | Event::Completed {
                graph, sequence, ..
            } => self.note_job(graph, sequence),
            Event::Submits {
                graph,
                first_sequence,
                count,
                ..
            } => {
                self.note_job(graph, first_sequence + count - 1);
                self.submit(graph, first_sequence + count);
            }
            Event::Recovered {
                graph, sequences, ..
            } => {
                self.note_job(graph, last_of_sequences(sequences).unwrap_or(0));
            }
            Event::Purged { graph, jobs, .. } => {
                if let Some(last) = purged_jobs::unpack(jobs).and_then(|jobs| jobs.last().cloned())
                {
                    self.note_job(graph, last.sequence);
                }
            }
            Event::Forgotten {
                graph, sequences, ..
            } => {
                // An event without jobs still refers to its graph.
                let last = last_of_sequences(sequences).filter(|_| !sequences.is_empty());
                self.note_jobs_up_to(graph, last.map_or(0, |last| last.saturating_add(1)));
            }
            Event::StoreOpened { .. }
            | Event::Lost { .. }
            | Event::Erased { .. }
            | Event::Clock
            | Event::Confirmed(_) => {}
            // An event without jobs still refers to its graph.
            Event::Command { graph, .. } => self.note_jobs_up_to(graph, 0),
        }
    }
}
