//! The chunks and blobs of a replica in memory, and the changes to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::sync::time::Instant;
use crate::base::sync::{Condvar, Mutex};

/// The longest time that one call waits for a chunk. Without it, the deadline could overflow.
const WAIT_MAX: Duration = Duration::from_secs(3600);

#[derive(Clone, Default)]
pub(super) struct Objects {
    pub(super) chunks: BTreeMap<u64, Arc<[u8]>>,
    pub(super) blobs: BTreeMap<String, Arc<[u8]>>,
}

/// What a call changes. Each change is atomic.
#[derive(Clone)]
pub(super) enum Change {
    Create { number: u64, chunk: Arc<[u8]> },
    Trim { below: u64, keep: Vec<u64> },
    Put { name: String, blob: Arc<[u8]> },
    Remove { names: Vec<String> },
}

impl Change {
    /// A change that removes several objects consists of several requests in a real backend.
    /// Returns the change made by some of them. `draw` returns a random number below its argument.
    pub(super) fn part(&self, draw: impl Fn(u64) -> u64) -> Option<Change> {
        match self {
            Change::Trim { below, keep } => Some(Change::Trim {
                below: draw(below.saturating_add(1)),
                keep: keep.clone(),
            }),
            Change::Remove { names } => Some(Change::Remove {
                names: names.iter().filter(|_| draw(2) == 0).cloned().collect(),
            }),
            Change::Create { .. } | Change::Put { .. } => None,
        }
    }
}

pub(super) struct Place {
    objects: Mutex<Objects>,
    changed: Condvar,
}

impl Default for Place {
    fn default() -> Place {
        Place {
            objects: Mutex::new(Objects::default()),
            changed: Condvar::new(),
        }
    }
}

impl Place {
    /// Returns the chunk that exists instead of the one to create.
    pub(super) fn change(&self, change: Change) -> Option<Arc<[u8]>> {
        let taken = self.modify(|objects| match change {
            Change::Create { number, chunk } => {
                if let Some(taken) = objects.chunks.get(&number) {
                    return Some(taken.clone());
                }
                objects.chunks.insert(number, chunk);
                None
            }
            Change::Trim { below, keep } => {
                objects
                    .chunks
                    .retain(|number, _| *number >= below || keep.binary_search(number).is_ok());
                None
            }
            Change::Put { name, blob } => {
                objects.blobs.insert(name, blob);
                None
            }
            Change::Remove { names } => {
                for name in names {
                    objects.blobs.remove(&name);
                }
                None
            }
        });
        self.changed.notify_all();
        taken
    }

    pub(super) fn modify<T>(&self, modify: impl FnOnce(&mut Objects) -> T) -> T {
        modify(&mut self.objects.lock())
    }

    /// Returns a chunk, after waiting for it if it does not exist.
    pub(super) fn wait_for(&self, number: u64, wait: Duration) -> Option<Arc<[u8]>> {
        let deadline = Instant::now() + wait.min(WAIT_MAX);
        let mut objects = self.objects.lock();
        loop {
            if let Some(chunk) = objects.chunks.get(&number) {
                return Some(chunk.clone());
            }
            if wait.is_zero() || self.changed.wait_until(&mut objects, deadline).timed_out() {
                return None;
            }
        }
    }
}
