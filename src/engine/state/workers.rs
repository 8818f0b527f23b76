//! The threads of an open store, and how far it has come to its end.
//!
//! Owns: [`Shutdown`]. Must not know: what the threads do, what an end consists of.

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
    /// With the feature `archive`.
    #[cfg_attr(not(feature = "archive"), allow(dead_code))]
    Archiver,
}

impl Worker {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Worker::Committer => "jobstore-commit",
            Worker::Packer => "jobstore-pack",
            Worker::Indexer => "jobstore-index",
            Worker::Archiver => "jobstore-purge",
        }
    }
}

/// How far a store has come to its end.
#[derive(Default)]
pub(crate) struct Shutdown {
    pub(crate) state: Mutex<ShutdownState>,
    changed: Condvar,
}

#[derive(Default)]
pub(crate) struct ShutdownState {
    pub(crate) close: Close,
    pub(crate) running: [bool; 4],
    /// Where the log was ended, once it was.
    pub(crate) log: Option<Result<LogEnd>>,
    /// How the whole close went, for those that waited for it.
    pub(crate) ended: Option<Result<()>>,
    /// The index's thread is not waited for any more.
    pub(crate) index_is_left_behind: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Close {
    #[default]
    NotBegun,
    /// Until then.
    Begun(Instant),
    /// It gave up: the folder is still held, and another close tries again.
    Stuck,
    Done,
}

/// A thread that runs, from before it is started until it drops this.
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
        // Those that wait look again when the guard is gone.
        self.changed.notify_all();
        state
    }

    /// Waits until something is so, or the deadline has passed; says whether it is.
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

    /// Whether the close is over: the folder may be another's.
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
