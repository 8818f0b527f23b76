//! The guard through which the committer is accessed.
//!
//! A write that is queued while the committer is locked does not wait forever: when the guard is
//! dropped, even because of an early return or a panic, it wakes the committer thread.

use std::ops::{Deref, DerefMut};

use crate::base::sync::{Mutex, MutexGuard};
use crate::engine::state::committer::Committer;
use crate::engine::state::queue::Queue;

/// The committer of an open store.
pub(crate) struct CommitterLock(Mutex<Committer>);

impl CommitterLock {
    pub(crate) fn new(committer: Committer) -> CommitterLock {
        CommitterLock(Mutex::new(committer))
    }

    pub(crate) fn lock<'e>(&'e self, queue: &'e Queue) -> CommitterGuard<'e> {
        CommitterGuard {
            committer: self.0.lock(),
            _wake: Wake(queue),
        }
    }

    pub(crate) fn try_lock<'e>(&'e self, queue: &'e Queue) -> Option<CommitterGuard<'e>> {
        Some(CommitterGuard {
            committer: self.0.try_lock()?,
            _wake: Wake(queue),
        })
    }
}

/// Held by a thread that commits, or that has to prevent commits.
pub(crate) struct CommitterGuard<'e> {
    // Released first: fields are dropped in declaration order.
    committer: MutexGuard<'e, Committer>,
    _wake: Wake<'e>,
}

struct Wake<'e>(&'e Queue);

impl Drop for Wake<'_> {
    fn drop(&mut self) {
        // A caller that queued a write while the committer was locked is waiting for it.
        if !self.0.is_empty() {
            self.0.wake_committer();
        }
    }
}

impl Deref for CommitterGuard<'_> {
    type Target = Committer;

    fn deref(&self) -> &Committer {
        &self.committer
    }
}

impl DerefMut for CommitterGuard<'_> {
    fn deref_mut(&mut self) -> &mut Committer {
        &mut self.committer
    }
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use crate::api::store::JobStore;
    use crate::model::request::{Body, Request};

    /// In this test, only the guard itself wakes the committer thread.
    #[test]
    fn a_write_that_came_while_the_committer_was_held_is_answered() {
        let store = JobStore::in_memory().unwrap();
        let graph = store.create_graph("1", "movie").unwrap();
        let (done, answered) = mpsc::channel();
        let held = graph.engine().lock_committer();
        let writer = graph.clone();
        std::thread::spawn(move || {
            let request = Request::new("c", "/", Body::empty()).unwrap();
            done.send(writer.submit(request).is_ok())
        });
        while graph.engine().queue.is_empty() {
            std::thread::yield_now();
        }
        // The writer finds the committer locked.
        std::thread::sleep(Duration::from_millis(100));
        drop(held);
        assert_eq!(answered.recv_timeout(Duration::from_secs(60)), Ok(true));
    }
}
