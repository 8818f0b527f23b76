//! How a store ends.
//!
//! Owns: the order of a close and its deadline; who ends the log, the index and the
//! threads; when the folder is let go of. Must not know: what the threads do.
//! Promise: a close comes back in time. Whatever becomes of the index, the log is
//! closed well; and the folder is let go of only when nobody writes to it any more.

use crate::sync::time::Instant;
use std::sync::Arc;

use crate::sync::{Condvar, Mutex, MutexGuard, thread};

use crate::clock::bounded;
use crate::engine::Engine;
use crate::engine::commit::Committer;
use crate::error::{Error, Result};
use crate::storage::identity::{self, Closed, LogEnd};

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
pub(crate) struct Ending {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    close: Close,
    running: [bool; 4],
    /// Where the log was ended, once it was.
    log: Option<Result<LogEnd>>,
    /// How the whole close went, for those that waited for it.
    ended: Option<Result<()>>,
    /// The index's thread is not waited for any more.
    index_is_left_behind: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Close {
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
    ending: Arc<Ending>,
    worker: Worker,
}

impl Drop for Running {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!(
                thread = self.worker.name(),
                "a thread of the store ended by a panic"
            );
        }
        self.ending.change().running[self.worker as usize] = false;
    }
}

impl Ending {
    pub(crate) fn start(self: &Arc<Ending>, worker: Worker) -> Running {
        self.change().running[worker as usize] = true;
        Running {
            ending: self.clone(),
            worker,
        }
    }

    fn change(&self) -> MutexGuard<'_, State> {
        let state = self.state.lock();
        // Those that wait look again when the guard is gone.
        self.changed.notify_all();
        state
    }

    /// Waits until something is so, or the deadline has passed; says whether it is.
    fn wait(&self, deadline: Option<Instant>, is_so: impl Fn(&State) -> bool) -> bool {
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

    fn wait_ended(&self, worker: Worker, deadline: Instant) -> bool {
        self.wait(Some(deadline), |state| !state.running[worker as usize])
    }

    fn is_running(&self, worker: Worker) -> bool {
        self.state.lock().running[worker as usize]
    }

    fn log(&self) -> Option<Result<LogEnd>> {
        self.state.lock().log.clone()
    }

    /// Whether the close is over: the folder may be another's.
    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().close == Close::Done
    }

    fn deadline(&self) -> Option<Instant> {
        match self.state.lock().close {
            Close::Begun(deadline) => Some(deadline),
            Close::NotBegun | Close::Stuck | Close::Done => None,
        }
    }
}

impl Engine {
    /// Ends the store: carries out what is queued, ends the log with the mark of a
    /// clean close, the threads, and the index. What hangs is left behind at the
    /// deadline.
    pub(crate) fn close(&self) -> Result<()> {
        self.check_process()?;
        let deadline = Instant::now() + bounded(self.options.close_timeout);
        {
            let mut state = self.ending.change();
            match state.close {
                Close::NotBegun | Close::Stuck => state.close = Close::Begun(deadline),
                Close::Begun(_) => {
                    drop(state);
                    let is_over = |state: &State| !matches!(state.close, Close::Begun(_));
                    return match self.ending.wait(Some(deadline), is_over) {
                        true => self.ending.state.lock().ended.clone().unwrap_or(Ok(())),
                        false => Err(close_stuck("another call that closes it")),
                    };
                }
                Close::Done => return Ok(()),
            }
        }
        let ended = match self.read_only {
            true => {
                self.end_reads();
                Ok(())
            }
            false => self.close_until(deadline),
        };
        let mut state = self.ending.change();
        state.ended = Some(ended.clone());
        state.close = match ended {
            Err(Error::CloseStuck { .. }) => Close::Stuck,
            _ => Close::Done,
        };
        ended
    }

    /// Ends a store that was only read: there is nothing to write or to wait for.
    fn end_reads(&self) {
        self.set_closed();
        self.queue.close();
        self.call_all_waiters();
        self.index.write().take();
    }

