//! Group commit: turns queued writes into one frame, one sync, and one publication.
//!
//! The changes of a write become visible only once its frame is durable (in interval mode, once its
//! frame is written). The write completes once its changes are visible. A refused write changes
//! nothing.

mod committer;
pub(crate) mod following;
mod gathering;
mod give_up;
mod graphs;
mod idempotent;
mod import;
mod job_facts;
mod publish;
mod purge;
mod round;
mod staging;
mod submit;
mod transitions;

use std::sync::Arc;

pub(crate) use self::committer::run;
use self::publish::Published;
use self::round::Round;
use self::staging::Staging;
use crate::base::clock::bounded;
use crate::base::sync::atomic::Ordering;
use crate::base::sync::thread;
use crate::base::sync::time::Instant;
use crate::engine::core::Engine;
use crate::engine::state::calls::{Queued, RoundResults, WriteResult};
use crate::engine::state::committer::Committer;
use crate::engine::state::operation::{Action, Operation};
use crate::engine::state::waiters::Waiter;
use crate::log::preallocation::Room;
use crate::log::writer::{AppendError, Appended};
use crate::model::error::{Error, Result};
use crate::model::options::Durability;

/// The frame's buffer is freed if a write made it larger than this.
const BUFFER_BYTES_MAX: usize = 4 << 20;
/// About how many bytes one commit takes from the queue; a larger write is committed alone.
const GROUP_BYTES: u64 = 1 << 20;

/// In interval mode, what waits to be sent to the replica is sent earlier if it is more than this.
const UNSENT_BYTES_MAX: usize = 4 << 20;

/// Stops all writes if it is dropped because of a panic.
struct FailOnUnwind<'e>(&'e Engine);

impl Drop for FailOnUnwind<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail(&Error::CommitUnknown {
                ids: Arc::new([]),
                why: "a commit panicked".into(),
            });
        }
    }
}

impl Committer {
    /// Commits queued writes whose commit time is known, up to one group. Returns `None` if there
    /// are no such writes.
    pub(crate) fn round(&mut self, engine: &Engine) -> Option<RoundResults> {
        let (taken, bytes, now_ms) = engine.queue.take(GROUP_BYTES);
        if taken.is_empty() {
            return None;
        }
        self.now_ms = now_ms;
        let _span = tracing::trace_span!("commit", writes = taken.len()).entered();
        // If anything below panics, the contents of the log are unknown.
        let unwinding = FailOnUnwind(engine);
        let results = self.commit_writes(engine, &taken);
        for (queued, result) in taken.iter().zip(&results) {
            note_hand_back(engine, &queued.operation().action, result);
        }
        if engine.has_failed() {
            self.waiters.extend(engine.take_all_waiters());
        }
        self.frame.shrink(BUFFER_BYTES_MAX);
        engine.queue.done(taken.len());
        drop(unwinding);
        Some(RoundResults {
            writes: taken,
            results,
            wakers: bytes.release(),
            waiters: std::mem::take(&mut self.waiters),
        })
    }

    /// Tries again to hand back those jobs of dropped claims that could not be handed back before.
    /// The caller wakes the waiters once the committer is unlocked.
    pub(crate) fn retry_hand_backs(&mut self, engine: &Engine, now_ms: u64) -> Vec<Arc<Waiter>> {
        let owed = std::mem::take(&mut *engine.owed_hand_backs.lock());
        self.now_ms = self.now_ms.max(now_ms);
        let unwinding = FailOnUnwind(engine);
        for (graph, claim) in owed {
            let action = Action::HandBack { graph, claim };
            let committed = self.commit(engine, &[&action], room_for(&[&action]));
            let result = committed.and_then(|mut results| results.remove(0));
            note_hand_back(engine, &action, &result);
        }
        if engine.has_failed() {
            self.waiters.extend(engine.take_all_waiters());
        }
        drop(unwinding);
        std::mem::take(&mut self.waiters)
    }

