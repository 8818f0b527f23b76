//! Tombstones: what is kept of a purged job, so that its id can be distinguished from one that
//! never existed.
//!
//! As long as the tombstone of a purged job is kept, the job's id is recognized, even after a
//! restart. No other id is mistaken for it.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::engine::core::Engine;
use crate::engine::state::graph::GraphCore;
use crate::index::rows::TombstoneRow;
use crate::log::event::Event;
use crate::log::purged_jobs::IdHash;
use crate::model::error::{Error, Result};
use crate::model::id;

/// When and why a job was purged, as its event records it.
pub(crate) struct PurgeRecord {
    pub(crate) time_ms: u64,
    pub(crate) why: u8,
}

impl GraphCore {
    /// The hash that represents an id once its job is purged.
    pub(crate) fn tombstone_hash(&self, id: &str, sequence: u64) -> IdHash {
        IdHash {
            lookup: self.id_hash(id),
            further: xxh3_64_with_seed(id.as_bytes(), self.ids.key()[1] ^ u64::from(self.number)),
            is_external: self.is_external(id, sequence),
        }
    }
}

impl Engine {
    /// The tombstone of the job with this id, if the job was purged and its tombstone has not been
    /// forgotten.
    pub(crate) fn tombstone(
        &self,
        graph: &Arc<GraphCore>,
        id: &str,
    ) -> Result<Option<TombstoneRow>> {
        id::check(id)?;
        if graph.state.read().status.removed_total() == 0 {
            return Ok(None);
        }
        let mut sequences: Vec<u64> = graph.ids.sequence(id).into_iter().collect();
        let hash = graph.id_hash(id);
        if self.ids.may_contain(hash) {
            let found = self.ask_index(|index| self.ids.lookup(index, hash))?;
            sequences.extend(graph.with_id(found));
        }
        for sequence in sequences {
            let (is_removed, forgotten_lsn) = {
                let state = graph.state.read();
                (state.status.is_removed(sequence), state.forgotten_lsn)
            };
            if !is_removed {
                continue;
            }
            let wanted = graph.tombstone_hash(id, sequence);
            let found = self.detail(graph, sequence)?.tombstone.filter(|found| {
                let is_of_it = found.lookup == wanted.lookup && found.further == wanted.further;
                is_of_it && found.lsn > forgotten_lsn
            });
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Whether a job was purged and its tombstone is kept.
    pub(crate) fn has_tombstone(&self, graph: &GraphCore, sequence: u64) -> Result<bool> {
        Ok(self.tombstone_lsn(graph, sequence)?.is_some())
    }

    /// The event that purged a job whose tombstone is kept.
    pub(crate) fn tombstone_lsn(&self, graph: &GraphCore, sequence: u64) -> Result<Option<u64>> {
        let (is_removed, forgotten_lsn) = {
            let state = graph.state.read();
            (state.status.is_removed(sequence), state.forgotten_lsn)
        };
        let tombstone = match is_removed {
            true => self.detail(graph, sequence)?.tombstone,
            false => None,
        };
        let kept = tombstone.filter(|found| found.lsn > forgotten_lsn);
        Ok(kept.map(|found| found.lsn))
    }

    /// The purge that left this tombstone, as its event records it.
    pub(crate) fn purge_of(&self, tombstone: &TombstoneRow) -> Result<Option<PurgeRecord>> {
        let mut found = None;
        self.event_at(tombstone.lsn, |event| {
            if let &Event::Purged { time_ms, why, .. } = event {
                found = Some(PurgeRecord { time_ms, why });
            }
        })?;
        Ok(found)
    }

    /// Refuses the id of a purged job.
    pub(crate) fn check_not_purged(&self, graph: &Arc<GraphCore>, id: &crate::JobId) -> Result<()> {
        match self.tombstone(graph, id.as_str())? {
            Some(_) => Err(Error::JobIdPurged { id: id.clone() }),
            None => Ok(()),
        }
    }
}
