//! From an id to its job.
//!
//! Owns: the ids that engines brought: those not in the index yet, and the
//! question to the index. Must not know: where requests lie.
//! Promise: an id finds its own job or none: what is found is compared with the id
//! that is stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::index::Fault;
use crate::index::runs::Runs;

/// Pairs of hash and sequence number.
pub(crate) type Pairs = BTreeSet<(u64, u64)>;

/// The ids of all graphs that were not made by their graph, by hash.
pub(crate) struct ForeignIds {
    recent: RwLock<Recent>,
    pub(crate) runs: Runs,
}

#[derive(Default)]
struct Recent {
    added: Pairs,
    /// Being written to the index.
    leaving: Arc<Pairs>,
}

impl ForeignIds {
    pub(crate) fn new(runs: Runs) -> ForeignIds {
        ForeignIds {
            recent: RwLock::default(),
            runs,
        }
    }

    pub(crate) fn add(&self, hash: u64, sequence: u64) {
        self.recent.write().added.insert((hash, sequence));
    }

    /// Takes what is to be written to the index; it is found here until
    /// [`ForeignIds::left`].
    pub(crate) fn leave(&self) -> Arc<Pairs> {
        let mut recent = self.recent.write();
        recent.leaving = Arc::new(std::mem::take(&mut recent.added));
        recent.leaving.clone()
    }

    pub(crate) fn left(&self) {
        self.recent.write().leaving = Arc::default();
    }

    /// Whether a job may have an id with this hash; no means no. Looks at memory
    /// only.
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        !self.recent(hash).is_empty() || self.runs.may_contain(hash)
    }

    fn recent(&self, hash: u64) -> Vec<u64> {
        let recent = self.recent.read();
        [&recent.added, &*recent.leaving]
            .into_iter()
            .flat_map(|pairs| pairs.range((hash, 0)..=(hash, u64::MAX)))
            .map(|&(_, sequence)| sequence)
            .collect()
    }

    /// The jobs whose ids have this hash, of any graph.
    pub(crate) fn lookup(&self, hash: u64) -> Result<Vec<u64>, Fault> {
        // Memory first: what leaves it is in the index already.
        let mut found = self.recent(hash);
        found.extend(self.runs.lookup(hash)?);
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}
