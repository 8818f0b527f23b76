//! Time that a store does not count until its clock is confirmed.
//!
//! Owns: [`Gaps`]. Must not know: the store, its jobs.
//! Promise: no more time is left out than what the store may leave out: several gaps
//! that are confirmed together count for jobs that completed before the first of them.

use crate::life::DAY_MS;

/// When the store may have been without a record of the time for over a day, in
/// simulated time.
#[derive(Default)]
pub struct Gaps {
    /// When the store last recorded something.
    recorded_ms: u64,
    /// The same, of what a power cut leaves.
    durable_ms: u64,
    /// Since the end of the first gap that waits to be confirmed.
    waiting_since_ms: Option<u64>,
    /// The same before a confirmation that a power cut may undo.
    may_wait_since_ms: Option<u64>,
    /// Later gaps that were to be confirmed with another before them.
    uncounted: Vec<Uncounted>,
}

/// A gap that does not count for what happened in this time before it.
struct Uncounted {
    from_ms: u64,
    until_ms: u64,
    gap_ms: u64,
}

impl Gaps {
    pub fn recorded(&mut self, now_ms: u64) {
        self.recorded_ms = now_ms;
    }

    pub fn synced(&mut self) {
        self.durable_ms = self.recorded_ms;
        self.may_wait_since_ms = None;
    }

    /// The store was opened, which records the time.
    pub fn opened(&mut self, now_ms: u64) {
        let gap_ms = now_ms - self.durable_ms;
        (self.recorded_ms, self.durable_ms) = (now_ms, now_ms);
        if let Some(since_ms) = self.may_wait_since_ms.take() {
            self.waiting_since_ms = Some(since_ms);
        }
        if gap_ms <= DAY_MS {
            return;
        }
        match self.waiting_since_ms {
            None => self.waiting_since_ms = Some(now_ms),
            Some(from_ms) => self.uncounted.push(Uncounted {
                from_ms,
                until_ms: now_ms,
                gap_ms,
            }),
        }
    }

    pub fn confirmed(&mut self) {
        let since_ms = self.waiting_since_ms.take();
        self.may_wait_since_ms = self.may_wait_since_ms.or(since_ms);
    }

    pub fn is_waiting(&self) -> bool {
        self.waiting_since_ms.is_some()
    }

    /// How much of the time since then the store may leave out, once all is confirmed.
    pub fn uncounted(&self, since_ms: u64) -> u64 {
        let gaps = self.uncounted.iter();
        let gaps = gaps.filter(|gap| (gap.from_ms..gap.until_ms).contains(&since_ms));
        gaps.map(|gap| gap.gap_ms).sum()
    }
}