    /// Commits all writes together. If no segment can be created for the writes, those that
    /// complete or remove something are committed separately, because a reserve of space is kept
    /// for such writes.
    fn commit_writes(&mut self, engine: &Engine, taken: &[Queued]) -> Vec<Result<WriteResult>> {
        let all: Vec<&Action> = taken.iter().map(|q| &q.operation().action).collect();
        let room = room_for(&all);
        let refused = match self.commit(engine, &all, room) {
            Ok(results) => return results,
            Err(refused) => refused,
        };
        let mut results: Vec<_> = taken.iter().map(|_| Err(refused.clone())).collect();
        for group in ending_groups(taken, engine.preallocation.reserve_bytes() / 2) {
            let actions: Vec<&Action> = group.iter().map(|&n| all[n]).collect();
            match self.commit(engine, &actions, room_for(&actions)) {
                Ok(given) => {
                    for (n, result) in group.into_iter().zip(given) {
                        results[n] = result;
                    }
                }
                Err(refused) => {
                    for n in group {
                        // Writes that free space may also use the rest of the reserve.
                        let alone = match all[n].is_freeing() && actions.len() > 1 {
                            true => self.commit(engine, &[all[n]], Room::Freeing),
                            false => Err(refused.clone()),
                        };
                        results[n] = alone.and_then(|mut given| given.remove(0));
                    }
                }
            }
        }
        results
    }

    /// Commits writes in one frame. If this returns an error, nothing was written and nothing has
    /// changed.
    fn commit(
        &mut self,
        engine: &Engine,
        actions: &[&Action],
        room: Room,
    ) -> Result<Vec<Result<WriteResult>>> {
        // A closed store still completes the writes that were queued before the close. A failed
        // store writes nothing more, whether it is closed or not.
        if let Err(refused) = engine.check_sound() {
            return Ok(actions.iter().map(|_| Err(refused.clone())).collect());
        }
        let clock = engine.clock_mark_at(self.now_ms);
        let frame = (&mut self.frame, self.log.next_lsn());
        let mut staging = Staging::begin(engine, frame, clock, &mut self.nearby_jobs);
        for action in actions {
            staging.add(action);
        }
        let mut round = staging.finish();
        if self.frame.is_unreadable() && actions.len() > 1 {
            // Commit each write alone, so that only the one that cannot be read back is refused.
            let alone = |action: &&Action| self.commit(engine, &[*action], room)?.remove(0);
            return Ok(actions.iter().map(alone).collect());
        }
        if self.frame.count() > 0 {
            match self.write(engine, &round, room) {
                Ok(appended) => {
                    if appended.sealed.is_some() {
                        self.add_active_segment(engine);
                    }
                    let frame = Published {
                        segment: &appended.segment,
                        at: appended.at,
                        last_lsn: self.log.next_lsn() - 1,
                        durable_lsn: self.log.synced_lsn(),
                        now_ms: round.now_ms,
                    };
                    self.publish(engine, &mut round.changes, &frame);
                    if appended.sealed.is_some() {
                        engine.wake_packer();
                    }
                }
                // The results staged so far may depend on changes that are now not made.
                Err(AppendError::Refused(error)) => return Err(error),
                Err(AppendError::Unknown(error)) => {
                    let why = engine.fail(&error);
                    match error {
                        // Another writer has the place in the log that these writes would have.
                        Error::Deposed { .. } => round.end_with(&error),
                        _ => round.end_unknown(&why),
                    }
                }
            }
        }
        Ok(round.results)
    }

    fn write(
        &mut self,
        engine: &Engine,
        round: &Round,
        room: Room,
    ) -> Result<Appended, AppendError> {
        let appended = self.log.append(&mut self.frame, room)?;
        engine
            .recorded_age_ms
            .store(round.clock.age_ms, Ordering::Relaxed);
        engine.metrics.frames.add(1);
        engine.metrics.frame_bytes.add(self.frame.len() as u64);
        engine.metrics.events.add(self.frame.count());
        match engine.options.durability {
            // Packing permanently omits the jobs of dropped graphs and purged jobs, so both are
            // durable before they become visible, in either mode.
            Durability::Interval(_)
                if round.changes.dropped.is_empty()
                    && round.purged.is_empty()
                    && self.log.unsent_bytes() < UNSENT_BYTES_MAX =>
            {
                self.unsynced_since.get_or_insert_with(Instant::now);
            }
            Durability::Synced | Durability::Interval(_) => {
                self.sync_log(engine).map_err(AppendError::Unknown)?;
                self.unsynced_since = None;
            }
        }
        Ok(appended)
    }

