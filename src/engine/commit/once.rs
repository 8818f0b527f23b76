//! The write of an idempotent submission.
//!
//! Owns: what it is checked against, and its events. Must not know: how keys are looked
//! up.
//! Promise: a key that was given away, in this commit or before it, makes no second job;
//! key and job are in one frame.

use std::sync::Arc;

use super::{Committer, Round};
use crate::engine::Engine;
use crate::engine::answers::Answer;
use crate::engine::graph_state::GraphCore;
use crate::engine::keys::KeyOwner;
use crate::engine::queue::{LookedKey, Submission};
use crate::error::{Error, Result};
use crate::storage::event::Event;

impl Committer {
    pub(super) fn submit_once(
        &mut self,
        engine: &Engine,
        round: &mut Round,
        graph: &Arc<GraphCore>,
        (key, submission, looked): (&str, &Submission, &LookedKey),
    ) -> Result<Answer> {
        let known = round.keyed.get(&(graph.number, key.to_owned()));
        let owner = match known {
            Some((id, request)) => KeyOwner::Job(id.clone(), request.clone()),
            // As for ids: what came since the caller looked is in memory, or has moved on
            // to the index meanwhile.
            None => match engine.recent_owner_of(graph, key)? {
                KeyOwner::Nobody if engine.ids.generation() != looked.generation => {
                    engine.owner_of(graph, key)?
                }
                recent => recent,
            },
        };
        match owner {
            KeyOwner::Job(id, known) if known == submission.kept.request => {
                return Ok(Answer::ExistsAs(id));
            }
            KeyOwner::Job(id, _) => return Err(Error::KeyTaken { id }),
            KeyOwner::Purged => return Err(Error::KeyPurged),
            KeyOwner::Nobody => {}
        }
        let sequence = round.next_sequence(graph);
        let id = self.submit(engine, round, graph, submission);
        let lsn = self.log.next_lsn() + self.frame.count();
        self.frame.push(&Event::Keyed {
            graph: graph.number,
            sequence,
            key,
        });
        let given = graph.owner_of_key(sequence, lsn);
        round.foreign.push((graph.key_hash(key), given));
        let owner = (id.clone(), submission.kept.request.clone());
        round.keyed.insert((graph.number, key.to_owned()), owner);
        Ok(Answer::Created(id))
    }
}
