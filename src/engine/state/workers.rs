//! The threads of an open store, and the progress of its close.

use std::sync::Arc;

use crate::base::sync::time::Instant;
use crate::base::sync::{Condvar, Mutex, MutexGuard, thread};
use crate::log::identity::LogEnd;
use crate::model::error::Result;

/// A thread of an open store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worker {
    Committer,
    Packer,
    Indexer,
    /// Exists only if the feature `archive` is enabled.
    #[cfg_attr(not(feature = "archive"), allow(dead_code))]
    Archiver,
    /// Exists only if the store has a replica.
    Uploader,
    /// Exists only if the store follows its replica.
    Follower,
}

impl Worker {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Worker::Committer => "jobstore-commit",
            Worker::Packer => "jobstore-pack",
            Worker::Indexer => "jobstore-index",
            Worker::Archiver => "jobstore-purge",
            Worker::Uploader => "jobstore-upload",
            Worker::Follower => "jobstore-follow",
        }
    }
}

/// The progress of a close.
#[derive(Default)]
pub(crate) struct Shutdown {
    pub(crate) state: Mutex<ShutdownState>,
    changed: Condvar,
}

#[derive(Default)]
pub(crate) struct ShutdownState {
    pub(crate) close: Close,
    pub(crate) running: [bool; 6],
    /// Where the log ends, once the close has ended it.
    pub(crate) log: Option<Result<LogEnd>>,
    /// The result of the whole close, for callers that waited for it.
    pub(crate) ended: Option<Result<()>>,
    /// Whether the index's thread was abandoned.
    pub(crate) index_is_left_behind: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Close {
    #[default]
    NotBegun,
    /// The close has begun, and has this deadline.
    Begun(Instant),
    /// The close gave up. The directory is still locked, and another close tries again.
    Stuck,
    Done,
}

/// Represents a running thread. Exists from before the thread is started until the thread drops it.
pub(crate) struct Running {
    shutdown: Arc<Shutdown>,
    worker: Worker,
}

impl Drop for Running {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!(
                thread = self.worker.name(),
                "a thread of the store panicked"
            );
        }
        self.shutdown.change().running[self.worker as usize] = false;
    }
}

impl Shutdown {
    pub(crate) fn start(self: &Arc<Shutdown>, worker: Worker) -> Running {
        self.change().running[worker as usize] = true;
        Running {
            shutdown: self.clone(),
            worker,
        }
    }

    pub(crate) fn change(&self) -> MutexGuard<'_, ShutdownState> {
        let state = self.state.lock();
        // Waiters check again once the guard has been dropped.
        self.changed.notify_all();
        state
    }

    /// Waits until a condition is true or the deadline has passed; returns whether it is true.
    pub(crate) fn wait(
        &self,
        deadline: Option<Instant>,
        is_so: impl Fn(&ShutdownState) -> bool,
    ) -> bool {
        let mut state = self.state.lock();
        while !is_so(&state) {
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) => {
                    let waited = self.changed.wait_until(&mut state, deadline);
                    if waited.timed_out() && Instant::now() >= deadline {
                        return is_so(&state);
                    }
                }
            }
        }
        true
    }

    pub(crate) fn wait_ended(&self, worker: Worker, deadline: Instant) -> bool {
        self.wait(Some(deadline), |state| !state.running[worker as usize])
    }

    pub(crate) fn is_running(&self, worker: Worker) -> bool {
        self.state.lock().running[worker as usize]
    }

    pub(crate) fn log(&self) -> Option<Result<LogEnd>> {
        self.state.lock().log.clone()
    }

    /// Whether the close is complete, so that another process may own the directory.
    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().close == Close::Done
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state.lock().close {
            Close::Begun(deadline) => Some(deadline),
            Close::NotBegun | Close::Stuck | Close::Done => None,
        }
    }
}
