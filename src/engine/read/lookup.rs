//! Finds the job with an id.
//!
//! A lookup of an id finds the job with that id or none: the stored id of each candidate is
//! compared.

use std::sync::Arc;

use crate::engine::core::Engine;
use crate::engine::read::reader::{Reader, Snapshot, Unit};
use crate::engine::state::graph::GraphCore;
use crate::index::sorted_runs::Owner;
use crate::model::error::Result;
use crate::model::id;
use crate::model::job::Job;
use crate::model::request::Request;

impl GraphCore {
    /// Represents this job as the owner of an id.
    pub(crate) fn owner(&self, sequence: u64) -> Owner {
        self.owner_of_key(sequence, 0)
    }

    /// Represents this job as the owner of a key that was assigned to it by the event with this
    /// LSN.
    pub(crate) fn owner_of_key(&self, sequence: u64, lsn: u64) -> Owner {
        Owner {
            graph: self.number,
            sequence,
            lsn,
        }
    }

    /// The sequence numbers of those owners that are jobs of this graph.
    pub(crate) fn with_id(&self, owners: Vec<Owner>) -> impl Iterator<Item = u64> {
        let of_graph = owners.into_iter().filter(|o| o.graph == self.number);
        of_graph.filter(|owner| owner.lsn == 0).map(|o| o.sequence)
    }
}

impl Engine {
    /// The request of the job with this id, if it exists.
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

    /// Like [`Engine::request_of`], for an id that is known not to be in the index.
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

    /// Calls `find` with each job that may have this id, until it returns a result.
    fn find<T>(
        &self,
        graph: &Arc<GraphCore>,
        id: &str,
        find: impl Fn(u64) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        id::check(id)?;
        if let Some(sequence) = graph.ids.sequence(id) {
            let found = find(sequence)?;
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
            let found = find(sequence)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Whether the job with this sequence number exists and has this id.
    fn has_id(&self, graph: &Arc<GraphCore>, sequence: u64, id: &str) -> Result<bool> {
        let Some(snapshot) = Snapshot::one(graph, sequence) else {
            return Ok(false);
        };
        let mut reader = Reader::without_unlisted();
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
