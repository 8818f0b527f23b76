//! External ids: those that callers chose.
//!
//! [`ExternalIds`] keeps the ids that are not in the index yet, and looks up all others in the
//! index. An id is removed from memory only once it is in the index.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::sync::RwLock;
use crate::base::sync::atomic::{AtomicU64, Ordering};
use crate::index::sorted_runs::{Owner, Pair, Runs};
use crate::index::{Fault, Index};

/// Pairs of hash and owner.
pub(crate) type Pairs = BTreeSet<Pair>;

/// The external ids of all graphs, by hash.
pub(crate) struct ExternalIds {
    recent: RwLock<Recent>,
    pub(crate) runs: Runs,
    /// Counts how often ids have moved from memory to the index.
    generation: AtomicU64,
}

#[derive(Default)]
struct Recent {
    added: Pairs,
    /// Ids that are being written to the index.
    flushing: Arc<Pairs>,
}

/// The owners of this hash.
fn in_pairs(pairs: &Pairs, hash: u64) -> impl Iterator<Item = Owner> {
    let range = pairs.range((hash, Owner::MIN)..=(hash, Owner::MAX));
    range.map(|&(_, owner)| owner)
}

impl ExternalIds {
    pub(crate) fn new(runs: Runs) -> ExternalIds {
        ExternalIds {
            recent: RwLock::default(),
            runs,
            generation: AtomicU64::new(0),
        }
    }

    /// Replaces all ids with those of a rebuilt index.
    pub(crate) fn replace(&self, rebuilt: ExternalIds) {
        self.runs.replace(rebuilt.runs);
        self.generation.fetch_add(1, Ordering::AcqRel);
        *self.recent.write() = Recent::default();
    }

    pub(crate) fn add(&self, hash: u64, owner: Owner) {
        self.recent.write().added.insert((hash, owner));
    }

    /// Takes the ids to be written to the index; lookups still find them here until
    /// [`ExternalIds::end_flush`].
    pub(crate) fn begin_flush(&self) -> Arc<Pairs> {
        let mut recent = self.recent.write();
        recent.flushing = Arc::new(std::mem::take(&mut recent.added));
        recent.flushing.clone()
    }

    pub(crate) fn end_flush(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.recent.write().flushing = Arc::default();
    }

    /// Whether a job may have an id with this hash. If this returns `false`, there is no such job.
    /// Reads only memory.
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        let recent = self.recent.read();
        let is_recent = [&recent.added, &*recent.flushing]
            .into_iter()
            .any(|pairs| in_pairs(pairs, hash).next().is_some());
        drop(recent);
        is_recent || self.runs.may_contain(hash)
    }

    /// As long as this number does not change, all ids that have been added since it was read are
    /// still in memory.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Returns the generation that was read before a lookup, if the lookup was right to find no job.
    /// An id is known just before its job becomes visible, so a lookup in between finds the id, but
    /// no job.
    pub(crate) fn generation_if_absent(&self, before: u64, hash: u64) -> Option<u64> {
        (!self.may_contain(hash)).then_some(before)
    }

    /// The owners that are not in the index yet.
    pub(crate) fn recent(&self, hash: u64) -> Vec<Owner> {
        let recent = self.recent.read();
        [&recent.added, &*recent.flushing]
            .into_iter()
            .flat_map(|pairs| in_pairs(pairs, hash))
            .collect()
    }

    /// The owners of ids and keys that have this hash.
    pub(crate) fn lookup(&self, index: &dyn Index, hash: u64) -> Result<Vec<Owner>, Fault> {
        // Read memory first, because whatever has been removed from memory is already in the index.
        let mut found = self.recent(hash);
        found.extend(self.runs.lookup(index, hash)?);
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}