    fn close_until(&self, deadline: Instant) -> Result<()> {
        self.set_closed();
        self.queue.close();
        self.call_all_waiters();
        let threads = self.dismiss();
        // The last handle may be let go of by one of the threads themselves.
        let this = thread::current().id();
        let this = threads
            .iter()
            .find(|(_, thread)| thread.thread().id() == this);
        let this = this.map(|(worker, _)| *worker);
        let is_this = |worker| this == Some(worker);
        if is_this(Worker::Committer) {
            self.end_log();
        }
        let committer = Worker::Committer as usize;
        let log_or_nobody = |state: &State| state.log.is_some() || !state.running[committer];
        let in_time = self.ending.wait(Some(deadline), log_or_nobody);
        if in_time && self.ending.log().is_none() {
            // There is no such thread: it could not be started, or it panicked.
            self.end_log();
        }
        let mut writing = Vec::new();
        for worker in [Worker::Committer, Worker::Packer] {
            if !is_this(worker) && !self.ending.wait_ended(worker, deadline) {
                writing.push(worker.name());
            }
        }
        if !is_this(Worker::Archiver) && !self.ending.wait_ended(Worker::Archiver, deadline) {
            // It writes to the store by commits alone, and those are refused by now.
            tracing::error!(
                "an archive does not answer; its thread is left behind, and the next open                  finishes its file"
            );
        }
        let log = self.ending.log();
        if self.ending.wait_ended(Worker::Indexer, deadline) {
            // The same here.
            self.end_index();
        } else if log.is_some() {
            self.ending.change().index_is_left_behind = true;
            tracing::error!("the index is stuck and is left behind; the next open makes it anew");
            self.mark_index();
        }
        let index_is_stuck = self.ending.is_running(Worker::Indexer);
        for (worker, thread) in threads {
            if !self.ending.is_running(worker) {
                // It is at its very end, and has said itself if it panicked.
                thread.join().ok();
            } else {
                self.keep_thread(worker, thread);
            }
        }
        let Some(log) = log.filter(|_| writing.is_empty()) else {
            let what = format!("the thread {}", writing.join(" and "));
            return Err(close_stuck(&what));
        };
        // After the last that is written.
        let files = self.check_files();
        self.let_go();
        log?;
        files?;
        if index_is_stuck {
            let what = match self.index_watch.busy(Instant::now()) {
                Some((call, time)) => format!("in a {call} since {} ms", time.as_millis()),
                None => "at its end".to_owned(),
            };
            return Err(Error::IndexStuck { what: what.into() });
        }
        Ok(())
    }

    /// Carries out what is queued and ends the log, once.
    pub(crate) fn end_log(&self) {
        loop {
            let now = self.options.clock.read();
            let mut committer = self.hold_committer();
            match committer.round(self, now) {
                Some(answers) => {
                    drop(committer);
                    answers.give(self);
                }
                None => {
                    if self.ending.log().is_none() {
                        let ended = self.write_end(&mut committer);
                        self.ending.change().log = Some(ended);
                    }
                    return;
                }
            }
        }
    }

    fn write_end(&self, committer: &mut Committer) -> Result<LogEnd> {
        committer.sync(self)?;
        self.check_files()?;
        self.check_sound()?;
        self.spare.discard(&*self.disk)?;
        let end = committer.log_end();
        // The index is sealed once it is let go of; it may hang before.
        let closed = Closed {
            end,
            clock: self.clock_mark(),
            index: None,
        };
        identity::write_closed_in((&*self.disk, &self.spare), self.store, &closed)?;
        Ok(end)
    }

    /// The index's last steps, once the log has ended. Any of them may hang, so its
    /// own thread does them.
    pub(crate) fn end_index(&self) {
        let deadline = self.ending.deadline();
        self.ending.wait(deadline, |state| state.log.is_some());
        // Left behind, it would write to what may be another's.
        let is_whole = matches!(self.ending.log(), Some(Ok(_))) && !self.ending.is_over();
        if is_whole && self.index().is_ok() {
            self.apply_to_index();
        }
        let index = self.index.write().take();
        let Some(index) = index.filter(|_| !self.ending.is_over()) else {
            return;
        };
        if let Err(fault) = self.index_watch.during("flush", || index.flush()) {
            tracing::warn!(fault = %fault.0, "the index could not be written out");
        }
        self.index_watch.during("release", || drop(index));
        if let Some(Ok(end)) = self.ending.log() {
            self.seal_index(end);
        }
    }

    /// Has the mark of the close vouch for the index's files, too.
    fn seal_index(&self, end: LogEnd) {
        let Some(folder) = &self.index_folder else {
            return;
        };
        if self.index_in_memory.lock().is_some() {
            return;
        }
        let sealed = self.index_watch.during("seal", || folder.seal());
        let index = sealed.unwrap_or_else(|error| {
            tracing::warn!(%error, "the index could not be sealed");
            None
        });
        if index.is_none() {
            return;
        }
        // Nobody lets the folder go while the mark is written.
        let state = self.ending.state.lock();
        if state.index_is_left_behind || state.close == Close::Done {
            return;
        }
        let closed = Closed {
            end,
            clock: self.clock_mark(),
            index,
        };
        if let Err(error) = identity::write_closed(&*self.disk, self.store, &closed) {
            tracing::warn!(%error, "the index could not be sealed");
        }
    }
}

fn close_stuck(what: &str) -> Error {
    Error::CloseStuck { what: what.into() }
}
