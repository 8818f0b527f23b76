//! Lets the callers of one commit share the next one.
//!
//! When a commit ends, its callers often write again at once. If the next commit began without
//! them, they would wait for all of it, and for their own. With a replica, where a commit takes
//! milliseconds, half of the possible throughput would be lost that way. Therefore, the next commit
//! waits a short time for them.

use std::time::Duration;

use super::GROUP_BYTES;
use crate::base::sync::time::Instant;
use crate::engine::core::Engine;
use crate::model::options::Durability;

/// The wait is at most this part of the time that the last commit took.
const PART: u32 = 3;
/// If the last commit took longer, the backend was hardly available.
const TOOK_MAX: Duration = Duration::from_millis(300);
/// After a wait that was in vain, this many commits do not wait; twice as many after the next one,
/// and so on, up to the maximum.
const SKIPPED: u32 = 1;
const SKIPPED_MAX: u32 = 256;

#[derive(Default)]
pub(super) struct Gathering {
    /// How many writes may soon be in the queue, and until when to wait for them.
    expected: Option<(usize, Instant)>,
    /// How many more commits do not wait.
    skips: u32,
    /// How many commits did not wait after the last wait that was in vain; 0 if it was not.
    skipped: u32,
}

impl Gathering {
    /// Records that a commit ended. Its callers have not been told yet.
    pub(super) fn committed(&mut self, engine: &Engine, writes: usize, took: Duration) {
        let is_slow = engine.replica.is_some() && engine.options.durability == Durability::Synced;
        let (waiting, bytes) = engine.queue.depth();
        let has_room = bytes < GROUP_BYTES && !engine.has_failed();
        // A single caller does not share its commit.
        let expected = writes + waiting as usize;
        self.expected = (is_slow && has_room && expected > 1)
            .then(|| (expected, Instant::now() + took.min(TOOK_MAX) / PART));
    }

    /// Waits for the callers of the last commit.
    pub(super) fn wait(&mut self, engine: &Engine) {
        let Some((expected, deadline)) = self.expected.take() else {
            return;
        };
        if self.skips > 0 {
            self.skips -= 1;
            return;
        }
        let found = engine.queue.wait_for(expected, deadline);
        // Some of the callers may have ended.
        self.skipped = match found >= expected - expected / 4 {
            true => 0,
            false => (2 * self.skipped).clamp(SKIPPED, SKIPPED_MAX),
        };
        self.skips = self.skipped;
    }
}
