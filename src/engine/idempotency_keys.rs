//! From the key of an idempotent submission to its job.
//!
//! Owns: the keys' hashes, and the question which job a key belongs to. Must not know:
//! what becomes of the answer.
//! Promise: a key finds its own job or none: the event that gave it away is read and
//! compared. It stays taken as long as the job is there, or its tombstone.
//!
//! Keys share the lookups of ids that engines bring; the owner of a key has the LSN of the
//! event that gave it away.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::engine::core::Engine;
use crate::engine::state::graph::GraphCore;
use crate::index::sorted_runs::Owner;
use crate::log::event::Event;
use crate::model::error::Result;
use crate::model::id::JobId;
use crate::model::request::Request;

/// Keeps hashes of keys apart from those of ids.
const KEYS: u64 = 0x6b65_7973;

/// To whom a key belongs.
pub(crate) enum KeyOwner {
    Nobody,
    Job(JobId, Request),
    /// A job that was purged; its tombstone is still there.
    Purged,
}

impl GraphCore {
    pub(crate) fn key_hash(&self, key: &str) -> u64 {
        let seed = self.ids.key()[0] ^ u64::from(self.number) ^ KEYS;
        xxh3_64_with_seed(key.as_bytes(), seed)
    }
}

impl Engine {
    /// To whom a key belongs.
    pub(crate) fn owner_of(&self, graph: &Arc<GraphCore>, key: &str) -> Result<KeyOwner> {
        let hash = graph.key_hash(key);
        if !self.ids.may_contain(hash) {
            return Ok(KeyOwner::Nobody);
        }
        let owners = self.ask_index(|index| self.ids.lookup(index, hash))?;
        self.owner_among(graph, key, owners)
    }

    /// The same for a key that the index is known not to have.
    pub(crate) fn recent_owner_of(&self, graph: &Arc<GraphCore>, key: &str) -> Result<KeyOwner> {
        let owners = self.ids.recent(graph.key_hash(key));
        self.owner_among(graph, key, owners)
    }

    fn owner_among(
        &self,
        graph: &Arc<GraphCore>,
        key: &str,
        owners: Vec<Owner>,
    ) -> Result<KeyOwner> {
        let mut owner = KeyOwner::Nobody;
        let of_graph = owners.iter().filter(|o| o.graph == graph.number);
        for lsn in of_graph.map(|owner| owner.lsn).filter(|&lsn| lsn > 0) {
            let mut found = None;
            self.event_at(lsn, |event| match *event {
                Event::Keyed {
                    graph: number,
                    sequence,
                    key: given,
                } if number == graph.number && given == key => found = Some(sequence),
                _ => {}
            })?;
            let Some(sequence) = found else { continue };
            if let Some((id, request)) = self.id_and_request(graph, sequence)? {
                return Ok(KeyOwner::Job(id, request));
            }
            if self.has_tombstone(graph, sequence)? {
                owner = KeyOwner::Purged;
            }
        }
        Ok(owner)
    }
}
