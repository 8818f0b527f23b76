//! Time that a store does not count until its clock is confirmed.
//!
//! Contains [`Gaps`], which computes the maximum time that a store may exclude from the age of a
//! job. If several gaps are confirmed together, they are added to the ages of jobs that completed
//! before the first of them.

use crate::life::DAY_MS;

/// The periods of more than a day, in simulated time, in which the store may have recorded nothing.
#[derive(Default)]
pub struct Gaps {
    /// When the store last recorded something.
    recorded_ms: u64,
    /// When the store last recorded something that a power failure does not undo.
    durable_ms: u64,
    /// The end of the first gap that is not confirmed yet.
    waiting_since_ms: Option<u64>,
    /// The value of `waiting_since_ms` before a confirmation that a power failure may undo.
    may_wait_since_ms: Option<u64>,
    /// Later gaps that had to be confirmed together with an earlier one.
    uncounted: Vec<Uncounted>,
}

/// A gap that is not added to the ages of events in this earlier period.
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

    /// Called when the store is opened, which records the time.
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

    /// Returns how much of the time since `since_ms` the store may exclude after all confirmations.
    pub fn uncounted(&self, since_ms: u64) -> u64 {
        let gaps = self.uncounted.iter();
        let gaps = gaps.filter(|gap| (gap.from_ms..gap.until_ms).contains(&since_ms));
        gaps.map(|gap| gap.gap_ms).sum()
    }
}
