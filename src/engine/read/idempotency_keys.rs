//! Finds the job of an idempotency key.
//!
//! A lookup of a key finds the job of that key or none: the event that assigned the key is read and
//! compared. A key stays taken as long as its job or the job's tombstone exists.
//!
//! Keys share the lookup tables of external ids; the owner of a key includes the LSN of the
//! event that assigned it.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::engine::core::Engine;
use crate::engine::state::graph::GraphCore;
use crate::index::sorted_runs::Owner;
use crate::log::event::Event;
use crate::model::error::Result;
use crate::model::id::JobId;
use crate::model::request::Request;

/// Distinguishes hashes of keys from those of ids.
const KEYS: u64 = 0x6b65_7973;

/// The owner of a key.
pub(crate) enum KeyOwner {
    Nobody,
    Job(JobId, Request),
    /// A job that was purged, whose tombstone still exists.
    Purged,
}

impl GraphCore {
    pub(crate) fn key_hash(&self, key: &str) -> u64 {
        let seed = self.ids.key()[0] ^ u64::from(self.number) ^ KEYS;
        xxh3_64_with_seed(key.as_bytes(), seed)
    }
}

impl Engine {
    /// Returns the owner of a key.
    pub(crate) fn owner_of(&self, graph: &Arc<GraphCore>, key: &str) -> Result<KeyOwner> {
        let hash = graph.key_hash(key);
        if !self.ids.may_contain(hash) {
            return Ok(KeyOwner::Nobody);
        }
        let owners = self.ask_index(|index| self.ids.lookup(index, hash))?;
        self.owner_among(graph, key, owners)
    }

    /// Like [`Engine::owner_of`], for a key that is known not to be in the index.
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
