//! Validates and encodes an idempotent submission.
//!
//! A submission with a key that is already taken, in this commit or before it, never creates a
//! second job. The key and its job are recorded in one frame.

use std::sync::Arc;

use super::staging::Staging;
use crate::engine::read::idempotency_keys::KeyOwner;
use crate::engine::state::calls::WriteResult;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::operation::{KeyLookup, Submission};
use crate::log::event::Event;
use crate::model::error::{Error, Result};

impl Staging<'_> {
    pub(super) fn submit_once(
        &mut self,
        graph: &Arc<GraphCore>,
        (key, submission, lookup): (&str, &Submission, &KeyLookup),
    ) -> Result<WriteResult> {
        let known = self.round.keyed.get(&(graph.number, key.to_owned()));
        let owner = match known {
            Some((id, request)) => KeyOwner::Job(id.clone(), request.clone()),
            // As with ids, an owner that was added after the caller's check is in memory, or has
            // already moved to the index.
            None => match self.engine.recent_owner_of(graph, key)? {
                KeyOwner::Nobody if lookup.generation != Some(self.engine.ids.generation()) => {
                    self.engine.owner_of(graph, key)?
                }
                recent => recent,
            },
        };
        match owner {
            KeyOwner::Job(id, known) if known == submission.masked_request.request => {
                return Ok(WriteResult::ExistsAs(id));
            }
            KeyOwner::Job(id, _) => return Err(Error::KeyTaken { id }),
            KeyOwner::Purged => return Err(Error::KeyPurged),
            KeyOwner::Nobody => {}
        }
        let sequence = self.round.next_sequence(graph);
        let id = self.submit(graph, submission);
        let keyed = Event::Keyed {
            graph: graph.number,
            sequence,
            key,
        };
        self.push(graph, &keyed);
        let owner = (id.clone(), submission.masked_request.request.clone());
        self.round
            .keyed
            .insert((graph.number, key.to_owned()), owner);
        Ok(WriteResult::Created(id))
    }
}