    /// Makes everything written so far durable.
    pub(crate) fn sync(&mut self, engine: &Engine) -> Result<()> {
        self.unsynced_since = None;
        if engine.has_failed() {
            return Ok(());
        }
        self.sync_log(engine).inspect_err(|error| {
            engine.fail(error);
        })?;
        let durable_lsn = self.log.synced_lsn();
        engine.durable_lsn.store(durable_lsn, Ordering::Release);
        Ok(())
    }

    /// If the active segment is larger than an ordinary one, begins a new segment, so that the
    /// large one can be packed; returns whether it did. Otherwise, a large write would stay in its
    /// segment, which every open reads, until something else is written.
    pub(crate) fn leave_oversized_segment(&mut self, engine: &Engine) -> Result<bool> {
        if engine.check_writable().is_err() || !self.log.is_oversized() {
            return Ok(false);
        }
        let unwinding = FailOnUnwind(engine);
        self.sync(engine)?;
        match self.log.leave_segment() {
            Ok(()) => {}
            Err(AppendError::Refused(error)) => return Err(error),
            Err(AppendError::Unknown(error)) => {
                engine.fail(&error);
                return Err(error);
            }
        }
        drop(unwinding);
        self.add_active_segment(engine);
        Ok(true)
    }

    fn sync_log(&mut self, engine: &Engine) -> Result<()> {
        let (begun, durable) = (Instant::now(), self.log.synced_lsn());
        self.log.sync()?;
        if self.log.synced_lsn() > durable {
            let time = Instant::now().saturating_duration_since(begun);
            engine.metrics.syncs.record(time);
        }
        Ok(())
    }

    /// When the written frames must be synced, in interval mode.
    pub(super) fn sync_due(&self, engine: &Engine) -> Option<Instant> {
        match engine.options.durability {
            Durability::Interval(interval) => Some(self.unsynced_since? + bounded(interval)),
            Durability::Synced => None,
        }
    }
}

/// If a hand-back was refused, keeps it so that it can be retried later. No caller is left that
/// could retry it.
fn note_hand_back(engine: &Engine, action: &Action, result: &Result<WriteResult>) {
    use Error::{DiskFull, Io, TooManyOpenFiles};
    let Action::HandBack { graph, claim } = action else {
        return;
    };
    if let Err(error @ (DiskFull { .. } | Io { .. } | TooManyOpenFiles { .. })) = result {
        tracing::warn!(%error, "cannot hand back the job of a dropped claim; retrying");
        let owed = (graph.clone(), claim.clone());
        engine.owed_hand_backs.lock().push(owed);
    }
}

/// The space that is available to writes that share a frame.
fn room_for(actions: &[&Action]) -> Room {
    if actions.iter().all(|action| action.is_freeing()) {
        Room::Freeing
    } else if actions.iter().all(|action| action.is_ending()) {
        Room::Reserve
    } else {
        Room::Ordinary
    }
}

/// The indexes of the writes that complete or remove something, in order, in groups whose frames
/// are at most about `bytes_max` bytes long.
fn ending_groups(taken: &[Queued], bytes_max: u64) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for (n, queued) in taken.iter().enumerate() {
        let Operation { action, bytes } = queued.operation();
        if !action.is_ending() {
            continue;
        }
        match groups.last_mut().filter(|_| *bytes <= room) {
            Some(group) => {
                group.push(n);
                room -= bytes;
            }
            None => {
                groups.push(vec![n]);
                room = bytes_max.saturating_sub(*bytes);
            }
        }
    }
    groups
}
