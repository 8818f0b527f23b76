//! Reads and records the age clock of an open store, and confirms the system clock after a jump.

use crate::base::sync::atomic::Ordering;
use crate::base::sync::time::Instant;
use crate::engine::core::Engine;
use crate::engine::state::operation::{Action, Operation};
use crate::log::clock_gaps::Gaps;
use crate::log::clock_mark::ClockMark;
use crate::model::error::Result;

/// The interval at which an idle store records its clocks.
const RECORD_EVERY_MS: u64 = 3_600_000;

impl Engine {
    /// Reads the clocks.
    pub(crate) fn clock_mark(&self) -> ClockMark {
        self.clock_mark_at(self.now_ms())
    }

    /// Like [`Engine::clock_mark`], for callers that hold a lock and therefore must not read the
    /// host's clock. `wall_ms` is a recent reading of the system clock.
    pub(crate) fn clock_mark_at(&self, wall_ms: u64) -> ClockMark {
        let mut clock = self.clock.lock();
        match self.follower {
            None => clock.read(Instant::now(), wall_ms),
            // The clocks of a follower are those of the log.
            Some(_) => clock.mark(),
        }
    }

    /// The confirmed gaps: time that the age clock did not count.
    pub(crate) fn gaps(&self) -> Gaps {
        self.clock.lock().gaps().clone()
    }

    /// Durably confirms the system clock.
    pub(crate) fn confirm_clock(&self) -> Result<()> {
        self.clock_mark();
        self.commit(Operation::small(Action::ConfirmClock))?;
        self.retention.lock().schedule.note_ages();
        self.wake_packer();
        Ok(())
    }

    /// Records the clocks of an open, idle store. This limits how much time the age clock loses in
    /// a crash.
    pub(super) fn record_clock_if_due(&self) {
        let recorded_ms = self.recorded_age_ms.load(Ordering::Relaxed);
        let idle_ms = self.clock_mark().age_ms.saturating_sub(recorded_ms);
        if idle_ms >= RECORD_EVERY_MS {
            // If this fails, it is retried later.
            self.commit(Operation::small(Action::Clock)).ok();
        }
    }

    /// Whether retention policies wait for the clock to be confirmed.
    pub(crate) fn waits_for_clock(&self) -> bool {
        // A health check must not wait for the host's clock, so this estimates the time. Commits
        // and background threads read the clock.
        let now_ms = crate::base::clock::to_ms(self.options.clock.estimate());
        self.clock_mark_at(now_ms).doubted_ms > 0 && self.retention.lock().schedule.is_any_of_age()
    }
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use super::*;
    use crate::JobStore;

    #[test]
    fn an_idle_store_records_its_clocks_once_an_hour() {
        let store = JobStore::in_memory().unwrap();
        let graph = store.create_graph("1", "movie").unwrap();
        let engine = graph.engine();
        let next_lsn = || engine.lock_committer().log.next_lsn();
        let before = next_lsn();
        engine.record_clock_if_due();
        assert_eq!(next_lsn(), before);
        let now_ms = engine.clock_mark().age_ms;
        let recorded = &engine.recorded_age_ms;
        recorded.store(now_ms - RECORD_EVERY_MS, Ordering::Relaxed);
        for _ in 0..2 {
            engine.record_clock_if_due();
            assert_eq!(next_lsn(), before + 1);
        }
    }
}
