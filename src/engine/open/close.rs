//! Closes a store in ordered steps, by a deadline.
//!
//! A close returns by its deadline. The log is closed cleanly whatever happens to the index, and
//! the directory is unlocked only once nothing writes to it anymore.

use std::time::Duration;

use crate::base::clock::bounded;
use crate::base::sync::thread;
use crate::base::sync::time::Instant;
use crate::engine::core::Engine;
use crate::engine::state::committer::Committer;
use crate::engine::state::workers::{Close, ShutdownState, Worker};
use crate::log::disk;
use crate::log::identity::{self, Closed, LogEnd};
use crate::model::error::{Error, Result};
use crate::replica::following;

/// The interval at which a close checks whether another thread still replaces files.
const SCRATCH_LOOK: Duration = Duration::from_millis(2);

impl Engine {
    /// Closes the store: completes queued writes, ends the log with a clean-close mark, and
    /// stops the threads and the index. Abandons whatever still hangs at the deadline.
    pub(crate) fn close(&self) -> Result<()> {
        self.check_process()?;
        let deadline = Instant::now() + bounded(self.options.close_timeout);
        {
            let mut state = self.shutdown.change();
            match state.close {
                Close::NotBegun | Close::Stuck => state.close = Close::Begun(deadline),
                Close::Begun(_) => {
                    drop(state);
                    let is_over = |state: &ShutdownState| !matches!(state.close, Close::Begun(_));
                    return match self.shutdown.wait(Some(deadline), is_over) {
                        true => self.shutdown.state.lock().ended.clone().unwrap_or(Ok(())),
                        false => Err(close_stuck("another call to close")),
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
        let mut state = self.shutdown.change();
        state.ended = Some(ended.clone());
        state.close = match ended {
            Err(Error::CloseStuck { .. }) => Close::Stuck,
            _ => Close::Done,
        };
        ended
    }

    /// Closes a read-only store: there is nothing to write or to wait for.
    fn end_reads(&self) {
        self.set_closed();
        self.queue.close();
        self.wake_all_waiters();
        self.index.write().take();
    }

    fn close_until(&self, deadline: Instant) -> Result<()> {
        self.set_closed();
        self.queue.close();
        self.wake_all_waiters();
        if let Some(replica) = &self.replica {
            replica.appender.begin_close();
        }
        if let Some(follower) = &self.follower {
            follower.begin_close();
        }
        let threads = self.stop_threads();
        // The last handle may be dropped by one of these threads itself.
        let this = thread::current().id();
        let this = threads
            .iter()
            .find(|(_, thread)| thread.thread().id() == this);
        let this = this.map(|(worker, _)| *worker);
        let is_this = |worker| this == Some(worker);
        if is_this(Worker::Committer) {
            self.end_log();
        }
        let mut writing = Vec::new();
        // The follower's thread may wait for the replica, but once it does not replace files, it
        // changes nothing anymore.
        if self.follower.is_some() && !self.wait_for_files(Some(deadline)) {
            writing.push(Worker::Follower.name());
        }
        let committer = Worker::Committer as usize;
        let log_or_nobody =
            |state: &ShutdownState| state.log.is_some() || !state.running[committer];
        let in_time = self.shutdown.wait(Some(deadline), log_or_nobody);
        if in_time && self.shutdown.log().is_none() {
            // There is no committer thread: it could not be started, or it panicked.
            self.end_log();
        }
        for worker in [Worker::Committer, Worker::Packer] {
            if !is_this(worker) && !self.shutdown.wait_ended(worker, deadline) {
                writing.push(worker.name());
            }
        }
        if !is_this(Worker::Archiver) && !self.shutdown.wait_ended(Worker::Archiver, deadline) {
            // The archiver writes to the store only through commits, and the store refuses new
            // commits by now.
            tracing::error!(
                "an archive does not respond; its thread is abandoned, and the next open finishes \
                 the archive file"
            );
        }
        if !self.shutdown.wait_ended(Worker::Uploader, deadline) {
            // It changes no files, and once another store has claimed the replica, it can remove
            // nothing there.
            tracing::error!("a copy to the replica does not end; its thread is abandoned");
        }
        let log = self.shutdown.log();
        if self.shutdown.wait_ended(Worker::Indexer, deadline) {
            // The indexer thread has already done this, unless it could not be started or panicked.
            self.end_index();
        } else if log.is_some() {
            self.shutdown.change().index_is_left_behind = true;
            tracing::error!(
                "the index does not respond and is abandoned; the next open rebuilds it"
            );
            self.mark_index();
        }
        let index_is_stuck = self.shutdown.is_running(Worker::Indexer);
        for (worker, thread) in threads {
            if !self.shutdown.is_running(worker) {
                // The thread has exited or is about to exit, so this does not block. Any panic has
                // already been reported.
                thread.join().ok();
            } else {
                self.keep_thread(worker, thread);
            }
        }
        let Some(log) = log.filter(|_| writing.is_empty()) else {
            let what = format!("the thread {}", writing.join(" and "));
            return Err(close_stuck(&what));
        };
        if let Some(replica) = &self.replica {
            replica.appender.stop();
        }
        // The files are checked after the last write.
        let files = self.check_files();
        self.unlock();
        log?;
        files?;
        if index_is_stuck {
            let what = match self.index_watchdog.busy(Instant::now()) {
                Some((call, time)) => format!("in a {call} for {} ms", time.as_millis()),
                None => "while closing".to_owned(),
            };
            return Err(Error::IndexStuck { what: what.into() });
        }
        Ok(())
    }

    /// Completes queued writes and ends the log, once.
    pub(crate) fn end_log(&self) {
        let mut may_wait = true;
        loop {
            let now_ms = self.read_clock_for_queue();
            let mut committer = self.lock_committer();
            if let Some(results) = committer.round(self) {
                drop(committer);
                results.deliver(&self.metrics);
                continue;
            }
            if self.shutdown.log().is_some() {
                return;
            }
            let waiters = committer.retry_hand_backs(self, now_ms);
            let ended = self.write_end(&mut committer, now_ms);
            if may_wait && ended.as_ref().is_err_and(disk::is_full) {
                drop(committer);
                self.wait_for_scratch();
                may_wait = false;
                continue;
            }
            self.shutdown.change().log = Some(ended);
            drop(committer);
            waiters.iter().for_each(|waiter| waiter.wake());
            return;
        }
    }

    /// On a full disk, the clean-close mark may need the scratch file, which the packer may be
    /// using. The packer begins nothing new during a close.
    fn wait_for_scratch(&self) {
        self.wait_for_files(self.shutdown.deadline());
    }

    /// Waits until no thread is replacing files. Returns whether that happened before the deadline.
    fn wait_for_files(&self, deadline: Option<Instant>) -> bool {
        while self.files_lock.try_lock().is_none() {
            if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
                return false;
            }
            std::thread::sleep(SCRATCH_LOOK);
        }
        true
    }

    fn write_end(&self, committer: &mut Committer, now_ms: u64) -> Result<LogEnd> {
        committer.log.remove_unbegun()?;
        committer.sync(self)?;
        self.check_files()?;
        self.check_sound()?;
        self.preallocation.discard(&*self.disk)?;
        let end = committer.log_end();
        if self.is_restoring() {
            // The directory is incomplete, and marked as such.
            return Ok(end);
        }
        if self.follower.is_some() {
            following::remove(&*self.disk)?;
        }
        // This does not include a checksum of the index yet: the index is sealed only after it has
        // been released, and releasing it may hang.
        let closed = Closed {
            end,
            clock: self.clock_mark_at(now_ms),
            index: None,
        };
        identity::write_closed_in((&*self.disk, &self.preallocation), self.store, &closed)?;
        Ok(end)
    }

    /// The last steps of the index, after the log has ended. Any of them may hang, so the
    /// indexer thread performs them.
    pub(crate) fn end_index(&self) {
        let deadline = self.shutdown.deadline();
        self.shutdown.wait(deadline, |state| state.log.is_some());
        // An abandoned thread must not write, because another process may be using the directory by
        // now.
        let is_whole = matches!(self.shutdown.log(), Some(Ok(_))) && !self.shutdown.is_over();
        if is_whole && self.index().is_ok() {
            self.apply_to_index();
            self.release_replaced(&mut self.indexer.lock().rewrites);
        }
        let index = self.index.write().take();
        let Some(index) = index.filter(|_| !self.shutdown.is_over()) else {
            return;
        };
        if let Err(fault) = self.index_watchdog.during("flush", || index.flush()) {
            tracing::warn!(fault = %fault.0, "cannot flush the index");
        }
        self.index_watchdog.during("release", || drop(index));
        if let Some(Ok(end)) = self.shutdown.log() {
            self.seal_index(end);
        }
    }

    /// Records a checksum of the index's files in the clean-close mark.
    fn seal_index(&self, end: LogEnd) {
        let Some(directory) = &self.index_directory else {
            return;
        };
        if self.index_in_memory.lock().is_some() || self.is_restoring() {
            return;
        }
        let sealed = self.index_watchdog.during("seal", || directory.seal());
        let index = sealed.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot seal the index");
            None
        });
        if index.is_none() {
            return;
        }
        let clock = self.clock_mark();
        // The directory cannot be unlocked while this state is locked. Therefore, no other process
        // can use the directory while the mark is written.
        let state = self.shutdown.state.lock();
        if state.index_is_left_behind || state.close == Close::Done {
            return;
        }
        let closed = Closed { end, clock, index };
        if let Err(error) = identity::write_closed(&*self.disk, self.store, &closed) {
            tracing::warn!(%error, "cannot seal the index");
        }
    }
}

fn close_stuck(what: &str) -> Error {
    Error::CloseStuck { what: what.into() }
}
