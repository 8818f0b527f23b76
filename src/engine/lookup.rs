//! From an id to its job.
//!
//! Owns: the ids that engines brought: those not in the index yet, and the
//! question to the index. Must not know: how blocks are found.
//! Promise: an id finds its own job or none: what is found is compared with the id
//! that is stored.

use crate::sync::atomic::{AtomicU64, Ordering};
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::sync::RwLock;

use crate::engine::Engine;
use crate::engine::graph_state::GraphCore;
use crate::engine::read::{Reader, Snapshot, Unit};
use crate::error::Result;
use crate::id;
use crate::index::runs::{Owner, Pair, Runs};
use crate::index::{Fault, Index};
use crate::job::Job;
use crate::request::Request;

/// Pairs of hash and owner.
pub(crate) type Pairs = BTreeSet<Pair>;

/// The ids of all graphs that were not made by their graph, by hash.
pub(crate) struct ForeignIds {
    recent: RwLock<Recent>,
    pub(crate) runs: Runs,
    /// Counts how often ids have moved from memory to the index.
    generation: AtomicU64,
}

#[derive(Default)]
struct Recent {
    added: Pairs,
    /// Being written to the index.
    leaving: Arc<Pairs>,
}

/// The owners of this hash.
fn in_pairs(pairs: &Pairs, hash: u64) -> impl Iterator<Item = Owner> {
    let range = pairs.range((hash, Owner::MIN)..=(hash, Owner::MAX));
    range.map(|&(_, owner)| owner)
}

impl ForeignIds {
    pub(crate) fn new(runs: Runs) -> ForeignIds {
        ForeignIds {
            recent: RwLock::default(),
            runs,
            generation: AtomicU64::new(0),
        }
    }

    /// Takes the place of all ids with those of an index that was rebuilt.
    pub(crate) fn replace(&self, rebuilt: ForeignIds) {
        self.runs.replace(rebuilt.runs);
        self.generation.fetch_add(1, Ordering::AcqRel);
        *self.recent.write() = Recent::default();
    }

    pub(crate) fn add(&self, hash: u64, owner: Owner) {
        self.recent.write().added.insert((hash, owner));
    }

    /// Takes what is to be written to the index; it is found here until
    /// [`ForeignIds::left`].
    pub(crate) fn leave(&self) -> Arc<Pairs> {
        let mut recent = self.recent.write();
        recent.leaving = Arc::new(std::mem::take(&mut recent.added));
        recent.leaving.clone()
    }

    pub(crate) fn left(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.recent.write().leaving = Arc::default();
    }

    /// Whether a job may have an id with this hash; no means no. Looks at memory
    /// only.
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        let recent = self.recent.read();
        let is_recent = [&recent.added, &*recent.leaving]
            .into_iter()
            .any(|pairs| in_pairs(pairs, hash).next().is_some());
        drop(recent);
        is_recent || self.runs.may_contain(hash)
    }

    /// As long as this stays the same, ids that are added are found in memory.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Those not in the index yet.
    pub(crate) fn recent(&self, hash: u64) -> Vec<Owner> {
        let recent = self.recent.read();
        [&recent.added, &*recent.leaving]
            .into_iter()
            .flat_map(|pairs| in_pairs(pairs, hash))
            .collect()
    }

    /// The owners of ids and keys that have this hash.
    pub(crate) fn lookup(&self, index: &dyn Index, hash: u64) -> Result<Vec<Owner>, Fault> {
        // Memory first: what leaves it is in the index already.
        let mut found = self.recent(hash);
        found.extend(self.runs.lookup(index, hash)?);
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

impl GraphCore {
    /// The owner of an id.
    pub(crate) fn owner(&self, sequence: u64) -> Owner {
        self.owner_of_key(sequence, 0)
    }

    /// The owner of a key that was given by this event.
    pub(crate) fn owner_of_key(&self, sequence: u64, lsn: u64) -> Owner {
        Owner {
            graph: self.number,
            sequence,
            lsn,
        }
    }

    /// The jobs of the graph among owners of an id.
    pub(crate) fn with_id(&self, owners: Vec<Owner>) -> impl Iterator<Item = u64> {
        let of_graph = owners.into_iter().filter(|o| o.graph == self.number);
        of_graph.filter(|owner| owner.lsn == 0).map(|o| o.sequence)
    }
}

impl Engine {
    /// The request of the job with this id, if there is one.
    pub(crate) fn request_of(&self, graph: &Arc<GraphCore>, id: &str) -> Result<Option<Request>> {
        self.find(graph, id, |sequence| {
            let found = self.id_and_request(graph, sequence)?;
            Ok(found.and_then(|(found, request)| (found.as_str() == id).then_some(request)))
        })
    }

    /// The job with this id.
    pub(crate) fn job_with_id(&self, graph: &Arc<GraphCore>, id: &str) -> Result<Option<Job>> {
        self.find(graph, id, |sequence| {
            let found = self.job(graph, sequence)?;
            Ok(found.filter(|job| job.id().as_str() == id))
        })
    }

    /// The same for an id that the index is known not to have.
    pub(crate) fn recent_request_of(
        &self,
        graph: &Arc<GraphCore>,
        id: &str,
    ) -> Result<Option<Request>> {
        for sequence in graph.with_id(self.ids.recent(graph.id_hash(id))) {
            if self.has_id(graph, sequence, id)? {
                return self.request_at(graph, sequence);
            }
        }
        Ok(None)
    }

    fn request_at(&self, graph: &Arc<GraphCore>, sequence: u64) -> Result<Option<Request>> {
        Ok(self
            .id_and_request(graph, sequence)?
            .map(|(_, request)| request))
    }

    /// The sequence number of the job with this id.
    pub(crate) fn resolve(&self, graph: &Arc<GraphCore>, id: &str) -> Result<Option<u64>> {
        self.find(graph, id, |sequence| {
            Ok(self.has_id(graph, sequence, id)?.then_some(sequence))
        })
    }

    /// Looks at the jobs that may have this id, until `look` has found it.
    fn find<T>(
        &self,
        graph: &Arc<GraphCore>,
        id: &str,
        look: impl Fn(u64) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        id::check(id)?;
        if let Some(sequence) = graph.ids.sequence(id) {
            let found = look(sequence)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        let hash = graph.id_hash(id);
        if !self.ids.may_contain(hash) {
            return Ok(None);
        }
        let owners = self.ask_index(|index| self.ids.lookup(index, hash))?;
        for sequence in graph.with_id(owners) {
            let found = look(sequence)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Whether the job with this sequence number is there and has this id.
    fn has_id(&self, graph: &Arc<GraphCore>, sequence: u64, id: &str) -> Result<bool> {
        let Some(snapshot) = Snapshot::one(graph, sequence) else {
            return Ok(false);
        };
        let mut reader = Reader::default();
        match reader.read(graph, &snapshot)? {
            Some(Unit::Block) => {
                let n = sequence.checked_sub(reader.block.first_sequence);
                let row = n.and_then(|n| reader.block.rows.get(n as usize));
                Ok(row.is_some_and(|row| reader.block.id(row) == id.as_bytes()))
            }
            Some(Unit::Large(large)) => large.has_id(id),
            None => Ok(false),
        }
    }
}
