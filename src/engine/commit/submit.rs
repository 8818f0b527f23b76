//! Submissions of jobs with generated ids and with external ids.

use std::sync::Arc;

use super::staging::Staging;
use crate::engine::state::calls::WriteResult;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::operation::{JobLookup, Submission};
use crate::engine::state::running::SubmittedJob;
use crate::log::event::{Event, SubmissionTexts};
use crate::model::error::{Error, Result};
use crate::model::id::JobId;

impl Staging<'_> {
    pub(super) fn submit(&mut self, graph: &Arc<GraphCore>, submission: &Submission) -> JobId {
        let sequence = self.round.next_sequence(graph);
        let mut id = graph.ids.make(sequence, self.round.now_ms);
        // A caller may already have chosen this id. If so, the id is generated again with a later
        // time.
        for later_ms in 1.. {
            let taken = self.engine.ids.may_contain(graph.id_hash(id.as_str()))
                || (!self.round.brought.is_empty()
                    && self.round.brought.contains_key(&(graph.number, id.clone())));
            if !taken {
                break;
            }
            id = graph.ids.make(sequence, self.round.now_ms + later_ms);
        }
        self.record(graph, sequence, &id, submission);
        self.round.note_id(&id);
        id
    }

    pub(super) fn submit_as(
        &mut self,
        graph: &Arc<GraphCore>,
        (id, submission, lookup): (&JobId, &Submission, &JobLookup),
    ) -> Result<WriteResult> {
        let key = (graph.number, id.clone());
        let existing = match (self.round.brought.get(&key), &lookup.found) {
            (Some(existing), _) | (None, Some(existing)) => Some(existing.clone()),
            // The caller found nothing in the index. A job that was added since then is in memory,
            // or has already moved to the index. The generation is compared only after the lookup
            // in memory, because the job may move to the index between the two lookups.
            (None, None) => match self.engine.recent_request_of(graph, id.as_str())? {
                None if lookup.generation != Some(self.engine.ids.generation()) => {
                    self.engine.request_of(graph, id.as_str())?
                }
                recent => recent,
            },
        };
        if let Some(existing) = existing {
            return if existing == submission.masked_request.request {
                Ok(WriteResult::Exists)
            } else {
                Err(Error::JobIdTaken { id: id.clone() })
            };
        }
        // The job may have been added and removed after the caller checked.
        if !self
            .engine
            .ids
            .recent(graph.id_hash(id.as_str()))
            .is_empty()
        {
            self.engine.check_not_purged(graph, id)?;
        }
        let sequence = self.round.next_sequence(graph);
        self.record(graph, sequence, id, submission);
        self.round
            .brought
            .insert(key, submission.masked_request.request.clone());
        self.round.note_id(id);
        Ok(WriteResult::Created(id.clone()))
    }

    pub(super) fn record(
        &mut self,
        graph: &Arc<GraphCore>,
        sequence: u64,
        id: &JobId,
        submission: &Submission,
    ) {
        let command = self.command_number(graph, submission.masked_request.request.command());
        let texts = SubmissionTexts {
            id: id.as_str(),
            request: submission.masked_request.request.as_json(),
            unlisted: &submission.masked_request.unlisted,
        };
        let fingerprint = submission.fingerprint;
        let submitted = Event::Submitted {
            graph: graph.number,
            sequence,
            time_ms: self.round.now_ms,
            fingerprint,
            command,
            texts,
        };
        self.push(graph, &submitted);
        let job = SubmittedJob {
            submitted_ms: Some(self.round.now_ms),
            command,
        };
        self.round.added.entry(graph.number).or_default().push(job);
    }
}
