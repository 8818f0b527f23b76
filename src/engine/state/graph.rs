//! A graph of an open store, shared by all its handles.

use std::sync::Arc;

use crate::base::sync::atomic::{AtomicBool, Ordering};
use crate::base::sync::{Mutex, RwLock};
use crate::engine::state::graph_state::GraphState;
use crate::model::error::{Error, Result};
use crate::model::id::OwnIds;
use crate::model::retention::Retention;

/// A graph of an open store.
pub(crate) struct GraphCore {
    /// The graph's number in the log. Graphs are numbered from 0 in order of creation.
    pub(crate) number: u32,
    pub(crate) project: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) ids: OwnIds,
    pub(crate) created_ms: u64,
    dropped: AtomicBool,
    /// Whether the graph has been recorded for retention as changed.
    pub(crate) is_noted_changed: AtomicBool,
    pub(crate) state: RwLock<GraphState>,
    /// The policy that determines how long complete jobs are kept.
    pub(crate) retention: RwLock<Option<Arc<Retention>>>,
    /// Locked while jobs are purged, from the last check of the policy to the commit.
    pub(crate) purging: Mutex<()>,
    /// The archive for purged jobs.
    #[cfg(feature = "archive")]
    pub(crate) archive: crate::engine::state::archive_state::ArchiveSlot,
}

impl GraphCore {
    pub(crate) fn new(
        number: u32,
        (project, name): (Arc<str>, &str),
        (id_number, key): (u64, [u64; 2]),
        created_ms: u64,
    ) -> GraphCore {
        GraphCore {
            number,
            project,
            name: name.into(),
            ids: OwnIds::new(id_number, key),
            created_ms,
            dropped: AtomicBool::new(false),
            is_noted_changed: AtomicBool::new(false),
            state: RwLock::default(),
            retention: RwLock::default(),
            purging: Mutex::default(),
            #[cfg(feature = "archive")]
            archive: Default::default(),
        }
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }

    /// Returns [`Error::GraphDropped`] if the graph has been dropped.
    pub(crate) fn check_not_dropped(&self) -> Result<()> {
        match self.is_dropped() {
            false => Ok(()),
            true => Err(Error::GraphDropped {
                graph: self.name.to_string(),
            }),
        }
    }

    /// Whether this is still the graph's policy.
    pub(crate) fn is_purged_by(&self, policy: &Arc<Retention>) -> bool {
        let in_force = self.retention.read();
        in_force.as_ref().is_some_and(|p| Arc::ptr_eq(p, policy))
    }

    pub(crate) fn set_dropped(&self) {
        self.dropped.store(true, Ordering::Release);
    }

    /// Whether the event that created the graph was lost. If so, the ids that the graph generated
    /// can no longer be recognized, so all ids are looked up.
    pub(crate) fn has_lost_its_key(&self) -> bool {
        self.ids.key() == [0; 2]
    }

    /// Whether this job's id came from outside the graph, so that the job has to be looked up.
    pub(crate) fn is_external(&self, id: &str, sequence: u64) -> bool {
        self.ids.sequence(id) != Some(sequence)
    }

    /// The hash under which an external id is looked up. It depends on the graph's key, so that ids
    /// chosen to collide in one graph do not collide in another.
    pub(crate) fn id_hash(&self, id: &str) -> u64 {
        let seed = self.ids.key()[0] ^ u64::from(self.number);
        xxhash_rust::xxh3::xxh3_64_with_seed(id.as_bytes(), seed)
    }
}
