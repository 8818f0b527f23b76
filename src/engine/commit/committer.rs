//! The threads that commit: a caller's own, or the committer thread.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::gathering::Gathering;
use crate::base::clock::bounded;
use crate::base::sync::time::Instant;
use crate::engine::core::Engine;
use crate::engine::state::calls::{Call, Queued, WriteResult};
use crate::engine::state::operation::Operation;
use crate::model::error::Result;
use crate::model::options::Durability;

/// How long a detached write waits for space in the queue before the waiting thread commits queued
/// writes itself.
const DETACHED_WAIT: Duration = Duration::from_millis(5);

thread_local! {
    /// Whether this is the committer thread of any store. It calls the host's wakers, which may
    /// write, too.
    static IS_COMMITTER: Cell<bool> = const { Cell::new(false) };
}

impl Engine {
    /// Commits a write and waits for its result.
    pub(crate) fn commit(&self, operation: Operation) -> Result<WriteResult> {
        let (call, queued) = Call::new(operation);
        if self.replica.is_some() {
            match IS_COMMITTER.get() {
                true => self.commit_in_waker(&call, queued),
                // The committer thread collects writes that can share a round trip to the replica.
                false => self.queue.hand_over(queued),
            }
            return call.wait();
        }
        self.queue.push(queued);
        // No other thread is committing, so commit here. This saves two context switches.
        while !call.is_completed() {
            self.read_clock_for_queue();
            let Some(mut committer) = self.try_lock_committer() else {
                break;
            };
            let results = committer.round(self);
            drop(committer);
            match results {
                Some(results) => results.deliver(&self.metrics),
                None => break,
            }
        }
        call.wait()
    }

    /// Commits a write that a waker makes on the committer thread, which no other thread commits.
    fn commit_in_waker(&self, call: &Call, queued: Queued) {
        self.queue_detached(queued);
        while !call.is_completed() {
            self.read_clock_for_queue();
            let results = self.lock_committer().round(self);
            match results {
                Some(results) => results.deliver(&self.metrics),
                None => return,
            }
        }
    }

    /// Queues a detached write once the queue has space. This may run in a waker on the committer
    /// thread. Therefore, if no other thread is committing, this function commits.
    pub(crate) fn queue_detached(&self, queued: Queued) {
        let mut outside = Some(queued);
        while let Some(queued) = outside.take() {
            let deadline = Instant::now() + DETACHED_WAIT;
            outside = self.queue.push_until(queued, Some(deadline));
            if outside.is_none() {
                break;
            }
            self.read_clock_for_queue();
            if let Some(mut committer) = self.try_lock_committer() {
                let results = committer.round(self);
                drop(committer);
                if let Some(results) = results {
                    results.deliver(&self.metrics);
                }
            }
        }
        self.queue.wake_committer();
    }
}

/// Runs the committer thread: commits for callers that do not block, and syncs in interval
/// mode.
pub(crate) fn run(engine: &Engine) {
    IS_COMMITTER.set(true);
    // A panic is recorded in the store's health; queued writes still complete.
    while catch_unwind(AssertUnwindSafe(|| serve(engine))).is_err() {}
    engine.end_log();
}

fn serve(engine: &Engine) {
    let mut gathering = Gathering::default();
    loop {
        gathering.wait(engine);
        engine.read_clock_for_queue();
        let mut committer = engine.lock_committer();
        let begun = Instant::now();
        if let Some(results) = committer.round(engine) {
            let now = Instant::now();
            let is_due = committer.sync_due(engine).is_some_and(|due| due <= now);
            drop(committer);
            let took = now.saturating_duration_since(begun);
            gathering.committed(engine, results.writes.len(), took);
            results.deliver(&engine.metrics);
            if is_due {
                // A failure is recorded in the store's health.
                engine.lock_committer().sync(engine).ok();
            }
            continue;
        }
        let mut due = committer.sync_due(engine);
        if due.is_some_and(|due| due <= Instant::now()) {
            // A failure is recorded in the store's health.
            committer.sync(engine).ok();
            due = None;
        }
        drop(committer);
        if engine.has_failed() {
            engine.wake_all_waiters();
        }
        // In interval mode, a commit by a caller sets a new time to sync, so this thread checks
        // at least once per interval.
        let deadline = match engine.options.durability {
            Durability::Interval(interval) => Some(due.unwrap_or_else(|| {
                Instant::now() + bounded(interval).max(Duration::from_millis(1))
            })),
            Durability::Synced => None,
        };
        if !engine.queue.wait_filled(deadline) {
            return;
        }
    }
}
